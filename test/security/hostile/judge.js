'use strict';

// The expected result of a case, and whether the case has it.

const { HyperionError, createPool } = require('../../../client.js');
const { until } = require('../../../exports/testing/cluster/until.js');
const { FakeServer } = require('./server');

/** @typedef {import('./server').Script} Script */
/**
 * @typedef {object} Expected
 * @property {unknown} [value] it resolves to this
 * @property {string | readonly string[]} [code] it rejects with one of these
 * @property {string} [outcome]
 * @property {RegExp} [message]
 * @property {RegExp} [reason] what the error says of the host
 * @property {boolean} [final] other hosts would not do better
 * @property {readonly string[]} [never] what the server must not have been sent
 * @property {number} [executes] how often the hostile statement may be sent for execution
 * @property {number} [connections] how many there may be at most: a server that is broken is not stormed
 */

/** Nothing with a time limit takes this long, even on a slow machine. */
const BOUND_MS = 10_000;
const LOGIN = { user: 'u', password: 'secret', database: 'd', ssl: 'disable' };
const GOOD = 'SELECT 1 AS one';

/** @param {unknown} value */
const shown = (value) =>
  JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part))?.slice(0, 300) ?? String(value);

/** @param {any} error */
function brief(error) {
  if (!(error instanceof Error)) return `${typeof error} ${shown(error)}`;
  const { code = '(no code)', outcome = '(no outcome)', nodes } = /** @type {any} */ (error);
  const hosts = nodes === undefined ? '' : ` ${shown(nodes)}`;
  return `${error.name} ${code} ${outcome}: ${error.message.slice(0, 200)}${hosts}`;
}

/**
 * How a promise ended; a hang is an ending, too.
 *
 * @param {Promise<unknown>} promise
 * @param {number} [boundMs]
 * @returns {Promise<{ value?: unknown, error?: any, hangs?: true }>}
 */
async function ending(promise, boundMs = BOUND_MS) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const bound = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ hangs: true }), boundMs);
  });
  const ended = promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  const first = await Promise.race([ended, bound]);
  clearTimeout(timer);
  return /** @type {any} */ (first);
}

/** What is wrong with an error that is not a proper error of the package. @param {any} error @returns {string | null} what is wrong with it */
function untyped(error) {
  if (!(error instanceof HyperionError)) return `not an error of ours: ${brief(error)}`;
  if (typeof error.code !== 'string' || error.code === '') return `no code: ${brief(error)}`;
  // A panic, or a state that the code considers impossible.
  if (error.code === 'ERR_INTERNAL') return `an internal error: ${brief(error)}`;
  return null;
}

/**
 * What is wrong with an ending.
 *
 * @param {{ value?: unknown, error?: any, hangs?: true }} ended
 * @param {Expected} expected
 * @returns {string[]}
 */
function wrongWith(ended, expected) {
  if (ended.hangs) return [`nothing within ${BOUND_MS} ms`];
  const wantsValue = 'value' in expected;
  if (ended.error === undefined) {
    if (!wantsValue) return [`it resolved: ${shown(ended.value)}`];
    return shown(ended.value) === shown(expected.value) ? [] : [`it resolved: ${shown(ended.value)}`];
  }
  const { error } = ended;
  const bad = untyped(error);
  if (bad !== null) return [bad];
  if (wantsValue) return [`it failed: ${brief(error)}`];
  const wrong = [];
  const codes = expected.code === undefined ? null : [expected.code].flat();
  if (codes !== null && !codes.includes(error.code)) wrong.push(`not ${codes.join(' or ')}: ${brief(error)}`);
  if (expected.outcome !== undefined && error.outcome !== expected.outcome) {
    wrong.push(`the outcome is not ${expected.outcome}: ${brief(error)}`);
  }
  if (expected.message !== undefined && !expected.message.test(error.message)) {
    wrong.push(`the message is not ${expected.message}: ${brief(error)}`);
  }
  const reason = error.nodes?.[0]?.reason ?? error.message;
  if (expected.reason !== undefined && !expected.reason.test(reason)) {
    wrong.push(`the reason is not ${expected.reason}: ${brief(error)}`);
  }
  return wrong;
}

