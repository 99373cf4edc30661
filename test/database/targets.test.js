'use strict';

// What openDatabase() takes and refuses, and what it makes of a pool.

const assert = require('node:assert/strict');
const { openDatabase } = require('../../client.js');
const { failureOf, loginOf, test, useCluster } = require('../support/helpers');
const { driversHere } = require('./conformance.js');

const db = useCluster({ nodes: 1 });

/** The login as a URI. @param {string} scheme */
function uri(scheme) {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = loginOf(db.cluster);
  return `${scheme}://${user}:${encodeURIComponent(String(password))}@${host}:${port}/${database}`;
}

const ONE = 'SELECT 1 AS n';

for (const scheme of ['postgres', 'postgresql']) {
  test(`target ${scheme}://: a pool of its own, which close() ends`, async () => {
    const database = await openDatabase(uri(scheme));
    assert.equal(database.engine, 'postgres');
    assert.deepEqual(await database.prepare(ONE).get(), { n: 1 });
    await database.close();
    assert.equal((await failureOf(database.prepare(ONE).get())).code, 'ERR_POOL_CLOSED');
  });
}

test('target options of a pool: a pool of its own', async () => {
  const applicationName = 'opened-by-options';
  const database = await openDatabase(db.options({ applicationName }));
  const row = await database.prepare("SELECT current_setting('application_name') AS name").get();
  assert.deepEqual(row, { name: applicationName });
  await database.close();
  const left =
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1 AND backend_type = 'client backend'";
  const { rows } = /** @type {any} */ (await db.sql(left, [applicationName]));
  assert.ok(rows === undefined || rows[0].n <= 1, 'only the monitor, which pools share, may live a moment longer');
});

test('target a pool: close() leaves it open', async (t) => {
  const pool = db.pool(t);
  const database = await openDatabase(pool);
  assert.deepEqual(await database.prepare(ONE).get(), { n: 1 });
  await database.close();
  assert.equal((await failureOf(database.prepare(ONE).get())).code, 'ERR_POOL_CLOSED');
  assert.equal(await pool.value(ONE), 1);
});

test('target a pool: its choices of types do not count, its parsers do', async (t) => {
  const parsers = { point: (/** @type {string} */ text) => `point ${text}` };
  const types = /** @type {any} */ ({ int8: 'string', numeric: 'number', date: 'date', json: 'string', parsers });
  const database = await openDatabase(db.pool(t, { types }));
  const sql = `SELECT 5::int8 AS i, 1.50::numeric AS n, timestamptz '2024-01-01Z' AS at, '{"a": 1}'::json AS j, point '(1,2)' AS p`;
  assert.deepEqual(await database.prepare(sql).get(), {
    i: 5,
    n: '1.50',
    at: '2024-01-01T00:00:00.000Z',
    j: { a: 1 },
    p: 'point (1,2)',
  });
});

test('target a pool with transactionRetries: the function of tx() is called again after 40001', async (t) => {
  const database = await openDatabase(db.pool(t, { transactionRetries: 2 }));
  await database.exec('CREATE TABLE retried (n INTEGER)');
  let calls = 0;
  await database.tx(async () => {
    calls++;
    await database.prepare('INSERT INTO retried VALUES (?)').run(calls);
    if (calls === 1) await database.exec("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$");
  });
  assert.deepEqual(await database.prepare('SELECT n FROM retried').all(), [{ n: 2 }]);
});

test('target a pool: a transaction of the pool is none of the database', async (t) => {
  const pool = db.pool(t);
  const database = await openDatabase(pool);
  await database.exec('CREATE TABLE apart (n INTEGER)');
  await pool.transaction(async (/** @type {any} */ tx) => {
    await tx.query('INSERT INTO apart VALUES (1)');
    assert.deepEqual(await database.prepare('SELECT n FROM apart').all(), []);
  });
  assert.deepEqual(await database.prepare('SELECT n FROM apart').all(), [{ n: 1 }]);
});

