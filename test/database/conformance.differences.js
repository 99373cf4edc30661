'use strict';

// What is not alike, as docs/sqlite-and-postgres.md says it: what each database answers, so that a difference that goes away, or a new
// one, is noticed.

const assert = require('node:assert/strict');
const { failureOf } = require('./conformance.tools.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */

/**
 * @param {string} title
 * @param {string} script run before
 * @param {string} sql
 * @param {{ postgres: unknown, sqlite: unknown }} seen in the column v of all rows, or the code of the error
 * @param {unknown[]} [params]
 * @returns {Fact}
 */
const differs = (title, script, sql, seen, params = []) => ({
  title: `differs: ${title}`,
  async run(db, { engine }) {
    // One by one, on connections of the pool: exec() makes one of its own.
    for (const statement of script.split('; ').filter(Boolean)) await db.prepare(statement).run();
    const all = async () => (await db.prepare(sql).all(...params)).map((/** @type {{ v: unknown }} */ { v }) => v);
    const result = await all().catch((/** @type {any} */ error) => error.code);
    assert.deepEqual(result, seen[engine]);
  },
});

/** @type {Fact[]} */
const DIFFERENCES = [
  differs('a boolean expression is a number in SQLite', '', 'SELECT 1 = 1 AS v', { postgres: [true], sqlite: [1] }),
  differs(
    'a cast of JSON is text in SQLite',
    '',
    `SELECT CAST('{"a": 1}' AS JSON) AS v`,
    // The affinity of the unknown type JSON is NUMERIC, so that the cast makes a number of the text.
    { postgres: [{ a: 1 }], sqlite: [0] },
  ),
  differs('a bare parameter is text in PostgreSQL', '', 'SELECT ? AS v', { postgres: ['5'], sqlite: [5] }, [5]),
  differs('division by zero is NULL in SQLite', '', 'SELECT 1 / 0 AS v', { postgres: '22012', sqlite: [null] }),
  differs(
    'NULL comes last in PostgreSQL, first in SQLite',
    'CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (NULL), (1)',
    'SELECT n AS v FROM t ORDER BY n',
    { postgres: [1, null], sqlite: [null, 1] },
  ),
  differs('LIKE ignores the case of ASCII in SQLite', '', "SELECT CASE WHEN 'ABC' LIKE 'abc' THEN 1 ELSE 0 END AS v", {
    postgres: [0],
    sqlite: [1],
  }),
  differs(
    'a text in an integer column is refused by PostgreSQL alone',
    'CREATE TABLE t (n INTEGER)',
    "INSERT INTO t VALUES ('abc') RETURNING n AS v",
    { postgres: '22P02', sqlite: ['abc'] },
  ),
  differs(
    'the length of VARCHAR is checked by PostgreSQL alone',
    'CREATE TABLE t (s VARCHAR(2))',
    "INSERT INTO t VALUES ('abc') RETURNING s AS v",
    { postgres: '22001', sqlite: ['abc'] },
  ),
  differs(
    'the range of INTEGER is 32 bits in PostgreSQL, 64 in SQLite',
    'CREATE TABLE t (n INTEGER)',
    'INSERT INTO t VALUES (2147483648) RETURNING n AS v',
    { postgres: '22003', sqlite: [2147483648] },
  ),
  differs(
    'JSON is checked by PostgreSQL alone when it is written',
    'CREATE TABLE t (j JSON)',
    "INSERT INTO t VALUES ('{') RETURNING 1 AS v",
    { postgres: '22P02', sqlite: [1] },
  ),
  differs(
    'a decimal without a scale loses its zeros in SQLite',
    "CREATE TABLE t (n NUMERIC); INSERT INTO t VALUES ('1.50')",
    'SELECT n AS v FROM t',
    { postgres: ['1.50'], sqlite: ['1.5'] },
  ),
  differs(
    'a decimal has 15 digits in SQLite',
    "CREATE TABLE t (n NUMERIC(30, 2)); INSERT INTO t VALUES ('12345678901234567890.12')",
    'SELECT n AS v FROM t',
    { postgres: ['12345678901234567890.12'], sqlite: ['12345678901234567168.00'] },
  ),
  differs(
    'an average of integers is an exact decimal in PostgreSQL',
    'CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2)',
    'SELECT avg(n) AS v FROM t',
    { postgres: ['1.5000000000000000'], sqlite: [1.5] },
  ),
  differs('CURRENT_TIMESTAMP of an expression is plain text in SQLite', '', 'SELECT CURRENT_TIMESTAMP IS NULL AS v', {
    postgres: [false],
    sqlite: [0],
  }),
  differs(
    'a boolean in a text column',
    'CREATE TABLE t (s TEXT)',
    'INSERT INTO t VALUES (?) RETURNING s AS v',
    { postgres: ['true'], sqlite: ['1'] },
    [true],
  ),
  {
    title: 'differs: NaN is refused by SQLite',
    async run(db, { engine }) {
      await db.exec('CREATE TABLE t (v DOUBLE PRECISION)');
      const insert = db.prepare('INSERT INTO t VALUES (?)').run(Number.NaN);
      if (engine === 'sqlite') assert.equal((await failureOf(insert)).code, 'ERR_INVALID_PARAM');
      else assert.equal((await insert).changes, 1);
    },
  },
  {
    title: 'differs: an array is an array in PostgreSQL, JSON in SQLite',
    async run(db, { engine }) {
      await db.exec(`CREATE TABLE t (v ${engine === 'postgres' ? 'BIGINT[]' : 'TEXT'})`);
      await db.prepare('INSERT INTO t VALUES (?)').run([1, 2n ** 60n]);
      const { v } = await db.prepare('SELECT v FROM t').get();
      assert.deepEqual(v, engine === 'postgres' ? [1, 2n ** 60n] : '[1,1152921504606846976]');
    },
  },
  {
    title: 'differs: ?? is the operator ? of jsonb, and refused for SQLite',
    async run(db, { engine }) {
      const doc = `CAST('{"a": 1}' AS JSONB)`;
      const sql = `SELECT ${doc} ?? ? AS a, ${doc} ??| ARRAY['b', ?] AS b, ${doc} ??& ARRAY['b', ?] AS c`;
      if (engine === 'sqlite') assert.throws(() => db.prepare(sql), { code: 'ERR_INVALID_PARAM', message: /\?\?/ });
      else assert.deepEqual(await db.prepare(sql).get('a', 'a', 'a'), { a: true, b: true, c: false });
    },
  },
  {
    title: 'differs: [a] is a subscript in PostgreSQL, a name in SQLite',
    async run(db, { engine }) {
      if (engine === 'postgres') {
        assert.deepEqual(await db.prepare('SELECT (ARRAY[5, 6])[?] AS v').get(2), { v: 6 });
      } else {
        assert.deepEqual(await db.prepare('SELECT CAST(? AS INTEGER) AS [a?], 1 AS `b?`').get(2), { 'a?': 2, 'b?': 1 });
      }
    },
  },
  {
    title: 'differs: comments nest in PostgreSQL alone',
    async run(db, { engine }) {
      const sql =
        engine === 'postgres' ? 'SELECT /* /* ? */ ? */ ?::int AS v' : 'SELECT /* /* ? */ CAST(? AS INTEGER) AS v';
      assert.deepEqual(await db.prepare(sql).get(2), { v: 2 });
    },
  },
  {
    title: 'differs: a::type is a cast in PostgreSQL, 42601 in SQLite',
    async run(db, { engine }) {
      const cast = db.prepare('SELECT ?::int AS v');
      if (engine === 'postgres') assert.deepEqual(await cast.get(2), { v: 2 });
      else assert.equal((await failureOf(cast.get(2))).code, '42601');
    },
  },
  {
    title: 'differs: :name is a parameter of SQLite, and refused',
    async run(db, { engine }) {
      for (const name of [':id', '@id', '$id']) {
        if (engine === 'sqlite') assert.throws(() => db.prepare(`SELECT ${name}`), { message: /named parameter/ });
        else assert.match((await failureOf(db.prepare(`SELECT ${name}`).get())).code, /^42/);
      }
    },
  },
];

module.exports = { DIFFERENCES };
