'use strict';

// Invalidations reach the memory of other processes by NOTIFY, and a process that may have missed one empties its cache.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { failureOf, named, range, test, until, useCluster } = require('../support/helpers.js');
const { CLI } = require('../support/command.js');
const { cacheOn } = require('./cache-support.js');

const db = useCluster({ nodes: 1 });

/** @typedef {import('node:test').TestContext} TestContext */

/** A cache that hears of invalidations, as one of several processes would have it. @param {TestContext} t @param {Record<string, unknown>} [options] of its pool */
async function listener(t, options) {
  const pool = db.pool(t, options);
  const one = cacheOn(t, pool, { broadcast: true });
  await one.cache.start();
  return Object.assign(one, { pool });
}

/** Whether a call is in a cache, which a look does not change. @param {any} one @param {any} call */
const isCached = async (one, call) => (await one.ask('SELECT 1', [], call)).cached;

test('cache: an invalidation removes entries of another process, each by its selector', async (t) => {
  const [a, b] = [await listener(t), await listener(t)];
  const call = { clusterId: 'a', schema: 's', tags: ['x'], cacheKey: 'user:1' };
  const other = { clusterId: 'b', schema: 'o', tags: ['y'], cacheKey: 'order:1' };
  for (const selector of [
    { schema: 's' },
    { cluster: 'a' },
    { tags: ['x', 'z'] },
    { key: 'user:1' },
    { pattern: 'user:*' },
  ]) {
    for (const one of [call, other]) await b.ask('SELECT 1', [], one);
    assert.equal(b.cache.stats().entries, 2);
    assert.equal(await a.cache.invalidate(selector), 0, 'the number is that of the own entries');
    await until('the other process has removed it', () => b.cache.stats().entries === 1);
    assert.deepEqual([await isCached(b, call), await isCached(b, other)], [false, true], JSON.stringify(selector));
  }
});

test('cache: a process does not hear its own invalidations', async (t) => {
  const [a, b] = [await listener(t), await listener(t)];
  await a.ask('SELECT 1', [], { tags: ['x'] });
  await a.cache.invalidate({ tags: ['x'] });
  // Stored after the invalidation; the notification that comes behind it is the own one.
  await a.ask('SELECT 1', [], { tags: ['x'] });
  await b.ask('SELECT 1', [], { tags: ['last'] });
  await a.cache.invalidate({ tags: ['last'] });
  await until('the other has heard of the last', () => b.cache.stats().entries === 0);
  assert.equal(await isCached(a, { tags: ['x'] }), true);
});

test('cache: an invalidation in another process while the query runs prevents that its result is kept in memory', async (t) => {
  const [a, b] = [await listener(t), await listener(t)];
  const first = b.ask('SELECT pg_sleep(0.3)', [], { tags: ['x'] });
  await b.ask('SELECT 1', [], { tags: ['x', 'mark'] });
  await a.cache.invalidate({ tags: ['x'] });
  await until('it was heard', () => b.cache.stats().entries === 0);
  await first;
  assert.equal(b.cache.stats().entries, 0);
});

test('cache: an invalidation of more tags than a notification takes arrives whole', async (t) => {
  const [a, b] = [await listener(t), await listener(t)];
  const tags = range(100).map((n) => `${n}`.padEnd(500, 'x'));
  for (const tag of tags) await b.ask('SELECT 1', [], { tags: [tag] });
  await b.ask('SELECT 1', [], { tags: ['other'] });
  await a.cache.invalidate({ tags });
  await until('all are removed', () => b.cache.stats().entries <= 1);
  assert.equal(await isCached(b, { tags: ['other'] }), true);
});

test('cache: a tag that is too long for a notification invalidates everything in other processes', async (t) => {
  const [a, b] = [await listener(t), await listener(t)];
  for (const tag of ['a', 'é'.repeat(5_000)]) await b.ask('SELECT 1', [], { tags: [tag] });
  await a.cache.invalidate({ tags: ['é'.repeat(5_000)] });
  await until('all are removed', () => b.cache.stats().entries === 0);
});

test('cache: a notification that nobody here has sent invalidates everything', async (t) => {
  const one = await listener(t);
  for (const payload of ['', 'x', '{}', '{"asked":{"tags":[1]}}', '{"asked":{"unknown":"a"}}', 'null']) {
    await one.ask('SELECT 1');
    assert.equal(one.cache.stats().entries, 1);
    await one.pool.notify('hyperiondb_cache', payload);
    await until(`emptied by ${payload}`, () => one.cache.stats().entries === 0);
  }
});

