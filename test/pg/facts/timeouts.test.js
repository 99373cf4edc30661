'use strict';

// Limits of time: https://node-postgres.com/apis/client#new-client, and pg's own
// test/integration/client/{statement_timeout,query-timeout,idle_in_transaction_session_timeout}-tests.js.

const assert = require('node:assert/strict');
const { failureOf } = require('../../support/helpers.js');
const { called, emitted, fact } = require('../support.js');

/** @param {any} face @param {string} name @param {Record<string, unknown>} config */
async function settingOf(face, name, config) {
  const client = await face.client(config);
  return (await client.query(`SELECT current_setting('${name}') AS value`)).rows[0].value;
}

fact('statement_timeout: it is told the server in milliseconds', async (_t, face) => {
  assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: 3000 }), '3s');
  assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: 1500 }), '1500ms');
});

fact('statement_timeout: 0, false and none are no limit', async (_t, face) => {
  assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: 0 }), '0');
  assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: false }), '0');
  assert.equal(await settingOf(face, 'statement_timeout', {}), '0');
});

fact('statement_timeout: a fraction is cut off', async (_t, face) => {
  assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: 3000.7 }), '3s');
});

fact('statement_timeout: the server ends the statement with 57014, and the client goes on', async (_t, face) => {
  const client = await face.client({ statement_timeout: 50 });
  const error = await failureOf(client.query('SELECT pg_sleep(10)'));
  assert.deepEqual([error.code, error.message], ['57014', 'canceling statement due to statement timeout']);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('statement_timeout: a query with values, too', async (_t, face) => {
  const client = await face.client({ statement_timeout: 50 });
  assert.equal((await failureOf(client.query('SELECT pg_sleep($1)', [10]))).code, '57014');
});

fact('lock_timeout: it is told the server, which ends a wait with 55P03', async (_t, face) => {
  assert.equal(await settingOf(face, 'lock_timeout', { lock_timeout: 5000 }), '5s');
  const holder = await face.client();
  const waiter = await face.client({ lock_timeout: 50 });
  await holder.query('SELECT pg_advisory_lock(99)');
  assert.equal((await failureOf(waiter.query('SELECT pg_advisory_lock(99)'))).code, '55P03');
});

fact('idle_in_transaction_session_timeout: it is told the server', async (_t, face) => {
  const name = 'idle_in_transaction_session_timeout';
  assert.equal(await settingOf(face, name, { [name]: 3000 }), '3s');
  assert.equal(await settingOf(face, name, {}), '0');
});

fact('idle_in_transaction_session_timeout: the session ends with 25P03 as an error event', async (_t, face) => {
  const client = await face.client({ idle_in_transaction_session_timeout: 50 });
  /** @type {any[]} */
  const errors = [];
  client.on('error', (/** @type {any} */ error) => errors.push(error));
  const ended = emitted(client, 'end');
  await client.query('BEGIN');
  await ended;
  assert.equal(errors[0].code, '25P03');
});

fact('query_timeout: the query rejects with Query read timeout', async (_t, face) => {
  const client = await face.client({ query_timeout: 50 });
  const error = await failureOf(client.query('SELECT pg_sleep(0.4)'));
  assert.equal(error.message, 'Query read timeout');
});

fact('query_timeout: one in a connection string or in defaults holds for the queries of a pool', async (_t, face) => {
  const { host, port, user, password, database } = face.config;
  const connectionString = `postgres://${user}:${password}@${host}:${port}/${database}`;
  const slow = (/** @type {string} */ more) =>
    failureOf(face.pool({ connectionString: connectionString + more }).query('SELECT pg_sleep(0.4)'));
  assert.equal((await slow('?query_timeout=50')).message, 'Query read timeout');
  face.pg.defaults.query_timeout = 50;
  try {
    assert.equal((await slow('')).message, 'Query read timeout');
  } finally {
    face.pg.defaults.query_timeout = false;
  }
});

fact('query_timeout: a callback is called once, with the error', async (_t, face) => {
  const client = await face.client({ query_timeout: 50 });
  let calls = 0;
  const [error] = await called((callback) =>
    client.query('SELECT pg_sleep(0.3)', (/** @type {any[]} */ ...args) => {
      calls += 1;
      callback(...args);
    }),
  );
  assert.equal(error.message, 'Query read timeout');
  const next = await face.client();
  await next.query('SELECT pg_sleep(0.4)');
  assert.equal(calls, 1);
});

fact('query_timeout: that of a query comes before that of the client', async (_t, face) => {
  const client = await face.client({ query_timeout: 60_000 });
  const error = await failureOf(client.query({ text: 'SELECT pg_sleep(0.4)', query_timeout: 50 }));
  assert.equal(error.message, 'Query read timeout');
});

fact('query_timeout: a query that is quicker resolves', async (_t, face) => {
  const client = await face.client({ query_timeout: 10_000 });
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('query_timeout: a query that waits behind a slow one is limited, too', async (_t, face) => {
  const client = await face.client();
  const slow = client.query('SELECT pg_sleep(0.4)');
  const error = await failureOf(client.query({ text: 'SELECT 1', query_timeout: 50 }));
  assert.equal(error.message, 'Query read timeout');
  await slow;
});

fact('query_timeout: afterwards the client runs queries when the slow one has ended', async (_t, face) => {
  const client = await face.client();
  assert.equal(
    (await failureOf(client.query({ text: 'SELECT pg_sleep(0.3)', query_timeout: 50 }))).message,
    'Query read timeout',
  );
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('defaults: statement_timeout holds for clients that say nothing', async (_t, face) => {
  face.pg.defaults.statement_timeout = 4000;
  try {
    assert.equal(await settingOf(face, 'statement_timeout', {}), '4s');
    assert.equal(await settingOf(face, 'statement_timeout', { statement_timeout: 2000 }), '2s');
  } finally {
    face.pg.defaults.statement_timeout = false;
  }
});
