'use strict';

// What a pool knows of the nodes, and what follows from it: the monitor, nodes that fall silent, two primaries at once, hosts of
// another cluster. Which node a mode chooses is in pool.hosts.test.js, the fence in fence.test.js, whole failovers are in
// test/chaos/.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const {
  endings,
  test,
  failureOf,
  inChild,
  ownCluster,
  poolFor,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');

const db = useCluster({ nodes: 3 });

/** Backends of the monitors with this application_name. @param {string} name @param {any} [node] */
const monitors = async (name, node = db.cluster.primary()) =>
  (
    await node.sql('SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid', [`${name} monitor`])
  ).map((/** @type {any} */ { pid }) => pid);

/** Backends of any monitor. */
const allMonitors = async () =>
  (await db.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '% monitor'")).length;

describe('the option monitor', () => {
  test('monitor: wrong values are refused by name', () => {
    /** @type {[unknown, RegExp][]} */
    const table = [
      [1, /^monitor must be an object, not number$/],
      ['yes', /^monitor must be an object, not string$/],
      [null, /^monitor must be an object, not null$/],
      [{ interval: 5 }, /^unknown option 'monitor.interval': did you mean 'monitor.intervalMs'\?$/],
      [{ intervalMs: 9 }, /^monitor.intervalMs must be from 10 /],
      [{ intervalMs: 1.5 }, /^monitor.intervalMs must be an integer/],
      [{ nodeTimeoutMs: 99 }, /^monitor.nodeTimeoutMs must be from 100 /],
      [{ nodeTimeoutMs: '3s' }, /^monitor.nodeTimeoutMs must be an integer, not string$/],
    ];
    for (const [monitor, message] of table) {
      assert.throws(() => createPool({ monitor }), { code: 'ERR_INVALID_OPTION', message });
    }
    for (const transactionRetries of [-1, 0.5, '1', null]) {
      assert.throws(() => createPool({ transactionRetries }), { message: /^transactionRetries must be/ });
    }
  });

  test('monitor: one connection for each node serves all pools with the same nodes, until the last of them ends', async (t) => {
    const before = await allMonitors();
    const pools = range(3).map((i) => db.pool(t, { applicationName: `sharing ${i}` }));
    await Promise.all(pools.map((pool) => pool.query('SELECT 1')));
    await until('the nodes are known', () =>
      pools.every((pool) => pool.nodes().every((/** @type {any} */ { state }) => state === 'up')),
    );
    for (const node of db.cluster.nodes) {
      const counts = await Promise.all(range(3).map((i) => monitors(`sharing ${i}`, node)));
      assert.deepEqual(
        counts.map(({ length }) => length),
        [1, 0, 0],
        node.name,
      );
    }
    await pools[0].end();
    await until('another pool has taken over', async () => (await monitors('sharing 1')).length === 1);
    // The server shows a session until it has read that it is over.
    const isGone = async () => (await monitors('sharing 0')).length === 0;
    await until('the first one has gone: the other has its own name and password', isGone);
    await pools[2].end();
    assert.equal((await monitors('sharing 1')).length, 1);
    await pools[1].end();
    assert.equal(await allMonitors(), before);
  });

  test('monitor: a pool with another user, database, setting or interval has a monitor of its own', async (t) => {
    const name = `different ${process.pid}`;
    const different = [
      {},
      { database: 'template1' },
      { options: { work_mem: '1MB' } },
      { monitor: { intervalMs: 999 } },
    ];
    for (const options of different) await db.pool(t, { applicationName: name, ...options }).query('SELECT 1');
    await until('all look', async () => (await monitors(name)).length === different.length);
  });

  test('monitor: false: nothing is monitored, and the pool still finds the primary and follows it', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('crash', 'promote', 'failover');
    const [first, second] = own.cluster.hosts;
    const pool = own.pool(t, { monitor: false, hosts: [second, first], acquireTimeoutMs: 60_000 });
    const port = async () => `127.0.0.1:${(await pool.query('SELECT inet_server_port() AS port'))[0].port}`;
    assert.equal(await port(), first);
    const own_ = await own.cluster
      .primary()
      .sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE '% monitor'");
    assert.equal(own_[0].n, 0);
    await own.cluster.primary().crash();
    const [[{ error }]] = await Promise.all([endings([pool.query('SELECT 1')]), own.cluster.failover()]);
    assert.ok(error === undefined || error.code === 'ERR_OUTCOME_UNKNOWN', error);
    assert.equal(await port(), second);
  });

  test('monitor: an idle pool raises events for a fence and for its end', async (t) => {
    db.needs('fence');
    const pool = db.pool(t, { monitor: { intervalMs: 50 } });
    /** @type {string[]} */
    const told = [];
    pool.on('fenced', () => told.push('fenced'));
    pool.on('primary', (/** @type {any} */ { to }) => told.push(to));
    await pool.query('SELECT 1');
    const primary = db.cluster.primary();
    try {
      await primary.fence();
      await until('it is told', () => told.includes('fenced'));
      assert.equal(pool.nodes()[0].state, 'fenced');
    } finally {
      await primary.unfence();
    }
    await until('it is up again', () => pool.nodes()[0].state === 'up');
    assert.deepEqual(told, [primary.address, 'fenced'], 'the same primary is no news');
  });
});

