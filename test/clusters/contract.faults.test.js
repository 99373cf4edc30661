'use strict';

// MultiClusterPostgres when a server does not answer, when clusters are replaced, and what it prints and keeps.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { inspect } = require('node:util');
const { failureOf, isPending, range, sleep, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ users: { nodes: 1 }, orders: { nodes: 2 } });
before(async () => {
  await clusters.started;
  for (const name of ['users', 'orders']) await clusters.get(name).sql('CREATE TABLE numbers (n int)');
});

/** @param {Record<string, unknown>} [users] @param {Record<string, unknown>} [orders] */
const both = (users, orders) =>
  clusters.configuration({ users: { schemas: ['users'], ...users }, orders: { schemas: ['orders'], ...orders } });

test("what was written before reload() is seen after it by reads that are 'session'", async (t) => {
  const multi = await clusters.multi(t, both({}, { readPreference: 'replica' }));
  const standby = clusters.orders.cluster.standbys()[0];
  const count = async () =>
    (await multi.query('SELECT count(*)::int4 AS n FROM numbers', [], { schema: 'orders' })).rows[0].n;
  const begun = await count();
  const admin = standbyPool(standby);
  await admin.query('SELECT pg_wal_replay_pause()');
  t.after(() => admin.query('SELECT pg_wal_replay_resume()').finally(() => admin.end()));
  await multi.query('INSERT INTO numbers VALUES (1)', [], { schema: 'orders', operation: 'write' });
  await multi.reload(both({}, { readPreference: 'replica', connectionPool: { max: 4 } }));
  assert.equal(await count(), begun + 1);
  // A write that is under way while its cluster is replaced.
  const late = multi.query('INSERT INTO numbers SELECT 2 FROM pg_sleep(0.3)', [], {
    schema: 'orders',
    operation: 'write',
  });
  await multi.reload(both({}, { readPreference: 'replica', connectionPool: { max: 5 } }));
  await late;
  assert.equal(await count(), begun + 2);
});

test('a write of a schema that is read on the primary is seen after reload() by reads that go to standbys', async (t) => {
  const multi = await clusters.multi(t, both());
  const standby = clusters.orders.cluster.standbys()[0];
  const admin = standbyPool(standby);
  t.after(() => admin.query('SELECT pg_wal_replay_resume()').finally(() => admin.end()));
  const count = async (/** @type {string} */ level) => {
    const options = { schema: 'orders', operation: 'read', consistencyLevel: level };
    return (await multi.query('SELECT count(*)::int4 AS n FROM numbers', [], options)).rows[0].n;
  };
  const begun = await count('session');
  await admin.query('SELECT pg_wal_replay_pause()');
  const late = multi.query('INSERT INTO numbers SELECT 5 FROM pg_sleep(1)', [], { schema: 'orders' });
  const replacing = multi.reload(both({}, { schemas: ['orders', 'more'] }));
  const isThere = { schema: 'more', operation: 'read', consistencyLevel: 'eventual' };
  await until('the new one is there', async () => (await multi.query('SELECT 1', [], isThere).catch(() => 0)) !== 0);
  await until('it has asked for its position', async () => (await count('session')) === begun);
  await late;
  assert.equal(await count('session'), begun + 1);
  await replacing;
});

test('a cluster that was down and has come back by reload() is told as recovered', async (t) => {
  const multi = await clusters.multi(t, both(), {
    cluster: { healthCheckIntervalMs: 0, healthTimeoutMs: 300, maxFailuresBeforeMarkDown: 1 },
  });
  const told = /** @type {any[]} */ ([]);
  multi.on('clusterDown', (/** @type {any} */ { clusterId, reason }) => told.push(['down', clusterId, typeof reason]));
  multi.on('clusterRecovered', (/** @type {any} */ event) => told.push(['up', event.clusterId, typeof event.downtime]));
  const node = clusters.users.cluster.primary();
  await node.freeze();
  await multi.healthCheck().finally(() => node.thaw());
  assert.deepEqual(told, [['down', 'users', 'string']]);
  await multi.reload(both({ connectionPool: { max: 4 } }));
  assert.equal((await multi.healthCheck()).healthy, true);
  await multi.healthCheck();
  assert.deepEqual(told.slice(1), [['up', 'users', 'number']]);
});

