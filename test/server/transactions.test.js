'use strict';

// Transactions: begin(), transaction(cb), their options, their ends, and what happens to one that nobody ends.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { inspect } = require('node:util');
const { HyperionError } = require('../../client.js');
const {
  endings,
  test,
  failureOf,
  isPending,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');

const db = useCluster({ nodes: 3 });

const named = (/** @type {string} */ purpose) => `${purpose}-${process.pid}-${Math.floor(Math.random() * 1e9)}`;
const asyncDispose = /** @type {any} */ (Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'));

/** Rows of a table, whatever the pool thinks. @param {string} table */
const idsIn = async (table) => (await db.sql(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => id);

/**
 * A table that ends with its test.
 * @param {import('node:test').TestContext} t
 */
async function tableFor(t) {
  const name = `t_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(`CREATE TABLE ${name} (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`);
  t.after(() => db.sql(`DROP TABLE ${name}`));
  return name;
}

/** @param {any} error */
function assertEnded(error) {
  assert.ok(error instanceof HyperionError, error.stack);
  assert.equal(error.code, 'ERR_TRANSACTION_ENDED');
}

describe('begin()', () => {
  test('begin(): commit() makes the changes last, rollback() undoes them', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    for (const [id, end, expected] of /** @type {const} */ ([
      [1, 'commit', [1]],
      [2, 'rollback', [1]],
      [3, 'commit', [1, 3]],
    ])) {
      const tx = await pool.begin();
      assert.equal((await tx.query(`INSERT INTO ${table} VALUES ($1)`, [id])).rowCount, 1);
      assert.deepEqual(
        await idsIn(table),
        expected.filter((one) => one !== id),
        'nobody else sees it',
      );
      assert.equal(await tx[end](), undefined);
      assert.deepEqual(await idsIn(table), expected);
    }
  });

  test('begin(): a transaction holds its connection to its end', async (t) => {
    const pool = db.pool(t, { poolSize: 3 });
    const tx = await pool.begin();
    const pids = await Promise.all(
      range(5).map(() => tx.query('SELECT pg_backend_pid() AS pid, pg_current_xact_id()::text AS xid')),
    );
    assert.equal(new Set(pids.map(([{ pid, xid }]) => `${pid} ${xid}`)).size, 1);
    const others = await Promise.all(range(20).map(() => pool.query('SELECT pg_backend_pid() AS pid')));
    assert.ok(
      others.every(([{ pid }]) => pid !== pids[0][0].pid),
      'nobody else runs on it',
    );
    await tx.rollback();
    await until('it is back', () => pool.status().inUse === 0);
  });

  test('begin(): statements without await run in the order of the calls', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const tx = await pool.begin();
    await tx.query('CREATE TEMP TABLE log (at int4 GENERATED ALWAYS AS IDENTITY, n int4) ON COMMIT DROP');
    const answers = await Promise.all(
      range(200).map((i) =>
        tx.query(`INSERT INTO log (n) SELECT $1::int4 ${i % 20 === 0 ? 'FROM pg_sleep(0.002)' : ''} RETURNING at, n`, [
          i,
        ]),
      ),
    );
    answers.forEach(([row], i) => assert.deepStrictEqual(row, { at: i + 1, n: i }));
    await tx.rollback();
  });

  test('begin(): commit() and rollback() wait for the statements before them', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    const tx = await pool.begin();
    const inserts = range(5).map((i) => tx.query(`INSERT INTO ${table} SELECT $1::int4 FROM pg_sleep(0.01)`, [i]));
    await tx.commit();
    for (const answer of await Promise.all(inserts)) assert.equal(answer.rowCount, 1);
    assert.deepEqual(await idsIn(table), range(5));
  });

  test('begin(): statements and ends after the end are refused', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const end of ['commit', 'rollback']) {
      const tx = await pool.begin();
      assert.equal(tx.ended, false);
      const ending = tx[end]();
      assert.equal(tx.ended, true);
      const use = [() => tx.query('SELECT 1'), () => tx.commit(), () => tx.rollback()];
      for (const one of use) assertEnded(await failureOf(one()));
      await ending;
      for (const one of use) assertEnded(await failureOf(one()));
      await tx[asyncDispose]();
    }
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('begin(): a failed statement aborts the transaction, and commit() fails and rolls back', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    assert.equal((await failureOf(tx.query('SELECT 1 / 0'))).code, '22012');
    const aborted = await failureOf(tx.query('SELECT 1'));
    assert.deepEqual([aborted.code, aborted.outcome], ['25P02', 'not-applied']);
    const error = await failureOf(tx.commit());
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '25P02', 'not-applied']);
    assert.deepEqual(await idsIn(table), []);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('begin(): a wrong parameter does not abort the transaction', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    for (const params of [[2 ** 31], ['a', 'b'], [], [{}], [Symbol('s')], ['\ud800']]) {
      assert.equal(
        (await failureOf(tx.query(`INSERT INTO ${table} VALUES ($1)`, params))).code,
        'ERR_INVALID_PARAM',
        inspect(params),
      );
    }
    await tx.query(`INSERT INTO ${table} VALUES ($1)`, [2]);
    await tx.commit();
    assert.deepEqual(await idsIn(table), [1, 2]);
  });

  test('begin(): savepoints', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await tx.query('SAVEPOINT s');
    await tx.query(`INSERT INTO ${table} VALUES (2)`);
    assert.equal((await failureOf(tx.query('SELECT nothing'))).code, '42703');
    assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
    await tx.query('ROLLBACK TO SAVEPOINT s');
    await tx.query(`INSERT INTO ${table} VALUES (3)`);
    await tx.query('RELEASE s');
    await tx.query('SAVEPOINT s');
    await failureOf(tx.query('SELECT 1 / 0'));
    await tx.query('ROLLBACK TO s');
    await tx.commit();
    assert.deepEqual(await idsIn(table), [1, 3]);
  });

  test('begin(): a deferred constraint fails at commit(): not applied, and the connection is clean', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1), (1)`);
    const error = await failureOf(tx.commit());
    assert.deepEqual([error.code, error.outcome], ['23505', 'not-applied']);
    assert.deepEqual(await idsIn(table), []);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('begin(): SET LOCAL ends with the transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    await tx.query("SET LOCAL work_mem = '3MB'");
    assert.deepStrictEqual(await tx.query('SHOW work_mem'), [{ work_mem: '3MB' }]);
    await tx.commit();
    assert.notDeepStrictEqual(await pool.query('SHOW work_mem'), [{ work_mem: '3MB' }]);
  });

  test('begin(): a prepared statement of the pool works in a transaction, and the other way round', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (let i = 0; i < 3; i++) {
      assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v', [i]), [{ v: i }]);
      const tx = await pool.begin();
      assert.deepStrictEqual(await tx.query('SELECT $1::int4 AS v', [i]), [{ v: i }]);
      assert.deepStrictEqual(await tx.query('SELECT $1::text AS v', ['x']), [{ v: 'x' }]);
      await tx.commit();
      assert.deepStrictEqual(await pool.query('SELECT $1::text AS v', ['x']), [{ v: 'x' }]);
    }
  });

  test('begin(): large results, and errors in the middle of them', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    assert.equal((await tx.query("SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")).length, 20_000);
    assert.equal(
      (await failureOf(tx.query("SELECT 1 / (10000 - i), repeat('x', 100) FROM generate_series(1, 20000) i"))).code,
      '22012',
    );
    await tx.rollback();
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});

describe('options of begin() and transaction()', () => {
  const SETTINGS =
    "SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro, current_setting('transaction_deferrable') AS deferrable";
  // options, isolation, read only, deferrable
  const TABLE = /** @type {[any, string, string, string][]} */ ([
    [undefined, 'read committed', 'off', 'off'],
    [{}, 'read committed', 'off', 'off'],
    [{ isolation: 'read committed' }, 'read committed', 'off', 'off'],
    [{ isolation: 'read uncommitted' }, 'read uncommitted', 'off', 'off'],
    [{ isolation: 'repeatable read' }, 'repeatable read', 'off', 'off'],
    [{ isolation: 'serializable' }, 'serializable', 'off', 'off'],
    [{ isolation: 'SERIALIZABLE' }, 'serializable', 'off', 'off'],
    [{ readOnly: true }, 'read committed', 'on', 'off'],
    [{ readOnly: false }, 'read committed', 'off', 'off'],
    [{ deferrable: true }, 'read committed', 'off', 'on'],
    [{ deferrable: false }, 'read committed', 'off', 'off'],
    [{ isolation: 'serializable', readOnly: true, deferrable: true }, 'serializable', 'on', 'on'],
  ]);
  for (const [options, isolation, ro, deferrable] of TABLE) {
    test(`begin() with ${options === undefined ? 'no options' : JSON.stringify(options)} has these settings`, async (t) => {
      const pool = db.pool(t);
      const tx = await pool.begin(options);
      assert.deepStrictEqual(await tx.query(SETTINGS), [{ isolation, ro, deferrable }]);
      await tx.rollback();
      assert.deepStrictEqual(await pool.transaction((/** @type {any} */ one) => one.query(SETTINGS), options), [
        { isolation, ro, deferrable },
      ]);
    });
  }

  test('begin() leaves the settings that it is not given to the server: a default of read-only stays', async (t) => {
    const pool = db.pool(t, { mode: 'primary', options: { default_transaction_read_only: 'on' } });
    for (const [options, expected] of [
      [undefined, 'on'],
      [{}, 'on'],
      [{ isolation: 'serializable' }, 'on'],
      [{ readOnly: true }, 'on'],
    ]) {
      const [{ ro }] = await pool.transaction((/** @type {any} */ tx) => tx.query(SETTINGS), options);
      assert.equal(ro, expected, JSON.stringify(options));
    }
  });

  // options, what the message has to contain
  const WRONG = /** @type {[any, RegExp][]} */ ([
    [{ isolation: 'chaos' }, /isolation.*'serializable'/],
    [{ isolation: 'constructor' }, /isolation/],
    [{ isolation: 5 }, /isolation/],
    [{ readOnly: 'yes' }, /readOnly/],
    [{ deferrable: 1 }, /deferrable/],
    [{ timeoutMs: -1 }, /timeoutMs/],
    [{ signal: 1 }, /signal/],
    [{ isolationLevel: 'serializable' }, /isolationLevel/],
    ['serializable', /options/],
  ]);
  test('begin() and transaction() refuse wrong options by name, and begin nothing', async (t) => {
    const pool = db.pool(t);
    let called = false;
    for (const [options, message] of [...WRONG, [{ retries: 'x' }, /retries/], [{ retries: -1 }, /retries/]]) {
      for (const promise of [
        pool.begin(options),
        pool.transaction(async () => {
          called = true;
        }, options),
      ]) {
        const error = await failureOf(promise);
        assert.equal(error.code, 'ERR_INVALID_PARAM');
        assert.match(error.message, /** @type {RegExp} */ (message));
      }
    }
    for (const callback of [undefined, null, 'x', {}])
      assert.equal((await failureOf(pool.transaction(callback))).code, 'ERR_INVALID_PARAM');
    assert.equal(called, false);
    assert.equal(pool.status().size, 0);
  });

  test('begin() readOnly: a write is 25006 at once, and the node is not taken for fenced', async (t) => {
    const pool = db.pool(t, { acquireTimeoutMs: 50_000 });
    const table = await tableFor(t);
    /** @type {string[]} */
    const fenced = [];
    pool.on('fenced', () => fenced.push('fenced'));
    const error = await failureOf(
      pool.transaction((/** @type {any} */ tx) => tx.query(`INSERT INTO ${table} VALUES (1)`), { readOnly: true }),
    );
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '25006', 'not-applied']);
    await pool.query(`INSERT INTO ${table} VALUES (1)`);
    assert.deepEqual(fenced, []);
  });
});

