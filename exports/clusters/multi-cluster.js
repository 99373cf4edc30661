'use strict';

// Many clusters as one database: opens them, changes them, and has what belongs to all of them. Statements are in queries.js.

const { EventEmitter } = require('node:events');
const { isDeepStrictEqual } = require('node:util');
const client = /** @type {any} */ (require('../../client.js'));
const { QueryCache } = require('./cache/index.js');
const { CLOSE_CALL, REGISTER_CALL, definedOf } = require('./call-rows.js');
const { checkCluster, checkConfiguration } = require('./configuration.js');
const { checkOptions } = require('./constructor-options.js');
const { notEnabled, notInitialized } = require('./errors.js');
const { Health } = require('./health.js');
const { Members } = require('./members.js');
const { Metrics } = require('./metrics.js');
const { migrate, migrationStatus } = require('./migrations/index.js');
const { copyOf, endAll, openClusters } = require('./opening.js');
const { prometheusText } = require('./prometheus.js');
const { Observation } = require('./observation.js');
const { Queries } = require('./queries.js');
const { OneCluster } = require('./transactions.js');
const { Transactions } = require('./with-transaction.js');
const { TwoPhase } = require('./two-phase/index.js');

const { OptionError, ParameterError, PoolClosedError } = client;
const { callOptions } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {import('./configuration.js').ClusterPlan} ClusterPlan */
/** @typedef {import('./members.js').Cluster} Cluster */
/** @typedef {import('./members.js').Unit} Unit */

class MultiClusterPostgres extends EventEmitter {
  #options;
  #members = new Members();
  /** What initialize() was given for each cluster, to find what reload() changes. @type {Map<string, unknown>} */
  #given = new Map();
  /** @type {'new' | 'opening' | 'open' | 'closed'} */
  #state = 'new';
  #metrics;
  #health;
  /** @type {any} */
  #cache;
  #twoPhase;
  #queries;
  #transactions;
  #oneCluster;
  /** The cluster that has the table of decisions. @type {string} */
  #decisionCluster = '';
  /** Changes of the configuration, one after the other. @type {Promise<unknown>} */
  #change = Promise.resolve();
  /** Clusters that are being opened. @type {Set<Cluster>} */
  #opening = new Set();
  /** Clusters that were removed and are ending. @type {Set<Cluster>} */
  #ending = new Set();
  /** @type {Promise<void> | undefined} */
  #closed;

