'use strict';

// Lookups at random, each compared with what the database has returned for that very call, and reads beside writes, none of which may be
// older than an invalidation that had been made when it was asked for. HYPERION_LOOKUPS says how many: `HYPERION_LOOKUPS=1000000`.

const assert = require('node:assert/strict');
const { setImmediate, setTimeout: sleep } = require('node:timers/promises');
const { isDeepStrictEqual } = require('node:util');
const { range, test, useCluster } = require('../support/helpers.js');
const { useRedis } = require('../support/redis.js');
const { cacheOn, resultOf } = require('./cache-support.js');

const db = useCluster({ nodes: 1 });
const redis = useRedis();

const LOOKUPS = Number(process.env.HYPERION_LOOKUPS ?? (process.env.HYPERION_FULL ? 100_000 : 6_000));
const FULL = LOOKUPS > 6_000;
const WORKERS = 32;
/** A long run has its own limit. */
const LIMIT = { timeout: FULL ? 1_200_000 : 60_000 };

/** @typedef {{ sql: string, params: any[], options: Record<string, any> }} Call */

/** Parameters for each statement; many are nearly another. @type {[sql: string, values: any[][]][]} */
const STATEMENTS = [
  [
    'SELECT $1::jsonb AS v',
    [
      ...[{ a: 1 }, { a: '1' }, { a: true }, { a: null }, { a: 'true' }, { a: [1] }, { a: ['1'] }, { b: 1 }, {}],
      ...[
        [1],
        ['1'],
        [[1]],
        [null],
        [true],
        [1.5],
        ['1.5'],
        [1, 2],
        [2, 1],
        ['1,2'],
        [{ a: 1, b: 2 }],
        [{ b: 2, a: 1 }],
      ],
      ...['1', '"1"', '[1]', 'null', '{"a":1}', null, { a: undefined }, { __proto__: null, toString: 1 }],
      ...[new Map([['a', 1]]), new Map([['a', '1']]), { a: new Set([1]) }, { a: new Date(0) }, { a: 2n ** 60n }],
    ].map((value) => [value]),
  ],
  [
    'SELECT $1::text AS v, $2::text AS w',
    [
      ['a', 'b'],
      ['ab', ''],
      ['', 'ab'],
      ['a', null],
      [null, 'a'],
      ['null', 'a'],
      ['a,b', ''],
      ['a', ',b'],
      ['s1:a', 'b'],
      ['1', '1n'],
      ['é', 'e\u0301'],
      ['e\u0301', 'é'],
    ],
  ],
  [
    'SELECT $1::float8 AS v',
    [0, -0, 1, 1.5, NaN, Infinity, '1.5', '-0', 'NaN', null, 1e21, 0.1, 0.30000000000000004].map((v) => [v]),
  ],
  ['SELECT $1::int8 AS v', [1, 1n, '1', 2, 2n ** 60n, 2n ** 60n + 1n, null].map((v) => [v])],
  [
    'SELECT $1::text[] AS v',
    [['a', 'b'], ['a,b'], ['a', null], ['a', 'null'], [['a'], ['b']], [], ['a"b'], new Set(['a', 'b']), '{a,b}'].map(
      (v) => [v],
    ),
  ],
  [
    'SELECT $1::bytea AS v',
    [Buffer.from('1'), '1', '\\x31', Buffer.from([255]), Buffer.alloc(0), null, new Uint8Array([1, 2])].map((v) => [v]),
  ],
  [
    'SELECT $1::timestamptz AS v',
    [new Date(0), new Date(1), '1970-01-01', '1970-01-01 00:00:00.001Z', 'infinity', null].map((v) => [v]),
  ],
  [
    'SELECT i, repeat($1::text, i) AS v FROM generate_series(1, $2::int4) i',
    [1, 2, 30].flatMap((n) => ['x', 'y', '1'].map((v) => [v, n])),
  ],
];

