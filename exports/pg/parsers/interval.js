'use strict';

// The text of an interval, with the objects of postgres-interval 1.2.0, which pg uses: what is zero is left out, and of a text in another
// IntervalStyle than `postgres` only what has its form is read.

const INTERVAL =
  /(?:([+-]?\d+)\s+years?)?\s*(?:([+-]?\d+)\s+mons?)?\s*(?:([+-]?\d+)\s+days?)?\s*(?:([+-])?(\d*):(\d\d):(\d\d)\.?(\d{1,6})?)?/;

const SMALLEST_FIRST = ['seconds', 'minutes', 'hours', 'days', 'months', 'years'];
const DATE_UNITS = { years: 'Y', months: 'M', days: 'D' };
const TIME_UNITS = { hours: 'H', minutes: 'M', seconds: 'S' };

/**
 * An interval with the units that are not zero. It is called without `new`, too, as that of postgres-interval.
 * @constructor
 * @param {string} [text]
 */
function PostgresInterval(text) {
  if (!(this instanceof PostgresInterval)) return new PostgresInterval(text);
  if (!text) return;
  const [, years, months, days, sign, hours, minutes, seconds, fraction] = /** @type {RegExpExecArray} */ (
    INTERVAL.exec(text)
  );
  const factor = sign === '-' ? -1 : 1;
  put(this, 'years', years, 1);
  put(this, 'months', months, 1);
  put(this, 'days', days, 1);
  put(this, 'hours', hours, factor);
  put(this, 'minutes', minutes, factor);
  put(this, 'seconds', seconds, factor);
  // Microseconds, which the server prints without the zeros at their end.
  const milliseconds = fraction ? Number.parseInt(fraction.padEnd(6, '0'), 10) / 1_000 : 0;
  if (milliseconds !== 0) this.milliseconds = milliseconds * factor;
}

/**
 * @param {any} interval
 * @param {string} unit
 * @param {string | undefined} digits
 * @param {number} factor
 */
function put(interval, unit, digits, factor) {
  const value = digits ? Number.parseInt(digits, 10) : 0;
  if (value !== 0) interval[unit] = value * factor;
}

/** @param {any} interval @param {RegExp} end the zeros that are dropped */
function secondsOf({ seconds = 0, milliseconds }, end) {
  return milliseconds ? (seconds + milliseconds / 1_000).toFixed(6).replace(end, '') : seconds;
}

/** @param {any} interval @param {Record<string, string>} units */
const isoOf = (interval, units) =>
  Object.entries(units)
    .map(([unit, letter]) => (unit === 'seconds' ? secondsOf(interval, /0+$/) : interval[unit] || 0) + letter)
    .join('');

/** ISO 8601, as `P1Y2M3DT4H5M6.7S`. @this {any} */
function toISO() {
  return `P${isoOf(this, DATE_UNITS)}T${isoOf(this, TIME_UNITS)}`;
}

/** The text that the server takes as a parameter. @this {any} */
function toPostgres() {
  const units = SMALLEST_FIRST.filter((unit) => Object.hasOwn(this, unit));
  if (this.milliseconds && !units.includes('seconds')) units.push('seconds');
  if (units.length === 0) return '0';
  return units.map((unit) => `${unit === 'seconds' ? secondsOf(this, /\.?0+$/) : this[unit] || 0} ${unit}`).join(' ');
}

Object.assign(PostgresInterval.prototype, { toPostgres, toISO, toISOString: toISO });

module.exports = { PostgresInterval };
