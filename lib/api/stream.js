'use strict';

// A result read as it comes: rows arrive in pieces, and a piece is asked for only when one has been taken, so a result
// of any size needs the memory of a few pieces. What is not read stays on the server.
//
// It begins with the first next(). Leaving the loop early cancels the statement on the server, and the connection is back
// in the pool when the loop has been left.

const { OP } = require('../core/numbers.js');
const { located } = require('../errors.js');

/** @typedef {{ resolve(result: IteratorResult<unknown>): void, reject(error: unknown): void }} Waiter */

class RowStream {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  /** @type {(reader: object) => Promise<object[]>} */
  #start;
  /** @type {Promise<void> | undefined} */
  #settled;
  /** @type {import('../core/core-link.js').Call | undefined} */
  #call;
  /** Pieces that have arrived. @type {object[][]} */
  #pieces = [];
  /** The piece being read. @type {object[]} */
  #piece = [];
  #at = 0;
  /** next() calls that wait for rows. @type {Waiter[]} */
  #waiters = [];
  #ended = false;
  /** @type {unknown} */
  #error;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {(reader: object) => Promise<object[]>} start sends the statement, its rows going to `reader`
   */
  constructor(runner, start) {
    this.#runner = runner;
    this.#start = start;
  }

  #begin() {
    const reader = {
      onRows: (/** @type {object[]} */ rows) => {
        this.#pieces.push(rows);
        this.#serve();
      },
      onCall: (/** @type {import('../core/core-link.js').Call} */ call) => {
        this.#call = call;
      },
    };
    const finish = (/** @type {unknown} */ error) => {
      this.#ended = true;
      this.#error = error;
      this.#serve();
    };
    this.#settled = this.#start(reader).then(() => finish(undefined), finish);
  }

  /** The next row that is here, or undefined. */
  #take() {
    if (this.#at === this.#piece.length) {
      const next = this.#pieces.shift();
      if (next === undefined) return undefined;
      this.#piece = next;
      this.#at = 0;
      this.#grant();
    }
    return this.#piece[this.#at++];
  }

  /** A piece was taken: another may come. */
  #grant() {
    const { link, pool } = this.#runner;
    if (this.#call === undefined || this.#call.id === 0) return;
    link.frames.open(OP.CREDIT, this.#call.id, pool, 0, 0, 0, 0, 0, 1);
    link.frames.close();
    link.flushSoon();
  }

  /** Gives what is here to those who wait. */
  #serve() {
    while (this.#waiters.length > 0) {
      const value = this.#take();
      if (value === undefined && !this.#ended) return;
      const { resolve, reject } = /** @type {Waiter} */ (this.#waiters.shift());
      if (value !== undefined) {
        resolve({ value, done: false });
      } else if (this.#error === undefined) {
        resolve({ value: undefined, done: true });
      } else {
        reject(this.#error);
        // Told once; after that the stream is simply over.
        this.#error = undefined;
      }
    }
  }

  async #wait() {
    try {
      return await new Promise((resolve, reject) => {
        this.#waiters.push({ resolve, reject });
        this.#serve();
      });
    } catch (error) {
      throw located(error);
    }
  }

  /** @returns {Promise<IteratorResult<unknown>>} */
  next() {
    if (this.#settled === undefined) this.#begin();
    const value = this.#waiters.length === 0 ? this.#take() : undefined;
    return value === undefined ? this.#wait() : Promise.resolve({ value, done: false });
  }

  /** Leaves: cancels what still runs, and waits until its connection is free. */
  async return() {
    if (this.#settled === undefined) {
      this.#settled = Promise.resolve();
      this.#ended = true;
    }
    if (!this.#ended && this.#call !== undefined && this.#call.id !== 0) {
      const { link, pool } = this.#runner;
      link.tell(OP.CANCEL, this.#call.id, pool);
    }
    await this.#settled;
    this.#pieces = [];
    this.#piece = [];
    this.#at = 0;
    this.#error = undefined;
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.return();
  }
}

module.exports = { RowStream };
