'use strict';

// stats() of nodes: bytes beside those that a relay has passed on, reads that were sent twice, and pools of many hosts.

const assert = require('node:assert/strict');
const net = require('node:net');
const { Worker } = require('node:worker_threads');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const { createPool } = require('../../client.js');
const { untilFit } = require('../support/reads.js');
const { range, sleep, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 2 });

/**
 * A relay that counts the bytes of each connection, in both directions.
 * @param {import('node:test').TestContext} t
 * @param {{ host: string, port: number }} node
 */
async function countingRelay(t, { host, port }) {
  /** @type {{ in: number, out: number, login: string }[]} */
  const connections = [];
  const server = net.createServer((client) => {
    const connection = { in: 0, out: 0, login: '' };
    connections.push(connection);
    const upstream = net.connect(port, host);
    client.on('data', (piece) => {
      connection.out += piece.length;
      connection.login ||= piece.toString('latin1');
      upstream.write(piece);
    });
    upstream.on('data', (piece) => {
      connection.in += piece.length;
      client.write(piece);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  const { port: own } = /** @type {net.AddressInfo} */ (server.address());
  /** The bytes of the pool's connections, or of those of its monitor. */
  const bytes = (ofMonitor = false) => {
    const chosen = connections.filter(
      ({ login }) => login.includes('user') && login.includes(' monitor') === ofMonitor,
    );
    return { in: chosen.reduce((sum, one) => sum + one.in, 0), out: chosen.reduce((sum, one) => sum + one.out, 0) };
  };
  return { address: `127.0.0.1:${own}`, bytes };
}

test('stats: bytes are those that a relay has passed on, without those of the monitor', async (t) => {
  const relay = await countingRelay(t, db.cluster.primary());
  const options = {
    hosts: [relay.address],
    ssl: 'disable',
    poolSize: 1,
    monitor: { intervalMs: 20, nodeTimeoutMs: 1_000 },
  };
  const pool = db.pool(t, options);
  await until('the monitor has looked at the node often', () => relay.bytes(true).out > 2_000);
  assert.deepEqual(pool.stats().nodes[0].bytes, { in: 0, out: 0 });
  await pool.query('CREATE TABLE relayed (id int, note text)');
  /** What has come since the login, by the relay and by the pool. A statement that is closed is told to the server behind the answer. */
  const bytes = async () => {
    await until('nothing passes any more', async () => {
      const before = relay.bytes();
      await sleep(50);
      return isDeepStrictEqual(relay.bytes(), before);
    });
    return [relay.bytes(), pool.stats().nodes[0].bytes];
  };
  const [loggedIn, before] = await bytes();
  const rows = range(2_000).map((id) => [id, 'x'.repeat(id % 90)]);
  await pool.copyFrom('relayed', rows);
  await Promise.all(range(50).map((i) => pool.query('SELECT $1::int, note FROM relayed', [i])));
  await assert.rejects(pool.query('SELECT 1 / 0'));
  await assert.rejects(pool.query('SELECT pg_sleep(9)', [], { timeoutMs: 20 }));
  for await (const _ of pool.copyTo('relayed'));
  for await (const _ of pool.stream('SELECT generate_series(1, 3000)'));
  await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'));
  await pool.query('SELECT 1');
  const [passed, counted] = await bytes();
  assert.deepEqual(
    { in: counted.in - before.in, out: counted.out - before.out },
    { in: passed.in - loggedIn.in, out: passed.out - loggedIn.out },
  );
  assert.ok(counted.in > 50 * 2_000 && counted.out > 2_000 * 45, 'rows that were read, and rows that were loaded');
});

test('stats: reads that were sent to a second node, and those that it answered first', async (t) => {
  const [primary, standby] = await Promise.all(db.cluster.nodes.map((node) => node.proxy()));
  t.after(() => Promise.all([primary.close(), standby.close()]));
  const pool = db.pool(t, { hosts: [primary.address, standby.address], reads: { hedgeMs: 30, hedgeShare: 1 } });
  await untilFit(pool, [standby]);
  const options = { fallback: 'primary' };
  for (const _ of range(3)) await pool.read('SELECT 1', [], options);
  await pool.query('SELECT 1');
  const before = pool.stats();
  standby.latency(200);
  let won = 0;
  for (const _ of range(4)) if ((await pool.read('SELECT 1', [], options)).node === primary.address) won++;
  const slow = pool.stats();
  assert.deepEqual(
    { queries: slow.queries - before.queries, rows: slow.rows - before.rows, errors: slow.errors },
    { queries: 4, rows: 4, errors: {} },
  );
  const [hedges, hedgesWon] = [slow.hedges - before.hedges, slow.hedgesWon - before.hedgesWon];
  assert.equal(hedgesWon, won);
  assert.ok(won > 0 && hedges >= won && hedges <= 4, JSON.stringify({ won, hedges }));
  standby.latency(0);
});

test('stats: a hedge whose first node answers after all is not won', async (t) => {
  const [primary, standby] = await Promise.all(db.cluster.nodes.map((node) => node.proxy()));
  t.after(() => Promise.all([primary.close(), standby.close()]));
  const pool = db.pool(t, { hosts: [primary.address, standby.address], reads: { hedgeMs: 20, hedgeShare: 1 } });
  await untilFit(pool, [standby]);
  await pool.query('SELECT 1');
  // Longer than hedgeMs on both nodes, and the second one is far away: the one that was asked first answers first.
  primary.latency(300);
  const { node } = await pool.read('SELECT pg_sleep(0.15)');
  assert.equal(node, standby.address);
  const { hedges, hedgesWon, queries, rows, errors } = pool.stats();
  assert.deepEqual(
    { hedges, hedgesWon, queries, rows, errors },
    { hedges: 1, hedgesWon: 0, queries: 2, rows: 2, errors: {} },
  );
  primary.latency(0);
  await until('the other one is given up', () =>
    pool.stats().nodes.every((/** @type {any} */ one) => one.inFlight === 0),
  );
  assert.equal(pool.stats().queries, 2);
});

test('stats: they are values of JSON, the same in a program that keeps them', async (t) => {
  const pool = db.pool(t);
  await pool.query('SELECT 1');
  await assert.rejects(pool.query('SELECT 1 / 0'));
  const stats = pool.stats();
  const copy = JSON.parse(JSON.stringify(stats));
  assert.deepEqual(copy, { ...stats, since: stats.since.toISOString() });
  stats.errors['22'] = 1_000;
  stats.nodes.length = 0;
  assert.deepEqual(pool.stats().errors, { 22: 1 }, 'each call has objects of its own');
  assert.equal(pool.stats().nodes.length, 2);
  assert.ok(!JSON.stringify(copy).includes(db.cluster.password));
});

test('stats: a pool of 50 hosts has 50 nodes, in their order', async (t) => {
  const hosts = [...range(49).map((i) => `127.0.0.1:${i + 1}`), db.cluster.primary().address];
  const pool = db.pool(t, { hosts });
  await pool.query('SELECT 1');
  const { nodes, queries } = pool.stats();
  assert.equal(queries, 1);
  assert.deepEqual(
    nodes.map((/** @type {any} */ { node }) => node),
    hosts,
  );
  const answered = nodes.filter((/** @type {any} */ { latencyMs }) => latencyMs.count > 0);
  assert.deepEqual(
    answered.map((/** @type {any} */ { node }) => node),
    [db.cluster.primary().address],
  );
});

test('stats: asking for them 10,000 times under load changes nothing, and keeps no memory', async (t) => {
  const pool = db.pool(t, { poolSize: 2 });
  let isOver = false;
  let done = 0;
  const running = range(8).map(async () => {
    while (!isOver) {
      const { rowCount } = await pool.query('SELECT 1');
      done += rowCount;
    }
  });
  const used = () => process.memoryUsage().rss;
  let before = 0;
  let last = pool.stats();
  for (const i of range(10_000)) {
    const stats = pool.stats();
    assert.ok(
      stats.queries >= last.queries && stats.acquires >= last.acquires && stats.rows >= last.rows,
      'counts only grow',
    );
    assert.ok(stats.nodes[0].latencyMs.count >= last.nodes[0].latencyMs.count);
    last = stats;
    if (i === 5_000) before = used();
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const grown = used() - before;
  isOver = true;
  await Promise.all(running);
  assert.equal(pool.stats().queries, done);
  assert.ok(grown < 50 << 20, `5,000 calls keep ${grown} bytes`);
});

test('stats: in a worker', async () => {
  const code = `
    const { parentPort, workerData: { client, options } } = require('node:worker_threads');
    const pool = require(client).createPool(options);
    (async () => {
      await Promise.all(Array.from({ length: 20 }, () => pool.query('SELECT 1')));
      await pool.end();
      const { queries, rows, nodes } = pool.stats();
      parentPort.postMessage({ queries, rows, connections: nodes.map((node) => node.connections) });
    })();`;
  const workerData = { client: path.join(__dirname, '..', '..', 'client.js'), options: db.options() };
  const worker = new Worker(code, { eval: true, workerData });
  const told = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  assert.deepEqual(told, { queries: 20, rows: 20, connections: [0, 0] });
  await worker.terminate();
});

test('stats: pools of one process count for themselves', async (t) => {
  const pools = range(3).map(() => createPool(db.options()));
  t.after(() => Promise.all(pools.map((pool) => pool.end())));
  await Promise.all(pools.flatMap((pool, i) => range(i + 1).map(() => pool.query('SELECT 1'))));
  assert.deepEqual(
    pools.map((pool) => pool.stats().queries),
    [1, 2, 3],
  );
});
