'use strict';

// How a test cluster is started, reached and ended: its options, proxies, templates and external mode, and that no process and
// no file is left behind.

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { startCluster, UnsupportedError } = require('../support/cluster');
const { serve } = require('../support/cluster/ctl');
const { cached } = require('../../exports/testing/cluster/files.js');
const { processesIn, sharedMemoryId } = require('../../exports/testing/cluster/processes.js');
const { until } = require('../../exports/testing/cluster/until.js');
const { assertFreed, clusterFor, skip } = require('../support/harness');
const { isPending } = require('../support/helpers.js');

/** @typedef {import('../../exports/testing/cluster/cluster.js').Cluster} Cluster */
/** @typedef {import('../../exports/testing/cluster/node.js').LocalNode} LocalNode */
/** @typedef {import('../../exports/testing/cluster/server.js').Server} Server */

describe('proxy of a test node', { skip }, () => {
  test('proxy: cut() while a connection is being ended lets the process end', () => {
    const script = `
      const net = require('node:net');
      const { TcpProxy } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'exports', 'testing', 'cluster', 'proxy.js'))});
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

  /** @param {import('../../exports/testing/cluster/proxy.js').TcpProxy} proxy */
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
    assert.ok(performance.now() - start >= 200); // a slow machine cannot miss a lower bound
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
  // The ways in which a process that has started a cluster may end; `signal` is sent to it from outside.
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
