'use strict';

// The packages that stand beside pg, as they are published, on the clients of pg and of the face: pg-cursor, pg-query-stream,
// pg-copy-streams and pg-pool.

const assert = require('node:assert/strict');
const { Readable, Writable } = require('node:stream');
const { finished, pipeline } = require('node:stream/promises');
const copyStreams = require('pg-copy-streams');
const Cursor = require('pg-cursor');
const PackagedPool = require('pg-pool');
const QueryStream = require('pg-query-stream');
const { fact } = require('../support.js');
const { failureOf, range, until } = require('../../support/helpers.js');

const SERIES = 'SELECT n FROM generate_series(1, $1::int) AS n';
const TABLE = 'CREATE TEMP TABLE copied (n int, name text)';
const FROM = 'COPY copied FROM STDIN';

/** @param {any} client */
const works = async (client) => assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);

/** @param {any[]} rows */
const numbersOf = (rows) => rows.map(({ n }) => n);

/** @param {AsyncIterable<Buffer>} stream */
async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

fact('pg-cursor: read() in pieces, to the end', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new Cursor(SERIES, [5]));
  assert.deepEqual(numbersOf(await cursor.read(2)), [1, 2]);
  assert.deepEqual(numbersOf(await cursor.read(10)), [3, 4, 5]);
  assert.deepEqual(await cursor.read(10), []);
  await works(client);
});

fact('pg-cursor: close() early, outside and inside of a transaction', async (_t, face) => {
  const client = await face.client();
  for (const text of ['SELECT 1', 'BEGIN']) {
    await client.query(text);
    const cursor = client.query(new Cursor(SERIES, [100]));
    assert.deepEqual(numbersOf(await cursor.read(2)), [1, 2]);
    await cursor.close();
    await works(client);
  }
  assert.equal(client.getTransactionStatus(), 'T');
  await client.query('ROLLBACK');
});

fact('pg-cursor: rowMode array, values and fields', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new Cursor("SELECT 1::int8 AS n, 'x' AS n, now() AS t", [], { rowMode: 'array' }));
  const [rows, result] = await new Promise((resolve, reject) => {
    cursor.read(5, (/** @type {any} */ error, /** @type {any} */ ...args) => (error ? reject(error) : resolve(args)));
  });
  assert.deepEqual(rows[0].slice(0, 2), ['1', 'x']);
  assert.ok(rows[0][2] instanceof Date);
  assert.deepEqual(
    result.fields.map((/** @type {any} */ { name }) => name),
    ['n', 'n', 't'],
  );
});

fact('pg-cursor: an error at once and an error in the middle', async (_t, face) => {
  const client = await face.client();
  const wrong = client.query(new Cursor('SELECT wrong'));
  assert.equal((await failureOf(wrong.read(1))).code, '42703');
  await works(client);
  const late = client.query(new Cursor('SELECT 10 / (3 - n) AS n FROM generate_series(0, 5) AS n'));
  assert.deepEqual(numbersOf(await late.read(2)), [3, 5]);
  assert.equal((await failureOf(late.read(10))).code, '22012');
  await works(client);
});

fact('pg-cursor: a statement without rows', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new Cursor('CREATE TEMP TABLE of_cursor (n int)'));
  assert.deepEqual(await cursor.read(1), []);
  assert.equal((await client.query('SELECT count(*) FROM of_cursor')).rows[0].count, '0');
});

fact('pg-query-stream: for await, to the end and left early', async (_t, face) => {
  const client = await face.client();
  let sum = 0;
  for await (const { n } of client.query(new QueryStream(SERIES, [1000]))) sum += n;
  assert.equal(sum, 500_500);
  for await (const { n } of client.query(new QueryStream(SERIES, [1000], { batchSize: 10 }))) if (n === 25) break;
  await works(client);
});

fact('pg-query-stream: an error is thrown, after the rows before it', async (_t, face) => {
  const client = await face.client();
  const stream = new QueryStream('SELECT 10 / (31 - n) AS n FROM generate_series(1, 50) AS n', [], { batchSize: 10 });
  let rows = 0;
  const read = async () => {
    for await (const _ of client.query(stream)) rows += 1;
  };
  assert.equal((await failureOf(read())).code, '22012');
  assert.equal(rows, 30);
  await works(client);
});