/** How a call is made: each of these may have another result. @type {Record<string, any>[]} */
const WAYS = [
  {},
  { rowMode: 'array' },
  { types: { int8: 'number', date: 'date' } },
  { types: { int8: 'string', json: 'string' } },
  {
    types: {
      parsers: { float8: (/** @type {string} */ text) => ({ text }), jsonb: (/** @type {string} */ text) => [text] },
    },
  },
  { tags: ['some'] },
];

/** Distinct calls, each with what the database returns for it. @param {any} pool @param {number} variants */
async function callsOf(pool, variants) {
  /** @type {Call[]} */
  const calls = range(variants).flatMap((variant) =>
    STATEMENTS.flatMap(([sql, values]) =>
      values.flatMap((params) =>
        WAYS.map((options) => ({
          sql: `${sql}, ${variant} AS variant`.replace(/( FROM .*), (.*)$/, ', $2$1'),
          params,
          options,
        })),
      ),
    ),
  );
  const answers = await Promise.all(
    calls.map(async (call) => ({ call, expected: resultOf(await pool.query(call.sql, call.params, howOf(call))) })),
  );
  return answers;
}

/** @param {Call} call */
const howOf = ({ options: { rowMode, types } }) => ({ rowMode, types });

/** Numbers from a seed. @param {number} seed */
function randomOf(seed) {
  let state = seed;
  return (/** @type {number} */ below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * Makes lookups at random, several at a time, and counts the answers that are not those of the database.
 * @param {any} one @param {number} lookups
 * @param {{ call: Call, expected: any }[]} calls
 * @param {(call: Call) => Promise<any>} ask
 */
async function look(one, lookups, calls, ask) {
  const random = randomOf(11);
  const found = { lookups: 0, wrong: 0, hits: 0, invalidations: 0 };
  const work = async () => {
    while (found.lookups < lookups) {
      found.lookups += 1;
      const { call, expected } = calls[random(calls.length)];
      const { cached, node, ...rest } = await ask(call);
      if (cached) found.hits += 1;
      const { cached: _, node: on, ...wanted } = expected;
      if (!isDeepStrictEqual(rest, wanted) || node !== on) found.wrong += 1;
      if (random(FULL ? 20_000 : 2_000) === 0) {
        found.invalidations += 1;
        await one.cache.invalidate([{ tags: ['some'] }, { schema: 'public' }, { pattern: '*' }][random(3)]);
      }
    }
  };
  await Promise.all(range(WORKERS).map(work));
  return found;
}

test('cache: lookups at random in memory return what the database returns', LIMIT, async (t) => {
  const pool = db.pool(t);
  const calls = await callsOf(pool, FULL ? 10 : 1);
  const one = cacheOn(t, pool, {
    maxSize: Math.ceil(calls.length * 0.9),
    enableCompression: true,
    compressionThreshold: 400,
  });
  const found = await look(one, LOOKUPS, calls, ({ sql, params, options }) => one.ask(sql, params, options));
  t.diagnostic(`${calls.length} different calls: ${JSON.stringify(found)}`);
  assert.equal(found.wrong, 0);
  assert.ok(found.hits > found.lookups / 10);
});

test('cache: lookups at random in Redis return what the database returns', LIMIT, async (t) => {
  const pool = db.pool(t);
  const calls = await callsOf(pool, 1);
  const client = await redis.client(t, 'ioredis');
  const one = cacheOn(t, pool, {
    provider: { redis: client, timeoutMs: 5_000 },
    enableCompression: true,
    compressionThreshold: 400,
  });
  await one.cache.start();
  const found = await look(one, Math.ceil(LOOKUPS / 5), calls, ({ sql, params, options }) =>
    one.ask(sql, params, options),
  );
  t.diagnostic(`${calls.length} different calls: ${JSON.stringify(found)}`);
  assert.equal(found.wrong, 0);
  assert.ok(found.hits > found.lookups / 10);
});

test(
  'cache: the same lookups find the wrong answers of a key that leaves the types of the parameters out',
  LIMIT,
  async (t) => {
    const pool = db.pool(t);
    const calls = await callsOf(pool, 1);
    const one = cacheOn(t, pool, {});
    const found = await look(one, 6_000, calls, (call) => {
      // Every scalar is a text in it.
      const params = JSON.stringify(call.params, (_, part) => (typeof part === 'object' ? part : String(part)));
      const text = `${call.sql} ${params}`;
      const { options } = call;
      return one.cache.fetch(
        { clusterId: 'a', schema: 'public', identity: 'me', ...options, sql: text, params: [] },
        async () => resultOf(await pool.query(call.sql, call.params, howOf(call))),
      );
    });
    t.diagnostic(JSON.stringify(found));
    assert.ok(found.wrong > 0);
  },
);

/**
 * Reads and writes at random. What a read returns must not be from before an invalidation that had been made when the read was asked for.
 * @param {any} pool
 * @param {any[]} caches
 * @param {number} count of reads
 */
async function readAndWrite(pool, caches, count) {
  const ids = range(8);
  await pool.exec('DROP TABLE IF EXISTS torture; CREATE TABLE torture (id int PRIMARY KEY, n int)');
  await pool.query('INSERT INTO torture SELECT unnest($1::int4[]), 0', [ids]);
  const random = randomOf(5);
  const least = ids.map(() => 0);
  const found = { reads: 0, hits: 0, writes: 0, stale: 0 };
  /** @type {((id: number) => any)[]} */
  const selectors = [
    (id) => ({ tags: [`t${id}`] }),
    (id) => ({ key: `k:${id}` }),
    (id) => ({ pattern: `?:${id}` }),
    () => ({ schema: 'public' }),
    () => ({ cluster: 'a' }),
  ];
  const reader = async () => {
    while (found.reads < count) {
      found.reads += 1;
      const id = random(ids.length);
      const known = least[id];
      const sleeps = random(20) === 0 ? ', pg_sleep(0.01)' : '';
      const call = { tags: [`t${id}`], cacheKey: `k:${id}`, timeoutMs: random(50) === 0 ? 20_000 : undefined };
      const { rows, cached } = await caches[random(caches.length)].ask(
        `SELECT n${sleeps} FROM torture WHERE id = $1`,
        [id],
        call,
      );
      if (cached) found.hits += 1;
      if (rows[0].n < known) found.stale += 1;
      // Hits alone would leave no time for anything else.
      if (random(5) === 0) await setImmediate();
    }
  };
  const writer = async () => {
    while (found.reads < count) {
      found.writes += 1;
      const id = random(ids.length);
      const [{ n }] = await pool.query('UPDATE torture SET n = n + 1 WHERE id = $1 RETURNING n', [id]);
      await caches[random(caches.length)].cache.invalidate(selectors[random(selectors.length)](id));
      least[id] = Math.max(least[id], n);
      await sleep(random(4));
    }
  };
  await Promise.all([...range(WORKERS).map(reader), writer(), writer(), writer()]);
  return found;
}

test(
  'cache: beside writes no read in memory is older than an invalidation that was made before it',
  LIMIT,
  async (t) => {
    const pool = db.pool(t, { poolSize: 20 });
    const found = await readAndWrite(pool, [cacheOn(t, pool)], Math.ceil(LOOKUPS / 2));
    t.diagnostic(JSON.stringify(found));
    assert.equal(found.stale, 0);
    assert.ok(found.hits > 0 && found.writes > 20);
  },
);

test(
  'cache: beside writes no read in Redis is older than an invalidation of any process that was made before it',
  LIMIT,
  async (t) => {
    const pool = db.pool(t, { poolSize: 20 });
    const caches = await Promise.all(
      /** @type {const} */ (['ioredis', 'node-redis', 'ioredis']).map(async (kind) => {
        const one = cacheOn(t, pool, {
          provider: { redis: await redis.client(t, kind), timeoutMs: 5_000, prefix: 'torture' },
        });
        await one.cache.start();
        return one;
      }),
    );
    const found = await readAndWrite(pool, caches, Math.ceil(LOOKUPS / 5));
    t.diagnostic(JSON.stringify(found));
    assert.equal(found.stale, 0);
    assert.ok(found.hits > 0 && found.writes > 20);
  },
);
