'use strict';

// What can be seen of a pool from outside: its connections, its nodes, its counts.

const { PoolEmitter } = require('./pool-emitter.js');
const { statistics } = require('./statistics.js');

class ObservedPool extends PoolEmitter {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner = /** @type {any} */ (undefined);
  /** @type {Readonly<Record<string, any>>} */
  #options = {};

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
   */
  static opened(pool, runner, options) {
    pool.#runner = runner;
    pool.#options = options;
  }
}

const { opened } = ObservedPool;
// Not through the class of the pool, which programs have.
Reflect.deleteProperty(ObservedPool, 'opened');

module.exports = { ObservedPool, opened };
