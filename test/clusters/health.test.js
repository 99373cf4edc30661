'use strict';

// Health checks of clusters that accept writes: what is told of each node.

const assert = require('node:assert/strict');
const path = require('node:path');
const { HEALTH } = require('../../exports/clusters/health-rows.js');
const { failureOf, poolFor, printedBy, test, until } = require('../support/helpers');
const { clustersOf, counting, healthFor } = require('./health-checks.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ a: { nodes: 3 }, b: { nodes: 1 } });

const MONITOR = { intervalMs: 50, nodeTimeoutMs: 400 };

test('health: every node of clusters that are well is told, also right after the pools were made', async (t) => {
  const pools = [clusters.a.pool(t), clusters.b.pool(t)];
  const { health, events } = healthFor(t, clustersOf({ name: 'a', pool: pools[0] }, { name: 'b', pool: pools[1] }));
  const report = await health.check();
  assert.equal(report.healthy, true);
  assert.deepEqual(Object.keys(report.clusters), ['a', 'b']);
  const { a, b } = report.clusters;
  assert.equal(a.healthy, true);
  assert.equal(a.primary, clusters.a.cluster.primary().address);
  assert.deepEqual(
    a.nodes.map(({ node, role, healthy, failureCount, error }) => ({ node, role, healthy, failureCount, error })),
    clusters.a.cluster.nodes.map(({ address, role }) => ({
      node: address,
      role,
      healthy: true,
      failureCount: 0,
      error: null,
    })),
  );
  for (const { responseTime, lagBytes } of a.nodes) {
    assert.ok(Number(responseTime) > 0);
    assert.equal(typeof lagBytes, 'number');
  }
  assert.equal(b.primary, clusters.b.cluster.primary().address);
  assert.equal(b.nodes.length, 1);
  assert.deepEqual(events, []);
});

for (const [fault, cure] of /** @type {const} */ ([
  ['kill', 'start'],
  ['freeze', 'thaw'],
])) {
  test(`health: a standby after ${fault} is told, its looks are counted, and its cluster stays healthy`, async (t) => {
    const pool = clusters.a.pool(t, { monitor: MONITOR });
    const { health, events } = healthFor(t, clustersOf({ name: 'a', pool }), { maxFailuresBeforeMarkDown: 1 });
    const [dead, alive] = clusters.a.cluster.standbys();
    /** @param {{ address: string }} node */
    const look = async ({ address }) => {
      const report = await health.check();
      assert.equal(report.healthy, true);
      return report.clusters.a.nodes.find(({ node }) => node === address);
    };
    assert.equal((await look(dead))?.healthy, true);
    await /** @type {any} */ (dead)[fault === 'kill' ? 'crash' : fault]();
    try {
      const first = await until('the dead standby is told', async () => {
        const seen = await look(dead);
        return seen?.healthy ? null : seen;
      });
      assert.equal(first?.failureCount, 1);
      assert.match(String(first?.error), fault === 'kill' ? /refused|closed|reset/ : /no answer within 4\d\d ms/);
      assert.equal(first?.role, 'standby');
      assert.equal((await look(dead))?.failureCount, 2);
      assert.equal((await look(dead))?.failureCount, 3);
      const other = await look(alive);
      assert.deepEqual([other?.healthy, other?.failureCount, other?.error], [true, 0, null]);
    } finally {
      await /** @type {any} */ (dead)[cure]();
    }
    const last = await until('the standby is back', async () => {
      const seen = await look(dead);
      return seen?.healthy ? seen : null;
    });
    assert.deepEqual([last?.failureCount, last?.error], [0, null]);
    assert.deepEqual(events, []);
  });
}

test('health: fewer failures in a row than that are no clusterDown, however often they come', async (t) => {
  const pool = clusters.b.pool(t);
  const { health, events } = healthFor(t, clustersOf({ name: 'b', pool }));
  const query = pool.query.bind(pool);
  let fails = false;
  pool.query = async (/** @type {any[]} */ ...args) => {
    if (fails) throw new Error('broken on purpose');
    return query(...args);
  };
  for (let round = 0; round < 4; round++) {
    for (fails of [true, true, false]) assert.equal((await health.check()).healthy, !fails);
  }
  assert.deepEqual(events, []);
});

test('health: a session that became read-only without the pool knowing is found out by the answer', async (t) => {
  // The pool's mode allows any node, so that the statement runs on a standby.
  const pool = poolFor(t, { ...clusters.a.options(), hosts: [clusters.a.cluster.standbys()[0].address], mode: 'any' });
  const { health } = healthFor(t, clustersOf({ name: 'a', pool }));
  const { healthy, primary } = (await health.check()).clusters.a;
  assert.deepEqual({ healthy, primary }, { healthy: false, primary: null });
});

test('health: side by side, checks of one cluster are one look, and each caller has an object of its own', async (t) => {
  const pool = clusters.b.pool(t);
  const counts = counting(pool);
  const { health } = healthFor(t, clustersOf({ name: 'b', pool }));
  const [first, second] = await Promise.all([health.check(), health.check()]);
  assert.equal(counts.begun, 1);
  assert.deepEqual(first, second);
  assert.notEqual(first.clusters.b.nodes, second.clusters.b.nodes);
});

test('health: a check within a transaction of an ambient pool does not join it', async (t) => {
  const pool = clusters.b.pool(t, { ambient: true });
  const { health } = healthFor(t, clustersOf({ name: 'b', pool }));
  /** @type {any} */
  let report;
  await failureOf(
    pool.transaction(async () => {
      await failureOf(pool.query('SELECT 1/0'));
      report = await health.check();
      throw new Error('undone');
    }),
  );
  assert.equal(report.healthy, true);
});

test('health: the loop keeps no process alive', async () => {
  const lines = await printedBy(
    clusters.b,
    `const { Health } = require(${JSON.stringify(path.join(__dirname, '../../exports/clusters/health.js'))});
     const pool = createPool(options);
     await pool.query('SELECT 1');
     const unit = { name: 'b', clusterId: 'b', shard: null, pool };
     const health = new Health({
       clusters: () => [{ id: 'b', units: [unit] }],
       options: { healthCheckIntervalMs: 10, healthTimeoutMs: 1000, maxFailuresBeforeMarkDown: 3 },
       emit: print,
     });
     health.start();
     await new Promise((resolve) => setTimeout(resolve, 50));
     print('done');`,
  );
  assert.deepEqual(lines, ['done']);
});

test('health: the options refuse by name what is no time and no number of failures', () => {
  for (const [name, bad] of /** @type {const} */ ([
    ['healthCheckIntervalMs', -1],
    ['healthTimeoutMs', 0],
    ['maxFailuresBeforeMarkDown', 0],
    ['maxFailuresBeforeMarkDown', 1.5],
  ])) {
    assert.throws(() => HEALTH[name].check(bad, `cluster.${name}`), {
      code: 'ERR_INVALID_OPTION',
      message: RegExp(name),
    });
    assert.equal(HEALTH[name].check(HEALTH[name].value, name), HEALTH[name].value);
  }
});
