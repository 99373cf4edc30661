'use strict';

// The cache in Redis, with each client: entries and tags are shared by processes, and nothing that was invalidated is served.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { failureOf, range, test, until, useCluster } = require('../support/helpers.js');
const { useRedis } = require('../support/redis.js');
const { cacheInRedis, stored } = require('./cache-redis.js');
const { cacheOn } = require('./cache-support.js');

const db = useCluster({ nodes: 1 });
const single = useRedis();
const sharded = useRedis({ sharded: true });

/** @typedef {import('./cache-redis.js').Kind} Kind */

/** @type {Kind[]} */
const KINDS = ['ioredis', 'node-redis', 'ioredis cluster', 'node-redis cluster'];

/** A cluster is ready some seconds after it was given its slots. */
const hasSlots = () => /cluster_slots_assigned:[1-9]/.test(sharded.cli('CLUSTER', 'INFO'));

/** The server that a kind of client talks to, empty. @param {Kind} kind */
async function serverFor(kind) {
  if (!hasSlots()) sharded.cli('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  if (!kind.endsWith('cluster')) {
    single.cli('FLUSHALL');
    return single;
  }
  await until('the cluster is ready', () => sharded.cli('CLUSTER', 'INFO').includes('cluster_state:ok'));
  sharded.cli('FLUSHALL');
  return sharded;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {Kind} kind
 * @param {Record<string, unknown>} [provider]
 * @param {Record<string, unknown>} [options]
 */
const cacheIn = (t, kind, provider, options) => {
  const server = kind.endsWith('cluster') ? sharded : single;
  // Of a busy machine nobody may conclude that Redis is away.
  return cacheInRedis(t, db.pool(t), server, kind, { timeoutMs: 10_000, ...provider }, options);
};

const VALUES = `SELECT 1::int8 AS big, '\\xdead'::bytea AS bytes, '{"a": [1]}'::jsonb AS json, NULL AS nothing, '-0'::float8 AS zero, 'é' AS "__proto__"`;

/** What invalidates an entry with the tag x and the name user:1. */
const SELECTORS = [{ tags: ['x'] }, { schema: 'public' }, { cluster: 'a' }, { key: 'user:1' }, { pattern: 'u*' }];

for (const kind of KINDS) {
  test(`cache: ${kind}: an entry of one process is a hit of another, exactly as the query returned it`, async (t) => {
    await serverFor(kind);
    const [a, b] = [
      await cacheIn(t, kind),
      await cacheIn(t, kind, {}, { enableCompression: true, compressionThreshold: 1 }),
    ];
    for (const [writer, reader, how] of /** @type {[any, any, any][]} */ ([
      [a, b, {}],
      [b, a, { rowMode: 'array' }],
    ])) {
      const { cached: first, ...written } = await stored(writer, VALUES, [], how);
      const { cached: second, ...read } = await reader.ask(VALUES, [], how);
      assert.deepEqual([first, second], [false, true]);
      assert.deepStrictEqual(read, written);
      assert.ok(Object.isFrozen(read.fields));
      read.rows[0].bytes?.fill(0);
      assert.deepStrictEqual((await reader.ask(VALUES, [], how)).rows, written.rows);
    }
  });

  test(`cache: ${kind}: an invalidation in one process removes what others have stored`, async (t) => {
    await serverFor(kind);
    const [a, b] = [await cacheIn(t, kind), await cacheIn(t, kind)];
    const calls = [
      { clusterId: 'a', schema: 'shop', tags: ['x', 'y'], cacheKey: 'user:1' },
      { clusterId: 'b', schema: 'shop', tags: ['y'], cacheKey: 'user:2' },
      { clusterId: 'b', schema: 'other', tags: ['x'], cacheKey: 'é' },
      { clusterId: 'c' },
    ];
    const selections = /** @type {[any, number[]][]} */ ([
      [{ schema: 'shop' }, [0, 1]],
      [{ cluster: 'b' }, [1, 2]],
      [{ tags: ['x'] }, [0, 2]],
      [{ tags: ['x', 'y'] }, [0, 1, 2]],
      [{ key: 'user:1' }, [0]],
      [{ pattern: 'user:?' }, [0, 1]],
      [{ pattern: '?' }, [2]],
      [{ pattern: 'nobody*' }, []],
    ]);
    for (const [selector, removed] of selections) {
      for (const call of calls) {
        await a.ask('SELECT 1', [], call);
        await a.ask('SELECT 1', [], call);
      }
      assert.equal(a.cache.stats().entries, 4);
      assert.equal(await b.cache.invalidate(selector), removed.length, JSON.stringify(selector));
      if (removed.length > 0) assert.equal(b.cache.stats().entries, 4 - removed.length);
      for (const [index, call] of calls.entries()) {
        const { cached } = await b.ask('SELECT 1', [], call);
        assert.equal(cached, !removed.includes(index), `${JSON.stringify(selector)}: call ${index}`);
      }
    }
  });

  test(`cache: ${kind}: 1,000 callers of one missing entry run one statement`, async (t) => {
    await serverFor(kind);
    const one = await cacheIn(t, kind);
    const results = await Promise.all(range(1_000).map(() => one.ask('SELECT pg_sleep(0.05), $1::int4 AS n', [7])));
    assert.equal(one.statements, 1);
    assert.equal(new Set(results.map(({ rows }) => rows[0])).size, 1_000);
  });

  test(`cache: ${kind}: every key has the prefix and expires, and foreign keys are left alone`, async (t) => {
    const server = await serverFor(kind);
    server.cli('SET', 'mine', '1');
    const one = await cacheIn(t, kind, { prefix: 'app' });
    await stored(one, 'SELECT 1', [], { tags: ['x'], cacheKey: 'user:1' });
    await stored(one, 'SELECT 2');
    const keys = server.keys().filter((key) => key !== 'mine');
    assert.ok(keys.length > 8);
    for (const key of keys) {
      assert.match(key, /^\{app\}:/);
      assert.ok(Number(server.cli('PTTL', key)) > 0, key);
    }
    await one.cache.invalidate({ pattern: '*' });
    await one.cache.invalidate({ cluster: 'a' });
    assert.equal(server.cli('GET', 'mine').trim(), '1');
    assert.deepEqual(
      server.keys().filter((key) => key.startsWith('{app}:v:')),
      [],
    );
  });
}

for (const kind of /** @type {Kind[]} */ (['ioredis', 'node-redis'])) {
  test(`cache: ${kind}: an invalidation in another process while the query runs prevents that its result is stored`, async (t) => {
    await serverFor(kind);
    const [a, b] = [await cacheIn(t, kind), await cacheIn(t, kind)];
    const slow = 'SELECT pg_sleep(0.1)';
    for (const selector of SELECTORS) {
      // Of the name for the pattern Redis has nothing yet.
      const call = { tags: ['x'], cacheKey: 'pattern' in selector ? 'unknown' : 'user:1' };
      const before = a.statements;
      const first = a.ask(slow, [], call);
      await until('it runs', () => a.statements === before + 1);
      await b.cache.invalidate(selector);
      // There are new epochs before the result of the first is stored.
      await stored(b, 'SELECT 1', [], call);
      assert.equal((await first).cached, false);
      // Its store comes before what the same client is asked next.
      await stored(a, 'SELECT 2', [], call);
      assert.equal((await b.ask(slow, [], call)).cached, false, JSON.stringify(selector));
      await b.cache.invalidate({ cluster: 'a' });
    }
  });

  test(`cache: ${kind}: who knows of an invalidation in another process does not wait for a query from before`, async (t) => {
    await serverFor(kind);
    const [a, b] = [await cacheIn(t, kind), await cacheIn(t, kind)];
    const slow = 'SELECT pg_sleep(0.1)';
    for (const selector of SELECTORS) {
      // Of the name for the pattern Redis has nothing yet.
      const call = { tags: ['x'], cacheKey: 'pattern' in selector ? 'unknown' : 'user:1' };
      const before = a.statements;
      const first = a.ask(slow, [], call);
      await until('it runs', () => a.statements === before + 1);
      await b.cache.invalidate(selector);
      const second = a.ask(slow, [], call);
      assert.deepEqual([(await first).cached, (await second).cached], [false, false], JSON.stringify(selector));
      assert.equal(a.statements, before + 2);
      assert.equal((await a.ask(slow, [], call)).cached, true, 'the second result is stored');
      assert.equal((await b.ask(slow, [], call)).cached, true, 'and shared');
      await b.cache.invalidate({ cluster: 'a' });
    }
  });

  test(`cache: ${kind}: other bytes under a key are a miss, and no error`, async (t) => {
    await serverFor(kind);
    const one = await cacheIn(t, kind);
    const ask = () => one.ask('SELECT 1', [], { cacheKey: 'mine' });
    const garble = /** @type {((key: string) => unknown)[]} */ ([
      (key) => single.cli('SET', key, 'garbage', 'PX', '60000'),
      (key) => single.cli('DEL', key),
      (key) => single.cli('SETRANGE', key, '250', 'XX'),
      (key) => single.cli('APPEND', key, 'XX'),
      (key) => single.cli('SETRANGE', key, '20', 'XX'),
      (key) => [single.cli('DEL', key), single.cli('LPUSH', key, 'a')],
    ]);
    for (const change of garble) {
      await ask();
      assert.equal((await ask()).cached, true);
      for (const key of single.keys().filter((one) => one.startsWith('{hyperiondb}:v:'))) change(key);
      assert.equal((await ask()).cached, false, String(change));
      await one.cache.invalidate({ cluster: 'a' });
    }
    for (const part of ['e:*', 'e:k:mine', 'names', 'patterns', 'l:*', 'l:c:a']) {
      for (const type of ['SET', 'LPUSH', 'DEL']) {
        single.cli('DEL', `{hyperiondb}:${part}`);
        if (type !== 'DEL') single.cli(type, `{hyperiondb}:${part}`, 'garbage');
        const before = one.statements;
        await ask();
        await until('it is served again', async () => (await ask()).cached);
        assert.ok(one.statements - before <= 3, `${part} ${type}`);
      }
    }
  });

  test(`cache: ${kind}: an epoch that Redis has evicted makes a miss`, async (t) => {
    await serverFor(kind);
    const one = await cacheIn(t, kind);
    const call = { tags: ['x'], cacheKey: 'mine' };
    for (const key of ['e:*', 'e:c:a', 'e:s:public', 'e:t:x', 'e:k:mine', 'names']) {
      await one.ask('SELECT 1', [], call);
      assert.equal((await one.ask('SELECT 1', [], call)).cached, true);
      assert.equal(single.cli('DEL', `{hyperiondb}:${key}`).trim(), '1', key);
      assert.equal((await one.ask('SELECT 1', [], call)).cached, false, key);
    }
  });
}

test('cache: entries in Redis expire by their ttl, and a call may ask for a younger one', async (t) => {
  await serverFor('ioredis');
  const one = await cacheIn(t, 'ioredis', {}, { ttl: 60_000 });
  await stored(one, 'SELECT 1', [], { ttlMs: 100 });
  await stored(one, 'SELECT 2');
  await sleep(120);
  assert.equal((await one.ask('SELECT 1', [], { ttlMs: 100 })).cached, false);
  assert.equal((await one.ask('SELECT 2')).cached, true);
  assert.equal((await one.ask('SELECT 2', [], { ttlMs: 100 })).cached, false);
});

test('cache: a user of Redis who may not run scripts is an OptionError at the start', async (t) => {
  await serverFor('ioredis');
  single.cli('ACL', 'SETUSER', 'weak', 'on', 'nopass', '~*', '+@all', '-info');
  t.after(() => single.cli('ACL', 'DELUSER', 'weak'));
  const { Redis } = require('ioredis');
  const client = new Redis({ port: single.port, username: 'weak', password: 'x' });
  t.after(() => client.disconnect());
  const one = cacheOn(t, db.pool(t), { provider: { redis: client } });
  const error = await failureOf(one.cache.start());
  assert.equal(error.code, 'ERR_INVALID_OPTION');
  assert.match(error.message, /^cache\.provider\.redis: /);
});

test('cache: a client of node-redis that was never connected is an OptionError at the start', async (t) => {
  const { createClient } = require('redis');
  const one = cacheOn(t, db.pool(t), { provider: { redis: createClient({ socket: { port: single.port } }) } });
  assert.match((await failureOf(one.cache.start())).message, /connect\(\)/);
});
