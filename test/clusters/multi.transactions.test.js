'use strict';

// withTransaction(): one cluster has an ordinary transaction, several have one of two phases, and what is told of both.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, test } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const SETTINGS = { max_prepared_transactions: 20 };
const clusters = useClusters({
  users: { nodes: 1, settings: SETTINGS },
  orders: { nodes: 2, settings: SETTINGS },
  plain: { nodes: 1, settings: { max_prepared_transactions: 0 } },
});
before(async () => {
  await clusters.started;
  for (const name of ['users', 'orders', 'plain']) {
    await clusters
      .get(name)
      .sql('CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))');
    await clusters.get(name).sql('INSERT INTO accounts VALUES (1, 100)');
  }
});

/** @param {Record<string, unknown>} [orders] */
const both = (orders) =>
  clusters.configuration({ users: { schemas: ['users', 'more'] }, orders: { schemas: ['orders'], ...orders } });

/** @param {any} multi */
function eventsOf(multi) {
  /** @type {any[]} */
  const events = [];
  for (const name of ['transactionStarted', 'transactionCommitted', 'transactionAborted']) {
    multi.on(name, (/** @type {any} */ { id, clusters: ids }) => events.push([name.slice(11), ids, id]));
  }
  return events;
}

/** @param {any} multi @param {string} schema */
const balanceOf = async (multi, schema) =>
  (await multi.query('SELECT balance FROM accounts WHERE id = 1', [], { schema })).rows[0].balance;

const ADD = 'UPDATE accounts SET balance = balance + $1 WHERE id = 1 RETURNING balance';

test('withTransaction: schemas of one cluster have an ordinary transaction, in which nothing is prepared', async (t) => {
  const multi = await clusters.multi(t, both());
  const events = eventsOf(multi);
  const value = await multi.withTransaction(
    ['users', 'more'],
    async (/** @type {any} */ tx) => {
      const { rows, clusterId, cached, rowCount } = await tx.query(ADD, [5], { schema: 'users' });
      assert.deepEqual([[...rows], clusterId, cached, rowCount], [[{ balance: 105 }], 'users', false, 1]);
      assert.equal(
        (await tx.query('SHOW transaction_isolation', [], { schema: 'more' })).rows[0].transaction_isolation,
        'serializable',
      );
      await tx.query(ADD, [-5]);
      return [tx.pending, 'done'];
    },
    { isolation: 'serializable', timeoutMs: 20_000 },
  );
  assert.deepEqual(value, [[], 'done']);
  assert.equal(await balanceOf(multi, 'users'), 100);
  const [started, committed] = events;
  assert.deepEqual(
    [started.slice(0, 2), committed.slice(0, 2)],
    [
      ['Started', ['users']],
      ['Committed', ['users']],
    ],
  );
  assert.equal(started[2], committed[2]);
  assert.equal((await clusters.users.sql("SELECT to_regclass('hyperiondb_decisions') IS NULL AS none"))[0].none, true);
});

test('withTransaction: an ordinary transaction is run again as the pool does it, and undone when its callback fails', async (t) => {
  const multi = await clusters.multi(
    t,
    clusters.configuration({ users: { schemas: ['users'], transactionRetries: 2 } }),
  );
  let runs = 0;
  await multi.withTransaction(['users'], async (/** @type {any} */ tx) => {
    runs++;
    await tx.query(ADD, [1]);
    if (runs === 1) await tx.query("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$");
    await tx.query(ADD, [-1]);
  });
  assert.equal(runs, 2);
  const error = await failureOf(
    multi.withTransaction(['users'], async (/** @type {any} */ tx) => {
      await tx.query(ADD, [7]);
      throw new Error('no');
    }),
  );
  assert.equal(error.message, 'no');
  assert.equal(await balanceOf(multi, 'users'), 100);
});

