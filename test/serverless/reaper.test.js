'use strict';

// The passes of a pool on a cluster: all its nodes, locks, rights, and passes that nobody has asked for.

const assert = require('node:assert/strict');
const util = require('node:util');
const { failureOf, inChild, printedBy, test, until, useCluster } = require('../support/helpers.js');
const { SECRET, alive, gone, leaseOf, leaseOption, loginOn, poolWith, sessions } = require('./sessions.js');

const db = useCluster({ nodes: 3, hba: ['host all all 127.0.0.1/32 trust'] });

let services = 0;
/** A service that no other test has. */
function ownService() {
  services += 1;
  return `service-${services}`;
}

/** As many expired sessions of a service as are asked for. @param {any} t @param {string} serviceName @param {number} count @param {any} [node] */
const expired = (t, serviceName, count, node) =>
  sessions(
    t,
    loginOn(db, node),
    Array.from({ length: count }, () => leaseOf({ serviceName })),
  );

/** What the event `lease` tells of passes. @param {any} pool */
function passesOf(pool) {
  /** @type {any[]} */
  const passes = [];
  pool.on('lease', (/** @type {any} */ event) => {
    if (event.type === 'reap') passes.push(event);
  });
  return passes;
}

/** Does something as a superuser until the test ends. @param {any} t @param {string} does @param {string} undoes */
async function meanwhile(t, does, undoes) {
  await db.sql(does);
  t.after(() => db.sql(undoes));
}

