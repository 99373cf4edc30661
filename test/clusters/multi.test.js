'use strict';

// MultiClusterPostgres: which cluster a call goes to, which node of it, and what the result tells.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ users: { nodes: 1 }, orders: { nodes: 2 } });
before(async () => {
  await clusters.started;
  for (const name of ['users', 'orders']) {
    await clusters.get(name).sql('CREATE TABLE here (name text)');
    await clusters.get(name).sql('INSERT INTO here VALUES ($1)', [name]);
  }
});

/** @param {Record<string, unknown>} [users] @param {Record<string, unknown>} [orders] */
const both = (users, orders) =>
  clusters.configuration({
    users: { schemas: ['users', 'accounts'], ...users },
    orders: { schemas: ['orders'], ...orders },
  });

/** @param {string} name */
const primaryOf = (name) => clusters.get(name).cluster.primary().address;
/** @param {string} name */
const standbyOf = (name) => clusters.get(name).cluster.standbys()[0].address;

test('clusters: a call goes to the cluster of its schema, or to the one that it names', async (t) => {
  const multi = await clusters.multi(t, both());
  for (const [options, expected] of /** @type {[object, string][]} */ ([
    [{ schema: 'users' }, 'users'],
    [{ schema: 'accounts' }, 'users'],
    [{ schema: 'orders' }, 'orders'],
    [{ clusterId: 'orders' }, 'orders'],
    [{ schema: 'orders', clusterId: 'orders' }, 'orders'],
  ])) {
    const result = await multi.query('SELECT name FROM here WHERE name <> $1', ['x'], options);
    const { fields, rows, ...others } = result;
    assert.deepEqual([...rows], [{ name: expected }]);
    assert.equal(fields[0].name, 'name');
    assert.deepEqual(others, {
      rowCount: 1,
      command: 'SELECT',
      clusterId: expected,
      node: primaryOf(expected),
      cached: false,
    });
  }
});

test('clusters: a call that leads to no cluster, or to two, is refused by name, and nothing is sent', async (t) => {
  const multi = await clusters.multi(t, both());
  for (const [options, message] of /** @type {[any, RegExp][]} */ ([
    [undefined, /^schema or clusterId must be given: there are 'users', 'orders'$/],
    [{}, /^schema or clusterId must be given/],
    [{ schema: 'stock' }, /^schema: no cluster has 'stock'/],
    [{ clusterId: 'stock' }, /^clusterId: there is no cluster 'stock'/],
    [{ schema: 'users', clusterId: 'orders' }, /^clusterId: the schema 'users' is that of the cluster 'users'/],
    [{ schema: 'users', shardKey: 1 }, /^shardKey: the cluster 'users' is not sharded/],
    [{ schema: 'users', tags: ['a'] }, /^tags needs cache: true/],
    [{ schema: 'users', operation: 'delete' }, /^operation must be one of 'read', 'write', not 'delete'/],
    [{ schema: 'users', cache: true, operation: 'write' }, /^cache: only a read/],
    [{ shema: 'users' }, /^unknown option 'shema': did you mean 'schema'/],
  ])) {
    const error = await failureOf(multi.query('INSERT INTO here VALUES (1)', [], options));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(error.message, message);
  }
  assert.equal((await multi.query('SELECT count(*)::int4 AS n FROM here', [], { schema: 'users' })).rows[0].n, 1);
});

test('clusters: what is no statement is refused, whichever node it would go to', async (t) => {
  const multi = await clusters.multi(t, both(undefined, { readPreference: 'replica' }));
  for (const schema of ['users', 'orders']) {
    for (const sql of [undefined, null, 5, {}, ['SELECT 1']]) {
      const error = await failureOf(multi.query(sql, [], { schema }));
      assert.deepEqual([error.code, error.message.slice(0, 21)], ['ERR_INVALID_PARAM', 'sql must be a string,']);
    }
    const { sql } = require('../../client.js');
    assert.equal((await multi.query(sql`SELECT ${7}::int4 AS n`, undefined, { schema })).rows[0].n, 7);
  }
});

test('clusters: the only cluster needs no name', async (t) => {
  const multi = await clusters.multi(t, clusters.configuration({ users: { schemas: [] } }));
  assert.equal((await multi.query('SELECT name FROM here')).clusterId, 'users');
});

