'use strict';

// `Pool` of pg (pg-pool), with its queries. A statement that was certainly not applied runs again on another client (pooled-query.js).

const Client = require('./client.js');
const { ClientPool, promised } = require('./client-pool.js');
const ConnectionParameters = require('./connection-parameters.js');
const { PATIENCE_MS, PooledQuery, QUERY, runAgain } = require('./pooled-query.js');
const { inContext } = require('./session.js');

/** To see whether somebody has put another function in its place. */
const CONNECT = ClientPool.prototype.connect;

class Pool extends ClientPool {
  /** Whether a connection string or `defaults` say a query_timeout. @type {boolean | undefined} */
  #hasTimeout;

  /**
   * @param {any} text
   * @param {any} [values]
   * @param {any} [callback]
   */
  query(text, values, callback) {
    if (typeof text === 'function') {
      const response = promised(this.Promise, text);
      const error = new Error('Passing a function as the first parameter to pool.query is not supported');
      setImmediate(() => response.callback(error));
      return response.result;
    }
    const isCallback = typeof values === 'function';
    const given = isCallback ? undefined : values;
    const done = isCallback ? values : callback;
    if (!done && this.#isPlain(text)) return this.#queryPlainly(text, given);
    const response = promised(this.Promise, done);
    this.#queryWith(text, given, response.callback);
    return response.result;
  }

  /** Whether nobody could tell that a query goes the short way. @param {any} text */
  #isPlain(text) {
    return (
      text !== null &&
      text !== undefined &&
      text.submit === undefined &&
      !text.query_timeout &&
      !this.options.query_timeout &&
      !this.#isLimited() &&
      this.Promise === Promise &&
      this.connect === CONNECT &&
      this.Client.prototype.query === QUERY
    );
  }

  #isLimited() {
    this.#hasTimeout ??= Boolean(new ConnectionParameters(this.options).query_timeout);
    return this.#hasTimeout;
  }

  /**
   * On an idle client at once, or on the next that there is.
   * @param {any} text
   * @param {any} values
   * @returns {Promise<any>}
   */
  #queryPlainly(text, values) {
    if (this.ending) return Promise.reject(new Error('Cannot use a pool after calling end on the pool'));
    const query = new PooledQuery(text, values, this);
    if (this._pendingQueue.length === 0 && this.listenerCount('acquire') === 0) {
      const client = this._idleClients.takeFresh();
      if (client !== undefined) {
        const answer = query.runAtOnce(client);
        if (answer !== null) return answer;
        this._idleClients.add(client);
      } else if (this._isFull()) {
        const pipeline = this._pipelines.find(query);
        if (pipeline !== undefined) return query.runBehind(pipeline);
      }
    }
    return query.wait();
  }

  /**
   * @param {any} text
   * @param {any} values
   * @param {(error: any, result?: any) => void} done
   * @param {number} [failedAt] of the first attempt
   */
  #queryWith(text, values, done, failedAt) {
    const served = (/** @type {any} */ error, /** @type {any} */ client) => {
      if (error) return done(error);
      let isReleased = false;
      /** @param {any} failure @param {any} [result] */
      const finish = (failure, result) => {
        client.removeListener('error', finish);
        if (isReleased) return;
        isReleased = true;
        client.release(failure);
        if (!failure) return done(undefined, result);
        if (typeof text?.submit === 'function') return done(failure);
        const since = failedAt ?? performance.now();
        const patience = this._patience();
        const again = () => this.#queryWith(text, values, done, since);
        if (!runAgain({ error: failure, client, since, patience }, again)) done(failure);
      };
      // Ours answers each query itself, and then knows what became of it.
      if (!(client instanceof Client)) client.once('error', finish);
      this.log('dispatching query');
      try {
        client.query(text, values, (/** @type {any} */ failure, /** @type {any} */ result) => {
          this.log('query dispatched');
          finish(failure, result);
        });
      } catch (failure) {
        isReleased = true;
        client.removeListener('error', finish);
        client.release(failure);
        done(failure);
      }
    };
    this.connect(inContext(served));
  }

  /** How long a query may be run again. */
  _patience() {
    return this.options.connectionTimeoutMillis || PATIENCE_MS;
  }
}

module.exports = Pool;
