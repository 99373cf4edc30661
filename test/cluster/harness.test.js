'use strict';

// Test clusters do what their methods say, so that other tests may rely on them: nodes and their roles. How a cluster is
// started, reached and ended is in harness.start.test.js. That a node does not answer is never concluded from a timeout here:
// the question stays open while others are answered, and is answered when the fault is lifted.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { startCluster } = require('../support/cluster');
const { sharedMemoryId } = require('../../exports/testing/cluster/processes.js');
const { until } = require('../../exports/testing/cluster/until.js');
const { assertFreed, clusterFor, skip } = require('../support/harness');
const { isPending } = require('../support/helpers.js');

/** @typedef {import('../../exports/testing/cluster/cluster.js').Cluster} Cluster */
/** @typedef {import('../../exports/testing/cluster/node.js').LocalNode} LocalNode */
/** @typedef {import('../../exports/testing/cluster/server.js').Server} Server */

/**
 * Waits until a node has these rows in table t, since acknowledged rows may not be replayed yet.
 *
 * @param {Server} node
 * @param {number[]} expected
 */
async function assertRows(node, expected) {
  await until(`${node.name} shows ${expected}`, async () => {
    const rows = await node.sql('SELECT id FROM t ORDER BY id');
    return rows.map(({ id }) => id).join() === expected.join();
  });
}

