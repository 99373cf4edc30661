'use strict';

// What the tests of the test clusters have in common.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { startCluster } = require('./cluster');

const LOCAL = !process.env.HYPERION_HOSTS;
const skip = LOCAL ? false : 'these are facts about local clusters, HYPERION_HOSTS names another';

/**
 * A cluster that ends with the test.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./cluster').ClusterOptions} [options]
 */
async function clusterFor(t, options) {
  const cluster = await startCluster(options);
  t.after(() => cluster.stop());
  return cluster;
}

/**
 * Checks that System V segments are freed, where the kernel lists them (proc_sysvipc(5)).
 *
 * @param {(string | undefined)[]} ids
 */
function assertFreed(ids) {
  const table = '/proc/sysvipc/shm';
  if (!fs.existsSync(table)) return;
  const present = new Set(
    fs
      .readFileSync(table, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/)[1]),
  );
  assert.deepEqual(
    ids.filter((id) => id === undefined || present.has(id)),
    [],
  );
}

module.exports = { assertFreed, clusterFor, skip };
