'use strict';

// What a call in a transaction runs in: the transaction itself (Top, in transaction.js), or a part of it. A part is a savepoint, a
// nested transaction that has joined, or a load while its source is read.
//
// Two trees meet here. `parent` leads to the scope that this one is a part of. `from` leads to the scope in whose context this one
// began (AsyncLocalStorage): by it a call knows whether it comes from inside of an open savepoint. Such a call runs in the innermost
// savepoint that it comes from, also when it is made on an outer scope: it could not wait for the end of what waits for it. A call
// from elsewhere waits until the savepoint has ended (level.js).

const { AsyncLocalStorage } = require('node:async_hooks');
const { FLAG } = require('../core/numbers.js');
const { withMembers } = require('../options/with-members.js');
const { HyperionError, located, transactionEnded, transactionOpen } = require('../errors.js');
const { Level } = require('./level.js');
const { limitsOf, timedOutAs, underLimits } = require('./limits.js');
const { watchLimits } = require('./watch-limits.js');
const { NONE } = require('../options/call-options.js');

/** @typedef {'savepoint' | 'joined' | 'load'} Kind of a part */
/** A context: of a scope, or of a call of pool.outside(). @typedef {Scope | { from: Enclosing } | undefined} Enclosing */
/** @typedef {{ drain: () => void, cancel: () => void }} Reader a stream or an unload that is not read to its end */

const partTimedOut = timedOutAs('this part of the transaction', ' and was undone');

/**
 * What a scope needs of the transaction as a whole.
 * @typedef {object} Root
 * @property {unknown} failure after which the transaction cannot be committed
 * @property {Set<Reader> | undefined} readers what is not read to its end
 * @property {Record<string, any>} modes the options of BEGIN
 * @property {boolean} isUsable whether a savepoint can be undone
 * @property {(scope: Scope) => any} handleOf
 * @property {() => void} drainReaders
 * @property {() => void} cancelReaders
 * @property {() => void} endedByScript
 * @property {(listener: () => void) => void} whenCommitted
 */

class Scope {
  /** @type {any} a Transaction, which knows the scope */
  #handle;
  /** Whether it takes calls. */
  isOpen = true;
  /** Whether it was undone: nothing of it is sent any more, whoever has asked for it before. */
  isOver = false;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {number} id of the transaction
   * @param {Level} level
   * @param {Scope | undefined} parent
   * @param {Enclosing} from
   */
  constructor(runner, id, level, parent, from) {
    this.runner = runner;
    this.id = id;
    this.level = level;
    this.parent = parent;
    this.from = from;
  }

  /** @returns {Root} */
  get root() {
    return /** @type {any} */ (this.parent).root;
  }

  /** What callbacks are given for it, and what makes the calls. */
  get handle() {
    this.#handle ??= this.root.handleOf(this);
    return this.#handle;
  }

  /** Refuses a call after the end. */
  checkOpen() {
    if (!this.isOpen) throw transactionEnded('this part of the transaction has already ended');
    this.checkSendable();
  }

  /** Refuses work that was asked for while the scope was open, if it was undone meanwhile. */
  checkSendable() {
    /** @type {Scope | undefined} */
    let scope = this;
    for (; scope.parent !== undefined; scope = scope.parent) {
      if (scope.isOver) throw transactionEnded('this part of the transaction was already undone');
    }
    scope.checkSendable();
  }

  /**
   * The options of one call with what is left of the limits of the scope.
   * @param {Record<string, any>} options
   * @returns {Record<string, any>}
   */
  limited(options) {
    return /** @type {Scope} */ (this.parent).limited(options);
  }

  /** The innermost open part of this scope's level from which the caller comes; the scope itself for a caller from elsewhere. */
  innermost() {
    for (let at = this.runner.scopes?.getStore(); at !== undefined; at = at.from) {
      if (!(at instanceof Scope) || !at.isOpen) continue;
      if (at.level.isWithin(this.level)) {
        if (at.isLoad)
          throw transactionOpen('a load cannot use the transaction that loads its rows: read them with pool.outside()');
        return at;
      }
    }
    return this;
  }

