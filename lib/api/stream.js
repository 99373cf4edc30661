'use strict';

// A result that is read row by row: rows arrive in pieces, and the core sends another piece when one has been read. So a result of
// any size needs the memory of a few pieces, and the server keeps the rest.
//
// The statement is sent with the first next(). Leaving the loop early cancels it on the server, and the loop has ended only when
// the connection is back in the pool.

const { DRAINED } = require('../core/numbers.js');
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
  /** If somebody watches. @type {import('../core/observer.js').Watched | undefined} */
  #watched;
  /** Pieces that have arrived. @type {object[][]} */
  #pieces = [];
  /** The piece being read. @type {object[]} */
  #piece = [];
  #at = 0;
  /** next() calls that wait for rows. @type {Waiter[]} */
  #waiters = [];
  #ended = false;
  /** Whether all is granted. */
  #isDrained = false;
  /** @type {unknown} */
  #error;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {(reader: object) => Promise<object[]>} start sends the statement; its rows go to `reader`
   */
  constructor(runner, start) {
    this.#runner = runner;
    this.#start = start;
  }

  /** Sends the statement. */
  #begin() {
    const reader = {
      onRows: (/** @type {object[]} */ rows) => {
        if (this.#watched !== undefined) this.#watched.rowCount = (this.#watched.rowCount ?? 0) + rows.length;
        this.#pieces.push(rows);
        this.#settleWaiters();
      },
      onWatched: (/** @type {import('../core/observer.js').Watched} */ watched) => {
        this.#watched = watched;
      },
      onCall: (/** @type {import('../core/core-link.js').Call} */ call) => {
        this.#call = call;
        // Behind the frame of the statement, which is written next.
        if (this.#isDrained) queueMicrotask(() => this.#grant(DRAINED));
      },
    };
    const finish = (/** @type {unknown} */ error) => {
      this.#ended = true;
      this.#error = error;
      this.#settleWaiters();
    };
    this.#settled = this.#start(reader).then(() => finish(undefined), finish);
  }

  /** The next row that has arrived, or undefined. */
  #shiftRow() {
    if (this.#at === this.#piece.length) {
      const next = this.#pieces.shift();
      if (next === undefined) return undefined;
      this.#piece = next;
      this.#at = 0;
      if (!this.#isDrained) this.#grant(1);
    }
    return this.#piece[this.#at++];
  }

  /** Lets the core send more pieces. @param {number} pieces */
  #grant(pieces) {
    this.#runner.link.grant(this.#call, this.#runner.pool, pieces);
  }

  /** Lets the server send all that is left, whether or not it is read. */
  drain() {
    if (this.#isDrained) return;
    this.#isDrained = true;
    this.#grant(DRAINED);
  }

  /** Cancels what still runs. */
  cancel() {
    this.#runner.link.leave(this.#call, this.#runner.pool);
  }

  /** Settles the next() calls for which rows, or the end, have arrived. */
  #settleWaiters() {
    while (this.#waiters.length > 0) {
      const value = this.#shiftRow();
      if (value === undefined && !this.#ended) return;
      const { resolve, reject } = /** @type {Waiter} */ (this.#waiters.shift());
      if (value !== undefined) {
        resolve({ value, done: false });
      } else if (this.#error === undefined) {
        resolve({ value: undefined, done: true });
      } else {
        reject(this.#error);
        // Only the first call rejects; the later ones are done.
        this.#error = undefined;
      }
    }
  }

  async #waitForRow() {
    try {
      return await new Promise((resolve, reject) => {
        this.#waiters.push({ resolve, reject });
        this.#settleWaiters();
      });
    } catch (error) {
      throw located(error);
    }
  }

  /** @returns {Promise<IteratorResult<unknown>>} */
  next() {
    if (this.#settled === undefined) this.#begin();
    const value = this.#waiters.length === 0 ? this.#shiftRow() : undefined;
    return value === undefined ? this.#waitForRow() : Promise.resolve({ value, done: false });
  }

  /** Ends the stream early: cancels the statement, and waits until its connection is free. */
  async return() {
    if (this.#settled === undefined) {
      this.#settled = Promise.resolve();
      this.#ended = true;
    }
    if (this.#watched !== undefined) this.#watched.isLeft = true;
    if (!this.#ended) this.cancel();
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
