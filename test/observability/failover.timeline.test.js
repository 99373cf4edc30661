'use strict';

// The timeline of a failover in stats() and in the event `failover`: its order, its reasons, and what became of the calls.

const assert = require('node:assert/strict');
const { failureOf, ownCluster, range, sleep, test, until } = require('../support/helpers.js');

const MONITOR = { intervalMs: 100, nodeTimeoutMs: 300 };
const SOURCES = ['statement', 'connection', 'monitor', 'fence'];

/**
 * A cluster, a pool that follows it, and what the pool tells.
 * @param {import('node:test').TestContext} t
 * @param {{ nodes?: number, options?: object }} [settings]
 */
async function watched(t, { nodes = 3, options } = {}) {
  const own = await ownCluster(t, { nodes });
  await own.sql('CREATE TABLE written (id int)');
  const pool = own.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000, monitor: MONITOR, ...options });
  /** @type {any[]} */
  const told = [];
  pool.on('failover', (/** @type {any} */ failover) => told.push(failover));
  await pool.query('SELECT 1');
  return { cluster: own.cluster, pool, told };
}

/**
 * Writers that go on until they are stopped, and what they were told.
 * @param {any} pool
 * @param {(pool: any) => Promise<unknown>} [write]
 */
function writers(pool, write = (any) => any.query('INSERT INTO written VALUES (1)')) {
  let isOver = false;
  const seen = { unknown: 0, acknowledged: /** @type {number[]} */ ([]) };
  const writer = async () => {
    while (!isOver) {
      try {
        await write(pool);
        seen.acknowledged.push(Date.now());
      } catch (error) {
        if (/** @type {any} */ (error).outcome === 'unknown') seen.unknown++;
      }
      await sleep(5);
    }
  };
  const running = range(3).map(writer);
  const stop = async () => {
    isOver = true;
    await Promise.all(running);
    return seen;
  };
  return { seen, stop };
}

/**
 * Checks what holds for every failover that has ended with a write.
 * @param {any} failover
 * @param {any} cluster
 * @param {{ from: string, to: string, since: number }} expected
 */
function assertTimeline({ noticed, by, asked, found, firstWrite, ...rest }, cluster, { from, to, since }) {
  assert.deepEqual({ from: rest.from, to: rest.to }, { from, to });
  const times = [noticed, ...asked.map((/** @type {any} */ { at }) => at), found, firstWrite].map((at) => at.getTime());
  assert.deepEqual(
    times,
    [...times].sort((one, other) => one - other),
    'noticed, asked, found, first write',
  );
  assert.ok(times[0] >= since - 1 && /** @type {number} */ (times.at(-1)) <= Date.now(), 'within the test');
  assert.ok(SOURCES.includes(by.source), by.source);
  assert.ok(by.reason.length > 0 && !by.reason.includes(cluster.password), by.reason);
  for (const { node, answer, reason } of asked) {
    assert.ok(cluster.hosts.includes(node), node);
    assert.ok(['primary', 'standby', 'fenced', 'down'].includes(answer), answer);
    assert.equal(reason === null, answer === 'primary' || answer === 'standby', `${answer}: ${reason}`);
  }
  const last = asked.at(-1);
  assert.deepEqual(
    { node: last.node, answer: last.answer },
    { node: to, answer: 'primary' },
    'the one that was chosen',
  );
  // An answer stands there once, until it changes.
  for (const node of cluster.hosts) {
    const said = asked
      .filter((/** @type {any} */ one) => one.node === node)
      .map((/** @type {any} */ { answer, reason }) => `${answer} ${reason}`);
    said.forEach((/** @type {string} */ one, /** @type {number} */ i) => assert.notEqual(one, said[i - 1]));
  }
}

/** Waits until a failover has been told, and checks that it was told as stats() have it. @param {any} pool @param {any[]} told */
async function untilTold(pool, told, count = 1) {
  await until(`${count} failovers are told`, () => told.length >= count);
  await sleep(150);
  assert.equal(told.length, count, 'each is told once');
  assert.deepEqual(pool.stats().failovers, told);
  return told[count - 1];
}

test('timeline: the primary is killed and a standby promoted under writes', async (t) => {
  const { cluster, pool, told } = await watched(t);
  const { seen, stop } = writers(pool);
  await until('there are writes', () => seen.acknowledged.length > 20);
  const [from, since] = [cluster.primary().address, Date.now()];
  await cluster.primary().crash();
  const to = (await cluster.failover()).address;
  const failover = await untilTold(pool, told);
  const { unknown, acknowledged } = await stop();
  assertTimeline(failover, cluster, { from, to, since });
  assert.equal(failover.by.node, from);
  assert.equal(failover.timeline, 2);
  assert.deepEqual({ unknown: failover.unknown, held: failover.held + failover.unknown >= 3 }, { unknown, held: true });
  const later = acknowledged.filter((at) => at > failover.found.getTime());
  assert.ok(
    later.length > 0 && later.every((at) => at >= failover.firstWrite.getTime()),
    'no write was acknowledged before',
  );
  const stats = pool.stats();
  assert.deepEqual({ failovers: stats.failoverCount, unknown: stats.unknownOutcomes }, { failovers: 1, unknown });
});

