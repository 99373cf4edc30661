'use strict';

// Transactions around tests, which are always rolled back.
//
// A test calls the pool from code that knows nothing of the test, and a runner's hook cannot enter an async context for the test that
// follows. So the pool itself is told to join everything to a transaction, whatever the context of the call, until it is told to stop.
// One pool therefore has one test at a time: tests that overlap on a pool are an error, and never share a transaction in silence.
//
// A test within a test (a subtest of node:test, testTransaction() in a test with hooks) is a level more: a savepoint.

const { AsyncLocalStorage } = require('node:async_hooks');
const { HyperionError, ParameterError } = require('../../client.js');

/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {import('../../client.js').Transaction} Transaction */

/** The pool's method: `pool[JOIN](tx)` joins all calls to `tx`, `pool[JOIN](undefined)` ends that. */
const JOIN = Symbol.for('hyperiondb-client.join');

/**
 * @typedef {object} Level
 * @property {'hook' | 'function'} owner
 * @property {Transaction | undefined} tx undefined until it has begun
 * @property {() => Promise<void>} undo
 */

/** What is open on each pool, from the outside in. @type {WeakMap<object, Level[]>} */
const levels = new WeakMap();

/** The level of the testTransaction() in which the caller runs. @type {AsyncLocalStorage<Level>} */
const inside = new AsyncLocalStorage();

/** @param {Pool} pool @returns {Level[]} */
function levelsOf(pool) {
  if (typeof (/** @type {any} */ (pool)?.[JOIN]) !== 'function') {
    throw new ParameterError('a test transaction needs a pool of createPool()');
  }
  const known = levels.get(pool);
  if (known !== undefined) return known;
  /** @type {Level[]} */
  const none = [];
  levels.set(pool, none);
  return none;
}

/** @param {Pool} pool @param {Transaction | undefined} tx */
const join = (pool, tx) => /** @type {any} */ (pool)[JOIN](tx);

/** What undoes a savepoint: thrown by its callback. */
const UNDO = new Error('the test has ended');

/**
 * A transaction that the caller undoes.
 *
 * @param {Pool} pool
 * @returns {Promise<Pick<Level, 'tx' | 'undo'>>}
 */
async function begin(pool) {
  const tx = await pool.begin();
  // Rejects when the test has ended the transaction itself: what it had done may have been committed.
  return { tx, undo: () => tx.rollback() };
}

/**
 * A savepoint that the caller undoes, and whatever is open within it.
 *
 * @param {Transaction} outer
 * @returns {Promise<Pick<Level, 'tx' | 'undo'>>}
 */
function beginWithin(outer) {
  return new Promise((resolve, reject) => {
    const ended = outer.transaction(
      (tx) =>
        new Promise((_, undo) => {
          resolve({
            tx,
            async undo() {
              undo(UNDO);
              await ended.catch((/** @type {unknown} */ error) => error === UNDO || Promise.reject(error));
            },
          });
        }),
    );
    ended.catch(reject); // of no effect once it has begun
  });
}

/** @param {string} what */
const overlap = (what) =>
  new HyperionError(`${what}: tests that run at the same time need a pool each`, 'ERR_TRANSACTION_OPEN');

/**
 * @param {Pool} pool
 * @param {'hook' | 'function'} owner
 * @param {(outer: Level) => boolean} mayNest whether a new level belongs within the one that is open
 * @returns {Promise<Level>}
 */
async function open(pool, owner, mayNest) {
  const stack = levelsOf(pool);
  const outer = stack.at(-1);
  if (outer !== undefined && (outer.tx === undefined || !mayNest(outer)))
    throw overlap('another test is using this pool');
  // It stands in the stack before anything is awaited: who comes meanwhile sees it.
  /** @type {Level} */
  const level = { owner, tx: undefined, undo: async () => {} };
  stack.push(level);
  try {
    Object.assign(
      level,
      await (outer === undefined ? begin(pool) : beginWithin(/** @type {Transaction} */ (outer.tx))),
    );
    join(pool, level.tx);
    return level;
  } catch (error) {
    stack.splice(stack.indexOf(level), 1);
    throw error;
  }
}

/**
 * Undoes a level, and what was left open within it.
 *
 * @param {Pool} pool
 * @param {Level} level
 */
async function close(pool, level) {
  const stack = levelsOf(pool);
  const at = stack.indexOf(level);
  if (at === -1) throw overlap('the test around this one has ended before it');
  const isInnermost = at === stack.length - 1;
  stack.splice(at);
  join(pool, stack.at(-1)?.tx);
  await level.undo();
  if (!isInnermost) throw overlap('a test within this one has not ended');
}

/**
 * Runs `fn` in a transaction that is rolled back.
 *
 * @template T
 * @param {Pool} pool
 * @param {(tx: Transaction) => Promise<T> | T} fn
 * @returns {Promise<T>}
 */
async function testTransaction(pool, fn) {
  if (typeof fn !== 'function') throw new ParameterError('testTransaction needs a function');
  const level = await open(pool, 'function', (outer) => outer.owner === 'hook' || inside.getStore() === outer);
  let result;
  try {
    result = await inside.run(level, () => fn(/** @type {Transaction} */ (level.tx)));
  } catch (error) {
    await close(pool, level).catch(() => {}); // the error of `fn` says more
    throw error;
  }
  await close(pool, level);
  return result;
}

/** Only the contexts of node:test have a method for tests within tests. @param {any} context */
const mayHaveSubtests = (context) => typeof context?.test === 'function';

/**
 * Runs each test in a transaction that is rolled back.
 *
 * @param {Pool | (() => Pool | Promise<Pool>)} poolOrFunction
 * @param {{ beforeEach: (hook: () => Promise<void>) => unknown, afterEach: (hook: () => Promise<void>) => unknown }} hooks
 */
function useTestTransaction(poolOrFunction, hooks) {
  if (typeof hooks?.beforeEach !== 'function' || typeof hooks.afterEach !== 'function') {
    throw new ParameterError('useTestTransaction needs { beforeEach, afterEach } of the test runner');
  }
  /** @type {{ context: unknown, pool: Pool, level: Level }[]} */
  const tests = [];
  // The hooks declare no parameter: mocha and jest would wait for a callback, and vitest would look for fixtures.
  hooks.beforeEach(async function () {
    // biome-ignore lint/complexity/noArguments: see above
    const context = arguments[0];
    const pool = typeof poolOrFunction === 'function' ? await poolOrFunction() : poolOrFunction;
    const level = await open(pool, 'hook', () => mayHaveSubtests(context));
    tests.push({ context, pool, level });
  });
  hooks.afterEach(async function () {
    // biome-ignore lint/complexity/noArguments: see above
    const context = arguments[0];
    const at = tests.findLastIndex((test) => test.context === context);
    if (at === -1) return; // its beforeEach has failed
    const [{ pool, level }] = tests.splice(at, 1);
    await close(pool, level);
  });
}

module.exports = { testTransaction, useTestTransaction };
