'use strict';

// Proves the harness, operation by operation, so that a test that fails elsewhere may trust it. A "no answer" is never a
// timeout here: the question stays open while others are answered, and is answered when the fault is lifted.

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { startCluster, UnsupportedError } = require('../support/cluster');
const { serve } = require('../support/cluster/ctl');
const { cached } = require('../support/cluster/files');
const { processesIn, sharedMemoryId } = require('../support/cluster/processes');
const { until } = require('../support/cluster/until');

/** @typedef {import('../support/cluster/cluster').Cluster} Cluster */
/** @typedef {import('../support/cluster/node').LocalNode} LocalNode */
/** @typedef {import('../support/cluster/server').Server} Server */

const LOCAL = !process.env.HYPERION_HOSTS;
const skip = LOCAL ? false : 'these are facts about local clusters, HYPERION_HOSTS names another';

/**
 * A cluster that ends with the test.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('../support/cluster').ClusterOptions} [options]
 */
async function clusterFor(t, options) {
  const cluster = await startCluster(options);
  t.after(() => cluster.stop());
  return cluster;
}

/** @param {Promise<unknown>} promise */
async function isPending(promise) {
  let pending = true;
  const settle = () => {
    pending = false;
  };
  promise.then(settle, settle);
  await new Promise((resolve) => {
    setImmediate(resolve);
  }); // what has arrived is delivered by then
  return pending;
}

/**
 * The rows of table t on a node, waiting for the replay of those already acknowledged.
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

/**
 * Looks for System V segments, where the kernel shows them (proc_sysvipc(5)).
 *
 * @param {(string | undefined)[]} ids
 */
function assertFreed(ids) {
  const table = '/proc/sysvipc/shm';
  if (!fs.existsSync(table)) return;
  const present = new Set(
    fs
      .readFileSync(table, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/)[1]),
  );
  assert.deepEqual(
    ids.filter((id) => id === undefined || present.has(id)),
    [],
  );
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
    await node.sql('SELECT 1'); // a superuser's connections are kept
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

    await next.crash(); // and once more: names and conninfos must have survived
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
    await primary.sql('INSERT INTO t VALUES (2)'); // acknowledged: nobody has to wait for a standby
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

describe('proxy of a test node', { skip }, () => {
  test('proxy: cut() while a connection is being ended lets the process end', () => {
    const script = `
      const net = require('node:net');
      const { TcpProxy } = require(${JSON.stringify(path.join(__dirname, '..', 'support', 'cluster', 'proxy.js'))});
      const node = net.createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).unref());
      node.listen(0, '127.0.0.1', async () => {
        const proxy = await TcpProxy.open({ host: '127.0.0.1', port: node.address().port });
        const client = net.connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true });
        client.on('error', () => {});
        node.once('connection', async () => {
          await proxy.blackhole();
          client.end('goodbye', async () => {
            await new Promise((resolve) => setTimeout(resolve, 50));
            await proxy.heal();
            await proxy.cut();
            client.destroy();
            node.close();
          });
        });
        client.write('hello');
      });`;
    const { status, signal, stderr } = spawnSync(process.execPath, ['-e', script], {
      timeout: 20_000,
      encoding: 'utf8',
    });
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
  });

  /** @type {Cluster} */
  let cluster;
  before(async () => {
    cluster = await startCluster({ nodes: 1 });
  });
  after(() => cluster?.stop());

  /** @param {import('../support/cluster/proxy').TcpProxy} proxy */
  const ask = ({ host, port }) => {
    const { Client } = require('pg');
    const client = new Client({ ...cluster.primary().login, host, port });
    client.on('error', () => {});
    return client;
  };

  test('proxy passes everything on, also more than fits a buffer', async () => {
    const client = ask(await cluster.primary().proxy());
    await client.connect();
    const { rows } = await client.query("SELECT length($1) AS sent, repeat('x', 5000000) AS got", [
      'y'.repeat(5_000_000),
    ]);
    assert.deepEqual([rows[0].sent, rows[0].got.length], [5_000_000, 5_000_000]);
    await client.end();
  });

  test('proxy: latency() delays each direction', async () => {
    const proxy = await cluster.primary().proxy();
    const client = ask(proxy);
    await client.connect();
    proxy.latency(100);
    const start = performance.now();
    await client.query('SELECT 1');
    assert.ok(performance.now() - start >= 200); // a lower bound cannot be missed by a slow machine
    await client.end();
  });

  test('proxy: cut() resets connections and refuses new ones, heal() opens it again', async () => {
    const proxy = await cluster.primary().proxy();
    const client = ask(proxy);
    await client.connect();
    const ended = new Promise((resolve) => {
      client.once('end', () => resolve(undefined));
    });
    const statement = assert.rejects(client.query('SELECT pg_sleep(3600)'));
    await proxy.cut();
    await Promise.all([ended, statement]);
    await assert.rejects(ask(proxy).connect(), { code: 'ECONNREFUSED' });
    await proxy.heal();
    const again = ask(proxy);
    await again.connect();
    await again.end();
  });

  test('proxy: blackhole() keeps old and new connections waiting, heal() delivers late', async () => {
    const proxy = await cluster.primary().proxy();
    const client = ask(proxy);
    await client.connect();
    await proxy.blackhole();
    const answer = client.query('SELECT 1 AS one');
    const late = ask(proxy);
    const login = late.connect();
    await cluster.primary().sql('SELECT 1'); // the node itself is well
    assert.ok(await isPending(answer));
    assert.ok(await isPending(login));
    await proxy.heal();
    assert.deepEqual((await answer).rows, [{ one: 1 }]);
    await login;
    await Promise.all([client.end(), late.end()]);
  });

  test('proxy: blackhole() hides a crash until heal()', async () => {
    const proxy = await cluster.primary().proxy();
    const client = ask(proxy);
    await client.connect();
    await proxy.blackhole();
    const statement = client.query('SELECT 1');
    await cluster.primary().crash();
    await cluster.primary().start();
    assert.ok(await isPending(statement));
    await proxy.heal();
    await assert.rejects(statement);
  });
});