test('clusters: what is no configuration is refused by name, and nothing is opened', async (t) => {
  const { users } = clusters.configuration({ users: { schemas: ['users'] } });
  const { hosts, schemas, ...login } = users;
  const [primary] = hosts;
  assert.deepEqual(schemas, ['users']);
  for (const [configuration, message] of /** @type {[any, RegExp][]} */ ([
    [undefined, /^configuration must be an object/],
    [{}, /^configuration must name at least one cluster/],
    [{ 'a/b': users }, /^the name of a cluster must be/],
    [{ users: { ...login, hosts } }, /^users.schemas is missing/],
    [{ users: { ...users, schemas: 'users' } }, /^users.schemas must be an array, not string/],
    [{ users: { ...users, schemas: ['a', 'a'] } }, /^users.schemas names 'a' more than once/],
    [{ users, others: users }, /^the schema 'users' is in two clusters: users and others/],
    [
      { users: { ...users, loadBalancing: { strategy: 'fastest' } } },
      /^users.loadBalancing.strategy must be one of 'round_robin'/,
    ],
    [
      { users: { ...users, readPrefrence: 'replica' } },
      /^unknown option 'users.readPrefrence': did you mean 'users.readPreference'/,
    ],
    [{ users: { ...users, mode: 'standby' } }, /^mode: a cluster follows its primary/],
    [{ users: { ...users, name: 'people' } }, /^name: a pool is called as its cluster/],
    [{ users: { ...users, connectionPool: { min: 5, max: 2 } } }, /^users.connectionPool.min must not be larger/],
    [
      { users: { ...users, connectionPool: { max: 2 }, poolSize: 3 } },
      /^users.poolSize and users.connectionPool name the same/,
    ],
    [{ users: { ...users, primary } }, /^users.hosts names all hosts/],
    [{ users: { ...login, schemas: [], replicas: [primary] } }, /^users.primary is missing/],
    [{ users: { ...users, loadBalancing: { weights: { replica_1: 1 } } } }, /weights belongs to the strategies/],
    [
      { users: { ...users, loadBalancing: { strategy: 'weighted', weights: { replica_9: 1 } } } },
      /'replica_9' is no host/,
    ],
    [{ users: { ...users, poolSize: -1 } }, /^users: poolSize must be from 1/],
    [
      { users: { ...users, sharding: { strategy: 'hash', key: 'id', shards: [{ hosts }] } } },
      /^users.sharding.shards have the hosts/,
    ],
  ])) {
    const error = await failureOf(clusters.multi(t, configuration).then(() => JSON.stringify(configuration)));
    assert.equal(error.code, 'ERR_INVALID_OPTION', error.message);
    assert.match(error.message, message);
  }
});

test('clusters: initialize() tells which clusters could not be reached, closes the others, and can be called again', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const multi = new MultiClusterPostgres();
  t.after(() => multi.close());
  const wrong = { hosts: ['127.0.0.1:1'], acquireTimeoutMs: 200 };
  const error = await failureOf(multi.initialize(both(undefined, wrong)));
  assert.equal(error.code, 'ERR_INITIALIZE');
  assert.deepEqual(Object.keys(error.failures), ['orders']);
  assert.match(error.message, /^not every cluster could be reached: orders: /);
  assert.equal((await failureOf(multi.query('SELECT 1'))).code, 'ERR_NOT_INITIALIZED');
  await multi.initialize(both());
  assert.equal((await failureOf(multi.initialize(both()))).code, 'ERR_NOT_INITIALIZED');
  assert.equal((await multi.query('SELECT 1', [], { schema: 'orders' })).rowCount, 1);
  await multi.close();
  assert.equal((await failureOf(multi.query('SELECT 1', [], { schema: 'orders' }))).code, 'ERR_POOL_CLOSED');
});

test('clusters: a primary with its replicas, as other libraries write them, with the login beside the host', async (t) => {
  const { orders } = clusters.configuration({ orders: { schemas: ['orders'] } });
  const { hosts, user, password, database } = orders;
  const [primary, replica] = hosts.map((/** @type {any} */ given) => {
    const [host, port] = typeof given === 'string' ? given.split(':') : [given.host, given.port];
    return { host, port: Number(port), user, password, database };
  });
  const place = { schemas: ['orders'], primary, replicas: [replica], connectionPool: { min: 1, max: 3 } };
  const multi = await clusters.multi(t, { orders: { ...place, readPreference: 'replica' } });
  // The first one tries the text; others that come meanwhile go to the primary.
  for (const _ of range(4)) assert.equal((await multi.query('SELECT 1')).node, standbyOf('orders'));
  const other = { ...replica, user: 'somebody' };
  assert.match(
    (await failureOf(clusters.multi(t, { orders: { ...place, replicas: [other] } }))).message,
    /replicas\[0\].user differs/,
  );
});

