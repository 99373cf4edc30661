'use strict';

// stats(): each kind of work, one at a time, changes the counts by exactly what the program sees.

const assert = require('node:assert/strict');
const { assertCounts } = require('./counting.js');
const { endings, failureOf, range, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

let tables = 0;

/** A pool that has one connection to its server, and a new table with the ids 1 and 2. @param {import('node:test').TestContext} t */
async function withTable(t) {
  const pool = db.pool(t, { poolSize: 2 });
  const table = `counted_${++tables}`;
  await pool.query(`CREATE TABLE ${table} (id int PRIMARY KEY, note text)`);
  await pool.query(`INSERT INTO ${table} VALUES (1, 'a'), (2, 'b')`);
  return { pool, table };
}

/** @param {AsyncIterable<any>} stream @param {number} [most] leaves after so many */
async function read(stream, most = Infinity) {
  let count = 0;
  for await (const _ of stream) if (++count >= most) break;
  return count;
}

/** @type {[title: string, work: (pool: any, table: string) => Promise<unknown>, expected: Record<string, any>, code?: string][]} */
const CASES = [
  ['a query with three rows', (pool) => pool.query('SELECT generate_series(1, 3)'), { queries: 1, rows: 3 }],
  ['a query without rows', (pool) => pool.query('SELECT 1 WHERE false'), { queries: 1 }],
  ['a template', (pool) => pool.sql`SELECT ${1}::int`, { queries: 1, rows: 1 }],
  [
    'an INSERT of two rows',
    (pool, table) => pool.query(`INSERT INTO ${table} VALUES (3), (4)`),
    { queries: 1, rows: 2 },
  ],
  ['an UPDATE of two rows', (pool, table) => pool.query(`UPDATE ${table} SET note = 'c'`), { queries: 1, rows: 2 }],
  ['DDL', (pool, table) => pool.query(`CREATE TABLE ${table}_more ()`), { queries: 1 }],
  ['one()', (pool) => pool.one('SELECT 1'), { queries: 1, rows: 1 }],
  [
    'one() without a row: the statement itself has succeeded',
    (pool) => pool.one('SELECT 1 WHERE false'),
    { queries: 1 },
    'ERR_NO_ROWS',
  ],
  [
    'one() with two rows',
    (pool) => pool.one('SELECT generate_series(1, 2)'),
    { queries: 1, rows: 2 },
    'ERR_TOO_MANY_ROWS',
  ],
  ['maybeOne() without a row', (pool) => pool.maybeOne('SELECT 1 WHERE false'), { queries: 1 }],
  ['value()', (pool) => pool.value('SELECT 1'), { queries: 1, rows: 1 }],
  ['many()', (pool) => pool.many('SELECT generate_series(1, 4)'), { queries: 1, rows: 4 }],
  [
    'an error of a constraint',
    (pool, table) => pool.query(`INSERT INTO ${table} VALUES (1)`),
    { queries: 1, errors: { 23: 1 } },
    '23505',
  ],
  ['an error of syntax', (pool) => pool.query('SELEC'), { queries: 1, errors: { 42: 1 } }, '42601'],
  ['an error of a value', (pool) => pool.query('SELECT $1::int', ['x']), { queries: 1, errors: { 22: 1 } }, '22P02'],
  [
    'an error of a class that PostgreSQL has not',
    (pool) => pool.query(`DO $$ BEGIN RAISE SQLSTATE 'AB123'; END $$`),
    { queries: 1, errors: { other: 1 } },
    'AB123',
  ],
  [
    'a value that cannot be sent at all: nothing',
    (pool) => pool.query('SELECT $1::int', [Symbol('x')]),
    {},
    'ERR_INVALID_PARAM',
  ],
  [
    'a signal that has fired before: nothing',
    (pool) => pool.query('SELECT 1', [], { signal: AbortSignal.abort() }),
    {},
    'ABORT_ERR',
  ],
  [
    'a timeout',
    (pool) => pool.query('SELECT pg_sleep(9)', [], { timeoutMs: 20 }),
    { queries: 1, errors: { 57: 1 } },
    '57014',
  ],
  [
    'a signal that fires meanwhile',
    (pool) => pool.query('SELECT pg_sleep(9)', [], { signal: AbortSignal.timeout(20) }),
    { queries: 1, errors: { ABORT_ERR: 1 } },
    'ABORT_ERR',
  ],
  [
    'a batch of three',
    (pool) => pool.batch([['SELECT 1'], ['SELECT generate_series(1, 2)'], ['SELECT $1::int', [1]]]),
    { queries: 3, rows: 4 },
  ],
  [
    'a batch in which one fails',
    (pool) => pool.batch([['SELECT 1'], ['SELECT 1 / 0'], ['SELECT 2']]),
    { queries: 3, rows: 2, errors: { 22: 1 } },
  ],
  [
    'a batch in which one takes too long',
    (pool) => pool.batch([['SELECT 1'], ['SELECT pg_sleep(9)']], { timeoutMs: 300 }),
    { queries: 2, rows: 1, errors: { 57: 1 } },
  ],
  ['a batch without statements: nothing', (pool) => pool.batch([]), {}],
  [
    'a batch with a value that cannot be sent: nothing',
    (pool) => pool.batch([['SELECT 1'], ['SELECT $1::int', [Symbol('x')]]]),
    {},
    'ERR_INVALID_PARAM',
  ],
  [
    'a batch in a transaction',
    (pool, table) => pool.batch([['SELECT 1'], [`DELETE FROM ${table}`]], { transaction: true }),
    { queries: 2, rows: 3 },
  ],
  [
    'a batch in a transaction that fails: one error',
    (pool) => pool.batch([['SELECT 1'], ['SELECT 1 / 0'], ['SELECT 2']], { transaction: true }),
    { queries: 3, errors: { 22: 1 } },
    '22012',
  ],
  ['a script', (pool) => pool.exec('SELECT 1; SELECT 2'), { queries: 1 }],
  ['a script that fails', (pool) => pool.exec('SELECT 1; SELECT 1 / 0'), { queries: 1, errors: { 22: 1 } }, '22012'],
  [
    'a load',
    (pool, table) =>
      pool.copyFrom(table, [
        [5, 'x'],
        [6, 'y'],
        [7, null],
      ]),
    { queries: 1, rows: 3 },
  ],
  [
    'a load that fails',
    (pool, table) =>
      pool.copyFrom(table, [
        [5, 'x'],
        [1, 'y'],
      ]),
    { queries: 1, errors: { 23: 1 } },
    '23505',
  ],
  [
    'a load into nothing',
    (pool) => pool.copyFrom('counted_nowhere', [[1]]),
    { queries: 1, errors: { 42: 1 } },
    '42P01',
  ],
  ['an unload', (pool, table) => read(pool.copyTo(table)), { queries: 1 }],
  [
    'an unload that fails',
    (pool) => read(pool.copyTo('COPY (SELECT 1 / 0) TO STDOUT')),
    { queries: 1, errors: { 22: 1 } },
    '22012',
  ],
  ['a stream', (pool) => read(pool.stream('SELECT generate_series(1, 5000)')), { queries: 1, rows: 5000 }],
  [
    'a stream that fails',
    (pool) => read(pool.stream('SELECT 1 / (9 - i) FROM generate_series(1, 10) i')),
    { queries: 1, errors: { 22: 1 } },
    '22012',
  ],
  ['a stream that nobody reads: nothing', async (pool) => pool.stream('SELECT 1'), {}],
  [
    'a stream that its reader leaves: no error',
    (pool) => read(pool.stream('SELECT generate_series(1, 100000)'), 3),
    { queries: 1 },
  ],
  [
    'an unload that its reader leaves: no error',
    async (pool) => {
      const { queries } = pool.stats();
      await read(pool.copyTo('COPY (SELECT generate_series(1, 300000)) TO STDOUT'), 1);
      // A Node stream is destroyed without waiting.
      await until('it has ended', () => pool.stats().queries > queries);
    },
    { queries: 1 },
  ],
  [
    'a parameter too many',
    (pool) => pool.query('SELECT $1::int', [1, 2]),
    { queries: 1, errors: { ERR_INVALID_PARAM: 1 } },
    'ERR_INVALID_PARAM',
  ],
  [
    'a stream whose signal fires',
    (pool) => {
      const controller = new AbortController();
      const stream = pool.stream('SELECT generate_series(1, 1000000)', [], { signal: controller.signal });
      return (async () => {
        for await (const _ of stream) controller.abort();
      })();
    },
    { queries: 1, errors: { ABORT_ERR: 1 } },
    'ABORT_ERR',
  ],
  ['notify()', (pool) => pool.notify('counted', 'x'), { queries: 1, rows: 1 }],
  ['listen() and unlisten(): nothing', async (pool) => (await pool.listen('counted', () => {})).unlisten(), {}],
  ['token()', (pool) => pool.token(), { queries: 1, rows: 1 }],
  ['a query with a token', (pool) => pool.query('SELECT 1', [], { token: true }), { queries: 1, rows: 1 }],
  [
    'a read on the primary, as there is no standby',
    (pool) => pool.read('SELECT generate_series(1, 2)'),
    { queries: 1, rows: 2 },
  ],
  ['a read that fails', (pool) => pool.read('SELECT 1 / 0'), { queries: 1, errors: { 22: 1 } }, '22012'],
  [
    'a read that writes',
    (pool, table) => pool.read(`DELETE FROM ${table}`),
    { queries: 1, errors: { 25: 1 } },
    '25006',
  ],
  ['read.stream()', (pool) => read(pool.read.stream('SELECT generate_series(1, 7)')), { queries: 1, rows: 7 }],
];

for (const [title, work, expected, code] of CASES) {
  test(`stats: ${title}`, async (t) => {
    const { pool, table } = await withTable(t);
    const run = async () => {
      const done = work(pool, table);
      if (code === undefined) await done;
      else assert.equal((await failureOf(done)).code, code);
    };
    await assertCounts(pool, run, expected);
    // Whatever has happened: nothing is left behind.
    await until('no statement is in flight', () => pool.stats().nodes[0].inFlight === 0);
  });
}

test('stats: what waits for a connection, and what gives up waiting', async (t) => {
  const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 500 });
  await pool.query('SELECT 1');
  const before = pool.stats();
  const transaction = await pool.begin();
  await transaction.query('SELECT 1');
  const waiting = [pool.query('SELECT 1'), pool.exec('SELECT 1'), pool.batch([['SELECT 1'], ['SELECT 2']])];
  await until('all of them wait', () => pool.status().waiting === 3);
  assert.equal(pool.stats().waits - before.waits, 3);
  assert.equal(pool.stats().waitMs.count, before.waitMs.count, 'a wait has a length when it has ended');
  await transaction.commit();
  await Promise.all(waiting);
  const other = await pool.begin();
  const failures = [
    failureOf(pool.query('SELECT 1')),
    failureOf(pool.query('SELECT 1', [], { timeoutMs: 20 })),
    failureOf(pool.query('SELECT 1', [], { signal: AbortSignal.timeout(20) })),
    failureOf(pool.begin()),
  ];
  const codes = (await Promise.all(failures)).map(({ code }) => code);
  assert.deepEqual(codes, ['ERR_ACQUIRE_TIMEOUT', '57014', 'ABORT_ERR', 'ERR_ACQUIRE_TIMEOUT']);
  await other.rollback();
  const after = pool.stats();
  assert.deepEqual(
    {
      acquires: after.acquires - before.acquires,
      waits: after.waits - before.waits,
      queries: after.queries - before.queries,
    },
    { acquires: 9, waits: 7, queries: 8 },
  );
  assert.deepEqual(after.errors, { ERR_ACQUIRE_TIMEOUT: 2, 57: 1, ABORT_ERR: 1 });
  assert.equal(after.waitMs.count, after.waits);
  assert.ok(after.waitMs.max >= 490 && after.waitMs.max <= after.waitMs.sum);
});