test('cache: when the session that listens was lost the whole cache is emptied', async (t) => {
  const applicationName = named('cache');
  const one = await listener(t, { applicationName });
  /** @type {unknown[]} */
  const gaps = [];
  one.pool.on('gap', (/** @type {unknown} */ gap) => gaps.push(gap));
  await one.ask('SELECT 1');
  await db.sql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${applicationName}' AND query LIKE 'LISTEN%'`,
  );
  await until('the gap is told', () => gaps.length > 0);
  assert.equal(one.cache.stats().entries, 0);
  assert.equal(await isCached(one, {}), false);
  assert.equal(await isCached(one, {}), true, 'from then on it is used again');
});

test('cache: nothing is kept while nobody listens, and callers of one entry still share a statement', async (t) => {
  const one = cacheOn(t, db.pool(t), { broadcast: true });
  await one.ask('SELECT 1');
  assert.equal((await one.ask('SELECT 1')).cached, false);
  const before = one.statements;
  const results = await Promise.all(range(20).map(() => one.ask('SELECT pg_sleep(0.05), 1')));
  assert.equal(results.filter(({ cached }) => cached).length, 19);
  assert.equal(one.statements - before, 1);
});

test('cache: when the cluster of the notifications is replaced the cache listens on the new one', async (t) => {
  const [first, second] = [db.pool(t), db.pool(t)];
  let pool = first;
  const one = cacheOn(t, first, { broadcast: true }, () => pool);
  const other = await listener(t);
  await one.cache.start();
  const ask = (/** @type {any} */ call) => one.ask('SELECT 1', [], call);
  await ask({ tags: ['x'] });
  pool = second;
  assert.equal((await ask({ tags: ['x'] })).cached, false, 'what was kept is not served any more');
  await until('it keeps again', async () => (await ask({ tags: ['x'] })).cached);
  await other.cache.invalidate({ tags: ['x'] });
  await until('it was heard', () => one.cache.stats().entries === 0);
});

test('cache: an invalidation that could not be told to others rejects, and the own entries are removed', async (t) => {
  const pool = db.pool(t);
  const channel = db.pool(t);
  const one = cacheOn(t, pool, { broadcast: true }, () => channel);
  await one.cache.start();
  await one.ask('SELECT 1');
  await channel.end();
  assert.equal((await failureOf(one.cache.invalidate({ cluster: 'a' }))).code, 'ERR_POOL_CLOSED');
  assert.equal(one.cache.stats().entries, 0);
});

test('cache: two processes: what one writes and invalidates the other reads anew', async (t) => {
  const root = path.join(path.dirname(CLI), '..', '..');
  const program = `
    const { createPool } = require(${JSON.stringify(path.join(root, 'client.js'))});
    const { QueryCache } = require(${JSON.stringify(path.join(root, 'exports/clusters/cache/index.js'))});
    const { checkCache } = require(${JSON.stringify(path.join(root, 'exports/clusters/cache/rows.js'))});
    const pool = createPool(${JSON.stringify(db.options())});
    const cache = new QueryCache(checkCache({ broadcast: true }), { emit: () => {}, channelPool: () => pool });
    const call = { clusterId: 'a', identity: 'me', sql: 'SELECT n FROM shared', tags: ['shared'] };
    const ask = () => cache.fetch(call, async ({ params }) => {
      const rows = await pool.query(call.sql, params);
      const { rowCount, command, fields, node } = rows;
      return { rows, rowCount, command, fields, node };
    });
    cache.start().then(() => process.send('ready'));
    process.on('message', async () => { const { rows, cached } = await ask(); process.send({ n: rows[0].n, cached: cached === true }); });`;
  await db.sql('DROP TABLE IF EXISTS shared; CREATE TABLE shared (n int); INSERT INTO shared VALUES (0)');
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  /** @type {any[]} */
  const answers = [];
  child.on('message', (answer) => answers.push(answer));
  await until('the other process is ready', () => answers.length === 1);
  const ask = async () => {
    const count = answers.length;
    child.send('ask');
    await until('it answers', () => answers.length > count);
    return answers.at(-1);
  };
  const here = await listener(t);
  assert.deepEqual(
    [await ask(), await ask()],
    [
      { n: 0, cached: false },
      { n: 0, cached: true },
    ],
  );
  await here.pool.query('UPDATE shared SET n = 1');
  assert.deepEqual(await ask(), { n: 0, cached: true });
  await here.cache.invalidate({ tags: ['shared'] });
  await until('the other process reads anew', async () => (await ask()).n === 1);
});
