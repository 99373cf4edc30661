'use strict';

// An unload: a Readable of what COPY sends. The reader grants the pieces, so the server sends no more than is read.

const { AsyncResource } = require('node:async_hooks');
const { Readable } = require('node:stream');
const { Call } = require('../../core/core-link.js');
const { DRAINED, FLAG, OP } = require('../../core/numbers.js');
const { underSignal } = require('../../core/under-signal.js');
const { located } = require('../../errors.js');

class Unload extends Readable {
  /** @type {import('../../core/statement-runner.js').StatementRunner} */
  #runner;
  #transaction;
  #sql;
  #options;
  #inTurn;
  /** Whether all is granted. */
  #isDrained = false;
  /** @type {Call | undefined} */
  #call;
  /** If somebody watches. @type {import('../../core/observer.js').Watched | undefined} */
  #watched;
  /** Resolves when the unload has ended or failed. @type {Promise<void> | undefined} */
  #settled;
  /** Pieces that have arrived beyond the high-water mark: as many are granted with the next _read(). */
  #owed = 0;

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {number} transaction
   * @param {string} sql
   * @param {Record<string, any>} options checked
   * @param {(work: () => Promise<void>) => Promise<void>} inTurn starts the work
   */
  constructor(runner, transaction, sql, options, inTurn) {
    super(options.highWaterMark === undefined ? {} : { highWaterMark: options.highWaterMark });
    this.#runner = runner;
    this.#transaction = transaction;
    this.#sql = sql;
    this.#options = options;
    this.#inTurn = inTurn;
  }

  /** The rows that a pinned session has unloaded, once it has. */
  get rowCount() {
    return this.#call?.rowCount ?? 0;
  }

  _read() {
    if (this.#settled === undefined) {
      this.#settled = this.#start().then(
        () => void this.push(null),
        (error) => void this.destroy(error),
      );
    } else if (this.#owed > 0 && !this.#isDrained) {
      this.#grant(this.#owed);
      this.#owed = 0;
    }
  }

  /** @returns {Promise<void>} */
  #start() {
    const { observer } = this.#runner;
    if (!observer.isWatching) return this.#inTurn(() => this.#run(() => {}));
    return observer.run('copyTo', this.#sql, undefined, this.#transaction, (watched) => {
      this.#watched = watched;
      return this.#inTurn(() => this.#run(watched.sent));
    });
  }

  /** @param {(call: Call) => void} sent */
  async #run(sent) {
    const { link, pool } = this.#runner;
    const { signal, timeoutMs = 0 } = this.#options;
    try {
      await underSignal(
        link,
        pool,
        signal,
        (started) =>
          new Promise((resolve, reject) => {
            const call = new Call(resolve, reject);
            // The listeners of `data` run in the context of the one who reads, as those of a socket do.
            call.onBytes = AsyncResource.bind((bytes) => this.#onPiece(bytes));
            const id = link.register(call);
            this.#call = call;
            // The reader may be destroyed at any time, so the core must be able to cancel.
            const flags = FLAG.STREAM | FLAG.HAS_SIGNAL;
            link.sendText(OP.UNLOAD, id, pool, 0, this.#transaction, flags, timeoutMs, this.#sql);
            sent(call);
            started(call);
          }),
      );
    } catch (error) {
      throw located(error);
    }
  }

  /** @param {Buffer} bytes */
  #onPiece(bytes) {
    if (this.destroyed) return;
    const wantsMore = this.push(bytes);
    if (this.#isDrained) return;
    if (wantsMore) this.#grant(1);
    else this.#owed++;
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

  /** @param {number} pieces */
  #grant(pieces) {
    this.#runner.link.grant(this.#call, this.#runner.pool, pieces);
  }

  /**
   * Cancels what still runs, and waits until its connection is free.
   * @param {Error | null} error
   * @param {(error?: Error | null) => void} callback
   */
  _destroy(error, callback) {
    if (this.#call !== undefined && this.#call.id !== 0) {
      if (this.#watched !== undefined) this.#watched.isLeft = true;
      this.cancel();
      this.#settled?.then(() => callback(error));
    } else {
      callback(error);
    }
  }
}

module.exports = { Unload };
