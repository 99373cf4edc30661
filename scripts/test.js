'use strict';

// `npm test`: the Rust tests, then the quick rooms (QUICK in scripts/test/rooms.js, without LONG) against the embedded PostgreSQL 18.
// `npm run test:full`: all rooms, against the embedded PostgreSQL 18 and against Debian's 15 where that is installed;
// with `--rest` without what `npm test` has run. Tests at random make ten times as many choices (HYPERION_FULL).
// `npm test -- fence`: the files with `fence` in their name, in any room. Several names, rooms and paths can be given.
//
// A cluster named by HYPERION_HOSTS, or binaries named by HYPERION_PG_BIN, are used instead of both. `--seed N`
// (HYPERION_SEED) repeats the choices of a chaos run. A run in which a file prints a password or a private key has failed
// (leaks.js).

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { ROOMS, ROOT, filesNamedByAll, filesOf, quickFiles } = require('./test/rooms');
const { runFiles } = require('./test/run-files');

const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** @typedef {{ title: string, files: string[], env?: NodeJS.ProcessEnv, jobs?: number }} Step */

/** The arguments of the command line; a mistake in them is printed in one line. */
function asked() {
  try {
    const { values, positionals } = parseArgs({
      options: { seed: { type: 'string' }, full: { type: 'boolean' }, rest: { type: 'boolean' } },
      allowPositionals: true,
    });
    if (values.seed !== undefined && !/^\d+$/.test(values.seed)) {
      throw new Error(`--seed must be an integer from 0, not '${values.seed}'`);
    }
    if (values.rest && !values.full) throw new Error('--rest goes with npm run test:full');
    return { ...values, files: positionals.length > 0 ? filesNamedByAll(positionals) : undefined };
  } catch (error) {
    console.error(/** @type {Error} */ (error).message);
    process.exit(2);
  }
}

const { seed, full, rest, files } = asked();
if (seed !== undefined) process.env.HYPERION_SEED = seed;
if (full) process.env.HYPERION_FULL = '1';
const { HYPERION_HOSTS, HYPERION_PG_BIN } = process.env;

/** @returns {Step[]} */
function steps() {
  const all = files ?? (full ? filesOf(ROOMS) : quickFiles());
  if (HYPERION_HOSTS) return [{ title: `on ${HYPERION_HOSTS}`, files: all, jobs: 1 }];
  if (HYPERION_PG_BIN) return [{ title: `on ${HYPERION_PG_BIN}`, files: all }];
  const on18 = rest && files === undefined ? all.filter((file) => !quickFiles().includes(file)) : all;
  /** @type {Step[]} */
  const found = [{ title: 'on the embedded PostgreSQL 18', files: on18 }];
  if (full && fs.existsSync(DEBIAN_15)) {
    found.push({ title: "on Debian's PostgreSQL 15", files: all, env: { HYPERION_PG_BIN: DEBIAN_15 } });
  }
  return found;
}

/** The Rust tests; their own summary is their line of progress. */
function rust() {
  console.log('\n== Rust');
  return spawnSync('cargo', ['test', '--quiet', '--lib'], { cwd: ROOT, stdio: 'inherit' }).status === 0;
}

async function main() {
  const started = performance.now();
  const rustFailed = files === undefined && !rest && !rust();
  const total = { pass: 0, fail: Number(rustFailed), skipped: 0 };
  for (const { title, files, env = {}, jobs } of steps()) {
    console.log(`\n== ${files.length} files ${title}`);
    for (const result of await runFiles(files, env, jobs)) {
      total.pass += result.pass;
      total.fail += result.fail;
      total.skipped += result.skipped;
    }
  }
  const minutes = (performance.now() - started) / 60_000;
  console.log(`\n${minutes.toFixed(1)} minutes${rustFailed ? '; the Rust tests failed' : ''}`);
  console.log(`${total.pass} passed, ${total.fail} failed, ${total.skipped} skipped`);
  process.exitCode = total.fail === 0 ? 0 : 1;
}

main();