/**
 * Runs the work with a pool, and ends the pool.
 *
 * @param {FakeServer[]} servers
 * @param {Record<string, unknown>} options
 * @param {(pool: any) => Promise<void>} work
 * @returns {Promise<string[]>} what is wrong with the end
 */
async function withPool(servers, options, work) {
  const hosts = servers.map((server) => server.address);
  const pool = /** @type {any} */ (createPool(/** @type {any} */ ({ ...LOGIN, hosts, monitor: false, ...options })));
  try {
    await work(pool);
  } finally {
    const ended = await ending(pool.end({ timeoutMs: 100 }));
    if (ended.hangs || ended.error !== undefined) {
      // biome-ignore lint/correctness/noUnsafeFinally: what work threw was a mistake of the harness.
      return [`end(): ${ended.hangs ? 'hangs' : brief(ended.error)}`];
    }
  }
  const left = () => servers.reduce((sum, server) => sum + server.open, 0);
  try {
    await until('sockets are closed', () => left() === 0, { timeoutMs: 10_000 });
    return [];
  } catch {
    return [`${left()} sockets are open after end()`];
  }
}

/**
 * Runs a case whose server misbehaves before a connection can be used.
 *
 * @param {Script} script
 * @param {Expected} [expected]
 * @param {Record<string, unknown>} [options]
 * @returns {Promise<string[]>} what is wrong
 */
async function judgeLogin(script, expected = {}, options = {}) {
  const wrong = [];
  const bad = await FakeServer.open(script);
  const encrypts = options.ssl !== undefined;
  const good = await FakeServer.open({}, { encrypts });
  try {
    const alone = { connectTimeoutMs: 400, acquireTimeoutMs: 900, ...options };
    const wanted = 'value' in expected ? expected : { code: 'ERR_NO_PRIMARY', ...expected };
    wrong.push(
      ...(await withPool([bad], alone, async (pool) => {
        wrong.push(...wrongWith(await ending(pool.query(GOOD)), wanted));
      })),
    );
    for (const what of expected.never ?? []) {
      if (bad.times(what) > 0) wrong.push(`${what} was sent ${bad.times(what)} times`);
    }
    if (!('value' in expected)) {
      const both = { connectTimeoutMs: 400, acquireTimeoutMs: 10_000, ...options };
      wrong.push(
        ...(await withPool([bad, good], both, async (pool) => {
          const then = expected.final ? { code: expected.code } : { value: [{ one: 1 }] };
          const problems = wrongWith(await ending(pool.query(GOOD)), then);
          wrong.push(...problems.map((problem) => `with a good host behind it: ${problem}`));
        })),
      );
    }
  } finally {
    bad.close();
    good.close();
  }
  return wrong;
}

/** The statement that the server answers badly. */
const HOSTILE = 'SELECT hostile';

/**
 * Runs a case whose server behaves well until the work begins.
 *
 * @param {Script} script
 * @param {(pool: any) => Promise<unknown>} work
 * @param {Expected} expected
 * @param {Record<string, unknown>} [options]
 * @returns {Promise<string[]>} what is wrong
 */
async function judgeStatement(script, work, expected, options = {}) {
  const wrong = [];
  const bad = await FakeServer.open(script);
  try {
    const given = { connectTimeoutMs: 1_000, acquireTimeoutMs: 2_000, ...options };
    wrong.push(
      ...(await withPool([bad], given, async (pool) => {
        wrong.push(...wrongWith(await ending(work(pool)), expected));
        const then = wrongWith(await ending(pool.query(GOOD)), { value: [{ one: 1 }] });
        wrong.push(...then.map((problem) => `the next statement: ${problem}`));
      })),
    );
    const executed = bad.times(`execute ${HOSTILE}`) + bad.times(`query ${HOSTILE}`);
    const allowed = expected.executes ?? 1;
    if (executed > allowed) wrong.push(`it was sent for execution ${executed} times, not ${allowed}`);
    const connections = expected.connections ?? 40;
    if (bad.times('startup') > connections)
      wrong.push(`${bad.times('startup')} connections, not ${connections} at most`);
  } finally {
    bad.close();
  }
  return wrong;
}

module.exports = { BOUND_MS, HOSTILE, LOGIN, brief, ending, judgeLogin, judgeStatement, untyped };
