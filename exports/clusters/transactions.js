'use strict';

// withTransaction() where one cluster is enough: an ordinary transaction, which the pool runs again as it does its own.

const { randomBytes } = require('node:crypto');
const { ParameterError } = require('../../client.js');

/** @typedef {import('./members.js').Unit} Unit */
/** @typedef {{ started: number, committed: number, aborted: number, inDoubt: number, recovered: number }} Counts */

/** What a callback is given. It has the form of that of a transaction in two phases. */
class Handle {
  #tx;
  #unit;
  #unitOf;

  /**
   * @param {string} id
   * @param {import('../../client.js').Transaction} tx
   * @param {Unit} unit
   * @param {(schema: string | undefined, shardKey: unknown, clusterId: string | undefined) => unknown} unitOf
   */
  constructor(id, tx, unit, unitOf) {
    this.id = id;
    this.#tx = tx;
    this.#unit = unit;
    this.#unitOf = unitOf;
  }

  /** What is committed here is committed. */
  get pending() {
    return [];
  }

  /**
   * @param {string} sql
   * @param {readonly unknown[]} [params]
   * @param {Record<string, any>} [options]
   */
  async query(sql, params, options = {}) {
    if (typeof options !== 'object' || options === null) throw new ParameterError('options must be an object');
    const { schema, shardKey, clusterId, ...others } = options;
    // As a transaction in two phases does.
    if (others.commit !== undefined) throw new ParameterError("tx.query: unknown option 'commit'");
    if (schema !== undefined || shardKey !== undefined || clusterId !== undefined) {
      // It is no promise here: statements that are not awaited keep their order.
      this.#unitOf(schema, shardKey, schema === undefined ? (clusterId ?? this.#unit.clusterId) : clusterId);
    }
    const rows = await this.#tx.query(sql, /** @type {any} */ (params), others);
    const { rowCount, command, fields, node } = /** @type {any} */ (rows);
    return { rows, rowCount, command, fields, clusterId: this.#unit.clusterId, node, cached: false };
  }
}

/** The handle of a transaction, whose statements run through a function. */
class ObservedTransaction {
  #tx;

  /** @param {{ id: string, pending: string[] }} tx @param {(sql: any, params?: any, options?: any) => Promise<any>} query */
  constructor(tx, query) {
    this.#tx = tx;
    this.query = query;
  }

  get id() {
    return this.#tx.id;
  }

  get pending() {
    return this.#tx.pending;
  }
}

class OneCluster {
  #emit;
  #counts = { started: 0, committed: 0, aborted: 0 };

  /** @param {(event: string, payload: object) => void} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /**
   * @param {Unit} unit
   * @param {Record<string, any>} args as TwoPhase.run takes them
   */
  async run(unit, { unitOf, callback, isolation, timeoutMs }) {
    const id = randomBytes(12).toString('hex');
    const clusters = [unit.clusterId];
    const options = {
      ...(isolation === undefined ? {} : { isolation }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    this.#counts.started++;
    this.#emit('transactionStarted', { id, clusters });
    let isAtEnd = false;
    const run = async (/** @type {import('../../client.js').Transaction} */ tx) => {
      isAtEnd = false;
      const value = await callback(new Handle(id, tx, unit, unitOf));
      isAtEnd = true;
      return value;
    };
    try {
      const value = await unit.pool.transaction(run, options);
      this.#counts.committed++;
      this.#emit('transactionCommitted', { id, clusters });
      return value;
    } catch (/** @type {any} */ error) {
      // The answer to COMMIT was lost.
      if (isAtEnd && error?.outcome === 'unknown') {
        this.#emit('inDoubt', { id, clusters });
      } else {
        this.#counts.aborted++;
        this.#emit('transactionAborted', { id, clusters });
      }
      throw error;
    }
  }

  /** @param {Counts} [others] */
  stats(
    { started, committed, aborted, inDoubt, recovered } = {
      started: 0,
      committed: 0,
      aborted: 0,
      inDoubt: 0,
      recovered: 0,
    },
  ) {
    const own = this.#counts;
    return {
      started: started + own.started,
      committed: committed + own.committed,
      aborted: aborted + own.aborted,
      inDoubt,
      recovered,
    };
  }
}

module.exports = { ObservedTransaction, OneCluster };
