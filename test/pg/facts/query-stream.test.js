'use strict';

// QueryStream: the tests of pg-query-stream and what its documentation says.

const assert = require('node:assert/strict');
const { Readable, Transform, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { fact } = require('../support.js');
const { terminate } = require('./sessions.js');
const { failureOf, isPending, range, sleep, until } = require('../../support/helpers.js');

const SERIES = 'SELECT n FROM generate_series(1, $1::int) AS n';

/** @param {any} stream @returns {Promise<any[]>} */
const numbersOf = async (stream) => (await stream.toArray()).map((/** @type {any} */ { n }) => n);

/** @param {any} client */
const works = async (client) => assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);

fact('stream: client.query() returns the stream, which is a Readable of objects', async (_t, face) => {
  const client = await face.client();
  const stream = new face.QueryStream(SERIES, [3]);
  assert.ok(stream instanceof Readable);
  assert.equal(stream.readableObjectMode, true);
  assert.equal(client.query(stream), stream);
  assert.deepEqual(await numbersOf(stream), [1, 2, 3]);
});

fact('stream: for await reads all rows in their order', async (_t, face) => {
  const client = await face.client();
  /** @type {number[]} */
  const numbers = [];
  for await (const { n } of client.query(new face.QueryStream(SERIES, [1000]))) numbers.push(n);
  assert.deepEqual(
    numbers,
    range(1000).map((n) => n + 1),
  );
});

fact('stream: events data, end and close', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream(SERIES, [250]));
  /** @type {string[]} */
  const events = [];
  let rows = 0;
  stream.on('data', () => {
    rows += 1;
  });
  stream.on('end', () => events.push('end'));
  await new Promise((resolve) => {
    stream.on('close', resolve);
  });
  assert.equal(rows, 250);
  assert.deepEqual(events, ['end']);
});

fact('stream: client.connection says rowDescription with the fields, once, before the first row', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const said = [];
  client.connection.on('rowDescription', (/** @type {any} */ message) => {
    const { name, fieldCount, fields } = message;
    said.push({ name, fieldCount, columns: fields.map((/** @type {any} */ field) => [field.name, field.dataTypeID]) });
  });
  const stream = client.query(new face.QueryStream("SELECT n, 'x' AS x FROM generate_series(1, $1::int) AS n", [250]));
  stream.once('data', () => said.push('row'));
  await stream.toArray();
  const columns = [
    ['n', 23],
    ['x', 25],
  ];
  assert.deepEqual(said, [{ name: 'rowDescription', fieldCount: 2, columns }, 'row']);
});

fact('stream: highWaterMark is 100 by default', async (_t, face) => {
  assert.equal(new face.QueryStream(SERIES, [1]).readableHighWaterMark, 100);
});

for (const option of ['highWaterMark', 'batchSize']) {
  fact(`stream: ${option} is the highWaterMark of the stream`, async (_t, face) => {
    const client = await face.client();
    const stream = client.query(new face.QueryStream(SERIES, [20], { [option]: 7 }));
    assert.equal(stream.readableHighWaterMark, 7);
    assert.deepEqual(
      await numbersOf(stream),
      range(20).map((n) => n + 1),
    );
  });
}

fact('stream: batchSize comes before highWaterMark', async (_t, face) => {
  assert.equal(new face.QueryStream(SERIES, [1], { batchSize: 5, highWaterMark: 9 }).readableHighWaterMark, 5);
});

fact('stream: a fast reader of many rows', async (_t, face) => {
  const client = await face.client();
  let sum = 0;
  for await (const { n } of client.query(new face.QueryStream(SERIES, [50_000], { batchSize: 1000 }))) sum += n;
  assert.equal(sum, 1_250_025_000);
});

fact('stream: a slow reader gets every row', async (_t, face) => {
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
  await pipeline(client.query(new face.QueryStream(SERIES, [205], { batchSize: 10 })), slow);
  assert.equal(rows, 205);
});

