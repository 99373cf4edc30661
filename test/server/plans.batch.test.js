'use strict';

// batch() whose statements build on one another: one needs what an earlier one makes, or an earlier one changes what a later one
// means. Statements run in their order, as if each was sent when the one before it had ended.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, failureOf, range, useCluster } = require('../support/helpers');
const { usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

/** @typedef {string | [sql: string, params: unknown[]]} Step */
/** @typedef {{ steps: [step: Step, rows: object[]][], setup?: string, needs?: 'transaction' }} Case */

/**
 * Statements, each with its rows; the last ones put back what the first ones did, so that a case can be run again.
 * @type {Record<string, Case>}
 */
const CASES = {
  'a table is made, filled, read and dropped': {
    steps: [
      ['CREATE TABLE S.n (a int)', []],
      ['INSERT INTO S.n VALUES (1)', []],
      [['INSERT INTO S.n VALUES ($1)', [2]], []],
      [['INSERT INTO S.n VALUES ($1) RETURNING *', [3]], [{ a: 3 }]],
      ['SELECT * FROM S.n ORDER BY a', [{ a: 1 }, { a: 2 }, { a: 3 }]],
      [['DELETE FROM S.n WHERE a < $1', [3]], []],
      ['SELECT * FROM S.n', [{ a: 3 }]],
      ['DROP TABLE S.n', []],
    ],
  },
  'two tables of one name are made one after the other': {
    steps: [
      ['CREATE TABLE S.n (a int)', []],
      [['INSERT INTO S.n VALUES ($1) RETURNING *', [1]], [{ a: 1 }]],
      ['DROP TABLE S.n', []],
      ['CREATE TABLE S.n (z text, a int DEFAULT 5)', []],
      [['INSERT INTO S.n VALUES ($1) RETURNING *', ['x']], [{ z: 'x', a: 5 }]],
      ['DROP TABLE S.n', []],
    ],
  },
  'a table is made from a query, then altered': {
    steps: [
      ["CREATE TABLE S.n AS SELECT 1 AS a, 'x'::text AS b", []],
      ['SELECT * FROM S.n', [{ a: 1, b: 'x' }]],
      ['ALTER TABLE S.n ADD COLUMN c int DEFAULT 5', []],
      ['SELECT * FROM S.n', [{ a: 1, b: 'x', c: 5 }]],
      ['ALTER TABLE S.n ALTER COLUMN a TYPE text', []],
      [['SELECT * FROM S.n WHERE a = $1', ['1']], [{ a: '1', b: 'x', c: 5 }]],
      ['DROP TABLE S.n', []],
    ],
  },
  'a type is made and used': {
    steps: [
      ["CREATE TYPE S.mood AS ENUM ('a', 'b')", []],
      [['SELECT $1::S.mood AS v', ['b']], [{ v: 'b' }]],
      ['CREATE TYPE S.pair AS (a int, m S.mood)', []],
      [['SELECT $1::S.pair AS v', [{ a: 1, m: 'a' }]], [{ v: { a: 1, m: 'a' } }]],
      ['DROP TYPE S.pair', []],
      ['DROP TYPE S.mood', []],
    ],
  },
  'a function is made and called': {
    steps: [
      ["CREATE FUNCTION S.twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2'", []],
      [['SELECT S.twice($1) AS v', [4]], [{ v: 8 }]],
      ['DROP FUNCTION S.twice(int)', []],
      ["CREATE FUNCTION S.twice(n text) RETURNS text LANGUAGE sql AS 'SELECT n || n'", []],
      [['SELECT S.twice($1) AS v', ['ab']], [{ v: 'abab' }]],
      ['DROP FUNCTION S.twice(text)', []],
    ],
  },
  'a view is made, read, replaced and read': {
    steps: [
      ['CREATE VIEW S.v AS SELECT 1 AS a', []],
      ['SELECT * FROM S.v', [{ a: 1 }]],
      ['CREATE OR REPLACE VIEW S.v AS SELECT 1 AS a, 2 AS b', []],
      ['SELECT * FROM S.v', [{ a: 1, b: 2 }]],
      ['DROP VIEW S.v', []],
    ],
  },
  'reads stand between writes': {
    setup: 'CREATE TABLE S.t (a int); INSERT INTO S.t VALUES (1), (2)',
    steps: [
      ['SELECT count(*)::int AS n FROM S.t', [{ n: 2 }]],
      ['DELETE FROM S.t', []],
      ['SELECT count(*)::int AS n FROM S.t', [{ n: 0 }]],
      [['INSERT INTO S.t SELECT generate_series(1, $1::int)', [2]], []],
      ['SELECT count(*)::int AS n FROM S.t', [{ n: 2 }]],
    ],
  },
  'a column is added and dropped between reads': {
    setup: 'CREATE TABLE S.t (a int); INSERT INTO S.t VALUES (1)',
    steps: [
      ['SELECT * FROM S.t', [{ a: 1 }]],
      ['ALTER TABLE S.t ADD COLUMN b int DEFAULT 2', []],
      ['SELECT * FROM S.t', [{ a: 1, b: 2 }]],
      [['UPDATE S.t SET b = $1 RETURNING *', [3]], [{ a: 1, b: 3 }]],
      ['ALTER TABLE S.t DROP COLUMN b', []],
      ['SELECT * FROM S.t', [{ a: 1 }]],
    ],
  },
  'the type of a parameter becomes another': {
    setup: 'CREATE TABLE S.t (a int); INSERT INTO S.t VALUES (1)',
    steps: [
      [['UPDATE S.t SET a = $1', [7]], []],
      ['ALTER TABLE S.t ALTER COLUMN a TYPE text', []],
      [['UPDATE S.t SET a = $1', ['seven']], []],
      ['SELECT * FROM S.t', [{ a: 'seven' }]],
      ['ALTER TABLE S.t ALTER COLUMN a TYPE int USING 1', []],
      [['UPDATE S.t SET a = $1 RETURNING *', [1]], [{ a: 1 }]],
    ],
  },
  'a statement is prepared and executed by SQL': {
    steps: [
      ['PREPARE batched AS SELECT 1 AS a', []],
      ['EXECUTE batched', [{ a: 1 }]],
      ['DEALLOCATE batched', []],
      ["PREPARE batched AS SELECT 'x'::text AS b, 2 AS c", []],
      ['EXECUTE batched', [{ b: 'x', c: 2 }]],
      ['DEALLOCATE batched', []],
    ],
  },
  'prepared statements are taken away': {
    steps: [
      [['SELECT $1::int AS v', [1]], [{ v: 1 }]],
      ['DEALLOCATE ALL', []],
      [['SELECT $1::int AS v', [2]], [{ v: 2 }]],
      ['SELECT 3 AS v', [{ v: 3 }]],
    ],
  },
  'SET LOCAL search_path leads to tables': {
    needs: 'transaction',
    setup: 'CREATE TABLE S1.solo AS SELECT 1 AS a; CREATE TABLE S2.solo AS SELECT true AS z, 2 AS a',
    steps: [
      ['SET LOCAL search_path = S1', []],
      ['SELECT * FROM solo', [{ a: 1 }]],
      ['SET LOCAL search_path = S2', []],
      ['SELECT * FROM solo', [{ z: true, a: 2 }]],
      [['UPDATE solo SET a = $1 RETURNING *', [2]], [{ z: true, a: 2 }]],
      ['SET LOCAL search_path = S1', []],
      ['SELECT * FROM solo', [{ a: 1 }]],
    ],
  },
  'set_config() leads to tables': {
    needs: 'transaction',
    setup: 'CREATE TABLE S1.solo AS SELECT 1 AS a; CREATE TABLE S2.solo AS SELECT true AS z',
    steps: [
      [["SELECT set_config('search_path', $1, true) IS NULL AS v", ['S1']], [{ v: false }]],
      ['SELECT * FROM solo', [{ a: 1 }]],
      [["SELECT set_config('search_path', $1, true) IS NULL AS v", ['S2']], [{ v: false }]],
      ['SELECT * FROM solo', [{ z: true }]],
    ],
  },
  'a temporary table is made and filled': {
    needs: 'transaction',
    steps: [
      ['CREATE TEMP TABLE batched (a int) ON COMMIT DROP', []],
      [['INSERT INTO batched VALUES ($1), ($2)', [1, 2]], []],
      ['SELECT * FROM batched ORDER BY a', [{ a: 1 }, { a: 2 }]],
    ],
  },
  'cursors are declared and read': {
    needs: 'transaction',
    steps: [
      ['DECLARE batched CURSOR FOR SELECT generate_series(1, 3) AS a', []],
      ['FETCH 1 FROM batched', [{ a: 1 }]],
      ['FETCH 1 FROM batched', [{ a: 2 }]],
      ['CLOSE batched', []],
      ["DECLARE batched CURSOR FOR SELECT 'x'::text AS b, 1 AS a", []],
      ['FETCH 1 FROM batched', [{ b: 'x', a: 1 }]],
    ],
  },
  'a savepoint undoes a part': {
    needs: 'transaction',
    steps: [
      ['CREATE TABLE S.n (a int)', []],
      ['SAVEPOINT here', []],
      ['ALTER TABLE S.n ADD COLUMN b int', []],
      [['INSERT INTO S.n VALUES ($1, 2) RETURNING *', [1]], [{ a: 1, b: 2 }]],
      ['ROLLBACK TO here', []],
      [['INSERT INTO S.n VALUES ($1) RETURNING *', [1]], [{ a: 1 }]],
      ['SELECT * FROM S.n', [{ a: 1 }]],
      ['DROP TABLE S.n', []],
    ],
  },
};

/** Puts the names of the schemas into a statement. @param {(sql: string) => string} within @param {Step} step @returns {Step} */
const placed = (within, step) =>
  typeof step === 'string'
    ? within(step)
    : [within(step[0]), step[1].map((value) => (typeof value === 'string' ? within(value) : value))];

/** The rows or the error of each statement. @param {any} pool @param {Step[]} steps @param {boolean} transaction */
async function rowsOf(pool, steps, transaction) {
  const ends = await pool.batch(steps, { transaction });
  return transaction ? ends : ends.map((/** @type {any} */ { value, reason }) => value ?? reason);
}

const MODES = /** @type {[transaction: boolean, mode: string][]} */ ([
  [true, 'in one transaction'],
  [false, 'each for itself'],
]);

describe('batch() whose statements build on one another', () => {
  for (const [what, { setup = '', steps, needs }] of Object.entries(CASES)) {
    for (const [transaction, mode] of MODES.filter(([isOne]) => isOne || needs === undefined)) {
      test(`batch() ${mode} runs its statements in their order: ${what}`, async (t) => {
        const within = await plans.schema(setup);
        const pool = await plans.pool(t);
        const statements = steps.map(([step]) => placed(within, step));
        // First with nothing cached, then with everything, and at last with what other calls have cached.
        for (const _ of range(3)) {
          assert.deepEqual(
            await rowsOf(pool, statements, transaction),
            steps.map(([, rows]) => rows),
          );
        }
        await plans.lasting(pool, async (tx) => {
          for (const [step, rows] of steps) {
            const [sql, params] = [placed(within, step)].flat(1);
            assert.deepEqual(await tx.query(/** @type {string} */ (sql), /** @type {unknown[]} */ (params)), rows);
          }
        });
        assert.deepEqual(
          await rowsOf(pool, statements, transaction),
          steps.map(([, rows]) => rows),
        );
      });
    }
  }

  for (const [transaction, mode] of MODES) {
    test(`batch() ${mode} of 60 statements on a table that its first one makes`, async (t) => {
      const within = await plans.schema('');
      const pool = await plans.pool(t);
      const inserts = range(29).flatMap((i) => [
        [within('INSERT INTO S.n VALUES ($1)'), [i]],
        within(`INSERT INTO S.n SELECT max(a) + ${i + 100} FROM S.n`),
      ]);
      const last = within('SELECT count(*)::int AS n, sum(a)::int AS sum FROM S.n');
      const expected = { n: 58, sum: 0 };
      /** @type {number[]} */
      const values = [];
      for (const i of range(29)) values.push(i, Math.max(...values, i) + i + 100);
      expected.sum = values.reduce((sum, value) => sum + value, 0);
      for (const _ of range(2)) {
        const steps = /** @type {Step[]} */ ([within('CREATE TABLE S.n (a int)'), ...inserts, last]);
        const results = await rowsOf(pool, steps, transaction);
        assert.equal(results.length, 60);
        assert.deepEqual(results[59], [expected]);
        await pool.query(within('DROP TABLE S.n'));
      }
    });

    test(`batch() ${mode} reads a cached statement anew after DDL of another session, and runs the writes around it once`, async (t) => {
      const within = await plans.schema('CREATE TABLE S.t (a int)');
      const pool = await plans.pool(t);
      const insert = within('INSERT INTO S.t VALUES ($1)');
      const select = within('SELECT * FROM S.t ORDER BY a');
      await rowsOf(pool, [[insert, [0]], select], transaction);
      for (const i of [1, 2, 3]) {
        await plans.sql(within(`ALTER TABLE S.t ADD COLUMN c${i} int DEFAULT ${i}`));
        const steps = /** @type {Step[]} */ ([
          [insert, [i]],
          select,
          [insert, [i + 100]],
          select,
          within(`DELETE FROM S.t WHERE a = ${i + 100}`),
        ]);
        const [, rows, , more] = await rowsOf(pool, steps, transaction);
        const columns = Object.fromEntries(range(i).map((n) => [`c${n + 1}`, n + 1]));
        const all = range(i + 1).map((a) => ({ a, ...columns }));
        assert.deepEqual(await pool.query(select), all);
        // Each for itself, a statement that must be prepared anew runs after those that were sent with it.
        if (!transaction) {
          for (const row of [...rows, ...more]) assert.deepEqual({ ...row, a: 0 }, { a: 0, ...columns });
          continue;
        }
        assert.deepEqual(rows, all);
        assert.deepEqual(more, [...all, { a: i + 100, ...columns }]);
      }
    });

    test(`batch() ${mode} with limits and rowMode runs statements that build on one another`, async (t) => {
      const within = await plans.schema('');
      const pool = await plans.pool(t);
      const steps = ['CREATE TABLE S.n AS SELECT 1 AS a, 2 AS b', 'SELECT * FROM S.n', 'DROP TABLE S.n'].map(within);
      for (const limits of [{ timeoutMs: 50_000 }, { signal: new AbortController().signal }, {}]) {
        const ends = await pool.batch(steps, { transaction, rowMode: 'array', ...limits });
        assert.deepEqual(transaction ? ends[1] : ends[1].value, [[1, 2]]);
      }
    });
  }

  test('batch() in one transaction with isolation runs statements that build on one another', async (t) => {
    const within = await plans.schema('');
    const pool = await plans.pool(t);
    const steps = ['CREATE TABLE S.n AS SELECT 1 AS a', 'SELECT * FROM S.n', 'DROP TABLE S.n'].map(within);
    for (const isolation of ['serializable', 'repeatable read']) {
      const [, rows] = await pool.batch(steps, { transaction: { isolation } });
      assert.deepEqual(rows, [{ a: 1 }], isolation);
    }
  });
});

describe('batch() whose statements build on one another, and one fails', () => {
  /** The wrong statement, and its code. @type {[wrong: Step, code: string][]} */
  const WRONG = [
    ['INSERT INTO S.missing VALUES (1)', '42P01'],
    ['SELECT missing FROM S.n', '42703'],
    ['CREATE TABLE S.n (a int)', '42P07'],
    ['SELECT 1 / 0', '22012'],
    ['INSERT INTO S.n VALUES (1)', '23505'],
    [['INSERT INTO S.n VALUES ($1)', ['x']], '22P02'],
    [['INSERT INTO S.n VALUES ($1)', [2.5]], 'ERR_INVALID_PARAM'],
    [['INSERT INTO S.n VALUES ($1)', [1, 2]], 'ERR_INVALID_PARAM'],
  ];

  for (const [wrong, code] of WRONG) {
    /** @param {(sql: string) => string} within */
    const statements = (within) => [
      within('CREATE TABLE S.n (a int UNIQUE)'),
      within('INSERT INTO S.n VALUES (1)'),
      placed(within, wrong),
      [within('INSERT INTO S.n VALUES ($1)'), [2]],
      within('SELECT a FROM S.n ORDER BY a'),
    ];

    test(`batch() in one transaction whose third statement fails with ${code} leaves nothing: ${[wrong].flat(2).join(' ')}`, async (t) => {
      const within = await plans.schema('');
      const pool = await plans.pool(t);
      for (const _ of range(2)) {
        const error = await failureOf(pool.batch(statements(within), { transaction: true }));
        assert.deepEqual([error.code, error.statementIndex], [code, 2], error.stack);
        assert.deepEqual(await plans.sql(`SELECT to_regclass('${within('S.n')}') AS found`), [{ found: null }]);
      }
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    });

    test(`batch() each for itself whose third statement fails with ${code} applies the others: ${[wrong].flat(2).join(' ')}`, async (t) => {
      const within = await plans.schema('');
      const pool = await plans.pool(t);
      for (const _ of range(2)) {
        const ends = await pool.batch(statements(within));
        const told = ends.map((/** @type {any} */ { value, reason }) => reason?.code ?? value);
        assert.deepEqual(told, [[], [], code, [], [{ a: 1 }, { a: 2 }]]);
        assert.deepEqual(await plans.sql(within('SELECT a FROM S.n ORDER BY a')), [{ a: 1 }, { a: 2 }]);
        await plans.sql(within('DROP TABLE S.n'));
      }
    });
  }

  test('batch() each for itself: what builds on a statement that failed fails itself', async (t) => {
    const within = await plans.schema('');
    const pool = await plans.pool(t);
    const steps = [
      'CREATE TABLE S.n (a missing)',
      'INSERT INTO S.n VALUES (1)',
      'CREATE TABLE S.m (a int)',
      'SELECT * FROM S.m',
    ];
    const ends = await pool.batch(steps.map(within));
    const told = ends.map((/** @type {any} */ { value, reason }) => reason?.code ?? value);
    assert.deepEqual(told, ['42704', '42P01', [], []]);
  });

  test('batch() in one transaction whose first statement fails names that one', async (t) => {
    const within = await plans.schema('');
    const pool = await plans.pool(t);
    const steps = ['SELECT * FROM S.n', 'CREATE TABLE S.n (a int)', 'SELECT * FROM S.n'];
    const error = await failureOf(pool.batch(steps.map(within), { transaction: true }));
    assert.deepEqual([error.code, error.statementIndex], ['42P01', 0]);
    const ends = await pool.batch(steps.map(within));
    assert.deepEqual(
      ends.map((/** @type {any} */ { value, reason }) => reason?.code ?? value),
      ['42P01', [], []],
    );
  });
});
