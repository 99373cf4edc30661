'use strict';

// `utils` of pg: parameters as the text or bytes that the server gets, and escapes. The texts are those of pg 8.23.

const { deprecate } = require('node:util');
const { isDate } = require('node:util/types');
const defaults = require('./defaults.js');

const warnOfInvalidDate = deprecate(
  () => {},
  'Sending an invalid date to Postgres is deprecated and will throw an error in the next major version of pg. Ensure any Date object passed as a query parameter is valid.',
  'PG_INVALID_DATE',
);

/** @typedef {{ toPostgres(prepare: (value: any) => any): unknown }} Convertible */

/**
 * A parameter as the server gets it: text, or bytes of a Buffer.
 * @param {any} value
 * @param {unknown[]} [seen] what toPostgres() has led through
 * @returns {any}
 */
function prepare(value, seen) {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return null;
  if (typeof value !== 'object') return value.toString();
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return bytesOf(value);
  if (isDate(value)) return dateText(value);
  if (Array.isArray(value)) return arrayText(value);
  if (typeof value.toPostgres === 'function') return converted(value, seen);
  return JSON.stringify(value);
}

/** @param {ArrayBufferView} view */
const bytesOf = (view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength);

/** @param {Convertible} value @param {unknown[]} [seen] */
function converted(value, seen = []) {
  if (seen.includes(value)) {
    throw new Error(`circular reference detected while preparing "${value}" for query`);
  }
  seen.push(value);
  return prepare(value.toPostgres(prepare), seen);
}

/** @param {unknown[]} values @returns {string} */
function arrayText(values) {
  let text = '{';
  for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + elementText(values[i]);
  return `${text}}`;
}

const ESCAPED = /["\\]/g;

/** @param {any} value */
function elementText(value) {
  if (value === null || value === undefined) return 'NULL';
  if (Array.isArray(value)) return arrayText(value);
  if (ArrayBuffer.isView(value)) return `\\\\x${bytesOf(value).toString('hex')}`;
  const text = prepare(value);
  // Most texts have nothing to escape, and to search is cheaper than to replace.
  return text.search(ESCAPED) < 0 ? `"${text}"` : `"${text.replace(ESCAPED, '\\$&')}"`;
}

/** @param {number} value @param {number} [width] */
const padded = (value, width = 2) => String(value).padStart(width, '0');

/** Local time with its offset, or UTC. @param {Date} date */
function dateText(date) {
  if (Number.isNaN(date.getTime())) warnOfInvalidDate();
  if (defaults.parseInputDatesAsUTC) {
    return isoText(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), {
      clock: [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds(), date.getUTCMilliseconds()],
      offset: 0,
    });
  }
  return isoText(date.getFullYear(), date.getMonth() + 1, date.getDate(), {
    clock: [date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds()],
    offset: -date.getTimezoneOffset(),
  });
}

/**
 * @param {number} year
 * @param {number} month
 * @param {number} day
 * @param {{ clock: [number, number, number, number], offset: number }} time hours, minutes, seconds, milliseconds; offset in minutes
 */
function isoText(year, month, day, { clock: [hours, minutes, seconds, ms], offset }) {
  // There is no year 0: the year before 1 is 1 BC.
  const isBeforeChrist = year < 1;
  const date = `${padded(isBeforeChrist ? 1 - year : year, 4)}-${padded(month)}-${padded(day)}`;
  const time = `${padded(hours)}:${padded(minutes)}:${padded(seconds)}.${padded(ms, 3)}`;
  const distance = Math.abs(offset);
  const zone = `${offset < 0 ? '-' : '+'}${padded(Math.floor(distance / 60))}:${padded(distance % 60)}`;
  return `${date}T${time}${zone}${isBeforeChrist ? ' BC' : ''}`;
}

/** Only the first argument: it is called by map(). @param {unknown} value */
const prepareValue = (value) => prepare(value);

/**
 * The arguments of query() as one object, which is a copy of the caller's.
 * @param {any} config
 * @param {any} [values] or the callback
 * @param {Function} [callback]
 */
function normalizeQueryConfig(config, values, callback) {
  const query = typeof config === 'string' ? { text: config } : copyOf(config);
  if (typeof values === 'function') query.callback = values;
  else if (values) query.values = values;
  if (callback) query.callback = callback;
  return query;
}

/** With getters, properties that are not enumerable, and the prototype. @param {any} config */
function copyOf(config) {
  if (config === null || config === undefined) return config;
  const prototype = Object.getPrototypeOf(config);
  if (prototype === Object.prototype) {
    const copy = { ...config };
    // Ten times as fast as the descriptors.
    if (Object.keys(copy).length === Object.getOwnPropertyNames(config).length) return copy;
  }
  return Object.create(prototype, Object.getOwnPropertyDescriptors(config));
}

/** @param {string} name */
const escapeIdentifier = (name) => `"${name.replaceAll('"', '""')}"`;

/** A literal of SQL; of what is no string, the empty one. @param {unknown} value */
function escapeLiteral(value) {
  if (typeof value !== 'string') return "''";
  if (!value.includes('\\')) return `'${value.includes("'") ? value.replaceAll("'", "''") : value}'`;
  return ` E'${value.replaceAll(/['\\]/g, '$&$&')}'`;
}

module.exports = { prepareValue, normalizeQueryConfig, escapeIdentifier, escapeLiteral };
