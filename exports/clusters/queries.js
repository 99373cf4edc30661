'use strict';

// Statements: which cluster and which shards they go to, and what is counted and told of them. Which node of a
// cluster it is, is decided in routing.js.

const client = /** @type {any} */ (require('../../client.js'));
const { QUERY_CALL, definedOf } = require('./call-rows.js');
const { onlyReads } = require('./errors.js');
const { belongsOnPrimary, directly, leftOf, read, readOn, runOn, wasWrite, write } = require('./routing.js');
const { mergeResults } = require('./sharding/merge.js');

const { ParameterError } = client;
const { aborted, callOptions, timedOutAs, unfold, watchLimits } = client[Symbol.for('hyperiondb-client.options')];

const timedOut = timedOutAs('statement', ', while the directory of the shards was asked');

/** @typedef {import('./members.js').Cluster} Cluster */
/** @typedef {import('./members.js').Route} Route */
/** @typedef {import('./members.js').Unit} Unit */
/** @typedef {string | import('../../client.js').Sql} Statement */
/** @typedef {import('./observation.js').Result} Result */
/**
 * @typedef {object} Surroundings
 * @property {import('./members.js').Members} members
 * @property {any} cache null: there is none
 * @property {import('./observation.js').Observation} observation
 * @property {() => void} checkOpen
 */

/** The options of a call that gives none. */
const NONE = Object.freeze({});
/** Options that only a cached call has a use for. */
const OF_CACHE = ['cacheTtl', 'cacheKey', 'tags'];

class Queries {
  #members;
  #cache;
  #observation;
  #checkOpen;

  /** @param {Surroundings} surroundings */
  constructor({ members, cache, observation, checkOpen }) {
    this.#members = members;
    this.#cache = cache;
    this.#observation = observation;
    this.#checkOpen = checkOpen;
  }

  /**
   * Runs a statement.
   * @param {Statement} sql
   * @param {readonly unknown[]} [params]
   * @param {Record<string, any>} [options]
   * @returns {Promise<Result>}
   */
  query(sql, params, options) {
    if (typeof sql !== 'string' || !namesOnlyItsPlace(options)) return this.#query(sql, params, options);
    try {
      this.#checkOpen();
      const route = this.#members.route(options?.schema, options?.clusterId);
      const way = route.cluster.sharding === null ? directly(route, sql) : null;
      if (way === 'write') return this.#writeDirectly(route.cluster, sql, params);
      if (way === 'read') return this.#readDirectly(route, sql, params);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#query(sql, params, options);
  }

  /**
   * The shortest way to the primary: nothing waits between the call and its statement.
   * @param {Cluster} cluster
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @returns {Promise<Result>}
   */
  async #writeDirectly(cluster, sql, params) {
    const [unit] = cluster.units;
    const began = performance.now();
    cluster.enter();
    try {
      const rows = await unit.pool.query(sql, /** @type {any} */ (params));
      return this.#observation.answer(cluster, began, rows);
    } catch (error) {
      this.#observation.failed(cluster, began, error, undefined);
      throw error;
    } finally {
      // Where it has written is not known here. The session is another one when the cluster was replaced meanwhile.
      unit.session.lose();
      cluster.leave();
    }
  }

