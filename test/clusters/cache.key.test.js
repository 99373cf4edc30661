'use strict';

// The keys of the cache: two calls that may have different results never have one.

const assert = require('node:assert/strict');
const vm = require('node:vm');
const { keyOf } = require('../../exports/clusters/cache/key.js');
const { range, test } = require('../support/helpers.js');

/** @param {Record<string, unknown>} call @param {readonly string[]} [labels] */
const found = (call, labels = []) =>
  keyOf(/** @type {any} */ ({ clusterId: 'a', schema: 's', identity: 'me', sql: 'SELECT $1', ...call }), labels);

/** Each is another parameter than every other. @type {Record<string, unknown>} */
const VALUES = {
  'the number 1': 1,
  'the BigInt 1': 1n,
  "the text '1'": '1',
  true: true,
  false: false,
  "the text 'true'": 'true',
  null: null,
  undefined: undefined,
  "the text 'null'": 'null',
  'an empty text': '',
  0: 0,
  '-0': -0,
  0.1: 0.1,
  '0.1 + 0.2': 0.1 + 0.2,
  0.3: 0.3,
  1.5: 1.5,
  "the text '1.5'": '1.5',
  NaN: NaN,
  "the text 'NaN'": 'NaN',
  Infinity: Infinity,
  '-Infinity': -Infinity,
  '2 ** 53': 2 ** 53,
  '2n ** 53n + 1n': 2n ** 53n + 1n,
  'a Buffer': Buffer.from('1'),
  'a Uint8Array': new Uint8Array([0x31]),
  'an empty Buffer': Buffer.alloc(0),
  'a Buffer of bytes that are no UTF-8': Buffer.from([0xff]),
  another: Buffer.from([0xfe]),
  'an Int8Array': new Int8Array([0x31]),
  'an Int16Array': new Int16Array([1, 2]),
  'an Int32Array': new Int32Array([1, 2]),
  'a Float64Array': new Float64Array([1, 2]),
  'a Date': new Date(0),
  'a Date 1 ms later': new Date(1),
  'an invalid Date': new Date(NaN),
  'the text of a Date': new Date(0).toJSON(),
  'the number of a Date': 0.5,
  'an array of a number': [1],
  'an array of a text': ['1'],
  'an array of a BigInt': [1n],
  'an array of null': [null],
  'an array of undefined': [undefined],
  'an empty array': [],
  'nested arrays': [[1], [2]],
  'other nested arrays': [[1, 2]],
  'nested once more': [[[1, 2]]],
  'the text of an array': '[1]',
  'an array of two texts': ['a', 'b'],
  'an array of a text with a comma': ['a,b'],
  "the text 'a' in an array, with marks": ['1:a', 's'],
  'an empty object': {},
  'an object': { a: 1 },
  'an object with a text': { a: '1' },
  'an object with two members': { a: 1, b: 2 },
  'the same in another order': { b: 2, a: 1 },
  'a nested object': { a: { b: 1 } },
  'a name with a dot': { 'a.b': 1 },
  'a member that is undefined': { a: undefined },
  'a member that is null': { a: null },
  'a member that is named __proto__': JSON.parse('{"__proto__": 1}'),
  'the JSON of an object': '{"a":1}',
  'a Map': new Map([['a', 1]]),
  'a Map with a text': new Map([['a', '1']]),
  'an empty Map': new Map(),
  'a Set': new Set([1]),
  'a Set of a text': new Set(['1']),
  'an empty Set': new Set(),
  'a half of a surrogate pair': '\ud800',
  'another half': '\ud801',
  'the character that UTF-8 has for both': '\ufffd',
  'both halves': '\ud83c\udf88',
  'a text with a NUL': 'a\0b',
  'a text as it is written': 's1:1',
  'an é in one character': 'é',
  'an é in two': 'e\u0301',
};

test('cache: each kind of parameter has a key of its own', () => {
  const keys = new Map();
  for (const [name, value] of Object.entries(VALUES)) {
    const one = found({ params: [value] });
    assert.ok(one !== null, `${name} has a key`);
    assert.equal(keys.get(one.key), undefined, `${name} has the key of ${keys.get(one.key)}`);
    keys.set(one.key, name);
    assert.match(one.key, /^[\w-]{43}$/);
  }
});

