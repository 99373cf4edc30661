'use strict';

// A transaction: one connection from BEGIN to COMMIT or ROLLBACK.
//
// Its queries run one after another in the order of the calls. It ends exactly once; after that every call is refused. A transaction
// that was not ended is rolled back when it is collected as garbage, or when the pool ends.

const { OP, FLAG } = require('../core/numbers.js');
const { ParameterError, PoolClosedError, located, transactionEnded, transactionOpen } = require('../errors.js');
const { Level } = require('./level.js');
const { limitsOf, timedOutAs, underLimits, waitedTooLong } = require('./limits.js');
const { Scope, enclosing } = require('./scope.js');
const { Transaction } = require('./transaction-handle.js');
const { watchLimits } = require('./watch-limits.js');
const { underSignal } = require('../core/under-signal.js');
const { withMembers } = require('../options/with-members.js');
const { ISOLATION, NONE } = require('../options/call-options.js');

/**
 * The BEGIN of a transaction, and what goes with it in one message. A mode that is not given is left out: an explicit READ WRITE would override the server's default.
 * @param {Record<string, any>} options checked
 */
function beginSql({ isolation, readOnly, deferrable, durability }) {
  const parts = ['BEGIN'];
  if (isolation !== undefined) parts.push(`ISOLATION LEVEL ${ISOLATION[isolation.toLowerCase()]}`);
  if (readOnly !== undefined) parts.push(readOnly ? 'READ ONLY' : 'READ WRITE');
  if (deferrable !== undefined) parts.push(deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE');
  const begin = parts.length === 1 ? 'BEGIN' : `${parts[0]} ${parts.slice(1).join(', ')}`;
  return durability === undefined ? begin : `${begin}; SET LOCAL synchronous_commit TO '${durability}'`;
}

const timedOut = timedOutAs('transaction', ' and was rolled back');

/** What needs no quoting; PostgreSQL allows 199 bytes (twophase.c, GIDSIZE). */
const GID = /^[\w:.-]{1,199}$/;

/** @param {string} gid the identifier of a prepared transaction */
function checkGid(gid) {
  if (!GID.test(gid)) throw new ParameterError('gid must be 1 to 199 letters, digits, and any of _ : . -');
  return gid;
}

/** What became of a transaction whose COMMIT has failed. @param {any} error */
function outcomeOf(error) {
  const outcome = error?.outcome;
  if (outcome === 'unknown') return 'unknown';
  return outcome === 'applied' ? 'committed' : 'rolled back';
}

/** A transaction as a whole. */
class Top extends Scope {
  /** The core rolls back when this handle is collected unfinished. @type {import('../../index.js').Transaction | undefined} */
  #handle;
  /** @type {'open' | 'committed' | 'rolled back' | 'ended by its script'} */
  #state = 'open';
  /** @type {() => boolean} */
  #poolIsClosed;
  /** Called when it may have committed. @type {() => void} */
  #onCommit;
  /** Others that want to know it. @type {Set<() => void> | undefined} */
  #listeners;
  /** Limits of the whole transaction. @type {import('./limits.js').Limits} */
  #limits;
  /** A failure in a savepoint after which the transaction cannot be committed. @type {unknown} */
  failure;
  /** What is not read to its end. @type {Set<import('./scope.js').Reader> | undefined} */
  readers;
  /** Told how it has ended, if it is traced. @type {import('../core/tracer.js').Traced['onEnded']} */
  onEnded;
  /** The end of the statement that brings COMMIT with it. @type {Promise<unknown> | undefined} */
  ending;
  /** Whether it has committed, or may have: then it must not run again. */
  mayLast = false;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('../../index.js').Transaction} handle
   * @param {number} id
   * @param {Record<string, any>} modes the options of BEGIN
   * @param {() => boolean} poolIsClosed whether the pool has ended, and this transaction with it
   * @param {import('./limits.js').Limits} limits
   * @param {() => void} onCommit called when it may have committed
   */
  constructor(runner, handle, id, modes, poolIsClosed, limits, onCommit) {
    super(runner, id, new Level(undefined), undefined, enclosing(runner.scopes?.getStore()));
    this.#handle = handle;
    this.modes = modes;
    this.#poolIsClosed = poolIsClosed;
    this.#limits = limits;
    this.#onCommit = onCommit;
  }

  get root() {
    return this;
  }

  /** What a callback is given for a scope of this transaction. @param {Scope} scope */
  handleOf(scope) {
    return new Transaction(scope);
  }

  /** Whether a savepoint of it can be undone. */
  get isUsable() {
    return !this.isOver && this.failure === undefined && !this.#poolIsClosed();
  }

  #checkNotEnded() {
    if (this.#poolIsClosed())
      throw new PoolClosedError('the pool is closed, and its open transactions were rolled back');
    if (!this.isOpen) throw transactionEnded(`the transaction was already ${this.#state}`);
  }

  checkOpen() {
    this.#checkNotEnded();
    if (this.failure !== undefined) throw this.failure;
  }

  checkSendable() {
    if (this.isOver || this.#poolIsClosed()) this.#checkNotEnded();
    if (this.failure !== undefined) throw this.failure;
  }

  /** @param {Record<string, any>} options */
  limited(options) {
    return underLimits(this.#limits, options, timedOut);
  }

  /** What is being read comes as a whole now: the next statement waits for the connection, and the reader may wait for the statement. */
  drainReaders() {
    if (this.readers !== undefined) for (const reader of this.readers) reader.drain();
  }

  cancelReaders() {
    if (this.readers !== undefined) for (const reader of this.readers) reader.cancel();
  }

  /** @param {() => void} listener called when the transaction may have committed */
  whenCommitted(listener) {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
  }

  #mayHaveCommitted() {
    this.#onCommit();
    if (this.#listeners !== undefined) for (const listener of this.#listeners) listener();
  }

  endedByScript() {
    this.mayLast = true;
    this.#close('ended by its script');
    this.onEnded?.('unknown', false, undefined);
    this.#mayHaveCommitted();
  }

  /** @param {'committed' | 'rolled back' | 'ended by its script'} state */
  #close(state) {
    this.#state = state;
    this.isOpen = false;
    this.isOver = true;
    // What still waits is refused.
    if (!this.level.isPlain) this.level.release();
  }

  /**
   * @param {number} operation
   * @param {'committed' | 'rolled back'} state
   * @param {Record<string, any>} limits
   * @param {string} [text] the SQL, if it is not that of the operation
   */
  async #end(operation, state, { timeoutMs = 0, signal }, text = '') {
    this.#close(state);
    const { link, pool, turns } = this.runner;
    const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
    const details = { transaction: this.id, timeoutMs, flags, text };
    try {
      if (turns.has(this.id)) await this.runner.sentAll(this.id);
      await underSignal(link, pool, signal, (started) => link.ask(operation, pool, details, started));
      this.#releaseHandle();
    } catch (error) {
      this.#state = 'rolled back';
      const outcome = operation === OP.COMMIT ? outcomeOf(error) : 'rolled back';
      this.mayLast = outcome !== 'rolled back';
      this.onEnded?.(outcome, true, error);
      throw located(error);
    }
    this.mayLast = operation === OP.COMMIT;
    this.onEnded?.(text === '' ? state : 'prepared', false, undefined);
  }

  /** The next transaction uses the handle again: to make one costs as much as half a transaction's frames. */
  #releaseHandle() {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    handle.finish();
    this.runner.freeHandles.push(handle);
  }

  /** Resolves when every savepoint has ended that was begun before. */
  async #partsEnded() {
    const { until, timeoutMs, signal } = this.#limits;
    const left = until === Infinity ? 0 : Math.max(1, Math.ceil(until - performance.now()));
    const { over, stop } = watchLimits({ timeoutMs: left, signal }, () => timedOut(timeoutMs));
    try {
      await Promise.race([this.level.take(), over]);
    } finally {
      stop();
    }
  }

  /** Commits. Resolves only when the server has said so. */
  async commit() {
    await this.#commit(NONE);
  }

  /**
   * Ends it with PREPARE TRANSACTION, for a transaction that spans clusters. Resolves only when the server has said so.
   * @param {string} gid
   * @param {CallLimits} [options]
   */
  async prepare(gid, options = NONE) {
    await this.#commit(options, `PREPARE TRANSACTION '${checkGid(gid)}'`);
  }

  /**
   * Runs a statement and commits with it.
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options checked
   */
  async runLast(sql, params, options) {
    this.#checkMayCommit('commit');
    if (this.modes.marker !== undefined) {
      throw new ParameterError('commit: a transaction with exactlyOnce is committed when its callback has returned');
    }
    const ending = this.#runLast(sql, params, options);
    // Who does not await the statement learns of its failure from transaction().
    ending.catch(() => {});
    this.ending = ending;
    return ending;
  }

  /**
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options
   */
  async #runLast(sql, params, options) {
    this.#state = 'committed';
    this.isOpen = false;
    const own = limitsOf(options);
    // A copy: the caller may change the array while the statement waits.
    const given = Array.isArray(params) ? [...params] : params;
    let isSent = false;
    const onSent = () => {
      isSent = true;
    };
    try {
      if (!this.level.isPlain) await this.#partsEnded();
      if (this.failure !== undefined) throw this.failure;
      const limits = this.limited(underLimits(own, options, waitedTooLong));
      this.drainReaders();
      this.#close('committed');
      const rows = await this.runner.query(sql, given, withMembers(limits, { flags: FLAG.COMMITS, onSent }), this.id);
      this.#releaseHandle();
      this.mayLast = true;
      this.onEnded?.('committed', false, undefined);
      return rows;
    } catch (error) {
      if (isSent) {
        const outcome = outcomeOf(error);
        if (outcome !== 'committed') this.#state = 'rolled back';
        this.mayLast = outcome !== 'rolled back';
        this.onEnded?.(outcome, true, error);
      } else {
        await this.#rollBackLate();
      }
      throw error;
    } finally {
      this.#mayHaveCommitted();
    }
  }

  /** @param {string} what was called */
  #checkMayCommit(what) {
    this.#checkNotEnded();
    if (this.runner.scopes !== undefined && this.innermost() !== this) {
      throw transactionOpen(`${what} was called within a part of the transaction, which would be committed with it`);
    }
  }

  /** Too late for COMMIT: the transaction is rolled back. */
  async #rollBackLate() {
    this.cancelReaders();
    await this.#end(OP.ROLLBACK, 'rolled back', NONE).catch(() => {});
  }

  /**
   * @param {Record<string, any>} options
   * @param {string} [text] the SQL, if it is not COMMIT
   */
  async #commit(options, text) {
    this.#checkMayCommit('commit()');
    this.#state = 'committed';
    this.isOpen = false;
    let limits;
    try {
      if (!this.level.isPlain) await this.#partsEnded();
      if (this.failure !== undefined) throw this.failure;
      limits = this.limited(options);
    } catch (error) {
      await this.#rollBackLate();
      throw error;
    }
    this.drainReaders();
    try {
      await this.#end(OP.COMMIT, 'committed', limits, text);
    } finally {
      this.#mayHaveCommitted();
    }
  }

  /** Undoes everything. */
  async rollback() {
    this.#checkNotEnded();
    this.cancelReaders();
    await this.#end(OP.ROLLBACK, 'rolled back', NONE);
  }

  async dispose() {
    if (this.isOpen && !this.#poolIsClosed()) await this.rollback();
  }
}

