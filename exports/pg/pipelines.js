'use strict';

// Queries of a pool that are sent behind others. When all clients of a pool are busy, a query that is known to be quick joins the queries of
// a client that are known to be quick, too: the core sends several of them together. So a pool of ten clients does the work of many more
// round trips at once. Who waits in the queue of the pool is served first, and a client is released when all of its queries have ended.

/** Queries of a client at most: the one that has taken the client, and those behind it. */
const MOST = 6;

/** A query that takes longer on the average, in milliseconds, lets nobody wait behind it. As SLOW_US in src/pool/statement_text.rs. */
const QUICK_MS = 5;

/** Texts whose times are known at most. */
const TEXTS = 1000;

/** The queries that are on a client. */
class Pipeline {
  /** @param {any} client */
  constructor(client) {
    this.client = client;
    this.members = 1;
    /** Whether others may join. */
    this.isOpen = false;
    /** The first failure: the client is dropped when all have ended. @type {any} */
    this.error = undefined;
    /** When the last of them has ended, by performance.now(). */
    this.lastEnd = 0;
  }
}

class Pipelines {
  #pool;
  /** Of the clients that are busy with quick queries. @type {Pipeline[]} */
  #open = [];
  /** The average times of the texts. @type {Map<string, number>} */
  #times = new Map();
  /** How many queries were sent behind others, and have not ended. */
  waiting = 0;

  /** @param {any} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  /** Whether nobody looks at what each query does with its client. */
  #isOpen() {
    const pool = this.#pool;
    return (
      pool.options.maxUses === Infinity && pool.listenerCount('acquire') === 0 && pool.listenerCount('release') === 0
    );
  }

  /** @param {any} query @returns {boolean} */
  #isQuick({ text }) {
    return typeof text === 'string' && (this.#times.get(text) ?? Infinity) < QUICK_MS;
  }

  /** A query has taken a client. @param {any} query @param {any} client @returns {Pipeline} */
  lead(query, client) {
    const pipeline = new Pipeline(client);
    pipeline.isOpen = this.#isQuick(query) && this.#isOpen();
    if (pipeline.isOpen) this.#open.push(pipeline);
    return pipeline;
  }

  /** A query that took a client was not sent. @param {any} pipeline */
  forget(pipeline) {
    this.#close(pipeline);
  }

  /**
   * The client with the fewest queries behind which a query may be sent.
   * @param {any} query
   * @returns {Pipeline | undefined}
   */
  find(query) {
    if (this.#open.length === 0 || !query._isPipelinable() || !this.#isQuick(query)) return undefined;
    let found;
    for (const pipeline of this.#open) {
      if (pipeline.members < (found?.members ?? MOST) && query._suits(pipeline.client)) found = pipeline;
    }
    return found !== undefined && this.#isOpen() ? found : undefined;
  }

  /** A query is sent behind others. @param {Pipeline} pipeline */
  join(pipeline) {
    pipeline.members += 1;
    this.waiting += 1;
  }

  /**
   * A query has ended. Gives its place to the first who waits, or releases the client.
   * @param {any} query
   * @param {Pipeline} pipeline
   * @param {number} sentAt performance.now()
   * @param {any} [error] the client is dropped
   */
  leave(query, pipeline, sentAt, error) {
    const now = performance.now();
    if (!error) this.#note(query.text, now - Math.max(sentAt, pipeline.lastEnd));
    pipeline.lastEnd = now;
    pipeline.members -= 1;
    if (error) {
      pipeline.error ??= error;
      this.#close(pipeline);
    }
    if (pipeline.members > 0) this.waiting -= 1;
    if (pipeline.members > 0) {
      if (pipeline.error === undefined) this.refill();
      return;
    }
    this.#close(pipeline);
    this.#pool._release(pipeline.client, pipeline.error);
  }

  /** @param {Pipeline} pipeline */
  #close(pipeline) {
    pipeline.isOpen = false;
    const index = this.#open.indexOf(pipeline);
    if (index >= 0) this.#open.splice(index, 1);
  }

  /** Sends those who wait behind others, in their order, as long as they are queries that may be. */
  refill() {
    const { _pendingQueue: pending } = this.#pool;
    while (!this.#pool.ending) {
      const query = pending[0]?.query;
      const pipeline = query === undefined ? undefined : this.find(query);
      if (pipeline === undefined) return;
      pending.shift().callback(undefined, pipeline);
    }
  }

  /** @param {string} text @param {number} ms */
  #note(text, ms) {
    const times = this.#times;
    const before = times.get(text);
    if (before === undefined && times.size >= TEXTS) times.clear();
    times.set(text, before === undefined ? ms : before + (ms - before) / 8);
  }
}

module.exports = { Pipeline, Pipelines };
