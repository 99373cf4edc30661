'use strict';

// The parsers of the process and of a client, and what the core is told of them.

const assert = require('node:assert/strict');
const Stock = require('pg').TypeOverrides;
const stock = require('pg-types');
const client = /** @type {any} */ (require('../../client.js'));
const defaults = require('../../exports/pg/defaults.js');
const TypeOverrides = require('../../exports/pg/type-overrides.js');
const types = require('../../exports/pg/types.js');
const { test } = require('../support/helpers.js');
const { ROUNDS, randomFrom, shapeOf } = require('./values.support.js');

const upper = (/** @type {string} */ text) => text.toUpperCase();
const NATIVE = [16, 17, 21, 23, 26, 114, 700, 701, 3802];

/**
 * Runs `body` while textTypes() is this, and undoes what it has done to the parsers of the process.
 * @param {import('node:test').TestContext} t
 */
function watched(t) {
  const options = client[Symbol.for('hyperiondb-client.options')];
  const { textTypes } = options;
  /** @type {any[]} */
  const made = [];
  options.textTypes = (/** @type {any} */ given) => {
    made.push(given);
    return given;
  };
  t.after(() => {
    options.textTypes = textTypes;
  });
  return made;
}

/** @param {import('node:test').TestContext} t @param {number} oid @param {(value: any) => any} parser */
function setFor(t, oid, parser) {
  const before = types.getTypeParser(oid);
  types.setTypeParser(oid, parser);
  t.after(() => types.setTypeParser(oid, before));
}

test('types has the names and the builtins of pg', () => {
  assert.deepEqual(Object.keys(types).sort(), Object.keys(stock).sort());
  assert.deepEqual(types.builtins, stock.builtins);
  assert.deepEqual(Object.keys(types.arrayParser), Object.keys(stock.arrayParser));
});

test('types: an unknown type and an unknown format have a parser that makes a string', () => {
  for (const of of [types, stock]) {
    assert.equal(of.getTypeParser(99_999)(/** @type {any} */ (1)), '1');
    assert.equal(/** @type {any} */ (of).getTypeParser(23, 'strange')('1'), '1');
    assert.equal(of.getTypeParser(99_999, 'binary')(Buffer.from('é')), 'é');
    assert.throws(() => /** @type {any} */ (of).setTypeParser(23, 'strange', upper), TypeError);
  }
});

test('types.setTypeParser with and without a format', (t) => {
  setFor(t, 99_001, upper);
  assert.equal(types.getTypeParser(99_001), upper);
  assert.equal(types.getTypeParser(99_001, 'text'), upper);
  assert.notEqual(types.getTypeParser(99_001, 'binary'), upper);
  types.setTypeParser(99_002, 'binary', upper);
  assert.equal(types.getTypeParser(99_002, 'binary'), upper);
  assert.notEqual(types.getTypeParser(99_002), upper);
});

test('defaults.parseInt8 makes int8 and int8[] numbers, and text again', () => {
  const values = () => [types.getTypeParser(20)('12'), types.getTypeParser(1016)('{1,NULL,2}')];
  assert.deepEqual(values(), ['12', ['1', null, '2']]);
  defaults.parseInt8 = true;
  assert.deepEqual(values(), [12, [1, null, 2]]);
  assert.equal(defaults.parseInt8, undefined);
  defaults.parseInt8 = false;
  assert.deepEqual(values(), ['12', ['1', null, '2']]);
});

test('TypeOverrides behaves as that of pg', () => {
  const seen = (/** @type {any} */ Class, /** @type {any} */ base) => {
    const one = new Class(base);
    one.setTypeParser(1, upper);
    one.setTypeParser(2, 'binary', upper);
    one.setTypeParser(3, 'strange', upper);
    return [
      ...[1, 2, 3].flatMap((oid) => [
        one.getTypeParser(oid),
        one.getTypeParser(oid, 'text'),
        one.getTypeParser(oid, 'binary'),
      ]),
      one.getTypeParser(23)('12'),
      one.getOverrides('text'),
      one.getOverrides('strange'),
      Object.keys(one),
    ].map((part) => (part === upper ? 'upper' : typeof part === 'function' ? 'another' : part));
  };
  assert.deepEqual(seen(TypeOverrides, undefined), seen(Stock, undefined));
  const base = { getTypeParser: (/** @type {number} */ oid, /** @type {string} */ format) => () => `${oid} ${format}` };
  assert.deepEqual(seen(TypeOverrides, base), seen(Stock, base));
});

