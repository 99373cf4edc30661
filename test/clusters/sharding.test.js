'use strict';

// Sharding without a server: ranges, directories, the options.

const assert = require('node:assert/strict');
const { OptionError, ParameterError } = require('../../client.js');
const { Sharding } = require('../../exports/clusters/sharding/index.js');
const { DIRECTORY, SHARDING, checkSharding } = require('../../exports/clusters/sharding/rows.js');
const { endings, failureOf, range, sleep, test } = require('../support/helpers.js');

/** @param {number} count */
const shards = (count) => range(count).map((i) => ({ primary: `db${i}`, replicas: [`db${i}r`] }));
const noLookup = async () => assert.fail('nothing is looked up');
/** @param {Record<string, unknown>} options @param {any} [lookup] @returns {any} */
const sharding = (options, lookup = noLookup) =>
  new Sharding(checkSharding({ key: 'user_id', shards: shards(3), ...options }, 'sharding'), {
    clusterId: 'users',
    lookup,
  });
/** @param {() => unknown} call @param {RegExp} message */
const refuses = (call, message) =>
  assert.throws(call, (/** @type {any} */ error) => error instanceof ParameterError && message.test(error.message));
/** @param {() => unknown} call @param {RegExp} message */
const misconfigures = (call, message) =>
  assert.throws(call, (/** @type {any} */ error) => {
    assert.ok(error instanceof OptionError, error);
    assert.match(error.message, message);
    return true;
  });

// --- ranges

/** @param {any[]} ranges */
const byRange = (ranges) => sharding({ strategy: 'range', ranges });

for (const [what, ranges, expected] of /** @type {[string, any[], [unknown, number][]][]} */ ([
  [
    'numbers, in any order',
    [
      { from: 1000, to: null, shard: 0 },
      { from: null, to: 0, shard: 2 },
      { from: 0, to: 1000n, shard: 1 },
    ],
    [
      [-1, 2],
      [-(10n ** 30n), 2],
      [0, 1],
      ['0', 1],
      [999, 1],
      [999.5, 1],
      [1000n, 0],
      ['1000', 0],
      ['-7', 2],
      [10n ** 30n, 0],
    ],
  ],
  [
    'bigints that no number has',
    [
      { from: null, to: 2n ** 60n + 1n, shard: 0 },
      { from: 2n ** 60n + 1n, to: null, shard: 1 },
    ],
    [
      [2n ** 60n, 0],
      [2n ** 60n + 1n, 1],
      [String(2n ** 60n + 1n), 1],
    ],
  ],
  [
    'texts by code points, as COLLATE "C" has them',
    [
      { from: '', to: 'a', shard: 0 },
      { from: 'a', to: '\ue000', shard: 1 },
      { from: '\ue000', to: null, shard: 2 },
    ],
    [
      ['Z', 0],
      ['a', 1],
      ['aa', 1],
      ['ä', 1],
      ['\ud7ff', 1],
      ['\uffff', 2],
      ['😀', 2],
    ],
  ],
])) {
  test(`sharding: ranges of ${what}`, () => {
    const found = byRange(ranges);
    for (const [key, shard] of expected) assert.equal(found.shardOf(key), shard, String(key));
  });
}

test('sharding: of two neighbours that share a bound the upper one has it; a key in a gap is refused by name', () => {
  const found = byRange([
    { from: 0, to: 10, shard: 0 },
    { from: 10, to: 20, shard: 1 },
    { from: 30, to: 40, shard: 0 },
  ]);
  assert.deepEqual([0, 9, 10, 19, 30].map(found.shardOf.bind(found)), [0, 0, 1, 1, 0]);
  for (const key of [-1, 20, 29, 40])
    refuses(() => found.shardOf(key), /^shardKey: no range of cluster 'users' has this key$/);
});

