'use strict';

// The pinned session of the core (lib/api/pinned-session.js, src/query/pinned.rs), on which the face of pg stands: the protocol it
// speaks, its portals, and what its holder is told.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const client = require('../../client.js');
const { verifyLease } = client;
const { failureOf, ownCluster, test, until, useCluster } = require('../support/helpers.js');

const { textTypes } = /** @type {any} */ (client)[Symbol.for('hyperiondb-client.options')];
const SESSION = Symbol.for('hyperiondb-client.session');

const db = useCluster({ nodes: 1 });

const types = textTypes({
  native: [16, 17, 21, 23, 26, 114, 700, 701, 3802],
  parsers: new Map([[1184, (/** @type {string} */ text) => `parsed ${text}`]]),
});
const texts = textTypes({ native: [], parsers: new Map() });

/** A session that ends with its test, and what it was told. @param {import('node:test').TestContext} t @param {any} pool */
async function pinned(t, pool) {
  /** @type {any[]} */
  const told = [];
  const session = await pool[SESSION]({
    notice: (/** @type {any} */ { message }) => told.push(['notice', message]),
    notification: (/** @type {any} */ { channel, payload }) => told.push(['notification', channel, payload]),
    parameter: (/** @type {string} */ name, /** @type {string} */ value) => told.push(['parameter', name, value]),
    lost: (/** @type {any} */ error) => told.push(['lost', error.sqlstate]),
    retired: () => told.push(['retired']),
  });
  t.after(() => session.close());
  const query = (/** @type {any} */ text, /** @type {any} */ values, /** @type {any} */ options) =>
    session.query(values === undefined ? { text } : { text, values }, { types, ...options });
  const rows = async (/** @type {any} */ text, /** @type {any} */ values) => (await query(text, values))[0].rows;
  return { session, told, query, rows };
}

