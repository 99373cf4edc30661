'use strict';

// COPY by streams: the README and the tests of pg-copy-streams.

const assert = require('node:assert/strict');
const { Readable, Writable } = require('node:stream');
const { finished, pipeline } = require('node:stream/promises');
const { fact } = require('../support.js');
const { failureOf, range } = require('../../support/helpers.js');

/** @typedef {import('../support.js').Face} Face */

const TABLE = 'CREATE TEMP TABLE copied (n int, name text)';
const FROM = 'COPY copied FROM STDIN';

/** A client with the table. @param {Face} face @returns {Promise<any>} */
async function clientOf(face) {
  const client = await face.client();
  await client.query(TABLE);
  return client;
}

/** @param {any} client @returns {Promise<number>} */
const countOf = async (client) => Number((await client.query('SELECT count(*) FROM copied')).rows[0].count);

/** @param {any} stream @returns {Promise<string>} */
async function textOf(stream) {
  /** @type {Buffer[]} */
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

fact('copy from: client.query() returns the stream, which is a Writable', async (_t, face) => {
  const client = await clientOf(face);
  const stream = face.copyStreams.from(FROM);
  assert.ok(stream instanceof Writable);
  assert.equal(client.query(stream), stream);
  stream.end('1\tone\n');
  await finished(stream);
  assert.equal(await countOf(client), 1);
});

fact('copy from: at finish the rows are there, and rowCount has their number', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  for (const n of range(1000)) stream.write(Buffer.from(`${n}\tname ${n}\n`));
  stream.end();
  await finished(stream);
  assert.equal(stream.rowCount, 1000);
  assert.equal(await countOf(client), 1000);
});

fact('copy from: no data is no row', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  stream.end();
  await finished(stream);
  assert.equal(stream.rowCount, 0);
  assert.equal(await countOf(client), 0);
});

fact('copy from: pieces may be cut anywhere', async (_t, face) => {
  const client = await clientOf(face);
  const text = range(300)
    .map((n) => `${n}\tn\u00e4me ${n}\n`)
    .join('');
  const whole = Buffer.from(text);
  const pieces = range(Math.ceil(whole.length / 7)).map((i) => whole.subarray(i * 7, i * 7 + 7));
  await pipeline(Readable.from(pieces), client.query(face.copyStreams.from(FROM)));
  assert.equal(await textOf(client.query(face.copyStreams.to('COPY copied TO STDOUT'))), text);
});

fact('copy from: ten megabytes by pipeline()', async (_t, face) => {
  const client = await clientOf(face);
  const row = `7\t${'x'.repeat(1021)}\n`;
  const stream = client.query(face.copyStreams.from(FROM));
  await pipeline(Readable.from(range(10_240).map(() => row)), stream);
  assert.equal(stream.rowCount, 10_240);
  const { rows } = await client.query('SELECT sum(length(name))::int AS bytes FROM copied');
  assert.equal(rows[0].bytes, 10_240 * 1021);
});

fact('copy from: options are those of the stream: write() tells when to wait', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM, { highWaterMark: 10 }));
  assert.equal(stream.writableHighWaterMark, 10);
  assert.equal(stream.write('1\tone\n2\ttwo\n'), false);
  stream.end();
  await finished(stream);
  assert.equal(stream.rowCount, 2);
});

fact('copy from: what is written before the client has connected is copied', async (_t, face) => {
  const client = face.unconnected();
  const created = client.query(TABLE);
  const stream = client.query(face.copyStreams.from(FROM));
  stream.write('1\tone\n');
  stream.end('2\ttwo\n');
  await client.connect();
  await created;
  await finished(stream);
  assert.equal(await countOf(client), 2);
});

fact('copy from: CSV with a header', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from('COPY copied FROM STDIN (FORMAT csv, HEADER)'));
  await pipeline(Readable.from(['n,name\n', '1,"a, b"\n', '2,\n']), stream);
  assert.deepEqual((await client.query('SELECT n, name FROM copied ORDER BY n')).rows, [
    { n: 1, name: 'a, b' },
    { n: 2, name: null },
  ]);
});

