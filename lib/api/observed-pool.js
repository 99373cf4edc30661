'use strict';

// What can be seen of a pool from outside: its name, its connections, its nodes, its counts.

const { metricsOf } = require('./metrics.js');
const openPools = require('./open-pools.js');
const { PoolEmitter } = require('./pool-emitter.js');
const { PoolClosedError } = require('../errors.js');
const { snapshot, statistics } = require('./statistics.js');

class ObservedPool extends PoolEmitter {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner = /** @type {any} */ (undefined);
  /** @type {Readonly<Record<string, any>>} */
  #options = {};
  /** Held here, because open-pools.js holds it weakly. @type {openPools.Source} */
  #source = /** @type {any} */ (undefined);
  /** Made when a page is asked for first; all pages of the pool share it. @type {import('./dashboard/feed.js').Feed | undefined} */
  #feed;
  #hasEnded = false;

  /** What it is called in metrics and traces. @returns {string} */
  get name() {
    return this.#options.name;
  }

  /** The number of connections, and what they do. */
  status() {
    const [size, inUse, waiting, pipelined] = this.#runner.corePool.status();
    return { maxSize: this.#options.poolSize, size, available: size - inUse, inUse, waiting, pipelined };
  }

  /** What is known of each node. */
  nodes() {
    return JSON.parse(this.#runner.corePool.nodes());
  }

  /** What the pool has counted since it was opened; also once it has ended. */
  stats() {
    return statistics(this.#runner);
  }

  /** What the counts, the state and the nodes are, as text for Prometheus; the counts also once it has ended. */
  metrics() {
    return metricsOf([[this.name, this.#source]]);
  }

  /**
   * A page that shows the pool, as a handler of HTTP requests.
   * @param {object} [options]
   */
  dashboard(options) {
    if (this.#hasEnded) throw new PoolClosedError();
    // Required late: a process that shows no page does not load it.
    const { Feed, dashboardHandler, dashboardOptions } = require('./dashboard/index.js');
    const checked = dashboardOptions(options);
    this.#feed ??= new Feed({ ...this.#source, name: this.name, snapshot: () => snapshot(this.#runner) });
    return dashboardHandler(this.#feed, checked);
  }

  /** Shows the state, but no password, key or connection string. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    const { hosts, user, database, mode } = this.#options;
    const list = hosts.map((/** @type {any} */ { host, port }) => `${host}:${port}`);
    return { hosts: list, user, database, mode, ...this.status() };
  }

  toJSON() {
    return this.status();
  }

  /**
   * For the constructor of the pool alone.
   * @param {ObservedPool} pool
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {Readonly<Record<string, any>>} options
   * @param {'of the program' | 'beside another'} kind a pool beside another one has the name of that one, and counts for itself
   */
  static opened(pool, runner, options, kind) {
    pool.#runner = runner;
    pool.#options = options;
    pool.#source = { runner, pool, status: () => pool.status(), nodes: () => pool.nodes() };
    if (kind === 'of the program') openPools.add(pool.name, pool.#source);
  }

  /** For the end of the pool alone. @param {ObservedPool} pool */
  static ended(pool) {
    openPools.remove(pool.name, pool.#source);
    pool.#hasEnded = true;
    pool.#feed?.close();
  }
}

const { opened, ended } = ObservedPool;
// Not through the class of the pool, which programs have.
for (const name of ['opened', 'ended']) Reflect.deleteProperty(ObservedPool, name);

/** The options, with the name that the pool will have. @param {Readonly<Record<string, any>>} options @returns {Readonly<Record<string, any>>} */
const withName = (options) => Object.freeze({ ...options, name: openPools.freeName(options.name?.toWellFormed()) });

module.exports = { ObservedPool, ended, opened, withName };
