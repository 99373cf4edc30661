'use strict';

// exactlyOnce and durability: what is refused, the table and its checks, the command that makes it, and the clean-up.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { reaching, run } = require('../support/command.js');
const { failureOf, printedBy, test, until, useCluster } = require('../support/helpers.js');
const { idsIn, tableFor } = require('../support/transactions.js');
const { makeTable } = require('./support.js');

const db = useCluster({ nodes: 1, synchronous: false });

/** A table that is dropped when its test ends. @param {import('node:test').TestContext} t */
async function ownTable(t) {
  const name = `outcome_${Math.floor(Math.random() * 1e12)}`;
  await makeTable(db, name);
  t.after(() => db.sql(`DROP TABLE IF EXISTS ${name}`));
  return name;
}

/** @param {string} table */
const markersIn = async (table) => (await db.sql(`SELECT count(*)::int AS n FROM ${table}`))[0].n;

describe('options of exactlyOnce', () => {
  /** @type {[string, object, object, RegExp][]} */
  const refused = [
    ['an object without a key', {}, { exactlyOnce: {} }, /exactlyOnce\.key is missing/],
    ['an empty key', {}, { exactlyOnce: { key: '' } }, /exactlyOnce\.key must not be empty/],
    ['a key with NUL', {}, { exactlyOnce: { key: 'a\0' } }, /exactlyOnce\.key contains a NUL/],
    ['a long key', {}, { exactlyOnce: { key: 'é'.repeat(513) } }, /at most 1024 bytes/],
    ['an unknown member', {}, { exactlyOnce: { kay: 'a' } }, /did you mean 'exactlyOnce\.key'/],
    ['a string', {}, { exactlyOnce: 'a' }, /exactlyOnce must be an object, not string/],
    ['readOnly', {}, { exactlyOnce: true, readOnly: true }, /READ ONLY/],
    ["durability 'off'", {}, { exactlyOnce: true, durability: 'off' }, /durability 'off'/],
    ["durability 'local'", {}, { exactlyOnce: true, durability: 'local' }, /durability 'local'/],
    ['a pool that reads only', { mode: 'read-only' }, { exactlyOnce: true }, /mode 'read-only'/],
    ['a pool of any node', { mode: 'any' }, { exactlyOnce: true }, /mode 'any'/],
    ['an unknown durability', {}, { durability: 'some' }, /durability must be one of 'remote_apply'/],
  ];
  for (const [what, poolOptions, options, message] of refused) {
    test(`exactlyOnce: ${what} is refused before anything is sent`, async (t) => {
      const error = await failureOf(db.pool(t, poolOptions).transaction(() => assert.fail('it has run'), options));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, message);
    });
  }

  test('exactlyOnce: commit: true is refused, because the callback has not returned, and the transaction goes on', async (t) => {
    const pool = db.pool(t, { exactlyOnceTable: await ownTable(t) });
    const value = await pool.transaction(
      async (/** @type {any} */ tx) => {
        const error = await failureOf(tx.query('SELECT 1', [], { commit: true }));
        assert.equal(error.code, 'ERR_INVALID_PARAM');
        assert.match(error.message, /^commit: a transaction with exactlyOnce/);
        return tx.value('SELECT 2 AS v');
      },
      { exactlyOnce: true },
    );
    assert.equal(value, 2);
  });

  test('exactlyOnce: begin() and batch() refuse it by name', async (t) => {
    const pool = db.pool(t);
    assert.match((await failureOf(pool.begin({ exactlyOnce: true }))).message, /^exactlyOnce: .*pool\.transaction/);
    const batch = pool.batch(['SELECT 1'], { transaction: { exactlyOnce: true } });
    assert.match((await failureOf(batch)).message, /^transaction: exactlyOnce: .*pool\.transaction/);
  });

  test('exactlyOnce: on a primary that is read-only by default the call says so, and works with readOnly: false', async (t) => {
    const options = { default_transaction_read_only: 'on' };
    const pool = db.pool(t, { mode: 'primary', options, exactlyOnceTable: await ownTable(t) });
    const work = (/** @type {any} */ tx) => tx.value('SELECT 1');
    const error = await failureOf(pool.transaction(work, { exactlyOnce: true }));
    assert.deepEqual([error.code, error.outcome], ['25006', 'not-applied']);
    assert.equal(await pool.transaction(work, { exactlyOnce: true, readOnly: false }), 1);
  });

  test('exactlyOnceTable: a name that cannot be one is refused by createPool', (t) => {
    for (const exactlyOnceTable of ['', 'a.b.c', '.a', 'a.', 'x'.repeat(61)]) {
      assert.throws(() => db.pool(t, { exactlyOnceTable }), /exactlyOnceTable must/, exactlyOnceTable);
    }
    assert.throws(() => db.pool(t, { exactlyOnceKeepMs: 1 }), /exactlyOnceKeepMs must be from 60000/);
  });

  test('exactlyOnce: a callback without statements, and one that rolls back by itself, need no marker', async (t) => {
    const table = await ownTable(t);
    const pool = db.pool(t, { exactlyOnceTable: table });
    assert.equal(await pool.transaction(async () => 1, { exactlyOnce: true }), 1);
    const rollback = async (/** @type {any} */ tx) => {
      await tx.query('SELECT 1');
      await tx.rollback();
    };
    await pool.transaction(rollback, { exactlyOnce: true });
    assert.equal(await markersIn(table), 0);
  });
});

