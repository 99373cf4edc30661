'use strict';

// Parameters and escapes are those of pg/lib/utils.

const assert = require('node:assert/strict');
const stock = require('pg/lib/utils');
const stockDefaults = require('pg').defaults;
const defaults = require('../../exports/pg/defaults.js');
const ours = require('../../exports/pg/utils.js');
const { inChild, test } = require('../support/helpers.js');
const { ROUNDS, randomFrom } = require('./values.support.js');

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'America/Caracas'];

/** What a function gives or throws, with the class of the value. @param {() => any} work */
function outcomeOf(work) {
  try {
    const value = work();
    return { value, kind: Buffer.isBuffer(value) ? 'Buffer' : typeof value };
  } catch (error) {
    // The message of a TypeError names a method that was not found: ours is another.
    return { error: error instanceof TypeError ? 'TypeError' : String(error) };
  }
}

/** @param {(utils: any) => any} work @param {string} [label] */
function compare(work, label) {
  assert.deepStrictEqual(
    outcomeOf(() => work(ours)),
    outcomeOf(() => work(stock)),
    label,
  );
}

const bytes = new Uint8Array([0, 1, 2, 250, 255]);
class Point {
  constructor() {
    this.x = 1;
  }
  toPostgres(/** @type {(value: unknown) => unknown} */ prepare) {
    return `(${prepare(this.x)},${prepare([1, 'a'])})`;
  }
}
const chained = { toPostgres: () => ({ toPostgres: () => new Date(0) }) };
/** @type {any} */
const circular = { toString: () => 'me' };
circular.toPostgres = () => circular;
/** @type {any} */
const pair = { toPostgres: () => ({ toPostgres: () => pair }) };

const VALUES = [
  ...[undefined, null, true, false, 0, -0, 1.5, -1e-7, 1e21, Number.NaN, Number.POSITIVE_INFINITY, 10n, -(2n ** 70n)],
  ...['', 'text', "it's", 'a\\b', Symbol('s'), () => 1, new String('boxed'), new Number(1)],
  ...[Buffer.from('abc'), bytes, bytes.subarray(1, 3), new Uint16Array([1, 2]), new DataView(bytes.buffer, 1, 2)],
  ...[new ArrayBuffer(2), new Float64Array(1)],
  ...[
    [],
    [1, 'a', null, undefined, true, 1n],
    [
      [1, 2],
      [3, [4]],
    ],
    [new Date(0)],
    [Buffer.from([1, 255])],
    [bytes.subarray(1)],
  ],
  ...[['"quoted"', 'back\\slash', 'a,b', '{}', 'NULL', '']],
  ...[
    [{ a: '"x"' }],
    [new Point()],
    [[]],
    Array.from({ length: 2 }),
    [Symbol('s')],
    [chained],
    [{ toPostgres: () => null }],
    [{ toPostgres: () => Buffer.from('x') }],
  ],
  ...[{}, { a: 1, b: [1, { c: null }] }, { toJSON: () => 'j' }, { toJSON: () => undefined }, Object.create(null)],
  ...[
    new Point(),
    chained,
    circular,
    pair,
    { toPostgres: () => null },
    { toPostgres: () => Buffer.from('x') },
    { toPostgres: 1 },
  ],
  ...[new Map([[1, 2]]), new Set([1]), new Error('e'), /x/],
];

test('prepareValue gives for a table of values what that of pg gives', () => {
  for (const [index, value] of VALUES.entries()) compare(({ prepareValue }) => prepareValue(value), `value ${index}`);
});

test('prepareValue looks at its first argument only, as under map()', () => {
  compare(({ prepareValue }) => [new Point(), 1, 'a'].map(prepareValue));
});

test('prepareValue: a value that leads back to itself throws', () => {
  assert.throws(() => ours.prepareValue(circular), {
    message: 'circular reference detected while preparing "me" for query',
  });
});

test('prepareValue returns the Buffer itself, and a view of the memory of a typed array', () => {
  const buffer = Buffer.from('x');
  assert.equal(ours.prepareValue(buffer), buffer);
  const prepared = ours.prepareValue(bytes);
  assert.equal(prepared.buffer, bytes.buffer);
});

