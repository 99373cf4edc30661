'use strict';

const { Pool } = require('../../exports/pg/index.js');
const { ownCluster } = require('../support/helpers.js');

/**
 * A cluster of its own for a test that leaves it broken, and pools on it that end with the test.
 * @param {import('node:test').TestContext} t
 * @param {import('../support/cluster').ClusterOptions} options
 */
async function clusterFor(t, options) {
  const db = await ownCluster(t, options);
  db.needs('promote', 'failover');
  const { hosts, user, password, database } = db.cluster;
  const config = { host: hosts.join(), user, password, database };
  /** @param {Record<string, unknown>} [more] */
  const poolOf = (more) => {
    const pool = /** @type {any} */ (new Pool({ ...config, connectionTimeoutMillis: 20_000, ...more }));
    t.after(() => (pool.ending ? undefined : pool.end()));
    return pool;
  };
  return { cluster: db.cluster, config, db, poolOf };
}

module.exports = { clusterFor };
