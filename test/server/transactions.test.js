'use strict';

// transaction(cb), and what becomes of a transaction whose connection breaks or that nobody ends. begin() and the options
// are in transactions.begin.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const {
  endings,
  test,
  failureOf,
  isPending,
  named,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');
const { assertEnded, idsIn, meetingOf, tableFor } = require('../support/transactions');

const db = useCluster({ nodes: 3 });

const asyncDispose = /** @type {any} */ (Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'));

describe('transaction()', () => {
  test('transaction() commits what the callback did, and resolves to what it returned', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    assert.equal(
      await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        return 'value';
      }),
      'value',
    );
    assert.equal(await pool.transaction(() => 5), 5, 'a callback need not be async');
    assert.deepEqual(await idsIn(db, table), [1]);
  });

  test('transaction() rolls back when the callback throws, and rejects with the thrown value', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const thrown = [new Error('mine'), 'a string', undefined, null, Object.freeze(new Error('frozen'))];
    for (const value of thrown) {
      const ended = await endings([
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`INSERT INTO ${table} VALUES (1)`);
          throw value;
        }),
      ]);
      assert.ok('error' in ended[0] && ended[0].error === value);
    }
    const sync = new Error('sync');
    assert.equal(
      await failureOf(
        pool.transaction(() => {
          throw sync;
        }),
      ),
      sync,
    );
    const database = await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        await tx.query('SELECT 1 / 0');
      }),
    );
    assert.equal(database.code, '22012');
    assert.deepEqual(await idsIn(db, table), []);
    await until('the connection is back', () => pool.status().inUse === 0);
  });

  test('transaction() whose callback catches the error of a statement fails at the end, and nothing is applied', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    const error = await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        await tx.query('SELECT 1 / 0').catch(() => {});
      }),
    );
    assert.equal(error.code, '25P02');
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('transaction() runs statements that the callback does not await before COMMIT', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    await pool.transaction((/** @type {any} */ tx) => {
      for (const i of range(5)) tx.query(`INSERT INTO ${table} VALUES ($1)`, [i]);
    });
    assert.deepEqual(await idsIn(db, table), range(5));
  });

  test('transaction(): the callback may end the transaction itself', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (1)`);
      await tx.rollback();
    });
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (2)`);
      await tx.commit();
    });
    assert.deepEqual(await idsIn(db, table), [2]);
  });

  test('transaction(): a statement after the end of the transaction is refused', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    /** @type {any} */
    let kept;
    await pool.transaction((/** @type {any} */ tx) => {
      kept = tx;
    });
    assertEnded(await failureOf(kept.query('SELECT 1')));
    await failureOf(
      pool.transaction((/** @type {any} */ tx) => {
        kept = tx;
        throw new Error('x');
      }),
    );
    assertEnded(await failureOf(kept.query('SELECT 1')));
  });

  test('transaction() inside another one is a second transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const table = await tableFor(db, t);
    await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        await pool.transaction((/** @type {any} */ other) => other.query(`INSERT INTO ${table} VALUES (2)`));
        throw new Error('outer');
      }),
    );
    assert.deepEqual(await idsIn(db, table), [2]);
  });

  test('transaction(): 1,000 over 4 connections, each applied wholly or not at all', async (t) => {
    const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 60_000 });
    const table = await tableFor(db, t);
    const ended = await endings(
      range(1_000).map((i) =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`INSERT INTO ${table} VALUES ($1)`, [i * 2]);
          if (i % 3 === 1) throw new Error('mine');
          if (i % 3 === 2) await tx.query('SELECT 1 / 0');
          await tx.query(`INSERT INTO ${table} VALUES ($1)`, [i * 2 + 1]);
        }),
      ),
    );
    ended.forEach(({ error }, i) => assert.equal(error?.message, [undefined, 'mine', 'division by zero'][i % 3]));
    assert.deepEqual(
      await idsIn(db, table),
      range(1_000)
        .filter((i) => i % 3 === 0)
        .flatMap((i) => [i * 2, i * 2 + 1]),
    );
  });

  test('transaction() with retries runs again after a serialization failure, and only when asked', async (t) => {
    const pool = db.pool(t, { poolSize: 4 });
    const table = await tableFor(db, t);
    await pool.query(`INSERT INTO ${table} VALUES (0)`);
    let runs = 0;
    /** Transactions that read the same row before one of them changes it. @param {number} count @param {object} [more] */
    const increments = (count, more) => {
      const met = meetingOf(count);
      const increment = async (/** @type {any} */ tx) => {
        runs++;
        const [{ id }] = await tx.query(`SELECT id FROM ${table}`);
        await met();
        await tx.query(`UPDATE ${table} SET id = $1`, [id + 1]);
      };
      return range(count).map(() => pool.transaction(increment, { isolation: 'serializable', ...more }));
    };
    const without = await endings(increments(3));
    const failed = without.filter(({ error }) => error);
    assert.ok(failed.length > 0);
    for (const { error } of failed) assert.deepEqual([error.code, error.outcome], ['40001', 'not-applied']);
    assert.equal(runs, 3);
    const [before] = await idsIn(db, table);
    await Promise.all(increments(4, { retries: 50 }));
    assert.deepEqual(await idsIn(db, table), [before + 4]);
    assert.ok(runs > 3 + 4, `${runs} runs`);
  });

  test('transaction() with retries runs again after a deadlock, as often as retries says at most', async (t) => {
    const pool = db.pool(t);
    let runs = 0;
    const error = await failureOf(
      pool.transaction(
        async (/** @type {any} */ tx) => {
          runs++;
          await tx.query("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$");
        },
        { retries: 2 },
      ),
    );
    assert.deepEqual([error.code, error.attempts, runs], ['40P01', 3, 3]);
    runs = 0;
    const mine = await failureOf(
      pool.transaction(
        () => {
          runs++;
          throw Object.assign(new Error('mine'), { code: '40001' });
        },
        { retries: 5 },
      ),
    );
    assert.deepEqual([mine.message, runs], ['mine', 1], 'what is not ours is not run again');
    const other = await failureOf(
      pool.transaction(
        async (/** @type {any} */ tx) => {
          runs++;
          await tx.query('SELECT 1 / 0');
        },
        { retries: 5 },
      ),
    );
    assert.deepEqual([other.code, runs], ['22012', 2]);
  });
});

