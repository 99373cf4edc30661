'use strict';

// pool.transaction(): a callback between BEGIN and COMMIT, which is run again when its failure is `retryable`.

const { fill } = require('../core/channels.js');
const { FLAG } = require('../core/numbers.js');
const {
  AcquireTimeoutError,
  HyperionError,
  NoPrimaryError,
  ParameterError,
  aborted,
  located,
} = require('../errors.js');
const { TRANSACTION, callOptions } = require('../options/call-options.js');
const { RETRIES, exactlyOnceOf } = require('./exactly-once/index.js');
const { watchLimits } = require('./watch-limits.js');
const { openTransaction, timedOut } = require('./transaction.js');

/** @typedef {import('../core/channels.js').TransactionMessage} TransactionMessage */

/** The shortest pause before a transaction is tried again. */
const FIRST_PAUSE_MS = 5;

/** What is known of the attempts: whether a callback has committed itself, or may have. @typedef {{ mayLast: boolean }} Fate */

/**
 * BEGIN, the callback, COMMIT; ROLLBACK when it throws. The callback may commit itself, with its last statement or with commit().
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: import('./transaction-handle.js').Transaction) => Promise<T> | T} callback
 * @param {Record<string, any>} options checked
 * @param {TransactionMessage | undefined} message if it is traced
 * @param {Fate} fate
 * @returns {Promise<T>}
 */
async function attempt(runner, callback, options, message, fate) {
  if (options.signal?.aborted) throw aborted(options.signal);
  const { over, stop, fail } = watchLimits(options, timedOut);
  // attempt() ends a callback's transaction, so the pool waits for that when it ends.
  const { begun, transaction } = openTransaction(runner, options, () => false, FLAG.MANAGED, message);
  /** @type {unknown} */
  let refused;
  begun.catch((error) => {
    refused = error;
    fail(error);
  });
  /** What has ended the callback's time. @type {unknown} */
  let limit;
  over.catch((error) => {
    limit = error;
  });
  const top = transaction();
  const tx = top.handle;
  let isEndedHere = false;
  const end = (/** @type {() => Promise<void>} */ how) => {
    isEndedHere = true;
    return how();
  };
  /** @type {Promise<T> | T | undefined} */
  let called;
  try {
    called = callback(tx);
    const result = await Promise.race([called, over]);
    stop();
    if (top.ending !== undefined) await top.ending;
    else if (!tx.ended) await end(() => tx.commit());
    return /** @type {T} */ (result);
  } catch (error) {
    if (!tx.ended) await end(() => tx.rollback().catch(() => {}));
    if (top.ending !== undefined && error === limit) {
      // The limits are those of the transaction, and its own end knows what became of it.
      await top.ending;
      return await /** @type {Promise<T>} */ (called);
    }
    await top.ending?.catch(() => {});
    throw error === refused ? located(error) : error;
  } finally {
    stop();
    // What the callback itself has committed must not be done again.
    if (!isEndedHere && top.mayLast) fate.mayLast = true;
  }
}

/**
 * Runs a callback in a transaction, and again when its failure is `retryable`.
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: import('./transaction-handle.js').Transaction) => Promise<T> | T} callback
 * @param {unknown} options
 * @param {any} pool its options; acquireTimeoutMs: the longest sum of all pauses
 * @param {() => import('./exactly-once/markers.js').Asker} aside a pool whose connections this one's callers cannot occupy
 * @returns {Promise<T | undefined>}
 */
async function runTransaction(runner, callback, options, pool, aside) {
  if (typeof callback !== 'function') throw new ParameterError('transaction needs a function');
  const checked = callOptions(options, TRANSACTION);
  const once = exactlyOnceOf(runner, checked, pool, aside);
  const { tracer } = runner;
  if (!tracer.isTracing) return runAttempts(runner, callback, checked, pool, once, undefined);
  return tracer.transaction(checked, (message) => runAttempts(runner, callback, checked, pool, once, message));
}

/**
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: import('./transaction-handle.js').Transaction) => Promise<T> | T} callback
 * @param {Record<string, any>} checked
 * @param {any} pool
 * @param {ReturnType<typeof exactlyOnceOf>} once
 * @param {TransactionMessage | undefined} message
 * @returns {Promise<T | undefined>}
 */
async function runAttempts(runner, callback, checked, pool, once, message) {
  const { transactionRetries, acquireTimeoutMs } = pool;
  const { retries = once === undefined ? transactionRetries : Math.max(transactionRetries, RETRIES) } = checked;
  // Without it the transaction begins in the call itself: an end() behind it waits for it.
  if (once !== undefined) await once.prepare();
  const fate = { mayLast: false };
  let pause = 0;
  let paused = 0;
  for (let tries = 1; ; tries++) {
    try {
      if (once === undefined) return await attempt(runner, callback, checked, message, fate);
      return await runOnce(runner, callback, once, message, fate);
    } catch (error) {
      // The pool has waited for a connection for acquireTimeoutMs already.
      const hasWaited = error instanceof NoPrimaryError || error instanceof AcquireTimeoutError;
      const again = error instanceof HyperionError && error.retryable && !hasWaited && !fate.mayLast;
      if (error instanceof HyperionError && tries > 1) Object.assign(error, { attempts: tries });
      if (!again || tries > retries) throw error;
      // Decorrelated jitter: transactions that failed at the same time are not tried again at the same time.
      pause = Math.min(FIRST_PAUSE_MS + Math.random() * (3 * Math.max(pause, FIRST_PAUSE_MS) - FIRST_PAUSE_MS), 500);
      paused += pause;
      if (paused > acquireTimeoutMs) throw error;
      runner.noteRetry(error.code);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/**
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: import('./transaction-handle.js').Transaction) => Promise<T> | T} callback
 * @param {NonNullable<ReturnType<typeof exactlyOnceOf>>} once
 * @param {TransactionMessage | undefined} message
 * @param {Fate} fate
 * @returns {Promise<T | undefined>}
 */
async function runOnce(runner, callback, once, message, fate) {
  let hasEnded = false;
  const value = await once.run(async (marked, limits) => {
    const result = await attempt(runner, marked, limits, message, fate);
    hasEnded = true;
    return result;
  }, callback);
  // The attempt has failed, and its COMMIT, or another call's with the same key, was found.
  if (message !== undefined && !hasEnded) fill(message, { outcome: 'committed' });
  return value;
}

module.exports = { runTransaction };
