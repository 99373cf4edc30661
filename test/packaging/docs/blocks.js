'use strict';

// The code blocks of the documentation: the place and the language of each, and what its test does beside running it. That is
// said in a comment directly above the block, which readers do not see:
//
//   <!-- test: JavaScript that runs after a js block, in its scope -->
//   <!-- test: output of COMMAND -->      above a block without a language

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..', '..', '..');

/** @typedef {{ file: string, line: number, language: string, text: string, note: string | null }} Block */

/** All documents, found by their folder. */
function documents() {
  const folders = ['docs', 'docs/internals'];
  const pages = folders.flatMap((folder) =>
    fs
      .readdirSync(path.join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  );
  return [
    'README.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'fuzz/README.md',
    'examples/lambda/README.md',
    'examples/shop/README.md',
    ...pages,
  ];
}

/** @param {string} file @param {string} text @returns {Block[]} */
function blocksOf(file, text) {
  /** @type {Block[]} */
  const blocks = [];
  const lines = text.split('\n');
  let note = null;
  for (let index = 0; index < lines.length; index++) {
    const fence = /^( *)(```+|~~~+)(.*)$/.exec(lines[index]);
    if (fence === null) {
      if (/^( {4}|\t)\S/.test(lines[index]) && (lines[index - 1] ?? '').trim() === '') {
        throw new Error(`${file}:${index + 1} looks like a block without a fence, which nothing would test`);
      }
      const [, said = null] = /^ *<!-- test: (.*) -->$/.exec(lines[index]) ?? [];
      if (lines[index].trim() !== '') note = said;
      continue;
    }
    const [, indent, mark, language] = fence;
    const end = lines.findIndex((line, at) => at > index && line.trim() === mark);
    if (end === -1) throw new Error(`${file}:${index + 1} begins a block that never ends`);
    const inside = lines.slice(index + 1, end).map((line) => line.slice(indent.length));
    blocks.push({ file, line: index + 1, language: language.trim(), text: inside.join('\n'), note });
    note = null;
    index = end;
  }
  return blocks;
}

/** @returns {Block[]} */
const allBlocks = () => documents().flatMap((file) => blocksOf(file, fs.readFileSync(path.join(ROOT, file), 'utf8')));

module.exports = { ROOT, allBlocks, blocksOf, documents };
