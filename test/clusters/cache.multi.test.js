'use strict';

// Several MultiClusterPostgres with a cache, as several processes would have them: by NOTIFY, in Redis, and with a standby that is behind.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { range, test, until } = require('../support/helpers.js');
const { useRedis } = require('../support/redis.js');
const { useClusters } = require('./support.js');

const clusters = useClusters({ a: { nodes: 2, synchronous: false } });
const redis = useRedis();
before(async () => {
  await clusters.started;
  await clusters.a.sql('CREATE TABLE items (id int PRIMARY KEY, price int)');
  await clusters.a.sql('INSERT INTO items SELECT n, 0 FROM generate_series(1, 5) AS n');
});

const PRICE = 'SELECT price FROM items WHERE id = $1';

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} cache @param {Record<string, unknown>} [options] */
const open = (t, cache, options) =>
  clusters.multi(t, clusters.configuration({ a: { schemas: ['shop'], ...options } }), { cache });

/** @param {any} multi @param {number} id @param {Record<string, unknown>} [options] */
async function priceOf(multi, id, options) {
  const { rows, cached } = await multi.query(PRICE, [id], {
    schema: 'shop',
    cache: true,
    tags: [`item:${id}`],
    ...options,
  });
  return [rows[0].price, cached];
}

/** @param {any} multi @param {number} id @param {number} price */
async function setPrice(multi, id, price) {
  await multi.query('UPDATE items SET price = $2 WHERE id = $1', [id, price], { schema: 'shop' });
  return multi.invalidateCache({ tags: [`item:${id}`] });
}

test('cache: several processes with broadcast: what one writes and invalidates the others read anew', async (t) => {
  const [one, other] = [await open(t, { broadcast: true }), await open(t, { broadcast: true })];
  assert.deepEqual(
    [await priceOf(other, 1), await priceOf(other, 1)],
    [
      [0, false],
      [0, true],
    ],
  );
  assert.equal(await setPrice(one, 1, 5), 0);
  await until('the other reads anew', async () => (await priceOf(other, 1))[0] === 5);
  assert.deepEqual(await priceOf(other, 1), [5, true]);
});

for (const kind of /** @type {const} */ (['ioredis', 'node-redis'])) {
  test(`cache: several processes with Redis (${kind}) share entries, and an invalidation of one holds for all`, async (t) => {
    redis.cli('FLUSHALL');
    const [one, other] = await Promise.all(
      range(2).map(async () => open(t, { provider: { redis: await redis.client(t, kind), timeoutMs: 10_000 } })),
    );
    await setPrice(one, 2, 0);
    assert.deepEqual(
      [await priceOf(one, 2), await priceOf(one, 2), await priceOf(other, 2)],
      [
        [0, false],
        [0, true],
        [0, true],
      ],
    );
    assert.equal(await setPrice(other, 2, 7), 1);
    assert.deepEqual(
      [await priceOf(one, 2), await priceOf(one, 2), await priceOf(other, 2)],
      [
        [7, false],
        [7, true],
        [7, true],
      ],
    );
    const { cache } = other.getMetrics();
    assert.deepEqual([cache.hits, cache.misses, cache.bytes], [2, 0, null]);
  });
}

test('cache: a row that a standby had before an invalidation is not served to who asks for more than eventual', async (t) => {
  const [standby] = clusters.a.cluster.standbys();
  const multi = await open(t, {}, { readPreference: 'replica', consistencyLevel: 'eventual' });
  await standby.sql('SELECT pg_wal_replay_pause()');
  t.after(() => standby.sql('SELECT pg_wal_replay_resume()'));
  await until(
    'the standby is held',
    async () => (await standby.sql('SELECT pg_get_wal_replay_pause_state() AS s'))[0].s === 'paused',
  );
  await setPrice(multi, 3, 9);
  assert.deepEqual(await priceOf(multi, 3), [0, false], 'who asks for eventual has taken that');
  assert.deepEqual(await priceOf(multi, 3, { consistencyLevel: 'strong' }), [9, false]);
  assert.deepEqual(await priceOf(multi, 3, { consistencyLevel: 'session' }), [9, true]);
});
