'use strict';

// Runs a js block of docs/orms.md as a program, with the packages that orms.docs.test.js has installed.

const assert = require('node:assert/strict');
const { promisify } = require('node:util');
const { load } = require('./program.js');

const { text, note } = JSON.parse(process.argv[2]);

/** What a block requires: ours by its public name, else a library. @param {string} name */
function requireHere(name) {
  if (name === '@prisma/client') return require('./prisma/generate.js').prismaClient();
  return name.startsWith('hyperiondb-client') ? require(name) : load(name);
}

async function main() {
  const names = { assert, promisify, require: requireHere, app: { use() {} } };
  const AsyncFunction = /** @type {any} */ (async () => {}).constructor;
  const code = text.replace(/^import (\{[^}]*\}|\w+) from ('[^']*');?$/gm, 'const $1 = require($2);');
  await new AsyncFunction(...Object.keys(names), `'use strict';\n${code}\n;${note ?? ''}`)(...Object.values(names));
}

main();