describe('the table of exactlyOnce', () => {
  test('without the table the call fails by name before the callback runs, and works once it is there', async (t) => {
    const pool = db.pool(t, { exactlyOnceTable: 'comes_later' });
    t.after(() => db.sql('DROP TABLE comes_later'));
    const error = await failureOf(pool.transaction(() => assert.fail('it has run'), { exactlyOnce: true }));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_EXACTLY_ONCE_TABLE', 'not-applied', false]);
    assert.match(error.message, /"comes_later" does not exist.*setup exactly-once/);
    await makeTable(db, 'comes_later');
    const work = async (/** @type {any} */ tx) => tx.value('SELECT 1');
    assert.equal(await pool.transaction(work, { exactlyOnce: true }), 1);
  });

  test('a table that is dropped in between is reported by name', async (t) => {
    const table = await ownTable(t);
    const pool = db.pool(t, { exactlyOnceTable: table });
    const work = async (/** @type {any} */ tx) => tx.value('SELECT 1');
    await pool.transaction(work, { exactlyOnce: true });
    await db.sql(`DROP TABLE ${table}`);
    const error = await failureOf(pool.transaction(work, { exactlyOnce: true }));
    assert.deepEqual([error.code, error.outcome], ['ERR_EXACTLY_ONCE_TABLE', 'not-applied']);
  });

  test('an error of the callback about another table is its own', async (t) => {
    const pool = db.pool(t, { exactlyOnceTable: await ownTable(t) });
    const work = (/** @type {any} */ tx) => tx.query('SELECT FROM no_such_table');
    assert.equal((await failureOf(pool.transaction(work, { exactlyOnce: true }))).code, '42P01');
  });

  for (const [what, spoil, message] of /** @type {[string, (table: string) => string, RegExp][]} */ ([
    ['unlogged', (table) => `ALTER TABLE ${table} SET UNLOGGED`, /is unlogged/],
    [
      'without its unique index',
      (table) => `ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey`,
      /no unique index on key/,
    ],
    ['without a column', (table) => `ALTER TABLE ${table} DROP COLUMN value`, /no column value/],
    [
      'a view',
      (table) => `ALTER TABLE ${table} RENAME TO ${table}_r; CREATE VIEW ${table} AS TABLE ${table}_r`,
      /is not a table/,
    ],
  ])) {
    test(`a table that is ${what} is refused by name`, async (t) => {
      const table = `spoilt_${what.length}`;
      await makeTable(db, table);
      for (const sql of spoil(table).split('; ')) await db.sql(sql);
      const pool = db.pool(t, { exactlyOnceTable: table });
      const error = await failureOf(pool.transaction(() => assert.fail('it has run'), { exactlyOnce: true }));
      assert.equal(error.code, 'ERR_EXACTLY_ONCE_TABLE');
      assert.match(error.message, message);
    });
  }

  test('a user without rights is told which', async (t) => {
    const table = await ownTable(t);
    await db.sql(`GRANT SELECT, INSERT ON ${table} TO ${db.cluster.app.user}`);
    const pool = db.pool(t, { exactlyOnceTable: table, ...db.cluster.app });
    const error = await failureOf(pool.transaction(() => assert.fail('it has run'), { exactlyOnce: true }));
    assert.match(error.message, /UPDATE, DELETE is not granted/);
    await db.sql(`GRANT UPDATE, DELETE ON ${table} TO ${db.cluster.app.user}`);
    const options = { exactlyOnce: { key: 'app', remember: true } };
    assert.equal(await pool.transaction(async () => 5, options), 5);
    assert.equal(await pool.transaction(async () => 6, options), 5);
  });

  test('setup exactly-once prints the SQL, makes the table, and can be run twice', async (t) => {
    await db.sql('CREATE SCHEMA "App s"');
    t.after(() => db.sql('DROP SCHEMA "App s" CASCADE'));
    const args = ['setup', 'exactly-once', '--table', 'App s.the "outcome"', '--grant', db.cluster.app.user];
    const printed = await run(args);
    assert.deepEqual([printed.code, printed.err], [0, '']);
    assert.match(printed.out, /CREATE TABLE IF NOT EXISTS "App s"\."the ""outcome"""/);
    assert.match(printed.out, /GRANT SELECT, INSERT, UPDATE, DELETE ON/);
    for (let times = 0; times < 2; times++) {
      const applied = await run([...args, '--apply', '--hosts', db.cluster.hosts.join()], reaching(db));
      assert.deepEqual([applied.code, applied.err], [0, '']);
    }
    await db.sql(`GRANT USAGE ON SCHEMA "App s" TO ${db.cluster.app.user}`);
    const pool = db.pool(t, { exactlyOnceTable: 'App s.the "outcome"', ...db.cluster.app });
    const work = async (/** @type {any} */ tx) => tx.value('SELECT 1');
    assert.equal(await pool.transaction(work, { exactlyOnce: { key: 'a' } }), 1);
    assert.equal(await markersIn('"App s"."the ""outcome"""'), 2);
  });

  test('setup: wrong usage has exit code 2 and names the argument', async () => {
    for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
      [['setup'], /setup makes one thing: setup exactly-once/],
      [['setup', 'twice'], /setup makes one thing/],
      [['setup', 'exactly-once', '--table', 'a.b.c'], /--table must be/],
      [['setup', 'exactly-once', '--json'], /--json is an option of status, doctor, leases, migrate and shards alone/],
      [['status', '--apply'], /--apply is an option of setup alone/],
      [['setup', 'exactly-once', 'x', 'y'], /one connection string/],
    ])) {
      const { code, err, out } = await run(args);
      assert.deepEqual([code, out], [2, '']);
      assert.match(err, message);
    }
  });
});

