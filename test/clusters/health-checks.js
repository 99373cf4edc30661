'use strict';

// What the tests of health checks have in common.

const { Health } = require('../../exports/clusters/health.js');
const { fakeUnit } = require('./support.js');

/** @param {...{ name: string, pool: any }} units the first word of a name is the cluster */
function clustersOf(...units) {
  const ids = new Set(units.map(({ name }) => name.split('/')[0]));
  const fakes = units.map(({ name, pool }) => fakeUnit(name, pool));
  return [...ids].map((id) => ({ id, units: fakes.filter(({ clusterId }) => clusterId === id) }));
}

/**
 * Health checks that end with their test, and what they have emitted.
 * @param {import('node:test').TestContext} t
 * @param {any[]} watched
 * @param {object} [options]
 */
function healthFor(t, watched, options) {
  /** @type {[string, any][]} */
  const events = [];
  const health = new Health({
    clusters: () => watched,
    options: { healthCheckIntervalMs: 0, healthTimeoutMs: 2_000, maxFailuresBeforeMarkDown: 3, ...options },
    emit: (event, payload) => events.push([event, payload]),
  });
  t.after(() => health.close());
  return { health, events };
}

/** Counts the checks that reach a pool, and how many run at once. @param {any} pool */
function counting(pool) {
  const counts = { begun: 0, running: 0, most: 0 };
  const query = pool.query.bind(pool);
  pool.query = async (/** @type {any[]} */ ...args) => {
    counts.begun++;
    counts.most = Math.max(counts.most, ++counts.running);
    return query(...args).finally(() => counts.running--);
  };
  return counts;
}

module.exports = { clustersOf, counting, healthFor };
