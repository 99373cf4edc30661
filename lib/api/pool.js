'use strict';

// The pool: checks calls, hands them to the files that do the work, and emits what the core reports.

const { EventEmitter } = require('node:events');
const { batch } = require('./batch.js');
const { shared } = require('../core/core-link.js');
const { OP, FLAG } = require('../core/numbers.js');
const { copyFrom, copyTo, mayWrite } = require('./copy/index.js');
const { ParameterError, PoolClosedError, fromCore, located, rememberCause } = require('../errors.js');
const { exec, execOptions } = require('./exec.js');
const { Listeners, checkChannel, checkPayload } = require('./listen.js');
const { forCore, parseOptions } = require('../options/options.js');
const { StatementRunner } = require('../core/statement-runner.js');
const { BEGIN, END, LOAD, NONE, POOL_QUERY, STREAM, UNLOAD, callOptions } = require('../options/call-options.js');
const { readOf } = require('./read.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runTransaction } = require('./run-transaction.js');
const { Sessions, queryWithToken } = require('./session.js');
const { runner, unfold } = require('./sql.js');
const { RowStream } = require('./stream.js');
const { Statements } = require('../core/statements.js');
const { askToken, checkMode, refuseToken } = require('./token.js');
const { begin } = require('./transaction.js');

let warned = false;

/** Warns once in a process: an operator may have revoked the right on purpose. */
function warnUnidentified() {
  if (warned) return;
  warned = true;
  process.emitWarning(
    'hyperiondb-client: the user may not execute pg_control_system(), so a host of another cluster is not recognised',
    { code: 'HYPERION_NO_SYSTEM_IDENTIFIER' },
  );
}

/**
 * Checks the options. The stack of an error begins at the caller of createPool: the checks are deeper than a stack trace is long.
 * @param {unknown} options
 */
function checkOptions(options) {
  try {
    return parseOptions(options);
  } catch (error) {
    throw located(error);
  }
}

/** Whether the options declare that nothing is changed. @param {any} options not yet checked */
const isDeclaredRead = (options) => options?.readOnly === true || options?.transaction?.readOnly === true;

class Pool extends EventEmitter {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  #options;
  /** Held here, because the link holds it weakly. @type {import('../core/core-link.js').Listener} */
  #listener;
  #closed = false;
  /** Whether the core sends notices: only while `notice` has listeners. */
  #receivesNotices = false;
  /** @type {Listeners} */
  #listeners;
  /** @type {Promise<void> | undefined} */
  #ended;
  #sql = runner((fragment) => this.query(fragment));
  /** Made at first use. @type {ReturnType<typeof readOf> | undefined} */
  #read;
  /** Made for the first session: what never has one costs nothing. @type {Sessions | undefined} */
  #sessions;

  /** @param {unknown} [options] */
  constructor(options) {
    super();
    this.#options = checkOptions(options);
    const link = shared();
    this.#listener = {
      onEvent: (event) => this.#onEvent(event),
      onPassword: (request) => this.#onPassword(request),
    };
    const corePool = link.openPool(forCore(this.#options), this.#listener);
    const pool = corePool.id;
    const statements = new Statements(this.#options.statementCacheSize * 4, {
      define: ({ id, key }) => link.sendText(OP.DEFINE, 0, pool, id, 0, 0, 0, key),
      forget: ({ id }) => link.sendFrame(OP.FORGET, 0, pool, id),
    });
    this.#runner = new StatementRunner(link, corePool, statements, this.#options);
    this.#listeners = new Listeners(this.#runner, this);
  }

  /**
   * Runs a statement on any connection of the pool.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions} [options]
   */
  async query(sql, params, options) {
    if (this.#closed) throw new PoolClosedError();
    /** @type {Record<string, any>} */
    const checked = options === undefined ? NONE : callOptions(options, POOL_QUERY);
    const [text, values] = unfold(sql, params);
    const session = this.#sessions?.current();
    if (checked.token) checkMode(this.#options.mode);
    try {
      if (checked.token || session !== undefined)
        return await queryWithToken(this.#runner, text, values, checked, session);
      return await this.#runner.query(text, values, checked, 0);
    } catch (error) {
      throw located(error);
    }
  }

  /** Runs a template: an interpolated value becomes a parameter, never text. */
  get sql() {
    return this.#sql;
  }

  /** Declared reads: a function with methods, see lib/api/read.js. */
  get read() {
    this.#read ??= readOf({
      runner: this.#runner,
      balance: this.#options.reads.balance,
      nodes: () => this.nodes(),
      isClosed: () => this.#closed,
      session: () => this.#sessions?.current(),
    });
    return this.#read;
  }

  /** A consistency token: the position of the primary. */
  async token() {
    if (this.#closed) throw new PoolClosedError();
    try {
      return await askToken(this.#runner);
    } catch (error) {
      throw located(error);
    }
  }

  /**
   * Runs `fn` in a session, in which reads follow the writes before them.
   * @template T
   * @param {() => T} fn
   */
  async session(fn) {
    if (this.#closed) throw new PoolClosedError();
    if (typeof fn !== 'function') throw new ParameterError('session needs a function');
    this.#sessions ??= new Sessions(this.#options.mode, () => askToken(this.#runner));
    return this.#sessions.run(fn);
  }

  /**
   * Runs work that may write, and whose position is not known when it has ended.
   * @template T
   * @param {unknown} options
   * @param {() => Promise<T>} work
   */
  #write(options, work) {
    const session = this.#sessions?.current();
    return session === undefined || isDeclaredRead(options) ? work() : session.unsureAfter(work);
  }

  /**
   * The rows of a statement as they arrive: an async iterable for `for await`.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions & { batchSize?: number }} [options]
   */
  stream(sql, params, options) {
    if (this.#closed) throw new PoolClosedError();
    /** @type {Record<string, any>} */
    const checked = options === undefined ? NONE : callOptions(options, STREAM);
    const { batchSize = STREAM.batchSize.value } = checked;
    const runner = this.#runner;
    const [text, values] = unfold(sql, params);
    const session = checked.readOnly ? undefined : this.#sessions?.current();
    return new RowStream(runner, async (reader) => {
      const query = () => runner.query(text, values, { ...checked, batchSize, reader }, 0);
      return session === undefined ? query() : session.unsureAfter(query);
    });
  }

  /**
   * Runs several statements in one round trip.
   * @param {readonly (readonly [sql: string, params?: readonly unknown[]] | string)[]} statements
   * @param {object} [options]
   */
  async batch(statements, options) {
    if (this.#closed) throw new PoolClosedError();
    return this.#write(options, () => batch(this.#runner, statements, options));
  }

  /**
   * Runs a script by the simple protocol: migrations, dumps.
   * @param {string} script
   * @param {object} [options]
   */
  async exec(script, options) {
    if (this.#closed) throw new PoolClosedError();
    const checked = execOptions(options);
    return this.#write(undefined, () => exec(this.#runner, 0, script, checked));
  }

  /**
   * Loads rows, or data in one of COPY's formats, into a table: all of it or nothing.
   * @param {string} target
   * @param {unknown} source
   * @param {object} [options]
   */
  async copyFrom(target, source, options) {
    if (this.#closed) throw new PoolClosedError();
    const checked = callOptions(options, LOAD);
    return this.#write(undefined, () => copyFrom(this.#runner, 0, target, source, checked));
  }

  /**
   * What COPY sends, as a Readable.
   * @param {string} target
   * @param {object} [options]
   */
  copyTo(target, options) {
    if (this.#closed) throw new PoolClosedError();
    const unload = copyTo(this.#runner, 0, target, callOptions(options, UNLOAD));
    const session = this.#sessions?.current();
    return session !== undefined && mayWrite(target) ? session.unsureAfterStream(unload) : unload;
  }

  /**
   * Begins a transaction, which the caller ends.
   * @param {object} [options]
   */
  async begin(options) {
    if (this.#closed) throw new PoolClosedError();
    const checked = callOptions(options, BEGIN);
    const session = this.#sessions?.current();
    const onCommit = () => {
      if (checked.readOnly) return;
      session?.lose();
      // It may have begun outside of the session that commits it.
      this.#sessions?.current()?.lose();
    };
    return begin(this.#runner, checked, () => this.#closed, onCommit);
  }

  /**
   * Runs `callback` in a transaction: COMMIT when it returns, ROLLBACK when it throws.
   * @param {(tx: import('./transaction.js').Transaction) => unknown} callback
   * @param {object} [options]
   */
  async transaction(callback, options) {
    if (this.#closed) throw new PoolClosedError();
    const { transactionRetries, acquireTimeoutMs } = this.#options;
    const presets = { retries: transactionRetries, patienceMs: acquireTimeoutMs };
    return this.#write(options, () => runTransaction(this.#runner, callback, options, presets));
  }

  /**
   * Calls `handler` for each notification on a channel, through every failover.
   * @param {string} channel
   * @param {(payload: string, notification: object) => unknown} handler
   */
  async listen(channel, handler) {
    if (this.#closed) throw new PoolClosedError();
    return this.#listeners.listen(channel, handler);
  }

  /**
   * Ends the subscriptions of a handler, of a channel, or all.
   * @param {string} [channel]
   * @param {(payload: string, notification: object) => unknown} [handler]
   */
  async unlisten(channel, handler) {
    await this.#listeners.unlisten(channel, handler);
  }

  /**
   * Sends a notification to all who listen to a channel.
   * @param {string} channel
   * @param {string} [payload]
   */
  async notify(channel, payload) {
    await this.query('SELECT pg_catalog.pg_notify($1, $2)', [checkChannel(channel), checkPayload(payload)]);
  }

  /** The number of connections, and what they do. */
  status() {
    const [size, inUse, waiting, pipelined] = this.#runner.corePool.status();
    return { maxSize: this.#options.poolSize, size, available: size - inUse, inUse, waiting, pipelined };
  }

  /** What is known of each node. */
  nodes() {
    return JSON.parse(this.#runner.corePool.nodes());
  }

  /**
   * Accepts no more work, waits for the work in flight, and closes every connection.
   * @param {{ timeoutMs?: number }} [options]
   * @returns {Promise<void>}
   */
  async end(options) {
    const { timeoutMs = 0 } = callOptions(options, END);
    this.#ended ??= this.#end(timeoutMs);
    await this.#ended;
  }

  /** @param {number} timeoutMs */
  async #end(timeoutMs) {
    this.#closed = true;
    this.#listeners.close();
    const { link, corePool } = this.#runner;
    await link.closePool(corePool, timeoutMs);
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.end();
  }

  /** Asks the core for notices, or to stop them. @param {boolean} wanted */
  #requestNotices(wanted) {
    if (this.#closed || this.#receivesNotices === wanted) return;
    this.#receivesNotices = wanted;
    const { link, pool } = this.#runner;
    link.frames.open(OP.NOTICES, 0, pool, 0, 0, 0, Number(wanted), 0);
    link.frames.close();
    link.flushSoon();
  }

  /** @param {Record<string, unknown>} report of the core */
  #onEvent({ event, ...detail }) {
    // Not during the delivery of a batch: a listener that throws must not prevent other results.
    process.nextTick(() => {
      if (event === 'notification') {
        this.#listeners.dispatch(/** @type {any} */ (detail));
      } else if (event === 'unidentified') {
        warnUnidentified();
      } else if (event === 'error') {
        this.emit(event, fromCore(JSON.stringify(detail)));
      } else if (event === 'gap') {
        const { since, until, ...rest } = /** @type {any} */ (detail);
        this.emit(event, { ...rest, since: new Date(since), until: new Date(until) });
      } else {
        const hasListeners = this.emit(/** @type {string} */ (event), detail);
        // Here, because listeners can be removed without a call of off(): removeAllListeners().
        if (event === 'notice' && !hasListeners) this.#requestNotices(false);
      }
    });
  }

  /** @param {number} request */
  async #onPassword(request) {
    const { link, pool } = this.#runner;
    let flags = 0;
    let text;
    try {
      text = await this.#options.password();
      if (typeof text !== 'string') throw new ParameterError('it did not return a string');
      if (text.includes('\0')) throw new ParameterError('it returned a string with a NUL character');
    } catch (error) {
      flags = FLAG.FAILED;
      rememberCause(request, error);
      text = error instanceof Error ? error.message : String(error);
      this.emit('error', error);
    }
    link.sendText(OP.PASSWORD, request, pool, 0, 0, flags, 0, text);
  }

  /**
   * An `error` event without listeners does nothing: an idle pool must not end the process.
   * @param {string | symbol} event
   * @param {...any} rest
   */
  emit(event, ...rest) {
    if (event === 'error' && this.listenerCount('error') === 0) return false;
    return super.emit(event, ...rest);
  }

  // once() and the other methods that add a listener call one of these three.
  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  on(event, listener) {
    if (event === 'notice') this.#requestNotices(true);
    return super.on(event, listener);
  }

  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  addListener(event, listener) {
    return this.on(event, listener);
  }

  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  prependListener(event, listener) {
    if (event === 'notice') this.#requestNotices(true);
    return super.prependListener(event, listener);
  }

  /** Shows the state, but no password, key or connection string. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    const { hosts, user, database, mode } = this.#options;
    const list = hosts.map((/** @type {any} */ { host, port }) => `${host}:${port}`);
    return { hosts: list, user, database, mode, ...this.status() };
  }

  toJSON() {
    return this.status();
  }
}

addRowExpectations(Pool, refuseToken);

/**
 * Opens a pool over the nodes of a cluster. Connects when it is first used.
 * @param {unknown} [options]
 */
function createPool(options) {
  return new Pool(options);
}

module.exports = { Pool, createPool };
