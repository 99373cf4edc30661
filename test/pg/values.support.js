'use strict';

// What the tests of values share: random numbers from a seed, and a form of values in which those of pg and ours can be compared.

const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_FULL ? 100_000 : 4_000));

/** A generator of the numbers that a seed determines (mulberry32). @param {number} seed */
function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  /** A whole number from `least` to `most`. @param {number} least @param {number} most */
  const between = (least, most) => least + Math.floor(next() * (most - least + 1));
  return {
    next,
    between,
    /** @template T @param {readonly T[]} list @returns {T} */
    of: (list) => list[between(0, list.length - 1)],
    /** @param {number} chance */
    maybe: (chance = 0.5) => next() < chance,
    /** @param {string} alphabet @param {number} most */
    word: (alphabet, most) =>
      Array.from({ length: between(0, most) }, () => alphabet[between(0, alphabet.length - 1)]).join(''),
    /** @param {number} number @param {number} [width] */
    digits: (number, width = 2) => String(number).padStart(width, '0'),
  };
}

/** @param {any} value */
const isInterval = (value) => typeof value?.toPostgres === 'function';

/**
 * A value without the identity of classes that pg and we have each our own of, but with what their methods say.
 * @param {any} value
 * @returns {any}
 */
function shapeOf(value) {
  if (Buffer.isBuffer(value)) return { buffer: value.toString('hex') };
  if (value instanceof Date) return { date: value.getTime(), ...Object.fromEntries(ownData(value)) };
  if (Array.isArray(value)) return value.map(shapeOf);
  if (isInterval(value)) {
    return { interval: Object.entries(value), texts: [value.toPostgres(), value.toISO(), value.toISOString()] };
  }
  if (Object.is(value, -0)) return 'negative zero';
  return value;
}

/** @param {object} value */
const ownData = (value) => Object.entries(value).filter(([, own]) => typeof own !== 'function');

module.exports = { ROUNDS, randomFrom, shapeOf };
