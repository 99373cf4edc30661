'use strict';

// Several statements in one text, and texts without a statement: pg's own
// test/integration/client/{multiple-results,empty-query,no-data,no-row-result}-tests.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { failureOf } = require('../../support/helpers.js');
const { called, fact } = require('../support.js');

fact('statements: two give an array of two Results', async (_t, face) => {
  const client = await face.client();
  const results = await client.query("SELECT 'foo'::text AS name; SELECT 'bar'::text AS baz");
  assert.ok(Array.isArray(results));
  assert.ok(results.every((result) => result instanceof face.pg.Result));
  assert.deepEqual(
    results.map(({ rows }) => rows),
    [[{ name: 'foo' }], [{ baz: 'bar' }]],
  );
});

fact('statements: each Result has its fields, its command and its rowCount', async (_t, face) => {
  const client = await face.client();
  const results = await client.query(
    'CREATE TEMP TABLE several (n int); INSERT INTO several VALUES (1), (2); SELECT n AS m FROM several ORDER BY n; DELETE FROM several',
  );
  assert.deepEqual(
    results.map(({ command, rowCount, rows, fields }) => [command, rowCount, rows, fields.map(({ name }) => name)]),
    [
      ['CREATE', null, [], []],
      ['INSERT', 2, [], []],
      ['SELECT', 2, [{ m: 1 }, { m: 2 }], ['m']],
      ['DELETE', 2, [], []],
    ],
  );
});

fact('statements: one with a semicolon at its end gives one Result', async (_t, face) => {
  const client = await face.client();
  const result = await client.query('SELECT 1 AS one;');
  assert.equal(Array.isArray(result), false);
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('statements: empty ones between others do not count', async (_t, face) => {
  const client = await face.client();
  const results = await client.query('SELECT 1 AS n;; ;SELECT 2 AS n;');
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    [1, 2],
  );
});

fact('statements: a callback gets the array', async (_t, face) => {
  const client = await face.client();
  const [error, results] = await called((callback) => client.query('SELECT 1 AS n; SELECT 2 AS n', callback));
  assert.equal(error, null);
  assert.equal(results.length, 2);
});

fact('statements: a Query emits the rows of all, and end with the array', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query('SELECT 1 AS n; SELECT 2 AS n'));
  /** @type {any[]} */
  const rows = [];
  query.on('row', (/** @type {any} */ row) => rows.push(row.n));
  const [results] = await once(query, 'end');
  assert.deepEqual(rows, [1, 2]);
  assert.equal(results.length, 2);
});

fact('statements: rowMode array holds for all', async (_t, face) => {
  const client = await face.client();
  const results = await client.query({ text: 'SELECT 1, 2; SELECT 3, 4', rowMode: 'array' });
  assert.deepEqual(
    results.map(({ rows }) => rows),
    [[[1, 2]], [[3, 4]]],
  );
});

fact('statements: an error in the middle rejects, and there are no Results', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT 1; SELECT 1 / 0; SELECT 3'));
  assert.equal(error.code, '22012');
});

/** What a Query emits that fails in its second statement. @param {any} face */
async function emittedBeforeError(face) {
  const client = await face.client();
  /** @type {any[]} */
  const rows = [];
  const query = client.query(new face.pg.Query('SELECT 1 AS n; SELECT 1 / 0'));
  query.on('row', (/** @type {any} */ row) => rows.push(row));
  const [error] = await once(query, 'error');
  return [rows, error.code];
}

fact(
  'statements: a Query emits the rows of those before an error, then the error',
  async (_t, face) => assert.deepEqual(await emittedBeforeError(face), [[{ n: 1 }], '22012']),
  {
    differs: {
      reason:
        'The rows of several statements in one text are emitted by a `Query` when all have ended; when one fails, there is `error` alone.',
      test: async (_t, face) => assert.deepEqual(await emittedBeforeError(face), [[], '22012']),
    },
  },
);

fact('statements: an error in the middle undoes those before it', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE undone (n int)');
  await failureOf(client.query('INSERT INTO undone VALUES (1); SELECT 1 / 0; INSERT INTO undone VALUES (2)'));
  assert.deepEqual((await client.query('SELECT n FROM undone')).rows, []);
});

