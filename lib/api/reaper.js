'use strict';

// When the sessions of frozen processes are ended, and on which nodes: the passes of a pool with the option `lease`. reap-node.js is
// the pass on one node.
//
// A pass runs when it is asked for (`pool.reap()`), and by itself after some of the connects. Pools of one process with the same
// service, database, user and hosts share their passes and the time between them.

const { HyperionError, PoolClosedError, located } = require('../errors.js');
const { labelOf } = require('../options/hosts.js');
const { NO_RIGHT, cureFor, reapNode } = require('./reap-node.js');

/** @typedef {{ locked: boolean, killed: number, error?: unknown }} Outcome */
/** @typedef {import('./reap-node.js').Query} Query */
/** What a pass needs of a pool that it opens to one node. @typedef {{ query: Query, end(options?: object): Promise<void> }} NodePool */

/** What grows the time between two passes while other processes run theirs, and how far. */
const GROWTH = 1.5;
const LONGEST_COOLDOWN_MS = 600_000;
/** How long an answer, or the end of a pool, waits for a pass. */
const LONGEST_MS = 1_000;
/** So that processes that began together do not stay together: ±10 %. */
const JITTER = 0.1;

/** The time since it was made. A frozen machine may stop one clock, and an operator may set the other back: the one that says more counts. */
class Stopwatch {
  #monotonic = performance.now();
  #wall = Date.now();

  elapsed() {
    return Math.max(performance.now() - this.#monotonic, Date.now() - this.#wall);
  }
}

/** The passes of a process for one service. */
class Passes {
  /** The one that runs. @type {Promise<Outcome> | undefined} */
  running;
  #growth = 1;
  #pauseMs = 0;
  #sinceLast = new Stopwatch();

  get isCool() {
    return this.#sinceLast.elapsed() >= this.#pauseMs;
  }

  /** @param {boolean} isBusy whether the lock was another's @param {number} cooldownMs */
  ended(isBusy, cooldownMs) {
    this.#growth = isBusy ? this.#growth * GROWTH : 1;
    const longest = Math.max(cooldownMs, LONGEST_COOLDOWN_MS);
    const pause = cooldownMs * this.#growth;
    if (pause > longest) this.#growth = longest / cooldownMs;
    this.#pauseMs = Math.min(pause, longest) * (1 - JITTER + 2 * JITTER * Math.random());
    this.#sinceLast = new Stopwatch();
  }
}

/** By service and where it is. @type {Map<string, Passes>} */
const all = new Map();

/** @param {Record<string, any>} options of a pool */
function passesOf({ hosts, database, user, lease }) {
  const key = JSON.stringify([lease.service, database, user, hosts.map(labelOf).sort()]);
  const known = all.get(key) ?? new Passes();
  all.set(key, known);
  return known;
}

let hasTold = false;

/** Says once in a process which right is missing. @param {any} error @param {string} user who has logged in */
function tellRights(error, user) {
  if (hasTold) return;
  hasTold = true;
  const cure = error.hint ?? cureFor(error, user);
  process.emitWarning(`hyperiondb-client: expired sessions are not ended: ${error.message}: ${cure}`, {
    code: 'HYPERION_REAPER_RIGHTS',
  });
}

/** @param {number} ms */
function sleep(ms) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const done = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return { done, stop: () => clearTimeout(timer) };
}

function ending() {
  /** @type {() => void} */
  let end = () => {};
  /** @type {Promise<void>} */
  const done = new Promise((resolve) => {
    end = resolve;
  });
  return { done, end };
}

/**
 * What a reaper needs of its pool.
 * @typedef {object} Owner
 * @property {Readonly<Record<string, any>>} options
 * @property {import('../core/core-link.js').CoreLink} link
 * @property {Query} query on a session of the pool
 * @property {() => { host: string, port: number, state: string }[]} nodes
 * @property {(host: object) => NodePool} open a small pool to one node
 * @property {() => boolean} isClosed
 * @property {(detail: object) => void} tell emits the event `lease`
 */

class Reaper {
  #owner;
  #lease;
  #passes;
  /** To nodes other than the one of the pool's own session, while a pass runs. @type {Set<NodePool>} */
  #open = new Set();
  /** Behind a pooler, whose sessions have no leases. */
  #isOff = false;
  /** The pass of this pool, up to where others may go on. @type {{ done: Promise<void>, end: () => void } | undefined} */
  #own;

  /** @param {Owner} owner */
  constructor(owner) {
    this.#owner = owner;
    this.#lease = owner.options.lease;
    this.#passes = passesOf(owner.options);
  }

