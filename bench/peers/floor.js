'use strict';

// A limit for W4: the rows that it asks for, with the values and types that this client gives, made without a database. As a client
// has them from its socket, texts and numbers are there as bytes, a hundred rows together; what is left is what no client of
// JavaScript gets around: the rows have to be made, and V8 has to move them while they are young. As this client does, it goes on
// after 4 ms of work in the next turn of the event loop.

const { setImmediate: nextTurn } = require('node:timers/promises');
const { createHash } = require('node:crypto');
const { MIXED } = require('../tables.js');

/** About what this client reads at a time. */
const BATCH_ROWS = 100;
const SLICE_MS = 4;

const START = Date.UTC(2024, 0, 1) + 250;
const STEP_MS = 61_000;

/**
 * @typedef {object} Batch
 * @property {number} first id
 * @property {Buffer} bytes all texts, one behind the other
 * @property {Int32Array} ends of the texts
 * @property {BigInt64Array} bigs
 * @property {Float64Array} ratios
 */

/** @param {string} hex */
const uuid = (hex) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

/** The texts of a row of bench/tables.js, in the order in which they are read. @param {number} id @returns {string[]} */
const textsOf = (id) => [
  (id * 1.25).toFixed(2),
  `customer ${id}`,
  id % 5 === 0 ? '' : `${'note '.repeat(6)}${id}`,
  new Date(START + id * STEP_MS).toISOString(),
  'a',
  `b${id % 10}`,
  `City ${id % 50}`,
  uuid(createHash('md5').update(String(id)).digest('hex')),
];

/** @param {number} first @returns {Batch} */
function batchFrom(first) {
  const ids = Array.from({ length: Math.min(BATCH_ROWS, MIXED + 1 - first) }, (_, index) => first + index);
  const texts = ids.flatMap(textsOf);
  let end = 0;
  return {
    first,
    bytes: Buffer.from(texts.join(''), 'latin1'),
    ends: Int32Array.from(texts, (text) => {
      end += text.length;
      return end;
    }),
    bigs: BigInt64Array.from(ids, (id) => 9007199254740993n + BigInt(id)),
    ratios: Float64Array.from(ids, (id) => id / 7),
  };
}

/** @param {Batch} batch @param {object[]} rows */
function readBatch({ first, bytes, ends, bigs, ratios }, rows) {
  const all = bytes.toString('latin1');
  let next = 0;
  let from = 0;
  const text = () => {
    const start = from;
    from = ends[next++];
    return all.slice(start, from);
  };
  for (let index = 0; index < bigs.length; index++) {
    const id = first + index;
    const price = text();
    const name = text();
    const note = text();
    rows.push({
      id,
      big: bigs[index],
      ratio: ratios[index],
      price,
      name,
      note: note === '' ? null : note,
      at: text(),
      active: id % 2 === 0,
      doc: { id, tags: [text(), text()], address: { zip: id, city: text() } },
      key: text(),
    });
  }
}

/** @param {readonly Batch[]} batches */
async function makeRows(batches) {
  /** @type {import('../types').Row[]} */
  const rows = [];
  let until = performance.now() + SLICE_MS;
  for (const batch of batches) {
    readBatch(batch, rows);
    if (performance.now() > until) {
      await nextTurn();
      until = performance.now() + SLICE_MS;
    }
  }
  return rows;
}

exports.version = () => `V8 ${process.versions.v8}`;

/** @returns {Promise<import('../types').Db>} */
exports.open = async () => {
  const batches = Array.from({ length: Math.ceil(MIXED / BATCH_ROWS) }, (_, n) => batchFrom(1 + n * BATCH_ROWS));
  return {
    statement: () => () => makeRows(batches),
    transaction: () => Promise.reject(new Error('there is no database')),
    bulk: {},
    close: async () => {},
  };
};
