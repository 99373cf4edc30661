'use strict';

// The clients of the curves: those of bench/peers/, and this one with options of its own.

const { createPool } = require('../../client.js');

/** @typedef {import('../types').Db} Db */
/** @typedef {import('./types').Job} Job */

/** Opening a thousand connections on two cores takes longer than a caller would wait. */
const PATIENT = { acquireTimeoutMs: 60_000, connectTimeoutMs: 60_000 };

/**
 * @param {Job} job
 * @param {number} connections
 * @param {Record<string, unknown>} [options] of createPool
 */
function ours({ place: { hosts, user, password, database } }, connections, options = {}) {
  return createPool({ hosts, user, password, database, poolSize: connections, ...PATIENT, ...options });
}

/**
 * @param {Job} job
 * @param {number} connections
 * @param {Record<string, unknown>} [options] of createPool, for this client only
 * @returns {Promise<Db>}
 */
async function open(job, connections, options) {
  const { place, series } = job;
  if (series.peer !== 'hyperion') {
    return require(`../peers/${series.peer}.js`).open({ ...place, connections, pipelined: true });
  }
  const pool = ours(job, connections, options);
  return /** @type {any} */ ({
    statement: (/** @type {string} */ _name, /** @type {string} */ sql) => (/** @type {any[]} */ params) =>
      pool.query(sql, params),
    async stream(/** @type {string} */ sql, /** @type {any[]} */ params, /** @type {(row: any) => void} */ onRow) {
      for await (const row of pool.stream(sql, params)) onRow(row);
    },
    close: () => pool.end(),
  });
}

module.exports = { open, ours };
