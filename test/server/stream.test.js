'use strict';

// pool.stream(): rows as they arrive, with memory bounded by what the reader has asked for; and rowMode: 'array'.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { failureOf, test, range, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1, synchronous: false });
const numbers = (/** @type {number} */ count) => `SELECT generate_series(1, ${count}) AS g`;

/** @param {AsyncIterable<any>} stream */
async function all(stream) {
  const rows = [];
  for await (const row of stream) rows.push(row);
  return rows;
}

describe('stream()', () => {
  test('stream() gives the rows that query() gives, whatever its batch size', async (t) => {
    const pool = db.pool(t);
    const sql = `SELECT g, g::int8 AS i8, repeat('é', g % 50) AS text, ARRAY[g, NULL] AS list, CASE WHEN g % 3 > 0 THEN now() END AS at
      FROM generate_series(1, 3000) g`;
    const expected = (await pool.query(sql)).map((/** @type {any} */ { at: _, ...row }) => row);
    for (const batchSize of [undefined, 1, 7, 1000, 1_000_000]) {
      const rows = await all(pool.stream(sql, [], batchSize === undefined ? undefined : { batchSize }));
      assert.deepStrictEqual(
        rows.map(({ at: _, ...row }) => row),
        expected,
        `batchSize ${batchSize}`,
      );
    }
  });

  test('stream() takes parameters, and gives no rows for a statement without rows', async (t) => {
    const pool = db.pool(t);
    assert.deepStrictEqual(await all(pool.stream('SELECT $1::text AS v', ['x'])), [{ v: 'x' }]);
    assert.deepStrictEqual(await all(pool.stream('SELECT 1 WHERE false')), []);
    assert.deepStrictEqual(await all(pool.stream('CREATE TEMPORARY TABLE nothing_to_see ()')), []);
  });

  test('stream() sends nothing before it is read', async (t) => {
    const pool = db.pool(t);
    const stream = pool.stream('CREATE TABLE never_made ()');
    await sleep(50);
    assert.equal(pool.status().size, 0);
    await stream.return();
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
    assert.deepStrictEqual(await pool.query(`SELECT to_regclass('never_made')::text AS t`), [{ t: null }]);
  });

  test('stream() that is left early is cancelled, and its connection is free', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const at of [1, 1000, 5000]) {
      let seen = 0;
      for await (const { g } of pool.stream(numbers(100_000_000))) {
        assert.equal(g, ++seen);
        if (seen === at) break;
      }
      await until('the connection is back', () => pool.status().inUse === 0);
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    }
    const { rows } = {
      rows: await db.sql(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%100000000%'
      AND pid <> pg_backend_pid()`),
    };
    assert.deepEqual(rows, []);
  });

  test('stream() whose reader throws is cancelled, and the error reaches the caller', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const error = await failureOf(
      (async () => {
        for await (const { g } of pool.stream(numbers(100_000_000))) if (g === 10) throw new Error('enough');
      })(),
    );
    assert.equal(error.message, 'enough');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('stream() that is read slowly holds the rows in the server, not in memory', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const stream = pool.stream(
      `SELECT g, repeat('x', 10000) AS text FROM (SELECT generate_series(1, 200000)) AS s (g)`,
    );
    await stream.next();
    const before = process.memoryUsage().rss;
    await sleep(500);
    // The whole result has 2 GB: a few pieces of 32 KiB, and the buffers of sockets and allocators, are far below 64 MB.
    assert.ok(process.memoryUsage().rss - before < 64e6);
    assert.equal(pool.status().inUse, 1);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }], 'others go on');
    await stream.return();
    await until('the connection is back', () => pool.status().inUse === 0);
  });

  test('stream() gives the rows before an error, then the error, then ends', async (t) => {
    const pool = db.pool(t);
    const stream = pool.stream('SELECT 10 / (2000 - g) AS v FROM generate_series(1, 3000) g', [], { batchSize: 100 });
    let seen = 0;
    const error = await failureOf(
      (async () => {
        for await (const _ of stream) seen++;
      })(),
    );
    assert.equal(error.code, '22012');
    assert.ok(seen > 0 && seen < 2000, String(seen));
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
  });

  test('stream() ends with its signal and with its timeoutMs', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const controller = new AbortController();
    const read = async (/** @type {object} */ options, act = () => {}) => {
      for await (const { g } of pool.stream(numbers(1_000_000_000), [], options)) if (g === 5000) act();
    };
    const aborted = await failureOf(read({ signal: controller.signal }, () => controller.abort('enough')));
    assert.deepEqual([aborted.name, aborted.code, aborted.cause], ['AbortError', 'ABORT_ERR', 'enough']);
    const late = await failureOf(read({ timeoutMs: 100 }));
    assert.deepEqual([late.name, late.code], ['QueryTimeoutError', '57014']);
    assert.equal((await failureOf(read({ signal: AbortSignal.abort('before') }))).code, 'ABORT_ERR');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('stream() may be asked for many rows at once', async (t) => {
    const pool = db.pool(t);
    const stream = pool.stream(numbers(5));
    const results = await Promise.all(range(8).map(() => stream.next()));
    assert.deepEqual(
      results.map(({ value }) => value?.g),
      [1, 2, 3, 4, 5, undefined, undefined, undefined],
    );
  });

  test('stream() does not disturb other statements', async (t) => {
    const pool = db.pool(t, { poolSize: 4 });
    const sums = await Promise.all(
      range(8).map(async (i) => {
        let sum = 0;
        for await (const { v } of pool.stream('SELECT g + $1::int4 AS v FROM generate_series(1, 20000) g', [i]))
          sum += v;
        return sum;
      }),
    );
    assert.deepEqual(
      sums,
      range(8).map((i) => (20000 * 20001) / 2 + 20000 * i),
    );
  });

  test('stream() of a pool that has ended, or with unknown options, is refused', async (t) => {
    const pool = db.pool(t);
    assert.throws(() => pool.stream('SELECT 1', [], { batchsize: 1 }), {
      code: 'ERR_INVALID_PARAM',
      message: /batchsize/,
    });
    assert.throws(() => pool.stream('SELECT 1', [], { batchSize: 0 }), {
      code: 'ERR_INVALID_PARAM',
      message: /batchSize/,
    });
    await pool.end();
    assert.throws(() => pool.stream('SELECT 1'), { code: 'ERR_POOL_CLOSED' });
  });
});

describe("stream() with rowMode 'array'", () => {
  test("stream() with rowMode 'array' gives values in the order of the columns, with duplicate names", async (t) => {
    const pool = db.pool(t);
    const sql = `SELECT 1 AS a, 2 AS a, NULL::text AS "__proto__", ARRAY[1, 2] AS list, '{"x": 1}'::jsonb AS doc`;
    const expected = [[1, 2, null, [1, 2], { x: 1 }]];
    assert.deepStrictEqual(await pool.query(sql, [], { rowMode: 'array' }), expected);
    assert.deepStrictEqual(await all(pool.stream(sql, [], { rowMode: 'array' })), expected);
    await pool.transaction(async (/** @type {any} */ tx) => {
      assert.deepStrictEqual(await tx.query(sql, [], { rowMode: 'array' }), expected);
    });
    assert.equal((await failureOf(pool.query(sql, [], { rowMode: 'list' }))).code, 'ERR_INVALID_PARAM');
  });

  test("stream() with rowMode 'array' gives 1,600 columns", async (t) => {
    const pool = db.pool(t);
    const [row] = await pool.query(`SELECT ${range(1600).join()}`, [], { rowMode: 'array' });
    assert.deepStrictEqual(row, range(1600));
  });
});
