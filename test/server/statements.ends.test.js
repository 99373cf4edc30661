'use strict';

// The ends of plain statements that are prepared already, alone and with others in flight on their connection: results, errors of the
// server, rows that cannot be read or have other types than before, a connection that is lost, a session that must be reset.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { failureOf, range, test, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 1 });

/** So many are in flight at a time. @type {[string, number][]} */
const FLIGHTS = [
  ['alone', 1],
  ['with 30 others', 31],
];

/** The n-th statement of a flight of `size` is in its middle. @param {number} size */
const middleOf = (size) => Math.floor(size / 2);

/** Makes a text of the server's answers invalid. @param {Buffer} piece */
function spoil(piece) {
  for (let at = piece.indexOf('spoiled'); at !== -1; at = piece.indexOf('spoiled', at)) piece.fill(0xff, at, at + 7);
  return false;
}

/** A pool with one connection that has prepared the statements. @param {import('node:test').TestContext} t @param {[string, unknown[]][]} statements @param {object} [options] */
async function preparedOn(t, statements, options = {}) {
  const pool = db.pool(t, { poolSize: 1, pipeline: { depth: 64 }, ...options });
  // From its second run on a statement is known to be quick, and shares its connection.
  for (const _ of range(2)) for (const [sql, params] of statements) await pool.query(sql, params);
  return pool;
}

describe('statements that are prepared already', () => {
  for (const [company, size] of FLIGHTS) {
    test(`a statement ${company}: an error of the server is its own, and the connection goes on`, async (t) => {
      const sql = 'SELECT 6 / $1::int4 AS v';
      const pool = await preparedOn(t, [[sql, [1]]]);
      const pid = await pool.value('SELECT pg_backend_pid()');
      const calls = range(size).map((n) => pool.query(sql, [n === middleOf(size) ? 0 : 3]));
      for (const [n, { status, value, reason }] of (await Promise.allSettled(calls)).entries()) {
        if (n === middleOf(size))
          assert.deepEqual([status, reason.code, reason.outcome], ['rejected', '22012', 'not-applied']);
        else assert.deepEqual(value, [{ v: 2 }]);
      }
      assert.equal(await pool.value('SELECT pg_backend_pid()'), pid);
    });

    test(`a statement ${company}: rows of a composite that has another attribute since come whole`, async (t) => {
      const type = `grown_${size}`;
      await db.sql(`CREATE TYPE ${type} AS (a int4)`);
      t.after(() => db.sql(`DROP TYPE ${type} CASCADE`));
      await db.sql(`CREATE TABLE of_${type} AS SELECT i, ROW(i)::${type} AS v FROM generate_series(1, 3) i`);
      t.after(() => db.sql(`DROP TABLE of_${type}`));
      const sql = `SELECT v FROM of_${type} WHERE i <= $1 ORDER BY i`;
      const pool = await preparedOn(t, [[sql, [3]]]);
      await db.sql(`ALTER TYPE ${type} ADD ATTRIBUTE b text`);
      for (const rows of await Promise.all(range(size).map(() => pool.query(sql, [3])))) {
        assert.deepEqual(
          rows.map(({ v }) => v),
          [1, 2, 3].map((a) => ({ a, b: null })),
        );
      }
    });

    test(`a statement ${company}: a text that is not UTF-8 is ERR_DECODE, and the connection goes on`, async (t) => {
      const { host } = await relayTo(t, db.cluster.primary(), undefined, spoil);
      // The first row can be read, the second cannot.
      const sql = "SELECT CASE WHEN i = $1 THEN 'spoi' || 'led' ELSE 'well' END AS v FROM generate_series(1, 3) i";
      const pool = await preparedOn(t, [[sql, [0]]], { hosts: [host], monitor: false });
      const pid = await pool.value('SELECT pg_backend_pid()');
      const calls = range(size).map((n) => pool.query(sql, [n === middleOf(size) ? 2 : 0]));
      for (const [n, { status, value, reason }] of (await Promise.allSettled(calls)).entries()) {
        if (n === middleOf(size)) {
          assert.deepEqual([status, reason.code, reason.outcome], ['rejected', 'ERR_DECODE', 'applied']);
          assert.match(reason.message, /column "v"/);
        } else {
          assert.deepEqual(value, [{ v: 'well' }, { v: 'well' }, { v: 'well' }]);
        }
      }
      assert.equal(await pool.value('SELECT pg_backend_pid()'), pid);
    });

    test(`a statement ${company}: wrong parameters are refused before anything is sent`, async (t) => {
      const sql = 'SELECT $1::int4 AS v';
      const pool = await preparedOn(t, [[sql, [1]]]);
      const bad = [[], [1, 2], [2.5], [2 ** 40]];
      const calls = range(size).map((n) => pool.query(sql, [n]));
      for (const params of bad) assert.equal((await failureOf(pool.query(sql, params))).code, 'ERR_INVALID_PARAM');
      for (const [n, rows] of (await Promise.all(calls)).entries()) assert.deepEqual(rows, [{ v: n }]);
    });

    test(`a statement ${company}: when its session is ended each insert is there once, or was not applied, or is unknown`, async (t) => {
      const name = `ended_${size}`;
      await db.sql(`CREATE TABLE ${name} (id int)`);
      t.after(() => db.sql(`DROP TABLE ${name}`));
      const insert = `INSERT INTO ${name} VALUES ($1)`;
      const end = 'SELECT pg_terminate_backend(pg_backend_pid()) WHERE $1::int4 = 1';
      const pool = await preparedOn(t, [
        [insert, [-1]],
        [end, [0]],
      ]);
      const calls = range(size * 2).map((n) => pool.query(insert, [n]));
      const ended = failureOf(pool.query(end, [1]));
      const ends = await Promise.allSettled([...calls, ...range(size).map((n) => pool.query(insert, [1_000 + n]))]);
      assert.match((await ended).outcome, /unknown|not-applied/);
      const ids = await db.sql(`SELECT id FROM ${name} WHERE id >= 0`);
      const times = (/** @type {number} */ id) => ids.filter((row) => row.id === id).length;
      for (const [n, { status, reason }] of ends.entries()) {
        const id = n < size * 2 ? n : 1_000 + n - size * 2;
        if (status === 'fulfilled') assert.equal(times(id), 1, `insert ${id}`);
        else if (reason.outcome === 'not-applied') assert.equal(times(id), 0, `insert ${id}`);
        else assert.ok(reason.outcome === 'unknown' && times(id) <= 1, `insert ${id}: ${reason.outcome}`);
      }
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    });
  }

  test('a statement that sets something in its session: the next user of the connection does not see it', async (t) => {
    const sql = "SELECT set_config('app.tenant', $1, false) AS v";
    const pool = await preparedOn(t, [
      [sql, ['first']],
      ["SELECT current_setting('app.tenant', true) AS v", []],
    ]);
    for (const n of range(3)) {
      const [set, seen] = await Promise.all([
        pool.value(sql, [`tenant ${n}`]),
        pool.value("SELECT current_setting('app.tenant', true) AS v"),
      ]);
      assert.equal(set, `tenant ${n}`);
      assert.ok(seen === '' || seen === null, `it sees '${seen}'`);
    }
  });

  test('a pool that ends waits for the statements in flight', async (t) => {
    const sql = 'SELECT $1::int4 AS v';
    const pool = await preparedOn(t, [[sql, [1]]]);
    const calls = range(200).map((n) => pool.value(sql, [n]));
    await pool.end();
    assert.deepEqual(await Promise.all(calls), range(200));
    assert.equal((await failureOf(pool.query(sql, [1]))).code, 'ERR_POOL_CLOSED');
  });
});
