'use strict';

// COPY whose data is handed in as it comes (lib/api/copy/handed-load.js): what arrives is what was written, at any size and pace, and every
// way in which a load can break is an answer to who waits for it. The streams that stand on it: test/pg/facts/copy-streams.abuse.test.js.

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { describe } = require('node:test');
const client = require('../../client.js');
const { failureOf, isPending, ownCluster, range, test, until, useCluster } = require('../support/helpers.js');

const { textTypes } = /** @type {any} */ (client)[Symbol.for('hyperiondb-client.options')];
const SESSION = Symbol.for('hyperiondb-client.session');
const types = textTypes({ native: [23], parsers: new Map() });
const ignore = () => {};

/** Bytes of a piece, as in lib/api/copy/handed-load.js. */
const PIECE = 128 << 10;
const LOSSES = ['ERR_CONNECTION_LOST', 'ERR_OUTCOME_UNKNOWN'];
const FROM = 'COPY loaded FROM STDIN';
const TABLE = 'CREATE TABLE loaded (n int, name text)';
/** While a lock is held, the server stops at the first row. */
const GATE = 4711;
const GATED = `
  CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(${GATE}); RETURN new; END';
  CREATE TRIGGER gate BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION pass()`;

const db = useCluster({ nodes: 1, synchronous: false });

/** Rows as COPY has them. @param {number} rows @param {number} [width] of the name */
const linesOf = (rows, width = 20) =>
  Buffer.from(
    range(rows)
      .map((n) => `${n}\t${`row ${n} `.padEnd(width, 'äöü€')}\n`)
      .join(''),
  );

/** @param {Buffer} bytes @param {number} size */
const cut = (bytes, size) => range(Math.ceil(bytes.length / size)).map((n) => bytes.subarray(n * size, (n + 1) * size));

/** @param {Uint8Array} bytes */
const hashOf = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** A session that ends with its test. @param {import('node:test').TestContext} t @param {any} pool */
async function pinned(t, pool) {
  /** @type {any[]} */
  const lost = [];
  const session = await pool[SESSION]({
    notice: ignore,
    notification: ignore,
    parameter: ignore,
    lost: (/** @type {any} */ error) => lost.push(error),
    retired: ignore,
  });
  t.after(() => session.close());
  const query = async (/** @type {string} */ text) => (await session.query({ text }, { types })).at(-1).rows;
  return { session, lost, query };
}

/** A session, and the empty table. @param {import('node:test').TestContext} t */
async function loading(t) {
  const one = await pinned(t, db.pool(t));
  await one.query(`DROP TABLE IF EXISTS loaded; DROP FUNCTION IF EXISTS pass; ${TABLE}`);
  return one;
}

