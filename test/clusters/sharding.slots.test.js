'use strict';

// The strategy hash: slots, how they are spread over partitions, what moves, and which keys there are.

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { ParameterError } = require('../../client.js');
const { Sharding } = require('../../exports/clusters/sharding/index.js');
const { checkSharding } = require('../../exports/clusters/sharding/rows.js');
const {
  SLOTS,
  keyText,
  partitionsOfSlots,
  slotExpression,
  slotOf,
} = require('../../exports/clusters/sharding/slots.js');
const { range, test } = require('../support/helpers.js');

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
/** The same UUIDs in each run: a test of chance must not fail by chance. @param {number} i */
const uuid = (i) =>
  createHash('md5')
    .update(String(i))
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** Keys as services have them. @type {Record<string, (i: number) => string | number>} */
const KINDS = {
  'sequential integers': (i) => i + 1,
  UUIDs: (i) => uuid(i),
  texts: (i) => `user-${i}@example.org`,
};
/** Of chi-squared for 3 and 15 degrees of freedom: what random counts exceed once in 1,000 times. */
const CRITICAL = /** @type {Record<number, number>} */ ({ 4: 16.266, 16: 37.697 });
const KEYS = 100_000;

for (const [kind, keyAt] of Object.entries(KINDS)) {
  for (const partitions of [4, 16]) {
    test(`sharding: ${KEYS} ${kind} are spread over ${partitions} partitions as if by chance`, (t) => {
      const hash = sharding({ strategy: 'hash', shards: shards(partitions) });
      /** @type {number[]} */
      const counts = Array(partitions).fill(0);
      for (let i = 0; i < KEYS; i++) counts[hash.shardOf(keyAt(i))]++;
      const expected = KEYS / partitions;
      const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      t.diagnostic(
        `chi-squared ${chi2.toFixed(1)} of ${CRITICAL[partitions]}, from ${Math.min(...counts)} to ${Math.max(...counts)} keys`,
      );
      assert.ok(chi2 < CRITICAL[partitions], `chi-squared ${chi2}: ${counts}`);
    });
  }
  test(`sharding: from 4 to 5 shards a fifth of ${KEYS} ${kind} move, all to the new shard`, (t) => {
    const [four, five] = [4, 5].map((count) => sharding({ strategy: 'hash', shards: shards(count) }));
    let moved = 0;
    for (let i = 0; i < KEYS; i++) {
      const key = keyAt(i);
      const [before, after] = [four.shardOf(key), five.shardOf(key)];
      if (before === after) continue;
      moved++;
      assert.equal(after, 4);
    }
    t.diagnostic(`${((moved / KEYS) * 100).toFixed(2)} % moved`);
    assert.ok(moved / KEYS > 0.19 && moved / KEYS < 0.21, `${moved} of ${KEYS}`);
  });
}

test('sharding: slots are spread evenly, and one more partition takes its share from all and moves nothing else', (t) => {
  let before = partitionsOfSlots(1);
  for (let partitions = 2; partitions <= SLOTS; partitions = partitions < 40 ? partitions + 1 : partitions * 2) {
    const after = partitionsOfSlots(partitions);
    const counts = Array(partitions).fill(0);
    for (const partition of after) counts[partition]++;
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${partitions}: ${counts}`);
    if (partitions <= 40) {
      const moved = [...after.keys()].filter((slot) => after[slot] !== before[slot]);
      assert.deepEqual([...new Set(moved.map((slot) => after[slot]))], [partitions - 1]);
      assert.equal(moved.length, Math.floor(SLOTS / partitions));
      if (partitions === 5) t.diagnostic(`${moved.length} of ${SLOTS} slots move from 4 to 5 shards`);
    }
    before = after;
  }
});

test('sharding: the slots of known keys, which rows are stored by, are for ever', () => {
  // The first 10 bits of what sha256sum prints for each: 6b86b273..., ca978112..., ...
  assert.deepEqual(['1', 'a', 'ä', 'user-1', '-9223372036854775808'].map(slotOf), [430, 810, 207, 795, 532]);
  const five = partitionsOfSlots(5);
  const slots = [0, 204, 205, 255, 256, 716, 717, 1_023];
  assert.deepEqual(
    slots.map((slot) => five[slot]),
    [0, 0, 4, 4, 3, 1, 4, 4],
  );
});

test('sharding: 1, 1n and "1" are one key', () => {
  assert.equal(slotOf(1), slotOf('1'));
  assert.equal(slotOf(1n), slotOf('1'));
  assert.equal(slotOf(-0), slotOf('0'));
  assert.equal(keyText(-5n), '-5');
});

for (const [what, key, message] of /** @type {[string, unknown, RegExp][]} */ ([
  ['a fraction', 1.5, /^shardKey has a fraction$/],
  ['an unsafe integer', 2 ** 53, /^shardKey is an integer beyond 2\^53, .* use a bigint$/],
  ['NaN', Number.NaN, /^shardKey is NaN$/],
  ['Infinity', Number.POSITIVE_INFINITY, /^shardKey is Infinity$/],
  ['an empty text', '', /^shardKey is an empty string$/],
  ['null', null, /^shardKey must be a string, an integer or a bigint, not null$/],
  ['undefined', undefined, /not undefined$/],
  ['a boolean', true, /not boolean$/],
  ['an object', {}, /not object$/],
  ['an array', ['1'], /not an array$/],
  ['a boxed string', Object('1'), /not object$/],
  ['a symbol', Symbol('s3cret'), /not symbol$/],
  ['half of a surrogate pair', 's3cret\ud800', /^shardKey contains half of a surrogate pair/],
  ['NUL', 's3cret\0', /^shardKey contains a NUL character/],
  [
    'a UUID in capitals',
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
    /^shardKey is a UUID that is not written as PostgreSQL writes it/,
  ],
  ['a UUID in braces', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', /^shardKey is a UUID that is not/],
])) {
  test(`sharding: as a key ${what} is refused by name, and not shown`, () => {
    for (const call of [
      () => slotOf(key),
      () => sharding({ strategy: 'hash' }).shardOf(key),
      () => sharding({ strategy: 'directory', directory: () => 0 }).shardOf(key),
    ])
      refuses(call, message);
    refuses(() => slotOf(key), /^((?!s3cret).)*$/);
  });
}

test('sharding: a UUID in small letters and a text that only resembles one are keys', () => {
  for (const key of ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99', 'G0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'])
    slotOf(key);
});

test('sharding: the column of the SQL expression is quoted, and what is no name is refused', () => {
  assert.equal(
    slotExpression('user_id'),
    `('x' || encode(sha256(convert_to("user_id"::text, 'UTF8')), 'hex'))::bit(10)::int`,
  );
  assert.ok(slotExpression('a"; DROP TABLE x; --').includes('("a""; DROP TABLE x; --"::text'));
  for (const column of ['', 'a\0', 'x'.repeat(64), null, 5])
    refuses(() => slotExpression(/** @type {any} */ (column)), /^column must be the name/);
});
