'use strict';

// Opens clusters side by side, and tells what is different in another configuration.

const { setTimeout: sleep } = require('node:timers/promises');
const { initializeFailed } = require('./errors.js');
const { watchFailovers } = require('./health.js');
const { Cluster } = require('./members.js');

/** @typedef {import('./configuration.js').ClusterPlan} ClusterPlan */

/** The first look at a node that answers takes a few milliseconds. One that does not is not waited for. */
const FIRST_LOOK_MS = 1_000;

/**
 * Resolves when the primary has answered, and the standbys are known, so that the first read can go there.
 * @param {import('./members.js').Unit} unit
 */
async function beReady({ pool }) {
  await pool.query('SELECT 1', [], { readOnly: true });
  const until = performance.now() + FIRST_LOOK_MS;
  const isUnknown = (/** @type {import('../../client.js').NodeStatus} */ { role, lastError }) =>
    role === 'unknown' && lastError === null;
  while (performance.now() < until && pool.nodes().some(isUnknown)) await sleep(5);
}

/** @param {Cluster[]} clusters @param {{ timeoutMs?: number }} [options] */
async function endAll(clusters, options) {
  await Promise.all(clusters.map((cluster) => cluster.end(options)));
}

/** The pools of clusters, none of which has connected yet. @param {ClusterPlan[]} plans */
async function make(plans) {
  /** @type {Cluster[]} */
  const clusters = [];
  try {
    for (const plan of plans) clusters.push(new Cluster(plan));
    return clusters;
  } catch (error) {
    await endAll(clusters);
    throw error;
  }
}

/**
 * Clusters whose primaries have answered; if one has not, none is left open.
 * @param {ClusterPlan[]} plans
 * @param {object} surroundings
 * @param {(event: string, payload: object) => void} surroundings.tell
 * @param {Set<Cluster>} surroundings.opening has them while they are not open, for whoever wants to end them
 */
async function openClusters(plans, { tell, opening }) {
  const clusters = await make(plans);
  for (const { units } of clusters) {
    for (const unit of units) {
      watchFailovers(unit, tell);
      const where =
        unit.shard === null ? { clusterId: unit.clusterId } : { clusterId: unit.clusterId, shard: unit.shard };
      unit.pool.on('slow', (event) => tell('slow', { ...where, ...event }));
      unit.pool.on('error', (error) => tell('error', /** @type {object} */ (error)));
    }
  }
  for (const cluster of clusters) opening.add(cluster);
  const answers = await Promise.allSettled(clusters.map(({ units }) => Promise.all(units.map(beReady))));
  for (const cluster of clusters) opening.delete(cluster);
  const failures = Object.fromEntries(
    answers.flatMap((answer, i) => (answer.status === 'rejected' ? [[clusters[i].id, answer.reason]] : [])),
  );
  if (Object.keys(failures).length === 0) return clusters;
  await endAll(clusters, { timeoutMs: 1 });
  throw initializeFailed(failures);
}

/**
 * A copy that does not change with the configuration; what is no plain object, a logger for example, is the same.
 * @param {any} value
 * @returns {any}
 */
function copyOf(value) {
  if (Array.isArray(value)) return value.map(copyOf);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, copyOf(member)]));
}

module.exports = { copyOf, endAll, openClusters };
