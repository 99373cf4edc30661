'use strict';

// `client.connection.stream` of pg. There is no socket: what is written and read here are the frames of a COPY, as pg-copy-streams makes
// and expects them; the rest is what programs call on pg's socket without waiting for an answer.

const { EventEmitter } = require('node:events');

class Stream extends EventEmitter {
  #connection;

  /** @param {any} connection */
  constructor(connection) {
    super();
    this.#connection = connection;
    this.writable = true;
    this.readable = true;
    this.destroyed = false;
    // pg-copy-streams takes this listener away while it reads, and calls it when it has seen the last frame.
    this.on('data', () => this.#connection._copy?.left());
  }

  /** @param {Buffer} frames @param {any} [encoding] @param {() => void} [callback] */
  write(frames, encoding, callback) {
    const done = typeof encoding === 'function' ? encoding : callback;
    const goesOn = this.#connection._copy?.write(frames) ?? true;
    if (done) process.nextTick(done);
    return goesOn;
  }

  /** @returns {Buffer | null} */
  read() {
    return this.#connection._copy?.read() ?? null;
  }

  /** Ends the session as if it were lost. @param {unknown} [error] */
  destroy(error) {
    this.destroyed = true;
    this.writable = false;
    this.#connection._client?._terminate(error);
    return this;
  }

  end() {
    return this.destroy();
  }

  ref() {
    this.#connection.ref();
    return this;
  }

  unref() {
    this.#connection.unref();
    return this;
  }

  cork() {}

  uncork() {}

  pause() {
    return this;
  }

  resume() {
    return this;
  }

  setNoDelay() {
    return this;
  }

  setKeepAlive() {
    return this;
  }
}

module.exports = Stream;
