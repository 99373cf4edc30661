'use strict';

// What the tests of the test clusters have in common.

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

/** @param {Promise<unknown>} promise */
async function isPending(promise) {
  let pending = true;
  const settle = () => {
    pending = false;
  };
  promise.then(settle, settle);
  await new Promise((resolve) => {
    setImmediate(resolve);
  }); // what has arrived is delivered by then
  return pending;
}

module.exports = { clusterFor, isPending, skip };
