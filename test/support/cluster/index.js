'use strict';

// The cluster harness: real PostgreSQL clusters for tests, examples and benchmarks.
//
//   const { startCluster } = require('../support/cluster');
//   const cluster = await startCluster();             // one primary, two standbys, synchronous (ANY 1)
//   await cluster.primary().crash();
//   const next = await cluster.failover();
//   await cluster.stop();
//
// Where to look: cluster.js (roles, failover), server.js (every operation of a node, documented), node.js (a local
// server's processes), entrance.js (TLS and pg_hba.conf), certificates.js (a PKI for tests), replication.js (standbys, base
// backups), proxy.js (network faults), hog.js (no connection left), local.js (how a cluster is put together, settings),
// external.js (a cluster named by HYPERION_HOSTS), reaper.js (cleaning up, whatever happens), cli.js and ctl.js (a cluster
// to play with, shared with other processes). cluster.test.js proves all of it.
//
// Clusters end with the process that started them, however it ends; nothing here keeps that process alive.

const { openExternalCluster } = require('./external');
const { startLocalCluster } = require('./local');
const { UnsupportedError } = require('./server');

/** @typedef {import('./cluster').Cluster} Cluster */
/** @typedef {import('./server').Server} Node */
/** @typedef {import('./proxy').TcpProxy} Proxy */

/**
 * @typedef {object} ClusterOptions
 * @property {number} [nodes] how many; the first becomes the primary. Default 3.
 * @property {boolean} [synchronous] a commit waits for any one standby (ANY 1, synchronous_commit = on). Default true.
 * @property {Record<string, string | number | boolean>} [settings] more postgresql.conf settings, for all nodes.
 * @property {string[]} [hba] more pg_hba.conf lines, tried after the harness's own and before the password default.
 * @property {import('./entrance').ServerTls | import('./entrance').ServerTls[] | null} [tls] certificate and key of all nodes,
 *   or of each. Default: no TLS. `node.entrance()` changes it later.
 * @property {Record<string, string | Buffer>} [files] files for the data directory, e.g. a TLS key (mode 0600).
 * @property {string} [pgBin] folder of postgres and initdb. Default HYPERION_PG_BIN, else the npm package's PostgreSQL.
 */

/**
 * Starts a cluster and resolves when all standbys stream; with HYPERION_HOSTS set, hands out the cluster named there.
 *
 * @param {ClusterOptions} [options]
 * @returns {Promise<Cluster>}
 */
async function startCluster({
  nodes = 3,
  synchronous = true,
  settings = {},
  hba = [],
  tls = null,
  files = {},
  pgBin,
} = {}) {
  if (process.env.HYPERION_HOSTS) return openExternalCluster({ settings, tls });
  return startLocalCluster({ nodes, synchronous, settings, hba, tls, files, pgBin });
}

exports.startCluster = startCluster;
exports.UnsupportedError = UnsupportedError;
