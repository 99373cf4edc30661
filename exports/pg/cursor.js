'use strict';

// `Cursor` of pg-cursor: the rows of a query in parts, as many at a time as are asked for.

const { EventEmitter } = require('node:events');
const { deprecate } = require('node:util');
const { guarded, parameter, wellFormed } = require('./query.js');
const Result = require('./result.js');
const { coreTypes } = require('./types.js');

/** @typedef {(error: any, rows?: any, result?: any) => void} ReadCallback */

class Cursor extends EventEmitter {
  /**
   * @param {string} text
   * @param {any[] | null} [values]
   * @param {{ rowMode?: string, types?: any, Promise?: any }} [config]
   */
  constructor(text, values, config) {
    super();
    this._conf = config || {};
    this.text = text;
    this.values = values ? values.map(parameter) : null;
    /** @type {any} */
    this.connection = null;
    /** @type {[number, ReadCallback][]} */
    this._queue = [];
    /** @type {'initialized' | 'idle' | 'busy' | 'done' | 'error'} */
    this.state = 'initialized';
    /** @type {any} */
    this._result = new Result(this._conf.rowMode, this._conf.types);
    this._Promise = this._conf.Promise || Promise;
    /** @type {any} */
    this._error = undefined;
    /** @type {any} */
    this._portal = null;
    /** @type {any} */
    this._reading = undefined;
    /** @type {ReadCallback | null} */
    this._cb = null;
    /** What the client works for: the cursor, or the stream that has it. @type {any} */
    this._owner = this;
  }

  /** For the client that works for the cursor. @param {any} connection */
  submit(connection) {
    const { rowMode } = this._conf;
    const types = this._result._types;
    const known = coreTypes(types);
    this.connection = connection;
    this._reading = { rowMode, types, parse: known.parse, binary: false };
    const options = { types: known.types, rowMode: rowMode === 'array' ? 'array' : undefined };
    const flight = { text: wellFormed(this.text), values: this.values ?? [] };
    this._portal = connection._client._session.cursor(flight, options);
    connection._dialogue = { target: this._owner, abandon: () => this._portal.close().catch(() => {}) };
    if (this.state !== 'initialized') return;
    this.state = 'idle';
    this._shiftQueue();
  }

  _shiftQueue() {
    const next = this._queue.shift();
    if (next !== undefined) this._getRows(...next);
  }

  /** @param {number} count @param {ReadCallback} callback */
  _getRows(count, callback) {
    this.state = 'busy';
    this._cb = callback;
    this._portal.read(count).then(
      (/** @type {any} */ part) => this._tell(part),
      (/** @type {any} */ error) => this._failed(error),
    );
  }

  /** @param {{ rows: any[], fields: any[], tag: string | null }} part */
  _tell({ rows, fields, tag }) {
    const result = this._result;
    try {
      if (result.fields.length === 0 && fields.length > 0) {
        result.fields = Result.fieldsOf(fields);
        this.connection._rowDescription(result.fields);
      }
      Result.parseRows(rows, fields, this._reading);
    } catch (error) {
      this._failed(error);
      return;
    }
    result.rows = rows;
    if (this.listenerCount('row') > 0) for (const row of rows) guarded(() => this.emit('row', row, result));
    if (tag) result.addCommandComplete({ text: tag });
    if (tag !== null) this._finish();
    else if (this.state === 'busy') this.state = 'idle';
    this._answer(rows);
  }

  /** A program mostly reads on within the call: so other work has its turn before. @param {any[]} rows */
  _answer(rows) {
    const callback = this._cb;
    this._cb = null;
    setImmediate(() => {
      if (callback) callback(null, rows, this._result);
      if (this.state === 'idle') this._shiftQueue();
      else if (this.state === 'done') this._endQueue();
    });
  }

  _endQueue() {
    for (const [, callback] of this._queue.splice(0)) callback(null, []);
  }

  /** All rows have been read, or close() was called. @param {() => void} [closed] */
  _finish(closed) {
    if (this.state === 'done') return;
    const hasFailed = this.state === 'error';
    this.state = 'done';
    const ready = () => {
      this.connection._client._ready(this._owner);
      closed?.();
    };
    if (hasFailed) process.nextTick(() => closed?.());
    else this._portal.close().then(ready, ready);
  }

  /** @param {any} error */
  _failed(error) {
    const client = this.connection._client;
    client._refused(this._owner, error);
    const ready = () => client._ready(this._owner);
    this._portal.close().then(ready, ready);
  }

  /** For the client. @param {any} error */
  handleError(error) {
    if (this.state === 'done' || this.state === 'error') return;
    this.state = 'error';
    this._error = error;
    const callbacks = [this._cb, ...this._queue.splice(0).map(([, callback]) => callback)];
    this._cb = null;
    for (const callback of callbacks) if (callback) guarded(() => callback(error));
    if (this.listenerCount('error') > 0) guarded(() => this.emit('error', error));
  }

  /** For the client. */
  handleReadyForQuery() {
    this.state = 'done';
    setImmediate(() => this._endQueue());
    guarded(() => this.emit('end', this._result));
  }

  /**
   * @param {number} count how many rows at most
   * @param {ReadCallback} [callback]
   */
  read(count, callback) {
    if (callback) return this._read(count, callback);
    return new this._Promise((/** @type {any} */ resolve, /** @type {any} */ reject) => {
      this._read(count, (error, rows) => (error ? reject(error) : resolve(rows)));
    });
  }

  /** @param {number} count @param {ReadCallback} callback */
  _read(count, callback) {
    if (this.state === 'idle') this._getRows(count, callback);
    else if (this.state === 'busy' || this.state === 'initialized') this._queue.push([count, callback]);
    else if (this.state === 'error') setImmediate(() => callback(this._error));
    else setImmediate(() => callback(null, []));
  }

  /** @param {(error?: any) => void} [callback] */
  close(callback) {
    if (callback) return this._close(callback);
    return new this._Promise((/** @type {any} */ resolve, /** @type {any} */ reject) => {
      this._close((error) => (error ? reject(error) : resolve()));
    });
  }

  /** @param {(error?: any) => void} callback */
  _close(callback) {
    if (!this.connection || this.state === 'done') setImmediate(callback);
    else this._finish(() => callback());
  }

  /** @param {() => void} callback */
  end(callback) {
    this.connection.once('end', callback);
    this.connection.end();
  }
}

Cursor.prototype.end = deprecate(
  Cursor.prototype.end,
  'Cursor.end is deprecated. Call end on the client itself to end a connection to the database.',
);

module.exports = Cursor;
