'use strict';

// The values of a load: each arrives as a parameter would, and a value that is refused as a parameter is refused by row and column.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, failureOf, useCluster } = require('../support/helpers');
const { countOf } = require('../support/copies');

const db = useCluster({ nodes: 1, synchronous: false });

// Each value is loaded, and is sent as a parameter; the server compares the two.
/** @type {Record<string, unknown[]>} */
const VALUES = {
  bool: [true, false, 'true', 'f', 'yes', ' off '],
  int2: [0, -32768, 32767, 5n, '-7', ' 8 ', '+9'],
  int4: [0, -(2 ** 31), 2 ** 31 - 1, 7n, '2147483647', ' 1'],
  int8: [-(2n ** 63n), 2n ** 63n - 1n, Number.MIN_SAFE_INTEGER, '-9223372036854775808', '007'],
  oid: [0, 4294967295, 1n, '4294967295'],
  float4: [0, -0, 1.5, 3.4e38, NaN, Infinity, -Infinity, '0.1', '1e-45', 'NaN', '-inf', 16777217],
  float8: [
    0,
    -0,
    0.1,
    5e-324,
    1.7976931348623157e308,
    NaN,
    -Infinity,
    '1e-320',
    '.5',
    '-0',
    '1.50',
    '0.30000000000000004',
  ],
  numeric: [
    0,
    -1.5,
    1e-7,
    1e21,
    12345678901234567890n,
    '0.00',
    '-0001.2300',
    'NaN',
    '1e10',
    '.5',
    ' 7 ',
    '9'.repeat(900),
    '1e-300',
  ],
  'numeric(10, 2)': ['1.005', '-99999999.99', 3, 2.675],
  text: [
    '',
    '\\N',
    '\\.',
    '\\',
    'a\tb',
    'a\nb\r\nc',
    '\b\f\v\x01\x7f',
    'é😀漢',
    '"\'',
    5,
    true,
    1.5,
    10n,
    new Date(0),
    { a: 1 },
    'x'.repeat(100_000),
  ],
  'varchar(3)': ['', 'abc', 'é😀漢'],
  'char(4)': ['', 'ab', 'abcd'],
  name: ['', 'a'.repeat(80), 'é'],
  bytea: [
    Buffer.alloc(0),
    Buffer.from('\\x\0\t\n\\'),
    new Uint8Array([0, 255, 92]),
    '\\x00ff',
    'abc\\000\\\\',
    Buffer.alloc(300_000, 7),
  ],
  uuid: [
    '0123abcd-4567-89AB-cdef-000000000001',
    '{0123abcd-4567-89ab-cdef-000000000001}',
    '0123abcd456789abcdef000000000001',
  ],
  json: [{ a: [1, null] }, [1, 'x', { y: true }], '{"a" :  1}', '"s\\n\\\\"', 5, true, 'null'],
  jsonb: [
    { a: 'tab\t, back\\slash, "quote", é😀\n' },
    [1, [2]],
    '{"b":1,"a":2}',
    1.5,
    false,
    new Date(0),
    '12345678901234567890.123',
  ],
  timestamptz: [
    new Date(0),
    new Date(-1),
    new Date(8.64e15),
    '2024-02-29T12:34:56.789123Z',
    '2024-01-01 00:00:00+05:30',
    '2024-01-01T00:00:00-00:30',
    '2024-07-01 12:00:00',
    '2024-07-01',
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00 BC',
    'epoch',
    '2024-01-01 24:00:00Z',
    '2024-01-01T00:00:00.1234567Z',
  ],
  timestamp: [
    new Date(86_399_999),
    '2024-01-01T00:00:00',
    '2024-01-01 00:00:00.000001',
    '2024-01-01T00:00:00+05',
    '1.2.2024',
    'infinity',
  ],
  date: [
    new Date(0),
    new Date(-1),
    '2024-02-29',
    '0001-01-01',
    '9999-12-31',
    'Feb 3 2024',
    '-infinity',
    '20240203',
    '0044-03-15 BC',
  ],
  time: ['00:00:00', '23:59:59.999999', '24:00:00', '04:05 PM', new Date(3_723_004)],
  timetz: ['00:00:00+02', '23:59:59.999999-08:30'],
  interval: ['1 year 2 mons 3 days 04:05:06.7', '-1 day', 'P1Y'],
  inet: ['127.0.0.1', '::1/64'],
  xml: ['<a b="1">é</a>'],
  point: ['(1,2)'],
  int4range: ['[1,10)'],
  'int4[]': [
    [],
    [1, null, 3],
    [
      [1, 2],
      [3, 4],
    ],
    '{1,NULL}',
    new Int32Array([1, 2]),
  ],
  'text[]': [
    ['a\tb', 'c\\d', '"', '', null, 'NULL', '{,}', 'é\n'],
    [['x'], ['y']],
  ],
  'timestamptz[]': [[new Date(0), null]],
  'jsonb[]': [[{ a: 1 }, 'null']],
  'bytea[]': [[Buffer.from([0, 92, 9])]],
  mood: ['sad', 'happy'],
  positive: [1, '2'],
  short: ['ab\t\\'],
};

