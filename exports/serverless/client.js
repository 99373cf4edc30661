'use strict';

// ServerlessClient: a small pool whose sessions have leases, with results as `pg` has them, retries and hooks.

const { AcquireTimeoutError, PoolClosedError } = require('../../client.js');
const { callHook, callHookOf } = require('./hooks.js');
const { checkOptions, openPool } = require('./options.js');
const { Retries, mayBeginAgain, mayQueryAgain } = require('./retries.js');

/** @typedef {import('../../client.js').QueryOptions} QueryOptions */
/** @typedef {import('../../client.js').Sql} Sql */

/** Of the pool: waits for its pass, if one runs, for a moment. */
const PASSED = Symbol.for('hyperiondb-client.passed');
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

class ServerlessClient {
  #pool;
  #hooks;
  #retries;
  #isEnded = false;
  /** @type {Promise<void> | undefined} */
  #connecting;

  /** @param {unknown} [options] */
  constructor(options) {
    const { own, pool } = checkOptions(options);
    const hooks = own.hooks;
    this.#hooks = hooks;
    this.#retries = new Retries(own, hooks);
    this.#pool = openPool(pool);
    this.#pool.on('slow', (/** @type {any} */ event) => callHook(hooks.onSlowQuery, event));
    this.#pool.on('lease', (/** @type {any} */ detail) => callHookOf(hooks, detail));
  }

  /** Resolves when a session is open. */
  async connect() {
    if (this.#isEnded) throw new PoolClosedError();
    // A session that is at work is open; it may be at work for longer than anybody waits for it, and its work may wait for this call.
    if (this.#pool.inTransaction || this.#pool.status().inUse > 0) return;
    this.#connecting ??= this.#retries
      .run(() => this.#openSession(), mayBeginAgain)
      .finally(() => {
        this.#connecting = undefined;
      });
    await this.#connecting;
  }

  /** A transaction that ends before its first statement sends nothing. */
  async #openSession() {
    try {
      const tx = await this.#pool.outside(() => this.#pool.begin());
      await tx.rollback();
    } catch (error) {
      // Others have taken the session that was opened.
      if (!(error instanceof AcquireTimeoutError && this.#pool.status().size > 0)) throw error;
    }
  }

  /**
   * @param {string | Sql} sql
   * @param {readonly unknown[] | null} [params]
   * @param {QueryOptions} [options]
   */
  async query(sql, params, options) {
    const began = performance.now();
    callHook(this.#hooks.onQueryStart, { startedAt: Date.now() });
    try {
      const rows = await this.#rowsOf(sql, params, options);
      await this.#passed();
      callHook(this.#hooks.onQueryEnd, { duration: performance.now() - began });
      const { rowCount, command, fields } = rows;
      return { rows, rowCount, command, fields };
    } catch (err) {
      callHook(this.#hooks.onQueryError, { err, duration: performance.now() - began });
      throw err;
    }
  }

  /**
   * @param {string | Sql} sql
   * @param {readonly unknown[] | null} [params]
   * @param {any} [options]
   */
  async #rowsOf(sql, params, options) {
    const query = () => this.#pool.query(sql, params, options);
    // Alone it must not run again: it would be outside of what it belongs to, or after what has failed.
    if (this.#pool.inTransaction) return await query();
    const isReadOnly = options?.readOnly === true;
    return await this.#retries.run(query, (error) => mayQueryAgain(error, isReadOnly), options?.signal);
  }

  /**
   * Runs `callback` in a transaction, which is run again as a whole.
   * @template T
   * @param {(tx: import('../../client.js').Transaction) => Promise<T> | T} callback
   * @param {import('../../client.js').TransactionOptions} [options]
   */
  async transaction(callback, options) {
    const transaction = () => this.#pool.transaction(callback, options);
    if (this.#pool.inTransaction) return await transaction();
    const value = await this.#retries.run(transaction, mayBeginAgain, options?.signal);
    await this.#passed();
    return value;
  }

  /** A process may be frozen as soon as it has its answer: a pass that its connect has begun would never end anything then. */
  async #passed() {
    if (!this.#pool.inTransaction) await /** @type {any} */ (this.#pool)[PASSED]();
  }

  /** Ends expired sessions of this service now. */
  async reap() {
    return await this.#pool.reap();
  }

  /** @param {import('../../client.js').EndOptions} [options] */
  async end(options) {
    this.#isEnded = true;
    await this.#pool.end(options);
  }

  /** @param {import('../../client.js').EndOptions} [options] */
  async clean(options) {
    await this.end(options);
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.end();
  }

  /** Shows the state, but no password, secret or connection string. */
  [INSPECT]() {
    return this.#pool[INSPECT]();
  }

  toJSON() {
    return this.#pool.toJSON();
  }
}

module.exports = { ServerlessClient };
