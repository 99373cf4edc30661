'use strict';

// Health checks of clusters whose primary fails: when one is down, when it is back, and who waits for it.

const assert = require('node:assert/strict');
const { Health, watchFailovers } = require('../../exports/clusters/health.js');
const { failureOf, ownCluster, sleep, test, until } = require('../support/helpers');
const { clustersOf, counting, healthFor } = require('./health-checks.js');
const { fakeUnit, useClusters } = require('./support.js');

const clusters = useClusters({ b: { nodes: 1 } });

const MONITOR = { intervalMs: 50, nodeTimeoutMs: 400 };

test('health: a lost primary is clusterDown after exactly so many checks in a row, and recovers once', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t, { monitor: MONITOR });
  const { health, events } = healthFor(t, clustersOf({ name: 'b', pool }), {
    healthTimeoutMs: 300,
    maxFailuresBeforeMarkDown: 4,
  });
  const primary = own.cluster.primary();
  assert.equal((await health.check()).healthy, true);
  await primary.crash();
  let outage = 0;
  for (let failures = 1; failures <= 6; failures++) {
    const check = health.check();
    // The first check has begun, and its cluster is down since then.
    if (failures === 1) outage = performance.now();
    const report = await check;
    assert.equal(report.healthy, false);
    assert.equal(report.clusters.b.primary, null);
    const [node] = report.clusters.b.nodes;
    assert.deepEqual([node.healthy, node.failureCount], [false, failures]);
    assert.ok(node.error);
    assert.equal(events.length, failures < 4 ? 0 : 1, `after ${failures} failures`);
  }
  assert.deepEqual([events[0][0], events[0][1].clusterId], ['clusterDown', 'b']);
  assert.ok(events[0][1].reason.includes(primary.address), events[0][1].reason);
  await primary.start();
  const lasted = performance.now() - outage;
  await until('the cluster is healthy', async () => (await health.check()).healthy);
  await health.check();
  assert.equal(events.length, 2);
  const [name, { clusterId, downtime }] = events[1];
  assert.deepEqual([name, clusterId], ['clusterRecovered', 'b']);
  assert.ok(downtime >= lasted, `${downtime} of ${lasted}`);
  assert.ok(downtime < performance.now() - outage + 1_000, `${downtime}`);
  console.log(`clusterRecovered: downtime ${downtime.toFixed(0)} ms, outage ${lasted.toFixed(0)} ms`);
});

test('health: a fenced primary is unhealthy, and says that it accepts no writes', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t, { monitor: MONITOR });
  const { health } = healthFor(t, clustersOf({ name: 'b', pool }), { healthTimeoutMs: 300 });
  assert.equal((await health.check()).healthy, true);
  await own.cluster.primary().fence();
  const fenced = await until('the fence is told', async () => {
    const report = await health.check();
    return report.healthy ? null : report.clusters.b;
  });
  assert.deepEqual([fenced.primary, fenced.nodes[0].healthy, fenced.nodes[0].role], [null, false, 'primary']);
  await own.cluster.primary().unfence();
  await until('the fence is gone', async () => (await health.check()).healthy);
});

test('health: the loop looks at a cluster although another one hangs, and never twice at once', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const [hung, well] = [own.pool(t), clusters.b.pool(t)];
  await hung.query('SELECT 1');
  const counts = { hung: counting(hung), well: counting(well) };
  const { health, events } = healthFor(t, clustersOf({ name: 'hung', pool: hung }, { name: 'well', pool: well }), {
    healthCheckIntervalMs: 20,
    healthTimeoutMs: 1_500,
    maxFailuresBeforeMarkDown: 1,
  });
  await own.cluster.primary().freeze();
  health.start();
  await until('a check hangs', () => counts.hung.running === 1);
  const before = counts.well.begun;
  await until('the other cluster has been looked at ten times', () => counts.well.begun >= before + 10);
  assert.equal(counts.hung.begun, 1, 'the first check of the cluster that hangs has not ended');
  assert.deepEqual(events, []);
  await until('the cluster that hangs is down', () => events.length === 1);
  await own.cluster.primary().thaw();
  await until('it is back', () => events.length === 2);
  assert.deepEqual(
    events.map(([name, { clusterId }]) => [name, clusterId]),
    [
      ['clusterDown', 'hung'],
      ['clusterRecovered', 'hung'],
    ],
  );
  assert.ok(events[1][1].downtime >= 1_400, `${events[1][1].downtime}`);
  assert.deepEqual([counts.hung.most, counts.well.most], [1, 1]);
});

test('health: the loop emits clusterDown after exactly maxFailuresBeforeMarkDown checks', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t, { monitor: MONITOR });
  await pool.query('SELECT 1');
  await own.cluster.primary().crash();
  const counts = counting(pool);
  /** @type {number[]} */
  const downAfter = [];
  const health = new Health({
    clusters: () => clustersOf({ name: 'b', pool }),
    options: { healthCheckIntervalMs: 30, healthTimeoutMs: 100, maxFailuresBeforeMarkDown: 5 },
    emit: () => downAfter.push(counts.begun),
  });
  t.after(() => health.close());
  health.start();
  await until('there were eight checks', () => counts.begun >= 8);
  assert.deepEqual(downAfter, [5]);
});

