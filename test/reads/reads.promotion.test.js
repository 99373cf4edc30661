'use strict';

// Reads while the roles of the nodes change: a standby that is promoted under its read sessions, a switchover, a failover, and an
// old primary that comes back as a standby.

const assert = require('node:assert/strict');
const { failureOf, ownCluster, test, until } = require('../support/helpers');
const { nodeIn, readMany, untilFit } = require('../support/reads');

const MONITOR = { intervalMs: 100, nodeTimeoutMs: 1_000 };

const SESSION = `SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only`;

test('a standby is promoted under a read session: the session goes on reading, and still cannot write', async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  own.needs('promote');
  const [primary, standby] = own.cluster.nodes;
  await primary.sql('CREATE TABLE promoted (n int)');
  await until('the standby has the table', async () => (await standby.sql('SELECT FROM promoted')).length === 0);
  const pool = own.pool(t, { hosts: [standby.address], reads: { poolSize: 1 }, monitor: MONITOR });
  const before = await pool.read.one(SESSION);
  assert.deepEqual([before.standby, before.read_only], [true, 'on']);
  await standby.promote();
  // The session itself has been told by now: its first answer after the promotion says so.
  const after = await pool.read.one(SESSION);
  assert.deepEqual(after, { pid: before.pid, standby: false, read_only: 'on' });
  for (const write of ['INSERT INTO promoted VALUES (1)', 'CREATE TABLE more (n int)']) {
    const error = await failureOf(pool.read(write));
    assert.deepEqual([error.code, error.outcome], ['25006', 'not-applied']);
    assert.match(error.message, /read\(\)/);
  }
  const [{ n }] = await standby.sql('SELECT count(*)::int AS n FROM promoted');
  assert.equal(n, 0);
  assert.equal(await pool.read.value('SELECT 1'), 1);
  // The same pool writes, over sessions that are not those of its reads.
  await until('the pool knows its primary', () => nodeIn(pool, standby).role === 'primary');
  await pool.query('INSERT INTO promoted VALUES (2)');
  assert.deepEqual([...(await pool.read('SELECT n FROM promoted'))], [{ n: 2 }]);
});

test('a write through read in the moment of a promotion is refused every time', async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  own.needs('promote');
  const [primary, standby] = own.cluster.nodes;
  await primary.sql('CREATE TABLE promoted (n int)');
  await until('the standby has the table', async () => (await standby.sql('SELECT FROM promoted')).length === 0);
  const pool = own.pool(t, { hosts: [standby.address], monitor: MONITOR });
  let promoted = false;
  const writes = readMany(pool, Infinity, { sql: 'INSERT INTO promoted VALUES (1)', until: () => promoted });
  await standby.promote();
  await until('the pool knows it', () => nodeIn(pool, standby).role === 'primary');
  promoted = true;
  const { failures, total } = await writes;
  assert.equal(total, 0);
  assert.deepEqual([...new Set(failures.map(({ code }) => code))], ['25006']);
  assert.deepEqual(await standby.sql('SELECT n FROM promoted'), []);
});

test('reads under a switchover: none fails, and afterwards the old primary answers some and the new one none', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('switchover');
  const { cluster } = own;
  const old = cluster.primary();
  const pool = own.pool(t, {
    monitor: MONITOR,
    acquireTimeoutMs: 30_000,
    reads: { balance: 'round-robin', slowStartMs: 0 },
  });
  await untilFit(pool, cluster.standbys());
  let over = false;
  const reads = readMany(pool, Infinity, { until: () => over });
  const next = await cluster.switchover();
  await untilFit(pool, cluster.standbys());
  over = true;
  const during = await reads;
  assert.deepEqual(during.failures, []);
  assert.ok(cluster.standbys().includes(old));
  await until('the old primary answers', async () => (await readMany(pool, 20)).of(old.address) > 0);
  const after = await readMany(pool, 1_000);
  assert.deepEqual([after.failures, after.of(next.address)], [[], 0]);
  assert.ok(after.of(old.address) > 0);
});

test('reads under a failover: none fails, and an old primary that comes back as a standby gets some', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('crash', 'failover', 'rejoin');
  const { cluster } = own;
  const old = cluster.primary();
  const pool = own.pool(t, {
    monitor: MONITOR,
    acquireTimeoutMs: 30_000,
    reads: { balance: 'round-robin', slowStartMs: 0 },
  });
  await untilFit(pool, cluster.standbys());
  await pool.query('CREATE TABLE kept (n int)');
  await pool.query('INSERT INTO kept VALUES (1)');
  let over = false;
  const reads = readMany(pool, Infinity, { until: () => over });
  await old.crash();
  const next = await cluster.failover();
  await untilFit(pool, cluster.standbys());
  over = true;
  assert.deepEqual((await reads).failures, []);
  const without = await readMany(pool, 300);
  assert.deepEqual([without.failures, without.of(next.address), without.of(old.address)], [[], 0, 0]);
  await old.rejoin(next);
  await untilFit(pool, cluster.standbys());
  assert.ok(cluster.standbys().includes(old));
  await until('the old primary answers', async () => (await readMany(pool, 20)).of(old.address) > 0);
  const after = await readMany(pool, 1_000, { sql: 'SELECT n FROM kept' });
  assert.deepEqual([after.failures, after.of(next.address)], [[], 0]);
  assert.ok(after.of(old.address) > 0);
});

test('a deposed primary that lives on gets no reads while others are fit, and none under fallback none', async (t) => {
  const own = await ownCluster(t, { nodes: 3, synchronous: false });
  own.needs('failover');
  const { cluster } = own;
  const old = cluster.primary();
  const pool = own.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin' } });
  await untilFit(pool, cluster.standbys());
  const next = await cluster.failover();
  await untilFit(pool, cluster.standbys());
  await until('the new primary is known', () => nodeIn(pool, next).role === 'primary');
  const { failures, of } = await readMany(pool, 500);
  assert.deepEqual([failures, of(old.address), of(next.address)], [[], 0, 0]);
  const alone = own.pool(t, { hosts: [old.address, next.address], monitor: MONITOR, acquireTimeoutMs: 500 });
  await until('both are known', () => alone.nodes().every((/** @type {any} */ { role }) => role === 'primary'));
  const ofPrimary = await readMany(alone, 100);
  assert.deepEqual([ofPrimary.failures, ofPrimary.of(old.address)], [[], 0], 'of two primaries the new one answers');
  const error = await failureOf(alone.read('SELECT 1', [], { fallback: 'none' }));
  assert.equal(error.code, 'ERR_NO_STANDBY');
});
