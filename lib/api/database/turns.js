'use strict';

/** Runs pieces of work one after another, in the order of the calls. What fails stops nobody. */
class Turns {
  /** When the last piece has ended; null: all have. @type {Promise<void> | null} */
  #last = null;

  /** Whether nothing runs or waits. */
  get isIdle() {
    return this.#last === null;
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  run(work) {
    const result = this.#last === null ? work() : this.#last.then(work);
    const settled = result.then(nothing, nothing).then(() => {
      if (this.#last === settled) this.#last = null;
    });
    this.#last = settled;
    return result;
  }
}

function nothing() {}

module.exports = { Turns };