test('stats: a read for which there is no standby', async (t) => {
  const pool = db.pool(t, { acquireTimeoutMs: 50 });
  const run = () => failureOf(pool.read('SELECT 1', [], { fallback: 'none' }));
  await assertCounts(pool, run, { queries: 1, errors: { ERR_NO_STANDBY: 1 } });
  assert.equal(pool.stats().acquires, 0, 'no connection was asked for');
});

test('stats: without a primary each call that gives up counts one error', async (t) => {
  const pool = db.pool(t, { hosts: ['127.0.0.1:1'], acquireTimeoutMs: 50 });
  const calls = [
    pool.query('SELECT 1'),
    pool.exec('SELECT 1'),
    pool.copyFrom('nothing', [[1]]),
    pool.begin(),
    pool.batch([['SELECT 1'], ['SELECT 2']], { transaction: true }),
    pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1')),
    pool.transaction(async () => {}),
  ];
  for (const { error } of await endings(calls)) assert.equal(error.code, 'ERR_NO_PRIMARY');
  const results = await pool.batch([['SELECT 1'], ['SELECT 2']]);
  assert.deepEqual(
    results.map((/** @type {any} */ { reason }) => reason.code),
    ['ERR_NO_PRIMARY', 'ERR_NO_PRIMARY'],
  );
  const { queries, errors, nodes, failovers } = pool.stats();
  assert.deepEqual({ queries, errors, failovers }, { queries: 8, errors: { ERR_NO_PRIMARY: 9 }, failovers: [] });
  assert.equal(nodes[0].latencyMs.count, 0);
});

