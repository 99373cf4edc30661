'use strict';

// A transaction of openDatabase(), or a savepoint in one: what the calls join that are made within its function.
//
// Each scope has an order of its own. A savepoint is one piece in the order of the scope around it, so that no statement beside it gets
// into it and is undone with it.

const { HyperionError } = require('../../errors.js');
const { Turns } = require('./turns.js');

/**
 * @typedef {object} Session the connection of a transaction, as an engine gives it
 * @property {(kind: import('./statement.js').Kind, statement: import('./statement.js').Statement, values: readonly unknown[]) => Promise<unknown>} execute
 * @property {(script: string) => Promise<void>} exec
 * @property {(sql: string) => Promise<void>} command runs SAVEPOINT and what ends it
 */

class Scope {
  #turns = new Turns();
  #isOpen = true;
  /** Whether calls that still wait for their turn may run. */
  #runsWaiting = true;

  /**
   * @param {Session} session
   * @param {number} depth of savepoints around it
   */
  constructor(session, depth) {
    this.session = session;
    this.depth = depth;
  }

  checkOpen() {
    if (!this.#isOpen) throw ended();
  }

  /**
   * Runs work in its turn.
   * @template T
   * @param {(session: Session) => Promise<T>} work
   * @returns {Promise<T>}
   */
  run(work) {
    return this.#turns.run(async () => {
      if (!this.#runsWaiting) throw ended();
      return work(this.session);
    });
  }

  /**
   * Ends the scope: takes no more calls, and waits for those that were made. After a failure the ones that wait do not run.
   * @param {boolean} failed
   */
  async end(failed) {
    this.#isOpen = false;
    if (failed) this.#runsWaiting = false;
    await this.#turns.run(async () => {});
  }
}

const ended = () => new HyperionError('the transaction of this call has ended', 'ERR_TRANSACTION_ENDED');

/**
 * Calls the function of a transaction in a scope of its own, and ends the scope with it.
 * @template T
 * @param {import('node:async_hooks').AsyncLocalStorage<Scope>} storage
 * @param {Scope} scope
 * @param {() => T | Promise<T>} fn
 */
async function runIn(storage, scope, fn) {
  let failed = true;
  try {
    const result = await storage.run(scope, fn);
    failed = false;
    return result;
  } finally {
    await scope.end(failed);
  }
}

/**
 * A savepoint: when the function fails, what it did is undone, and the transaction around it goes on.
 * @template T
 * @param {import('node:async_hooks').AsyncLocalStorage<Scope>} storage
 * @param {Scope} outer
 * @param {() => T | Promise<T>} fn
 * @returns {Promise<T>}
 */
function savepoint(storage, outer, fn) {
  return outer.run(async (session) => {
    const name = `hyperion_${outer.depth + 1}`;
    await session.command(`SAVEPOINT ${name}`);
    try {
      const result = await runIn(storage, new Scope(session, outer.depth + 1), fn);
      await session.command(`RELEASE SAVEPOINT ${name}`);
      return result;
    } catch (error) {
      // Where this fails the whole transaction has failed, and its COMMIT says so.
      await session.command(`ROLLBACK TO SAVEPOINT ${name}`).catch(() => {});
      await session.command(`RELEASE SAVEPOINT ${name}`).catch(() => {});
      throw error;
    }
  });
}

module.exports = { Scope, runIn, savepoint };
