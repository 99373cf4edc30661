'use strict';

// The pool: which node it uses, what it says when it finds none, how many connections it has and for how long, and that
// whatever happens to one of them, every answer goes to the one who asked.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');
const { describe } = require('node:test');
const { createPool, HyperionError, OptionError } = require('../../client.js');
const {
  endings,
  test,
  failureOf,
  isPending,
  ownCluster,
  poolFor,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 3 });

/** The port of the node that answers. @param {any} pool */
const portOf = async (pool) => (await pool.query('SELECT inet_server_port() AS port'))[0].port;

/**
 * A name of its own, to count a pool's sessions by.
 * @param {string} purpose
 */
const named = (purpose) => `${purpose}-${process.pid}-${Math.floor(Math.random() * 1e9)}`;

/** Sessions of a name on the primary. @param {string} applicationName */
const sessions = (applicationName) =>
  db.sql('SELECT pid, query, state FROM pg_stat_activity WHERE application_name = $1', [applicationName]);

/**
 * @param {{ host: string, port: number }} node
 * @param {{ user: string, password: string }} login
 */
const uriOf = ({ host, port }, { user, password }, rest = '') =>
  `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}${rest}`;

/** Between the quotes of a keyword=value string. @param {string} value */
const quoted = (value) => value.replaceAll(/[\\']/g, '\\$&');

/**
 * A port that accepts connections and never says a word.
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

/** A port at which nobody listens. */
async function refusingPort() {
  const server = net.createServer();
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

/** The cluster's nodes by letter: P primary, S and T its standbys. */
function letters() {
  const [primary, second, third] = db.cluster.nodes;
  return { P: primary, S: second, T: third };
}

/** @param {string} text e.g. 'SP' */
const hostsOf = (text) => [...text].map((letter) => letters()[/** @type {'P' | 'S' | 'T'} */ (letter)].address);

describe('mode', () => {
  // mode, hosts, who may answer
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
      const pool = db.pool(t, { mode, hosts: hostsOf(hosts) });
      const allowed = hostsOf(expected).map((address) => Number(address.split(':')[1]));
      const ports = await Promise.all(range(4).map(() => portOf(pool)));
      for (const port of ports) assert.ok(allowed.includes(port), `${port} is none of ${allowed}`);
    });
  }

  // mode, hosts, what each host is said to be
  const NOBODY = [
    ['read-write', 'ST', ['standby', 'standby']],
    ['primary', 'ST', ['standby', 'standby']],
    ['standby', 'P', ['primary']],
    ['read-only', 'P', ['primary']],
  ];
  for (const [mode, hosts, reasons] of NOBODY) {
    test(`mode ${mode} over ${hosts}: no node fits, with a reason for each`, async (t) => {
      const list = hostsOf(/** @type {string} */ (hosts));
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
    const { P } = letters();
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
    const { P, S } = letters();
    const pool = db.pool(t, { mode: 'prefer-standby', hosts: hostsOf('PS'), connectTimeoutMs: 500 });
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
    const pool = db.pool(t, { hosts: [`127.0.0.1:${await refusingPort()}`, ...hostsOf('P')] });
    assert.equal(await portOf(pool), letters().P.port);
  });

  test('hosts: the first one accepts and stays silent, and the second answers long before connectTimeoutMs', async (t) => {
    const { port } = await silentPort(t);
    const pool = db.pool(t, {
      hosts: [`127.0.0.1:${port}`, ...hostsOf('P')],
      connectTimeoutMs: 20_000,
      acquireTimeoutMs: 30_000,
    });
    const started = performance.now();
    assert.equal(await portOf(pool), letters().P.port);
    assert.ok(performance.now() - started < 10_000, 'it did not wait for the silent one');
  });

  test('hosts: the first one is frozen, and the pool takes another', async (t) => {
    db.needs('freeze');
    const { S, P } = letters();
    await S.freeze();
    t.after(() => S.thaw());
    const pool = db.pool(t, { hosts: hostsOf('SP'), connectTimeoutMs: 20_000, acquireTimeoutMs: 30_000 });
    const started = performance.now();
    assert.equal(await portOf(pool), P.port);
    assert.ok(performance.now() - started < 10_000, 'it did not wait for the frozen one');
    await S.thaw();
  });

  test('hosts: the first one is a standby, and the pool takes the primary', async (t) => {
    assert.equal(await portOf(db.pool(t, { hosts: hostsOf('STP') })), letters().P.port);
  });

  test('hosts: the first one does not resolve, and the pool takes another', async (t) => {
    assert.equal(await portOf(db.pool(t, { hosts: ['no-such-host.invalid:1', ...hostsOf('P')] })), letters().P.port);
  });

  test('hosts: none answers: an error in time that lists every reason', async (t) => {
    const silent = await silentPort(t);
    const refusing = await refusingPort();
    const hosts = [`127.0.0.1:${refusing}`, `127.0.0.1:${silent.port}`, ...hostsOf('S'), 'no-such-host.invalid:5432'];
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
    const pool = db.pool(t, { hosts: `localhost:${letters().P.port}` });
    assert.equal(await portOf(pool), letters().P.port);
  });

  test('hosts: a silent one does not hold up the way to a primary that appears meanwhile', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote');
    const [standby] = own.cluster.standbys();
    const { port } = await silentPort(t);
    // Whoever waited for the silent one would wait for longer than the test may take.
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
    const pool = db.pool(t, { hosts: [`127.0.0.1:${port}`, ...hostsOf('P')], connectTimeoutMs: 300 });
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
    // One of the pool, one of its monitor, and what was begun a second time.
    assert.ok(sockets.size <= 6, `${sockets.size} connections for 200 waiters`);
  });
});

