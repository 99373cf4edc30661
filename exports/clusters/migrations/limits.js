'use strict';

// What is left of the time and the signal of a call, for each of its steps.

const { AbortError, QueryTimeoutError } = require('../../../client.js');

/** @typedef {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} Limits `until`: by performance.now() */

/** @param {{ timeoutMs?: number, signal?: AbortSignal }} options @returns {Limits} */
const limitsFrom = ({ timeoutMs = 0, signal }) => ({
  until: timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY,
  timeoutMs,
  signal,
});

/**
 * The options of a step; throws when nothing is left.
 * @param {Limits} limits
 * @returns {{ timeoutMs?: number, signal?: AbortSignal }}
 */
function left({ until, timeoutMs, signal }) {
  if (signal?.aborted) {
    const error = new AbortError('the migration was aborted', 'ABORT_ERR', { cause: signal.reason });
    throw Object.assign(error, { outcome: 'not-applied' });
  }
  const ms = Math.ceil(until - performance.now());
  if (ms <= 0) {
    const error = new QueryTimeoutError(`the migration timed out after ${timeoutMs} ms`, '57014');
    throw Object.assign(error, { outcome: 'not-applied' });
  }
  return { ...(ms === Number.POSITIVE_INFINITY ? {} : { timeoutMs: ms }), ...(signal === undefined ? {} : { signal }) };
}

module.exports = { left, limitsFrom };
