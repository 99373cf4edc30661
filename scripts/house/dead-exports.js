'use strict';

// What lib/ and exports/ export, some file requires. Tests, benchmarks and scripts count. exports/<name>/index.js is for users.

const { code, requires, typeImports } = require('./javascript.js');

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
  /** The names that are required of each file; null: all of them. @type {Map<string, Set<string> | null>} */
  const required = new Map();
  for (const [file, text] of files) {
    if (!file.endsWith('.js')) continue;
    for (const { target, names } of [...requires(file, text), ...typeImports(file, text)]) {
      const before = required.get(target);
      if (before === null || names === null) required.set(target, null);
      else required.set(target, new Set([...(before ?? []), ...names]));
    }
  }
  return [...files].flatMap(([file, text]) => {
    if (!/^(lib|exports)\//.test(file) || /^exports\/[^/]+\/index\.js$/.test(file)) return [];
    const names = required.has(file) ? required.get(file) : new Set();
    if (names === null) return [];
    return exportsOf(text)
      .filter((name) => !names?.has(name))
      .map((name) => `${file} exports ${name}, which no file requires`);
  });
}

module.exports = { deadExports };
