'use strict';

// MultiClusterPostgres as a program sees it that knows the documentation only: results, events and errors by their names, and what
// becomes of statements that meet a change of the clusters.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { getEventListeners } = require('node:events');
const { failureOf, isPending, range, sleep, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ users: { nodes: 1 }, orders: { nodes: 2 } });
before(async () => {
  await clusters.started;
  for (const name of ['users', 'orders']) {
    await clusters.get(name).sql('CREATE TABLE numbers (n int)');
    await clusters
      .get(name)
      .sql(
        `CREATE FUNCTION add_now(int) RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO numbers VALUES ($1) RETURNING n'`,
      );
  }
});

/** @param {Record<string, unknown>} [users] @param {Record<string, unknown>} [orders] */
const both = (users, orders) =>
  clusters.configuration({ users: { schemas: ['users'], ...users }, orders: { schemas: ['orders'], ...orders } });

/** Two shards, which are the two clusters. @param {Record<string, unknown>} [options] @param {Record<string, unknown>} [sharding] */
function sharded(options, sharding) {
  const { users, orders } = both();
  const { hosts, schemas: _, ...login } = users;
  const shards = [{ hosts }, { hosts: orders.hosts }];
  return {
    parts: { schemas: ['parts'], ...login, ...options, sharding: { strategy: 'hash', key: 'n', shards, ...sharding } },
  };
}

/** @param {any} multi @param {object} where */
const numbers = async (multi, where) =>
  (await multi.query('SELECT n FROM numbers ORDER BY n', [], { ...where, operation: 'write' })).rows.map(
    (/** @type {any} */ row) => row.n,
  );

test('a statement runs with the parameters that it was called with, although their array is changed at once', async (t) => {
  const multi = await clusters.multi(t, both({}, { readPreference: 'replica' }));
  const cases = [
    { schema: 'orders' },
    { schema: 'orders', operation: 'read' },
    { schema: 'orders', operation: 'write' },
    { schema: 'orders', cache: true },
    { schema: 'users', cache: true },
  ];
  for (const options of cases) {
    const params = [1];
    const running = multi.query('SELECT $1::int4 AS n', params, options);
    params[0] = 2;
    assert.deepEqual([options, (await running).rows[0].n], [options, 1]);
  }
  const params = [70];
  const writing = multi.query('INSERT INTO numbers VALUES ($1)', params, { schema: 'orders' });
  params[0] = 71;
  await writing;
  assert.deepEqual(
    (await numbers(multi, { schema: 'orders' })).filter((n) => n >= 70),
    [70],
  );
});

test('a write with a shard key tells how many rows it has changed, whatever else its options are', async (t) => {
  const multi = await clusters.multi(t, sharded());
  const { node } = await multi.query('INSERT INTO numbers VALUES (501), (502), (503)', [], { shardKey: 5 });
  assert.match(node, /^[^,]+:\d+$/);
  for (const options of [{}, { merge: 'concat' }, { limit: 2 }]) {
    const { rowCount, command } = await multi.query('UPDATE numbers SET n = n WHERE n > 500', [], {
      shardKey: 5,
      ...options,
    });
    assert.deepEqual([options, command, rowCount], [options, 'UPDATE', 3]);
  }
});

