'use strict';

// `npm test`: the Rust tests, then the suites in test/ against the embedded PostgreSQL, then the same suites against
// PostgreSQL 15 where Debian's package is installed. `npm run test:chaos`: the suites in test/chaos/ alone.
//
// A cluster named by HYPERION_HOSTS, or binaries named by HYPERION_PG_BIN, are used instead of both. File names after
// the command run just these files. `--seed N` (HYPERION_SEED) repeats the choices of a chaos run.
//
// A run in which a suite prints a password or a private key has failed (leaks.js).

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Leaks } = require('./leaks');

const ROOT = path.join(__dirname, '..');
const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** @param {string} folder */
function suitesIn(folder) {
  const names = fs.readdirSync(path.join(ROOT, folder)).filter((name) => name.endsWith('.test.js'));
  return names.sort().map((name) => path.join(folder, name));
}

/**
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
async function step(title, command, args, env = {}) {
  console.log(`\n== ${title}`);
  const child = spawn(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const watched = /** @type {const} */ (['stdout', 'stderr']).map((name) => {
    const leaks = new Leaks((text) => process[name].write(text));
    child[name].setEncoding('utf8').on('data', (text) => leaks.take(text));
    return { name, leaks };
  });
  const succeeded = await new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(error.message);
      resolve(false);
    });
    child.on('close', (status) => resolve(status === 0));
  });
  for (const { leaks } of watched) leaks.end();
  const found = watched.flatMap(({ name, leaks }) => leaks.found.map((place) => `${name}, ${place}`));
  for (const place of found) console.error(`== Secret printed by '${title}': ${place}`);
  return succeeded && found.length === 0;
}

/** @param {string} title @param {string[]} suites @param {NodeJS.ProcessEnv} [env] */
const suites = (title, suites, env) =>
  step(title, process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...suites], env);

/** What the command line asks for; a mistake in it is told in a line. */
function asked() {
  try {
    const { values, positionals } = parseArgs({ options: { seed: { type: 'string' } }, allowPositionals: true });
    if (values.seed !== undefined && !/^\d+$/.test(values.seed)) {
      throw new Error(`--seed must be an integer from 0, not '${values.seed}'`);
    }
    return { seed: values.seed, words: positionals };
  } catch (error) {
    console.error(/** @type {Error} */ (error).message);
    process.exit(2);
  }
}

const { seed, words } = asked();
if (seed !== undefined) process.env.HYPERION_SEED = seed;
const chaos = words[0] === 'chaos';
const chosen = chaos ? words.slice(1) : words;
const every = chaos ? ['test/chaos'] : ['test', 'test/cluster', 'test/chaos', 'test/patroni'];
const files = chosen.length > 0 ? chosen : every.flatMap(suitesIn);
const { HYPERION_HOSTS, HYPERION_PG_BIN } = process.env;

async function main() {
  const results = [];
  if (!chaos && chosen.length === 0) results.push(await step('Rust', 'cargo', ['test', '--quiet', '--lib']));
  if (HYPERION_HOSTS || HYPERION_PG_BIN) {
    results.push(await suites(`on ${HYPERION_HOSTS ?? HYPERION_PG_BIN}`, files));
  } else {
    results.push(await suites('on the embedded PostgreSQL 18', files));
    if (!chaos && fs.existsSync(DEBIAN_15))
      results.push(await suites('on PostgreSQL 15', files, { HYPERION_PG_BIN: DEBIAN_15 }));
  }
  process.exitCode = results.every(Boolean) ? 0 : 1;
}

main();
