'use strict';

// The channel hyperiondb:transaction of node:diagnostics_channel: from BEGIN to the end, and what became of it.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { failureOf, sleep, test, until, useCluster } = require('../support/helpers.js');
const { tableFor } = require('../support/transactions.js');
const { loseOne, lossyPool, makeTable } = require('../exactly-once/support.js');
const { FAILURE, SUCCESS, listenTo } = require('./listen.js');

const db = useCluster({ nodes: 1, synchronous: false, settings: { max_prepared_transactions: 10 } });
before(async () => {
  await db.started;
  await makeTable(db);
});
const address = () => db.cluster.primary().address;

/** @param {{ heard: import('./listen.js').Heard[] }} listened */
const outcomes = (listened) =>
  listened.heard.filter(({ event }) => event === 'asyncEnd').map(({ message }) => [message.outcome, message.attempts]);

const failing = () => {
  throw new Error('of the callback');
};

describe('hyperiondb:transaction of transaction()', () => {
  test('transaction: committed, with its options and node; a savepoint is no transaction of its own', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const value = await pool.transaction(
      async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        return tx.transaction((/** @type {any} */ part) => part.value('SELECT 2 AS two'));
      },
      { isolation: 'repeatable read', readOnly: true, durability: 'off' },
    );
    assert.equal(value, 2);
    assert.deepEqual(told.events(), SUCCESS);
    const [known] = told.ended();
    assert.deepEqual(
      { ...known, pool: known.pool === pool },
      {
        pool: true,
        isolation: 'repeatable read',
        readOnly: true,
        deferrable: undefined,
        durability: 'off',
        attempts: 1,
        node: address(),
        outcome: 'committed',
        error: undefined,
      },
    );
  });

  test('transaction: ends once when its last statement brings COMMIT with it, whatever becomes of that', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const last = { commit: true };
    /** @type {[string, (tx: any) => Promise<unknown>, string | undefined][]} */
    const bodies = [
      ['committed', (tx) => tx.query(`INSERT INTO ${table} VALUES (1)`, [], last), undefined],
      ['rolled back', (tx) => tx.query('SELECT 1 / 0', [], last), '22012'],
      ['rolled back', (tx) => tx.query(`INSERT INTO ${table} VALUES (1)`, [], last), '23505'],
      ['rolled back', (tx) => tx.query(`INSERT INTO ${table} VALUES ($1)`, [Symbol('s')], last), 'ERR_INVALID_PARAM'],
      [
        'committed',
        async (tx) => {
          await tx.query('SELECT 1', [], last);
          throw Object.assign(new Error('of the callback'), { code: 'MINE' });
        },
        'MINE',
      ],
    ];
    for (const [at, [outcome, body, code]] of bodies.entries()) {
      const run = pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        await body(tx);
      });
      if (code === undefined) await run;
      else assert.equal((await failureOf(run)).code, code);
      assert.deepEqual(outcomes(told)[at * 2], [outcome, 1], `transaction() ${at}`);
      // The row of the first is there.
      const tx = await pool.begin();
      await (at === 0 ? tx.rollback() : body(tx).catch(() => {}));
      assert.equal(tx.ended, true);
      assert.deepEqual(outcomes(told)[at * 2 + 1], [at === 0 ? 'rolled back' : outcome, 1], `begin() ${at}`);
    }
    assert.equal(outcomes(told).length, 10);
  });

  test('transaction: rolled back by an error of the callback, by the server, by its time limit, by its signal', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const errors = [
      await failureOf(pool.transaction(failing)),
      await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1 / 0'))),
      // The constraint is checked by COMMIT.
      await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query(`INSERT INTO ${table} VALUES (1), (1)`))),
      await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('SELECT pg_sleep(60)'), { timeoutMs: 30 })),
      await failureOf(pool.transaction(() => sleep(5_000), { signal: AbortSignal.timeout(30) })),
    ];
    assert.deepEqual(
      told.events(),
      errors.flatMap(() => FAILURE),
    );
    assert.deepEqual(
      told.ended().map(({ error }) => error),
      errors,
    );
    assert.deepEqual(
      outcomes(told),
      errors.map(() => ['rolled back', 1]),
    );
  });

  test('transaction: a callback that ends it itself, or throws nothing that is an error', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    await pool.transaction((/** @type {any} */ tx) => tx.rollback());
    await pool.transaction((/** @type {any} */ tx) => tx.commit());
    await pool
      .transaction(() => {
        throw undefined;
      })
      .catch(() => {});
    assert.deepEqual(outcomes(told), [
      ['rolled back', 1],
      ['committed', 1],
      ['rolled back', 1],
    ]);
    assert.deepEqual(told.events(), [...SUCCESS, ...SUCCESS, ...FAILURE]);
  });

  test('transaction: attempts are counted, and told once', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    let runs = 0;
    const work = async (/** @type {any} */ tx) => {
      if (++runs % 3 !== 0) await tx.query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$");
    };
    await pool.transaction(work, { retries: 2 });
    await failureOf(pool.transaction(work, { retries: 1 }));
    assert.deepEqual(outcomes(told), [
      ['committed', 3],
      ['rolled back', 2],
    ]);
    assert.deepEqual(told.events(), [...SUCCESS, ...FAILURE]);
  });

  test('transaction: a script that ends it', async (t) => {
    const pool = db.pool(t);
    await pool.exec('CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$');
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const error = await failureOf(pool.transaction((/** @type {any} */ tx) => tx.exec('CALL ends()')));
    assert.equal(told.ended()[0].error, error);
    assert.ok(['unknown', 'rolled back'].includes(told.ended()[0].outcome));
  });

  test('transaction: nobody could connect', async (t) => {
    const pool = db.pool(t, { hosts: '127.0.0.1:1', acquireTimeoutMs: 50 });
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1')));
    await failureOf(pool.begin());
    assert.deepEqual(told.events(), [...FAILURE, ...FAILURE]);
    assert.deepEqual(
      outcomes(told).map(([outcome]) => outcome),
      ['rolled back', 'rolled back'],
    );
    assert.equal(told.ended()[0].node, undefined);
  });

  for (const fault of /** @type {const} */ (['cut before', 'cut after'])) {
    test(`transaction: a COMMIT that is lost (${fault}) is unknown, and with exactlyOnce it is known`, async (t) => {
      const { relay, pool } = await lossyPool(t, db);
      const table = await tableFor(db, t);
      const told = listenTo(t, 'hyperiondb:transaction', pool);
      const insert = (/** @type {number} */ id) => (/** @type {any} */ tx) =>
        tx.query(`INSERT INTO ${table} VALUES (${id})`);
      loseOne(relay, fault);
      const error = await failureOf(pool.transaction(insert(1)));
      assert.equal(error.outcome, 'unknown');
      loseOne(relay, fault);
      await pool.transaction(insert(2), { exactlyOnce: true });
      loseOne(relay, fault);
      const [begun] = [await pool.begin()];
      await insert(3)(begun);
      await failureOf(begun.commit());
      assert.deepEqual(outcomes(told), [
        ['unknown', 1],
        ['committed', fault === 'cut before' ? 2 : 1],
        ['unknown', 1],
      ]);
      assert.deepEqual(told.events(), [...FAILURE, ...SUCCESS, ...FAILURE]);
    });
  }

  test('transaction: a key that was used before is committed, although nothing runs', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const once = { exactlyOnce: { key: 'once', remember: true } };
    const work = (/** @type {any} */ tx) => tx.value('SELECT 5 AS five');
    assert.equal(await pool.transaction(work, once), 5);
    assert.equal(await pool.transaction(work, once), 5);
    assert.deepEqual(outcomes(told), [
      ['committed', 1],
      ['committed', 1],
    ]);
  });
});