describe('transaction()', () => {
  test('transaction() commits what the callback did, and resolves to what it returned', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    assert.equal(
      await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        return 'value';
      }),
      'value',
    );
    assert.equal(await pool.transaction(() => 5), 5, 'a callback need not be async');
    assert.deepEqual(await idsIn(table), [1]);
  });

  test('transaction() rolls back when the callback throws, and rejects with the thrown value', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
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
    assert.deepEqual(await idsIn(table), []);
    await until('the connection is back', () => pool.status().inUse === 0);
  });

  test('transaction() whose callback catches the error of a statement fails at the end, and nothing is applied', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    const error = await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        await tx.query('SELECT 1 / 0').catch(() => {});
      }),
    );
    assert.equal(error.code, '25P02');
    assert.deepEqual(await idsIn(table), []);
  });

  test('transaction() runs statements that the callback does not await before COMMIT', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    await pool.transaction((/** @type {any} */ tx) => {
      for (const i of range(5)) tx.query(`INSERT INTO ${table} VALUES ($1)`, [i]);
    });
    assert.deepEqual(await idsIn(table), range(5));
  });

  test('transaction(): the callback may end the transaction itself', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (1)`);
      await tx.rollback();
    });
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (2)`);
      await tx.commit();
    });
    assert.deepEqual(await idsIn(table), [2]);
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
    const table = await tableFor(t);
    await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        await pool.transaction((/** @type {any} */ other) => other.query(`INSERT INTO ${table} VALUES (2)`));
        throw new Error('outer');
      }),
    );
    assert.deepEqual(await idsIn(table), [2]);
  });

  test('transaction(): 1,000 over 4 connections, each applied wholly or not at all', async (t) => {
    const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 60_000 });
    const table = await tableFor(t);
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
      await idsIn(table),
      range(1_000)
        .filter((i) => i % 3 === 0)
        .flatMap((i) => [i * 2, i * 2 + 1]),
    );
  });

  test('transaction() with retries runs again after a serialization failure, and only when asked', async (t) => {
    const pool = db.pool(t, { poolSize: 4 });
    const table = await tableFor(t);
    await pool.query(`INSERT INTO ${table} VALUES (0)`);
    let runs = 0;
    const increment = async (/** @type {any} */ tx) => {
      runs++;
      const [{ id }] = await tx.query(`SELECT id FROM ${table}`);
      await sleep(20);
      await tx.query(`UPDATE ${table} SET id = $1`, [id + 1]);
    };
    const without = await endings(range(3).map(() => pool.transaction(increment, { isolation: 'serializable' })));
    const failed = without.filter(({ error }) => error);
    assert.ok(failed.length > 0);
    for (const { error } of failed) assert.deepEqual([error.code, error.outcome], ['40001', 'not-applied']);
    assert.equal(runs, 3);
    const [before] = await idsIn(table);
    await Promise.all(range(4).map(() => pool.transaction(increment, { isolation: 'serializable', retries: 50 })));
    assert.deepEqual(await idsIn(table), [before + 4]);
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
    return { pool, kill, table: await tableFor(t) };
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
    assert.deepEqual(await idsIn(table), []);
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
    assert.deepEqual(await idsIn(table), []);
  });

  test('rollback() on a broken connection succeeds, because the server has rolled back', async (t) => {
    const { pool, kill, table } = await killable(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await kill();
    await tx.rollback();
    assert.deepEqual(await idsIn(table), []);
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
    assert.deepEqual(await idsIn(table), [1, 2]);
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
    const table = await tableFor(t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    await pool.end();
    assert.deepEqual(await idsIn(table), []);
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
    const table = await tableFor(t);
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
    assert.deepEqual(await idsIn(table), [1, 2]);
  });

  test('await using rolls back a transaction that was not committed', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    // What `await using tx = await pool.begin()` calls at the end of its block.
    const first = await pool.begin();
    await first.query(`INSERT INTO ${table} VALUES (1)`);
    await first[asyncDispose]();
    const second = await pool.begin();
    await second.query(`INSERT INTO ${table} VALUES (2)`);
    await second.commit();
    await second[asyncDispose]();
    assert.deepEqual(await idsIn(table), [2]);
    if (Symbol.asyncDispose) assert.equal(typeof first[Symbol.asyncDispose], 'function');
  });
});