test('a directory that does not answer keeps no call longer than its timeoutMs and its signal', async (t) => {
  const { users, orders } = both();
  const { hosts, schemas: _, ...login } = users;
  const directory = () => new Promise(() => {});
  const sharding = { strategy: 'directory', key: 'n', shards: [{ hosts }, { hosts: orders.hosts }], directory };
  const multi = await clusters.multi(t, { parts: { schemas: ['parts'], ...login, sharding } });
  for (const options of [{}, { cache: true }, { operation: 'read' }]) {
    const error = await failureOf(multi.query('SELECT 1', [], { shardKey: 1, timeoutMs: 30, ...options }));
    assert.deepEqual([error.code, error.outcome], ['57014', 'not-applied']);
    const controller = new AbortController();
    const aborted = failureOf(multi.query('SELECT 1', [], { shardKey: 1, signal: controller.signal, ...options }));
    await sleep(5);
    controller.abort();
    assert.equal((await aborted).code, 'ABORT_ERR');
    const late = failureOf(multi.query('SELECT 1', [], { shardKey: 1, signal: controller.signal, ...options }));
    assert.equal((await late).code, 'ABORT_ERR');
  }
});

test('while one cluster does not answer, statements, health and transactions of the other go on, and close() ends', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const multi = new MultiClusterPostgres({ cluster: { healthTimeoutMs: 300 } });
  t.after(() => multi.close({ timeoutMs: 100 }));
  await multi.initialize(both());
  const node = clusters.users.cluster.primary();
  await node.freeze();
  t.after(() => node.thaw());
  const stuck = range(30).map(() => failureOf(multi.query('SELECT 1', [], { schema: 'users', timeoutMs: 20_000 })));
  for (let i = 0; i < 200; i++) await multi.query('SELECT $1::int4', [i], { schema: 'orders' });
  await multi.withTransaction(['orders'], (/** @type {any} */ tx) => tx.query('INSERT INTO numbers VALUES (3)'));
  const { healthy, clusters: health } = await multi.healthCheck();
  assert.deepEqual([healthy, health.users.healthy, health.orders.healthy], [false, false, true]);
  const closing = multi.close({ timeoutMs: 200 });
  await until('it is closed', async () => !(await isPending(closing)));
  // By close(), or by the pool itself, which had given the node up before.
  for (const { code } of await Promise.all(stuck)) assert.match(code, /^ERR_(POOL_CLOSED|OUTCOME_UNKNOWN)$/);
});

test('a health report has all members of the contract, and none is undefined', async (t) => {
  const multi = await clusters.multi(t, both());
  const report = await multi.healthCheck();
  assert.deepEqual(Object.keys(report).sort(), ['clusters', 'healthy']);
  for (const cluster of Object.values(report.clusters)) {
    const { healthy, primary, nodes, ...others } = /** @type {any} */ (cluster);
    assert.deepEqual([healthy, typeof primary, others], [true, 'string', {}]);
    for (const node of nodes) {
      assert.deepEqual(Object.keys(node).sort(), [
        'error',
        'failureCount',
        'healthy',
        'lagBytes',
        'node',
        'responseTime',
        'role',
      ]);
      for (const [name, value] of Object.entries(node)) assert.notEqual(value, undefined, name);
    }
  }
  const metrics = multi.getMetrics();
  const members = ['avgResponseTime', 'cache', 'clusters', 'errorRate', 'totalQueries', 'transactions'];
  assert.deepEqual(Object.keys(metrics).sort(), members);
  for (const own of Object.values(metrics.clusters)) {
    const names = ['avgResponseTime', 'connections', 'errors', 'p95', 'queries', 'reads', 'writes'];
    assert.deepEqual(Object.keys(/** @type {any} */ (own)).sort(), names);
  }
  assert.deepEqual(Object.keys(metrics.cache).sort(), ['bytes', 'entries', 'hitRate', 'hits', 'misses']);
});

