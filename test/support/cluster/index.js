'use strict';

// The clusters of our own tests, examples and benchmarks: those of the kit for tests (exports/testing/cluster/), or the one that
// HYPERION_HOSTS names. What only we need stands here, beside them.
//
//   const { startCluster } = require('../support/cluster');
//   const cluster = await startCluster();             // one primary, two standbys, synchronous (ANY 1)
//   await cluster.primary().crash();
//   const next = await cluster.failover();
//   await cluster.stop();
//
// Where to look: there, cluster.js (roles, failover), server.js (every operation of a node, documented), node.js (a local
// server's processes), entrance.js (TLS and pg_hba.conf), replication.js (standbys, base backups), connection.js and sql.js (the
// harness's own statements), proxy.js (network faults), hog.js (no connection left), local.js (how a cluster is put together,
// settings), reaper.js (cleaning up, whatever happens); here, certificates.js (a PKI for tests), external.js (a cluster named by
// HYPERION_HOSTS), cli.js and ctl.js (a cluster to play with, shared with other processes). test/cluster/harness.test.js and
// test/cluster/harness.start.test.js prove all of it, and test/kit/ proves the public face, exports/testing/index.js.
//
// Clusters end with the process that started them, however it ends; nothing here keeps that process alive.

const { openExternalCluster } = require('./external');
const { startLocalCluster } = require('../../../exports/testing/cluster/local.js');
const { UnsupportedError } = require('../../../exports/testing/cluster/server.js');

/** @typedef {import('../../../exports/testing/cluster/cluster.js').Cluster} Cluster */
/** @typedef {import('../../../exports/testing/cluster/server.js').Server} Node */
/** @typedef {import('../../../exports/testing/cluster/proxy.js').TcpProxy} Proxy */

/** @typedef {import('../../../exports/testing/cluster/local.js').LocalOptions} ClusterOptions */

/**
 * Starts a cluster and resolves when all standbys stream; with HYPERION_HOSTS set, hands out the cluster named there.
 *
 * @param {ClusterOptions} [options]
 * @returns {Promise<Cluster>}
 */
async function startCluster(options = {}) {
  return process.env.HYPERION_HOSTS ? openExternalCluster(options) : startLocalCluster(options);
}

exports.startCluster = startCluster;
exports.UnsupportedError = UnsupportedError;
