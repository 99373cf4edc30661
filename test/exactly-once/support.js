'use strict';

// A pool whose answers to COMMIT are lost, on a cluster with the table of exactly-once transactions.

const { tableDdl } = require('../../lib/api/exactly-once/marker-table.js');
const { LossyRelay } = require('./lossy-relay.js');

/** @param {any} db @param {string} [table] */
async function makeTable(db, table = 'hyperiondb_outcome') {
  for (const statement of tableDdl(table)) await db.sql(statement);
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} db
 * @param {Record<string, unknown>} [options]
 */
async function lossyPool(t, db, options = {}) {
  const relay = await LossyRelay.open(db.cluster.primary());
  const pool = db.pool(t, { hosts: relay.address, monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 }, ...options });
  // Behind the pool's end, which may wait for what still runs.
  t.after(() => relay.close());
  return { relay, pool };
}

/** Loses only the first COMMIT. @param {LossyRelay} relay @param {import('./lossy-relay.js').Fault} fault */
function loseOne(relay, fault) {
  let isLost = false;
  relay.fault = () => {
    if (isLost) return undefined;
    isLost = true;
    return fault;
  };
}

module.exports = { loseOne, lossyPool, makeTable };
