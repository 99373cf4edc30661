'use strict';

// The runtimes that tests run programs in: Bun, Deno and every supported Node, in the versions of package-lock.json in this
// folder. They are installed under target/ when they are first needed: they have 700 MB, and most people who clone the
// repository never need them. Their packages are plain binaries, so no install script runs.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { suffixOf, thisMachine } = require('../../../lib/core/binding.js');
const { NotAvailableError, Packages } = require('../packages.js');

const packages = new Packages(__dirname, 'runtimes');

/** The program of each runtime in its package, by the machine's name as the packages have it. @type {Record<string, Record<string, string>>} */
const PROGRAMS = {
  'linux-x64-gnu': {
    bun: '@oven/bun-linux-x64/bin/bun',
    deno: '@deno/linux-x64-glibc/deno',
    ...nodes('linux-x64'),
  },
  'linux-arm64-gnu': {
    bun: '@oven/bun-linux-aarch64/bin/bun',
    deno: '@deno/linux-arm64-glibc/deno',
    ...nodes('linux-arm64'),
  },
};

/** @param {string} machine */
function nodes(machine) {
  return Object.fromEntries(['20', '22', '24'].map((major) => [`node-${major}`, `node-${major}-${machine}/bin/node`]));
}

/** The program of a runtime, installed or not. @param {string} runtime */
function placeOf(runtime) {
  const machine = suffixOf(thisMachine());
  const programs = PROGRAMS[machine];
  if (programs === undefined) {
    throw new NotAvailableError(
      `${runtime} is there for ${Object.keys(PROGRAMS).join(', ')} only, and this is ${machine}`,
    );
  }
  if (!(runtime in programs)) {
    throw new NotAvailableError(
      `${runtime} is none of ${Object.keys(programs).join(', ')} (${__dirname}/package.json)`,
    );
  }
  return path.join(packages.folder, 'node_modules', programs[runtime]);
}

/**
 * The program of a runtime, which is installed first where it is missing. A machine for which no runtimes are installed has
 * the Node that runs this.
 * @param {string} runtime 'bun', 'deno', 'node-22'
 * @returns {Promise<string>}
 */
async function programOf(runtime) {
  const own = `node-${process.versions.node.split('.')[0]}`;
  if (runtime === own && PROGRAMS[suffixOf(thisMachine())] === undefined) return process.execPath;
  const program = placeOf(runtime);
  await packages.install(() => fs.existsSync(program));
  try {
    execFileSync(program, ['--version'], { stdio: 'pipe' });
  } catch (error) {
    // npm passes over an optional package that it cannot fetch.
    const why = fs.existsSync(program) ? /** @type {Error} */ (error).message : 'the npm registry did not give it';
    throw new NotAvailableError(`${runtime} cannot run here: ${why}`);
  }
  return program;
}

module.exports = { programOf };