describe('test cluster: options', { skip }, () => {
  test('test cluster: settings, pg_hba lines and files reach every node', async (t) => {
    const cluster = await clusterFor(t, {
      nodes: 2,
      settings: { work_mem: '7MB', 'hyperion.note': "it's here", jit: false },
      hba: ['host all app 127.0.0.1/32 reject'],
      files: { 'note.txt': 'hello' },
    });
    for (const node of cluster.nodes) {
      const [row] = await node.sql(`
        SELECT current_setting('work_mem') AS work_mem, current_setting('hyperion.note') AS note,
               current_setting('jit') AS jit, pg_read_file('note.txt') AS file`);
      assert.deepEqual(row, { work_mem: '7MB', note: "it's here", jit: 'off', file: 'hello' });
      await assert.rejects(node.sql('SELECT 1', [], { ...cluster.app }), { code: '28000' });
    }
  });

  test('test cluster: the error of a setting that the server does not know shows the log of the server', async () => {
    await assert.rejects(
      startCluster({ nodes: 1, settings: { no_such_setting: 1 } }),
      /unrecognized configuration parameter/,
    );
  });

  test('test cluster: the error of a folder without PostgreSQL names the folder', async () => {
    await assert.rejects(startCluster({ pgBin: '/nowhere' }), /cannot run \/nowhere\/postgres/);
  });

  test('test cluster: two clusters at once share nothing', async (t) => {
    const [one, two] = await Promise.all([clusterFor(t, { nodes: 2 }), clusterFor(t, { nodes: 2 })]);
    assert.equal(new Set([...one.hosts, ...two.hosts]).size, 4);
    const identifiers = await Promise.all(
      [...one.nodes, ...two.nodes].map(async (node) => {
        const [row] = await node.sql('SELECT system_identifier AS id FROM pg_control_system()');
        return row.id;
      }),
    );
    assert.equal(identifiers[0], identifiers[1]);
    assert.equal(identifiers[2], identifiers[3]);
    assert.notEqual(identifiers[0], identifiers[2]);
    await one.stop();
    await two.primary().sql('CREATE TABLE still_here (id int)');
  });
});

describe('test cluster: nothing is left behind', { skip }, () => {
  // How a process that has started a cluster may end; `signal` is sent to it from outside.
  const endings = [
    { name: 'cluster.stop()', code: 'await cluster.stop();' },
    { name: 'stop() twice', code: 'await cluster.stop(); await cluster.stop();' },
    { name: 'nothing left to do', code: 'await cluster.primary().proxy();' },
    { name: 'an exception', code: "throw new Error('on purpose');" },
    { name: 'process.exit', code: 'process.exit(3);' },
    { name: 'an abort', code: 'process.abort();' },
    { name: 'SIGINT', code: 'wait();', signal: 'SIGINT' },
    { name: 'SIGTERM', code: 'wait();', signal: 'SIGTERM' },
    { name: 'SIGKILL', code: 'wait();', signal: 'SIGKILL' },
    { name: 'SIGKILL with a frozen node', code: 'await cluster.nodes[1].freeze(); wait();', signal: 'SIGKILL' },
    {
      name: 'SIGKILL after killPostmaster',
      code: 'await cluster.primary().killPostmaster(); wait();',
      signal: 'SIGKILL',
    },
  ];

  for (const { name, code, signal } of endings) {
    test(`test cluster: no process and no folder is left after ${name}`, async () => {
      const child = spawn(
        process.execPath,
        [
          '-e',
          `
        const { startCluster } = require(${JSON.stringify(path.join(__dirname, '..', 'support', 'cluster'))});
        const wait = () => { console.log('waiting'); setInterval(() => {}, 1e9); };
        (async () => {
          const cluster = await startCluster({ nodes: 2 });
          console.log(cluster.dir);
          await require('node:events').once(process.stdin, 'data');
          process.stdin.destroy();
          ${code}
        })();`,
        ],
        { stdio: ['pipe', 'pipe', 'ignore'] },
      );
      const ended = once(child, 'exit');
      const lines = require('node:readline').createInterface(child.stdout)[Symbol.asyncIterator]();
      const dir = (await lines.next()).value;
      assert.ok(processesIn(dir).length > 2);
      const segments = ['n1', 'n2'].map((node) => sharedMemoryId(path.join(dir, node, 'data')));

      child.stdin.write('go\n');
      if (signal) {
        assert.equal((await lines.next()).value, 'waiting');
        child.kill(/** @type {NodeJS.Signals} */ (signal));
      }
      await ended;
      await until(`no process in ${dir}`, () => processesIn(dir).length === 0);
      await until(`${dir} is gone`, () => !fs.existsSync(dir));
      assertFreed(segments);
    });
  }
});

