'use strict';

// Queries of a pool that are sent behind others. When all clients of a pool are busy, a query that is known to be quick joins the queries of
// a client that are known to be quick, too: the core sends several of them together. So a pool of ten clients does the work of many more
// round trips at once. Who waits in the queue of the pool is served first, and a client is released when all of its queries have ended.
//
// A query that was sent behind another one cannot go elsewhere any more. So none is sent behind one that already takes longer than quick
// queries do, nor behind one that may wait for a lock that a transaction of the program holds: the program might wait for that query before
// it commits.

/** Queries of a client at most: the one that has taken the client, and those behind it. */
const MOST = 6;

/** A query that takes longer on the average, in milliseconds, lets nobody wait behind it. As SLOW_US in src/pool/statement_text.rs. */
const QUICK_MS = 5;

/** Texts whose times are known at most. */
const TEXTS = 1000;

/** A statement that waits for no row that others have changed, as far as its text shows. */
const READS = /^\s*(?:select|values|table)\b(?!.*(?:\bfor\s+(?:no|key|update|share)\b|lock|\binto\b))/is;

/** What is known of a text. */
class TextFacts {
  /** @param {string} text @param {number} ms */
  constructor(text, ms) {
    /** The average time. */
    this.ms = ms;
    this.mayWait = !READS.test(text);
  }
}

/** The queries that are on a client. */
class Pipeline {
  /** @param {any} client @param {number} now */
  constructor(client, now) {
    this.client = client;
    /** Queries that may wait for a lock. */
    this.mayWait = 0;
    this.members = 1;
    /** Whether others may join. */
    this.isOpen = false;
    /** The first failure: the client is dropped when all have ended. @type {any} */
    this.error = undefined;
    /** When the last one has ended, or the first was sent, by performance.now(). */
    this.lastEnd = now;
  }
}

class Pipelines {
  #pool;
  /** Of the clients that are busy with quick queries. @type {Pipeline[]} */
  #open = [];
  /** @type {Map<string, TextFacts>} */
  #texts = new Map();
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
    return typeof text === 'string' && (this.#texts.get(text)?.ms ?? Infinity) < QUICK_MS;
  }

  /** Whether a transaction of the program is open, which may hold locks. */
  #hasTransaction() {
    return this.#pool._clients.some((/** @type {any} */ { _txStatus: status }) => status === 'T' || status === 'E');
  }

  /** Counts a query among those that may wait for a lock. @param {any} query @param {Pipeline} pipeline */
  #enter(query, pipeline) {
    query._mayWait = this.#texts.get(query.text)?.mayWait ?? true;
    if (query._mayWait) pipeline.mayWait += 1;
  }

  /** A query has taken a client. @param {any} query @param {any} client @param {number} now @returns {Pipeline} */
  lead(query, client, now) {
    const pipeline = new Pipeline(client, now);
    this.#enter(query, pipeline);
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
    const since = performance.now() - QUICK_MS;
    for (const pipeline of this.#open) {
      if (pipeline.members >= (found?.members ?? MOST) || pipeline.lastEnd < since) continue;
      if (this.#lets(query, pipeline)) found = pipeline;
    }
    return found !== undefined && this.#isOpen() ? found : undefined;
  }

  /** @param {any} query @param {Pipeline} pipeline @returns {boolean} */
  #lets(query, { client, mayWait }) {
    if (!query._suits(client) || this.#pool._expired.has(client)) return false;
    return mayWait === 0 || !this.#hasTransaction();
  }

  /** A query is sent behind others. @param {any} query @param {Pipeline} pipeline */
  join(query, pipeline) {
    this.#enter(query, pipeline);
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
    const ms = now - Math.max(sentAt, pipeline.lastEnd);
    // A failure may come early; one that comes late is slow.
    if (!error || ms >= QUICK_MS) this.#note(query.text, ms);
    pipeline.lastEnd = now;
    pipeline.members -= 1;
    if (query._mayWait) pipeline.mayWait -= 1;
    if (error) {
      pipeline.error ??= error;
      this.#close(pipeline);
    }
    if (pipeline.members > 0) {
      this.waiting -= 1;
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
    const texts = this.#texts;
    const facts = texts.get(text);
    if (facts !== undefined) facts.ms += (ms - facts.ms) / 8;
    else if (typeof text === 'string') {
      if (texts.size >= TEXTS) texts.clear();
      texts.set(text, new TextFacts(text, ms));
    }
  }
}

module.exports = { Pipeline, Pipelines };
