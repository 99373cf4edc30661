'use strict';

// pool.copyTo(): gives what COPY sends, unchanged and as fast as it is read; however it ends, its connection is free afterwards.

const assert = require('node:assert/strict');
const { pipeline } = require('node:stream/promises');
const { describe } = require('node:test');
const { test, failureOf, sleep, until, useCluster } = require('../support/helpers');
const { countOf, textOf, withTable } = require('../support/copies');

const db = useCluster({ nodes: 1, synchronous: false });

describe('copyTo', () => {
  test('copyTo gives what COPY sends, unchanged', async (t) => {
    const { pool, table } = await withTable(db, t, 'a int4, "B" text');
    await pool.copyFrom(table, [
      [1, 'x\ty'],
      [2, null],
    ]);
    assert.equal(await textOf(pool.copyTo(table)), '1\tx\\ty\n2\t\\N\n');
    assert.equal(await textOf(pool.copyTo(`${table} ("B")`)), 'x\\ty\n\\N\n');
    const sql = `COPY (SELECT a, "B" FROM ${table} ORDER BY a DESC) TO STDOUT (FORMAT csv, HEADER)`;
    assert.equal(await textOf(pool.copyTo(sql)), 'a,B\n2,\n1,x\ty\n');
    assert.equal(await textOf(pool.copyTo('COPY (SELECT 1 WHERE false) TO STDOUT')), '');
    const out = pool.copyTo(`COPY (INSERT INTO ${table} VALUES (3, 'y') RETURNING a) TO STDOUT`);
    assert.equal(await textOf(out), '3\n');
    assert.equal(await countOf(pool, table), 3, 'it is committed');
  });

  test('copyTo: an error behind the data fails the stream, and nothing is committed', async (t) => {
    const { pool, table } = await withTable(db, t, 'a int4');
    await pool.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`);
    await pool.query(`CREATE TRIGGER refuse AFTER INSERT ON ${table} EXECUTE FUNCTION refuse()`);
    const error = await failureOf(textOf(pool.copyTo(`COPY (INSERT INTO ${table} VALUES (3) RETURNING a) TO STDOUT`)));
    assert.deepEqual([error.code, error.message, error.outcome], ['P0001', 'no', 'not-applied']);
    assert.equal((await failureOf(pool.copyFrom(table, [[1]]))).message, 'no');
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyTo that is read slowly holds the data in the server, not in memory, and works in pipeline()', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const stream = pool.copyTo(`COPY (SELECT repeat('x', 1000) FROM generate_series(1, 2000000)) TO STDOUT`, {
      highWaterMark: 16_384,
    });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const before = process.memoryUsage().rss;
    await sleep(300);
    assert.ok(process.memoryUsage().rss - before < 64e6);
    stream.destroy();
    await until('the connection is back', () => pool.status().inUse === 0);
    let bytes = 0;
    await pipeline(
      pool.copyTo(`COPY (SELECT repeat('x', 999) FROM generate_series(1, 50000)) TO STDOUT`),
      async (/** @type {AsyncIterable<Buffer>} */ source) => {
        for await (const chunk of source) bytes += chunk.length;
      },
    );
    assert.equal(bytes, 50_000_000);
  });

  test('copyTo that is left early, aborted or too late is cancelled, and its connection is free', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const endless = `COPY (SELECT generate_series(1, 1000000000)) TO STDOUT`;
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for await (const chunk of pool.copyTo(endless)) {
      assert.ok(chunk.length > 0);
      break;
    }
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    assert.equal((await failureOf(textOf(pool.copyTo(endless, { timeoutMs: 100 })))).code, '57014');
    const controller = new AbortController();
    setTimeout(() => controller.abort('enough'), 50);
    const aborted = await failureOf(textOf(pool.copyTo(endless, { signal: controller.signal })));
    assert.deepEqual([aborted.code, aborted.cause], ['ABORT_ERR', 'enough']);
    const unread = pool.copyTo(endless);
    unread.destroy();
    await until('nothing runs', () => pool.status().inUse === 0);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');
  });

  test('copyTo: errors are errors of the stream', async (t) => {
    const pool = db.pool(t);
    assert.equal((await failureOf(textOf(pool.copyTo('nowhere')))).code, '42P01');
    const halfway = `COPY (SELECT 1 / (5000 - g) FROM generate_series(1, 10000) g) TO STDOUT`;
    const error = await failureOf(textOf(pool.copyTo(halfway)));
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '22012', 'not-applied']);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('copyTo begins when it is read, and fails as not applied when its backend is ended', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const sql = `COPY (SELECT generate_series(1, 1000000000)) TO STDOUT`;
    const stream = pool.copyTo(sql);
    await sleep(20);
    assert.equal(pool.status().size, 0);
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    await db.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1`, [sql]);
    const error = await failureOf(
      (async () => {
        while (!(await iterator.next()).done);
      })(),
    );
    assert.equal(error.outcome, 'not-applied', String(error));
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});
