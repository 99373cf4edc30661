'use strict';

// withTransaction(): who takes part, and which kind of transaction it is: an ordinary one if one cluster is enough, else one of two
// phases.

const { ParameterError, [Symbol.for('hyperiondb-client.options')]: inner } = /** @type {any} */ (
  require('../../client.js')
);
const { TRANSACTION_CALL } = require('./call-rows.js');
const { notEnabled } = require('./errors.js');
const { unitsOf } = require('./queries.js');
const { ObservedTransaction } = require('./transactions.js');

/** @typedef {import('./members.js').Cluster} Cluster */
/**
 * @typedef {object} Surroundings
 * @property {import('./members.js').Members} members
 * @property {any} twoPhase null: there is none
 * @property {import('./transactions.js').OneCluster} oneCluster
 * @property {import('./observation.js').Observation} observation
 */

class Transactions {
  #members;
  #twoPhase;
  #oneCluster;
  #observation;

  /** @param {Surroundings} surroundings */
  constructor({ members, twoPhase, oneCluster, observation }) {
    this.#members = members;
    this.#twoPhase = twoPhase;
    this.#oneCluster = oneCluster;
    this.#observation = observation;
  }

  /**
   * What the callback of a transaction is given: its statements are counted and told as others.
   * @param {any} tx
   * @param {Cluster[]} clusters that may take part
   * @param {(schema: unknown) => Cluster | undefined} clusterOf
   */
  #observed(tx, clusters, clusterOf) {
    const query = async (/** @type {any} */ sql, /** @type {any} */ params, /** @type {any} */ options) => {
      const began = performance.now();
      try {
        const result = await tx.query(sql, params, options);
        const cluster = clusters.find(({ id }) => id === result.clusterId);
        if (cluster !== undefined) this.#observation.succeeded(cluster, began, result, undefined);
        return result;
      } catch (error) {
        const named = clusterOf(options?.schema) ?? clusters.find(({ id }) => id === options?.clusterId);
        const cluster = named ?? (clusters.length === 1 ? clusters[0] : undefined);
        if (cluster !== undefined && wasSent(error)) {
          this.#observation.failed(cluster, began, error, undefined);
        }
        throw error;
      }
    };
    return new ObservedTransaction(tx, query);
  }

  /**
   * Runs a callback in a transaction: in an ordinary one if the schemas are in one cluster, else in one of two phases.
   * @param {readonly string[]} schemas
   * @param {(tx: any) => unknown} callback
   * @param {Record<string, any>} [options]
   */
  async run(schemas, callback, options) {
    if (!Array.isArray(schemas) || schemas.length === 0) {
      throw new ParameterError('schemas must be an array that names at least one schema');
    }
    const wrong = schemas.findIndex((schema) => typeof schema !== 'string');
    if (wrong >= 0) throw new ParameterError(`schemas[${wrong}] must be a string, not ${typeof schemas[wrong]}`);
    if (typeof callback !== 'function') throw new ParameterError('callback must be a function');
    const { isolation, timeoutMs } = inner.callOptions(options, TRANSACTION_CALL);
    const routes = new Map(schemas.map((schema) => [schema, this.#members.route(schema, undefined)]));
    const clusters = [...new Set([...routes.values()].map(({ cluster }) => cluster))];
    const unitOf = (/** @type {any} */ schema, /** @type {any} */ shardKey, /** @type {any} */ clusterId) => {
      const route =
        routes.get(schema) ??
        [...routes.values()].find(({ cluster }) => schema === undefined && cluster.id === clusterId);
      if (route === undefined)
        throw new ParameterError(
          `schema must be one of those that the transaction names: ${[...routes.keys()].join(', ')}`,
        );
      if (clusterId !== undefined && clusterId !== route.cluster.id)
        throw new ParameterError(`clusterId: '${schema}' is in '${route.cluster.id}'`);
      const unit = unitsOf(route, { shardKey });
      if (unit !== null) return unit;
      throw new ParameterError(`shardKey must be given in a transaction: the cluster '${route.cluster.id}' is sharded`);
    };
    const clusterIds = clusters.map(({ id }) => id);
    const observed = (/** @type {any} */ tx) =>
      callback(this.#observed(tx, clusters, (/** @type {any} */ schema) => routes.get(schema)?.cluster));
    const args = { schemas: [...routes.keys()], unitOf, callback: observed, isolation, timeoutMs, clusterIds };
    const lost = () => clusters.flatMap(({ units }) => units).forEach(({ session }) => session.lose());
    for (const cluster of clusters) cluster.enter();
    try {
      if (clusters.length === 1 && clusters[0].sharding === null)
        return await this.#oneCluster.run(clusters[0].units[0], args);
      if (this.#twoPhase === null)
        throw notEnabled('withTransaction() over several clusters or shards', 'enableTransactions');
      return await this.#twoPhase.run(args);
    } finally {
      // Where it has written is not known here.
      lost();
      for (const cluster of clusters) cluster.leave();
    }
  }
}

/** A statement of a transaction, unless it was a mistake in the call. @param {any} error */
const wasSent = (error) => !(error instanceof ParameterError) && error?.code !== 'ERR_TRANSACTION_ENDED';

module.exports = { Transactions };
