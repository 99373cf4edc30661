'use strict';

// The cache of results. What it gives is what the query would have given to somebody who asked a moment before: a copy of his own, never
// of another statement, of other parameters or of another role, and never from before an invalidation that has been made.
//
// Misses of one entry at a time run one statement (Flight). A call waits for the statement of another only if that cannot be older
// than an invalidation that the caller knows of: in memory every invalidation takes flights out of the way; with Redis both have seen the
// same epochs; and while Redis is away the statement must have begun after the call.

const { ParameterError } = require('../../../client.js');
const { Broadcast } = require('./broadcast.js');
const { Flight, Limits } = require('./flight.js');
const { keyOf } = require('./key.js');
const { Memory } = require('./memory.js');
const { Redis } = require('./redis.js');
const { concerns, labelsOf, selectorOf } = require('./selector.js');
const { decode, encode } = require('./stored.js');

/** @typedef {import('./selector.js').Selector} Selector */
/** @typedef {import('./key.js').Call & { cacheKey?: string, ttlMs?: number, tags?: readonly string[], signal?: AbortSignal, timeoutMs?: number }} CachedCall */
/**
 * Runs the statement. `params` are to be sent in place of those of the call, which may have been changed since.
 * @typedef {(limits: { signal?: AbortSignal, timeoutMs?: number, params: readonly unknown[] | null | undefined }) => Promise<any>} Run
 */
/**
 * @typedef {object} Wanted a call with its key
 * @property {string} key
 * @property {readonly unknown[]} params
 * @property {readonly string[]} labels
 * @property {number} ttl
 * @property {number} ticket calls are counted in their order
 * @property {Limits} limits
 * @property {{ key: string, schema: string | undefined }} told to the listeners of events
 */

/** @param {unknown} ttl @param {number} preset */
function ttlOf(ttl, preset) {
  if (ttl === undefined) return preset;
  if (typeof ttl === 'number' && Number.isInteger(ttl) && ttl >= 1 && ttl <= 0x7fff_ffff) return ttl;
  throw new ParameterError('cacheTtl must be a number of ms, an integer from 1 to 2147483647');
}

class QueryCache {
  /** @type {any} */
  #options;
  #emit;
  #memory;
  #redis;
  #broadcast;
  /** The statements that run, by their entries. @type {Map<string, Flight>} */
  #flights = new Map();
  #tickets = 0;
  #hits = 0;
  #misses = 0;
  #isClosed = false;

