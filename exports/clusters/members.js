'use strict';

// The clusters, by their ids and by the schemas that they have, and the pools behind each.

const {
  createPool,
  OptionError,
  ParameterError,
  [Symbol.for('hyperiondb-client.options')]: inner,
} = /** @type {any} */ (require('../../client.js'));
const { Sharding } = require('./sharding/index.js');
const { WriteTexts } = require('./write-texts.js');

/** @typedef {import('./configuration.js').ClusterPlan} ClusterPlan */
/**
 * One PostgreSQL cluster behind one pool. A cluster has one; a sharded one has one a shard.
 * @typedef {object} Unit
 * @property {string} name the id of its cluster, and its shard behind a slash
 * @property {string} clusterId
 * @property {number | null} shard
 * @property {import('../../client.js').Pool} pool
 * @property {string[]} hosts
 * @property {{ isPrimary: boolean, until: number }} nearest whether the primary answers sooner than the standbys, and how long that is believed
 * @property {any} session what reads of the consistency level 'session' must see (lib/api/session.js)
 */

/** A type choice may be a function, which has no text: the same object is the same choice. @type {WeakMap<object, number>} */
const numbers = new WeakMap();
let last = 0;

/** @param {object} choice */
function numberOf(choice) {
  const known = numbers.get(choice);
  if (known !== undefined) return known;
  numbers.set(choice, ++last);
  return last;
}

/** Functions of one process are not those of another. */
const PROCESS = `${process.pid}-${Math.random()}`;

/**
 * Who runs a statement, where, with which settings and type choices: what a cached result depends on beside the statement.
 * @param {Record<string, any>[]} options of the pools of a cluster
 */
function identityOf(options) {
  const parts = options.map((given) => {
    const choices = Object.entries(given.types ?? {}).map(([name, choice]) =>
      typeof choice === 'function' || typeof choice === 'object' ? [name, PROCESS, numberOf(choice)] : [name, choice],
    );
    // With what the environment says (PGUSER, PGTZ, ...): a Redis may be shared by processes in another one.
    const { user, database, hosts, options: settings, startupOptions } = inner.checkOptions(given);
    return { user, database, hosts: hosts.map(inner.labelOf), settings, startupOptions, choices };
  });
  return JSON.stringify(parts);
}

class Cluster {
  /** What standbys have said to the texts of statements. */
  writeTexts = new WriteTexts();

  /**
   * What counts its statements; null until it is one of the members, and without metrics.
   * @type {ReturnType<import('./metrics.js').Metrics['cluster']> | null}
   */
  metrics = null;
  /** What registerSchema() has said: its options, by the schema. @type {Map<string, Partial<Route>>} */
  registered = new Map();
  /** Calls that have not ended. */
  #calls = 0;
  /** @type {(() => void)[]} */
  #whenIdle = [];

  /** @param {ClusterPlan} plan */
  constructor(plan) {
    this.id = plan.id;
    this.schemas = new Set(plan.schemas);
    this.readPreference = plan.readPreference;
    this.consistencyLevel = plan.consistencyLevel;
    this.units = openUnits(plan);
    this.identity = identityOf(plan.units.map(({ options }) => options));
    const lookup = async (/** @type {number} */ shard, /** @type {string} */ sql, /** @type {unknown[]} */ params) =>
      this.units[shard].pool.query(sql, params, { readOnly: true });
    this.sharding = plan.sharding === null ? null : new Sharding(plan.sharding, { clusterId: plan.id, lookup });
  }

  /** No password and no connection string. */
  toJSON() {
    return { schemas: [...this.schemas], hosts: this.units.flatMap(({ hosts }) => hosts) };
  }

  /** A call begins that may send several statements, one after the other. */
  enter() {
    this.#calls++;
  }

