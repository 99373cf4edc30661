'use strict';

// Checks of statements that were ended by timeoutMs or by a signal: their errors, and the rows that they have left.

const assert = require('node:assert/strict');
const { HyperionError } = require('../../client.js');

/**
 * @param {any} error
 * @param {string} outcome
 */
function assertTimeout(error, outcome) {
  assert.deepEqual([error.name, error.code, error.outcome], ['QueryTimeoutError', '57014', outcome], error.stack);
  assert.ok(error instanceof HyperionError);
  assert.match(error.message, /timed out after \d+ ms/);
}

/**
 * @param {any} error
 * @param {unknown} reason
 * @param {string} outcome
 */
function assertAborted(error, reason, outcome) {
  assert.deepEqual([error.name, error.code, error.outcome], ['AbortError', 'ABORT_ERR', outcome], error.stack);
  assert.ok(error instanceof HyperionError);
  assert.equal(error.cause, reason);
}

/**
 * Rows of a table, read over a connection that is not the pool's.
 *
 * @param {{ sql: (text: string) => Promise<any[]> }} db
 * @param {string} table
 */
const countOf = async (db, table) => Number((await db.sql(`SELECT count(*) AS n FROM ${table}`))[0].n);

module.exports = { assertAborted, assertTimeout, countOf };
