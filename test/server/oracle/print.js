'use strict';

// Prints a JavaScript value as the server does (DateStyle ISO, TimeZone UTC), without any code that is under test. Types that are
// not named here must be the server's text already.

const assert = require('node:assert/strict');

/**
 * A type, as oracle.test.js reads it from the catalogues.
 * @typedef {object} Type
 * @property {string} name as SQL has it
 * @property {string} typname
 * @property {'base' | 'array' | 'range' | 'enum' | 'domain' | 'composite'} sort
 * @property {string} delimiter
 * @property {Type} [of] elements of an array, base of a domain, bounds of a range
 * @property {{ name: string, type: Type }[]} [fields] of a composite
 */

/** Whether a decimal number is exactly halfway between a double and one of its neighbours. @param {string} text @param {number} value */
function isHalfway(text, value) {
  // Below that, what is halfway has more digits than a double needs.
  if (Math.abs(value) < 2 ** 53) return false;
  const [, digits, fraction = '', exponent] = /** @type {RegExpExecArray} */ (
    /^(-?\d)(?:\.(\d+))?e\+(\d+)$/.exec(text)
  );
  const decimal = BigInt((digits + fraction).padEnd(digits.length + Number(exponent), '0'));
  const bits = new BigInt64Array(new Float64Array([value]).buffer)[0];
  return [bits - 1n, bits + 1n].some((other) => {
    const [neighbour] = new Float64Array(new BigInt64Array([other]).buffer);
    return Number.isFinite(neighbour) && decimal * 2n === BigInt(value) + BigInt(neighbour);
  });
}

/**
 * The shortest decimal number that is this double. JavaScript takes one that is halfway to the next double, the server does not (d2s.c
 * of PostgreSQL: acceptBounds is false).
 * @param {number} value
 */
function shortest(value) {
  const text = value.toExponential();
  if (!isHalfway(text, value)) return text;
  const longer = Array.from({ length: 17 }, (_, places) => value.toExponential(places));
  return longer.find((one) => Number(one) === value && !isHalfway(one, value)) ?? text;
}

/**
 * A number in `%g` with all the digits that it needs.
 * @param {number} value
 * @param {number} plainBelow
 * @param {(value: number) => string} digitsOf writes a number other than 0 with an exponent
 */
function general(value, plainBelow, digitsOf) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [, sign, digits, exponent] = /** @type {RegExpExecArray} */ (/^(-?)([\d.]+)e([+-]\d+)$/.exec(digitsOf(value)));
  const at = Number(exponent);
  if (at < -4 || at >= plainBelow) {
    return `${sign}${digits}e${at < 0 ? '-' : '+'}${String(Math.abs(at)).padStart(2, '0')}`;
  }
  const plain = digits.replace('.', '');
  if (at < 0) return `${sign}0.${'0'.repeat(-at - 1)}${plain}`;
  const whole = plain.padEnd(at + 1, '0');
  const rest = whole.slice(at + 1);
  return `${sign}${whole.slice(0, at + 1)}${rest === '' ? '' : `.${rest}`}`;
}

/** From ISO 8601 with ECMAScript's years to the style of the server. @param {string} iso @param {string} zone */
function moment(iso, zone) {
  if (/infinity/.test(iso)) return iso;
  const found = /^([+-]\d{6,7}|\d{4})(-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)\.(\d{3}|\d{6})(Z?))?$/.exec(iso);
  assert.ok(found, `no ISO 8601: ${iso}`);
  const [, years, day, time, fraction = '', utc] = found;
  const year = Number(years);
  const bc = year <= 0;
  if (time !== undefined) assert.equal(utc, zone === '' ? '' : 'Z', iso);
  const part = fraction.replace(/0+$/, '');
  const clock = time === undefined ? '' : ` ${time}${part === '' ? '' : `.${part}`}${zone}`;
  return `${String(bc ? 1 - year : year).padStart(4, '0')}${day}${clock}${bc ? ' BC' : ''}`;
}

/** @type {Record<string, (value: any) => string>} */
const BASE = {
  bool: (value) => (value ? 't' : 'f'),
  float4: (value) => general(value, 6, (number) => number.toExponential()),
  float8: (value) => general(value, 15, shortest),
  bytea: (value) => `\\x${value.toString('hex')}`,
  timestamptz: (value) => moment(value, '+00'),
  timestamp: (value) => moment(value, ''),
  date: (value) => moment(value, ''),
};
/** The JavaScript types of values that are not text. @type {Record<string, string>} */
const KINDS = {
  bool: 'boolean',
  int2: 'number',
  int4: 'number',
  oid: 'number',
  float4: 'number',
  float8: 'number',
  int8: 'bigint',
  bytea: 'object',
};

/** @param {any} value @param {Type} type @returns {string} */
function print(value, type) {
  switch (type.sort) {
    case 'domain':
      return print(value, /** @type {Type} */ (type.of));
    case 'array':
      return printArray(value, /** @type {Type} */ (type.of), type.delimiter);
    case 'composite':
      return printRecord(value, /** @type {any} */ (type.fields));
    default:
      assert.equal(typeof value, KINDS[type.typname] ?? 'string', `typeof of ${type.name}`);
      return (BASE[type.typname] ?? String)(value);
  }
}

/** @param {any} value @param {Type} element @param {string} delimiter */
function printArray(value, element, delimiter) {
  assert.ok(Array.isArray(value), 'an array');
  // An element that is an array in JavaScript is one more dimension, unless the element's type is an array itself.
  let base = element;
  while (base.sort === 'domain') base = /** @type {Type} */ (base.of);
  const isNested = base.sort === 'array';
  /** @param {any} one @returns {string} */
  const each = (one) => {
    if (one === null) return 'NULL';
    if (Array.isArray(one) && !isNested) return `{${one.map(each).join(delimiter)}}`;
    const text = print(one, element);
    return needsQuotes(text, delimiter) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : text;
  };
  return `{${value.map(each).join(delimiter)}}`;
}

/** `array_isspace` accepts the six whitespace characters of ASCII. @param {string} text @param {string} delimiter */
const needsQuotes = (text, delimiter) =>
  text === '' || /^null$/i.test(text) || /["\\{} \t\n\r\v\f]/.test(text) || text.includes(delimiter);

/** @param {any} value @param {{ name: string, type: Type }[]} fields */
function printRecord(value, fields) {
  assert.deepStrictEqual(
    Object.keys(value),
    fields.map(({ name }) => name),
  );
  const parts = fields.map(({ name, type }) => {
    if (value[name] === null) return '';
    const text = print(value[name], type);
    return text === '' || /["\\(), \t\n\r\v\f]/.test(text) ? `"${text.replaceAll(/["\\]/g, '$&$&')}"` : text;
  });
  return `(${parts.join(',')})`;
}

module.exports = { print };
