'use strict';

// `Client` of pg: the queue of a session's queries. How the session is had and lost is in lifecycle.js.

const { AsyncResource } = require('node:async_hooks');
const { deprecate } = require('node:util');
const { toPgError } = require('./database-error.js');
const Lifecycle = require('./lifecycle.js');
const { endsSession, explained, losesSession } = require('./outcomes.js');
const { PostponedBegin } = require('./postponed-begin.js');
const { Query, Statement, judged, located, unsent } = require('./query.js');
const { ask, inContext } = require('./session.js');
const { coreTypes } = require('./types.js');
const { escapeIdentifier, escapeLiteral } = require('./utils.js');

/** @typedef {import('./session.js').RawResult} RawResult */

const warnOfActiveQuery = deprecate(() => {}, 'Client.activeQuery is deprecated and will be removed in pg@9.0');
const warnOfQueue = deprecate(() => {}, 'Client.queryQueue is deprecated and will be removed in pg@9.0.');
const warnOfWaiting = deprecate(
  () => {},
  'Calling client.query() when the client is already executing a query is deprecated and will be removed in pg@9.0. Use async/await or an external async flow control mechanism instead.',
);

/** What a pipelined client refuses, as pg does: a query that keeps a portal open across round trips. @param {any} query */
function portalOf(query) {
  if (!(query instanceof Query)) return 'Custom query classes such as pg-cursor and pg-query-stream are';
  return query.rows ? 'The `rows` option is' : null;
}

/** How a flight is sent: alone, together with others, behind a BEGIN. */
const WAYS = { plain: {}, pipelined: { pipelined: true }, begins: { begins: true } };

class Client extends Lifecycle {
  /** @type {any} */
  #known;
  /** @type {any} */
  #reading;
  /** Options of most flights, by the ways in which they are sent. @type {any} */
  #common;
  #begin = new PostponedBegin(this);
  #onResults = (/** @type {RawResult[]} */ raws) => this.#settled(this._sent, raws);
  #onFailure = (/** @type {unknown} */ error) => this.#failed(this._sent, error);

  get activeQuery() {
    warnOfActiveQuery();
    return this._activeQuery;
  }

  set activeQuery(query) {
    warnOfActiveQuery();
    this._activeQuery = query;
  }

  get queryQueue() {
    warnOfQueue();
    return this._queryQueue;
  }

  _getActiveQuery() {
    return this._activeQuery;
  }

  /**
   * @param {any} config a text, an object, or a Query, Cursor or other object with submit()
   * @param {any} [values]
   * @param {any} [callback]
   */
  query(config, values, callback) {
    if (config === null || config === undefined) {
      throw new TypeError('Client was passed a null or undefined query');
    }
    if (typeof config.submit === 'function') return this.#submit(config, values, callback);
    const query = new Statement(config, values, callback);
    const timeout = config.query_timeout || this.connectionParameters.query_timeout;
    if (query.callback) {
      if (typeof query.callback !== 'function') throw new TypeError('callback is not a function');
      // Else it would be called in the context of the query before it.
      if (!this._canBegin()) query.callback = AsyncResource.bind(query.callback);
      this.#enqueue(query, timeout);
      return undefined;
    }
    if (!timeout && this._Promise === Promise && this._canBegin()) {
      const answer = this._begin(query);
      if (answer !== null) return answer;
    }
    const result = new this._Promise((/** @type {any} */ resolve, /** @type {any} */ reject) => {
      query.callback = (/** @type {any} */ error, /** @type {any} */ results) =>
        error ? reject(error) : resolve(results);
    }).catch((/** @type {any} */ error) => {
      throw located(error);
    });
    this.#enqueue(query, timeout);
    return result;
  }

