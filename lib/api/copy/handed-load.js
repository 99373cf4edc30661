'use strict';

// A load of data in one of COPY's formats that is handed in as it comes, on a session that belongs to the caller.
//
// What is handed in during one turn of the event loop is collected to pieces, so that the core is called seldom. The core grants pieces, and
// more as the server takes them; without a grant the data waits here, in the buffers of its writer.

const { FrameWriter } = require('../../core/frame-writer.js');
const { FLAG, OP } = require('../../core/numbers.js');
const { PromisedCall } = require('../../core/promised-call.js');
const { located } = require('../../errors.js');

/** Bytes after which a piece is sent. */
const PIECE = 128 << 10;

class HandedLoad {
  #runner;
  /** Not the link's writer, which others use in the same turn. */
  #frames;
  /** For those who watch. */
  call = new PromisedCall();
  /** Pieces that the core takes. */
  #credit = 0;
  /** Whether a piece has begun. */
  #isOpen = false;
  /** What no piece has room for yet. @type {Uint8Array[]} */
  #waiting = [];
  /** Resolves when nothing waits. @type {Promise<void> | undefined} */
  #room;
  /** Resolves it. */
  #wake = () => {};
  #hasEnded = false;
  /** No more data can be sent. */
  #isOver = false;
  /** @type {Error | undefined} */
  #failure;

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {string} sql `COPY ... FROM STDIN`
   * @param {number} session its number
   */
  constructor(runner, sql, session) {
    const { link, pool } = runner;
    this.#runner = runner;
    this.#frames = new FrameWriter((buffer, length) => link.core.submit(buffer, length), PIECE + 4096);
    this.call.onGrant = (pieces) => this.#granted(pieces);
    link.sendText(OP.LOAD, link.register(this.call), pool, 0, session, 0, 0, JSON.stringify({ sql }));
    /** The end of the load, also if the server ends it. @type {Promise<{ rowCount: number }>} */
    this.done = this.call.promise.then(
      ({ rowCount }) => {
        this.#stop();
        return { rowCount };
      },
      (error) => {
        this.#stop();
        throw this.#failure ?? located(error);
      },
    );
    // The first who writes or ends learns of it.
    this.done.catch(() => {});
  }

  /**
   * Hands in data. A server ignores what comes behind the end of its COPY, or behind its error ("Message Flow: COPY Operations" of its
   * protocol), and so does this.
   * @param {Uint8Array} bytes
   * @returns {Promise<void> | undefined} resolves when there is room for more; undefined: there is. The bytes may not change before
   */
  write(bytes) {
    if (this.#hasEnded || !this.#isRunning) return undefined;
    const taken = this.#waiting.length === 0 ? this.#add(bytes) : 0;
    if (taken === bytes.length) return undefined;
    this.#waiting.push(bytes.subarray(taken));
    this.#room ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#room;
  }

  /** All was handed in. Resolves when the server has loaded it. */
  end() {
    this.#hasEnded = true;
    if (this.#waiting.length === 0) this.#endData(0);
    return this.done;
  }

  /** Undoes the load. @param {string} message @returns {Promise<void>} */
  fail(message) {
    if (this.#isRunning) {
      this.#failure = new Error(message);
      this.#endData(FLAG.FAILED);
    }
    return this.done.then(
      () => {},
      () => {},
    );
  }

  /** Whether the core takes data, or its end. A call that has ended has no number, some time before its promise says so. */
  get #isRunning() {
    return !this.#isOver && this.call.id !== 0;
  }

  /** The core grants more pieces. @param {number} pieces */
  #granted(pieces) {
    this.#credit += pieces;
    const waiting = this.#waiting;
    let added = 0;
    for (; added < waiting.length; added++) {
      const bytes = waiting[added];
      const taken = this.#add(bytes);
      if (taken === bytes.length) continue;
      waiting[added] = bytes.subarray(taken);
      break;
    }
    // Not one by one, which takes the square of their number.
    waiting.splice(0, added);
    if (waiting.length > 0) return;
    this.#release();
    if (this.#hasEnded) this.#endData(0);
  }

  /** Adds data to pieces. @param {Uint8Array} bytes @returns {number} how much there was room for */
  #add(bytes) {
    const frames = this.#frames;
    let at = 0;
    while (at < bytes.length) {
      if (!this.#isOpen && !this.#open()) break;
      const part = bytes.subarray(at, at + PIECE - frames.at);
      frames.raw(part);
      at += part.length;
      if (frames.at >= PIECE) this.#send();
    }
    return at;
  }

  /** Begins a piece, if the core takes one. */
  #open() {
    if (this.#credit === 0) return false;
    this.#credit -= 1;
    this.#isOpen = true;
    this.#frames.open(OP.DATA, this.call.id, this.#runner.pool, 0, 0, 0, 0, 0);
    setImmediate(() => this.#send());
    return true;
  }

  /** Sends the piece that has begun. */
  #send() {
    if (!this.#isOpen || this.call.id === 0) return;
    this.#isOpen = false;
    this.#frames.close();
    this.#frames.flush();
  }

  /** @param {number} flags FLAG.FAILED: the server discards the load */
  #endData(flags) {
    if (!this.#isRunning) return;
    this.#send();
    const { link, pool } = this.#runner;
    link.sendText(OP.END_DATA, this.call.id, pool, 0, 0, flags, 0, '');
    this.#stop();
  }

  /** No more data is sent. */
  #stop() {
    this.#isOver = true;
    this.#waiting = [];
    this.#release();
  }

  /** Nothing waits any more. */
  #release() {
    this.#room = undefined;
    this.#wake();
  }
}

module.exports = { HandedLoad };
