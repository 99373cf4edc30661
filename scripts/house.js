'use strict';

// `npm run lint` runs it: the house as docs/internals/architecture.md draws it. Arrows between the layers of src/ go downwards, no
// files go in a circle, no file is much over 400 lines, and lib/ exports nothing that nobody takes.
//
// house/rust.js and house/javascript.js find out who uses whom, house/graph.js what follows from it, house/rules.js has
// the rules and their exceptions, each with its reason. `node scripts/house.js --arrows` prints the arrows between layers.

const fs = require('node:fs');
const path = require('node:path');
const { check, reaches } = require('./house/graph.js');
const { javascriptArrows, deadExports } = require('./house/javascript.js');
const { LAYERS, rustArrows } = require('./house/rust.js');
const RULES = require('./house/rules.js');

/** @typedef {import('./house/graph.js').Arrow} Arrow */

/** Every file below these folders, with its text. @param {string} root @param {readonly string[]} folders */
function readTree(root, folders) {
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const folder of folders) {
    if (!fs.existsSync(path.join(root, folder))) continue;
    for (const name of fs.readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })) {
      const file = path.posix.join(folder, name.split(path.sep).join('/'));
      if (/\.(rs|[cm]?js)$/.test(file) && !/(^|\/)node_modules\//.test(file)) {
        files.set(file, fs.readFileSync(path.join(root, file), 'utf8'));
      }
    }
  }
  for (const name of ['client.js']) {
    if (fs.existsSync(path.join(root, name))) files.set(name, fs.readFileSync(path.join(root, name), 'utf8'));
  }
  return files;
}

/**
 * What is wrong with the house, and how much was looked at.
 * @param {Map<string, string>} files
 * @param {typeof RULES} rules
 */
function inspect(files, rules) {
  const rust = rustArrows(files);
  const javascript = javascriptArrows(files);
  const problems = [
    ...check(rust, LAYERS, rules.circles),
    ...check(javascript, null, rules.circles),
    ...deadExports(files).map(({ file, name }) => `${file} exports ${name}, which nobody takes`),
    ...tooLong(files, rules),
    ...stale([...rust, ...javascript], files, rules),
  ];
  return { problems, rust, javascript };
}

/** @param {Map<string, string>} files @param {typeof RULES} rules */
function tooLong(files, { limit, lengths }) {
  const problems = [];
  for (const [file, text] of files) {
    const lines = text.split('\n').length - 1;
    const most = lengths[file] ?? limit;
    if (lines > most) problems.push(`${file} has ${lines} lines; ${most} are its limit: two subjects, two files`);
    else if (file in lengths && lines <= limit) {
      problems.push(`${file} has only ${lines} lines: take it out of the exceptions in scripts/house/rules.js`);
    }
  }
  return problems;
}

/** Exceptions that are needed no more. @param {Arrow[]} arrows @param {Map<string, string>} files @param {typeof RULES} rules */
function stale(arrows, files, { circles, lengths }) {
  const gone = Object.keys(lengths).filter((file) => !files.has(file));
  const healed = circles.filter(
    ({ from, to }) => !arrows.some((arrow) => arrow.from === from && arrow.to === to) || !reaches(arrows, to, from),
  );
  return [
    ...gone.map((file) => `${file} is an exception in scripts/house/rules.js, and there is no such file`),
    ...healed.map(({ from, to }) => `${from} -> ${to} is an exception in scripts/house/rules.js, and makes no circle`),
  ];
}

function main() {
  const files = readTree(path.join(__dirname, '..'), ['src', 'lib', 'scripts', 'test', 'bench']);
  const { problems, rust, javascript } = inspect(files, RULES);
  if (process.argv.includes('--arrows')) {
    const between = new Set(rust.map(({ fromLayer, toLayer }) => `${fromLayer} -> ${toLayer}`));
    for (const arrow of [...between].sort()) console.log(arrow);
  }
  for (const problem of problems) console.error(`house: ${problem}`);
  console.log(
    `house: ${files.size} files, ${rust.length} uses in src/, ${javascript.length} in lib/: ` +
      (problems.length === 0 ? 'all is well' : `${problems.length} problems`),
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (require.main === module) main();

module.exports = { inspect };