fact('copy from: a bad row is the error of the stream, with its line, and the client goes on', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  const error = await failureOf(pipeline(Readable.from(['1\tone\n', 'x\ttwo\n', '3\tthree\n']), stream));
  assert.ok(error instanceof face.pg.DatabaseError);
  assert.deepEqual([error.code, error.where], ['22P02', 'COPY copied, line 2, column n: "x"']);
  assert.equal(await countOf(client), 0);
});

fact('copy from: a statement that fails is the error of the stream, and the client goes on', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from('COPY nowhere FROM STDIN'));
  const error = await new Promise((resolve) => {
    stream.once('error', resolve);
  });
  assert.equal(error.code, '42P01');
  assert.equal(await countOf(client), 0);
});

fact('copy from: destroy() ends the COPY without a row, and the client goes on', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  const told = new Promise((resolve) => {
    stream.once('error', resolve);
  });
  stream.write('1\tone\n');
  stream.destroy();
  const error = /** @type {any} */ (await told);
  assert.equal(error.code, '57014');
  assert.equal(error.message, 'COPY from stdin failed: NODE-PG-COPY-STREAMS destroy() was called');
  assert.equal(await countOf(client), 0);
});

fact('copy from: destroy(error) tells the server its message', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  const told = new Promise((resolve) => {
    stream.once('error', resolve);
  });
  stream.write('1\tone\n');
  stream.destroy(new Error('the source is broken'));
  assert.equal(/** @type {any} */ (await told).message, 'COPY from stdin failed: the source is broken');
  assert.equal(await countOf(client), 0);
});

fact('copy from: a source that breaks in a pipeline() leaves no row', async (_t, face) => {
  const client = await clientOf(face);
  async function* broken() {
    yield '1\tone\n';
    throw new Error('the source is broken');
  }
  const stream = client.query(face.copyStreams.from(FROM));
  const closed = new Promise((resolve) => {
    stream.once('close', resolve);
  });
  const error = await failureOf(pipeline(broken, stream));
  assert.match(error.message, /the source is broken/);
  await closed;
  assert.equal(await countOf(client), 0);
});

fact('copy from: in a transaction its rows are undone by ROLLBACK', async (_t, face) => {
  const client = await clientOf(face);
  await client.query('BEGIN');
  const stream = client.query(face.copyStreams.from(FROM));
  stream.end('1\tone\n');
  await finished(stream);
  assert.equal(client.getTransactionStatus(), 'T');
  assert.equal(await countOf(client), 1);
  await client.query('ROLLBACK');
  assert.equal(await countOf(client), 0);
});

fact('copy from: an error in a transaction fails the transaction', async (_t, face) => {
  const client = await clientOf(face);
  await client.query('BEGIN');
  await failureOf(pipeline(Readable.from(['x\n']), client.query(face.copyStreams.from(FROM))));
  assert.equal((await failureOf(client.query('SELECT 1'))).code, '25P02');
  await client.query('ROLLBACK');
});

fact('copy from: two, one after the other, on one client', async (_t, face) => {
  const client = await clientOf(face);
  for (const _ of range(2)) await pipeline(Readable.from(['1\tone\n']), client.query(face.copyStreams.from(FROM)));
  assert.equal(await countOf(client), 2);
});

fact('copy from: queries behind it see its rows', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  const behind = countOf(client);
  stream.end('1\tone\n2\ttwo\n');
  assert.equal(await behind, 2);
});

fact('copy from: finish is emitted once', async (_t, face) => {
  const client = await clientOf(face);
  const stream = client.query(face.copyStreams.from(FROM));
  let finishes = 0;
  stream.on('finish', () => {
    finishes += 1;
  });
  stream.end('1\tone\n');
  await finished(stream);
  await client.query('SELECT 1');
  assert.equal(finishes, 1);
});

fact('copy to: client.query() returns the stream, a Readable of Buffers', async (_t, face) => {
  const client = await face.client();
  const stream = face.copyStreams.to('COPY (SELECT 1) TO STDOUT');
  assert.ok(stream instanceof Readable);
  assert.equal(client.query(stream), stream);
  for await (const chunk of stream) assert.ok(Buffer.isBuffer(chunk));
});

fact('copy to: the text of the rows', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(face.copyStreams.to('COPY (SELECT * FROM generate_series(0, 99)) TO STDOUT'));
  assert.equal(
    await textOf(stream),
    range(100)
      .map((n) => `${n}\n`)
      .join(''),
  );
});

