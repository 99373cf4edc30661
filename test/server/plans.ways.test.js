'use strict';

// An outdated plan by every way to run a statement, and in every kind of transaction.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { sql } = require('../../client.js');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

const TABLE = 'CREATE TABLE S.t (a int, b int8); INSERT INTO S.t SELECT g, g FROM generate_series(1, 9) g;';

/** @typedef {(runner: any, table: string, a: number) => Promise<any>} Way */

/** Gives its parts to a template that is made at one place for all tables. @param {string} table @param {number} a */
const template = (table, a) => sql`SELECT * FROM ${sql.raw(table)} WHERE a = ${a}`;

/** @param {string} table */
const text = (table) => `SELECT * FROM ${table} WHERE a = $1`;

/** Ways to the rows with one number, on a pool and in a transaction. @type {Record<string, Way>} */
const WAYS = {
  'query()': (runner, table, a) => runner.query(text(table), [a]),
  'query() with an sql template': (runner, table, a) => runner.query(template(table, a)),
  'an sql template': (runner, table, a) => runner.sql`SELECT * FROM ${sql.raw(table)} WHERE a = ${a}`,
  'one()': async (runner, table, a) => [await runner.one(text(table), [a])],
  'maybeOne()': async (runner, table, a) => [await runner.maybeOne(text(table), [a])],
  'many()': (runner, table, a) => runner.many(text(table), [a]),
  'query() with timeoutMs': (runner, table, a) => runner.query(text(table), [a], { timeoutMs: 50_000 }),
  'query() with a signal': (runner, table, a) =>
    runner.query(text(table), [a], { signal: new AbortController().signal }),
  'query() with readOnly': (runner, table, a) => runner.query(text(table), [a], { readOnly: true }),
  'query() with types of its own': async (runner, table, a) =>
    (await runner.query(text(table), [a], { types: { int8: 'string' } })).map((/** @type {any} */ row) => ({
      ...row,
      b: BigInt(row.b),
    })),
  'query() with rowMode array': async (runner, table, a) => {
    const rows = await runner.query(text(table), [a], { rowMode: 'array' });
    return rows.map((/** @type {any[]} */ row) =>
      Object.fromEntries(row.map((value, i) => [rows.fields[i].name, value])),
    );
  },
  'one of several statements at once': async (runner, table, a) => {
    const answers = await Promise.all(range(5).map((i) => runner.query(text(table), [i === 3 ? a : 0])));
    assert.deepEqual(
      answers.map((rows) => rows.length),
      [0, 0, 0, 1, 0],
    );
    return answers[3];
  },
  'UPDATE RETURNING': (runner, table, a) => runner.query(`UPDATE ${table} SET a = a WHERE a = $1 RETURNING *`, [a]),
};

/** Ways that only a pool has. @type {Record<string, Way>} */
const POOL_WAYS = {
  'batch()': async (pool, table, a) => {
    const ends = await pool.batch([
      [text(table), [0]],
      [text(table), [a]],
      [text(table), [0]],
    ]);
    assert.deepEqual(
      ends.map((/** @type {any} */ { value }) => value.length),
      [0, 1, 0],
    );
    return ends[1].value;
  },
  'batch() in a transaction': async (pool, table, a) => {
    const results = await pool.batch([['SELECT 1'], [text(table), [a]], [text(table), [0]]], { transaction: true });
    return results[1];
  },
  'batch() in a transaction that is serializable': async (pool, table, a) => {
    const results = await pool.batch([[text(table), [a]], ['SELECT 1']], {
      transaction: { isolation: 'serializable' },
    });
    return results[0];
  },
  'batch() with timeoutMs': async (pool, table, a) =>
    (await pool.batch([[text(table), [a]], 'SELECT 1'], { transaction: true, timeoutMs: 50_000 }))[0],
  'stream()': async (pool, table, a) => {
    const rows = [];
    for await (const row of pool.stream(text(table), [a])) rows.push(row);
    return rows;
  },
};

/** Kinds of transactions. @type {Record<string, { begun?: 'begin()', options?: Record<string, unknown> }>} */
const KINDS = {
  'begin() and commit()': { begun: 'begin()' },
  'a serializable transaction': { options: { isolation: 'serializable' } },
  'a transaction with repeatable read': { options: { isolation: 'repeatable read' } },
  'begin() with repeatable read': { begun: 'begin()', options: { isolation: 'repeatable read' } },
  'a transaction with retries': { options: { retries: 3 } },
};

/** Kinds of transactions that must not write. @type {typeof KINDS} */
const READ_ONLY = {
  'a transaction that is read-only': { options: { readOnly: true } },
  'begin() with readOnly': { begun: 'begin()', options: { readOnly: true } },
  'a transaction that is serializable, read-only and deferrable': {
    options: { isolation: 'serializable', readOnly: true, deferrable: true },
  },
};

/** A pool that has run the statement, and a column is added then. @param {Way} run */
async function scene(/** @type {any} */ t, run) {
  const within = await plans.schema(TABLE);
  const pool = await plans.pool(t);
  const table = within('S.t');
  assert.deepEqual(await run(pool, table, 1), [{ a: 1, b: 1n }], 'before the change');
  await plans.sql(`ALTER TABLE ${table} ADD COLUMN c int DEFAULT 5`);
  return {
    pool,
    table,
    /** @param {any} runner @param {number} a */
    check: async (runner, a) => assert.deepEqual(await run(runner, table, a), [{ a, b: BigInt(a), c: 5 }]),
  };
}

