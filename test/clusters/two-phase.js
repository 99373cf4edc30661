'use strict';

// What the tests of two-phase commits begin with: a TwoPhase over clusters with accounts, transfers between them, and what is left.

const { DECISIONS } = require('../../exports/clusters/two-phase/rows.js');
const { TwoPhase } = require('../../exports/clusters/two-phase/index.js');
const { fakeUnit } = require('./support.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {{ event: string, id: string, clusters: string[] }} Told */

/** The function at this property of a TwoPhase is awaited at each point of a commit. */
const POINT = Symbol.for('hyperiondb-client.two-phase-point');

const ACCOUNTS = 8;
const BALANCE = 100;

/** Options as the checks of a configuration leave them. @param {Record<string, unknown>} [given] */
const decisions = (given = {}) => ({
  ...Object.fromEntries(Object.entries(DECISIONS).map(([name, { value }]) => [name, value])),
  ...given,
});

/**
 * A TwoPhase over one pool for each name; the first has the decisions.
 * @param {Record<string, any>} pools
 * @param {Record<string, unknown>} [options]
 */
function twoPhaseOver(pools, options) {
  const units = Object.entries(pools).map(([name, pool]) => fakeUnit(name, pool));
  /** @type {Told[]} */
  const told = [];
  const twoPhase = new TwoPhase({
    options: decisions(options),
    units: () => units,
    decisionUnit: () => units[0],
    emit: (event, payload) => void told.push({ event, ...payload }),
  });
  /** @param {(tx: any) => unknown} callback @param {object} [more] */
  const run = (callback, more = {}) =>
    twoPhase.run({
      schemas: units.map(({ name }) => name),
      clusterIds: units.map(({ clusterId }) => clusterId),
      unitOf: (schema) => {
        const unit = units.find(({ name }) => name === schema);
        if (unit === undefined) throw new Error(`schema ${schema} was not named`);
        return unit;
      },
      callback,
      ...more,
    });
  /** Names of the events, with the clusters. */
  const events = () => told.map(({ event, clusters }) => `${event} ${clusters.join()}`);
  return { twoPhase, run, told, events, units };
}

/** @param {any} db */
async function makeAccounts(db) {
  await db.sql('DROP TABLE IF EXISTS accounts');
  await db.sql(`CREATE TABLE accounts AS SELECT id, ${BALANCE} AS balance FROM generate_series(1, ${ACCOUNTS}) AS id`);
  await db.sql('ALTER TABLE accounts ADD PRIMARY KEY (id), ADD CHECK (balance >= 0)');
}

/** A callback: moves an amount from one cluster to another. @param {string} from @param {string} to @param {{ amount?: number, id?: number }} [more] */
const transfer =
  (from, to, { amount = 1, id = 1 } = {}) =>
  async (/** @type {any} */ tx) => {
    await tx.query('UPDATE accounts SET balance = balance - $1 WHERE id = $2', [amount, id], { schema: from });
    await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, id], { schema: to });
    return 'moved';
  };

/** The money of each cluster. @param {any[]} dbs */
const money = (dbs) =>
  Promise.all(dbs.map(async (db) => Number((await db.sql('SELECT sum(balance)::int AS sum FROM accounts'))[0].sum)));

/** The identifiers of what is prepared on clusters. @param {any[]} dbs */
const prepared = async (dbs) =>
  (await Promise.all(dbs.map((db) => db.sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid'))))
    .flat()
    .map(({ gid }) => gid);

/** The decisions in the table. @param {any} db @param {string} [table] */
const decided = (db, table = 'hyperiondb_decisions') =>
  db.sql(`SELECT id, outcome, participants::text FROM ${table} WHERE outcome <> 'identity' ORDER BY created_at`);

/** Prepares a transaction as somebody else would. @param {any} db @param {string} gid @param {string} [sql] */
const prepareAs = (db, gid, sql = 'SELECT pg_current_xact_id()') =>
  db.sql(`BEGIN; ${sql}; PREPARE TRANSACTION '${gid}'`);

module.exports = {
  ACCOUNTS,
  BALANCE,
  POINT,
  decided,
  makeAccounts,
  money,
  prepareAs,
  prepared,
  transfer,
  twoPhaseOver,
};
