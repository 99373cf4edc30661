'use strict';

// timeoutMs and signals in a transaction, and while a commit waits for its standby: the error says whether the work was
// applied, and a wait that is cancelled is never a success.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, named, sleep, until, useCluster } = require('../support/helpers');
const { assertAborted, assertTimeout, countOf } = require('../support/limits');

const db = useCluster({ nodes: 3 });

describe('limits in a transaction', () => {
  test('timeoutMs of a statement in a transaction: the transaction is aborted, and can be rolled back', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    assertTimeout(await failureOf(tx.query('SELECT pg_sleep(30)', [], { timeoutMs: 50 })), 'not-applied');
    assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
    await tx.rollback();
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('transaction() with timeoutMs ends in whichever part it is', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE in_tx (id int)');
    const bodies = /** @type {((tx: any) => Promise<unknown>)[]} */ ([
      async (tx) => {
        await tx.query('INSERT INTO in_tx VALUES (1)');
        await tx.query('SELECT pg_sleep(30)');
      },
      async (tx) => {
        await tx.query('INSERT INTO in_tx VALUES (1)');
        await new Promise(() => {});
      },
      async (tx) => {
        for (;;) await tx.query('INSERT INTO in_tx VALUES (1)');
      },
    ]);
    for (const body of bodies) {
      const error = await failureOf(pool.transaction(body, { timeoutMs: 150 }));
      assertTimeout(error, 'not-applied');
      assert.equal(await countOf(db, 'in_tx'), 0);
      await until('the connection is back', () => pool.status().inUse === 0);
    }
    await pool.query('DROP TABLE in_tx');
  });

  test('transaction() with a signal ends in whichever part it is', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE abort_tx (id int)');
    for (const last of ['SELECT pg_sleep(30)', null]) {
      const controller = new AbortController();
      const failing = failureOf(
        pool.transaction(
          async (/** @type {any} */ tx) => {
            await tx.query('INSERT INTO abort_tx VALUES (1)');
            setTimeout(() => controller.abort('enough'), 50);
            await (last ? tx.query(last) : new Promise(() => {}));
          },
          { signal: controller.signal },
        ),
      );
      assertAborted(await failing, 'enough', 'not-applied');
      assert.equal(await countOf(db, 'abort_tx'), 0);
    }
    await pool.query('DROP TABLE abort_tx');
  });

  test('begin() with timeoutMs: a statement that comes too late is refused, and the connection comes back', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('SELECT 1');
    const tx = await pool.begin({ timeoutMs: 100 });
    assertTimeout(await failureOf(tx.query('SELECT pg_sleep(30)')), 'not-applied');
    await tx.rollback();
    const late = await pool.begin({ timeoutMs: 50 });
    await sleep(100);
    assertTimeout(await failureOf(late.query('SELECT 1')), 'not-applied');
    await late.rollback();
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('begin() with a signal: an abort ends the transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const controller = new AbortController();
    const tx = await pool.begin({ signal: controller.signal });
    await tx.query('SELECT 1');
    setTimeout(() => controller.abort('stop'), 50);
    assertAborted(await failureOf(tx.query('SELECT pg_sleep(30)')), 'stop', 'not-applied');
    assertAborted(await failureOf(tx.query('SELECT 1')), 'stop', 'not-applied');
    await tx.rollback();
  });

  test('begin() with timeoutMs is given up while it waits for a connection', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    assertTimeout(await failureOf(pool.begin({ timeoutMs: 50 })), 'not-applied');
    const controller = new AbortController();
    const waiting = failureOf(pool.begin({ signal: controller.signal }));
    await until('it waits', () => pool.status().waiting === 1);
    controller.abort('stop');
    assertAborted(await waiting, 'stop', 'not-applied');
    await tx.rollback();
    await (await pool.begin()).rollback();
  });
});

