'use strict';

// pool.query(): its forms, its errors, and what it does with the clients.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { range } = require('../../support/helpers.js');

/** @param {any} pool @param {any[]} args @returns {Promise<{ error: any, result: any }>} */
const calledBack = (pool, ...args) =>
  new Promise((resolve) => {
    pool.query(...args, (/** @type {any} */ error, /** @type {any} */ result) => resolve({ error, result }));
  });

fact('pool.query: a text resolves to a Result', async (_t, face) => {
  const result = await face.pool().query("SELECT 'brianc' AS name");
  assert.ok(result instanceof face.pg.Result);
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
  assert.deepEqual([result.command, result.rowCount], ['SELECT', 1]);
});

fact('pool.query: a text with values', async (_t, face) => {
  assert.deepEqual((await face.pool().query('SELECT $1::text AS name', ['brianc'])).rows, [{ name: 'brianc' }]);
});

fact('pool.query: an object with text and values', async (_t, face) => {
  const { rows } = await face.pool().query({ text: 'SELECT $1::text AS name', values: ['brianc'] });
  assert.deepEqual(rows, [{ name: 'brianc' }]);
});

fact('pool.query: an object with text, and values beside it', async (_t, face) => {
  assert.deepEqual((await face.pool().query({ text: 'SELECT $1::text AS name' }, ['brianc'])).rows, [
    { name: 'brianc' },
  ]);
});

fact('pool.query: an object with rowMode array', async (_t, face) => {
  assert.deepEqual((await face.pool().query({ text: 'SELECT 1 AS a, 2 AS a', rowMode: 'array' })).rows, [[1, 2]]);
});

fact('pool.query: an object with types of its own', async (_t, face) => {
  const types = { getTypeParser: () => (/** @type {string} */ text) => `<${text}>` };
  assert.deepEqual((await face.pool().query({ text: 'SELECT 1 AS a', types })).rows, [{ a: '<1>' }]);
});

fact('pool.query: a named statement is parsed once a session, and answers each time', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const config = { name: 'of the pool', text: 'SELECT $1::int AS n' };
  for (const n of range(3)) assert.deepEqual((await pool.query({ ...config, values: [n] })).rows, [{ n }]);
  const { rows } = await pool.query("SELECT count(*)::int AS n FROM pg_prepared_statements WHERE name = 'of the pool'");
  assert.deepEqual(rows, [{ n: 1 }]);
});

fact('pool.query: a text and a callback', async (_t, face) => {
  const { error, result } = await calledBack(face.pool(), 'SELECT 1 AS one');
  assert.ok(!error);
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('pool.query: a text, values and a callback', async (_t, face) => {
  const { error, result } = await calledBack(face.pool(), 'SELECT $1::text AS name', ['brianc']);
  assert.ok(!error);
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
});

fact('pool.query: an object and a callback', async (_t, face) => {
  const { result } = await calledBack(face.pool(), { text: 'SELECT $1::int AS n', values: [4] });
  assert.deepEqual(result.rows, [{ n: 4 }]);
});

fact('pool.query: with a callback it returns nothing', async (_t, face) => {
  const pool = face.pool();
  await new Promise((resolve) => {
    assert.equal(pool.query('SELECT 1', resolve), undefined);
  });
});

fact('pool.query: an error of the server comes to the callback, without a result', async (_t, face) => {
  const { error, result } = await calledBack(face.pool(), 'SELECT wrong');
  assert.ok(error instanceof face.pg.DatabaseError);
  assert.equal(error.code, '42703');
  assert.equal(result, undefined);
});

fact('pool.query: an error of the server rejects with a DatabaseError and its fields', async (_t, face) => {
  const error = await face
    .pool()
    .query('SELECT wrong')
    .catch((/** @type {any} */ reason) => reason);
  assert.ok(error instanceof face.pg.DatabaseError);
  const { message, code, severity, position } = error;
  assert.deepEqual(
    { message, code, severity, position },
    { message: 'column "wrong" does not exist', code: '42703', severity: 'ERROR', position: '8' },
  );
});

fact('pool.query: the stack of an error leads to the code that called', async (_t, face) => {
  const pool = face.pool();
  async function theCaller() {
    await pool.query('SELECT wrong');
  }
  const error = await theCaller().catch((reason) => reason);
  assert.match(error.stack, /theCaller/);
});

fact('pool.query: a function as its first argument is an error', async (_t, face) => {
  const error = await new Promise((resolve) => {
    face.pool().query(resolve);
  });
  assert.equal(error.message, 'Passing a function as the first parameter to pool.query is not supported');
});

for (const nothing of [undefined, null]) {
  fact(`pool.query: ${nothing} as its text rejects with a TypeError`, async (_t, face) => {
    await assert.rejects(face.pool().query(nothing), {
      name: 'TypeError',
      message: 'Client was passed a null or undefined query',
    });
  });
}

fact('pool.query: the client is released before the callback is called', async (_t, face) => {
  const pool = face.pool();
  await new Promise((resolve) => {
    pool.query('SELECT 1', () => {
      resolve([pool.totalCount, pool.idleCount]);
    });
  }).then((counts) => assert.deepEqual(counts, [1, 1]));
});

fact('pool.query: a statement that fails costs the pool its client', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const {
    rows: [{ pid }],
  } = await pool.query('SELECT pg_backend_pid() AS pid');
  await assert.rejects(pool.query('SELECT wrong'));
  assert.equal(pool.idleCount, 0);
  assert.notEqual((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid, pid);
});

fact('pool.query: twenty errors later the pool of one client works', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  for (const _ of range(20)) await assert.rejects(pool.query('invalid sql'), { code: '42601' });
  assert.deepEqual((await pool.query('SELECT $1::text AS name', ['brianc'])).rows, [{ name: 'brianc' }]);
});

fact('pool.query: calls side by side use at most max sessions, and each gets its own answer', async (_t, face) => {
  const pool = face.pool({ max: 3 });
  const results = await Promise.all(
    range(30).map((n) => pool.query('SELECT $1::int AS n, pg_backend_pid() AS pid', [n])),
  );
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    range(30),
  );
  assert.equal(new Set(results.map(({ rows }) => rows[0].pid)).size, 3);
});