describe('monitor: a node that falls silent', () => {
  const monitor = { intervalMs: 100, nodeTimeoutMs: 500 };

  test('monitor: statements on a silent node are released, each with its outcome', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('freeze');
    const primary = own.cluster.primary();
    await primary.sql('CREATE TABLE t (id int4)');
    const only = () => own.pool(t, { monitor, acquireTimeoutMs: 1_000, poolSize: 1 });
    const insert = 'INSERT INTO t VALUES ($1)';
    /** Each method has a connection of its own, on which its statements are prepared. @type {((pool: any) => Promise<unknown>)[]} */
    const ways = [
      (pool) => pool.query(insert, [1]),
      (pool) => pool.query('SELECT count(*) FROM t', [], { readOnly: true }),
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(insert, [1])),
      (pool) => pool.batch([[insert, [1]]], { transaction: true }),
      async (pool) => {
        const [end] = await pool.batch([[insert, [1]]]);
        if (end.status === 'rejected') throw end.reason;
      },
      (pool) => pool.notify('x', 'y'),
    ];
    const pools = ways.map(only);
    await Promise.all(ways.map((way, i) => way(pools[i])));
    const [open, began, unused] = await Promise.all(range(3).map(() => only().begin()));
    for (const tx of [open, began]) await tx.query(insert, [2]);
    const pool = pools[0];
    await primary.freeze();
    try {
      const ends = await endings([
        ...ways.map((way, i) => way(pools[i])),
        open.commit(),
        began.query(insert, [3]),
        unused.query(insert, [4]),
        only().query(insert, [5]),
      ]);
      const found = ends.map(({ error }) => `${error.code} ${error.outcome}`);
      // On a connection that has been silent for 100 ms BEGIN goes alone, and nothing of the batch was sent.
      const ofBatch = found[3] === 'ERR_NO_PRIMARY not-applied' ? found[3] : 'ERR_OUTCOME_UNKNOWN unknown';
      assert.deepEqual(found, [
        'ERR_OUTCOME_UNKNOWN unknown',
        'ERR_NO_PRIMARY not-applied',
        'ERR_CONNECTION_LOST not-applied',
        ofBatch,
        'ERR_OUTCOME_UNKNOWN unknown',
        'ERR_OUTCOME_UNKNOWN unknown',
        'ERR_OUTCOME_UNKNOWN unknown',
        'ERR_CONNECTION_LOST not-applied',
        'ERR_NO_PRIMARY not-applied',
        'ERR_NO_PRIMARY not-applied',
      ]);
      assert.match(ends[0].error.message, /^connection to .* lost: /);
      const [node] = pool.nodes();
      assert.equal(node.state, 'down');
      assert.match(node.lastError, /^no answer within \d+ ms$/);
    } finally {
      await primary.thaw();
    }
    await pool.query('SELECT 1');
    assert.equal(pool.nodes()[0].state, 'up');
  });

  test('monitor: a node whose monitor backend hangs stays up, as long as other sessions answer', async (t) => {
    db.needs('freeze');
    const applicationName = `hanging ${process.pid}`;
    const pool = db.pool(t, { applicationName, monitor, hosts: [db.cluster.hosts[0]] });
    /** @type {string[]} */
    const states = [];
    pool.on('node', (/** @type {any} */ { state }) => states.push(state));
    await pool.query('SELECT 1');
    const [pid] = await monitors(applicationName);
    process.kill(pid, 'SIGSTOP');
    try {
      const long = pool.query('SELECT pg_sleep(1.5)');
      for (let i = 0; i < 30; i++) {
        await pool.query('SELECT 1');
        await sleep(50);
      }
      await long;
      assert.deepEqual(states, ['up']);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  test('monitor: after the own process was stopped no node counts as silent', async (t) => {
    // A slow network, so that the monitor waits for an answer when the process stops, whenever that is.
    const proxy = await db.cluster.primary().proxy();
    t.after(() => proxy.close());
    proxy.latency(150);
    const { code, lines, stderr } = await inChild(
      db,
      `const pool = createPool({ ...options, monitor: { intervalMs: 10, nodeTimeoutMs: 1000 } });
      pool.on('node', ({ state }) => print(state));
      await pool.query('SELECT 1');
      const long = pool.query('SELECT pg_sleep(4)');
      const { spawn } = require('node:child_process');
      for (let i = 0; i < 2; i++) {
        const woken = spawn('sh', ['-c', 'sleep 1.4; kill -CONT ' + process.pid], { stdio: 'ignore' });
        process.kill(process.pid, 'SIGSTOP');
        await new Promise((resolve) => woken.on('close', resolve));
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
      await long;
      await pool.end();
      print('ended');`,
      { options: { hosts: [proxy.address] } },
    );
    assert.deepEqual([code, stderr, lines], [0, '', ['up', 'ended']]);
  });
});

describe('monitor: two primaries at once', () => {
  /** @param {any} pool */
  const portOf = async (pool) => (await pool.query('SELECT inet_server_port() AS port'))[0].port;

  test('monitor: a new pool takes the promoted one of two primaries, whichever is first in its list and answers first', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('promote');
    const [old, next, standby] = own.cluster.nodes;
    await next.promote();
    for (const monitor of [true, false]) {
      for (const hosts of [
        [old, next, standby],
        [next, old],
        [old, standby, next],
      ]) {
        for (let round = 0; round < 5; round++) {
          const pool = own.pool(t, { monitor, hosts: hosts.map(({ address }) => address) });
          assert.equal(await portOf(pool), next.port, `${hosts.map(({ name }) => name)} ${monitor}`);
          await pool.end();
        }
      }
    }
    // The wait for a host that does not answer is bounded.
    own.needs('freeze');
    await standby.freeze();
    const pool = own.pool(t, { hosts: [standby, old, next].map(({ address }) => address) });
    assert.equal(await portOf(pool), next.port);
    await standby.thaw();
  });

  test('monitor: running statements end on a deposed primary, and no pool of any mode sends it more', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote');
    const [old, next] = own.cluster.nodes;
    await old.sql('CREATE TABLE t (id int4)');
    await until('it is replicated', async () => !(await endings([next.sql('SELECT * FROM t')]))[0].error);
    const pool = own.pool(t);
    await pool.query('INSERT INTO t VALUES (1)');
    const long = failureOf(pool.query('SELECT pg_sleep(60)'));
    const tx = await pool.begin();
    await tx.query('INSERT INTO t VALUES (2)');
    await next.promote();
    const error = await long;
    assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown']);
    const lost = await failureOf(tx.query('INSERT INTO t VALUES (3)'));
    assert.equal(lost.outcome, 'not-applied');
    await pool.query('INSERT INTO t VALUES (4)');
    assert.deepEqual(
      (await next.sql('SELECT id FROM t ORDER BY id')).map(({ id }) => id),
      [1, 4],
    );
    await until('the old one is looked at', () => pool.nodes()[0].state === 'fenced');
    const [node] = pool.nodes();
    assert.deepEqual([node.role, node.timeline, pool.nodes()[1].timeline], ['primary', 1, 2]);
    assert.match(node.lastError, /^is a deposed primary: its timeline is 1, another node's 2$/);
    for (const mode of ['read-write', 'primary', 'any', 'prefer-standby']) {
      const other = own.pool(t, { mode });
      assert.equal(await portOf(other), next.port, mode);
    }
  });

  test('monitor: a standby that follows the promoted primary is enough to know it', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('promote', 'failover', 'follow', 'freeze');
    const [old] = own.cluster.nodes;
    const next = await own.cluster.failover();
    const standby = /** @type {any} */ (own.cluster.standbys().find((node) => node !== next));
    const follows = 'SELECT received_tli AS timeline FROM pg_stat_wal_receiver';
    await until('it follows', async () => (await standby.sql(follows))[0]?.timeline === 2);
    await next.freeze();
    try {
      const pool = own.pool(t, { hosts: [old, standby].map(({ address }) => address), acquireTimeoutMs: 300 });
      const isKnown = (/** @type {any} */ { role }) => role !== 'unknown';
      await until('both have answered', () => pool.nodes().every(isKnown));
      const { code, nodes } = await failureOf(pool.query('SELECT 1'));
      assert.equal(code, 'ERR_NO_PRIMARY');
      assert.deepEqual(
        nodes.map((/** @type {any} */ { reason }) => reason),
        ["is a deposed primary: its timeline is 1, another node's 2", 'is a standby (in recovery)'],
      );
    } finally {
      await next.thaw();
    }
  });
});