describe('login', () => {
  test('login: a wrong password fails at once with 28P01, though a standby comes first', async (t) => {
    for (const hosts of ['P', 'PST', 'SP']) {
      const pool = db.pool(t, { hosts: hostsOf(hosts), password: 'wrong', acquireTimeoutMs: 50_000 });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.equal(error.code, '28P01', hosts);
      assert.equal(error.name, 'DatabaseError');
      assert.equal(error.outcome, 'not-applied');
      assert.ok(!error.message.includes('wrong'));
    }
  });

  test('login: an unknown database is 3D000 at once', async (t) => {
    const pool = db.pool(t, { database: 'nowhere', acquireTimeoutMs: 50_000 });
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, '3D000');
  });

  test('login: all waiting statements fail with its error, and the next statement tries again', async (t) => {
    let password = 'wrong';
    const pool = db.pool(t, { password: () => password, acquireTimeoutMs: 50_000 });
    const ended = await endings(range(5).map(() => pool.query('SELECT 1')));
    assert.deepEqual(
      ended.map(({ error }) => error?.code),
      Array(5).fill('28P01'),
    );
    password = db.cluster.password;
    assert.deepEqual(await pool.query('SELECT 1 AS one'), rows([{ one: 1 }]));
  });

  test('password may be a function, sync or async, called for each connection', async (t) => {
    let calls = 0;
    const { password } = db.cluster;
    const functions = [
      () => {
        calls++;
        return password;
      },
      async () => {
        calls++;
        await sleep(5);
        return password;
      },
    ];
    for (const given of functions) {
      calls = 0;
      const pool = db.pool(t, { password: given, poolSize: 3, hosts: hostsOf('P') });
      await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.1)')));
      assert.ok(calls >= 3, `${calls} calls`);
    }
  });

  test('password missing where the server asks for one: an error at once that says so', async () => {
    const [error] = await printedBy(
      null,
      `
      const pool = createPool({ hosts: '${letters().P.address}', user: '${db.cluster.user}', acquireTimeoutMs: 120000 });
      await pool.query('SELECT 1').catch((error) => print(error.message));
      await pool.end();`,
      { env: { PGPASSFILE: '/nowhere', PGPASSWORD: '' } },
    );
    assert.match(error, /password/);
  });

  const FAILING = /** @type {const} */ ([
    [
      'throws',
      () => {
        throw new Error('vault is sealed');
      },
      /vault is sealed/,
    ],
    [
      'rejects',
      async () => {
        throw new Error('vault is sealed');
      },
      /vault is sealed/,
    ],
    ['returns no string', () => 42, /did not return a string/],
    ['rejects with nothing', () => Promise.reject(), /password function failed/],
  ]);
  for (const [how, password, message] of FAILING) {
    test(`password function that ${how} fails the query at once`, async (t) => {
      const pool = db.pool(t, { password, acquireTimeoutMs: 50_000 });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.ok(error instanceof HyperionError);
      assert.match(error.message, message);
    });
  }

  test('PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE are the defaults of missing options', async () => {
    const { user, password, database } = db.cluster;
    const { host, port } = letters().P;
    const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
    const printed = await printedBy(
      null,
      `
      const pool = createPool({ applicationName: 'from-env' });
      const [row] = await pool.query("SELECT current_user::text AS u, current_database()::text AS d, current_setting('application_name') AS a");
      print(row.u, row.d, row.a);
      await pool.end();`,
      { env },
    );
    assert.deepEqual(printed, [`${user} ${database} from-env`]);
  });

  test("connection string, alone and beside options, and libpq's other ways to write it", async (t) => {
    const { user, password, database } = db.cluster;
    const { P } = letters();
    const uri = uriOf(P, { user, password }, `/${database}?application_name=by-uri&options=-c%20work_mem%3D3MB`);
    const pairs = `host=${P.host} port=${P.port} user='${user}' password='${quoted(password)}' dbname=${database}`;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'service-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'services');
    fs.writeFileSync(
      file,
      `[db]\nhost=${P.host}\nport=${P.port}\nuser=${user}\npassword=${password}\ndbname=${database}\napplication_name=by-service\n`,
    );
    const table = [
      [uri, 'by-uri 3MB'],
      [{ connectionString: uri, applicationName: 'by-option' }, 'by-option 3MB'],
      [{ connectionString: uri, options: { work_mem: '5MB' } }, 'by-uri 5MB'],
      [`${pairs} application_name=by-pairs options='-c work_mem=3MB'`, 'by-pairs 3MB'],
      [{ service: 'db', options: { work_mem: '3MB' } }, 'by-service 3MB'],
    ];
    const printed = await printedBy(
      null,
      `
      for (const [given] of ${JSON.stringify(table)}) {
        const pool = createPool(given);
        const [row] = await pool.query("SELECT current_setting('application_name') || ' ' || current_setting('work_mem') AS v");
        print(row.v);
        await pool.end();
      }`,
      { env: { PGSERVICEFILE: file, PGAPPNAME: 'by-env' } },
    );
    assert.deepEqual(
      printed,
      table.map(([, expected]) => expected),
    );
  });

  test('options win over the environment', async () => {
    const env = { PGHOST: 'nowhere.invalid', PGPORT: '1', PGUSER: 'nobody', PGPASSWORD: 'x', PGDATABASE: 'none' };
    const printed = await printedBy(
      db,
      `
      const pool = createPool(options);
      print((await pool.query('SELECT 1 AS one'))[0].one);
      await pool.end();`,
      { env },
    );
    assert.deepEqual(printed, ['1']);
  });

  test('password file: first match, wildcards, escapes, and ignored when others may read it', async (t) => {
    const { user, password, database } = db.cluster;
    const { host, port } = letters().P;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpass-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'pass:word');
    const escaped = password.replace(/[\\:]/g, '\\$&');
    const attempt = async (/** @type {string} */ text, mode = 0o600) => {
      fs.writeFileSync(file, text);
      fs.chmodSync(file, mode);
      const [line] = await printedBy(
        null,
        `
        process.removeAllListeners('warning');
        const pool = createPool({ hosts: '${host}:${port}', user: '${user}', database: '${database}', acquireTimeoutMs: 500 });
        print(await pool.query('SELECT 1').then(() => 'in', (error) => error.code));
        await pool.end();`,
        { env: { PGPASSFILE: file, PGPASSWORD: '', NODE_NO_WARNINGS: '1' } },
      );
      return line;
    };
    assert.equal(
      await attempt(`# comment\n\nelsewhere:*:*:*:no\n${host}:${port}:${database}:${user}:${escaped}\n`),
      'in',
    );
    assert.equal(await attempt(`*:*:*:*:${escaped}\r\n`), 'in');
    assert.equal(await attempt(`*:*:*:*:wrong\n*:*:*:*:${escaped}\n`), '28P01', 'the first match counts');
    assert.notEqual(await attempt(`*:*:*:*:${escaped}\n`, 0o644), 'in', 'others may read it');
  });
});

