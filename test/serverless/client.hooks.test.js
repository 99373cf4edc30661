'use strict';

// ServerlessClient: which hook is called when, what it is told, and that it changes nothing. The pool is none.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { ConnectionLostError, HyperionError } = require('../../client.js');
const { failureOf, sleep, test } = require('../support/helpers.js');
const { LOST, NO_PRIMARY, SERIALIZATION, errorOf, failing, notingHooks, overFakePool } = require('./clients.js');

const NODE = 'db1:5432';
const FAILURE = new HyperionError('no answer', 'ERR_CONNECTION_LOST');

/** Details of the pool's event `lease`, the hook that is called and what it is told; null: none. @type {[any, string | null, any?][]} */
const EVENTS = [
  [{ type: 'connect', node: NODE }, 'onConnect', { node: NODE }],
  [{ type: 'connect', node: NODE, refused: true }, 'onConnect', { node: NODE }],
  [{ type: 'heartbeat', node: NODE }, 'onHeartbeat', { node: NODE }],
  [{ type: 'heartbeat-failed', node: NODE, error: FAILURE }, 'onHeartbeatFail', { err: FAILURE }],
  [
    { type: 'dead', node: NODE, reason: '', sqlstate: null },
    'onClientDead',
    { source: 'end', meta: { sqlstate: null } },
  ],
  [{ type: 'thaw', node: NODE }, null],
  [{ type: 'of a later version', node: NODE }, null],
  [{ type: 'reap', locked: true, killed: 2, durationMs: 3 }, 'onReap', { locked: true, killed: 2, durationMs: 3 }],
  [
    { type: 'reap', locked: false, killed: 0, durationMs: 1, error: FAILURE },
    'onReap',
    { locked: false, killed: 0, durationMs: 1, err: FAILURE },
  ],
];

describe('hooks of sessions and leases', () => {
  for (const [detail, name, payload] of EVENTS) {
    test(`hooks: ${JSON.stringify(detail)} is told to ${name ?? 'none'}`, (t) => {
      const { hooks, told } = notingHooks();
      overFakePool(t, { hooks }).pool.emit('lease', detail);
      assert.deepEqual(told, name === null ? [] : [[name, payload]]);
    });
  }

  test('hooks: onSlowQuery is told what the pool tells of a slow statement', (t) => {
    const { hooks, told } = notingHooks();
    const event = { sql: 'SELECT 1', durationMs: 5 };
    overFakePool(t, { hooks }).pool.emit('slow', event);
    assert.deepEqual(told, [['onSlowQuery', event]]);
  });

  test('hooks: onClientDead has the reason as an error, and the SQLSTATE', (t) => {
    const { hooks, toldTo } = notingHooks();
    const { pool } = overFakePool(t, { hooks });
    pool.emit('lease', { type: 'dead', node: NODE, reason: 'terminated by an administrator', sqlstate: '57P01' });
    const [{ source, err, meta }] = toldTo('onClientDead');
    assert.deepEqual([source, meta], ['error', { sqlstate: '57P01' }]);
    assert.ok(err instanceof ConnectionLostError);
    assert.deepEqual([err.code, err.message], ['ERR_CONNECTION_LOST', 'terminated by an administrator']);
  });

  test('hooks: a client without hooks is told of everything, too', (t) => {
    const { pool } = overFakePool(t);
    for (const [detail] of EVENTS) pool.emit('lease', detail);
  });
});

