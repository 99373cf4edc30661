'use strict';

// A transaction: one connection from BEGIN to COMMIT or ROLLBACK.
//
// Its queries run one after another in the order of the calls. It ends exactly once; after that every call is refused. A transaction
// that was not ended is rolled back when it is collected as garbage, or when the pool ends.

const { OP, FLAG } = require('../core/numbers.js');
const { copyFrom, copyTo } = require('./copy/index.js');
const { HyperionError, PoolClosedError, QueryTimeoutError, aborted, located } = require('../errors.js');
const { exec, execOptions } = require('./exec.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runner, unfold } = require('./sql.js');
const { underSignal } = require('../core/under-signal.js');
const { ISOLATION, LOAD, NONE, UNLOAD, callOptions } = require('../options/call-options.js');

/**
 * The BEGIN of a transaction. A mode that is not given is left out: an explicit READ WRITE would override the server's default.
 * @param {Record<string, any>} options checked
 */
function beginSql({ isolation, readOnly, deferrable }) {
  const parts = ['BEGIN'];
  if (isolation !== undefined) parts.push(`ISOLATION LEVEL ${ISOLATION[isolation.toLowerCase()]}`);
  if (readOnly !== undefined) parts.push(readOnly ? 'READ ONLY' : 'READ WRITE');
  if (deferrable !== undefined) parts.push(deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE');
  return parts.length === 1 ? 'BEGIN' : `${parts[0]} ${parts.slice(1).join(', ')}`;
}

/** The error of a transaction whose timeoutMs has passed. @param {number} timeoutMs */
function timedOut(timeoutMs) {
  const error = new QueryTimeoutError(`transaction timed out after ${timeoutMs} ms and was rolled back`, '57014');
  return Object.assign(error, { outcome: 'not-applied' });
}

class Transaction {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  /** The core rolls back when this handle is collected unfinished. @type {import('../../index.js').Transaction | undefined} */
  #handle;
  #id;
  /** @type {'open' | 'committed' | 'rolled back' | 'ended by its script'} */
  #state = 'open';
  /** @type {() => boolean} */
  #poolIsClosed;
  #sql = runner((fragment) => this.query(fragment));
  /** Called when it may have committed. @type {() => void} */
  #onCommit;
  /** Limits of the whole transaction. @type {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} */
  #limits;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('../../index.js').Transaction} handle
   * @param {number} id
   * @param {() => boolean} poolIsClosed whether the pool has ended, and this transaction with it
   * @param {{ until: number, timeoutMs: number, signal: AbortSignal | undefined }} limits
   * @param {() => void} onCommit called when it may have committed
   */
  constructor(runner, handle, id, poolIsClosed, limits, onCommit) {
    this.#runner = runner;
    this.#handle = handle;
    this.#id = id;
    this.#poolIsClosed = poolIsClosed;
    this.#limits = limits;
    this.#onCommit = onCommit;
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
      if (/** @type {any} */ (error)?.code === 'ERR_TRANSACTION_ENDED') {
        this.#state = 'ended by its script';
        this.#onCommit();
      }
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
      this.#releaseHandle();
    } catch (error) {
      this.#state = 'rolled back';
      throw located(error);
    }
  }

  /** The next transaction uses the handle again: to make one costs as much as half a transaction's frames. */
  #releaseHandle() {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    handle.finish();
    this.#runner.freeHandles.push(handle);
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
    try {
      await this.#end(OP.COMMIT, 'committed', limits);
    } finally {
      this.#onCommit();
    }
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
function openTransaction(runner, options, poolIsClosed, flags) {
  const { link, pool, corePool, freeHandles } = runner;
  const { timeoutMs = 0, signal } = options;
  const until = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
  const handle = freeHandles.pop() ?? corePool.transaction();
  const id = handle.begin();
  const details = {
    transaction: id,
    flags: flags | (signal === undefined ? 0 : FLAG.HAS_SIGNAL),
    timeoutMs,
    text: beginSql(options),
  };
  const begun = underSignal(link, pool, signal, (started) => link.ask(OP.BEGIN, pool, details, started));
  const transaction = (onCommit = () => {}) =>
    new Transaction(runner, handle, id, poolIsClosed, { until, timeoutMs, signal }, onCommit);
  return { begun, transaction };
}

/**
 * Begins a transaction, which the caller ends.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Record<string, any>} options checked
 * @param {() => boolean} poolIsClosed
 * @param {() => void} onCommit called when the transaction may have committed
 */
async function begin(runner, options, poolIsClosed, onCommit) {
  const { begun, transaction } = openTransaction(runner, options, poolIsClosed, 0);
  try {
    await begun;
  } catch (error) {
    throw located(error);
  }
  return transaction(onCommit);
}

module.exports = { Transaction, begin, beginSql, openTransaction, timedOut };