  /** Refused: only who has begun the transaction ends it. @returns {Promise<void>} */
  async commit() {
    throw transactionOpen('commit(): the transaction is ended by the call that began it, not by a part of it');
  }

  /**
   * Refused, as commit() is.
   * @param {string} _sql
   * @param {unknown} _params
   * @param {Record<string, any>} _options
   * @returns {Promise<any>}
   */
  async runLast(_sql, _params, _options) {
    throw transactionOpen(
      'commit: a part of a transaction cannot commit it: the transaction is ended by the call that began it',
    );
  }

  /** @param {string} _gid @param {object} [_options] @returns {Promise<void>} */
  async prepare(_gid, _options) {
    await this.commit();
  }

  /** @returns {Promise<void>} */
  async rollback() {
    throw transactionOpen(
      'rollback(): throw an error to undo this part; the transaction is ended by the call that began it',
    );
  }

  /** Whether it takes no more calls. */
  get ended() {
    return !this.isOpen;
  }

  /** What ends it when it is left by `using`: a part ends with its callback. */
  async dispose() {}

  /** Whether it is a load, whose source must not use the transaction. */
  get isLoad() {
    return false;
  }

  /**
   * Sends work in its turn.
   * @template T
   * @param {() => Promise<T>} work
   * @param {boolean} [alone] whether other work of the level waits for its end
   * @returns {Promise<T>}
   */
  async inTurn(work, alone = false) {
    const scope = this.innermost();
    const start = () => {
      scope.checkSendable();
      scope.root.drainReaders();
      return work();
    };
    try {
      if (!alone) return await scope.level.run(start);
      await scope.level.take();
      try {
        return await start();
      } finally {
        scope.level.release();
      }
    } catch (error) {
      scope.noteFailure(error);
      throw error;
    }
  }

  /**
   * In a savepoint: a failure after which only the whole transaction can succeed. Whoever swallows it must not commit the rest.
   * @param {unknown} error
   */
  noteFailure(error) {
    if (this.level.depth > 0 && error instanceof HyperionError && error.retryable) this.root.failure ??= error;
  }

  /**
   * Runs a load alone. Its source is read in the context of the load, which refuses the calls of the source.
   * @template T
   * @param {() => Promise<T>} work
   */
  async load(work) {
    const { scopes } = this.runner;
    if (scopes === undefined) return this.inTurn(work);
    const load = new Part(this.innermost(), scopes.getStore(), 'load', NONE);
    try {
      return await this.inTurn(() => scopes.run(load, work), true);
    } finally {
      load.isOpen = false;
    }
  }

  /**
   * Starts a statement whose result is read in pieces. Until it is read the connection can do nothing else.
   * @template T
   * @param {Reader} reader
   * @param {() => Promise<T>} work
   */
  async read(reader, work) {
    this.checkOpen();
    const { root } = this;
    root.readers ??= new Set();
    try {
      return await this.inTurn(() => {
        root.readers?.add(reader);
        return work();
      });
    } finally {
      root.readers.delete(reader);
    }
  }

  /**
   * Runs `callback` in a part of the transaction.
   * @template T
   * @param {'savepoint' | 'joined'} kind
   * @param {{ timeoutMs?: number, signal?: AbortSignal }} limits
   * @param {(part: Part) => Promise<T> | T} callback
   * @returns {Promise<T>}
   */
  async part(kind, limits, callback) {
    this.checkOpen();
    const { runner } = this;
    runner.scopes ??= new AsyncLocalStorage();
    const part = new Part(this.innermost(), runner.scopes.getStore(), kind, limits);
    try {
      return await part.run(callback);
    } catch (error) {
      throw located(error);
    }
  }
}

/**
 * The innermost open scope around a context. Those that have ended are left out of the chain: jobs each of which is begun within the
 * one before would make an endless one.
 * @param {Enclosing} context
 * @returns {Scope | undefined}
 */