test('what is no name of a cluster or schema is refused by the name of its argument', async (t) => {
  const multi = await clusters.multi(t, both());
  const { users } = both();
  const cases = /** @type {[() => any, RegExp][]} */ ([
    [() => multi.addCluster(undefined, { ...users, schemas: [] }), /^id must be a string/],
    [() => multi.addCluster(7, { ...users, schemas: [] }), /^id must be a string/],
    [
      () => multi.addCluster('more', { schemas: [], primary: { host: 'h', user: 'a', password: 'x' }, user: 'b' }),
      /^more.primary.user differs from more.user: a cluster has one user/,
    ],
    [() => multi.addCluster('more', undefined), /^more must be an object/],
    [() => multi.removeCluster(undefined), /^id: there is no cluster/],
    [async () => multi.registerSchema('', 'users'), /^schema must be a string/],
    [async () => multi.registerSchema('x', 'stock'), /^clusterId: there is no cluster 'stock'/],
    [async () => multi.registerSchema('x', 'users', { priority: 1 }), /^unknown option 'priority'/],
    [async () => multi.registerSchema('x', 'users', { readPreference: 'slave' }), /^readPreference must be one of/],
    [() => multi.withTransaction('users', async () => 1), /^schemas must be an array/],
    [() => multi.withTransaction([undefined], async () => 1), /^schemas\[0\] must be a string/],
    [() => multi.withTransaction(['users', 5], async () => 1), /^schemas\[1\] must be a string/],
    [() => multi.withTransaction(['users'], 5), /^callback must be a function/],
    [() => multi.withTransaction(['users'], async () => 1, { isolation: 'snapshot' }), /^isolation must be one of/],
    [() => multi.withTransaction(['users'], async () => 1, { readOnly: true }), /^unknown option 'readOnly'/],
    [() => multi.migrate(null), /^options must be an object/],
    [() => multi.migrate({ clusters: 'users', directory: '.' }), /^clusters must be an array/],
    [() => multi.migrate({ clusters: [], directory: '.' }), /^clusters or schemas must name at least one/],
    [() => multi.migrate({ schemas: ['x'], directory: '.' }), /^schema.*'x'/],
    [() => multi.migrate({ folder: '.' }), /^unknown option 'folder'/],
    [() => multi.invalidateCache(), /^an invalidation has exactly one of/],
    [() => multi.invalidateCache({ table: 'x' }), /^an invalidation has exactly one of/],
    [() => multi.query('SELECT 1', 5, { schema: 'users' }), /^params must be an array/],
    [() => multi.query('SELECT 1', 5, { schema: 'users', cache: true }), /^params must be an array/],
    [() => multi.query('SELECT 1', [], { schema: 'users', limit: -1 }), /^limit must be/],
    [() => multi.query('SELECT 1', [], { schema: 'users', limit: 1.5 }), /^limit must be/],
    [() => multi.query('SELECT 1', [], { schema: 'users', cacheTtl: 0, cache: true }), /^cacheTtl must be/],
    [() => multi.query('SELECT 1', [], 5), /^options must be an object/],
  ]);
  for (const [call, message] of cases) {
    const error = await failureOf(call());
    assert.match(String(error.code), /^ERR_INVALID_(PARAM|OPTION)$/, `${call}: ${error.stack}`);
    assert.match(error.message, message, String(call));
  }
  assert.equal((await failureOf(multi.close({ force: true }))).code, 'ERR_INVALID_PARAM');
  assert.equal((await multi.query('SELECT 1', [], { schema: 'users' })).rowCount, 1);
});

test('a cluster that could not be added is in no metrics, and no schema leads to it', async (t) => {
  const multi = await clusters.multi(t, both());
  const { users } = both();
  const wrong = { ...users, schemas: ['stock'], hosts: ['127.0.0.1:1'], acquireTimeoutMs: 200 };
  assert.equal((await failureOf(multi.addCluster('stock', wrong))).code, 'ERR_INITIALIZE');
  assert.deepEqual(Object.keys(multi.getMetrics().clusters), ['users', 'orders']);
  assert.deepEqual(Object.keys((await multi.healthCheck()).clusters), ['users', 'orders']);
  assert.match(
    (await failureOf(multi.query('SELECT 1', [], { schema: 'stock' }))).message,
    /^schema: no cluster has 'stock'/,
  );
});

test('a schema that is registered while a cluster with the same schema is being added: one of both has it, and nothing else changes', async (t) => {
  const multi = await clusters.multi(t, clusters.configuration({ users: { schemas: ['users'] } }));
  const { orders } = both();
  const adding = multi.addCluster('orders', { ...orders, schemas: ['orders', 'both'] });
  adding.catch(() => {});
  multi.registerSchema('both', 'users');
  assert.match((await failureOf(adding)).message, /both/);
  assert.equal((await multi.query('SELECT 1', [], { schema: 'both' })).clusterId, 'users');
  assert.deepEqual(Object.keys((await multi.healthCheck()).clusters), ['users']);
  await multi.addCluster('orders', orders);
  assert.equal((await multi.query('SELECT 1', [], { schema: 'orders' })).clusterId, 'orders');
});

