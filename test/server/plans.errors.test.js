'use strict';

// What must stay as it is while the pool replaces outdated plans: an error of the server aborts its transaction, the caller's
// savepoints are the caller's, and no statement runs twice.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, failureOf, range, useCluster } = require('../support/helpers');
const { PLACES, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

const SETUP = `
  CREATE TABLE S.t (a int, b text); INSERT INTO S.t VALUES (1, 'x');
  CREATE TABLE S.u (id int UNIQUE CHECK (id <> 13)); INSERT INTO S.u VALUES (1);
  CREATE SEQUENCE S.s; CREATE SEQUENCE S.calls;
  CREATE FUNCTION S.fail(code text) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM nextval('S.calls');
      IF code <> '' THEN RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = code; END IF;
      RETURN 1;
    END $$;
  CREATE FUNCTION S.read_missing(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN PERFORM nextval('S.calls'); IF n > 0 THEN PERFORM 1 FROM S.missing; END IF; RETURN n; END $$;
  CREATE TABLE S.log (n int);
  CREATE FUNCTION S.logged(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO S.log VALUES (n) RETURNING n';`;

/** Statements that fail with the last parameters; with the first ones, where there are any, they succeed. @type {[code: string, sql: string, good: unknown[] | null, bad: unknown[]][]} */
const FAILING = [
  ['23505', 'INSERT INTO S.u VALUES ($1)', [2], [1]],
  ['23514', 'INSERT INTO S.u VALUES ($1)', [2], [13]],
  ['22P02', 'SELECT $1::int AS v', ['1'], ['x']],
  ['22012', 'SELECT 1 / $1::int AS v', [1], [0]],
  ['42P01', 'SELECT * FROM S.missing WHERE a = $1', null, [1]],
  ['42703', 'SELECT missing FROM S.t WHERE a = $1', null, [1]],
  ['42883', 'SELECT S.missing($1::int)', null, [1]],
  ['42P01', 'SELECT S.read_missing($1)', [0], [1]],
  ...['P0001', '0A000', 'XX000', '26000', '42804', '22P02'].map(
    (code) => /** @type {[string, string, unknown[], unknown[]]} */ ([code, 'SELECT S.fail($1)', [''], [code]]),
  ),
];

/** @param {string} [more] */
async function scene(/** @type {any} */ t, more = '') {
  const within = await plans.schema(SETUP + more);
  return { within, pool: await plans.pool(t) };
}

/** A pool that knows the statement, if it can succeed. @param {typeof FAILING[number]} failing */
async function failingScene(/** @type {any} */ t, [code, sql, good, bad]) {
  const { within, pool } = await scene(t);
  if (good !== null) await pool.query(within(sql), good);
  return {
    within,
    pool,
    /** @param {any} tx */
    fail: async (tx) => {
      const error = await failureOf(tx.query(within(sql), bad));
      assert.deepEqual([error.code, error.outcome], [code, 'not-applied'], error.stack);
    },
  };
}

describe('an error of the server in a transaction', () => {
  for (const failing of FAILING) {
    const [code, sql, good] = failing;
    const known = good === null ? 'that is new' : 'that is cached';
    test(`an error ${code} of a statement ${known} aborts its transaction: ${sql}`, async (t) => {
      const { within, pool, fail } = await failingScene(t, failing);
      const tx = await pool.begin();
      await tx.query(within('INSERT INTO S.log VALUES (1)'));
      await fail(tx);
      assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
      const error = await failureOf(tx.commit());
      assert.deepEqual([error.code, error.outcome], ['25P02', 'not-applied']);
      assert.deepEqual(await plans.sql(within('SELECT * FROM S.log')), []);
      await fail(pool);
    });

    test(`an error ${code} of a statement ${known} is undone by ROLLBACK TO SAVEPOINT: ${sql}`, async (t) => {
      const { within, pool, fail } = await failingScene(t, failing);
      await plans.lasting(pool, async (tx) => {
        for (const _ of range(2)) {
          await tx.query('SAVEPOINT a');
          await tx.query(within('INSERT INTO S.log VALUES (1)'));
          await fail(tx);
          assert.equal((await failureOf(tx.query(within('SELECT * FROM S.log')))).code, '25P02');
          await tx.query('ROLLBACK TO a');
          await tx.query(within('INSERT INTO S.log VALUES (2)'));
          await tx.query('RELEASE a');
        }
      });
      assert.deepEqual(await plans.sql(within('SELECT * FROM S.log')), [{ n: 2 }, { n: 2 }]);
    });
  }

  test('a cached statement whose table is gone fails with 42P01 and aborts its transaction', async (t) => {
    const { within, pool } = await scene(t);
    const select = within('SELECT * FROM S.t');
    await pool.query(select);
    await plans.sql(within('DROP TABLE S.t'));
    const tx = await pool.begin();
    await tx.query(within('INSERT INTO S.log VALUES (1)'));
    await tx.query('SAVEPOINT a');
    assert.equal((await failureOf(tx.query(select))).code, '42P01');
    assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
    await tx.query('ROLLBACK TO a');
    assert.deepEqual(await tx.query(within('SELECT * FROM S.log')), [{ n: 1 }]);
    assert.equal((await failureOf(tx.query(select))).code, '42P01');
    assert.equal((await failureOf(tx.commit())).code, '25P02');
    assert.deepEqual(await plans.sql(within('SELECT * FROM S.log')), []);
  });

  test('a statement with an outdated plan in a transaction that is aborted fails with 25P02', async (t) => {
    const { within, pool } = await scene(t);
    const select = within('SELECT * FROM S.t');
    await pool.query(select);
    await plans.sql(within('ALTER TABLE S.t ADD COLUMN c int'));
    const tx = await pool.begin();
    await tx.query('SELECT 1');
    await failureOf(tx.query('SELECT 1 / 0'));
    for (const _ of range(2)) assert.equal((await failureOf(tx.query(select))).code, '25P02');
    await tx.rollback();
    assert.deepEqual(await pool.query(select), [{ a: 1, b: 'x', c: null }]);
  });

  test('a parameter that is refused before it is sent leaves the transaction as it was', async (t) => {
    const { within, pool } = await scene(t);
    await pool.query(within('INSERT INTO S.u VALUES ($1)'), [2]);
    await plans.lasting(pool, async (tx) => {
      const error = await failureOf(tx.query(within('INSERT INTO S.u VALUES ($1)'), [2.5]));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
    });
  });
});

describe('what a transaction holds beside an outdated plan', () => {
  /** A pool with a cached statement, and what makes its plan useless. */
  async function outdatedScene(/** @type {any} */ t) {
    const { within, pool } = await scene(t);
    const select = within('SELECT * FROM S.t');
    await pool.query(select);
    /** @type {Record<string, unknown>} */
    const row = { a: 1, b: 'x' };
    return {
      within,
      pool,
      /** @param {any} tx */
      outdated: async (tx) => {
        const name = `c${Object.keys(row).length}`;
        await tx.query(within(`ALTER TABLE S.t ADD COLUMN ${name} int DEFAULT 5`));
        row[name] = 5;
        assert.deepEqual(await tx.query(select), [row]);
      },
    };
  }

  test('savepoints of the caller go on around a statement with an outdated plan', async (t) => {
    const { within, pool, outdated } = await outdatedScene(t);
    const insert = within('INSERT INTO S.log VALUES ($1)');
    await plans.lasting(pool, async (tx) => {
      await tx.query('SAVEPOINT a');
      await tx.query(insert, [1]);
      await tx.query('SAVEPOINT b');
      await tx.query(insert, [2]);
      await plans.sql(within('DROP VIEW IF EXISTS S.v; CREATE VIEW S.v AS SELECT 1 AS a'));
      assert.deepEqual(await tx.query(within('SELECT * FROM S.v')), [{ a: 1 }]);
      await tx.query('ROLLBACK TO b');
      await tx.query(insert, [3]);
      await outdated(tx);
      await tx.query('RELEASE b');
      await tx.query('SAVEPOINT a');
      await tx.query(insert, [4]);
      await outdated(tx);
      await tx.query('RELEASE a');
      await outdated(tx);
      await tx.query('SAVEPOINT c');
      await tx.query(insert, [5]);
      await tx.query('ROLLBACK TO c');
      assert.equal((await failureOf(tx.query('ROLLBACK TO b'))).code, '3B001');
      await tx.query('ROLLBACK TO a');
    });
    assert.deepEqual(await plans.sql(within('SELECT * FROM S.log')), []);
  });

  test('what a savepoint of the caller has undone stays undone, and what it has not stays, around outdated plans', async (t) => {
    const { within, pool, outdated } = await outdatedScene(t);
    const insert = within('INSERT INTO S.log VALUES ($1)');
    await plans.lasting(pool, async (tx) => {
      await outdated(tx);
      await tx.query(insert, [1]);
      await outdated(tx);
      await tx.query('SAVEPOINT a');
      await tx.query(insert, [2]);
      await tx.query('ROLLBACK TO a');
      await tx.query(insert, [3]);
      await outdated(tx);
      await tx.query('RELEASE a');
      await tx.query(insert, [4]);
    });
    assert.deepEqual(await plans.sql(within('SELECT n FROM S.log ORDER BY n')), [{ n: 1 }, { n: 3 }, { n: 4 }]);
  });

  test('cursors, settings, locks and temporary tables of a transaction outlive outdated plans', async (t) => {
    const { within, pool, outdated } = await outdatedScene(t);
    await plans.lasting(pool, async (tx) => {
      await tx.query("SET LOCAL work_mem = '7MB'");
      await tx.query('DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 3) g');
      await tx.query('CREATE TEMP TABLE scratch ON COMMIT DROP AS SELECT 1 AS a');
      await tx.query('SELECT pg_advisory_xact_lock(4711)');
      await tx.query(within('SELECT FROM S.u WHERE id = 1 FOR UPDATE'));
      for (const g of [1, 2, 3]) {
        await outdated(tx);
        assert.deepEqual(await tx.query('FETCH 1 FROM c'), [{ g }]);
      }
      assert.equal(await tx.value('SHOW work_mem'), '7MB');
      assert.deepEqual(await tx.query('SELECT * FROM scratch'), [{ a: 1 }]);
      const [{ free }] = await plans.sql('SELECT pg_try_advisory_xact_lock(4711) AS free');
      assert.equal(free, false);
      assert.deepEqual(await plans.sql(within('SELECT id FROM S.u WHERE id = 1 FOR UPDATE SKIP LOCKED')), []);
    });
  });
});

describe('a statement runs once', () => {
  /** Whoever runs a statement. @type {Record<string, (pool: any, sql: string, params: unknown[]) => Promise<unknown>>} */
  const RUNNERS = {
    'in first place of a transaction': (pool, sql, params) =>
      plans.lasting(pool, (tx) => tx.query(sql, params), { place: 'first' }),
    'in later place of a transaction': (pool, sql, params) => plans.lasting(pool, (tx) => tx.query(sql, params)),
    'by query()': (pool, sql, params) => pool.query(sql, params),
    'by batch()': async (pool, sql, params) => {
      for (const { reason } of await pool.batch(['SELECT 1', [sql, params], 'SELECT 2'])) if (reason) throw reason;
    },
    'by batch() in a transaction': (pool, sql, params) =>
      pool.batch(['SELECT 1', [sql, params], 'SELECT 2'], { transaction: true }),
    'by stream()': async (pool, sql, params) => {
      for await (const _ of pool.stream(sql, params));
    },
  };

  /** @param {(sql: string) => string} within @param {string} sequence */
  const drawn = async (within, sequence) => {
    const [{ n }] = await plans.sql(
      within(`SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS n FROM S.${sequence}`),
    );
    return n;
  };

  for (const [where, run] of Object.entries(RUNNERS)) {
    test(`a statement with an outdated plan runs once ${where}: INSERT of nextval()`, async (t) => {
      const { within, pool } = await scene(t);
      const sql = within("INSERT INTO S.t (a) VALUES (nextval('S.s') + $1) RETURNING *");
      await pool.query(sql, [0]);
      for (const i of range(3)) {
        await plans.sql(within(`ALTER TABLE S.t ADD COLUMN c${i} int`));
        await run(pool, sql, [0]);
        assert.equal(await drawn(within, 's'), i + 2);
      }
      const rows = await plans.sql(within('SELECT a FROM S.t WHERE b IS NULL ORDER BY a'));
      assert.deepEqual(rows, [{ a: 1 }, { a: 2 }, { a: 3 }, { a: 4 }]);
    });

    test(`a statement with an outdated plan runs once ${where}: a function that writes`, async (t) => {
      const { within, pool } = await scene(t);
      const sql = within('SELECT S.logged($1) AS n, t.* FROM S.t t');
      await pool.query(sql, [0]);
      for (const n of [1, 2, 3]) {
        await plans.sql(within(`ALTER TABLE S.t ADD COLUMN c${n} int`));
        await run(pool, sql, [n]);
      }
      assert.deepEqual(
        await plans.sql(within('SELECT n FROM S.log ORDER BY n')),
        range(4).map((n) => ({ n })),
      );
    });

    test(`a statement whose prepared statement is gone runs once ${where}: INSERT of nextval()`, async (t) => {
      const { within, pool } = await scene(t);
      const sql = within("INSERT INTO S.t (a) VALUES (nextval('S.s') + $1)");
      await pool.query(sql, [0]);
      await pool.query('DEALLOCATE ALL');
      await run(pool, sql, [0]);
      assert.equal(await drawn(within, 's'), 2);
      assert.deepEqual(await plans.sql(within('SELECT a FROM S.t WHERE b IS NULL ORDER BY a')), [{ a: 1 }, { a: 2 }]);
    });

    for (const code of ['23505', '0A000', 'XX000', '26000', '42P01', '42804', '22P02']) {
      test(`a function that raises ${code} runs once ${where}`, async (t) => {
        const { within, pool } = await scene(t);
        const sql = within('SELECT S.fail($1)');
        await pool.query(sql, ['']);
        assert.equal((await failureOf(run(pool, sql, [code]))).code, code);
        assert.equal(await drawn(within, 'calls'), 2);
      });
    }
  }

  for (const place of PLACES) {
    test(`nextval() in ${place} place of transactions draws each number once`, async (t) => {
      const { within, pool } = await scene(t);
      const sql = within("SELECT nextval('S.s')::int AS n");
      for (const n of range(5)) {
        await plans.lasting(
          pool,
          async (tx) => {
            for (const i of range(3)) assert.deepEqual(await tx.query(sql), [{ n: n * 3 + i + 1 }]);
          },
          { place },
        );
      }
    });
  }

  for (const place of PLACES) {
    test(`INSERT RETURNING a composite that has another attribute inserts once, in ${place} place of a transaction`, async (t) => {
      const { within, pool } = await scene(
        t,
        'CREATE TYPE S.pair AS (a int, b int); CREATE TABLE S.c (n int, p S.pair); INSERT INTO S.c VALUES (0, (1, 2));',
      );
      const sql = within('INSERT INTO S.c SELECT $1::int, p FROM S.c WHERE n = 0 RETURNING *');
      assert.deepEqual(await pool.query(sql, [1]), [{ n: 1, p: { a: 1, b: 2 } }]);
      await plans.sql(within('ALTER TYPE S.pair ADD ATTRIBUTE c int'));
      await plans.lasting(
        pool,
        async (tx) => assert.deepEqual(await tx.query(sql, [2]), [{ n: 2, p: { a: 1, b: 2, c: null } }]),
        { place },
      );
      assert.deepEqual(await plans.sql(within('SELECT n FROM S.c ORDER BY n')), [{ n: 0 }, { n: 1 }, { n: 2 }]);
    });
  }
});