/**
 * What query() returns for these rows, as far as deepEqual sees.
 * @param {object[]} list
 */
const rows = (list) => list;

describe('size and time', () => {
  test('poolSize bounds the sessions, however many statements wait', async (t) => {
    for (const poolSize of [1, 3]) {
      const applicationName = named('size');
      const pool = db.pool(t, { poolSize, applicationName, acquireTimeoutMs: 30_000 });
      const busy = range(12).map(() => pool.query('SELECT pg_sleep(0.05)'));
      busy.push(...range(50).map(() => pool.query('SELECT 1')));
      let most = 0;
      let done = false;
      const all = Promise.all(busy).finally(() => {
        done = true;
      });
      while (!done) most = Math.max(most, (await sessions(applicationName)).length);
      await all;
      assert.equal(most, poolSize);
      const { maxSize, size, available, inUse, waiting } = pool.status();
      assert.deepEqual({ maxSize, inUse, waiting }, { maxSize: poolSize, inUse: 0, waiting: 0 });
      assert.equal(size, available);
      assert.ok(size <= poolSize);
    }
  });

  test('status() counts the connections in use and the waiting statements', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    assert.deepEqual(pool.status(), { maxSize: 2, size: 0, available: 0, inUse: 0, waiting: 0, pipelined: 0 });
    const tx = [await pool.begin(), await pool.begin()];
    const waiting = pool.query('SELECT 1');
    await until('one waits', () => pool.status().waiting === 1);
    assert.deepEqual(pool.status(), { maxSize: 2, size: 2, available: 0, inUse: 2, waiting: 1, pipelined: 0 });
    await Promise.all(tx.map((one) => one.rollback()));
    await waiting;
    await until('all are back', () => pool.status().inUse === 0);
    assert.deepEqual(pool.status(), { maxSize: 2, size: 2, available: 2, inUse: 0, waiting: 0, pipelined: 0 });
  });

  for (const [pipeline, most] of /** @type {[any, number][]} */ ([
    [false, 1],
    [{ depth: 3 }, 3],
    [undefined, 8],
    [true, 8],
    [{}, 8],
  ])) {
    test(`pipeline: ${JSON.stringify(pipeline)} sends at most ${most} statements at once down a connection`, async (t) => {
      const { host, sent } = await relayTo(t, db.cluster.primary());
      const pool = db.pool(t, { hosts: [host], poolSize: 1, pipeline });
      const ask = (/** @type {number} */ i) => pool.query('SELECT $1::int4 AS v', [i]);
      for (let i = 0; i < 3; i++) await ask(i);
      sent();
      await Promise.all(range(400).map(ask));
      const deepest = Math.max(...sent().map((piece) => piece.split('E\0\0\0\x09\0').length - 1));
      assert.ok(deepest <= most, `${deepest} in one piece`);
      const { pipelined } = pool.status();
      if (most === 1) assert.deepEqual([deepest, pipelined], [1, 0]);
      else assert.ok(deepest > 1 && pipelined > 0 && pipelined < 400, `${deepest}, ${pipelined}`);
    });
  }

  test('pipeline: slow statements leave a connection to quick ones, and use all connections when there are none', async (t) => {
    const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000 });
    const slow = (/** @type {number} */ seconds) => pool.query('SELECT pg_sleep($1)', [seconds]);
    const quick = (/** @type {number} */ i) => pool.query('SELECT $1::int4 AS v', [i]);
    for (let i = 0; i < 20; i++) await Promise.all([quick(i), slow(0.02)]);
    await sleep(200);
    const alone = range(8).map(() => slow(0.2));
    await until('they have all four', () => pool.status().inUse === 4 && pool.status().waiting === 4);
    await Promise.all(alone);
    let running = 24;
    await quick(0);
    const many = range(running).map(() => slow(0.1).finally(() => running--));
    let served = 0;
    for (; running > 6; served++) assert.deepEqual(await quick(served), [{ v: served }]);
    assert.ok(served > 50, `${served} quick ones while 18 slow ones took six turns on three connections`);
    await Promise.all(many);
  });

  test('a statement that needs a connection to itself has one, however many other statements there are', async (t) => {
    const pool = db.pool(t, { poolSize: 2, acquireTimeoutMs: 20_000 });
    let stopped = false;
    const others = range(40).map(async () => {
      while (!stopped) await pool.query('SELECT 1 AS v');
    });
    for (let i = 0; i < 20; i++) {
      await pool.query('SELECT 2 AS v', [], { timeoutMs: 20_000 });
      await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 3 AS v'));
    }
    stopped = true;
    await Promise.all(others);
  });

  test('acquireTimeoutMs with all connections busy is ERR_ACQUIRE_TIMEOUT, not ERR_NO_PRIMARY', async (t) => {
    const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 200 });
    const tx = await pool.begin();
    for (const waiting of [pool.query('SELECT 1'), pool.begin()]) {
      const error = await failureOf(waiting);
      assert.equal(error.code, 'ERR_ACQUIRE_TIMEOUT');
      assert.equal(error.name, 'AcquireTimeoutError');
      assert.equal(error.outcome, 'not-applied');
    }
    await tx.rollback();
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('acquireTimeoutMs without a node to connect to is ERR_NO_PRIMARY', async (t) => {
    const pool = db.pool(t, { hosts: `127.0.0.1:${await refusingPort()}`, acquireTimeoutMs: 200 });
    for (const waiting of [pool.query('SELECT 1'), pool.begin(), pool.transaction(async () => {})]) {
      assert.equal((await failureOf(waiting)).code, 'ERR_NO_PRIMARY');
    }
  });

  test('too many connections at the server: the pool waits for one, then the error says why', async (t) => {
    const role = `few_${process.pid}`;
    await db.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw' CONNECTION LIMIT 1`);
    t.after(() => db.sql(`DROP ROLE ${role}`));
    const greedy = db.pool(t, {
      user: role,
      password: 'pw',
      hosts: hostsOf('P'),
      poolSize: 1,
      acquireTimeoutMs: 1_000,
    });
    const ended = await endings([greedy.query('SELECT 1 AS one')]);
    // The monitor's session may have taken the only place: then there is an error that says so, and no hang.
    if (ended[0].error) assert.match(JSON.stringify(ended[0].error.nodes), /too many connections/);
    await greedy.end();
  });

  test('idleTimeoutMs closes an idle connection', async (t) => {
    const applicationName = named('idle');
    const pool = db.pool(t, { applicationName, idleTimeoutMs: 150, poolSize: 2 });
    await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
    assert.ok((await sessions(applicationName)).length > 0);
    await until('none is left', async () => (await sessions(applicationName)).length === 0);
    await until('the pool knows', () => pool.status().size === 0);
    await pool.query('SELECT 1');
  });

  test('maxLifetimeMs replaces a connection', async (t) => {
    const pool = db.pool(t, { maxLifetimeMs: 200, poolSize: 1 });
    const pidOf = async () => (await pool.query('SELECT pg_backend_pid() AS pid'))[0].pid;
    const first = await pidOf();
    await until('another one answers', async () => (await pidOf()) !== first);
  });

  test('options, applicationName and statementTimeoutMs arrive at the server', async (t) => {
    const pool = db.pool(t, {
      applicationName: 'näme "x" \\ y',
      statementTimeoutMs: 12_345,
      options: {
        work_mem: '3MB',
        search_path: '"a b", "C\\d"',
        'my.own': "it's",
        enable_seqscan: false,
        random_page_cost: 7,
      },
    });
    const setting = async (/** @type {string} */ name) =>
      (await pool.query('SELECT current_setting($1) AS v', [name]))[0].v;
    // application_name keeps printable ASCII only; the server itself replaces the rest.
    assert.match(await setting('application_name'), /^n.*me "x" \\ y$/);
    assert.equal(await setting('statement_timeout'), '12345ms');
    assert.equal(await setting('work_mem'), '3MB');
    assert.equal(await setting('search_path'), '"a b", "C\\d"');
    assert.equal(await setting('my.own'), "it's");
    assert.equal(await setting('enable_seqscan'), 'off');
    assert.equal(await setting('random_page_cost'), '7');
  });

  test('statementTimeoutMs ends a statement with 57014 of the server', async (t) => {
    const pool = db.pool(t, { statementTimeoutMs: 100 });
    const error = await failureOf(pool.query('SELECT pg_sleep(20)'));
    assert.equal(error.code, '57014');
    assert.equal(error.name, 'DatabaseError');
    assert.equal(error.outcome, 'not-applied');
  });

  // A mistake that no waiting mends: acquireTimeoutMs is longer than a test may take.
  for (const [options, code] of /** @type {const} */ ([
    [{ no_such_setting: 1 }, '42704'],
    [{ work_mem: 'much' }, '22023'],
  ])) {
    test(`options: ${util.inspect(options)} is an error of the server, at once`, async (t) => {
      const pool = db.pool(t, { options, acquireTimeoutMs: 120_000 });
      assert.equal((await failureOf(pool.query('SELECT 1'))).code, code);
    });
  }
});