test('a registered schema leads to its cluster after reload(), too, until the configuration gives it to another', async (t) => {
  const multi = await clusters.multi(t, both());
  multi.registerSchema('extra', 'orders', { readPreference: 'replica' });
  const standby = clusters.orders.cluster.standbys()[0].address;
  assert.equal((await multi.query('SELECT 1', [], { schema: 'extra' })).node, standby);
  await multi.reload(both({}, { connectionPool: { max: 3 } }));
  assert.equal((await multi.query('SELECT 2', [], { schema: 'extra' })).node, standby);
  await multi.reload(both({ schemas: ['users', 'extra'] }, { connectionPool: { max: 3 } }));
  assert.equal((await multi.query('SELECT 3', [], { schema: 'extra' })).clusterId, 'users');
});

test('calls that meet reload() and removeCluster() end in peace, those of several steps, too', async (t) => {
  const multi = await clusters.multi(t, both({}, { readPreference: 'replica' }));
  const failures = /** @type {any[]} */ ([]);
  let written = 0;
  let isOver = false;
  const client = async (/** @type {number} */ id) => {
    for (let i = 0; !isOver; i++) {
      try {
        // A text that no standby knows: it is refused there, and goes on to the primary.
        const { rowCount } = await multi.query(`INSERT INTO numbers VALUES ($1) /* ${id} ${i} */`, [900], {
          schema: 'orders',
        });
        written += rowCount;
        await multi.query('SELECT 1', [], { schema: 'orders', cache: true, cacheTtl: 1 });
        await multi.withTransaction(['orders'], async (/** @type {any} */ tx) => {
          await sleep(1);
          const { rowCount } = await tx.query('INSERT INTO numbers VALUES (900)');
          written += rowCount;
        });
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const clients = range(6).map(client);
  for (const max of range(8))
    await multi.reload(both({}, { readPreference: 'replica', connectionPool: { max: 5 + max } }));
  isOver = true;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  const [row] = (await multi.query('SELECT count(*)::int4 AS n FROM numbers WHERE n = 900', [], { schema: 'orders' }))
    .rows;
  assert.equal(row.n, written);
});

test('close({ timeoutMs }) waits no longer for a cluster that was removed before', async (t) => {
  const multi = await clusters.multi(t, both());
  const slow = failureOf(multi.query('SELECT pg_sleep(30)', [], { schema: 'orders' }));
  await sleep(50);
  const removing = multi.removeCluster('orders').catch(() => {});
  assert.equal(await isPending(removing), true);
  const closing = multi.close({ timeoutMs: 100 });
  await until('it is closed', async () => !(await isPending(closing)));
  await Promise.all([slow, removing]);
});

test('close() in the middle of initialize() and of addCluster() ends them, and leaves nothing open', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const silent = await silentServer(t);
  const away = { ...both().users, hosts: [silent.address], schemas: ['away'], acquireTimeoutMs: 60_000 };
  const first = new MultiClusterPostgres();
  const initializing = failureOf(first.initialize({ ...both(), away }));
  await sleep(100);
  const closed = first.close({ timeoutMs: 100 });
  await until('both have ended', async () => !(await isPending(Promise.all([closed, initializing]))));
  assert.equal((await initializing).code, 'ERR_POOL_CLOSED');
  const second = await clusters.multi(t, both());
  const adding = failureOf(second.addCluster('away', away));
  await sleep(100);
  const closing = second.close({ timeoutMs: 100 });
  await until('both have ended', async () => !(await isPending(Promise.all([closing, adding]))));
  assert.equal((await adding).code, 'ERR_POOL_CLOSED');
  await until('no connection is left', async () => silent.connections() === 0);
});

test('initialize() twice at once: one opens, the other is refused', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const multi = new MultiClusterPostgres();
  t.after(() => multi.close());
  const [first, second] = await Promise.allSettled([multi.initialize(both()), multi.initialize(both())]);
  assert.deepEqual([first.status, second.status], ['fulfilled', 'rejected']);
  assert.equal(/** @type {any} */ (second).reason.code, 'ERR_NOT_INITIALIZED');
  await Promise.all([multi.close(), multi.close()]);
  assert.equal((await failureOf(multi.initialize(both()))).code, 'ERR_POOL_CLOSED');
});

test('a signal that lives long collects no listeners, and may end many calls', async (t) => {
  const multi = await clusters.multi(t, both({}, { readPreference: 'replica' }));
  const { signal } = new AbortController();
  const warnings = /** @type {Error[]} */ ([]);
  const warned = (/** @type {Error} */ warning) => warnings.push(warning);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  for (const options of [
    { schema: 'users' },
    { schema: 'orders' },
    { schema: 'orders', cache: true },
    { schema: 'users', operation: 'read' },
  ]) {
    await Promise.all(range(20).map((i) => multi.query('SELECT $1::int4', [i], { ...options, signal })));
  }
  await multi.close();
  const parts = await clusters.multi(t, sharded());
  await Promise.all(range(20).map(() => parts.query('SELECT 1', [], { signal })));
  await Promise.all(range(20).map(() => parts.query('SELECT 1', [], { signal, cache: true })));
  await sleep(10);
  assert.deepEqual([warnings, getEventListeners(signal, 'abort').length], [[], 0]);
});

test('statements of a transaction keep their order, although they name their schema or not, and are not awaited', async (t) => {
  const multi = await clusters.multi(t, both());
  const rows = await multi.withTransaction(['users'], async (/** @type {any} */ tx) => {
    const params = [1];
    const all = [
      tx.query('CREATE TEMPORARY TABLE steps (n int) ON COMMIT DROP', [], { schema: 'users' }),
      tx.query('INSERT INTO steps VALUES ($1)', params, { schema: 'users' }),
      tx.query('SELECT n FROM steps'),
    ];
    params[0] = 2;
    return (await Promise.all(all))[2].rows;
  });
  assert.deepEqual([...rows], [{ n: 1 }]);
});

test("a declared read that writes is refused wherever it is read, with 'nearest', too", async (t) => {
  for (const readPreference of ['primary', 'replica', 'nearest']) {
    const multi = await clusters.multi(t, both({ readPreference }, { readPreference }));
    for (const schema of ['users', 'orders']) {
      for (let i = 0; i < 3; i++) {
        const error = await failureOf(multi.query('SELECT add_now(800)', [], { schema, operation: 'read' }));
        assert.equal(error?.code, '25006', readPreference);
      }
      assert.deepEqual(
        (await numbers(multi, { schema })).filter((n) => n === 800),
        [],
      );
    }
  }
});

test('statements of transactions are counted and told, as others are', async (t) => {
  const multi = await clusters.multi(t, both());
  const told = /** @type {any[]} */ ([]);
  multi.on('queryExecuted', (/** @type {any} */ event) => told.push(event));
  multi.on('queryError', (/** @type {any} */ event) => told.push(event));
  await multi.withTransaction(['users'], (/** @type {any} */ tx) => tx.query('SELECT 1'));
  await failureOf(multi.withTransaction(['users'], (/** @type {any} */ tx) => tx.query('SELECT 1/0')));
  assert.deepEqual(
    told.map((event) => [event.clusterId, event.rowCount, event.error?.code]),
    [
      ['users', 1, undefined],
      ['users', undefined, '22012'],
    ],
  );
  const { queries, errors } = multi.getMetrics().clusters.users;
  assert.deepEqual([queries, errors], [2, 1]);
});

test('a reload of the first cluster, and its removal, end although invalidations are broadcast on it', async (t) => {
  const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
  const multi = new MultiClusterPostgres({ cache: { broadcast: true }, enableTransactions: false });
  t.after(() => multi.close({ timeoutMs: 100 }));
  await multi.initialize(both());
  const get = () => multi.query('SELECT 1', [], { schema: 'orders', cache: true });
  await get();
  assert.equal((await get()).cached, true);
  for (const change of [() => multi.reload(both({ connectionPool: { max: 4 } })), () => multi.removeCluster('users')]) {
    const changing = change();
    await until('it has changed', async () => !(await isPending(changing)));
    await until('there is a hit again', async () => (await get()).cached);
  }
});

/** A server that takes connections and says nothing. @param {import('node:test').TestContext} t */
async function silentServer(t) {
  const sockets = new Set();
  const server = require('node:net').createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { address: `127.0.0.1:${port}`, connections: () => sockets.size };
}
