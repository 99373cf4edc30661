'use strict';

// Placeholders are found by scanners: single cases in a table, each with its rule, and SQL made at random of the lexical pieces of each
// database, whose translation is known by the way in which it was made, and which the database itself accepts with as many parameters.
// HYPERION_SEED repeats the choices, and HYPERION_FULL (npm run test:full) means ten times as many.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { Client } = require('pg');
const { forPostgres, forSqlite } = require('../../lib/api/database/placeholders.js');
const { Random, seedFrom } = require('../chaos/random');
const { loginOf, test, useCluster } = require('../support/helpers');
const { driversHere } = require('./conformance.js');
const { openDatabase } = require('../../client.js');
const { postgresStatement, sqliteStatement } = require('./sql-pieces.js');

const db = useCluster({ nodes: 1 });
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
const STATEMENTS = process.env.HYPERION_FULL ? 5_000 : 500;

/** SQL, its translation, the number of parameters. Without a translation the text stays. @type {[title: string, sql: string, text: string | null, count: number][]} */
const POSTGRES = [
  ['? in their order', 'SELECT ?, ?', 'SELECT $1, $2', 2],
  ['$n stay', 'SELECT $2, $1, $2', null, 2],
  ['?n are $n', 'SELECT ?2, ?1', 'SELECT $2, $1', 2],
  ['a string with a doubled quote', "SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1", 1],
  ['a backslash is a character of a string', "SELECT 'a\\', ?", "SELECT 'a\\', $1", 1],
  ['a backslash escapes a quote in an E string', "SELECT E'a\\'?', ?", "SELECT E'a\\'?', $1", 1],
  ['a backslash escapes a backslash in an E string', "SELECT e'\\\\', ?", "SELECT e'\\\\', $1", 1],
  ['a doubled quote goes on with an E string', "SELECT E'a''\\'?', ?", "SELECT E'a''\\'?', $1", 1],
  ['a newline goes on with an E string', "SELECT E'a'\n  '\\'?', ?", "SELECT E'a'\n  '\\'?', $1", 1],
  [
    'a comment and a newline go on with an E string',
    "SELECT E'a' -- b'\n '\\'?', ?",
    "SELECT E'a' -- b'\n '\\'?', $1",
    1,
  ],
  ['a space does not go on with an E string', "SELECT E'a' '\\', ?", "SELECT E'a' '\\', $1", 1],
  ['a comment in signs does not go on with an E string', "SELECT E'a'/*\n*/'\\', ?", "SELECT E'a'/*\n*/'\\', $1", 1],
  ['an E at the end of a name is no E string', "SELECT nameE'a\\', ?", "SELECT nameE'a\\', $1", 1],
  ['U& strings have no escapes for the lexer', "SELECT U&'\\0041\\', ?", "SELECT U&'\\0041\\', $1", 1],
  ['B, X and N strings', "SELECT B'01', X'1F', N'?', ?", "SELECT B'01', X'1F', N'?', $1", 1],
  ['a quoted name with a doubled quote', 'SELECT "a?""$1", ?', 'SELECT "a?""$1", $1', 1],
  ['a backslash is a character of a quoted name', 'SELECT "a\\", ?', 'SELECT "a\\", $1', 1],
  ['U& names', 'SELECT U&"?\\", ?', 'SELECT U&"?\\", $1', 1],
  ['a dollar-quoted text', "SELECT $$ ? ' $1 $$, ?", "SELECT $$ ? ' $1 $$, $1", 1],
  ['a dollar-quoted text with a tag', 'SELECT $a$ ? $$ $b$ $a$, ?', 'SELECT $a$ ? $$ $b$ $a$, $1', 1],
  ['the end of a dollar quote needs its case', 'SELECT $a$ ? $A$ ? $a$, ?', 'SELECT $a$ ? $A$ ? $a$, $1', 1],
  ['a tag may have digits behind a letter', 'SELECT $t1$ ? $t1$, ?', 'SELECT $t1$ ? $t1$, $1', 1],
  ['a tag does not begin with a digit', 'SELECT $1$$?$$', null, 1],
  ['a dollar in a name is no quote', 'SELECT a$b$c, ?, a$b$c', 'SELECT a$b$c, $1, a$b$c', 1],
  ['a dollar behind a letter that is not ASCII is no quote', 'SELECT é$$, ?', 'SELECT é$$, $1', 1],
  ['a $1 in a name is no placeholder', 'SELECT a$1', null, 0],
  ['a line comment ends at a newline', "SELECT 1 -- ? it's\n, ?", "SELECT 1 -- ? it's\n, $1", 1],
  ['a line comment ends at a carriage return', 'SELECT 1 -- ?\r, ?', 'SELECT 1 -- ?\r, $1', 1],
  ['a line comment begins within an operator', 'SELECT 1 +-- ?\n ?', 'SELECT 1 +-- ?\n $1', 1],
  ['comments nest', 'SELECT /* ? /* ? */ ? */ ?', 'SELECT /* ? /* ? */ ? */ $1', 1],
  ['a comment that opens and does not close', 'SELECT /*/ ? */ ?', 'SELECT /*/ ? */ $1', 1],
  ['quotes in a comment are characters', 'SELECT /* \' " $$ */ ?', 'SELECT /* \' " $$ */ $1', 1],
  ['comment signs in a string are characters', "SELECT '/*', ?, '*/ --', ?", "SELECT '/*', $1, '*/ --', $2", 2],
  ['?? is an operator', "SELECT a ?? 'b', ?", "SELECT a ? 'b', $1", 1],
  ['??| and ??& are operators', 'SELECT a ??| b, a ??& ?', 'SELECT a ?| b, a ?& $1', 1],
  ['@?? is an operator', "SELECT a @?? '$.b', ?", "SELECT a @? '$.b', $1", 1],
  ['??? is an operator and a placeholder', 'SELECT a ???', 'SELECT a ?$1', 1],
  ['a cast', 'SELECT ?::int, ?::text', 'SELECT $1::int, $2::text', 2],
  ['a subscript', 'SELECT a[?], a[?:?]', 'SELECT a[$1], a[$2:$3]', 3],
  ['next to words', 'SELECT?AS a LIMIT?', 'SELECT $1 AS a LIMIT $2', 2],
  ['next to an operator', 'SELECT a=?, -?, ?-?', 'SELECT a=$1, -$2, $3-$4', 4],
  ['a parameter of two digits', `SELECT ${Array.from({ length: 12 }, (_, i) => `$${i + 1}`)}`, null, 12],
  ['an open string', "SELECT ?, '?", "SELECT $1, '?", 1],
  ['an open comment', 'SELECT ? /* ?', 'SELECT $1 /* ?', 1],
  ['an open dollar quote', 'SELECT ? $a$ ?', 'SELECT $1 $a$ ?', 1],
  ['an open E string that ends with a backslash', "SELECT ? E'?\\", "SELECT $1 E'?\\", 1],
  ['a no-break space is a letter', 'SELECT a\u00a0$1, ?', 'SELECT a\u00a0$1, $1', 1],
];

