'use strict';

// begin(): statements, ends and savepoints of a transaction; and the options of begin() and transaction().

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { inspect } = require('node:util');
const { test, failureOf, range, until, useCluster } = require('../support/helpers');
const { assertEnded, idsIn, tableFor } = require('../support/transactions');

const db = useCluster({ nodes: 3 });

const asyncDispose = /** @type {any} */ (Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'));

describe('begin()', () => {
  test('begin(): commit() makes the changes last, rollback() undoes them', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    for (const [id, end, expected] of /** @type {const} */ ([
      [1, 'commit', [1]],
      [2, 'rollback', [1]],
      [3, 'commit', [1, 3]],
    ])) {
      const tx = await pool.begin();
      assert.equal((await tx.query(`INSERT INTO ${table} VALUES ($1)`, [id])).rowCount, 1);
      assert.deepEqual(
        await idsIn(db, table),
        expected.filter((one) => one !== id),
        'nobody else sees it',
      );
      assert.equal(await tx[end](), undefined);
      assert.deepEqual(await idsIn(db, table), expected);
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
    const table = await tableFor(db, t);
    const tx = await pool.begin();
    const inserts = range(5).map((i) => tx.query(`INSERT INTO ${table} SELECT $1::int4 FROM pg_sleep(0.01)`, [i]));
    await tx.commit();
    for (const answer of await Promise.all(inserts)) assert.equal(answer.rowCount, 1);
    assert.deepEqual(await idsIn(db, table), range(5));
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
    const table = await tableFor(db, t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    assert.equal((await failureOf(tx.query('SELECT 1 / 0'))).code, '22012');
    const aborted = await failureOf(tx.query('SELECT 1'));
    assert.deepEqual([aborted.code, aborted.outcome], ['25P02', 'not-applied']);
    const error = await failureOf(tx.commit());
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '25P02', 'not-applied']);
    assert.deepEqual(await idsIn(db, table), []);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('begin(): a wrong parameter does not abort the transaction', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
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
    assert.deepEqual(await idsIn(db, table), [1, 2]);
  });

  test('begin(): ROLLBACK TO SAVEPOINT undoes a part of the transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
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
    assert.deepEqual(await idsIn(db, table), [1, 3]);
  });

  test('begin(): a deferred constraint fails at commit(): not applied, and the connection is clean', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1), (1)`);
    const error = await failureOf(tx.commit());
    assert.deepEqual([error.code, error.outcome], ['23505', 'not-applied']);
    assert.deepEqual(await idsIn(db, table), []);
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

  test('begin(): large results arrive, and an error in the middle of one leaves the connection usable', async (t) => {
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
    const table = await tableFor(db, t);
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
