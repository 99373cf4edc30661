'use strict';

// The parsers of the binary format, for queries with `binary: true`: the types and values of pg-types 2.2.0. Where pg-types reads bytes
// wrongly, the value here is right: NaN, the infinities, denormal numbers and -0 of floats, times before 2000, numerics below 1,
// negative numbers in arrays, arrays of other types than int4, int8 and text.

/** Milliseconds from 1970 to 2000, the epoch of PostgreSQL. */
const EPOCH = 946_684_800_000;

/** @param {Buffer} bytes */
const boolean = (bytes) => bytes[0] > 0;
/** @param {Buffer} bytes */
const int2 = (bytes) => bytes.readInt16BE(0);
/** @param {Buffer} bytes */
const int4 = (bytes) => bytes.readInt32BE(0);
/** @param {Buffer} bytes */
const int8 = (bytes) => bytes.readBigInt64BE(0).toString();
/** @param {Buffer} bytes */
const float4 = (bytes) => bytes.readFloatBE(0);
/** @param {Buffer} bytes */
const float8 = (bytes) => bytes.readDoubleBE(0);
/** @param {Buffer} bytes */
const text = (bytes) => bytes.toString('utf8');

/**
 * A number, as pg-types has it, not text. numeric_send() in numeric.c: count of digits of base 10,000, weight of the first, sign, scale.
 * @param {Buffer} bytes
 */
function numeric(bytes) {
  const sign = bytes.readUInt16BE(4);
  if (sign === 0xc000) return Number.NaN;
  if (sign === 0xd000) return Number.POSITIVE_INFINITY;
  if (sign === 0xf000) return Number.NEGATIVE_INFINITY;
  let weight = 10_000 ** bytes.readInt16BE(2);
  let value = 0;
  for (let at = 8; at < 8 + bytes.readUInt16BE(0) * 2; at += 2) {
    value += bytes.readUInt16BE(at) * weight;
    weight /= 10_000;
  }
  const scale = 10 ** bytes.readUInt16BE(6);
  return ((sign === 0 ? 1 : -1) * Math.round(value * scale)) / scale;
}

/**
 * A Date that knows the microseconds, too.
 * @param {boolean} isLocal the type has no zone, so it is the time of this process' zone
 */
const timestamp = (isLocal) => /** @param {Buffer} bytes */ (bytes) => {
  const micros = bytes.readBigInt64BE(0);
  const date = /** @type {any} */ (new Date(Number(micros) / 1_000 + EPOCH));
  if (isLocal) date.setTime(date.getTime() + date.getTimezoneOffset() * 60_000);
  date.usec = Number(((micros % 1_000n) + 1_000n) % 1_000n);
  date.getMicroSeconds = getMicroSeconds;
  date.setMicroSeconds = setMicroSeconds;
  date.getUTCMicroSeconds = getMicroSeconds;
  return date;
};

/** @this {any} */
function getMicroSeconds() {
  return this.usec;
}

/** @this {any} @param {number} value */
function setMicroSeconds(value) {
  this.usec = value;
}

/**
 * array_send() in arrayfuncs.c: dimensions, whether there are nulls, type of the elements; for each dimension its length and lower bound;
 * for each element its length, -1 for null, and its bytes. int8 is a number here, as pg-types has it.
 * @param {Buffer} bytes
 */
function array(bytes) {
  const dimensions = bytes.readInt32BE(0);
  const oid = bytes.readInt32BE(8);
  const parse = oid === 20 ? (/** @type {Buffer} */ part) => Number(part.readBigInt64BE(0)) : (BINARY[oid] ?? text);
  let at = 12 + dimensions * 8;
  const element = () => {
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return parse(bytes.subarray(at - length, at));
  };
  const level = (/** @type {number} */ depth) => {
    /** @type {unknown[]} */
    const entries = [];
    const count = depth < dimensions ? bytes.readInt32BE(12 + depth * 8) : 0;
    for (let i = 0; i < count; i++) entries.push(depth === dimensions - 1 ? element() : level(depth + 1));
    return entries;
  };
  return level(0);
}

/** @type {Record<number, (bytes: Buffer) => unknown>} */
const BINARY = {
  16: boolean,
  20: int8,
  21: int2,
  23: int4,
  25: text,
  26: int4,
  700: float4,
  701: float8,
  1000: array,
  1007: array,
  1008: array,
  1009: array,
  1016: array,
  1114: timestamp(true),
  1184: timestamp(false),
  1700: numeric,
};

module.exports = { BINARY };
