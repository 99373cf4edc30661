'use strict';

// Many ambient transactions at a time, at random (tree.js):
//
//   node test/ambient/torture.js --seconds 60 [--concurrent 1000] [--seed 7] [--ambient off]
//
// Afterwards every row must have been written in its transaction (pg_backend_pid() and txid_current() stand in the row), no row of
// what was undone and no row that came too late may be there, none of what was kept may be missing, and no connection may be in use.
// `--ambient off` shows that this finds mistakes: the calls on the pool run outside then. Exit code 1 when anything is wrong.

const { createPool } = require('../../client.js');
const { numberOf, oneOf, readArguments, seedOf } = require('../chaos/arguments');
const { Random } = require('../chaos/random');
const { startCluster } = require('../support/cluster');
const { loginOf, range, sleep } = require('../support/helpers');
const { Tree, isKept, startWorker, topOf } = require('./tree.js');

const USAGE = 'node test/ambient/torture.js [--seconds 60] [--concurrent 1000] [--seed n] [--ambient on|off]';
const APPLICATION = 'ambient-torture';
/** A thousand transactions share so many connections, so most wait for one; a second one (outside) must come in time. Without `ambient` nested
 * transactions need several, which end their wait. */
const POOL = { poolSize: 48, applicationName: APPLICATION };

/** @typedef {{ seconds: number, concurrent: number, seed: number, ambient: boolean, deepest?: number, longest?: number }} Options */

/**
 * What is wrong with the rows.
 * @param {import('./tree.js').World} world
 * @param {Iterable<{ id: number, pid: number, xid: string }>} rows
 */
function examine({ entries }, rows) {
  const found = { rows: 0, inTheWrongTransaction: 0, ofWhatWasUndone: 0, late: 0, twice: 0, missing: 0 };
  const seen = new Set();
  for (const { id, pid, xid } of rows) {
    found.rows++;
    const { unit, isLate, not } = entries[id];
    if (seen.has(id)) found.twice++;
    seen.add(id);
    if (isLate) found.late++;
    if (!isKept(unit)) found.ofWhatWasUndone++;
    const top = unit && topOf(unit);
    if (top !== undefined && (top.pid !== pid || top.xid !== xid)) found.inTheWrongTransaction++;
    if (not !== undefined && not.xid === xid) found.inTheWrongTransaction++;
  }
  for (const [id, { unit, isWritten }] of entries.entries()) {
    if (isWritten && isKept(unit) && !seen.has(id)) found.missing++;
  }
  return found;
}

/**
 * @param {Options} options
 * @param {(line: string) => void} log
 */
async function torture({ seconds, concurrent, seed, ambient, deepest = 4, longest = 3 }, log) {
  const cluster = await startCluster({ nodes: 1 });
  const options = { ...loginOf(cluster), ...POOL, ambient, acquireTimeoutMs: ambient ? 60_000 : 1_000 };
  const pool = /** @type {any} */ (createPool(/** @type {any} */ (options)));
  /** @type {unknown[]} */
  const errors = [];
  /** @type {import('./tree.js').World} */
  const world = {
    pool,
    table: 'torture',
    ambient,
    deepest,
    longest,
    entries: [],
    late: [],
    unexpected: (error) => void errors.push(error),
    outside: 0,
    counts: {},
    running: {},
  };
  // Node ends a process in which nothing can happen any more, without a word.
  const exited = () => {
    log(`it hangs: ${JSON.stringify(world.running)}`);
    process.exitCode = 1;
  };
  process.once('exit', exited);
  const stopWorker = startWorker();
  try {
    await pool.exec(
      'CREATE TABLE torture (id int, pid int DEFAULT pg_backend_pid(), xid bigint DEFAULT txid_current())',
    );
    const random = new Random(seed);
    const until = performance.now() + seconds * 1000;
    const work = async (/** @type {number} */ number) => {
      let turn = 0;
      do {
        await new Tree(world, random.fork(`${number} ${turn++}`)).run();
      } while (performance.now() < until);
    };
    await Promise.all(range(concurrent).map(work));
    await Promise.all(world.late);
    // The answers to the last statements come before their connections are free.
    for (let tries = 0; pool.status().inUse > 0 && tries < 1_000; tries++) await sleep(1);
    const { inUse, waiting } = pool.status();
    const [{ open }] = await cluster
      .primary()
      .sql(
        `SELECT count(*)::int AS open FROM pg_stat_activity WHERE application_name = '${APPLICATION}' AND state LIKE 'idle in transaction%'`,
      );
    const found = examine(world, await pool.query('SELECT id, pid, xid::text AS xid FROM torture'));
    const wrong = { ...found, rows: 0, inUse, waiting, open, unexpected: errors.length };
    log(`seed ${seed}: ${JSON.stringify(world.counts)}`);
    log(JSON.stringify({ ...wrong, rows: found.rows }));
    for (const error of errors.slice(0, 5)) log(String(/** @type {any} */ (error)?.stack ?? error));
    return { rows: found.rows, counts: world.counts, wrong };
  } finally {
    process.off('exit', exited);
    stopWorker();
    await pool.end({ timeoutMs: 500 });
    await cluster.stop();
  }
}

async function main() {
  const options = readArguments(USAGE, ['seconds', 'concurrent', 'seed', 'ambient'], (values) => ({
    seconds: numberOf('seconds', values.seconds, { usual: 60, least: 0, most: 86_400 }),
    concurrent: numberOf('concurrent', values.concurrent, { usual: 1_000, least: 1, most: 100_000 }),
    seed: seedOf(values.seed),
    ambient: oneOf('ambient', values.ambient, ['on', 'off']) === 'on',
  }));
  const { wrong } = await torture(options, console.log);
  process.exitCode = Object.values(wrong).some((count) => count > 0) ? 1 : 0;
}

if (require.main === module) main();

module.exports = { torture };
