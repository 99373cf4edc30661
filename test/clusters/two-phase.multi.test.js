'use strict';

// Transactions that span clusters and shards, as a user of MultiClusterPostgres has them.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, isPending, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const { ACCOUNTS, BALANCE, makeAccounts, money, prepared, transfer } = require('./two-phase.js');

const clusters = useClusters({ a: { nodes: 1 }, b: { nodes: 1 } });
const { a, b } = clusters;
const ALL = ACCOUNTS * BALANCE;
before(() => clusters.started);

test('withTransaction: two clusters are committed together, and the events and the counts say so', async (t) => {
  await Promise.all([a, b].map(makeAccounts));
  const multi = await clusters.multi(
    t,
    clusters.configuration({ a: { schemas: ['users'] }, b: { schemas: ['orders'] } }),
  );
  /** @type {any[]} */
  const told = [];
  for (const event of ['transactionStarted', 'transactionCommitted', 'transactionAborted', 'inDoubt']) {
    multi.on(event, (/** @type {any} */ { clusters }) => told.push([event, clusters]));
  }
  assert.equal(await multi.withTransaction(['users', 'orders'], transfer('users', 'orders')), 'moved');
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  const mine = new Error('mine');
  const failed = multi.withTransaction(['users', 'orders'], async (/** @type {any} */ tx) => {
    await transfer('users', 'orders')(tx);
    throw mine;
  });
  assert.equal(await failureOf(failed), mine);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  assert.deepEqual(told, [
    ['transactionStarted', ['a', 'b']],
    ['transactionCommitted', ['a', 'b']],
    ['transactionStarted', ['a', 'b']],
    ['transactionAborted', ['a', 'b']],
  ]);
  const { started, committed, aborted, inDoubt } = multi.getMetrics().transactions;
  assert.deepEqual({ started, committed, aborted, inDoubt }, { started: 2, committed: 1, aborted: 1, inDoubt: 0 });
  assert.deepEqual(await multi.recover(), {
    committed: 0,
    rolledBack: 0,
    pending: 0,
    inProgress: 0,
    foreign: 0,
    problems: [],
  });
});

test('withTransaction: a transfer between two shards of a cluster is committed on both', async (t) => {
  await Promise.all([a, b].map(makeAccounts));
  const { user, password, database } = a.cluster;
  const shards = [a, b].map(({ cluster }) => ({ primary: cluster.hosts[0] }));
  const ranges = [
    { from: null, to: 5, shard: 0 },
    { from: 5, to: null, shard: 1 },
  ];
  const sharding = { strategy: 'range', key: 'id', shards, ranges };
  const multi = await clusters.multi(t, {
    users: {
      schemas: ['users'],
      user,
      password,
      database,
      sharding,
    },
  });
  await multi.withTransaction(['users'], async (/** @type {any} */ tx) => {
    for (const [id, amount] of [
      [1, -5],
      [7, 5],
    ]) {
      const { clusterId } = await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, id], {
        shardKey: id,
      });
      assert.equal(clusterId, 'users');
    }
    assert.equal(tx.pending.length, 0);
  });
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL - 5, ALL + 5], []]);
});

/**
 * A transfer that stands still in its callback.
 * @param {any} multi
 */
async function standing(multi) {
  /** @type {() => void} */
  let goOn = () => {};
  const going = new Promise((resolve) => {
    goOn = () => resolve(undefined);
  });
  let isThere = false;
  const call = multi.withTransaction(['users', 'orders'], async (/** @type {any} */ tx) => {
    await transfer('users', 'orders')(tx);
    isThere = true;
    await going;
    return 'moved';
  });
  call.catch(() => {});
  await until('it is in its callback', () => isThere);
  return { call, goOn };
}

const both = () => clusters.configuration({ a: { schemas: ['users'] }, b: { schemas: ['orders'] } });

test('withTransaction: close() waits for it, and reload() and removeCluster() leave it its clusters', async (t) => {
  await Promise.all([a, b].map(makeAccounts));
  const multi = await clusters.multi(t, both());
  for (const change of [
    () => multi.reload({ ...both(), b: { ...both().b, poolSize: 3 } }),
    () => multi.removeCluster('b'),
  ]) {
    const { call, goOn } = await standing(multi);
    const changing = change();
    assert.equal(await isPending(changing), true);
    goOn();
    assert.equal(await call, 'moved');
    await changing;
  }
  await multi.reload(both());
  const { call, goOn } = await standing(multi);
  const closing = multi.close();
  assert.equal(await isPending(closing), true);
  goOn();
  assert.equal(await call, 'moved');
  await closing;
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL - 3, ALL + 3], []]);
});

test('withTransaction: close({ timeoutMs }) rolls back what is still in its callback then', async (t) => {
  await Promise.all([a, b].map(makeAccounts));
  const multi = await clusters.multi(t, both());
  const { call } = await standing(multi);
  await multi.close({ timeoutMs: 100 });
  const error = await failureOf(call);
  assert.deepEqual([error.code, error.outcome], ['ERR_POOL_CLOSED', 'not-applied']);
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL, ALL], []]);
});
