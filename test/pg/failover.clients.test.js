'use strict';

// Clients of the face while nodes change their roles or break: which of them leave the pool, which are not handed out, who is told.

const assert = require('node:assert/strict');
const { Client } = require('../../exports/pg/index.js');
const { clusterFor } = require('./failover.support.js');
const { inChild, range, sleep, test, until } = require('../support/helpers.js');

const PORT = 'SELECT inet_server_port() AS port';
const INSERT = 'INSERT INTO written VALUES ($1, inet_server_port())';

test('pool: idle clients of a node that crashes leave the pool, and nobody has to listen', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const pool = poolOf({ idleTimeoutMillis: 0 });
  /** @type {any[]} */
  const removed = [];
  pool.on('remove', (/** @type {any} */ client) => removed.push(client));
  const clients = await Promise.all(range(3).map(() => pool.connect()));
  for (const client of clients) client.release();
  assert.equal(pool.idleCount, 3);
  await cluster.primary().crash();
  await until('all have left', () => pool.totalCount === 0);
  await until('the event remove', () => removed.length === 3);
  const next = await cluster.failover();
  assert.deepEqual((await pool.query(PORT)).rows, [{ port: next.port }]);
});

test('pool: idle clients of a node that is fenced leave the pool before it breaks', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const pool = poolOf({ idleTimeoutMillis: 0 });
  /** @type {unknown[]} */
  const errors = [];
  pool.on('error', (/** @type {unknown} */ error) => errors.push(error));
  const clients = await Promise.all(range(3).map(() => pool.connect()));
  for (const client of clients) client.release();
  await cluster.primary().fence();
  await until('all have left', () => pool.totalCount === 0);
  assert.deepEqual(errors, []);
});

test('pool.connect: an idle client that was silent while its node lost its role is not handed out', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const [old, next] = cluster.nodes;
  const pool = poolOf({ idleTimeoutMillis: 0, monitor: false });
  const clients = await Promise.all(range(3).map(() => pool.connect()));
  for (const client of clients) client.release();
  // Longer than an answer counts as recent.
  await sleep(250);
  await Promise.all([old.fence(), next.promote()]);
  const client = await pool.connect();
  assert.deepEqual((await client.query(PORT)).rows, [{ port: next.port }]);
  client.release();
  await sleep(250);
  assert.deepEqual((await pool.query(PORT)).rows, [{ port: next.port }]);
});

test('pool.connect: an idle client whose node has fallen silent is not handed out', async (t) => {
  const { cluster, db, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  db.needs('freeze');
  const [old, next] = cluster.nodes;
  const pool = poolOf({ idleTimeoutMillis: 0, monitor: false, connectTimeoutMs: 500 });
  const clients = await Promise.all(range(4).map(() => pool.connect()));
  for (const client of clients) client.release();
  await sleep(250);
  await next.promote();
  await old.freeze();
  try {
    const client = await pool.connect();
    assert.deepEqual((await client.query(PORT)).rows, [{ port: next.port }]);
    client.release(true);
  } finally {
    await old.thaw();
  }
});

test('pool: a client that is out when its node is fenced finishes its work, and is dropped when it is released', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const pool = poolOf();
  const client = await pool.connect();
  const other = await pool.connect();
  other.release();
  await client.query('BEGIN');
  await client.query('CREATE TABLE written (id int, node int)');
  await cluster.primary().fence();
  // The idle one leaves when the fence is seen.
  await until('the fence is seen', () => pool.idleCount === 0);
  await client.query(INSERT, [1]);
  await client.query('COMMIT');
  assert.equal(pool.totalCount, 1);
  client.release();
  assert.equal(pool.totalCount, 0);
});

test('client: one that waits for notifications is told when its node is fenced, in a pool and alone', async (t) => {
  const { cluster, config, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const pool = poolOf();
  const alone = /** @type {any} */ (new Client(config));
  await alone.connect();
  const clients = [alone, await pool.connect()];
  /** @type {string[]} */
  const told = [];
  for (const client of clients) {
    client.on('notification', () => {});
    client.on('error', (/** @type {Error} */ { message }) => told.push(message));
    client.on('end', () => told.push('end'));
    await client.query('LISTEN news');
  }
  await cluster.primary().fence();
  await until('both have ended', () => told.filter((one) => one === 'end').length === 2);
  assert.equal(told.filter((one) => one === 'Connection terminated unexpectedly').length, 2, String(told));
  await assert.rejects(alone.query('SELECT 1'), {
    message: 'Client has encountered a connection error and is not queryable',
  });
  clients[1].release();
  assert.equal(pool.totalCount, 0);
});

test('process: it goes on when sessions are lost that nobody listens to', async (t) => {
  const { cluster, config, db } = await clusterFor(t, { nodes: 1 });
  const file = JSON.stringify(require.resolve('../../exports/pg/index.js'));
  const child = inChild(
    db,
    `const { Client, Pool } = require(${file});
    const config = ${JSON.stringify(config)};
    const pool = new Pool({ ...config, idleTimeoutMillis: 0 });
    const [idle, out] = await Promise.all([pool.connect(), pool.connect()]);
    idle.release();
    const client = new Client(config);
    await client.connect();
    const pids = [idle, out, client].map((one) => one.processID);
    const ended = [idle, out, client].map((one) => new Promise((resolve) => one.once('end', resolve)));
    const killer = new Client(config);
    await killer.connect();
    await killer.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [pids]);
    await Promise.all(ended);
    print(pool.totalCount);
    out.release();
    print(pool.totalCount);
    await killer.end();
    await pool.end();`,
  );
  const { code, lines, stderr } = await child;
  assert.deepEqual({ code, lines, stderr }, { code: 0, lines: ['1', '0'], stderr: '' });
  assert.equal(cluster.nodes.length, 1);
});