fact('stream: who does not read does not fetch all rows into memory', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP SEQUENCE fetched');
  const stream = client.query(
    new face.QueryStream("SELECT nextval('fetched') AS n FROM generate_series(1, 10000)", [], { highWaterMark: 10 }),
  );
  stream.once('readable', () => {});
  await until('there are rows', () => stream.readableLength > 0);
  await sleep(50);
  assert.ok(stream.readableLength <= 20, `${stream.readableLength} rows are in memory`);
  stream.destroy();
  await new Promise((resolve) => {
    stream.once('close', resolve);
  });
  const { rows } = await client.query("SELECT nextval('fetched')::int AS n");
  assert.ok(rows[0].n < 100, `${rows[0].n} rows were made`);
});

fact('stream: pause() and resume() lose no row', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream(SERIES, [500], { batchSize: 50 }));
  /** @type {number[]} */
  const numbers = [];
  stream.on('data', (/** @type {any} */ { n }) => {
    numbers.push(n);
    if (n % 100 !== 0) return;
    stream.pause();
    setTimeout(() => stream.resume(), 5);
  });
  await new Promise((resolve) => {
    stream.on('end', resolve);
  });
  assert.deepEqual(
    numbers,
    range(500).map((n) => n + 1),
  );
});

fact('stream: through a Transform with pipeline()', async (_t, face) => {
  const client = await face.client();
  const doubled = new Transform({
    objectMode: true,
    transform: ({ n }, _encoding, done) => done(null, n * 2),
  });
  let sum = 0;
  await pipeline(client.query(new face.QueryStream(SERIES, [200])), doubled, async (source) => {
    for await (const n of source) sum += n;
  });
  assert.equal(sum, 40_200);
});

fact('stream: rowMode array', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream('SELECT 1 AS a, 2 AS a', [], { rowMode: 'array' }));
  assert.deepEqual(await stream.toArray(), [[1, 2]]);
});

fact('stream: types of its own', async (_t, face) => {
  const client = await face.client();
  const types = { getTypeParser: () => (/** @type {string} */ text) => `<${text}>` };
  const stream = client.query(new face.QueryStream('SELECT 1 AS a', [], { types }));
  assert.deepEqual(await stream.toArray(), [{ a: '<1>' }]);
});

fact('stream: type parsers of its client', async (_t, face) => {
  const client = await face.client({ types: { getTypeParser: () => () => 'of the client' } });
  const stream = client.query(new face.QueryStream('SELECT 1 AS a'));
  assert.deepEqual(await stream.toArray(), [{ a: 'of the client' }]);
});

fact('stream: no rows', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual(await client.query(new face.QueryStream('SELECT 1 WHERE false')).toArray(), []);
  await works(client);
});

fact('stream: a statement without rows runs', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual(await client.query(new face.QueryStream('CREATE TEMP TABLE of_stream (n int)')).toArray(), []);
  assert.equal((await client.query('SELECT count(*) FROM of_stream')).rows[0].count, '0');
});

fact('stream: a syntax error is its error, once, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream('SELECT * FROM asdf num'));
  let errors = 0;
  const error = await new Promise((resolve) => {
    stream.on('error', (/** @type {any} */ told) => {
      errors += 1;
      resolve(told);
    });
    stream.resume();
  });
  assert.equal(error.code, '42P01');
  await works(client);
  assert.equal(errors, 1);
});

fact('stream: for await throws its error', async (_t, face) => {
  const client = await face.client();
  const read = async () => {
    for await (const _ of client.query(new face.QueryStream('SELECT wrong'))) assert.fail('there is no row');
  };
  assert.equal((await failureOf(read())).code, '42703');
  await works(client);
});

fact('stream: an error in the middle comes after the rows before it', async (_t, face) => {
  const client = await face.client();
  const stream = new face.QueryStream('SELECT 10 / (31 - n) AS n FROM generate_series(1, 50) AS n', [], {
    batchSize: 10,
  });
  let rows = 0;
  const read = async () => {
    for await (const _ of client.query(stream)) rows += 1;
  };
  assert.equal((await failureOf(read())).code, '22012');
  assert.equal(rows, 30);
  await works(client);
});

fact('stream: leaving a for await early closes the cursor, and the client goes on', async (_t, face) => {
  const client = await face.client();
  let rows = 0;
  for await (const _ of client.query(new face.QueryStream(SERIES, [10_000]))) {
    rows += 1;
    if (rows === 5) break;
  }
  await works(client);
});