  leave() {
    if (--this.#calls > 0) return;
    for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** Resolves when no call is left, or the time is over. @param {number} [timeoutMs] 0: no limit */
  async idle(timeoutMs = 0) {
    if (this.#calls === 0) return;
    await new Promise((resolve) => {
      const timer = timeoutMs > 0 ? setTimeout(resolve, timeoutMs) : undefined;
      this.#whenIdle.push(() => {
        clearTimeout(timer);
        resolve(undefined);
      });
    });
  }

  /**
   * Waits for the calls that have begun, with all of their steps, and closes the pools. What is not over in time fails. Who calls it
   * again with less time makes it shorter.
   * @param {{ timeoutMs?: number }} [options]
   */
  async end({ timeoutMs = 0 } = {}) {
    const until = performance.now() + timeoutMs;
    await this.idle(timeoutMs);
    const left = timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(until - performance.now()));
    await Promise.all(this.units.map(({ pool }) => pool.end({ timeoutMs: left })));
  }
}

/** The session of a unit that was replaced: what its calls still write must be seen by reads of those in its place. */
class ReplacedSession {
  #session;
  #units;

  /** @param {any} session of its own @param {Unit[]} units in its place */
  constructor(session, units) {
    this.#session = session;
    this.#units = units;
    this.#lose();
  }

  #lose() {
    for (const { session } of this.#units) session.lose();
  }

  position() {
    return this.#session.position();
  }

  /** @param {string} token */
  wrote(token) {
    this.#session.wrote(token);
    this.#lose();
  }

  lose() {
    this.#session.lose();
    this.#lose();
  }

  /** @param {unknown} error */
  failed(error) {
    this.#session.failed(error);
    this.#lose();
  }
}

/**
 * Opens the pools of a cluster. An error of their options names the cluster.
 * @param {ClusterPlan} plan
 * @returns {Unit[]}
 */
function openUnits({ id, units }) {
  /** @type {Unit[]} */
  const open = [];
  try {
    for (const { name, shard, options } of units) {
      const pool = createPool({ ...options, name });
      const hosts = pool.nodes().map(inner.labelOf);
      const session = new inner.Session(() => pool.token(), true);
      open.push({ name, clusterId: id, shard, pool, hosts, nearest: { isPrimary: false, until: 0 }, session });
    }
    return open;
  } catch (error) {
    for (const { pool } of open) pool.end().catch(() => {});
    if (error instanceof OptionError) throw new OptionError(`${id}: ${/** @type {Error} */ (error).message}`);
    throw error;
  }
}

/** Where a schema is, and what its calls have that name nothing else. */
/** @typedef {{ cluster: Cluster, readPreference: ClusterPlan['readPreference'], consistencyLevel: ClusterPlan['consistencyLevel'] | undefined }} Route */

class Members {
  /** @type {Map<string, Cluster>} */
  #clusters = new Map();
  /** @type {Map<string, Route>} */
  #schemas = new Map();
  /** Where a call goes that names neither schema nor cluster. @type {Route | null} */
  #only = null;

  get clusters() {
    return [...this.#clusters.values()];
  }

  get units() {
    return this.clusters.flatMap(({ units }) => units);
  }

  /** @param {string} id @returns {Cluster | undefined} */
  get(id) {
    return this.#clusters.get(id);
  }

  /** @param {string} id @param {string} name of the argument, for the error */
  known(id, name) {
    const cluster = this.#clusters.get(id);
    if (cluster === undefined) throw new ParameterError(`${name}: there is no cluster ${quoted(id)}: ${this.#ids()}`);
    return cluster;
  }

  #ids() {
    const ids = [...this.#clusters.keys()];
    return ids.length === 0 ? 'there is none' : `there are ${ids.map(quoted).join(', ')}`;
  }

  /** Replaces the cluster of the same id. @param {Cluster} cluster */
  add(cluster) {
    for (const schema of cluster.schemas) this.#checkFree(schema, cluster.id, OptionError);
    this.remove(cluster.id);
    this.#clusters.set(cluster.id, cluster);
    for (const schema of cluster.schemas) this.#schemas.set(schema, routeTo(cluster));
    this.#update();
  }

  /** @param {string} id */
  remove(id) {
    this.#clusters.delete(id);
    for (const [schema, { cluster }] of this.#schemas) if (cluster.id === id) this.#schemas.delete(schema);
    this.#update();
  }

  #update() {
    const [cluster, ...others] = this.clusters;
    this.#only = cluster === undefined || others.length > 0 ? null : routeTo(cluster);
  }

  /**
   * A schema that another cluster has is refused.
   * @param {string} schema
   * @param {string} id
   * @param {new (message: string) => Error} Refusal
   */
  #checkFree(schema, id, Refusal) {
    const owner = this.#schemas.get(schema)?.cluster.id;
    if (owner !== undefined && owner !== id) {
      throw new Refusal(`the schema ${quoted(schema)} is already that of the cluster ${quoted(owner)}`);
    }
  }

