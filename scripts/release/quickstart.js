'use strict';

// The README's quick start as programs of every module style: the text is the README's own, only the options of createPool become
// those of a cluster that is there, and the rows are printed. Beside it: a program that loads the package in every way there is.

const NAME = 'hyperiondb-client';

/** The first block of the README that makes a pool. @param {string} readme */
function quickStart(readme) {
  const blocks = [...readme.matchAll(/^```(?:js|javascript)\n(.*?)^```$/gms)].map(([, text]) => text);
  const block = blocks.find((text) => text.includes(`require('${NAME}')`) && text.includes('createPool('));
  if (block === undefined) throw new Error(`README.md has no quick start: a block of JavaScript that requires ${NAME}`);
  if (!/\bpool\b/.test(block) || !/\brows\b/.test(block)) throw new Error('the quick start has no `pool` or no `rows`');
  return block;
}

/** The code with other options for its createPool. @param {string} code @param {string} options */
function withOptions(code, options) {
  const from = code.indexOf('createPool(', code.indexOf('require(')) + 'createPool('.length;
  let depth = 1;
  let to = from;
  for (; depth > 0; to++) {
    if (to === code.length) throw new Error('the createPool of the quick start does not end');
    depth += { '(': 1, ')': -1 }[code[to]] ?? 0;
  }
  return `${code.slice(0, from)}${options}${code.slice(to - 1)}`;
}

const importing = (/** @type {string} */ code) =>
  code.replaceAll(/const (\{[^}]*\}) = require\(('[^']+')\);/g, 'import $1 from $2;');
const wrapped = (/** @type {string} */ code) => `(async () => {\n${code}\n})();\n`;

/**
 * Programs that print the rows of the quick start as JSON and end.
 *
 * @param {string} readme
 * @returns {Record<'cjs' | 'esm' | 'cts' | 'mts', string>} JavaScript and TypeScript, CommonJS and ES modules
 */
function programs(readme) {
  const body = `${quickStart(readme)}\nconsole.log(JSON.stringify(rows));\nawait pool.end();\n`;
  const login = "JSON.parse(process.env.QUICKSTART_LOGIN ?? '')";
  const js = withOptions(body, login);
  // What is said of types must be known to the compiler, or it has not found them.
  const checks = [
    "import type { PoolOptions } from 'hyperiondb-client';",
    `const login: PoolOptions = ${login};`,
    '// @ts-expect-error no such option',
    "export const wrong: PoolOptions = { host: 'a' };",
    '',
  ].join('\n');
  const ts = importing(withOptions(body, 'login'));
  const [imports, rest] = [/^import .*$/gm, /^(?!import ).*$/gm].map((lines) => (ts.match(lines) ?? []).join('\n'));
  return {
    cjs: wrapped(js),
    esm: importing(js),
    cts: `${imports}\n${checks}${wrapped(rest)}`,
    mts: `${imports}\n${checks}${rest}\n`,
  };
}

/** Imports all names by name, as an ES module has to. @param {string[]} names */
function everyName(names) {
  return `import { ${names.join(', ')} } from '${NAME}';
import all from '${NAME}';
import { createRequire } from 'node:module';
const mine = { ${names.join(', ')} };
const wrong = Object.keys(mine).filter((name) => mine[name] === undefined || mine[name] !== all[name]);
const { name, version } = createRequire(import.meta.url)('${NAME}/package.json');
console.log(JSON.stringify({ wrong, missing: Object.keys(all).filter((name) => !(name in mine)), name, version }));
`;
}

/**
 * The package in the main thread, in worker threads, and as a second and third copy in one process, all at once. \`COPIES\`: the
 * folders to require it from.
 */
const EVERY_WAY = `'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const login = JSON.parse(process.env.QUICKSTART_LOGIN);
const copies = JSON.parse(process.env.COPIES);
const ask = async (folder) => {
  const { createPool } = require(folder);
  const pool = createPool(login);
  try {
    return await pool.value('SELECT name FROM customers WHERE id = $1', [42]);
  } finally {
    await pool.end();
  }
};
const askInWorker = (folder) => new Promise((resolve, reject) => {
  const worker = new Worker(__filename, { workerData: folder });
  worker.once('message', resolve);
  worker.once('error', reject);
});
if (isMainThread) {
  const classes = new Set(copies.map((folder) => require(folder).Pool));
  Promise.all([...copies.map(ask), ...copies.map(askInWorker), ...copies.map(ask)]).then((names) => {
    console.log(JSON.stringify({ names: names.length, different: [...new Set(names)], classes: classes.size }));
  });
} else {
  ask(workerData).then((name) => parentPort.postMessage(name));
}
`;

module.exports = { EVERY_WAY, everyName, NAME, programs };