test('coreTypes: the core makes the values of the types that have their first parsers', (t) => {
  const made = watched(t);
  const known = types.coreTypes();
  assert.equal(known, types.coreTypes(types));
  assert.equal(known, types.coreTypes(new TypeOverrides()));
  assert.equal(known.parse, null);
  const { native, parsers } = made.at(-1) ?? known.types;
  assert.deepEqual(
    [...native].sort((a, b) => a - b),
    NATIVE,
  );
  assert.equal(parsers.get(1114), types.getTypeParser(1114));
  assert.deepEqual(
    [parsers.has(20), parsers.has(25), parsers.has(1700), parsers.has(23)],
    [false, false, false, false],
  );
});

test('coreTypes: setTypeParser of the process is noticed, and undone gives the first object again', (t) => {
  watched(t);
  const before = types.coreTypes();
  const json = types.getTypeParser(114);
  types.setTypeParser(114, upper);
  const after = /** @type {any} */ (types.coreTypes().types);
  types.setTypeParser(114, json);
  assert.equal(after.parsers.get(114), upper);
  assert.ok(!after.native.includes(114));
  assert.equal(types.coreTypes(), before);
});

test('coreTypes: overrides of a client are noticed, also those that are put into `text`', (t) => {
  watched(t);
  const overrides = new TypeOverrides();
  const first = types.coreTypes(overrides);
  overrides.setTypeParser(1700, Number);
  const second = types.coreTypes(overrides);
  assert.notEqual(second, first);
  assert.equal(types.coreTypes(overrides), second);
  overrides.text[1700] = upper;
  assert.equal(/** @type {any} */ (types.coreTypes(overrides).types).parsers.get(1700), upper);
  delete overrides.text[1700];
  assert.equal(types.coreTypes(overrides), first);
});

test('coreTypes: two clients with the same overrides share one object', (t) => {
  watched(t);
  const [one, two] = [new TypeOverrides(), new TypeOverrides(new TypeOverrides())];
  one.setTypeParser(20, Number);
  two._types.setTypeParser(20, Number);
  assert.equal(types.coreTypes(one), types.coreTypes(two));
  two.setTypeParser(21, upper);
  assert.notEqual(types.coreTypes(one), types.coreTypes(two));
  assert.ok(!(/** @type {any} */ (types.coreTypes(two).types).native.includes(21)));
});

test('coreTypes: an object with getTypeParser() of its own gets all values as text', (t) => {
  watched(t);
  const own = { getTypeParser: (/** @type {number} */ oid) => (oid === 20 ? Number : types.getTypeParser(oid)) };
  class Sub extends /** @type {any} */ (TypeOverrides) {
    getTypeParser() {
      return upper;
    }
  }
  const instance = new TypeOverrides();
  instance.getTypeParser = () => upper;
  for (const source of [own, new TypeOverrides(own), new Sub(), instance]) {
    const { types: core, parse } = types.coreTypes(source);
    const { native, parsers } = /** @type {any} */ (core);
    assert.deepEqual([native, parsers.size], [[], 0]);
    assert.equal(/** @type {any} */ (parse)(20, 'text'), source.getTypeParser(20, 'text'));
  }
});

test('coreTypes: a replaced types.getTypeParser is asked', (t) => {
  watched(t);
  const { getTypeParser } = types;
  t.after(() => {
    types.getTypeParser = getTypeParser;
  });
  types.getTypeParser = () => upper;
  assert.equal(/** @type {any} */ (types.coreTypes().parse)(23), upper);
});