function enclosing(context) {
  let at = context;
  while (at !== undefined && !(at instanceof Scope && at.isOpen)) at = at.from;
  if (at !== undefined && at.from !== undefined) at.from = enclosing(at.from);
  return at;
}

class Part extends Scope {
  #kind;
  #limits;

  /**
   * @param {Scope} parent
   * @param {Enclosing} from
   * @param {Kind} kind
   * @param {{ timeoutMs?: number, signal?: AbortSignal }} options
   */
  constructor(parent, from, kind, options) {
    const { runner, id, level } = parent;
    super(runner, id, kind === 'savepoint' ? new Level(level) : level, parent, enclosing(from) ?? parent);
    this.#kind = kind;
    this.#limits = limitsOf(options);
  }

  get isLoad() {
    return this.#kind === 'load';
  }

  checkOpen() {
    if (this.isLoad) this.innermost();
    super.checkOpen();
  }

  /** @param {Record<string, any>} options */
  limited(options) {
    return super.limited(underLimits(this.#limits, options, partTimedOut));
  }

  /**
   * @template T
   * @param {(part: Part) => Promise<T> | T} callback
   * @returns {Promise<T>}
   */
  async run(callback) {
    if (this.#kind === 'joined') return this.#call(callback);
    const { level } = /** @type {Scope} */ (this.parent);
    await level.take();
    try {
      return await this.#runInSavepoint(callback);
    } finally {
      level.release();
    }
  }

  /**
   * @template T
   * @param {(part: Part) => Promise<T> | T} callback
   * @returns {Promise<T>}
   */
  async #runInSavepoint(callback) {
    await this.#send('SAVEPOINT', this.limited(NONE));
    // From here on there is something to undo.
    try {
      const result = await this.#call(callback);
      // Savepoints that the callback has begun and not awaited.
      await this.level.take();
      await this.#send('RELEASE SAVEPOINT', this.limited(NONE));
      return result;
    } catch (error) {
      await this.#undo();
      throw error;
    } finally {
      // Nothing of it is sent any more, and its name may be another's: what still waits in its level is refused.
      this.isOver = true;
      this.level.release();
    }
  }

  /**
   * @template T
   * @param {(part: Part) => Promise<T> | T} callback
   * @returns {Promise<T>}
   */
  async #call(callback) {
    const { scopes } = this.runner;
    const { until, signal } = this.#limits;
    const left = until === Infinity ? 0 : Math.max(1, Math.ceil(until - performance.now()));
    const { over, stop } = watchLimits({ timeoutMs: left, signal }, () => partTimedOut(this.#limits.timeoutMs));
    try {
      const called = /** @type {NonNullable<typeof scopes>} */ (scopes).run(this, async () => callback(this));
      return await Promise.race([called, over]);
    } finally {
      stop();
      this.isOpen = false;
    }
  }

  /** Undoes the savepoint, unless the whole transaction is lost. */
  async #undo() {
    this.isOver = true;
    const { root } = this;
    if (!root.isUsable) return;
    root.cancelReaders();
    try {
      await Promise.all([
        this.#send('ROLLBACK TO SAVEPOINT', NONE, false),
        this.#send('RELEASE SAVEPOINT', NONE, false),
      ]);
    } catch (error) {
      // Not undone, so it must not be committed.
      root.failure ??= error;
    }
  }

  /**
   * @param {string} command
   * @param {Record<string, any>} options
   * @param {boolean} [checked] whether it needs an open scope
   */
  async #send(command, options, checked = true) {
    if (checked) {
      this.checkSendable();
      this.root.drainReaders();
    }
    // By its depth: a name of its own each time would fill the cache of statements.
    const sql = `${command} hyperiondb_${this.level.depth}`;
    try {
      await this.runner.query(sql, undefined, withMembers(options, { flags: FLAG.OWN }), this.id);
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }
}

module.exports = { Scope, enclosing };