fact('pg-query-stream: a slow reader by pipeline()', async (_t, face) => {
  const client = await face.client();
  let rows = 0;
  const slow = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(_row, _encoding, done) {
      rows += 1;
      setImmediate(done);
    },
  });
  await pipeline(client.query(new QueryStream(SERIES, [205], { batchSize: 10 })), slow);
  assert.equal(rows, 205);
  await works(client);
});

fact('pg-query-stream: on a client of a pool', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  const stream = client.query(new QueryStream(SERIES, [250]));
  stream.on('end', client.release);
  assert.equal((await stream.toArray()).length, 250);
  await until('it is released', () => pool.idleCount === 1);
  await works(pool);
});

fact('pg-copy-streams: from() loads, with rowCount', async (_t, face) => {
  const client = await face.client();
  await client.query(TABLE);
  const stream = client.query(copyStreams.from(FROM));
  await pipeline(Readable.from(range(5000).map((n) => `${n}\tname ${n}\n`)), stream);
  assert.equal(stream.rowCount, 5000);
  assert.equal((await client.query('SELECT count(*) FROM copied')).rows[0].count, '5000');
});

fact('pg-copy-streams: from() with a bad row, with a wrong statement, and destroyed', async (_t, face) => {
  const client = await face.client();
  await client.query(TABLE);
  const bad = await failureOf(pipeline(Readable.from(['1\tone\n', 'x\ttwo\n']), client.query(copyStreams.from(FROM))));
  assert.deepEqual([bad.code, bad.where], ['22P02', 'COPY copied, line 2, column n: "x"']);
  const wrong = client.query(copyStreams.from('COPY nowhere FROM STDIN'));
  assert.equal((await new Promise((resolve) => wrong.once('error', resolve))).code, '42P01');
  const destroyed = client.query(copyStreams.from(FROM));
  const told = new Promise((resolve) => destroyed.once('error', resolve));
  destroyed.write('1\tone\n');
  destroyed.destroy();
  assert.equal((await told).code, '57014');
  assert.equal((await client.query('SELECT count(*) FROM copied')).rows[0].count, '0');
});

fact('pg-copy-streams: from() in a transaction that is rolled back', async (_t, face) => {
  const client = await face.client();
  await client.query(TABLE);
  await client.query('BEGIN');
  const stream = client.query(copyStreams.from(FROM));
  stream.end('1\tone\n');
  await finished(stream);
  await client.query('ROLLBACK');
  assert.equal((await client.query('SELECT count(*) FROM copied')).rows[0].count, '0');
});

fact('pg-copy-streams: to() gives the text of the rows', async (_t, face) => {
  const client = await face.client();
  const text = 'COPY (SELECT n FROM generate_series(0, 4999) AS n) TO STDOUT';
  assert.equal(
    await textOf(client.query(copyStreams.to(text))),
    range(5000)
      .map((n) => `${n}\n`)
      .join(''),
  );
  await works(client);
});

fact('pg-copy-streams: to() with an error at once and an error in the middle', async (_t, face) => {
  const client = await face.client();
  const wrong = client.query(copyStreams.to('COPY (SELECT wrong) TO STDOUT'));
  assert.equal((await failureOf(textOf(wrong))).code, '42703');
  await works(client);
  const late = client.query(
    copyStreams.to('COPY (SELECT 10 / (500 - n) FROM generate_series(1, 1000) AS n) TO STDOUT'),
  );
  assert.equal((await failureOf(textOf(late))).code, '22012');
  await works(client);
});

fact('pg-pool: the package pools clients of a class that it is given', async (t, face) => {
  const pool = new PackagedPool(/** @type {any} */ ({ ...face.config, max: 2, Client: face.pg.Client }));
  t.after(() => pool.end());
  const results = await Promise.all(range(10).map((n) => pool.query('SELECT $1::int AS n', [n])));
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    range(10),
  );
  const client = await pool.connect();
  assert.ok(client instanceof face.pg.Client);
  client.release();
  assert.equal(pool.totalCount, 2);
});