describe('test cluster of three nodes with its defaults', { skip }, () => {
  /** @type {Cluster} */
  let cluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  test('test cluster: the first node is the primary, the others are standbys', async () => {
    assert.equal(cluster.primary(), cluster.nodes[0]);
    assert.deepEqual(cluster.standbys(), cluster.nodes.slice(1));
    assert.deepEqual(await Promise.all(cluster.nodes.map((node) => node.isInRecovery())), [false, true, true]);
    assert.deepEqual(
      cluster.hosts,
      cluster.nodes.map(({ port }) => `127.0.0.1:${port}`),
    );
  });

  test('test cluster: both standbys stream and count as synchronous', async () => {
    const rows = await cluster
      .primary()
      .sql('SELECT application_name AS name, state, sync_state FROM pg_stat_replication ORDER BY 1');
    assert.deepEqual(rows, [
      { name: 'n2', state: 'streaming', sync_state: 'quorum' },
      { name: 'n3', state: 'streaming', sync_state: 'quorum' },
    ]);
  });

  test('test cluster: version is that of its PostgreSQL', async () => {
    const [{ version }] = await cluster
      .primary()
      .sql("SELECT current_setting('server_version_num')::int / 10000 AS version");
    assert.equal(cluster.version, version);
  });

  test('test cluster: passwords are checked', async () => {
    await assert.rejects(cluster.primary().sql('SELECT 1', [], { password: 'wrong' }), { code: '28P01' });
  });

  test('test cluster: the app role may create tables and has no other right', async () => {
    const app = cluster.app ?? assert.fail('no app role');
    await cluster.primary().sql('CREATE TABLE of_app (id int)', [], app);
    await assert.rejects(cluster.primary().sql('SELECT pg_reload_conf()', [], app), { code: '42501' });
  });

  test('test cluster: sql() takes parameters and returns objects', async () => {
    assert.deepEqual(await cluster.nodes[1].sql('SELECT $1::int + 1 AS sum', [41]), [{ sum: 42 }]);
  });

  test('test cluster: a write on a fenced node fails with 25006, and works after unfence()', async () => {
    await cluster.primary().fence();
    await assert.rejects(cluster.primary().sql('CREATE TABLE fenced (id int)'), { code: '25006' });
    await cluster.primary().unfence();
    await cluster.primary().sql('CREATE TABLE fenced (id int)');
  });

  test('test cluster: a frozen node gives no answer, a thawed one does', async () => {
    for (const node of cluster.nodes) {
      await node.freeze();
      const answer = node.sql('SELECT 1 AS one');
      for (const other of cluster.nodes) if (other !== node) await other.sql('SELECT 1');
      assert.ok(await isPending(answer), node.name);
      await node.thaw();
      assert.deepEqual(await answer, [{ one: 1 }]);
    }
  });

  test('test cluster: a commit waits for a standby when all are frozen', async () => {
    await Promise.all(cluster.standbys().map((node) => node.freeze()));
    const commit = cluster.primary().sql('CREATE TABLE waits (id int)');
    await until('the commit waits', async () => {
      const [row] = await cluster
        .primary()
        .sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      return row.n === 1;
    });
    assert.ok(await isPending(commit));
    await Promise.all(cluster.standbys().map((node) => node.thaw()));
    await commit;
  });

  for (const mode of /** @type {const} */ (['smart', 'fast', 'immediate'])) {
    test(`test cluster: stop('${mode}') leaves no process, and start() starts the node again`, async () => {
      const node = /** @type {LocalNode} */ (cluster.nodes[2]);
      await node.stop(mode);
      assert.equal(node.running, false);
      assert.deepEqual(node.pids, []);
      await assert.rejects(node.sql('SELECT 1'), { code: 'ECONNREFUSED' });
      await node.start();
      assert.equal(node.running, true);
      assert.equal(await node.isInRecovery(), true);
    });
  }

  test('test cluster: after killPostmaster() the node is gone and can be started again', async () => {
    const node = /** @type {LocalNode} */ (cluster.nodes[2]);
    const segment = sharedMemoryId(node.dataDir);
    await node.killPostmaster();
    assert.equal(node.running, false);
    await node.start();
    assertFreed([segment]);
    assert.equal(await node.isInRecovery(), true);
  });

  test('test cluster: after killBackend() the server ends all sessions and comes back by itself', async () => {
    const node = /** @type {LocalNode} */ (cluster.primary());
    const { pid } = node;
    const bystander = node.sql('SELECT pg_sleep(60)');
    const asApp = node.sql('SELECT pg_sleep(60)', [], cluster.app ?? assert.fail('no app role'));
    for (const each of [bystander, asApp]) each.catch(() => {});
    await until('both sleep', async () => {
      const sleepers = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
      return (await node.sql(sleepers))[0].n === 2;
    });
    const before = node.log().length;
    await node.killBackend(cluster.app?.user);
    await assert.rejects(asApp, /terminated unexpectedly|ECONNRESET/);
    await assert.rejects(
      bystander,
      (error) => /** @type {any} */ (error).code === '57P02' || /terminated/.test(`${error}`),
    );
    assert.equal(node.pid, pid, 'the same postmaster');
    assert.match(node.log().slice(before), /was terminated by signal 9/);
    await node.sql('CREATE TABLE after_restart (id int)');
    await assert.rejects(node.killBackend('nobody'), /n1 has no backend to kill/);
  });

  test('test cluster: exhaust() ends the sessions of a role, which is refused until it is released', async () => {
    const node = cluster.primary();
    const app = cluster.app ?? assert.fail('no app role');
    const sleeper = node.sql('SELECT pg_sleep(60)', [], app);
    sleeper.catch(() => {});
    await until('it sleeps', async () => {
      const sleepers = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
      return (await node.sql(sleepers))[0].n === 1;
    });
    let thrown = 0;
    const release = await node.exhaust(app, () => thrown++);
    assert.ok(thrown > 0);
    await assert.rejects(sleeper, { code: '57P01' });
    await assert.rejects(node.sql('SELECT 1', [], app), { code: '53300' });
    await node.sql('SELECT 1'); // connections of superusers are kept
    await release();
    await until('the role may connect again', () => node.sql('SELECT 1', [], app));
  });

  test('test cluster: the setting max_connections applies to all nodes', async (t) => {
    const small = await clusterFor(t, { nodes: 2, settings: { max_connections: 20 } });
    for (const node of small.nodes)
      assert.deepEqual(await node.sql('SHOW max_connections'), [{ max_connections: '20' }]);
  });

  test('test cluster: operations on a node that does not run say so', async () => {
    const node = cluster.nodes[2];
    await node.stop();
    for (const operation of [() => node.stop(), () => node.freeze(), () => node.killPostmaster()]) {
      await assert.rejects(operation(), /n3 is not running/);
    }
    await node.start();
    await assert.rejects(node.start(), /n3 is running/);
  });
});

