'use strict';

// A session that ends, or turns out to be one of a standby, between its answer to a statement and its answer to the request for its
// position behind it. The request is changed on its way to the server.

const assert = require('node:assert/strict');
const { test, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');
const { tableFor } = require('../support/transactions');

const db = useCluster({ nodes: 1 });

const REQUEST = /SELECT pg_catalog\.pg_current_wal_insert_lsn[^\0]*/g;

/** What a server may do with the request for its position. */
const ENDS = 'SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())';
const IS_STANDBY = "DO $$ BEGIN RAISE 'recovery is in progress' USING errcode = '55000'; END $$";

/**
 * A pool whose first requests for a position are replaced by another statement of the same length.
 * @param {import('node:test').TestContext} t
 * @param {string} statement
 * @param {number} [times]
 * @param {object} [options]
 */
async function poolWithLost(t, statement, times = 1, options = {}) {
  let replaced = 0;
  const relay = await relayTo(t, db.cluster.primary(), (piece) => {
    const text = piece.toString('latin1').replace(REQUEST, (request) => {
      if (replaced === times) return request;
      replaced++;
      assert.ok(statement.length <= request.length);
      return statement.padEnd(request.length);
    });
    return Buffer.from(text, 'latin1');
  });
  const pool = db.pool(t, { hosts: [relay.host], poolSize: 1, ...options });
  const table = await tableFor(db, t);
  const count = async () => (await db.sql(`SELECT count(*)::int AS n FROM ${table}`))[0].n;
  return { pool, table, count, replaced: () => replaced };
}

for (const [name, statement] of [
  ['the session ends', ENDS],
  ['the node says that it is a standby', IS_STANDBY],
]) {
  test(`pool.token(): ${name} before it has said its position: another session is asked`, async (t) => {
    const { pool, replaced } = await poolWithLost(t, statement, 2);
    assert.match(await pool.token(), /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/);
    assert.equal(replaced(), 2);
  });

  test(`query() with token: true: ${name} before it has said its position: one write, and a token behind it`, async (t) => {
    const { pool, table, count, replaced } = await poolWithLost(t, statement);
    const { token } = await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
    assert.match(token, /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/);
    assert.deepEqual([await count(), replaced()], [1, 1]);
    assert.ok(BigInt(`0x${token.split('-')[2]}`) > 0n);
  });

  test(`query() in session(): ${name} before it has said its position: one write, and the next read asks for one`, async (t) => {
    const { pool, table, count, replaced } = await poolWithLost(t, statement);
    await pool.session(async () => {
      const rows = await pool.query(`INSERT INTO ${table} VALUES (1) RETURNING id`);
      assert.deepEqual([...rows], [{ id: 1 }]);
      assert.equal(await pool.read.value(`SELECT count(*)::int FROM ${table}`), 1);
    });
    assert.deepEqual([await count(), replaced()], [1, 1]);
  });
}

test('query() with token: true: when no session says its position, the error has the outcome applied', async (t) => {
  const { pool, table, count } = await poolWithLost(t, IS_STANDBY, 1e9, { acquireTimeoutMs: 500 });
  await assert.rejects(
    pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true }),
    (/** @type {any} */ error) => {
      assert.match(error.message, /^the statement was applied, and its consistency token could not be asked for: /);
      assert.deepEqual([error.outcome, error.retryable], ['applied', false]);
      return true;
    },
  );
  assert.equal(await count(), 1);
});
