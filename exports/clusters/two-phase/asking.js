'use strict';

// How statements on the clusters are asked that belong to no caller: decisions, their table, and the ends of prepared transactions.
//
// They may not wait for the callers of a pool. Those may have all its connections, and wait for locks that a prepared transaction holds
// until it is ended: by such a statement.

const { setTimeout: sleep } = require('node:timers/promises');
const { mayHaveRun, mayPass } = require('./errors.js');

const ASIDE = Symbol.for('hyperiondb-client.aside');

/** The longest wait for one answer; then the same is asked anew, of what is then the primary. */
const ASK_MS = 2_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;

/** A custom parser of the pool for these types would change what comes back. */
const PLAIN = { parsers: { text: null, float8: null, int4: null } };

/** @typedef {import('../../../client.js').Pool} Pool */
/** @typedef {{ name: string, clusterId: string, pool: Pool }} Unit */

/**
 * The pool itself while it has connections to spare: they are open already. Else the small one beside it.
 * @param {Pool} pool
 * @returns {any}
 */
function spare(pool) {
  const { waiting, inUse, maxSize } = pool.status();
  return waiting === 0 && inUse * 2 <= maxSize ? pool : /** @type {any} */ (pool)[ASIDE]();
}

/**
 * What runs one statement on a unit's primary, outside of any transaction of the caller.
 * @param {Unit} unit
 * @param {string} sql
 * @param {unknown[]} params
 * @param {number} timeoutMs
 * @returns {Promise<any[]>}
 */
const ask = ({ pool }, sql, params, timeoutMs = ASK_MS) =>
  pool.outside(() => spare(pool).query(sql, params, { timeoutMs, types: PLAIN }));

/** What is left until a time of performance.now(), for one attempt. @param {number} until */
const left = (until) => Math.min(ASK_MS, Math.max(1, Math.ceil(until - performance.now())));

/**
 * Tries again until it succeeds, the failure is one that stays, or the time is over. Rejects with the last error, whose `outcome` is
 * that of all attempts: `unknown` if one of them may have been carried out.
 * @template T
 * @param {(timeoutMs: number) => Promise<T>} attempt
 * @param {number} until a time of performance.now(); one attempt is made in any case
 * @param {{ again?: (error: any) => boolean, isOver?: () => boolean }} [more]
 * @returns {Promise<T>}
 */
async function persist(attempt, until, { again = mayPass, isOver = () => false } = {}) {
  let isUnknown = false;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await attempt(left(until));
    } catch (/** @type {any} */ error) {
      isUnknown ||= mayHaveRun(error);
      if (!again(error) || isOver() || performance.now() + pause > until) {
        throw isUnknown && !mayHaveRun(error) ? Object.assign(error, { outcome: 'unknown' }) : error;
      }
    }
    await sleep(pause);
  }
}

module.exports = { ask, persist, spare };
