'use strict';

// The channels of node:diagnostics_channel: what is told of each kind of statement, when, and in whose context.

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { tracingChannel } = require('node:diagnostics_channel');
const { describe } = require('node:test');
const { failureOf, test, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

const EVENTS = /** @type {const} */ (['start', 'end', 'asyncStart', 'asyncEnd', 'error']);

/**
 * What a TracingChannel tells until the test ends, of one pool.
 * @param {import('node:test').TestContext} t
 * @param {string} name
 * @param {unknown} pool
 */
function listen(t, name, pool) {
  /** @type {{ event: string, message: any, known: any }[]} */
  const heard = [];
  const subscribers = Object.fromEntries(
    EVENTS.map((event) => [
      event,
      (/** @type {any} */ message) => {
        if (message.pool === pool) heard.push({ event, message, known: { ...message } });
      },
    ]),
  );
  tracingChannel(name).subscribe(/** @type {any} */ (subscribers));
  t.after(() => void tracingChannel(name).unsubscribe(/** @type {any} */ (subscribers)));
  return heard;
}

const SUCCESS = ['start', 'end', 'asyncStart', 'asyncEnd'];
const FAILURE = ['start', 'end', 'error', 'asyncStart', 'asyncEnd'];

describe('the channel hyperiondb:query', () => {
  /** @type {[string, (pool: any) => Promise<unknown>, Record<string, unknown>][]} */
  const SUCCESSES = [
    [
      'query',
      (pool) => pool.query('SELECT i FROM generate_series(1, $1::int) i', [3]),
      { operation: 'query', rowCount: 3 },
    ],
    ['sql', (pool) => pool.sql`SELECT ${1}::int AS one`, { operation: 'query', rowCount: 1 }],
    ['maybeOne', (pool) => pool.maybeOne('SELECT 1 WHERE false'), { operation: 'query', rowCount: 0 }],
    ['read', (pool) => pool.read('SELECT 1'), { operation: 'read', rowCount: 1 }],
    ['read.value', (pool) => pool.read.value('SELECT 1 AS one'), { operation: 'read', rowCount: 1 }],
    ['exec', (pool) => pool.exec('SELECT 1; SELECT generate_series(1, 4)'), { operation: 'exec', rowCount: 5 }],
  ];
  for (const [name, work, expected] of SUCCESSES) {
    test(`hyperiondb:query: ${name} that succeeds is told once, with node and rowCount before asyncStart`, async (t) => {
      const pool = db.pool(t);
      const heard = listen(t, 'hyperiondb:query', pool);
      await work(pool);
      assert.deepEqual(
        heard.map(({ event }) => event),
        SUCCESS,
      );
      const { operation, rowCount, node, error } = heard[2].known;
      assert.deepEqual({ operation, rowCount }, expected);
      assert.equal(node, db.cluster.primary().address);
      assert.equal(error, undefined);
      assert.ok(heard.every(({ message }) => message === heard[0].message));
    });
  }

  test('hyperiondb:query: a statement that fails has its error, and the node that answered', async (t) => {
    const pool = db.pool(t);
    const heard = listen(t, 'hyperiondb:query', pool);
    const error = await failureOf(pool.query('SELECT 1 / 0'));
    assert.deepEqual(
      heard.map(({ event }) => event),
      FAILURE,
    );
    assert.equal(heard[2].known.error, error);
    assert.equal(heard[2].known.node, db.cluster.primary().address);
    assert.equal(heard[2].known.rowCount, undefined);
  });

  test('hyperiondb:query: what a subscriber binds to start is the context of the statement, side by side and nested', async (t) => {
    const pool = db.pool(t);
    const storage = new AsyncLocalStorage();
    const { start } = tracingChannel('hyperiondb:query');
    start.bindStore(storage, (/** @type {any} */ message) => ({ of: message.sql, within: storage.getStore() }));
    t.after(() => void start.unbindStore(storage));
    /** @type {any[]} */
    const stores = [];
    const onEnd = (/** @type {any} */ message) =>
      message.pool === pool && stores.push([message.sql, storage.getStore()]);
    tracingChannel('hyperiondb:query').asyncEnd.subscribe(onEnd);
    t.after(() => void tracingChannel('hyperiondb:query').asyncEnd.unsubscribe(onEnd));
    await Promise.all(
      ['a', 'b'].map((name) => storage.run(name, () => pool.query(`SELECT 1 AS ${name}, pg_sleep(0.02)`))),
    );
    const byText = stores.sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(byText, [
      ['SELECT 1 AS a, pg_sleep(0.02)', { of: 'SELECT 1 AS a, pg_sleep(0.02)', within: 'a' }],
      ['SELECT 1 AS b, pg_sleep(0.02)', { of: 'SELECT 1 AS b, pg_sleep(0.02)', within: 'b' }],
    ]);
    assert.equal(storage.getStore(), undefined);
  });
});