test('sharding: a key of another kind than the ranges is refused by name', () => {
  const numbers = byRange([{ from: 0, to: null, shard: 0 }]);
  for (const key of ['a', '1.5', '', Number.NaN, 2 ** 53, null, {}]) refuses(() => numbers.shardOf(key), /^shardKey /);
  const texts = byRange([{ from: 'a', to: null, shard: 0 }]);
  for (const key of [1, 1n, null, 'b\0', '']) refuses(() => texts.shardOf(key), /^shardKey /);
});

for (const [ranges, message] of /** @type {[any, RegExp][]} */ ([
  [undefined, /^sharding\.ranges is missing: the strategy 'range' needs it$/],
  [{}, /^sharding\.ranges must be an array, not an? object$/],
  [[], /^sharding\.ranges must have at least one range$/],
  [[5], /^sharding\.ranges\[0\] must be an object/],
  [[{ from: 0, shard: 0 }], /^sharding\.ranges\[0\]\.to is missing: null is an open end$/],
  [[{ to: 0, shard: 0 }], /^sharding\.ranges\[0\]\.from is missing/],
  [[{ from: 0, to: 1, shrad: 0 }], /unknown option 'sharding\.ranges\[0\]\.shrad': did you mean/],
  [[{ from: 0, to: 1, shard: 3 }], /^sharding\.ranges\[0\]\.shard must be the number of a shard, from 0 to 2, not 3$/],
  [[{ from: 0, to: 1, shard: '1' }], /\.shard must be the number of a shard, from 0 to 2, not string$/],
  [[{ from: null, to: null, shard: 0 }], /^sharding\.ranges needs a bound/],
  [[{ from: 5, to: 5, shard: 0 }], /^sharding\.ranges\[0\] is empty/],
  [[{ from: 'b', to: 'a', shard: 0 }], /^sharding\.ranges\[0\] is empty/],
  [[{ from: 0, to: 'a', shard: 0 }], /^sharding\.ranges\[0\]\.to is a string and sharding\.ranges\[0\]\.from a number/],
  [[{ from: 2 ** 53, to: null, shard: 0 }], /\.from must be a finite number, or a bigint beyond 2\^53/],
  [[{ from: Number.NaN, to: null, shard: 0 }], /\.from must be a finite number/],
  [[{ from: new Date(), to: null, shard: 0 }], /\.from must be a number, a bigint, a string, or null/],
  [
    [
      { from: 0, to: 10, shard: 0 },
      { from: 9, to: 20, shard: 1 },
    ],
    /^sharding\.ranges\[0\] and sharding\.ranges\[1\] overlap$/,
  ],
  [
    [
      { from: 9, to: 20, shard: 0 },
      { from: 0, to: null, shard: 1 },
    ],
    /^sharding\.ranges\[1\] and sharding\.ranges\[0\] overlap$/,
  ],
  [
    [
      { from: null, to: 1, shard: 0 },
      { from: null, to: 5, shard: 1 },
    ],
    /overlap$/,
  ],
  [
    [
      { from: 0, to: 10, shard: 0 },
      { from: 0, to: 10, shard: 0 },
    ],
    /overlap$/,
  ],
])) {
  test(`sharding: ranges are refused at configuration: ${message.source}`, () =>
    misconfigures(() => byRange(ranges), message));
}

// --- directories

test('sharding: a function as directory answers at once or by a promise', async () => {
  const found = sharding({
    strategy: 'directory',
    directory: (/** @type {any} */ key) => (key === 1 ? 2 : Promise.resolve(1)),
  });
  assert.equal(found.shardOf(1), 2);
  assert.equal(await found.shardOf('x'), 1);
  const failing = sharding({ strategy: 'directory', directory: () => Promise.reject(new Error('away')) });
  assert.equal((await failureOf(failing.shardOf(1))).message, 'away');
});

