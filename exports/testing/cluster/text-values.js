'use strict';

// PostgreSQL's text of a value to JavaScript and back, for the harness's own statements. What has no entry here stays text, bigint
// and numeric among them.

/** @typedef {(text: string) => unknown} Reader */

/** `2026-01-02 03:04:05.678901+00`: without a zone it is local time. @param {string} text */
function dateOf(text) {
  if (text === 'infinity') return Number.POSITIVE_INFINITY;
  if (text === '-infinity') return Number.NEGATIVE_INFINITY;
  const [, day, time = '00:00:00', zone = ''] = /^(\S+?)(?:[ T]([\d:.]+)([+-][\d:]+)?)?$/.exec(text) ?? [];
  return new Date(`${day}T${time}${/^[+-]\d\d$/.test(zone) ? `${zone}:00` : zone}`);
}

/** @param {Reader} reader of an element @returns {Reader} */
const arrayOf = (reader) => (text) => {
  /** @type {unknown[][]} */
  const open = [[]];
  // An array may begin with its bounds, `[0:1]={1,2}`; elements are quoted, or hold no special character.
  for (const [found, quoted, bare] of text.replace(/^[^{]*=/, '').matchAll(/[{}]|"((?:\\.|[^"\\])*)"|([^{},"]+)/g)) {
    if (found === '{') open.push([]);
    else if (found === '}') {
      const done = /** @type {unknown[]} */ (open.pop());
      open[open.length - 1].push(done);
    } else if (bare === 'NULL') open[open.length - 1].push(null);
    else open[open.length - 1].push(reader(bare ?? quoted.replace(/\\(.)/gs, '$1')));
  }
  return open[0][0];
};

/** @type {Reader} */
const bool = (text) => text === 't';
/** @type {Reader} */
const bytes = (text) => Buffer.from(text.slice(2), 'hex');
/** @type {Reader} */
const same = (text) => text;

/** By oid (src/include/catalog/pg_type.dat). @type {Map<number, Reader>} */
const READERS = new Map([
  [16, bool],
  [17, bytes],
  ...[21, 23, 26, 700, 701].map((oid) => /** @type {[number, Reader]} */ ([oid, Number])),
  ...[114, 3802].map((oid) => /** @type {[number, Reader]} */ ([oid, JSON.parse])),
  ...[1082, 1114, 1184].map((oid) => /** @type {[number, Reader]} */ ([oid, dateOf])),
  [1000, arrayOf(bool)],
  ...[1005, 1007, 1028, 1021, 1022].map((oid) => /** @type {[number, Reader]} */ ([oid, arrayOf(Number)])),
  ...[1003, 1009, 1015, 1016, 1231, 2951].map((oid) => /** @type {[number, Reader]} */ ([oid, arrayOf(same)])),
]);

/**
 * @param {number} oid of the type
 * @param {string} text
 */
const readText = (oid, text) => (READERS.get(oid) ?? same)(text);

/**
 * A parameter as text; null is SQL's NULL.
 *
 * @param {unknown} value
 * @returns {string | null}
 */
function writeText(value) {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`;
  if (Array.isArray(value)) return `{${value.map(elementText).join()}}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** @param {unknown} value @returns {string} */
function elementText(value) {
  const text = writeText(value);
  if (text === null) return 'NULL';
  return Array.isArray(value) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

module.exports = { readText, writeText };
