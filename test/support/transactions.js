'use strict';

// What the tests of transactions have in common: a table for each test and its rows afterwards, and how their statements travel.

const assert = require('node:assert/strict');
const { HyperionError } = require('../../client.js');
const { until } = require('./helpers');
const { relayTo } = require('./relay');

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

/** COMMIT as a Query message (PostgreSQL docs, 54.7 "Message Formats"). */
const COMMIT = 'Q\0\0\0\x0bCOMMIT\0';

/**
 * A pool of one connection whose pieces are seen.
 * @param {ReturnType<typeof import('./helpers').useCluster>} db
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 */
async function watched(db, t, options) {
  const { host, sent } = await relayTo(t, db.cluster.primary());
  return { pool: db.pool(t, { hosts: [host], poolSize: 1, monitor: false, ...options }), sent };
}

/**
 * Runs work until it was sent in the pieces that are wanted: a plan is in doubt after a pause, which a busy machine makes.
 * @param {string} fact what `suits` looks for
 * @param {() => string[]} sent
 * @param {() => Promise<unknown>} work
 * @param {(pieces: string[]) => boolean} suits
 */
async function piecesOf(fact, sent, work, suits) {
  /** @type {string[]} */
  let pieces = [];
  await until(fact, async () => {
    await work();
    sent();
    await work();
    pieces = sent();
    return suits(pieces);
  });
  return pieces;
}

/**
 * A meeting: each who comes waits until so many have come. Transactions that have read at a meeting overlap, however long a busy
 * machine takes to open their connections.
 * @param {number} count
 */
function meetingOf(count) {
  let come = 0;
  return () => {
    come++;
    return until(`${count} have come`, () => come >= count);
  };
}

/** @param {any} error */
function assertEnded(error) {
  assert.ok(error instanceof HyperionError, error.stack);
  assert.equal(error.code, 'ERR_TRANSACTION_ENDED');
}

module.exports = { COMMIT, assertEnded, idsIn, meetingOf, piecesOf, tableFor, watched };
