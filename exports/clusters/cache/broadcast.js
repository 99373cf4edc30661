'use strict';

// Tells the other processes of invalidations, by NOTIFY, and hears of theirs. NOTIFY is neither kept nor replicated: what was notified
// while the session that listens was lost is lost, too. So the whole memory is emptied then (the event `gap` of the pool), and nothing is
// served from it, and nothing stored, until a session listens.

const { randomBytes } = require('node:crypto');
const { everything, selectorOf } = require('./selector.js');

/** @typedef {import('./selector.js').Selector} Selector */

const CHANNEL = 'hyperiondb_cache';
/** PostgreSQL's limit for a payload, in bytes. */
const MOST_BYTES = 7_999;
/** The time between two attempts to listen. */
const RETRY_MS = 1_000;

class Broadcast {
  #channelPool;
  #on;
  #self = randomBytes(12).toString('base64url');
  /** Where it listens, or tries to. @type {any} */
  #pool = undefined;
  /** @type {{ unlisten(): Promise<void> } | null} */
  #subscription = null;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isClosed = false;

  /**
   * @param {() => import('../../../client.js').Pool | undefined} channelPool
   * @param {{ apply: (selector: Selector) => void, clear: () => void }} on
   */
  constructor(channelPool, on) {
    this.#channelPool = channelPool;
    this.#on = on;
  }

  /** Resolves when it listens; rejects when that fails, and tries again. */
  start() {
    return this.#listen();
  }

  /** Whether every invalidation since the last emptying was heard of. The pool is another one when its cluster was replaced. */
  isListening() {
    if (this.#channelPool() !== this.#pool) this.#listen().catch(() => {});
    return this.#subscription !== null;
  }

  async #listen() {
    clearTimeout(this.#timer);
    this.#leave();
    const pool = this.#channelPool();
    this.#pool = pool;
    if (pool === undefined || this.#isClosed) return;
    try {
      const subscription = await pool.listen(CHANNEL, (payload) => this.#heard(payload));
      if (this.#pool !== pool || this.#isClosed) {
        await subscription.unlisten();
        return;
      }
      pool.on('gap', this.#gap);
      this.#subscription = subscription;
    } catch (error) {
      if (this.#pool === pool && !this.#isClosed) {
        this.#timer = setTimeout(() => this.#listen().catch(() => {}), RETRY_MS).unref();
      }
      throw error;
    }
  }

  #leave() {
    const subscription = this.#subscription;
    this.#subscription = null;
    this.#pool?.off('gap', this.#gap);
    this.#on.clear();
    return subscription?.unlisten().catch(() => {});
  }

  #gap = (/** @type {{ channels: string[] }} */ { channels }) => {
    if (channels.includes(CHANNEL)) this.#on.clear();
  };

  /** @param {string} payload */
  #heard(payload) {
    /** @type {any} */
    let told = null;
    try {
      told = JSON.parse(payload);
    } catch {
      // Whoever sent it: it may have meant anything.
    }
    if (told?.from === this.#self) return;
    this.#on.apply(selectorIn(told));
  }

  /** Tells the others. Rejects if that fails: they may serve what was invalidated. @param {Selector} selector */
  async send(selector) {
    const pool = this.#channelPool();
    if (pool === undefined) return;
    await Promise.all(payloadsOf(this.#self, selector.asked).map((payload) => pool.notify(CHANNEL, payload)));
  }

  async close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#leave();
  }
}

/** @param {any} told @returns {Selector} */
function selectorIn(told) {
  try {
    return selectorOf(told.asked);
  } catch {
    return everything;
  }
}

/**
 * An invalidation as payloads that PostgreSQL takes: many tags are told in several, and what is too long even alone invalidates all.
 * @param {string} from
 * @param {any} asked
 * @returns {string[]}
 */
function payloadsOf(from, asked) {
  const payload = JSON.stringify({ from, asked });
  if (Buffer.byteLength(payload) <= MOST_BYTES) return [payload];
  const { tags } = asked;
  if (tags === undefined || tags.length < 2) return [JSON.stringify({ from, asked: everything.asked })];
  const half = tags.length >> 1;
  return [tags.slice(0, half), tags.slice(half)].flatMap((part) => payloadsOf(from, { tags: part }));
}

module.exports = { Broadcast };