describe('options of createPool', () => {
  // option, value, what the message has to contain
  const WRONG = /** @type {[string, any, RegExp][]} */ ([
    ['hosts', 42, /hosts/],
    ['hosts', [], /hosts/],
    ['hosts', [''], /hosts/],
    ['hosts', ['h:0'], /hosts/],
    ['hosts', ['h:65536'], /hosts/],
    ['hosts', ['h:x'], /hosts/],
    ['hosts', [null], /hosts/],
    ['hosts', [{ port: 1 }], /hosts/],
    ['hosts', [{ host: '', port: 1 }], /hosts/],
    ['hosts', [{ host: 'h', prot: 1 }], /hosts.*prot/],
    ['hosts', [{ host: 'h', port: '1' }], /hosts.*port/],
    ['port', '5432', /port/],
    ['port', 0, /port/],
    ['port', 70_000, /port/],
    ['user', 42, /user/],
    ['user', '', /user/],
    ['user', 'a\0b', /user/],
    ['password', 42, /password/],
    ['password', 'a\0b', /password/],
    ['database', [], /database/],
    ['mode', 'readwrite', /mode.*'read-write'/],
    ['mode', true, /mode/],
    ['poolSize', 0, /poolSize/],
    ['poolSize', 1.5, /poolSize/],
    ['poolSize', '10', /poolSize/],
    ['poolSize', NaN, /poolSize/],
    ['connectTimeoutMs', 0, /connectTimeoutMs/],
    ['connectTimeoutMs', -1, /connectTimeoutMs/],
    ['connectTimeoutMs', 2 ** 31, /connectTimeoutMs/],
    ['acquireTimeoutMs', Infinity, /acquireTimeoutMs/],
    ['statementTimeoutMs', 0.5, /statementTimeoutMs/],
    ['idleTimeoutMs', '1', /idleTimeoutMs/],
    ['maxLifetimeMs', null, /maxLifetimeMs/],
    ['applicationName', 1, /applicationName/],
    ['options', 'x', /options/],
    ['options', { 'a b': 1 }, /options.*'a b'/],
    ['options', { a: {} }, /options\.a/],
    ['types', 'x', /types/],
    ['types', { int9: 'number' }, /types.*int9/],
    ['types', { int8: 'float' }, /types\.int8.*'bigint'/],
    ['types', { json: 1 }, /types\.json/],
    ['logger', {}, /logger/],
    ['ssl', 'on', /ssl.*'verify-full'/],
    ['ssl', { caa: 1 }, /ssl\.caa.*'ssl\.ca'/],
    ['connectionString', 'postgres://u:hunter2@h/d?x=y', /connectionString/],
    ['pollSize', 1, /pollSize/],
    ['host', 'h', /host.*'hosts'/],
    ['max', 5, /max.*'poolSize'/],
    ['pipeline', 4, /pipeline/],
    ['pipeline', { depth: 0 }, /pipeline\.depth/],
    ['pipeline', { deep: 1 }, /pipeline\.deep/],
    ['__proto__x', 5, /__proto__x/],
  ]);
  for (const [name, value, message] of WRONG) {
    test(`createPool refuses ${name}: ${util.inspect(value)}, and names the option`, () => {
      assert.throws(
        () => createPool({ [name]: value }),
        (/** @type {any} */ error) => {
          assert.ok(error instanceof OptionError && error instanceof HyperionError);
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          assert.match(error.message, message);
          assert.ok(!util.inspect(error).includes('hunter2'));
          assert.match(String(error.stack), /pool\.test\.js/);
          return true;
        },
      );
    });
  }

  for (const value of ['postgres://u:hunter2@h:x/d', null, 42, [], () => {}]) {
    test(`createPool(${util.inspect(value)}) throws and does not show the value`, () => {
      assert.throws(
        () => createPool(value),
        (/** @type {any} */ error) => {
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          assert.ok(!util.inspect(error).includes('hunter2'));
          return true;
        },
      );
    });
  }

  test('createPool refuses a URL among the hosts, and does not show its password', () => {
    for (const hosts of ['postgres://u:hunter2@h:5432/d', ['postgres://u:hunter2@h/d'], 'u:hunter2@h']) {
      assert.throws(
        () => createPool({ hosts }),
        (/** @type {any} */ error) => {
          assert.equal(error.code, 'ERR_INVALID_OPTION', String(error));
          assert.ok(!util.inspect(error).includes('hunter2'), String(error));
          return true;
        },
        String(hosts),
      );
    }
  });

  test('createPool: undefined is the same as an option that is not given', async (t) => {
    const pool = db.pool(t, { poolSize: undefined, mode: undefined, logger: undefined, statementTimeoutMs: undefined });
    assert.equal(pool.status().maxSize, 10);
    await pool.query('SELECT 1');
  });

  test('createPool: the caller may change the options object afterwards', async (t) => {
    const options = db.options({ types: { int8: 'number' }, options: { work_mem: '3MB' } });
    const hosts = [...options.hosts];
    const pool = poolFor(t, { ...options, hosts });
    hosts.length = 0;
    Object.assign(options, { user: 'nobody' });
    /** @type {any} */ (options).types.int8 = 'string';
    assert.deepEqual(await pool.query('SELECT 1::int8 AS v'), [{ v: 1 }]);
  });

  test('forms of hosts', async (t) => {
    const { host, port } = letters().P;
    const forms = [`${host}:${port}`, [`${host}:${port}`], [{ host, port }], ` ${host}:${port} , ${hostsOf('S')[0]}`];
    for (const hosts of forms) assert.equal(await portOf(db.pool(t, { hosts })), port, util.inspect(hosts));
    for (const hosts of [host, [host], [{ host }]]) assert.equal(await portOf(db.pool(t, { hosts, port })), port);
  });

  // hosts, what nodes() makes of it
  const FORMS = /** @type {[any, [string, number][]][]} */ ([
    ['a', [['a', 5432]]],
    [
      'a,b:1',
      [
        ['a', 5432],
        ['b', 1],
      ],
    ],
    [
      ['[::1]:5433', '[fe80::1]', '::1'],
      [
        ['::1', 5433],
        ['fe80::1', 5432],
        ['::1', 5432],
      ],
    ],
    [
      ['/var/run/postgresql', '/tmp:5434'],
      [
        ['/var/run/postgresql', 5432],
        ['/tmp', 5434],
      ],
    ],
    [
      [{ host: 'h', port: 7 }, { host: '::1' }],
      [
        ['h', 7],
        ['::1', 5432],
      ],
    ],
  ]);
  for (const [hosts, expected] of FORMS) {
    test(`hosts may be ${util.inspect(hosts)}`, async (t) => {
      const pool = poolFor(t, { hosts, user: 'u', password: 'p' });
      assert.deepEqual(
        pool.nodes().map((/** @type {any} */ node) => [node.host, node.port]),
        expected,
      );
    });
  }

  test('hosts may be a socket directory', async (t) => {
    db.needs('settings');
    const [{ dirs }] = await db.sql("SELECT current_setting('unix_socket_directories') AS dirs");
    if (dirs === '') {
      const error = await failureOf(
        db.pool(t, { hosts: os.tmpdir(), port: 1, acquireTimeoutMs: 200 }).query('SELECT 1'),
      );
      assert.equal(error.code, 'ERR_NO_PRIMARY');
      assert.match(error.nodes[0].reason, /No such file|refused/i);
      return;
    }
    const host = dirs.split(',')[0];
    await db.pool(t, { hosts: [{ host, port: letters().P.port }] }).query('SELECT 1');
  });
});

