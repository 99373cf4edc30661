'use strict';

// stats() under faults: what the program was told, and what the pool has counted, is the same to the last error.

const assert = require('node:assert/strict');
const client = require('../../client.js');
const { Pool } = require('../../exports/pg/index.js');
const { Random } = require('../chaos/random.js');
const { Tally, changes } = require('./counting.js');
const { KINDS, work } = require('./workload.js');
const { loginOf, ownCluster, range, sleep, test, until } = require('../support/helpers.js');

const SEED = Number(process.env.HYPERION_SEED ?? 22);

/** How long work goes on after a fault. */
const AFTER_MS = 700;

/**
 * Work of every kind, and a fault in the middle of it.
 * @param {import('node:test').TestContext} t
 * @param {(own: any, pool: any) => Promise<void>} fault
 * @param {{ nodes?: number, proxied?: boolean }} [settings]
 */
async function countUnder(t, fault, { nodes = 3, proxied = false } = {}) {
  const own = await ownCluster(t, { nodes });
  const proxies = proxied ? await Promise.all(own.cluster.nodes.map((node) => node.proxy())) : [];
  const hosts = proxied ? proxies.map(({ address }) => address) : own.cluster.hosts;
  const pool = own.pool(t, {
    hosts,
    poolSize: 4,
    acquireTimeoutMs: 30_000,
    monitor: { intervalMs: 100, nodeTimeoutMs: 300 },
  });
  await pool.query('CREATE TABLE faulty (id int PRIMARY KEY, note text)');
  await pool.query('INSERT INTO faulty VALUES (0)');
  const before = pool.stats();
  const tally = new Tally();
  let isOver = false;
  const context = { pool, table: 'faulty', tally, random: new Random(SEED) };
  const working = work(context, { clients: 12, goesOn: () => !isOver, kinds: KINDS });
  await until('work is under way', () => tally.queries > 100);
  await fault({ ...own, cluster: own.cluster, proxies }, pool);
  const { queries } = tally;
  await until('work goes on', () => tally.queries > queries + 100);
  await sleep(AFTER_MS);
  isOver = true;
  await working;
  const after = pool.stats();
  const { begun, rolledBack = 0, retries = {}, ...changed } = changes(after, before);
  assert.deepEqual(changed, tally.counts());
  assert.equal(begun, changed.committed + rolledBack, 'each transaction has ended');
  assert.equal(after.waitMs.count, after.waits);
  await until('nothing is in flight', () => pool.stats().nodes.every((/** @type {any} */ node) => node.inFlight === 0));
  await pool.end();
  assert.deepEqual(
    pool.stats().nodes.map((/** @type {any} */ node) => node.connections),
    Array(nodes).fill(0),
  );
  const lost = tally.unknownOutcomes + (tally.errors.ERR_CONNECTION_LOST ?? 0);
  const again = Object.values(/** @type {Record<string, number>} */ (retries)).reduce((sum, count) => sum + count, 0);
  return { tally, after, losses: lost + again };
}

test('faults: counts equal the program’s when the primary is killed and a standby promoted', async (t) => {
  const { after } = await countUnder(t, async ({ cluster }) => {
    await cluster.primary().crash();
    await cluster.failover();
  });
  assert.equal(after.failoverCount, 1);
});

test('faults: counts equal the program’s in a planned switchover', async (t) => {
  const { after, tally } = await countUnder(t, ({ cluster }) => cluster.switchover());
  assert.equal(after.failoverCount, 1);
  assert.equal(tally.unknownOutcomes, 0);
  assert.ok(after.fenceEvictions > 0 && after.fenceEvictions <= 12, `${after.fenceEvictions}`);
});

test('faults: counts equal the program’s when the primary is frozen and deposed', async (t) => {
  const { after } = await countUnder(t, async ({ cluster }) => {
    const old = cluster.primary();
    await old.freeze();
    await cluster.failover();
    t.after(() => old.thaw());
  });
  assert.equal(after.failoverCount, 1);
});

