'use strict';

// `Query` of pg: one call of query() as an object with events. What the session gets is a flight: a text, its values and its name.

const { EventEmitter } = require('node:events');
const Result = require('./result.js');
const { prepareValue } = require('./utils.js');

/** @typedef {import('./session.js').RawField} RawField */
/** @typedef {import('./session.js').RawResult} RawResult */
/** @typedef {{ rowMode: string | undefined, types: any, parse: any, binary: boolean }} Reading */

/** PostgreSQL cuts longer identifiers (NAMEDATALEN - 1). */
const LONGEST_NAME = 63;

/** @type {Reading} */
const UNREAD = { rowMode: undefined, types: undefined, parse: null, binary: false };

/** Whether a text may have several statements. A semicolon in a literal is taken for one, too. @param {string} text */
const mayHaveSeveral = (text) => /;\s*\S/.test(text);

/**
 * Calls what belongs to the program. What it throws is an uncaught exception, as in pg, and never a failure of the session's work.
 * @param {() => unknown} call
 */
function guarded(call) {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** What UTF-8 cannot hold, half a character, is sent as U+FFFD, as by Node's sockets. @param {any} value */
const wellFormed = (value) => (typeof value === 'string' && !value.isWellFormed() ? value.toWellFormed() : value);

/** A parameter as the session takes it. @param {unknown} value */
const parameter = (value) => wellFormed(prepareValue(value));

/** @param {string} name @param {unknown} text @param {any} connection */
function refuseOtherText(name, text, { parsedStatements, submittedNamedStatements }) {
  const previous = parsedStatements[name] || submittedNamedStatements[name];
  if (text && previous && text !== previous) {
    throw new Error(`Prepared statements must be unique - '${name}' was used for a different statement`);
  }
}

class Query extends EventEmitter {
  /**
   * @param {any} config the text, or an object as pg takes it
   * @param {any} [values] or the callback
   * @param {Function} [callback]
   */
  constructor(config, values, callback) {
    super();
    const given = typeof config === 'string' ? undefined : config;
    /** @type {any} */
    this.text = given === undefined ? config : given.text;
    /** @type {any} */
    this.values = values && typeof values !== 'function' ? values : given?.values;
    this.rows = given?.rows;
    this.types = given?.types;
    /** @type {any} */
    this.name = given?.name;
    this.queryMode = given?.queryMode;
    this.binary = given?.binary;
    this.portal = given?.portal || '';
    /** @type {any} */
    this.callback = callback || (typeof values === 'function' ? values : given?.callback);
    this._rowMode = given?.rowMode;
    const { domain } = /** @type {any} */ (process);
    if (domain && this.callback) this.callback = domain.bind(this.callback);
    this._result = new Result(this._rowMode, this.types);
    /** @type {any} an array if the text had several statements */
    this._results = this._result;
    /** @type {unknown} what a parser has thrown */
    this._canceledDueToError = false;
    /** The fields of the rows that have been handed out piece by piece. @type {readonly RawField[] | undefined} */
    this._streamedFields = undefined;
    /** @type {any} */
    this._accumulateRows = undefined;
    /** How the client that runs the query reads its values. @type {Reading} */
    this._reading = UNREAD;
  }

  /** Whether the extended protocol is needed, with its one statement a text. */
  requiresPreparation() {
    if (this.queryMode === 'extended' || this.name || this.rows) return true;
    return Boolean(this.text && this.values && this.values.length > 0);
  }

  /** Whether it is one statement for the extended protocol, whose whole result comes with one flight, as text. */
  _isOneFlight() {
    return this.requiresPreparation() && !this.rows && !this.binary;
  }

  /**
   * What the session is given. Throws what is wrong with the query, and what the conversion of a value throws.
   * @param {any} connection
   */
  _flight(connection) {
    const { name, text, values: given } = this;
    if (typeof text !== 'string' && typeof name !== 'string') {
      throw new Error('A query must have either text or a name. Supplying neither is unsupported.');
    }
    if (name && typeof name !== 'string') throw new TypeError('the name of a query must be a string');
    if (name) refuseOtherText(name, text, connection);
    if (given && !Array.isArray(given)) throw new Error('Query values must be an array');
    if (!this.requiresPreparation()) return { text: wellFormed(text) };
    const values = this.values ? this.values.map(parameter) : [];
    if (!this.name) return { text: wellFormed(this.text), values };
    const known = connection.parsedStatements[this.name] ?? connection.submittedNamedStatements[this.name];
    if (known === undefined) this._noteName(connection);
    // Nobody has told us whether the server has parsed a text that failed: another one with its name goes without the name.
    const failed = connection._failedStatements[this.name];
    const sent = wellFormed(known ?? this.text ?? failed ?? '');
    return failed === undefined || failed === sent
      ? { text: sent, values, name: wellFormed(name) }
      : { text: sent, values };
  }

  /** How its flight is sent. @returns {'plain' | 'pipelined'} */
  _way() {
    return 'plain';
  }

  /** @param {any} connection */
  _noteName(connection) {
    if (this.name.length > LONGEST_NAME) {
      console.error('Warning! Postgres only supports 63 characters for query names.');
      console.error('You supplied %s (%s)', this.name, this.name.length);
      console.error('This can cause conflicts and silent errors executing queries');
    }
    connection.submittedNamedStatements[this.name] = this.text;
  }

  /**
   * Where rows go as they come. Of several statements nobody could tell whose rows they are before all have run.
   * @returns {((rows: any[], fields: readonly RawField[]) => void) | undefined}
   */
  _onRows() {
    if (!this.requiresPreparation() && mayHaveSeveral(this.text)) return undefined;
    return (rows, fields) => this._takeRows(rows, fields);
  }

  /** @param {any[]} rows @param {readonly RawField[]} fields */
  _takeRows(rows, fields) {
    if (this._canceledDueToError) return;
    if (this._streamedFields === undefined) {
      this._streamedFields = fields;
      this._result.fields = Result.fieldsOf(fields, this._reading.binary);
      this._accumulateRows = this._keepsRows();
    }
    try {
      Result.parseRows(rows, fields, this._reading);
    } catch (error) {
      this._canceledDueToError = error;
      return;
    }
    this._emitRows(rows, this._result);
  }

  /** A query that is listened to hands its rows out, and does not keep them. */
  _keepsRows() {
    return Boolean(this.callback) || this.listenerCount('row') === 0;
  }

  /** @param {any[]} rows @param {any} result */
  _emitRows(rows, result) {
    for (const row of rows) {
      guarded(() => this.emit('row', row, result));
      if (this._accumulateRows) result.addRow(row);
    }
  }

  /**
   * Makes the results of what the session gave.
   * @param {RawResult[]} raws
   */
  _complete(raws) {
    const reading = this._reading;
    const result = this._result;
    if (this._canceledDueToError) throw this._canceledDueToError;
    result._types = reading.types;
    if (this._streamedFields !== undefined) {
      result.addCommandComplete({ text: raws[0].tag });
      return this._results;
    }
    result.fill(raws[0], reading);
    if (raws.length > 1) this._results = [result, ...raws.slice(1).map((raw) => Result.fill(raw, reading))];
    this._emitAll();
    return this._results;
  }

  /** The rows of statements that were not handed out as they came. */
  _emitAll() {
    if (this.listenerCount('row') === 0) return;
    this._accumulateRows = this._keepsRows();
    for (const result of [this._results].flat()) this._emitRows(result.rows.splice(0), result);
  }

  /** @param {any} results */
  _succeed(results) {
    if (this.callback) guarded(() => this.callback(null, results));
    guarded(() => this.emit('end', results));
  }

  /**
   * @param {any} error
   * @returns {any} a promise for whoever awaits the answer of the session
   */
  _fail(error) {
    this.handleError(error);
  }

  /** @param {any} error */
  handleError(error) {
    guarded(() => (this.callback ? this.callback(error) : this.emit('error', error)));
  }

  /**
   * @param {any} connection
   * @returns {any} an error if nothing was sent
   */
  submit(connection) {
    try {
      connection._client._launch(this, this._flight(connection));
    } catch (error) {
      return error;
    }
    return null;
  }
}

/** A query of which its caller has the answer only: nobody has the object, so nobody listens to it. */
class Statement extends Query {
  _onRows() {
    return undefined;
  }

  _emitAll() {}

  /** @param {any} results */
  _succeed(results) {
    if (this.callback) guarded(() => this.callback(null, results));
  }

  /** @param {any} error */
  _fail(error) {
    if (!this.callback) return Promise.reject(located(error));
    this.handleError(error);
  }

  /** Without a callback the promise of the query is told, when the session has answered. @param {any} error */
  handleError(error) {
    if (this.callback) guarded(() => this.callback(error));
  }
}

/**
 * Gives an error the stack of whoever awaits the promise in whose reaction this is called, as pg does.
 * @param {any} error
 */
function located(error) {
  if (error instanceof Error) Error.captureStackTrace(error, located);
  return error;
}

/**
 * Says of an error what became of its query.
 * @param {Error} error
 * @param {'not-applied' | 'unknown'} outcome
 * @param {boolean} retryable whether another session could run it
 */
function judged(error, outcome, retryable) {
  for (const [name, value] of Object.entries({ outcome, retryable })) {
    Object.defineProperty(error, name, { value, configurable: true, writable: true });
  }
  return error;
}

/**
 * The error of a query that the server has never seen.
 * @param {Error} error
 * @param {boolean} retryable not if the program itself has ended the session
 */
const unsent = (error, retryable) => judged(error, 'not-applied', retryable);

module.exports = { Query, Statement, guarded, judged, located, parameter, unsent, wellFormed };
