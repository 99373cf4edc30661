'use strict';

// Which file of exports/, lib/ and client.js requires which, or imports a type of it in a comment.

const path = require('node:path').posix;

/** @typedef {import('./graph.js').Arrow} Arrow */
/** @typedef {{ target: string, line: number, names: string[] | null }} Import `names`: what is used of it; null: all */

/** From the top down. The layers of one line may use one another. */
const JAVASCRIPT_LAYERS = [
  ['exports', 'lib/cli'],
  'client.js',
  'lib/api',
  'lib/core',
  ['lib/options', 'lib/values'],
  'lib/errors.js',
];

/** @param {string} file */
const isOurs = (file) => file === 'client.js' || /^(lib|exports)\/.*\.js$/.test(file);

/** The layer of a file: its folder, or a file by itself. @param {string} file */
const layerOf = (file) => (file.startsWith('lib/') ? file.split('/').slice(0, 2).join('/') : file.split('/')[0]);

/** Comments, and strings of one line, which may hold what looks like a comment. */
const COMMENT =
  /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\\n])*`|(?<comment>\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*)/g;

/** The text without comments, which may quote a require; the lines stay where they are. @param {string} text */
const code = (text) => text.replace(COMMENT, (found) => (/^\/[/*]/.test(found) ? found.replace(/[^\n]/g, ' ') : found));

/** @param {string} file @param {string} relative as it is required there */
function resolved(file, relative) {
  const target = path.normalize(path.join(path.dirname(file), relative));
  return /\.\w+$/.test(target) ? target : `${target}.js`;
}

/** @param {string} text @param {number} index */
const lineAt = (text, index) => text.slice(0, index).split('\n').length;

/**
 * Every require of a relative path.
 * @param {string} file
 * @param {string} text
 * @returns {Import[]}
 */
function requires(file, text) {
  const bare = code(text);
  /** @type {Import[]} */
  const found = [];
  const pattern = /(?:(?:const|let|var)\s+(\{[^}]*\}|\w+)\s*=[^;]*?)?\brequire\('(\.[^']*)'\)(?:\s*\.(\w+))?/g;
  for (const statement of bare.matchAll(pattern)) {
    const [whole, binding, , member] = statement;
    // `condition ? require(a) : require(b)`: one binding for all.
    for (const [, relative] of whole.matchAll(/require\('(\.[^']*)'\)/g)) {
      const names = namesOf(bare, binding, member);
      found.push({ target: resolved(file, relative), line: lineAt(bare, statement.index), names });
    }
  }
  return found;
}

/**
 * Every `import('./file.js')` of a relative path: in comments tsc reads types there.
 * @param {string} file
 * @param {string} text
 * @returns {Import[]}
 */
function typeImports(file, text) {
  return [...text.matchAll(/\bimport\('(\.[^']*\.js)'\)(?:\.(\w+))?/g)].map(({ 1: relative, 2: name, index }) => ({
    target: resolved(file, relative),
    line: lineAt(text, index),
    names: name === undefined ? null : [name],
  }));
}

/**
 * The names that a file uses of what it requires; null: all.
 * @param {string} text
 * @param {string | undefined} binding
 * @param {string | undefined} member
 * @returns {string[] | null}
 */
function namesOf(text, binding, member) {
  if (member !== undefined) return [member];
  if (binding === undefined) return null;
  if (binding.startsWith('{')) {
    return binding
      .slice(1, -1)
      .split(',')
      .map((part) => part.split(':')[0].trim())
      .filter(Boolean);
  }
  const members = [...text.matchAll(new RegExp(`\\b${binding}\\.(\\w+)`, 'g'))].map(([, name]) => name);
  const alone = [...text.matchAll(new RegExp(`\\b${binding}\\b(?!\\s*[.=])`, 'g'))].length;
  return alone > 0 ? null : members;
}

/** One arrow for each pair of files. @param {Map<string, string>} files @returns {Arrow[]} */
function javascriptArrows(files) {
  /** @type {Map<string, Arrow>} */
  const arrows = new Map();
  for (const [file, text] of files) {
    if (!isOurs(file)) continue;
    for (const { target, line } of [...requires(file, text), ...typeImports(file, text)]) {
      const key = `${file} ${target}`;
      if (!isOurs(target) || !files.has(target) || target === file || arrows.has(key)) continue;
      arrows.set(key, { from: file, to: target, fromLayer: layerOf(file), toLayer: layerOf(target), line });
    }
  }
  return [...arrows.values()];
}

module.exports = { COMMENT, JAVASCRIPT_LAYERS, code, javascriptArrows, requires, typeImports };
