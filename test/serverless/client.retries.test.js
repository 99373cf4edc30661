'use strict';

// ServerlessClient: what runs again, how often, and for how long. The pool is none: its failures are made up. With real failures it is
// tested in client.faults.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { ParameterError, PoolClosedError } = require('../../client.js');
const { failureOf, isPending, range, sleep, test } = require('../support/helpers.js');
const { LOST, NO_PRIMARY, SERIALIZATION, errorOf, failing, notingHooks, overFakePool } = require('./clients.js');

/** @typedef {import('node:test').TestContext} TestContext */

const UNDONE = { retryable: true, outcome: 'not-applied' };
const TIMED_OUT = { outcome: 'unknown' };

/**
 * Failures, and how often a statement is run that fails once so: declared readOnly or not.
 * @type {[title: string, error: () => unknown, runs: number, runsOfRead: number][]}
 */
const FAILURES = [
  ['no primary', NO_PRIMARY, 2, 2],
  ['no connection of the pool was free', () => errorOf('AcquireTimeoutError', 'ERR_ACQUIRE_TIMEOUT', UNDONE), 2, 2],
  ['the server has no connection left (53300)', () => errorOf('DatabaseError', '53300', UNDONE), 2, 2],
  ['a serialization failure', SERIALIZATION, 2, 2],
  ['a lease that was not renewed', () => errorOf('HyperionError', 'ERR_HEARTBEAT', UNDONE), 2, 2],
  [
    'a connection that was lost before the statement',
    () => errorOf('ConnectionLostError', 'ERR_CONNECTION_LOST', UNDONE),
    2,
    2,
  ],
  ['a lost reply', LOST, 1, 2],
  ['a lost connection of which nothing is known', () => errorOf('ConnectionLostError', 'ERR_CONNECTION_LOST'), 1, 2],
  ['a session ended by an administrator', () => errorOf('DatabaseError', '57P01', { outcome: 'unknown' }), 1, 2],
  ['a time limit that met silence', () => errorOf('QueryTimeoutError', '57014', TIMED_OUT), 1, 2],
  [
    'a time limit that met a slow statement',
    () => errorOf('QueryTimeoutError', '57014', { outcome: 'not-applied' }),
    1,
    1,
  ],
  ['statement_timeout', () => errorOf('DatabaseError', '57014', { outcome: 'not-applied' }), 1, 1],
  ['a constraint', () => errorOf('DatabaseError', '23505', { outcome: 'not-applied' }), 1, 1],
  ['a mistake in a parameter', () => new ParameterError('no'), 1, 1],
  ['a signal', () => errorOf('AbortError', 'ABORT_ERR', { outcome: 'unknown' }), 1, 1],
  ['the end of the pool', () => new PoolClosedError(), 1, 1],
  ['a wrong password', () => errorOf('HyperionError', 'ERR_AUTH'), 1, 1],
  ['an error of nobody', () => new Error('Connection terminated unexpectedly'), 1, 2],
];

describe('which failures', () => {
  for (const [title, error, ...runs] of FAILURES) {
    for (const [index, readOnly] of [undefined, true].entries()) {
      const expected = runs[index];
      test(`retries: after ${title} a ${readOnly ? 'read-only ' : ''}statement runs ${expected === 1 ? 'no more' : 'again'}`, async (t) => {
        const query = failing([error()]);
        const { client } = overFakePool(t, {}, { query });
        const running = client.query('SELECT 1', [], { readOnly });
        if (expected === 1) await failureOf(running);
        else await running;
        assert.equal(query.calls, expected);
      });
    }
  }

  test('retries: readOnly must be true, not something like it', async (t) => {
    const query = failing([LOST()]);
    const { client } = overFakePool(t, {}, { query });
    await failureOf(client.query('SELECT 1', [], /** @type {any} */ ({ readOnly: 1 })));
    assert.equal(query.calls, 1);
  });

  test('retries: a statement that joins a transaction never runs again alone, nor does a transaction in one begin again', async (t) => {
    const query = failing([SERIALIZATION()]);
    const transaction = failing([NO_PRIMARY()]);
    const { client } = overFakePool(t, {}, { query, transaction, inTransaction: true });
    assert.equal((await failureOf(client.query('SELECT 1', [], { readOnly: true }))).code, '40001');
    assert.equal((await failureOf(client.transaction(async () => {}))).code, 'ERR_NO_PRIMARY');
    assert.deepEqual([query.calls, transaction.calls], [1, 1]);
  });

  test('retries: a transaction begins again when no session was had, and after no other failure', async (t) => {
    const refused = Object.assign(new Error('of another system'), { code: 'ECONNREFUSED', syscall: 'connect' });
    for (const [error, runs] of /** @type {[unknown, number][]} */ ([
      [NO_PRIMARY(), 2],
      [SERIALIZATION(), 1],
      [LOST(), 1],
      [errorOf('AcquireTimeoutError', 'ERR_ACQUIRE_TIMEOUT', UNDONE), 1],
      [refused, 1],
    ])) {
      const transaction = failing([error], 'done');
      const { client } = overFakePool(t, {}, { transaction });
      const [ending] = await Promise.allSettled([client.transaction(async () => 'done')]);
      assert.deepEqual(
        [ending.status, transaction.calls],
        [runs === 1 ? 'rejected' : 'fulfilled', runs],
        String(error),
      );
    }
  });
});