describe('hooks of queries', () => {
  test('hooks: a query that succeeds is told to onQueryStart and onQueryEnd', async (t) => {
    const { hooks, told } = notingHooks();
    const { client } = overFakePool(t, { hooks }, { query: failing([]) });
    const before = Date.now();
    await client.query('SELECT 1');
    assert.deepEqual(told, [
      ['onQueryStart', { startedAt: told[0][1].startedAt }],
      ['onQueryEnd', { duration: told[1][1].duration }],
    ]);
    assert.ok(told[0][1].startedAt >= before && told[0][1].startedAt <= Date.now());
    assert.ok(told[1][1].duration >= 0);
  });

  test('hooks: a query that fails is told to onQueryStart and onQueryError, with its error', async (t) => {
    const { hooks, told } = notingHooks();
    const error = errorOf('DatabaseError', '23505');
    const { client } = overFakePool(t, { hooks }, { query: failing([error]) });
    assert.equal(await failureOf(client.query('INSERT')), error);
    assert.deepEqual(told.slice(1), [['onQueryError', { err: error, duration: told[1][1].duration }]]);
    assert.deepEqual(
      told.map(([name]) => name),
      ['onQueryStart', 'onQueryError'],
    );
  });

  test('hooks: each retry of a query is told, before its pause, by what has failed', async (t) => {
    const { hooks, told } = notingHooks();
    t.mock.method(Math, 'random', () => 1);
    const errors = [NO_PRIMARY(), SERIALIZATION(), LOST()];
    const { client } = overFakePool(t, { hooks, minBackoff: 1, maxBackoff: 4 }, { query: failing(errors) });
    await client.query('SELECT 1', [], { readOnly: true });
    assert.deepEqual(told.slice(1, -1), [
      ['onReconnect', { retries: 1, delay: 3, err: errors[0] }],
      ['onQueryRetry', { retries: 2, delay: 4, err: errors[1] }],
      ['onQueryRetry', { retries: 3, delay: 4, err: errors[2] }],
    ]);
    assert.deepEqual([told[0][0], told.at(-1)?.[0]], ['onQueryStart', 'onQueryEnd']);
  });

  test('hooks: connect() and transaction() tell onReconnect, and no hook of queries', async (t) => {
    const { hooks, told } = notingHooks();
    const tx = { rollback: async () => {} };
    const methods = { begin: failing([NO_PRIMARY()], tx), transaction: failing([NO_PRIMARY()], 'done') };
    const { client } = overFakePool(t, { hooks }, methods);
    await client.connect();
    assert.equal(await client.transaction(async () => 'done'), 'done');
    assert.deepEqual(
      told.map(([name, { retries }]) => [name, retries]),
      [
        ['onReconnect', 1],
        ['onReconnect', 1],
      ],
    );
  });
});

describe('hooks that fail', () => {
  /** @type {Record<string, () => unknown>} */
  const WAYS = {
    throw: () => {
      throw new Error('of a hook');
    },
    'throw nothing': () => {
      throw undefined;
    },
    'reject later': async () => {
      await sleep(1);
      throw new Error('of a hook');
    },
    'return a thenable that rejects': () => ({
      // biome-ignore lint/suspicious/noThenProperty: what some libraries return
      then: (/** @type {unknown} */ _, /** @type {(error: Error) => void} */ reject) => reject(new Error('of a hook')),
    }),
    'return an object whose `then` throws': () => ({
      // biome-ignore lint/suspicious/noThenProperty: what some libraries return
      get then() {
        throw new Error('of a hook');
      },
    }),
    'never end': () => new Promise(() => {}),
  };
  for (const [how, hook] of Object.entries(WAYS)) {
    test(`hooks that ${how} change nothing`, async (t) => {
      const { names } = notingHooks();
      let calls = 0;
      const failingHook = () => {
        calls += 1;
        return hook();
      };
      const hooks = Object.fromEntries(names.map((name) => [name, failingHook]));
      const query = failing([NO_PRIMARY(), SERIALIZATION()]);
      const { client, pool } = overFakePool(t, { hooks }, { query });
      await client.query('SELECT 1');
      for (const [detail] of EVENTS) pool.emit('lease', detail);
      await failureOf(overFakePool(t, { hooks, retries: 0 }, { query: failing([LOST()]) }).client.query('SELECT 1'));
      // An unhandled rejection would end the test here.
      await sleep(10);
      assert.equal(calls, 4 + 7 + 2);
    });
  }
});
