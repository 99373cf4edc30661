'use strict';

// What the tests of outdated plans have in common. A pool keeps the statements that it has prepared on a connection; DDL, another
// search_path or DEALLOCATE makes them useless. Within a transaction that must cost neither the statement nor the transaction.
//
// The pools have one connection, so that each statement meets what the earlier ones have left there.

const assert = require('node:assert/strict');
const { after, before } = require('node:test');
const { Client } = require('pg');
const { HANG_MS, named } = require('./helpers');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {ReturnType<typeof import('./helpers').useCluster>} Database */
/** @typedef {{ query(sql: string, params?: unknown[], options?: object): Promise<any>, exec(script: string): Promise<any[]>, [method: string]: any }} Tx */
/** @typedef {'transaction()' | 'begin()'} Begun */

/** Where in its transaction a statement stands. Nothing can be run again from the start for one that is not the first. */
const PLACES = /** @type {const} */ (['first', 'later']);

/** After so long the client prepares a statement anew of which the server does not notice that its plan is out of date. */
const UNSEEN_MS = 1_100;

const MARK = 'INSERT INTO public.plan_markers VALUES ($1, $2)';

/**
 * Ways to run DDL or SET within a transaction, by their names.
 * @type {Record<string, (tx: Tx, commands: string[]) => Promise<unknown>>}
 */
const WITHIN = {
  'query()': async (tx, commands) => {
    for (const sql of commands) await tx.query(sql);
  },
  'exec()': (tx, commands) => tx.exec(['SELECT 1', ...commands, 'SELECT 2'].join(';')),
  'a DO block': (tx, commands) => tx.query(`DO $do$ BEGIN EXECUTE $sql$${commands.join(';')}$sql$; END $do$`),
  'a function': (tx, commands) => tx.query('SELECT public.plan_execute($1)', [commands.join(';')]),
};

const SETUP = `
  CREATE TABLE IF NOT EXISTS public.plan_markers (id text, step text, xid int8 DEFAULT txid_current());
  GRANT ALL ON public.plan_markers TO public;
  CREATE OR REPLACE FUNCTION public.plan_execute(sql text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE sql; END';`;

/**
 * Runs `body` in a transaction.
 * @param {any} pool
 * @param {Begun} begun
 * @param {(tx: Tx) => Promise<unknown>} body
 * @param {Record<string, unknown>} [options]
 */
async function runIn(pool, begun, body, options) {
  if (begun === 'transaction()') return pool.transaction(body, options);
  const tx = await pool.begin(options);
  await body(tx);
  return tx.commit();
}

/** The other session of a file's tests, the schemas that it makes for them, and their transactions. */
class Plans {
  #db;
  /** @type {Client | undefined} */
  #client;
  /** @type {string[]} */
  #schemas = [];

  /** @param {Database} db */
  constructor(db) {
    this.#db = db;
  }

  async setUp() {
    await this.#db.started;
    let login;
    try {
      login = this.#db.cluster.primary().login;
    } catch {
      return; // There is no cluster, as each test then says for itself.
    }
    this.#client = new Client({ ...login, ssl: false });
    // The cluster may end before this session does.
    this.#client.on('error', () => {});
    await this.#client.connect();
    await this.sql(SETUP);
  }

  async tearDown() {
    if (this.#schemas.length > 0)
      await this.sql(`DROP SCHEMA IF EXISTS ${this.#schemas.join(', ')} CASCADE`).catch(() => {});
    await this.#client?.end();
  }

  /**
   * Runs SQL in the other session.
   * @param {string} text
   * @param {unknown[]} [params]
   * @returns {Promise<any[]>}
   */
  async sql(text, params) {
    void this.#db.cluster; // where there is none this says why the test is skipped
    const result = /** @type {any} */ (await /** @type {Client} */ (this.#client).query(text, params));
    return (Array.isArray(result) ? result[result.length - 1] : result).rows;
  }

  /**
   * A pool of one connection that knows the statement of the markers: BEGIN travels with a statement only if it is known.
   * @param {TestContext} t
   * @param {Record<string, unknown>} [options]
   */
  async pool(t, options) {
    const pool = this.#db.pool(t, { poolSize: 1, ...options });
    await pool.query(MARK, [named('warm'), 'warm']);
    return pool;
  }

  /**
   * Schemas of the test's own.
   * @param {string} script with `S` for a schema, `S1` for another one, and so on
   * @returns {Promise<(sql: string) => string>} what puts the names of the schemas into SQL
   */
  async schema(script) {
    const name = `plans_${Math.floor(Math.random() * 1e12)}`;
    const within = (/** @type {string} */ sql) => sql.replaceAll(/\bS(\d?)\b/g, `${name}$1`);
    const schemas = [...new Set(['S', ...(script.match(/\bS\d\b/g) ?? [])])].map(within);
    this.#schemas.push(...schemas);
    await this.sql(`${schemas.map((one) => `CREATE SCHEMA ${one}`).join(';')}; ${within(script)}`);
    return within;
  }

  /**
   * Runs `body` in a transaction with a marker behind it and, unless `body` stands in first place, one ahead of it. Fails unless
   * the transaction has lasted: COMMIT has succeeded, and the markers are there, of one transaction.
   *
   * @param {any} pool
   * @param {(tx: Tx) => Promise<unknown>} body
   * @param {{ place?: 'first' | 'later', begun?: Begun, options?: Record<string, unknown> }} [how]
   */
  async lasting(pool, body, { place = 'later', begun = 'transaction()', options } = {}) {
    const id = named('marker');
    await runIn(
      pool,
      begun,
      async (tx) => {
        if (place === 'later') await tx.query(MARK, [id, 'ahead']);
        await body(tx);
        await tx.query(MARK, [id, 'behind']);
      },
      options,
    );
    const rows = await this.sql('SELECT step, xid::text FROM public.plan_markers WHERE id = $1 ORDER BY step', [id]);
    assert.deepEqual(
      rows.map(({ step }) => step),
      place === 'first' ? ['behind'] : ['ahead', 'behind'],
      'the markers of the transaction',
    );
    assert.equal(new Set(rows.map(({ xid }) => xid)).size, 1, 'the markers are of one transaction');
  }

  /**
   * The same for a transaction that must not write: its markers are the moment at which it began, and its session.
   * @param {any} pool
   * @param {(tx: Tx) => Promise<unknown>} body
   * @param {{ place?: 'first' | 'later', begun?: Begun, options?: Record<string, unknown> }} [how]
   */
  async lastingUnwritten(pool, body, { place = 'later', begun = 'transaction()', options } = {}) {
    const mark = 'SELECT now()::text AS began, pg_backend_pid() AS pid';
    await pool.query(mark);
    await runIn(
      pool,
      begun,
      async (tx) => {
        const ahead = place === 'later' ? await tx.query(mark) : undefined;
        await body(tx);
        const behind = await tx.query(mark);
        if (ahead !== undefined) assert.deepEqual(behind, ahead, 'the transaction is the same one');
      },
      options,
    );
  }
}

/** @param {Database} db */
function usePlans(db) {
  const plans = new Plans(db);
  before(() => plans.setUp(), { timeout: HANG_MS * 2 });
  after(() => plans.tearDown(), { timeout: HANG_MS });
  return plans;
}

module.exports = { UNSEEN_MS, MARK, PLACES, WITHIN, usePlans };