test('no error and nothing that is printed has a password, a connection string or a parameter', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const secret = 'g3heim-secret';
  const { users } = both();
  const { hosts: _, ...login } = users;
  const multi = new MultiClusterPostgres();
  t.after(() => multi.close());
  const wrong = /** @type {any[]} */ ([
    { a: { schemas: [], connectionString: `postgres://u:${secret}@127.0.0.1:1/db`, acquireTimeoutMs: 100 } },
    { a: { schemas: [], connectionString: `postgres://u:${secret}@127.0.0.1:1/db?nonsense=1` } },
    { a: { schemas: [], hosts: [`postgres://u:${secret}@127.0.0.1:1/db`], acquireTimeoutMs: 100 } },
    { a: { schemas: [], primary: `u:${secret}@127.0.0.1`, acquireTimeoutMs: 100 } },
    { a: { schemas: [], primary: { host: '127.0.0.1', port: 1, password: secret }, acquireTimeoutMs: 100 } },
    { a: { schemas: [], primary: { host: '127.0.0.1', port: 1, password: secret }, password: 'other' } },
    { a: { schemas: [], primary: { host: '127.0.0.1', port: 1, pass: secret } } },
    { a: { ...login, schemas: [], hosts: ['127.0.0.1:1'], acquireTimeoutMs: 100, password: secret } },
    { a: { ...users, loadBalancing: { strategy: 'weighted', weights: { [`u:${secret}@h`]: 1 } } } },
    { [`postgres://u:${secret}@h`]: users },
    { a: `postgres://u:${secret}@h` },
    `postgres://u:${secret}@h`,
  ]);
  for (const [index, configuration] of wrong.entries()) {
    const error = await failureOf(multi.initialize(configuration));
    const shown = [
      error.message,
      error.stack,
      inspect(error, { depth: 9, showHidden: true }),
      JSON.stringify(error),
    ].join();
    assert.equal(shown.includes(secret), false, `${index}: ${error.message}`);
  }
  await multi.initialize({ a: { ...login, schemas: ['a'], hosts: users.hosts } });
  const failed = await failureOf(multi.query('SELECT $1::int4 + no_such($1)', [secret], { schema: 'a' }));
  for (const shown of [
    inspect(multi, { depth: 9, showHidden: true }),
    JSON.stringify(multi),
    inspect(failed, { depth: 9 }),
  ]) {
    assert.equal(shown.includes(secret) || shown.includes(String(login.password)), false, shown);
  }
});

test('clusters that were added and removed leave no connections and no listeners', async (t) => {
  const multi = await clusters.multi(t, clusters.configuration({ users: { schemas: ['users'] } }));
  const { orders } = both();
  const connections = async () =>
    (
      await clusters.orders.sql(
        "SELECT count(*)::int4 AS n FROM pg_stat_activity WHERE backend_type = 'client backend'",
      )
    )[0].n;
  const begun = await connections();
  const { signal } = new AbortController();
  for (const i of range(6)) {
    await multi.addCluster(`c${i}`, { ...orders, schemas: [`s${i}`], readPreference: 'replica' });
    await multi.query('SELECT 1', [], { schema: `s${i}`, signal });
    await multi.query('SELECT 1', [], { schema: `s${i}`, signal, cache: true });
    await multi.healthCheck();
    multi.registerSchema(`r${i}`, `c${i}`);
    await multi.query('SELECT 1', [], { schema: `r${i}` });
    await multi.removeCluster(`c${i}`);
    assert.match((await failureOf(multi.query('SELECT 1', [], { schema: `r${i}` }))).message, /^schema: no cluster/);
  }
  await until('all connections have gone', async () => (await connections()) <= begun);
  assert.deepEqual(Object.keys(multi.getMetrics().clusters), ['users']);
  const { getEventListeners } = require('node:events');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a process ends after close(), and by itself after a failed initialize()', async () => {
  const { execFile } = require('node:child_process');
  const { promisify } = require('node:util');
  const entry = require.resolve('../../exports/clusters/index.js');
  const program = (/** @type {string} */ body) => `
    const { MultiClusterPostgres } = require(${JSON.stringify(entry)});
    const configuration = ${JSON.stringify(both({}, { readPreference: 'replica' }))};
    (async () => { const multi = new MultiClusterPostgres({ cache: { broadcast: true } }); ${body} })();`;
  for (const body of [
    `await multi.initialize(configuration); await multi.query('SELECT 1', [], { schema: 'orders', cache: true });
     await multi.withTransaction(['orders'], (tx) => tx.query('SELECT 1'));
     await multi.healthCheck(); await multi[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')](); await multi.close(); console.log('closed');`,
    `await multi.initialize({ a: { ...configuration.users, hosts: ['127.0.0.1:1'], acquireTimeoutMs: 100 } }).catch(() => console.log('closed'));`,
    `const opening = multi.initialize(configuration).catch(() => console.log('closed')); await multi.close(); await opening;`,
  ]) {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', program(body)], { timeout: 20_000 });
    assert.deepEqual([stdout.trim(), stderr.trim()], ['closed', ''], body);
  }
});