test('withTransaction: schemas of two clusters are all or nothing', async (t) => {
  const multi = await clusters.multi(t, both());
  const events = eventsOf(multi);
  const transfer = (/** @type {number} */ amount) =>
    multi.withTransaction(['users', 'orders'], async (/** @type {any} */ tx) => {
      await tx.query(ADD, [-amount], { schema: 'users' });
      await tx.query(ADD, [amount], { schema: 'orders' });
    });
  await transfer(40);
  assert.deepEqual([await balanceOf(multi, 'users'), await balanceOf(multi, 'orders')], [60, 140]);
  assert.equal((await failureOf(transfer(-141))).code, '23514');
  assert.equal((await failureOf(transfer(61))).code, '23514');
  assert.deepEqual([await balanceOf(multi, 'users'), await balanceOf(multi, 'orders')], [60, 140]);
  await transfer(-40);
  assert.deepEqual(
    events.map(([name]) => name),
    ['Started', 'Committed', 'Started', 'Aborted', 'Started', 'Aborted', 'Started', 'Committed'],
  );
  const { transactions } = multi.getMetrics();
  assert.deepEqual(
    [transactions.started, transactions.committed, transactions.aborted, transactions.inDoubt],
    [4, 2, 2, 0],
  );
});

test('withTransaction: what cannot be is refused by name, before the callback runs or the statement is sent', async (t) => {
  const multi = await clusters.multi(t, both());
  const never = () => assert.fail('it has run');
  for (const [args, message] of /** @type {[any[], RegExp][]} */ ([
    [[undefined, never], /^schemas must be an array/],
    [[[], never], /^schemas must be an array that names at least one/],
    [['users', never], /^schemas must be an array/],
    [[['stock'], never], /^schema: no cluster has 'stock'/],
    [[['users'], 'SELECT 1'], /^callback must be a function/],
    [[['users'], never, { isolation: 'best' }], /^isolation must be one of/],
    [[['users'], never, { retries: 3 }], /^unknown option 'retries'/],
  ])) {
    const error = await failureOf(multi.withTransaction(...args));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(error.message, message);
  }
  for (const schemas of [['users'], ['users', 'more'], ['users', 'orders']]) {
    const other = schemas.includes('orders') ? 'stock' : 'orders';
    const error = await failureOf(
      multi.withTransaction(schemas, (/** @type {any} */ tx) => tx.query(ADD, [1], { schema: other })),
    );
    assert.equal(error.code, 'ERR_INVALID_PARAM', error.message);
    assert.match(error.message, /schema/);
  }
  assert.equal(await balanceOf(multi, 'users'), 100);
});

test('withTransaction: a cluster that cannot prepare transactions is told by name, and only where it is needed', async (t) => {
  const multi = await clusters.multi(
    t,
    clusters.configuration({ users: { schemas: ['users'] }, plain: { schemas: ['plain'] } }),
  );
  const error = await failureOf(multi.withTransaction(['users', 'plain'], () => assert.fail('it has run')));
  assert.equal(error.code, 'ERR_NO_PREPARED_TRANSACTIONS');
  assert.match(error.message, /plain.*max_prepared_transactions|max_prepared_transactions.*plain/);
  await multi.withTransaction(['plain'], (/** @type {any} */ tx) => tx.query(ADD, [0]));
});

test('withTransaction: a read after it follows it, on a standby', async (t) => {
  const multi = await clusters.multi(t, both({ readPreference: 'replica', reads: { waitMs: 10_000 } }));
  const standby = /** @type {any} */ (clusters.orders.cluster.standbys()[0]);
  await standby.sql('SELECT pg_wal_replay_pause()');
  t.after(() => standby.sql('SELECT pg_wal_replay_resume()'));
  await multi.withTransaction(['orders'], (/** @type {any} */ tx) => tx.query(ADD, [1]));
  const read = multi.query('SELECT balance FROM accounts', [], { schema: 'orders' });
  await standby.sql('SELECT pg_wal_replay_resume()');
  const { rows, node } = await read;
  assert.deepEqual([rows[0].balance, node], [101, standby.address]);
  await multi.withTransaction(['orders'], (/** @type {any} */ tx) => tx.query(ADD, [-1]));
});
