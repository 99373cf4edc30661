'use strict';

// What only SQLite does, by each driver that is there: one connection and its queue, files, locks, settings, its own error codes.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { openDatabase } = require('../../client.js');
const { failureOf, inChild, isPending, test } = require('../support/helpers');
const { DRIVERS, driversHere } = require('./conformance.js');
const { gate } = require('./conformance.tools.js');

const here = driversHere();
const CLIENT = JSON.stringify(path.join(__dirname, '..', '..', 'client.js'));

/** @typedef {import('node:test').TestContext} TestContext */

/** @typedef {(target?: string, options?: object) => Promise<any>} Open of a database that is closed with its test; a file is in a folder of the test */

/** A test for each driver. @param {string} title @param {(open: Open, folder: string) => Promise<void>} body */
function testEach(title, body) {
  for (const driver of DRIVERS) {
    test(`${driver}: ${title}`, async (t) => {
      if (!(await here).includes(driver)) return t.skip(`${driver} is not there in Node ${process.version}`);
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-sqlite-'));
      /** @type {any[]} */
      const opened = [];
      t.after(async () => {
        await Promise.all(opened.map((db) => db.close()));
        fs.rmSync(folder, { recursive: true, force: true });
      });
      await body(async (target = ':memory:', options = {}) => {
        const file = target === ':memory:' ? target : path.join(folder, target);
        opened.push(await openDatabase(`sqlite:${file}`, { driver, ...options }));
        return opened.at(-1);
      }, folder);
    });
  }
}

const TABLE = 'CREATE TABLE t (n INTEGER PRIMARY KEY)';

/** @param {any} db @param {number} n */
const insert = (db, n) => db.prepare('INSERT INTO t VALUES (?)').run(n);

/** @param {any} db @returns {Promise<number[]>} */
const numbers = async (db) =>
  (await db.prepare('SELECT n FROM t ORDER BY n').all()).map((/** @type {any} */ { n }) => n);

testEach('calls outside wait for the open transaction, and then run in their order', async (open) => {
  const db = await open();
  await db.exec('CREATE TABLE log (at TEXT)');
  const { open: end, opened } = gate();
  const log = db.prepare('INSERT INTO log VALUES (?)');
  const tx = db.tx(async () => {
    await log.run('in 1');
    await opened;
    await log.run('in 2');
  });
  const outside = [
    log.run('out 1'),
    db.tx(async () => {
      await log.run('tx 1');
      await new Promise((resolve) => setImmediate(resolve));
      await log.run('tx 2');
    }),
    db.exec("INSERT INTO log VALUES ('script')"),
    log.run('out 2'),
  ];
  assert.ok(await isPending(Promise.race(outside)));
  end();
  await Promise.all([tx, ...outside]);
  const rows = await db.prepare('SELECT at FROM log ORDER BY rowid').all();
  assert.deepEqual(
    rows.map((/** @type {any} */ { at }) => at),
    ['in 1', 'in 2', 'out 1', 'tx 1', 'tx 2', 'script', 'out 2'],
  );
});

testEach('a parameter is taken when the call is made, not when its turn comes', async (open) => {
  const db = await open();
  await db.exec('CREATE TABLE t (j JSON)');
  const { open: end, opened } = gate();
  const tx = db.tx(() => opened);
  const value = { a: 1 };
  const waiting = db.prepare('INSERT INTO t VALUES (?)').run(value);
  value.a = 2;
  end();
  await Promise.all([tx, waiting]);
  assert.deepEqual(await db.prepare('SELECT j FROM t').get(), { j: { a: 1 } });
});

testEach('a transaction that fails frees the queue', async (open) => {
  const db = await open();
  await db.exec(TABLE);
  const failed = failureOf(db.tx(async () => Promise.reject(new Error('on purpose'))));
  const after = insert(db, 1);
  assert.equal((await failed).message, 'on purpose');
  await after;
  assert.deepEqual(await numbers(db), [1]);
});

testEach('who waits for a lock of the file does not block the thread', async (open) => {
  const [first, second] = [await open('a.db'), await open('a.db')];
  await first.exec(TABLE);
  const { open: end, opened } = gate();
  const begun = gate();
  const tx = first.tx(async () => {
    await insert(first, 1);
    begun.open();
    await opened;
  });
  await begun.opened;
  const waiting = insert(second, 2);
  // Readers do not wait: the file has a write-ahead log.
  assert.deepEqual(await numbers(await open('a.db')), []);
  assert.ok(await isPending(waiting));
  end();
  await Promise.all([tx, waiting]);
  assert.deepEqual(await numbers(first), [1, 2]);
});

