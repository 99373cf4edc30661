'use strict';

// Facts about prepare(), placeholders, get(), all(), run() and exec() that hold on both databases.

const assert = require('node:assert/strict');
const { failureOf } = require('./conformance.tools.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */

const PEOPLE = `
  CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    age INTEGER
  );
  INSERT INTO people VALUES (1, 'Ann', 30), (2, 'Bob', NULL), (3, 'Cem', 41)`;

/** A placeholder stands once, and what looks like others is text. @param {string} sql @param {unknown} seen @returns {Fact['run']} */
const text = (sql, seen) => async (db) => {
  assert.deepEqual(await db.prepare(sql).get(2), { n: 2, x: seen });
};

/** @param {string} sql @param {RegExp} message @returns {Fact['run']} */
const refused = (sql, message) => async (db) => {
  assert.throws(() => db.prepare(sql), { name: 'ParameterError', code: 'ERR_INVALID_PARAM', message });
};

/** @type {Fact[]} */
const STATEMENTS = [
  {
    title: 'engine names the database',
    async run(db, { engine }) {
      assert.equal(db.engine, engine);
    },
  },
  {
    title: 'get() has the first row',
    async run(db) {
      await db.exec(PEOPLE);
      const row = await db.prepare('SELECT id, name, age FROM people ORDER BY id').get();
      assert.deepEqual(row, { id: 1, name: 'Ann', age: 30 });
    },
  },
  {
    title: 'get() is undefined for no row',
    async run(db) {
      await db.exec(PEOPLE);
      assert.equal(await db.prepare('SELECT id FROM people WHERE id = ?').get(9), undefined);
    },
  },
  {
    title: 'get() of a statement without rows is undefined',
    async run(db) {
      await db.exec(PEOPLE);
      assert.equal(await db.prepare("UPDATE people SET name = 'x'").get(), undefined);
      assert.equal((await db.prepare('SELECT name FROM people WHERE id = 3').get()).name, 'x');
    },
  },
  {
    title: 'all() has every row in its order',
    async run(db) {
      await db.exec(PEOPLE);
      const rows = await db.prepare('SELECT id FROM people ORDER BY id DESC').all();
      assert.deepEqual(rows, [{ id: 3 }, { id: 2 }, { id: 1 }]);
    },
  },
  {
    title: 'all() is an empty array for no row',
    async run(db) {
      await db.exec(PEOPLE);
      assert.deepEqual(await db.prepare('SELECT id FROM people WHERE id > ?').all(9), []);
    },
  },
  {
    title: 'all() of a statement without rows is an empty array',
    async run(db) {
      await db.exec(PEOPLE);
      assert.deepEqual(await db.prepare('DELETE FROM people').all(), []);
      assert.deepEqual(await db.prepare('SELECT id FROM people').all(), []);
    },
  },
  {
    title: 'run() counts inserted rows',
    async run(db) {
      await db.exec(PEOPLE);
      const result = await db.prepare('INSERT INTO people (id, name) VALUES (?, ?), (?, ?)').run(4, 'Dan', 5, 'Eva');
      assert.deepEqual(result, { changes: 2, lastInsertRowid: null });
    },
  },
  {
    title: 'run() counts updated rows, also those that keep their values',
    async run(db) {
      await db.exec(PEOPLE);
      assert.equal((await db.prepare('UPDATE people SET name = name WHERE id < ?').run(3)).changes, 2);
    },
  },
  {
    title: 'run() counts deleted rows, and 0 when there are none',
    async run(db) {
      await db.exec(PEOPLE);
      const statement = db.prepare('DELETE FROM people WHERE id > ?');
      assert.deepEqual([(await statement.run(1)).changes, (await statement.run(1)).changes], [2, 0]);
    },
  },
  {
    title: 'run() counts the rows of INSERT ... RETURNING',
    async run(db) {
      await db.exec(PEOPLE);
      const result = await db.prepare("INSERT INTO people VALUES (4, 'Dan', 1), (5, 'Eva', 2) RETURNING id").run();
      assert.deepEqual(result, { changes: 2, lastInsertRowid: null });
    },
  },
  {
    title: 'run() changes nothing by a SELECT, also after a change',
    async run(db) {
      await db.exec(PEOPLE);
      await db.prepare('DELETE FROM people WHERE id = 1').run();
      assert.deepEqual(await db.prepare('SELECT * FROM people').run(), { changes: 0, lastInsertRowid: null });
    },
  },
  {
    title: 'run() changes no rows by CREATE TABLE, also after a change',
    async run(db) {
      await db.exec(PEOPLE);
      await db.prepare('DELETE FROM people').run();
      assert.equal((await db.prepare('CREATE TABLE other (id INTEGER)').run()).changes, 0);
    },
  },
  {
    title: 'run() counts the rows of a statement that begins with WITH',
    async run(db) {
      await db.exec(PEOPLE);
      const sql =
        'WITH old AS (SELECT id FROM people WHERE id > ?) DELETE FROM people WHERE id IN (SELECT id FROM old)';
      assert.equal((await db.prepare(sql).run(1)).changes, 2);
    },
  },
  {
    title: 'ON CONFLICT DO NOTHING counts 0, DO UPDATE 1',
    async run(db) {
      await db.exec(PEOPLE);
      const insert = 'INSERT INTO people VALUES (?, ?, NULL) ON CONFLICT (id) DO';
      assert.equal((await db.prepare(`${insert} NOTHING`).run(1, 'x')).changes, 0);
      assert.equal((await db.prepare(`${insert} UPDATE SET name = excluded.name`).run(1, 'y')).changes, 1);
      assert.equal((await db.prepare('SELECT name FROM people WHERE id = 1').get()).name, 'y');
    },
  },
  {
    title: 'INSERT ... RETURNING gives the row to get(), and all rows to all()',
    async run(db) {
      await db.exec(PEOPLE);
      assert.deepEqual(await db.prepare("INSERT INTO people VALUES (?, 'Dan', 1) RETURNING id, name").get(4), {
        id: 4,
        name: 'Dan',
      });
      const rows = await db.prepare('UPDATE people SET age = 1 WHERE id > ? RETURNING age').all(2);
      assert.deepEqual(rows, [{ age: 1 }, { age: 1 }]);
    },
  },
  {
    title: 'get() of UPDATE ... RETURNING changes all rows, and gives one',
    async run(db) {
      await db.exec(PEOPLE);
      const row = await db.prepare('UPDATE people SET age = ? RETURNING age').get(5);
      assert.deepEqual(row, { age: 5 });
      assert.deepEqual(await db.prepare('SELECT count(*) AS n FROM people WHERE age = 5').get(), { n: 3 });
    },
  },
  {
    title: 'prepare() sends nothing: a table may be made after it',
    async run(db) {
      const insert = db.prepare('INSERT INTO later VALUES (?)');
      await db.exec('CREATE TABLE later (id INTEGER)');
      assert.equal((await insert.run(1)).changes, 1);
    },
  },
  {
    title: 'a statement runs again after its table was changed',
    async run(db) {
      await db.exec(PEOPLE);
      const select = db.prepare('SELECT * FROM people WHERE id = ?');
      assert.deepEqual(await select.get(1), { id: 1, name: 'Ann', age: 30 });
      await db.exec('ALTER TABLE people ADD COLUMN ok BOOLEAN');
      await db.prepare('UPDATE people SET ok = ?').run(true);
      assert.deepEqual(await select.get(1), { id: 1, name: 'Ann', age: 30, ok: true });
    },
  },
  {
    title: 'a statement runs again after another connection has changed its table',
    reopens: true,
    async run(db, { open }) {
      await db.exec(PEOPLE);
      const select = db.prepare('SELECT * FROM people WHERE id = ?');
      assert.deepEqual(await select.get(1), { id: 1, name: 'Ann', age: 30 });
      const other = await open();
      await other.exec('ALTER TABLE people ADD COLUMN ok BOOLEAN DEFAULT TRUE');
      assert.deepEqual(await select.all(1), [{ id: 1, name: 'Ann', age: 30, ok: true }]);
    },
  },
  {
    title: 'a statement can run many times at once, each with its own parameters',
    async run(db) {
      const select = db.prepare('SELECT CAST(? AS INTEGER) AS n');
      const rows = await Promise.all(Array.from({ length: 50 }, (_, n) => select.get(n)));
      assert.deepEqual(
        rows,
        Array.from({ length: 50 }, (_, n) => ({ n })),
      );
    },
  },
  {
    title: 'the same text is the same statement',
    async run(db) {
      assert.equal(db.prepare('SELECT 1 AS n'), db.prepare('SELECT 1 AS n'));
    },
  },
  {
    title: 'of two columns of one name the last wins',
    async run(db) {
      assert.deepEqual(await db.prepare('SELECT 1 AS n, 2 AS n').get(), { n: 2 });
    },
  },
  {
    title: 'a column called __proto__ is a column',
    async run(db) {
      const row = await db.prepare('SELECT 1 AS "__proto__", 2 AS n').get();
      assert.deepEqual(Object.entries(row), [
        ['__proto__', 1],
        ['n', 2],
      ]);
      assert.equal(Object.getPrototypeOf(row), Object.prototype);
    },
  },
  {
    title: 'rows are plain objects',
    async run(db) {
      assert.equal(Object.getPrototypeOf(await db.prepare('SELECT 1 AS n').get()), Object.prototype);
    },
  },
  {
    title: '? takes the parameters in their order',
    async run(db) {
      const sql = 'SELECT CAST(? AS INTEGER) AS a, CAST(? AS INTEGER) AS b, CAST(? AS TEXT) AS c';
      assert.deepEqual(await db.prepare(sql).get(1, 2, 'x'), { a: 1, b: 2, c: 'x' });
    },
  },
  {
    title: '$n takes the parameters by their numbers, one of them twice',
    async run(db) {
      const sql = 'SELECT CAST($2 AS INTEGER) AS a, CAST($1 AS INTEGER) AS b, CAST($2 AS INTEGER) AS c';
      assert.deepEqual(await db.prepare(sql).get(1, 2), { a: 2, b: 1, c: 2 });
    },
  },
  {
    title: '?n is the same as $n',
    async run(db) {
      const sql = 'SELECT CAST(?2 AS INTEGER) AS a, CAST(?1 AS INTEGER) AS b, CAST(?2 AS INTEGER) AS c';
      assert.deepEqual(await db.prepare(sql).get(1, 2), { a: 2, b: 1, c: 2 });
    },
  },
  {
    title: 'twelve numbered parameters, $1 is not $12',
    async run(db) {
      const list = Array.from({ length: 12 }, (_, i) => `CAST($${i + 1} AS INTEGER) AS c${i + 1}`).join();
      const row = await db.prepare(`SELECT ${list}`).get(...Array.from({ length: 12 }, (_, i) => i * 10));
      assert.deepEqual([row.c1, row.c2, row.c12], [0, 10, 110]);
    },
  },
  {
    title: 'a ? next to a word is a placeholder',
    async run(db) {
      await db.exec(PEOPLE);
      assert.equal(
        (await db.prepare('SELECT id FROM people WHERE id=?AND id>0 ORDER BY id LIMIT?').all(1, 5)).length,
        1,
      );
    },
  },
  { title: 'a ? in a string is text', run: text("SELECT CAST(? AS INTEGER) AS n, 'a?b $1 ''?''' AS x", "a?b $1 '?'") },
  { title: 'a $1 in a string is text', run: text("SELECT CAST($1 AS INTEGER) AS n, '$2 ?' AS x", '$2 ?') },
  {
    title: 'a ? in a quoted name is a part of the name',
    async run(db) {
      assert.deepEqual(await db.prepare('SELECT CAST(? AS INTEGER) AS "a?""$2"').get(2), { 'a?"$2': 2 });
    },
  },
  { title: 'a ? in a line comment is text', run: text("SELECT CAST(? AS INTEGER) AS n, -- ? it's\n 'x' AS x", 'x') },
  { title: 'a ? in a comment is text', run: text("SELECT /* ? ' $3 */ CAST(? AS INTEGER) AS n, 'x' AS x", 'x') },
  { title: '? and $1 in one statement are refused', run: refused('SELECT ?, $1', /cannot be mixed/) },
  { title: '? and ?1 in one statement are refused', run: refused('SELECT ?1, ?', /cannot be mixed/) },
  { title: 'a number that is left out is refused', run: refused('SELECT $1, $3', /has \$3, but not \$2/) },
  { title: '$0 is refused', run: refused('SELECT $0', /from 1/) },
  { title: 'an empty text is refused', run: refused(' -- nothing\n ; ', /no statement/) },
  { title: 'BEGIN is refused', run: refused('BEGIN', /BEGIN .*tx\(\)/) },
  { title: 'COMMIT is refused', run: refused('/* now */ commit', /COMMIT .*tx\(\)/) },
  { title: 'ROLLBACK is refused', run: refused('ROLLBACK', /ROLLBACK .*tx\(\)/) },
  { title: 'SAVEPOINT is refused', run: refused('SAVEPOINT a', /nested: 'savepoint'/) },
  { title: 'RELEASE is refused', run: refused('RELEASE a', /nested: 'savepoint'/) },
  { title: 'ROLLBACK TO is refused', run: refused('ROLLBACK TO a', /nested: 'savepoint'/) },
  { title: 'a NUL character in the text is refused', run: refused("SELECT '\0'", /NUL/) },
  {
    title: 'a text that is no string is refused',
    async run(db) {
      assert.throws(() => db.prepare(/** @type {any} */ (null)), { code: 'ERR_INVALID_PARAM', message: /not null/ });
      assert.equal((await failureOf(db.exec(/** @type {any} */ (5)))).code, 'ERR_INVALID_PARAM');
    },
  },
  {
    title: 'too few and too many parameters are refused',
    async run(db) {
      const select = db.prepare('SELECT CAST(? AS INTEGER) AS a, CAST(? AS INTEGER) AS b');
      for (const params of [[], [1], [1, 2, 3]]) {
        const error = await failureOf(select.get(...params));
        assert.deepEqual(
          [error.name, error.message],
          ['ParameterError', `the statement takes 2 parameters, ${params.length} were given`],
        );
      }
    },
  },
  {
    title: 'two statements in one are refused with 42601',
    async run(db) {
      assert.equal((await failureOf(db.prepare('SELECT 1; SELECT 2').all())).code, '42601');
    },
  },
  {
    title: 'a semicolon and a comment behind a statement are allowed',
    async run(db) {
      assert.deepEqual(await db.prepare('SELECT 1 AS n; -- SELECT 2').get(), { n: 1 });
    },
  },
  {
    title: 'exec() runs several statements, with semicolons in strings and comments',
    async run(db) {
      assert.equal(
        await db.exec("CREATE TABLE a (t TEXT); INSERT INTO a VALUES (';'); /* ; */ INSERT INTO a VALUES ('b;c');"),
        undefined,
      );
      assert.deepEqual(await db.prepare('SELECT t FROM a ORDER BY t').all(), [{ t: ';' }, { t: 'b;c' }]);
    },
  },
  {
    title: 'exec() of nothing does nothing',
    async run(db) {
      await db.exec('');
      await db.exec(' ; -- nothing\n');
    },
  },
  {
    title: 'exec() that fails leaves nothing behind',
    async run(db) {
      await db.exec('CREATE TABLE a (n INTEGER PRIMARY KEY)');
      const error = await failureOf(
        db.exec('INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); INSERT INTO a VALUES (1)'),
      );
      assert.equal(error.code, '23505');
      assert.deepEqual(await db.prepare('SELECT n FROM a').all(), []);
      await db.exec('INSERT INTO a VALUES (1)');
    },
  },
  {
    title: 'exec() may say BEGIN and COMMIT itself',
    async run(db) {
      await db.exec(
        'CREATE TABLE a (n INTEGER); BEGIN; INSERT INTO a VALUES (1); COMMIT; BEGIN; INSERT INTO a VALUES (2); ROLLBACK',
      );
      assert.deepEqual(await db.prepare('SELECT n FROM a').all(), [{ n: 1 }]);
    },
  },
  {
    title: 'exec() that leaves a transaction open is rolled back: ERR_TRANSACTION_OPEN',
    async run(db) {
      await db.exec('CREATE TABLE a (n INTEGER)');
      const error = await failureOf(db.exec('BEGIN; INSERT INTO a VALUES (1)'));
      assert.deepEqual([error.code, error.outcome], ['ERR_TRANSACTION_OPEN', 'not-applied']);
      assert.deepEqual(await db.prepare('SELECT n FROM a').all(), []);
      assert.equal((await db.prepare('INSERT INTO a VALUES (3)').run()).changes, 1);
    },
  },
];

module.exports = { STATEMENTS };
