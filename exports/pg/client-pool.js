'use strict';

// The clients of a pool, each with its session, that are lent to one holder at a time. Events, counts and order are those of pg-pool
// 3.14; what this one does more is to look at a session before it lends it. Queries of the pool itself are in pool.js.

const { EventEmitter } = require('node:events');
const Client = require('./client.js');
const { IdleClients } = require('./idle-clients.js');
const { Pipelines } = require('./pipelines.js');
const { guarded, located } = require('./query.js');
const { mayBeMisplaced, openPool } = require('./session.js');

/** @typedef {import('./client.js')} Lent */
/** @typedef {(error: any, client?: any, release?: any) => void} Callback */

const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const NOOP = () => {};

/** Who waits for a client. */
class Waiting {
  timedOut = false;
  /** A query that may be sent behind others. @type {any} */
  query = undefined;

  /** @param {Callback} callback */
  constructor(callback) {
    this.callback = callback;
  }
}

/**
 * A promise that a callback settles, unless the caller has given one.
 * @param {any} PromiseClass
 * @param {any} [callback]
 * @returns {{ callback: any, result: any }}
 */
function promised(PromiseClass, callback) {
  if (callback) return { callback, result: undefined };
  /** @type {any} */
  let settle;
  const result = new PromiseClass((/** @type {any} */ resolve, /** @type {any} */ reject) => {
    settle = (/** @type {any} */ error, /** @type {any} */ value) => (error ? reject(error) : resolve(value));
  }).catch((/** @type {any} */ error) => {
    throw located(error);
  });
  return { callback: settle, result };
}

/** Hides a secret from console.log(). @param {Record<string, any>} holder @param {string} name */
function hide(holder, name) {
  Object.defineProperty(holder, name, { value: holder[name], configurable: true, enumerable: false, writable: true });
}

/** What console.log() shows of options: a connection string may have a password. @this {Record<string, any>} */
function withoutSecrets() {
  return { ...this, connectionString: '(not shown)' };
}

class ClientPool extends EventEmitter {
  /** The pool of the core whose sessions the clients hold; made with the first client. @type {any} */
  #core;
  /** Whether sessions that were silent are looked at before they are lent. */
  #looks = true;
  /** For the short ways of a query in pool.js. */
  _idleClients;
  _pipelines;
  /** @type {any} */
  _endCallback;

  /**
   * @param {any} [options]
   * @param {any} [ClientClass]
   */
  constructor(options, ClientClass) {
    super();
    /** @type {Record<string, any>} */
    this.options = { ...options };
    if (options && 'password' in options) hide(this.options, 'password');
    if (options?.connectionString) Object.defineProperty(this.options, INSPECT, { value: withoutSecrets });
    if (this.options.ssl?.key) Object.defineProperty(this.options.ssl, 'key', { enumerable: false });
    this.options.max = this.options.max || this.options.poolSize || 10;
    this.options.min = this.options.min || 0;
    this.options.maxUses = this.options.maxUses || Infinity;
    this.options.allowExitOnIdle = this.options.allowExitOnIdle || false;
    this.options.maxLifetimeSeconds = this.options.maxLifetimeSeconds || 0;
    if (this.options.idleTimeoutMillis === undefined) this.options.idleTimeoutMillis = 10_000;
    this.log = this.options.log || NOOP;
    this.Client = this.options.Client || ClientClass || Client;
    this.Promise = this.options.Promise || Promise;
    /** @type {any[]} */
    this._clients = [];
    this._idleClients = new IdleClients(this);
    this._pipelines = new Pipelines(this);
    this._expired = new WeakSet();
    /** @type {Waiting[]} */
    this._pendingQueue = [];
    this.ending = false;
    this.ended = false;
  }

  get _idle() {
    return this._idleClients.items;
  }

  get waitingCount() {
    return this._pendingQueue.length + this._pipelines.waiting;
  }

  get idleCount() {
    return this._idle.length;
  }

  get totalCount() {
    return this._clients.length;
  }

  get expiredCount() {
    return this._clients.filter((client) => this._expired.has(client)).length;
  }

  /** For the clients: where their sessions come from. */
  _source() {
    if (this.#core === undefined) {
      this.#core = openPool(this, this.options);
      this.#looks = mayBeMisplaced(this.#core, this.options);
    }
    return this.#core;
  }

  /** A client whose session is lost takes no place, because some libraries never release the client of a BEGIN that failed. */
  _isFull() {
    const { max } = this.options;
    return this._clients.length >= max && this._clients.filter(isAlive).length >= max;
  }

