'use strict';

// SQL templates: interpolated values never become text.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const util = require('node:util');
const { createPool, sql } = require('../../client.js');
const { test, failureOf, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

/** @param {any} fragment */
const parts = (fragment) => [fragment.text, fragment.values];

describe('sql fragments', () => {
  const where = sql`where id = ${1}`;
  const rows = [
    { a: 1, b: 'x' },
    { b: undefined, a: 2 },
  ];
  for (const [name, made, text, values] of /** @type {[string, any, string, unknown[]][]} */ ([
    ['no values', sql`select 1`, 'select 1', []],
    ['values', sql`select ${1}, ${'two'}`, 'select $1, $2', [1, 'two']],
    ['a value at each end', sql`${1}+${2}`, '$1+$2', [1, 2]],
    [
      'null, undefined, arrays, objects',
      sql`${null} ${undefined} ${[1]} ${{ a: 1 }}`,
      '$1 $2 $3 $4',
      [null, undefined, [1], { a: 1 }],
    ],
    ['a fragment', sql`select * from t ${where} and x = ${2}`, 'select * from t where id = $1 and x = $2', [1, 2]],
    ['fragments in fragments', sql`a ${sql`b ${sql`c ${1}`} ${2}`} ${3}`, 'a b c $1 $2 $3', [1, 2, 3]],
    ['one fragment twice', sql`${where} or ${where}`, 'where id = $1 or where id = $2', [1, 1]],
    ['an empty fragment', sql`select 1 ${sql``}`, 'select 1 ', []],
    [
      'names',
      sql`select ${sql.id('a"b')} from ${sql.id('public', 'My Table')}`,
      'select "a""b" from "public"."My Table"',
      [],
    ],
    ['a list', sql`id in (${sql.join([1, 2, 3])})`, 'id in ($1, $2, $3)', [1, 2, 3]],
    ['a list of fragments', sql.join([sql`a = ${1}`, sql`b`], sql` and `), 'a = $1 and b', [1]],
    [
      'rows of arrays',
      sql`values ${sql.values([
        [1, 'x'],
        [2, undefined],
      ])}`,
      'values ($1, $2), ($3, $4)',
      [1, 'x', 2, undefined],
    ],
    ['rows of objects', sql.values(rows), '("a", "b") values ($1, $2), ($3, $4)', [1, 'x', 2, undefined]],
    ['rows of objects, columns chosen', sql.values(rows, ['b']), '("b") values ($1), ($2)', ['x', undefined]],
    ['a row with a fragment', sql.values([[sql`now()`, 1]]), '(now(), $1)', [1]],
    [
      'an update',
      sql`set ${sql.set({ a: 1, 'b"': null, c: sql`c + ${2}` })}`,
      'set "a" = $1, "b""" = $2, "c" = c + $3',
      [1, null, 2],
    ],
    ['raw text', sql`order by ${sql.raw('1 desc')}`, 'order by 1 desc', []],
    [
      'placeholders that are none',
      sql`select '$1', "$2", $$ $3 $$, $x$ $4 $x$ -- $5`,
      'select \'$1\', "$2", $$ $3 $$, $x$ $4 $x$ -- $5',
      [],
    ],
  ])) {
    test(`sql fragment: ${name}`, () => assert.deepStrictEqual(parts(made), [text, values]));
  }

  test('sql fragment: it does not change, and inspecting it shows no values', () => {
    const values = where.values;
    values.push(2);
    assert.deepStrictEqual(where.values, [1]);
    assert.ok(Object.isFrozen(where) && Object.isFrozen(sql));
    const secret = sql`select ${'hunter2'}`;
    assert.equal(util.inspect({ secret }), '{ secret: Sql("select $1", 1 values) }');
    assert.equal(JSON.stringify({ secret }), '{"secret":{}}');
  });

  for (const [name, make, message] of /** @type {[string, () => unknown, RegExp][]} */ ([
    ['a function', () => sql`select ${() => 1}`, /interpolation 1: a function is no value/],
    ['a symbol', () => sql`select ${1}, ${Symbol('s')}`, /interpolation 2: a symbol/],
    ['a promise', () => sql`select ${Promise.resolve(1)} ${sql``}`, /interpolation 1: a promise/],
    ["a placeholder of one's own", () => sql`select $1, ${1}`, /instead of \$1/],
    ['an invalid escape', () => sql`select '\unicode'`, /invalid escape in part 0/],
    ['no template', () => /** @type {any} */ (sql)('select 1'), /is a tag/],
    ['an array for a template', () => /** @type {any} */ (sql)(['select 1']), /is a tag/],
    ['no name', () => sql.id(), /needs a name/],
    ['an empty name', () => sql.id('a', ''), /must not be empty/],
    ['a name that is no string', () => sql.id(/** @type {any} */ (5)), /must be a string, not number/],
    ['a name with NUL', () => sql.id('a\0b'), /NUL/],
    ['a name with half a surrogate', () => sql.id('\ud800'), /surrogate/],
    ['a name that would be cut off', () => sql.id('é'.repeat(32)), /more than 63 bytes/],
    ['an empty list', () => sql.join([]), /empty/],
    ['no list', () => sql.join(/** @type {any} */ ('abc')), /needs an array/],
    ['a separator that is text', () => sql.join([1], /** @type {any} */ (', ')), /separator must be a fragment/],
    ['a list with a function', () => sql.join([1, () => 1]), /sql\.join\[1\]: a function/],
    ['no rows', () => sql.values([]), /no rows/],
    ['ragged rows', () => sql.values([[1], [1, 2]]), /row 1 has 2 values, row 0 has 1/],
    ['an empty row', () => sql.values([[]]), /row 0 is empty/],
    ['mixed rows', () => sql.values([[1], { a: 1 }]), /row 1 is no array/],
    ['a missing key', () => sql.values([{ a: 1, b: 2 }, { a: 1 }]), /row 1 has no "b"/],
    ['one key too many', () => sql.values([{ a: 1 }, { a: 1, b: 2 }]), /row 1 has "b"/],
    ['an inherited key', () => sql.values([{ a: 1 }], ['toString']), /row 0 has no "toString"/],
    ['an empty object', () => sql.values([{}]), /no columns/],
    ['rows that are neither', () => sql.values(/** @type {any} */ ([1])), /neither/],
    ['nothing to set', () => sql.set({}), /no properties/],
    ['set of no object', () => sql.set(/** @type {any} */ ([1])), /needs an object/],
    ['raw of no string', () => sql.raw(/** @type {any} */ (1)), /needs a string/],
    ['more values than the protocol can count', () => sql.values(range(65_536).map((i) => [i])), /at most 65535/],
  ])) {
    test(`sql fragment is refused: ${name}`, () => {
      assert.throws(make, (/** @type {any} */ error) => {
        assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

describe('sql fragments on the server', () => {
  const NASTY = ["'; drop table victims; --", '$1', '\\', '"', "\\' or 1=1", '${1}', '/*', '', '\u2028', 'é😀'];

  test('sql templates: values arrive unchanged, and identifiers name columns and tables', async (t) => {
    const pool = db.pool(t);
    for (const nasty of NASTY) {
      assert.deepStrictEqual(await pool.sql`select ${nasty}::text as v`, [{ v: nasty }]);
      if (nasty === '') continue;
      assert.deepStrictEqual(await pool.query(sql`select ${nasty}::text as ${sql.id(nasty)}`), [{ [nasty]: nasty }]);
    }
  });

  test('sql templates: INSERT, UPDATE and SELECT made of objects', async (t) => {
    const pool = db.pool(t);
    await pool.query('create table if not exists people (id int primary key, "full name" text, tags text[])');
    const people = [
      { id: 1, 'full name': "O'Hara", tags: ['a', 'b'] },
      { id: 2, 'full name': null, tags: [] },
    ];
    await pool.sql`insert into people ${pool.sql.values(people)}`;
    await pool.sql`insert into people (id) values ${pool.sql.values([[3], [4]])}`;
    await pool.sql`update people set ${pool.sql.set({ 'full name': 'x', tags: ['é'] })} where id in (${pool.sql.join([3, 4])})`;
    const rest = [3, 4].map((id) => ({ id, 'full name': 'x', tags: ['é'] }));
    assert.deepStrictEqual(await pool.sql`select * from people order by ${pool.sql.id('id')}`, [...people, ...rest]);
    assert.deepStrictEqual(await pool.sql`select id from people where id = any(${[1, 4]}) order by 1`, [
      { id: 1 },
      { id: 4 },
    ]);
  });

  test('sql templates: every method that takes SQL takes a fragment', async (t) => {
    const pool = db.pool(t);
    const fragment = sql`select ${5}::int4 as v`;
    const rows = [{ v: 5 }];
    assert.deepStrictEqual(await pool.query(fragment), rows);
    assert.deepStrictEqual(await pool.query(fragment, undefined, { rowMode: 'array' }), [[5]]);
    const streamed = [];
    for await (const row of pool.stream(fragment)) streamed.push(row);
    assert.deepStrictEqual(streamed, rows);
    assert.deepStrictEqual(await pool.batch([fragment, [fragment]], { transaction: true }), [rows, rows]);
    assert.deepStrictEqual(await pool.one(fragment), { v: 5 });
    await pool.transaction(async (/** @type {any} */ tx) => {
      assert.deepStrictEqual(await tx.query(fragment), rows);
      assert.deepStrictEqual(await tx.sql`select ${5}::int4 as v`, rows);
      assert.equal(await tx.value(fragment), 5);
    });
    for (const call of [
      () => pool.query(fragment, [1]),
      () => pool.batch([[fragment, [1]]]),
      async () => pool.stream(fragment, []),
    ]) {
      assert.equal((await failureOf(call())).code, 'ERR_INVALID_PARAM');
    }
  });

  test('sql templates: templates with the same text are one prepared statement', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const i of range(3)) await pool.sql`select ${i}::int4 as marked ${i % 2 ? sql`` : sql``}`;
    const known = await pool.query(
      "select count(*)::int as n from pg_prepared_statements where statement like '%marked %'",
    );
    assert.equal(known[0].n, 2, 'the one that asks is another');
  });

  test('sql templates: a value that the tag refuses rejects the call, and nothing is sent', async (t) => {
    const pool = db.pool(t);
    const promise = pool.sql`select ${() => 1}`;
    assert.ok(promise instanceof Promise);
    const error = await failureOf(promise);
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(error.stack, /sql\.test\.js/);
    assert.equal(pool.status().size, 0);
    const ended = createPool(db.options());
    await ended.end();
    assert.equal((await failureOf(ended.sql`select 1`)).code, 'ERR_POOL_CLOSED');
  });
});

describe('one(), maybeOne(), value() and the number of rows', () => {
  const none = 'select 1 as v where false';
  const two = 'select v, v * 2 as w from generate_series(1, 2) v';
  const single = 'select 7 as v';
  for (const [method, text, expected] of /** @type {[string, string, any][]} */ ([
    ['one', single, { v: 7 }],
    ['one', none, 'ERR_NO_ROWS'],
    ['one', two, 'ERR_TOO_MANY_ROWS'],
    ['maybeOne', single, { v: 7 }],
    ['maybeOne', none, null],
    ['maybeOne', two, 'ERR_TOO_MANY_ROWS'],
    ['many', single, [{ v: 7 }]],
    ['many', none, 'ERR_NO_ROWS'],
    [
      'many',
      two,
      [
        { v: 1, w: 2 },
        { v: 2, w: 4 },
      ],
    ],
    ['value', single, 7],
    ['value', 'select null as v', null],
    ['value', none, 'ERR_NO_ROWS'],
    ['value', 'select v from generate_series(1, 2) v', 'ERR_TOO_MANY_ROWS'],
    ['value', 'select 1 as v, 2 as w', 'ERR_TOO_MANY_COLUMNS'],
    ['value', 'select', 'ERR_TOO_MANY_COLUMNS'],
    ['value', 'select 3 as "__proto__"', 3],
  ])) {
    test(`${method}() of ${text}: ${typeof expected === 'string' ? expected : JSON.stringify(expected)}`, async (t) => {
      const pool = db.pool(t);
      const check = async (/** @type {any} */ on) => {
        if (typeof expected !== 'string') {
          assert.deepStrictEqual(await on[method](text), expected);
          if (method === 'value') assert.deepStrictEqual(await on.value(text, [], { rowMode: 'array' }), expected);
          return;
        }
        const error = await failureOf(on[method](text));
        assert.deepStrictEqual([error.code, error.outcome], [expected, 'applied']);
        assert.match(error.stack, /sql\.test\.js/);
      };
      await check(pool);
      await pool.transaction(check);
    });
  }
});