test('timeline: a planned switchover is noticed by its fence, and nothing is unknown', async (t) => {
  const { cluster, pool, told } = await watched(t);
  const { seen, stop } = writers(pool);
  await until('there are writes', () => seen.acknowledged.length > 20);
  const [from, since] = [cluster.primary().address, Date.now()];
  await cluster.primary().fence();
  // A slow machine may be told of the shutdown only.
  await until('the fence is seen', () => pool.nodes().some((/** @type {any} */ { state }) => state === 'fenced'));
  const to = (await cluster.switchover()).address;
  const failover = await untilTold(pool, told);
  const { unknown } = await stop();
  assertTimeline(failover, cluster, { from, to, since });
  assert.match(failover.by.reason, /accepts no writes|a write was refused/);
  assert.ok(failover.asked.some((/** @type {any} */ { node, answer }) => node === from && answer === 'fenced'));
  assert.deepEqual({ unknown: failover.unknown, seen: unknown }, { unknown: 0, seen: 0 });
  const { retries, failoverCount, fenceEvictions } = pool.stats();
  const retried = Object.values(retries).reduce((sum, count) => sum + count, 0);
  assert.deepEqual({ retried: failover.retried, failoverCount }, { retried, failoverCount: 1 });
  assert.ok(retried >= 1 && fenceEvictions >= 1, JSON.stringify({ retries, fenceEvictions }));
});

test('timeline: a frozen primary is deposed by the one on the higher timeline', async (t) => {
  const { cluster, pool, told } = await watched(t, {
    options: { monitor: { intervalMs: 100, nodeTimeoutMs: 20_000 } },
  });
  const { seen, stop } = writers(pool);
  await until('there are writes', () => seen.acknowledged.length > 20);
  const old = cluster.primary();
  const since = Date.now();
  await old.freeze();
  const to = (await cluster.failover()).address;
  const failover = await untilTold(pool, told);
  const { unknown } = await stop();
  assertTimeline(failover, cluster, { from: old.address, to, since });
  assert.equal(failover.by.source, 'fence');
  assert.equal(failover.by.reason, `${to} is a primary on the higher timeline 2`);
  assert.equal(failover.unknown, unknown);
  assert.equal(pool.stats().fenceEvictions >= 1, true);
  await old.thaw();
  await until('the old primary is seen as fenced', () =>
    pool.nodes().some((/** @type {any} */ { port, state }) => port === old.port && state === 'fenced'),
  );
  assert.equal(pool.stats().failoverCount, 1);
  assert.equal(told.length, 1);
});

test('timeline: a primary that was away and is back is no other primary', async (t) => {
  const { cluster, pool, told } = await watched(t, { nodes: 1 });
  const { seen, stop } = writers(pool);
  await until('there are writes', () => seen.acknowledged.length > 20);
  const node = cluster.primary();
  const since = Date.now();
  await node.stop();
  await node.start();
  const failover = await untilTold(pool, told);
  const { unknown } = await stop();
  assertTimeline(failover, cluster, { from: node.address, to: node.address, since });
  assert.equal(failover.timeline, 1);
  assert.equal(failover.unknown, unknown);
  assert.equal(pool.stats().failoverCount, 0, 'no other node became the primary');
});

test('timeline: without a write it stays open, reads do not end it, and the first write does', async (t) => {
  const { cluster, pool, told } = await watched(t);
  const [from, since] = [cluster.primary().address, Date.now()];
  await cluster.primary().crash();
  const to = (await cluster.failover()).address;
  await until('the new primary is found', () => pool.stats().failovers[0]?.found);
  await pool.query('SELECT 1');
  await pool.read('SELECT 1');
  await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'));
  await assert.rejects(pool.query('INSERT INTO written VALUES (1 / 0)'));
  await assert.rejects(
    pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('INSERT INTO written VALUES (1)');
      throw new Error('the program rolls back');
    }),
  );
  const [open] = pool.stats().failovers;
  assert.deepEqual({ to: open.to, firstWrite: open.firstWrite, told }, { to, firstWrite: null, told: [] });
  await pool.transaction(async (/** @type {any} */ tx) => {
    await tx.query('INSERT INTO written VALUES (1)');
    assert.equal(pool.stats().failovers[0].firstWrite, null, 'a write that is not committed was not acknowledged');
  });
  assertTimeline(await untilTold(pool, told), cluster, { from, to, since });
});

