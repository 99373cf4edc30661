'use strict';

// Statements that commit by themselves outside of a transaction: when one fails, what it has committed before stays, so its outcome is
// unknown unless it had not begun.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, test, useCluster } = require('../support/helpers.js');
const { idsIn, tableFor } = require('../support/transactions.js');

const db = useCluster({ nodes: 1, synchronous: false });
before(async () => {
  await db.started;
  await db.sql('CREATE TABLE steps (id int)');
  await db.sql(`CREATE PROCEDURE commit_and_fail(first int) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO steps VALUES (first); COMMIT; INSERT INTO steps VALUES (first + 1); RAISE 'no more'; END $$`);
  await db.sql(`CREATE PROCEDURE commit_and_sleep(first int) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO steps VALUES (first); COMMIT; PERFORM pg_sleep(30); END $$`);
  await db.sql(`CREATE PROCEDURE commit_and_end(first int) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO steps VALUES (first); COMMIT; PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(30); END $$`);
});

const DO = "DO $$ BEGIN INSERT INTO steps VALUES (1); COMMIT; RAISE 'no more'; END $$";

/** @type {[string, (pool: any) => Promise<unknown>, string, number[]][]} */
const CASES = [
  [
    'query(): CALL of a procedure that commits and then fails',
    (pool) => pool.query('CALL commit_and_fail(1)'),
    'P0001',
    [1],
  ],
  ['query(): the same with a parameter', (pool) => pool.query('CALL commit_and_fail($1)', [1]), 'P0001', [1]],
  ['query(): DO that commits and then fails', (pool) => pool.query(DO), 'P0001', [1]],
  [
    'exec(): CALL of a procedure that commits and then fails',
    (pool) => pool.exec('CALL commit_and_fail(1)'),
    'P0001',
    [1],
  ],
  ['exec(): DO that commits and then fails', (pool) => pool.exec(DO), 'P0001', [1]],
  [
    'query(): CALL that is cancelled by timeoutMs after its commit',
    (pool) => pool.query('CALL commit_and_sleep(1)', [], { timeoutMs: 300 }),
    '57014',
    [1],
  ],
  [
    'exec(): CALL that is cancelled by timeoutMs after its commit',
    (pool) => pool.exec('CALL commit_and_sleep(1)', { timeoutMs: 300 }),
    '57014',
    [1],
  ],
  [
    'query(): CALL whose session ends after its commit',
    (pool) => pool.query('CALL commit_and_end(1)'),
    'ERR_OUTCOME_UNKNOWN',
    [1],
  ],
  [
    'batch(): CALL of a procedure that commits and then fails',
    async (pool) => {
      const [{ reason }] = await pool.batch(['CALL commit_and_fail(1)']);
      throw reason;
    },
    'P0001',
    [1],
  ],
];

for (const [title, work, code, kept] of CASES) {
  test(`${title} is unknown, and is not run again`, async (t) => {
    await db.sql('TRUNCATE steps');
    const pool = db.pool(t);
    const error = await failureOf(work(pool));
    assert.deepEqual([error.code, error.outcome, error.retryable], [code, 'unknown', false]);
    assert.deepEqual(await idsIn(db, 'steps'), kept);
  });
}

test('CALL: what is refused before it runs is not-applied', async (t) => {
  const pool = db.pool(t);
  for (const [sql, code] of [
    ['CALL no_such_procedure()', '42883'],
    ['CALL commit_and_fail(', '42601'],
    ["CALL commit_and_fail('x')", '22P02'],
  ]) {
    for (const run of [() => pool.query(sql), () => pool.exec(sql)]) {
      const error = await failureOf(run());
      assert.deepEqual([error.code, error.outcome], [code, 'not-applied'], sql);
    }
  }
});

test('CALL: a DO block without a word that could commit is not-applied when it fails', async (t) => {
  const error = await failureOf(db.pool(t).query("DO $$ BEGIN INSERT INTO steps VALUES (7); RAISE 'no'; END $$"));
  assert.deepEqual([error.code, error.outcome], ['P0001', 'not-applied']);
});

test('CALL: in a transaction a procedure cannot commit, and its failure is not-applied', async (t) => {
  await db.sql('TRUNCATE steps');
  const pool = db.pool(t);
  for (const run of [
    (/** @type {any} */ tx) => tx.query('CALL commit_and_fail(1)'),
    (/** @type {any} */ tx) => tx.exec('CALL commit_and_fail(1)'),
  ]) {
    const error = await failureOf(pool.transaction(run));
    assert.deepEqual([error.code, error.outcome], ['2D000', 'not-applied']);
  }
  const error = await failureOf(pool.batch(['CALL commit_and_fail(1)'], { transaction: true }));
  assert.deepEqual([error.code, error.outcome], ['2D000', 'not-applied']);
  assert.deepEqual(await idsIn(db, 'steps'), []);
});

test('CREATE INDEX CONCURRENTLY that fails leaves an index, and is unknown', async (t) => {
  const table = await tableFor(db, t);
  await db.sql(`ALTER TABLE ${table} ADD COLUMN twice int`);
  await db.sql(`INSERT INTO ${table} VALUES (1, 1), (2, 1)`);
  const error = await failureOf(db.pool(t).query(`CREATE UNIQUE INDEX CONCURRENTLY ON ${table} (twice)`));
  assert.deepEqual([error.code, error.outcome], ['23505', 'unknown']);
  const left = await db.sql(`SELECT 1 FROM pg_index WHERE indrelid = '${table}'::regclass AND NOT indisvalid`);
  assert.equal(left.length, 1);
});