test('a transaction whose answer to COMMIT was lost is told as in doubt, and not as aborted', async (t) => {
  const relay = await losingRelay(t, clusters.users.cluster.primary());
  const { hosts: _, ...login } = both().users;
  const multi = await clusters.multi(t, { users: { ...login, hosts: [relay.address] } });
  const told = /** @type {any[]} */ ([]);
  for (const event of ['transactionStarted', 'transactionCommitted', 'transactionAborted', 'inDoubt']) {
    multi.on(event, (/** @type {any} */ { clusters: names }) => told.push([event, names]));
  }
  const insert = (/** @type {any} */ tx) => tx.query('INSERT INTO numbers VALUES (77)');
  const error = await failureOf(multi.withTransaction(['users'], insert));
  assert.equal(error.outcome, 'unknown');
  assert.deepEqual(told, [
    ['transactionStarted', ['users']],
    ['inDoubt', ['users']],
  ]);
  assert.equal(multi.getMetrics().transactions.aborted, 0);
  await multi.close();
  // It was committed, and once.
  await until('it is committed', async () => {
    const [row] = await clusters.users.sql('SELECT count(*)::int4 AS n FROM numbers WHERE n = 77');
    return row.n === 1;
  });
});

test('the time of a call that a standby has refused goes on, and does not begin anew', async (t) => {
  const multi = await clusters.multi(t, both({}, { readPreference: 'replica' }));
  await clusters.orders.sql(`CREATE FUNCTION slow_write() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.6); INSERT INTO numbers VALUES (88); RETURN 1; END $$`);
  const error = await failureOf(multi.query('SELECT slow_write()', [], { schema: 'orders', timeoutMs: 1_000 }));
  assert.deepEqual([error?.code, error?.outcome], ['57014', 'not-applied']);
  assert.equal((await clusters.orders.sql('SELECT count(*)::int4 AS n FROM numbers WHERE n = 88'))[0].n, 0);
});

/** A relay that passes COMMIT on, and drops the connection before the answer. @param {import('node:test').TestContext} t @param {any} node */
async function losingRelay(t, { host, port }) {
  const net = require('node:net');
  const server = net.createServer((socket) => {
    const upstream = net.connect(port, host);
    let isLost = false;
    socket.on('data', (piece) => {
      isLost ||= piece.includes('COMMIT');
      upstream.write(piece);
    });
    upstream.on('data', (piece) => (isLost ? socket.destroy() : socket.write(piece)));
    for (const end of [socket, upstream]) {
      end.on('error', () => {});
      end.on('close', () => [socket, upstream].forEach((one) => one.destroy()));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  return { address: `127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}` };
}

/** @param {any} node */
function standbyPool(node) {
  const { createPool } = require('../../client.js');
  const { hosts: _, schemas: _schemas, ...login } = both().orders;
  return createPool({ ...login, hosts: [node.address], mode: 'any' });
}