  /**
   * The shortest way of a text that standbys have answered.
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @returns {Promise<Result>}
   */
  async #readDirectly({ cluster, consistencyLevel }, sql, params) {
    const [unit] = cluster.units;
    const isFollowed = consistencyLevel !== 'eventual';
    const values = Array.isArray(params) ? params.slice() : params;
    const began = performance.now();
    cluster.enter();
    try {
      // No catch() on the promise: it would be one more for each read.
      let rows;
      try {
        rows = await read(unit, sql, values, undefined, isFollowed);
      } catch (error) {
        if (!belongsOnPrimary(error)) throw error;
        cluster.writeTexts.refused(sql);
        rows = await write(unit, sql, values, undefined, isFollowed);
      }
      return this.#observation.answer(cluster, began, rows);
    } catch (error) {
      this.#observation.failed(cluster, began, error, undefined);
      throw error;
    } finally {
      cluster.leave();
    }
  }

  /**
   * @param {Statement} sql
   * @param {readonly unknown[]} [params]
   * @param {Record<string, any>} [options]
   * @returns {Promise<Result>}
   */
  async #query(sql, params, options) {
    this.#checkOpen();
    /** @type {Record<string, any>} */
    const checked = options === undefined ? NONE : callOptions(options, QUERY_CALL);
    const route = this.#members.route(checked.schema, checked.clusterId);
    const [text, given] = typeof sql === 'string' ? [sql, params] : textOf(sql, params);
    // A copy: it may be sent later, and sent again, and the caller may change the array meanwhile.
    const values = Array.isArray(given) ? given.slice() : given;
    route.cluster.enter();
    try {
      return await this.#route(route, text, values, checked);
    } finally {
      route.cluster.leave();
    }
  }

  /**
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {Record<string, any>} options of the call, checked
   * @returns {Promise<Result>}
   */
  async #route(route, sql, params, options) {
    const units = unitsOf(route, options);
    if (units instanceof Promise) return this.#runLater(units, route, sql, params, { ...options });
    return this.#run(units, route, sql, params, options);
  }

  /**
   * Where a directory is asked for the shard, which belongs to the time of the call.
   * @param {Promise<Unit>} asked
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {Record<string, any>} options of the call, checked
   */
  async #runLater(asked, route, sql, params, options) {
    const began = performance.now();
    const { over, stop, fail } = watchLimits(options, timedOut);
    try {
      if (options.signal?.aborted) fail(aborted(options.signal));
      const unit = await Promise.race([over, asked]);
      return await this.#run(unit, route, sql, params, /** @type {Record<string, any>} */ (leftOf(options, began)));
    } finally {
      stop();
    }
  }

  /**
   * @param {Unit | null} unit null: all shards
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {Record<string, any>} options of the call, checked
   * @returns {Promise<Result>}
   */
  async #run(unit, route, sql, params, options) {
    if (options.cache) return this.#cachedQuery(unit, route, sql, params, options);
    if (options !== NONE) refuseUseless(options);
    if (unit === null) return this.#readAll(route, sql, params, options);
    const limits = options === NONE ? undefined : limitsOf(options);
    const running = runOn(unit, route, sql, params, options, limits);
    const result = await this.#observe(route.cluster, running, options.operation);
    return isMerged(options) ? merged([result], options) : result;
  }

  /**
   * Waits for a statement, counts it and tells of it.
   * @param {Cluster} cluster
   * @param {Promise<any>} running
   * @param {string | undefined} operation
   * @returns {Promise<Result>}
   */
  async #observe(cluster, running, operation) {
    const began = performance.now();
    try {
      return this.#observation.answer(cluster, began, await running, operation);
    } catch (error) {
      this.#observation.failed(cluster, began, error, operation);
      throw error;
    }
  }

  /**
   * A read of all shards.
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {Record<string, any>} options
   * @returns {Promise<Result>}
   */
  async #readAll(route, sql, params, options) {
    const { cluster } = route;
    const key = `the rows of cluster '${cluster.id}' are divided by it`;
    if (options.operation === 'write') throw new ParameterError(`shardKey must be given to a write: ${key}`);
    const limits = limitsOf(options);
    try {
      const results = await allOf(
        cluster.units.map(async (unit) =>
          this.#observe(cluster, readOn(unit, route, sql, params, options, limits), 'read'),
        ),
      );
      return merged(results, options);
    } catch (error) {
      throw wasWrite(error) ? onlyReads(error, `shardKey must be given to a statement that writes: ${key}`) : error;
    }
  }

  /**
   * A read through the cache. What is not there is read from the primary: a standby may not have what an invalidation was made for. Who
   * asks for 'eventual' takes that.
   * @param {Unit | null} unit null: all shards
   * @param {Route} route
   * @param {string} sql
   * @param {readonly unknown[] | undefined} params
   * @param {Record<string, any>} options
   * @returns {Promise<Result>}
   */
  async #cachedQuery(unit, route, sql, params, options) {
    const { cluster } = route;
    if (options.operation === 'write') throw new ParameterError('cache: only a read can come from the cache');
    if (options.orderBy !== undefined) {
      // It is code of the caller's, of which the key of an entry could not tell.
      throw new ParameterError('orderBy does not go with cache: order in SQL, or sort the result');
    }
    const level = options.consistencyLevel ?? route.consistencyLevel;
    const reading = { ...options, consistencyLevel: level === 'eventual' ? level : 'strong' };
    const run = async (/** @type {Record<string, any>} */ { params: given, ...limits }) => {
      const limited = { ...reading, timeoutMs: undefined, signal: undefined, ...limits };
      if (unit === null) return this.#readAll(route, sql, given, limited);
      try {
        const rows = readOn(unit, route, sql, given, limited, limitsOf(limited));
        const result = await this.#observe(cluster, rows, 'read');
        return isMerged(options) ? merged([result], options) : result;
      } catch (error) {
        throw wasWrite(error) ? onlyReads(error, 'cache: the statement writes') : error;
      }
    };
    const { schema, cacheKey, cacheTtl: ttlMs, tags, signal, timeoutMs, rowMode, types, limit } = options;
    if (this.#cache === null) return run({ params, timeoutMs, signal });
    // What a standby has returned is not for who asks for more than 'eventual'.
    const identity = `${cluster.identity} ${unit?.name ?? '*'} ${limit ?? ''} ${reading.consistencyLevel}`;
    const call = {
      ...{ clusterId: cluster.id, schema, sql, params, identity },
      ...{ cacheKey, ttlMs, tags, signal, timeoutMs, rowMode, types },
    };
    return this.#cache.fetch(call, run);
  }
}