test('health: a pool whose connections are all busy is no cluster that is down, unless the server is', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t, { monitor: MONITOR, poolSize: 1 });
  const { health } = healthFor(t, clustersOf({ name: 'b', pool }), { healthTimeoutMs: 200 });
  await pool.query('SELECT 1');
  const busy = pool.query('SELECT pg_sleep(30)', [], { timeoutMs: 20_000 }).catch(() => {});
  await until('the connection is busy', () => pool.status().inUse === 1);
  const report = await health.check();
  assert.deepEqual([report.healthy, report.clusters.b.primary], [true, own.cluster.primary().address]);
  await own.cluster.primary().freeze();
  await until('the server is told', async () => !(await health.check()).healthy);
  await own.cluster.primary().crash();
  await busy;
});

test('health: of a sharded cluster each node has its shard, and one shard without a primary is unhealthy', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pools = [clusters.b.pool(t), own.pool(t, { monitor: MONITOR })];
  const watched = clustersOf({ name: 'users/0', pool: pools[0] }, { name: 'users/1', pool: pools[1] });
  const { health, events } = healthFor(t, watched, { healthTimeoutMs: 300, maxFailuresBeforeMarkDown: 1 });
  const well = (await health.check()).clusters.users;
  assert.deepEqual([well.healthy, well.primary], [true, null]);
  assert.deepEqual(
    well.nodes.map(({ node, shard, role }) => [node, shard, role]),
    [
      [clusters.b.cluster.primary().address, 0, 'primary'],
      [own.cluster.primary().address, 1, 'primary'],
    ],
  );
  await own.cluster.primary().crash();
  const ill = (await health.check()).clusters.users;
  assert.equal(ill.healthy, false);
  assert.deepEqual(
    ill.nodes.map(({ shard, healthy }) => [shard, healthy]),
    [
      [0, true],
      [1, false],
    ],
  );
  assert.match(events[0][1].reason, /^users\/1: /);
});

test('health: close() ends a check that hangs at once, and nothing is emitted afterwards', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t);
  await pool.query('SELECT 1');
  const { health, events } = healthFor(t, clustersOf({ name: 'b', pool }), {
    healthCheckIntervalMs: 20,
    healthTimeoutMs: 50_000,
    maxFailuresBeforeMarkDown: 1,
  });
  await own.cluster.primary().freeze();
  const counts = counting(pool);
  health.start();
  const failure = failureOf(health.check());
  await until('a check hangs', () => counts.running === 1);
  await health.close();
  assert.equal(counts.running, 1, 'the pool waits for the cancellation of the statement, close() does not');
  assert.equal((await failure).code, 'ERR_POOL_CLOSED');
  health.start();
  await sleep(60);
  assert.deepEqual([counts.begun, events], [1, []]);
  await own.cluster.primary().thaw();
  await until('the statement has ended', () => counts.running === 0);
});

test('health: a cluster that is removed during its check is not in the report, and tells nothing', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const [hung, well] = [own.pool(t), clusters.b.pool(t)];
  await hung.query('SELECT 1');
  await own.cluster.primary().freeze();
  const counts = counting(hung);
  const { health, events } = healthFor(t, clustersOf({ name: 'hung', pool: hung }, { name: 'well', pool: well }), {
    healthTimeoutMs: 50_000,
    maxFailuresBeforeMarkDown: 1,
  });
  const check = health.check();
  await until('a check hangs', () => counts.running === 1);
  health.forget('hung');
  const report = await check;
  assert.deepEqual([Object.keys(report.clusters), report.healthy], [['well'], true]);
  assert.deepEqual(events, []);
  await own.cluster.primary().thaw();
});

test('health: failover has the old and the new primary, and none is told of the first one', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const pool = own.pool(t, { monitor: MONITOR });
  /** @type {any[]} */
  const events = [];
  for (const unit of [fakeUnit('a', pool), fakeUnit('users/2', pool)]) {
    watchFailovers(unit, (...event) => events.push(event));
  }
  const { health } = healthFor(t, clustersOf({ name: 'a', pool }));
  await pool.query('SELECT 1');
  assert.deepEqual(events, []);
  const from = own.cluster.primary();
  await from.crash();
  const to = await own.cluster.failover();
  await until('the failover is told', () => events.length > 0);
  const expected = { from: from.address, to: to.address };
  assert.deepEqual(events, [
    ['failover', { clusterId: 'a', ...expected }],
    ['failover', { clusterId: 'users', shard: 2, ...expected }],
  ]);
  const { a } = (await health.check()).clusters;
  assert.deepEqual([a.healthy, a.primary], [true, to.address]);
});

test('health: a primary that comes back as itself is no failover', async (t) => {
  const own = await ownCluster(t, { nodes: 1 });
  const pool = own.pool(t, { monitor: MONITOR });
  /** @type {any[]} */
  const events = [];
  watchFailovers(fakeUnit('b', pool), (...event) => events.push(event));
  await pool.query('SELECT 1');
  await own.cluster.primary().crash();
  await until('the pool has seen it', () => pool.nodes()[0].state === 'down');
  await own.cluster.primary().start();
  await until('the pool has it back', () => pool.nodes()[0].state === 'up');
  await pool.query('SELECT 1');
  assert.deepEqual(events, []);
});