describe('what a pool says of itself', () => {
  test('nodes() has an entry for each host', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT 1');
    await until('all nodes were seen', () => pool.nodes().every((/** @type {any} */ node) => node.state === 'up'));
    const nodes = pool.nodes();
    assert.deepEqual(
      nodes.map((/** @type {any} */ { host, port }) => `${host}:${port}`),
      db.cluster.hosts,
    );
    assert.deepEqual(
      nodes.map((/** @type {any} */ { role }) => role),
      ['primary', 'standby', 'standby'],
    );
    for (const node of nodes) {
      assert.deepEqual(Object.keys(node), [
        'host',
        'port',
        'role',
        'state',
        'timeline',
        'lsn',
        'latencyMs',
        'lagBytes',
        'lagMs',
        'lastError',
      ]);
      assert.ok(node.latencyMs > 0);
      assert.equal(typeof node.lagBytes, 'number');
      assert.equal(typeof node.lagMs, 'number');
      assert.equal(node.timeline, 1);
      assert.match(node.lsn, /^[0-9A-F]+\/[0-9A-F]+$/);
      assert.equal(node.lastError, null);
    }
  });

  test('nodes() and the node event: a node goes down, is fenced, and comes up again', async (t) => {
    db.needs('stop');
    const { P, S } = letters();
    const pool = db.pool(t);
    /** @type {string[]} */
    const heard = [];
    pool.on('node', (/** @type {any} */ { host, port, state, role }) => heard.push(`${host}:${port} ${role} ${state}`));
    pool.on('fenced', (/** @type {any} */ { host, port }) => heard.push(`${host}:${port} fenced!`));
    const stateOf = (/** @type {any} */ { host, port }) =>
      pool.nodes().find((/** @type {any} */ node) => node.host === host && node.port === port).state;
    await until('all are up', () => pool.nodes().every((/** @type {any} */ node) => node.state === 'up'));
    await S.stop('fast');
    await until('it is down', () => stateOf(S) === 'down');
    assert.match(pool.nodes()[1].lastError, /./);
    await S.start();
    await until('it is up', () => stateOf(S) === 'up');
    assert.equal(pool.nodes()[1].lastError, null);
    await P.fence();
    try {
      await until('it is fenced', () => stateOf(P) === 'fenced');
    } finally {
      await P.unfence();
    }
    await until('it is unfenced', () => stateOf(P) === 'up');
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
    for (const line of [
      `${S.address} standby down`,
      `${S.address} standby up`,
      `${P.address} primary fenced`,
      `${P.address} fenced!`,
      `${P.address} primary up`,
    ]) {
      assert.ok(heard.includes(line), `${line} in ${heard.join(', ')}`);
    }
  });

  test('an event listener that throws takes no result with it', async () => {
    const printed = await printedBy(
      db,
      `
      process.on('uncaughtException', (error) => print('uncaught', error.message));
      const pool = createPool(options);
      pool.on('node', () => { throw new Error('listener'); });
      print((await pool.query('SELECT 1 AS one'))[0].one);
      await new Promise((resolve) => setTimeout(resolve, 300));
      print((await pool.query('SELECT 2 AS two'))[0].two);
      await pool.end();`,
    );
    assert.deepEqual(
      printed.filter((line) => !line.startsWith('uncaught')),
      ['1', '2'],
    );
  });

  test('an error event without a listener does not end the process', async () => {
    const printed = await printedBy(
      db,
      `
      const pool = createPool({ ...options, password: () => { throw new Error('no'); } });
      await pool.query('SELECT 1').catch((error) => print(error.code));
      pool.emit('error', new Error('nobody listens'));
      await pool.end();
      print('alive');`,
    );
    assert.equal(printed.at(-1), 'alive');
  });

  test('a pool that is inspected or printed never shows the password', async (t) => {
    const secret = 'hunter2-é"\\';
    const { user } = db.cluster;
    const pem = (/** @type {string} */ label) => `-----BEGIN ${label}-----\nhunter2\n-----END ${label}-----\n`;
    const pools = [
      db.pool(t, { password: secret, acquireTimeoutMs: 300 }),
      db.pool(t, { password: () => secret, acquireTimeoutMs: 300 }),
      db.pool(t, { password: secret, hosts: `127.0.0.1:${await refusingPort()}`, acquireTimeoutMs: 100 }),
      db.pool(t, { password: secret, logger: (/** @type {any} */ event) => shown.push(event) }),
      poolFor(t, uriOf(letters().P, { user, password: secret })),
      poolFor(t, { connectionString: uriOf(letters().P, { user, password: secret }), acquireTimeoutMs: 300 }),
      db.pool(t, { password: secret, ssl: { mode: 'prefer', cert: pem('CERTIFICATE'), key: pem('PRIVATE KEY') } }),
    ];
    /** @type {unknown[]} */
    const shown = [];
    for (const pool of pools) {
      const error = await failureOf(pool.query('SELECT 1'));
      shown.push(pool, error, { pool }, error.message, error.stack, pool.nodes(), pool.status());
    }
    assert.throws(
      () => createPool({ password: secret, nonsense: secret }),
      (error) => shown.push(error) > 0,
    );
    assert.throws(
      () => createPool({ password: { secret } }),
      (error) => shown.push(error) > 0,
    );
    for (const value of shown) {
      const texts = [
        util.inspect(value, { depth: 20, showHidden: true, getters: true }),
        JSON.stringify(value) ?? '',
        String(value),
      ];
      for (const text of texts) assert.ok(!text.includes('hunter2'), text);
    }
    assert.ok(util.inspect(pools[0]).includes(user), 'the rest is shown');
  });
});

