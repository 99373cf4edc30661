'use strict';

// `QueryStream` of pg-query-stream: the rows of a query as a Readable.

const { Readable } = require('node:stream');
const Cursor = require('./cursor.js');

class QueryStream extends Readable {
  /**
   * @param {string} text
   * @param {any[] | null} [values]
   * @param {{ batchSize?: number, highWaterMark?: number, rowMode?: string, types?: any, Promise?: any }} [config]
   */
  constructor(text, values, config = {}) {
    const { batchSize, highWaterMark = 100 } = config;
    super({ objectMode: true, autoDestroy: true, highWaterMark: batchSize || highWaterMark });
    /** Of the client: that its pool may have it back. @type {any} */
    this.callback = undefined;
    this.cursor = new Cursor(text, values, config);
    this.cursor.on('end', (result) => this.callback?.(null, result));
    this.cursor.on('error', (error) => this.callback?.(error));
    // The client gives a query its parsers there.
    this._result = this.cursor._result;
  }

  /** For the client. @param {any} connection */
  submit(connection) {
    this.cursor._owner = this;
    this.cursor.submit(connection);
  }

  /** For the client. @param {any} error */
  handleError(error) {
    this.cursor.handleError(error);
  }

  /** For the client. */
  handleReadyForQuery() {
    this.cursor.handleReadyForQuery();
  }

  /** @param {Error | null} error @param {(error?: Error | null) => void} callback */
  _destroy(error, callback) {
    this.cursor.close((failure) => callback(failure || error));
  }

  /** @param {number} size */
  _read(size) {
    this.cursor.read(size, (error, rows) => {
      if (error) {
        this.destroy(error);
        return;
      }
      for (const row of rows) this.push(row);
      if (rows.length < size) this.push(null);
    });
  }
}

module.exports = QueryStream;
