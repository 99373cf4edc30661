'use strict';

// What MultiClusterPostgres tells of its clusters: healthCheck() and the events of an outage, getMetrics() and prometheus().

const assert = require('node:assert/strict');
const { failureOf, ownCluster, test, until } = require('../support/helpers');
const { useClusters } = require('./support.js');

const clusters = useClusters({ a: { nodes: 1 }, b: { nodes: 2, synchronous: false } });

const EVENTS = ['clusterDown', 'clusterRecovered', 'failover'];
const OFTEN = { healthCheckIntervalMs: 50, healthTimeoutMs: 300, maxFailuresBeforeMarkDown: 2 };
const MONITOR = { intervalMs: 50, nodeTimeoutMs: 400 };

/** @param {any} multi @returns {any[]} */
function eventsOf(multi) {
  /** @type {any[]} */
  const events = [];
  for (const name of EVENTS) multi.on(name, (/** @type {any} */ payload) => events.push({ name, ...payload }));
  return events;
}

/** @param {any} cluster @param {string} schema */
const login = ({ hosts, user, password, database }, schema) => ({
  schemas: [schema],
  ...{ hosts, user, password, database, monitor: MONITOR },
});

test('clusters: an outage with a failover is clusterDown, failover and clusterRecovered of that cluster alone', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const multi = await clusters.multi(
    t,
    { ...clusters.configuration({ a: { schemas: ['users'] } }), orders: login(own.cluster, 'orders') },
    { cluster: OFTEN },
  );
  const events = eventsOf(multi);
  const before = await multi.healthCheck();
  assert.deepEqual([before.healthy, Object.keys(before.clusters).sort()], [true, ['a', 'orders']]);
  const from = own.cluster.primary();
  await from.crash();
  const crashed = performance.now();
  await until('the cluster is down', () => events.length > 0);
  const during = await multi.healthCheck();
  assert.deepEqual([during.healthy, during.clusters.a.healthy, during.clusters.orders.healthy], [false, true, false]);
  const lasted = performance.now() - crashed;
  const to = await own.cluster.failover();
  await until('the cluster is back', () => events.some(({ name }) => name === 'clusterRecovered'));
  const after = await multi.healthCheck();
  assert.deepEqual([after.healthy, after.clusters.orders.primary], [true, to.address]);
  const old = after.clusters.orders.nodes.find((/** @type {any} */ { node }) => node === from.address);
  assert.deepEqual([old.healthy, old.failureCount > 0], [false, true]);
  assert.deepEqual(events.map(({ name }) => name).sort(), [...EVENTS].sort());
  const [down, recovered, failover] = EVENTS.map((wanted) => events.find(({ name }) => name === wanted));
  assert.equal(down.clusterId, 'orders');
  assert.ok(down.reason.length > 0);
  assert.deepEqual(failover, { name: 'failover', clusterId: 'orders', from: from.address, to: to.address });
  assert.equal(recovered.clusterId, 'orders');
  // Before the first failed check nobody knows of the outage: that is one interval, and the time of a check.
  assert.ok(recovered.downtime > lasted - 500, `${recovered.downtime} of at least ${lasted}`);
  console.log(
    `clusterRecovered: downtime ${recovered.downtime.toFixed(0)} ms, down for ${lasted.toFixed(0)} ms when told`,
  );
});

test('clusters: one dead replica is told by healthCheck() and makes no cluster unhealthy', async (t) => {
  const [replica] = clusters.b.cluster.standbys();
  const multi = await clusters.multi(t, { b: login(clusters.b.cluster, 'orders') }, { cluster: OFTEN });
  const events = eventsOf(multi);
  await replica.crash();
  try {
    const seen = await until('the replica has failed three checks', async () => {
      const { healthy, clusters: health } = await multi.healthCheck();
      assert.equal(healthy, true);
      const node = health.b.nodes.find((/** @type {any} */ one) => one.node === replica.address);
      return node.failureCount >= 3 ? node : null;
    });
    assert.equal(seen.healthy, false);
    assert.ok(seen.error);
    await multi.query('SELECT 1');
    assert.deepEqual(events, []);
  } finally {
    await replica.start();
  }
});

test('clusters: a cluster that is added is checked, and one that is removed is not told of any more', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const multi = await clusters.multi(t, clusters.configuration({ a: { schemas: ['users'] } }), {
    cluster: OFTEN,
    enableTransactions: false,
  });
  const events = eventsOf(multi);
  await multi.addCluster('extra', login(own.cluster, 'extra'));
  assert.deepEqual(Object.keys((await multi.healthCheck()).clusters), ['a', 'extra']);
  await own.cluster.primary().crash();
  await until('it is down', () => events.length === 1);
  await multi.removeCluster('extra');
  assert.deepEqual(Object.keys((await multi.healthCheck()).clusters), ['a']);
  await own.cluster.primary().start();
  for (let i = 0; i < 5; i++) await multi.healthCheck();
  assert.deepEqual(
    events.map(({ name, clusterId }) => [name, clusterId]),
    [['clusterDown', 'extra']],
  );
});

test('clusters: getMetrics() has every query, and prometheus() the same numbers', async (t) => {
  const multi = await clusters.multi(
    t,
    clusters.configuration({ a: { schemas: ['users'] }, b: { schemas: ['orders'], readPreference: 'replica' } }),
  );
  const none = multi.getMetrics();
  assert.deepEqual([none.totalQueries, none.errorRate, none.clusters.a.queries], [0, 0, 0]);
  const [users, orders] = [{ schema: 'users' }, { schema: 'orders' }];
  await multi.query('CREATE TEMP TABLE counted (n int)', [], users);
  for (let i = 0; i < 3; i++) await multi.query('SELECT 1', [], users);
  await multi.query('SELECT pg_sleep(0.2)', [], orders);
  await multi.query('SELECT 1', [], { ...orders, operation: 'write' });
  await failureOf(multi.query('SELECT 1/0', [], { ...users, operation: 'read' }));
  const { clusters: of, ...all } = multi.getMetrics();
  const counts = (/** @type {any} */ { queries, reads, writes, errors }) => ({ queries, reads, writes, errors });
  assert.deepEqual(counts(of.a), { queries: 5, reads: 4, writes: 1, errors: 1 });
  assert.deepEqual(counts(of.b), { queries: 2, reads: 1, writes: 1, errors: 0 });
  assert.deepEqual([all.totalQueries, all.errorRate], [7, 1 / 7]);
  assert.ok(of.b.p95 >= 190 && of.b.avgResponseTime >= 100, JSON.stringify(of.b));
  assert.ok(of.a.p95 > 0 && all.avgResponseTime > 0);
  assert.ok(of.a.connections >= 1, String(of.a.connections));
  const lines = multi.prometheus().split('\n');
  for (const line of [
    'hyperiondb_clusters_queries_total{cluster="a",kind="read"} 4',
    'hyperiondb_clusters_queries_total{cluster="a",kind="write"} 1',
    'hyperiondb_clusters_query_errors_total{cluster="a"} 1',
    'hyperiondb_clusters_query_duration_seconds_count{cluster="b"} 2',
    'hyperiondb_clusters_query_duration_seconds_bucket{cluster="b",le="0.128"} 1',
    'hyperiondb_clusters_query_duration_seconds_bucket{cluster="b",le="+Inf"} 2',
  ]) {
    assert.ok(lines.includes(line), line);
  }
  await multi.withTransaction(['users'], () => undefined);
  assert.equal(multi.getMetrics().transactions.committed, 1);
});
