'use strict';

// How the reads of a cluster are shared out over its replicas by each strategy of `loadBalancing`.

const assert = require('node:assert/strict');
const { sleep, test, until } = require('../support/helpers');

const { useClusters } = require('./support.js');

const clusters = useClusters({ a: { nodes: 3 } });

const replicas = () => clusters.a.cluster.standbys();

/**
 * A MultiClusterPostgres that knows its replicas.
 * @param {import('node:test').TestContext} t
 * @param {object} loadBalancing
 * @param {{ addresses?: string[], reads?: object }} [settings] `addresses`: of the replicas
 */
async function multiFor(t, loadBalancing, { addresses = replicas().map(({ address }) => address), reads } = {}) {
  const { user, password, database } = clusters.a.options();
  const multi = await clusters.multi(t, {
    a: {
      schemas: ['s'],
      primary: clusters.a.cluster.primary().address,
      replicas: addresses,
      readPreference: 'replica',
      consistencyLevel: 'eventual',
      loadBalancing,
      ...{ user, password, database },
      ...(reads === undefined ? {} : { reads }),
    },
  });
  await until('both replicas answer', async () => {
    const { clusters: health } = await multi.healthCheck();
    return health.a.nodes.every((/** @type {any} */ { healthy }) => healthy);
  });
  return multi;
}

/**
 * Runs reads side by side, and returns each replica's part of them.
 * @param {any} multi
 * @param {string} sql
 * @param {{ count?: number, clients?: number, addresses?: string[] }} [settings]
 */
async function sharesOf(
  multi,
  sql,
  { count = 600, clients = 6, addresses = replicas().map(({ address }) => address) } = {},
) {
  /** @type {Map<string, number>} */
  const answers = new Map();
  let begun = 0;
  const client = async () => {
    while (begun++ < count) {
      const { node } = await multi.query(sql, [], { schema: 's', operation: 'read' });
      answers.set(node, (answers.get(node) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  assert.equal(answers.get(clusters.a.cluster.primary().address), undefined, 'the primary answers none');
  const shares = addresses.map((address) => (answers.get(address) ?? 0) / count);
  console.log(`${sql.slice(0, 60)}: ${shares.map((share) => share.toFixed(3)).join(' : ')}`);
  return shares;
}

/** @param {number} share @param {number} expected */
function assertNear(share, expected) {
  assert.ok(Math.abs(share - expected) <= 0.03, `${share.toFixed(3)} instead of ${expected}`);
}

/** A read that takes longer on the first replica. */
const slowOnFirst = () =>
  `SELECT pg_sleep(CASE inet_server_port() WHEN ${replicas()[0].port} THEN 0.03 ELSE 0.001 END)`;

/** A read that ends its session on the first replica; the other one answers it then. */
const failsOnFirst = () =>
  `SELECT CASE inet_server_port() WHEN ${replicas()[0].port} THEN pg_terminate_backend(pg_backend_pid()) END`;

test('strategies: round_robin, the default, shares reads evenly, also when one replica is slow', async (t) => {
  for (const loadBalancing of [undefined, { strategy: 'round_robin' }]) {
    const multi = await multiFor(t, loadBalancing);
    for (const sql of ['SELECT 1', slowOnFirst()]) {
      for (const share of await sharesOf(multi, sql, { count: 300 })) assertNear(share, 0.5);
    }
  }
});

for (const [what, weightsOf] of /** @type {const} */ ([
  ["by 'host:port'", () => ({ [replicas()[0].address]: 3, [replicas()[1].address]: 1 })],
  ['by replica_1 and replica_2', () => ({ replica_1: 3, replica_2: 1 })],
])) {
  test(`strategies: weighted shares reads 3:1 with weights ${what}`, async (t) => {
    const multi = await multiFor(t, { strategy: 'weighted', weights: weightsOf() });
    const [first, second] = await sharesOf(multi, 'SELECT 1');
    assertNear(first, 0.75);
    assertNear(second, 0.25);
  });
}

test('strategies: weighted gives nothing to a replica of weight 0', async (t) => {
  const multi = await multiFor(t, { strategy: 'weighted', weights: { replica_2: 0 } });
  assert.deepEqual(await sharesOf(multi, 'SELECT 1', { count: 200 }), [1, 0]);
});

test('strategies: least_connections gives a slow replica few reads', async (t) => {
  const multi = await multiFor(t, { strategy: 'least_connections' });
  const [slow] = await sharesOf(multi, slowOnFirst());
  assert.ok(slow > 0 && slow < 0.25, String(slow));
});

for (const strategy of ['response_time', 'health_aware']) {
  test(`strategies: ${strategy} prefers the replica that is nearer in the network`, async (t) => {
    const proxies = await Promise.all(replicas().map((node) => node.proxy()));
    const addresses = proxies.map(({ address }) => address);
    proxies[0].latency(50);
    const multi = await multiFor(t, { strategy }, { addresses });
    // One after the other: none is in flight, so that nothing but the latency tells the replicas apart.
    const [far, near] = await sharesOf(multi, 'SELECT 1', { count: 150, clients: 1, addresses });
    assert.ok(far < 0.3 && near > 0.7, `${far} : ${near}`);
  });
}

// Of equally fast replicas one has failed lately: it is left out for a moment by every strategy, and then it is for the strategy to say.
for (const [what, loadBalancing, least, most] of /** @type {[string, object, number, number][]} */ ([
  ['round_robin gives it its half again', { strategy: 'round_robin' }, 0.47, 0.53],
  // One read finds out whether it is back.
  ['health_aware with a healthThreshold gives it nothing', { strategy: 'health_aware', healthThreshold: 0.9 }, 0, 0.01],
])) {
  test(`strategies: a replica whose reads have failed of late: ${what}`, async (t) => {
    const multi = await multiFor(t, loadBalancing, { reads: { slowStartMs: 0 } });
    for (let i = 0; i < 8; i++) await multi.query(failsOnFirst(), [], { schema: 's', operation: 'read' });
    // Longer than it is left out for.
    await sleep(1_000);
    const [failed] = await sharesOf(multi, 'SELECT pg_sleep(0.002)', { count: 400, clients: 4 });
    assert.ok(failed >= least && failed <= most, String(failed));
  });
}
