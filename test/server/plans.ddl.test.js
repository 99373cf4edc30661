'use strict';

// Statements within a transaction whose plans DDL has made useless: by another session, or by the transaction itself.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, WITHIN, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

const TABLE = `CREATE TABLE S.t (a int, b text DEFAULT 'b'); INSERT INTO S.t SELECT generate_series(1, 9)`;

/**
 * DDL that lets the statements be valid, and what becomes of a row by it.
 * @type {Record<string, { commands: string[], row: (a: number) => object }>}
 */
const CHANGES = {
  'a column is added': { commands: ['ALTER TABLE S.t ADD COLUMN c int DEFAULT 5'], row: (a) => ({ a, b: 'b', c: 5 }) },
  'a column is dropped': { commands: ['ALTER TABLE S.t DROP COLUMN b'], row: (a) => ({ a }) },
  'a column is renamed': { commands: ['ALTER TABLE S.t RENAME COLUMN b TO z'], row: (a) => ({ a, z: 'b' }) },
  'a column has another type': {
    commands: [
      'ALTER TABLE S.t ALTER COLUMN b DROP DEFAULT, ALTER COLUMN b TYPE int USING 7',
      'ALTER TABLE S.t ALTER COLUMN b SET DEFAULT 7',
    ],
    row: (a) => ({ a, b: 7 }),
  },
  'the table is dropped and made anew': {
    commands: [
      'DROP TABLE S.t',
      'CREATE TABLE S.t (a int, z bool DEFAULT true)',
      'INSERT INTO S.t SELECT generate_series(1, 9)',
    ],
    row: (a) => ({ a, z: true }),
  },
};

/** @typedef {{ sql: string, params: (n: number) => unknown[], rows: (n: number, row: (a: number) => object) => object[], not?: RegExp }} Cached */

const one = {
  params: (/** @type {number} */ n) => [n],
  rows: (/** @type {number} */ n, /** @type {any} */ row) => [row(n)],
};

/**
 * Statements whose columns are those of the table. Of a renamed column within a whole row the server tells nobody.
 * @type {Record<string, Cached>}
 */
const STATEMENTS = {
  'SELECT * without parameters': {
    sql: 'SELECT * FROM S.t WHERE a < 3 ORDER BY a',
    params: () => [],
    rows: (_, row) => [row(1), row(2)],
  },
  'SELECT * with a parameter': { sql: 'SELECT * FROM S.t WHERE a = $1', ...one },
  'INSERT RETURNING *': { sql: 'INSERT INTO S.t (a) VALUES ($1) RETURNING *', ...one },
  'UPDATE RETURNING *': { sql: 'UPDATE S.t SET a = a WHERE a = $1 RETURNING *', ...one },
  'DELETE RETURNING *': { sql: 'DELETE FROM S.t WHERE a = $1 RETURNING *', ...one },
  'INSERT in WITH': {
    sql: 'WITH added AS (INSERT INTO S.t (a) VALUES ($1) RETURNING *) SELECT * FROM added',
    ...one,
  },
  'a row as one value': {
    sql: 'SELECT t AS v FROM S.t t WHERE a = $1',
    params: (n) => [n],
    rows: (n, row) => [{ v: row(n) }],
    not: /renamed/,
  },
  'rows as one array': {
    sql: 'SELECT array_agg(t) AS v FROM S.t t WHERE a = $1',
    params: (n) => [n],
    rows: (n, row) => [{ v: [row(n)] }],
    not: /renamed/,
  },
};

/** Every statement with each change that suits it. */
const PAIRS = Object.entries(STATEMENTS).flatMap(([what, cached]) =>
  Object.entries(CHANGES)
    .filter(([change]) => !cached.not?.test(change))
    .map(([change, { commands, row }]) => ({ what, cached, change, commands, row })),
);

/**
 * A pool that has prepared the statement, with the means to change the table and to run the statement again.
 * @param {import('node:test').TestContext} t
 * @param {typeof PAIRS[number]} pair
 */
async function scene(t, { cached, commands, row }) {
  const within = await plans.schema(TABLE);
  const pool = await plans.pool(t);
  const sql = within(cached.sql);
  assert.deepEqual(
    await pool.query(sql, cached.params(1)),
    cached.rows(1, (a) => ({ a, b: 'b' })),
    'before the change',
  );
  return {
    pool,
    commands: commands.map(within),
    change: () => plans.sql(within(commands.join(';'))),
    /** @param {any} runner */
    check: async (runner, n = 2) => assert.deepEqual(await runner.query(sql, cached.params(n)), cached.rows(n, row)),
  };
}