for (const ambient of /** @type {const} */ ([true, 'strict'])) {
  test(`target a pool with ambient: ${ambient}: tx() is a transaction, and its savepoints are`, async (t) => {
    const database = await openDatabase(db.pool(t, { ambient }));
    const table = `ambient_${ambient}`;
    await database.exec(`CREATE TABLE ${table} (n INTEGER)`);
    const insert = database.prepare(`INSERT INTO ${table} VALUES (?)`);
    const fails = async () => {
      await insert.run(2);
      throw new Error('on purpose');
    };
    await database.tx(async () => {
      await insert.run(1);
      await failureOf(database.tx(fails, { nested: 'savepoint' }));
      await insert.run(3);
    });
    await failureOf(database.tx(fails));
    assert.deepEqual(await database.prepare(`SELECT n FROM ${table} ORDER BY n`).all(), [{ n: 1 }, { n: 3 }]);
  });
}

test('target a pool with ambient: calls of the database join a transaction of the pool', async (t) => {
  const pool = db.pool(t, { ambient: true });
  const database = await openDatabase(pool);
  await database.exec('CREATE TABLE joined (n INTEGER)');
  const insert = database.prepare('INSERT INTO joined VALUES (?)');
  const failed = pool.transaction(async () => {
    await insert.run(1);
    await database.tx(() => insert.run(2));
    assert.equal((await database.prepare('SELECT n FROM joined').all()).length, 2);
    throw new Error('on purpose');
  });
  assert.equal((await failureOf(failed)).message, 'on purpose');
  assert.deepEqual(await database.prepare('SELECT n FROM joined').all(), []);
});

/** @type {[title: string, target: unknown, options: unknown, message: RegExp][]} */
const REFUSED = [
  [
    'a URI of another database',
    'mysql://app:hunter2@db1/shop',
    undefined,
    /^target must be a pool, .* not 'mysql:\.\.\.'$/,
  ],
  ['a keyword string', 'host=db1 password=hunter2', undefined, /^target .* not a string without a scheme$/],
  ['a path', './file-hunter2.db', undefined, /^target .* not a string without a scheme$/],
  ['an empty string', '', undefined, /^target .* not a string without a scheme$/],
  ['undefined', undefined, undefined, /^target .* not undefined$/],
  ['null', null, undefined, /^target .* not null$/],
  ['a number', 5, undefined, /^target .* not number$/],
  ['an array', ['hunter2'], undefined, /^target .* not an array$/],
  ['sqlite: without a file', 'sqlite:', undefined, /^target: 'sqlite:' needs a file/],
  ['sqlite:// with a host', 'sqlite://hunter2.db', undefined, /^target: .* without \/\//],
  ['sqlite: with a query', 'sqlite:a.db?mode=ro', undefined, /^target: .* second argument/],
  [
    'an unknown option',
    'sqlite::memory:',
    { readonly: true },
    /^unknown option 'readonly': did you mean 'readOnly'\?$/,
  ],
  ['an option of a wrong type', 'sqlite::memory:', { busyTimeoutMs: '5' }, /^busyTimeoutMs must be an integer/],
  ['an unknown driver', 'sqlite::memory:', { driver: 'sqlite3' }, /^driver must be one of/],
  ['options that are no object', 'sqlite::memory:', 5, /^options must be an object/],
  [
    'an option of SQLite for PostgreSQL',
    'postgres://app:hunter2@db1/shop',
    { readOnly: true },
    /^readOnly is an option of SQLite/,
  ],
];

for (const [title, target, options, message] of REFUSED) {
  test(`openDatabase() refuses ${title}`, async () => {
    const error = await failureOf(openDatabase(/** @type {any} */ (target), /** @type {any} */ (options)));
    assert.deepEqual([error.name, error.code], ['ParameterError', 'ERR_INVALID_PARAM']);
    assert.match(error.message, message);
    assert.doesNotMatch(error.stack, /hunter2/);
  });
}

test('a mistake in the options of a pool is its OptionError, without the password', async () => {
  const error = await failureOf(openDatabase(/** @type {any} */ ({ hosts: 'db1', pasword: 'hunter2' })));
  assert.deepEqual([error.name, /'pasword'.*'password'/.test(error.message)], ['OptionError', true]);
  assert.doesNotMatch(error.stack, /hunter2/);
});

test('a database shows no password when it is printed', async (t) => {
  const { inspect } = require('node:util');
  const database = await openDatabase(db.pool(t));
  assert.doesNotMatch(inspect(database, { depth: 9, showHidden: true }), new RegExp(String(db.cluster.password)));
  if ((await driversHere()).length === 0) return;
  const sqlite = await openDatabase('sqlite::memory:');
  assert.match(inspect(sqlite), /Database/);
  await sqlite.close();
});