// PostgreSQL answers a cancel during the wait for a standby with success and a warning.
describe('limits while a commit waits for its standby', () => {
  /**
   * Ends the sessions that wait for a standby.
   * @param {string} applicationName
   * @param {string} how
   */
  async function endWaiting(applicationName, how) {
    await until(
      'it waits for a standby',
      async () =>
        (
          await db.sql(
            `SELECT ${how}(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'`,
            [applicationName],
          )
        ).length > 0,
    );
  }

  test('a statement that is given up while its commit waits for a standby is unknown, never a success', async (t) => {
    const pool = db.pool(t, { poolSize: 2, hosts: db.cluster.primary().address });
    await pool.query('CREATE TABLE replicated (id int)');
    await db.withFrozenStandbys(async () => {
      assertTimeout(
        await failureOf(pool.query('INSERT INTO replicated VALUES (1)', [], { timeoutMs: 200 })),
        'unknown',
      );
      assertTimeout(
        await failureOf(pool.query('INSERT INTO replicated VALUES (2) RETURNING id', [], { timeoutMs: 200 })),
        'unknown',
      );
      const controller = new AbortController();
      const failing = failureOf(pool.query('INSERT INTO replicated VALUES (3)', [], { signal: controller.signal }));
      setTimeout(() => controller.abort('stop'), 200);
      assertAborted(await failing, 'stop', 'unknown');
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }], 'reads go on');
    });
    assert.ok((await countOf(db, 'replicated')) <= 3);
    await pool.query('DROP TABLE replicated');
  });

  test('COMMIT that somebody else cancels while it waits for a standby is unknown', async (t) => {
    const applicationName = named('commit');
    const pool = db.pool(t, { poolSize: 1, applicationName, hosts: db.cluster.primary().address });
    await pool.query('CREATE TABLE commits (id int)');
    await db.withFrozenStandbys(async () => {
      const tx = await pool.begin();
      await tx.query('INSERT INTO commits VALUES (1)');
      const failing = failureOf(tx.commit());
      await endWaiting(applicationName, 'pg_cancel_backend');
      const error = await failing;
      assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], error.stack);
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }], 'a read behind it is none of that');
    });
    await pool.query('DROP TABLE commits');
  });

  test('pg_terminate_backend and pg_cancel_backend while a commit waits for a standby: unknown', async (t) => {
    const applicationName = named('terminated');
    const pool = db.pool(t, { poolSize: 1, applicationName, hosts: db.cluster.primary().address });
    await pool.query('CREATE TABLE ended_by (id int)');
    await db.withFrozenStandbys(async () => {
      for (const end of ['pg_cancel_backend', 'pg_terminate_backend']) {
        const failing = failureOf(pool.query('INSERT INTO ended_by VALUES (1)'));
        await endWaiting(applicationName, end);
        const error = await failing;
        assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], `${end}: ${error.stack}`);
      }
    });
    await pool.query('DROP TABLE ended_by');
  });

  test('a declared read beside a commit that waits for a standby has nothing to be replicated, and is not unknown', async (t) => {
    const applicationName = named('beside');
    const pool = db.pool(t, { poolSize: 1, applicationName, hosts: db.cluster.primary().address });
    await pool.query('CREATE TABLE beside (id int)');
    const write = () => pool.query('INSERT INTO beside VALUES (1)');
    const read = () => pool.query('SELECT 1 AS one', [], { readOnly: true });
    const batch = () => pool.batch(['SELECT 1 AS one'], { readOnly: true });
    await until('they share the connection', async () => {
      const before = pool.status().pipelined;
      await Promise.all([write(), read(), batch()]);
      return pool.status().pipelined > before;
    });
    await db.withFrozenStandbys(async () => {
      const all = endings([write(), read(), batch()]);
      await endWaiting(applicationName, 'pg_cancel_backend');
      const [written, readAlone, [inBatch]] = (await all).map(({ value, error }) => error ?? value);
      assert.equal(written.code, 'ERR_OUTCOME_UNKNOWN');
      assert.deepEqual([readAlone, inBatch.value], [[{ one: 1 }], [{ one: 1 }]]);
    });
    await pool.query('DROP TABLE beside');
  });

  test('transaction() with a limit that ends its COMMIT is unknown', async (t) => {
    const pool = db.pool(t, { poolSize: 1, hosts: db.cluster.primary().address });
    await pool.query('CREATE TABLE committing (id int)');
    await db.withFrozenStandbys(async () => {
      const insert = (/** @type {any} */ tx) => tx.query('INSERT INTO committing VALUES (1)');
      const bounded = (/** @type {Promise<unknown>} */ promise) =>
        Promise.race([endings([promise]), sleep(6_000, [{ error: new Error('it still waits') }])]);
      const [{ error: late }] = await bounded(pool.transaction(insert, { timeoutMs: 300 }));
      assertTimeout(late, 'unknown');
      const controller = new AbortController();
      setTimeout(() => controller.abort('stop'), 200);
      const [{ error: stopped }] = await bounded(pool.transaction(insert, { signal: controller.signal }));
      assertAborted(stopped, 'stop', 'unknown');
    });
    await pool.query('DROP TABLE committing');
  });
});
