'use strict';

// Cursor: https://node-postgres.com/apis/cursor, and the tests of pg-cursor.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { failureOf, range } = require('../../support/helpers.js');

const SERIES = 'SELECT generate_series(0, 5)::int AS n';

/** @param {any} cursor @param {number} count @returns {Promise<{ error: any, rows: any, result: any }>} */
const calledBack = (cursor, count) =>
  new Promise((resolve) => {
    cursor.read(count, (/** @type {any} */ error, /** @type {any} */ rows, /** @type {any} */ result) =>
      resolve({ error, rows, result }),
    );
  });

/** @param {any[]} rows */
const numbersOf = (rows) => rows.map(({ n }) => n);

fact('cursor: client.query() returns the cursor itself', async (_t, face) => {
  const client = await face.client();
  const cursor = new face.Cursor(SERIES);
  assert.equal(client.query(cursor), cursor);
  await cursor.close();
});

fact('cursor: read() fetches as many rows as are asked for', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  assert.deepEqual(numbersOf(await cursor.read(1)), [0]);
  assert.deepEqual(numbersOf(await cursor.read(2)), [1, 2]);
  assert.deepEqual(numbersOf(await cursor.read(100)), [3, 4, 5]);
  assert.deepEqual(await cursor.read(100), []);
});

fact('cursor: read() with a callback gives rows, and a Result beside them', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  const { error, rows, result } = await calledBack(cursor, 2);
  assert.ok(!error);
  assert.deepEqual(numbersOf(rows), [0, 1]);
  assert.equal(result.rows, rows);
  assert.deepEqual(
    result.fields.map((/** @type {any} */ { name, dataTypeID }) => [name, dataTypeID]),
    [['n', 23]],
  );
  await cursor.close();
});

fact('cursor: the Result has its command and count when the rows are at their end', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  const first = await calledBack(cursor, 4);
  assert.equal(first.result.command, null);
  const last = await calledBack(cursor, 4);
  assert.deepEqual([last.result.command, last.result.rowCount], ['SELECT', 2]);
});

fact('cursor: as many rows as there are: the next read() is empty', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  assert.equal((await cursor.read(6)).length, 6);
  assert.deepEqual(await cursor.read(1), []);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: read(0) reads all that is left', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  assert.deepEqual(numbersOf(await cursor.read(2)), [0, 1]);
  assert.deepEqual(numbersOf(await cursor.read(0)), [2, 3, 4, 5]);
  assert.deepEqual(await cursor.read(1), []);
});

fact('cursor: values', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT generate_series($1::int, $2::int) AS n', [4, 7]));
  assert.deepEqual(numbersOf(await cursor.read(10)), [4, 5, 6, 7]);
});

fact('cursor: values are prepared as those of a query', async (_t, face) => {
  const client = await face.client();
  const text = 'SELECT $1::text AS object, $2::int[] AS array, $3::text AS nothing';
  const cursor = client.query(new face.Cursor(text, [{ a: 1 }, [1, 2], undefined]));
  assert.deepEqual(await cursor.read(1), [{ object: '{"a":1}', array: [1, 2], nothing: null }]);
  await cursor.close();
});

fact('cursor: rows have the values that pg makes of types', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(
    new face.Cursor('SELECT 1::int8 AS big, 1.50::numeric AS price, \'{"a": 1}\'::jsonb AS doc, true AS yes'),
  );
  assert.deepEqual(await cursor.read(1), [{ big: '1', price: '1.50', doc: { a: 1 }, yes: true }]);
  await cursor.close();
});

fact('cursor: rowMode array gives arrays', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(
    new face.Cursor('SELECT n, n * 2 AS n FROM generate_series(1, 2) AS n', [], { rowMode: 'array' }),
  );
  assert.deepEqual(await cursor.read(5), [
    [1, 2],
    [2, 4],
  ]);
});

fact('cursor: types of its own parse its values', async (_t, face) => {
  const client = await face.client();
  const types = { getTypeParser: () => () => 'foo' };
  const cursor = client.query(new face.Cursor('SELECT 1 AS n', null, { types }));
  assert.deepEqual(await cursor.read(1), [{ n: 'foo' }]);
  await cursor.close();
});

fact('cursor: type parsers of its client parse its values', async (_t, face) => {
  const client = await face.client();
  client.setTypeParser(23, (/** @type {string} */ text) => `int ${text}`);
  const cursor = client.query(new face.Cursor('SELECT 1 AS n'));
  assert.deepEqual(await cursor.read(1), [{ n: 'int 1' }]);
  await cursor.close();
});

