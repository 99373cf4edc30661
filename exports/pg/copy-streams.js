'use strict';

// `from()` and `to()` of pg-copy-streams: COPY as a Writable and as a Readable. Those of the package itself work, too (copy-frames.js).

const { Readable, Writable } = require('node:stream');
const { gaveUp } = require('./copy-frames.js');

/** `COPY ... FROM STDIN`. What is written before the client has its turn waits. */
class CopyFrom extends Writable {
  rowCount = 0;
  /** Of the client: an option query_timeout waits for it. @type {any} */
  callback = undefined;
  /** @type {any} */
  #client;
  /** @type {any} */
  #writer;
  /** What waits for the writer. @type {(() => void) | undefined} */
  #waiting;
  #isGivenUp = false;
  #isOver = false;

  /** @param {string} text @param {import('node:stream').WritableOptions} [options] */
  constructor(text, options) {
    super(options);
    this.text = text;
  }

  /** For the client. @param {any} connection */
  submit(connection) {
    this.#client = connection._client;
    if (this.destroyed) {
      process.nextTick(() => this.#end());
      return;
    }
    this.#writer = this.#client._session.copyIn(this.text);
    this.#writer.done.catch(this.#failed);
    connection._copy = { abandon: () => this.#writer.fail('the client has ended') };
    this.#waiting?.();
    this.#waiting = undefined;
  }

  /** @param {Buffer} chunk @param {string} _encoding @param {() => void} callback */
  _write(chunk, _encoding, callback) {
    if (this.#writer === undefined) {
      this.#waiting = () => this._write(chunk, _encoding, callback);
      return;
    }
    const taken = this.#writer.write(chunk);
    // Not at once, so that write() tells who writes a lot to wait, as it does there.
    if (taken === undefined) process.nextTick(callback);
    else taken.then(() => callback());
  }

  /** What came while a piece was sent. @param {{ chunk: Buffer }[]} pieces @param {() => void} callback */
  _writev(pieces, callback) {
    this._write(Buffer.concat(pieces.map(({ chunk }) => chunk)), 'buffer', callback);
  }

  /** @param {() => void} callback */
  _final(callback) {
    if (this.#writer === undefined) {
      this.#waiting = () => this._final(callback);
      return;
    }
    this.#writer.end().then(
      (/** @type {{ rowCount: number }} */ { rowCount }) => {
        this.rowCount = rowCount;
        this.#end();
        callback();
      },
      () => {},
    );
  }

  /** @param {Error | null} error @param {(error?: Error | null) => void} callback */
  _destroy(error, callback) {
    if (this.#isOver || this.#writer === undefined) {
      callback(error);
      return;
    }
    const message = error ? error.message : 'NODE-PG-COPY-STREAMS destroy() was called';
    this.#isGivenUp = true;
    this.#writer.fail(message).then(() => {
      this.#end();
      callback(gaveUp(message));
    });
  }

  /** @param {any} error */
  #failed = (error) => {
    if (this.#isOver || this.#isGivenUp) return;
    this.#client._refused(this, error);
    this.#client._ready(this);
  };

  /** The session is free for others. */
  #end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.callback?.();
    this.#client._ready(this);
  }

  /** For the client. @param {any} error */
  handleError(error) {
    this.#isOver = true;
    this.callback?.(error);
    this.destroy(error);
  }

  /** For the client. */
  handleReadyForQuery() {}
}

/** `COPY ... TO STDOUT`. */
class CopyTo extends Readable {
  rowCount = 0;
  /** @type {any} */
  callback = undefined;
  /** @type {any} */
  #client;
  /** @type {Readable & { rowCount?: number } | undefined} */
  #source;
  #isOver = false;

  /** @param {string} text @param {import('node:stream').ReadableOptions} [options] */
  constructor(text, options) {
    super(options);
    this.text = text;
  }

  /** For the client. @param {any} connection */
  submit(connection) {
    this.#client = connection._client;
    if (this.destroyed) {
      process.nextTick(() => this.#end());
      return;
    }
    /** @type {Readable & { rowCount?: number }} */
    const source = this.#client._session.copyOut(this.text);
    this.#source = source;
    connection._copy = { abandon: () => source.destroy() };
    source.on('data', (chunk) => {
      if (!this.push(chunk)) source.pause();
    });
    source.on('end', () => {
      this.rowCount = source.rowCount ?? 0;
      this.#end();
      this.push(null);
    });
    source.on('error', (error) => {
      this.#client._refused(this, error);
      this.#client._ready(this);
    });
    // Destroyed before its end.
    source.on('close', () => this.#end());
  }

  _read() {
    this.#source?.resume();
  }

  /** @param {Error | null} error @param {(error?: Error | null) => void} callback */
  _destroy(error, callback) {
    this.#source?.destroy();
    callback(error);
  }

  /** The session is free for others. */
  #end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.callback?.();
    this.#client._ready(this);
  }

  /** For the client. @param {any} error */
  handleError(error) {
    this.#isOver = true;
    this.callback?.(error);
    this.destroy(error);
  }

  /** For the client. */
  handleReadyForQuery() {}
}

/** @param {string} text @param {import('node:stream').WritableOptions} [options] */
exports.from = (text, options) => new CopyFrom(text, options);

/** @param {string} text @param {import('node:stream').ReadableOptions} [options] */
exports.to = (text, options) => new CopyTo(text, options);
