'use strict';

// Choices that follow from one seed. Each worker has a generator of its own (`fork`), so that its choices do not depend on the
// order in which workers run. The timing of the machine is not repeated by a seed.

/** mulberry32: small, and good enough for choices. */
class Random {
  #state;

  /** @param {number} seed a 32-bit integer */
  constructor(seed) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** A number from 0, below 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from `least` to `most`, both included. @param {number} least @param {number} most */
  int(least, most) {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** True once in `times`, on average. @param {number} times */
  once(times) {
    return this.int(1, times) === 1;
  }

  /**
   * @template T
   * @param {readonly T[]} list not empty
   * @returns {T}
   */
  pick(list) {
    return list[this.int(0, list.length - 1)];
  }

  /**
   * @template T
   * @param {readonly T[]} list
   */
  shuffled(list) {
    const left = [...list];
    return list.map(() => left.splice(this.int(0, left.length - 1), 1)[0]);
  }

  /** A generator of its own, the same for the same seed and name. @param {string} name */
  fork(name) {
    // FNV-1a
    let hash = 0x811c9dc5 ^ this.seed;
    for (const char of name) hash = Math.imul(hash ^ /** @type {number} */ (char.codePointAt(0)), 0x01000193);
    return new Random(new Random(hash).int(0, 0xffff_ffff));
  }
}

/**
 * The given seed, or a new one.
 * @param {string | undefined} text
 * @param {string} name how the asker calls it
 */
function seedFrom(text, name) {
  if (text === undefined || text === '') return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(text);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new Error(`${name} must be an integer from 0 to ${2 ** 32 - 1}, not '${text}'`);
  }
  return seed;
}

exports.Random = Random;
exports.seedFrom = seedFrom;
