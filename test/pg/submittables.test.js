'use strict';

// What other packages hand to query(): pg-cursor, pg-query-stream, pg-copy-streams and pg's own Query speak the protocol to
// client.connection. The published packages are run here on clients of the face.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { Readable } = require('node:stream');
const { finished, pipeline } = require('node:stream/promises');
const copyStreams = require('pg-copy-streams');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { Query: PgQuery } = require('pg');
const { Client, Pool } = require('../../exports/pg/index.js');
const { failureOf, loginOf, range, test, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t @returns {Promise<any>} */
async function clientFor(t) {
  const client = /** @type {any} */ (new Client(loginOf(db.cluster)));
  t.after(() => client.end());
  await client.connect();
  return client;
}

/** @param {any} client */
const isFree = async (client) => assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);

/** @param {AsyncIterable<any>} stream */
async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

describe('pg-cursor', () => {
  test('pg-cursor: rows are read in parts, with the parsers of the client', async (t) => {
    const client = await clientFor(t);
    client.setTypeParser(20, BigInt);
    const cursor = client.query(
      new Cursor('SELECT n, n::int8 AS big, now() AS at FROM generate_series(1, $1::int) n', [5]),
    );
    const first = await cursor.read(2);
    assert.deepEqual(
      first.map((/** @type {any} */ { n, big }) => [n, big]),
      [
        [1, 1n],
        [2, 2n],
      ],
    );
    assert.ok(first[0].at instanceof Date);
    assert.equal((await cursor.read(10)).length, 3);
    assert.deepEqual(await cursor.read(10), []);
    await isFree(client);
  });

  test('pg-cursor: close() before the end frees the client, and what waited runs', async (t) => {
    const client = await clientFor(t);
    const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, 1000000) n'));
    const waiting = isFree(client);
    assert.equal((await cursor.read(3)).length, 3);
    await cursor.close();
    await waiting;
  });

  test('pg-cursor: close() without a read', async (t) => {
    const client = await clientFor(t);
    const cursor = client.query(new Cursor('SELECT 1'));
    await cursor.close();
    await isFree(client);
  });

  test('pg-cursor: an error rejects the read, and the client goes on', async (t) => {
    const client = await clientFor(t);
    const cursor = client.query(new Cursor('SELECT 6 / (3 - n) FROM generate_series(1, 5) n'));
    assert.equal((await failureOf(cursor.read(10))).code, '22012');
    await cursor.close();
    await isFree(client);
    const missing = client.query(new Cursor('SELECT nothing'));
    assert.equal((await failureOf(missing.read(1))).code, '42703');
    await missing.close();
    await isFree(client);
  });

  test('pg-cursor: rows as arrays, and rows by callbacks that ask for more', async (t) => {
    const client = await clientFor(t);
    const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, 7) n', [], { rowMode: 'array' }));
    /** @type {number[]} */
    const got = [];
    await new Promise((resolve, reject) => {
      const more = () =>
        cursor.read(3, (/** @type {any} */ error, /** @type {any[]} */ rows) => {
          if (error) return reject(error);
          got.push(...rows.flat());
          return rows.length === 0 ? resolve(undefined) : more();
        });
      more();
    });
    assert.deepEqual(
      got,
      range(7).map((n) => n + 1),
    );
    await isFree(client);
  });
});

describe('pg-query-stream', () => {
  test('pg-query-stream: all rows of a pool, whose client is free at the end', async (t) => {
    const pool = /** @type {any} */ (new Pool({ ...loginOf(db.cluster), max: 1 }));
    t.after(() => pool.end());
    const client = await pool.connect();
    const rows = await all(client.query(new QueryStream('SELECT n FROM generate_series(1, $1::int) n', [1_000])));
    assert.equal(rows.length, 1_000);
    await isFree(client);
    client.release();
    const stream = new QueryStream('SELECT n FROM generate_series(1, 250) n');
    const done = pool.query(stream);
    assert.equal((await all(stream)).length, 250);
    await done;
    await isFree(pool);
  });

  test('pg-query-stream: destroy() frees the client', async (t) => {
    const client = await clientFor(t);
    const stream = client.query(new QueryStream('SELECT n FROM generate_series(1, 1000000) n', [], { batchSize: 10 }));
    for await (const _row of stream) break;
    await isFree(client);
  });
});

