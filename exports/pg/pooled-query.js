'use strict';

// A statement of pool.query(). It releases its client itself, and runs on another one if it was certainly not applied.

const Client = require('./client.js');
const { toPgError } = require('./database-error.js');
const { Pipeline } = require('./pipelines.js');
const { Statement, located } = require('./query.js');
const { inContext } = require('./session.js');

/** To see whether somebody has put another function in its place. */
const QUERY = Client.prototype.query;

/** How long a statement may be run again, if the pool has no connectionTimeoutMillis: as acquireTimeoutMs of the core. */
const PATIENCE_MS = 5_000;

/** The pause before another attempt, so that clients that all fail in the same way do not keep the process busy. Milliseconds. */
const PAUSE_MS = 10;

/** Whether no transaction is open. A client does not know the status that a query behind others has left. @param {any} client */
const isIdle = (client) => client._txStatus === 'I' && client._session.transactionStatus === 'I';

/**
 * Whether another client may do what this one could not: the statement has changed nothing, the reason is not in the statement, and it
 * did not belong to a transaction that somebody had begun by hand. What the server has decided about the statement (40001, 40P01) is
 * for the program.
 * @param {any} error
 * @param {any} client
 */
const mayRunAgain = (error, client) =>
  error.outcome === 'not-applied' && error.retryable === true && isIdle(client) && !/^40/.test(error.code ?? '');

/**
 * @param {{ error: any, client: any, since: number, patience: number }} failure since: performance.now() of the first one; patience: in
 *   milliseconds
 * @param {() => void} again
 * @returns {boolean} whether it is run again
 */
function runAgain({ error, client, since, patience }, again) {
  if (!mayRunAgain(error, client) || performance.now() - since >= patience) return false;
  // Where a connection is lost, the error is that of pg, which has no code.
  client._session.noteRetry(error.code ?? 'connectionLost');
  setTimeout(again, PAUSE_MS);
  return true;
}

/**
 * Whether a client can take more queries. One that has queries in its queue would run them later: a program gives new clients their
 * settings so.
 * @param {any} client
 */
const isWell = (client) =>
  client._queryable && !client._ending && !client._isSpent && client._queryQueue.length === 0 && client.query === QUERY;

/** @param {any} error */
function relocate(error) {
  throw located(error);
}

class PooledQuery extends Statement {
  #pool;
  /** Of the first attempt that failed. */
  #failedAt = 0;
  #isDone = false;
  /** @type {any} */
  #client;
  /** The queries of the client. @type {Pipeline | undefined} */
  #pipeline;
  /** When it was sent, by performance.now(). */
  #sentAt = 0;
  /** Whether others may be sent with it. */
  #isTogether = false;
  /** Whether it may wait for a lock, as pipelines.js says. */
  _mayWait = true;
  /** Of the promise of the caller; undefined: the caller has that of the client. @type {((value: any) => void) | undefined} */
  #resolve;
  /** @type {(error: any) => void} */
  #reject = () => {};

  /** @param {any} config @param {any} values @param {any} pool */
  constructor(config, values, pool) {
    super(config, values);
    this.#pool = pool;
    this.callback = undefined;
  }

  /**
   * Runs on a client that is idle.
   * @param {any} client
   * @returns {Promise<any> | null} null: the query is wrong
   */
  runAtOnce(client) {
    this.#lead(client);
    const answer = client._begin(this);
    if (answer === null) this.#pool._pipelines.forget(this.#pipeline);
    return answer;
  }

  /** Waits for a client. @returns {Promise<any>} */
  wait() {
    const answer = this.#promise();
    this.#enqueue();
    return answer;
  }

