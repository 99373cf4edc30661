'use strict';

// What the tests of ambient transactions have in common: a table for each test, and in which transaction its rows were written.

const assert = require('node:assert/strict');

/** @typedef {{ sql: (text: string) => Promise<any[]>, pool: (t: any, options?: any) => any }} Database */

/**
 * A pool with ambient transactions and a table that ends with the test. The rows say who has written them.
 * @param {Database} db
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 */
async function scene(db, t, options) {
  const table = `ambient_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(
    `CREATE TABLE ${table} (note text, pid int DEFAULT pg_backend_pid(), xid bigint DEFAULT txid_current())`,
  );
  t.after(() => db.sql(`DROP TABLE ${table}`));
  const pool = db.pool(t, { ambient: true, poolSize: 4, ...options });
  /** The notes that another session sees, in the order in which they were written. */
  const seen = async () => (await db.sql(`SELECT note FROM ${table} ORDER BY ctid`)).map(({ note }) => note);
  /** @param {any} on a pool or a transaction @param {string} note */
  const write = (on, note) => on.query(`INSERT INTO ${table} (note) VALUES ($1)`, [note]);
  return { pool, table, seen, write };
}

/** The transaction in which `on` runs a statement. @param {any} on @returns {Promise<string>} */
const xidOf = (on) => on.value('SELECT txid_current()::text');

/** An error that a test throws. */
const failure = () => Object.assign(new Error('meant to fail'), { isMeant: true });

/** @param {any} pool no connection is in use, and none waits */
function assertIdle(pool) {
  const { inUse, waiting } = pool.status();
  assert.deepEqual({ inUse, waiting }, { inUse: 0, waiting: 0 });
}

module.exports = { assertIdle, failure, scene, xidOf };
