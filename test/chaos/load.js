'use strict';

// Every kind of work that a pool can do, all at once, by workers that record the outcomes (history.js); check.js compares the
// record with what the database has in the end. The workers are in writers.js, readers.js and notifications.js.

const { setTimeout: sleep } = require('node:timers/promises');
const { range, until } = require('../support/helpers');
const { check, judge } = require('./check');
const { History } = require('./history');
const { LISTENERS, Notifications } = require('./notifications');
const { Random } = require('./random');
const { READERS } = require('./readers');
const { TABLE, WRITERS } = require('./writers');

/** @typedef {import('./history').Entry} Entry */
/** @typedef {import('./history').WriteKind} WriteKind */

/** @type {Record<string, { inFlight: number, deed: (load: Load, random: Random, name: string) => Promise<unknown> }>} */
const KINDS = { ...WRITERS, ...READERS, ...LISTENERS };

/** Readers choose among as many of the last writes. */
const RECENT = 256;
/** Work that takes longer hangs. */
const PATIENCE_MS = 30_000;
const PLAIN = /** @type {const} */ (['autocommit', 'transaction', 'begin']);

/** A worker that rests does so after as many pieces of work, on average. */
const BURST = 4;

/** How many workers of each kind there are by default. */
const EVERYTHING = { writers: 9, readers: 4, batches: 6, streams: 3, notifiers: 3, visitors: 1, restMs: 30 };

class Load {
  record = new History();
  /** Reads that failed. @type {any[]} */
  readErrors = [];
  reads = 0;
  /** When each write was acknowledged. @type {number[]} */
  times = [];
  /** The number of acknowledged pieces of work of each kind. @type {Record<string, number>} */
  done = {};
  isAbandoned = false;
  #over = false;
  #next = 0;
  #busy = 0;
  /** @type {Promise<void> | null} */
  #held = null;
  #release = () => {};
  /** Ids of the last writes, as a ring. @type {number[]} */
  #recent = [];

  /**
   * @param {any} pool
   * @param {object} [size] how many workers
   * @param {number} [size.writers] in turn: single statements, transaction(cb) with retries, begin() and commit()
   * @param {readonly WriteKind[]} [size.ways] of writing, in turn, instead of these
   * @param {number} [size.readers]
   * @param {number} [size.batches] in turn: each for itself, all in a transaction
   * @param {number} [size.streams]
   * @param {number} [size.notifiers] who notify; there are handlers when there are any
   * @param {number} [size.visitors] who listen for a while
   * @param {number} [size.restMs] a worker rests so long at most between two bursts
   * @param {number} [size.everyMs] instead: how often, on average, a worker begins a deed
   * @param {boolean} [size.thinks] whether transactions wait in their middle now and then. Default true.
   * @param {Random} [size.random]
   */
  constructor(
    pool,
    {
      writers = 18,
      ways = PLAIN,
      readers = 4,
      batches = 0,
      streams = 0,
      notifiers = 0,
      visitors = 0,
      restMs = 0,
      everyMs = 0,
      thinks = true,
      random = new Random(0),
    } = {},
  ) {
    this.pool = pool;
    this.writers = writers;
    this.restMs = restMs;
    this.everyMs = everyMs;
    this.thinks = thinks;
    const kinds = [
      ...range(writers).map((index) => ways[index % ways.length]),
      ...range(batches).map((index) => (index % 2 === 0 ? 'batch' : 'batch in a transaction')),
      ...range(readers).map(() => 'read'),
      ...range(streams).map(() => 'stream'),
      ...range(notifiers).map(() => 'notify'),
      ...range(visitors).map(() => 'listen'),
    ];
    for (const kind of kinds) {
      this.done[kind] = 0;
      for (const each of kind === 'listen' ? ['listen', 'notify'] : [kind]) {
        // A visitor sends a notification to itself before it leaves.
        this.record.inFlight[each] = (this.record.inFlight[each] ?? 0) + KINDS[kind].inFlight;
      }
    }
    pool.on('primary', (/** @type {any} */ { from, to }) =>
      this.record.primaries.push({ at: performance.now(), from, to }),
    );
    /** @type {Notifications} */
    this.notifications = new Notifications(this);
    /** The handlers of notifications. */
    this.ready = notifiers > 0 ? this.notifications.open() : Promise.resolve();
    this.hasListeners = notifiers > 0;
    this.workers = Promise.all(
      kinds.map((kind, index) => this.#work(kind, `${kind} ${index}`, random.fork(`${kind} ${index}`))),
    );
  }

  /** @param {string} kind @param {string} name @param {Random} random */
  async #work(kind, name, random) {
    await this.ready;
    while (!this.#over) {
      if (this.#held !== null) {
        await this.#held;
        continue;
      }
      const due = performance.now() + this.everyMs * 2 * random.next();
      this.#busy++;
      try {
        await KINDS[kind].deed(this, random, name);
      } finally {
        this.#busy--;
      }
      if (this.everyMs > 0) await sleep(due - performance.now());
      if (this.restMs > 0 && random.once(BURST)) await sleep(random.int(1, this.restMs));
    }
  }

