'use strict';

// The cache of MultiClusterPostgres: which calls use it, what they get, and what takes entries out of it.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, range, test } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ users: { nodes: 1 }, orders: { nodes: 2 } });
before(async () => {
  await clusters.started;
  for (const name of ['users', 'orders']) {
    await clusters.get(name).sql('CREATE TABLE items (id int PRIMARY KEY, price int8, seen timestamptz DEFAULT now())');
    await clusters.get(name).sql('INSERT INTO items SELECT n, n * 10 FROM generate_series(1, 20) AS n');
    await clusters.get(name).sql('CREATE SEQUENCE runs');
  }
});

/** @param {Record<string, unknown>} [orders] */
const both = (orders) =>
  clusters.configuration({ users: { schemas: ['users', 'more'] }, orders: { schemas: ['orders'], ...orders } });

/** @param {string} name */
const priceTo = (name, /** @type {number} */ price) =>
  clusters.get(name).sql('UPDATE items SET price = $1 WHERE id = 1', [price]);

const PRICE = 'SELECT id, price FROM items WHERE id = $1';

test('cache: a hit is what the database has said, marked, and the own copy of each caller', async (t) => {
  const multi = await clusters.multi(t, both());
  const ask = (/** @type {object} */ options = {}) =>
    multi.query('SELECT * FROM items WHERE id = $1', [2], { schema: 'users', cache: true, ...options });
  const first = await ask();
  const second = await ask();
  assert.deepEqual([first.cached, second.cached], [false, true]);
  assert.deepEqual([...second.rows], [...first.rows]);
  assert.deepEqual(
    [second.fields, second.command, second.rowCount, second.node],
    [first.fields, first.command, first.rowCount, first.node],
  );
  assert.equal(second.rows[0].seen instanceof Date, first.rows[0].seen instanceof Date);
  second.rows[0].price = 'changed';
  second.rows.push('more');
  assert.deepEqual([...(await ask()).rows], [...first.rows]);
  assert.equal((await ask({ rowMode: 'array' })).cached, false, 'rows of another form are another entry');
});

test('cache: only what asks for it is cached, and clusters, schemas, statements and parameters are kept apart', async (t) => {
  const multi = await clusters.multi(t, both());
  const run = async (/** @type {string} */ schema, /** @type {any} */ id, /** @type {boolean} */ cache) =>
    (await multi.query(PRICE, [id], { schema, cache })).cached;
  assert.deepEqual(
    [await run('users', 1, false), await run('users', 1, true), await run('users', 1, false)],
    [false, false, false],
  );
  assert.deepEqual(
    [await run('users', 1, true), await run('more', 1, true), await run('orders', 1, true)],
    [true, false, false],
  );
  assert.deepEqual(
    [await run('users', 2, true), await run('users', '1', true), await run('users', 1n, true)],
    [false, false, false],
  );
});

test('cache: a statement that writes is refused by the server, not run and not cached', async (t) => {
  const multi = await clusters.multi(t, both());
  const run = (/** @type {string} */ sql, /** @type {object} */ options = {}) =>
    multi.query(sql, [], { schema: 'users', cache: true, ...options });
  for (const _ of range(2)) {
    const error = await failureOf(run("SELECT nextval('runs')"));
    assert.deepEqual(
      [error.code, error.message, error.outcome],
      ['ERR_INVALID_PARAM', 'cache: the statement writes', 'not-applied'],
    );
  }
  assert.match((await failureOf(run('DELETE FROM items RETURNING id'))).message, /^cache: the statement writes/);
  assert.match((await failureOf(run('DELETE FROM items', { operation: 'write' }))).message, /^cache: only a read/);
  assert.match((await failureOf(run('SELECT 1', { orderBy: () => 0 }))).message, /^orderBy does not go with cache/);
  assert.equal((await run('SELECT count(*)::int4 AS n FROM items')).rows[0].n, 20);
  assert.equal((await clusters.users.sql('SELECT is_called FROM runs'))[0].is_called, false);
});

