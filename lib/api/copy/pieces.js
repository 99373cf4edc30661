'use strict';

// The source of a load whose data is handed in piece by piece, and the writer that hands it in.

/** Pieces that may wait before a writer should. */
const WAITING = 16;

class Pieces {
  /** @type {Uint8Array[]} */
  #waiting = [];
  #hasEnded = false;
  /** @type {Error | undefined} */
  #failure;
  /** Wakes the load. @type {(() => void) | undefined} */
  #wake;
  /** Wakes the writers. @type {(() => void)[]} */
  #writers = [];

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const piece = this.#waiting.shift();
      if (piece !== undefined) {
        if (this.#waiting.length < WAITING) this.#wakeWriters();
        yield piece;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else if (this.#hasEnded) {
        return;
      } else {
        await new Promise((resolve) => {
          this.#wake = () => resolve(undefined);
        });
      }
    }
  }

  #wakeWriters() {
    for (const wake of this.#writers.splice(0)) wake();
  }

  #wakeLoad() {
    this.#wake?.();
    this.#wake = undefined;
  }

  /**
   * @param {Promise<{ rowCount: number }>} done the end of the load
   */
  writer(done) {
    const over = done.then(
      () => {},
      () => {},
    );
    over.then(() => this.#wakeWriters());
    return {
      /** Hands in a piece. The promise, if there is one, resolves when there is room for more. @param {Uint8Array} piece */
      write: (piece) => {
        this.#waiting.push(piece);
        this.#wakeLoad();
        if (this.#waiting.length < WAITING) return undefined;
        return Promise.race([over, new Promise((resolve) => this.#writers.push(() => resolve(undefined)))]).then(
          () => {},
        );
      },
      /** All was handed in. Resolves when the server has loaded it. */
      end: () => {
        this.#hasEnded = true;
        this.#wakeLoad();
        return done;
      },
      /** Undoes the load. @param {string} message */
      fail: (message) => {
        this.#failure = new Error(message);
        this.#wakeLoad();
        return over;
      },
      /** The end of the load, also if the server ends it. */
      done,
    };
  }
}

module.exports = { Pieces };