test('stats: a statement that finds its text prepared is a hit, another a miss, and what is forgotten for it an eviction', async (t) => {
  const pool = db.pool(t, { poolSize: 1, statementCacheSize: 4 });
  /** @param {number[]} texts */
  const run = async (texts) => {
    const { hits, misses, evictions } = pool.stats().prepared;
    for (const i of texts) await pool.query(`SELECT ${i}`);
    const after = pool.stats().prepared;
    return [after.hits - hits, after.misses - misses, after.evictions - evictions];
  };
  assert.deepEqual(await run([1, 2, 3, 4]), [0, 4, 0]);
  assert.deepEqual(await run([1, 2, 3, 4, 4, 1]), [6, 0, 0]);
  assert.deepEqual(await run([5, 6]), [0, 2, 2], 'those that were used longest ago, 2 and 3, go');
  assert.deepEqual(await run([1, 4, 5, 6]), [4, 0, 0]);
  assert.deepEqual(await run([2]), [0, 1, 1]);
  const before = pool.stats().prepared;
  await pool.batch([['SELECT 2'], ['SELECT 2'], ['SELECT 77'], ['SELECT 77']]);
  const after = pool.stats().prepared;
  assert.deepEqual(
    [after.hits - before.hits, after.misses - before.misses, after.evictions - before.evictions],
    [3, 1, 1],
  );
});