describe('a connection that breaks under a transaction', () => {
  /**
   * @param {import('node:test').TestContext} t
   * @param {Record<string, unknown>} [options]
   */
  async function killable(t, options) {
    const applicationName = named('kill');
    const pool = db.pool(t, { applicationName, ...options });
    const kill = () =>
      db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [applicationName]);
    return { pool, kill, table: await tableFor(db, t) };
  }

  test('a connection that breaks between two statements of a transaction: the next statement says that all is rolled back', async (t) => {
    const { pool, kill, table } = await killable(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await kill();
    await sleep(50);
    for (const next of [tx.query('SELECT 1'), tx.query('SELECT 1')]) {
      const error = await failureOf(next);
      assert.equal(error.outcome, 'not-applied', error.stack);
      assert.ok(['ERR_CONNECTION_LOST', '57P01'].includes(error.code), error.code);
    }
    const error = await failureOf(tx.commit());
    assert.equal(error.outcome, 'not-applied', 'COMMIT was never sent');
    assert.deepEqual(await idsIn(db, table), []);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('a connection that breaks under a statement of a transaction: not applied, with its SQLSTATE', async (t) => {
    const { pool, kill, table } = await killable(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    const failing = failureOf(tx.query('SELECT pg_sleep(20)'));
    await sleep(50);
    await kill();
    const error = await failing;
    assert.equal(error.outcome, 'not-applied', error.stack);
    assert.ok(['57P01', 'ERR_CONNECTION_LOST'].includes(error.code), error.code);
    await tx.rollback();
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('rollback() on a broken connection succeeds, because the server has rolled back', async (t) => {
    const { pool, kill, table } = await killable(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await kill();
    await tx.rollback();
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('a connection that breaks under COMMIT: unknown', async (t) => {
    db.needs('freeze');
    db.needsSynchronous();
    const { pool, kill, table } = await killable(t, { hosts: db.cluster.primary().address });
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    const standbys = db.cluster.standbys();
    await Promise.all(standbys.map((node) => node.freeze()));
    try {
      const failing = failureOf(tx.commit());
      await sleep(100);
      await kill();
      const error = await failing;
      assert.deepEqual(
        [error.name, error.code, error.outcome],
        ['ConnectionLostError', 'ERR_OUTCOME_UNKNOWN', 'unknown'],
      );
    } finally {
      await Promise.all(standbys.map((node) => node.thaw()));
    }
  });

  test('transaction() with retries runs again on a broken connection, and every row is there once', async (t) => {
    const { pool, kill, table } = await killable(t);
    let runs = 0;
    await pool.transaction(
      async (/** @type {any} */ tx) => {
        runs++;
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        if (runs === 1) await kill();
        await tx.query(`INSERT INTO ${table} VALUES (2)`);
      },
      { retries: 3 },
    );
    assert.equal(runs, 2);
    assert.deepEqual(await idsIn(db, table), [1, 2]);
  });
});

describe('a transaction that nobody ends', () => {
  test('a transaction that the program forgets is rolled back when it is collected, and its connection comes back', async () => {
    const printed = await printedBy(
      db,
      `
      const pool = createPool({ ...options, poolSize: 1, applicationName: 'forgetful' });
      await pool.query('CREATE TABLE IF NOT EXISTS forgotten (id int)');
      await (async () => { const tx = await pool.begin(); await tx.query('INSERT INTO forgotten VALUES (1)'); })();
      for (let i = 0; pool.status().inUse > 0 && i < 500; i++) {
        global.gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const [{ n }] = await pool.query('SELECT count(*)::int4 AS n FROM forgotten');
      print(n, pool.status().inUse);
      await pool.query('DROP TABLE forgotten');
      await pool.end();`,
      { flags: ['--expose-gc'] },
    );
    assert.deepEqual(printed, ['0 0']);
  });

  test('a transaction is not collected while one of its statements runs', async () => {
    const printed = await printedBy(
      db,
      `
      const pool = createPool({ ...options, poolSize: 1 });
      const running = await (async () => { const tx = await pool.begin(); return [tx.query('SELECT 1 AS v FROM pg_sleep(0.3)')]; })();
      const timer = setInterval(() => global.gc(), 10);
      print(await running[0]);
      clearInterval(timer);
      await pool.end();`,
      { flags: ['--expose-gc'] },
    );
    assert.deepEqual(printed, ['[{"v":1}]']);
  });

  test('a transaction that is open when the pool ends is rolled back', async (t) => {
    const applicationName = named('ending');
    const pool = db.pool(t, { applicationName });
    const table = await tableFor(db, t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await pool.end();
    assert.deepEqual(await idsIn(db, table), []);
    for (const use of [tx.query('SELECT 1'), tx.commit(), tx.rollback()])
      assert.equal((await failureOf(use)).code, 'ERR_POOL_CLOSED');
    await tx[asyncDispose]();
    await until(
      'its session is over',
      async () =>
        (await db.sql('SELECT 1 FROM pg_stat_activity WHERE application_name = $1', [applicationName])).length === 0,
    );
  });

  test('end() of the pool waits for transaction()', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    const done = pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (1)`);
      await sleep(100);
      await tx.query(`INSERT INTO ${table} VALUES (2)`);
    });
    await until('it has begun', () => pool.status().inUse === 1);
    const ended = pool.end();
    assert.ok(await isPending(ended));
    await done;
    await ended;
    assert.deepEqual(await idsIn(db, table), [1, 2]);
  });

  test('await using rolls back a transaction that was not committed', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    // What `await using tx = await pool.begin()` calls at the end of its block.
    const first = await pool.begin();
    await first.query(`INSERT INTO ${table} VALUES (1)`);
    await first[asyncDispose]();
    const second = await pool.begin();
    await second.query(`INSERT INTO ${table} VALUES (2)`);
    await second.commit();
    await second[asyncDispose]();
    assert.deepEqual(await idsIn(db, table), [2]);
    if (Symbol.asyncDispose) assert.equal(typeof first[Symbol.asyncDispose], 'function');
  });
});
