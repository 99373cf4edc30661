'use strict';

// How a client gets its session, loses it and ends it. A client holds one session of the core from connect() to end().

const { EventEmitter } = require('node:events');
const { deprecate } = require('node:util');
const { OptionError } = require('../../client.js');
const Connection = require('./connection.js');
const ConnectionParameters = require('./connection-parameters.js');
const defaults = require('./defaults.js');
const { hold, letGo } = require('./keep-alive.js');
const { guarded, unsent } = require('./query.js');
const { lastWords, openPool, openSession, openingError } = require('./session.js');
const TypeOverrides = require('./type-overrides.js');

/** How long the statement that runs at end() may go on before it is cancelled. */
const GRACE_MS = 100;

const warnOfPromise = deprecate(
  () => {},
  'Passing a custom Promise implementation to the Client/Pool constructor is deprecated and will be removed in pg@9.0.',
);

/** What only a client that speaks the protocol itself can take. */
const IMPOSSIBLE = ['connection', 'stream', 'replication'];

/** What console.log(client) does not show, because pg has no such members. */
const UNSEEN = [
  '_session',
  '_pool',
  '_isIdle',
  '_isRetired',
  '_hasTimedOut',
  '_sent',
  '_answer',
  '_connectionCallback',
];

/** @param {Record<string, any>} config */
function refuseImpossible(config) {
  const name = IMPOSSIBLE.find((option) => config[option]);
  if (name !== undefined) {
    const ErrorClass = /** @type {any} */ (OptionError);
    throw new ErrorClass(`${name} is not supported by hyperiondb-client/pg: the core makes its connections itself`);
  }
}

class Lifecycle extends EventEmitter {
  #config;
  #isHeld = false;
  #isReferenced = true;
  #isClosing = false;
  /** @type {any} */
  #loss;
  #wasIdle = false;
  /** @type {AbortController | undefined} */
  #opening;
  /** Of a client without a Pool. @type {any} */
  #ownPool;

  /** @param {any} [config] */
  constructor(config) {
    super();
    const given = config || {};
    refuseImpossible(given);
    this.#config = config;
    /** @type {any} */
    this.connectionParameters = new ConnectionParameters(config);
    this.user = this.connectionParameters.user;
    this.database = this.connectionParameters.database;
    this.port = this.connectionParameters.port;
    this.host = this.connectionParameters.host;
    Object.defineProperty(this, 'password', {
      configurable: true,
      enumerable: false,
      writable: true,
      value: this.connectionParameters.password,
    });
    this.replication = this.connectionParameters.replication;
    if (given.Promise) warnOfPromise();
    this._Promise = given.Promise || Promise;
    this._types = new TypeOverrides(given.types);
    this._ending = false;
    this._ended = false;
    this._connecting = false;
    this._connected = false;
    this._connectionError = false;
    this._queryable = true;
    /** @type {any} */
    this._activeQuery = null;
    /** @type {string | null} */
    this._txStatus = null;
    this.readyForQuery = false;
    this.hasExecuted = false;
    /** @type {any[]} */
    this._queryQueue = [];
    /** @type {any[]} */
    this._sentQueryQueue = [];
    this.pipeline = Boolean(given.pipeline);
    this.binary = given.binary || defaults.binary;
    /** @type {number | null} */
    this.processID = null;
    /** @type {number | null} */
    this.secretKey = null;
    this.ssl = this.connectionParameters.ssl || false;
    if (this.ssl?.key) Object.defineProperty(this.ssl, 'key', { enumerable: false });
    this._connectionTimeoutMillis = given.connectionTimeoutMillis || 0;
    this.connection = new Connection({ ssl: this.ssl });
    /** The session of the core. @type {any} */
    this._session = null;
    /** The Pool that the client belongs to. @type {any} */
    this._pool = null;
    /** Whether nobody has taken the client from its pool. */
    this._isIdle = false;
    /** Whether the node of the session is not to be used any more. */
    this._isRetired = false;
    this._hasTimedOut = false;
    /** The query that the session works for. @type {any} */
    this._sent = null;
    /** Its answer. @type {any} */
    this._answer = null;
    /** @type {any} */
    this._connectionCallback = null;
    for (const name of UNSEEN) Object.defineProperty(this, name, { enumerable: false });
    this.connection._serve(this);
  }

  /** @param {(error: any, client?: any) => void} [callback] */
  connect(callback) {
    if (callback) {
      this._connect(callback);
      return undefined;
    }
    return new this._Promise((/** @type {any} */ resolve, /** @type {any} */ reject) => {
      this._connect((error) => (error ? reject(error) : resolve(this)));
    });
  }

