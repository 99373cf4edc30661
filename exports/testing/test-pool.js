'use strict';

// A pool for a test, or the reason why the test cannot run. Whether anything answers is asked of TCP, not of the client: a server that
// answers and refuses (a wrong password, an unknown database) is an error of the test, and must never look like a missing server.

const net = require('node:net');
const { createPool, HyperionError } = require('../../client.js');

/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {import('../../client.js').PoolOptions} PoolOptions */

/** How long a host may take to accept a connection. */
const ANSWER_MS = 3_000;
/** A test that has failed may have left statements running: they are cancelled after this time. */
const END_MS = 500;

/**
 * The part of a test's context that is used, of node:test, vitest and mocha.
 *
 * @typedef {object} TestContext
 * @property {(reason?: string) => unknown} skip
 * @property {(fn: () => Promise<void>) => unknown} [after] of node:test
 * @property {(fn: () => Promise<void>) => unknown} [onTestFinished] of vitest
 */

/**
 * @param {{ host: string, port: number }} address
 * @returns {Promise<string | null>} why it does not accept a connection; null when it does
 */
function refusal({ host, port }) {
  const isFolder = host.startsWith('/');
  const socket = isFolder ? net.connect(`${host}/.s.PGSQL.${port}`) : net.connect({ host, port });
  return new Promise((resolve) => {
    socket.setTimeout(ANSWER_MS, () => resolve(`no answer within ${ANSWER_MS} ms`));
    socket.once('connect', () => resolve(null));
    socket.once('error', (error) => resolve(/** @type {any} */ (error).code ?? error.message));
  })
    .then((reason) => (reason === null ? null : `${host}:${port}: ${reason}`))
    .finally(() => socket.destroy());
}

/** @param {Pool} pool @returns {Promise<string | null>} why none of its hosts can be reached; null when one can */
async function nothingAnswers(pool) {
  const asked = pool.nodes().map(async (node) => {
    const reason = await refusal(node);
    if (reason === null) throw null; // for Promise.all, which ends with the first
    return reason;
  });
  try {
    return `no PostgreSQL answers (${(await Promise.all(asked)).join('; ')})`;
  } catch {
    return null;
  }
}

/**
 * @param {PoolOptions | string} [options]
 * @param {TestContext} [t]
 * @returns {Promise<Pool | undefined>} undefined when the test was skipped by a runner that goes on with it
 */
async function testPool(options, t) {
  const pool = createPool(/** @type {PoolOptions} */ (options));
  try {
    const reason = await nothingAnswers(pool);
    if (reason === null) await pool.query('SELECT 1');
    else if (t === undefined) throw new HyperionError(reason, 'ERR_NO_PRIMARY');
    else {
      await pool.end();
      t.skip(reason); // vitest and mocha throw here
      return undefined;
    }
  } catch (error) {
    await pool.end();
    throw error;
  }
  const afterTest = t?.after ?? t?.onTestFinished;
  afterTest?.call(t, () => pool.end({ timeoutMs: END_MS }));
  return pool;
}

module.exports = { testPool };