/** What the table has, in the order of its rows. @param {any} session @returns {Promise<Buffer>} */
async function contentOf(session) {
  /** @type {Buffer[]} */
  const chunks = [];
  for await (const chunk of session.copyOut('COPY (SELECT * FROM loaded ORDER BY n) TO STDOUT')) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** @param {any} session @param {Buffer} expected */
async function assertLoaded(session, expected) {
  const content = await contentOf(session);
  assert.deepEqual([content.length, hashOf(content)], [expected.length, hashOf(expected)]);
}

/** Holds what the trigger waits for; returns what lets it pass. @param {import('node:test').TestContext} t */
async function closeGate(t) {
  const { session, query } = await pinned(t, db.pool(t));
  await query(`SELECT pg_advisory_lock(${GATE})`);
  return () => session.close();
}

describe('handed load: data', () => {
  for (const [what, lines, size] of /** @type {[string, number, number][]} */ ([
    ['one byte', 1000, 1],
    ['three bytes', 20_000, 3],
    ['a piece', 30_000, PIECE],
    ['a piece less one byte', 30_000, PIECE - 1],
    ['a piece and one byte', 30_000, PIECE + 1],
    ['what a piece holds behind its head', 30_000, PIECE - 40],
    ['64 KiB', 30_000, 64 << 10],
    ['twenty megabytes', 20_000, 20 << 20],
  ])) {
    for (const isHeeding of [true, false]) {
      test(`handed load: chunks of ${what} arrive as they are from a writer that ${isHeeding ? 'waits' : 'never waits'}`, async (t) => {
        const { session } = await loading(t);
        const input = linesOf(lines, size > 10 * PIECE ? 700 : 20);
        const load = session.copyIn(FROM);
        for (const chunk of cut(input, size)) {
          const taken = load.write(chunk);
          if (isHeeding) await taken;
        }
        assert.deepEqual(await load.end(), { rowCount: lines });
        await assertLoaded(session, input);
      });
    }
  }

  test('handed load: a hundred thousand chunks that all wait for a table that is locked arrive', async (t) => {
    const { session } = await loading(t);
    const { session: locker, query } = await pinned(t, db.pool(t));
    await query('BEGIN; LOCK TABLE loaded');
    const input = linesOf(20_000);
    const load = session.copyIn(FROM);
    for (const chunk of cut(input, Math.ceil(input.length / 100_000))) load.write(chunk);
    const ended = load.end();
    assert.ok(await isPending(ended));
    await locker.close();
    assert.deepEqual(await ended, { rowCount: 20_000 });
    await assertLoaded(session, input);
  });

  test('handed load: empty chunks are nothing, before, between and behind others', async (t) => {
    const { session } = await loading(t);
    const load = session.copyIn(FROM);
    const empty = Buffer.alloc(0);
    load.write(empty);
    load.write(Buffer.from('1\t'));
    load.write(empty);
    load.write(Buffer.from('one\n'));
    load.write(empty);
    assert.deepEqual(await load.end(), { rowCount: 1 });
    await assertLoaded(session, Buffer.from('1\tone\n'));
  });

  test('handed load: a chunk may be used again when its write has no promise, or its promise has resolved', async (t) => {
    const { session } = await loading(t);
    const input = linesOf(100_000);
    const load = session.copyIn(FROM);
    const own = Buffer.alloc(50_000);
    for (const chunk of cut(input, own.length)) {
      chunk.copy(own);
      await load.write(own.subarray(0, chunk.length));
      own.fill('x');
    }
    assert.deepEqual(await load.end(), { rowCount: 100_000 });
    await assertLoaded(session, input);
  });

  test('handed load: a writer that waits has only so much on its way while the server stands still', async (t) => {
    const { session, query } = await loading(t);
    await query(GATED);
    const open = await closeGate(t);
    const load = session.copyIn(FROM);
    const line = Buffer.from(`1\t${'x'.repeat(10_000)}\n`);
    let lines = 0;
    let waits = /** @type {Promise<void> | undefined} */ (undefined);
    const writing = (async () => {
      for (; lines < 20_000; lines++) {
        waits = load.write(line);
        await waits;
      }
    })();
    let seen = -1;
    // The kernel's buffers take some megabytes.
    await until('the writer stands still', async () => {
      const before = seen;
      seen = lines;
      return lines > 0 && before === lines && waits !== undefined && (await isPending(waits));
    });
    assert.ok(lines * line.length < 40 << 20, `${lines} lines were taken`);
    const failed = load.fail('enough');
    await open();
    await Promise.all([failed, writing]);
  });
});

describe('handed load: ends', () => {
  test('handed load: nothing written is no row', async (t) => {
    const { session } = await loading(t);
    assert.deepEqual(await session.copyIn(FROM).end(), { rowCount: 0 });
  });

  test('handed load: a second end() is the same end, and what is written after end() is not loaded', async (t) => {
    const { session, query } = await loading(t);
    const { session: locker, query: other } = await pinned(t, db.pool(t));
    await other('BEGIN; LOCK TABLE loaded');
    const load = session.copyIn(FROM);
    load.write(Buffer.from('1\tone\n'));
    const first = load.end();
    load.write(Buffer.from('2\ttwo\n'));
    const second = load.end();
    await locker.close();
    assert.deepEqual([await first, await second], [{ rowCount: 1 }, { rowCount: 1 }]);
    load.write(Buffer.from('3\tthree\n'));
    assert.deepEqual(await load.end(), { rowCount: 1 });
    assert.deepEqual(await query('SELECT n FROM loaded'), [{ n: 1 }]);
  });

  for (const [when, start] of /** @type {[string, (load: any) => unknown][]} */ ([
    ['before the server is ready', ignore],
    ['with data that waits', (load) => load.write(linesOf(100_000))],
    [
      'between pieces',
      async (load) => {
        for (const chunk of cut(linesOf(50_000), 10_000)) await load.write(chunk);
      },
    ],
    [
      'after end()',
      (load) => {
        load.write(linesOf(100_000));
        load.end().catch(ignore);
      },
    ],
  ])) {
    test(`handed load: fail() ${when} undoes the load, and says why`, async (t) => {
      const { session, query } = await loading(t);
      const load = session.copyIn(FROM);
      await start(load);
      const failed = load.fail('the source is broken');
      load.write(Buffer.from('1\tone\n'));
      await failed;
      assert.equal((await failureOf(load.end())).message, 'the source is broken');
      assert.deepEqual(await query('SELECT n FROM loaded'), []);
    });
  }

  test('handed load: fail() when the data has been loaded changes nothing', async (t) => {
    const { session, query } = await loading(t);
    const load = session.copyIn(FROM);
    load.write(Buffer.from('1\tone\n'));
    await load.end();
    await load.fail('too late');
    assert.deepEqual(await load.done, { rowCount: 1 });
    assert.deepEqual(await query('SELECT n FROM loaded'), [{ n: 1 }]);
  });
});

describe('handed load: the server', () => {
  for (const [what, sql, code] of [
    ['a table that is not there', 'COPY nowhere FROM STDIN', '42P01'],
    ['a text that is not SQL', 'COPY', '42601'],
  ]) {
    test(`handed load: ${what} is refused before data, and the session goes on`, async (t) => {
      const { session, query } = await loading(t);
      const load = session.copyIn(sql);
      const taken = range(100).map(() => load.write(linesOf(1000)));
      assert.equal((await failureOf(load.done)).code, code);
      await Promise.all(taken);
      assert.equal((await failureOf(load.end())).code, code);
      assert.deepEqual(await query('SELECT 1 AS n'), [{ n: 1 }]);
    });
  }

  for (const sql of ['SELECT 1', 'COPY loaded TO STDOUT', 'INSERT INTO loaded VALUES (1)']) {
    test(`handed load: ${sql}, which takes no data, ends the session`, async (t) => {
      const { session, lost } = await loading(t);
      const load = session.copyIn(sql);
      load.write(linesOf(10));
      assert.equal((await failureOf(load.end())).code, 'ERR_OUTCOME_UNKNOWN');
      await until('the holder is told', () => lost.length === 1);
    });
  }

  test('handed load: a bad row ends a source without end, whose writer learns of it', async (t) => {
    const { session, query } = await loading(t);
    const load = session.copyIn(FROM);
    const lines = linesOf(1000);
    let error;
    let chunks = 0;
    load.done.catch((/** @type {any} */ reason) => {
      error = reason;
    });
    while (error === undefined) {
      await load.write(chunks === 50 ? Buffer.from('x\tbad\n') : lines);
      if (++chunks % 100 === 0) await new Promise(setImmediate);
    }
    assert.deepEqual([error.code, error.row], ['22P02', 50_001]);
    assert.equal(await load.write(lines), undefined);
    assert.deepEqual(await query('SELECT n FROM loaded'), []);
    const again = session.copyIn(FROM);
    again.write(lines);
    assert.deepEqual(await again.end(), { rowCount: 1000 });
    await assertLoaded(session, lines);
  });

  test('handed load: a session that is ended in the middle rejects the load and wakes its writers', async (t) => {
    const { session, query, lost } = await loading(t);
    await query(GATED);
    await closeGate(t);
    const load = session.copyIn(FROM);
    const writers = range(300).map(() => load.write(linesOf(10_000)));
    await until('the server waits', async () => {
      const [row] = await db.cluster
        .primary()
        .sql(`SELECT wait_event FROM pg_stat_activity WHERE pid = ${session.processId}`);
      return row?.wait_event === 'advisory';
    });
    await db.cluster.primary().sql(`SELECT pg_terminate_backend(${session.processId})`);
    const error = await failureOf(load.done);
    assert.ok(LOSSES.includes(error.code), error.code);
    await Promise.all(writers);
    await until('the holder is told', () => lost.length === 1);
    assert.equal(load.write(linesOf(1)), undefined);
    assert.equal((await failureOf(load.end())).code, error.code);
    await load.fail('it is over');
  });

  test('handed load: a server that is killed in the middle rejects the load and wakes its writers', async (t) => {
    const own = await ownCluster(t, { nodes: 1, synchronous: false });
    own.needs('crash');
    const { session, query, lost } = await pinned(t, own.pool(t));
    await query(TABLE);
    const load = session.copyIn(FROM);
    const lines = linesOf(1000);
    let isOver = false;
    const failed = failureOf(load.done).finally(() => {
      isOver = true;
    });
    let chunks = 0;
    const writing = (async () => {
      while (!isOver) {
        await load.write(lines);
        if (++chunks % 10 === 0) await new Promise(setImmediate);
      }
    })();
    await until('it loads', () => chunks > 100);
    await own.cluster.primary().crash();
    assert.ok(LOSSES.includes((await failed).code));
    await writing;
    await until('the holder is told', () => lost.length === 1);
  });

  test('handed load: a session that closes in the middle undoes the load', async (t) => {
    const { session } = await loading(t);
    const load = session.copyIn(FROM);
    const writers = range(30).map(() => load.write(linesOf(10_000)));
    const closed = session.close();
    await load.fail('closed');
    await closed;
    await Promise.all(writers);
    const { query } = await pinned(t, db.pool(t));
    assert.deepEqual(await query('SELECT n FROM loaded'), []);
  });

  test('handed load: in a transaction that is rolled back its rows are undone; one after the other they are added', async (t) => {
    const { session, query } = await loading(t);
    const lines = linesOf(10_000);
    const at = lines.indexOf(10, 100_000) + 1;
    const load = (/** @type {Buffer} */ bytes) => {
      const handed = session.copyIn(FROM);
      handed.write(bytes);
      return handed.end();
    };
    await query('BEGIN');
    assert.deepEqual(await load(lines), { rowCount: 10_000 });
    await query('ROLLBACK');
    assert.deepEqual(await query('SELECT n FROM loaded'), []);
    // Both are under way.
    await Promise.all([load(lines.subarray(0, at)), load(lines.subarray(at))]);
    await assertLoaded(session, lines);
  });

  test('handed load: two sessions load at a time', async (t) => {
    const { session } = await loading(t);
    const { session: other } = await pinned(t, db.pool(t));
    const input = linesOf(60_000);
    const half = Math.floor(input.length / 2);
    const at = input.indexOf(10, half) + 1;
    const load = async (/** @type {any} */ one, /** @type {Buffer} */ bytes) => {
      const handed = one.copyIn(FROM);
      for (const chunk of cut(bytes, 7000)) await handed.write(chunk);
      return handed.end();
    };
    await Promise.all([load(session, input.subarray(0, at)), load(other, input.subarray(at))]);
    await assertLoaded(session, input);
  });
});