for (const [answer, code, message] of /** @type {[unknown, string, RegExp][]} */ ([
  [undefined, 'ERR_INVALID_PARAM', /^shardKey: the directory of cluster 'users' does not have this key$/],
  [null, 'ERR_INVALID_PARAM', /^shardKey: /],
  [3, 'ERR_UNKNOWN_SHARD', /^the directory of cluster 'users' has answered 3, but the shards are 0 to 2$/],
  [-1, 'ERR_UNKNOWN_SHARD', /has answered -1/],
  [0.5, 'ERR_UNKNOWN_SHARD', /has answered 0\.5/],
  ['s3cret', 'ERR_UNKNOWN_SHARD', /has answered string,/],
  [{}, 'ERR_UNKNOWN_SHARD', /has answered object,/],
])) {
  test(`sharding: a directory that answers ${typeof answer === 'object' ? JSON.stringify(answer) : answer} is an error`, async () => {
    const atOnce = sharding({ strategy: 'directory', directory: () => answer });
    const later = sharding({ strategy: 'directory', directory: async () => answer });
    const table = sharding({ strategy: 'directory', directory: { table: 't' } }, async () => [{ shard: answer }]);
    for (const call of [async () => atOnce.shardOf(1), () => later.shardOf(1), () => table.shardOf(1)]) {
      const error = await failureOf(call());
      assert.equal(error.code, code);
      assert.match(error.message, message);
    }
  });
}

test('sharding: a table as directory is asked once for many callers of a key, and once in cacheMs', async (t) => {
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  /** @type {any[]} */
  const asked = [];
  const lookup = async (/** @type {any[]} */ ...question) => {
    asked.push(question);
    await sleep(5);
    return [{ shard: 2n }];
  };
  const directory = { table: 'app.places', keyColumn: 'User"Id', shardColumn: 'place', shard: 1, cacheMs: 50 };
  const found = sharding({ strategy: 'directory', directory }, lookup);
  assert.deepEqual(await Promise.all(range(100).map((i) => found.shardOf([7, 7n, '7'][i % 3]))), Array(100).fill(2));
  assert.deepEqual(asked, [[1, `SELECT "place" AS shard FROM "app"."places" WHERE "User""Id" = $1 LIMIT 2`, ['7']]]);
  assert.equal(found.shardOf(7), 2, 'what is known needs no promise');
  now += 49;
  assert.equal(found.shardOf(7), 2, 'it is known for cacheMs after it was asked for');
  now += 1;
  assert.equal(await found.shardOf(7), 2);
  assert.equal(asked.length, 2);
});

