'use strict';

// What peers need for a bulk load: they know neither arrays of rows nor COPY's format themselves.

/** @param {string} table @param {readonly import('../types').Column[]} columns */
function insertFrom(table, columns) {
  const names = columns.map(({ name }) => name).join(', ');
  const arrays = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
  return `INSERT INTO ${table} (${names}) SELECT * FROM unnest(${arrays})`;
}

/** Text for a socket: large enough that a write costs nothing, small enough to flow. */
const CHUNK_LENGTH = 1 << 16;

/**
 * Rows in COPY's text format (PostgreSQL docs, COPY, Text Format).
 * @param {readonly (readonly unknown[])[]} rows
 */
function* textChunks(rows) {
  let chunk = '';
  for (const row of rows) {
    for (let column = 0; column < row.length; column++) {
      if (column > 0) chunk += '\t';
      chunk += field(row[column]);
    }
    chunk += '\n';
    if (chunk.length >= CHUNK_LENGTH) {
      yield Buffer.from(chunk);
      chunk = '';
    }
  }
  if (chunk !== '') yield Buffer.from(chunk);
}

const SPECIAL = /[\\\t\n\r]/;
/** @type {Record<string, string>} */
const ESCAPED = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** @param {unknown} value */
function field(value) {
  if (value === null) return '\\N';
  if (typeof value === 'string') {
    return SPECIAL.test(value) ? value.replace(/[\\\t\n\r]/g, (character) => ESCAPED[character]) : value;
  }
  return value instanceof Date ? value.toISOString() : String(value);
}

module.exports = { insertFrom, textChunks };