  /** @param {unknown} [options] */
  constructor(options) {
    super();
    this.#options = checkOptions(options);
    const emit = (/** @type {string} */ event, /** @type {object} */ payload) => this.#tell(event, payload);
    const { enableCache, enableMetrics, enableTransactions, cache, cluster, decisions } = this.#options;
    this.#metrics = enableMetrics ? new Metrics() : null;
    this.#health = new Health({ clusters: () => this.#members.clusters, options: cluster, emit });
    const channelPool = () => this.#members.units[0]?.pool;
    this.#cache = enableCache ? new QueryCache(cache, { emit, channelPool }) : null;
    this.#oneCluster = new OneCluster(emit);
    const [units, decisionUnit] = [() => this.#members.units, () => this.#decisionUnit()];
    this.#twoPhase = enableTransactions ? new TwoPhase({ options: decisions, units, decisionUnit, emit }) : null;
    const [members, observation] = [this.#members, new Observation(this, emit)];
    this.#queries = new Queries({ members, cache: this.#cache, observation, checkOpen: () => this.#checkOpen() });
    const [twoPhase, oneCluster] = [this.#twoPhase, this.#oneCluster];
    this.#transactions = new Transactions({ members, twoPhase, oneCluster, observation });
  }

  /**
   * An event. What a listener throws is an uncaught exception, as with any emitter, but it disturbs no query.
   * @param {string} event
   * @param {object} payload
   */
  #tell(event, payload) {
    if (this.listenerCount(event) === 0) return;
    try {
      this.emit(event, payload);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #checkOpen() {
    this.#checkNotClosed();
    if (this.#state !== 'open') throw notInitialized(this.#state);
  }

  /** @returns {Unit} */
  #decisionUnit() {
    return this.#members.known(this.#decisionCluster, 'decisions.cluster').units[0];
  }

  /**
   * Opens all clusters side by side. Rejects when one of them cannot be reached, and closes them all then.
   * @param {Record<string, any>} configuration
   */
  async initialize(configuration) {
    this.#checkNotClosed();
    if (this.#state !== 'new') throw notInitialized(this.#state);
    const plans = checkConfiguration(configuration);
    const { cluster: wanted } = this.#options.decisions;
    if (wanted !== null && !plans.some(({ id }) => id === wanted)) {
      throw new OptionError(`decisions.cluster: the configuration has no cluster '${wanted}'`);
    }
    this.#state = 'opening';
    this.#given = new Map(Object.entries(copyOf(configuration)));
    this.#decisionCluster = wanted ?? plans[0].id;
    const initializing = this.#initialize(plans);
    this.#change = initializing.catch(() => {});
    await initializing;
    this.#health.start();
    this.#twoPhase?.start();
  }

  /** @param {ClusterPlan[]} plans */
  async #initialize(plans) {
    try {
      const clusters = await this.#open(plans);
      for (const cluster of clusters) this.#admit(cluster);
      try {
        await this.#cache?.start();
        this.#checkNotClosed();
      } catch (error) {
        for (const { id } of clusters) this.#dismiss(id);
        await endAll(clusters, { timeoutMs: 1 });
        throw error;
      }
      this.#state = 'open';
    } finally {
      if (this.#state === 'opening') this.#state = 'new';
    }
  }

  #checkNotClosed() {
    if (this.isClosed) throw new PoolClosedError('the clusters are closed');
  }

  /** @param {Cluster} cluster whose pools are open */
  #admit(cluster) {
    cluster.metrics = this.#metrics?.cluster(cluster.id) ?? null;
    this.#members.add(cluster);
  }

  /** @param {string} id of a cluster that there is no more */
  #dismiss(id) {
    this.#members.remove(id);
    this.#health.forget(id);
    this.#metrics?.remove(id);
  }

  get isClosed() {
    return this.#state === 'closed';
  }

  /** @param {ClusterPlan[]} plans */
  async #open(plans) {
    const tell = (/** @type {string} */ event, /** @type {object} */ payload) => this.#tell(event, payload);
    const clusters = await openClusters(plans, { tell, opening: this.#opening }).catch((error) => {
      this.#checkNotClosed();
      throw error;
    });
    if (this.isClosed) await endAll(clusters, { timeoutMs: 1 });
    this.#checkNotClosed();
    return clusters;
  }

  /**
   * Runs a statement.
   * @param {import('./queries.js').Statement} sql
   * @param {readonly unknown[]} [params]
   * @param {Record<string, any>} [options]
   */
  query(sql, params, options) {
    return this.#queries.query(sql, params, options);
  }

  /**
   * Runs a callback in a transaction: in an ordinary one if the schemas are in one cluster, else in one of two phases.
   * @param {readonly string[]} schemas
   * @param {(tx: any) => unknown} callback
   * @param {Record<string, any>} [options]
   */
  async withTransaction(schemas, callback, options) {
    this.#checkOpen();
    return this.#transactions.run(schemas, callback, options);
  }

  /**
   * Routes a schema to a cluster from now on.
   * @param {string} schema
   * @param {string} clusterId
   * @param {object} [options]
   */
  registerSchema(schema, clusterId, options) {
    this.#checkOpen();
    if (typeof schema !== 'string' || schema === '') throw new ParameterError('schema must be a string, not empty');
    const { readPreference, consistencyLevel } = callOptions(options, REGISTER_CALL);
    const cluster = this.#members.known(clusterId, 'clusterId');
    this.#members.register(schema, cluster, definedOf({ readPreference, consistencyLevel }));
    this.#tell('schemaRegistered', { schema, clusterId });
  }

