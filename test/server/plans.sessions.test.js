'use strict';

// Statements whose columns depend on what their session holds, a cursor or a statement that the caller prepared by SQL; and callers
// that take the pool's own prepared statements away: DEALLOCATE ALL, DISCARD ALL.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, WITHIN, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

/** Queries with one row each. Two next to each other differ in the number of columns, their types, or only their names. @type {[query: string, row: object][]} */
const QUERIES = [
  ['SELECT 1 AS a, 2 AS b', { a: 1, b: 2 }],
  ["SELECT 'x'::text AS a, 2 AS b", { a: 'x', b: 2 }],
  ["SELECT 'x'::text AS a", { a: 'x' }],
  ['SELECT 5 AS a', { a: 5 }],
  ['SELECT 5 AS z', { z: 5 }],
  ['SELECT 5::int8 AS z', { z: 5n }],
  ["SELECT '{1,2}'::int[] AS z, 1 AS a, 2 AS b", { z: [1, 2], a: 1, b: 2 }],
];

describe('statements whose columns are those of something in the session', () => {
  for (const place of PLACES) {
    test(`FETCH from a cursor of the same name has the columns of each query, DECLARE in ${place} place`, async (t) => {
      const pool = await plans.pool(t);
      for (const [query, row] of [...QUERIES, ...QUERIES]) {
        await plans.lasting(
          pool,
          async (tx) => {
            await tx.query(`DECLARE c CURSOR FOR ${query} UNION ALL ${query}`);
            for (const _ of range(2)) assert.deepEqual(await tx.query('FETCH 1 FROM c'), [row], query);
            assert.deepEqual(await tx.query('FETCH 1 FROM c'), [], query);
          },
          { place },
        );
      }
    });
  }

  test('FETCH from a cursor that is closed and declared anew within a transaction has the columns of each query', async (t) => {
    const pool = await plans.pool(t);
    await plans.lasting(pool, async (tx) => {
      for (const [query, row] of QUERIES) {
        await tx.query(`DECLARE c SCROLL CURSOR FOR ${query}`);
        assert.deepEqual(await tx.query('FETCH ALL FROM c'), [row], query);
        assert.deepEqual(await tx.query('FETCH BACKWARD ALL FROM c'), [row], query);
        await tx.query('CLOSE c');
      }
    });
  });

  test('EXECUTE of a statement that is prepared anew by SQL in each transaction has the columns of each query', async (t) => {
    const pool = await plans.pool(t);
    for (const [query, row] of [...QUERIES, ...QUERIES]) {
      await plans.lasting(pool, async (tx) => {
        await tx.query(`PREPARE p AS ${query}`);
        for (const _ of range(2)) assert.deepEqual(await tx.query('EXECUTE p'), [row], query);
        await tx.query('DEALLOCATE p');
      });
    }
  });

  test('EXECUTE of a statement that is prepared anew by SQL within a transaction has the columns of each query', async (t) => {
    const pool = await plans.pool(t);
    await plans.lasting(pool, async (tx) => {
      for (const [query, row] of QUERIES) {
        await tx.query(`PREPARE p AS ${query}`);
        assert.deepEqual(await tx.query('EXECUTE p'), [row], query);
        await tx.query('DEALLOCATE p');
      }
    });
  });

  test('EXECUTE of a statement that is prepared anew by SQL has the columns of each query, outside of transactions', async (t) => {
    const pool = await plans.pool(t);
    for (const [query, row] of QUERIES) {
      await pool.query(`PREPARE p AS ${query}`);
      assert.deepEqual(await pool.query('EXECUTE p'), [row], query);
      await pool.query('DEALLOCATE p');
    }
  });

  test('SHOW and EXPLAIN have the value of each moment', async (t) => {
    const pool = await plans.pool(t);
    for (const value of ['7MB', '8MB']) {
      await plans.lasting(pool, async (tx) => {
        await tx.query(`SET LOCAL work_mem = '${value}'`);
        assert.deepEqual(await tx.query('SHOW work_mem'), [{ work_mem: value }]);
        const explained = (await tx.query('EXPLAIN (SETTINGS) SELECT 1')).map(
          (/** @type {any} */ row) => row['QUERY PLAN'],
        );
        assert.ok(
          explained.some((/** @type {string} */ line) => line.includes(value)),
          explained.join('\n'),
        );
      });
    }
  });
});