describe('an outdated plan by every way', () => {
  for (const [way, run] of Object.entries(WAYS)) {
    for (const place of PLACES) {
      test(`a statement with an outdated plan in ${place} place of a transaction has its rows: ${way}`, async (t) => {
        const { pool, check } = await scene(t, run);
        await plans.lasting(
          pool,
          async (tx) => {
            await check(tx, 2);
            await check(tx, 3);
          },
          { place },
        );
      });
    }
  }

  for (const [way, run] of Object.entries({ ...WAYS, ...POOL_WAYS })) {
    test(`a statement with an outdated plan has its rows outside of transactions: ${way}`, async (t) => {
      const { pool, check } = await scene(t, run);
      await check(pool, 2);
      await check(pool, 3);
    });
  }

  for (const [way, run] of Object.entries(POOL_WAYS)) {
    test(`a statement that a transaction has prepared is run after DDL by another way: ${way}`, async (t) => {
      const within = await plans.schema(TABLE);
      const pool = await plans.pool(t);
      const table = within('S.t');
      await plans.lasting(pool, (tx) => tx.query(text(table), [1]));
      await plans.sql(`ALTER TABLE ${table} ADD COLUMN c int DEFAULT 5`);
      assert.deepEqual(await run(pool, table, 2), [{ a: 2, b: 2n, c: 5 }]);
      await plans.sql(`ALTER TABLE ${table} DROP COLUMN c`);
      await plans.lasting(pool, async (tx) => assert.deepEqual(await tx.query(text(table), [2]), [{ a: 2, b: 2n }]));
    });
  }
});

describe('an outdated plan in every kind of transaction', () => {
  for (const place of PLACES) {
    for (const [kind, how] of Object.entries(KINDS)) {
      test(`a statement with an outdated plan has its rows in ${place} place of ${kind}`, async (t) => {
        const { pool, check } = await scene(t, WAYS['query()']);
        await plans.lasting(pool, (tx) => check(tx, 2), { place, ...how });
      });
    }

    for (const [kind, how] of Object.entries(READ_ONLY)) {
      test(`a statement with an outdated plan has its rows in ${place} place of ${kind}`, async (t) => {
        const { pool, check } = await scene(t, WAYS['query()']);
        await plans.lastingUnwritten(pool, (tx) => check(tx, 2), { place, ...how });
      });
    }
  }

  test('a transaction with an outdated plan runs its callback once, even if it has retries', async (t) => {
    const { pool, check } = await scene(t, WAYS['query()']);
    let runs = 0;
    await plans.lasting(
      pool,
      async (tx) => {
        runs++;
        await check(tx, 2);
      },
      { options: { retries: 5 } },
    );
    assert.equal(runs, 1);
  });

  test('ten transactions in a row each meet a plan that is outdated anew', async (t) => {
    const { pool, table } = await scene(t, WAYS['query()']);
    for (const i of range(10)) {
      await plans.sql(`ALTER TABLE ${table} ADD COLUMN d${i} int`);
      await plans.lasting(pool, async (tx) => {
        const [row] = await tx.query(text(table), [2]);
        assert.deepEqual(Object.keys(row), ['a', 'b', 'c', ...range(i + 1).map((n) => `d${n}`)]);
      });
    }
  });

  /** A pool that knows twenty statements, whose plans are outdated. @param {import('node:test').TestContext} t */
  async function twenty(t) {
    const within = await plans.schema(TABLE);
    const pool = await plans.pool(t);
    const texts = range(20).map((i) => within(`SELECT *, ${i} AS i FROM S.t WHERE a = $1`));
    for (const one of texts) await pool.query(one, [1]);
    await plans.sql(within('ALTER TABLE S.t ADD COLUMN c int DEFAULT 5'));
    return { pool, texts };
  }

  test('twenty statements with outdated plans in one transaction have their rows', async (t) => {
    const { pool, texts } = await twenty(t);
    await plans.lasting(pool, async (tx) => {
      for (const [i, one] of texts.entries()) assert.deepEqual(await tx.query(one, [2]), [{ a: 2, b: 2n, c: 5, i }]);
    });
  });

  test('statements with outdated plans that are sent without waiting have their rows, in one transaction', async (t) => {
    const { pool, texts } = await twenty(t);
    await plans.lasting(pool, async (tx) => {
      const answers = await Promise.all(texts.map((one) => tx.query(one, [2])));
      assert.deepEqual(
        answers,
        range(20).map((i) => [{ a: 2, b: 2n, c: 5, i }]),
      );
    });
  });

  test('copyFrom() in a transaction loads the columns that the table has then', async (t) => {
    const within = await plans.schema(TABLE);
    const pool = await plans.pool(t);
    const table = within('S.t');
    await plans.lasting(pool, async (tx) => {
      await tx.copyFrom(table, [[21, 21n]]);
      await tx.query(`ALTER TABLE ${table} ADD COLUMN c int, ALTER COLUMN b TYPE text`);
      await tx.copyFrom(table, [[22, 'x', 5]]);
      assert.deepEqual(await tx.query(`SELECT * FROM ${table} WHERE a > 20 ORDER BY a`), [
        { a: 21, b: '21', c: null },
        { a: 22, b: 'x', c: 5 },
      ]);
    });
  });
});
