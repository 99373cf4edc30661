'use strict';

// Reads follow changes of tables, too: a standby that is behind does not know a table, a column or a type yet, and its errors are
// no answers to a read that must see the change.

const assert = require('node:assert/strict');
const { failureOf, isPending, range, sleep, test, useCluster } = require('../support/helpers');
const { ENDLESS_MS, resume, standbysOf, untilAllFit, whilePaused } = require('./standbys');

const db = useCluster({ nodes: 3 });

/** Waiting for a standby ends the test by its time limit. */
const PATIENT = { acquireTimeoutMs: ENDLESS_MS, reads: { waitMs: ENDLESS_MS } };

let tables = 0;

/**
 * Runs `change` while the standbys do not replay, and reads then; the read must wait, and give the rows.
 * @param {import('node:test').TestContext} t
 * @param {object} given
 * @param {(table: string) => string} [given.before] a script
 * @param {(table: string) => string} given.change a script
 * @param {(table: string) => string} given.text of the read
 * @param {unknown[]} [given.params]
 * @param {object[]} given.rows
 * @param {boolean} [given.isKnown] the standbys have run the read before the change
 */
async function readsAfter(t, { before = () => '', change, text, params = [], rows, isKnown = false }) {
  const pool = db.pool(t, { ...PATIENT, monitor: { intervalMs: 60_000 } });
  const table = `changed_${++tables}`;
  await pool.exec(before(table));
  const options = { after: await pool.token() };
  for (const _ of range(20)) await pool.read(isKnown ? text(table) : 'SELECT 1', isKnown ? params : [], options);
  await untilAllFit(pool, db);
  await whilePaused(db.cluster.standbys(), async () => {
    await pool.exec(change(table));
    const after = await pool.token();
    // What is known of the standbys is old then, so the read tries one.
    await sleep(50);
    const read = pool.read(text(table), params, { after });
    // Not left alone if the test fails below.
    read.catch(() => {});
    assert.ok(
      await isPending(read),
      `it waits, and is not answered: ${await Promise.race([read, 'waiting']).catch(String)}`,
    );
    await Promise.all(db.cluster.standbys().map(resume));
    const got = await read;
    assert.deepStrictEqual([...got], rows);
    assert.ok(standbysOf(db).includes(got.node));
  });
}

test('a read follows CREATE TABLE', (t) =>
  readsAfter(t, {
    change: (table) => `CREATE TABLE ${table} AS SELECT 1 AS id`,
    text: (table) => `SELECT id FROM ${table}`,
    rows: [{ id: 1 }],
  }));

test('a read follows ALTER TABLE ADD COLUMN', (t) =>
  readsAfter(t, {
    before: (table) => `CREATE TABLE ${table} AS SELECT 1 AS id`,
    change: (table) => `ALTER TABLE ${table} ADD COLUMN more int DEFAULT 2`,
    text: (table) => `SELECT more FROM ${table}`,
    rows: [{ more: 2 }],
  }));

test('a read of SELECT *, which its standbys have prepared, follows ALTER TABLE ADD COLUMN', (t) =>
  readsAfter(t, {
    before: (table) => `CREATE TABLE ${table} AS SELECT 1 AS id`,
    change: (table) => `ALTER TABLE ${table} ADD COLUMN more int DEFAULT 2`,
    text: (table) => `SELECT * FROM ${table}`,
    rows: [{ id: 1, more: 2 }],
    isKnown: true,
  }));

test('a read whose parameters change their type follows ALTER COLUMN TYPE', (t) =>
  readsAfter(t, {
    before: (table) => `CREATE TABLE ${table} AS SELECT 1 AS id`,
    change: (table) => `ALTER TABLE ${table} ALTER id TYPE text USING 'a'`,
    text: (table) => `SELECT id FROM ${table} WHERE id = $1`,
    params: ['a'],
    rows: [{ id: 'a' }],
  }));

test('a read follows ALTER TYPE ADD VALUE', (t) =>
  readsAfter(t, {
    before: (table) => `CREATE TYPE ${table}_mood AS ENUM ('sad')`,
    change: (table) => `ALTER TYPE ${table}_mood ADD VALUE 'glad'`,
    text: (table) => `SELECT $1::${table}_mood AS mood`,
    params: ['glad'],
    rows: [{ mood: 'glad' }],
  }));

test('a read follows CREATE FUNCTION', (t) =>
  readsAfter(t, {
    change: (table) => `CREATE FUNCTION ${table}_f() RETURNS int LANGUAGE sql STABLE AS 'SELECT 4'`,
    text: (table) => `SELECT ${table}_f() AS f`,
    rows: [{ f: 4 }],
  }));

test('a read follows a change of what would be an error of its rows', (t) =>
  readsAfter(t, {
    before: (table) => `CREATE TABLE ${table} AS SELECT 0 AS id`,
    change: (table) => `UPDATE ${table} SET id = 1`,
    text: (table) => `SELECT 1 / id AS one FROM ${table}`,
    rows: [{ one: 1 }],
  }));

test('an error of a read on a standby that has its position is the answer', async (t) => {
  const pool = db.pool(t, PATIENT);
  const after = await pool.token();
  assert.equal((await failureOf(pool.read('SELECT * FROM there_is_none', [], { after }))).code, '42P01');
  assert.equal((await failureOf(pool.read('SELECT 1 / 0', [], { after }))).code, '22012');
});