test('binary parsers are those of pg-types, where these read bytes rightly', () => {
  const random = randomFrom(10);
  const compare = (/** @type {number} */ oid, /** @type {Buffer} */ bytes) => {
    const [our, their] = [types, stock].map((of) => of.getTypeParser(oid, 'binary')(bytes));
    assert.deepStrictEqual(shapeOf(our), shapeOf(their), `${oid}: ${bytes.toString('hex')}`);
  };
  const buffer = (/** @type {number} */ size, /** @type {(bytes: Buffer) => unknown} */ write) => {
    const bytes = Buffer.alloc(size);
    write(bytes);
    return bytes;
  };
  for (let round = 0; round < ROUNDS; round++) {
    const int = random.between(-(2 ** 31), 2 ** 31 - 1);
    for (const oid of [23, 26])
      compare(
        oid,
        buffer(4, (bytes) => bytes.writeInt32BE(int)),
      );
    compare(
      21,
      buffer(2, (bytes) => bytes.writeInt16BE(int >> 16)),
    );
    compare(
      20,
      buffer(8, (bytes) => bytes.writeBigInt64BE(BigInt(int) * BigInt(random.between(0, 2 ** 32)))),
    );
    const float = (random.next() - 0.5) * 10 ** random.between(-30, 30);
    compare(
      701,
      buffer(8, (bytes) => bytes.writeDoubleBE(float)),
    );
    compare(
      700,
      buffer(4, (bytes) => bytes.writeFloatBE(float)),
    );
    compare(16, Buffer.from([random.between(0, 1)]));
    compare(25, Buffer.from(random.word('aé😀', 5)));
    const micros = buffer(8, (bytes) => bytes.writeBigInt64BE(BigInt(random.between(0, 2 ** 52))));
    compare(1114, micros);
    compare(1184, micros);
    const digits = [random.between(1, 9_999), random.between(0, 9_999)];
    compare(
      1700,
      Buffer.from(new Uint16Array([2, random.between(0, 1), random.of([0, 0x4000]), 4, ...digits]).buffer).swap16(),
    );
  }
});

test('binary parsers: what pg-types reads wrongly is right', () => {
  const read = (/** @type {number} */ oid, /** @type {string} */ hex) =>
    types.getTypeParser(oid, 'binary')(Buffer.from(hex, 'hex'));
  assert.ok(Number.isNaN(read(701, '7ff8000000000000')));
  assert.equal(read(700, '7f800000'), Number.POSITIVE_INFINITY);
  assert.equal(read(701, 'fff0000000000000'), Number.NEGATIVE_INFINITY);
  assert.equal(read(701, '0000000000000001'), 5e-324);
  assert.ok(Object.is(read(701, '8000000000000000'), -0));
  // 1999-12-31 23:59:59.999999
  const date = read(1184, 'ffffffffffffffff');
  assert.deepEqual([date.getTime(), date.getMicroSeconds()], [946_684_799_999, 999]);
  // 0.5, NaN, Infinity
  assert.equal(read(1700, '0001ffff000000011388'), 0.5);
  assert.ok(Number.isNaN(read(1700, '00000000c0000000')));
  assert.equal(read(1700, '00000000d0000020'), Number.POSITIVE_INFINITY);
  // '{{1,-2},{NULL,3}}'::int4[], '{}'::int4[], '{t}'::bool[], '{-1}'::int8[], '{a,NULL}'::text[]
  const int = (/** @type {string} */ hex) => `00000004${hex}`;
  assert.deepEqual(
    read(
      1007,
      `000000020000000100000017${'0000000200000001'.repeat(2)}${int('00000001')}${int('fffffffe')}ffffffff${int('00000003')}`,
    ),
    [
      [1, -2],
      [null, 3],
    ],
  );
  assert.deepEqual(read(1007, '000000000000000000000017'), []);
  assert.deepEqual(read(1000, '00000001000000000000001000000001000000010000000101'), [true]);
  assert.deepEqual(read(1016, `0000000100000000000000140000000100000001${'00000008ffffffffffffffff'}`), [-1]);
  assert.deepEqual(read(1009, '00000001000000010000001900000002000000010000000161ffffffff'), ['a', null]);
});