/** SQL, its translation, which parameter each ? stands for. @type {[title: string, sql: string, text: string | null, order: number[]][]} */
const SQLITE = [
  ['? in their order', 'SELECT ?, ?', null, [0, 1]],
  ['$n by their numbers', 'SELECT $2, $1, $2', 'SELECT ?, ?, ?', [1, 0, 1]],
  ['?n by their numbers', 'SELECT ?2, ?1', 'SELECT ?, ?', [1, 0]],
  ['a string with a doubled quote', "SELECT 'it''s ?', ?", null, [0]],
  ['a backslash is a character of a string', "SELECT 'a\\', ?", null, [0]],
  ['there is no E string', "SELECT E'a\\', ?", null, [0]],
  ['a name in double quotes', 'SELECT "a?""b", ?', null, [0]],
  ['a name in back quotes', 'SELECT `a?``b`, ?', null, [0]],
  ['a name in brackets, which has no escape', "SELECT [a?'[], ?", null, [0]],
  ['there is no dollar quote', 'SELECT a$$, ?, a$$', null, [0]],
  ['a $1 in a name is no placeholder', 'SELECT a$1, ?', null, [0]],
  ['a blob', "SELECT x'00', ?", null, [0]],
  ['a line comment ends at a newline', "SELECT 1 -- ? it's\n, ?", null, [0]],
  ['a line comment does not end at a carriage return', 'SELECT ? -- ?\r, ?', null, [0]],
  ['comments do not nest', 'SELECT /* ? /* ? */ ?', null, [0]],
  ['a comment that opens and does not close', 'SELECT /*/ ? */ ?', null, [0]],
  ['a comment without its end', 'SELECT ? /* ?', null, [0]],
  ['next to words and operators', 'SELECT?+-?AS a', null, [0, 1]],
];

