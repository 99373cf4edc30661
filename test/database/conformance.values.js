'use strict';

// Facts about values that are equal on both databases. docs/sqlite-and-postgres.md has the table that they follow.

const assert = require('node:assert/strict');
const { failureOf } = require('./conformance.tools.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */

/**
 * A value goes into a column and comes back.
 * @param {string} type of the column
 * @param {unknown} sent
 * @param {unknown} seen
 * @returns {Fact['run']}
 */
const column =
  (type, sent, seen = sent) =>
  async (db) => {
    await db.prepare(`CREATE TABLE t (v ${type})`).run();
    await db.prepare('INSERT INTO t VALUES (?)').run(sent);
    const row = await db.prepare('SELECT v FROM t').get();
    assert.deepEqual(row, { v: seen });
    // And it is found by what was sent.
    if (!/JSON|BYTEA/.test(type)) assert.equal((await db.prepare('SELECT v FROM t WHERE v = ?').all(sent)).length, 1);
  };

/** A parameter is refused, and the error names it. @param {unknown} value @param {RegExp} message @returns {Fact['run']} */
const refused = (value, message) => async (db) => {
  await db.prepare('CREATE TABLE t (id INTEGER, v TEXT)').run();
  const error = await failureOf(db.prepare('INSERT INTO t VALUES (?, ?)').run(1, value));
  assert.deepEqual([error.name, error.code], ['ParameterError', 'ERR_INVALID_PARAM']);
  assert.match(error.message, message);
  assert.deepEqual(await db.prepare('SELECT * FROM t').all(), []);
};

const bytes = Buffer.from([0, 255, 10, 39]);

/** @type {Fact[]} */
const VALUES = [
  { title: 'an integer is a number', run: column('INTEGER', -7) },
  { title: 'the largest integer of 32 bits is a number', run: column('INTEGER', 2147483647) },
  { title: 'an integer of 53 bits is a number', run: column('BIGINT', Number.MAX_SAFE_INTEGER) },
  { title: 'an integer beyond 2^53 is a BigInt', run: column('BIGINT', 9007199254740993n) },
  { title: 'the largest integer of 64 bits is a BigInt', run: column('BIGINT', 9223372036854775807n) },
  { title: 'the least integer of 64 bits is a BigInt', run: column('BIGINT', -9223372036854775808n) },
  { title: 'a small BigInt comes back as a number', run: column('BIGINT', 5n, 5) },
  {
    title: 'the edges of the safe integers are told apart',
    async run(db) {
      const sql = 'SELECT 9007199254740991 AS a, 9007199254740992 AS b, -9007199254740991 AS c, -9007199254740992 AS d';
      assert.deepEqual(await db.prepare(sql).get(), {
        a: 9007199254740991,
        b: 9007199254740992n,
        c: -9007199254740991,
        d: -9007199254740992n,
      });
    },
  },
  {
    title: 'count(*) is a number',
    async run(db) {
      await db.prepare('CREATE TABLE t (v INTEGER)').run();
      assert.deepEqual(await db.prepare('SELECT count(*) AS n FROM t').get(), { n: 0 });
    },
  },
  {
    title: 'the sum of an INTEGER column is a number',
    async run(db) {
      await db.exec('CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (1), (2)');
      assert.deepEqual(await db.prepare('SELECT sum(v) AS n, max(v) AS m FROM t').get(), { n: 3, m: 2 });
    },
  },
  { title: 'a float is a number', run: column('DOUBLE PRECISION', 1.1) },
  { title: 'a whole number in a float column is a number', run: column('DOUBLE PRECISION', 3) },
  { title: 'a large float is a number', run: column('DOUBLE PRECISION', 1e300) },
  { title: 'a tiny float is a number', run: column('DOUBLE PRECISION', 5e-324) },
  { title: 'Infinity is a number', run: column('DOUBLE PRECISION', Number.POSITIVE_INFINITY) },
  {
    title: 'integers divide as integers, floats as floats',
    async run(db) {
      const sql = 'SELECT 7 / 2 AS i, 7 / CAST(2 AS DOUBLE PRECISION) AS f, 7 % 2 AS r';
      assert.deepEqual(await db.prepare(sql).get(), { i: 3, f: 3.5, r: 1 });
    },
  },
  {
    title: 'a parameter counts as an integer beside integers',
    async run(db) {
      assert.deepEqual(await db.prepare('SELECT 7 / ? AS n').get(2), { n: 3 });
    },
  },
  {
    title: 'text is a string',
    run: column('TEXT', 'snow \u2603, pile \u{1f4a9}, quote \'"`, percent %, backslash \\n\n'),
  },
  { title: 'an empty text is an empty string', run: column('TEXT', '') },
  { title: 'a text of digits stays text', run: column('TEXT', '0042') },
  { title: 'a number in a text column is its digits', run: column('TEXT', 42, '42') },
  { title: 'a long text is whole', run: column('TEXT', 'x\u00e4'.repeat(200_000)) },
  { title: 'true is true', run: column('BOOLEAN', true) },
  { title: 'false is false', run: column('BOOLEAN', false) },
  {
    title: 'TRUE and FALSE in SQL are booleans in a boolean column',
    async run(db) {
      await db.exec('CREATE TABLE t (a BOOLEAN, b BOOLEAN DEFAULT FALSE); INSERT INTO t (a) VALUES (TRUE)');
      assert.deepEqual(await db.prepare('SELECT a, b FROM t WHERE a AND NOT b').all(), [{ a: true, b: false }]);
    },
  },
  {
    title: 'null is NULL in a column of every type',
    async run(db) {
      const types = ['INTEGER', 'BIGINT', 'TEXT', 'BOOLEAN', 'JSON', 'JSONB', 'NUMERIC(10, 2)', 'TIMESTAMPTZ', 'BYTEA'];
      await db.exec(`CREATE TABLE t (${types.map((type, i) => `c${i} ${type}`).join()})`);
      await db.prepare(`INSERT INTO t VALUES (${types.map(() => '?').join()})`).run(...types.map(() => null));
      assert.deepEqual(
        Object.values(await db.prepare('SELECT * FROM t WHERE c0 IS NULL').get()),
        types.map(() => null),
      );
    },
  },
  { title: 'a Buffer is a Buffer', run: column('BYTEA', bytes) },
  { title: 'an empty Buffer is an empty Buffer', run: column('BYTEA', Buffer.alloc(0)) },
  { title: 'a Uint8Array comes back as a Buffer', run: column('BYTEA', new Uint8Array([1, 2]), Buffer.from([1, 2])) },
  {
    title: 'an ArrayBuffer comes back as a Buffer',
    run: column('BYTEA', new Uint8Array([1, 2]).buffer, Buffer.from([1, 2])),
  },
  {
    title: 'a part of a larger buffer is only this part',
    run: column('BYTEA', Buffer.from('xxabcxx').subarray(2, 5), Buffer.from('abc')),
  },
  { title: 'an object is an object in a JSON column', run: column('JSON', { a: [1, { b: null }], c: 'ä"\\' }) },
  { title: 'an object is an object in a JSONB column', run: column('JSONB', { a: [1, { b: null }], c: 'ä"\\' }) },
  { title: 'an array is an array in a JSON column', run: column('JSON', [1, 'two', null, [true]]) },
  { title: 'an empty array is an empty array in a JSON column', run: column('JSONB', []) },
  { title: 'a Map is an object in a JSON column', run: column('JSONB', new Map([['a', 1]]), { a: 1 }) },
  {
    title: 'toJSON counts in a JSON column',
    run: column('JSONB', { at: new Date(0), x: undefined }, { at: '1970-01-01T00:00:00.000Z' }),
  },
  { title: 'JSON as text is parsed', run: column('JSON', '{"a": [1, 2.5, "x"]}', { a: [1, 2.5, 'x'] }) },
  { title: 'a string of JSON is a string', run: column('JSON', '"text"', 'text') },
  { title: 'a number of JSON is a number', run: column('JSON', '1.50', 1.5) },
  { title: 'the null of JSON is null', run: column('JSON', 'null', null) },
  {
    title: 'a member of a JSON column is read with ->>',
    async run(db) {
      await db.prepare('CREATE TABLE t (v JSON)').run();
      await db.prepare('INSERT INTO t VALUES (?)').run({ a: 'x', b: { c: 'y' } });
      const sql = "SELECT v->>'a' AS a, v->'b'->>'c' AS c FROM t WHERE v->>'a' = ?";
      assert.deepEqual(await db.prepare(sql).get('x'), { a: 'x', c: 'y' });
    },
  },
  { title: 'a decimal is a string with its scale', run: column('NUMERIC(10, 2)', '1.50') },
  { title: 'a whole decimal is a string with its scale', run: column('DECIMAL(10,2)', 7, '7.00') },
  { title: 'a negative decimal is a string with its scale', run: column('NUMERIC(10, 3)', -0.125, '-0.125') },
  { title: 'a decimal without a scale is a string', run: column('NUMERIC(10)', 12, '12') },
  {
    title: 'a Date is an ISO string in a TIMESTAMPTZ column',
    run: column('TIMESTAMPTZ', new Date(1718453045123), '2024-06-15T12:04:05.123Z'),
  },
  {
    title: 'a Date without milliseconds has them in the string',
    run: column('TIMESTAMPTZ', new Date(0), '1970-01-01T00:00:00.000Z'),
  },
  {
    title: 'a Date is in UTC in a TIMESTAMP column',
    run: column('TIMESTAMP', new Date(1718453045123), '2024-06-15T12:04:05.123'),
  },
  { title: 'microseconds are kept', run: column('TIMESTAMPTZ', '2024-06-15T12:04:05.123456Z') },
  {
    title: 'a time zone is turned into UTC',
    async run(db) {
      await db.prepare('CREATE TABLE t (v TIMESTAMPTZ)').run();
      for (const text of ['2024-01-01T01:30:00+02:00', '2023-12-31 20:00:00.5-03:30']) {
        await db.prepare('INSERT INTO t VALUES (?)').run(text);
      }
      const rows = await db.prepare('SELECT v FROM t').all();
      assert.deepEqual(rows, [{ v: '2023-12-31T23:30:00.000Z' }, { v: '2023-12-31T23:30:00.500Z' }]);
    },
  },
  {
    title: 'CURRENT_TIMESTAMP is now',
    async run(db) {
      const before = Date.now();
      await db.prepare('CREATE TABLE t (v TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP, n INTEGER)').run();
      await db.prepare('INSERT INTO t (n) VALUES (1)').run();
      const { v } = await db.prepare('SELECT v FROM t').get();
      assert.match(v, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/);
      assert.ok(Math.abs(new Date(v).getTime() - before) < 60_000, v);
    },
  },
  { title: 'a day is a string', run: column('DATE', '2024-02-29') },
  { title: 'a UUID is a string', run: column('UUID', '123e4567-e89b-12d3-a456-426614174000') },
  { title: 'undefined is refused by its number', run: refused(undefined, /\$2 is undefined/) },
  { title: 'a function is refused by its number', run: refused(() => 1, /\$2/) },
  { title: 'a symbol is refused by its number', run: refused(Symbol('x'), /\$2/) },
  { title: 'an invalid Date is refused by its number', run: refused(new Date(Number.NaN), /\$2/) },
  { title: 'a text with a NUL character is refused by its number', run: refused('a\0b', /\$2.*NUL/) },
  { title: 'a text with half a surrogate is refused by its number', run: refused('a\ud800', /\$2.*surrogate/) },
  { title: 'an object without JSON is refused by its number', run: refused(new WeakMap(), /\$2.*WeakMap/) },
  { title: 'a Promise is refused by its number', run: refused(Promise.resolve(1), /\$2/) },
  {
    title: 'a BigInt of more than 64 bits is refused for a BIGINT column',
    async run(db) {
      await db.prepare('CREATE TABLE t (v BIGINT)').run();
      const error = await failureOf(db.prepare('INSERT INTO t VALUES (?)').run(2n ** 63n));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, /\$1/);
    },
  },
  {
    title: 'columns keep their types in views, subqueries and joins',
    async run(db) {
      await db.exec(`CREATE TABLE t (id INTEGER, ok BOOLEAN, doc JSON); INSERT INTO t VALUES (1, TRUE, '{"a": 1}');
        CREATE VIEW w AS SELECT id, ok, doc FROM t`);
      const row = { id: 1, ok: true, doc: { a: 1 } };
      assert.deepEqual(await db.prepare('SELECT * FROM w').get(), row);
      assert.deepEqual(await db.prepare('SELECT * FROM (SELECT * FROM t) AS s').get(), row);
      assert.deepEqual(await db.prepare('SELECT a.id, b.ok, b.doc FROM t AS a JOIN t AS b ON a.id = b.id').get(), row);
    },
  },
];

module.exports = { VALUES };