test('clusters: operation decides the node, and strong always means the primary', async (t) => {
  const multi = await clusters.multi(t, both());
  const nodeOf = async (/** @type {object} */ options) =>
    (await multi.query('SELECT 1', [], { schema: 'orders', ...options })).node;
  const [primary, standby] = [primaryOf('orders'), standbyOf('orders')];
  assert.equal(await nodeOf({}), primary);
  assert.equal(await nodeOf({ operation: 'write' }), primary);
  assert.equal(await nodeOf({ operation: 'read' }), standby);
  assert.equal(await nodeOf({ operation: 'read', consistencyLevel: 'eventual' }), standby);
  assert.equal(await nodeOf({ operation: 'read', consistencyLevel: 'strong' }), primary);
  assert.equal(await nodeOf({ consistencyLevel: 'session' }), primary);
});

test("clusters: 'replica': the server decides, and a text that was refused is not tried again", async (t) => {
  const multi = await clusters.multi(t, both(undefined, { readPreference: 'replica' }));
  const run = (/** @type {string} */ sql) => multi.query(sql, [], { schema: 'orders' });
  const standby = clusters.orders.cluster.standbys()[0];
  const refusals = () => standby.log().split('cannot execute INSERT').length - 1;
  const before = refusals();
  const insert = "INSERT INTO here VALUES ('decided') RETURNING name";
  for (const _ of range(3)) assert.equal((await run(insert)).node, primaryOf('orders'));
  assert.equal(refusals() - before, 1);
  const read = await run("SELECT count(*)::int4 AS n FROM here WHERE name = 'decided'");
  assert.deepEqual([read.node, read.rows[0].n], [standbyOf('orders'), 3]);
});

test('clusters: reads follow the writes before them, unless they are eventual', async (t) => {
  const multi = await clusters.multi(t, both(undefined, { readPreference: 'replica', reads: { waitMs: 5_000 } }));
  const standby = /** @type {any} */ (clusters.orders.cluster.standbys()[0]);
  await standby.sql('SELECT pg_wal_replay_pause()');
  t.after(() => standby.sql('SELECT pg_wal_replay_resume()'));
  await multi.query("INSERT INTO here VALUES ('followed')", [], { schema: 'orders' });
  const count = (/** @type {object} */ options) =>
    multi.query("SELECT count(*)::int4 AS n FROM here WHERE name = 'followed'", [], { schema: 'orders', ...options });
  const eventual = await count({ consistencyLevel: 'eventual' });
  assert.deepEqual([eventual.node, eventual.rows[0].n], [standby.address, 0]);
  const waiting = count({});
  await standby.sql('SELECT pg_wal_replay_resume()');
  const followed = await waiting;
  assert.deepEqual([followed.node, followed.rows[0].n], [standby.address, 1]);
});

test("clusters: 'nearest' reads where it is answered first", async (t) => {
  const multi = await clusters.multi(t, both(undefined, { readPreference: 'nearest' }));
  const nodes = new Set();
  for (const _ of range(20)) nodes.add((await multi.query('SELECT 1', [], { schema: 'orders' })).node);
  for (const node of nodes) assert.ok([primaryOf('orders'), standbyOf('orders')].includes(node));
});

test('clusters: registerSchema() routes from then on, and refuses what is taken', async (t) => {
  const multi = await clusters.multi(t, both());
  /** @type {object[]} */
  const events = [];
  multi.on('schemaRegistered', (/** @type {object} */ event) => events.push(event));
  multi.registerSchema('returns', 'orders', { readPreference: 'replica' });
  assert.deepEqual(events, [{ schema: 'returns', clusterId: 'orders' }]);
  assert.equal((await multi.query('SELECT 1', [], { schema: 'returns' })).node, standbyOf('orders'));
  assert.throws(() => multi.registerSchema('returns', 'users'), /already that of the cluster 'orders'/);
  assert.throws(() => multi.registerSchema('x', 'stock'), /clusterId: there is no cluster 'stock'/);
  assert.throws(() => multi.registerSchema('x', 'users', { readPreference: 'far' }), /readPreference must be one of/);
});