describe('the clean-up of markers', () => {
  test('old markers are deleted behind a call, new ones are kept', async (t) => {
    const table = await ownTable(t);
    await db.sql(
      `INSERT INTO ${table} (key, state, at) SELECT 'attempt:' || i, 'committed', now() - interval '61 s' FROM generate_series(1, 1200) AS i`,
    );
    await db.sql(`INSERT INTO ${table} (key, state, at) VALUES ('key:young', 'committed', now() - interval '30 s')`);
    const pool = db.pool(t, { exactlyOnceTable: table, exactlyOnceKeepMs: 60_000 });
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'), { exactlyOnce: true });
    await until('the old ones are gone', async () => (await markersIn(table)) === 2);
  });

  test('the clean-up keeps no process alive', async (t) => {
    const table = await ownTable(t);
    const code = `const pool = createPool({ ...options, exactlyOnceTable: ${JSON.stringify(table)} });
      print(await pool.transaction((tx) => tx.value('SELECT 1'), { exactlyOnce: true }));`;
    assert.deepEqual(await printedBy(db, code), ['1']);
  });

  test('exactlyOnceKeepMs 0 keeps all', async (t) => {
    const table = await ownTable(t);
    await db.sql(`INSERT INTO ${table} (key, state, at) VALUES ('key:old', 'committed', '2000-01-01')`);
    const pool = db.pool(t, { exactlyOnceTable: table, exactlyOnceKeepMs: 0 });
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'), { exactlyOnce: true });
    // What runs has ended when the pool has.
    await pool.end();
    assert.equal(await markersIn(table), 2);
  });
});

describe('durability', () => {
  for (const durability of ['remote_apply', 'on', 'remote_write', 'local', 'off']) {
    test(`durability '${durability}' holds in transaction(), begin() and batch(), and not after them`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const show = 'SHOW synchronous_commit';
      assert.equal(await pool.transaction((/** @type {any} */ tx) => tx.value(show), { durability }), durability);
      const tx = await pool.begin({ durability, isolation: 'serializable', readOnly: true });
      assert.equal(await tx.value(show), durability);
      assert.equal(await tx.value('SHOW transaction_isolation'), 'serializable');
      await tx.rollback();
      const [[row]] = await pool.batch([show], { transaction: { durability } });
      assert.equal(row.synchronous_commit, durability);
      assert.equal(await pool.value(show), 'on');
    });
  }

  test('durability goes with BEGIN, and the work is committed', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(db, t);
    const insert = (/** @type {number} */ id) => (/** @type {any} */ tx) =>
      tx.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
    await pool.transaction(insert(1), { durability: 'off' });
    await pool.batch([[`INSERT INTO ${table} VALUES ($1)`, [2]]], { transaction: { durability: 'off' } });
    await makeTable(db);
    await pool.transaction(insert(3), { durability: 'remote_apply', exactlyOnce: true });
    assert.deepEqual(await idsIn(db, table), [1, 2, 3]);
  });
});
