'use strict';

// Standbys that are behind, and what the tests of consistency tokens say of nodes and tokens.
//
// A standby falls behind by pausing its replay: it still receives the WAL, so that commits need not wait, and what it shows stands
// still until replay goes on. With both standbys paused a read that does not wait for its token is answered at once, by the state
// from before the write; one that waits stays pending until `resume`. So no test depends on how long anything takes.

const { until } = require('../support/helpers');

/** @typedef {import('../support/cluster').Node} Node */
/** @typedef {{ cluster: import('../support/cluster').Cluster }} Database */

/** A limit of waiting that no test reaches: a read that has waited for it hangs its test. */
const ENDLESS_MS = 600_000;

/** Resolves when the standby applies no more records. @param {Node} standby */
async function pause(standby) {
  await standby.sql('SELECT pg_wal_replay_pause()');
  await until(`${standby.name} has paused`, async () => {
    const [{ state }] = await standby.sql('SELECT pg_get_wal_replay_pause_state() AS state');
    return state === 'paused';
  });
}

/** @param {Node} standby */
const resume = (standby) => standby.sql('SELECT pg_wal_replay_resume()');

/**
 * Runs `body` while standbys do not replay. Afterwards they do again, whatever `body` has done.
 * @template T
 * @param {readonly Node[]} standbys
 * @param {() => Promise<T>} body
 */
async function whilePaused(standbys, body) {
  try {
    await Promise.all(standbys.map(pause));
    return await body();
  } finally {
    await Promise.all(standbys.map(resume));
  }
}

/** Makes a standby apply commits so much later than they were made. @param {Node} standby @param {number} ms 0: not later */
async function delayBy(standby, ms) {
  await standby.sql(`ALTER SYSTEM SET recovery_min_apply_delay = ${ms}`);
  await standby.sql('SELECT pg_reload_conf()');
  await until(`${standby.name} has a delay of ${ms} ms`, async () => {
    const [{ delay }] = await standby.sql(
      "SELECT setting::int AS delay FROM pg_settings WHERE name = 'recovery_min_apply_delay'",
    );
    return delay === ms;
  });
}

/** Resolves when the pool knows that all standbys are fit. @param {any} pool @param {Database} db */
async function untilAllFit(pool, { cluster }) {
  const expected = cluster.standbys().length;
  await until('the pool knows all standbys', () => {
    const fit = pool.nodes().filter((/** @type {any} */ { role, fit }) => role === 'standby' && fit);
    return fit.length === expected;
  });
}

/** `host:port` of the standbys. @param {Database} db */
const standbysOf = ({ cluster }) => cluster.standbys().map(({ address }) => address);

/** The parts of a token. @param {string} token */
function partsOf(token) {
  const [system, timeline, lsn] = token.split('-').map((part) => BigInt(`0x${part}`));
  return { system, timeline, lsn };
}

/**
 * The token with other parts.
 * @param {string} token
 * @param {Partial<ReturnType<typeof partsOf>>} other
 */
function changed(token, other) {
  const { system, timeline, lsn } = { ...partsOf(token), ...other };
  return [system, timeline, lsn].map((part) => part.toString(16)).join('-');
}

/** `16/B374D848` as a number. @param {string} text */
function lsnOf(text) {
  const [high, low] = text.split('/').map((part) => BigInt(`0x${part}`));
  return (high << 32n) | low;
}

/** Settings with which the log of a server has every statement. */
const LOGGED = { log_min_duration_statement: 0 };

/**
 * The statements in the log of a node, from `since` on, that the sessions of an application have run. A statement that was run by
 * the extended protocol counts once.
 * @param {any} node
 * @param {string} applicationName
 * @param {number} [since] a length of the log
 */
async function statementsOn(node, applicationName, since = 0) {
  const mark = `mark_${Math.random()}`;
  await node.sql(`SELECT '${mark}'`);
  const log = await until('the log is written', () => (node.log().includes(mark) ? node.log() : null));
  const run = / ms {2}(?:statement|execute [^:]*): /;
  return log
    .slice(since)
    .split('\n')
    .filter((/** @type {string} */ line) => line.includes(` ${applicationName} LOG: `) && run.test(line))
    .map((/** @type {string} */ line) =>
      line.slice(/** @type {RegExpExecArray} */ (run.exec(line)).index).replace(run, ''),
    );
}

module.exports = {
  ENDLESS_MS,
  LOGGED,
  changed,
  delayBy,
  lsnOf,
  partsOf,
  pause,
  resume,
  standbysOf,
  statementsOn,
  untilAllFit,
  whilePaused,
};
