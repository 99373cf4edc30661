'use strict';

// Which file of src/ uses which, by its paths: `crate::`, `super::` and `self::`, in `use` and elsewhere. A use of a name that a
// module re-exports (`pub(crate) use view::Observation`) is a use of the file that declares the name. `mod x;` is no use of x.
// Tests may use anything.

/** From the top down; each uses only what stands below it. A folder or a file of src/. */
const LAYERS = ['binding', 'query', 'pool', 'cluster', 'connection', 'protocol', 'codec', 'engine', 'error'];

/** @typedef {import('./graph.js').Arrow} Arrow */
/** @typedef {{ path: string[], line: number, reexported: string | null }} Use `reexported`: the name under which the module re-exports it */

/** `src/connection/tls/verify.rs` is `connection::tls::verify`. @param {string} file */
function moduleOf(file) {
  const parts = file
    .replace(/^src\//, '')
    .replace(/\.rs$/, '')
    .split('/');
  return parts[parts.length - 1] === 'mod' ? parts.slice(0, -1) : parts;
}

/** @param {string} file */
const isSource = (file) => /^src\/.*\.rs$/.test(file) && !/(^src\/lib\.rs$|\/tests(\/|\.rs$))/.test(file);

/** The text without comments, strings and its module of tests; the lines stay where they are. @param {string} text */
function code(text) {
  const bare = text.replace(
    /r#"[\s\S]*?"#|b?'(?:\\.|[^'\\\n])'|"(?:\\[\s\S]|[^"\\])*"|\/\/.*|\/\*[\s\S]*?\*\//g,
    (found) => found.replace(/[^\n]/g, ' '),
  );
  const tests = bare.search(/#\[cfg\(test\)\]\s*mod \w+ \{/);
  return tests === -1 ? bare : bare.slice(0, tests);
}

/** `a::{b, c::{d as e}}` as paths, each with the name by which it is known afterwards. @param {string} tree @returns {{ path: string[], name: string }[]} */
function unfold(tree) {
  const text = tree.trim();
  const open = text.indexOf('{');
  if (open === -1) {
    const [whole, name] = text.split(/\s+as\s+/);
    const path = whole.split('::').filter(Boolean);
    return [{ path, name: name ?? path[path.length - 1] }];
  }
  const ahead = text.slice(0, open).split('::').filter(Boolean);
  return parts(text.slice(open + 1, text.lastIndexOf('}')))
    .flatMap(unfold)
    .map(({ path, name }) => ({
      path: [...ahead, ...path.filter((part) => part !== 'self')],
      name: name === 'self' ? ahead[ahead.length - 1] : name,
    }));
}

/** At the commas that are in no inner braces. @param {string} text */
function parts(text) {
  const found = [''];
  let depth = 0;
  for (const char of text) {
    if (char === '{') depth++;
    if (char === '}') depth--;
    if (char === ',' && depth === 0) found.push('');
    else found[found.length - 1] += char;
  }
  return found.map((part) => part.trim()).filter(Boolean);
}

/** @param {string} text @returns {Use[]} */
function usesOf(text) {
  const bare = code(text);
  const children = [...bare.matchAll(/^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);/gm)].map(([, name]) => name);
  const lineAt = (/** @type {number} */ index) => bare.slice(0, index).split('\n').length;
  /** @type {Use[]} */
  const uses = [];
  const rest = bare.replace(/(pub(?:\([^)]*\))? )?\buse ([^;]+);/g, (whole, reexported, tree, index) => {
    for (const { path, name } of unfold(tree)) {
      // A module names its own children without a prefix.
      const full = children.includes(path[0]) ? ['self', ...path] : path;
      uses.push({ path: full, line: lineAt(index), reexported: reexported ? name : null });
    }
    return whole.replace(/[^\n]/g, ' ');
  });
  const bareChild = children.length > 0 ? `|(?<![\\w:])(?:${children.join('|')})(?=::)` : '';
  for (const found of rest.matchAll(new RegExp(`(?<![\\w:])(?:crate|super|self)(?:::\\w+)+${bareChild}`, 'g'))) {
    const path = found[0].split('::');
    uses.push({
      path: children.includes(path[0]) ? ['self', ...path] : path,
      line: lineAt(found.index),
      reexported: null,
    });
  }
  return uses;
}

/** A path from the crate's root; null when it leads out of the crate. @param {string[]} path @param {string[]} here */
function absolute([first, ...rest], here) {
  if (first === 'crate') return rest;
  if (first === 'self') return [...here, ...rest];
  if (first !== 'super') return null;
  let base = here.slice(0, -1);
  while (rest[0] === 'super') [base, rest] = [base.slice(0, -1), rest.slice(1)];
  return [...base, ...rest];
}

/** @param {Map<string, string>} files @returns {Arrow[]} */
function rustArrows(files) {
  /** @type {Map<string, { file: string, uses: Use[] }>} */
  const modules = new Map();
  for (const [file, text] of files) {
    if (isSource(file)) modules.set(moduleOf(file).join('::'), { file, uses: usesOf(text) });
  }
  /** The module that declares what a path names. @param {string[]} path @param {number} [depth] @returns {string | null} */
  const home = (path, depth = 0) => {
    let length = path.length;
    while (length > 0 && !modules.has(path.slice(0, length).join('::'))) length--;
    if (length === 0) return null;
    const owner = path.slice(0, length).join('::');
    const reexport = modules
      .get(owner)
      ?.uses.find(({ reexported }) => reexported !== null && reexported === path[length]);
    const further = reexport === undefined || depth > 8 ? null : absolute(reexport.path, owner.split('::'));
    return (further && home(further, depth + 1)) ?? owner;
  };
  /** @type {Map<string, Arrow>} */
  const arrows = new Map();
  for (const [name, { file, uses }] of modules) {
    for (const { path, line, reexported } of uses) {
      const full = absolute(path, name.split('::'));
      const target = full === null ? null : home(full);
      const to = target === null ? undefined : modules.get(target)?.file;
      // A module that re-exports a name of its child does not use it.
      if (to === undefined || to === file || (reexported !== null && target?.startsWith(`${name}::`))) continue;
      const arrow = { from: file, to, fromLayer: name.split('::')[0], toLayer: (target ?? '').split('::')[0], line };
      if (!arrows.has(`${file} ${to}`)) arrows.set(`${file} ${to}`, arrow);
    }
  }
  return [...arrows.values()];
}

module.exports = { LAYERS, code, isSource, rustArrows };
