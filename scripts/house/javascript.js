'use strict';

// Who requires whom in lib/ and client.js, and which exports of lib/ nobody takes. Tests, benchmarks and scripts count as
// takers: what only a test looks at is still looked at.

const path = require('node:path').posix;

/** @typedef {import('./graph.js').Arrow} Arrow */

/** @param {string} file */
const isOurs = (file) => file === 'client.js' || /^lib\/.*\.js$/.test(file);

/** Comments go: they may quote a require. The lines stay where they are. @param {string} text */
const code = (text) => text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*/g, (found) => found.replace(/[^\n]/g, ' '));

/**
 * Every require of a file beside it: what it leads to, and the names that are taken (null: the whole of it).
 * @param {string} file
 * @param {string} text
 */
function requires(file, text) {
  const bare = code(text);
  const found = [];
  const pattern = /(?:(?:const|let|var)\s+(\{[^}]*\}|\w+)\s*=[^;]*?)?\brequire\('(\.[^']*)'\)(?:\s*\.(\w+))?/g;
  for (const statement of bare.matchAll(pattern)) {
    const [whole, binding, , member] = statement;
    // `condition ? require(a) : require(b)`: one binding for all.
    for (const [, relative] of whole.matchAll(/require\('(\.[^']*)'\)/g)) {
      const target = path.normalize(path.join(path.dirname(file), relative));
      const line = bare.slice(0, statement.index).split('\n').length;
      found.push({
        target: /\.\w+$/.test(target) ? target : `${target}.js`,
        line,
        names: namesOf(bare, binding, member),
      });
    }
  }
  return found;
}

/** What comments say of types takes exports, too: tsc reads them. @param {string} file @param {string} text */
function typesTaken(file, text) {
  return [...text.matchAll(/\bimport\('(\.[^']*\.js)'\)\.(\w+)/g)].map(([, relative, name]) => ({
    target: path.normalize(path.join(path.dirname(file), relative)),
    names: [name],
  }));
}

/**
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

/** @param {Map<string, string>} files @returns {Arrow[]} */
function javascriptArrows(files) {
  return [...files].flatMap(([file, text]) =>
    isOurs(file)
      ? requires(file, text)
          .filter(({ target }) => isOurs(target) && files.has(target))
          .map(({ target, line }) => ({ from: file, to: target, fromLayer: '', toLayer: '', line }))
      : [],
  );
}

/** The names in `module.exports = { ... }` and `exports.name =`. @param {string} text */
function exportsOf(text) {
  const bare = code(text);
  const [, list = ''] = /module\.exports = \{([^}]*)\}/.exec(bare) ?? [];
  const listed = list.split(',').map((part) => part.split(':')[0].trim());
  const single = [...bare.matchAll(/^(?:module\.)?exports\.(\w+) =/gm)].map(([, name]) => name);
  return [...listed, ...single].filter(Boolean);
}

/** @param {Map<string, string>} files */
function deadExports(files) {
  /** @type {Map<string, Set<string> | null>} */
  const taken = new Map();
  for (const [file, text] of files) {
    if (!file.endsWith('.js')) continue;
    for (const { target, names } of [...requires(file, text), ...typesTaken(file, text)]) {
      const before = taken.get(target);
      if (before === null || names === null) taken.set(target, null);
      else taken.set(target, new Set([...(before ?? []), ...names]));
    }
  }
  return [...files].flatMap(([file, text]) => {
    if (!file.startsWith('lib/')) return [];
    const names = taken.has(file) ? taken.get(file) : new Set();
    return names === null
      ? []
      : exportsOf(text)
          .filter((name) => !names?.has(name))
          .map((name) => ({ file, name }));
  });
}

module.exports = { deadExports, javascriptArrows };
