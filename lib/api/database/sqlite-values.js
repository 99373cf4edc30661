'use strict';

// Values of SQLite, equal to those of PostgreSQL where that is possible. docs/sqlite-and-postgres.md has the table.
//
// SQLite has five storage classes and no booleans, JSON, times or exact decimals: the type with which a column was declared says what
// its values are. A column that is an expression has no declared type.

const { isDate } = require('node:util').types;
const { HyperionError, ParameterError } = require('../../errors.js');
const { exactJson } = require('../../values/exact-json.js');
const { Json, normalizeOne } = require('../../values/params.js');
const { View } = require('../../values/views.js');

const LEAST_INT8 = -(2n ** 63n);
const MOST_INT8 = 2n ** 63n - 1n;

/** No bytes, but at an address: node:sqlite of Node 22 binds NULL for memory without one. */
const NO_BYTES = Buffer.alloc(1).subarray(0, 0);

/** @param {number} value @param {number} number */
function numberFor(value, number) {
  if (Number.isNaN(value)) throw new ParameterError(`parameter $${number}: SQLite has no NaN`);
  // The drivers bind a number as a REAL, which is `1.0` in a column of text.
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
}

/** @param {string} value @param {number} number */
function stringFor(value, number) {
  if (value.includes('\0')) {
    throw new ParameterError(`parameter $${number} contains a NUL character, which PostgreSQL text cannot hold`);
  }
  if (value.isWellFormed()) return value;
  throw new ParameterError(`parameter $${number} contains an unpaired surrogate, which UTF-8 cannot hold`);
}

/** Dates as text, memory as bytes, everything else as JSON. @param {object} value @param {number} number */
function objectFor(value, number) {
  if (isDate(value)) {
    const date = /** @type {Date} */ (value);
    if (Number.isNaN(date.getTime())) throw new ParameterError(`parameter $${number} is an invalid Date`);
    return date.toISOString();
  }
  // Arrays and Sets are arrays for PostgreSQL where the parameter is one, and JSON here; normalizeOne() checks what is in them.
  const sent = normalizeOne(value, number, false);
  if (sent instanceof Json) return sent.text;
  const bytes = sent instanceof View ? sent.bytes : sent;
  if (bytes instanceof Uint8Array) return bytes.length === 0 ? NO_BYTES : bytes;
  if (sent === null) return null;
  return exactJson(value) ?? null;
}

/**
 * What is bound for a parameter.
 * @param {unknown} value
 * @param {number} number of the parameter, for the error
 */
function forSqlite(value, number) {
  switch (typeof value) {
    case 'number':
      return numberFor(value, number);
    case 'string':
      return stringFor(value, number);
    case 'boolean':
      return value ? 1n : 0n;
    case 'bigint':
      if (value >= LEAST_INT8 && value <= MOST_INT8) return value;
      throw new ParameterError(`parameter $${number}: the BigInt has more than 64 bits`);
    case 'object':
      return value === null ? null : objectFor(value, number);
    default:
      throw new ParameterError(`parameter $${number}: a ${typeof value} cannot be sent`);
  }
}

/** A value of a column whose declared type says nothing more. @param {any} value */
function plain(value) {
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  return value;
}

/** @param {any} value */
function boolean(value) {
  return value === 0n || value === 1n ? value === 1n : plain(value);
}

/** @param {any} value */
function json(value) {
  if (typeof value !== 'string') return plain(value);
  try {
    return JSON.parse(value);
  } catch {
    // Without the message of JSON.parse, which quotes the document.
    const error = new HyperionError('a column that is declared as JSON has a text that is none', 'ERR_DECODE');
    throw Object.assign(error, { outcome: 'applied' });
  }
}

/** As PostgreSQL prints a numeric: with every digit of its scale. @param {number | null} scale */
const decimal = (scale) => (/** @type {any} */ value) => {
  if (typeof value !== 'bigint' && typeof value !== 'number') return plain(value);
  if (scale === null) return String(value);
  if (typeof value === 'bigint') return scale === 0 ? String(value) : `${value}.${'0'.repeat(scale)}`;
  return Math.abs(value) < 1e21 && Number.isFinite(value) ? value.toFixed(scale) : String(value);
};

const TIMESTAMP = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d(?::?\d\d)?)?$/;

/**
 * Text of a time, as the pool gives it: ISO 8601, milliseconds or microseconds, with time zone in UTC. A text without a time zone is
 * in UTC, as that of CURRENT_TIMESTAMP.
 * @param {boolean} withZone
 */
const timestamp = (withZone) => (/** @type {any} */ value) => {
  const found = typeof value === 'string' ? TIMESTAMP.exec(value) : null;
  if (found === null) return plain(value);
  const [, day, minutes, seconds = ':00', digits = '', zone = 'Z'] = found;
  let text = `${day}T${minutes}${seconds}`;
  if (withZone && zone !== 'Z') {
    const [, sign, hours, rest = '0'] = /** @type {RegExpExecArray} */ (/^([+-])(\d\d):?(\d\d)?$/.exec(zone));
    const offset = Number(`${sign}1`) * (Number(hours) * 60 + Number(rest)) * 60_000;
    const at = new Date(`${text}Z`).getTime() - offset;
    if (Number.isNaN(at)) return value;
    text = new Date(at).toISOString().slice(0, 19);
  }
  const micros = digits.padEnd(6, '0');
  return `${text}.${micros.endsWith('000') ? micros.slice(0, 3) : micros}${withZone ? 'Z' : ''}`;
};

/** @type {Readonly<Record<string, (value: any) => unknown>>} */
const READERS = {
  BOOL: boolean,
  BOOLEAN: boolean,
  JSON: json,
  JSONB: json,
  TIMESTAMP: timestamp(false),
  'TIMESTAMP WITHOUT TIME ZONE': timestamp(false),
  TIMESTAMPTZ: timestamp(true),
  'TIMESTAMP WITH TIME ZONE': timestamp(true),
};

/**
 * What reads the values of a column.
 * @param {string | null} declared its declared type
 */
function readerFor(declared) {
  const type = (declared ?? '').toUpperCase();
  const [, scale] = /\(\s*\d+\s*,\s*(\d+)\s*\)/.exec(type) ?? [];
  const name = type
    .replace(/\([^)]*\)/, '')
    .replace(/\s+/g, ' ')
    .trim();
  if (name === 'NUMERIC' || name === 'DECIMAL') {
    return decimal(scale === undefined ? (type.includes('(') ? 0 : null) : Number(scale));
  }
  return Object.hasOwn(READERS, name) ? READERS[name] : plain;
}

module.exports = { forSqlite, readerFor };