test('stats: each answer of a node has a latency, as long as the server took at least', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  await pool.query('SELECT pg_sleep(0.001)');
  const [before] = pool.stats().nodes;
  for (const _ of range(20)) await pool.query('SELECT pg_sleep(0.001)');
  await pool.query('SELECT pg_sleep(0.15)');
  const [{ node, latencyMs }] = pool.stats().nodes;
  assert.equal(node, db.cluster.nodes[0].address);
  assert.equal(latencyMs.count - before.latencyMs.count, 21);
  const { sum, p50, p95, p99, max } = latencyMs;
  assert.ok(p50 >= 1 && p50 <= p95 && p95 <= p99 && p99 <= max && max <= sum, JSON.stringify(latencyMs));
  assert.ok(max >= 150 && p50 < 150, JSON.stringify(latencyMs));
});

test('stats: connections and statements in flight, while there are some and at rest', async (t) => {
  const pool = db.pool(t, { poolSize: 3 });
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const sleeping = range(3).map(() => failureOf(pool.query('SELECT pg_sleep(60)', [], options)));
  await until('three are in flight', () => pool.stats().nodes[0].inFlight === 3);
  assert.equal(pool.stats().nodes[0].connections, 3);
  assert.equal(pool.stats().queries, 0, 'a statement counts when it has ended');
  controller.abort();
  await Promise.all(sleeping);
  await until('none is', () => pool.stats().nodes[0].inFlight === 0);
  await pool.end();
  assert.equal(pool.stats().nodes[0].connections, 0);
});

test('stats: they stay when the pool has ended, and what is refused then does not count', async (t) => {
  const pool = db.pool(t, {});
  const opened = Date.now();
  await pool.query('SELECT 1');
  await failureOf(pool.query('SELECT 1 / 0'));
  const before = pool.stats();
  await pool.end();
  assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
  const { nodes, ...after } = pool.stats();
  const { nodes: oldNodes, ...rest } = before;
  assert.deepEqual(after, rest);
  assert.equal(nodes[0].latencyMs.count, oldNodes[0].latencyMs.count);
  assert.ok(after.since instanceof Date && Math.abs(after.since.getTime() - opened) < 10_000);
});
