'use strict';

// The option pipeline: https://node-postgres.com/features/pipelining, and pg's own tests of it (pipeline-mode).

const assert = require('node:assert/strict');
const { failureOf } = require('../../support/helpers.js');
const { fact } = require('../support.js');

fact('pipeline: it is off unless it is asked for', async (_t, face) => {
  assert.equal(face.unconnected().pipeline, false);
  assert.equal(face.unconnected({ pipeline: true }).pipeline, true);
});

fact('pipeline: texts, values and names give their results in order', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const results = await Promise.all([
    client.query('SELECT 1 AS n'),
    client.query('SELECT $1::int AS n', [2]),
    client.query({ name: 'three', text: 'SELECT $1::int AS n', values: [3] }),
    client.query({ name: 'three', text: 'SELECT $1::int AS n', values: [4] }),
    client.query('SELECT 5 AS n; SELECT 6 AS n'),
  ]);
  assert.deepEqual(
    results.flat().map((/** @type {any} */ { rows }) => rows[0].n),
    [1, 2, 3, 4, 5, 6],
  );
});

fact('pipeline: an error is that of its query alone', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const settled = await Promise.allSettled([
    client.query('SELECT 1 AS num'),
    client.query('SELECT INVALID SYNTAX'),
    client.query('SELECT $1::int AS num', ['x']),
    client.query('SELECT 3 AS num'),
  ]);
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
});

fact('pipeline: two hundred queries at once', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  const results = await Promise.all(
    numbers.map((n) => client.query({ name: 'n', text: 'SELECT $1::int AS n', values: [n] })),
  );
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    numbers,
  );
});

fact('pipeline: end() waits for the queries that were sent', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const queries = [client.query('SELECT pg_sleep(0.1), 1 AS n'), client.query('SELECT 2 AS n')];
  const ended = client.end();
  const results = await Promise.all(queries);
  await ended;
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    [1, 2],
  );
});

fact('pipeline: a cursor is refused', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const error = await failureOf(client.query(new face.Cursor('SELECT 1')).read(1));
  assert.match(error.message, /not supported in pipeline mode/);
});

fact('pipeline: rows in pages are refused', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  const error = await failureOf(client.query({ text: 'SELECT 1', rows: 1 }));
  assert.match(error.message, /not supported in pipeline mode/);
});

fact('pipeline: a transaction by hand', async (_t, face) => {
  const client = await face.client({ pipeline: true });
  await Promise.all([
    client.query('CREATE TEMP TABLE piped (n int)'),
    client.query('BEGIN'),
    client.query('INSERT INTO piped VALUES ($1)', [1]),
    client.query('COMMIT'),
  ]);
  assert.deepEqual((await client.query('SELECT n FROM piped')).rows, [{ n: 1 }]);
});