/** Unloads ten rows, and what the stream says of their number afterwards. @param {Face} face */
async function countedUnload(face) {
  const client = await face.client();
  const stream = client.query(face.copyStreams.to('COPY (SELECT * FROM generate_series(1, 10)) TO STDOUT'));
  await textOf(stream);
  await client.query('SELECT 1');
  return stream.rowCount;
}

fact('copy to: rowCount has the number of rows at the end', async (_t, face) => {
  assert.equal(await countedUnload(face), 10);
});

fact('copy to: no rows', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(face.copyStreams.to('COPY (SELECT 1 WHERE false) TO STDOUT'));
  assert.equal(await textOf(stream), '');
});

fact('copy to: ten megabytes into a slow reader', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(
    face.copyStreams.to("COPY (SELECT repeat('x', 1023) FROM generate_series(1, 10240)) TO STDOUT"),
  );
  let bytes = 0;
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk, _encoding, done) {
      bytes += chunk.length;
      setImmediate(done);
    },
  });
  await pipeline(stream, slow);
  assert.equal(bytes, 10_240 * 1024);
});

fact('copy to: one row that is larger than any buffer', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(face.copyStreams.to("COPY (SELECT repeat('-', 3000000)) TO STDOUT"));
  assert.equal((await textOf(stream)).length, 3_000_001);
});

fact('copy to: options are those of the stream', async (_t, face) => {
  assert.equal(face.copyStreams.to('COPY (SELECT 1) TO STDOUT', { highWaterMark: 10 }).readableHighWaterMark, 10);
});

fact('copy to: a statement that fails is the error of the stream, once, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(face.copyStreams.to('COPY (SELECT wrong) TO STDOUT'));
  let errors = 0;
  const error = await new Promise((resolve) => {
    stream.on('error', (/** @type {any} */ told) => {
      errors += 1;
      resolve(told);
    });
    stream.resume();
  });
  assert.equal(error.code, '42703');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  assert.equal(errors, 1);
});

fact('copy to: an error in the middle is the error of the stream, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const stream = client.query(
    face.copyStreams.to('COPY (SELECT 10 / (500 - n) FROM generate_series(1, 1000) AS n) TO STDOUT'),
  );
  assert.equal((await failureOf(textOf(stream))).code, '22012');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('copy to: notices in between do not disturb it', async (_t, face) => {
  const client = await face.client();
  await client.query(`CREATE FUNCTION pg_temp.loud(n int) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'loud %', n; RETURN n; END $$`);
  const stream = client.query(
    face.copyStreams.to('COPY (SELECT pg_temp.loud(n) FROM generate_series(1, 3) AS n) TO STDOUT'),
  );
  assert.equal(await textOf(stream), '1\n2\n3\n');
});

fact('copy to: five, one after the other, on one client', async (_t, face) => {
  const client = await face.client();
  for (const n of range(5)) {
    assert.equal(await textOf(client.query(face.copyStreams.to(`COPY (SELECT ${n}) TO STDOUT`))), `${n}\n`);
  }
});

fact('copy to: in a transaction it sees what the transaction has written', async (_t, face) => {
  const client = await clientOf(face);
  await client.query('BEGIN');
  await client.query("INSERT INTO copied VALUES (1, 'one')");
  assert.equal(await textOf(client.query(face.copyStreams.to('COPY copied TO STDOUT'))), '1\tone\n');
  await client.query('ROLLBACK');
});

fact('copy: from one client to another', async (_t, face) => {
  const [source, target] = [await face.client(), await clientOf(face)];
  const to = source.query(
    face.copyStreams.to("COPY (SELECT n, 'name ' || n FROM generate_series(1, 5000) AS n) TO STDOUT"),
  );
  const from = target.query(face.copyStreams.from(FROM));
  await pipeline(to, from);
  assert.equal(from.rowCount, 5000);
  assert.equal(await countOf(target), 5000);
});

fact('copy: on clients of a pool', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  await client.query(TABLE);
  await pipeline(Readable.from(['1\tone\n']), client.query(face.copyStreams.from(FROM)));
  client.release();
  const again = await pool.connect();
  assert.equal(await textOf(again.query(face.copyStreams.to('COPY copied TO STDOUT'))), '1\tone\n');
  again.release();
});