describe('test cluster: the cache of templates', { skip }, () => {
  const name = `test-${process.pid}`;
  /** @type {string[]} */
  const built = [];
  /** @param {string} tree */
  const build = async (tree) => {
    built.push(tree);
    fs.mkdirSync(tree);
    fs.writeFileSync(path.join(tree, 'empty'), '');
  };
  /** @type {string} */
  let tree;
  after(() => fs.rmSync(path.dirname(tree), { recursive: true, force: true }));

  test('cluster template: several builders at once agree on one', async () => {
    const trees = await Promise.all([1, 2, 3].map(() => cached(name, build)));
    tree = trees[0];
    assert.deepEqual(new Set(trees), new Set([tree]));
  });

  test('cluster template: one that is there is used, and one that has lost a file is built again', async () => {
    const before = built.length;
    await cached(name, build);
    assert.equal(built.length, before);
    fs.rmSync(path.join(tree, 'empty'));
    await cached(name, build);
    assert.equal(built.length, before + 1);
    assert.ok(fs.existsSync(path.join(tree, 'empty')));
  });
});

describe('test cluster: external mode', { skip }, () => {
  /** @type {Cluster} */
  let local;
  /** @type {Record<string, string>} */
  let env;
  before(async () => {
    local = await startCluster();
    ({ env } = await serve(local));
  });
  after(() => local?.stop());

  /**
   * @param {import('node:test').TestContext} t
   * @param {Record<string, string>} variables
   */
  async function external(t, variables) {
    Object.assign(process.env, variables);
    t.after(() => {
      for (const name of Object.keys(variables)) delete process.env[name];
    });
    return startCluster();
  }

  test('external cluster without HYPERION_CTL: SQL, fence and proxy work, and errors name what is missing', async (t) => {
    const { HYPERION_CTL: _, ...login } = env;
    const cluster = await external(t, login);
    assert.deepEqual([...cluster.capabilities], ['sql', 'fence', 'proxy']);
    assert.deepEqual(cluster.hosts, local.hosts);
    assert.equal(cluster.primary().address, local.primary().address);
    assert.equal(cluster.version, local.version);
    assert.equal(cluster.synchronous, true);
    await cluster.primary().fence();
    await assert.rejects(cluster.primary().sql('CREATE TABLE x (id int)'), { code: '25006' });
    await cluster.primary().unfence();
    for (const operation of /** @type {const} */ (['stop', 'start', 'crash', 'killPostmaster', 'freeze', 'promote'])) {
      await assert.rejects(cluster.primary()[operation](), (error) => {
        assert.ok(error instanceof UnsupportedError);
        assert.match(error.message, /HYPERION_CTL is not set/);
        return true;
      });
    }
    await assert.rejects(cluster.primary().rejoin(cluster.nodes[1]), /manager/);
    await assert.rejects(cluster.failover(), UnsupportedError);
    await assert.rejects(startCluster({ settings: { work_mem: '1MB' } }), UnsupportedError);
  });

  test('external cluster with HYPERION_CTL: its commands reach the nodes', async (t) => {
    const cluster = await external(t, env);
    const [primary, standby, other] = cluster.nodes;
    await standby.stop();
    assert.equal(local.nodes[1].running, false);
    await standby.start();
    assert.equal(local.nodes[1].running, true);
    await other.freeze();
    assert.equal(local.nodes[2].frozen, true);
    await other.thaw();
    await primary.crash();
    assert.equal(local.nodes[0].running, false);
    assert.equal(await cluster.failover(standby), standby);
    assert.equal(local.primary(), local.nodes[1]);
    await assert.rejects(primary.stop(), /n1 is not running/);
  });
});