for (const mode of ['read-write', 'any', 'standby']) {
  test(`mode '${mode}': a pass reaps the primary and every standby, and killed is the sum`, async (t) => {
    const serviceName = ownService();
    const { nodes } = db.cluster;
    const all = await Promise.all(nodes.map((node, index) => expired(t, serviceName, index + 1, node)));
    const pool = poolWith(t, db, { serviceName }, { mode });
    const passes = passesOf(pool);
    await until('the pool knows its nodes', () =>
      pool.nodes().every((/** @type {any} */ { state, role }) => state === 'up' && role !== 'unknown'),
    );
    assert.deepEqual(await pool.reap(), { locked: true, killed: 6 });
    await Promise.all(nodes.map((node, index) => gone(node, all[index])));
    assert.deepEqual(
      passes.map(({ durationMs, ...rest }) => [typeof durationMs, rest]),
      [['number', { type: 'reap', locked: true, killed: 6 }]],
    );
    for (const node of nodes) {
      const left = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 's=${serviceName};%'
        AND query LIKE '%pg_terminate_backend%'`;
      // The pool's own sessions may stay, those that were opened for the pass are closed.
      const most = mode === 'read-write' && node !== db.cluster.primary() ? 0 : 1;
      await until('the pass leaves no session', async () => (await node.sql(left))[0].n <= most);
    }
  });
}

test('a standby that cannot be reached is skipped, and so is one that has no connection left', async (t) => {
  const serviceName = ownService();
  const [standby, full] = db.cluster.standbys();
  const all = await expired(t, serviceName, 2);
  const pool = poolWith(t, db, { serviceName, reaperErrorMode: 'throw' }, { connectTimeoutMs: 500 });
  await until('the pool knows its nodes', () => pool.nodes().every((/** @type {any} */ { state }) => state === 'up'));
  const release = await full.exhaust({ ...db.cluster.app, database: db.cluster.database });
  await standby.freeze();
  try {
    assert.deepEqual(await pool.reap(), { locked: true, killed: 2 });
  } finally {
    await standby.thaw();
    await release();
  }
  await gone(db.cluster.primary(), all);
});

test('while another process has the lock nothing is ended', async (t) => {
  const serviceName = ownService();
  const all = await expired(t, serviceName, 2);
  const [other] = await sessions(t, loginOn(db), ['pg-aequor']);
  // As pg-aequor takes it.
  await other.query('SELECT pg_advisory_lock(1346847057, hashtext($1))', [serviceName]);
  const pool = poolWith(t, db, { serviceName });
  const passes = passesOf(pool);
  assert.deepEqual(await pool.reap(), { locked: false, killed: 0 });
  assert.equal(passes[0].error, undefined);
  assert.equal((await alive(db.cluster.primary(), all)).length, 2);
  await other.query('SELECT pg_advisory_unlock(1346847057, hashtext($1))', [serviceName]);
  assert.deepEqual(await pool.reap(), { locked: true, killed: 2 });
  await gone(db.cluster.primary(), all);
});

test('a pass runs after a connect by itself, and ends what has expired', async (t) => {
  const serviceName = ownService();
  const all = await expired(t, serviceName, 3);
  const lease = { serviceName, reaper: true, reaperRunProbability: 1, maxIdleConnectionsToKill: 2 };
  const pool = poolWith(t, db, lease, { poolSize: 1 });
  const passes = passesOf(pool);
  await pool.query('SELECT 1');
  await until('a pass has run', () => passes.length > 0);
  assert.deepEqual([passes[0].locked, passes[0].killed], [true, 2], 'at most as many as the option says');
  await until('two sessions have ended', async () => (await alive(db.cluster.primary(), all)).length === 1);
});

test('a pool that is ended right behind its first statement lets its pass go on first', async (t) => {
  const serviceName = ownService();
  const all = await expired(t, serviceName, 5);
  const lease = {
    serviceName,
    reaper: true,
    reaperRunProbability: 1,
    reaperCooldownMs: 0,
    maxIdleConnectionsToKill: 1,
  };
  for (const _ of all) {
    const pool = poolWith(t, db, lease, { poolSize: 1, monitor: false });
    const passes = passesOf(pool);
    await pool.query('SELECT 1');
    await pool.end();
    assert.equal(passes[0]?.killed, 1);
  }
  await gone(db.cluster.primary(), all);
});

test('a pass runs whatever the draw after a connect that the server had refused before because it was full', async (t) => {
  const serviceName = ownService();
  const role = { ...db.cluster.app, database: db.cluster.database };
  const lease = { serviceName, reaper: true, reaperRunProbability: Number.MIN_VALUE };
  // Without a monitor: what is refused is then the session of the statement.
  const pool = poolWith(t, db, lease, { poolSize: 1, acquireTimeoutMs: 30_000, monitor: false });
  const passes = passesOf(pool);
  /** @type {boolean[]} */
  const refused = [];
  pool.on('lease', (/** @type {any} */ event) => {
    if (event.type === 'connect') refused.push(event.refused);
  });
  const release = await db.cluster.primary().exhaust(role);
  const query = pool.query('SELECT 1');
  try {
    await until('the server refuses the pool', () =>
      pool.nodes().some((/** @type {any} */ { lastError }) => lastError?.includes('53300')),
    );
  } finally {
    await release();
  }
  await query;
  await until('a pass has run', () => passes.length > 0);
  assert.deepEqual([refused, passes[0].locked], [[true], true]);
});

test('reaper: false, probability 0 and a connect within the cooldown run no pass by themselves', async (t) => {
  const serviceName = ownService();
  const always = { serviceName, reaper: true, reaperRunProbability: 1 };
  const quiet = async (/** @type {object} */ lease) => {
    const pool = poolWith(t, db, lease, { poolSize: 1 });
    const passes = passesOf(pool);
    for (let i = 0; i < 3; i++) await pool.query('SELECT 1');
    return { pool, passes };
  };
  const never = [await quiet({ ...always, reaper: false }), await quiet({ ...always, reaperRunProbability: 0 })];
  const { pool, passes } = await quiet(always);
  // A pass of the ones before would have begun a cooldown, and this one would not run.
  await until('a pass has run', () => passes.length > 0);
  const late = await quiet(always);
  await late.pool.reap();
  await pool.query('SELECT 1');
  const told = [...never, { passes }, late].map((one) => one.passes.length);
  assert.deepEqual(told, [0, 0, 1, 1], 'the last one was asked for');
});

test('a pass by itself keeps no process alive', async () => {
  const { user, password } = db.cluster.app;
  const lease = leaseOption({ serviceName: ownService(), reaper: true, reaperRunProbability: 1 });
  // The pass waits for the only session, which a transaction has, for longer than the process may live.
  const lines = await printedBy(
    db,
    `const pool = createPool(options);
     const tx = await pool.begin();
     await tx.query('SELECT 1');
     globalThis.kept = [pool, tx]; // what is collected is rolled back
     print('begun');`,
    { options: { user, password, lease, poolSize: 1, acquireTimeoutMs: 100_000 }, killMs: 20_000 },
  );
  assert.deepEqual(lines, ['begun']);
});

test('a pass that is asked for keeps its process alive until it has ended', async () => {
  const { user, password } = db.cluster.app;
  const lease = leaseOption({ serviceName: ownService() });
  const lines = await printedBy(db, 'print(await createPool(options).reap());', { options: { user, password, lease } });
  assert.deepEqual(lines, ['{"locked":true,"killed":0}']);
});

test('a pool that ends in the middle of passes rejects nothing that nobody waits for', async () => {
  const { user, password } = db.cluster.app;
  const lease = leaseOption({ serviceName: ownService(), reaper: true, reaperRunProbability: 1, reaperCooldownMs: 0 });
  const lines = await printedBy(
    db,
    `for (let i = 0; i < 30; i++) {
       const pool = createPool(options);
       const asked = i % 3 === 0 ? pool.reap().catch((error) => error) : undefined;
       await pool.query('SELECT 1');
       await new Promise((resolve) => setTimeout(resolve, i % 5));
       await pool.end({ timeoutMs: i % 2 === 0 ? 1 : 0 });
       await asked;
     }
     print('ended');`,
    { options: { user, password, lease, poolSize: 2 } },
  );
  assert.deepEqual(lines, ['ended']);
});

test('without the right to end sessions that is told once in a process, with what helps', async (t) => {
  const serviceName = ownService();
  const all = await expired(t, serviceName, 1);
  await meanwhile(
    t,
    'REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC',
    'GRANT EXECUTE ON FUNCTION pg_terminate_backend TO PUBLIC',
  );
  const { user, password } = db.cluster.app;
  const lease = leaseOption({ serviceName });
  const { code, lines, stderr } = await inChild(
    db,
    `const swallow = createPool(options);
     swallow.on('lease', ({ type, error }) => type === 'reap' && print([type, error.code]));
     for (let i = 0; i < 2; i++) print(await swallow.reap());
     const loud = createPool({ ...options, lease: { ...options.lease, reaperErrorMode: 'throw' } });
     await loud.reap().catch((error) => print([error.name, error.code, error.message]));
     await Promise.all([swallow.end(), loud.end()]);`,
    { options: { user, password, lease } },
  );
  assert.equal(code, 0, stderr);
  const failed = ['["reap","42501"]', '{"locked":false,"killed":0}'];
  const message = 'permission denied for function pg_terminate_backend';
  assert.deepEqual(lines, [...failed, ...failed, `["DatabaseError","42501","${message}"]`]);
  const [warning, ...others] = stderr.split('\n').filter((line) => line.includes('HYPERION_REAPER_RIGHTS'));
  assert.deepEqual(others, []);
  const cure = 'GRANT EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend TO "app"';
  assert.ok(warning.endsWith(`${message}: ${cure}`), warning);
  assert.equal((await alive(db.cluster.primary(), all)).length, 1);
  // And it helps.
  await meanwhile(t, cure, 'REVOKE EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend FROM "app"');
  assert.deepEqual(await poolWith(t, db, { serviceName }).reap(), { locked: true, killed: 1 });
});

test('sessions that work as another role than they logged in with need rights, which are told one by one', async (t) => {
  const serviceName = ownService();
  await expired(t, serviceName, 1);
  await meanwhile(t, 'CREATE ROLE worker', 'DROP ROLE worker');
  await db.sql('GRANT worker TO app');
  const { user, password } = db.cluster.app;
  const options = { user, password, lease: leaseOption({ serviceName }), options: { role: 'worker' } };
  const { lines, stderr } = await inChild(db, 'print(await createPool(options).reap());', { options });
  assert.deepEqual(lines, ['{"locked":false,"killed":0}']);
  assert.match(stderr, /: GRANT pg_read_all_stats, pg_signal_backend TO "worker"\n/);
  await db.sql('GRANT pg_read_all_stats TO worker');
  const { stderr: next } = await inChild(db, 'print(await createPool(options).reap());', { options });
  assert.match(next, /: GRANT pg_signal_backend TO "worker"\n/);
  await db.sql('GRANT pg_signal_backend TO worker');
  assert.deepEqual(await printedBy(db, 'print(await createPool(options).reap());', { options }), [
    '{"locked":true,"killed":1}',
  ]);
});

test('reap() without the option rejects with ERR_NO_LEASE, and behind end() with ERR_POOL_CLOSED', async (t) => {
  assert.equal((await failureOf(db.pool(t).reap())).code, 'ERR_NO_LEASE');
  const pool = poolWith(t, db, {});
  await pool.end();
  assert.equal((await failureOf(pool.reap())).code, 'ERR_POOL_CLOSED');
});

test('what the pool makes of values, and how it sends statements, is nothing to a pass', async (t) => {
  const types = {
    int8: 'string',
    json: 'string',
    parsers: { text: () => 'no', 25: () => 'no', 'pg_catalog.text': () => 'no', bool: () => 'no', json: () => 'no' },
    serializers: { text: () => 'no', int4: () => 'no', json: () => 'no' },
  };
  const ways = [{ types }, { prepare: false }, { pipeline: false }, { reset: 'discard' }, { ambient: 'strict' }];
  for (const way of [
    ...ways,
    { options: { TimeZone: 'Asia/Kolkata', default_transaction_isolation: 'serializable' } },
  ]) {
    const serviceName = ownService();
    await expired(t, serviceName, 2);
    const pool = poolWith(t, db, { serviceName }, way);
    assert.deepEqual(await pool.reap(), { locked: true, killed: 2 }, util.inspect(way));
  }
});

test('reap() is not a part of the transaction in which it is called', async (t) => {
  const serviceName = ownService();
  await expired(t, serviceName, 1);
  const pool = poolWith(t, db, { serviceName }, { ambient: true });
  const error = new Error('undo');
  /** @type {unknown} */
  let found;
  const failed = pool.transaction(async () => {
    found = await pool.reap();
    throw error;
  });
  assert.equal(await failureOf(failed), error);
  assert.deepEqual(found, { locked: true, killed: 1 });
});

test('a listener that throws at a pass fails nothing of the pass', async () => {
  const { user, password } = db.cluster.app;
  const lines = await printedBy(
    db,
    `process.on('uncaughtException', (error) => print('uncaught ' + error.message));
     const pool = createPool(options);
     pool.on('lease', ({ type }) => { if (type === 'reap') throw new Error('mine'); });
     print(await pool.reap());`,
    { options: { user, password, lease: leaseOption({ serviceName: ownService() }) } },
  );
  assert.deepEqual(lines, ['uncaught mine', '{"locked":true,"killed":0}']);
});

test('a password function that answers the secret is refused when it answers, and the secret is not shown', async (t) => {
  const { user } = db.cluster;
  const pool = poolWith(t, db, {}, { user, password: async () => SECRET, acquireTimeoutMs: 500 });
  const error = await failureOf(pool.query('SELECT 1'));
  assert.deepEqual([error.code, error.cause?.name], ['ERR_PASSWORD', 'OptionError']);
  assert.match(error.cause.message, /^lease\.coordinationSecret must not be the password$/);
  assert.ok(!util.inspect(error).includes(SECRET));
});

test('no secret is shown by a pool, its options, or the errors of its calls', async (t) => {
  const pool = poolWith(t, db, {});
  await pool.query('SELECT 1');
  const error = await failureOf(pool.query('SELEKT 1'));
  for (const one of [pool, error]) {
    const shown = [util.inspect(one, { depth: Infinity, showHidden: true, getters: true }), JSON.stringify(one)];
    for (const text of shown) {
      assert.ok(!text.includes(SECRET) && !text.includes(Buffer.from(SECRET).toString('base64').slice(0, 12)), text);
    }
  }
});
