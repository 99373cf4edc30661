'use strict';

// A transaction: one connection from BEGIN to COMMIT or ROLLBACK.
//
// Its queries run one after another in the order of the calls. It ends exactly once; after that every call is refused. A transaction
// that was not ended is rolled back when it is collected as garbage, or when the pool ends.

const { OP, FLAG } = require('../core/numbers.js');
const { copyFrom, copyTo } = require('./copy/index.js');
const {
  AcquireTimeoutError,
  HyperionError,
  NoPrimaryError,
  ParameterError,
  PoolClosedError,
  QueryTimeoutError,
  aborted,
  located,
} = require('../errors.js');
const { exec, execOptions } = require('./exec.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runner, unfold } = require('./sql.js');
const { underSignal } = require('../core/statement-runner.js');
const { ISOLATION, LOAD, NONE, TRANSACTION, UNLOAD, callOptions } = require('../options/call-options.js');

/** The shortest pause before a transaction is tried again. */
const FIRST_PAUSE_MS = 5;

/**
 * What is not asked for is left to the server: an explicit READ WRITE would override its default.
 * @param {Record<string, any>} options checked
 */
function beginSql({ isolation, readOnly, deferrable }) {
  const parts = ['BEGIN'];
  if (isolation !== undefined) parts.push(`ISOLATION LEVEL ${ISOLATION[isolation.toLowerCase()]}`);
  if (readOnly !== undefined) parts.push(readOnly ? 'READ ONLY' : 'READ WRITE');
  if (deferrable !== undefined) parts.push(deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE');
  return parts.length === 1 ? 'BEGIN' : `${parts[0]} ${parts.slice(1).join(', ')}`;
}

/** @param {number} timeoutMs */
function timedOut(timeoutMs) {
  const error = new QueryTimeoutError(`transaction timed out after ${timeoutMs} ms and was rolled back`, '57014');
  return Object.assign(error, { outcome: 'not-applied' });
}

class Transaction {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  /** The core rolls back when this handle is collected unfinished. @type {import('../../index.js').Transaction} */
  #handle;
  #id;
  /** @type {'open' | 'committed' | 'rolled back' | 'ended by its script'} */
  #state = 'open';
  /** @type {() => boolean} */
  #poolIsClosed;
  #sql = runner((fragment) => this.query(fragment));
  /** Limits of the whole transaction. @type {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} */
  #limits;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('../../index.js').Transaction} handle
   * @param {() => boolean} poolIsClosed whether the pool has ended, and this transaction with it
   * @param {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} limits
   */
  constructor(runner, handle, poolIsClosed, limits) {
    this.#runner = runner;
    this.#handle = handle;
    this.#id = handle.id;
    this.#poolIsClosed = poolIsClosed;
    this.#limits = limits;
  }

  /** Refuses a call after the end. */
  #checkOpen() {
    if (this.#poolIsClosed())
      throw new PoolClosedError('the pool is closed, and its open transactions were rolled back');
    if (this.#state !== 'open') {
      throw new HyperionError(`the transaction was already ${this.#state}`, 'ERR_TRANSACTION_ENDED');
    }
  }

  /**
   * The options of one call with the limits that are left of the transaction's.
   * @param {Record<string, any>} options
   */
  #withLimits(options) {
    const { until, timeoutMs, signal } = this.#limits;
    if (until === Infinity && signal === undefined) return options;
    if (signal?.aborted) throw aborted(signal);
    const left = Math.ceil(until - performance.now());
    if (left <= 0) throw timedOut(timeoutMs);
    const soonest = Math.min(left, options.timeoutMs || Infinity);
    const signals = [signal, options.signal].filter((one) => one !== undefined);
    return {
      ...options,
      timeoutMs: Number.isFinite(soonest) ? soonest : 0,
      signal: signals.length > 1 ? AbortSignal.any(/** @type {AbortSignal[]} */ (signals)) : signals[0],
    };
  }

  /**
   * Runs a statement in the transaction.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions} [options]
   */
  async query(sql, params, options) {
    this.#checkOpen();
    const checked = this.#withLimits(callOptions(options));
    const [text, values] = unfold(sql, params);
    try {
      return await this.#runner.query(text, values, checked, this.#id);
    } catch (error) {
      throw located(error);
    }
  }

  /** Runs a template in the transaction: an interpolated value becomes a parameter, never text. */
  get sql() {
    return this.#sql;
  }

  /**
   * Runs a script by the simple protocol in the transaction.
   * @param {string} script
   * @param {object} [options]
   */
  async exec(script, options) {
    this.#checkOpen();
    if (this.#runner.turns.has(this.#id)) await this.#runner.sentAll(this.#id);
    try {
      return await exec(this.#runner, this.#id, script, this.#withLimits(execOptions(options)));
    } catch (error) {
      if (/** @type {any} */ (error)?.code === 'ERR_TRANSACTION_ENDED') this.#state = 'ended by its script';
      throw error;
    }
  }

  /**
   * Loads rows or ready data in the transaction.
   * @param {string} target
   * @param {unknown} source
   * @param {object} [options]
   */
  async copyFrom(target, source, options) {
    this.#checkOpen();
    if (this.#runner.turns.has(this.#id)) await this.#runner.sentAll(this.#id);
    return copyFrom(this.#runner, this.#id, target, source, this.#withLimits(callOptions(options, LOAD)));
  }

  /**
   * What COPY sends in the transaction, as a Readable.
   * @param {string} target
   * @param {object} [options]
   */
  copyTo(target, options) {
    this.#checkOpen();
    return copyTo(this.#runner, this.#id, target, this.#withLimits(callOptions(options, UNLOAD)));
  }

  /**
   * @param {number} operation
   * @param {'committed' | 'rolled back'} state
   * @param {Record<string, any>} limits
   */
  async #end(operation, state, { timeoutMs = 0, signal }) {
    this.#state = state;
    const { link, pool } = this.#runner;
    const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
    const details = { transaction: this.#id, timeoutMs, flags };
    try {
      if (this.#runner.turns.has(this.#id)) await this.#runner.sentAll(this.#id);
      await underSignal(link, pool, signal, (started) => link.ask(operation, pool, details, started));
      this.#handle.finish();
    } catch (error) {
      this.#state = 'rolled back';
      throw located(error);
    }
  }

  /** Commits. Resolves only when the server has said so. */
  async commit() {
    this.#checkOpen();
    let limits;
    try {
      limits = this.#withLimits(NONE);
    } catch (error) {
      // Too late for COMMIT: the transaction is rolled back.
      await this.#end(OP.ROLLBACK, 'rolled back', NONE).catch(() => {});
      throw error;
    }
    await this.#end(OP.COMMIT, 'committed', limits);
  }

  /** Undoes everything. */
  async rollback() {
    this.#checkOpen();
    await this.#end(OP.ROLLBACK, 'rolled back', NONE);
  }

  /** Whether commit() or rollback() was called. */
  get ended() {
    return this.#state !== 'open';
  }

  /** Rolls back if neither commit() nor rollback() was called. */
  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    if (!this.ended && !this.#poolIsClosed()) await this.rollback();
  }
}

addRowExpectations(Transaction);

/**
 * Asks the core for a transaction. `begun` resolves when it has a connection; for a callback's transaction (FLAG.MANAGED) when its
 * first statement is answered, because BEGIN is sent with that.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Record<string, any>} options checked
 * @param {() => boolean} poolIsClosed
 * @param {number} flags
 */
function open(runner, options, poolIsClosed, flags) {
  const { link, pool, corePool } = runner;
  const { timeoutMs = 0, signal } = options;
  const until = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
  const handle = corePool.transaction();
  const details = {
    transaction: handle.id,
    flags: flags | (signal === undefined ? 0 : FLAG.HAS_SIGNAL),
    timeoutMs,
    text: beginSql(options),
  };
  const begun = underSignal(link, pool, signal, (started) => link.ask(OP.BEGIN, pool, details, started));
  return { begun, transaction: () => new Transaction(runner, handle, poolIsClosed, { until, timeoutMs, signal }) };
}

/**
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Record<string, any>} options checked
 * @param {() => boolean} poolIsClosed
 */
async function begin(runner, options, poolIsClosed) {
  const { begun, transaction } = open(runner, options, poolIsClosed, 0);
  try {
    await begun;
  } catch (error) {
    throw located(error);
  }
  return transaction();
}

/**
 * Rejects when the transaction's time is over or its signal fires; `stop` ends the watch, `fail` ends it at once.
 * @param {Record<string, any>} options
 */
function watchLimits({ timeoutMs = 0, signal }) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {(() => void) | undefined} */
  let onAbort;
  /** @type {(error: unknown) => void} */
  let fail = () => {};
  const over = new Promise((_, reject) => {
    fail = reject;
    if (timeoutMs > 0) {
      timer = setTimeout(() => reject(timedOut(timeoutMs)), timeoutMs);
    }
    if (signal !== undefined) {
      onAbort = () => reject(aborted(signal));
      signal.addEventListener('abort', onAbort, { once: true });
    }
  });
  // The caller may not wait for it any more: no unhandled rejection.
  over.catch(() => {});
  const stop = () => {
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  };
  return { over, stop, fail };
}

/**
 * BEGIN, the callback, COMMIT; ROLLBACK when it throws.
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: Transaction) => Promise<T> | T} callback
 * @param {Record<string, any>} options checked
 * @returns {Promise<T>}
 */
async function attempt(runner, callback, options) {
  if (options.signal?.aborted) throw aborted(options.signal);
  const { over, stop, fail } = watchLimits(options);
  // attempt() ends a callback's transaction, so the pool waits for that when it ends.
  const { begun, transaction } = open(runner, options, () => false, FLAG.MANAGED);
  /** @type {unknown} */
  let refused;
  begun.catch((error) => {
    refused = error;
    fail(error);
  });
  const tx = transaction();
  try {
    const result = await Promise.race([callback(tx), over]);
    stop();
    if (!tx.ended) await tx.commit();
    return /** @type {T} */ (result);
  } catch (error) {
    if (!tx.ended) await tx.rollback().catch(() => {});
    throw error === refused ? located(error) : error;
  } finally {
    stop();
  }
}

/**
 * @template T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {(tx: Transaction) => Promise<T> | T} callback
 * @param {unknown} options
 * @param {{ retries: number, patienceMs: number }} presets of the pool; patienceMs: the longest sum of all pauses
 * @returns {Promise<T>}
 */
async function transaction(runner, callback, options, presets) {
  if (typeof callback !== 'function') throw new ParameterError('transaction needs a function');
  const checked = callOptions(options, TRANSACTION);
  const { retries = presets.retries } = checked;
  let pause = 0;
  let paused = 0;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(runner, callback, checked);
    } catch (error) {
      // The pool has waited for a connection for acquireTimeoutMs already.
      const hasWaited = error instanceof NoPrimaryError || error instanceof AcquireTimeoutError;
      const again = error instanceof HyperionError && error.retryable && !hasWaited;
      if (error instanceof HyperionError && tries > 1) Object.assign(error, { attempts: tries });
      if (!again || tries > retries) throw error;
      // Decorrelated jitter: transactions that failed at the same time are not tried again at the same time.
      pause = Math.min(FIRST_PAUSE_MS + Math.random() * (3 * Math.max(pause, FIRST_PAUSE_MS) - FIRST_PAUSE_MS), 500);
      paused += pause;
      if (paused > presets.patienceMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

module.exports = { Transaction, begin, beginSql, transaction };
