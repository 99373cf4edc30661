'use strict';

// The text of date, timestamp and timestamptz to a Date, with the values of postgres-date 1.0.7, which pg uses: a text without
// a zone is local time, years before Christ are negative, 'infinity' is a number, and text that is not ISO is null.
// The usual form, `YYYY-MM-DD[ HH:MM:SS[.ffffff][±HH[:MM[:SS]]]]`, is read by its character codes; regular expressions read the rest.

const TIMESTAMP = /(\d{1,})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})(\.\d{1,})?.*?( BC)?$/;
const DAY = /^(\d{1,})-(\d{2})-(\d{2})( BC)?$/;
const ZONE = /([Z+-])(\d{2})?:?(\d{2})?:?(\d{2})?/;
const INFINITY = /^-?infinity$/;

const POWERS_OF_TEN = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const [SPACE, PLUS, MINUS, DOT, COLON] = [' ', '+', '-', '.', ':'].map((sign) => sign.charCodeAt(0));
/** What stands for two characters that are not digits: so low that no sum with it is a year. */
const NOT_DIGITS = -100_000;

/** The number of two digits. @param {string} text @param {number} at */
function two(text, at) {
  const tens = text.charCodeAt(at) ^ 48;
  const ones = text.charCodeAt(at + 1) ^ 48;
  return tens <= 9 && ones <= 9 ? tens * 10 + ones : NOT_DIGITS;
}

/**
 * The days from 1970-01-01 to a day of the Gregorian calendar. Date.UTC() takes several times as long. The year begins in March
 * here, so that the leap day is its last.
 * @param {number} year from 100
 * @param {number} month from 1
 * @param {number} day
 */
function daysOf(year, month, day) {
  const from = month > 2 ? year : year - 1;
  const century = (from / 100) | 0;
  const ofYear = ((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) | 0;
  return from * 365 + ((from / 4) | 0) - century + ((century / 4) | 0) + ofYear + day - 719_469;
}

/** @param {string} text @returns {Date | number | null} */
function parseDate(text) {
  if (typeof text !== 'string') return parseAny(text);
  const year = two(text, 0) * 100 + two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  // Years below 100 have rules of their own in Date.
  if (year < 100 || month < 1 || month > 12 || day < 0) return parseAny(text);
  if (text.charCodeAt(4) !== MINUS || text.charCodeAt(7) !== MINUS) return parseAny(text);
  if (text.length === 10) return new Date(year, month - 1, day);
  const hour = two(text, 11);
  const minute = two(text, 14);
  const second = two(text, 17);
  if ((hour | minute | second) < 0 || text.charCodeAt(10) !== SPACE) return parseAny(text);
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return parseAny(text);
  let at = 19;
  let ms = 0;
  if (text.charCodeAt(at) === DOT) {
    let fraction = 0;
    let digit = text.charCodeAt(++at) ^ 48;
    for (; digit <= 9; digit = text.charCodeAt(++at) ^ 48) fraction = fraction * 10 + digit;
    if (at === 20 || at > 26) return parseAny(text);
    // The quotient is what parseFloat('.123456') gives, and Date drops the fraction of its product.
    ms = (1_000 * (fraction / POWERS_OF_TEN[at - 20])) | 0;
  }
  if (at === text.length) return new Date(year, month - 1, day, hour, minute, second, ms);
  const offset = offsetAt(text, at);
  if (offset === null) return parseAny(text);
  return new Date(daysOf(year, month, day) * 86_400_000 + (hour * 3_600 + minute * 60 + second - offset) * 1_000 + ms);
}

/**
 * The seconds of `±HH[:MM[:SS]]` at the end of the text; null: something else stands there.
 * @param {string} text
 * @param {number} at
 */
function offsetAt(text, at) {
  const sign = text.charCodeAt(at);
  if (sign !== PLUS && sign !== MINUS) return null;
  let seconds = two(text, at + 1) * 3_600;
  let end = at + 3;
  for (const unit of [60, 1]) {
    if (end === text.length) break;
    if (text.charCodeAt(end) !== COLON) return null;
    seconds += two(text, end + 1) * unit;
    end += 3;
  }
  if (end !== text.length || seconds < 0) return null;
  return sign === MINUS ? -seconds : seconds;
}

/** Any text. @param {string} text @returns {Date | number | null} */
function parseAny(text) {
  if (INFINITY.test(text)) return text[0] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const [, years, months, days, hours, minutes, seconds, fraction, bc] = TIMESTAMP.exec(text) ?? [];
  if (years === undefined) return parseDay(text);
  const year = yearOf(years, bc);
  /** @type {[number, number, number, number, number, number]} */
  const rest = [
    Number(months) - 1,
    Number(days),
    Number(hours),
    Number(minutes),
    Number(seconds),
    fraction ? 1_000 * Number.parseFloat(fraction) : 0,
  ];
  const offset = zoneOf(text);
  if (offset === undefined) return withFullYear(new Date(year, ...rest), year);
  const date = new Date(Date.UTC(year, ...rest));
  if (isShort(year)) date.setUTCFullYear(year);
  if (offset !== 0) date.setTime(date.getTime() - offset);
  return date;
}

/** @param {string} text */
function parseDay(text) {
  const [, years, months, days, bc] = DAY.exec(text) ?? [];
  if (years === undefined) return null;
  const year = yearOf(years, bc);
  return withFullYear(new Date(year, Number(months) - 1, Number(days)), year);
}

/** There is no year 0: 1 BC is before 1. @param {string} digits @param {string | undefined} bc */
const yearOf = (digits, bc) => (bc ? -(Number(digits) - 1) : Number(digits));

/** Whether Date would take it for a year of the 20th century. @param {number} year */
const isShort = (year) => year >= 0 && year < 100;

/** @param {Date} date @param {number} year */
function withFullYear(date, year) {
  if (isShort(year)) date.setFullYear(year);
  return date;
}

/** Milliseconds; undefined: no zone. @param {string} text */
function zoneOf(text) {
  if (text.endsWith('+00')) return 0;
  const zone = ZONE.exec(text.split(' ')[1]);
  if (zone === null) return undefined;
  const [, sign, hours, minutes = '0', seconds = '0'] = zone;
  if (sign === 'Z') return 0;
  return (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * (sign === '-' ? -1_000 : 1_000);
}

module.exports = { parseDate };
