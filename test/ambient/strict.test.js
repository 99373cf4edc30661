'use strict';

// ambient: 'strict', which refuses what would join; and the join of the test kit, by which every call joins.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { failureOf, sleep, test, useCluster } = require('../support/helpers');
const { assertIdle, failure, scene, xidOf } = require('./tables.js');

const db = useCluster({ nodes: 1 });
const JOIN = Symbol.for('hyperiondb-client.join');

/** @typedef {any} Tx */

describe("ambient: 'strict'", () => {
  test('refuses every call on the pool within a transaction, and sends nothing', async (t) => {
    const { pool, table, seen, write } = await scene(db, t, { ambient: 'strict' });
    const insert = `INSERT INTO ${table} VALUES ('x')`;
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      const calls = [
        () => pool.query(insert),
        () => pool.sql`select 1`,
        () => pool.value('SELECT 1'),
        () => pool.batch([insert]),
        async () => pool.stream(insert),
        () => pool.exec(insert),
        async () => pool.copyTo(table),
        () => pool.copyFrom(`${table} (note)`, [['x']]),
        () => pool.read('SELECT 1'),
        async () => pool.read.stream('SELECT 1'),
        () => pool.notify('x'),
        () => pool.begin(),
        () => pool.token(),
        () => pool.transaction(() => 1),
        () => pool.transaction(() => 1, { nested: 'savepoint' }),
      ];
      for (const call of calls) assert.equal((await failureOf(call())).code, 'ERR_TRANSACTION_OPEN', String(call));
      assert.equal(pool.inTransaction, true);
      await write(tx, 'by tx');
      await tx.transaction(async (/** @type {Tx} */ inner) => {
        assert.equal((await failureOf(pool.query(insert))).code, 'ERR_TRANSACTION_OPEN');
        await write(inner, 'in a savepoint');
        await write(tx, 'by the outer tx');
      });
      await pool.outside(() => write(pool, 'outside'));
    });
    assert.deepEqual((await seen()).sort(), ['by the outer tx', 'by tx', 'in a savepoint', 'outside']);
    await write(pool, 'after');
    assertIdle(pool);
  });

  test('says that a transaction has ended, where a call outlives it', async (t) => {
    const { pool, write } = await scene(db, t, { ambient: 'strict' });
    /** @type {Promise<any> | undefined} */
    let late;
    await pool.transaction(() => {
      late = failureOf(sleep(20).then(() => write(pool, 'late')));
    });
    assert.equal((await late).code, 'ERR_TRANSACTION_ENDED');
  });
});

for (const ambient of [false, true, 'strict']) {
  describe(`the join of the test kit, ambient: ${ambient}`, () => {
    test('every call joins, whatever its context; nested transactions are savepoints', async (t) => {
      const { pool, seen, write } = await scene(db, t, { ambient });
      const tx = await pool.begin();
      pool[JOIN](tx);
      await write(pool, 'a');
      assert.equal(pool.inTransaction, true);
      assert.equal(await xidOf(pool), await xidOf(tx));
      await new Promise((resolve) => setTimeout(() => resolve(write(pool, 'b')), 1));
      const error = await failureOf(
        pool.transaction(async (/** @type {Tx} */ inner) => {
          await write(inner, 'undone');
          await pool.outside(() => write(pool, 'undone, too'));
          throw failure();
        }),
      );
      assert.ok(error.isMeant, error.stack);
      await pool.transaction((/** @type {Tx} */ inner) => write(inner, 'c'), { retries: 3, nested: 'error' });
      assert.equal(typeof (await pool.token()), 'string');
      assert.equal((await failureOf(pool.begin())).code, 'ERR_TRANSACTION_OPEN');
      const notes = (await tx.query(`SELECT note FROM ${await tableOf(tx)} ORDER BY ctid`)).map(
        (/** @type {any} */ { note }) => note,
      );
      assert.deepEqual(notes, ['a', 'b', 'c']);
      pool[JOIN](undefined);
      assert.equal(pool.inTransaction, false);
      await tx.rollback();
      assert.deepEqual(await seen(), []);
      await write(pool, 'alone');
      assert.deepEqual(await seen(), ['alone']);
      assertIdle(pool);
    });

    test('a part of a transaction can be joined; after its end calls are refused until the join ends', async (t) => {
      const { pool, seen, write } = await scene(db, t, { ambient });
      const tx = await pool.begin();
      await failureOf(
        tx.transaction(async (/** @type {Tx} */ inner) => {
          pool[JOIN](inner);
          await write(pool, 'undone');
          throw failure();
        }),
      );
      assert.equal((await failureOf(write(pool, 'late'))).code, 'ERR_TRANSACTION_ENDED');
      pool[JOIN](undefined);
      await tx.commit();
      assert.deepEqual(await seen(), []);
    });
  });
}

/** The test's table. @param {any} tx */
const tableOf = (tx) =>
  tx.value(`SELECT relname FROM pg_class WHERE relname LIKE 'ambient_%' AND relkind = 'r' ORDER BY oid DESC LIMIT 1`);

test('within a join, nested transactions of the code under test are what they would be without', async (t) => {
  const { pool } = await scene(db, t, { ambient: true });
  const tx = await pool.begin();
  pool[JOIN](tx);
  await pool.transaction(async () => {
    // Here the code under test is in a transaction of its own.
    assert.equal((await failureOf(pool.transaction(() => 1, { nested: 'error' }))).code, 'ERR_TRANSACTION_OPEN');
    assert.match((await failureOf(pool.transaction(() => 1, { retries: 3 }))).message, /^retries: /);
    assert.equal(await pool.transaction(() => 1), 1);
  });
  pool[JOIN](undefined);
  await tx.rollback();
  assert.throws(() => pool[JOIN]({}), { code: 'ERR_INVALID_PARAM' });
  const foreign = await db.pool(t).begin();
  assert.throws(() => pool[JOIN](foreign), { code: 'ERR_INVALID_PARAM' });
  await foreign.rollback();
});
