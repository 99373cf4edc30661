'use strict';

// `npm test`: the Rust tests, then the suites in test/ against the embedded PostgreSQL, then the same suites against
// PostgreSQL 15 where Debian's package is installed. `npm run test:chaos`: the suites in test/chaos/ alone.
//
// A cluster named by HYPERION_HOSTS, or binaries named by HYPERION_PG_BIN, are used instead of both. File names after
// the command run just these files. `--seed N` (HYPERION_SEED) repeats the choices of a chaos run.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

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
function step(title, command, args, env = {}) {
  console.log(`\n== ${title}`);
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } });
  return status === 0;
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
const results = [];
if (!chaos && chosen.length === 0) results.push(step('Rust', 'cargo', ['test', '--quiet', '--lib']));
if (HYPERION_HOSTS || HYPERION_PG_BIN) {
  results.push(suites(`on ${HYPERION_HOSTS ?? HYPERION_PG_BIN}`, files));
} else {
  results.push(suites('on the embedded PostgreSQL 18', files));
  if (!chaos && fs.existsSync(DEBIAN_15))
    results.push(suites('on PostgreSQL 15', files, { HYPERION_PG_BIN: DEBIAN_15 }));
}
process.exit(results.every(Boolean) ? 0 : 1);