testEach('a lock that is not freed in busyTimeoutMs is 55P03', async (open) => {
  const [first, second] = [await open('a.db'), await open('a.db', { busyTimeoutMs: 20 })];
  await first.exec(TABLE);
  await first.tx(async () => {
    await insert(first, 1);
    for (const call of [
      () => insert(second, 2),
      () => second.tx(() => 1),
      () => second.exec('CREATE TABLE other (n INTEGER)'),
    ]) {
      const error = await failureOf(call());
      assert.deepEqual([error.name, error.code, error.sqliteCode], ['DatabaseError', '55P03', 'SQLITE_BUSY']);
    }
  });
  await insert(second, 2);
  assert.deepEqual(await numbers(first), [1, 2]);
});

testEach('readOnly refuses writes with 25006', async (open) => {
  await (await open('a.db')).exec(TABLE);
  const db = await open('a.db', { readOnly: true });
  for (const call of [() => insert(db, 1), () => db.tx(() => insert(db, 1)), () => db.exec('DROP TABLE t')]) {
    const error = await failureOf(call());
    assert.deepEqual([error.code, error.sqliteCode], ['25006', 'SQLITE_READONLY']);
  }
  assert.deepEqual(await db.tx(() => numbers(db)), []);
  await db.exec('SELECT 1; SELECT 2');
});

testEach('a file that cannot be opened is 58030', async (open) => {
  for (const how of [open('nowhere/a.db'), open('missing.db', { readOnly: true })]) {
    const error = await failureOf(how);
    assert.deepEqual([error.name, error.code, error.sqliteCode], ['DatabaseError', '58030', 'SQLITE_CANTOPEN']);
  }
});

testEach('a file that is no database is XX001', async (open, folder) => {
  fs.writeFileSync(path.join(folder, 'a.db'), 'not a database, but long enough for a header'.repeat(100));
  const error = await failureOf(open('a.db'));
  assert.deepEqual([error.code, error.sqliteCode], ['XX001', 'SQLITE_NOTADB']);
});

testEach('a file has a write-ahead log, foreign keys, and commits that are on the disk', async (open) => {
  const db = await open('a.db');
  const pragmas = ['journal_mode', 'foreign_keys', 'synchronous'];
  const rows = await Promise.all(pragmas.map((name) => db.prepare(`PRAGMA ${name}`).get()));
  assert.deepEqual(rows, [{ journal_mode: 'wal' }, { foreign_keys: 1 }, { synchronous: 2 }]);
});

testEach('what was written is there when the file is opened again', async (open) => {
  const db = await open('a.db');
  await db.exec(TABLE);
  await insert(db, 7);
  await db.close();
  assert.deepEqual(await numbers(await open('a.db')), [7]);
});

testEach('errors have the code of SQLite, the same by each driver', async (open) => {
  const db = await open();
  await db.exec(`CREATE TABLE t (n INTEGER PRIMARY KEY, u TEXT UNIQUE, c INTEGER CHECK (c > 0), m TEXT NOT NULL DEFAULT '',
    r INTEGER REFERENCES t); INSERT INTO t (n, u) VALUES (1, 'a')`);
  /** @type {[string, string, string][]} */
  const cases = [
    ['INSERT INTO t (n) VALUES (1)', '23505', 'SQLITE_CONSTRAINT_PRIMARYKEY'],
    ["INSERT INTO t (u) VALUES ('a')", '23505', 'SQLITE_CONSTRAINT_UNIQUE'],
    ['INSERT INTO t (c) VALUES (0)', '23514', 'SQLITE_CONSTRAINT_CHECK'],
    ['INSERT INTO t (m) VALUES (NULL)', '23502', 'SQLITE_CONSTRAINT_NOTNULL'],
    ['INSERT INTO t (r) VALUES (9)', '23503', 'SQLITE_CONSTRAINT_FOREIGNKEY'],
    ["INSERT INTO t (n) VALUES ('x')", '42804', 'SQLITE_MISMATCH'],
    ['SELECT abs(-9223372036854775808)', '22003', 'SQLITE_ERROR'],
    ["SELECT json('{')", '22P02', 'SQLITE_ERROR'],
    ['SELECT * FROM nowhere', '42P01', 'SQLITE_ERROR'],
    ['SELECT zeroblob(2000000000)', '54000', 'SQLITE_TOOBIG'],
  ];
  for (const [sql, code, sqliteCode] of cases) {
    const error = await failureOf(db.prepare(sql).all());
    assert.deepEqual([error.code, error.sqliteCode], [code, sqliteCode], sql);
  }
});