fact('cursor: it emits row for each row, and end with the Result', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  /** @type {any[]} */
  const rows = [];
  cursor.on('row', (/** @type {any} */ row) => rows.push(row));
  const ended = new Promise((resolve) => {
    cursor.once('end', resolve);
  });
  await cursor.read(100);
  const result = /** @type {any} */ (await ended);
  assert.deepEqual(numbersOf(rows), range(6));
  assert.equal(result.command, 'SELECT');
});

fact('cursor: read() may be called before the cursor is submitted', async (_t, face) => {
  const client = await face.client();
  const cursor = new face.Cursor(SERIES);
  const early = cursor.read(2);
  client.query(cursor);
  assert.deepEqual(numbersOf(await early), [0, 1]);
  await cursor.close();
});

fact('cursor: it may be submitted before its client has connected', async (_t, face) => {
  const client = face.unconnected();
  const cursor = client.query(new face.Cursor(SERIES));
  const early = cursor.read(3);
  await client.connect();
  assert.deepEqual(numbersOf(await early), [0, 1, 2]);
  await cursor.close();
});

fact('cursor: no rows', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT 1 WHERE false'));
  const { rows, result } = await calledBack(cursor, 10);
  assert.deepEqual(rows, []);
  assert.equal(result.rowCount, 0);
});

fact('cursor: statements that give no rows run when they are read', async (_t, face) => {
  const client = await face.client();
  const create = client.query(new face.Cursor('CREATE TEMP TABLE of_cursor (n int)'));
  assert.deepEqual(await create.read(100), []);
  const insert = client.query(new face.Cursor('INSERT INTO of_cursor VALUES (1), (2)'));
  const { rows, result } = await calledBack(insert, 100);
  assert.deepEqual(rows, []);
  assert.deepEqual([result.command, result.rowCount], ['INSERT', 2]);
  assert.equal((await client.query('SELECT count(*) FROM of_cursor')).rows[0].count, '2');
});

fact('cursor: INSERT ... RETURNING gives its rows', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE of_cursor (n int)');
  const cursor = client.query(new face.Cursor('INSERT INTO of_cursor SELECT generate_series(1, 3) RETURNING n'));
  assert.deepEqual(numbersOf(await cursor.read(100)), [1, 2, 3]);
  assert.equal((await client.query('SELECT count(*) FROM of_cursor')).rows[0].count, '3');
});

fact('cursor: 10000 rows in pieces of 100', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT generate_series(1, 10000)::int AS n'));
  let [rows, reads] = [0, 0];
  for (;;) {
    const part = await cursor.read(100);
    reads += 1;
    rows += part.length;
    if (part.length === 0) break;
  }
  assert.deepEqual([rows, reads], [10_000, 101]);
});

fact('cursor: a syntax error rejects read(), and each later read() again', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT wrong'));
  const error = await failureOf(cursor.read(1));
  assert.ok(error instanceof face.pg.DatabaseError);
  assert.equal(error.code, '42703');
  assert.equal((await failureOf(cursor.read(1))).code, '42703');
});

fact('cursor: an error comes to all reads that wait, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT wrong'));
  const reads = await Promise.allSettled([cursor.read(1), cursor.read(1), cursor.read(1)]);
  assert.deepEqual(
    reads.map((read) => read.status === 'rejected' && read.reason.code),
    ['42703', '42703', '42703'],
  );
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: it emits error if somebody listens', async (_t, face) => {
  const client = await face.client();
  const cursor = new face.Cursor('SELECT wrong');
  const told = new Promise((resolve) => {
    cursor.on('error', resolve);
  });
  client.query(cursor);
  cursor.read(1).catch(() => {});
  assert.equal(/** @type {any} */ (await told).code, '42703');
});

fact('cursor: an error in the middle keeps the rows that were read, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT 10 / (3 - n) AS n FROM generate_series(0, 5) AS n'));
  assert.deepEqual(numbersOf(await cursor.read(2)), [3, 5]);
  assert.equal((await failureOf(cursor.read(10))).code, '22012');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: queries behind it wait until its rows are at their end', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  /** @type {string[]} */
  const order = [];
  const behind = client
    .query("SELECT 'behind' AS told")
    .then((/** @type {any} */ { rows }) => order.push(rows[0].told));
  await cursor.read(3);
  order.push('read');
  await cursor.read(100);
  await behind;
  assert.deepEqual(order, ['read', 'behind']);
});

fact('cursor: close() lets the queries behind it run', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  const behind = client.query('SELECT 1 AS one');
  assert.deepEqual(numbersOf(await cursor.read(2)), [0, 1]);
  assert.equal(await cursor.close(), undefined);
  assert.deepEqual((await behind).rows, [{ one: 1 }]);
});

fact('cursor: close() with a callback', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  await cursor.read(1);
  const error = await new Promise((resolve) => {
    cursor.close(resolve);
  });
  assert.ok(!error);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: after close() read() gives no rows', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  await cursor.read(2);
  await cursor.close();
  assert.deepEqual(await cursor.read(2), []);
});