  /**
   * @param {string} schema
   * @param {Cluster} cluster
   * @param {Partial<Route>} options
   */
  register(schema, cluster, options) {
    this.#checkFree(schema, cluster.id, ParameterError);
    cluster.schemas.add(schema);
    cluster.registered.set(schema, options);
    this.#schemas.set(schema, { ...routeTo(cluster), ...options });
  }

  /** Another cluster has the schema from now on. @param {string} schema */
  unregister(schema) {
    const cluster = this.#schemas.get(schema)?.cluster;
    cluster?.schemas.delete(schema);
    cluster?.registered.delete(schema);
    this.#schemas.delete(schema);
  }

  /**
   * What the one in the place of a cluster has of it: what was registered, but what another one has now, and what was written.
   * @param {Cluster} old which is no member any more
   */
  inherit({ id, registered, units }) {
    const cluster = this.#clusters.get(id);
    if (cluster === undefined) return;
    for (const unit of units) unit.session = new ReplacedSession(unit.session, cluster.units);
    for (const [schema, options] of registered) {
      const owner = this.#schemas.get(schema)?.cluster;
      if (owner === undefined || owner === cluster) this.register(schema, cluster, options);
    }
  }

  /**
   * The clusters that a call names, by their ids or their schemas; all if it names none.
   * @param {unknown} ids
   * @param {unknown} schemas
   * @returns {Cluster[]}
   */
  named(ids, schemas) {
    if (ids === undefined && schemas === undefined) return this.clusters;
    const chosen = [
      ...list(ids, 'clusters').map((id) => this.known(id, 'clusters')),
      ...list(schemas, 'schemas').map((schema) => this.route(schema, undefined).cluster),
    ];
    if (chosen.length === 0) throw new ParameterError('clusters or schemas must name at least one');
    return [...new Set(chosen)];
  }

  /**
   * The cluster of a call, and how it is read there.
   * @param {string | undefined} schema
   * @param {string | undefined} clusterId
   * @returns {Route}
   */
  route(schema, clusterId) {
    if (schema !== undefined) {
      const route = this.#schemas.get(schema);
      if (route === undefined)
        throw new ParameterError(`schema: no cluster has ${quoted(schema)}: registerSchema() tells`);
      if (clusterId !== undefined && clusterId !== route.cluster.id) {
        throw new ParameterError(
          `clusterId: the schema ${quoted(schema)} is that of the cluster ${quoted(route.cluster.id)}, not of ${quoted(clusterId)}`,
        );
      }
      return route;
    }
    if (clusterId !== undefined) return routeTo(this.known(clusterId, 'clusterId'));
    if (this.#only !== null) return this.#only;
    throw new ParameterError(`schema or clusterId must be given: ${this.#ids()}`);
  }
}

/** @param {unknown} value @param {string} name @returns {any[]} */
function list(value, name) {
  if (value !== undefined && !Array.isArray(value)) throw new ParameterError(`${name} must be an array`);
  return value ?? [];
}

/** @param {Cluster} cluster @returns {Route} */
const routeTo = (cluster) => ({
  cluster,
  readPreference: cluster.readPreference,
  consistencyLevel: cluster.consistencyLevel,
});

/** @param {unknown} value */
const quoted = (value) => (typeof value === 'string' ? `'${value}'` : typeof value);

module.exports = { Cluster, Members };
