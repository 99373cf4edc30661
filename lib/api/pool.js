'use strict';

// The pool: checks calls, hands them to the files that do the work, and emits what the core reports.

const { Ambient } = require('./ambient.js');
const { batch } = require('./batch.js');
const { shared } = require('../core/core-link.js');
const { OP } = require('../core/numbers.js');
const { copyFrom, copyTo, mayWrite } = require('./copy/index.js');
const { ParameterError, PoolClosedError, located, transactionOpen } = require('../errors.js');
const { exec, execOptions } = require('./exec.js');
const { Listeners, checkChannel, checkPayload } = require('./listen.js');
const { asideOptions, nodeOptions } = require('./inner-pools.js');
const { checkOptions, forCore } = require('../options/options.js');
const { StatementRunner } = require('../core/statement-runner.js');
const { BEGIN, END, LOAD, NONE, POOL_QUERY, STREAM, UNLOAD, callOptions } = require('../options/call-options.js');
const { ObservedPool, ended, opened, withName } = require('./observed-pool.js');
const { pinSession } = require('./pinned-session.js');
const { queryPlain } = require('./query-plain.js');
const { readOf } = require('./read.js');
const { Reaper, noLease } = require('./reaper.js');
const { Reports } = require('./reports.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runTransaction } = require('./run-transaction.js');
const { Sessions, queryWithToken } = require('./session.js');
const { runner, unfold } = require('./sql.js');
const { RowStream } = require('./stream.js');
const { Statements } = require('../core/statements.js');
const { withMembers } = require('../options/with-members.js');
const { askToken, checkMode, refuseToken } = require('./token.js');
const { begin, endPrepared } = require('./transaction.js');

const ASIDE = Symbol.for('hyperiondb-client.aside');

class Pool extends ObservedPool {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  #options;
  #closed = false;
  /** Held here, because the link holds it weakly. @type {Reports} */
  #reports;
  /** @type {Listeners} */
  #listeners;
  /** @type {Promise<void> | undefined} */
  #ended;
  #sql = runner((fragment) => this.query(fragment));
  /** Made at first use. @type {ReturnType<typeof readOf> | undefined} */
  #read;
  /** None without the option `ambient`, unless a test joins. @type {Ambient | undefined} */
  #ambient;
  /** Made for the first session: what never has one costs nothing. @type {Sessions | undefined} */
  #sessions;
  /** See [ASIDE]. @type {Pool | undefined} */
  #second;
  /** @type {Reaper | undefined} */
  #reaper;

  /** @param {unknown} [options] @param {Readonly<Record<string, any>>} [checked] those of a pool that another one opens beside itself */
  constructor(options, checked) {
    super(() => this.#reports.requestNotices(true));
    this.#options = checked ?? withName(checkOptions(options));
    const link = shared();
    this.#reports = new Reports({
      emit: (event, ...details) => this.emit(event, ...details),
      dispatch: (notification) => this.#listeners.dispatch(notification),
      isClosed: () => this.#closed,
      password: () => this.#options.password(),
      lease: this.#options.lease,
      onLease: (event) => this.#reaper?.onEvent(event),
      // The core may have been called from within a transaction: its reports do not belong to that.
      run: (work) => this.outside(work),
    });
    const corePool = link.openPool(forCore(this.#options), this.#reports);
    const pool = corePool.id;
    const statements = new Statements(this.#options.statementCacheSize * 4, {
      define: ({ id, definition }) => link.sendText(OP.DEFINE, 0, pool, id, 0, 0, 0, definition),
      forget: ({ id }) => link.sendFrame(OP.FORGET, 0, pool, id),
    });
    this.#runner = new StatementRunner(link, corePool, statements, this.#options, this);
    this.#reports.runner = this.#runner;
    opened(this, this.#runner, this.#options, checked === undefined ? 'of the program' : 'beside another');
    this.#listeners = new Listeners(this.#runner, this);
    if (this.#options.lease !== null) this.#reaper = this.#makeReaper();
    if (this.#options.ambient !== false) this.#ambient = new Ambient(this.#runner, this.#options.ambient);
  }

  /**
   * The scope of a transaction that a call joins.
   * @param {string} method
   * @param {any} [options] not yet checked
   */
  #joined(method, options) {
    if (this.#ambient === undefined) return undefined;
    const scope = this.#ambient.scope(method);
    const session = this.#sessions?.current();
    if (scope !== undefined && session !== undefined && options?.readOnly !== true) {
      // A write of the session, whose position is not known before COMMIT.
      scope.root.whenCommitted(session.loseIt);
    }
    return scope?.handle;
  }

  /**
   * Runs a statement on any connection of the pool.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions} [options]
   */
  query(sql, params, options) {
    const isAside = this.#closed || this.#ambient !== undefined || this.#sessions !== undefined;
    if (isAside || options !== undefined || !this.#runner.isPlain) return this.#query(sql, params, options);
    return queryPlain(this.#runner, sql, params);
  }

  /** @param {any} sql @param {any} params @param {any} options */
  async #query(sql, params, options) {
    if (this.#closed) throw new PoolClosedError();
    if (this.#ambient !== undefined) {
      const tx = this.#joined('query', options);
      if (tx !== undefined) return await joinedQuery(tx, sql, params, options);
    }
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
      scope: () => (this.#ambient === undefined ? undefined : this.#ambient.scope('read')),
    });
    return this.#read;
  }

  /** A consistency token: the position of the primary. */
  async token() {
    if (this.#closed) throw new PoolClosedError();
    if (this.#ambient?.scope('token') !== undefined && !this.#ambient.isTest) {
      throw transactionOpen('token(): the position of a transaction is known only after COMMIT');
    }
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

  /** @template T @param {unknown} options @param {() => Promise<T>} work */
  #write(options, work) {
    return this.#sessions === undefined ? work() : this.#sessions.write(options, work);
  }

  /**
   * The rows of a statement as they arrive: an async iterable for `for await`.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions & { batchSize?: number }} [options]
   */
  stream(sql, params, options) {
    if (this.#closed) throw new PoolClosedError();
    const tx = this.#joined('stream', options);
    if (tx !== undefined) return tx.stream(sql, params, options);
    /** @type {Record<string, any>} */
    const checked = options === undefined ? NONE : callOptions(options, STREAM);
    const { batchSize = STREAM.batchSize.value } = checked;
    const [text, values] = unfold(sql, params);
    const session = checked.readOnly ? undefined : this.#sessions?.current();
    return new RowStream(this.#runner, async (reader) => {
      const query = () => this.#runner.query(text, values, withMembers(checked, { batchSize, reader }), 0);
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
    const tx = this.#joined('batch', options);
    if (tx !== undefined) return await Ambient.batch(tx, statements, options);
    return this.#write(options, () => batch(this.#runner, statements, options));
  }

  /**
   * Runs a script by the simple protocol: migrations, dumps.
   * @param {string} script
   * @param {object} [options]
   */
  async exec(script, options) {
    if (this.#closed) throw new PoolClosedError();
    const tx = this.#joined('exec');
    if (tx !== undefined) return await tx.exec(script, options);
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
    const tx = this.#joined('copyFrom');
    if (tx !== undefined) return await tx.copyFrom(target, source, options);
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
    const tx = this.#joined('copyTo');
    if (tx !== undefined) return tx.copyTo(target, options);
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
    if (this.#ambient?.scope('begin') !== undefined) {
      throw transactionOpen('begin(): a transaction is open here: call tx.transaction(), or begin() in pool.outside()');
    }
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
   * @param {(tx: import('./transaction-handle.js').Transaction) => unknown} callback
   * @param {object} [options]
   */
  async transaction(callback, options) {
    if (this.#closed) throw new PoolClosedError();
    const ambient = this.#ambient;
    const tx = this.#joined('transaction', options);
    if (tx !== undefined) return await /** @type {Ambient} */ (ambient).transaction(tx, callback, options);
    if (ambient === undefined && /** @type {any} */ (options)?.nested !== undefined) {
      throw new ParameterError('nested: it needs a pool with the option `ambient`');
    }
    const run = ambient === undefined ? callback : ambient.entering(callback);
    return this.#write(options, () => runTransaction(this.#runner, run, options, this.#options, () => this[ASIDE]()));
  }

  /**
   * Runs `fn` outside of the transaction in whose context it is called.
   * @template T
   * @param {() => T} fn
   * @returns {T}
   */
  outside(fn) {
    return this.#ambient === undefined ? fn() : this.#ambient.outside(fn);
  }

  /** Whether calls join an open transaction here. */
  get inTransaction() {
    return this.#ambient?.inTransaction ?? false;
  }

  /**
   * Lets every call join a transaction, whatever its context, until it is called with undefined: for the test kit.
   * @param {import('./transaction-handle.js').Transaction | undefined} tx
   */
  [Symbol.for('hyperiondb-client.join')](tx) {
    const { ambient: mode } = this.#options;
    const ambient = this.#ambient ?? new Ambient(this.#runner, mode);
    ambient.join(tx);
    this.#ambient = tx === undefined && mode === false ? undefined : ambient;
  }

  /** For hyperiondb-client/pg: a session that its caller has to itself. @type {import('./pinned-session.js').Pin} */
  async [Symbol.for('hyperiondb-client.session')](handlers, options) {
    if (this.#closed) throw new PoolClosedError();
    return pinSession(this.#runner, handlers, options);
  }

  /** A small pool with the same options, for questions that may not wait for the callers of this one; for hyperiondb-client/clusters, too. */
  [ASIDE]() {
    this.#second ??= new Pool(undefined, asideOptions(this.#options, this));
    return this.#second;
  }

  #makeReaper() {
    const isClosed = () => this.#closed;
    return new Reaper({
      options: this.#options,
      link: this.#runner.link,
      // While the pool ends, too: it waits for the pass.
      query: (sql, params, options) => this.#runner.query(sql, params, callOptions(options, POOL_QUERY), 0),
      nodes: () => this.nodes(),
      open: (host) => new Pool(undefined, nodeOptions(this.#options, host, this)),
      isClosed,
      tell: (detail) => this.outside(() => this.emit('lease', detail)),
    });
  }

  /** For hyperiondb-client/clusters: COMMIT PREPARED or ROLLBACK PREPARED. @type {import('./transaction.js').EndPrepared} */
  async [Symbol.for('hyperiondb-client.endPrepared')](how, gid, limits) {
    await endPrepared(this.#runner, how, gid, limits);
  }

  /** For hyperiondb-client/serverless: a process may be frozen when it has its answer, so the answer waits for a pass that has begun. */
  async [Symbol.for('hyperiondb-client.passed')]() {
    await this.#reaper?.settled();
  }

  /** Ends sessions whose lease has expired. */
  async reap() {
    if (this.#closed) throw new PoolClosedError();
    if (this.#reaper === undefined) throw noLease();
    return this.#reaper.reap();
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

  /** Accepts no more work, waits for the work in flight, and closes every connection. @param {{ timeoutMs?: number }} [options] */
  async end(options) {
    const { timeoutMs = 0 } = callOptions(options, END);
    this.#ended ??= this.#end(timeoutMs);
    await this.#ended;
  }

  /** @param {number} timeoutMs */
  async #end(timeoutMs) {
    this.#closed = true;
    this.#listeners.close();
    await this.#reaper?.settled(timeoutMs);
    const { link, corePool } = this.#runner;
    await link.closePool(corePool, timeoutMs);
    ended(this);
    await this.#second?.end({ timeoutMs });
    await this.#reaper?.end({ timeoutMs });
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.end();
  }
}

/**
 * A query of the pool that has joined a transaction.
 * @param {import('./transaction-handle.js').Transaction} tx
 * @param {any} sql
 * @param {any} params
 * @param {any} options not yet checked
 */
async function joinedQuery(tx, sql, params, options) {
  if (options?.commit === true) {
    throw new ParameterError('commit: the call has joined a transaction, whose end belongs to tx: use tx.query()');
  }
  return tx.query(sql, params, options);
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