fact('statements: what was committed before an error in the middle stays', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE kept (n int)');
  await failureOf(client.query('BEGIN; INSERT INTO kept VALUES (1); COMMIT; SELECT 1 / 0'));
  assert.deepEqual((await client.query('SELECT n FROM kept')).rows, [{ n: 1 }]);
});

fact('statements: a syntax error in one runs none', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE none (n int)');
  const error = await failureOf(client.query('INSERT INTO none VALUES (1); COMMIT; SELEKT'));
  assert.equal(error.code, '42601');
  assert.deepEqual((await client.query('SELECT n FROM none')).rows, []);
});

fact('statements: with values several are refused with 42601', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::int; SELECT 2', [1]));
  assert.equal(error.code, '42601');
  assert.equal(error.message, 'cannot insert multiple commands into a prepared statement');
});

fact('statements: an empty array of values does not forbid several', async (_t, face) => {
  const client = await face.client();
  assert.equal((await client.query('SELECT 1; SELECT 2', [])).length, 2);
});

fact('statements: with a name several are refused with 42601', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query({ name: 'two', text: 'SELECT 1; SELECT 2' }));
  assert.equal(error.code, '42601');
});

fact('statements: queryMode extended forbids several', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query({ text: 'SELECT 1; SELECT 2', queryMode: 'extended' }));
  assert.equal(error.code, '42601');
  assert.deepEqual((await client.query({ text: 'SELECT 1 AS one', queryMode: 'extended' })).rows, [{ one: 1 }]);
});

fact('empty: an empty text resolves to a Result of nothing', async (_t, face) => {
  const client = await face.client();
  const { command, rowCount, rows, fields } = await client.query('');
  assert.deepEqual({ command, rowCount, rows, fields }, { command: null, rowCount: null, rows: [], fields: [] });
});

fact('empty: a text of a semicolon or a comment resolves to a Result of nothing', async (_t, face) => {
  const client = await face.client();
  for (const text of [';', '-- nothing', '/* nothing */ ;', '  \n\t ']) {
    const { command, rows } = await client.query(text);
    assert.deepEqual([text, command, rows], [text, null, []]);
  }
});

fact('empty: an empty text with an empty array of values', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query('', [])).rows, []);
});

fact('empty: a Query of an empty text emits end', async (_t, face) => {
  const client = await face.client();
  const [result] = await once(client.query(new face.pg.Query('')), 'end');
  assert.deepEqual(result.rows, []);
});

fact('empty: an empty text with a name', async (_t, face) => {
  const client = await face.client();
  const { command, rows } = await client.query({ name: 'nothing', text: '', values: [] });
  assert.deepEqual([command, rows], [null, []]);
});

fact('empty: a comment with values is a bind error', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query('-- nothing', [1]))).code, '08P01');
});

fact('no rows: a statement without columns has rows that are empty', async (_t, face) => {
  const client = await face.client();
  const { rows, fields, rowCount } = await client.query('SELECT FROM generate_series(1, 2)');
  assert.deepEqual({ rows, fields, rowCount }, { rows: [{}, {}], fields: [], rowCount: 2 });
});

fact('no rows: a SELECT that finds none has its fields', async (_t, face) => {
  const client = await face.client();
  const { rows, fields, rowCount } = await client.query('SELECT 1 AS one WHERE false');
  assert.deepEqual([rows, fields[0].name, rowCount], [[], 'one', 0]);
});

fact('no rows: an INSERT with values has none', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE inserted (n int)');
  const { rows, fields, rowCount, command } = await client.query('INSERT INTO inserted VALUES ($1)', [1]);
  assert.deepEqual([rows, fields, rowCount, command], [[], [], 1, 'INSERT']);
});

fact('copy: COPY FROM STDIN in query() fails, and says that it has no source', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE copied (n int)');
  const error = await failureOf(client.query('COPY copied FROM STDIN'));
  assert.equal(error.code, '57014');
  assert.equal(error.message, 'COPY from stdin failed: No source stream defined');
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('copy: COPY TO STDOUT in query() resolves with the count and without the rows', async (_t, face) => {
  const client = await face.client();
  const { command, rowCount, rows } = await client.query('COPY (SELECT generate_series(1, 3)) TO STDOUT');
  assert.deepEqual([command, rowCount, rows], ['COPY', 3, []]);
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});
