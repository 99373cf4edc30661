'use strict';

// `error.retryable` is true only if the same work may run again without being applied twice, and may succeed then. The table of
// docs/errors.md, against a server; the table of all causes is in src/query/retry_policy.rs. And transactionRetries: how often
// transaction(cb) runs again.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const { failureOf, sleep, test, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 2 });

/** @param {any} error */
const summary = ({ code, outcome, retryable }) => ({ code, outcome, retryable });

/** @type {[string, (pool: any) => Promise<unknown>, object][]} */
const REFUSED = [
  ['a mistake in the SQL', (pool) => pool.query('SELEKT 1'), { code: '42601', outcome: 'not-applied' }],
  ['a constraint', (pool) => pool.query('INSERT INTO once VALUES (1)'), { code: '23505', outcome: 'not-applied' }],
  ['a value that the server cannot read', (pool) => pool.query('SELECT $1::int', ['x']), { code: '22P02' }],
  ['a wrong number of parameters', (pool) => pool.query('SELECT $1::int', []), { code: 'ERR_INVALID_PARAM' }],
  [
    'timeoutMs of the caller',
    (pool) => pool.query('SELECT pg_sleep(30)', [], { timeoutMs: 100 }),
    { code: '57014', outcome: 'not-applied' },
  ],
  [
    'a write in a read-only transaction of the caller',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO once VALUES (2)'), { readOnly: true }),
    { code: '25006', outcome: 'not-applied' },
  ],
  [
    'a session that was ended while its statement ran',
    (pool) => pool.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    { code: 'ERR_OUTCOME_UNKNOWN', outcome: 'unknown' },
  ],
];

for (const [title, work, expected] of REFUSED) {
  test(`retryable is false for ${title}`, async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    await pool.query('CREATE TABLE IF NOT EXISTS once (id int PRIMARY KEY)');
    await pool.query('INSERT INTO once VALUES (1) ON CONFLICT DO NOTHING');
    const error = await failureOf(work(pool));
    assert.deepEqual({ ...summary(error), ...expected }, { ...summary(error), retryable: false });
    assert.equal(error.retryable, false);
  });
}

test('retryable is false for a wrong option and for a closed pool', async (t) => {
  assert.throws(() => createPool({ hosts: 'localhost', poolSize: 0 }), {
    code: 'ERR_INVALID_OPTION',
    retryable: false,
  });
  const pool = db.pool(t);
  await pool.end();
  await assert.rejects(pool.query('SELECT 1'), { code: 'ERR_POOL_CLOSED', retryable: false });
});

test('retryable is true for a serialization failure and for a deadlock', async (t) => {
  const pool = db.pool(t, { poolSize: 2 });
  await pool.query('CREATE TABLE pair (id int PRIMARY KEY, n int)');
  t.after(() => db.sql('DROP TABLE pair'));
  await pool.query('INSERT INTO pair VALUES (1, 0), (2, 0)');
  const update = (/** @type {any} */ tx, /** @type {number} */ id) =>
    tx.query('UPDATE pair SET n = n + 1 WHERE id = $1', [id]);

  const [a, b] = await Promise.all([0, 1].map(() => pool.begin({ isolation: 'repeatable read' })));
  await Promise.all([a, b].map((tx) => tx.query('SELECT * FROM pair')));
  await update(a, 1);
  await a.commit();
  const conflict = await failureOf(update(b, 1));
  await b.rollback();
  assert.deepEqual(summary(conflict), { code: '40001', outcome: 'not-applied', retryable: true });

  const [c, d] = await Promise.all([0, 1].map(() => pool.begin()));
  await Promise.all([update(c, 1), update(d, 2)]);
  const ends = await Promise.allSettled([update(c, 2), update(d, 1)]);
  await Promise.all([c, d].map((tx) => tx.rollback()));
  const [deadlock] = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  assert.deepEqual(summary(deadlock), { code: '40P01', outcome: 'not-applied', retryable: true });
});

test('retryable is true for a connection that was lost in a transaction before COMMIT', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const tx = await pool.begin();
  const [{ pid }] = await tx.query('SELECT pg_backend_pid() AS pid');
  await db.sql('SELECT pg_terminate_backend($1)', [pid]);
  await sleep(100);
  const error = await failureOf(tx.query('SELECT 1'));
  assert.equal(error.outcome, 'not-applied');
  assert.equal(error.retryable, true, `${error.code} ${error.message}`);
});

test('retryable is true when there is no primary and when all connections are busy', async (t) => {
  const standby = db.pool(t, { hosts: db.cluster.hosts.slice(1), acquireTimeoutMs: 300 });
  const missing = await failureOf(standby.query('SELECT 1'));
  assert.deepEqual(summary(missing), { code: 'ERR_NO_PRIMARY', outcome: 'not-applied', retryable: true });

  const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 300 });
  const tx = await pool.begin();
  const busy = await failureOf(pool.query('SELECT 1'));
  await tx.rollback();
  assert.deepEqual(summary(busy), { code: 'ERR_ACQUIRE_TIMEOUT', outcome: 'not-applied', retryable: true });
});

test('transaction() with retries does not wait again for a primary that the pool has not found in time', async (t) => {
  const pool = db.pool(t, { hosts: db.cluster.hosts.slice(1), acquireTimeoutMs: 300 });
  let calls = 0;
  const work = pool.transaction(
    (/** @type {any} */ tx) => {
      calls += 1;
      return tx.query('SELECT 1');
    },
    { retries: 5 },
  );
  await assert.rejects(work, { code: 'ERR_NO_PRIMARY', retryable: true });
  assert.equal(calls, 1);
});

describe('transactionRetries', () => {
  /** Fails as a serialization failure does. @param {any} tx */
  const collide = (tx) => tx.query("DO $$ BEGIN RAISE EXCEPTION 'collision' USING ERRCODE = '40001'; END $$");

  test('transactionRetries is how often transaction() runs again when the call does not say', async (t) => {
    const pool = db.pool(t, { transactionRetries: 2 });
    /** @type {[object | undefined, number][]} */
    const table = [
      [undefined, 3],
      [{}, 3],
      [{ retries: 0 }, 1],
      [{ retries: 4 }, 5],
    ];
    for (const [options, expected] of table) {
      let runs = 0;
      const error = await failureOf(
        pool.transaction((/** @type {any} */ tx) => {
          runs++;
          return collide(tx);
        }, options),
      );
      assert.deepEqual([runs, error.code, error.attempts], [expected, '40001', expected]);
    }
    assert.equal((await failureOf(db.pool(t).transaction(collide))).attempts, 1, 'by default never');
  });

  test('transactionRetries: the pauses between runs end with acquireTimeoutMs', async (t) => {
    const pool = db.pool(t, { acquireTimeoutMs: 300 });
    const error = await failureOf(pool.transaction(collide, { retries: 1_000_000 }));
    assert.equal(error.code, '40001');
    assert.ok(error.attempts > 2 && error.attempts <= 61, `${error.attempts} tries with at least 5 ms between them`);
  });
});
