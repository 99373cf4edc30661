'use strict';

// A pool in use: how many connections it has and for how long, how statements wait for them, and what it says of itself. Which
// node it uses is in pool.hosts.test.js, what it may be given in pool.options.test.js, load in pool.load.test.js.

const assert = require('node:assert/strict');
const util = require('node:util');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const {
  endings,
  test,
  failureOf,
  named,
  poolFor,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');
const { hostsOf, letters, refusingPort, sessions, uriOf } = require('../support/pools');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 3 });

describe('size and time', () => {
  test('poolSize bounds the sessions, however many statements wait', async (t) => {
    for (const poolSize of [1, 3]) {
      const applicationName = named('size');
      const pool = db.pool(t, { poolSize, applicationName, acquireTimeoutMs: 30_000 });
      // Sessions of nodes that turned out to be standbys take a moment to end.
      await pool.query('SELECT 1');
      await until('the primary is found', async () => (await sessions(db, applicationName)).length === 1);
      const busy = range(12).map(() => pool.query('SELECT pg_sleep(0.05)'));
      busy.push(...range(50).map(() => pool.query('SELECT 1')));
      let most = 0;
      let done = false;
      const all = Promise.all(busy).finally(() => {
        done = true;
      });
      while (!done) most = Math.max(most, (await sessions(db, applicationName)).length);
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
    [undefined, 16],
    [true, 16],
    [{}, 16],
  ])) {
    test(`pipeline: ${JSON.stringify(pipeline)} sends at most ${most} statements at once down a connection`, async (t) => {
      const { host, sent } = await relayTo(t, db.cluster.primary());
      const pool = db.pool(t, { hosts: [host], poolSize: 1, pipeline });
      const ask = (/** @type {number} */ i) => pool.query('SELECT $1::int4 AS v', [i]);
      for (let i = 0; i < 3; i++) await ask(i);
      sent();
      let asked = 0;
      let deepest = 0;
      // On a busy machine a statement may have taken so long that nothing is sent behind it: then once more.
      await until('statements share the connection', async () => {
        await Promise.all(range(400).map(ask));
        asked += 400;
        deepest = Math.max(deepest, ...sent().map((piece) => piece.split('E\0\0\0\x09\0').length - 1));
        return deepest > 1 || most === 1;
      });
      assert.ok(deepest <= most, `${deepest} in one piece`);
      const { pipelined } = pool.status();
      if (most === 1) assert.deepEqual([deepest, pipelined], [1, 0]);
      else assert.ok(pipelined > 0 && pipelined < asked, `${deepest}, ${pipelined}`);
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
      hosts: hostsOf(db, 'P'),
      poolSize: 1,
      acquireTimeoutMs: 1_000,
    });
    const ended = await endings([greedy.query('SELECT 1 AS one')]);
    // The monitor's session may have taken the only place: then an error says so, and nothing hangs.
    if (ended[0].error) assert.match(JSON.stringify(ended[0].error.nodes), /too many connections/);
    await greedy.end();
  });

  test('idleTimeoutMs closes an idle connection', async (t) => {
    const applicationName = named('idle');
    const pool = db.pool(t, { applicationName, idleTimeoutMs: 150, poolSize: 2 });
    await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
    assert.ok((await sessions(db, applicationName)).length > 0);
    await until('none is left', async () => (await sessions(db, applicationName)).length === 0);
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

  // A mistake that waiting does not mend: acquireTimeoutMs is longer than a test may take.
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
        'weight',
        'inFlight',
        'fit',
        'reason',
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
    const { P, S } = letters(db);
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
      poolFor(t, uriOf(letters(db).P, { user, password: secret })),
      poolFor(t, { connectionString: uriOf(letters(db).P, { user, password: secret }), acquireTimeoutMs: 300 }),
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
