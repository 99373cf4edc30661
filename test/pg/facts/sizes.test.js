'use strict';

// Results and values that are large, and many of them: pg's own
// test/integration/client/{big-simple-query,max-result-size}-tests.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { fact } = require('../support.js');

fact('size: a hundred thousand rows', async (_t, face) => {
  const client = await face.client();
  const { rows, rowCount } = await client.query(
    "SELECT n, 'row ' || n AS text, n::int8 AS big FROM generate_series(1, 100000) AS n",
  );
  assert.equal(rows.length, 100_000);
  assert.equal(rowCount, 100_000);
  assert.deepEqual(rows[99_999], { n: 100_000, text: 'row 100000', big: '100000' });
  assert.ok(rows.every((/** @type {any} */ row, /** @type {number} */ i) => row.n === i + 1));
});

fact('size: a hundred thousand rows as events', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query('SELECT n FROM generate_series(1, 100000) AS n'));
  let sum = 0;
  query.on('row', (/** @type {any} */ row) => {
    sum += row.n;
  });
  const [result] = await once(query, 'end');
  assert.equal(sum, (100_000 * 100_001) / 2);
  assert.deepEqual(result.rows, []);
});

fact('size: a text of 8 MB goes and comes back', async (_t, face) => {
  const client = await face.client();
  const text = 'ü€😀x'.repeat(800_000);
  const { rows } = await client.query('SELECT $1::text AS text', [text]);
  assert.equal(rows[0].text === text, true);
});

fact('size: a Buffer of 8 MB goes and comes back', async (_t, face) => {
  const client = await face.client();
  const bytes = Buffer.alloc(8 << 20);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = i % 251;
  const { rows } = await client.query('SELECT $1::bytea AS bytes', [bytes]);
  assert.equal(rows[0].bytes.equals(bytes), true);
});

fact('size: an array of fifty thousand numbers', async (_t, face) => {
  const client = await face.client();
  const numbers = Array.from({ length: 50_000 }, (_, i) => i);
  const { rows } = await client.query('SELECT $1::int[] AS numbers, cardinality($1::int[]) AS count', [numbers]);
  assert.equal(rows[0].count, 50_000);
  assert.deepEqual(rows[0].numbers, numbers);
});

fact('size: a statement of half a megabyte', async (_t, face) => {
  const client = await face.client();
  const filler = `/* ${'x'.repeat(500_000)} */`;
  assert.deepEqual((await client.query(`SELECT 1 AS one ${filler}`)).rows, [{ one: 1 }]);
  assert.deepEqual((await client.query(`SELECT $1::int AS one ${filler}`, [1])).rows, [{ one: 1 }]);
});

fact('size: five hundred columns', async (_t, face) => {
  const client = await face.client();
  const columns = Array.from({ length: 500 }, (_, i) => `${i} AS c${i}`);
  const { rows, fields } = await client.query(`SELECT ${columns.join(', ')}`);
  assert.equal(fields.length, 500);
  assert.equal(rows[0].c499, 499);
});

fact('size: 65,535 values are the limit of the protocol', async (_t, face) => {
  const client = await face.client();
  const values = Array.from({ length: 65_535 }, (_, i) => i);
  const text = `SELECT count(*)::int AS count FROM (VALUES ${values.map((i) => `($${i + 1}::int)`).join(',')}) AS v`;
  assert.deepEqual((await client.query(text, values)).rows, [{ count: 65_535 }]);
});

fact('size: a thousand notices', async (_t, face) => {
  const client = await face.client();
  let count = 0;
  client.on('notice', () => {
    count += 1;
  });
  await client.query("DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$");
  assert.equal(count, 1000);
});

fact('size: a thousand statements in one text', async (_t, face) => {
  const client = await face.client();
  const results = await client.query(Array.from({ length: 1000 }, (_, i) => `SELECT ${i} AS n`).join(';'));
  assert.equal(results.length, 1000);
  assert.deepEqual(results[999].rows, [{ n: 999 }]);
});
