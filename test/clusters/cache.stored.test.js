'use strict';

// The stored form of results: what comes back equals what was stored, or nothing is stored.

const assert = require('node:assert/strict');
const { decode, encode } = require('../../exports/clusters/cache/stored.js');
const { range, test } = require('../support/helpers.js');

const FORMS = [
  { enableCompression: false, compressionThreshold: 0 },
  { enableCompression: true, compressionThreshold: 0 },
];

/** @param {any[]} rows @param {Record<string, unknown>} [more] */
const resultOf = (rows, more) => ({
  rows,
  rowCount: rows.length,
  command: 'SELECT',
  fields: [],
  clusterId: 'a',
  node: 'h:1',
  cached: false,
  ...more,
});

/** Numbers from a seed. @param {number} seed */
function randomOf(seed) {
  let state = seed;
  return (/** @type {number} */ below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A value as a row may have it. @param {(below: number) => number} random @param {number} depth @returns {any} */
function generated(random, depth) {
  const pick = (/** @type {any[]} */ list) => list[random(list.length)];
  const text = () =>
    range(random(4))
      .map(() => pick(['a', '"', '\\', '\0', '\ud800', '\udc00', 'é', '🎈', '\u2028']))
      .join('');
  const name = () => pick(['a', 'b', '1', '0', '', '__proto__', 'constructor', 'toJSON', 'length', text()]);
  const list = () => range(random(4)).map(() => generated(random, depth + 1));
  const object = () => {
    const made = {};
    for (const value of list())
      Object.defineProperty(made, name(), { value, enumerable: true, writable: true, configurable: true });
    return made;
  };
  const kinds = [
    text,
    () => pick([0, -0, 1, -1.5, NaN, Infinity, -Infinity, 1e21, 5e-324, 2 ** 53, 0.1 + 0.2]),
    () => pick([0n, -1n, 2n ** 64n]),
    () => pick([true, false, null, undefined]),
    () => new Date(pick([0, -1, 8.64e15])),
    () => Buffer.from(range(random(4)).map(() => random(256))),
    ...(depth < 4 ? [list, object] : []),
  ];
  return pick(kinds)();
}

/** Own properties in their order, which deepStrictEqual does not compare. @param {any} value @returns {unknown} */
const orderOf = (value) =>
  typeof value !== 'object' || value === null || Buffer.isBuffer(value)
    ? 0
    : Object.entries(value).map(([name, member]) => [name, orderOf(member)]);

test('cache: results of generated values come back as they were', () => {
  const random = randomOf(3);
  const count = process.env.HYPERION_FULL ? 200_000 : 5_000;
  for (let i = 0; i < count; i++) {
    const names = range(random(4)).map((n) => ['__proto__', 'a', '1', 'b'][n]);
    const isArrays = random(2) === 0;
    const rows = range(random(4)).map(() => {
      const row = isArrays ? [] : {};
      names.forEach((name, index) => {
        const value = generated(random, 0);
        Object.defineProperty(row, isArrays ? index : name, {
          value,
          enumerable: true,
          writable: true,
          configurable: true,
        });
      });
      return row;
    });
    const result = resultOf(rows);
    const bytes = encode(result, FORMS[i % 2]);
    assert.ok(bytes !== null);
    const { cached, ...copy } = decode(bytes);
    assert.equal(cached, true);
    const { cached: _, ...expected } = result;
    assert.deepStrictEqual(copy, expected);
    assert.deepEqual(orderOf(copy), orderOf(expected));
  }
});

test('cache: rows with other members than the first are stored as they are', () => {
  const rows = [{ a: 1 }, { b: 2 }, { b: 1, a: 2 }, { a: 1, b: 2 }];
  const bytes = encode(resultOf(rows), FORMS[0]);
  assert.deepStrictEqual(decode(/** @type {Buffer} */ (bytes)).rows.map(Object.entries), rows.map(Object.entries));
});

const shared = { a: 1 };
const field = Object.freeze({ name: 'a', typeOid: 23 });

/** @type {Record<string, any>} */
const WITHOUT_COPY = {
  'one object in two places': resultOf([{ a: shared, b: shared }]),
  'an unknown member of the rows': resultOf(Object.assign([{ a: 1 }], { more: 1 })),
  'a hidden member of the rows that the result has not': resultOf(
    Object.defineProperty([{ a: 1 }], 'token', { value: 'x' }),
  ),
  'a hidden member of the rows that is another than the one of the result': resultOf(
    Object.defineProperty([{ a: 1 }], 'node', { value: 'other' }),
  ),
  'rows that are no array': resultOf(/** @type {any} */ ({ length: 0 })),
  'fields that are no array': resultOf([], { fields: null }),
  'a field of a class': resultOf([], { fields: Object.freeze([Object.freeze(new (class Field {})())]) }),
  'a frozen field among others': resultOf([], { fields: [field, { ...field }] }),
  'values that nest too deep': resultOf([{ a: range(300).reduce((/** @type {any} */ inner) => [inner], 1) }]),
};

for (const [name, result] of Object.entries(WITHOUT_COPY)) {
  test(`cache: a result is not stored with ${name}`, () => {
    assert.equal(encode(result, FORMS[0]), null);
  });
}

test('cache: frozen fields come back frozen, and one for all copies of an entry', () => {
  const bytes = /** @type {Buffer} */ (encode(resultOf([], { fields: Object.freeze([field]) }), FORMS[0]));
  const [first, second] = [decode(bytes), decode(bytes)];
  assert.deepStrictEqual(first.fields, [field]);
  assert.ok(Object.isFrozen(first.fields) && Object.isFrozen(first.fields[0]));
  assert.equal(first.fields, second.fields);
  const own = /** @type {Buffer} */ (encode(resultOf([], { fields: [{ ...field }] }), FORMS[0]));
  assert.notEqual(decode(own).fields, decode(own).fields);
  assert.ok(!Object.isFrozen(decode(own).fields));
});
