'use strict';

// COPY FROM STDIN by streams that are cut, used or broken as nobody should: from() of the module for the face, and that of the package
// pg-copy-streams on both. What arrives is what was written.

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { Readable } = require('node:stream');
const { finished, pipeline } = require('node:stream/promises');
const packaged = require('pg-copy-streams');
const { fact } = require('../support.js');
const { failureOf, range } = require('../../support/helpers.js');

/** @typedef {import('../support.js').Face} Face */
/** @typedef {{ client: any, from: (options?: object) => any, face: Face }} Loading */

const ROW = Buffer.from(`1\t${'x'.repeat(97)}\n`);

/** @param {number} rows @param {number} [width] of the name */
const linesOf = (rows, width = 0) =>
  Buffer.from(
    range(rows)
      .map((n) => `${n}\t${`name ${n} `.padEnd(width, 'äöü')}\n`)
      .join(''),
  );

/** @param {Uint8Array} bytes */
const hashOf = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param {any} client @param {Buffer} expected */
async function assertLoaded(client, expected) {
  const chunks = await client.query(packaged.to('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT')).toArray();
  const content = Buffer.concat(chunks);
  assert.deepEqual([content.length, hashOf(content)], [expected.length, hashOf(expected)]);
}

/** @param {any} client */
const assertEmpty = async (client) =>
  assert.deepEqual((await client.query('SELECT count(*)::int AS rows FROM copied')).rows, [{ rows: 0 }]);

/** Rows without end, and a bad one. @param {number} bad its place */
async function* endless(bad) {
  for (let n = 0; ; n++) {
    if (n % 10 === 0) await new Promise(setImmediate);
    yield n === bad ? 'x\tbad\n' : ROW;
  }
}

/** @param {any} stream what is written until it says that the writer should wait */
const fill = (stream) => {
  while (stream.write(ROW));
};

/**
 * A fact of both modules.
 * @param {string} title
 * @param {(loading: Loading) => Promise<void>} body
 * @param {{ reason: string, body: (loading: Loading) => Promise<void> }} [differs]
 */
function both(title, body, differs) {
  for (const module of ['the module', 'the package']) {
    const prepared =
      (/** @type {typeof body} */ run) => async (/** @type {unknown} */ _t, /** @type {Face} */ face) => {
        const client = await face.client();
        await client.query('DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int, name text)');
        const { from } = module === 'the module' ? face.copyStreams : packaged;
        await run({ client, face, from: (options) => from('COPY copied FROM STDIN', options) });
      };
    fact(`copy from, abused: ${title} (${module})`, prepared(body), {
      differs: differs && { reason: differs.reason, test: prepared(differs.body) },
    });
  }
}

for (const [what, rows, size] of /** @type {[string, number, number][]} */ ([
  ['three bytes', 1000, 3],
  ['a piece of the core', 20_000, 128 << 10],
  ['a piece and one byte', 20_000, (128 << 10) + 1],
  ['twenty megabytes', 20_000, 20 << 20],
])) {
  both(`chunks of ${what} arrive as they are`, async ({ client, from }) => {
    const input = linesOf(rows, size > 1 << 20 ? 700 : 20);
    const stream = client.query(from());
    for (let at = 0; at < input.length; at += size) stream.write(input.subarray(at, at + size));
    stream.end();
    await finished(stream);
    assert.equal(stream.rowCount, rows);
    await assertLoaded(client, input);
  });
}

both('thousands of chunks that wait for a locked table arrive', async ({ client, face, from }) => {
  const locker = await face.client();
  await locker.query('BEGIN; LOCK TABLE copied');
  const input = linesOf(1500);
  const stream = client.query(from());
  for (let at = 0; at < input.length; at += 2) stream.write(input.subarray(at, at + 2));
  stream.end();
  await locker.query('ROLLBACK');
  await finished(stream);
  await assertLoaded(client, input);
});

both('a buffer may be used again when its write has called back', async ({ client, from }) => {
  const input = linesOf(50_000);
  const stream = client.query(from());
  const own = Buffer.alloc(40_000);
  for (let at = 0; at < input.length; at += own.length) {
    const length = input.copy(own, 0, at);
    await new Promise((resolve) => stream.write(own.subarray(0, length), resolve));
    own.fill('x');
  }
  stream.end();
  await finished(stream);
  await assertLoaded(client, input);
});

both('a bad row stops a source without end, and the client goes on', async ({ client, from }) => {
  const source = Readable.from(endless(5000));
  const error = await failureOf(pipeline(source, client.query(from())));
  assert.deepEqual([error.code, error.where], ['22P02', 'COPY copied, line 5001, column n: "x"']);
  assert.ok(source.destroyed);
  await assertEmpty(client);
  await pipeline(Readable.from([ROW]), client.query(from()));
  await assertLoaded(client, ROW);
});

/** The error of a stream whose session is ended in the middle. @param {Loading} loading */
async function lossOf({ client, face, from }) {
  client.on('error', () => {});
  const stream = client.query(from());
  const failed = failureOf(finished(stream));
  fill(stream);
  await face.untilActive(client);
  await face.terminate(client);
  const error = await failed;
  await failureOf(client.query('SELECT 1'));
  return error;
}

both(
  'a session that is ended in the middle is the error of the stream',
  async (loading) => {
    assert.equal((await lossOf(loading)).code, '57P01');
  },
  {
    reason:
      'A COPY whose session ends fails with `Connection terminated unexpectedly`, and its `cause` says more; with pg it fails with what the server has said.',
    body: async (loading) => {
      const { message, cause } = await lossOf(loading);
      assert.deepEqual([message, typeof cause.outcome], ['Connection terminated unexpectedly', 'string']);
    },
  },
);

both('end() of the client in the middle is the error of the stream', async ({ client, face, from }) => {
  const stream = client.query(from());
  const failed = failureOf(finished(stream));
  fill(stream);
  await client.end();
  assert.equal((await failed).message, 'Connection terminated');
  await assertEmpty(await face.client());
});

both('destroy() behind end() does not undo what is complete', async ({ client, from }) => {
  const stream = client.query(from());
  const failed = failureOf(finished(stream));
  const final = stream._final;
  const complete = new Promise((/** @type {(value?: any) => void} */ resolve) => {
    stream._final = (/** @type {any} */ callback) => {
      final.call(stream, callback);
      resolve();
    };
  });
  stream.end(Buffer.alloc(ROW.length * 50_000, ROW));
  await complete;
  stream.destroy(new Error('too late'));
  assert.equal((await failed).message, 'too late');
  assert.deepEqual((await client.query('SELECT count(*)::int AS rows FROM copied')).rows, [{ rows: 50_000 }]);
});

both('a constraint that is deferred fails the COPY at its end', async ({ client, from }) => {
  await client.query('ALTER TABLE copied ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED');
  const stream = client.query(from());
  stream.end('1\tone\n1\tone\n');
  assert.equal((await failureOf(finished(stream))).code, '23505');
  await assertEmpty(client);
});

both('two clients load at a time', async ({ client, face, from }) => {
  const other = await face.client();
  const input = linesOf(40_000);
  const at = input.indexOf(10, input.length >> 1) + 1;
  const halves = [input.subarray(0, at), input.subarray(at)];
  await Promise.all(
    [client, other].map((one, n) => {
      const stream = one.query(from());
      stream.end(halves[n]);
      return finished(stream);
    }),
  );
  await assertLoaded(client, input);
});