/**
 * Asks the core for a transaction. `begun` resolves when it has a connection; for a callback's transaction (FLAG.MANAGED) when its
 * first statement is answered, because BEGIN is sent with that.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Record<string, any>} options checked; `marker`: SQL behind BEGIN in the same message
 * @param {() => boolean} poolIsClosed
 * @param {number} flags
 * @param {import('../core/channels.js').TransactionMessage | undefined} message if it is traced
 */
function openTransaction(runner, options, poolIsClosed, flags, message) {
  const { link, pool, corePool, freeHandles } = runner;
  const { timeoutMs = 0, signal } = options;
  const limits = limitsOf(options);
  const handle = freeHandles.pop() ?? corePool.transaction();
  const id = handle.begin();
  const details = {
    transaction: id,
    flags: flags | (signal === undefined ? 0 : FLAG.HAS_SIGNAL),
    timeoutMs,
    text: options.marker === undefined ? beginSql(options) : `${beginSql(options)}; ${options.marker}`,
  };
  const begun = underSignal(link, pool, signal, (started) => link.ask(OP.BEGIN, pool, details, started));
  if (message !== undefined) runner.tracer.noteNode(message, begun);
  const transaction = (onCommit = () => {}) => {
    const top = new Top(runner, handle, id, options, poolIsClosed, limits, onCommit);
    if (message !== undefined) runner.tracer.begun(message, id, top, (flags & FLAG.MANAGED) === 0);
    return top;
  };
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
  const run = async (/** @type {import('../core/channels.js').TransactionMessage | undefined} */ message) => {
    const { begun, transaction } = openTransaction(runner, options, poolIsClosed, 0, message);
    await begun;
    return transaction(onCommit).handle;
  };
  const { tracer } = runner;
  try {
    return await (tracer.isTracing ? tracer.begin(options, run) : run(undefined));
  } catch (error) {
    throw located(error);
  }
}

/** @typedef {{ timeoutMs?: number, signal?: AbortSignal }} CallLimits */
/** @typedef {(how: 'COMMIT' | 'ROLLBACK', gid: string, limits?: CallLimits) => Promise<void>} EndPrepared */

/**
 * Ends a prepared transaction, on any session of the primary.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {'COMMIT' | 'ROLLBACK'} how
 * @param {string} gid
 * @param {CallLimits} [limits]
 */
async function endPrepared({ link, pool }, how, gid, { timeoutMs = 0, signal } = {}) {
  const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
  const details = { timeoutMs, flags, text: `${how} PREPARED '${checkGid(gid)}'` };
  try {
    await underSignal(link, pool, signal, (started) => link.ask(OP.END_PREPARED, pool, details, started));
  } catch (error) {
    throw located(error);
  }
}

module.exports = { begin, beginSql, endPrepared, openTransaction, timedOut };