  /** @param {(error: any, client?: any) => void} callback */
  _connect(callback) {
    if (this._connecting || this._connected) {
      const error = new Error('Client has already been connected. You cannot reuse a client.');
      process.nextTick(() => callback(error));
      return;
    }
    this._connecting = true;
    this.connection._connecting = true;
    this._connectionCallback = callback;
    this.#open().then(
      (session) => this.#opened(session),
      (error) => this.#notOpened(error),
    );
  }

  async #open() {
    this.#opening = new AbortController();
    const source = this._pool === null ? openPool(this, this.#config, { poolSize: 1 }) : this._pool._source();
    if (this._pool === null) this.#ownPool = source;
    return await openSession(source, this.#handlers(), this.#opening.signal);
  }

  #handlers() {
    return {
      notice: (/** @type {any} */ fields) => this.connection._notice(fields),
      notification: (/** @type {any} */ notification) => this.connection._notification(notification),
      parameter: (/** @type {string} */ name, /** @type {string} */ value) => this.connection._parameter(name, value),
      lost: (/** @type {unknown} */ error) => this.#lost(error),
      retired: () => this.#retired(),
    };
  }

  /** @param {any} session */
  #opened(session) {
    this._session = session;
    this.#opening = undefined;
    if (this._ending) {
      this.#tellConnected(new Error('Connection terminated'));
      this._close();
      return;
    }
    this._connecting = false;
    this._connected = true;
    this.processID = session.processId;
    this.secretKey = session.secretKey;
    this._txStatus = session.transactionStatus;
    if (this.#isReferenced) this.ref();
    for (const [name, value] of Object.entries(session.parameters)) this.connection._parameter(name, value);
    this.readyForQuery = this._queryQueue.length === 0;
    this.#tellConnected(null);
    guarded(() => this.emit('connect'));
    if (this.#loss !== undefined) this.#finishLoss(this.#loss);
    else if (this._activeQuery === null) this.readyForQuery = true;
    this._pulseQueryQueue();
  }

  /** @param {any} error */
  #notOpened(error) {
    this._connectionError = true;
    this._queryable = false;
    this.#opening = undefined;
    const shown = this._ending ? new Error('Connection terminated', { cause: error }) : openingError(error);
    this.#tellConnected(shown);
    this.#finish(new Error('Connection terminated unexpectedly', { cause: error }));
  }

  /** @param {any} error null: connected */
  #tellConnected(error) {
    const callback = this._connectionCallback;
    this._connectionCallback = null;
    guarded(() => (error === null ? callback(null, this) : callback(error)));
  }

  /** @param {unknown} reason */
  #lost(reason) {
    this._queryable = false;
    // What a query was told is not told again.
    this.#wasIdle = this._activeQuery === null;
    this.#loss = reason ?? null;
    if (this._session === null) return;
    // A query that was given to the session while it was lost has an answer of its own, which says whether it was sent.
    const finish = () => setImmediate(() => this.#finishLoss(reason));
    if (this.#wasIdle) this.#finishLoss(reason);
    else if (this._activeQuery === this._sent) this._answer.then(finish, finish);
    else finish();
  }

  /**
   * The session has ended while it worked for a query. As from pg, its holder hears of the session before it hears of the query: a library with
   * a pool of its own (Knex, Sequelize) would lend the client to the next who waits.
   * @param {unknown} reason
   * @param {Error} shown what the query is told: its holder may take that for the end of the query, as pool.query() does
   */
  _loseWith(reason, shown) {
    this._queryable = false;
    this.#wasIdle = false;
    // It may live: where a wait for a standby was cut short, only the outcome of the query was lost.
    this._session.close();
    this.#finishLoss(reason, shown);
  }

  /**
   * The session has ended since the server answered the query that is about to be told. Its Pool looks for itself.
   * @param {Error} [shown] what the server said of the end, if it is the answer
   */
  _loseNow(shown) {
    if (this._pool === null && this.#loss !== undefined) this.#finishLoss(this.#loss, shown);
  }

  /** @param {any} reason @param {Error} [shown] */
  #finishLoss(reason, shown) {
    if (this._ended) return;
    const error = new Error(this._ending ? 'Connection terminated' : 'Connection terminated unexpectedly', {
      cause: reason,
    });
    this.#finish(error);
    if (this._ending) return;
    // As in pg: what the server said of an idle session, and then that the session has ended.
    const words = this.#wasIdle ? lastWords(reason) : null;
    if (words !== null) this._emitError(words);
    this._emitError(shown ?? error);
    this._pool?._pulseQueue();
  }

  /** The session has ended, or there never was one. @param {Error} error for the queries that are left */
  #finish(error) {
    if (this._ended) return;
    this._errorAllQueries(error);
    this._ended = true;
    this.unref();
    const end = () => {
      guarded(() => this.connection.emit('end'));
      process.nextTick(() => this.emit('end'));
    };
    if (this.#ownPool === undefined) end();
    else this.#ownPool.end().then(end, end);
  }

  /** An error that nobody listens to does not end the process. @param {any} error */
  _emitError(error) {
    if (this.listenerCount('error') > 0) guarded(() => this.emit('error', error));
    // A program may have removed the listener of the pool.
    if (this._isIdle) this._pool._idleClientFailed(this, error);
  }

  #retired() {
    this._isRetired = true;
    if (this._isIdle) this._pool._idleClientRetired(this);
    else this._endIfRetired();
  }

  /**
   * A node that has lost its role sends no notifications any more. So a client that waits for them is told that it has to connect
   * again, and so is one without a pool; one of a pool that waits for nothing is dropped when it is released.
   */
  _endIfRetired() {
    if (this._ending || this._ended || this._activeQuery || this._queryQueue.length > 0 || this._txStatus !== 'I')
      return;
    if (this._pool !== null && this.listenerCount('notification') === 0) return;
    this._terminate(new Error('the node of the session is no longer the primary'));
  }

  /** Ends the session as if it were lost. @param {unknown} [reason] */
  _terminate(reason) {
    if (this._ended || this.#isClosing) return;
    if (this._session === null) {
      this.#opening?.abort(reason);
      return;
    }
    this.#isClosing = true;
    this._queryable = false;
    this.#endSession(0, () => this.#finishLoss(reason));
    this.#finishLoss(reason);
  }

  /** @param {() => void} [callback] */
  end(callback) {
    this._ending = true;
    if (!this.connection._connecting || this._ended) {
      if (callback) callback();
      return callback ? undefined : this._Promise.resolve();
    }
    const isBusy = this._activeQuery || this._sentQueryQueue.length > 0 || this._queryQueue.length > 0;
    if (this.pipeline && this._queryable && this._connected && isBusy) this.once('drain', () => this._close());
    else this._close();
    if (callback) {
      this.connection.once('end', callback);
      return undefined;
    }
    return new this._Promise((/** @type {any} */ resolve) => {
      this.connection.once('end', () => resolve());
    });
  }

  _close() {
    if (this.#isClosing) return;
    if (this._session === null) {
      this.#opening?.abort();
      return;
    }
    this.#isClosing = true;
    const grace = this._hasTimedOut ? 0 : GRACE_MS;
    this.#endSession(this._activeQuery ? grace : undefined, () => this.#finish(new Error('Connection terminated')));
  }

  /**
   * @param {number | undefined} cancelAfter what runs is cancelled so long after now, in milliseconds; undefined: nothing runs
   * @param {() => void} ended
   */
  #endSession(cancelAfter, ended) {
    const session = this._session;
    this.connection._abandon();
    const timer = cancelAfter === undefined ? undefined : setTimeout(() => session.cancel(), cancelAfter);
    const done = () => {
      clearTimeout(timer);
      ended();
    };
    session.close().then(done, done);
  }

  /** @param {any} error */
  _errorAllQueries(error) {
    const sent = [this._activeQuery, ...this._sentQueryQueue].filter(Boolean);
    const waiting = this._queryQueue.splice(0);
    this._activeQuery = null;
    this._sentQueryQueue.length = 0;
    for (const query of sent) process.nextTick(() => query.handleError(error, this.connection));
    for (const query of waiting) {
      const own = unsent(new Error(error.message, { cause: error.cause }), !this._ending);
      process.nextTick(() => query.handleError(own, this.connection));
    }
  }

  /** Whether the pool has no use for the client: a transaction that somebody has begun by hand is not taken away from its session. */
  get _isSpent() {
    return !this._queryable || (this._isRetired && this._txStatus === 'I');
  }

  /** Whether an answer of the session is for nobody any more. */
  get _isClosing() {
    return this.#isClosing;
  }

  _pulseQueryQueue() {}

  /** The open connection keeps the process alive. */
  ref() {
    this.#isReferenced = true;
    if (this.#isHeld || this._session === null || this._ended) return;
    this.#isHeld = true;
    hold();
  }

  unref() {
    this.#isReferenced = false;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    letGo();
  }
}

module.exports = Lifecycle;
