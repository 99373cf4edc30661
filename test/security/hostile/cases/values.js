'use strict';

// Values whose binary form contradicts itself. The message around them is right, so the statement has run, the rest of the result
// is read to its end, and the connection can be used as before.

const { OID, int16, int32 } = require('../wire');

/** @typedef {readonly [name: string, oid: number, bytes: Buffer]} Row */

/** A composite type: an int4 and an array of them. */
const PAIR = 70_100;
const MOST = 2 ** 31 - 1;
const NOT_UTF8 = Buffer.from([0xc3, 0x28]);
const ZEROS = Buffer.alloc(64);

/** @param {...(Buffer | string | number)} parts numbers are int32 */
const bytes = (...parts) =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? int32(part) : Buffer.from(part))));
/** @param {...number} numbers */
const shorts = (...numbers) => Buffer.concat(numbers.map(int16));

/** Dimensions, flags and element type, then length and lower bound of each dimension. @type {readonly Row[]} */
const ARRAYS = [
  ['2^31-1 dimensions', OID.int4Array, bytes(MOST, 0, OID.int4, 1, 1)],
  ['-1 dimensions', OID.int4Array, bytes(-1, 0, OID.int4)],
  ['7 dimensions', OID.int4Array, bytes(7, 0, OID.int4, ...Array(14).fill(1), 4, 1)],
  ['2^31-1 elements', OID.int4Array, bytes(1, 0, OID.int4, MOST, 1, 4, 1)],
  ['-1 elements', OID.int4Array, bytes(1, 0, OID.int4, -1, 1)],
  ['2^16 times 2^16 elements', OID.int4Array, bytes(2, 0, OID.int4, 65_536, 1, 65_536, 1, 4, 1)],
  ['more elements than it has', OID.int4Array, bytes(1, 0, OID.int4, 3, 1, 4, 1)],
  ['fewer elements than it has', OID.int4Array, bytes(1, 0, OID.int4, 1, 1, 4, 1, 4, 2)],
  ['an element past the end', OID.int4Array, bytes(1, 0, OID.int4, 1, 1, 100, 1)],
  ['an element of -2 bytes', OID.int4Array, bytes(1, 0, OID.int4, 1, 1, -2)],
  ['an element of 3 bytes', OID.int4Array, bytes(1, 0, OID.int4, 1, 1, 3, 'abc')],
  ['elements of another type', OID.int4Array, bytes(1, 0, OID.text, 1, 1, 4, 'abcd')],
  ['an element that is not UTF-8', OID.textArray, bytes(1, 0, OID.text, 1, 1, 2, NOT_UTF8)],
  ['half a head', OID.int4Array, bytes(1, 0)],
  ['nothing', OID.int4Array, bytes()],
].map(([name, oid, value]) => /** @type {Row} */ ([`array: ${name}`, oid, value]));

/** Digits, weight, sign, scale. @type {readonly Row[]} */
const NUMERICS = [
  ['65,535 digits', bytes(shorts(65_535, 0, 0, 0), shorts(1, 2))],
  ['fewer digits than it says', bytes(shorts(3, 0, 0, 0), shorts(1, 2))],
  ['more digits than it says', bytes(shorts(1, 0, 0, 0), shorts(1, 2))],
  ['a digit of 10,000', bytes(shorts(1, 0, 0, 0), shorts(10_000))],
  ['a digit of -1', bytes(shorts(1, 0, 0, 0), shorts(-1))],
  ['an unknown sign', bytes(shorts(1, 0, 0x1234, 0), shorts(1))],
  ['a scale of 65,535', bytes(shorts(1, 0, 0, 65_535), shorts(1))],
  ['half a head', shorts(1, 0)],
  ['nothing', bytes()],
].map(([name, value]) => /** @type {Row} */ ([`numeric: ${name}`, OID.numeric, value]));

