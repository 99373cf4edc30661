'use strict';

// Maps, Sets and memory as parameters: each is sent as what it says, or is refused by its name, wherever parameters go.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const vm = require('node:vm');
const { sql } = require('../../client.js');
const { endings, failureOf, test, useCluster } = require('../support/helpers');
const { shown, valueIn } = require('./types.values');

const db = useCluster({ nodes: 1, synchronous: false });

/** @param {Record<string, unknown>} object */
const map = (object) => new Map(Object.entries(object));
/** @param {...unknown} elements */
const set = (...elements) => new Set(elements);
/** Bytes 0 to 7, and views of a part of them. */
const memory = () => new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]).buffer;
/** A view whose memory went elsewhere. @template {ArrayBufferView<ArrayBuffer>} T @param {T} view @returns {T} */
function transferred(view) {
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

class Labelled extends Map {
  label = 'of the subclass';
}
class Ordered extends Set {
  order = 'of the subclass';
}
const foreign = vm.runInNewContext(
  `({ map: new Map([['a', new Set([1])]]), set: new Set([1, 2]), buffer: new Uint8Array([1, 2]).buffer, shorts: new Int16Array([1, -1]),
    view: new DataView(new Uint8Array([1, 2]).buffer, 1) })`,
);
const shared = new SharedArrayBuffer(4);
new Uint8Array(shared).set([1, 2, 3, 4]);

// JavaScript, parameter type, the server's text
const ACCEPTED = /** @type {[any, string, string][]} */ ([
  [memory(), 'bytea', '\\x0001020304050607'],
  [new DataView(memory(), 2, 3), 'bytea', '\\x020304'],
  [shared, 'bytea', '\\x01020304'],
  [new Uint16Array(shared, 2), 'bytea', '\\x0304'],
  [new DataView(shared, 1, 2), 'bytea', '\\x0203'],
  [new Int8Array(memory(), 6), 'bytea', '\\x0607'],
  [new Uint8ClampedArray(memory(), 6), 'bytea', '\\x0607'],
  [new Int16Array([1, -1]), 'bytea', '\\x0100ffff'],
  [new Uint16Array(memory(), 2, 2), 'bytea', '\\x02030405'],
  [new Int32Array([-2]), 'bytea', '\\xfeffffff'],
  [new Uint32Array([1]), 'bytea', '\\x01000000'],
  [new Float32Array([1]), 'bytea', '\\x0000803f'],
  [new Float64Array([1]), 'bytea', '\\x000000000000f03f'],
  [new BigInt64Array([-1n]), 'bytea', '\\xffffffffffffffff'],
  [new BigUint64Array([1n]), 'bytea', '\\x0100000000000000'],
  [new ArrayBuffer(0), 'bytea', '\\x'],
  [foreign.buffer, 'bytea', '\\x0102'],
  [foreign.shorts, 'bytea', '\\x0100ffff'],
  [foreign.view, 'bytea', '\\x02'],
  [
    [new Uint16Array([1]), Buffer.from('a'), new DataView(memory(), 7), null],
    'bytea[]',
    '{"\\\\x0100","\\\\x61","\\\\x07",NULL}',
  ],
  [set(new Float32Array([1]), memory().slice(0, 1)), 'bytea[]', '{"\\\\x0000803f","\\\\x00"}'],
  [new Int8Array([1, -1]), 'int2[]', '{1,-1}'],
  [new Uint8ClampedArray([1, 255]), 'int2[]', '{1,255}'],
  [new Int16Array([1, -1]), 'int4[]', '{1,-1}'],
  [new Uint16Array([65535]), 'int4[]', '{65535}'],
  [new Int32Array([-2]), 'int8[]', '{-2}'],
  [new Uint32Array([2 ** 32 - 1]), 'int8[]', '{4294967295}'],
  [new Float32Array([0.5, NaN]), 'float4[]', '{0.5,NaN}'],
  [new Float64Array([0.1, -0, Infinity]), 'float8[]', '{0.1,-0,Infinity}'],
  [new BigInt64Array([-(2n ** 63n)]), 'int8[]', '{-9223372036854775808}'],
  [new BigUint64Array([2n ** 64n - 1n]), 'numeric[]', '{18446744073709551615}'],
  [[new Int16Array([1, 2]), set(3, 4)], 'int4[]', '{{1,2},{3,4}}'],
  [new Float64Array([1, NaN]), 'jsonb', '[1, null]'],
  [{ a: new Float64Array([1, NaN]) }, 'jsonb', '{"a": [1, null]}'],
  [new Uint16Array([1, 2]), 'int2vector', '1 2'],
  [set(3, 1, null, 2), 'int4[]', '{3,1,NULL,2}'],
  [set('a', 'NULL'), 'text[]', '{a,"NULL"}'],
  [set(), 'int4[]', '{}'],
  [new Ordered([2, 1]), 'int4[]', '{2,1}'],
  [foreign.set, 'int4[]', '{1,2}'],
  [set(1, 'x', undefined, [set(2)], { a: 1 }), 'jsonb', '[1, "x", null, [[2]], {"a": 1}]'],
  [new Ordered([1]), 'json', '[1]'],
  [map({ b: 1, a: map({ c: set(1n) }) }), 'json', '{"b":1,"a":{"c":[1]}}'],
  [map({}), 'jsonb', '{}'],
  [new Labelled([['a', 1]]), 'json', '{"a":1}'],
  [{ list: [new Labelled([['a', 1]]), { set: new Ordered([1]) }] }, 'json', '{"list":[{"a":1},{"set":[1]}]}'],
  [[map({ a: 1 }), set(1)], 'jsonb', '[{"a": 1}, [1]]'],
  [map({ a: undefined, b: () => 1, c: null }), 'json', '{"c":null}'],
  [{ a: Symbol('s'), b: [() => 1, undefined], c: 1n }, 'json', '{"b":[null,null],"c":1}'],
  [foreign.map, 'jsonb', '{"a": [1]}'],
  [{ toJSON: () => map({ a: 1 }) }, 'jsonb', '{"a": 1}'],
  [Object.assign(map({ a: 1 }), { toJSON: () => 'own' }), 'jsonb', '"own"'],
  [Object.assign(set(1), { toJSON: () => 'own' }), 'jsonb', '"own"'],
  [map({ a: 1 }), 'text', '{"a":1}'],
  [[map({ a: 1 })], 'jsonb[]', '{"{\\"a\\": 1}"}'],
  [map({ a: 1, b: null }), 'hstore', '"a"=>"1", "b"=>NULL'],
  [map({ lower: 1, upper: 5 }), 'int4range', '[1,5)'],
  [set(map({ lower: 1, upper: 5 }), '[7,9)'), 'int4range[]', '{"[1,5)","[7,9)"}'],
  [
    map({ data: new Uint16Array([1]), doc: map({ s: set(1) }), list: set(1, 2) }),
    'record_of',
    '("\\\\x0100","{""s"": [1]}","{1,2}")',
  ],
  [{ data: memory().slice(0, 2), doc: { f: new Float32Array([1]) } }, 'record_of', '("\\\\x0001","{""f"": [1]}",)'],
  [set({ list: new Int16Array([1]) }), 'record_of[]', '{"(,,{1})"}'],
]);

// JavaScript, parameter type, what the message says
const REFUSED = /** @type {[any, string, RegExp][]} */ ([
  [memory(), 'jsonb', /\$1: ArrayBuffer cannot be sent as jsonb$/],
  [shared, 'json', /\$1: SharedArrayBuffer cannot be sent as json$/],
  [new DataView(memory()), 'jsonb', /\$1: DataView cannot be sent as jsonb$/],
  [{ a: [new DataView(memory())] }, 'jsonb', /\$1: DataView cannot be sent as jsonb$/],
  [{ a: new Uint8Array(1) }, 'jsonb', /\$1: Buffer cannot be sent as jsonb$/],
  [map({ a: memory() }), 'jsonb', /\$1: ArrayBuffer cannot be sent as jsonb$/],
  [{ data: memory(), doc: { d: new DataView(memory()) } }, 'record_of', /\$1: DataView cannot be sent as jsonb$/],
  [memory(), 'int4[]', /\$1: ArrayBuffer cannot be sent as int4\[\]$/],
  [new Int16Array(1), 'int4', /\$1: Int16Array cannot be sent as int4$/],
  [new Float64Array([1.5]), 'int4[]', /\$1: number does not fit int4$/],
  [set(1), 'int4', /\$1: Set cannot be sent as int4$/],
  [set(1), 'text', /\$1: Set cannot be sent as text$/],
  [map({ a: 1 }), 'int4', /\$1: Map cannot be sent as int4$/],
  [map({ a: 1 }), 'int4[]', /\$1: Map cannot be sent as int4\[\]$/],
  [map({ a: 1 }), 'bytea', /\$1: Map cannot be sent as bytea$/],
  [map({ other: 1 }), 'record_of', /\$1: "other" is no member of record_of$/],
  [map({ a: set(1) }), 'hstore', /\$1: Set cannot be sent as hstore$/],
  [new Map([[1, 1]]), 'jsonb', /\$1: Map .* key of the type number/],
  [new Map([[{}, 1]]), 'hstore', /\$1: Map .* key of the type object/],
  [[1, { a: new Map([[null, 1]]) }], 'jsonb', /\$1: .*Map has a key of the type null/],
  [new WeakMap(), 'jsonb', /\$1: WeakMap cannot be sent$/],
  [new WeakSet(), 'int4[]', /\$1: WeakSet cannot be sent$/],
  [Promise.resolve(1), 'int4', /\$1: Promise cannot be sent$/],
  [{ data: memory(), doc: Promise.resolve() }, 'record_of', /\$1: .*Promise has no JSON$/],
  [{ a: [Promise.resolve(1)] }, 'jsonb', /\$1: .*Promise has no JSON$/],
  [new Map().values(), 'int4[]', /\$1: Map Iterator cannot be sent$/],
  [/x/, 'jsonb', /\$1: RegExp cannot be sent$/],
  [new Error('e'), 'jsonb', /\$1: Error cannot be sent$/],
  [{ error: new Error('e') }, 'jsonb', /\$1: .*Error has no JSON$/],
  [set(() => 1), 'int4[]', /\$1: a function cannot be sent$/],
  [transferred(new Int16Array(2)), 'bytea', /\$1: the memory of the Int16Array is gone/],
  [transferred(new Uint8Array(2)), 'bytea', /\$1: the memory of the Uint8Array is gone/],
  [transferred(new DataView(new ArrayBuffer(1))), 'bytea', /\$1: the memory of the DataView is gone/],
]);

describe('Maps, Sets and memory as parameters', () => {
  before(async () => {
    await db.started;
    await db.sql('CREATE EXTENSION hstore');
    await db.sql('CREATE TYPE record_of AS (data bytea, doc jsonb, list int4[])');
  });

  test('parameters: Maps, Sets and memory are sent as what they say, also when the types are known', async (t) => {
    const pool = db.pool(t);
    for (const round of ['first', 'later']) {
      for (const [value, type, text] of ACCEPTED) {
        const [{ value: got, error }] = await endings([valueIn(pool, `SELECT $1::${type}::text AS v`, [value])]);
        assert.equal(got, text, `${shown(value)} as ${type}, ${round}: ${error?.stack}`);
      }
    }
  });

  test('parameters: what Maps, Sets and memory cannot be is refused by their names', async (t) => {
    const pool = db.pool(t);
    for (const round of ['first', 'later']) {
      for (const [value, type, message] of REFUSED) {
        const what = `${Object.prototype.toString.call(value)} as ${type}, ${round}`;
        const [{ error }] = await endings([pool.query(`SELECT $1::${type}`, [value])]);
        assert.equal(error?.code, 'ERR_INVALID_PARAM', what);
        assert.match(error.message, message, what);
      }
    }
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('parameters: Maps, Sets and memory go by every way on which parameters go', async (t) => {
    const pool = db.pool(t);
    const params = [map({ a: set(1) }), set(1, 2), new Uint16Array([1]), { data: memory().slice(0, 1) }];
    const expected = {
      doc: { a: [1] },
      list: [1, 2],
      data: Buffer.from([1, 0]),
      row: { data: Buffer.from([0]), doc: null, list: null },
    };
    const text = 'SELECT $1::jsonb AS doc, $2::int4[] AS list, $3::bytea AS data, $4::record_of AS row';
    const [doc, list, data, row] = params;
    const fragment = () =>
      sql`SELECT ${doc}::jsonb AS doc, ${list}::int4[] AS list, ${data}::bytea AS data, ${row}::record_of AS row`;
    assert.deepStrictEqual(await pool.query(fragment()), [expected]);
    for (const { value } of await pool.batch([[text, params], fragment()])) assert.deepStrictEqual(value, [expected]);
    const streamed = [];
    for await (const one of pool.stream(text, params)) streamed.push(one);
    assert.deepStrictEqual(streamed, [expected]);
    await pool.transaction(async (/** @type {any} */ tx) => {
      assert.deepStrictEqual(await tx.query(text, params), [expected]);
    });
    await pool.query('CREATE TABLE loaded (doc jsonb, list int4[], data bytea, row record_of)');
    await pool.copyFrom('loaded', [params, { doc, list, data, row }]);
    assert.deepStrictEqual(await pool.query('SELECT * FROM loaded'), [expected, expected]);
    const [{ error }] = await endings([pool.copyFrom('loaded', [params, [new WeakMap(), null, null, null]])]);
    assert.equal(error.message, 'row 2, column "doc": WeakMap cannot be sent');
  });

  test('parameters: serializers get the elements of a Set and the members of a Map', async (t) => {
    const serializers = { int4: (/** @type {number} */ n) => String(n * 10), bytea: () => '\\xff' };
    const pool = db.pool(t, { types: { serializers } });
    const [row] = await pool.query('SELECT $1::int4[] AS list, $2::record_of AS row', [
      set(1, null, 2),
      map({ data: memory(), list: set(1) }),
    ]);
    assert.deepStrictEqual(row, {
      list: [10, null, 20],
      row: { data: Buffer.from([255]), doc: null, list: [10] },
    });
    const error = await failureOf(pool.query('SELECT $1::record_of', [new Date()]));
    assert.equal(error.message, 'parameter $1: Date cannot be sent as record_of');
  });

  test('copyFrom: a Map or a Set is no row', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE sizes (size int4)');
    for (const row of [map({ size: 1 }), set(1)]) {
      const error = await failureOf(pool.copyFrom('sizes', [row]));
      assert.match(error.message, /^row 1 is a (Map|Set): a row is an array or an object$/);
    }
  });
});
