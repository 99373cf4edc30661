'use strict';

// The parsers of the text format, by the oid of a type: those of pg-types 2.2.0. A type without one arrives as the server's text: int8,
// numeric, uuid and time among others.

const { arrayOf } = require('./arrays.js');
const { parseBytea } = require('./bytea.js');
const { parseDate } = require('./dates.js');
const { parseCircle, parsePoint } = require('./geometry.js');
const { PostgresInterval } = require('./interval.js');

/** @param {unknown} text */
const parseBoolean = (text) =>
  text === null
    ? text
    : text === 't' ||
      text === 'TRUE' ||
      text === 'true' ||
      text === 'y' ||
      text === 'yes' ||
      text === 'on' ||
      text === '1';

/** @param {string} text */
const parseInteger = (text) => Number.parseInt(text, 10);

/** A safe way to get a number's digits. @param {unknown} value */
const parseBigInteger = (value) => (/^\d+$/.test(String(value)) ? String(value) : value);

/** @param {string} text */
const parseJson = (text) => JSON.parse(text);

/** @param {string} text */
// @ts-expect-error: it may be called without `new`.
const parseInterval = (text) => PostgresInterval(text);

const integers = arrayOf(parseInteger);
const strings = arrayOf();
const floats = arrayOf(Number.parseFloat);
const dates = arrayOf(parseDate);
const jsons = arrayOf(parseJson);

/** @type {Record<number, (text: string) => any>} */
const TEXT = {
  16: parseBoolean,
  17: parseBytea,
  20: parseBigInteger,
  21: parseInteger,
  23: parseInteger,
  26: parseInteger,
  114: parseJson,
  // json[]
  199: jsons,
  600: parsePoint,
  // cidr[]
  651: strings,
  700: Number.parseFloat,
  701: Number.parseFloat,
  718: parseCircle,
  // money[]
  791: strings,
  // bool[], bytea[], char[], int2[], int4[], text[], bpchar[], varchar[], int8[], point[]
  1000: arrayOf(parseBoolean),
  1001: arrayOf(parseBytea),
  1005: integers,
  1007: integers,
  1008: strings,
  1009: strings,
  1014: strings,
  1015: strings,
  1016: arrayOf((text) => text.trim()),
  1017: arrayOf(parsePoint),
  // float4[], float8[], oid[], macaddr[], inet[]
  1021: floats,
  1022: floats,
  1028: integers,
  1040: strings,
  1041: strings,
  1082: parseDate,
  1114: parseDate,
  // timestamp[], date[], time[]
  1115: dates,
  1182: dates,
  1183: strings,
  1184: parseDate,
  // timestamptz[]
  1185: dates,
  1186: parseInterval,
  // interval[]
  1187: arrayOf(parseInterval),
  // numeric[]: numbers, though a numeric is text
  1231: floats,
  // timetz[]
  1270: strings,
  // uuid[]
  2951: strings,
  3802: parseJson,
  // jsonb[], numrange[]
  3807: jsons,
  3907: strings,
};

module.exports = { TEXT };
