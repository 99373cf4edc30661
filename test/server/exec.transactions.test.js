'use strict';

// The transaction of a script: its own, unless the script says otherwise, and that of the caller in tx.exec().

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { DatabaseError, ParameterError } = require('../../client.js');
const { test, failureOf, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1, synchronous: false });

const exists = async (/** @type {string} */ table) =>
  (await db.sql('SELECT to_regclass($1) IS NOT NULL AS there', [table]))[0].there;

describe('exec(): one transaction, unless the script says otherwise', () => {
  // script, SQLSTATE or code, statementIndex, outcome, what is there afterwards
  const table = /** @type {[string, string, number | undefined, string, boolean][]} */ ([
    ['CREATE TABLE made (id int); SELECT 1/0; SELECT 2', '22012', 1, 'not-applied', false],
    ['SELECT 1/0; CREATE TABLE made (id int)', '22012', 0, 'not-applied', false],
    ['CREATE TABLE made (id int); COMMIT; SELECT 1; SELECT 1/0', '22012', 3, 'unknown', true],
    ['BEGIN; CREATE TABLE made (id int); COMMIT; SELECT 1/0', '22012', 3, 'unknown', true],
    ['BEGIN; CREATE TABLE made (id int); ROLLBACK; SELECT 1/0', '22012', 3, 'not-applied', false],
    ['BEGIN; CREATE TABLE made (id int); SELECT 1/0; COMMIT', '22012', 2, 'not-applied', false],
    // Refused before anything runs: only the position says in which statement.
    ['CREATE TABLE made (id int); SELECT FROM FROM', '42601', undefined, 'not-applied', false],
    ["CREATE TABLE made (id int); SELECT 'open", '42601', undefined, 'not-applied', false],
    ['CREATE TABLE made (id int); VACUUM made', '25001', 1, 'not-applied', false],
    [
      'CREATE TABLE made (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO made VALUES (1), (1)',
      '23505',
      1,
      'not-applied',
      false,
    ],
    ['BEGIN; CREATE TABLE made (id int)', 'ERR_TRANSACTION_OPEN', undefined, 'not-applied', false],
    ['CREATE TABLE made (id int); COMMIT; BEGIN; DROP TABLE made', 'ERR_TRANSACTION_OPEN', undefined, 'unknown', true],
    [
      'CREATE TABLE made (id int); COPY made FROM STDIN; SELECT 1',
      'ERR_COPY_IN_SCRIPT',
      undefined,
      'not-applied',
      false,
    ],
    ['SELECT $1::int', '42P02', 0, 'not-applied', false],
  ]);
  for (const [script, code, index, outcome, there] of table) {
    test(`exec() of a script that fails: ${script}`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const error = await failureOf(pool.exec(script));
      assert.deepEqual([error.code, error.statementIndex, error.outcome], [code, index, outcome], error.stack);
      assert.match(error.stack, /exec\.transactions\.test\.js/);
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
      assert.equal(await exists('made'), there);
      await pool.query('DROP TABLE IF EXISTS made');
    });
  }

  test('exec(): the position of an error counts from the beginning of the script', async (t) => {
    const script = "SELECT 'é\u{1F600}';\nSELECT nope FROM pg_class";
    const error = await failureOf(db.pool(t).exec(script));
    assert.ok(error instanceof DatabaseError);
    assert.deepEqual(
      [error.code, error.position, error.statementIndex],
      ['42703', [...script.slice(0, script.indexOf('nope'))].length + 1, 1],
    );
  });

  test('exec() refuses COPY TO STDOUT, which may have run by then', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const error = await failureOf(pool.exec('SELECT 1; COPY pg_class TO STDOUT; SELECT 2'));
    assert.deepEqual([error.code, error.outcome], ['ERR_COPY_IN_SCRIPT', 'unknown']);
    assert.match(error.message, /copyFrom\(\) or copyTo\(\)/);
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});