  /**
   * Changes the clusters, one change after the other, and waits for what was in flight on those that are replaced. The next change does
   * not wait for that.
   * @param {() => Promise<{ ended: Promise<unknown> }>} work
   */
  async #changing(work) {
    const change = this.#change.then(() => {
      this.#checkOpen();
      return work();
    });
    this.#change = change.catch(() => {});
    await (await change).ended;
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} configuration
   */
  async addCluster(id, configuration) {
    this.#checkOpen();
    if (typeof id !== 'string') throw new ParameterError(`id must be a string, not ${typeof id}`);
    const plan = checkCluster(id, configuration);
    const given = copyOf(configuration);
    await this.#changing(async () => {
      if (this.#members.get(id) !== undefined) throw new ParameterError(`id: there is a cluster '${id}' already`);
      return this.#replace([plan], [], { done: () => this.#given.set(id, given) });
    });
  }

  /** Resolves when what was in flight on it has ended. @param {string} id */
  async removeCluster(id) {
    this.#checkOpen();
    await this.#changing(async () => {
      this.#members.known(id, 'id');
      this.#refuseRemoval([id]);
      return this.#replace([], [id], { done: () => this.#given.delete(id) });
    });
  }

  /**
   * Takes another configuration: what is the same goes on, what differs is opened anew. When something cannot be opened, nothing changes.
   * @param {Record<string, any>} configuration
   */
  async reload(configuration) {
    this.#checkOpen();
    const plans = checkConfiguration(configuration);
    const given = new Map(Object.entries(copyOf(configuration)));
    await this.#changing(async () => {
      const removed = this.#members.clusters.map(({ id }) => id).filter((id) => !given.has(id));
      this.#refuseRemoval(removed);
      const changed = plans.filter(({ id }) => !isDeepStrictEqual(this.#given.get(id), given.get(id)));
      const done = () => {
        this.#given = given;
      };
      return this.#replace(changed, removed, { done, takesOver: true });
    });
  }

  /** @param {string[]} ids */
  #refuseRemoval(ids) {
    if (this.#twoPhase === null || !ids.includes(this.#decisionCluster)) return;
    throw new ParameterError(
      `id: the cluster '${this.#decisionCluster}' has the decisions of transactions that span clusters, and cannot be removed`,
    );
  }

  /**
   * Opens clusters and ends others, or the old ones of the same ids.
   * @param {ClusterPlan[]} plans
   * @param {string[]} removed
   * @param {{ done: () => void, takesOver?: boolean }} how `takesOver`: schemas that were registered for another cluster are theirs now
   */
  async #replace(plans, removed, { done, takesOver = false }) {
    const ids = [...removed, ...plans.map(({ id }) => id)];
    const checkSchemas = () => {
      const kept = takesOver ? [] : this.#members.clusters.filter(({ id }) => !ids.includes(id));
      for (const { id, schemas } of plans) {
        for (const schema of schemas) {
          const owner = kept.find((cluster) => cluster.schemas.has(schema))?.id;
          if (owner !== undefined)
            throw new OptionError(`the schema '${schema}' is in two clusters: ${owner} and ${id}`);
        }
      }
    };
    checkSchemas();
    const opened = await this.#open(plans);
    try {
      // registerSchema() does not wait for a change.
      checkSchemas();
    } catch (error) {
      await endAll(opened, { timeoutMs: 1 });
      throw error;
    }
    const old = this.#members.clusters.filter(({ id }) => ids.includes(id));
    for (const { id } of old) {
      this.#members.remove(id);
      this.#health.replace(id);
    }
    for (const id of removed) this.#dismiss(id);
    for (const cluster of opened) {
      for (const schema of cluster.schemas) this.#members.unregister(schema);
      this.#admit(cluster);
    }
    for (const cluster of old) this.#members.inherit(cluster);
    done();
    return { ended: Promise.all(old.map((cluster) => this.#end(cluster))) };
  }

  /** @param {Cluster} cluster that is no member any more */
  async #end(cluster) {
    this.#ending.add(cluster);
    await this.#twoPhase?.idle([cluster.id]);
    await cluster.end().finally(() => this.#ending.delete(cluster));
  }

  /** Whether each cluster accepts writes, and what is known of its nodes. */
  async healthCheck() {
    this.#checkOpen();
    return this.#health.check();
  }

  /** What was counted so far. */
  getMetrics() {
    if (this.#metrics === null) throw notEnabled('getMetrics()', 'enableMetrics');
    const connections = (/** @type {string} */ id) =>
      (this.#members.get(id)?.units ?? []).reduce((sum, { pool }) => sum + pool.status().size, 0);
    const transactions = this.#oneCluster.stats(this.#twoPhase?.stats());
    const cache = this.#cache?.stats() ?? { hits: 0, misses: 0, hitRate: 0, entries: 0, bytes: 0 };
    return this.#metrics.snapshot({ cache, transactions, connections });
  }

  /** The same as text for Prometheus. */
  prometheus() {
    return prometheusText(this.getMetrics());
  }

  /** @param {Record<string, any>} selector */
  async invalidateCache(selector) {
    this.#checkOpen();
    if (this.#cache === null) throw notEnabled('invalidateCache()', 'enableCache');
    return this.#cache.invalidate(selector);
  }

  /**
   * Applies migrations to clusters and shards.
   * @param {Record<string, any>} options
   */
  async migrate(options) {
    return this.#migrating(migrate, options);
  }

  /**
   * What is applied where.
   * @param {Record<string, any>} options
   */
  async migrationStatus(options) {
    return this.#migrating(migrationStatus, options);
  }

  /**
   * @template T
   * @param {(options: any) => Promise<T>} work
   * @param {Record<string, any>} options
   * @returns {Promise<T>}
   */
  async #migrating(work, options) {
    this.#checkOpen();
    if (typeof options !== 'object' || options === null) throw new ParameterError('options must be an object');
    const { clusters: ids, schemas, ...others } = options;
    const clusters = this.#members.named(ids, schemas);
    for (const cluster of clusters) cluster.enter();
    try {
      return await work({ ...others, units: clusters.flatMap(({ units }) => units) });
    } finally {
      for (const cluster of clusters) cluster.leave();
    }
  }

  /** Finishes two-phase commits that a crash has left in doubt. */
  async recover() {
    this.#checkOpen();
    if (this.#twoPhase === null) throw notEnabled('recover()', 'enableTransactions');
    return this.#twoPhase.recover();
  }

  /**
   * Waits for what is in flight, and closes everything.
   * @param {{ timeoutMs?: number }} [options]
   */
  async close(options) {
    const { timeoutMs = 0 } = callOptions(options, CLOSE_CALL);
    this.#closed ??= this.#close(timeoutMs);
    await this.#closed;
  }

  /** @param {number} timeoutMs 0: no limit */
  async #close(timeoutMs) {
    this.#state = 'closed';
    const until = performance.now() + timeoutMs;
    // What is being opened is opened for nobody.
    for (const cluster of this.#opening) cluster.end({ timeoutMs: 1 });
    await this.#health.close();
    const clusters = [...this.#members.clusters, ...this.#ending];
    const idle = clusters.map((cluster) => cluster.idle(timeoutMs));
    await Promise.all([...idle, this.#twoPhase?.close({ timeoutMs })]);
    await this.#cache?.close();
    const left = timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(until - performance.now()));
    await Promise.all([...clusters.map((cluster) => cluster.end({ timeoutMs: left })), this.#change]);
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.close();
  }

  /** Shows the clusters, but no password or connection string. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return this.toJSON();
  }

  toJSON() {
    return {
      state: this.#state,
      clusters: Object.fromEntries(this.#members.clusters.map((one) => [one.id, one.toJSON()])),
    };
  }
}

module.exports = { MultiClusterPostgres };
