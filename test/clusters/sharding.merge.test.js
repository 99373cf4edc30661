'use strict';

// The results of all shards as one: order, limit, columns.

const assert = require('node:assert/strict');
const { ParameterError } = require('../../client.js');
const { checkMerge, mergeResults } = require('../../exports/clusters/sharding/merge.js');
const { range, test } = require('../support/helpers.js');

/** @param {() => unknown} call @param {RegExp} message */
const refuses = (call, message) =>
  assert.throws(call, (/** @type {any} */ error) => error instanceof ParameterError && message.test(error.message));

const FIELDS = [{ name: 'id', typeName: 'int8', typeOid: 20 }];
/** @param {any[]} rows @param {any[]} [fields] */
const result = (rows, fields = FIELDS) => ({ rows, rowCount: rows.length, command: 'SELECT', fields });
/** @param {...(number | bigint)} ids */
const ids = (...ids) => result(ids.map((id, at) => ({ id, at })));
const all = () => [ids(3n, 1n), ids(), ids(2n, 1n, 5n)];

test('merge: rows come in the order of shards, with the count of all and what the first shard says of columns', () => {
  const given = all();
  const merged = mergeResults(given, { merge: 'concat' });
  assert.deepEqual(
    merged.rows.map(({ id }) => id),
    [3n, 1n, 2n, 1n, 5n],
  );
  assert.deepEqual({ ...merged, rows: 0 }, { rows: 0, rowCount: 5, command: 'SELECT', fields: FIELDS });
  assert.deepEqual(given, all(), 'what is merged is left as it is');
  assert.notEqual(mergeResults([ids(1)]).rows, ids(1).rows);
});

test('merge: orderBy is stable, and limit counts after it', () => {
  const orderBy = (/** @type {any} */ a, /** @type {any} */ b) => Number(a.id - b.id);
  assert.deepEqual(
    mergeResults(all(), { orderBy }).rows.map(({ id, at }) => [id, at]),
    [
      [1n, 1],
      [1n, 1],
      [2n, 0],
      [3n, 0],
      [5n, 2],
    ],
  );
  const many = [
    result(range(50).map((i) => ({ id: i % 5, n: i }))),
    result(range(50).map((i) => ({ id: i % 5, n: 50 + i }))),
  ];
  const sorted = mergeResults(many, { orderBy }).rows;
  for (const [at, { id, n }] of sorted.entries())
    if (at > 0 && sorted[at - 1].id === id) assert.ok(sorted[at - 1].n < n);
  const { rows, rowCount } = mergeResults(all(), { orderBy, limit: 2 });
  assert.deepEqual([rows.map(({ id }) => id), rowCount], [[1n, 1n], 2]);
  assert.deepEqual(
    mergeResults(all(), { limit: 3 }).rows.map(({ id }) => id),
    [3n, 1n, 2n],
  );
  assert.equal(mergeResults(all(), { limit: 0 }).rowCount, 0);
  assert.equal(mergeResults(all(), { limit: 99 }).rowCount, 5);
});

for (const [options, message] of /** @type {[any, RegExp][]} */ ([
  [{ merge: 'sum' }, /^merge must be 'concat', not 'sum'$/],
  [{ merge: null }, /^merge must be 'concat', not object$/],
  [{ orderBy: 'id' }, /^orderBy must be a function \(a, b\) => number, not string$/],
  [{ limit: -1 }, /^limit must be an integer from 0, not -1$/],
  [{ limit: 1.5 }, /^limit must be an integer from 0, not 1\.5$/],
  [{ limit: '5' }, /^limit must be an integer from 0, not string$/],
])) {
  test(`merge: options are refused before anything is asked: ${message.source}`, () => {
    refuses(() => checkMerge(options), message);
    refuses(() => mergeResults(all(), options), message);
  });
}

test('merge: an orderBy that returns no number is an error by name', () => {
  refuses(
    () =>
      mergeResults(all(), {
        orderBy: /** @type {any} */ ((/** @type {any} */ a, /** @type {any} */ b) => a.id - b.id),
      }),
    /^orderBy must return a number, not bigint: compare with <$/,
  );
  refuses(() => mergeResults(all(), { orderBy: () => Number.NaN }), /^orderBy must return a number, not NaN$/);
});

test('merge: shards whose columns differ are no one result; for rows that are objects their order is free', () => {
  const [a, b] = [
    { name: 'a', typeName: 'int4', typeOid: 23 },
    { name: 'b', typeName: 'mood', typeOid: 16_400 },
  ];
  const other = { ...b, typeOid: 17_000 };
  assert.equal(mergeResults([result([{ a: 1, b: 'x' }], [a, b]), result([{ b: 'y', a: 2 }], [other, a])]).rowCount, 2);
  const differ = (/** @type {any} */ error) =>
    error.code === 'ERR_SHARDS_DIFFER' && /^shard 1 has answered with other columns/.test(error.message);
  assert.throws(() => mergeResults([result([[1, 'x']], [a, b]), result([['y', 2]], [b, a])]), differ);
  assert.throws(() => mergeResults([result([], [a, b]), result([{ a: 1 }], [a])]), differ);
  assert.throws(() => mergeResults([result([], [a]), result([], [{ ...a, typeName: 'int8' }])]), differ);
});