test('timeline: two failovers, the second before the first one has seen a write', async (t) => {
  const { cluster, pool, told } = await watched(t);
  const first = cluster.primary().address;
  await cluster.primary().crash();
  const second = (await cluster.failover()).address;
  await until('the second is found', () => pool.stats().failovers[0]?.found);
  const since = Date.now();
  await cluster.primary().crash();
  const third = (await cluster.failover(undefined, { synchronous: false })).address;
  await until('the first failover is told when the second begins', () => told.length === 1);
  assert.deepEqual(
    { from: told[0].from, to: told[0].to, firstWrite: told[0].firstWrite },
    { from: first, to: second, firstWrite: null },
  );
  await pool.query('INSERT INTO written VALUES (1)');
  assertTimeline(await untilTold(pool, told, 2), cluster, { from: second, to: third, since });
  assert.equal(told[1].timeline, 3);
  assert.equal(pool.stats().failoverCount, 2);
});

test('timeline: a session that an administrator has ended announces no failover that comes later', async (t) => {
  const { cluster, pool, told } = await watched(t);
  const lost = failureOf(pool.query('INSERT INTO written SELECT 1 WHERE pg_sleep(60) IS NOT NULL'));
  const end =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO written%' AND wait_event = 'PgSleep'";
  await until('it is ended', async () => (await cluster.primary().sql(end)).length > 0);
  assert.equal((await lost).code, 'ERR_OUTCOME_UNKNOWN');
  // The monitor sees that the primary is well.
  await sleep(3 * MONITOR.intervalMs);
  const [from, since] = [cluster.primary().address, Date.now()];
  await cluster.primary().crash();
  const to = (await cluster.failover()).address;
  await pool.query('INSERT INTO written VALUES (1)');
  const failover = await untilTold(pool, told);
  assertTimeline(failover, cluster, { from, to, since });
  assert.equal(failover.unknown, 0);
});

/** @type {[title: string, write: (pool: any) => Promise<unknown>][]} */
const WRITES = [
  ['transactions', (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO written VALUES (1)'))],
  ['batches', (pool) => pool.batch([['INSERT INTO written VALUES (1)'], ['SELECT 1']], { transaction: true })],
  ['scripts', (pool) => pool.exec('INSERT INTO written VALUES (1)')],
  ['loads', (pool) => pool.copyFrom('written', [[1]])],
];

for (const [title, write] of WRITES) {
  test(`timeline: under ${title} alone`, async (t) => {
    const { cluster, pool, told } = await watched(t);
    const { seen, stop } = writers(pool, write);
    await until('there are writes', () => seen.acknowledged.length > 10);
    const [from, since] = [cluster.primary().address, Date.now()];
    await cluster.primary().crash();
    const to = (await cluster.failover()).address;
    const failover = await untilTold(pool, told);
    const { unknown } = await stop();
    assertTimeline(failover, cluster, { from, to, since });
    assert.deepEqual(
      { told: failover.unknown, counted: pool.stats().unknownOutcomes },
      { told: unknown, counted: unknown },
    );
  });
}

for (const mode of ['any', 'standby']) {
  test(`timeline: of a pool in mode '${mode}', which writes nothing`, async (t) => {
    const { cluster, pool, told } = await watched(t, { options: { mode } });
    const from = cluster.primary().address;
    await cluster.primary().crash();
    const to = (await cluster.failover()).address;
    await until('the new primary is found', () => pool.stats().failovers[0]?.found);
    const [failover] = pool.stats().failovers;
    assert.deepEqual(
      { from: failover.from, to: failover.to, firstWrite: failover.firstWrite, told: told.length },
      { from, to, firstWrite: null, told: 0 },
    );
    assert.equal(pool.stats().failoverCount, 1);
  });
}

test('timeline: without a monitor the statements notice it', async (t) => {
  const { cluster, pool, told } = await watched(t, { options: { monitor: false } });
  const { seen, stop } = writers(pool);
  await until('there are writes', () => seen.acknowledged.length > 20);
  const [from, since] = [cluster.primary().address, Date.now()];
  await cluster.primary().crash();
  const to = (await cluster.failover()).address;
  const failover = await untilTold(pool, told);
  const { unknown } = await stop();
  assertTimeline(failover, cluster, { from, to, since });
  assert.ok(['statement', 'connection'].includes(failover.by.source), failover.by.source);
  assert.equal(failover.unknown, unknown);
});

test('timeline: of many failovers the last 16 are kept, all are told and counted', async (t) => {
  const { cluster, pool, told } = await watched(t, { nodes: 1 });
  const node = cluster.primary();
  for (const i of range(18)) {
    await node.fence();
    await until(`fence ${i} is seen`, () => pool.stats().failovers.at(-1)?.found === null);
    await node.unfence();
    await pool.query('INSERT INTO written VALUES (1)');
    await until(`it is told ${i}`, () => told.length === i + 1);
  }
  const { failovers, failoverCount } = pool.stats();
  assert.equal(failovers.length, 16);
  assert.deepEqual(failovers, told.slice(2));
  assert.equal(failoverCount, 0);
});