/**
 * Where a statement goes: a unit, or null for all shards.
 * @param {Route} route
 * @param {Record<string, any>} options
 * @returns {Unit | null | Promise<Unit>}
 */
function unitsOf({ cluster: { id, sharding, units } }, { shardKey }) {
  if (sharding === null) {
    if (shardKey !== undefined) throw new ParameterError(`shardKey: the cluster '${id}' is not sharded`);
    return units[0];
  }
  if (shardKey === undefined) return null;
  const shard = sharding.shardOf(shardKey);
  return typeof shard === 'number' ? units[shard] : shard.then((number) => units[number]);
}

/** @param {unknown} sql @param {unknown} params @returns {[string, any]} */
function textOf(sql, params) {
  const [text, values] = unfold(sql, params);
  if (typeof text === 'string') return [text, values];
  throw new ParameterError(`sql must be a string, not ${text === null ? 'null' : typeof text}`);
}

/** Whether a call names its schema or its cluster and nothing else; these need no closer look. @param {any} options */
function namesOnlyItsPlace(options) {
  if (options === undefined) return true;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return false;
  for (const name in options) {
    if (name !== 'schema' && name !== 'clusterId') return false;
    if (typeof options[name] !== 'string' || options[name] === '') return false;
  }
  return true;
}

/** What the pool takes of the options of a call. @param {Record<string, any>} options */
function limitsOf({ timeoutMs, signal, rowMode, types }) {
  if (timeoutMs === undefined && signal === undefined && rowMode === undefined && types === undefined) return undefined;
  return definedOf({ timeoutMs, signal, rowMode, types });
}

/** An option without effect is refused. @param {Record<string, any>} options of a call without `cache` */
function refuseUseless(options) {
  const name = OF_CACHE.find((one) => options[one] !== undefined);
  if (name !== undefined) throw new ParameterError(`${name} needs cache: true`);
}

/** @param {Record<string, any>} options */
const isMerged = ({ merge, orderBy, limit }) => merge !== undefined || orderBy !== undefined || limit !== undefined;

/**
 * @param {Result[]} results
 * @param {Record<string, any>} options
 * @returns {Result}
 */
function merged(results, { merge, orderBy, limit }) {
  const [{ clusterId }] = results;
  const node = results.map((result) => result.node).join(',');
  return { ...mergeResults(results, { merge, orderBy, limit }), clusterId, node, cached: false };
}

/** The first failure, when all have ended: none runs on behind the back of its caller. @template T @param {Promise<T>[]} all */
async function allOf(all) {
  const ended = await Promise.allSettled(all);
  return ended.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

module.exports = { Queries, unitsOf };