describe('how often, and for how long', () => {
  for (const retries of [0, 1, 4]) {
    test(`retries: ${retries} means ${retries + 1} runs at most, and the last error as it came`, async (t) => {
      const errors = range(10).map(SERIALIZATION);
      const query = failing(errors);
      const { client } = overFakePool(t, { retries }, { query });
      assert.equal(await failureOf(client.query('SELECT 1')), errors[retries]);
      assert.equal(query.calls, retries + 1);
    });
  }

  test('retries: failures of both kinds count together', async (t) => {
    const errors = [NO_PRIMARY(), SERIALIZATION(), NO_PRIMARY(), SERIALIZATION()];
    const query = failing(errors);
    const { client } = overFakePool(t, { retries: 3 }, { query });
    assert.equal(await failureOf(client.query('SELECT 1')), errors[3]);
  });

  /** Which limit ends the retries of which failure. @type {[string, string, () => unknown][]} */
  const LIMITS = [
    ['maxConnectRetryTimeMs', 'no session', NO_PRIMARY],
    ['maxQueryRetryTimeMs', 'a serialization failure', SERIALIZATION],
    ['maxQueryRetryTimeMs', 'a lost connection', () => errorOf('ConnectionLostError', 'ERR_CONNECTION_LOST', UNDONE)],
    ['maxQueryRetryTimeMs', 'no free connection', () => errorOf('AcquireTimeoutError', 'ERR_ACQUIRE_TIMEOUT', UNDONE)],
  ];
  for (const [name, title, error] of LIMITS) {
    test(`retries: ${name} ends those after ${title}, and the other limit does not`, async (t) => {
      const limits = { maxConnectRetryTimeMs: 0, maxQueryRetryTimeMs: 0 };
      const limited = failing([error()]);
      const free = failing([error()]);
      const other = Object.keys(limits).find((one) => one !== name) ?? '';
      await failureOf(overFakePool(t, { [name]: 0 }, { query: limited }).client.query('SELECT 1'));
      await overFakePool(t, { [other]: 0 }, { query: free }).client.query('SELECT 1');
      assert.deepEqual([limited.calls, free.calls], [1, 2]);
    });
  }

  test('retries: the time of the attempts counts against the limit', async (t) => {
    let calls = 0;
    const query = async () => {
      calls += 1;
      await sleep(30);
      throw NO_PRIMARY();
    };
    const { client } = overFakePool(t, { retries: 1_000, maxConnectRetryTimeMs: 80 }, { query });
    const began = performance.now();
    await failureOf(client.query('SELECT 1'));
    assert.ok(performance.now() - began >= 80);
    assert.ok(calls > 1 && calls <= 4, `${calls} calls`);
  });

  test('retries: a signal ends the pause', async (t) => {
    const query = failing([SERIALIZATION()]);
    const { client } = overFakePool(t, { minBackoff: 3_600_000, maxBackoff: 3_600_000 }, { query });
    const controller = new AbortController();
    const running = client.query('SELECT 1', [], { signal: controller.signal });
    assert.equal(await isPending(running), true);
    controller.abort('over');
    const { code, cause } = await failureOf(running);
    assert.deepEqual([code, cause, query.calls], ['ABORT_ERR', 'over', 1]);
  });

  test('retries: connects at the same time are one', async (t) => {
    const begin = failing([NO_PRIMARY()], { rollback: async () => {} });
    const { hooks, toldTo } = notingHooks();
    const { client } = overFakePool(t, { hooks }, { begin });
    await Promise.all(range(5).map(() => client.connect()));
    assert.deepEqual([begin.calls, toldTo('onReconnect').length], [2, 1]);
    await client.connect();
    assert.equal(begin.calls, 3, 'a later one asks again');
  });

  test('retries: a connect that has failed does not spoil the next', async (t) => {
    const begin = failing([errorOf('HyperionError', 'ERR_AUTH')], { rollback: async () => {} });
    const { client } = overFakePool(t, {}, { begin });
    assert.equal((await failureOf(client.connect())).code, 'ERR_AUTH');
    await client.connect();
  });
});
