'use strict';

// A read right after a write that it has to see: how long it takes on a standby with `after`, or in a session, beside the primary. The
// read without a token is the bound from below, and shows how often a standby does not have the write yet.
//
// An operation is a write and a read of the same row; only the read counts. Operations follow one another without a pause, which is
// the worst case: a person who comes back to a page gives replication more time.

const { createPool } = require('../../client.js');
const { aligned, short } = require('../report.js');
const { ITEMS } = require('../tables.js');
const { alternate, ascending, medianOf, percent, quantile, ratioOf } = require('./alternation.js');

/** @typedef {import('./types').ConsistencyWay} Measured */
/** @typedef {import('./types').ConsistencyRound} Round */
/** @typedef {ReturnType<typeof createPool>} Pool */
/** @typedef {{ readonly node: string, readonly [index: number]: object }} Rows */
/** @typedef {{ readMs: number, writeMs: number, rows: Rows }} Done */
/** @typedef {{ reads: number[], writes: number[], byPrimary: number, stale: number }} Turn */

const WRITE = 'UPDATE hyperion_bench_account SET balance = $1 WHERE id = $2';
const READ = 'SELECT balance FROM hyperion_bench_account WHERE id = $1';

/** Operations at a time. */
const IN_FLIGHT = [1, 16];
const WARMUP_SECONDS = 0.3;

/** The way that the others are compared with. */
const BASE = 'query, primary';
/** The way that promises nothing. */
const BLIND = 'read, no token';

/**
 * @param {() => PromiseLike<any>} write
 * @param {(written: any) => PromiseLike<any>} read
 * @returns {Promise<Done>}
 */
async function timed(write, read) {
  const begun = performance.now();
  const written = await write();
  const between = performance.now();
  const rows = await read(written);
  return { readMs: performance.now() - between, writeMs: between - begun, rows };
}

/** @type {Record<string, (pool: Pool, value: bigint, id: number) => Promise<Done>>} */
const WAYS = {
  [BASE]: (pool, value, id) =>
    timed(
      () => pool.query(WRITE, [value, id]),
      () => pool.query(READ, [id]),
    ),
  'read, after': (pool, value, id) =>
    timed(
      () => pool.query(WRITE, [value, id], { token: true }),
      ({ token }) => pool.read(READ, [id], { after: token }),
    ),
  'read, session': (pool, value, id) =>
    pool.session(() =>
      timed(
        () => pool.query(WRITE, [value, id]),
        () => pool.read(READ, [id]),
      ),
    ),
  [BLIND]: (pool, value, id) =>
    timed(
      () => pool.query(WRITE, [value, id]),
      () => pool.read(READ, [id]),
    ),
};

/** Each value is written once. */
let lastValue = 0n;

/**
 * Runs operations for a time, so many at once; each has rows of its own.
 * @param {(value: bigint, id: number) => Promise<Done>} operation
 * @param {string} primary
 * @param {{ inFlight: number, seconds: number }} how
 */
async function operate(operation, primary, { inFlight, seconds }) {
  /** @type {Turn} */
  const turn = { reads: [], writes: [], byPrimary: 0, stale: 0 };
  const rowsOfEach = Math.floor(ITEMS / inFlight);
  const end = performance.now() + seconds * 1000;
  const worker = async (/** @type {number} */ index) => {
    for (let n = 0; performance.now() < end; n++) {
      const value = ++lastValue;
      const { readMs, writeMs, rows } = await operation(value, 1 + index * rowsOfEach + (n % rowsOfEach));
      turn.reads.push(readMs);
      turn.writes.push(writeMs);
      if (rows.node === primary) turn.byPrimary++;
      if (/** @type {any} */ (rows[0]).balance !== value) turn.stale++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, index) => worker(index)));
  return turn;
}

/**
 * @param {import('./types').Opening} opening
 * @param {import('./types').Time} time
 * @returns {Promise<Round>}
 */
async function execute({ hosts, user, password, database }, { turns, seconds }) {
  const pool = createPool({ hosts, user, password, database, ssl: false });
  try {
    /** @type {Round} */
    const round = {};
    for (const inFlight of IN_FLIGHT) {
      const run = (/** @type {string} */ way, /** @type {number} */ time) =>
        operate((value, id) => WAYS[way](pool, value, id), hosts[0], { inFlight, seconds: time });
      for (const way of Object.keys(WAYS)) await run(way, WARMUP_SECONDS);
      const measured = await alternate(Object.keys(WAYS), turns, (way) => run(way, seconds));
      round[inFlight] = Object.fromEntries(
        Object.keys(WAYS).map((way) => [
          way,
          together(
            way,
            measured.map(({ [way]: turn }) => turn),
          ),
        ]),
      );
    }
    return round;
  } finally {
    await pool.end();
  }
}

/** All turns of a way in a round. @param {string} way @param {Turn[]} turns @returns {Measured} */
function together(way, turns) {
  const reads = ascending(turns.flatMap((turn) => turn.reads));
  const sum = (/** @type {'byPrimary' | 'stale'} */ name) => turns.reduce((total, turn) => total + turn[name], 0);
  const stale = sum('stale');
  if (stale > 0 && way !== BLIND) throw new Error(`${way}: ${stale} of ${reads.length} reads did not see their write`);
  return {
    reads: reads.length,
    p50Ms: quantile(reads, 0.5),
    p99Ms: quantile(reads, 0.99),
    byPrimary: sum('byPrimary') / reads.length,
    stale: stale / reads.length,
    writeP50Ms: medianOf(turns.flatMap((turn) => turn.writes)),
  };
}

/** @param {Round[]} rounds */
function report(rounds) {
  return IN_FLIGHT.flatMap((inFlight) => [
    `${inFlight} in flight`,
    ...tableOf(rounds.map(({ [inFlight]: ways }) => ways)),
    '',
  ]).concat([
    `Latency of the read. Medians of all rounds; x: against ${BASE}, round by round (least..greatest).`,
    'by primary: reads that it answered; stale: reads that did not see the write before them; write: its p50.',
  ]);
}

/** @param {Record<string, Measured>[]} rounds */
function tableOf(rounds) {
  return aligned([
    ['', 'p50 ms', 'x', 'p99 ms', 'x', 'by primary', 'stale', 'write ms', 'reads'],
    ...Object.keys(WAYS).map((way) => {
      const median = (/** @type {(measured: Measured) => number} */ figure) =>
        medianOf(rounds.map(({ [way]: measured }) => figure(measured)));
      const ratio = (/** @type {'p50Ms' | 'p99Ms'} */ name) =>
        way === BASE ? '' : ratioOf(rounds.map(({ [way]: measured, [BASE]: base }) => measured[name] / base[name]));
      return [
        way,
        short(median(({ p50Ms }) => p50Ms)),
        ratio('p50Ms'),
        short(median(({ p99Ms }) => p99Ms)),
        ratio('p99Ms'),
        percent(median(({ byPrimary }) => byPrimary)),
        percent(median(({ stale }) => stale)),
        short(median(({ writeP50Ms }) => writeP50Ms)),
        String(rounds.reduce((sum, { [way]: measured }) => sum + measured.reads, 0)),
      ];
    }),
  ]);
}

/** @type {import('./types').Part<Round>} */
module.exports = {
  id: 'consistency',
  title: 'consistency: a read right after a write',
  seconds: 0.5,
  execute,
  report,
};