test('cache: entries are taken out by tag, schema, cluster, key and pattern, and nothing else is', async (t) => {
  const multi = await clusters.multi(t, both());
  const load = async () => {
    const calls = [
      multi.query(PRICE, [1], { schema: 'users', cache: true, tags: ['item', 'item:1'], cacheKey: 'price:1' }),
      multi.query(PRICE, [2], { schema: 'users', cache: true, tags: ['item'], cacheKey: 'price:2' }),
      multi.query(PRICE, [1], { schema: 'more', cache: true }),
      multi.query(PRICE, [1], { schema: 'orders', cache: true, tags: ['item:1'] }),
    ];
    return (await Promise.all(calls)).map(({ cached }) => cached);
  };
  for (const [selector, removed, after] of /** @type {[object, number, boolean[]][]} */ ([
    [{ tags: ['item:1'] }, 2, [false, true, true, false]],
    [{ tags: ['item'] }, 2, [false, false, true, true]],
    [{ schema: 'more' }, 1, [true, true, false, true]],
    [{ cluster: 'users' }, 3, [false, false, false, true]],
    [{ key: 'price:2' }, 1, [true, false, true, true]],
    [{ pattern: 'price:*' }, 2, [false, false, true, true]],
    [{ tags: ['nothing'] }, 0, [true, true, true, true]],
  ])) {
    await load();
    assert.equal(await multi.invalidateCache(selector), removed, JSON.stringify(selector));
    assert.deepEqual(await load(), after, JSON.stringify(selector));
  }
  for (const wrong of [undefined, {}, { tag: 'x' }, { tags: 'x' }, { key: 'a', schema: 'b' }]) {
    assert.equal((await failureOf(multi.invalidateCache(wrong))).code, 'ERR_INVALID_PARAM');
  }
});

test('cache: after an invalidation nobody gets what was before it, although standbys are behind', async (t) => {
  const multi = await clusters.multi(t, both({ readPreference: 'replica', reads: { waitMs: 100 } }));
  const standby = /** @type {any} */ (clusters.orders.cluster.standbys()[0]);
  const price = async (/** @type {object} */ options = {}) =>
    (await multi.query(PRICE, [1], { schema: 'orders', cache: true, tags: ['prices'], ...options })).rows[0].price;
  const before = await price();
  await standby.sql('SELECT pg_wal_replay_pause()');
  t.after(() => standby.sql('SELECT pg_wal_replay_resume()'));
  await priceTo('orders', 4_711);
  assert.equal(await price(), before, 'the cache is not told of writes');
  await multi.invalidateCache({ tags: ['prices'] });
  assert.equal(Number(await price()), 4_711);
  assert.equal(Number(await price()), 4_711);
  await multi.invalidateCache({ tags: ['prices'] });
  assert.equal(
    await price({ consistencyLevel: 'eventual' }),
    before,
    "who asks for 'eventual' takes what a standby has",
  );
});

test('cache: who misses at the same time gets one statement, and events and metrics count it', async (t) => {
  const multi = await clusters.multi(t, both());
  /** @type {any[]} */
  const events = [];
  for (const name of ['cacheHit', 'cacheMiss', 'queryExecuted'])
    multi.on(name, (/** @type {any} */ event) => events.push([name, event]));
  const results = await Promise.all(
    range(100).map(() =>
      multi.query('SELECT pg_sleep(0.1), id FROM items WHERE id = 3', [], {
        schema: 'users',
        cache: true,
        cacheKey: 'three',
      }),
    ),
  );
  assert.equal(results.filter(({ cached }) => !cached).length, 1);
  const count = (/** @type {string} */ name) => events.filter(([event]) => event === name).length;
  assert.deepEqual([count('queryExecuted'), count('cacheMiss'), count('cacheHit')], [1, 1, 99]);
  assert.deepEqual(events.find(([name]) => name === 'cacheHit')[1], { key: 'three', schema: 'users' });
  const { cache, totalQueries } = multi.getMetrics();
  assert.deepEqual([cache.hits, cache.misses, cache.hitRate, cache.entries, totalQueries], [99, 1, 0.99, 1, 1]);
  assert.ok(cache.bytes > 0);
});

test('cache: options of a cache without cache: true are refused, and so is a configuration that is none', async (t) => {
  const multi = await clusters.multi(t, both());
  for (const options of [{ cacheTtl: 5 }, { cacheKey: 'k' }, { tags: ['t'] }]) {
    const error = await failureOf(multi.query('SELECT 1', [], { schema: 'users', ...options }));
    assert.match(error.message, /needs cache: true$/);
  }
  for (const cache of [{ maxSize: 0 }, { size: 5 }, { provider: 'disk' }, { provider: { redis: {} } }, { ttl: '5s' }]) {
    const error = await failureOf(clusters.multi(t, both(), { cache }));
    assert.equal(error.code, 'ERR_INVALID_OPTION');
    assert.match(error.message, /cache/);
  }
});
