'use strict';

// Entries in Redis, which processes share. redis-scripts.js says why none of them is ever served when it is stale.
//
// Whatever fails or takes too long, the query goes to the database: Redis is then left alone for a moment, and asked in the background
// whether it is back. Invalidations that could not be made meanwhile are made up for first.

const { createHash, randomBytes } = require('node:crypto');
const client = require('../../../client.js');
const { commandOf, isDisconnected } = require('./redis-command.js');
const SCRIPTS = require('./redis-scripts.js');
const { EVERYTHING, everything } = require('./selector.js');

/** @typedef {import('./selector.js').Selector} Selector */
/** What was seen when an entry was looked for; it is stored only if nothing has changed since. */
/** @typedef {{ since: string, run: string, epochs: string, patterns: string, at: number }} Lease */
/** @typedef {{ key: string, labels: readonly string[], ttl: number }} Wanted */

/** How long Redis is left alone after a failure. */
const REST_MS = 1_000;
/** More invalidations are not remembered while Redis is away: everything is invalidated then. */
const MOST_PENDING = 1_000;
/** How much longer than entries epochs are kept: a query that takes longer is not stored. */
const KEEP_MS = 600_000;
/** What Redis says to a user who may not, and of a command that it does not have. It will say so again. */
const HOPELESS =
  /^(NOPERM|NOAUTH|WRONGPASS|ERR unknown command|ERR INFO has no run_id)|ACL failure in script|executing the script can't run/;

/** @type {Map<string, string>} */
const hashes = new Map(
  Object.values(SCRIPTS).map((script) => [script, createHash('sha1').update(script).digest('hex')]),
);

const noop = () => {};

class Redis {
  #client;
  #command;
  #timeoutMs;
  /** All keys have one hash tag, so that a script may use them on a cluster. */
  #base;
  #isAway = false;
  #restUntil = 0;
  #isProbing = false;
  /** What could not be invalidated yet. @type {Selector[]} */
  #pending = [];
  /** Questions for the same entry that share an answer: one is asked, and one is to be asked after it. @type {Map<string, any>} */
  #looks = new Map();
  #entries = 0;

  /** @param {{ redis: any, prefix: string, timeoutMs: number }} options */
  constructor({ redis, prefix, timeoutMs }) {
    this.#client = redis;
    this.#command = commandOf(redis);
    this.#timeoutMs = timeoutMs;
    this.#base = `{${prefix}}:`;
  }

