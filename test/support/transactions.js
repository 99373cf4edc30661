'use strict';

// What the tests of transactions have in common: a table for each test, and its rows afterwards.

const assert = require('node:assert/strict');
const { HyperionError } = require('../../client.js');

/** @typedef {{ sql: (text: string) => Promise<any[]> }} Sql */

/** Rows of a table, read over a connection that is not the pool's. @param {Sql} db @param {string} table */
const idsIn = async (db, table) => (await db.sql(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => id);

/**
 * A table that is dropped when its test ends.
 * @param {Sql} db
 * @param {import('node:test').TestContext} t
 */
async function tableFor(db, t) {
  const name = `t_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(`CREATE TABLE ${name} (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`);
  t.after(() => db.sql(`DROP TABLE ${name}`));
  return name;
}

/** @param {any} error */
function assertEnded(error) {
  assert.ok(error instanceof HyperionError, error.stack);
  assert.equal(error.code, 'ERR_TRANSACTION_ENDED');
}

module.exports = { assertEnded, idsIn, tableFor };