describe('monitor: hosts of another cluster', () => {
  test('monitor: hosts of another cluster are refused by name; the first host, or most of them, decide which cluster it is', async (t) => {
    const other = await ownCluster(t, { nodes: 1, synchronous: false });
    const { user, password, database } = db.cluster;
    const own = await db.sql('SELECT system_identifier::text AS id FROM pg_control_system()');
    const stranger = await other.cluster.primary().sql('SELECT system_identifier::text AS id FROM pg_control_system()');
    const [primary, standby] = db.cluster.hosts;
    const [foreign] = other.cluster.hosts;
    for (const hosts of [
      [foreign, primary, standby],
      [primary, foreign],
      [standby, foreign],
    ]) {
      const pool = poolFor(t, { user, password, database, hosts, acquireTimeoutMs: 300 });
      const [{ value, error }] = await endings([pool.query('SELECT inet_server_port() AS port')]);
      if (hosts.includes(primary)) assert.equal(`127.0.0.1:${value[0].port}`, primary);
      else assert.equal(error.code, 'ERR_NO_PRIMARY');
      const refused = pool.nodes().find((/** @type {any} */ { port }) => foreign.endsWith(`:${port}`));
      assert.deepEqual([refused.state, refused.role], ['down', 'unknown']);
      const reason = `belongs to another cluster: its system identifier is ${stranger[0].id}, the others' is ${own[0].id}`;
      assert.equal(refused.lastError, reason);
      if (error) assert.equal(error.nodes[1].reason, reason);
    }
  });

  test('monitor: a role that may not ask for the cluster raises a warning, and everything else works', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    await own.cluster.primary().sql('REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC');
    await own.cluster.primary().sql("CREATE ROLE plain LOGIN PASSWORD 'plain'");
    const [, standby] = own.cluster.nodes;
    await until(
      'it is replicated',
      async () => !(await endings([standby.sql('SELECT 1', [], { user: 'plain', password: 'plain' })]))[0].error,
    );
    const { code, lines, stderr } = await inChild(
      own,
      `const pool = createPool({ ...options, user: 'plain', password: 'plain' });
      const again = createPool({ ...options, user: 'plain', password: 'plain' });
      print(await pool.query('SELECT 1 AS one'), await again.query('SELECT 2 AS two'));
      await pool.end(); await again.end();`,
    );
    assert.deepEqual([code, lines], [0, ['[{"one":1}] [{"two":2}]']]);
    assert.equal(stderr.match(/HYPERION_NO_SYSTEM_IDENTIFIER/g)?.length, 1);
  });
});
