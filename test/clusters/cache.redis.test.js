'use strict';

// The cache in Redis, with each client: entries and tags are shared by processes, nothing fails while Redis is away, and nothing is stale
// after an invalidation, whatever becomes of Redis.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { failureOf, range, test, until, useCluster } = require('../support/helpers.js');
const { useRedis } = require('../support/redis.js');
const { cacheOn } = require('./cache-support.js');

const db = useCluster({ nodes: 1 });
const single = useRedis();
const sharded = useRedis(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {'ioredis' | 'ioredis cluster' | 'node-redis' | 'node-redis cluster'} Kind */

/** @type {Kind[]} */
const KINDS = ['ioredis', 'node-redis', 'ioredis cluster', 'node-redis cluster'];

/** The server that a kind of client talks to, empty. @param {Kind} kind */
async function serverFor(kind) {
  if (!kind.endsWith('cluster')) {
    single.cli('FLUSHALL');
    return single;
  }
  if (!sharded.cli('CLUSTER', 'INFO').includes('cluster_state:ok')) {
    sharded.cli('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until('the cluster is ready', () => sharded.cli('CLUSTER', 'INFO').includes('cluster_state:ok'));
  }
  sharded.cli('FLUSHALL');
  return sharded;
}

/**
 * A cache in Redis, as one of several processes would have it.
 * @param {TestContext} t
 * @param {Kind} kind
 * @param {Record<string, unknown>} [provider]
 * @param {Record<string, unknown>} [options]
 */
async function cacheIn(t, kind, provider = {}, options = {}) {
  const server = kind.endsWith('cluster') ? sharded : single;
  const client = await server.client(t, kind);
  const one = cacheOn(t, db.pool(t), { ...options, provider: { redis: client, ...provider } });
  await one.cache.start();
  return Object.assign(one, { client });
}

/** A call whose result is in Redis when it has resolved: a call does not wait for that. @param {any} one @param {any[]} args */
async function stored(one, ...args) {
  const first = await one.ask(...args);
  assert.equal((await one.ask(...args)).cached, true);
  return first;
}

/** Waits until a cache serves from Redis. @param {any} one */
const untilItServes = (one) =>
  until('the cache uses Redis again', async () => {
    await one.ask('SELECT 0 AS probe');
    return (await one.ask('SELECT 0 AS probe')).cached;
  });

const VALUES = `SELECT 1::int8 AS big, '\\xdead'::bytea AS bytes, '{"a": [1]}'::jsonb AS json, NULL AS nothing, '-0'::float8 AS zero, 'é' AS "__proto__"`;

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

  test(`cache: ${kind}: an invalidation in another process while the query runs prevents that its result is stored`, async (t) => {
    await serverFor(kind);
    const [a, b] = [await cacheIn(t, kind), await cacheIn(t, kind)];
    const call = { tags: ['x'], cacheKey: 'user:1' };
    for (const selector of [
      { tags: ['x'] },
      { schema: 'public' },
      { cluster: 'a' },
      { key: 'user:1' },
      { pattern: 'u*' },
    ]) {
      const before = a.statements;
      const first = a.ask('SELECT pg_sleep(0.15)', [], call);
      await until('it runs', () => a.statements === before + 1);
      await b.cache.invalidate(selector);
      // Who asks now knows of the invalidation, and must not wait for the statement from before.
      const second = a.ask('SELECT pg_sleep(0.15)', [], call);
      assert.equal((await first).cached, false);
      assert.deepEqual([(await second).cached, a.statements], [false, before + 2], JSON.stringify(selector));
      assert.equal((await a.ask('SELECT pg_sleep(0.15)', [], call)).cached, true, 'the second result is stored');
      assert.equal((await b.ask('SELECT pg_sleep(0.15)', [], call)).cached, true, 'and shared');
      await b.cache.invalidate({ cluster: 'a' });
    }
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

  test(`cache: ${kind}: a Redis that comes back with an old snapshot serves nothing that was invalidated since`, async (t) => {
    await serverFor(kind);
    const one = await cacheIn(t, kind);
    await stored(one, 'SELECT 1', [], { tags: ['x'] });
    single.cli('SAVE');
    assert.equal(await one.cache.invalidate({ tags: ['x'] }), 1);
    await single.kill();
    await single.run();
    assert.equal(
      single.keys().filter((key) => key.startsWith('{hyperiondb}:v:')).length,
      1,
      'the snapshot has the entry',
    );
    await untilItServes(one);
    assert.equal((await one.ask('SELECT 1', [], { tags: ['x'] })).cached, false);
    assert.equal((await one.ask('SELECT 1', [], { tags: ['x'] })).cached, true);
  });

  test(`cache: ${kind}: a query that began before Redis was restarted with an old snapshot is not stored`, async (t) => {
    await serverFor(kind);
    const [one, other] = [await cacheIn(t, kind), await cacheIn(t, kind)];
    await one.ask('SELECT 0', [], { tags: ['x'] });
    const first = one.ask('SELECT pg_sleep(2)', [], { tags: ['x'] });
    await until('it runs', () => one.statements === 2);
    single.cli('SAVE');
    await other.cache.invalidate({ tags: ['x'] });
    await single.kill();
    await single.run();
    // Both know of Redis again before the query ends.
    await untilItServes(one);
    await untilItServes(other);
    await first;
    await sleep(100);
    assert.equal((await other.ask('SELECT pg_sleep(2)', [], { tags: ['x'] })).cached, false);
  });

  test(`cache: ${kind}: what could not be invalidated while Redis was away is invalidated before it is used again`, async (t) => {
    await serverFor(kind);
    const [one, other] = [await cacheIn(t, kind, { timeoutMs: 100 }), await cacheIn(t, kind, { timeoutMs: 100 })];
    const calls = [{ tags: ['x'] }, { cacheKey: 'user:1' }, { tags: ['z'] }];
    for (const call of calls) await stored(one, 'SELECT 1', [], call);
    // Held, Redis keeps its entries and its run_id.
    single.signal('SIGSTOP');
    t.after(() => single.signal('SIGCONT'));
    assert.equal(await one.cache.invalidate({ tags: ['x'] }), 0);
    assert.equal(await one.cache.invalidate({ pattern: 'user:*' }), 0);
    assert.equal((await one.ask('SELECT 1', [], { tags: ['x'] })).cached, false);
    single.signal('SIGCONT');
    for (const [index, call] of calls.entries()) {
      // Until it is used again every answer comes from the database.
      if (index === 0) await untilItServes(one);
      assert.equal((await one.ask('SELECT 1', [], call)).cached, index === 2, `call ${index}`);
      assert.equal((await other.ask('SELECT 1', [], call)).cached, true);
    }
  });

  test(`cache: ${kind}: of more invalidations than are remembered everything is invalidated`, async (t) => {
    await serverFor(kind);
    const one = await cacheIn(t, kind, { timeoutMs: 100 });
    await stored(one, 'SELECT 1', [], { tags: ['nobody names it'] });
    single.signal('SIGSTOP');
    t.after(() => single.signal('SIGCONT'));
    for (const n of range(1_001)) await one.cache.invalidate({ tags: [`t${n}`] });
    single.signal('SIGCONT');
    await untilItServes(one);
    assert.equal((await one.ask('SELECT 1', [], { tags: ['nobody names it'] })).cached, false);
  });

  test(`cache: ${kind}: killed and restarted under load, Redis makes no call fail and no answer stale after an invalidation`, async (t) => {
    await serverFor(kind);
    const pool = db.pool(t);
    await pool.exec(
      'DROP TABLE IF EXISTS counters; CREATE TABLE counters (id int PRIMARY KEY, n int); INSERT INTO counters SELECT i, 0 FROM generate_series(1, 5) i',
    );
    const [one, other] = [await cacheIn(t, kind, { timeoutMs: 100 }), await cacheIn(t, kind, { timeoutMs: 100 })];
    let [calls, failed, stale, isOver] = [0, 0, 0, false];
    /** Reads, writes, invalidates, and reads again: an answer from before the write is stale. @param {number} id @param {any} cache */
    const work = async (id, cache) => {
      const call = { tags: [`counter:${id}`] };
      while (!isOver) {
        try {
          calls += 3;
          await cache.ask('SELECT n FROM counters WHERE id = $1', [id], call);
          const [{ n }] = await pool.query('UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n', [id]);
          await cache.cache.invalidate(call);
          const answers = await Promise.all(
            range(3).map(() => cache.ask('SELECT n FROM counters WHERE id = $1', [id], call)),
          );
          stale += answers.filter(({ rows }) => rows[0].n < n).length;
        } catch {
          failed += 1;
        }
        await sleep(1);
      }
    };
    // Each counter has one writer, so that its own invalidation is the last; the readers of the other process only load.
    const workers = [work(1, one), work(2, one), work(3, other)];
    for (const _ of range(process.env.HYPERION_FULL ? 20 : 2)) {
      await sleep(150);
      single.cli('SAVE');
      await sleep(50);
      await single.kill();
      await sleep(100);
      await single.run();
      await untilItServes(one);
      await untilItServes(other);
    }
    isOver = true;
    await Promise.all(workers);
    t.diagnostic(`${calls} calls, ${failed} failed, ${stale} stale; ${one.cache.stats().hits} hits`);
    assert.deepEqual({ failed, stale }, { failed: 0, stale: 0 });
    assert.ok(one.cache.stats().hits > 0);
  });
}

test('cache: while Redis is away callers of one entry share statements that began after their calls', async (t) => {
  await serverFor('ioredis');
  const one = await cacheIn(t, 'ioredis', { timeoutMs: 50 });
  await single.kill();
  try {
    const ask = () => one.ask('SELECT pg_sleep(0.1)');
    await ask();
    const before = one.statements;
    const first = range(50).map(ask);
    await until('it runs', () => one.statements > before);
    await sleep(20);
    const second = range(50).map(ask);
    await Promise.all([...first, ...second]);
    // The 49 that came first began it with the one that runs it; the others had to wait for the next.
    assert.equal(one.statements - before, 3 - 1);
  } finally {
    await single.run();
  }
});

test('cache: a store that a client sends much later is refused by Redis', async (t) => {
  await serverFor('ioredis');
  const one = await cacheIn(t, 'ioredis', { timeoutMs: 50 });
  const first = one.ask('SELECT pg_sleep(0.1), 1 AS n');
  await until('it runs', () => one.statements === 1);
  single.signal('SIGSTOP');
  t.after(() => single.signal('SIGCONT'));
  await first;
  await sleep(300);
  single.signal('SIGCONT');
  await until('Redis has run what was sent', () => single.cli('PING').trim() === 'PONG');
  await sleep(50);
  assert.deepEqual(
    single.keys().filter((key) => key.includes(':v:')),
    [],
  );
});

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