  /** Writes, by id. @returns {Map<number, Entry>} */
  get history() {
    return this.record.writes;
  }

  /** The id of the next write. */
  get nextId() {
    return this.#next;
  }

  /** A new write. @param {WriteKind} kind @param {number} rows @returns {[number, Entry]} */
  enter(kind, rows) {
    const id = this.#next++;
    /** @type {Entry} */
    const entry = { kind, fate: 'pending', at: performance.now(), rows };
    this.record.writes.set(id, entry);
    this.#recent[id % RECENT] = id;
    return [id, entry];
  }

  /** Records the outcome of a write. @param {Entry} entry */
  settle(entry) {
    this.count(/** @type {string} */ (entry.kind), entry);
    if (entry.fate === 'acknowledged') this.times.push(/** @type {number} */ (entry.end));
  }

  /** @param {string} kind @param {{ fate: import('./history').Fate }} entry */
  count(kind, { fate }) {
    if (fate === 'acknowledged') this.done[kind]++;
  }

  /** The id of one of the last writes, for a reader. @param {Random} random */
  someWrite(random) {
    if (this.#recent.length === 0) return undefined;
    const id = random.pick(this.#recent);
    return this.record.writes.has(id) ? id : undefined;
  }

  get acknowledged() {
    return this.times.length;
  }

  /** Waits until each kind of work has succeeded as many times more. @param {number} [times] */
  async flows(times = 3) {
    const before = { ...this.done };
    const lagging = () => Object.keys(before).filter((kind) => this.done[kind] < before[kind] + times);
    await until('every kind of work goes on', () => lagging().length === 0).catch((error) => {
      const seen = this.pool.nodes().map((/** @type {object} */ node) => JSON.stringify(node));
      const state = [JSON.stringify(this.pool.status()), ...seen].join('\n  ');
      throw new Error(`no ${lagging().join(', no ')} goes on\n  ${state}`, { cause: error });
    });
  }

  /** Records the time of a fault that may cost work in flight its answer. */
  strike() {
    this.record.strikes.push(performance.now());
  }

  /**
   * Lets no work begin, and waits until running work has ended and sent notifications have arrived. Work that runs for longer
   * than PATIENCE_MS hangs, and stays pending in the history.
   */
  async quiet() {
    if (this.#held === null) {
      this.#held = new Promise((resolve) => {
        this.#release = resolve;
      });
    }
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#busy > 0 && performance.now() < deadline) await sleep(2);
    if (this.hasListeners) await this.notifications.prove(PATIENCE_MS / 2);
  }

  /** Goes on after quiet(). */
  resume() {
    this.#held = null;
    this.#release();
  }

  /** Forgets what has ended and was checked. */
  forget() {
    this.record.forget();
    this.readErrors = [];
    this.times = [];
  }

  /** Begins no more work and waits for running work. */
  async stop() {
    this.#over = true;
    await this.quiet();
    this.resume();
  }

  /** Begins no more work, and does not wait for running work. */
  abandon() {
    this.isAbandoned = true;
    this.#over = true;
    this.resume();
  }

  /** The errors, by code. */
  errors() {
    /** @type {Record<string, number>} */
    const counts = {};
    const { writes, reads, streams, sent, visits } = this.record;
    for (const { error, fate } of [...writes.values(), ...reads, ...streams, ...sent.values(), ...visits]) {
      if (error === undefined) continue;
      const key = `${error.code ?? error.message} ${fate}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  /** The longest time without an acknowledged write. */
  longestPauseMs() {
    return this.times.reduce((longest, time, i) => Math.max(longest, i === 0 ? 0 : time - this.times[i - 1]), 0);
  }

  /** When the first write after `since` was acknowledged. @param {number} since */
  firstAfter(since) {
    return this.times.find((time) => time > since) ?? Infinity;
  }
}

module.exports = { EVERYTHING, Load, TABLE, check, judge };
