'use strict';

// One cluster's (or shard's) part of a transaction that spans clusters: an ordinary transaction until its end.

const { DURABLE, NOW } = require('./decision-table.js');

const PREPARE = Symbol.for('hyperiondb-client.prepare');

/**
 * Whether the transaction has written (it has a transaction id then, with a row lock, too), and the time. What it commits from here on
 * waits for the standby that is waited for: a prepared part that a failover loses would be missing.
 */
const EXAMINE = `SELECT (pg_catalog.txid_current_if_assigned() IS NOT NULL)::text AS written, (${NOW})::text AS now, ${DURABLE} AS durability`;
const PLAIN = { parsers: { text: null } };

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {import('../../../client.js').Transaction} Transaction */

class Participant {
  /** @type {Promise<Transaction>} */
  #begun;
  /** The first failure of a statement: after that the server refuses all others. @type {unknown} */
  failure;

  /**
   * @param {Unit} unit
   * @param {object} options of BEGIN
   */
  constructor(unit, options) {
    this.unit = unit;
    this.#begun = unit.pool.outside(() => unit.pool.begin(options));
    // Whoever uses it is told; the call may have ended before.
    this.#begun.catch(() => {});
  }

  get name() {
    return this.unit.name;
  }

  /**
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {object} options
   */
  async query(sql, params, options) {
    const tx = await this.#begun;
    try {
      return await tx.query(sql, params, options);
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }

  /** @returns {Promise<{ hasWritten: boolean, now: number }>} */
  async examine() {
    const tx = await this.#begun;
    try {
      const [row] = /** @type {any[]} */ (await tx.query(EXAMINE, [], { types: PLAIN }));
      return { hasWritten: row.written === 'true', now: Number(row.now) };
    } catch (/** @type {any} */ error) {
      // 25P02 says only that something has failed before.
      if (error.code === '25P02' && error.cause === undefined && this.failure !== undefined) {
        Object.defineProperty(error, 'cause', { value: this.failure, configurable: true, writable: true });
      }
      throw error;
    }
  }

  async commit() {
    await (await this.#begun).commit();
  }

  /**
   * @param {string} gid
   * @param {number} timeoutMs
   */
  async prepare(gid, timeoutMs) {
    const tx = /** @type {any} */ (await this.#begun);
    await tx[PREPARE](gid, { timeoutMs });
  }

  /** Undoes it, if it is still open. Never rejects: a connection that is lost undoes it, too. */
  async rollback() {
    try {
      const tx = await this.#begun;
      if (!(/** @type {any} */ (tx).ended)) await tx.rollback();
    } catch {
      // It was not begun, or its connection is lost.
    }
  }
}

module.exports = { Participant };