describe('pinned session: statements', () => {
  test('pinned session: a text without values may have several statements, each with its result', async (t) => {
    const { query } = await pinned(t, db.pool(t));
    const results = await query(
      'SELECT 1 AS a; CREATE TEMP TABLE t (x int); INSERT INTO t VALUES (1), (2); SELECT x FROM t',
    );
    assert.deepEqual(
      results.map((/** @type {any} */ { tag, rows }) => [tag, rows]),
      [
        ['SELECT 1', [{ a: 1 }]],
        ['CREATE TABLE', []],
        ['INSERT 0 2', []],
        ['SELECT 2', [{ x: 1 }, { x: 2 }]],
      ],
    );
    const [empty] = await query('');
    assert.deepEqual([empty.tag, empty.rows, empty.fields], ['', [], []]);
  });

  test('pinned session: values are sent as texts, bytes or NULL; the types of the statement decide', async (t) => {
    const { rows } = await pinned(t, db.pool(t));
    const values = ['12', 'a', null, Buffer.from([0, 255])];
    assert.deepEqual(await rows('SELECT $1::int4 AS i, $2 AS t, $3::date AS d, $4::bytea AS b', values), [
      { i: 12, t: 'a', d: null, b: Buffer.from([0, 255]) },
    ]);
    const error = await failureOf(rows('SELECT $1::int4', ['x']));
    assert.deepEqual([error.code, error.outcome], ['22P02', 'not-applied']);
  });

  test('pinned session: what is not native is the text of the server, or what its parser makes of it', async (t) => {
    const { query } = await pinned(t, db.pool(t));
    await query("SET TimeZone = 'Europe/Berlin'; SET DateStyle = German");
    const sql = "SELECT '2024-07-01 12:00:00+00'::timestamptz AS t, 1.50 AS n, '{1,2}'::int[] AS a, int8 '5' AS i";
    const [{ rows, fields }] = await query(sql);
    assert.deepEqual(rows, [{ t: 'parsed 01.07.2024 14:00:00 CEST', n: '1.50', a: '{1,2}', i: '5' }]);
    assert.deepEqual(
      fields.map((/** @type {any} */ { typeOid, typeSize, typeModifier }) => [typeOid, typeSize, typeModifier]),
      [
        [1184, 8, -1],
        [1700, -1, -1],
        [1007, -1, -1],
        [20, 8, -1],
      ],
    );
    const [raw] = await query('SELECT true AS b, 1 AS i', undefined, { types: texts });
    assert.deepEqual(raw.rows, [{ b: 't', i: '1' }]);
  });

  test('pinned session: a named statement is parsed once, and again after DEALLOCATE ALL', async (t) => {
    const { session, rows, query } = await pinned(t, db.pool(t));
    const named = (/** @type {string} */ value) =>
      session.query({ text: 'SELECT $1::int AS i', values: [value], name: 'one' }, { types });
    const [error] = [await failureOf(named('x'))];
    assert.equal(error.code, '22P02');
    for (const value of ['1', '2']) assert.deepEqual((await named(value))[0].rows, [{ i: Number(value) }]);
    assert.deepEqual(await rows("SELECT count(*) FROM pg_prepared_statements WHERE name = 'one'"), [{ count: '1' }]);
    await query('DEALLOCATE ALL');
    assert.deepEqual((await named('3'))[0].rows, [{ i: 3 }]);
  });

  test('pinned session: transactions are those of the caller, and their status comes with each answer', async (t) => {
    const { session, query } = await pinned(t, db.pool(t));
    const seen = [];
    for (const sql of ['BEGIN', 'SELECT 1/0', 'SELECT 1', 'COMMIT']) {
      const [tag, code] = await query(sql).then(
        (/** @type {any} */ [result]) => [result.tag],
        (/** @type {any} */ error) => [null, error.code],
      );
      seen.push([tag, code, session.transactionStatus]);
    }
    assert.deepEqual(seen, [
      ['BEGIN', undefined, 'T'],
      [null, '22012', 'E'],
      [null, '25P02', 'E'],
      ['ROLLBACK', undefined, 'I'],
    ]);
  });

  test('pinned session: calls run in their order, and each gets its own answer', async (t) => {
    const { rows } = await pinned(t, db.pool(t));
    const calls = Array.from({ length: 50 }, (_, i) =>
      i % 7 === 3 ? failureOf(rows('SELECT 1/0')) : rows('SELECT $1::int AS i', [String(i)]),
    );
    for (const [i, answer] of (await Promise.all(calls)).entries()) {
      if (i % 7 === 3) assert.equal(/** @type {any} */ (answer).code, '22012');
      else assert.deepEqual(answer, [{ i }]);
    }
  });

  test('pinned session: COPY without a stream fails as it does with pg, and the session goes on', async (t) => {
    const { query, rows } = await pinned(t, db.pool(t));
    await query('CREATE TEMP TABLE c (x int)');
    for (const values of [undefined, []]) {
      const error = await failureOf(query('COPY c FROM STDIN', values));
      assert.deepEqual([error.code, error.message], ['57014', 'COPY from stdin failed: No source stream defined']);
    }
    assert.equal((await query('COPY (SELECT generate_series(1, 3)) TO STDOUT'))[0].tag, 'COPY 3');
    assert.deepEqual(await rows('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('pinned session: a statement that takes too long is cancelled, and the session goes on', async (t) => {
    const { query, rows } = await pinned(t, db.pool(t));
    const error = await failureOf(query('SELECT pg_sleep(60)', undefined, { timeoutMs: 50 }));
    assert.deepEqual([error.name, error.code], ['QueryTimeoutError', '57014']);
    assert.deepEqual(await rows('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('pinned session: a large result arrives in pieces, whole, also behind a row that is refused', async (t) => {
    const { query } = await pinned(t, db.pool(t));
    /** @type {any[]} */
    const pieces = [];
    const onRows = (/** @type {any} */ rows, /** @type {any} */ fields) => pieces.push([rows.length, fields[0].name]);
    const [result] = await query('SELECT generate_series(1, 30000) AS g', undefined, { onRows });
    assert.deepEqual([result.rows, result.tag], [[], 'SELECT 30000']);
    assert.ok(pieces.length > 1, 'more than one piece');
    assert.equal(
      pieces.reduce((sum, [length]) => sum + length, 0),
      30_000,
    );
    const failed = query('SELECT 1 / (30000 - g) FROM generate_series(1, 30001) g');
    assert.equal((await failureOf(failed)).code, '22012');
  });
});

describe('pinned session: portals', () => {
  test('pinned session: a portal is read in parts and closed early, within a transaction too', async (t) => {
    const { session, query, rows } = await pinned(t, db.pool(t));
    await query('CREATE TEMP TABLE seen (g int)');
    await query('BEGIN');
    const cursor = session.cursor(
      { text: 'SELECT g FROM generate_series(1, 5) g WHERE g > $1', values: ['0'] },
      { types },
    );
    const parts = [await cursor.read(2), await cursor.read(1)];
    assert.deepEqual(
      parts.map(({ rows, tag }) => [rows, tag]),
      [
        [[{ g: 1 }, { g: 2 }], null],
        [[{ g: 3 }], null],
      ],
    );
    await cursor.close();
    assert.deepEqual(await rows('SELECT 1 AS one'), [{ one: 1 }]);
    assert.equal((await query('COMMIT'))[0].tag, 'COMMIT');
  });

  test('pinned session: an error in the middle of a portal ends the portal and not the session', async (t) => {
    const { session, rows } = await pinned(t, db.pool(t));
    const cursor = session.cursor(
      { text: 'SELECT 1 / (2 - g) AS q FROM generate_series(1, 5) g', values: [] },
      { types },
    );
    assert.deepEqual((await cursor.read(1)).rows, [{ q: 1 }]);
    assert.equal((await failureOf(cursor.read(1))).code, '22012');
    await cursor.close();
    assert.deepEqual(await rows('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('pinned session: the rows of a portal that is read to its end have their tag', async (t) => {
    const { session } = await pinned(t, db.pool(t));
    const cursor = session.cursor(
      { text: 'SELECT generate_series(1, 3) AS g', values: [] },
      { types, rowMode: 'array' },
    );
    const { rows, tag } = await cursor.read(10);
    assert.deepEqual([rows, tag], [[[1], [2], [3]], 'SELECT 3']);
    await cursor.close();
  });
});

describe('pinned session: COPY', () => {
  test('pinned session: data is loaded and unloaded, and a wrong row fails the load', async (t) => {
    const { session, query, rows } = await pinned(t, db.pool(t));
    await query('CREATE TEMP TABLE c (x int)');
    const load = session.copyIn('COPY c FROM STDIN');
    for (let i = 0; i < 1000; i++) await load.write(Buffer.from(`${i}\n`));
    assert.equal((await load.end()).rowCount, 1000);
    const wrong = session.copyIn('COPY c FROM STDIN');
    await wrong.write(Buffer.from('x\n'));
    assert.equal((await failureOf(wrong.end())).code, '22P02');
    const given = session.copyIn('COPY c FROM STDIN');
    await given.write(Buffer.from('1\n'));
    await given.fail('given up');
    assert.deepEqual(await rows('SELECT count(*) FROM c'), [{ count: '1000' }]);
    let bytes = 0;
    for await (const piece of session.copyOut('COPY c TO STDOUT')) bytes += piece.length;
    assert.equal(bytes, 3890);
  });
});

describe('pinned session: its holder is told', () => {
  test('pinned session: notices, notifications and parameters arrive before the answer', async (t) => {
    const { told, query } = await pinned(t, db.pool(t));
    await query("LISTEN c; NOTIFY c, 'p'");
    await query("DO $$ BEGIN RAISE NOTICE 'n'; END $$");
    await query("SET application_name = 'x'");
    assert.deepEqual(told, [
      ['notification', 'c', 'p'],
      ['notice', 'n'],
      ['parameter', 'application_name', 'x'],
    ]);
  });

  test('pinned session: an idle one that is terminated is lost with its SQLSTATE, and takes no more work', async (t) => {
    const pool = db.pool(t);
    const { session, told, query } = await pinned(t, pool);
    await pool.query('SELECT pg_terminate_backend($1)', [session.processId]);
    await until('the holder was told', () => told.length > 0);
    assert.deepEqual(told, [['lost', '57P01']]);
    assert.equal(session.isUsable, false);
    const error = await failureOf(query('SELECT 1'));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_CONNECTION_LOST', 'not-applied', true]);
  });

  test('pinned session: a statement under which the session is terminated may have been applied', async (t) => {
    const { query, told } = await pinned(t, db.pool(t));
    const error = await failureOf(query('SELECT pg_terminate_backend(pg_backend_pid())'));
    assert.deepEqual([error.code, error.outcome], ['57P01', 'unknown']);
    await until('the holder was told', () => told.length > 0);
  });

  test('pinned session: the pool has its place again when the session is closed or lost', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const first = await pool[SESSION]({ lost() {} });
    const second = pool[SESSION]({ lost() {} });
    await first.close();
    const session = await second;
    session.query({ text: 'SELECT pg_terminate_backend(pg_backend_pid())' }, { types }).catch(() => {});
    const third = await pool[SESSION]({ lost() {} });
    await third.close();
    await until('the pool is idle', () => pool.status().inUse === 0);
  });

  test('pinned session: pool.end() ends it, and what it is asked then is refused', async (t) => {
    const pool = db.pool(t);
    const { query } = await pinned(t, pool);
    await pool.end();
    assert.equal((await failureOf(query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
  });

  test('pinned session: a lease is renewed while it is idle, and never in its transaction', async (t) => {
    const secret = 'a secret of the service';
    const lease = { coordinationSecret: secret, serviceName: 'pinned', reaper: false, leaseTtlMs: 900 };
    const times = { heartbeatSoftRemainingMs: 700, heartbeatHardWaitRemainingMs: 100 };
    const pool = db.pool(t, { poolSize: 1, monitor: false, lease: { ...lease, ...times } });
    const { session, query } = await pinned(t, pool);
    const leaseOf = async () => {
      const sql = 'SELECT application_name AS name FROM pg_stat_activity WHERE pid = $1';
      const [{ name }] = await db.cluster.primary().sql(sql, [session.processId]);
      return /** @type {any} */ (verifyLease(name, secret)).expiresAt;
    };
    const before = await leaseOf();
    await until('the lease is renewed', async () => (await leaseOf()) > before);
    await query('BEGIN');
    assert.equal((await query('SELECT 1 AS one'))[0].tag, 'SELECT 1');
    assert.equal((await query('COMMIT'))[0].tag, 'COMMIT');
  });
});

describe('pinned session: a node that is fenced', () => {
  test('pinned session: an idle one is retired, or found out by check(); one made read-only by its user is not', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    const pool = own.pool(t, { monitor: false });
    const { session, told, query } = await pinned(t, pool);
    await query('SET default_transaction_read_only = on');
    await session.check();
    assert.equal((await failureOf(query('CREATE TABLE x ()'))).retryable, false);
    await query('RESET default_transaction_read_only');
    await query('CREATE TABLE y (i int)');
    await own.cluster.primary().fence();
    const refused = await failureOf(session.check());
    assert.deepEqual([refused.outcome, refused.retryable], ['not-applied', true]);
    await until('the holder was told', () => told.some(([kind]) => kind === 'retired'));
    assert.equal(session.isUsable, false);
  });

  test('pinned session: a write on a node that was fenced meanwhile was not applied and may run elsewhere', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    const { told, query } = await pinned(t, own.pool(t, { monitor: false }));
    await query('CREATE TABLE y (i int)');
    await own.cluster.primary().fence();
    const error = await failureOf(query('INSERT INTO y VALUES ($1)', ['1']));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['25006', 'not-applied', true]);
    await until('the holder was told', () => told.some(([kind]) => kind === 'retired'));
  });
});