test('faults: counts equal the program’s when the only server is killed and starts again', async (t) => {
  const { after } = await countUnder(
    t,
    async ({ cluster }) => {
      await cluster.primary().crash();
      await cluster.primary().start();
    },
    { nodes: 1 },
  );
  assert.equal(after.failoverCount, 0);
});

test('faults: counts equal the program’s when sessions are ended by an administrator', async (t) => {
  const { losses, after } = await countUnder(
    t,
    async ({ cluster }) => {
      const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'hyperiondb-client' AND random() < 0.5`;
      for (let round = 0; round < 20; round++) {
        await cluster.primary().sql(kill);
        await sleep(30);
      }
    },
    { nodes: 1 },
  );
  assert.equal(after.failoverCount, 0);
  assert.ok(losses > 0, 'some work was lost, or ran again');
});

test('faults: counts equal the program’s when the network cuts connections', async (t) => {
  const { losses } = await countUnder(
    t,
    async ({ proxies }) => {
      for (let round = 0; round < 6; round++) {
        await proxies[0].cut();
        await sleep(40);
        await proxies[0].heal();
        await sleep(60);
      }
    },
    { nodes: 1, proxied: true },
  );
  assert.ok(losses > 0, 'some work was lost, or ran again');
});

/** @type {[title: string, fault: (cluster: any) => Promise<unknown>][]} */
const FAULTS = [
  [
    'the primary is killed',
    (cluster) =>
      cluster
        .primary()
        .crash()
        .then(() => cluster.failover()),
  ],
  ['a standby takes over as planned', (cluster) => cluster.switchover()],
  [
    'the primary is frozen and deposed',
    (cluster) =>
      cluster
        .primary()
        .freeze()
        .then(() => cluster.failover()),
  ],
];

for (const [title, fault] of FAULTS) {
  test(`faults: counts of a pool of hyperiondb-client/pg when ${title}`, async (t) => {
    const own = await ownCluster(t, { nodes: 3 });
    await own.sql('CREATE TABLE faulty (id int)');
    const { hosts, ...login } = loginOf(own.cluster);
    const { createPool } = client;
    /** @type {any} */
    let core;
    client.createPool = (options) => {
      core = createPool(options);
      return core;
    };
    const options = { ...login, host: hosts.join(','), max: 4, monitor: { intervalMs: 100, nodeTimeoutMs: 300 } };
    const pool = /** @type {any} */ (new Pool(/** @type {any} */ (options)));
    pool.on('error', () => {});
    t.after(() => pool.end());
    await pool.query('SELECT 1');
    client.createPool = createPool;
    /** @type {any[]} */
    const told = [];
    core.on('failover', (/** @type {any} */ failover) => told.push(failover));
    const before = core.stats();
    const seen = { succeeded: 0, failed: 0, unknown: 0 };
    let isOver = false;
    const writer = async () => {
      while (!isOver) {
        try {
          await pool.query('INSERT INTO faulty VALUES ($1)', [seen.succeeded]);
          seen.succeeded++;
        } catch (error) {
          seen.failed++;
          if (/** @type {any} */ (error).outcome === 'unknown') seen.unknown++;
        }
        await sleep(1);
      }
    };
    const writing = range(8).map(writer);
    await until('there are writes', () => seen.succeeded > 50);
    await fault(own.cluster);
    await until('the failover is told', () => told.length > 0);
    await sleep(AFTER_MS);
    isOver = true;
    await Promise.all(writing);
    const after = core.stats();
    /** @param {Record<string, number>} counts */
    const sumOf = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
    assert.equal(after.rows - before.rows, seen.succeeded);
    // What the pool runs again is another query there, and its error was told to nobody.
    const again = sumOf(after.retries);
    assert.equal(after.queries - before.queries - again, seen.succeeded + seen.failed);
    assert.equal(sumOf(after.errors) - again, seen.failed);
    assert.deepEqual(
      Object.keys(after.retries).filter((cause) => !/^(connectionLost|[0-9A-Z]{5})$/.test(cause)),
      [],
    );
    assert.equal(after.unknownOutcomes, seen.unknown);
    assert.deepEqual(after.failovers, told);
    assert.deepEqual({ told: told.length, unknown: told[0].unknown }, { told: 1, unknown: seen.unknown });
  });
}
