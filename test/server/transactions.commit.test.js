'use strict';

// tx.query(sql, params, { commit: true }): COMMIT goes with the last statement of a transaction.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { failureOf, sleep, test, useCluster } = require('../support/helpers');
const { COMMIT, assertEnded, idsIn, piecesOf, tableFor, watched } = require('../support/transactions');

const db = useCluster({ nodes: 1, synchronous: false });

const LAST = { commit: true };

/**
 * Runs work until it was sent in so many pieces.
 * @param {number} pieces
 * @param {() => string[]} sent
 * @param {() => Promise<unknown>} work
 */
const inPieces = (pieces, sent, work) =>
  piecesOf(`it travels in ${pieces} pieces`, sent, work, ({ length }) => length === pieces);

describe('commit: true', () => {
  test('commit: a transaction of three statements takes three round trips, and COMMIT is the end of the third', async (t) => {
    db.needsVersion(14, 'on older servers BEGIN goes alone');
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    let id = 0;
    const run = () =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES ($1)`, [++id]);
        await tx.query(`UPDATE ${table} SET id = id WHERE id = $1`, [id]);
        const rows = await tx.query(`INSERT INTO ${table} VALUES ($1) RETURNING id`, [++id], LAST);
        assert.deepEqual([[...rows], rows.rowCount, rows.command], [[{ id }], 1, 'INSERT']);
        assert.equal(tx.ended, true);
        return rows[0].id;
      });
    const pieces = await inPieces(3, sent, async () => assert.equal(await run(), id));
    assert.ok(pieces[0].startsWith('Q\0\0\0\x0aBEGIN\0'), 'BEGIN goes with the first');
    // As a query, or behind a savepoint if the machine has paused.
    assert.ok(pieces[2].includes('COMMIT'));
    assert.equal(pieces.join('').split('COMMIT').length - 1, 1, 'COMMIT is sent once');
    assert.equal((await idsIn(db, table)).length, id);
  });

  test('commit: the first statement of a transaction, and one of begin()', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    for (let i = 0; i < 3; i++) {
      await pool.transaction((/** @type {any} */ tx) => tx.query(`INSERT INTO ${table} VALUES ($1)`, [i], LAST));
      const tx = await pool.begin();
      const rows = await tx.query(`INSERT INTO ${table} VALUES ($1) RETURNING id`, [i + 10], {
        ...LAST,
        rowMode: 'array',
      });
      assert.deepEqual([[...rows], tx.ended], [[[i + 10]], true]);
    }
    assert.deepEqual(await idsIn(db, table), [0, 1, 2, 10, 11, 12]);
    assert.equal(pool.status().available, 1);
  });

  test('commit: a statement that is not prepared yet is prepared, and then takes COMMIT with it', async (t) => {
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    let n = 0;
    const pieces = await inPieces(3, sent, () =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES ($1)`, [++n]);
        await tx.query(`INSERT INTO ${table} VALUES ($1 + ${n} * 1000)`, [n], LAST);
      }),
    );
    assert.match(pieces[1], /^P/);
    assert.ok(pieces[2].includes('COMMIT') && pieces[2] !== COMMIT);
    assert.equal((await idsIn(db, table)).length, 2 * n);
  });

  test('commit: after a pause the plans are in doubt, and a transaction of three statements takes three round trips all the same', async (t) => {
    db.needsVersion(14, 'on older servers BEGIN goes alone');
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    for (let run = 0; run < 5; run++) {
      await sleep(5);
      sent();
      const rows = await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES ($1)`, [run * 3]);
        await tx.query(`INSERT INTO ${table} VALUES ($1 + 1)`, [run * 3]);
        return tx.query(`INSERT INTO ${table} VALUES ($1 + 2) RETURNING *`, [run * 3], LAST);
      });
      assert.deepEqual([...rows], [{ id: run * 3 + 2 }]);
      const pieces = sent();
      // The first statements of a pool are followed by a reset, until the pool knows the functions of the database.
      if (run > 1) assert.equal(pieces.length, 3, pieces.join('\n'));
      if (run > 1) assert.match(pieces[2], /SAVEPOINT.*RELEASE.*COMMIT/s);
    }
    assert.equal((await idsIn(db, table)).length, 15);
  });

  test('commit: a statement whose plan is out of date is bound behind a savepoint, and runs again before COMMIT', async (t) => {
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    const run = (/** @type {number} */ id) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        return tx.query(`INSERT INTO ${table} VALUES ($1) RETURNING *`, [id], LAST);
      });
    await run(1);
    await run(2);
    await db.sql(`ALTER TABLE ${table} ADD COLUMN more int DEFAULT 5`);
    sent();
    assert.deepEqual([...(await run(3))], [{ id: 3, more: 5 }], 'it has run again with a new plan');
    const pieces = sent();
    const commits = pieces.flatMap((piece, at) => (piece.includes('COMMIT') ? [at] : []));
    const undone = pieces.findIndex((piece) => piece.includes('ROLLBACK TO'));
    assert.equal(commits.length, 2, 'the server has skipped the first');
    assert.ok(commits[0] < undone && commits[1] > undone, 'nothing was committed that the second run needed');
    assert.deepEqual(await idsIn(db, table), [1, 2, 3]);
  });

  test('commit: with statements without names (prepare: false), and with serializers that must learn the types first', async (t) => {
    const table = await tableFor(db, t);
    const types = { serializers: { int4: (/** @type {any} */ value) => String(value.id) } };
    const ways = /** @type {[Record<string, unknown>, (id: number) => unknown][]} */ ([
      [{ prepare: false }, (id) => id],
      [{ types }, (id) => ({ id })],
    ]);
    for (const [at, [options, param]] of ways.entries()) {
      const pool = db.pool(t, { poolSize: 1, ...options });
      for (let i = 1; i <= 3; i++) {
        await pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query('SELECT 1');
          await tx.query(`INSERT INTO ${table} VALUES ($1::int4)`, [param(at * 10 + i)], LAST);
          assertEnded(await failureOf(tx.query('SELECT 1')));
        });
      }
    }
    assert.deepEqual(await idsIn(db, table), [1, 2, 3, 11, 12, 13]);
  });

  test('commit: the transaction is over when it was called, before the answer has come', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    const last = tx.query(`INSERT INTO ${table} VALUES (2)`, [], LAST);
    assert.equal(tx.ended, true);
    for (const late of [
      tx.query('SELECT 1'),
      tx.query('SELECT 1', [], LAST),
      tx.commit(),
      tx.rollback(),
      tx.exec('SELECT 1'),
    ]) {
      assertEnded(await failureOf(late));
    }
    await last;
    const error = await failureOf(tx.commit());
    assertEnded(error);
    assert.match(error.message, /committed/);
    assert.deepEqual(await idsIn(db, table), [1, 2]);
  });

  test('commit: transaction() waits for a last statement that its callback does not await', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    await pool.transaction((/** @type {any} */ tx) => {
      for (let id = 1; id < 4; id++) tx.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
      tx.query(`INSERT INTO ${table} VALUES (4)`, [], LAST);
    });
    assert.deepEqual(await idsIn(db, table), [1, 2, 3, 4]);
    const error = await failureOf(
      pool.transaction((/** @type {any} */ tx) => {
        tx.query(`INSERT INTO ${table} VALUES (5)`);
        tx.query('SELECT 1 / 0', [], LAST).catch(() => {});
      }),
    );
    assert.equal(error.code, '22012', 'also if the callback hides the failure');
    assert.deepEqual(await idsIn(db, table), [1, 2, 3, 4]);
  });

  test('commit: waits for savepoints that were begun before it', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    await pool.transaction(async (/** @type {any} */ tx) => {
      tx.transaction(async (/** @type {any} */ part) => {
        for (let id = 1; id < 4; id++) await part.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
      });
      await tx.query(`INSERT INTO ${table} SELECT count(*) + 10 FROM ${table}`, [], LAST);
    });
    assert.deepEqual(await idsIn(db, table), [1, 2, 3, 13]);
  });

  test('commit: false and undefined are as if it was not given', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    for (const commit of [false, undefined]) await tx.query('SELECT 1', [], { commit });
    assert.equal(tx.ended, false);
    await tx.rollback();
  });
});

describe('what refuses commit: true', () => {
  /** @type {[string, string, RegExp, (pool: any, tx: any) => unknown][]} */
  const refused = [
    [
      'query() of a pool',
      'ERR_INVALID_PARAM',
      /^commit: there is no transaction/,
      (pool) => pool.query('SELECT 1', [], LAST),
    ],
    [
      'many() of a pool',
      'ERR_INVALID_PARAM',
      /^commit: there is no transaction/,
      (pool) => pool.many('SELECT 1', [], LAST),
    ],
    ['read()', 'ERR_INVALID_PARAM', /^commit: there is no transaction/, (pool) => pool.read('SELECT 1', [], LAST)],
    ['batch() of a pool', 'ERR_INVALID_PARAM', /^commit: /, (pool) => pool.batch(['SELECT 1'], LAST)],
    ['batch()', 'ERR_INVALID_PARAM', /^commit: a batch/, (_, tx) => tx.batch(['SELECT 1'], LAST)],
    ['one()', 'ERR_INVALID_PARAM', /^commit: what one\(\) expects/, (_, tx) => tx.one('SELECT 1', [], LAST)],
    ['maybeOne()', 'ERR_INVALID_PARAM', /^commit: what maybeOne\(\)/, (_, tx) => tx.maybeOne('SELECT 1', [], LAST)],
    ['many()', 'ERR_INVALID_PARAM', /^commit: what many\(\)/, (_, tx) => tx.many('SELECT 1', [], LAST)],
    ['value()', 'ERR_INVALID_PARAM', /^commit: what value\(\)/, (_, tx) => tx.value('SELECT 1', [], LAST)],
    ['exec()', 'ERR_INVALID_PARAM', /^commit: only query\(\)/, (_, tx) => tx.exec('SELECT 1', LAST)],
    ['copyFrom()', 'ERR_INVALID_PARAM', /^commit: only query\(\)/, (_, tx) => tx.copyFrom('t', [], LAST)],
    ['copyTo()', 'ERR_INVALID_PARAM', /^commit: only query\(\)/, async (_, tx) => tx.copyTo('t', LAST)],
    ['stream()', 'ERR_INVALID_PARAM', /^commit: only query\(\)/, async (_, tx) => tx.stream('SELECT 1', [], LAST)],
    [
      'another value',
      'ERR_INVALID_PARAM',
      /^commit must be a boolean/,
      (_, tx) => tx.query('SELECT 1', [], { commit: 1 }),
    ],
    [
      'a savepoint',
      'ERR_TRANSACTION_OPEN',
      /^commit: a part/,
      (_, tx) => tx.transaction((/** @type {any} */ part) => part.query('SELECT 1', [], LAST)),
    ],
    [
      'the transaction within a savepoint',
      'ERR_TRANSACTION_OPEN',
      /^commit was called within a part/,
      (_, tx) => tx.transaction(() => tx.query('SELECT 1', [], LAST)),
    ],
  ];
  for (const [what, code, message, call] of refused) {
    test(`commit: ${what} refuses it, and the transaction goes on`, async (t) => {
      const pool = db.pool(t, { poolSize: 2 });
      const tx = await pool.begin();
      const error = await failureOf(Promise.resolve().then(() => call(pool, tx)));
      assert.equal(error.code, code, error.stack);
      assert.match(error.message, message);
      assert.equal(tx.ended, false);
      assert.equal(await tx.value('SELECT 1 AS v'), 1);
      await tx.commit();
    });
  }

  test('commit: a nested transaction that has joined refuses it', async (t) => {
    const pool = db.pool(t, { ambient: true });
    await pool.transaction(async (/** @type {any} */ tx) => {
      const error = await failureOf(pool.transaction((/** @type {any} */ inner) => inner.query('SELECT 1', [], LAST)));
      assert.equal(error.code, 'ERR_TRANSACTION_OPEN');
      assert.match((await failureOf(pool.query('SELECT 1', [], LAST))).message, /^commit: the call has joined/);
      assert.equal(tx.ended, false);
    });
  });
});