fact('stream: throwing in a for await closes the cursor, and the error is the one thrown', async (_t, face) => {
  const client = await face.client();
  const read = async () => {
    for await (const _ of client.query(new face.QueryStream(SERIES, [10_000]))) throw new Error('enough');
  };
  assert.equal((await failureOf(read())).message, 'enough');
  await works(client);
});

fact('stream: destroy() closes it, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream(SERIES, [10_000], { batchSize: 2 }));
  stream.once('data', () => stream.destroy());
  await new Promise((resolve) => {
    stream.once('close', resolve);
  });
  assert.equal(stream.destroyed, true);
  await works(client);
});

fact('stream: destroy(error) tells that error', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream(SERIES, [10_000], { batchSize: 2 }));
  const told = new Promise((resolve) => {
    stream.once('error', resolve);
  });
  stream.once('data', () => stream.destroy(new Error('enough')));
  assert.equal(/** @type {any} */ (await told).message, 'enough');
  await works(client);
});

fact('stream: destroy() without a read, and before it is submitted', async (_t, face) => {
  const client = await face.client();
  const unused = new face.QueryStream(SERIES, [10]);
  const closed = new Promise((resolve) => {
    unused.once('close', resolve);
  });
  unused.destroy();
  await closed;
  const stream = client.query(new face.QueryStream(SERIES, [10_000]));
  const gone = new Promise((resolve) => {
    stream.once('close', resolve);
  });
  stream.destroy();
  await gone;
  await works(client);
});

fact('stream: queries behind a stream wait for its end', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(new face.QueryStream(SERIES, [300]));
  const behind = client.query('SELECT 1 AS one');
  assert.ok(await isPending(behind));
  assert.equal((await numbersOf(stream)).length, 300);
  assert.deepEqual((await behind).rows, [{ one: 1 }]);
});

fact('stream: two streams on one client are read one after the other', async (_t, face) => {
  const client = await face.client();
  const [a, b] = [3, 4].map((n) => client.query(new face.QueryStream(SERIES, [n])));
  assert.deepEqual(await Promise.all([numbersOf(a), numbersOf(b)]), [
    [1, 2, 3],
    [1, 2, 3, 4],
  ]);
});

fact('stream: in a transaction it sees what the transaction has written', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  await client.query('CREATE TEMP TABLE of_it ON COMMIT DROP AS SELECT generate_series(1, 3) AS n');
  assert.deepEqual(await numbersOf(client.query(new face.QueryStream('SELECT n FROM of_it ORDER BY n'))), [1, 2, 3]);
  assert.equal(client.getTransactionStatus(), 'T');
  await client.query('COMMIT');
});

fact('stream: on a client of a pool that is released at the end', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  const stream = client.query(new face.QueryStream(SERIES, [250]));
  stream.on('end', client.release);
  assert.equal((await numbersOf(stream)).length, 250);
  await until('it is released', () => pool.idleCount === 1);
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

/** Reads two rows of many, ends the session from outside, and waits for the end of the client. @param {any} face */
async function brokenStream(face) {
  const client = await face.client();
  client.on('error', () => {});
  const stream = client.query(new face.QueryStream(SERIES, [100_000], { batchSize: 2 }));
  const rows = stream[Symbol.asyncIterator]();
  await rows.next();
  const ended = new Promise((resolve) => {
    client.once('end', resolve);
  });
  await terminate(face, client.processID);
  await ended;
  const read = async () => {
    while (!(await rows.next()).done);
  };
  return { reading: read() };
}

fact(
  'stream: a session that ends between two reads leaves its reader waiting',
  async (_t, face) => {
    const { reading } = await brokenStream(face);
    assert.ok(await isPending(reading));
  },
  {
    differs: {
      reason:
        'A `QueryStream` or `Cursor` whose session is lost ends with the error; a stream of pg that is lost between two reads leaves its reader waiting for ever.',
      test: async (_t, face) => {
        const { reading } = await brokenStream(face);
        assert.ok((await failureOf(reading)) instanceof Error);
      },
    },
  },
);