fact('cursor: close() twice, after the end, and before the submission, is no error', async (_t, face) => {
  const client = await face.client();
  await new face.Cursor(SERIES).close();
  const cursor = client.query(new face.Cursor(SERIES));
  await cursor.read(100);
  await cursor.read(100);
  await cursor.close();
  await cursor.close();
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: close() at once, without a read', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES));
  await cursor.close();
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: close() after an error is no error', async (_t, face) => {
  const client = await face.client();
  const cursor = client.query(new face.Cursor('SELECT wrong'));
  await failureOf(cursor.read(1));
  await cursor.close();
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('cursor: inside of a transaction it reads, and what follows belongs to the transaction', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE of_transaction (n int)');
  await client.query('BEGIN');
  const cursor = client.query(new face.Cursor(SERIES));
  assert.deepEqual(numbersOf(await cursor.read(2)), [0, 1]);
  await cursor.close();
  assert.equal(client.getTransactionStatus(), 'T');
  await client.query('INSERT INTO of_transaction VALUES (1)');
  await client.query('ROLLBACK');
  assert.equal((await client.query('SELECT count(*) FROM of_transaction')).rows[0].count, '0');
});

fact('cursor: an error inside of a transaction fails the transaction', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  const cursor = client.query(new face.Cursor('SELECT wrong'));
  await failureOf(cursor.read(1));
  assert.equal((await failureOf(client.query('SELECT 1'))).code, '25P02');
  await client.query('ROLLBACK');
});

fact('cursor: a table whose cursor is closed is not locked in its transaction', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  await client.query('CREATE TEMP TABLE altered AS SELECT generate_series(1, 10) AS n');
  const cursor = client.query(new face.Cursor('SELECT * FROM altered'));
  await cursor.read(1);
  await cursor.close();
  await client.query('ALTER TABLE altered ADD COLUMN m int');
  await client.query('COMMIT');
});

fact(
  'cursor: closed early outside of a transaction, a writing statement that was read in part is committed as a whole',
  async (_t, face) => {
    const client = await face.client();
    await client.query('CREATE TEMP TABLE of_part (n int)');
    const cursor = client.query(new face.Cursor('INSERT INTO of_part SELECT generate_series(1, 10) RETURNING n'));
    assert.equal((await cursor.read(2)).length, 2);
    await cursor.close();
    assert.equal((await client.query('SELECT count(*) FROM of_part')).rows[0].count, '10');
  },
);

fact('cursor: closed without a read, a writing statement has not run', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE of_none (n int)');
  const cursor = client.query(new face.Cursor('INSERT INTO of_none VALUES (1)'));
  await cursor.close();
  assert.equal((await client.query('SELECT count(*) FROM of_none')).rows[0].count, '0');
});

fact('cursor: on a client of a pool, which is released afterwards', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  for (const _ of range(3)) {
    const client = await pool.connect();
    const cursor = client.query(new face.Cursor(SERIES));
    assert.equal((await cursor.read(2)).length, 2);
    await cursor.close();
    client.release();
  }
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('cursor: Promise in its options is the class of its promises', async (_t, face) => {
  class Mine extends Promise {}
  const client = await face.client();
  const cursor = client.query(new face.Cursor(SERIES, [], { Promise: Mine }));
  const reading = cursor.read(1);
  assert.ok(reading instanceof Mine);
  await reading;
  const closing = cursor.close();
  assert.ok(closing instanceof Mine);
  await closing;
});

fact('cursor: a session that ends rejects its reads', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const cursor = client.query(new face.Cursor(SERIES));
  await cursor.read(1);
  const ended = new Promise((resolve) => {
    client.once('end', resolve);
  });
  await face.server.sql('SELECT pg_terminate_backend($1)', [client.processID]);
  await ended;
  assert.ok((await failureOf(cursor.read(1))) instanceof Error);
});

fact(
  'cursor: a wrong text is an error before the first read()',
  async (_t, face) => {
    const client = await face.client();
    const cursor = client.query(new face.Cursor('SELECT nothing'));
    const error = await new Promise((resolve) => cursor.once('error', resolve));
    assert.equal(error.code, '42703');
    await client.query('SELECT 1');
  },
  {
    differs: {
      reason: 'A `Cursor` whose text is wrong says so at its first `read()`; pg says so before.',
      test: async (_t, face) => {
        const client = await face.client();
        const cursor = client.query(new face.Cursor('SELECT nothing'));
        /** @type {any[]} */
        const told = [];
        cursor.on('error', (/** @type {any} */ error) => told.push(error.code));
        assert.equal((await failureOf(cursor.read(1))).code, '42703');
        assert.deepEqual(told, ['42703']);
        await client.query('SELECT 1');
      },
    },
  },
);