fact('pool.query: calls wait for a client, and waitingCount counts them', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const calls = range(4).map(() => pool.query('SELECT 1'));
  assert.equal(pool.waitingCount, 3);
  await Promise.all(calls);
  assert.equal(pool.waitingCount, 0);
});

fact('pool.query: several statements in one text give an array of Results', async (_t, face) => {
  const results = await face.pool().query('SELECT 1 AS a; SELECT 2 AS b, 3 AS c');
  assert.deepEqual(
    results.map((/** @type {any} */ { rows }) => rows),
    [[{ a: 1 }], [{ b: 2, c: 3 }]],
  );
});

fact('pool.query: several statements in one text are one transaction', async (_t, face) => {
  const pool = face.pool();
  await pool.query('DROP TABLE IF EXISTS together; CREATE TABLE together (n int)');
  await assert.rejects(pool.query('INSERT INTO together VALUES (1); SELECT 1 / 0'), { code: '22012' });
  assert.equal((await pool.query('SELECT count(*) FROM together')).rows[0].count, '0');
});

fact('pool.query: a Query resolves to its Result', async (_t, face) => {
  const { rows } = await face.pool().query(new face.pg.Query('SELECT $1::text AS name', ['brianc']));
  assert.deepEqual(rows, [{ name: 'brianc' }]);
});

fact('pool.query: a Query emits its rows, too', async (_t, face) => {
  const query = new face.pg.Query('SELECT generate_series(1, 3) AS n');
  /** @type {any[]} */
  const rows = [];
  query.on('row', (/** @type {any} */ row) => rows.push(row));
  await face.pool().query(query);
  assert.deepEqual(rows, [{ n: 1 }, { n: 2 }, { n: 3 }]);
});

fact('pool.query: a Query that fails rejects, and costs the pool its client', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  await assert.rejects(pool.query(new face.pg.Query('SELECT wrong')), { code: '42703' });
  assert.equal(pool.idleCount, 0);
});

fact('pool.query: a QueryStream is read, and its client comes back', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const stream = new face.QueryStream('SELECT generate_series(1, 500)::int AS n');
  const whole = pool.query(stream);
  let sum = 0;
  for await (const { n } of stream) sum += n;
  await whole;
  assert.equal(sum, 125_250);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool.query: query_timeout of the pool ends the wait for an answer', async (_t, face) => {
  const pool = face.pool({ query_timeout: 100 });
  await assert.rejects(pool.query('SELECT pg_sleep(30)'), { message: 'Query read timeout' });
  assert.equal(pool.idleCount, 0);
});

fact('pool.query: statement_timeout of the pool lets the server end a statement', async (_t, face) => {
  const pool = face.pool({ statement_timeout: 100 });
  await assert.rejects(pool.query('SELECT pg_sleep(30)'), {
    code: '57014',
    message: 'canceling statement due to statement timeout',
  });
});
