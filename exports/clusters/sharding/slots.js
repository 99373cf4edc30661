'use strict';

// The strategy `hash`: a key has one of 1,024 fixed slots, and each slot has a partition. The slot is the first 10 bits of the SHA-256
// of the key's text in UTF-8, which PostgreSQL computes too (`slotExpression`).

const crypto = require('node:crypto');
const { ParameterError } = require('../../../client.js');

/** @typedef {string | number | bigint} Key */

const SLOT_BITS = 10;
const SLOTS = 1 << SLOT_BITS;
/** The slot is in the first four hex digits. */
const DIGITS = 4;
const SPARE_BITS = DIGITS * 4 - SLOT_BITS;

const UUID = /^\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?$/i;

/** crypto.hash (Node 20.12) takes a quarter of the time. @type {(text: string) => string} */
const sha256 =
  typeof crypto.hash === 'function'
    ? (text) => crypto.hash('sha256', text, 'hex')
    : (text) => crypto.createHash('sha256').update(text, 'utf8').digest('hex');

/** @param {string} why */
const refused = (why) => new ParameterError(`shardKey ${why}`);

/**
 * The text of a key, as PostgreSQL writes the value of an integer, text or uuid column: 1, 1n and '1' are one key.
 * @param {unknown} key
 * @returns {string}
 */
function keyText(key) {
  if (typeof key === 'string') return checkText(key);
  if (typeof key === 'bigint') return String(key);
  if (typeof key === 'number') {
    if (Number.isSafeInteger(key)) return String(key);
    if (Number.isInteger(key))
      throw refused('is an integer beyond 2^53, which may have lost its last digits: use a bigint');
    throw refused(Number.isFinite(key) ? 'has a fraction' : `is ${key}`);
  }
  throw refused(`must be a string, an integer or a bigint, not ${kindOf(key)}`);
}

/** @param {unknown} key */
const kindOf = (key) =>
  key === null || key === undefined ? String(key) : Array.isArray(key) ? 'an array' : typeof key;

/** @param {string} key */
function checkText(key) {
  if (key === '') throw refused('is an empty string');
  if (key.includes('\0')) throw refused('contains a NUL character, which PostgreSQL cannot have in a text');
  if (!key.isWellFormed()) throw refused('contains half of a surrogate pair, which has no UTF-8');
  if ((key.length === 36 || key.length === 38) && UUID.test(key) && (key[0] === '{' || key !== key.toLowerCase())) {
    throw refused('is a UUID that is not written as PostgreSQL writes it: in small letters, without braces');
  }
  return key;
}

/** The slot of a key, from 0 to 1,023. @param {unknown} key */
const slotOf = (key) => Number.parseInt(sha256(keyText(key)).slice(0, DIGITS), 16) >> SPARE_BITS;

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * The SQL for the slot of the key in a column of a text, uuid or integer type. PostgreSQL has had sha256() since version 11. A cast
 * to bit(10) keeps the first 10 bits (PostgreSQL docs, 8.10).
 * @param {string} column its name as it is, without quotes
 */
function slotExpression(column) {
  if (typeof column !== 'string' || column === '' || column.includes('\0') || Buffer.byteLength(column) > 63) {
    throw new ParameterError('column must be the name of a column: a string of 1 to 63 bytes without NUL');
  }
  return slotOfColumn(quoted(column));
}

/** @param {string} column in SQL */
const slotOfColumn = (column) =>
  `('x' || encode(sha256(convert_to(${column}::text, 'UTF8')), 'hex'))::bit(${SLOT_BITS})::int`;

/**
 * The partition of each slot. From n to n + 1 partitions each of the n gives its highest slots to the new one, and nothing else
 * moves. So the way to a number of partitions is always the same, and so is the table.
 * @param {number} partitions from 1
 * @returns {Uint16Array}
 */
function partitionsOfSlots(partitions) {
  const owned = [Array.from({ length: SLOTS }, (_, slot) => slot)];
  while (owned.length < partitions) {
    /** @type {number[]} */
    const fresh = [];
    const wanted = Math.floor(SLOTS / (owned.length + 1));
    while (fresh.length < wanted) fresh.push(/** @type {number} */ (largest(owned).pop()));
    owned.push(fresh.sort((a, b) => a - b));
  }
  const table = new Uint16Array(SLOTS);
  for (const [partition, slots] of owned.entries()) for (const slot of slots) table[slot] = partition;
  return table;
}

/** The partition with the most slots, the first of several. @param {number[][]} owned */
const largest = (owned) => owned.reduce((most, one) => (one.length > most.length ? one : most));

module.exports = { SLOTS, keyText, partitionsOfSlots, quoted, slotExpression, slotOf, slotOfColumn };
