'use strict';

// Many clusters as one database: opens them, changes them, and has what belongs to all of them. Statements are in queries.js.

const { EventEmitter } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { isDeepStrictEqual } = require('node:util');
const client = /** @type {any} */ (require('../../client.js'));
const { QueryCache } = require('./cache/index.js');
const { REGISTER_CALL } = require('./call-rows.js');
const { checkCluster, checkConfiguration } = require('./configuration.js');
const { checkOptions } = require('./constructor-options.js');
const { initializeFailed, notEnabled, notInitialized } = require('./errors.js');
const { Health, watchFailovers } = require('./health.js');
const { Cluster, Members } = require('./members.js');
const { Metrics } = require('./metrics.js');
const { migrate, migrationStatus } = require('./migrations/index.js');
const { prometheusText } = require('./prometheus.js');
const { Queries } = require('./queries.js');
const { OneCluster } = require('./transactions.js');
const { TwoPhase } = require('./two-phase/index.js');

const { OptionError, ParameterError, PoolClosedError } = client;
const { callOptions } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {import('./configuration.js').ClusterPlan} ClusterPlan */
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
  #oneCluster;
  /** The cluster that has the table of decisions. @type {string} */
  #decisionCluster = '';
  /** Changes of the configuration, one after the other. @type {Promise<unknown>} */
  #change = Promise.resolve();
  /** Clusters that were removed and are ending. @type {Set<Promise<unknown>>} */
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
    this.#queries = new Queries({
      ...{ members: this.#members, cache: this.#cache, twoPhase: this.#twoPhase, oneCluster: this.#oneCluster },
      ...{ emitter: this, tell: emit, checkOpen: () => this.#checkOpen() },
    });
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
    if (this.#state === 'closed') throw new PoolClosedError('the clusters are closed');
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
    if (this.#state === 'closed') throw new PoolClosedError('the clusters are closed');
    if (this.#state !== 'new') throw notInitialized(this.#state);
    const plans = checkConfiguration(configuration);
    const { cluster: wanted } = this.#options.decisions;
    if (wanted !== null && !plans.some(({ id }) => id === wanted)) {
      throw new OptionError(`decisions.cluster: the configuration has no cluster '${wanted}'`);
    }
    this.#state = 'opening';
    try {
      const clusters = await this.#open(plans);
      if (this.isClosed) {
        await Promise.all(clusters.map((cluster) => cluster.end()));
        throw new PoolClosedError('the clusters are closed');
      }
      for (const cluster of clusters) this.#members.add(cluster);
      this.#given = new Map(Object.entries(copyOf(configuration)));
      this.#decisionCluster = wanted ?? plans[0].id;
      this.#state = 'open';
    } finally {
      if (this.#state === 'opening') this.#state = 'new';
    }
    this.#health.start();
    this.#twoPhase?.start();
    await this.#cache?.start();
  }

  get isClosed() {
    return this.#state === 'closed';
  }

  /**
   * Clusters whose primaries have answered; if one has not, none is left open.
   * @param {ClusterPlan[]} plans
   */
  async #open(plans) {
    /** @type {Cluster[]} */
    const clusters = [];
    try {
      for (const plan of plans) clusters.push(new Cluster(plan, this.#metrics?.cluster(plan.id) ?? null));
    } catch (error) {
      await Promise.all(clusters.map((cluster) => cluster.end()));
      throw error;
    }
    for (const { units } of clusters) {
      for (const unit of units) {
        watchFailovers(unit, (event, payload) => this.#tell(event, payload));
        unit.pool.on('error', (error) => this.#tell('error', /** @type {object} */ (error)));
      }
    }
    const answers = await Promise.allSettled(clusters.map(({ units }) => Promise.all(units.map(beReady))));
    const failures = Object.fromEntries(
      answers.flatMap((answer, i) => (answer.status === 'rejected' ? [[clusters[i].id, answer.reason]] : [])),
    );
    if (Object.keys(failures).length === 0) return clusters;
    await Promise.all(clusters.map((cluster) => cluster.end({ timeoutMs: 1 })));
    throw initializeFailed(failures);
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
  withTransaction(schemas, callback, options) {
    return this.#queries.withTransaction(schemas, callback, options);
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

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #changing(work) {
    const change = this.#change.then(() => {
      this.#checkOpen();
      return work();
    });
    this.#change = change.catch(() => {});
    return change;
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} configuration
   */
  async addCluster(id, configuration) {
    this.#checkOpen();
    const plan = checkCluster(id, configuration);
    await this.#changing(async () => {
      if (this.#members.get(id) !== undefined) throw new ParameterError(`id: there is a cluster '${id}' already`);
      await this.#replace([plan], []);
      this.#given.set(id, copyOf(configuration));
    });
  }

  /** Resolves when what was in flight on it has ended. @param {string} id */
  async removeCluster(id) {
    this.#checkOpen();
    await this.#changing(async () => {
      this.#members.known(id, 'id');
      this.#refuseRemoval([id]);
      await this.#replace([], [id]);
      this.#given.delete(id);
    });
  }

  /**
   * Takes another configuration: what is the same goes on, what differs is opened anew. When something cannot be opened, nothing changes.
   * @param {Record<string, any>} configuration
   */
  async reload(configuration) {
    this.#checkOpen();
    const plans = checkConfiguration(configuration);
    await this.#changing(async () => {
      const removed = this.#members.clusters.map(({ id }) => id).filter((id) => !plans.some((plan) => plan.id === id));
      this.#refuseRemoval(removed);
      const changed = plans.filter(({ id }) => !isDeepStrictEqual(this.#given.get(id), configuration[id]));
      await this.#replace(changed, removed);
      this.#given = new Map(Object.entries(copyOf(configuration)));
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
   */
  async #replace(plans, removed) {
    const kept = this.#members.clusters.filter(
      ({ id }) => !removed.includes(id) && !plans.some((plan) => plan.id === id),
    );
    for (const { id, schemas } of plans) {
      for (const schema of schemas) {
        const owner = kept.find((cluster) => cluster.schemas.has(schema));
        if (owner !== undefined)
          throw new OptionError(`the schema '${schema}' is in two clusters: ${owner.id} and ${id}`);
      }
    }
    const opened = await this.#open(plans);
    if (this.isClosed) {
      await Promise.all(opened.map((cluster) => cluster.end()));
      this.#checkOpen();
    }
    const ids = [...removed, ...plans.map(({ id }) => id)];
    const old = this.#members.clusters.filter(({ id }) => ids.includes(id));
    for (const { id } of old) this.#members.remove(id);
    for (const cluster of opened) this.#members.add(cluster);
    for (const id of ids) this.#health.forget(id);
    for (const id of removed) this.#metrics?.remove(id);
    const idle = this.#twoPhase?.idle(ids) ?? Promise.resolve();
    const ending = idle.then(() => Promise.all(old.map((cluster) => cluster.end())));
    this.#ending.add(ending);
    await ending.finally(() => this.#ending.delete(ending));
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
   * The units of the clusters that a call names, or of all.
   * @param {{ clusters?: string[], schemas?: string[] }} named
   */
  #unitsOf({ clusters, schemas }) {
    if (clusters === undefined && schemas === undefined) return this.#members.units;
    const list = (/** @type {unknown} */ value, /** @type {string} */ name) => {
      if (value !== undefined && !Array.isArray(value)) throw new ParameterError(`${name} must be an array`);
      return value ?? [];
    };
    const chosen = [
      ...list(clusters, 'clusters').map((/** @type {string} */ id) => this.#members.known(id, 'clusters')),
      ...list(schemas, 'schemas').map((/** @type {string} */ schema) => this.#members.route(schema, undefined).cluster),
    ];
    return [...new Set(chosen)].flatMap(({ units }) => units);
  }

  /**
   * Applies migrations to clusters and shards.
   * @param {Record<string, any>} options
   */
  async migrate({ clusters, schemas, ...options } = {}) {
    this.#checkOpen();
    return migrate({ ...options, units: this.#unitsOf({ clusters, schemas }) });
  }

  /**
   * What is applied where.
   * @param {Record<string, any>} options
   */
  async migrationStatus({ clusters, schemas, ...options } = {}) {
    this.#checkOpen();
    return migrationStatus({ ...options, units: this.#unitsOf({ clusters, schemas }) });
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
    this.#closed ??= this.#close(options);
    await this.#closed;
  }

  /** @param {{ timeoutMs?: number } | undefined} options */
  async #close(options) {
    this.#state = 'closed';
    await this.#health.close();
    await this.#twoPhase?.close(options);
    await this.#cache?.close();
    await Promise.all([
      ...this.#members.clusters.map((cluster) => cluster.end(options)),
      ...this.#ending,
      this.#change,
    ]);
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.close();
  }

  /** Shows the clusters, but no password or connection string. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return this.toJSON();
  }

  toJSON() {
    const clusters = this.#members.clusters.map(({ id, schemas, units }) => [
      id,
      { schemas: [...schemas], hosts: units.flatMap(({ hosts }) => hosts) },
    ]);
    return { state: this.#state, clusters: Object.fromEntries(clusters) };
  }
}

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

/** @param {Record<string, unknown>} members */
const definedOf = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

module.exports = { MultiClusterPostgres };