describe('placeholders', () => {
  for (const [title, sql, text, count] of POSTGRES) {
    test(`placeholders of PostgreSQL: ${title}`, () => {
      assert.deepEqual(forPostgres(sql), { text: text ?? sql, count, order: null });
    });
  }
  for (const [title, sql, text, order] of SQLITE) {
    test(`placeholders of SQLite: ${title}`, () => {
      const inOrder = order.every((parameter, i) => parameter === i);
      const count = new Set(order).size;
      assert.deepEqual(forSqlite(sql), { text: text ?? sql, count, order: inOrder ? null : order });
    });
  }

  test('a string of ten million characters is scanned, not matched', () => {
    const long = `SELECT '${'?'.repeat(10_000_000)}', E'${'\\?'.repeat(1_000_000)}', ?`;
    assert.equal(forPostgres(long).count, 1);
    assert.equal(forSqlite(long.replace('E', '')).count, 1);
    assert.equal(forPostgres(`SELECT E'a' ${' -- \n'.repeat(500_000)} '\\' ?', ?`).count, 1);
    assert.equal(forPostgres(`SELECT ${'/*'.repeat(200_000)} ? ${'*/'.repeat(200_000)} ?`).count, 1);
  });
});

test(`random SQL is translated as it was made, and PostgreSQL counts the same parameters (seed ${seed})`, async (t) => {
  const random = new Random(seed).fork('postgres');
  const { host, port } = db.cluster.primary();
  const { user, password, database } = loginOf(db.cluster);
  const client = new Client({ host, port, user, password, database });
  await client.connect();
  t.after(() => client.end());
  const counted = "SELECT cardinality(parameter_types) AS n FROM pg_prepared_statements WHERE name = 'drawn'";
  for (let i = 0; i < STATEMENTS; i++) {
    const { sql, text, count } = postgresStatement(random);
    assert.deepEqual(forPostgres(sql), { text, count, order: null }, sql);
    try {
      await client.query(`PREPARE drawn AS ${text}`);
    } catch (error) {
      assert.fail(`${/** @type {Error} */ (error).message}\n${sql}\n${text}`);
    }
    assert.equal((await client.query(counted)).rows[0].n, count, sql);
    await client.query('DEALLOCATE drawn');
  }
});

test(`random SQL is translated as it was made, and SQLite takes the same parameters (seed ${seed})`, async (t) => {
  const drivers = await driversHere();
  if (drivers.length === 0) t.skip('no driver of SQLite is there');
  const random = new Random(seed).fork('sqlite');
  for (const driver of drivers) {
    const sqlite = await openDatabase('sqlite::memory:', { driver });
    for (let i = 0; i < STATEMENTS; i++) {
      const { sql, text, order } = sqliteStatement(random);
      const translated = forSqlite(sql);
      assert.deepEqual([translated.text, translated.order ?? order], [text, order], sql);
      // What each placeholder has got comes back in its column.
      const row = /** @type {any} */ (
        await sqlite.prepare(sql).get(...Array.from({ length: translated.count }, (_, k) => `value ${k}`))
      );
      const seen = order.map((_, k) => row[`p${k}`]);
      assert.deepEqual(
        seen,
        order.map((parameter) => `value ${parameter}`),
        sql,
      );
    }
    await sqlite.close();
  }
});
