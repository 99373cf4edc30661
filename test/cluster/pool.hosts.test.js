'use strict';

// Which node a pool uses: the modes over all roles, hosts that refuse, stay silent or do not resolve, and what the error says
// when no node fits.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { describe } = require('node:test');
const {
  endings,
  test,
  failureOf,
  isPending,
  ownCluster,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');
const { hostsOf, letters, portOf, refusingPort } = require('../support/pools');

const db = useCluster({ nodes: 3 });

/**
 * A port that accepts connections and never sends anything.
 * @param {import('node:test').TestContext} t
 */
async function silentPort(t) {
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: /** @type {net.AddressInfo} */ (server.address()).port, sockets };
}

describe('mode', () => {
  // mode, hosts, nodes that may answer
  const TABLE = [
    ['read-write', 'PST', 'P'],
    ['read-write', 'STP', 'P'],
    ['primary', 'STP', 'P'],
    ['read-only', 'PST', 'ST'],
    ['read-only', 'PS', 'S'],
    ['standby', 'PST', 'ST'],
    ['standby', 'PT', 'T'],
    ['prefer-standby', 'PST', 'ST'],
    ['prefer-standby', 'PS', 'S'],
    ['prefer-standby', 'P', 'P'],
    ['any', 'P', 'P'],
    ['any', 'S', 'S'],
    ['any', 'PST', 'PST'],
  ];
  for (const [mode, hosts, expected] of TABLE) {
    test(`mode ${mode} over ${hosts} uses ${expected}`, async (t) => {
      const pool = db.pool(t, { mode, hosts: hostsOf(db, hosts) });
      const allowed = hostsOf(db, expected).map((address) => Number(address.split(':')[1]));
      const ports = await Promise.all(range(4).map(() => portOf(pool)));
      for (const port of ports) assert.ok(allowed.includes(port), `${port} is none of ${allowed}`);
    });
  }

  // mode, hosts, the reason for each host
  const NOBODY = [
    ['read-write', 'ST', ['standby', 'standby']],
    ['primary', 'ST', ['standby', 'standby']],
    ['standby', 'P', ['primary']],
    ['read-only', 'P', ['primary']],
  ];
  for (const [mode, hosts, reasons] of NOBODY) {
    test(`mode ${mode} over ${hosts}: no node fits, with a reason for each`, async (t) => {
      const list = hostsOf(db, /** @type {string} */ (hosts));
      const pool = db.pool(t, { mode, hosts: list, acquireTimeoutMs: 400 });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.equal(error.code, 'ERR_NO_PRIMARY');
      assert.equal(error.name, 'NoPrimaryError');
      assert.equal(error.outcome, 'not-applied');
      assert.match(error.message, /^no .* available after \d+ ms$/);
      assert.deepEqual(
        error.nodes.map((/** @type {any} */ { host, port }) => `${host}:${port}`),
        list,
      );
      error.nodes.forEach((/** @type {any} */ node, /** @type {number} */ i) =>
        assert.ok(node.reason.includes(reasons[i]), node.reason),
      );
    });
  }

  test('mode and a fenced primary: read-write refuses it, primary and read-only take it', async (t) => {
    const { P } = letters(db);
    await P.fence();
    try {
      const hosts = [P.address];
      const error = await failureOf(db.pool(t, { hosts, acquireTimeoutMs: 300 }).query('SELECT 1'));
      assert.equal(error.code, 'ERR_NO_PRIMARY');
      assert.match(error.nodes[0].reason, /fenced/);
      for (const mode of ['primary', 'read-only', 'any', 'prefer-standby']) {
        assert.equal(await portOf(db.pool(t, { hosts, mode })), P.port, mode);
      }
    } finally {
      await P.unfence();
    }
  });

  test('mode prefer-standby uses the primary while its standby is down, and then the standby again', async (t) => {
    db.needs('freeze', 'stop');
    const { P, S } = letters(db);
    const pool = db.pool(t, { mode: 'prefer-standby', hosts: hostsOf(db, 'PS'), connectTimeoutMs: 500 });
    assert.equal(await portOf(pool), S.port);
    await S.stop('fast');
    try {
      assert.equal(await portOf(pool), P.port);
    } finally {
      await S.start();
    }
    await until('it is back at the standby', async () => (await portOf(pool)) === S.port, { timeoutMs: 20_000 });
  });
});