  /** @param {any} query @param {any} values @param {any} callback */
  #submit(query, values, callback) {
    if (!query.callback) {
      if (typeof values === 'function') query.callback = values;
      else if (callback) query.callback = callback;
    }
    this.#enqueue(query, query.query_timeout || this.connectionParameters.query_timeout);
    return query;
  }

  /** Whether a query would run at once. */
  _canBegin() {
    return this.readyForQuery && this._queryable && !this._ending && !this.pipeline;
  }

  /** @param {any} query @param {number} timeout */
  #enqueue(query, timeout) {
    if (timeout) this.#limit(query, timeout);
    if (this.binary && !query.binary) query.binary = true;
    if (query._result && !query._result._types) query._result._types = this._types;
    this._queue(query);
  }

  /** @param {any} query */
  _queue(query) {
    const refusal = this.#refusalOf(query);
    if (refusal !== null) {
      process.nextTick(() => query.handleError(unsent(new Error(refusal), !this._queryable), this.connection));
      return;
    }
    if (this._queryQueue.length > 0 && !this.pipeline) warnOfWaiting();
    if (!this._canBegin()) {
      const submit = inContext(query.submit);
      if (submit !== query.submit) query.submit = submit;
    }
    this._queryQueue.push(query);
    this._pulseQueryQueue();
  }

  /** @param {any} query @returns {string | null} */
  #refusalOf(query) {
    const portal = this.pipeline ? portalOf(query) : null;
    if (portal !== null) return `${portal} not supported in pipeline mode`;
    if (!this._queryable) return 'Client has encountered a connection error and is not queryable';
    return this._ending ? 'Client was closed and is not queryable' : null;
  }

  /** The option query_timeout: the caller waits no longer, but the statement goes on. @param {any} query @param {number} ms */
  #limit(query, ms) {
    const callback = query.callback || (() => {});
    const timer = setTimeout(() => {
      const isWaiting = this._queryQueue.includes(query);
      const error = judged(new Error('Query read timeout'), isWaiting ? 'not-applied' : 'unknown', false);
      this._hasTimedOut = true;
      process.nextTick(() => query.handleError(error, this.connection));
      callback(error);
      query.callback = () => {};
      const index = this._queryQueue.indexOf(query);
      if (index >= 0) this._queryQueue.splice(index, 1);
      else if (this.pipeline) {
        // What was sent behind it waits for it.
        this._terminate();
        return;
      }
      this._pulseQueryQueue();
    }, ms);
    query.callback = (/** @type {any} */ error, /** @type {any} */ results) => {
      clearTimeout(timer);
      callback(error, results);
    };
  }

  _pulseQueryQueue() {
    if (!this._queryable || !this._connected || this._isClosing) return;
    if (this._queryQueue.length > 0 && this.#begin.blocks(this._queryQueue[0])) this.#begin.send();
    else if (this.pipeline) this.#pulsePipeline();
    else if (this.readyForQuery) this.#pulseOne();
  }

  #pulseOne() {
    const query = this._queryQueue.shift();
    if (query !== undefined) {
      this._activeQuery = query;
      this.readyForQuery = false;
      this.hasExecuted = true;
      this.#refuse(query, query.submit(this.connection));
      return;
    }
    this._activeQuery = null;
    if (this.hasExecuted) this.emit('drain');
    if (this._isRetired) this._endIfRetired();
  }

  /** @param {any} query @param {unknown} refusal what submit() returned: an Error if nothing was sent */
  #refuse(query, refusal) {
    if (!refusal) return;
    process.nextTick(() => {
      query.handleError(refusal, this.connection);
      if (this.pipeline) return;
      this.readyForQuery = true;
      this._pulseQueryQueue();
    });
  }

  #pulsePipeline() {
    while (this._queryQueue.length > 0) {
      const query = this._queryQueue.shift();
      this.hasExecuted = true;
      const refusal = query.submit(this.connection);
      if (refusal) this.#refuse(query, refusal);
      else this._sentQueryQueue.push(query);
    }
    if (this.readyForQuery && !this._activeQuery && this._sentQueryQueue.length > 0) {
      this._activeQuery = this._sentQueryQueue.shift();
      this.readyForQuery = false;
    }
    if (!this._activeQuery && this.hasExecuted) this.emit('drain');
  }

  /**
   * Runs a query at once.
   * @param {Query} query
   * @returns {Promise<any> | null} the results, or what `_fail` of the query returned; null: the query is wrong, as it says at submit(), or has
   *   to wait
   */
  _begin(query) {
    if (this.#begin.blocks(query)) return null;
    let flight;
    try {
      flight = query._flight(this.connection);
    } catch {
      return null;
    }
    this._activeQuery = query;
    this.readyForQuery = false;
    this.hasExecuted = true;
    return this._launch(query, flight);
  }

  /**
   * Gives a query to the session.
   * @param {Query} query
   * @param {any} flight
   * @returns {Promise<any>}
   */
  _launch(query, flight) {
    const options = this.#optionsOf(query, this.#begin.goesWith(query) ? 'begins' : query._way());
    const answer = this.#begin.postpone(query, flight) ?? ask(this._session, flight, options);
    if (this.pipeline) {
      return answer.then(
        (/** @type {RawResult[]} */ raws) => this.#settled(query, raws),
        (/** @type {unknown} */ error) => this.#failed(query, error),
      );
    }
    this._sent = query;
    this._answer = answer;
    return answer.then(this.#onResults, this.#onFailure);
  }

  /**
   * Sends a query behind others of its Pool; it has its answer to itself.
   * @param {any} query
   * @param {object} flight
   * @returns {Promise<RawResult[]>}
   */
  _askBehind(query, flight) {
    return ask(this._session, flight, this.#optionsOf(query, 'pipelined'));
  }

  /** @param {any} query @param {keyof typeof WAYS} way */
  #optionsOf(query, way) {
    if ((query.binary || this.binary) && query.requiresPreparation()) return this.#binaryOptions(query);
    const source = query._result._types ?? this._types;
    const known = coreTypes(source);
    if (source === this._types && query._rowMode !== 'array' && query instanceof Statement) {
      if (this.#known !== known) this.#setKnown(known);
      query._reading = this.#reading;
      return this.#common[way];
    }
    query._reading = { rowMode: query._rowMode, types: source, parse: known.parse, binary: false };
    const rowMode = query._rowMode === 'array' ? 'array' : undefined;
    return { types: known.types, rowMode, onRows: query._onRows(), ...WAYS[way] };
  }

  /** What most queries have in common. @param {any} known */
  #setKnown(known) {
    this.#known = known;
    this.#reading = { rowMode: undefined, types: this._types, parse: known.parse, binary: false };
    const { types } = known;
    this.#common = { plain: { types }, pipelined: { types, pipelined: true }, begins: { types, begins: true } };
  }

  /** Of a query without values pg gets text, whatever it asks for. @param {any} query */
  #binaryOptions(query) {
    const types = query._result._types ?? this._types;
    query._reading = { rowMode: query._rowMode, types, parse: null, binary: true };
    const rowMode = query._rowMode === 'array' ? 'array' : undefined;
    return { types: coreTypes(undefined).types, rowMode, onRows: query._onRows(), binary: true };
  }

  /** @param {any} query @param {RawResult[]} raws */
  #settled(query, raws) {
    if (query !== this._activeQuery || this._isClosing) return abandoned(query, new Error('Connection terminated'));
    let results;
    try {
      results = query._complete(raws);
    } catch (error) {
      return this.#failed(query, error);
    }
    if (query.name) this.#noteParsed(query);
    this._activeQuery = null;
    this._txStatus = this.#transactionStatus();
    this.readyForQuery = true;
    if (!this._queryable) this._loseNow();
    query._succeed(results);
    this._pulseQueryQueue();
    return results;
  }

  /** @param {any} query @param {any} error */
  #failed(query, error) {
    if (query !== this._activeQuery || this._isClosing) {
      return abandoned(query, this._ending ? new Error('Connection terminated', { cause: error }) : toPgError(error));
    }
    this._activeQuery = null;
    const shown = this.#shown(query, error);
    const isLost = losesSession(error);
    const isOver = endsSession(error);
    const isRefused = !isOver && this.#begin.noteFailure(query, shown);
    // The transaction that a session has ended in is what the program knows; a pool must not run the statement again outside of it.
    if (!isOver && !isRefused) this._txStatus = this.#transactionStatus();
    if (query.name) this.#noteFailed(query);
    if (isLost) this._loseWith(error, shown);
    else if (isRefused) this._terminate(shown);
    else if (!this._queryable) this._loseNow(shown?.severity === 'FATAL' ? shown : undefined);
    const answer = query._fail(shown);
    this.readyForQuery = true;
    this._pulseQueryQueue();
    return answer;
  }

  #transactionStatus() {
    return this.#begin.isOwed ? 'T' : this._session.transactionStatus;
  }

  /** @param {any} query @param {any} error */
  #shown(query, error) {
    const shown = toPgError(error);
    // The status of a pipeline is that of an earlier query.
    if (this.pipeline || shown?.outcome === undefined) return shown;
    return explained(shown, this._txStatus, query.text, this._session.parameters);
  }

  /** @param {Query} query */
  #noteParsed({ name, text }) {
    const { parsedStatements, submittedNamedStatements } = this.connection;
    if (text) parsedStatements[name] = text;
    delete submittedNamedStatements[name];
  }

  /** @param {Query} query */
  #noteFailed({ name, text }) {
    const { parsedStatements, submittedNamedStatements, _failedStatements } = this.connection;
    delete submittedNamedStatements[name];
    if (text && parsedStatements[name] === undefined) _failedStatements[name] ??= text;
  }

  /** The session has done what a query that speaks for itself wanted. @param {any} query */
  _ready(query) {
    if (this._ended || this._isClosing) return;
    const isActive = query === this._activeQuery;
    if (isActive) this._activeQuery = null;
    this._txStatus = this.#transactionStatus();
    this.readyForQuery = true;
    if (isActive) query.handleReadyForQuery(this.connection);
    this.connection.emit('readyForQuery', { name: 'readyForQuery', length: 5, status: this._txStatus });
    this._pulseQueryQueue();
  }

  /** @param {any} query one that speaks for itself @param {any} error */
  _refused(query, error) {
    if (query !== this._activeQuery || this._isClosing) return;
    this._activeQuery = null;
    query.handleError(this.#shown(query, error), this.connection);
  }

  getTransactionStatus() {
    return this._txStatus;
  }

  /** Cancels a query of another client. @param {any} client @param {any} query */
  cancel(client, query) {
    const index = client._queryQueue.indexOf(query);
    if (client._activeQuery === query) client._session.cancel();
    else if (index >= 0) client._queryQueue.splice(index, 1);
    else if (client._sentQueryQueue.includes(query)) query.callback = () => {};
  }

  /** @param {number} oid @param {any} format @param {any} [parse] */
  setTypeParser(oid, format, parse) {
    return this._types.setTypeParser(oid, format, parse);
  }

  /** @param {number} oid @param {string} [format] */
  getTypeParser(oid, format) {
    return this._types.getTypeParser(oid, format);
  }

  /** @param {string} name */
  escapeIdentifier(name) {
    return escapeIdentifier(name);
  }

  /** @param {string} text */
  escapeLiteral(text) {
    return escapeLiteral(text);
  }
}

/** The answer to a query whose client has ended. Who has a callback was told before. @param {any} query @param {Error} error */
function abandoned(query, error) {
  return query.callback || !(query instanceof Statement) ? undefined : query._fail(error);
}

Client.Query = Query;

module.exports = Client;
