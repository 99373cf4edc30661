'use strict';

// Dangerous names: whatever the name of a column, an attribute or a key is, it becomes an ordinary own property, and no prototype
// is changed.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { sql } = require('../../client.js');
const { test, printedBy, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'prototype',
  'length',
  'then',
  'a b',
  '"',
  "'",
  '`${1}`',
  '\\',
  'new\nline',
  '\u2028\u2029',
  '\ufeff',
  '😀',
  'é'.repeat(31),
  'x'.repeat(63),
  '0',
  '-1',
];

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** An object with these own properties and no others. @param {readonly [string, unknown][]} entries */
function plain(entries) {
  const object = {};
  for (const [name, value] of entries) {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  }
  return object;
}

const LIST = NAMES.map((name, index) => `${index}::int4 AS ${quoted(name)}`).join(', ');
const ROW = plain(NAMES.map((name, index) => [name, index]));

/** @param {any} got @param {any} expected */
function same(got, expected) {
  assert.deepStrictEqual(Object.getOwnPropertyNames(got), Object.getOwnPropertyNames(expected));
  assert.deepStrictEqual(Object.getOwnPropertyDescriptors(got), Object.getOwnPropertyDescriptors(expected));
  assert.equal(Object.getPrototypeOf(got), Object.prototype);
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
}

describe('column names', () => {
  for (const name of NAMES) {
    test(`column name ${JSON.stringify(name)} is a property of its row`, async (t) => {
      const pool = db.pool(t);
      const text = `SELECT 1 AS ${quoted(name)}, NULL AS n`;
      const expected = plain([
        [name, 1],
        ['n', null],
      ]);
      const [row] = await pool.query(text);
      same(row, expected);
      assert.equal((await pool.query(text)).fields[0].name, name);
      assert.deepStrictEqual(await pool.query(text, [], { rowMode: 'array' }), [[1, null]]);
      assert.equal(await pool.value(`SELECT 7 AS ${quoted(name)}`), 7);
    });
  }

  test('column names: all of them in one row are properties, in every way to read rows', async (t) => {
    const pool = db.pool(t);
    same((await pool.query(`SELECT ${LIST}`))[0], ROW);
    for await (const row of pool.stream(`SELECT ${LIST} FROM generate_series(1, 3)`)) same(row, ROW);
    for (const [row] of await pool.batch([`SELECT ${LIST}`], { transaction: true })) same(row, ROW);
    same((await pool.exec(`SELECT ${LIST}`))[0][0], ROW);
    await pool.transaction(async (/** @type {any} */ tx) => same((await tx.query(`SELECT ${LIST}`))[0], ROW));
    // Too many columns for a compiled shape.
    const [wide] = await pool.query(
      `SELECT ${LIST}, ${range(300)
        .map((i) => `${i} AS w${i}`)
        .join(', ')}`,
    );
    same(
      wide,
      plain(
        [...Object.entries(ROW), ...range(300).map((i) => /** @type {const} */ ([`w${i}`, i]))].map(([name, value]) => [
          name,
          value,
        ]),
      ),
    );
  });

  test('column names: of two columns with one name the last one counts, as in an object literal', async (t) => {
    const pool = db.pool(t);
    same(
      (await pool.query('SELECT 1 AS a, 2 AS "__proto__", 3 AS a, 4 AS "__proto__"'))[0],
      plain([
        ['a', 3],
        ['__proto__', 4],
      ]),
    );
    assert.deepStrictEqual(await pool.query('SELECT 1 AS a, 2 AS a', [], { rowMode: 'array' }), [[1, 2]]);
  });

  test('column names: a column without a name is "?column?"', async (t) => {
    assert.deepStrictEqual(await db.pool(t).query('SELECT 1, 2 AS "?column?"'), [{ '?column?': 2 }]);
  });

  test('column names: all of them are properties where code generation is forbidden', async () => {
    const lines = await printedBy(
      db,
      `const pool = createPool(options);
       const [row] = await pool.query(${JSON.stringify(`SELECT ${LIST}, '{"__proto__": {"polluted": 1}}'::jsonb AS j`)});
       const { j, ...rest } = Object.fromEntries(Object.entries(row));
       print(JSON.stringify(Object.entries(row).slice(0, -1)), Object.keys(j), ({}).polluted === undefined);
       await pool.end();`,
      { flags: ['--disallow-code-generation-from-strings'] },
    );
    assert.equal(lines.join('\n'), `${JSON.stringify(Object.entries(ROW))} ["__proto__"] true`);
  });
});

describe('names within values', () => {
  test('names within values: keys of JSON', async (t) => {
    const document = plain([...NAMES, ''].map((name, index) => [name, plain([[name, index]])]));
    const text = JSON.stringify(document);
    const pool = db.pool(t);
    for (const type of ['json', 'jsonb']) {
      for (const _ of range(60)) {
        const got = (await pool.query(`SELECT $1::${type} AS v`, [text]))[0].v;
        assert.deepStrictEqual(got, JSON.parse(text));
        assert.equal(Object.getPrototypeOf(got), Object.prototype);
      }
    }
    assert.deepStrictEqual((await pool.query('SELECT $1::json AS v', [document]))[0].v, document);
  });

  test('names within values: attributes of composites', async (t) => {
    const pool = db.pool(t);
    await pool.query(`CREATE TYPE bites AS (${NAMES.map((name) => `${quoted(name)} int4`).join(', ')})`);
    const [{ v, vs }] = await pool.query('SELECT $1::bites AS v, ARRAY[$1::bites] AS vs', [ROW]);
    same(v, ROW);
    same(vs[0], ROW);
    const [{ n }] = await pool.query('SELECT $1::bites AS n', [plain([['__proto__', 5]])]);
    assert.deepStrictEqual(
      Object.entries(n).filter(([, value]) => value !== null),
      [['__proto__', 5]],
    );
  });

  test('names within values: keys of hstores', async (t) => {
    const pool = db.pool(t);
    try {
      await pool.query('CREATE EXTENSION IF NOT EXISTS hstore');
    } catch (error) {
      return t.skip(/** @type {Error} */ (error).message);
    }
    const store = plain([...NAMES, ''].map((name) => [name, name === 'then' ? null : `${name}!`]));
    const [{ v }] = await pool.query('SELECT $1::hstore AS v', [store]);
    assert.deepStrictEqual(Object.entries(v).sort(), Object.entries(store).sort());
    assert.equal(Object.getPrototypeOf(v), Object.prototype);
  });
});

describe('names sent to the server', () => {
  test('names sent to the server: columns of templates and of loads', async (t) => {
    const pool = db.pool(t);
    const table = sql.id('bi"tes\u2028');
    await pool.query(sql`CREATE TABLE ${table} (${sql.join(NAMES.map((name) => sql`${sql.id(name)} int4`))})`);
    await pool.sql`INSERT INTO ${table} ${sql.values([ROW])}`;
    await pool.sql`UPDATE ${table} SET ${sql.set(ROW)}`;
    assert.equal((await pool.copyFrom(`"bi""tes\u2028"`, [ROW])).rowCount, 1);
    assert.equal(
      (await pool.copyFrom(`"bi""tes\u2028" (${NAMES.map(quoted).join(', ')})`, [NAMES.map((_, i) => i)])).rowCount,
      1,
    );
    for (const row of await pool.sql`SELECT * FROM ${table}`) same(row, ROW);
  });
});
