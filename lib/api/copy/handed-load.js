'use strict';

// A load of data in one of COPY's formats that is handed in as it comes, on a session that belongs to the caller.
//
// What is handed in during one turn of the event loop is collected to pieces, so that the core is called seldom. The core grants pieces, and
// more as the server takes them; without a grant the data waits here.

const { FrameWriter } = require('../../core/frame-writer.js');
const { FLAG, OP } = require('../../core/numbers.js');
const { PromisedCall } = require('../../core/promised-call.js');
const { located } = require('../../errors.js');

/** Bytes after which a piece is sent, and bytes that may wait before a writer should. */
const PIECE = 128 << 10;
const MOST_WAITING = 128 << 10;

class HandedLoad {
  #runner;
  /** Not the link's writer, which others use in the same turn. */
  #frames;
  #call = new PromisedCall();
  /** Pieces that the core takes. */
  #credit = 0;
  /** Whether a piece has begun. */
  #isOpen = false;
  /** What no piece has room for yet. @type {Uint8Array[]} */
  #waiting = [];
  #waitingBytes = 0;
  #hasEnded = false;
  /** No more data can be sent. */
  #isOver = false;
  /** @type {Error | undefined} */
  #failure;
  /** Wakes the writers. @type {(() => void)[]} */
  #writers = [];

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {string} sql `COPY ... FROM STDIN`
   * @param {number} session its number
   */
  constructor(runner, sql, session) {
    const { link, pool } = runner;
    this.#runner = runner;
    this.#frames = new FrameWriter((buffer, length) => link.core.submit(buffer, length), PIECE + 4096);
    this.#call.onGrant = (pieces) => this.#granted(pieces);
    link.sendText(OP.LOAD, link.register(this.#call), pool, 0, session, 0, 0, JSON.stringify({ sql }));
    /** The end of the load, also if the server ends it. @type {Promise<{ rowCount: number }>} */
    this.done = this.#call.promise.then(
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
   * Hands in data, which must not change any more.
   * @param {Uint8Array} bytes
   * @returns {Promise<void> | undefined} resolves when there is room for more; undefined: there is
   */
  write(bytes) {
    if (this.#isOver) return undefined;
    const taken = this.#waiting.length === 0 ? this.#add(bytes) : 0;
    if (taken === bytes.length) return undefined;
    this.#waiting.push(taken === 0 ? bytes : bytes.subarray(taken));
    this.#waitingBytes += bytes.length - taken;
    if (this.#waitingBytes < MOST_WAITING) return undefined;
    return new Promise((resolve) => this.#writers.push(resolve));
  }

  /** All was handed in. Resolves when the server has loaded it. */
  end() {
    this.#hasEnded = true;
    if (this.#waiting.length === 0) this.#endData(0);
    return this.done;
  }

  /** Undoes the load. @param {string} message @returns {Promise<void>} */
  fail(message) {
    if (!this.#isOver) {
      this.#failure = new Error(message);
      this.#endData(FLAG.FAILED);
    }
    return this.done.then(
      () => {},
      () => {},
    );
  }

  /** The core grants more pieces. @param {number} pieces */
  #granted(pieces) {
    this.#credit += pieces;
    while (this.#waiting.length > 0 && !this.#isOver) {
      const [bytes] = this.#waiting;
      const taken = this.#add(bytes);
      this.#waitingBytes -= taken;
      if (taken < bytes.length) {
        this.#waiting[0] = bytes.subarray(taken);
        break;
      }
      this.#waiting.shift();
    }
    if (this.#waitingBytes < MOST_WAITING) this.#wake();
    if (this.#hasEnded && this.#waiting.length === 0) this.#endData(0);
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
    this.#frames.open(OP.DATA, this.#call.id, this.#runner.pool, 0, 0, 0, 0, 0);
    setImmediate(() => this.#send());
    return true;
  }

  /** Sends the piece that has begun. */
  #send() {
    if (!this.#isOpen || this.#call.id === 0) return;
    this.#isOpen = false;
    this.#frames.close();
    this.#frames.flush();
  }

  /** @param {number} flags FLAG.FAILED: the server discards the load */
  #endData(flags) {
    if (this.#isOver) return;
    this.#send();
    this.#isOver = true;
    const { link, pool } = this.#runner;
    if (this.#call.id !== 0) link.sendText(OP.END_DATA, this.#call.id, pool, 0, 0, flags, 0, '');
    this.#wake();
  }

  /** The load has ended. */
  #stop() {
    this.#isOver = true;
    this.#waiting = [];
    this.#wake();
  }

  #wake() {
    for (const wake of this.#writers.splice(0)) wake();
  }
}

module.exports = { HandedLoad };
