'use strict';

// Result is that of pg, and is filled from what a session of the core gives.

const assert = require('node:assert/strict');
const Stock = require('pg').Result;
const Result = require('../../exports/pg/result.js');
const TypeOverrides = require('../../exports/pg/type-overrides.js');
const { test } = require('../support/helpers.js');

/** @param {string} name @param {number} typeOid */
const raw = (name, typeOid) => ({ name, tableOid: 7, columnNumber: 2, typeOid, typeSize: 4, typeModifier: -1 });

/** A column as the parser of pg describes it. @param {string} name @param {number} dataTypeID @param {string} [format] */
const field = (name, dataTypeID, format = 'text') => ({
  ...{ name, tableID: 7, columnID: 2, dataTypeID, dataTypeSize: 4, dataTypeModifier: -1, format },
});

const TAGS = [
  'SELECT 5',
  'SELECT 0',
  'INSERT 0 1',
  'INSERT 16384 1',
  'UPDATE 12',
  'DELETE 0',
  'MERGE 3',
  'COPY 5',
  'FETCH 2',
  'MOVE 1',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'SET',
  'CREATE TABLE',
  'CREATE TABLE AS',
  'CREATE INDEX',
  'ALTER TABLE',
  'LISTEN',
  'SHOW',
  'REFRESH MATERIALIZED VIEW',
];

test('Result: command, rowCount and oid of every tag are those of pg', () => {
  for (const tag of TAGS) {
    const seen = [new Result(), new Stock(/** @type {any} */ (undefined), /** @type {any} */ (undefined))].map(
      (/** @type {any} */ result) => {
        result.addCommandComplete({ text: tag });
        return [result.command, result.rowCount, result.oid];
      },
    );
    assert.deepEqual(seen[0], seen[1], tag);
    const { command, rowCount, oid } = Result.fill({ rows: [], fields: [], tag });
    assert.deepEqual([command, rowCount, oid], seen[1], tag);
  }
});

test('Result: the tag of pg-native is in `command`', () => {
  const result = new Result();
  result.addCommandComplete({ command: 'INSERT 0 3' });
  assert.deepEqual([result.command, result.oid, result.rowCount], ['INSERT', 0, 3]);
});

test('Result has the own properties of that of pg', () => {
  for (const rowMode of [undefined, 'array']) {
    const [ours, theirs] = [
      new Result(rowMode),
      new Stock(/** @type {any} */ (rowMode), /** @type {any} */ (undefined)),
    ];
    assert.deepEqual(Object.keys(ours), Object.keys(theirs));
    assert.deepEqual({ ...ours, parseRow: 0 }, { ...theirs, parseRow: 0 });
  }
});

test('Result: rows that are added by a program are parsed as in pg', () => {
  for (const rowMode of [undefined, 'array']) {
    const rows = [Result, Stock].map((/** @type {any} */ Class) => {
      const result = new Class(rowMode);
      result.addFields([field('a', 23), field('b', 114), field('a', 25), field('__proto__', 25), field('2', 701)]);
      result.addRow(result.parseRow(['1', '{"x":1}', 'last', 'p', '1.5']));
      result.addRow(result.parseRow([null, null, null, null, null]));
      return [result.rows, result.rows.map(Object.entries), result.fields, result._parsers.length];
    });
    assert.deepStrictEqual(rows[0], rows[1]);
  }
});

test('Result: a column in the binary format is parsed from bytes', () => {
  const rows = [Result, Stock].map((/** @type {any} */ Class) => {
    const result = new Class();
    result.addFields([field('a', 21, 'binary'), field('b', 25, 'binary')]);
    return result.parseRow(['\0\x01', null]);
  });
  assert.deepStrictEqual(rows[0], rows[1]);
});

test('Result: addFields() asks the given types, with the format', () => {
  const asked = [Result, Stock].map((/** @type {any} */ Class) => {
    /** @type {unknown[]} */
    const calls = [];
    const types = { getTypeParser: (/** @type {unknown[]} */ ...call) => calls.push(call) && String };
    new Class(undefined, types).addFields([field('a', 23), field('b', 25, 'binary'), { name: 'c', dataTypeID: 9 }]);
    return calls;
  });
  assert.deepEqual(asked[0], asked[1]);
});

test('Result.fill: fields are those of pg, and rows are those that the core has made', () => {
  const rows = [{ a: 1, b: 'x' }];
  const result = Result.fill({ rows, fields: [raw('a', 23), raw('b', 25)], tag: 'SELECT 1' });
  assert.ok(result instanceof Result);
  assert.equal(result.rows, rows);
  assert.deepEqual({ ...result.fields[0] }, field('a', 23));
  assert.deepEqual(Object.keys(result.fields[1]), Object.keys(field('b', 25)));
  assert.equal(result.fields[0].constructor.name, 'Field');
  assert.deepEqual([result.command, result.rowCount], ['SELECT', 1]);
});

test('Result.fill: an empty query has neither command nor count', () => {
  const { command, rowCount, oid, rows, fields } = Result.fill({ rows: [], fields: [], tag: '' });
  assert.deepEqual(
    { command, rowCount, oid, rows, fields },
    { command: null, rowCount: null, oid: null, rows: [], fields: [] },
  );
});

test('Result.fill: values that the core has not parsed are parsed once for each column', () => {
  const types = { getTypeParser: (/** @type {number} */ oid) => (/** @type {string} */ text) => `${oid}<${text}>` };
  const reading = { types, parse: types.getTypeParser };
  const fields = [raw('a', 1), raw('b', 2), raw('a', 3)];
  const objects = Result.fill({ rows: [{ a: 'x', b: null }], fields, tag: 'SELECT 1' }, reading);
  assert.deepEqual(objects.rows, [{ a: '3<x>', b: null }]);
  const arrays = Result.fill({ rows: [['x', null, 'z']], fields, tag: 'SELECT 1' }, { ...reading, rowMode: 'array' });
  assert.deepEqual(arrays.rows, [['1<x>', null, '3<z>']]);
  assert.equal(arrays.rowAsArray, true);
});

test('Result.fill: bytes of the binary format are parsed by the binary parsers', () => {
  const fields = [raw('n', 23), raw('t', 25)];
  const rows = [{ n: Buffer.from([0, 0, 1, 0]), t: Buffer.from('é') }];
  const result = Result.fill({ rows, fields, tag: 'SELECT 1' }, { binary: true });
  assert.deepEqual(result.rows, [{ n: 256, t: 'é' }]);
  assert.equal(result.fields[0].format, 'binary');
});

test('a filled Result parses more rows of its columns', () => {
  const overrides = new TypeOverrides();
  overrides.setTypeParser(25, (/** @type {string} */ text) => text.toUpperCase());
  const result = Result.fill({ rows: [], fields: [raw('n', 23), raw('t', 25)], tag: '' }, { types: overrides });
  assert.deepEqual(result.parseRow(['5', 'x']), { n: 5, t: 'X' });
  assert.deepEqual(new Result('array').parseRow([]), []);
});