testEach('triggers can be made by exec() and prepare(), and what they raise is P0001', async (open) => {
  const db = await open();
  await db.exec(`${TABLE}; CREATE TABLE log (n INTEGER);
    CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES (CASE new.n WHEN 1 THEN 10 ELSE 20 END); END;
    INSERT INTO t VALUES (1)`);
  await db
    .prepare("CREATE TRIGGER b BEFORE DELETE ON t BEGIN INSERT INTO log VALUES (0); SELECT raise(ABORT, 'never'); END")
    .run();
  assert.deepEqual(await db.prepare('SELECT n FROM log').all(), [{ n: 10 }]);
  const error = await failureOf(db.prepare('DELETE FROM t').run());
  assert.deepEqual([error.code, error.message], ['P0001', 'never']);
});

testEach('a transaction that SQLite itself has rolled back is over: 25P02', async (open) => {
  const db = await open();
  await db.exec(TABLE);
  const error = await failureOf(
    db.tx(async () => {
      await insert(db, 1);
      const inner = db.tx(() => db.prepare('INSERT OR ROLLBACK INTO t VALUES (1)').run(), { nested: 'savepoint' });
      assert.equal((await failureOf(inner)).code, '23505');
      // Outside of a transaction it would be committed at once.
      assert.equal((await failureOf(insert(db, 2))).code, '25P02');
    }),
  );
  assert.equal(error.code, '25P02');
  assert.deepEqual(await numbers(db), []);
  await insert(db, 3);
});

testEach('a text of a column that is declared as JSON and is none is ERR_DECODE, without the text', async (open) => {
  const db = await open();
  await db.exec(`CREATE TABLE t (j JSON); INSERT INTO t VALUES ('{"secret')`);
  const error = await failureOf(db.prepare('SELECT j FROM t').all());
  assert.deepEqual([error.code, error.outcome], ['ERR_DECODE', 'applied']);
  assert.doesNotMatch(error.message, /secret/);
});

testEach('more statements than are kept run all the same', async (open) => {
  const db = await open();
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 600; n++) assert.deepEqual(await db.prepare(`SELECT ${n} AS n`).get(), { n });
  }
});

testEach('two databases in memory are two', async (open) => {
  const [a, b] = [await open(), await open()];
  await a.exec(TABLE);
  assert.equal((await failureOf(insert(b, 1))).code, '42P01');
});

test('SQLite is opened without a warning', async (t) => {
  if ((await here).length === 0) return t.skip('no driver of SQLite is there');
  const code = `const { openDatabase } = require(${CLIENT});
    const db = await openDatabase('sqlite::memory:');
    print(await db.prepare('SELECT 1 AS n').get());
    process.emitWarning('mine', 'ExperimentalWarning');`;
  const { lines, stderr } = await inChild(null, code, { load: false });
  assert.deepEqual(lines, ['{"n":1}']);
  // Others' warnings are printed as ever.
  assert.match(stderr, /ExperimentalWarning: mine/);
  assert.doesNotMatch(stderr, /SQLite/);
});

test('without any driver ERR_NO_SQLITE says what to install', async () => {
  const flag = '--no-experimental-sqlite';
  const hasFlag = process.allowedNodeEnvironmentFlags.has('--experimental-sqlite');
  const code = `const Module = require('node:module');
    const load = Module._load;
    Module._load = (name, ...rest) => {
      if (name === 'better-sqlite3') throw Object.assign(new Error('none'), { code: 'MODULE_NOT_FOUND' });
      return load(name, ...rest);
    };
    const { openDatabase } = require(${CLIENT});
    for (const options of [{}, { driver: 'better-sqlite3' }, { driver: 'node:sqlite' }]) {
      await openDatabase('sqlite::memory:', options).catch(({ name, code, message }) => print(name, code, message));
    }`;
  const { lines } = await inChild(null, code, { load: false, flags: hasFlag ? [flag] : [] });
  assert.deepEqual(
    lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
    Array(3).fill('HyperionError ERR_NO_SQLITE'),
  );
  for (const line of lines) assert.match(line, /Node 22\.16 or later.*npm install better-sqlite3/);
});