test('cache: the same values have the same key, in whatever object they are', () => {
  for (const [name, value] of Object.entries(VALUES)) {
    const one = found({ params: [value] });
    assert.equal(found({ params: [value] })?.key, one?.key, name);
    // What is run is a copy, and has the key of what it was copied from.
    assert.equal(found({ params: one?.params })?.key, one?.key, name);
    const first = one?.params[0];
    if (typeof value === 'object' && value !== null) assert.notEqual(first, value, `${name} is copied`);
    if (!(value instanceof Date)) assert.deepStrictEqual(first, value, name);
  }
});

/** Each is another call than every other. */
const CALLS = /** @type {[any, string[]?][]} */ ([
  [{}],
  [{ clusterId: 'b' }],
  [{ clusterId: 'as' }],
  [{ schema: 't' }],
  [{ schema: undefined }],
  [{ schema: 'undefined' }],
  [{ clusterId: 'a s', schema: '' }],
  [{ identity: 'you' }],
  [{ sql: 'SELECT $1 ' }],
  [{ sql: 'select $1' }],
  [{ rowMode: 'array' }],
  [{ params: [1] }],
  [{ params: [1, 2] }],
  [{ params: [[1, 2]] }],
  [{ params: [1, undefined] }],
  [{ params: [null] }],
  [{ params: [undefined] }],
  [{ params: ['a', 'b'] }],
  [{ params: ['ab', ''] }],
  [{ params: ['', 'ab'] }],
  [{ params: ['a', 's'] }],
  [{ params: ['as', ''] }],
  [{ params: ['1:a', 's'] }],
  [{ params: ['1', ':as'] }],
  [{ sql: 'SELECT $1a', params: ['b'] }],
  [{ sql: 'SELECT $1', params: ['ab'] }],
  [{ types: {} }],
  [{ types: { int8: 'number' } }],
  [{ types: { int8: 'string' } }],
  [{ types: { date: 'date' } }],
  [{ types: { parsers: { int8: (/** @type {string} */ text) => text } } }],
  [{ types: { parsers: { int8: (/** @type {string} */ text) => text } } }],
  [{ types: { parsers: { int8: Number } } }],
  [{ types: { parsers: { int4: Number } } }],
  [{ types: { serializers: { int4: Number } } }],
  [{ types: { parsers: { int8: null } } }],
  [{}, ['t:a']],
  [{}, ['t:b']],
  [{}, ['t:a', 't:b']],
  [{}, ['k:a']],
]);

test('cache: cluster, schema, identity, SQL, row mode, types, tags and parameters each make another key', () => {
  const keys = CALLS.map(([call, labels]) => found(call, labels)?.key);
  assert.equal(new Set(keys).size, CALLS.length);
  assert.ok(!keys.includes(undefined));
  assert.equal(found({ rowMode: 'object' })?.key, keys[0], 'the default says the same as nothing');
  assert.equal(found({ params: [] })?.key, keys[0]);
  assert.equal(found({ params: null })?.key, keys[0]);
  assert.equal(
    found({ types: { parsers: { int8: Number } } })?.key,
    found({ types: { parsers: { int8: Number } } })?.key,
  );
});

class Money {
  cents = 5;
}

/** @type {Record<string, unknown>} */
const UNCERTAIN = {
  'a function': () => {},
  'a symbol': Symbol('a'),
  'an instance of a class': new Money(),
  'an object with toJSON': { toJSON: () => 1 },
  'an array with toJSON': Object.assign([1], { toJSON: () => 1 }),
  'a Map with toJSON': Object.assign(new Map(), { toJSON: () => 1 }),
  'a Date with a toJSON of its own': Object.assign(new Date(0), { toJSON: () => 1 }),
  'a Buffer with a toJSON of its own': Object.assign(Buffer.from('a'), { toJSON: () => 1 }),
  'a Promise': Promise.resolve(1),
  'a RegExp': /a/,
  'an Error': new Error('a'),
  'a boxed number': Object(1),
  'a Proxy': new Proxy({}, {}),
  'a DataView': new DataView(new ArrayBuffer(1)),
  'an ArrayBuffer': new ArrayBuffer(1),
  'an object of another realm': vm.runInNewContext('({ a: 1 })'),
  'a subclass of Map': new (class extends Map {})(),
  'memory that was transferred': (() => {
    const bytes = new Uint8Array(4);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  })(),
  'a getter that throws': Object.defineProperty({}, 'a', {
    enumerable: true,
    get() {
      throw new Error('no');
    },
  }),
  'an object that contains itself': (() => {
    const object = /** @type {any} */ ({});
    object.self = object;
    return object;
  })(),
};