  /** Runs a pass behind some of the events of the core. Never throws. @param {{ type: string, refused?: boolean, crowded?: boolean }} event */
  onEvent({ type, refused = false, crowded = false }) {
    if (type === 'off') this.#isOff = true;
    const { reaper, reaperRunProbability: probability } = this.#lease;
    if (!reaper || probability === 0 || (type !== 'connect' && type !== 'thaw')) return;
    // Where the server has no connection left, the sessions to be ended are in the way of everybody.
    const isDrawn = refused || crowded || Math.random() < probability;
    if (!isDrawn || !this.#passes.isCool || this.#passes.running !== undefined || this.#owner.isClosed()) return;
    this.#start((work) => this.#unheld(work));
  }

  /**
   * Resolves when the pass that this pool runs has done its work on the pool's own node, or after a moment: a process that is frozen, or a
   * pool that is ended, soon after each connect would never end a session otherwise. The process stays alive for it.
   * @param {number} [limitMs] 0: the longest
   */
  async settled(limitMs = 0) {
    if (this.#own === undefined) return;
    const { link } = this.#owner;
    link.hold();
    const limit = sleep(limitMs === 0 ? LONGEST_MS : Math.min(limitMs, LONGEST_MS));
    await Promise.race([this.#own.done, limit.done]);
    limit.stop();
    link.unhold();
  }

  /** Runs a pass now, or waits for the one that runs. @returns {Promise<{ locked: boolean, killed: number }>} */
  async reap() {
    if (this.#isOff) return { locked: false, killed: 0 };
    const { link } = this.#owner;
    // The pass that runs may be one that keeps no process alive.
    link.hold();
    try {
      let outcome = await (this.#passes.running ?? this.#start((work) => work()));
      // That of another pool, which has ended meanwhile.
      if (outcome.error instanceof PoolClosedError && !this.#owner.isClosed()) {
        outcome = await (this.#passes.running ?? this.#start((work) => work()));
      }
      const { error, ...result } = outcome;
      if (error !== undefined && this.#lease.reaperErrorMode === 'throw') throw located(error);
      return result;
    } finally {
      link.unhold();
    }
  }

  /** Ends what a pass has opened. @param {{ timeoutMs: number }} limits */
  async end(limits) {
    const { link } = this.#owner;
    // A pass that keeps no process alive may wait for the same end.
    link.hold();
    await Promise.all([...this.#open].map((pool) => pool.end(limits))).finally(() => link.unhold());
  }

  /**
   * Runs a chain of calls of the core, one at a time, none of which keeps the process alive.
   * @template T
   * @param {() => Promise<T>} work
   */
  async #unheld(work) {
    const { link } = this.#owner;
    link.unhold();
    try {
      return await work();
    } finally {
      link.hold();
    }
  }

  /** @param {<T>(work: () => Promise<T>) => Promise<T>} chain runs a chain of calls */
  #start(chain) {
    const running = this.#run(chain);
    this.#passes.running = running;
    return running;
  }

  /** Never rejects. @param {<T>(work: () => Promise<T>) => Promise<T>} chain @returns {Promise<Outcome>} */
  async #run(chain) {
    const began = performance.now();
    const own = ending();
    this.#own = own;
    const outcome = await this.#pass(chain);
    this.#passes.ended(!outcome.locked && outcome.error === undefined, this.#lease.reaperCooldownMs);
    this.#passes.running = undefined;
    const { error } = outcome;
    if (/** @type {any} */ (error)?.code === NO_RIGHT) tellRights(error, this.#owner.options.user);
    if (!(error instanceof PoolClosedError)) {
      const durationMs = Math.round(performance.now() - began);
      await this.#tell({ type: 'reap', ...outcome, durationMs });
    }
    own.end();
    if (this.#own === own) this.#own = undefined;
    return outcome;
  }

  /** Listeners are called before whoever waits for the pass goes on, and what they throw is theirs. @param {object} detail */
  #tell(detail) {
    return new Promise((resolve) => {
      process.nextTick(() => {
        resolve(undefined);
        this.#owner.tell(detail);
      });
    });
  }

  /** @param {<T>(work: () => Promise<T>) => Promise<T>} chain @returns {Promise<Outcome>} */
  async #pass(chain) {
    /** @type {Outcome} */
    const outcome = { locked: false, killed: 0 };
    try {
      const own = await chain(() => reapNode(this.#owner.query, this.#lease));
      Object.assign(outcome, { locked: own.locked, killed: own.killed });
      // Who has the lock there reaps the others, too.
      if (own.locked) outcome.killed += await this.#others(own.node, chain);
    } catch (error) {
      outcome.error = error;
    }
    return outcome;
  }

  /**
   * The same on every other node that can be reached.
   * @param {string} own
   * @param {<T>(work: () => Promise<T>) => Promise<T>} chain
   */
  async #others(own, chain) {
    const { options, nodes } = this.#owner;
    const hosts = options.hosts.filter((/** @type {any} */ host, /** @type {number} */ place) => {
      // Without a monitor nobody looks whether a node has come back.
      return labelOf(host) !== own && (options.monitor === null || nodes()[place].state === 'up');
    });
    // Nobody waits for nodes that may not answer.
    if (hosts.length > 0) this.#own?.end();
    const killed = await Promise.all(hosts.map((/** @type {object} */ host) => chain(() => this.#other(host))));
    return killed.reduce((sum, one) => sum + one, 0);
  }

  /** @param {object} host @returns {Promise<number>} how many were ended; 0 where the node cannot be reached */
  async #other(host) {
    if (this.#owner.isClosed()) return 0;
    const pool = this.#owner.open(host);
    this.#open.add(pool);
    try {
      const { killed } = await reapNode((...statement) => pool.query(...statement), this.#lease);
      return killed;
    } catch (error) {
      if (/** @type {any} */ (error).code === NO_RIGHT) throw error;
      return 0;
    } finally {
      await pool.end();
      this.#open.delete(pool);
    }
  }
}

/** @returns {HyperionError} the error of reap() on a pool without leases */
const noLease = () => new HyperionError('reap() needs a pool with the option `lease`', 'ERR_NO_LEASE');

module.exports = { Reaper, noLease };