  get size() {
    return { entries: this.#entries, bytes: null };
  }

  /** Rejects if Redis can be reached and will refuse what is needed. */
  async start() {
    // A node-redis client emits `error` when it loses its connection, which would end a process that does not listen.
    this.#client.on?.('error', noop);
    if (this.#client.isOpen === false)
      throw new client.OptionError('cache.provider.redis: call connect() of the client first');
    try {
      await this.#run(SCRIPTS.LOOK, ...this.#lookFor({ key: 'start', labels: [], ttl: 1 }));
    } catch (error) {
      const message = /** @type {Error} */ (error).message;
      if (HOPELESS.test(message)) {
        this.#client.off?.('error', noop);
        throw new client.OptionError(`cache.provider.redis: ${message}`);
      }
      this.#failed();
    }
  }

  async close() {
    if (this.#pending.length > 0) await this.#probe();
    this.#client.off?.('error', noop);
  }

  /**
   * The bytes of an entry, or a lease with which it may be stored; neither while Redis is away.
   * @param {Wanted} wanted
   * @returns {Promise<{ bytes?: Buffer, lease?: Lease }>}
   */
  look(wanted) {
    if (!this.#isThere()) return Promise.resolve({});
    const id = `${wanted.key} ${wanted.ttl}`;
    const asked = this.#looks.get(id);
    if (asked === undefined) return this.#lookNow(id, wanted);
    // What was asked before this call may be older than an invalidation that the caller knows of.
    asked.next ??= asked.running.then(() => this.#lookNow(id, wanted));
    return asked.next;
  }

  /** @param {string} id @param {Wanted} wanted */
  #lookNow(id, wanted) {
    const asked = { running: this.#lookOnce(wanted), next: undefined };
    this.#looks.set(id, asked);
    const over = () => this.#looks.get(id) === asked && asked.next === undefined && this.#looks.delete(id);
    asked.running.then(over);
    return asked.running;
  }

  /** @param {Wanted} wanted @returns {Promise<{ bytes?: Buffer, lease?: Lease }>} */
  async #lookOnce(wanted) {
    if (!this.#isThere()) return {};
    try {
      const [kind, ...reply] = await this.#run(SCRIPTS.LOOK, ...this.#lookFor(wanted));
      if (Number(kind) === 1) return { bytes: sealed(reply[0]) };
      if (Number(kind) === 2) return {};
      const [since, run, epochs, patterns] = reply.map(String);
      return { lease: { since, run, epochs, patterns, at: performance.now() } };
    } catch {
      this.#failed();
      return {};
    }
  }

  /**
   * Stores an entry, unless something has changed since its lease.
   * @param {Wanted} wanted @param {Buffer} bytes @param {Lease} lease
   */
  async store(wanted, bytes, { since, run, epochs, patterns, at }) {
    if (!this.#isThere()) return;
    const { key, labels, ttl } = wanted;
    const all = [EVERYTHING, ...labels];
    const keys = [
      ...this.#keysOf(key),
      ...all.map((label) => this.#epoch(label)),
      ...all.map((label) => this.#list(label)),
    ];
    // A client may send it much later, when it is connected again.
    const late = Math.ceil(performance.now() - at) + 2 * this.#timeoutMs;
    const args = [nameOf(labels), run, epochs, patterns, seal(bytes), ttl, ttl + KEEP_MS, since, late];
    try {
      const entries = Number(await this.#run(SCRIPTS.STORE, keys, args));
      if (entries >= 0) this.#entries = entries;
    } catch {
      this.#failed();
    }
  }

  /** @param {Selector} selector @returns {Promise<number>} how many entries were removed; 0 while Redis is away */
  async invalidate(selector) {
    if (!this.#isThere()) {
      this.#remember(selector);
      return 0;
    }
    try {
      return await this.#remove(selector);
    } catch {
      this.#failed();
      this.#remember(selector);
      return 0;
    }
  }

  /** @param {Selector} selector */
  async #remove({ labels, isMatch }) {
    const selected = isMatch === undefined ? labels : await this.#matching(isMatch);
    const keys = selected.flatMap((label) => [this.#epoch(label), this.#list(label)]);
    if (keys.length === 0) return 0;
    const [removed, entries] = await this.#run(SCRIPTS.REMOVE, [this.#list(EVERYTHING), ...keys], []);
    this.#entries = Number(entries);
    return Number(removed);
  }

  /** The labels that a pattern selects. @param {(label: string) => boolean} isMatch */
  async #matching(isMatch) {
    if (isMatch(EVERYTHING)) return [EVERYTHING];
    /** @type {Buffer[]} */
    const names = await this.#run(SCRIPTS.NAMES, [this.#names, this.#patterns], []);
    return names.map(String).filter(isMatch);
  }

  /** @param {Selector} selector */
  #remember(selector) {
    this.#pending = this.#pending.length < MOST_PENDING ? [...this.#pending, selector] : [everything];
  }

  /** Whether Redis may be asked. While it is away nobody waits for it: it is asked in the background whether it is back. */
  #isThere() {
    if (!this.#isAway && this.#pending.length === 0) return true;
    if (performance.now() >= this.#restUntil) this.#probe();
    return false;
  }

  #failed() {
    this.#isAway = true;
    this.#restUntil = performance.now() + REST_MS;
  }

  async #probe() {
    if (this.#isProbing) return;
    this.#isProbing = true;
    try {
      if (isDisconnected(this.#client)) throw new Error('not connected');
      await this.#run(SCRIPTS.LOOK, ...this.#lookFor({ key: 'start', labels: [], ttl: 1 }));
      while (this.#pending.length > 0) {
        const [selector] = this.#pending;
        await this.#remove(selector);
        this.#pending = this.#pending.filter((one) => one !== selector);
      }
      this.#isAway = false;
    } catch {
      this.#failed();
    } finally {
      this.#isProbing = false;
    }
  }

  /** @param {Wanted} wanted @returns {[string[], (string | number)[]]} */
  #lookFor({ key, labels, ttl }) {
    const epochs = [EVERYTHING, ...labels].map((label) => this.#epoch(label));
    const fresh = randomBytes(16).toString('base64url');
    return [
      [...this.#keysOf(key), ...epochs],
      [nameOf(labels) === '' ? 0 : 1, fresh, ttl + KEEP_MS, ttl],
    ];
  }

  /** @param {string} key */
  #keysOf(key) {
    return [`${this.#base}v:${key}`, this.#names, this.#patterns];
  }

  get #names() {
    return `${this.#base}names`;
  }

  get #patterns() {
    return `${this.#base}patterns`;
  }

  /** @param {string} label */
  #epoch(label) {
    return `${this.#base}e:${label}`;
  }

  /** @param {string} label */
  #list(label) {
    return `${this.#base}l:${label}`;
  }

  /**
   * Runs a script by its hash; a server that does not know it is sent the text.
   * @param {string} script
   * @param {string[]} keys
   * @param {(string | number | Buffer)[]} args
   */
  #run(script, keys, args) {
    const rest = [String(keys.length), ...keys, ...args.map((arg) => (typeof arg === 'number' ? String(arg) : arg))];
    const send = async () => {
      try {
        return await this.#command(keys[0], ['EVALSHA', /** @type {string} */ (hashes.get(script)), ...rest]);
      } catch (error) {
        if (!/^NOSCRIPT/.test(/** @type {any} */ (error)?.message)) throw error;
        return this.#command(keys[0], ['EVAL', script, ...rest]);
      }
    };
    return within(send(), this.#timeoutMs);
  }
}

/** @param {readonly string[]} labels the label that is the name of the entry; an empty text: it has none */
const nameOf = (labels) => labels.find((label) => label.startsWith('k:')) ?? '';

const SEAL_BYTES = 8;

/** @param {Uint8Array} bytes */
const sumOf = (bytes) => createHash('sha256').update(bytes).digest().subarray(0, SEAL_BYTES);

/** The bytes behind their checksum. @param {Buffer} bytes */
const seal = (bytes) => Buffer.concat([sumOf(bytes), bytes]);

/** The bytes without their checksum; none if somebody has changed them. @param {Buffer} sealedBytes */
function sealed(sealedBytes) {
  const bytes = sealedBytes.subarray(SEAL_BYTES);
  return sumOf(bytes).equals(sealedBytes.subarray(0, SEAL_BYTES)) ? bytes : undefined;
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} timeoutMs
 * @returns {Promise<T>}
 */
function within(promise, timeoutMs) {
  return new Promise((resolve, reject) => {
    // A busy process sees its timers before the answers that have come: they get their turn first.
    const late = () => setImmediate(() => reject(new Error(`no answer within ${timeoutMs} ms`)));
    const timer = setTimeout(late, timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

module.exports = { Redis };
