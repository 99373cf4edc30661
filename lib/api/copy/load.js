'use strict';

// A load: asks its source for rows only when the server is ready for them, and writes them into pieces of about 64 KiB.
//
// The core grants a number of pieces and grants more as the server takes them. The load waits while it has no grant, and gives
// the event loop a turn every millisecond.

const { AsyncResource } = require('node:async_hooks');
const { Readable } = require('node:stream');
const { setImmediate: nextTurn } = require('node:timers/promises');
const { isUint8Array } = require('node:util').types;
const { Call } = require('../../core/core-link.js');
const { FLAG, OP } = require('../../core/numbers.js');
const { underSignal } = require('../../core/under-signal.js');
const { ParameterError, located } = require('../../errors.js');
const { PIECE, RowWriter } = require('./row-writer.js');
const { sourceOpener } = require('./source.js');

/** How long JavaScript may work on rows before the event loop has its turn. 3 doubles the stall, and is no faster. */
const SLICE_MS = 1;
/** An unfinished piece is sent after this time without more data: the server may find an error in it. */
const IDLE_MS = 100;

/** For an error of a stream that is not read yet: reading the stream reports it. */
const ignoreError = () => {};

class Load {
  /** @type {import('../../core/statement-runner.js').StatementRunner} */
  #runner;
  #target;
  /** @type {any} */
  #source;
  /** @type {() => { iterator: import('./source.js').Source, isAsync: boolean }} */
  #openSource;
  #options;
  /** @type {Call} */
  #call = /** @type {any} */ (undefined);
  /** @type {import('./source.js').Source | undefined} */
  #iterator;
  /** The source has ended or failed: it needs no return(). */
  #exhausted = false;
  /** Whether a promise of its next() is pending. */
  #pending = false;
  /** No more data can be sent. */
  #over = false;
  /** The error that the source or a callback threw. @type {{ error: unknown } | undefined} */
  #failure;
  #writer;
  /** Pieces that the core has granted and that are not sent yet. */
  #credit = 0;
  /** Rows of the pieces that are on their way. @type {number[]} */
  #sent = [];
  /** What the server has received. */
  #done = { rows: 0, bytes: 0 };
  /** @type {(() => void) | undefined} */
  #wake;
  /** Sends an unfinished piece that has waited for IDLE_MS. @type {NodeJS.Timeout | undefined} */
  #idle;

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {import('./target.js').Target} target
   * @param {unknown} source
   * @param {Record<string, any>} options checked
   */
  constructor(runner, target, source, options) {
    this.#runner = runner;
    this.#target = target;
    this.#source = source;
    this.#openSource = sourceOpener(source, this.#isReady);
    this.#options = options;
    this.#writer = new RowWriter(runner, 'columns' in target && target.columns !== null);
  }