for (const [name, value] of Object.entries(UNCERTAIN)) {
  test(`cache: a call with ${name} as a parameter has no key, in whatever it stands`, () => {
    for (const params of [[value], [1, [value]], [{ a: value }], [new Map([['a', value]])], [new Set([value])]]) {
      assert.equal(found({ params }), null);
    }
  });
}

test('cache: a call whose parameters are no array, or whose SQL is no text, has no key', () => {
  for (const call of [{ params: 'a' }, { params: {} }, { sql: undefined }, { sql: { text: 'SELECT 1', values: [] } }]) {
    assert.equal(found(call), null);
  }
});

test('cache: a getter is read once, and the statement runs with what the key has', () => {
  let reads = 0;
  const object = Object.defineProperty({}, 'n', { enumerable: true, get: () => ++reads });
  const one = found({ params: [object] });
  assert.deepEqual([one?.params, reads], [[{ n: 1 }], 1]);
  assert.equal(one?.key, found({ params: [{ n: 1 }] })?.key);
});

/** Numbers from a seed, the same in each run (mulberry32). @param {number} seed */
function randomOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A value of few letters and digits, so that many are nearly equal. @param {() => number} random @param {number} depth @returns {any} */
function generated(random, depth) {
  const pick = (/** @type {any[]} */ list) => list[Math.floor(random() * list.length)];
  const text = () =>
    range(Math.floor(random() * 4))
      .map(() => pick(['s', 's', 's', '1', ':', 'A', '"', '\ud800', 'é']))
      .join('');
  const list = () => range(Math.floor(random() * 3)).map(() => generated(random, depth + 1));
  const kinds = [
    ...[text, text, text],
    () => Math.floor(random() * 3),
    () => BigInt(Math.floor(random() * 3)),
    () => random() < 0.5,
    () => null,
    () => undefined,
    () => pick([0.5, -0, NaN, 1e21]),
    () => new Date(Math.floor(random() * 3)),
    () => Buffer.from(text()),
    ...(depth < 3
      ? [
          list,
          list,
          () => Object.fromEntries(list().map((/** @type {any} */ value) => [text(), value])),
          () => new Set(list()),
          () => new Map(list().map((/** @type {any} */ value) => [text(), value])),
        ]
      : []),
  ];
  return pick(kinds)();
}

/** A value in a notation of its own, by another way than the key: as source text. @param {any} value @returns {string} */
function written(value) {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (Buffer.isBuffer(value)) return `Buffer(${value.toString('hex')})`;
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof Set) return `Set${written([...value])}`;
  if (value instanceof Map) return `Map${written([...value])}`;
  if (Array.isArray(value)) return `[${value.map(written).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, member]) => `${JSON.stringify(name)}:${written(member)}`)
      .join(',')}}`;
  }
  return String(value);
}

test('cache: of many generated calls those that differ have different keys, and equal ones the same', (t) => {
  const random = randomOf(7);
  const count = process.env.HYPERION_FULL ? 1_000_000 : 30_000;
  /** @type {Map<string, string>} */
  const byKey = new Map();
  /** @type {Map<string, string>} */
  const byText = new Map();
  for (let i = 0; i < count; i++) {
    const params = range(Math.floor(random() * 3)).map(() => generated(random, 0));
    const text = written(params);
    const key = /** @type {{ key: string }} */ (found({ params })).key;
    assert.equal(byKey.get(key) ?? text, text);
    assert.equal(byText.get(text) ?? key, key, text);
    byKey.set(key, text);
    byText.set(text, key);
  }
  assert.ok(byKey.size > count / 20 && byKey.size < count, `${byKey.size} different calls among ${count}`);
  t.diagnostic(`${count} calls, ${byKey.size} different ones`);
});
