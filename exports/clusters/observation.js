'use strict';

// What is counted and told of each statement.

/** @typedef {import('./members.js').Cluster} Cluster */
/** @typedef {{ rows: any[], rowCount: number, command: string, fields: readonly any[], clusterId: string, node: string, cached: boolean }} Result */

/** Tags of statements that have read, where the options of the call do not say it. */
const READING = new Set(['SELECT', 'SHOW', 'EXPLAIN', 'FETCH', 'VALUES', 'TABLE']);

class Observation {
  #emitter;
  #tell;

  /**
   * @param {import('node:events').EventEmitter} emitter
   * @param {(event: string, payload: object) => void} tell
   */
  constructor(emitter, tell) {
    this.#emitter = emitter;
    this.#tell = tell;
  }

  /**
   * What a statement resolves with that began at this time.
   * @param {Cluster} cluster
   * @param {number} began
   * @param {any} rows
   * @param {string} [operation]
   * @returns {Result}
   */
  answer(cluster, began, rows, operation) {
    this.succeeded(cluster, began, rows, operation);
    const { rowCount, command, fields, node } = rows;
    return { rows, rowCount, command, fields, clusterId: cluster.id, node, cached: false };
  }

  /**
   * @param {Cluster} cluster
   * @param {number} began
   * @param {{ rowCount: number, command: string, node: string }} result
   * @param {string | undefined} operation
   */
  succeeded({ id: clusterId, metrics }, began, { rowCount, command, node }, operation) {
    const duration = performance.now() - began;
    metrics?.record(duration, operation === undefined ? READING.has(command) : operation === 'read');
    if (this.#emitter.listenerCount('queryExecuted') > 0) {
      this.#tell('queryExecuted', { clusterId, node, duration, rowCount });
    }
  }

  /** @param {Cluster} cluster @param {number} began @param {unknown} error @param {string | undefined} operation */
  failed({ id: clusterId, metrics }, began, error, operation) {
    const duration = performance.now() - began;
    metrics?.fail(duration, operation === 'read');
    this.#tell('queryError', { clusterId, error, duration });
  }
}

module.exports = { Observation };