  /** Whether the source is data in one of COPY's formats, not rows. */
  get #isReady() {
    return 'sql' in this.#target;
  }

  /**
   * @param {number} transaction 0: one of its own
   * @param {(call: Call) => void} sent
   */
  async run(transaction, sent) {
    const { link, pool } = this.#runner;
    const { signal, timeoutMs = 0 } = this.#options;
    const isStream = this.#source instanceof Readable;
    if (isStream) this.#source.on('error', ignoreError);
    try {
      const call = await underSignal(
        link,
        pool,
        signal,
        (started) =>
          new Promise((resolve, reject) => {
            const call = new Call(resolve, reject);
            // The source and the callbacks run in the context of the caller (AsyncLocalStorage).
            call.onGrant = AsyncResource.bind((pieces, bytes, columns) => this.#onGrant(pieces, bytes, columns));
            const id = link.register(call);
            this.#call = call;
            const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
            link.sendText(OP.LOAD, id, pool, 0, transaction, flags, timeoutMs, JSON.stringify(this.#target));
            sent(call);
            started(call);
          }),
      );
      return { rowCount: call.rowCount, bytes: this.#done.bytes };
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure.error;
      throw located(error);
    } finally {
      if (isStream && this.#iterator === undefined) this.#source.off('error', ignoreError);
      await this.#closeSource();
    }
  }

  /** Closes a source that was not read to its end. */
  async #closeSource() {
    this.#over = true;
    this.#wake?.();
    clearInterval(this.#idle);
    if (this.#iterator === undefined || this.#exhausted) return;
    const isStuck = this.#pending;
    if (isStuck && typeof this.#source.destroy === 'function') this.#source.destroy();
    try {
      const closed = this.#iterator.return?.();
      if (isStuck) Promise.resolve(closed).catch(() => {});
      else await closed;
    } catch {
      // The caller gets the result of the load, not an error of closing the source.
    }
  }

  /**
   * The core grants more pieces.
   * @param {number} pieces
   * @param {number} bytes that the server has received
   * @param {string} columns JSON, with the first grant; else empty
   */
  #onGrant(pieces, bytes, columns) {
    this.#credit += pieces;
    this.#done.bytes = bytes;
    if (columns !== '') {
      this.#writer.start(this.#call.id, JSON.parse(columns));
      this.#sendSource();
      return;
    }
    // The last message grants no piece: it only has the number of bytes.
    if (pieces > 0) {
      this.#done.rows += this.#sent.shift() ?? 0;
      try {
        this.#options.onProgress?.({ ...this.#done });
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#wake?.();
  }

  /** Ends the load because the source or a callback failed. @param {unknown} error */
  #fail(error) {
    if (this.#over || this.#call.id === 0) return;
    this.#over = true;
    this.#failure = { error };
    this.#endData(FLAG.FAILED);
    this.#wake?.();
  }

  /** @param {number} flags FLAG.FAILED: the server discards the load */
  #endData(flags) {
    const { link, pool } = this.#runner;
    if (this.#call.id !== 0) link.sendText(OP.END_DATA, this.#call.id, pool, 0, 0, flags, 0, '');
  }

  /** Sends the whole source, then its end. */
  async #sendSource() {
    this.#idle = setInterval(() => {
      if (this.#pending && this.#credit > 0) this.#sendPiece();
    }, IDLE_MS);
    try {
      const { iterator, isAsync } = this.#openSource();
      this.#iterator = iterator;
      await this.#writeSource(iterator, isAsync);
      this.#sendPiece();
      // A progress callback may stop the load until the server has all pieces.
      while (this.#sent.length > 0 && !this.#over) await this.#nextGrant();
      if (!this.#over) this.#endData(0);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Writes all rows or chunks of the source, and sends each piece that is full.
   * @param {any} iterator
   * @param {boolean} isAsync
   */
  async #writeSource(iterator, isAsync) {
    const writer = this.#writer;
    const isReady = this.#isReady;
    let until = performance.now() + SLICE_MS;
    for (let turn = 1; !this.#over; turn++) {
      const step = isAsync ? await this.#readNext(iterator) : this.#readNextSync(iterator);
      if (this.#over) return;
      if (step.done) {
        this.#exhausted = true;
        return;
      }
      if (isReady) await this.#writeChunk(step.value, turn);
      else writer.writeRow(step.value);
      if (writer.isFull) {
        this.#sendPiece();
        while (this.#credit === 0 && !this.#over) {
          await this.#nextGrant();
          until = performance.now() + SLICE_MS;
        }
      }
      // The clock is read after each chunk, which is large, but only after 16 rows.
      if ((isReady || (turn & 15) === 0) && performance.now() > until) {
        await nextTurn();
        until = performance.now() + SLICE_MS;
      }
    }
  }

  /** Sends what was written. */
  #sendPiece() {
    if (!this.#writer.isOpen || this.#call.id === 0) return;
    this.#sent.push(this.#writer.send());
    this.#credit--;
  }

  /** @param {AsyncIterator<unknown>} iterator */
  async #readNext(iterator) {
    this.#pending = true;
    try {
      return await iterator.next();
    } catch (error) {
      this.#exhausted = true;
      throw error;
    } finally {
      this.#pending = false;
    }
  }

  /** @param {Iterator<unknown>} iterator */
  #readNextSync(iterator) {
    try {
      return iterator.next();
    } catch (error) {
      this.#exhausted = true;
      throw error;
    }
  }

  /** Resolves when the core grants more, or when the load is over. @returns {Promise<void>} */
  #nextGrant() {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /**
   * Writes a chunk of ready data, in pieces.
   * @param {any} chunk
   * @param {number} number
   */
  async #writeChunk(chunk, number) {
    if (typeof chunk !== 'string' && !isUint8Array(chunk)) {
      throw new ParameterError(`source: chunk ${number} must be a Buffer, a Uint8Array or a string`);
    }
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length && !this.#over; at += PIECE) {
      while (this.#credit === 0 && !this.#over) await this.#nextGrant();
      if (this.#over) return;
      this.#writer.writeBytes(bytes.subarray(at, at + PIECE));
      if (this.#writer.isFull) this.#sendPiece();
    }
  }
}

module.exports = { Load };