describe('many statements at once', () => {
  for (const poolSize of [10, 2, 1]) {
    for (const inFlight of [64, 1_000]) {
      test(`${inFlight} statements in flight over ${poolSize} connections: each answer matches its question`, async (t) => {
        const pool = db.pool(t, { poolSize, acquireTimeoutMs: 30_000 });
        for (let round = 0; round < 3; round++) {
          const texts = [
            'SELECT $1::int4 AS v',
            'SELECT $1::int8 AS v',
            'SELECT $1::int4::text AS v',
            'SELECT i AS v FROM generate_series($1::int4, $1::int4) i',
          ];
          const answers = await Promise.all(range(inFlight).map((i) => pool.query(texts[i % 4], [i])));
          answers.forEach(([{ v }], i) => assert.equal(Number(v), i));
          assert.ok(answers.every((answer) => answer.length === 1));
        }
      });
    }
  }

  test('statements in flight: each error reaches the statement that failed', async (t) => {
    const pool = db.pool(t, { poolSize: 2, acquireTimeoutMs: 30_000 });
    const ended = await endings(
      range(400).map((i) => {
        if (i % 5 === 1) return pool.query('SELECT 1 / ($1::int4 - $1::int4)', [i]);
        if (i % 5 === 2) return pool.query('SELECT $1::text::int4', [`no number ${i}`]);
        if (i % 5 === 3) return pool.query(`SELECT nothing_${i % 40}`);
        if (i % 5 === 4) return pool.query('SELECT i FROM generate_series(1, 3) i WHERE 10 / (3 - i) > $1::int4', [-i]);
        return pool.query('SELECT $1::int4 AS v', [i]);
      }),
    );
    ended.forEach(({ value, error }, i) => {
      const kind = i % 5;
      if (kind === 0) assert.deepEqual(value, [{ v: i }]);
      else if (kind === 1) assert.equal(error.code, '22012');
      else if (kind === 2) assert.match(error.message, new RegExp(`"no number ${i}"$`));
      else if (kind === 3) assert.match(error.message, new RegExp(`"nothing_${i % 40}"`));
      else assert.equal(error.code, '22012', 'an error after the first rows');
      if (error) assert.equal(error.outcome, 'not-applied');
    });
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('a slow statement holds up no other while a connection is idle', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    await Promise.all([pool.query('SELECT pg_sleep(0.1)'), pool.query('SELECT pg_sleep(0.1)')]);
    await until('both connections are open', () => pool.status().available === 2);
    let slowIsDone = false;
    const slow = pool.query('SELECT pg_sleep(1.5)').then(() => {
      slowIsDone = true;
    });
    for (let i = 0; i < 20; i++) await pool.query('SELECT 1');
    assert.equal(slowIsDone, false);
    await slow;
  });
});

describe('a backend is killed', () => {
  test('a backend that is killed while idle: the next statement succeeds', async (t) => {
    const applicationName = named('idle-kill');
    const pool = db.pool(t, { poolSize: 3, applicationName });
    for (let round = 0; round < 3; round++) {
      await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.02)')));
      await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        applicationName,
      ]);
      const answers = await Promise.all(
        range(6).map((i) => pool.query('SELECT $1::int4 AS v', [i], { readOnly: true })),
      );
      assert.deepEqual(
        answers.map(([{ v }]) => v),
        range(6),
      );
    }
  });

  test('a backend that is killed under a statement: the outcome is unknown, and the pool goes on', async (t) => {
    const applicationName = named('kill');
    const pool = db.pool(t, { applicationName });
    const running = failureOf(pool.query('SELECT pg_sleep(20)'));
    await until('it runs', async () =>
      (await sessions(applicationName)).some(({ query, state }) => state === 'active' && query.includes('pg_sleep')),
    );
    await db.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%pg_sleep(20)%'",
      [applicationName],
    );
    const error = await running;
    assert.equal(error.code, 'ERR_OUTCOME_UNKNOWN');
    assert.equal(error.name, 'ConnectionLostError');
    assert.equal(error.outcome, 'unknown');
    assert.match(error.message, /57P01/);
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('a backend that is killed under a declared read: the read runs again, and returns its rows once', async (t) => {
    const applicationName = named('read');
    const pool = db.pool(t, { applicationName });
    const count = 20_000;
    // Many pieces of the result have arrived when the connection is lost.
    const sql =
      "SELECT i, repeat('x', 100) AS t FROM generate_series(1, $1::int4) i WHERE i < $1 OR pg_sleep(1) IS NOT NULL";
    const reading = pool.query(sql, [count], { readOnly: true });
    await until(
      'it sleeps at its end',
      async () =>
        (await sessions(applicationName)).length > 0 &&
        (
          await db.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'", [
            applicationName,
          ])
        ).length > 0,
    );
    await db.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
      [applicationName],
    );
    const answer = await reading;
    assert.equal(answer.length, count);
    assert.equal(answer.rowCount, count);
    answer.forEach((/** @type {any} */ row, /** @type {number} */ index) => assert.equal(row.i, index + 1));
  });

  test('a backend that is killed under load: only statements in flight fail, as unknown, and every answer is right', async (t) => {
    const applicationName = named('load');
    const pool = db.pool(t, { applicationName, poolSize: 4, acquireTimeoutMs: 20_000 });
    let next = 0;
    let over = false;
    /** @type {any[]} */
    const errors = [];
    const clients = range(16).map(async () => {
      while (!over) {
        const mine = next++;
        try {
          assert.deepEqual(await pool.query('SELECT $1::int4 AS v', [mine]), [{ v: mine }]);
        } catch (error) {
          errors.push(error);
        }
      }
    });
    for (let round = 0; round < 5; round++) {
      await sleep(50);
      await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        applicationName,
      ]);
    }
    over = true;
    await Promise.all(clients);
    for (const error of errors) assert.equal(error.code, 'ERR_OUTCOME_UNKNOWN', error.stack);
    assert.ok(errors.length <= 5 * 4 * 8, `${errors.length} errors`);
    assert.ok(next > 100);
  });
});