describe('many hosts', () => {
  test('hosts: the first one refuses, and the pool takes another', async (t) => {
    const pool = db.pool(t, { hosts: [`127.0.0.1:${await refusingPort()}`, ...hostsOf(db, 'P')] });
    assert.equal(await portOf(pool), letters(db).P.port);
  });

  test('hosts: the first one accepts and stays silent, and the second answers long before connectTimeoutMs', async (t) => {
    const { port } = await silentPort(t);
    const pool = db.pool(t, {
      hosts: [`127.0.0.1:${port}`, ...hostsOf(db, 'P')],
      connectTimeoutMs: 20_000,
      acquireTimeoutMs: 30_000,
    });
    const started = performance.now();
    assert.equal(await portOf(pool), letters(db).P.port);
    assert.ok(performance.now() - started < 10_000, 'it did not wait for the silent one');
  });

  test('hosts: the first one is frozen, and the pool takes another', async (t) => {
    db.needs('freeze');
    const { S, P } = letters(db);
    await S.freeze();
    t.after(() => S.thaw());
    const pool = db.pool(t, { hosts: hostsOf(db, 'SP'), connectTimeoutMs: 20_000, acquireTimeoutMs: 30_000 });
    const started = performance.now();
    assert.equal(await portOf(pool), P.port);
    assert.ok(performance.now() - started < 10_000, 'it did not wait for the frozen one');
    await S.thaw();
  });

  test('hosts: the first one is a standby, and the pool takes the primary', async (t) => {
    assert.equal(await portOf(db.pool(t, { hosts: hostsOf(db, 'STP') })), letters(db).P.port);
  });

  test('hosts: the first one does not resolve, and the pool takes another', async (t) => {
    assert.equal(
      await portOf(db.pool(t, { hosts: ['no-such-host.invalid:1', ...hostsOf(db, 'P')] })),
      letters(db).P.port,
    );
  });

  test('hosts: none answers: an error in time that lists every reason', async (t) => {
    const silent = await silentPort(t);
    const refusing = await refusingPort();
    const hosts = [
      `127.0.0.1:${refusing}`,
      `127.0.0.1:${silent.port}`,
      ...hostsOf(db, 'S'),
      'no-such-host.invalid:5432',
    ];
    const pool = db.pool(t, { hosts, connectTimeoutMs: 300, acquireTimeoutMs: 1_500 });
    const error = await failureOf(pool.query('SELECT 1'));
    assert.equal(error.code, 'ERR_NO_PRIMARY');
    const reasons = error.nodes.map((/** @type {any} */ { reason }) => reason);
    assert.match(reasons[0], /refused/i);
    assert.match(reasons[1], /300 ms/);
    assert.match(reasons[2], /standby/);
    assert.match(reasons[3], /lookup|resolve|not known|no address|no record/i);
  });

  test('hosts: of a name with several addresses the one that answers is used', async (t) => {
    // The servers listen on 127.0.0.1 only; localhost may be ::1 as well.
    const pool = db.pool(t, { hosts: `localhost:${letters(db).P.port}` });
    assert.equal(await portOf(pool), letters(db).P.port);
  });

  test('hosts: a silent one does not hold up the way to a primary that appears meanwhile', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote');
    const [standby] = own.cluster.standbys();
    const { port } = await silentPort(t);
    // A statement that waited for the silent host would wait for longer than the test may take.
    const hosts = [`127.0.0.1:${port}`, standby.address];
    const pool = own.pool(t, { hosts, connectTimeoutMs: 600_000, acquireTimeoutMs: 600_000 });
    const waiting = portOf(pool);
    await until('the standby is known', () => pool.nodes()[1].role === 'standby');
    assert.ok(await isPending(waiting));
    await standby.promote();
    assert.equal(await waiting, standby.port);
  });

  test('hosts: abandoned attempts close their sockets', async (t) => {
    const { port, sockets } = await silentPort(t);
    const pool = db.pool(t, { hosts: [`127.0.0.1:${port}`, ...hostsOf(db, 'P')], connectTimeoutMs: 300 });
    await pool.query('SELECT 1');
    await pool.end();
    await until('all are closed', () =>
      [...sockets].every((socket) => socket.readableEnded || socket.destroyed || drained(socket)),
    );
  });

  /** @param {net.Socket} socket */
  const drained = (socket) => {
    socket.resume();
    return false;
  };

  test('hosts: any number of waiting statements share one discovery', async (t) => {
    const { port, sockets } = await silentPort(t);
    const pool = db.pool(t, {
      hosts: [`127.0.0.1:${port}`],
      connectTimeoutMs: 5_000,
      acquireTimeoutMs: 400,
      poolSize: 50,
    });
    await endings(range(200).map(() => pool.query('SELECT 1')));
    // One connection of the pool, one of its monitor, and one that was begun a second time.
    assert.ok(sockets.size <= 6, `${sockets.size} connections for 200 waiters`);
  });
});

