'use strict';

// `outcome` and `retryable` of errors of the face: what the client knows of the transaction to which a lost statement belonged.

const assert = require('node:assert/strict');
const { Client } = require('../../exports/pg/index.js');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] */
async function connected(t, options) {
  const client = /** @type {any} */ (new Client(/** @type {any} */ (db.options(options))));
  client.on('error', () => {});
  t.after(() => client.end());
  await client.connect();
  return client;
}

/** The error of a text that sleeps for long and whose session is terminated in its course. @param {any} client @param {string} text */
async function lost(client, text) {
  const failure = failureOf(client.query(text));
  await until('it runs', async () => {
    const rows = await db.sql("SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [
      client.processID,
    ]);
    return rows.length === 1;
  });
  await db.sql('SELECT pg_terminate_backend($1)', [client.processID]);
  const { outcome, retryable } = await failure;
  return [outcome, retryable];
}

for (const [what, before, text, expected] of /** @type {const} */ ([
  ['a statement alone may have been applied', 'SELECT 1', 'SELECT pg_sleep(60)', ['unknown', false]],
  ['a statement of a transaction was not applied', 'BEGIN', 'SELECT pg_sleep(60)', ['not-applied', true]],
  ['a text with COMMIT may have been applied', 'BEGIN', 'COMMIT; SELECT pg_sleep(60)', ['unknown', false]],
  ['a text with ROLLBACK may have been applied', 'BEGIN', 'ROLLBACK; SELECT pg_sleep(60)', ['unknown', false]],
  ['a statement after a savepoint was not applied', 'BEGIN; SAVEPOINT s', 'SELECT pg_sleep(60)', ['not-applied', true]],
  ['a statement after COMMIT may have been applied', 'BEGIN; COMMIT', 'SELECT pg_sleep(60)', ['unknown', false]],
])) {
  test(`outcome: ${what} when its session is lost`, async (t) => {
    const client = await connected(t);
    await client.query(before);
    assert.deepEqual(await lost(client, text), expected);
  });
}

test('outcome: a pipelined statement may have been applied when its session is lost', async (t) => {
  const client = await connected(t, { pipeline: true });
  await client.query('BEGIN');
  assert.deepEqual(await lost(client, 'SELECT pg_sleep(60)'), ['unknown', false]);
});

test('outcome: a write in a transaction that is READ ONLY by its own wish is not retryable', async (t) => {
  const client = await connected(t);
  await client.query('BEGIN READ ONLY');
  const { code, outcome, retryable } = await failureOf(client.query('CREATE TABLE refused (n int)'));
  assert.deepEqual([code, outcome, retryable], ['25006', 'not-applied', false]);
});

test('outcome: a write in a transaction that a node without its role has begun is retryable', async (t) => {
  const client = await connected(t);
  const node = db.cluster.primary();
  await node.fence();
  t.after(() => node.unfence());
  // The session learns of it with an answer.
  await until('the session is told', async () => {
    const { rows } = await client.query('SHOW default_transaction_read_only');
    return rows[0].default_transaction_read_only === 'on';
  });
  await client.query('BEGIN');
  const { code, outcome, retryable } = await failureOf(client.query('CREATE TABLE refused (n int)'));
  assert.deepEqual([code, outcome, retryable], ['25006', 'not-applied', true]);
});