/** @type {readonly Row[]} */
const LENGTHS = [
  ...[0, 1, 3, 5, 8].map(
    (length) => /** @type {Row} */ ([`int4: ${length} bytes`, OID.int4, ZEROS.subarray(0, length)]),
  ),
  ['int2: 4 bytes', OID.int2, int32(1)],
  ['int8: 4 bytes', OID.int8, int32(1)],
  ['bool: nothing', OID.bool, bytes()],
  ['bool: 2 bytes', OID.bool, shorts(1)],
  ['float8: 4 bytes', OID.float8, int32(1)],
  ['date: 8 bytes', OID.date, ZEROS.subarray(0, 8)],
  ['time: 4 bytes', OID.time, int32(1)],
  ['timestamp: 4 bytes', OID.timestamp, int32(1)],
  ['timestamptz: 9 bytes', OID.timestamptz, ZEROS.subarray(0, 9)],
  ['timetz: 8 bytes', OID.timetz, ZEROS.subarray(0, 8)],
  ['interval: 12 bytes', OID.interval, ZEROS.subarray(0, 12)],
  ['uuid: 15 bytes', OID.uuid, ZEROS.subarray(0, 15)],
  ['uuid: 17 bytes', OID.uuid, ZEROS.subarray(0, 17)],
  ['macaddr: 5 bytes', OID.macaddr, ZEROS.subarray(0, 5)],
  ['box: 31 bytes', OID.box, ZEROS.subarray(0, 31)],
  ['text: not UTF-8', OID.text, NOT_UTF8],
  ['xml: not UTF-8', OID.xml, NOT_UTF8],
  ['json: not UTF-8', OID.json, bytes('"', NOT_UTF8, '"')],
  ['json: no JSON', OID.json, bytes('{"a":')],
  ['json: nothing', OID.json, bytes()],
  ['jsonb: version 9', OID.jsonb, bytes('\x09{"a":1}')],
  ['jsonb: nothing', OID.jsonb, bytes()],
  ['jsonb: no JSON', OID.jsonb, bytes('\x01{')],
  ['jsonb: not UTF-8', OID.jsonb, bytes('\x01"', NOT_UTF8, '"')],
  ['jsonpath: version 9', OID.jsonpath, bytes('\x09$')],
  ['range: unknown flags', OID.int4range, bytes('\xff', 4, 1, 4, 2)],
  ['range: a bound past the end', OID.int4range, bytes('\x02', 100, 1)],
  ['range: a bound of -5 bytes', OID.int4range, bytes('\x02', -5, 1)],
  ['range: one bound of two', OID.int4range, bytes('\x02', 4, 1)],
  ['range: an empty one with bounds', OID.int4range, bytes('\x01', 4, 1, 4, 2)],
  ['range: nothing', OID.int4range, bytes()],
  ['multirange: 2^31-1 ranges', OID.int4multirange, bytes(MOST, 1, '\x01')],
  ['multirange: -1 ranges', OID.int4multirange, bytes(-1)],
  ['record: 2^31-1 fields', PAIR, bytes(MOST, OID.int4, 4, 1)],
  ['record: -1 fields', PAIR, bytes(-1)],
  ['record: more fields than it has', PAIR, bytes(2, OID.int4, 4, 1)],
  ['record: more fields than its type', PAIR, bytes(3, OID.int4, -1, OID.int4Array, -1, OID.int4, -1)],
  ['record: fewer fields than it has', PAIR, bytes(1, OID.int4, 4, 1, OID.int4, 4, 1)],
  ['record: a field past the end', PAIR, bytes(2, OID.int4, 100, 1)],
  ['record: a field of another type', PAIR, bytes(2, OID.text, 4, 1, OID.int4Array, -1)],
  ['record: a field of -2 bytes', PAIR, bytes(2, OID.int4, -2)],
  ['record: a field that is a cut array', PAIR, bytes(2, OID.int4, 4, 1, OID.int4Array, 4, 1)],
  ['inet: family 9', OID.inet, Buffer.from([9, 32, 0, 4, 1, 2, 3, 4])],
  ['inet: 33 bits of 32', OID.inet, Buffer.from([2, 33, 0, 4, 1, 2, 3, 4])],
  ['inet: 16 bytes of 4', OID.inet, Buffer.from([2, 32, 0, 16, 1, 2, 3, 4])],
  ['inet: half', OID.inet, Buffer.from([2, 32])],
  ['bit: 2^31-1 bits', OID.bit, bytes(MOST, '\xff')],
  ['bit: -1 bits', OID.varbit, bytes(-1, '\xff')],
  ['bit: fewer than it says', OID.bit, bytes(17, '\xff')],
  ['path: 2^31-1 points', OID.path, bytes('\x01', MOST, ZEROS)],
  ['path: -1 points', OID.path, bytes('\x01', -1)],
  ['polygon: 2^31-1 points', OID.polygon, bytes(MOST, ZEROS)],
  ['tsvector: 2^31-1 words', OID.tsvector, bytes(MOST, 'a\0\0\0')],
  ['tsvector: -1 words', OID.tsvector, bytes(-1)],
  ['tsvector: a word without NUL', OID.tsvector, bytes(1, 'abc')],
  ['tsvector: 65,535 positions', OID.tsvector, bytes(1, 'a\0', shorts(65_535), shorts(1))],
  ['tsquery: 2^31-1 items', OID.tsquery, bytes(MOST, '\x01\0\0a\0')],
  ['tsquery: an operator without operands', OID.tsquery, bytes(1, '\x02\x02')],
  ['tsquery: an unknown operator', OID.tsquery, bytes(1, '\x02\x63')],
];

module.exports = { PAIR, VALUES: [...ARRAYS, ...NUMERICS, ...LENGTHS] };
