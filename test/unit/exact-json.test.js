'use strict';

// The JSON of objects that JSON.stringify cannot write, or writes without what they hold.

const assert = require('node:assert/strict');
const vm = require('node:vm');
const { exactJson, leavesOut } = require('../../lib/values/exact-json.js');
const { test, range } = require('../support/helpers');
const { documents } = require('../support/json.documents');

test('exact JSON: of what JSON.stringify can write it is the same text', () => {
  for (const seed of range(3)) {
    for (const text of documents(seed, 500, 'json')) {
      const document = JSON.parse(text);
      assert.equal(exactJson(document), JSON.stringify(document));
      if (typeof document === 'object' && document !== null) {
        assert.equal(leavesOut(JSON.stringify(document), document), false, text);
      }
    }
  }
  class Own {
    shown = 1;
    #hidden = 2;
    get sum() {
      return this.shown + this.#hidden;
    }
  }
  const symbol = Symbol('s');
  for (const value of [
    { a: undefined, b: () => {}, c: symbol, [symbol]: 1, d: [undefined, () => {}, symbol] },
    { toJSON: (/** @type {string} */ key) => [key] },
    { a: { toJSON: (/** @type {string} */ key) => `of ${key}` }, b: [{ toJSON: (/** @type {string} */ key) => key }] },
    { toJSON: () => undefined },
    { a: { toJSON: () => ({}) } },
    { date: new Date(0), none: new Date(NaN), url: new URL('http://x/'), bytes: Buffer.from('a') },
    [new Number(1), new String('s'), new Boolean(false)],
    { a: NaN, b: -0, c: 1e21, d: '\ud800"\u2028' },
    JSON.parse('{ "__proto__": 1, "2": 1, "1": 2 }'),
    Object.assign(Object.create({ inherited: 1 }), { own: 1 }),
    Object.assign(new Error('e'), { code: 7 }),
    new Own(),
    new (class {})(),
    Object.create(null),
    vm.runInNewContext('({ a: [{}], d: new Date(0) })'),
  ]) {
    assert.equal(exactJson(value), JSON.stringify(value));
  }
});

test('exact JSON: Maps, Sets, typed arrays and BigInts are written as what they say', () => {
  class Named extends Map {
    label = 'l';
  }
  const shared = new Map([['x', 1]]);
  for (const [value, text] of /** @type {[any, string][]} */ ([
    [new Map(), '{}'],
    [
      new Map(
        /** @type {any} */ ([
          ['b', 1],
          ['2', new Set([1n, undefined])],
          ['1', undefined],
          ['__proto__', null],
        ]),
      ),
      '{"b":1,"2":[1,null],"__proto__":null}',
    ],
    [new Set([new Set(), new Map([['a', new Date(0)]])]), '[[],{"a":"1970-01-01T00:00:00.000Z"}]'],
    [{ a: new Named([['k', 'v']]) }, '{"a":{"k":"v"}}'],
    [{ a: shared, b: shared }, '{"a":{"x":1},"b":{"x":1}}'],
    [
      { a: new Float64Array([1.5, NaN, -0]), b: new BigUint64Array([2n ** 64n - 1n]) },
      '{"a":[1.5,null,0],"b":[18446744073709551615]}',
    ],
    [{ a: { toJSON: () => new Set([1]) } }, '{"a":[1]}'],
    [{ toJSON: () => new Named([['k', 1]]) }, '{"k":1}'],
    [Object.assign(new Map([['k', 1]]), { toJSON: () => 'own' }), '"own"'],
    [{ big: 12345678901234567890n }, '{"big":12345678901234567890}'],
    [vm.runInNewContext('({ m: new Map([["a", new Set([1])]]) })'), '{"m":{"a":[1]}}'],
  ])) {
    assert.equal(exactJson(value), text);
  }
});

test('exact JSON: JSON.stringify leaves out what these objects hold, wherever they are', () => {
  class Named extends Map {
    label = 'l';
  }
  for (const hidden of [
    new Map(),
    new Named(),
    new Set(),
    new Int8Array(1),
    new ArrayBuffer(1),
    new WeakMap(),
    Promise.resolve(),
    /x/,
    new Error('e'),
  ]) {
    for (const value of [{ a: hidden }, { a: [1, [hidden]] }, { a: { b: { c: hidden }, d: {} } }]) {
      assert.equal(leavesOut(JSON.stringify(value), value), true, `${Object.prototype.toString.call(hidden)}`);
    }
  }
});

test('exact JSON: what has no JSON is refused by its name', () => {
  const loop = new Map();
  loop.set('self', { loop });
  for (const [value, message] of /** @type {[any, RegExp][]} */ ([
    [{ a: new WeakSet() }, /^WeakSet has no JSON$/],
    [{ a: Promise.resolve() }, /^Promise has no JSON$/],
    [{ a: new Map().entries() }, /^Map Iterator has no JSON$/],
    [[Object(Symbol('s'))], /^Symbol has no JSON$/],
    [{ a: new Proxy(new Map(), {}) }, /^Proxy of a Map has no JSON$/],
    [{ a: new ArrayBuffer(1) }, /^ArrayBuffer has no JSON$/],
    [{ a: new Uint8Array(1) }, /^Uint8Array has no JSON$/],
    [new Map([[1, 1]]), /^Map has a key of the type number/],
    [{ a: new Map([[null, 1]]) }, /^Map has a key of the type null/],
    [new Map([[Symbol('s'), 1]]), /^Map has a key of the type symbol/],
    [loop, /circular/],
  ])) {
    assert.throws(() => exactJson(value), { message });
  }
});
