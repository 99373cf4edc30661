'use strict';

// What the face does with the sessions of its clients, where pg has sockets: what is cancelled, what is refused, what wrappers see.

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { inspect } = require('node:util');
const { ConnectionLostError } = require('../../client.js');
const { Client, Pool } = require('../../exports/pg/index.js');
const { failureOf, loginOf, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @returns {any} */
function poolFor(t, options) {
  const pool = /** @type {any} */ (new Pool({ ...loginOf(db.cluster), ...options }));
  t.after(() => (pool.ending ? undefined : pool.end()));
  return pool;
}

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @returns {Promise<any>} */
async function clientFor(t, options) {
  const client = /** @type {any} */ (new Client({ ...loginOf(db.cluster), ...options }));
  t.after(() => client.end());
  await client.connect();
  return client;
}

/** Whether the server still runs a statement with this word in its text. @param {string} word */
const runs = async (word) =>
  (await db.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1", [`%sleep%${word}%`]))
    .length > 0;

test('query_timeout: a pool gives up the client, and its statement is cancelled on the server', async (t) => {
  const pool = poolFor(t, { max: 1, query_timeout: 200 });
  const error = await failureOf(pool.query('SELECT pg_sleep(50) /* timed */'));
  assert.equal(error.message, 'Query read timeout');
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  await until('it is cancelled', async () => !(await runs('timed')));
});

test('end(): a statement that hangs is cancelled, and its caller is told', async (t) => {
  const client = await clientFor(t);
  const running = failureOf(client.query('SELECT pg_sleep(50) /* ended */'));
  const waiting = failureOf(client.query('SELECT 1'));
  await until('it runs', () => runs('ended'));
  await client.end();
  assert.equal((await running).message, 'Connection terminated');
  assert.equal((await waiting).message, 'Connection terminated');
  assert.equal(await runs('ended'), false);
});

test('end(): a statement that was sent just before is carried out', async (t) => {
  await db.sql('CREATE TABLE IF NOT EXISTS sent (n int)');
  const client = await clientFor(t);
  const sent = failureOf(client.query('INSERT INTO sent VALUES (1)'));
  await client.end();
  assert.equal((await sent).message, 'Connection terminated');
  assert.equal((await db.sql('SELECT n FROM sent')).length, 1);
});

test('connection.stream.destroy(): the session ends as if it were lost', async (t) => {
  const client = await clientFor(t);
  const pid = client.processID;
  /** @type {string[]} */
  const told = [];
  client.on('error', (/** @type {Error} */ { message }) => told.push(message));
  const ended = new Promise((resolve) => client.once('end', resolve));
  client.connection.stream.destroy();
  await ended;
  assert.deepEqual(told, ['Connection terminated unexpectedly']);
  await until(
    'the server has ended it',
    async () => (await db.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0,
  );
});

test('pool.query: what the server has decided about a statement is not run again', async (t) => {
  await db.sql('CREATE SEQUENCE IF NOT EXISTS attempts');
  const pool = poolFor(t);
  const text = `DO $$ BEGIN PERFORM nextval('attempts'); RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$`;
  assert.equal((await failureOf(pool.query(text))).code, '40001');
  const callback = await new Promise((resolve) => pool.query(text, resolve));
  assert.equal(callback.code, '40001');
  assert.deepEqual(await db.sql("SELECT nextval('attempts')::int AS next"), [{ next: 3 }]);
});

/**
 * A pool whose sessions refuse a statement with this word the first time, as if they had been lost before it was sent.
 * @param {import('node:test').TestContext} t
 * @param {string} word
 */
function refusingOnce(t, word) {
  const pool = poolFor(t, { max: 1 });
  let isRefused = false;
  pool.on('connect', (/** @type {any} */ { _session: session }) => {
    const { query } = session;
    session.query = (/** @type {any} */ flight, /** @type {any} */ options) => {
      if (isRefused || !flight.text.includes(word)) return query.call(session, flight, options);
      isRefused = true;
      const error = new /** @type {any} */ (ConnectionLostError)('lost before it was sent', 'ERR_CONNECTION_LOST');
      // Its place in the pool of the core is free then.
      const lost = session.close().then(() => Promise.reject(error));
      Object.assign(error, { outcome: 'not-applied', retryable: true });
      return lost;
    };
  });
  return pool;
}

for (const how of ['a promise', 'a callback']) {
  /** @param {any} pool @param {string} text @returns {Promise<any>} */
  const ask = (pool, text) =>
    how === 'a promise'
      ? pool.query(text)
      : new Promise((resolve, reject) => {
          pool.query(text, (/** @type {any} */ error, /** @type {any} */ result) =>
            error ? reject(error) : resolve(result),
          );
        });

  test(`pool.query with ${how}: what was certainly not applied runs again, but not outside of its transaction`, async (t) => {
    const alone = refusingOnce(t, 'again');
    assert.deepEqual((await ask(alone, "SELECT 'again' AS word")).rows, [{ word: 'again' }]);
    const begun = refusingOnce(t, 'again');
    await begun.query('BEGIN');
    const error = await failureOf(ask(begun, "SELECT 'again' AS word"));
    assert.deepEqual([error.message, error.outcome], ['Connection terminated unexpectedly', 'not-applied']);
  });
}

test('pool.query: wrappers of Client.prototype.query, of a client and of pool.connect are called', async (t) => {
  /** @type {string[]} */
  const seen = [];
  const { query } = Client.prototype;
  const wrapper = (/** @type {any[]} */ ...args) => seen.push(`query ${args[0].text ?? args[0]}`);
  Client.prototype.query = /** @type {any} */ (
    function (/** @type {any} */ ...args) {
      wrapper(...args);
      return /** @type {any} */ (query).apply(this, args);
    }
  );
  try {
    const pool = poolFor(t, { max: 1 });
    for (const n of [1, 2]) assert.deepEqual((await pool.query('SELECT $1::int AS n', [n])).rows, [{ n }]);
    assert.deepEqual(seen, ['query SELECT $1::int AS n', 'query SELECT $1::int AS n']);
  } finally {
    Client.prototype.query = query;
  }
  const pool = poolFor(t, { max: 1 });
  pool.on('connect', (/** @type {any} */ client) => {
    const own = client.query;
    client.query = (/** @type {any[]} */ ...args) => {
      seen.push('of the client');
      return own.apply(client, args);
    };
  });
  const { connect } = pool;
  for (const n of [1, 2]) assert.deepEqual((await pool.query('SELECT $1::int AS n', [n])).rows, [{ n }]);
  assert.equal(seen.filter((one) => one === 'of the client').length, 2);
  pool.connect = (/** @type {any[]} */ ...args) => {
    seen.push('connect');
    return connect.apply(pool, args);
  };
  await pool.query('SELECT 1');
  assert.equal(seen.includes('connect'), true);
});

test('errors: the stack leads to the caller, whichever way a query went', async (t) => {
  const pool = poolFor(t, { max: 1 });
  await pool.query('SELECT 1');
  const client = await clientFor(t);
  const callers = {
    async onAnIdleClient() {
      await pool.query('SELECT 1/0');
    },
    async onANewClient() {
      await pool.query('SELECT 1/0');
    },
    async behindAnother() {
      await Promise.all([pool.query('SELECT 1'), pool.query('SELECT 1/0')]);
    },
    async onAClient() {
      await client.query('SELECT 1/0');
    },
    async behindAnotherOfAClient() {
      await Promise.all([client.query('SELECT 1'), client.query('SELECT 1/0')]);
    },
  };
  for (const [name, call] of Object.entries(callers))
    assert.match((await failureOf(call())).stack, new RegExp(name), name);
});

test('context: callbacks of queries that wait for each other run in the contexts of their callers', async (t) => {
  const client = await clientFor(t);
  const storage = new AsyncLocalStorage();
  const stores = await Promise.all(
    [1, 2, 3].map((n) =>
      storage.run(n, () => new Promise((resolve) => client.query('SELECT 1', () => resolve(storage.getStore())))),
    ),
  );
  assert.deepEqual(stores, [1, 2, 3]);
});

test('options that only a client with a socket can take are refused by their name', async () => {
  for (const name of ['stream', 'connection']) {
    assert.throws(() => new Client({ [name]: {} }), { code: 'ERR_INVALID_OPTION', message: new RegExp(name) });
  }
  assert.throws(() => new Client({ replication: 'database' }), { code: 'ERR_INVALID_OPTION', message: /replication/ });
});

test('inspect: no client and no pool shows a password or a key', async (t) => {
  const { hosts, user, password, database } = db.cluster;
  const connectionString = `postgres://${user}:${password}@${hosts[0]}/${database}`;
  const pools = [poolFor(t), new Pool({ connectionString })];
  const clients = await Promise.all(pools.map((pool) => pool.connect()));
  const shown = inspect([clients, pools, await clientFor(t), new Client({ connectionString })], { depth: 20 });
  assert.equal(shown.includes(password), false);
  for (const client of clients) client.release();
  await pools[1].end();
});

test('pool.end(): the sessions are closed', async (t) => {
  const pool = poolFor(t, { application_name: 'closing' });
  await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
  await pool.end();
  // The server takes a moment to end the processes.
  const open = () => db.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'closing'");
  await until('the server has none', async () => (await open()).length === 0);
});