test('dates are sent as those of pg, in five time zones, as local time and as UTC', () => {
  const times = [
    0, -1, 951_782_399_999, -62_135_596_800_001, -62_167_219_200_000, -62_198_755_200_001, 253_402_300_800_000,
  ];
  const random = randomFrom(7);
  for (let round = 0; round < ROUNDS / 4; round++) {
    times.push(random.between(-100_000_000_000_000, 300_000_000_000_000), random.between(0, 2_000_000_000_000));
  }
  const zone = process.env.TZ;
  try {
    for (const isUtc of [false, true]) {
      defaults.parseInputDatesAsUTC = stockDefaults.parseInputDatesAsUTC = isUtc;
      for (process.env.TZ of ZONES) {
        for (const time of times) compare(({ prepareValue }) => prepareValue(new Date(time)), `${time}`);
        compare(({ prepareValue }) => prepareValue([new Date(times[1])]));
      }
    }
  } finally {
    defaults.parseInputDatesAsUTC = stockDefaults.parseInputDatesAsUTC = false;
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test('an invalid Date is sent as pg sends it, with its warning', async () => {
  const code = `
    const utils = require(${JSON.stringify(require.resolve('../../exports/pg/utils.js'))});
    process.on('warning', ({ name, code }) => print(name, code));
    print(utils.prepareValue(new Date(NaN)));
    utils.prepareValue(new Date(NaN));`;
  const { lines } = await inChild(null, code, { load: false, flags: ['--no-warnings'] });
  assert.deepEqual(lines, ['0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN', 'DeprecationWarning PG_INVALID_DATE']);
  compare(({ prepareValue }) => prepareValue(new Date(Number.NaN)));
});

test('random nested arrays and texts are sent as pg sends them', () => {
  const random = randomFrom(8);
  /** @param {number} depth @returns {any} */
  const value = (depth) =>
    random.of([
      () => random.word('ab"\\{},\'é😀 \n', 6),
      () => random.between(-5, 5),
      () => random.of([null, undefined, true, 5n]),
      () => Array.from({ length: random.between(0, 3) }, () => (depth > 3 ? 1 : value(depth + 1))),
      () => ({ [random.word('ab"', 2)]: random.word('x"\\', 3) }),
      () => Buffer.from(random.word('abc', 3)),
    ])();
  for (let round = 0; round < ROUNDS; round++) {
    const given = value(0);
    compare(({ prepareValue }) => prepareValue(given));
  }
});

test('escapeIdentifier and escapeLiteral are those of pg', () => {
  const random = randomFrom(9);
  for (const value of ['', 'a', 'A b', '"', "'", '\\', "it's", "\\'", '😀', null, undefined, 1, {}, []]) {
    compare(({ escapeLiteral }) => escapeLiteral(value));
    if (typeof value === 'string') compare(({ escapeIdentifier }) => escapeIdentifier(value));
  }
  for (let round = 0; round < ROUNDS; round++) {
    const text = random.word('ab"\\\'$&\n', 8);
    compare(({ escapeIdentifier, escapeLiteral }) => [escapeIdentifier(text), escapeLiteral(text)]);
  }
  assert.throws(() => ours.escapeIdentifier(/** @type {any} */ (null)), TypeError);
});

test('normalizeQueryConfig is that of pg, and copies getters and the prototype', () => {
  const callback = () => {};
  class Config {
    constructor() {
      this.name = 'n';
    }
    get text() {
      return 'SELECT';
    }
  }
  const calls = [
    ['SELECT 1'],
    ['SELECT 1', [1]],
    ['SELECT 1', callback],
    ['SELECT 1', [1], callback],
    ['SELECT 1', null, callback],
    [{ text: 'SELECT 1', values: [1], name: 'n', other: 1 }],
    [{ text: 'SELECT 1', values: [1] }, [2], callback],
    [{ text: 'SELECT 1', values: [1] }, callback],
    [new Config(), [1]],
    [Object.defineProperty({ values: [1] }, 'text', { value: 'hidden' })],
    [null],
    [undefined],
  ];
  for (const call of calls) {
    compare(({ normalizeQueryConfig }) => {
      const query = normalizeQueryConfig(...call);
      return [query, query?.text, query && Object.getPrototypeOf(query)];
    });
  }
  const given = { text: 'SELECT 1' };
  ours.normalizeQueryConfig(given, [1]);
  assert.deepEqual(given, { text: 'SELECT 1' });
});

test('utils and defaults have the members of those of pg', () => {
  assert.deepEqual(Object.keys(ours).sort(), Object.keys(stock).sort());
  assert.deepEqual(Object.keys(defaults).sort(), Object.keys(stockDefaults).sort());
  const { parseInt8: _, ...values } = { ...defaults };
  const { parseInt8: __, ...theirs } = { ...stockDefaults };
  assert.deepEqual(values, theirs);
});
