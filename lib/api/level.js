'use strict';

// A level of a transaction: its top, or an open savepoint. Work of a level runs in the order of the calls. While one piece has the
// level to itself (a savepoint below it with all that runs in its callback, or a load), the other work of the level waits: a statement
// that ran in between would be undone with the savepoint.

const { AsyncResource } = require('node:async_hooks');

class Level {
  /** Whether a piece of work has the level to itself. */
  #isTaken = false;
  /** Starts the work that waits, in its order. @type {(() => void)[]} */
  #waiting = [];

  /** @param {Level | undefined} parent the level in which the savepoint was made */
  constructor(parent) {
    this.parent = parent;
    /** @type {number} */
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    /** The top of a transaction in which nothing has had the level to itself yet: nothing can wait, so statements need not look. */
    this.isPlain = parent === undefined;
  }

  /** Whether this is `other` or a level below it. @param {Level} other */
  isWithin(other) {
    /** @type {Level | undefined} */
    let level = this;
    while (level !== undefined && level !== other) level = level.parent;
    return level !== undefined;
  }

  /**
   * Starts work in its turn. It must be sent when `work` has returned its promise.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  run(work) {
    if (!this.#isTaken && this.#waiting.length === 0) return work();
    return new Promise((resolve, reject) => {
      const start = () => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      };
      // In the context of its caller (AsyncLocalStorage), not of the work before it.
      this.#waiting.push(AsyncResource.bind(start));
    });
  }

  /** Resolves when the caller has the level to itself, until release(). @returns {Promise<void>} */
  take() {
    this.isPlain = false;
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#isTaken = true;
        resolve();
      });
      this.#startNext();
    });
  }

  release() {
    this.#isTaken = false;
    this.#startNext();
  }

  #startNext() {
    while (!this.#isTaken && this.#waiting.length > 0) this.#waiting.shift()?.();
  }
}

module.exports = { Level };
