'use strict';

// What becomes of the cache when Redis is killed, held or away: no call fails, and nothing is stale after an invalidation.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { range, test, until, useCluster } = require('../support/helpers.js');
const { useRedis } = require('../support/redis.js');
const { cacheInRedis, stored, untilItServes } = require('./cache-redis.js');

const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_FULL ? 5 : 2));

const db = useCluster({ nodes: 1 });
const single = useRedis();

for (const kind of /** @type {import('./cache-redis.js').Kind[]} */ (['ioredis', 'node-redis'])) {
  test(`cache: ${kind}: a Redis that comes back with an old snapshot serves nothing that was invalidated since`, async (t) => {
    single.cli('FLUSHALL');
    const one = await cacheInRedis(t, db.pool(t), single, kind);
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
    single.cli('FLUSHALL');
    const [one, other] = [
      await cacheInRedis(t, db.pool(t), single, kind),
      await cacheInRedis(t, db.pool(t), single, kind),
    ];
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
    single.cli('FLUSHALL');
    const [one, other] = [
      await cacheInRedis(t, db.pool(t), single, kind, { timeoutMs: 100 }),
      await cacheInRedis(t, db.pool(t), single, kind, { timeoutMs: 100 }),
    ];
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
    single.cli('FLUSHALL');
    const one = await cacheInRedis(t, db.pool(t), single, kind, { timeoutMs: 100 });
    await stored(one, 'SELECT 1', [], { tags: ['nobody names it'] });
    single.signal('SIGSTOP');
    t.after(() => single.signal('SIGCONT'));
    for (const n of range(1_001)) await one.cache.invalidate({ tags: [`t${n}`] });
    single.signal('SIGCONT');
    await untilItServes(one);
    assert.equal((await one.ask('SELECT 1', [], { tags: ['nobody names it'] })).cached, false);
  });

  test(`cache: ${kind}: killed and restarted under load, Redis makes no call fail and no answer stale after an invalidation`, async (t) => {
    single.cli('FLUSHALL');
    const pool = db.pool(t);
    await pool.exec(
      'DROP TABLE IF EXISTS counters; CREATE TABLE counters (id int PRIMARY KEY, n int); INSERT INTO counters SELECT i, 0 FROM generate_series(1, 5) i',
    );
    const [one, other] = [
      await cacheInRedis(t, db.pool(t), single, kind, { timeoutMs: 100 }),
      await cacheInRedis(t, db.pool(t), single, kind, { timeoutMs: 100 }),
    ];
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
    for (const _ of range(ROUNDS)) {
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
  single.cli('FLUSHALL');
  const one = await cacheInRedis(t, db.pool(t), single, 'ioredis', { timeoutMs: 50 });
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
  single.cli('FLUSHALL');
  const one = await cacheInRedis(t, db.pool(t), single, 'ioredis', { timeoutMs: 50 });
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