describe('test cluster: roles change', { skip }, () => {
  test('test cluster: after crash, failover and rejoin the acknowledged rows are there, and the new marker arrives', async (t) => {
    const cluster = await clusterFor(t);
    const old = /** @type {LocalNode} */ (cluster.primary());
    await old.sql('CREATE TABLE t (id int PRIMARY KEY)');
    await old.sql('INSERT INTO t VALUES (1)');
    const segment = sharedMemoryId(old.dataDir);
    await old.crash();
    assert.equal(old.running, false);
    assert.deepEqual(old.pids, []);

    const next = await cluster.failover();
    assert.equal(cluster.primary(), next);
    assert.equal(old.role, 'deposed');
    await next.sql('INSERT INTO t VALUES (2)'); // needs a standby that has followed
    const [other] = cluster.standbys();
    await assertRows(other, [1, 2]);

    await old.rejoin(next);
    assertFreed([segment]);
    assert.equal(old.role, 'standby');
    assert.equal(await old.isInRecovery(), true);
    await assertRows(old, [1, 2]);
    await next.sql('INSERT INTO t VALUES (3)');
    for (const node of cluster.nodes) await assertRows(node, [1, 2, 3]);

    await next.crash(); // a second time: names and conninfos must still be right
    await cluster.failover(old);
    await old.sql('INSERT INTO t VALUES (4)');
    await next.rejoin(old);
    for (const node of cluster.nodes) await assertRows(node, [1, 2, 3, 4]);
  });

  test('test cluster: switchover() loses nothing, and all three nodes stay', async (t) => {
    const cluster = await clusterFor(t);
    const old = cluster.primary();
    await old.sql('CREATE TABLE t (id int)');
    await old.sql('INSERT INTO t VALUES (1)');
    const next = await cluster.switchover(cluster.nodes[2]);
    assert.equal(next, cluster.nodes[2]);
    await next.sql('INSERT INTO t VALUES (2)');
    for (const node of cluster.nodes) await assertRows(node, [1, 2]);
    assert.deepEqual(await Promise.all(cluster.nodes.map((node) => node.isInRecovery())), [true, true, false]);
  });

  test('test cluster: an old primary that is started again is a second primary', async (t) => {
    const cluster = await clusterFor(t, { synchronous: false });
    const [old] = cluster.nodes;
    await old.crash();
    await cluster.failover();
    await old.start();
    assert.deepEqual(await Promise.all([old, cluster.primary()].map((node) => node.isInRecovery())), [false, false]);
  });

  test('test cluster: asynchronous, replication cut, then a crash: an acknowledged row is lost', async (t) => {
    const cluster = await clusterFor(t, { synchronous: false });
    assert.equal(cluster.synchronous, false);
    const primary = cluster.primary();
    await primary.sql('CREATE TABLE t (id int)');
    const link = await primary.proxy();
    await Promise.all(cluster.standbys().map((standby) => standby.follow(link)));
    await until('both stream through the proxy', () => link.connections === 2);
    await primary.sql('INSERT INTO t VALUES (1)');
    for (const standby of cluster.standbys()) await assertRows(standby, [1]);
    await link.cut();
    await primary.sql('INSERT INTO t VALUES (2)'); // acknowledged: no commit waits for a standby
    await primary.crash();
    await assertRows(await cluster.failover(), [1]);
  });

  test('test cluster: the last node waits for a standby, unless it is told that none will come', async (t) => {
    const cluster = await clusterFor(t, { nodes: 2 });
    await cluster.primary().crash();
    const next = await cluster.failover(undefined, { synchronous: false });
    assert.equal(cluster.synchronous, false);
    await next.sql('CREATE TABLE alone (id int)');
  });

  test('test cluster: a standby that is ahead of the chosen primary is made to follow it', async (t) => {
    const cluster = await clusterFor(t, { synchronous: false });
    const [primary, behind, ahead] = cluster.nodes;
    await primary.sql('CREATE TABLE t (id int)');
    await assertRows(behind, []);
    await behind.stop();
    await primary.sql('INSERT INTO t VALUES (1)');
    await assertRows(ahead, [1]);
    await primary.crash();
    await behind.start();
    assert.equal(await cluster.mostAdvanced(), ahead);
    await cluster.failover(behind);
    await behind.sql('INSERT INTO t VALUES (2)');
    await assertRows(ahead, [2]);
  });
});
