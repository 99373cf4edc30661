'use strict';

// A file that a comment names exists: comments are not found by a rename. Names of other projects' files (PostgreSQL's
// src/backend/...) are not looked at: they end in .c or .h.

const { COMMENT } = require('./javascript.js');

const RUST_COMMENT = /r#"[\s\S]*?"#|b?'(?:\\.|[^'\\\n])'|"(?:\\[\s\S]|[^"\\])*"|(?<comment>\/\/.*|\/\*[\s\S]*?\*\/)/g;

/** A path from the root, with what makes a pattern of it. */
const PATH = /(?<![\w./@-])(?:src|lib|exports|test|docs|scripts|bench|fuzz)\/[\w./*{}<>-]*/g;

/** Whether a comment means one file of this repository, not a pattern or a folder. @param {string} name */
const isFile = (name) => !/[*{}<>]/.test(name) && /\.(rs|[cm]?js|ts|md|json|toml|ya?ml|sh|sql)$/.test(name);

/**
 * @param {Map<string, string>} files
 * @param {Set<string>} names of the files that exist
 */
function missingFiles(files, names) {
  const problems = [];
  for (const [file, text] of files) {
    for (const { groups, index } of text.matchAll(file.endsWith('.rs') ? RUST_COMMENT : COMMENT)) {
      const comment = groups?.comment ?? '';
      for (const found of comment.matchAll(PATH)) {
        const name = found[0].replace(/\.+$/, '');
        if (!isFile(name) || names.has(name)) continue;
        const line = text.slice(0, index + found.index).split('\n').length;
        problems.push(`${file}:${line} names ${name}, and there is no such file`);
      }
    }
  }
  return problems;
}

module.exports = { missingFiles };
