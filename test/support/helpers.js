'use strict';

// What every test file begins with: a cluster for the file, pools that end with their test, and reasons to skip.
//
//   const db = useCluster({ nodes: 3 });
//   test('one and one is two', async (t) => {
//     const pool = db.pool(t);
//     assert.deepStrictEqual(await pool.query('SELECT 1 + 1 AS two'), [{ two: 2 }]);
//   });
//
// `test` is node:test's `test` with a time limit, so that it cannot hang. No test may rely on another time limit.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { after, before, test: nodeTest } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { createPool } = require('../../client.js');
const { startCluster, UnsupportedError } = require('./cluster');
const { until } = require('../../exports/testing/cluster/until.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('./cluster').Cluster} Cluster */

/** Nothing that a test waits for takes this long on the slowest machine; if it does, something hangs. */
const HANG_MS = 60_000;

/**
 * A test that cannot hang.
 *
 * @param {string} name
 * @param {((t: TestContext) => unknown) | { skip?: string, todo?: string, timeout?: number }} optionsOrFn
 * @param {(t: TestContext) => unknown} [fn]
 */
function test(name, optionsOrFn, fn) {
  const [options, body] = typeof optionsOrFn === 'function' ? [{}, optionsOrFn] : [optionsOrFn, fn];
  nodeTest(name, { timeout: HANG_MS, ...options }, async (t) => {
    try {
      await body?.(t);
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      t.skip(error.message);
    }
  });
}

/** The cluster of a file, and what its tests need of it. */
class Database {
  /** @type {Cluster | undefined} */
  #cluster;
  /** @type {UnsupportedError | undefined} */
  #unsupported;

  /** Resolves when the cluster is there, for other hooks: Node starts them without waiting for the ones before. @type {Promise<void>} */
  started = Promise.resolve();

  /** @param {import('./cluster').ClusterOptions} options */
  start(options) {
    this.started = this.#start(options);
    return this.started;
  }

  /** @param {import('./cluster').ClusterOptions} options */
  async #start(options) {
    try {
      this.#cluster = await startCluster(options);
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      this.#unsupported = error;
    }
  }

  async stop() {
    await this.#cluster?.stop();
  }

  /** @returns {Cluster} throws what makes `test` skip when there is none */
  get cluster() {
    if (this.#unsupported !== undefined) throw this.#unsupported;
    return /** @type {Cluster} */ (this.#cluster);
  }

  /** Skips the test unless the cluster can do all of `operations`. @param {...string} operations */
  needs(...operations) {
    for (const operation of operations) {
      if (!this.cluster.capabilities.has(operation)) throw new UnsupportedError(operation, 'see cluster.capabilities');
    }
  }

  /** Skips the test on servers older than `major`. @param {number} major @param {string} why */
  needsVersion(major, why) {
    if (this.cluster.version < major) throw new UnsupportedError(`PostgreSQL ${major}`, why);
  }

  /** Skips the test unless commits wait for a standby. */
  needsSynchronous() {
    if (!this.cluster.synchronous) throw new UnsupportedError('synchronous replication', 'commits do not wait here');
  }

  /**
   * Freezes both standbys while `body` runs.
   * @param {() => Promise<void>} body
   */
  async withFrozenStandbys(body) {
    this.needs('freeze');
    this.needsSynchronous();
    const standbys = this.cluster.standbys();
    await Promise.all(standbys.map((node) => node.freeze()));
    try {
      await body();
    } finally {
      await Promise.all(standbys.map((node) => node.thaw()));
    }
  }

  /**
   * The options with which a pool reaches the cluster.
   *
   * @param {Record<string, unknown>} [options]
   */
  options(options) {
    return { ...loginOf(this.cluster), ...options };
  }

  /**
   * A pool that ends with its test.
   *
   * @param {TestContext} t
   * @param {Record<string, unknown>} [options]
   * @returns {any}
   */
  pool(t, options) {
    return poolFor(t, this.options(options));
  }

  /** Runs SQL on the primary over a connection of the harness. @param {string} text @param {unknown[]} [params] */
  sql(text, params) {
    return this.cluster.primary().sql(text, params);
  }
}

/** @param {Cluster} cluster */
function loginOf({ hosts, user, password, database }) {
  return { hosts, user, password, database };
}

/**
 * @param {TestContext} t
 * @param {unknown} options
 * @returns {any}
 */
function poolFor(t, options) {
  const pool = createPool(/** @type {any} */ (options));
  // A test that failed may have left running statements: they are cancelled.
  t.after(() => pool.end({ timeoutMs: 500 }));
  return pool;
}

/**
 * One cluster for all tests of the file that calls it.
 *
 * @param {import('./cluster').ClusterOptions} [options]
 */
function useCluster(options = {}) {
  const database = new Database();
  before(() => database.start(options), { timeout: HANG_MS * 2 });
  after(() => database.stop(), { timeout: HANG_MS });
  return database;
}

/**
 * A cluster that ends with its test, for tests that leave it broken.
 *
 * @param {TestContext} t
 * @param {import('./cluster').ClusterOptions} [options]
 */
async function ownCluster(t, options) {
  const database = new Database();
  await database.start(options ?? {});
  t.after(() => database.stop());
  return database;
}

/**
 * Runs JavaScript in a process of its own, with `createPool`, `options` (of the cluster) and `print` at hand. Its output
 * comes back as lines; a process that does not end by itself is killed and is an error.
 *
 * @param {Database | null} db
 * @param {string} code the body of an async function
 * @param {{ flags?: string[], env?: Record<string, string>, killMs?: number, options?: Record<string, unknown>, load?: boolean }} [settings] `load: false`: without `createPool`
 * @returns {Promise<{ code: number | null, signal: string | null, lines: string[], stderr: string }>}
 */
function inChild(db, code, { flags = [], env = {}, killMs = HANG_MS / 2, options = {}, load = true } = {}) {
  const script = `
    ${load ? `const { createPool } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});` : ''}
    const options = ${JSON.stringify(db === null ? {} : db.options(options))};
    const print = (...values) => console.log(...values.map((value) => typeof value === 'string' ? value : JSON.stringify(value)));
    (async () => {${code}\n})();`;
  const child = spawn(process.execPath, [...flags, '-e', script], {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), killMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer);
      resolve({ code: exitCode, signal, lines: stdout.split('\n').filter(Boolean), stderr });
    });
  });
}