describe('a statement in a transaction after DDL of another session', () => {
  for (const pair of PAIRS) {
    const { what, change } = pair;
    for (const place of PLACES) {
      test(`a cached statement in ${place} place of a transaction has the right rows: ${what}, ${change}`, async (t) => {
        const scened = await scene(t, pair);
        await scened.change();
        await plans.lasting(scened.pool, (tx) => scened.check(tx), { place });
        await scened.check(scened.pool, 3);
      });
    }
  }

  for (const pair of PAIRS.filter(({ change }) => change === 'a column is added')) {
    test(`a cached statement has the right rows when a column is added while its transaction runs: ${pair.what}`, async (t) => {
      const scened = await scene(t, pair);
      await plans.lasting(scened.pool, async (tx) => {
        await scened.change();
        await scened.check(tx);
        await scened.check(tx, 3);
      });
    });
  }
});

describe('a statement after DDL of its own transaction', () => {
  const chosen = ['SELECT * without parameters', 'INSERT RETURNING *'];
  for (const pair of PAIRS.filter(({ what }) => chosen.includes(what))) {
    for (const [how, run] of Object.entries(WITHIN)) {
      test(`a cached statement has the right rows after DDL by ${how} in its transaction: ${pair.what}, ${pair.change}`, async (t) => {
        const { pool, commands, check } = await scene(t, pair);
        await plans.lasting(pool, async (tx) => {
          await run(tx, commands);
          await check(tx);
          await check(tx, 3);
        });
        await check(pool, 4);
      });
    }
  }
});

describe('DDL that is rolled back', () => {
  const ALL = 'SELECT * FROM S.t WHERE a = 1';
  const ADD = 'ALTER TABLE S.t ADD COLUMN c int DEFAULT 5';
  const OLD = [{ a: 1, b: 'b' }];
  const NEW = [{ a: 1, b: 'b', c: 5 }];

  for (const isCached of [true, false]) {
    const first = isCached ? 'known before' : 'run for the first time';
    test(`a statement ${first} has the old columns after a transaction with DDL was rolled back`, async (t) => {
      const within = await plans.schema(TABLE);
      const pool = await plans.pool(t);
      if (isCached) assert.deepEqual(await pool.query(within(ALL)), OLD);
      for (const _ of range(2)) {
        const tx = await pool.begin();
        await tx.query(within(ADD));
        assert.deepEqual(await tx.query(within(ALL)), NEW);
        await tx.rollback();
        await plans.lasting(pool, async (tx) => assert.deepEqual(await tx.query(within(ALL)), OLD));
        assert.deepEqual(await pool.query(within(ALL)), OLD);
      }
    });

    test(`a statement ${first} has the old columns after ROLLBACK TO SAVEPOINT has undone DDL`, async (t) => {
      const within = await plans.schema(TABLE);
      const pool = await plans.pool(t);
      if (isCached) assert.deepEqual(await pool.query(within(ALL)), OLD);
      await plans.lasting(pool, async (tx) => {
        for (const _ of range(2)) {
          await tx.query('SAVEPOINT here');
          await tx.query(within(ADD));
          assert.deepEqual(await tx.query(within(ALL)), NEW);
          await tx.query('ROLLBACK TO here');
          assert.deepEqual(await tx.query(within(ALL)), OLD);
        }
      });
      assert.deepEqual(await pool.query(within(ALL)), OLD);
    });
  }

  test('a statement that a transaction prepared is run outside after DDL, and the other way round', async (t) => {
    const within = await plans.schema(TABLE);
    const pool = await plans.pool(t);
    /** @type {Record<string, unknown>} */
    const row = { a: 1, b: 'b' };
    const check = async (/** @type {any} */ runner) => assert.deepEqual(await runner.query(within(ALL)), [row]);
    for (const column of ['c', 'd', 'e']) {
      await plans.lasting(pool, check);
      await plans.sql(within(`ALTER TABLE S.t ADD COLUMN ${column} int DEFAULT 5`));
      row[column] = 5;
      await check(pool);
      await plans.sql(within(`ALTER TABLE S.t ADD COLUMN ${column}${column} int DEFAULT 5`));
      row[`${column}${column}`] = 5;
    }
    await plans.lasting(pool, check, { place: 'first' });
  });

  test('a statement has the right columns after each of several changes in its transaction', async (t) => {
    const within = await plans.schema(TABLE);
    const pool = await plans.pool(t);
    await pool.query(within(ALL));
    await plans.lasting(pool, async (tx) => {
      for (const [i, column] of ['c', 'd', 'e'].entries()) {
        await tx.query(within(`ALTER TABLE S.t ADD COLUMN ${column} int DEFAULT 5`));
        const [row] = await tx.query(within(ALL));
        assert.deepEqual(Object.keys(row), ['a', 'b', 'c', 'd', 'e'].slice(0, 3 + i));
      }
      await tx.query(within('ALTER TABLE S.t DROP COLUMN c, DROP COLUMN d, DROP COLUMN e'));
      assert.deepEqual(await tx.query(within(ALL)), OLD);
    });
  });
});
