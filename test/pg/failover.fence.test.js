'use strict';

// What a holder of a client knows with the error of a fenced node: libraries with pools of their own (Knex, Sequelize, slonik) lend the client
// to the next who waits as soon as a statement has ended, so it is too late to be told after that.

const assert = require('node:assert/strict');
const { Client } = require('../../exports/pg/index.js');
const { clusterFor } = require('./failover.support.js');
const { test } = require('../support/helpers.js');

/** @param {import('node:test').TestContext} t */
async function onFencedNode(t) {
  const { cluster, config, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  await cluster.primary().sql('CREATE TABLE written (id int)');
  // Without the monitor nothing but the answer of the client's own statement tells of the fence.
  const options = { ...config, monitor: false };
  const client = /** @type {any} */ (new Client(options));
  await client.connect();
  /** @type {string[]} */
  const told = [];
  client.on('error', (/** @type {Error} */ error) => told.push(error.message));
  return { cluster, client, told, poolOf };
}

test('client: one whose statement a fenced node has refused has ended when the error is there', async (t) => {
  const { cluster, client, told } = await onFencedNode(t);
  await cluster.primary().fence();
  await assert.rejects(client.query('INSERT INTO written VALUES (1)'), { code: '25006' });
  assert.deepEqual(told, ['Connection terminated unexpectedly']);
  await assert.rejects(client.query('SELECT 1'), {
    message: 'Client has encountered a connection error and is not queryable',
  });
});

test('client: a callback that is told of a fenced node, and gives the client back, finds that it has ended', async (t) => {
  const { cluster, client, told } = await onFencedNode(t);
  await cluster.primary().fence();
  await new Promise((resolve, reject) => {
    client.query('INSERT INTO written VALUES (1)', (/** @type {any} */ error) =>
      error?.code === '25006' ? resolve(undefined) : reject(error),
    );
  });
  assert.deepEqual(told, ['Connection terminated unexpectedly']);
});

test('client: one whose transaction a fenced node has refused has ended when its ROLLBACK is done', async (t) => {
  const { cluster, client, told } = await onFencedNode(t);
  await cluster.primary().fence();
  await client.query('BEGIN');
  await assert.rejects(client.query('INSERT INTO written VALUES (1)'), { code: '25006' });
  assert.deepEqual(told, [], 'a transaction is left to its holder');
  await client.query('ROLLBACK');
  assert.deepEqual(told, ['Connection terminated unexpectedly']);
});

test('client: one that is read-only by its own will lives on after 25006', async (t) => {
  const { client, told } = await onFencedNode(t);
  await client.query('SET default_transaction_read_only = on');
  for (let times = 0; times < 3; times++) {
    await assert.rejects(client.query('INSERT INTO written VALUES (1)'), { code: '25006' });
  }
  await client.query('SET default_transaction_read_only = off');
  await client.query('INSERT INTO written VALUES (1)');
  assert.deepEqual(told, []);
  await client.end();
});

test('pool: a client whose transaction a fenced node has refused is not lent again', async (t) => {
  const { cluster, poolOf } = await onFencedNode(t);
  const pool = poolOf({ max: 1, monitor: false });
  const first = await pool.connect();
  await cluster.primary().fence();
  await first.query('BEGIN');
  await assert.rejects(first.query('INSERT INTO written VALUES (1)'), { code: '25006' });
  const second = pool.connect();
  await first.query('ROLLBACK');
  first.release();
  await cluster.failover();
  const client = await second;
  assert.notEqual(client, first);
  await client.query('INSERT INTO written VALUES (2)');
  client.release();
});