  /**
   * @param {Record<string, any>} options as checkCache() returns them
   * @param {{ emit: (event: string, payload: object) => void, channelPool: () => import('../../../client.js').Pool | undefined }} around
   */
  constructor(options, { emit, channelPool }) {
    this.#options = options;
    this.#emit = emit;
    this.#memory = new Memory(this.#options, ({ name, schema }, reason) =>
      emit('cacheEviction', { key: name, schema, reason }),
    );
    this.#redis = options.provider === 'memory' ? null : new Redis(options.provider);
    this.#broadcast = options.broadcast
      ? new Broadcast(channelPool, { apply: (selector) => this.#apply(selector), clear: () => this.#clear() })
      : null;
  }

  /** Connects to other processes. Rejects if that is impossible, not if Redis is away. */
  async start() {
    await this.#redis?.start();
    await this.#broadcast?.start();
  }

  async close() {
    this.#isClosed = true;
    this.#clear();
    await Promise.all([this.#redis?.close(), this.#broadcast?.close()]);
  }

  stats() {
    const [hits, misses] = [this.#hits, this.#misses];
    const { entries, bytes } = (this.#redis ?? this.#memory).size;
    return { hits, misses, hitRate: hits + misses === 0 ? 0 : hits / (hits + misses), entries, bytes };
  }

  /**
   * The result of a call: from the cache, from a statement that runs for another call, or of a run of its own.
   * @param {CachedCall} call
   * @param {Run} run
   * @returns {Promise<any>}
   */
  async fetch(call, run) {
    const labels = labelsOf(call);
    const ttl = ttlOf(call.ttlMs, this.#options.ttl);
    const limits = new Limits(call);
    limits.assertOpen();
    const found = this.#isClosed ? null : keyOf(call, labels);
    const told = { key: call.cacheKey ?? found?.key ?? '', schema: call.schema };
    if (found === null) return this.#runAlone({ told, limits, params: call.params }, run);
    return this.#answer({ ...found, labels, ttl, ticket: ++this.#tickets, limits, told }, run);
  }

  /** @param {Wanted} wanted @param {Run} run */
  #answer(wanted, run) {
    if (this.#redis !== null) return this.#answerByRedis(this.#redis, wanted, run);
    if (this.#broadcast?.isListening() === false) return this.#join(`${wanted.key} away`, wanted, run);
    const bytes = this.#memory.get(wanted.key, wanted.ttl);
    if (bytes !== undefined) return this.#hit(wanted, bytes);
    const { labels, ttl, told } = wanted;
    const store = (/** @type {Buffer} */ stored) =>
      this.#memory.set(wanted.key, { bytes: stored, labels, name: told.key, schema: told.schema, ttl });
    return this.#join(wanted.key, wanted, run, store);
  }

  /** @param {Redis} redis @param {Wanted} wanted @param {Run} run */
  async #answerByRedis(redis, wanted, run) {
    const { bytes, lease } = await wanted.limits.wait(redis.look(wanted));
    wanted.limits.assertOpen();
    const copy = bytes === undefined ? undefined : copyOf(bytes);
    if (copy !== undefined) return this.#hit(wanted, copy);
    if (lease === undefined) return this.#join(`${wanted.key} away`, wanted, run);
    const id = `${wanted.key} ${lease.run} ${lease.epochs} ${lease.patterns}`;
    return this.#join(id, wanted, run, (stored) => redis.store(wanted, stored, lease));
  }

  /** @param {Wanted} wanted @param {any} found bytes, or what they were decoded to */
  #hit({ told }, found) {
    this.#hits += 1;
    this.#emit('cacheHit', told);
    return Buffer.isBuffer(found) ? decode(found) : found;
  }

  /** @param {Pick<Wanted, 'told' | 'limits'> & { params: readonly unknown[] | null | undefined }} wanted @param {Run} run */
  #runAlone({ told, limits, params }, run) {
    this.#misses += 1;
    this.#emit('cacheMiss', told);
    return run({ ...limits.left, params });
  }

  /**
   * Waits for the statement that runs for this entry, or runs it.
   * @param {string} id
   * @param {Wanted} wanted
   * @param {Run} run
   * @param {(bytes: Buffer) => unknown} [store] none: nothing may be stored, and the statement must have begun after the call
   */
  async #join(id, wanted, run, store) {
    for (;;) {
      const flight = this.#flights.get(id);
      if (flight === undefined) return this.#fly(id, wanted, run, store);
      flight.waiting += 1;
      const { bytes, error, hasFailed, again } = await wanted.limits.wait(flight.ending);
      if (store === undefined && wanted.ticket > flight.ticket) continue;
      if (bytes !== undefined) return this.#hit(wanted, bytes);
      if (hasFailed) throw error;
      wanted.limits.assertOpen();
      if (!again) return this.#runAlone(wanted, run);
    }
  }

  /**
   * @param {string} id
   * @param {Wanted} wanted
   * @param {Run} run
   * @param {(bytes: Buffer) => unknown} [store]
   */
  async #fly(id, wanted, run, store) {
    const flight = new Flight(wanted.labels, this.#tickets);
    const land = () => this.#flights.get(id) === flight && this.#flights.delete(id);
    this.#flights.set(id, flight);
    let result;
    try {
      result = await this.#runAlone(wanted, run);
    } catch (error) {
      land();
      flight.settle(wanted.limits.isCauseOf(error) ? { again: true } : { error, hasFailed: true });
      throw error;
    }
    const canStore = store !== undefined && !flight.isStale;
    const bytes = canStore || flight.waiting > 0 ? encode(result, this.#options) : null;
    // Who asks while it is being stored waits for this flight, too.
    const stored = canStore && bytes !== null ? store(bytes) : undefined;
    if (stored instanceof Promise) stored.then(land);
    else land();
    flight.settle(bytes === null ? {} : { bytes });
    return result;
  }

  /**
   * Removes entries; what runs for them is not stored.
   * @param {unknown} asked
   * @returns {Promise<number>} how many entries were removed
   */
  async invalidate(asked) {
    const selector = selectorOf(asked);
    const removed = this.#apply(selector);
    if (this.#redis !== null) return this.#redis.invalidate(selector);
    await this.#broadcast?.send(selector);
    return removed;
  }

  /** Removes entries of this process. @param {Selector} selector */
  #apply(selector) {
    for (const [id, flight] of this.#flights) {
      if (!concerns(selector, flight.labels)) continue;
      flight.isStale = true;
      this.#flights.delete(id);
    }
    return this.#memory.invalidate(selector);
  }

  #clear() {
    for (const flight of this.#flights.values()) flight.isStale = true;
    this.#flights.clear();
    this.#memory.clear();
  }
}

/** A copy of an entry of Redis; undefined: it is none that this version of Node can read. @param {Buffer} bytes */
function copyOf(bytes) {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

module.exports = { QueryCache };
