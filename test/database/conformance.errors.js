'use strict';

// Facts about errors that hold on both databases.

const assert = require('node:assert/strict');
const { DatabaseError, isConstraintViolation, sqlState } = require('../../client.js');
const { failureOf } = require('./conformance.tools.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */

const TABLES = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER, CONSTRAINT grown CHECK (age >= 18));
  CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id));
  INSERT INTO t VALUES (1, 'Ann', 30)`;

/**
 * @param {string} sql
 * @param {string} code
 * @param {Record<string, unknown>} [fields] that both have
 * @returns {Fact['run']}
 */
const fails =
  (sql, code, fields = {}) =>
  async (db, { engine }) => {
    await db.exec(TABLES);
    for (const call of [() => db.prepare(sql).all(), () => db.exec(sql)]) {
      const error = await failureOf(call());
      assert.ok(error instanceof DatabaseError);
      const { severity, outcome, retryable } = error;
      assert.deepEqual(
        [error.code, severity, outcome, retryable],
        [code, 'ERROR', 'not-applied', false],
        error.message,
      );
      for (const [name, value] of Object.entries(fields)) assert.equal(/** @type {any} */ (error)[name], value, name);
      assert.equal('sqliteCode' in error, engine === 'sqlite');
    }
    assert.deepEqual(await db.prepare('SELECT id FROM t').all(), [{ id: 1 }]);
  };

/** @type {Fact[]} */
const ERRORS = [
  { title: 'a doubled primary key is 23505', run: fails("INSERT INTO t VALUES (1, 'x', 20)", '23505', { table: 't' }) },
  {
    title: 'a doubled unique value is 23505',
    run: fails("INSERT INTO t VALUES (2, 'Ann', 20)", '23505', { table: 't' }),
  },
  {
    title: 'a missing value is 23502, with table and column',
    run: fails('INSERT INTO t VALUES (2, NULL, 20)', '23502', { table: 't', column: 'name' }),
  },
  {
    title: 'a failed check is 23514, with its name',
    run: fails("INSERT INTO t VALUES (2, 'Bob', 3)", '23514', { constraint: 'grown' }),
  },
  { title: 'a reference to no row is 23503', run: fails('INSERT INTO child VALUES (1, 9)', '23503') },
  {
    title: 'a reference to no row is 23503 with RETURNING, too',
    async run(db) {
      await db.exec(TABLES);
      const insert = db.prepare('INSERT INTO child VALUES (1, 9) RETURNING id');
      for (const call of [() => insert.get(), () => insert.all(), () => insert.run()]) {
        assert.equal((await failureOf(call())).code, '23503');
      }
      assert.deepEqual(await db.prepare('SELECT id FROM child').all(), []);
    },
  },
  { title: 'an unknown table is 42P01', run: fails('SELECT * FROM nowhere', '42P01') },
  { title: 'an unknown table of INSERT is 42P01', run: fails('INSERT INTO nowhere VALUES (1)', '42P01') },
  { title: 'an unknown column is 42703', run: fails('SELECT nowhere FROM t', '42703') },
  { title: 'an unknown column of INSERT is 42703', run: fails('INSERT INTO t (nowhere) VALUES (1)', '42703') },
  { title: 'a double-quoted text is a name: 42703', run: fails('SELECT * FROM t WHERE name = "Ann"', '42703') },
  { title: 'a mistake in SQL is 42601', run: fails('SELEC 1', '42601') },
  { title: 'a statement without its end is 42601', run: fails('SELECT id FROM t WHERE', '42601') },
  { title: 'a string without its end is 42601', run: fails("SELECT 'abc", '42601') },
  { title: 'an unknown function is 42883', run: fails('SELECT nowhere(1)', '42883') },
  { title: 'a table that is there is 42P07', run: fails('CREATE TABLE t (id INTEGER)', '42P07') },
  { title: 'an ambiguous column is 42702', run: fails('SELECT id FROM t JOIN child ON true', '42702') },
  { title: 'too many values are 42601', run: fails("INSERT INTO t VALUES (2, 'x', 20, 4)", '42601') },
  {
    title: 'isConstraintViolation() and sqlState() know the errors',
    async run(db) {
      await db.exec(TABLES);
      const unique = await failureOf(db.exec("INSERT INTO t VALUES (1, 'x', 20)"));
      const reference = await failureOf(db.exec('INSERT INTO child VALUES (1, 9)'));
      assert.deepEqual(
        [isConstraintViolation(unique, 'unique'), isConstraintViolation(reference, 'foreign_key'), sqlState(unique)],
        [true, true, 'unique_violation'],
      );
      assert.equal(isConstraintViolation(unique, 'check'), false);
    },
  },
  {
    title: 'deleting a row that is referred to is a violation of the foreign key',
    async run(db) {
      await db.exec(`${TABLES}; INSERT INTO child VALUES (1, 1)`);
      const error = await failureOf(db.prepare('DELETE FROM t WHERE id = ?').run(1));
      assert.ok(isConstraintViolation(error, 'foreign_key'));
    },
  },
  {
    title: 'the stack of an error leads to the line that awaited the call',
    async run(db) {
      const error = await failureOf(db.prepare('SELECT * FROM nowhere').get());
      assert.match(error.stack, /conformance\.errors\.js/);
    },
  },
  {
    title: 'a failed statement leaves the database usable',
    async run(db) {
      await db.exec(TABLES);
      for (let i = 0; i < 20; i++)
        assert.equal((await failureOf(db.prepare('SELECT nowhere FROM t').get())).code, '42703');
      assert.deepEqual(await db.prepare('SELECT id FROM t').get(), { id: 1 });
    },
  },
];

module.exports = { ERRORS };
