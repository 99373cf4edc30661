'use strict';

// Which transaction a call of the pool joins: that in whose context it is made (`ambient`), or one that all calls join (the test kit).
//
// The context is that of the call, as AsyncLocalStorage has it. So a listener runs in the transaction of the code that emits, not of
// the code that has added it, and what outlives its transaction is still in its context and is refused: it must run neither outside
// of a transaction nor in that of another caller.

const { AsyncLocalStorage } = require('node:async_hooks');
const { ParameterError, transactionOpen } = require('../errors.js');
const { BATCH, MODES_OF_BEGIN, TRANSACTION, callOptions } = require('../options/call-options.js');
const { Scope, enclosing } = require('./scope.js');
const { Transaction } = require('./transaction-handle.js');

/** @typedef {import('./scope.js').Enclosing} Enclosing */

/**
 * Refuses, by its name, an option that the open transaction cannot fulfil. What it was begun with, it can.
 * @param {Record<string, any>} modes the options with which it was begun
 * @param {Record<string, any>} options
 * @param {string} [prefix] of their names
 */
function refuseOthers(modes, options, prefix = '') {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === false || (name === 'retries' && value === 0)) {
      if (value !== false || modes[name] !== true) continue;
    }
    const isMode = Object.hasOwn(MODES_OF_BEGIN, name);
    const lower = (/** @type {unknown} */ given) => (typeof given === 'string' ? given.toLowerCase() : given);
    if (isMode && lower(modes[name]) === lower(value)) continue;
    throw new ParameterError(
      `${prefix}${name}: the call joins an open transaction, for which it cannot be chosen any more`,
    );
  }
}

/** The context of a call of pool.outside(). */
class Outside {
  /** @param {Enclosing} context in which it was called */
  constructor(context) {
    this.from = enclosing(context);
  }
}

/** @param {Transaction} tx */
const modesOf = (tx) => /** @type {Scope} */ (Transaction.scopeOf(tx)).root.modes;

class Ambient {
  #runner;
  #mode;
  /** What all calls join, whatever their context. @type {Scope | undefined} */
  #joined;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {boolean | 'strict'} mode the option `ambient`
   */
  constructor(runner, mode) {
    this.#runner = runner;
    this.#mode = mode;
    runner.scopes ??= new AsyncLocalStorage();
  }

  /** @returns {Enclosing} */
  get #context() {
    return this.#runner.scopes?.getStore();
  }

  /** Lets all calls join a transaction, or a part of one. @param {Transaction | undefined} tx */
  join(tx) {
    const scope = Transaction.scopeOf(tx);
    if (tx !== undefined && scope?.runner !== this.#runner)
      throw new ParameterError('join: a transaction of this pool is needed');
    this.#joined = scope;
  }

  /**
   * The scope that a call joins; undefined: none. It may have ended: then it refuses the call.
   * @param {string} method for the error
   * @returns {Scope | undefined}
   */
  scope(method) {
    const scope = this.#joined === undefined ? this.#context : this.#withinJoined(this.#joined);
    if (!(scope instanceof Scope)) return undefined;
    // Not what pool.outside() leads into: the transaction that all calls join.
    if (this.#mode === 'strict' && scope !== this.#joined && scope === this.#context) {
      scope.checkOpen();
      throw transactionOpen(
        `${method}() of the pool was called within a transaction: call it on tx, or in pool.outside()`,
      );
    }
    return scope;
  }

  /**
   * The innermost open part of the joined scope in which the caller runs. pool.outside() does not lead out of it.
   * @param {Scope} joined
   */
  #withinJoined(joined) {
    const context = this.#context;
    for (let at = context; at !== undefined; at = at.from) {
      if (!(at instanceof Scope) || at.root !== joined.root) continue;
      if (at.isOpen) return at.level.isWithin(joined.level) ? at : joined;
      // What outlives a nested transaction. Without `ambient` its calls do not belong to that.
      if (at === context && this.#mode !== false) return at;
    }
    return joined;
  }

  /** Whether all calls join, because a test says so. */
  get isTest() {
    return this.#joined !== undefined;
  }

  /** Whether a call joins an open transaction. */
  get inTransaction() {
    if (this.#joined !== undefined) return true;
    const context = this.#context;
    if (!(context instanceof Scope)) return false;
    try {
      context.checkOpen();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * @template T
   * @param {() => T} fn its calls join no transaction
   * @returns {T}
   */
  outside(fn) {
    return /** @type {AsyncLocalStorage<any>} */ (this.#runner.scopes).run(new Outside(this.#context), fn);
  }

  /**
   * The callback of a transaction, which runs in its context.
   * @param {any} callback not yet checked
   * @returns {(tx: Transaction) => any}
   */
  entering(callback) {
    if (typeof callback !== 'function' || this.#mode === false) return callback;
    const scopes = /** @type {AsyncLocalStorage<any>} */ (this.#runner.scopes);
    return (tx) => scopes.run(Transaction.scopeOf(tx), () => callback(tx));
  }

  /**
   * pool.transaction() within a transaction.
   * @param {Transaction} tx
   * @param {(tx: Transaction) => unknown} callback
   * @param {unknown} options
   */
  async transaction(tx, callback, options) {
    const scope = /** @type {Scope} */ (Transaction.scopeOf(tx));
    if (typeof callback !== 'function') throw new ParameterError('transaction needs a function');
    const {
      nested = TRANSACTION.nested.value,
      timeoutMs,
      signal,
      retries,
      ...rest
    } = callOptions(options, TRANSACTION);
    // For its caller it is no nested one, only a test has put a transaction around it.
    const isOutermost = this.#joined !== undefined && (scope === this.#joined || this.#mode === false);
    if (nested === 'error' && !isOutermost) throw transactionOpen('transaction(): another transaction is open here');
    refuseOthers(scope.root.modes, isOutermost ? rest : { ...rest, retries });
    const kind = nested === 'savepoint' || isOutermost ? 'savepoint' : 'joined';
    return scope.part(kind, { timeoutMs, signal }, ({ handle }) => callback(handle));
  }

  /**
   * pool.batch() within a transaction.
   * @param {Transaction} tx
   * @param {any} statements
   * @param {unknown} options
   */
  static async batch(tx, statements, options) {
    const { transaction = false, readOnly: _promised, ...rest } = callOptions(options, BATCH);
    if (typeof transaction !== 'boolean') {
      refuseOthers(modesOf(tx), callOptions(transaction, MODES_OF_BEGIN), 'transaction.');
    }
    const results = await tx.batch(statements, rest);
    return transaction === false ? results.map((value) => ({ status: 'fulfilled', value })) : results;
  }
}

module.exports = { Ambient };
