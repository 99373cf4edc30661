'use strict';

// What the tests of several clusters begin with: an embedded cluster for each name, and a MultiClusterPostgres on them.
//
//   const clusters = useClusters({ users: { nodes: 1 }, orders: { nodes: 3 } });
//   test('a query goes to the cluster of its schema', async (t) => {
//     const multi = await clusters.multi(t, clusters.configuration({ users: { schemas: ['users'] }, orders: { schemas: ['orders'] } }));
//   });

const { after, before } = require('node:test');
const { Database, HANG_MS, loginOf } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

class Clusters {
  /** @type {Record<string, Database>} */
  #databases = {};

  /** Resolves when all clusters are there, for other hooks. @type {Promise<unknown>} */
  started = Promise.resolve();

  /** @param {Record<string, import('../support/cluster').ClusterOptions>} wanted */
  start(wanted) {
    // One after the other: two cores do not start six servers sooner at once.
    this.started = Object.entries(wanted).reduce(async (before, [name, options]) => {
      await before;
      await this.get(name).start(options);
    }, Promise.resolve());
    return this.started;
  }

  /** @param {string} name @returns {Database} */
  get(name) {
    this.#databases[name] ??= new Database();
    return this.#databases[name];
  }

  async stop() {
    await Promise.all(Object.values(this.#databases).map((database) => database.stop()));
  }

  /**
   * A configuration of MultiClusterPostgres: what is given for each cluster, and how its servers are reached.
   * @param {Record<string, Record<string, unknown>>} given
   * @returns {Record<string, any>}
   */
  configuration(given) {
    return Object.fromEntries(
      Object.entries(given).map(([name, options]) => [name, { ...loginOf(this.get(name).cluster), ...options }]),
    );
  }

  /**
   * A MultiClusterPostgres that ends with its test.
   * @param {TestContext} t
   * @param {Record<string, any>} configuration
   * @param {Record<string, unknown>} [options]
   * @returns {Promise<any>}
   */
  async multi(t, configuration, options) {
    const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
    const multi = new MultiClusterPostgres(/** @type {any} */ (options));
    t.after(() => multi.close({ timeoutMs: 500 }));
    await multi.initialize(configuration);
    return multi;
  }
}

/**
 * One embedded cluster for each name, for all tests of the file that calls it; each is a member of the result.
 * @template {string} Name
 * @param {Record<Name, import('../support/cluster').ClusterOptions>} wanted
 * @returns {Clusters & Record<Name, Database>}
 */
function useClusters(wanted) {
  const clusters = new Clusters();
  for (const name of Object.keys(wanted)) Object.assign(clusters, { [name]: clusters.get(name) });
  before(() => clusters.start(wanted), { timeout: HANG_MS * 2 });
  after(() => clusters.stop(), { timeout: HANG_MS });
  return /** @type {any} */ (clusters);
}

/**
 * What a part of the clusters takes for one of them.
 * @param {string} name `'orders'`, or `'users/2'` for a shard
 * @param {any} pool
 */
function fakeUnit(name, pool) {
  const [clusterId, shard] = name.split('/');
  const { host, port } = pool.nodes()[0];
  return { name, clusterId, shard: shard === undefined ? null : Number(shard), pool, hosts: [`${host}:${port}`] };
}

module.exports = { fakeUnit, useClusters };
