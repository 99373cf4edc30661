'use strict';

// The strategy `range`: each range of keys has a shard. Keys are numbers, or texts in the order of COLLATE "C", which in UTF-8 is the
// order of code points (PostgreSQL docs, 24.2.2.3).

const client = /** @type {any} */ (require('../../../client.js'));
const { keyText } = require('./slots.js');

const { OptionError, ParameterError } = client;
const { plainObject, refuseUnknown } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {string | number | bigint} Bound */
/** @typedef {'number' | 'string'} Kind */
/** @typedef {{ from: Bound | null, to: Bound | null, shard: number }} Range */
/** @typedef {{ kind: Kind, sorted: Range[] }} Ranges `sorted`: from the lowest; none overlaps another */

const MEMBERS = { from: null, to: null, shard: null };
/** Of UTF-16: code points from U+10000 are written with these, but are larger than all others. */
const SURROGATES = { first: 0xd800, last: 0xdfff };

/** @param {number} unit of UTF-16 */
const isSurrogate = (unit) => unit >= SURROGATES.first && unit <= SURROGATES.last;

/** By code points. @param {string} a @param {string} b */
function compareTexts(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
  }
  return a.length - b.length;
}

/** Two of one kind. JavaScript compares a number with a bigint exactly. @param {any} a @param {any} b @returns {number} */
const compare = (a, b) => (typeof a === 'string' ? compareTexts(a, b) : a < b ? -1 : a > b ? 1 : 0);

/** @param {unknown} value @param {string} name @returns {Kind} */
function kindOfBound(value, name) {
  if (typeof value === 'bigint') return 'number';
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw new OptionError(`${name} must be a finite number, or a bigint beyond 2^53, not ${value}`);
    }
    return 'number';
  }
  if (typeof value !== 'string') {
    throw new OptionError(`${name} must be a number, a bigint, a string, or null for an open end, not ${typeof value}`);
  }
  if (!value.isWellFormed() || value.includes('\0')) {
    throw new OptionError(`${name} contains a character that PostgreSQL cannot have in a text`);
  }
  return 'string';
}

/** @param {unknown} given @param {string} name @param {number} count of shards @returns {Range} */
function checkRange(given, name, count) {
  const range = plainObject(name, given);
  refuseUnknown(range, MEMBERS, { path: name });
  const { from, to, shard } = /** @type {any} */ (range);
  // An end that was forgotten would leave the range open.
  if (from === undefined || to === undefined) {
    throw new OptionError(`${name}.${from === undefined ? 'from' : 'to'} is missing: null is an open end`);
  }
  if (!Number.isInteger(shard) || shard < 0 || shard >= count) {
    const shown = typeof shard === 'number' ? shard : typeof shard;
    throw new OptionError(`${name}.shard must be the number of a shard, from 0 to ${count - 1}, not ${shown}`);
  }
  return { from, to, shard };
}

/**
 * @param {unknown[]} given
 * @param {string} name
 * @param {number} count of shards
 * @returns {Ranges}
 */
function checkRanges(given, name, count) {
  if (given.length === 0) throw new OptionError(`${name} must have at least one range`);
  /** @type {{ kind: Kind, name: string } | null} */
  let first = null;
  const named = given.map((one, index) => ({
    name: `${name}[${index}]`,
    range: checkRange(one, `${name}[${index}]`, count),
  }));
  for (const { name: path, range } of named) {
    for (const end of /** @type {const} */ (['from', 'to'])) {
      const bound = range[end];
      if (bound === null) continue;
      const kind = kindOfBound(bound, `${path}.${end}`);
      first ??= { kind, name: `${path}.${end}` };
      if (kind !== first.kind) {
        throw new OptionError(`${path}.${end} is a ${kind} and ${first.name} a ${first.kind}: ranges are of one kind`);
      }
    }
    if (range.from !== null && range.to !== null && compare(range.from, range.to) >= 0) {
      throw new OptionError(`${path} is empty: from must be less than to, which is not in the range`);
    }
  }
  if (first === null) throw new OptionError(`${name} needs a bound: with one range for all keys there is one shard`);
  named.sort(({ range: a }, { range: b }) =>
    a.from === null ? (b.from === null ? 0 : -1) : b.from === null ? 1 : compare(a.from, b.from),
  );
  for (const [index, { name: path, range }] of named.entries()) {
    const before = named[index - 1];
    if (before === undefined) continue;
    if (range.from === null || before.range.to === null || compare(before.range.to, range.from) > 0) {
      throw new OptionError(`${before.name} and ${path} overlap`);
    }
  }
  return { kind: first.kind, sorted: named.map(({ range }) => range) };
}

/**
 * A key as it is compared. The text of an integer is a number, since int8 and numeric columns may come as texts.
 * @param {unknown} key
 * @param {Kind} kind
 * @returns {Bound}
 */
function bound(key, kind) {
  if (kind === 'string') {
    if (typeof key !== 'string')
      throw new ParameterError(`shardKey must be a string, as the ranges are, not ${typeof key}`);
    return keyText(key);
  }
  if (typeof key === 'number' && Number.isFinite(key) && !Number.isInteger(key)) return key;
  const text = keyText(key);
  if (typeof key !== 'string') return /** @type {number | bigint} */ (key);
  if (!/^-?\d+$/.test(text)) throw new ParameterError('shardKey must be a number, as the ranges are');
  return BigInt(text);
}

/**
 * The shard of a key; undefined: it is in no range.
 * @param {Ranges} ranges
 * @param {unknown} key
 */
function shardInRanges({ kind, sorted }, key) {
  const wanted = bound(key, kind);
  let [low, high] = [0, sorted.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const { from, to, shard } = sorted[middle];
    if (from !== null && compare(wanted, from) < 0) high = middle - 1;
    else if (to !== null && compare(wanted, to) >= 0) low = middle + 1;
    else return shard;
  }
  return undefined;
}

module.exports = { checkRanges, shardInRanges };
