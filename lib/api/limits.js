'use strict';

// Limits of a transaction, of a part of it, or of a statement that waits for its turn: what is left of them bounds each call.

const { withMembers } = require('../options/with-members.js');
const { QueryTimeoutError, aborted } = require('../errors.js');

/** @typedef {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} Limits */

/** The limits that begin now. @param {Record<string, any>} options @returns {Limits} */
function limitsOf({ timeoutMs = 0, signal }) {
  return { until: timeoutMs > 0 ? performance.now() + timeoutMs : Infinity, timeoutMs, signal };
}

/**
 * The error of limits whose time is over.
 * @param {string} what e.g. `transaction`
 * @param {string} end what came of it
 * @returns {(timeoutMs: number) => Error}
 */
const timedOutAs = (what, end) => (timeoutMs) => {
  const error = new QueryTimeoutError(`${what} timed out after ${timeoutMs} ms${end}`, '57014');
  return Object.assign(error, { outcome: 'not-applied' });
};

const waitedTooLong = timedOutAs('statement', ', before it was sent');

/**
 * The options of one call with what is left of the limits.
 * @param {Limits} limits
 * @param {Record<string, any>} options
 * @param {(timeoutMs: number) => Error} timedOut
 * @returns {Record<string, any>}
 */
function underLimits({ until, timeoutMs, signal }, options, timedOut) {
  if (until === Infinity && signal === undefined) return options;
  if (signal?.aborted) throw aborted(signal);
  const left = Math.ceil(until - performance.now());
  if (left <= 0) throw timedOut(timeoutMs);
  const soonest = Math.min(left, options.timeoutMs || Infinity);
  const signals = [signal, options.signal].filter((one) => one !== undefined);
  return withMembers(options, {
    timeoutMs: Number.isFinite(soonest) ? soonest : 0,
    signal: signals.length > 1 ? AbortSignal.any(/** @type {AbortSignal[]} */ (signals)) : signals[0],
  });
}

module.exports = { limitsOf, timedOutAs, underLimits, waitedTooLong };