describe('callers that take the prepared statements away', () => {
  const SETUP = 'CREATE TABLE S.t (a int); CREATE TABLE S.other (a int)';
  const SELECT = 'SELECT * FROM S.t WHERE a = $1';
  const INSERT = 'INSERT INTO S.t VALUES ($1)';

  /** @param {string} setup */
  async function scene(/** @type {any} */ t, setup = SETUP) {
    const within = await plans.schema(setup);
    const pool = await plans.pool(t);
    const [select, insert] = [within(SELECT), within(INSERT)];
    await pool.query(insert, [1]);
    assert.deepEqual(await pool.query(select, [1]), [{ a: 1 }]);
    let rows = 1;
    return {
      pool,
      within,
      /** @param {any} runner */
      check: async (runner) => {
        await runner.query(insert, [1]);
        rows++;
        assert.deepEqual(await runner.query(select, [1]), Array(rows).fill({ a: 1 }));
      },
    };
  }

  for (const sql of ['DEALLOCATE ALL', 'DISCARD ALL']) {
    for (const place of PLACES) {
      test(`${sql} by the caller ahead of a transaction: its statements go on, in ${place} place`, async (t) => {
        const { pool, check } = await scene(t);
        for (const _ of range(2)) {
          await pool.query(sql);
          await plans.lasting(pool, check, { place });
        }
        await check(pool);
      });
    }
  }

  for (const [how, run] of Object.entries(WITHIN)) {
    for (const place of PLACES) {
      test(`DEALLOCATE ALL by ${how} in ${place} place of a transaction: the statements behind it go on`, async (t) => {
        const { pool, check } = await scene(t);
        await plans.lasting(
          pool,
          async (tx) => {
            for (const _ of range(2)) {
              await run(tx, ['DEALLOCATE ALL']);
              await check(tx);
            }
          },
          { place },
        );
        await check(pool);
      });
    }
  }

  test('DEALLOCATE of one prepared statement of the pool in a transaction: that statement goes on', async (t) => {
    const { pool, check } = await scene(t);
    const deallocate = `DO $$
      DECLARE p text;
      BEGIN
        FOR p IN SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT * FROM plans%' LOOP
          EXECUTE 'DEALLOCATE ' || quote_ident(p);
        END LOOP;
      END $$`;
    await plans.lasting(pool, async (tx) => {
      await tx.query(deallocate);
      await check(tx);
    });
    await check(pool);
  });

  test('DEALLOCATE ALL in a transaction that is rolled back, wholly or to a savepoint: the statements go on', async (t) => {
    const { pool, within } = await scene(t);
    const check = async (/** @type {any} */ runner) =>
      assert.deepEqual(await runner.query(within(SELECT), [1]), [{ a: 1 }]);
    const tx = await pool.begin();
    await tx.query('DEALLOCATE ALL');
    await check(tx);
    await tx.rollback();
    await check(pool);
    await plans.lasting(pool, async (again) => {
      await again.query('SAVEPOINT here');
      await again.query('DEALLOCATE ALL');
      await again.query('ROLLBACK TO here');
      await check(again);
    });
    await check(pool);
  });

  test('DEALLOCATE ALL by statements that are not waited for: those behind it go on', async (t) => {
    const { pool, within } = await scene(t);
    await plans.lasting(pool, async (tx) => {
      const sent = range(3).flatMap(() => [tx.query('DEALLOCATE ALL'), tx.query(within(SELECT), [1])]);
      const answers = await Promise.all(sent);
      for (const rows of answers.filter((_, i) => i % 2 === 1)) assert.deepEqual(rows, [{ a: 1 }]);
    });
  });

  test('DEALLOCATE ALL in a trigger: the statement that fires it and those behind it go on', async (t) => {
    const { pool, check } = await scene(
      t,
      `${SETUP};
       CREATE FUNCTION S.forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE ''DEALLOCATE ALL''; RETURN NEW; END';
       CREATE TRIGGER forget BEFORE INSERT ON S.t FOR EACH ROW EXECUTE FUNCTION S.forget();`,
    );
    await plans.lasting(pool, async (tx) => {
      for (const _ of range(2)) await check(tx);
    });
    await check(pool);
  });

  test('DISCARD PLANS, TEMP and SEQUENCES in a transaction: the statements behind them go on', async (t) => {
    const { pool, check } = await scene(t);
    await plans.lasting(pool, async (tx) => {
      for (const what of ['PLANS', 'TEMP', 'SEQUENCES']) {
        await tx.query(`DISCARD ${what}`);
        await check(tx);
      }
    });
  });

  test('DEALLOCATE ALL and DDL at once ahead of a transaction: the statement has its new columns', async (t) => {
    const { pool, within } = await scene(t);
    await pool.query('DEALLOCATE ALL');
    await plans.sql(within('ALTER TABLE S.t ADD COLUMN b int DEFAULT 2'));
    await plans.lasting(pool, async (tx) => {
      assert.deepEqual(await tx.query(within(SELECT), [1]), [{ a: 1, b: 2 }]);
      await tx.query('DEALLOCATE ALL');
      await tx.query(within('ALTER TABLE S.t ADD COLUMN c int DEFAULT 3'));
      assert.deepEqual(await tx.query(within(SELECT), [1]), [{ a: 1, b: 2, c: 3 }]);
    });
  });
});