  _isAboveMin() {
    return this._clients.length > this.options.min;
  }

  _pulseQueue() {
    this.log('pulse queue');
    if (this.ended) {
      this.log('pulse queue ended');
    } else if (this.ending) {
      this.log('pulse queue on ending');
      this.#pulseEnd();
    } else {
      this.#serve();
    }
  }

  #pulseEnd() {
    for (const { client } of [...this._idle]) this._remove(client);
    if (this._clients.some(isAlive)) return;
    this.ended = true;
    const callback = this._endCallback;
    if (this.#core === undefined) callback();
    else this.#core.end().then(() => callback(), callback);
  }

  /** Gives one of those who wait a client, if there is one. */
  #serve() {
    while (this._pendingQueue.length > 0) {
      const idle = this._idleClients.take();
      if (idle === undefined) {
        if (!this._isFull()) this.newClient(/** @type {Waiting} */ (this._pendingQueue.shift()));
        return;
      }
      const { client } = idle;
      if (client instanceof Client && client._isSpent) {
        this._remove(client);
      } else {
        const waiting = /** @type {Waiting} */ (this._pendingQueue.shift());
        if (client instanceof Client && this._isDoubtful(client)) this.#check(client, waiting);
        else this._acquireClient(client, waiting, false);
        return;
      }
    }
    this.log('no queued requests');
  }

  /** @param {Lent} client */
  _isDoubtful(client) {
    return this.#looks && client._txStatus === 'I' && client._session.isStale;
  }

  /** The node of a session that was silent may have lost its role. @param {Lent} client @param {Waiting} waiting */
  #check(client, waiting) {
    client._session.check().then(
      () => {
        if (waiting.timedOut || this.ending) this.#putBack(client, waiting);
        else this._acquireClient(client, waiting, false);
      },
      () => {
        this._remove(client);
        // The other idle ones may be as old: each would be looked at until its time was over.
        if (waiting.timedOut || this.ending) this._pulseQueue();
        else this.newClient(waiting);
      },
    );
  }

  /** @param {Lent} client @param {Waiting} waiting who does not want it any more, or may not have it */
  #putBack(client, waiting) {
    if (!waiting.timedOut)
      waiting.callback(new Error('Cannot use a pool after calling end on the pool'), undefined, NOOP);
    this._idleClients.add(client);
    this._pulseQueue();
  }

  /** @param {any} client @param {() => void} [callback] */
  _remove(client, callback) {
    this._idleClients.remove(client);
    this._clients = this._clients.filter((other) => other !== client);
    client.end(() => {
      this.emit('remove', client);
      if (typeof callback === 'function') callback();
    });
  }

  /** For the clients that are idle. @param {any} client @param {any} error */
  _idleClientFailed(client, error) {
    error.client = client;
    this._remove(client);
    // Where nobody listens, pg ends the process.
    if (this.listenerCount('error') > 0) guarded(() => this.emit('error', error, client));
    this._pulseQueue();
  }

  /** @param {any} client */
  _idleClientRetired(client) {
    if (!client._isSpent) return;
    this._remove(client);
    this._pulseQueue();
  }

  /** @param {Callback} [callback] (error, client, release) */
  connect(callback) {
    if (this.ending) {
      const error = new Error('Cannot use a pool after calling end on the pool');
      return callback ? callback(error) : this.Promise.reject(error);
    }
    const response = promised(this.Promise, callback);
    this._enqueue(response.callback);
    return response.result;
  }

  /** @param {Callback} callback @param {any} [query] which may be given the pipeline of a client, too */
  _enqueue(callback, query) {
    if (!this._isFull() && this._idle.length === 0) {
      this.newClient(new Waiting(callback));
      return;
    }
    if (this._idle.length > 0) process.nextTick(pulse, this);
    const { connectionTimeoutMillis } = this.options;
    const waiting = connectionTimeoutMillis
      ? this.#waitingFor(connectionTimeoutMillis, callback)
      : new Waiting(callback);
    waiting.query = query;
    this._pendingQueue.push(waiting);
  }

  /** @param {number} ms @param {Callback} callback */
  #waitingFor(ms, callback) {
    const waiting = new Waiting((error, client, release) => {
      clearTimeout(timer);
      callback(error, client, release);
    });
    const timer = setTimeout(() => {
      const index = this._pendingQueue.indexOf(waiting);
      if (index >= 0) this._pendingQueue.splice(index, 1);
      waiting.timedOut = true;
      callback(new Error('timeout exceeded when trying to connect'));
    }, ms);
    timer.unref?.();
    return waiting;
  }

  /** @param {Waiting} waiting */
  newClient(waiting) {
    const client = new this.Client(this.options);
    if (client instanceof Client) client._pool = this;
    this._idleClients.listenTo(client);
    this._clients.push(client);
    this.log('connecting new client');
    client.connect((/** @type {any} */ error) => {
      if (error) this.#notConnected(client, waiting, error);
      else this.#connected(client, waiting);
    });
  }

  /** @param {any} client @param {Waiting} waiting @param {any} error */
  #notConnected(client, waiting, error) {
    this.log('client failed to connect', error);
    this._clients = this._clients.filter((other) => other !== client);
    this._pulseQueue();
    if (waiting.timedOut) return;
    const shown =
      error.message === 'timeout expired'
        ? new Error('Connection terminated due to connection timeout', { cause: error })
        : error;
    waiting.callback(shown, undefined, NOOP);
  }

  /** @param {any} client @param {Waiting} waiting */
  #connected(client, waiting) {
    this.log('new client connected');
    const { onConnect } = this.options;
    if (!onConnect) {
      this._afterConnect(client, waiting);
      return;
    }
    new this.Promise((/** @type {any} */ resolve) => resolve(onConnect(client))).then(
      () => this._afterConnect(client, waiting),
      (/** @type {any} */ error) => {
        this._clients = this._clients.filter((other) => other !== client);
        client.end(() => {
          this._pulseQueue();
          if (!waiting.timedOut) waiting.callback(error, undefined, NOOP);
        });
      },
    );
  }

  /** @param {any} client @param {Waiting} waiting */
  _afterConnect(client, waiting) {
    const seconds = this.options.maxLifetimeSeconds;
    if (seconds !== 0) {
      const timer = setTimeout(() => this.#expire(client), seconds * 1000);
      timer.unref?.();
      client.once('end', () => clearTimeout(timer));
    }
    this._acquireClient(client, waiting, true);
  }

  /** @param {any} client */
  #expire(client) {
    this.log('ending client due to expired lifetime');
    this._expired.add(client);
    if (this._idleClients.remove(client))
      this._acquireClient(client, new Waiting((_error, _client, release) => release()), false);
  }

  /** @param {any} client @param {Waiting} waiting @param {boolean} isNew */
  _acquireClient(client, waiting, isNew) {
    if (isNew) this.emit('connect', client);
    this.emit('acquire', client);
    client.release = this._releaseOnce(client);
    const { verify } = this.options;
    if (isNew && verify) {
      verify(client, (/** @type {any} */ error) => {
        if (waiting.timedOut) client.release(error);
        else if (error) {
          client.release(error);
          waiting.callback(error, undefined, NOOP);
        } else waiting.callback(undefined, client, client.release);
      });
    } else if (waiting.timedOut) {
      client.release();
    } else {
      waiting.callback(undefined, client, client.release);
    }
  }

  /** @param {any} client */
  _releaseOnce(client) {
    let isReleased = false;
    return (/** @type {any} */ error) => {
      if (isReleased) throw new Error('Release called on client which has already been released to the pool.');
      isReleased = true;
      this._release(client, error);
    };
  }

  /** @param {any} client @param {any} [error] the client is dropped, and not lent again */
  _release(client, error) {
    client._poolUseCount = (client._poolUseCount || 0) + 1;
    this.emit('release', error, client);
    const isSpent = client._poolUseCount >= this.options.maxUses;
    if (error || this.ending || isSpent || !isFit(client)) {
      if (isSpent) this.log('remove expended client');
      this._remove(client, () => this._pulseQueue());
    } else if (this._expired.delete(client)) {
      this.log('remove expired client');
      this._remove(client, () => this._pulseQueue());
    } else {
      this._idleClients.add(client);
      this._pulseQueue();
    }
  }

  /** @param {(error?: any) => void} [callback] */
  end(callback) {
    this.log('ending');
    if (this.ending) {
      const error = new Error('Called end on pool more than once');
      return callback ? callback(error) : this.Promise.reject(error);
    }
    this.ending = true;
    const response = promised(this.Promise, callback);
    this._endCallback = response.callback;
    this._pulseQueue();
    return response.result;
  }
}

/** Whether a client may be lent again. @param {any} client */
const isFit = (client) => client._queryable !== false && !client._ending && !client._isSpent;

/** Whether a client has a session, or will have one. @param {any} client */
const isAlive = (client) => !client._ended;

/** @param {ClientPool} pool */
const pulse = (pool) => pool._pulseQueue();

module.exports = { ClientPool, promised };