describe('connecting of a large pool', () => {
  test('a pool of a hundred connections makes a few attempts at a time', async (t) => {
    const proxy = await db.cluster.primary().proxy();
    t.after(() => proxy.close());
    const pool = db.pool(t, { hosts: [proxy.address], poolSize: 100 });
    await pool.query('SELECT 1');
    await until('the monitor looks', () => proxy.connections === 2);
    // A login takes several round trips.
    proxy.latency(200);
    const all = Promise.all(range(100).map(() => pool.query('SELECT pg_sleep(0.01)', [], { timeoutMs: 60_000 })));
    await sleep(300);
    assert.equal(proxy.connections, 2 + 4);
    proxy.latency(0);
    await all;
  });

  test('a pool of a hundred connections recovers when it loses all of them', async (t) => {
    const applicationName = `storm ${process.pid}`;
    const pool = db.pool(t, { applicationName, poolSize: 60 });
    const all = () => Promise.all(range(60).map(() => pool.query('SELECT pg_sleep(0.2)', [], { readOnly: true })));
    await all();
    await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
      applicationName,
    ]);
    await all();
    assert.ok(pool.status().size <= 60);
  });

  test('hosts: a name with several addresses stands for all of them', { timeout: 60_000 }, async (t) => {
    const own = await ownCluster(t, { nodes: 1, synchronous: false });
    const [{ port }] = own.cluster.nodes;
    // A name of the test's own needs an /etc/hosts of its own.
    const hosts = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'hosts-')), 'hosts');
    t.after(() => fs.rmSync(path.dirname(hosts), { recursive: true }));
    const unshared = ['--mount', 'sh', '-c', `mount --bind ${hosts} /etc/hosts && exec "$@"`, 'sh'];
    // 127.0.0.1 is the server; nothing listens on 127.0.0.9 and ::1.
    fs.writeFileSync(hosts, '127.0.0.9 cluster.test\n::1 cluster.test\n127.0.0.1 cluster.test\n');
    const works = await endings([promisify(execFile)('unshare', [...unshared, 'true'])]);
    if (works[0].error) return t.skip('needs the right to have an /etc/hosts of its own');
    const script = `
      const { createPool } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});
      const pool = createPool({ ...${JSON.stringify(own.options())}, hosts: ['cluster.test:${port}'] });
      pool.query('SELECT 1 AS one').then((rows) => { console.log(JSON.stringify(rows)); return pool.end(); });`;
    const { stdout } = await promisify(execFile)('unshare', [...unshared, process.execPath, '-e', script]);
    assert.equal(stdout, '[{"one":1}]\n');
  });
});