/**
 * The same for a process that must end well.
 *
 * @param {Database | null} db
 * @param {string} code
 * @param {Parameters<typeof inChild>[2]} [settings]
 */
async function printedBy(db, code, settings) {
  const { code: exitCode, signal, lines, stderr } = await inChild(db, code, settings);
  assert.deepEqual({ exitCode, signal, stderr }, { exitCode: 0, signal: null, stderr: '' });
  return lines;
}

/**
 * The error with which a promise rejects; fails when the promise resolves.
 *
 * @param {Promise<unknown>} promise
 * @returns {Promise<any>}
 */
async function failureOf(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  return assert.fail(
    `it resolved: ${JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part))?.slice(0, 200)}`,
  );
}

/**
 * How each promise ended: its value, or its error.
 *
 * @param {Promise<any>[]} promises
 * @returns {Promise<{ value?: any, error?: any }[]>}
 */
async function endings(promises) {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => (one.status === 'fulfilled' ? { value: one.value } : { error: one.reason }));
}

/** @param {Promise<unknown>} promise whether it is still open after everything that is ready has run */
async function isPending(promise) {
  let isOpen = true;
  const close = () => {
    isOpen = false;
  };
  promise.then(close, close);
  await sleep(20);
  return isOpen;
}

/** A name of its own, to find a pool's sessions by. @param {string} purpose */
const named = (purpose) => `${purpose}-${process.pid}-${Math.floor(Math.random() * 1e9)}`;

/** Numbers from 0. @param {number} count */
const range = (count) => Array.from({ length: count }, (_, i) => i);

module.exports = {
  Database,
  HANG_MS,
  endings,
  test,
  failureOf,
  inChild,
  isPending,
  loginOf,
  named,
  ownCluster,
  poolFor,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
};
