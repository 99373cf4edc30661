'use strict';

// BEGIN travels with the first statement of its transaction: which round trips that saves, and that no statement ever runs outside
// of its transaction.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, failureOf, ownCluster, poolFor, range, sleep, until, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 2 });

/** @param {import('node:test').TestContext} t */
async function tableFor(t) {
  const name = `b_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(`CREATE TABLE ${name} (id int PRIMARY KEY)`);
  t.after(() => db.sql(`DROP TABLE ${name}`));
  return name;
}

/** @param {string} table */
const idsIn = async (table) => (await db.sql(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => id);

describe('flights of a transaction', () => {
  const one = 'SELECT $1::int4 AS v';
  /** A statement in a transaction. After a pause of the connection it is bound behind a savepoint, in the same flight. */
  const bound = /^(P.{5}SAVEPOINT hyperiondb_plan\0.*)?B/s;
  /** What each way to run a transaction sends, one pattern for each flight. @type {[string, object, (pool: any) => Promise<unknown>, RegExp[]][]} */
  const table = [
    [
      'transaction(cb)',
      {},
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(one, [2])),
      [/BEGIN.*B/s, /COMMIT/],
    ],
    [
      'begin()',
      {},
      async (pool) => {
        const tx = await pool.begin({ isolation: 'serializable' });
        await tx.query(one, [2]);
        await tx.query(one, [3]);
        await tx.rollback();
      },
      [/BEGIN ISOLATION LEVEL SERIALIZABLE.*B/s, bound, /ROLLBACK/],
    ],
    ['a callback without statements sends nothing', {}, (pool) => pool.transaction(() => 1), []],
    ['begin() and commit() alone send nothing', {}, async (pool) => (await pool.begin()).commit(), []],
    [
      'a statement with a limit: BEGIN goes alone, so that a cancel does not hit it',
      {},
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(one, [2], { timeoutMs: 10_000 })),
      [/BEGIN\0$/, bound, /COMMIT/],
    ],
    [
      'a session with a statement_timeout: BEGIN goes alone',
      { statementTimeoutMs: 10_000 },
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(one, [2])),
      [/BEGIN\0$/, bound, /COMMIT/],
    ],
    [
      'a statement that is not prepared yet: BEGIN goes alone',
      {},
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT $1::int4 AS other', [2])),
      [/BEGIN\0$/, /^P/, bound, /COMMIT/],
    ],
  ];
  for (const [name, options, run, expected] of table) {
    test(`flights of a transaction: ${name}`, async (t) => {
      db.needsVersion(14, 'older servers do not report their role');
      const { host, sent } = await relayTo(t, db.cluster.primary());
      const pool = db.pool(t, { hosts: [host], monitor: false, poolSize: 1, ...options });
      await pool.query(one, [1]);
      await sleep(200);
      sent();
      await run(pool);
      const flights = sent();
      assert.equal(flights.length, expected.length, JSON.stringify(flights));
      for (const [index, pattern] of expected.entries()) assert.match(flights[index], pattern);
      assert.deepEqual(await pool.query(one, [4]), [{ v: 4 }], 'the connection is clean');
    });
  }
});

describe('the first statement of a transaction', () => {
  for (const known of [true, false]) {
    test(`the first statement of a transaction is refused by the server, ${known ? 'prepared before' : 'not prepared yet'}: the transaction is aborted`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const table = await tableFor(t);
      const insert = `INSERT INTO ${table} VALUES ($1)`;
      await pool.query(insert, [1]);
      const bad = known ? insert : 'SELECT nonsense';
      const tx = await pool.begin();
      const refused = await failureOf(tx.query(bad, known ? [1] : []));
      assert.equal(refused.code, known ? '23505' : '42703');
      assert.equal((await failureOf(tx.query(insert, [2]))).code, '25P02');
      assert.equal((await failureOf(tx.commit())).code, '25P02');
      assert.deepEqual(await idsIn(table), [1]);
      assert.deepEqual(pool.status(), { ...pool.status(), inUse: 0, size: 1 });
    });
  }

  test('the first statement of a transaction has a wrong parameter: nothing is sent, and the transaction goes on', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    const insert = `INSERT INTO ${table} VALUES ($1)`;
    await pool.query(insert, [1]);
    for (const wrong of [[], ['x', 'y'], [3.5], [2 ** 31]]) {
      const tx = await pool.begin();
      assert.equal((await failureOf(tx.query(insert, wrong))).code, 'ERR_INVALID_PARAM');
      await tx.query(insert, [2]);
      await tx.query(insert, [3]);
      await tx.rollback();
      assert.deepEqual(await idsIn(table), [1]);
    }
  });

  test('the first statement of a transaction is cancelled: nothing of it stays, and the connection is clean', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(t);
    const slow = `INSERT INTO ${table} SELECT $1::int4 FROM pg_sleep($2)`;
    await pool.query(slow, [1, 0]);
    for (const limit of [() => ({ timeoutMs: 30 }), () => ({ signal: AbortSignal.timeout(30) })]) {
      const tx = await pool.begin();
      const error = await failureOf(tx.query(slow, [2, 10], limit()));
      assert.equal(error.outcome, 'not-applied', error.stack);
      await failureOf(tx.commit());
    }
    await pool.query(slow, [3, 0]);
    assert.deepEqual(await idsIn(table), [1, 3]);
  });

  test('the first statement behind a BEGIN that the server refused has an error that says so', async (t) => {
    db.needsVersion(14, 'older servers do not report their role');
    let spoil = false;
    const { host } = await relayTo(t, db.cluster.primary(), (piece) => {
      const at = spoil ? piece.indexOf('BEGIN\0') : -1;
      if (at >= 0) piece.write('BEGIM', at, 'latin1');
      return piece;
    });
    const pool = db.pool(t, { hosts: [host], poolSize: 1 });
    const table = await tableFor(t);
    const insert = `INSERT INTO ${table} VALUES ($1)`;
    await pool.query(insert, [1]);
    spoil = true;
    const error = await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query(insert, [2])));
    spoil = false;
    assert.equal(error.code, '42601');
    assert.match(error.message, /BEGIN failed, and the statement sent with it took effect by itself/);
    assert.equal(error.outcome, 'applied');
    assert.deepEqual(await idsIn(table), [1, 2]);
    await pool.transaction((/** @type {any} */ tx) => tx.query(insert, [3]));
    assert.deepEqual(await idsIn(table), [1, 2, 3]);
  });
});

describe('before the first statement of a transaction', () => {
  test('begin(): a connection that breaks before the first statement is replaced', async (t) => {
    const applicationName = `begin-${process.pid}-${Math.random()}`;
    const pool = db.pool(t, { applicationName, poolSize: 2 });
    const table = await tableFor(t);
    const insert = `INSERT INTO ${table} VALUES ($1)`;
    for (const id of range(3)) {
      const tx = await pool.begin();
      await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        applicationName,
      ]);
      await sleep(50 * id);
      await tx.query(insert, [id]);
      await tx.commit();
    }
    assert.deepEqual(await idsIn(table), range(3));
  });

  test('begin(): a fence before the first statement is waited out', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote', 'fence');
    const [old, next] = own.cluster.nodes;
    const pool = poolFor(t, own.options({ poolSize: 4 }));
    await pool.query('CREATE TABLE moved (id int)');
    await until(
      'replicated',
      async () => (await next.sql("SELECT 1 FROM pg_class WHERE relname = 'moved'")).length > 0,
    );
    const open = await Promise.all(range(3).map(() => pool.begin()));
    await old.fence();
    await next.promote();
    const inserted = open.map(async (tx, id) => {
      await tx.query('INSERT INTO moved VALUES ($1)', [id]);
      await tx.commit();
    });
    await Promise.all(inserted);
    assert.equal((await next.sql('SELECT count(*)::int AS n FROM moved'))[0].n, 3);
  });

  test('transaction() without a free connection: the caller and the statements within have the reason as their error', async (t) => {
    const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 200 });
    const held = await pool.begin();
    let called = 0;
    /** @type {Promise<any>[]} */
    const inside = [];
    const outer = await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        called++;
        inside.push(failureOf(tx.query('SELECT 1')), failureOf(tx.query('SELECT 2')));
        await Promise.all(inside);
        inside.push(failureOf(tx.query('SELECT 3')));
        return 'swallowed';
      }),
    );
    assert.equal(called, 1);
    assert.equal(outer.code, 'ERR_ACQUIRE_TIMEOUT');
    assert.match(outer.stack, /begin\.test\.js/, 'the stack leads to the caller');
    for (const error of await Promise.all(inside.slice(0, 2))) assert.equal(error.code, 'ERR_ACQUIRE_TIMEOUT');
    assert.equal((await failureOf(pool.begin())).code, 'ERR_ACQUIRE_TIMEOUT');
    await held.rollback();
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'));
    assert.deepEqual(pool.status(), { ...pool.status(), inUse: 0, waiting: 0 });
  });
});

test('transaction() with an aborted signal calls no callback and sends nothing', async (t) => {
  const pool = db.pool(t);
  const error = await failureOf(
    pool.transaction(() => assert.fail('called'), { signal: AbortSignal.abort(new Error('no')) }),
  );
  assert.equal(error.name, 'AbortError');
  assert.equal(pool.status().size, 0);
});
