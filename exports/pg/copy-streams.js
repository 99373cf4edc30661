'use strict';

// `from()` and `to()` of pg-copy-streams: COPY as a Writable and as a Readable. Those of the package itself work, too (copy-frames.js).

const { Readable, Writable } = require('node:stream');
const { gaveUp } = require('./copy-frames.js');

/** The time in which the client works for a stream. */
class Turn {
  /** Whether the stream has nothing to do with the client any more. */
  isOver = false;
  /** @type {any} */
  #client;
  #stream;

  /** @param {any} stream */
  constructor(stream) {
    this.#stream = stream;
  }

  /** @param {any} client */
  begin(client) {
    this.#client = client;
    // The stream was destroyed before: the client is free at once, but not before submit() has returned.
    if (this.#stream.destroyed) process.nextTick(() => this.end());
  }

  /** The session is free for others. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    this.#stream.callback?.();
    this.#client._ready(this.#stream);
  }

  /** The COPY has failed. @param {any} error */
  fail(error) {
    this.#client._refused(this.#stream, error);
    this.#client._ready(this.#stream);
  }

  /** The client tells the stream of an error. @param {any} error */
  tell(error) {
    this.isOver = true;
    this.#stream.callback?.(error);
    this.#stream.destroy(error);
  }
}

/** `COPY ... FROM STDIN`. What is written before the client has its turn waits. */
class CopyFrom extends Writable {
  rowCount = 0;
  /** Of the client: an option query_timeout waits for it. @type {any} */
  callback = undefined;
  #turn = new Turn(this);
  /** @type {any} */
  #writer;
  /** What waits for the writer. @type {(() => void) | undefined} */
  #waiting;
  #isGivenUp = false;
  /** end() has handed in the last. */
  #isComplete = false;

  /** @param {string} text @param {import('node:stream').WritableOptions} [options] */
  constructor(text, options) {
    super(options);
    this.text = text;
  }

  /** For the client. @param {any} connection */
  submit(connection) {
    this.#turn.begin(connection._client);
    if (this.destroyed) return;
    this.#writer = connection._client._session.copyIn(this.text);
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
    this.#isComplete = true;
    this.#writer.end().then(
      (/** @type {{ rowCount: number }} */ { rowCount }) => {
        this.rowCount = rowCount;
        this.#turn.end();
        callback();
      },
      () => {},
    );
  }

  /** @param {Error | null} error @param {(error?: Error | null) => void} callback */
  _destroy(error, callback) {
    // What is complete is loaded all the same, as by pg-copy-streams.
    if (this.#turn.isOver || this.#isComplete || this.#writer === undefined) {
      callback(error);
      return;
    }
    const message = error ? error.message : 'NODE-PG-COPY-STREAMS destroy() was called';
    this.#isGivenUp = true;
    this.#writer.fail(message).then(() => {
      this.#turn.end();
      callback(gaveUp(message));
    });
  }

  /** @param {any} error */
  #failed = (error) => {
    if (!this.#turn.isOver && !this.#isGivenUp) this.#turn.fail(error);
  };

  /** For the client. @param {any} error */
  handleError(error) {
    this.#turn.tell(error);
  }

  /** For the client. */
  handleReadyForQuery() {}
}

/** `COPY ... TO STDOUT`. */
class CopyTo extends Readable {
  rowCount = 0;
  /** @type {any} */
  callback = undefined;
  #turn = new Turn(this);
  /** @type {Readable & { rowCount?: number } | undefined} */
  #source;

  /** @param {string} text @param {import('node:stream').ReadableOptions} [options] */
  constructor(text, options) {
    super(options);
    this.text = text;
  }

  /** For the client. @param {any} connection */
  submit(connection) {
    this.#turn.begin(connection._client);
    if (this.destroyed) return;
    /** @type {Readable & { rowCount?: number }} */
    const source = connection._client._session.copyOut(this.text);
    this.#source = source;
    connection._copy = { abandon: () => source.destroy() };
    source.on('data', (chunk) => {
      if (!this.push(chunk)) source.pause();
    });
    source.on('end', () => {
      this.rowCount = source.rowCount ?? 0;
      this.#turn.end();
      this.push(null);
    });
    source.on('error', (error) => this.#turn.fail(error));
    // Destroyed before its end.
    source.on('close', () => this.#turn.end());
  }

  _read() {
    this.#source?.resume();
  }

  /** @param {Error | null} error @param {(error?: Error | null) => void} callback */
  _destroy(error, callback) {
    this.#source?.destroy();
    callback(error);
  }

  /** For the client. @param {any} error */
  handleError(error) {
    this.#turn.tell(error);
  }

  /** For the client. */
  handleReadyForQuery() {}
}

/** @param {string} text @param {import('node:stream').WritableOptions} [options] */
exports.from = (text, options) => new CopyFrom(text, options);

/** @param {string} text @param {import('node:stream').ReadableOptions} [options] */
exports.to = (text, options) => new CopyTo(text, options);