  /** @returns {Promise<any>} */
  #promise() {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    }).catch(relocate);
  }

  #enqueue() {
    this.#isDone = false;
    const served = (/** @type {any} */ error, /** @type {any} */ given) => {
      if (error) this.#reject(error);
      else if (given instanceof Pipeline) this.runBehind(given);
      else this.#runOn(given);
    };
    this.#pool._enqueue(inContext(served), this);
  }

  /** @param {any} client */
  #lead(client) {
    this.#client = client;
    this.#sentAt = performance.now();
    this.#pipeline = this.#pool._pipelines.lead(this, client, this.#sentAt);
    this.#isTogether = this.#pipeline?.isOpen === true && this._isPipelinable() && this._suits(client);
  }

  _way() {
    return this.#isTogether ? 'pipelined' : 'plain';
  }

  /** Whether it is one statement that is a transaction of its own, whatever the session has done before. */
  _isPipelinable() {
    return this._isOneFlight() && !this.queryMode && Array.isArray(this.values);
  }

  /** Whether it may be sent behind the queries of a client: it must not be the first with its name there. @param {any} client */
  _suits(client) {
    const { binary, pipeline, connection } = client;
    if (binary || pipeline || !isIdle(client) || !isWell(client)) return false;
    return !this.name || connection.parsedStatements[this.name] === this.text;
  }

  /**
   * Sends it behind the queries of a client.
   * @param {Pipeline} pipeline
   * @returns {any} the promise of its results; undefined: the caller has another promise
   */
  runBehind(pipeline) {
    const { client } = pipeline;
    let flight;
    try {
      flight = this._flight(client.connection);
    } catch (error) {
      // What is wrong with it is no matter of those with which it would be sent.
      if (this.#resolve === undefined) return Promise.reject(located(error));
      this.#reject(error);
      return undefined;
    }
    this.#pool._pipelines.join(this, pipeline);
    this.#client = client;
    this.#pipeline = pipeline;
    this.#sentAt = performance.now();
    return client._askBehind(this, flight).then(
      (/** @type {any} */ raws) => this.#answered(raws),
      (/** @type {any} */ error) => this._fail(toPgError(error)),
    );
  }

  /** @param {any} raws @returns {any} */
  #answered(raws) {
    let results;
    try {
      results = this._complete(raws);
    } catch (error) {
      return this._fail(error);
    }
    this._succeed(results);
    return results;
  }

  /** @param {any} [error] */
  #leave(error) {
    this.#pool._pipelines.leave(this, this.#pipeline, this.#sentAt, error);
  }

  /** @param {any} error of the attempt before */
  #again(error) {
    if (this.#pool.ending) this.#reject(error);
    else this.#enqueue();
  }

  /** @param {any} client */
  #runOn(client) {
    this.#lead(client);
    this.#pool.log('dispatching query');
    // Listeners of the pool may have given the client other queries before.
    if (client.query === QUERY) {
      client._queue(this);
      this.#pool._pipelines.refill();
    } else client.query(this, undefined, undefined);
  }

  /** @param {any} results */
  _succeed(results) {
    this.#isDone = true;
    this.#pool.log('query dispatched');
    this.#leave();
    this.#resolve?.(results);
  }

  /** @param {any} error @returns {any} */
  _fail(error) {
    if (this.#isDone) return undefined;
    this.#isDone = true;
    this.#pool.log('query dispatched');
    this.#leave(error);
    this.#failedAt ||= performance.now();
    const failure = { error, client: this.#client, since: this.#failedAt, patience: this.#pool._patience() };
    const isRunAgain = runAgain(failure, () => this.#again(error));
    if (this.#resolve !== undefined) {
      if (!isRunAgain) this.#reject(error);
      return undefined;
    }
    // In the reaction of the promise that the caller has.
    return isRunAgain ? this.#promise() : Promise.reject(located(error));
  }

  /** @param {any} error */
  handleError(error) {
    // Without it the promise of the client tells the caller.
    if (this.#resolve !== undefined) this._fail(error);
  }
}

module.exports = { PATIENCE_MS, PooledQuery, QUERY, runAgain };