test('clusters: addCluster, removeCluster and reload leave in peace what is in flight', async (t) => {
  const multi = await clusters.multi(t, clusters.configuration({ users: { schemas: ['users'] } }));
  const { orders } = clusters.configuration({ orders: { schemas: ['orders'] } });
  await multi.addCluster('orders', orders);
  assert.match(
    (await failureOf(multi.addCluster('orders', orders))).message,
    /^id: there is a cluster 'orders' already/,
  );
  assert.match((await failureOf(multi.addCluster('more', orders))).message, /the schema 'orders' is in two clusters/);
  const slow = () => multi.query("SELECT pg_sleep(0.3), 'kept' AS what", [], { schema: 'orders' });
  const kept = slow();
  const removed = multi.removeCluster('orders');
  await until('it is no more', () => failureOf(multi.query('SELECT 1', [], { schema: 'orders' })).then(() => true));
  assert.equal((await kept).rows[0].what, 'kept');
  await removed;
  await multi.addCluster('orders', orders);
  const [again, same] = [slow(), multi.query('SELECT pg_backend_pid() AS pid', [], { schema: 'users' })];
  const { users } = clusters.configuration({ users: { schemas: ['users'] } });
  await multi.reload({ users, orders: { ...orders, schemas: ['orders', 'returns'] } });
  assert.equal((await again).rows[0].what, 'kept');
  assert.equal((await multi.query('SELECT 1', [], { schema: 'returns' })).clusterId, 'orders');
  await same;
  const configuration = { users, orders: { ...orders, schemas: ['orders', 'returns'] } };
  await multi.reload(configuration);
  // The same object, changed: what was given before is remembered as it was.
  configuration.orders.schemas.push('stock');
  await multi.reload(configuration);
  assert.equal((await multi.query('SELECT 1', [], { schema: 'stock' })).clusterId, 'orders');
  const broken = { users, orders: { ...orders, schemas: [], hosts: ['127.0.0.1:1'], acquireTimeoutMs: 200 } };
  assert.equal((await failureOf(multi.reload(broken))).code, 'ERR_INITIALIZE');
  assert.equal((await multi.query('SELECT 1', [], { schema: 'returns' })).clusterId, 'orders');
  assert.match((await failureOf(multi.removeCluster('users'))).message, /has the decisions/);
});

test('clusters: events and metrics tell of each query, and a listener that throws disturbs none', async (t) => {
  const multi = await clusters.multi(t, both());
  /** @type {any[]} */
  const events = [];
  multi.on('queryExecuted', (/** @type {any} */ event) =>
    events.push(['executed', event.clusterId, event.node, event.rowCount]),
  );
  multi.on('queryError', (/** @type {any} */ event) => events.push(['error', event.clusterId, event.error.code]));
  await multi.query('SELECT generate_series(1, 3)', [], { schema: 'users' });
  await failureOf(multi.query('SELECT 1 / 0', [], { schema: 'orders' }));
  await multi.query('UPDATE here SET name = name', [], { schema: 'users' });
  assert.deepEqual(events, [
    ['executed', 'users', primaryOf('users'), 3],
    ['error', 'orders', '22012'],
    ['executed', 'users', primaryOf('users'), 1],
  ]);
  const { totalQueries, errorRate, clusters: counted } = multi.getMetrics();
  assert.deepEqual([totalQueries, errorRate], [3, 1 / 3]);
  const { users, orders } = counted;
  assert.deepEqual([users.queries, users.reads, users.writes, users.errors], [2, 1, 1, 0]);
  assert.deepEqual([orders.queries, orders.errors], [1, 1]);
  assert.ok(users.avgResponseTime > 0 && users.p95 > 0 && users.connections >= 1);
  assert.match(multi.prometheus(), /cluster="users"/);
});

test('clusters: what is switched off is refused by name', async (t) => {
  const multi = await clusters.multi(t, both(), {
    enableCache: false,
    enableMetrics: false,
    enableTransactions: false,
  });
  assert.throws(() => multi.getMetrics(), { code: 'ERR_NOT_ENABLED' });
  assert.equal((await failureOf(multi.invalidateCache({ schema: 'users' }))).code, 'ERR_NOT_ENABLED');
  assert.equal((await failureOf(multi.withTransaction(['users', 'orders'], () => {}))).code, 'ERR_NOT_ENABLED');
  assert.equal(
    await multi.withTransaction(
      ['users'],
      async (/** @type {any} */ tx) => (await tx.query('SELECT 7 AS n')).rows[0].n,
    ),
    7,
  );
  assert.equal((await multi.query('SELECT 1', [], { schema: 'users', cache: true })).cached, false);
});

test('clusters: no password is printed', async (t) => {
  const multi = await clusters.multi(t, both());
  const { password } = clusters.configuration({ users: {} }).users;
  const shown = `${require('node:util').inspect(multi)} ${JSON.stringify(multi)}`;
  assert.ok(password.length > 3 && !shown.includes(password));
});