test('sharding: a table that has no row, two rows or fails is asked again; cacheMs 0 keeps nothing', async () => {
  /** @type {any[]} */
  const answers = [[], new Error('away'), [{ shard: 0 }, { shard: 1 }], [{ shard: 1 }], [{ shard: 2 }]];
  const lookup = async () => {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const found = sharding({ strategy: 'directory', directory: { table: 't', cacheMs: 0 } }, lookup);
  const both = await endings([found.shardOf(1), found.shardOf(1)]);
  assert.deepEqual(
    both.map(({ error }) => error.code),
    ['ERR_INVALID_PARAM', 'ERR_INVALID_PARAM'],
  );
  assert.equal((await failureOf(found.shardOf(1))).message, 'away');
  assert.match((await failureOf(found.shardOf(1))).message, /^the directory t has a key twice$/);
  assert.equal(await found.shardOf(1), 1);
  assert.equal(await found.shardOf(1), 2);
});

test('sharding: of the answers of a table those that were used last are kept', async () => {
  let asked = 0;
  const lookup = async () => {
    asked++;
    return [{ shard: 0 }];
  };
  const found = sharding({ strategy: 'directory', directory: { table: 't' } }, lookup);
  await found.shardOf('first');
  await found.shardOf('second');
  for (let i = 0; i < 99_999; i++) {
    if (i === 1_000) assert.equal(found.shardOf('first'), 0);
    await found.shardOf(i);
  }
  assert.equal(found.shardOf('first'), 0);
  const before = asked;
  await found.shardOf('second');
  assert.equal(asked, before + 1);
});

// --- options

for (const [given, message] of /** @type {[any, RegExp][]} */ ([
  [[], /^sharding must be an object, not array$/],
  [{}, /^sharding\.strategy is missing$/],
  [{ strategy: 'hash', shards: shards(2) }, /^sharding\.key is missing$/],
  [{ strategy: 'hash', key: 'a' }, /^sharding\.shards is missing$/],
  [{ strategy: 'modulo' }, /^sharding\.strategy must be one of 'hash', 'range', 'directory', not 'modulo'$/],
  [
    { strategy: 'hash', key: 'a', shards: shards(2), partitions: 4 },
    /^sharding\.partitions is 4, but sharding\.shards has 2: they must be equal$/,
  ],
  [{ strategy: 'hash', key: 'a', shards: [] }, /^sharding\.shards must name from 1 to 1024 shards, not 0$/],
  [{ strategy: 'hash', key: 'a', shards: [{}] }, /^sharding\.shards\[0\] must have primary \(and replicas\), or hosts/],
  [{ strategy: 'hash', key: 'a', shards: [{ primary: 'a', hosts: 'a' }] }, /^sharding\.shards\[0\] must have primary/],
  [
    { strategy: 'hash', key: 'a', shards: [{ hosts: 'a', replicas: [] }] },
    /^sharding\.shards\[0\]\.replicas does not go with hosts/,
  ],
  [
    { strategy: 'hash', key: 'a', shards: [{ primry: 'a' }] },
    /unknown option 'sharding\.shards\[0\]\.primry': did you mean/,
  ],
  [{ strategy: 'hash', key: '', shards: shards(2) }, /^sharding\.key must be a name/],
  [
    { strategy: 'hash', key: 'a', shards: shards(2), ranges: [] },
    /^sharding\.ranges belongs to the strategy 'range', not to 'hash'$/,
  ],
  [
    { strategy: 'hash', key: 'a', shards: shards(2), directory: () => 0 },
    /^sharding\.directory belongs to the strategy 'directory', not to 'hash'$/,
  ],
  [{ strategy: 'hash', key: 'a', shards: shards(2), buckets: 5 }, /unknown option 'sharding\.buckets'/],
  [
    { strategy: 'directory', key: 'a', shards: shards(2) },
    /^sharding\.directory is missing: the strategy 'directory' needs it$/,
  ],
  [
    { strategy: 'directory', key: 'a', shards: shards(2), directory: 'table' },
    /^sharding\.directory must be a function or \{ table \}, not a string$/,
  ],
  [{ strategy: 'directory', key: 'a', shards: shards(2), directory: {} }, /^sharding\.directory\.table is missing$/],
  [
    { strategy: 'directory', key: 'a', shards: shards(2), directory: { table: 'a.b.c' } },
    /^sharding\.directory\.table must be 'table' or/,
  ],
  [
    { strategy: 'directory', key: 'a', shards: shards(2), directory: { table: 't', ttl: 5 } },
    /unknown option 'sharding\.directory\.ttl'/,
  ],
  [
    { strategy: 'directory', key: 'a', shards: shards(2), directory: { table: 't', shard: 2 } },
    /^sharding\.directory\.shard is 2, but the shards are 0 to 1$/,
  ],
  [
    { strategy: 'directory', key: 'a', shards: shards(2), directory: { table: 't', cacheMs: -1 } },
    /^sharding\.directory\.cacheMs must be from 0/,
  ],
])) {
  test(`sharding: options are refused: ${message.source}`, () =>
    misconfigures(() => checkSharding(given, 'sharding'), message));
}

test('sharding: every option has a row that says what it is', () => {
  for (const row of Object.values({ ...SHARDING, ...DIRECTORY })) assert.ok(row.type && row.text && row.check);
  const { count } = sharding({ strategy: 'hash', partitions: 3, shards: [{ hosts: 'a,b' }, ...shards(2)] });
  assert.equal(count, 3);
});
