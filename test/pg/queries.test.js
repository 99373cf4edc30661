'use strict';

// Queries that cannot be sent, and queries whose session is lost before they are: each has an answer, and its client goes on.

const assert = require('node:assert/strict');
const { Client, Cursor, Pool } = require('../../exports/pg/index.js');
const { failureOf, named, range, sleep, test, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1, synchronous: false });
const END_MYSELF = 'SELECT pg_terminate_backend(pg_backend_pid())';

const configOf = () => {
  const { hosts, user, password, database } = db.cluster;
  return { host: hosts.join(), user, password, database };
};

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [more] */
function poolOf(t, more) {
  const pool = /** @type {any} */ (new Pool({ ...configOf(), ...more }));
  t.after(() => (pool.ending ? undefined : pool.end()));
  return pool;
}

/** @param {import('node:test').TestContext} t */
async function clientOf(t) {
  const client = /** @type {any} */ (new Client(configOf()));
  await client.connect();
  t.after(() => client.end());
  return client;
}

for (const [what, config, expected] of /** @type {const} */ ([
  ['a text with a NUL character', 'SELECT \0', { code: 'ERR_INVALID_PARAM' }],
  ['a named text with a NUL character', { name: 'nul', text: 'SELECT \0' }, { code: 'ERR_INVALID_PARAM' }],
  ['a name with a NUL character', { name: 'a\0b', text: 'SELECT 1' }, { message: /./ }],
  ['a name that is an object', { name: {}, text: 'SELECT 1' }, { message: 'the name of a query must be a string' }],
])) {
  test(`client.query: ${what} is rejected, and the client goes on`, async (t) => {
    const client = await clientOf(t);
    await assert.rejects(client.query(config), expected);
    assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
    const pool = poolOf(t, { max: 1 });
    await assert.rejects(pool.query(config), expected);
    assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  });
}

test('query: half a character is sent as U+FFFD, in values, texts, names and cursors', async (t) => {
  const client = await clientOf(t);
  const sent = 'a\ud83d';
  const got = { value: 'a\ufffd' };
  assert.deepEqual((await client.query('SELECT $1::text AS value', [sent])).rows, [got]);
  assert.deepEqual((await client.query('SELECT $1::text[] AS value', [[sent]])).rows, [{ value: ['a\ufffd'] }]);
  assert.deepEqual((await client.query(`SELECT '${sent}' AS value`)).rows, [got]);
  const config = { name: sent, text: `SELECT '${sent}' AS value` };
  for (const _ of range(2)) assert.deepEqual((await client.query(config)).rows, [got]);
  const cursor = client.query(new Cursor('SELECT $1::text AS value', [sent]));
  assert.deepEqual(await cursor.read(2), [got]);
  await cursor.close();
});

for (const [option, hook] of /** @type {const} */ ([
  ['onConnect', (/** @type {any} */ end) => end],
  [
    'verify',
    (/** @type {any} */ end) => (/** @type {any} */ client, /** @type {() => void} */ done) => end(client).then(done),
  ],
])) {
  test(`pool.query: a client whose session ends in ${option} is not waited for, and another one is taken`, async (t) => {
    let calls = 0;
    const end = async (/** @type {any} */ client) => {
      if (++calls > 1) return;
      await client.query(END_MYSELF).catch(() => {});
      await sleep(50);
    };
    const pool = poolOf(t, { max: 1, [option]: hook(end) });
    assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
    assert.equal(calls, 2);
    assert.equal(pool.totalCount, 1);
  });
}

test('pool.query: a client that the program has ended is refused, as by pg, and not tried again', async (t) => {
  const pool = poolOf(t, { max: 1 });
  let count = 0;
  pool.on('connect', (/** @type {any} */ client) => {
    count++;
    client.end();
  });
  for (const args of [['SELECT 1'], ['SELECT $1::int', [1]]]) {
    await assert.rejects(pool.query(...args), { message: 'Client was closed and is not queryable' });
  }
  assert.equal(count, 2);
});

test('client.query: what waited when the session was lost is said to be not applied', async (t) => {
  const client = /** @type {any} */ (new Client(configOf()));
  await client.connect();
  t.after(() => client.end());
  const [running, waiting] = await Promise.allSettled([client.query(END_MYSELF), client.query('SELECT 1')]);
  const later = await failureOf(client.query('SELECT 1'));
  assert.equal(running.status, 'rejected');
  assert.equal(waiting.status, 'rejected');
  for (const error of [/** @type {any} */ (waiting).reason, later]) {
    assert.deepEqual([error.outcome, error.retryable], ['not-applied', true], String(error));
  }
  assert.deepEqual(Object.keys(later), []);
});

test('pool.query with a callback: each failure says whether the statement was applied', async (t) => {
  const name = named('pg-outcome');
  const pool = poolOf(t, { max: 6, application_name: name });
  let isOver = false;
  /** @type {any[]} */
  const failures = [];
  const query = () =>
    new Promise((resolve) => {
      pool.query('SELECT $1::int', [1], (/** @type {any} */ error) => resolve(error && failures.push(error)));
    });
  const working = range(12).map(async () => {
    while (!isOver) await query();
  });
  for (const _ of range(60)) {
    await db.sql(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND random() < 0.5',
      [name],
    );
    await sleep(5);
  }
  isOver = true;
  await Promise.all(working);
  assert.deepEqual(
    failures.filter(({ outcome }) => outcome === undefined).map(String),
    [],
    `of ${failures.length} failures`,
  );
});

test('query_timeout: what was sent may have been applied, and what waited was not', async (t) => {
  const client = await clientOf(t);
  const text = 'SELECT pg_sleep(0.4)';
  const failures = await Promise.all(range(2).map(() => failureOf(client.query({ text, query_timeout: 100 }))));
  assert.deepEqual(
    failures.map(({ message, outcome, retryable }) => [message, outcome, retryable]),
    [
      ['Query read timeout', 'unknown', false],
      ['Query read timeout', 'not-applied', false],
    ],
  );
});
