'use strict';

// stats() of work that runs again: it is one query, and its retry has a cause.

const assert = require('node:assert/strict');
const { assertCounts } = require('./counting.js');
const { failureOf, isPending, ownCluster, test, until } = require('../support/helpers.js');
const { untilFit } = require('../support/reads.js');

const MONITOR = { intervalMs: 50, nodeTimeoutMs: 300 };

/** @param {import('node:test').TestContext} t @param {object} [options] */
async function replicated(t, options) {
  const own = await ownCluster(t, { nodes: 3 });
  await own.sql('CREATE TABLE again (id int)');
  const pool = own.pool(t, { poolSize: 2, monitor: MONITOR, ...options });
  await untilFit(pool, own.cluster.standbys());
  await pool.query('SELECT 1');
  return { cluster: own.cluster, pool };
}

/**
 * The standby on which a read sleeps, once it does.
 * @param {any} cluster
 * @returns {Promise<any>}
 */
const sleeping = (cluster) =>
  until('a read sleeps on a standby', async () => {
    for (const standby of cluster.liveStandbys()) {
      const sql = "SELECT FROM pg_stat_activity WHERE query LIKE '%/* sleeps */%' AND wait_event = 'PgSleep'";
      if ((await standby.sql(sql)).length > 0) return standby;
    }
    return null;
  });

test('retries: a read whose session was ended on its standby', async (t) => {
  const { cluster, pool } = await replicated(t);
  const run = async () => {
    const read = pool.read('SELECT pg_sleep(0.5) /* sleeps */');
    const standby = await sleeping(cluster);
    await standby.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    await read;
  };
  await assertCounts(pool, run, { queries: 1, rows: 1, retries: { sessionEnded: 1 } });
});

test('retries: a read whose standby was killed', async (t) => {
  const { cluster, pool } = await replicated(t);
  const run = async () => {
    const read = pool.read('SELECT pg_sleep(0.5) /* sleeps */');
    const standby = await sleeping(cluster);
    await standby.crash();
    const { node } = await read;
    assert.notEqual(node, standby.address);
  };
  await assertCounts(pool, run, { queries: 1, rows: 1, retries: { connectionLost: 1 } });
  assert.deepEqual(pool.stats().failovers, [], 'a standby that is lost is no failover');
});

test('retries: a read that must see what its standby has not replayed', async (t) => {
  // A monitor that looks in time would spare the attempt.
  const monitor = { intervalMs: 30_000, nodeTimeoutMs: 3_000 };
  const { cluster, pool } = await replicated(t, { acquireTimeoutMs: 500, reads: { waitMs: 50 }, monitor });
  await Promise.all(
    cluster.standbys().map((/** @type {any} */ standby) => standby.sql('SELECT pg_wal_replay_pause()')),
  );
  const { token } = await pool.query('INSERT INTO again VALUES (1)', [], { token: true });
  const onPrimary = async () => {
    const { node } = await pool.read('SELECT 1', [], { after: token, fallback: 'primary' });
    assert.equal(node, cluster.primary().address);
  };
  const before = pool.stats().retries;
  await assertCounts(pool, onPrimary, { queries: 1, rows: 1, retries: { standby: 1 } });
  assert.deepEqual(before, {});
  const nowhere = () => failureOf(pool.read('SELECT 1', [], { after: token, fallback: 'none' }));
  const { queries, errors } = pool.stats();
  await nowhere();
  const after = pool.stats();
  assert.deepEqual(
    { queries: after.queries - queries, errors: after.errors },
    { queries: 1, errors: { ...errors, ERR_NO_STANDBY: 1 } },
  );
});

test('retries: writes that find their primary fenced, each counted as one query when it is over', async (t) => {
  const { cluster, pool } = await replicated(t, { acquireTimeoutMs: 30_000 });
  // Two connections that are open before the fence.
  await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
  const primary = cluster.primary();
  const before = pool.stats();
  await primary.fence();
  const writes = [pool.query('INSERT INTO again VALUES (1)'), pool.query('INSERT INTO again VALUES (2)')];
  await until('the fence is seen', () => pool.nodes().some((/** @type {any} */ { state }) => state === 'fenced'));
  assert.ok(await isPending(Promise.race(writes)));
  await primary.unfence();
  await Promise.all(writes);
  const after = pool.stats();
  assert.deepEqual(
    { queries: after.queries - before.queries, rows: after.rows - before.rows, errors: after.errors },
    { queries: 2, rows: 2, errors: {} },
  );
  assert.deepEqual(
    Object.keys(after.retries).filter((cause) => cause !== 'fenced'),
    [],
  );
  assert.equal(after.fenceEvictions - before.fenceEvictions, 2, 'both connections are given up');
});

test('retries: a transaction that outlives the fence of its node is one connection that was given up', async (t) => {
  const { cluster, pool } = await replicated(t, { poolSize: 4 });
  await Promise.all(Array.from({ length: 4 }, () => pool.query('SELECT pg_sleep(0.05)')));
  const tx = await pool.begin();
  await tx.query('SELECT 1');
  await cluster.primary().fence();
  await until('the fence is seen', () => pool.stats().fenceEvictions > 0);
  assert.equal(pool.stats().fenceEvictions, 4);
  await cluster.failover();
  await until('the new primary is seen', () => pool.stats().failoverCount === 1);
  await tx.rollback();
  assert.equal(pool.stats().fenceEvictions, 4);
});
