'use strict';

// What the tests of ServerlessClient have in common.

const { EventEmitter } = require('node:events');
const client = require('../../client.js');
const { ServerlessClient } = require('../../exports/serverless');

/** Its last letters make it easy to find in an output. */
const SECRET = 'coordination-of-hunter2';

/** Pauses that tests do not wait for. */
const SHORT = { minBackoff: 1, maxBackoff: 5 };

/** Hooks that note what they are told, in its order. */
function notingHooks() {
  /** @type {[name: string, payload: any][]} */
  const told = [];
  const names = [
    ...['onConnect', 'onReconnect', 'onQueryStart', 'onQueryEnd', 'onQueryError', 'onQueryRetry'],
    ...['onHeartbeat', 'onHeartbeatFail', 'onReap', 'onSlowQuery', 'onClientDead'],
  ];
  const hooks = Object.fromEntries(
    names.map((name) => [name, (/** @type {any} */ payload) => void told.push([name, payload])]),
  );
  /** What one of them was told. @param {string} name */
  const toldTo = (name) => told.filter(([one]) => one === name).map(([, payload]) => payload);
  return { hooks, names, told, toldTo };
}

/**
 * A client of the file's cluster that ends with its test.
 * @param {import('node:test').TestContext} t
 * @param {any} db
 * @param {Record<string, unknown>} [options]
 */
function clientFor(t, db, options = {}) {
  const made = new ServerlessClient(db.options({ coordinationSecret: SECRET, ...SHORT, ...options }));
  t.after(() => made.end({ timeoutMs: 500 }));
  return made;
}

/**
 * A client over a pool that is none: its `query`, `transaction` and `begin` are given, and its options are kept.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 * @param {object} [methods]
 */
function overFakePool(t, options = {}, methods = {}) {
  const pool = Object.assign(new EventEmitter(), {
    inTransaction: false,
    status: () => ({ inUse: 0 }),
    outside: (/** @type {() => unknown} */ work) => work(),
    end: async () => {},
    // A pass of the reaper has ended, or none runs.
    [Symbol.for('hyperiondb-client.passed')]: async () => {},
    ...methods,
  });
  const createPool = t.mock.method(client, 'createPool', () => pool);
  try {
    const made = new ServerlessClient(/** @type {any} */ ({ coordinationSecret: SECRET, ...SHORT, ...options }));
    return { client: made, pool, given: /** @type {any} */ (createPool.mock.calls[0].arguments[0]) };
  } finally {
    createPool.mock.restore();
  }
}

/** What fails with each of `errors` in turn and returns `value` then. @param {unknown[]} errors @param {unknown} [value] */
function failing(errors, value = Object.assign([], { rowCount: 0, command: 'SELECT', fields: [] })) {
  const left = [...errors];
  const work = async () => {
    work.calls += 1;
    if (left.length > 0) throw left.shift();
    return value;
  };
  work.calls = 0;
  return work;
}

/** An error of the package. @param {string} name its class @param {string} code @param {object} [members] */
const errorOf = (name, code, members = {}) =>
  Object.assign(new /** @type {any} */ (client)[name](`${name} ${code}`, code), members);

/** Errors with which work may run again, and others. */
const NO_PRIMARY = () => errorOf('NoPrimaryError', 'ERR_NO_PRIMARY', { retryable: true, outcome: 'not-applied' });
const LOST = () => errorOf('ConnectionLostError', 'ERR_OUTCOME_UNKNOWN', { outcome: 'unknown' });
const SERIALIZATION = () => errorOf('DatabaseError', '40001', { retryable: true, outcome: 'not-applied' });

module.exports = {
  LOST,
  NO_PRIMARY,
  SECRET,
  SERIALIZATION,
  SHORT,
  clientFor,
  errorOf,
  failing,
  notingHooks,
  overFakePool,
};