describe('hyperiondb:transaction of begin()', () => {
  test('begin: it is told from begin() to commit() or rollback()', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const first = await pool.begin();
    assert.deepEqual(told.events(), ['start', 'end']);
    await first.query('SELECT 1');
    await first.commit();
    const second = await pool.begin();
    await second.rollback();
    const third = await pool.begin();
    await third[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
    assert.deepEqual(outcomes(told), [
      ['committed', 1],
      ['rolled back', 1],
      ['rolled back', 1],
    ]);
    assert.deepEqual(
      told.ended().map(({ node }) => node),
      [address(), address(), address()],
    );
    await failureOf(first.commit());
    assert.equal(told.events().length, 12, 'an end is told once');
  });

  test('begin: a COMMIT that the server refuses has failed, one that is prepared is not committed yet', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const refused = await pool.begin();
    await refused.query(`INSERT INTO ${table} VALUES (1), (1)`);
    const error = await failureOf(refused.commit());
    const prepared = await pool.begin();
    await prepared.query(`INSERT INTO ${table} VALUES (2)`);
    await prepared[Symbol.for('hyperiondb-client.prepare')]('told');
    await pool[Symbol.for('hyperiondb-client.endPrepared')]('ROLLBACK', 'told');
    assert.deepEqual(outcomes(told), [
      ['rolled back', 1],
      ['prepared', 1],
    ]);
    assert.equal(told.ended()[0].error, error);
  });

  test('begin: one that nobody ends, and nobody has any more, is told as rolled back', async (t) => {
    const pool = db.pool(t);
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    await (async () => {
      const tx = await pool.begin();
      await tx.query('SELECT 1');
    })();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    await until('it is collected', () => {
      collect();
      return told.events().length === 4;
    });
    assert.deepEqual(outcomes(told), [['rolled back', 1]]);
  });

  test('begin: a transaction that began before anybody listened is not told', async (t) => {
    const pool = db.pool(t);
    const tx = await pool.begin();
    const told = listenTo(t, 'hyperiondb:transaction', pool);
    const queries = listenTo(t, 'hyperiondb:query', pool);
    await tx.query('SELECT 1');
    await tx.commit();
    assert.deepEqual(told.events(), []);
    assert.equal(queries.ended()[0].transaction, undefined);
  });
});