/** Values that are refused as parameters, and so in a load. @type {Record<string, unknown[]>} */
const REFUSED = {
  bool: [1, 'maybe'],
  int2: [40_000, 1.5, '40000'],
  int4: [2 ** 31, 3.5, NaN, 'x', '', '2147483648', true, new Date(), {}, Buffer.alloc(1)],
  int8: [2n ** 63n, 1e20],
  float4: [1e39, '1e39'],
  numeric: ['', 'x', true, Infinity === 0, '1e'],
  'numeric(4, 1)': [10_000],
  text: ['nul\0', 'lone \ud800', Buffer.from('x'), Symbol('x'), () => 1],
  'varchar(3)': ['abcd'],
  uuid: ['0123', 5],
  jsonb: ['{bad', NaN],
  timestamptz: ['yesterdayish', 5, new Date(NaN), '2024-02-30T00:00:00Z'],
  date: ['2023-02-29', 20240101],
  'int4[]': [[1, 'x'], [[1], [2, 3]], 5, [1.5]],
  mood: ['angry'],
  positive: [-1],
};

const TYPES = `CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int4 CHECK (VALUE > 0); CREATE DOMAIN short AS varchar(5)`;

describe('copyFrom: values', () => {
  test('copyFrom: values arrive as parameters do, each type alone and all of them together', {
    timeout: 120_000,
  }, async (t) => {
    const pool = db.pool(t, { options: { TimeZone: 'Asia/Kathmandu' } });
    for (const sql of TYPES.split('; ')) await pool.query(sql);
    const wide = Object.keys(VALUES);
    await pool.query(`CREATE TABLE every (n int4, ${wide.map((type, i) => `c${i} ${type}`).join(', ')})`);
    await pool.query(`CREATE TABLE expected (LIKE every)`);
    const rows = [];
    for (const [i, type] of wide.entries()) {
      const values = [...VALUES[type], null, undefined];
      await pool.query(`CREATE TABLE one_${i} (given ${type}, loaded ${type})`);
      for (const [n, value] of values.entries()) {
        await pool.query(`TRUNCATE one_${i}`);
        const [{ text }] = await pool.query(
          `WITH i AS (INSERT INTO one_${i} (given) VALUES ($1) RETURNING *) SELECT given::text AS text FROM i`,
          [value],
        );
        await pool.query(`TRUNCATE one_${i}`);
        // Alone, and after a row that can be sent in binary.
        assert.equal((await pool.copyFrom(`one_${i} (loaded)`, [[null], [value], [null]])).rowCount, 3);
        const got = await pool.query(`SELECT loaded::text AS text FROM one_${i}`);
        assert.deepEqual(
          got.map((/** @type {any} */ row) => row.text),
          [null, text, null],
          `${type} ${String(value)}`,
        );
        const row = [i * 1000 + n, ...wide.map(() => null)];
        row[i + 1] = /** @type {any} */ (value);
        rows.push(row);
        await pool.query(`INSERT INTO expected (n, c${i}) VALUES ($1, $2)`, [row[0], value]);
      }
    }
    await pool.copyFrom('every', rows);
    const different = await pool.query(
      'SELECT n FROM (SELECT n, e::text AS v FROM every e) a FULL JOIN (SELECT n, e::text AS v FROM expected e) b USING (n) WHERE a.v IS DISTINCT FROM b.v',
    );
    assert.deepStrictEqual(different, []);
    // And back to the server by copyTo() and copyFrom().
    await pool.query('CREATE TABLE again (LIKE every)');
    for (const format of ['text', 'csv', 'binary']) {
      await pool.query('TRUNCATE again');
      const out = pool.copyTo(`COPY every TO STDOUT (FORMAT ${format})`);
      const { rowCount } = await pool.copyFrom(`COPY again FROM STDIN (FORMAT ${format})`, out);
      assert.equal(rowCount, rows.length);
      assert.deepStrictEqual(
        await pool.query('SELECT e::text FROM every e EXCEPT ALL SELECT a::text FROM again a'),
        [],
      );
    }
  });

  test('copyFrom: values that do not fit are refused by row and column, and no row stays', {
    timeout: 120_000,
  }, async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const sql of TYPES.split('; ')) await pool.query(sql).catch(() => {});
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const [index, [type, values]] of Object.entries(REFUSED).entries()) {
      const strict = `strict_${index}`;
      await pool.query(`CREATE TABLE ${strict} (id int4, "the value" ${type})`);
      for (const value of values) {
        const what = `${type} ${String(value)}`;
        await failureOf(pool.query(`INSERT INTO ${strict} VALUES (1, $1)`, [value]));
        const error = await failureOf(
          pool.copyFrom(strict, [
            [1, null],
            [2, null],
            [3, value],
            [4, null],
          ]),
        );
        assert.equal(error.row, 3, `${what}: ${error.stack}`);
        assert.equal(error.outcome, 'not-applied', what);
        // For the constraint of a domain the server does not report the column.
        if (type !== 'positive') assert.equal(error.column, 'the value', what);
        if (error.name === 'ParameterError') {
          assert.match(error.message, /^row 3, column "the value": /);
          assert.equal(error.code, 'ERR_INVALID_PARAM');
        } else {
          assert.match(error.code, /^[0-9A-Z]{5}$/, what);
        }
        assert.equal(await countOf(pool, strict), 0);
      }
    }
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');
  });
});