describe('pg-copy-streams', () => {
  test('pg-copy-streams: megabytes go in and come out as they were', async (t) => {
    const client = await clientFor(t);
    await client.query('CREATE TEMP TABLE copied (n int, name text)');
    const lines = range(20_000).map((n) => `${n}\t${'x'.repeat(n % 300)}\n`);
    const into = client.query(copyStreams.from('COPY copied FROM STDIN'));
    await pipeline(Readable.from(lines), into);
    assert.equal(into.rowCount, lines.length);
    await isFree(client);
    const out = client.query(copyStreams.to('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT'));
    assert.equal(Buffer.concat(await all(out)).toString(), lines.join(''));
    assert.equal(out.rowCount, lines.length);
    await isFree(client);
  });

  test('pg-copy-streams: bad rows and bad statements are errors of the stream, and the client goes on', async (t) => {
    const client = await clientFor(t);
    await client.query('CREATE TEMP TABLE copied (n int, name text)');
    const bad = await failureOf(
      pipeline(Readable.from(['1\tone\n', 'x\ttwo\n']), client.query(copyStreams.from('COPY copied FROM STDIN'))),
    );
    assert.equal(bad.code, '22P02');
    for (const make of [
      () => copyStreams.from('COPY nowhere FROM STDIN'),
      () => copyStreams.to('COPY nowhere TO STDOUT'),
    ]) {
      const stream = client.query(make());
      stream.resume?.();
      assert.equal((await failureOf(finished(stream))).code, '42P01');
      await isFree(client);
    }
  });

  test('pg-copy-streams: destroy() undoes a COPY', async (t) => {
    const client = await clientFor(t);
    await client.query('CREATE TEMP TABLE copied (n int, name text)');
    const stream = client.query(copyStreams.from('COPY copied FROM STDIN'));
    stream.write('1\tone\n');
    stream.destroy(new Error('enough'));
    assert.match((await failureOf(finished(stream))).message, /enough/);
    assert.deepEqual((await client.query('SELECT count(*)::int FROM copied')).rows, [{ count: 0 }]);
  });

  test('pg-copy-streams: both() is refused by a code, and the client goes on', async (t) => {
    const client = await clientFor(t);
    const stream = client.query(copyStreams.both('START_REPLICATION SLOT s LOGICAL 0/0'));
    const error = await new Promise((resolve) => stream.once('error', resolve));
    assert.equal(error.code, 'ERR_UNSUPPORTED');
    await isFree(client);
  });
});

describe("pg's own Query", () => {
  test("pg's Query: with values, with a name, with several statements, and by events", async (t) => {
    const client = await clientFor(t);
    /** @param {any} config @param {any[]} [values] */
    const run = (config, values) =>
      new Promise((resolve, reject) => {
        const given = /** @type {any} */ (values);
        client.query(new PgQuery(config, given, (error, result) => (error ? reject(error) : resolve(result))));
      });
    assert.deepEqual((await run('SELECT $1::int AS n', [7])).rows, [{ n: 7 }]);
    for (const n of [1, 2]) {
      assert.deepEqual((await run({ name: 'sum', text: 'SELECT $1::int + 1 AS n', values: [n] })).rows, [{ n: n + 1 }]);
    }
    assert.match((await failureOf(run({ name: 'sum', text: 'SELECT 2' }))).message, /must be unique/);
    const results = await run('SELECT 1 AS a; SELECT 2 AS b');
    assert.deepEqual(
      results.map((/** @type {any} */ { rows }) => rows),
      [[{ a: 1 }], [{ b: 2 }]],
    );
    assert.equal((await failureOf(run('SELECT 1/0'))).code, '22012');
    /** @type {number[]} */
    const rows = [];
    const query = client.query(new PgQuery('SELECT n FROM generate_series(1, 3) n'));
    query.on('row', (/** @type {any} */ { n }) => rows.push(n));
    await new Promise((resolve) => query.on('end', resolve));
    assert.deepEqual(rows, [1, 2, 3]);
    await isFree(client);
  });

  test("pg's Query: the option rows reads a portal in parts", async (t) => {
    const client = await clientFor(t);
    const result = await new Promise((resolve, reject) => {
      const config = /** @type {any} */ ({ text: 'SELECT n FROM generate_series(1, 10) n', rows: 3 });
      client.query(
        new PgQuery(config, (/** @type {any} */ error, /** @type {any} */ got) =>
          error ? reject(error) : resolve(got),
        ),
      );
    });
    assert.equal(result.rows.length, 10);
    await isFree(client);
  });
});

test('end(): a cursor, a stream and a COPY that are open do not keep a client from its end', async (t) => {
  for (const open of [
    (/** @type {any} */ client) => client.query(new Cursor('SELECT n FROM generate_series(1, 1000000) n')).read(1),
    async (/** @type {any} */ client) => {
      const stream = client.query(new QueryStream('SELECT n FROM generate_series(1, 1000000) n'));
      stream.on('error', () => {});
      await new Promise((resolve) => stream.once('readable', resolve));
    },
    async (/** @type {any} */ client) => {
      const stream = client.query(copyStreams.from('COPY opened FROM STDIN'));
      stream.on('error', () => {});
      stream.write('1\n');
    },
    async (/** @type {any} */ client) => {
      const stream = client.query(copyStreams.to('COPY (SELECT n FROM generate_series(1, 1000000) n) TO STDOUT'));
      stream.on('error', () => {});
      await new Promise((resolve) => stream.once('readable', resolve));
    },
  ]) {
    const client = await clientFor(t);
    await client.query('CREATE TABLE IF NOT EXISTS opened (n int)');
    await open(client);
    await client.end();
  }
});