describe('exec() in a transaction', () => {
  test('exec() in a transaction is a part of it', async (t) => {
    const pool = db.pool(t);
    const tx = await pool.begin();
    const [, results, [{ n }]] = await Promise.all([
      tx.query('CREATE TABLE part (id int)'),
      tx.exec('INSERT INTO part VALUES (1); SAVEPOINT a; INSERT INTO part VALUES (2); ROLLBACK TO a; RELEASE a'),
      tx.query('SELECT count(*)::int AS n FROM part'),
    ]);
    assert.deepEqual([results.length, n], [5, 1]);
    await tx.rollback();
    assert.equal(await exists('part'), false);
  });

  test('exec() that fails in a transaction aborts it, until ROLLBACK TO', async (t) => {
    const pool = db.pool(t);
    const tx = await pool.begin();
    await tx.exec('SAVEPOINT a');
    const error = await failureOf(tx.exec('SELECT 1; SELECT 1/0'));
    assert.deepEqual([error.code, error.statementIndex, error.outcome], ['22012', 1, 'not-applied']);
    assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
    assert.deepEqual(
      (await tx.exec('ROLLBACK TO a; SELECT 1 AS v')).map((/** @type {any} */ rows) => [
        rows.command,
        rows.rowCount,
        [...rows],
      ]),
      [
        ['ROLLBACK', 0, []],
        ['SELECT', 1, [{ v: 1 }]],
      ],
    );
    await tx.commit();
  });

  test('exec() of an empty script does not make an aborted transaction look well', async (t) => {
    const tx = await db.pool(t).begin();
    await failureOf(tx.query('SELECT 1/0'));
    assert.deepEqual(await tx.exec(''), []);
    assert.equal((await failureOf(tx.commit())).code, '25P02');
  });

  for (const script of [
    'COMMIT',
    'SELECT 1; commit work;',
    'SELECT $$;$$; END',
    'SELECT 1; BEGIN',
    '/* a */ ROLLBACK',
    'ABORT;',
    "SELECT 'a' --'\n; START TRANSACTION",
    "SELECT E'\\''; COMMIT --'",
    'SELECT 1 -- x\r; COMMIT',
  ]) {
    test(`exec() in a transaction refuses ${JSON.stringify(script)}`, async (t) => {
      const tx = await db.pool(t).begin();
      const error = await failureOf(tx.exec(script));
      assert.ok(error instanceof ParameterError, error.stack);
      assert.match(error.message, /script: \w+ cannot be sent in a transaction/);
      await tx.query('SELECT 1');
      await tx.commit();
    });
  }

  for (const script of [
    'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT pg_temp.f()',
    'DO $a$ BEGIN PERFORM $b$; COMMIT; $b$; END $a$; SELECT 2',
    `SELECT 1 AS "a;COMMIT;""END"; SELECT U&'\\0061;COMMIT' -- COMMIT;`,
    'SELECT 1 AS "commit", 2 AS "begin"; SELECT 2 /* ; /* END; */ COMMIT; */',
  ]) {
    test(`exec() in a transaction takes ${JSON.stringify(script).slice(0, 90)}`, async (t) => {
      db.needsVersion(14, 'function bodies of SQL');
      await db.pool(t).transaction((/** @type {any} */ tx) => tx.exec(script));
    });
  }

  test('exec() of a script that ends its transaction unseen: an error, and the transaction is over', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE unseen (id int)');
    const tx = await pool.begin();
    await tx.exec(
      'SET standard_conforming_strings = off; SET escape_string_warning = off; INSERT INTO unseen VALUES (1)',
    );
    const error = await failureOf(tx.exec("SELECT '\\''; COMMIT; SELECT 'x'"));
    assert.deepEqual([error.code, error.outcome], ['ERR_TRANSACTION_ENDED', 'unknown'], error.stack);
    for (const next of [() => tx.query('INSERT INTO unseen VALUES (2)'), () => tx.exec(''), () => tx.commit()])
      assert.equal((await failureOf(next())).code, 'ERR_TRANSACTION_ENDED');
    assert.deepEqual(await pool.query('SELECT * FROM unseen'), [{ id: 1 }], 'nothing runs outside of it');
    await pool.query('DROP TABLE unseen');
  });

  test('exec() of COPY in a transaction ends and undoes the transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const tx = await pool.begin();
    const error = await failureOf(tx.exec('CREATE TABLE copied (id int); COPY copied FROM STDIN'));
    assert.deepEqual([error.code, error.outcome], ['ERR_COPY_IN_SCRIPT', 'not-applied']);
    assert.equal((await failureOf(tx.commit())).code, 'ERR_CONNECTION_LOST');
    assert.equal(await exists('copied'), false);
  });
});
