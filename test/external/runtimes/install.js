'use strict';

// The runtimes that tests run programs in: Bun, Deno and every supported Node, in the versions of package-lock.json in this
// folder. They are installed under target/ when they are first needed: they have 700 MB, and most people who clone the
// repository never need them. Their packages are plain binaries, so no install script runs.

const { execFile, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { suffixOf, thisMachine } = require('../../../lib/core/binding.js');
const { npmProgram, ROOT } = require('../../../scripts/release/stage.js');

const FOLDER = path.join(ROOT, 'target', 'runtimes');
const MANIFESTS = ['package.json', 'package-lock.json'];
const INSTALL = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1'];

/** A runtime that cannot be had here; the message says why. */
class NoRuntimeError extends Error {}

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
    throw new NoRuntimeError(
      `${runtime} is there for ${Object.keys(PROGRAMS).join(', ')} only, and this is ${machine}`,
    );
  }
  if (!(runtime in programs)) {
    throw new NoRuntimeError(`${runtime} is none of ${Object.keys(programs).join(', ')} (${__dirname}/package.json)`);
  }
  return path.join(FOLDER, 'node_modules', programs[runtime]);
}

/** The texts that say what is to be installed. @param {string} folder */
const manifestsIn = (folder) =>
  MANIFESTS.map((name) => path.join(folder, name))
    .map((file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''))
    .join('\n');

/** Installs all runtimes anew: in a folder of its own that is renamed, because several processes may do so at once. */
async function install() {
  const draft = `${FOLDER}-${process.pid}`;
  fs.mkdirSync(draft, { recursive: true });
  try {
    for (const name of MANIFESTS) fs.copyFileSync(path.join(__dirname, name), path.join(draft, name));
    await npmInstall(draft);
    fs.rmSync(FOLDER, { recursive: true, force: true });
    fs.renameSync(draft, FOLDER);
  } catch (error) {
    // ENOTEMPTY: another process was faster.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOTEMPTY') throw error;
  } finally {
    fs.rmSync(draft, { recursive: true, force: true });
  }
}

/** @param {string} folder */
async function npmInstall(folder) {
  try {
    await promisify(execFile)(process.execPath, [npmProgram(), ...INSTALL], { cwd: folder });
  } catch (error) {
    const { stderr, message } = /** @type {Error & { stderr?: string }} */ (error);
    const why = /npm (?:error|ERR!) (?:code )?(.*)/.exec(stderr ?? '')?.[1] ?? message;
    throw new NoRuntimeError(`the runtimes could not be had from the npm registry: ${why}`);
  }
}

/** Tried once: where the registry does not answer, each try takes long. @type {Promise<void> | undefined} */
let installing;

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
  if (!fs.existsSync(program) || manifestsIn(FOLDER) !== manifestsIn(__dirname)) {
    installing ??= install();
    await installing;
  }
  try {
    execFileSync(program, ['--version'], { stdio: 'pipe' });
  } catch (error) {
    // npm passes over an optional package that it cannot fetch.
    const why = fs.existsSync(program) ? /** @type {Error} */ (error).message : 'the npm registry did not give it';
    throw new NoRuntimeError(`${runtime} cannot run here: ${why}`);
  }
  return program;
}

module.exports = { NoRuntimeError, programOf };
