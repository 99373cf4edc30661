'use strict';

// pool.batch(): several statements in one flight, each in a transaction of its own or all in one.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, failureOf, ownCluster, poolFor, range, sleep, until, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 3 });

/** @param {import('node:test').TestContext} t */
async function tableFor(t) {
  const name = `b_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(
    `CREATE TABLE ${name} (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, note text CHECK (note <> 'no'))`,
  );
  t.after(() => db.sql(`DROP TABLE ${name}`));
  const insert = `INSERT INTO ${name} VALUES ($1, $2)`;
  const ids = async () => (await db.sql(`SELECT id FROM ${name} ORDER BY id`)).map(({ id }) => id);
  return { name, insert, ids };
}

/** The result of each statement: its rows, or the code of its error. @param {any[]} ends */
const told = (ends) => ends.map(({ status, value, reason }) => (status === 'fulfilled' ? value : reason.code));

describe('batch() with a transaction of its own for each statement', () => {
  test('batch(): results come in order, and each failed statement has its own error', async (t) => {
    const pool = db.pool(t);
    const { insert, ids, name } = await tableFor(t);
    for (const _ of range(2)) {
      const ends = await pool.batch([
        [insert, [1, 'a']],
        [insert, [2, 'no']],
        ['SELECT $1::int4 AS v', [7]],
        'SELECT 1/0',
        ['SELECT nonsense'],
        ['SELECT $1::int4 AS v', ['x']],
        ['SELECT $1::int4 AS v', [1, 2]],
        ['SELECT $1::int4 AS v', [2.5]],
        [insert, [3, null]],
        `SELECT count(*)::int AS n FROM ${name}`,
      ]);
      assert.deepEqual(told(ends), [
        [],
        '23514',
        [{ v: 7 }],
        '22012',
        '42703',
        '22P02',
        'ERR_INVALID_PARAM',
        'ERR_INVALID_PARAM',
        [],
        [{ n: 2 }],
      ]);
      assert.deepEqual(
        [ends[0].value.rowCount, ends[0].value.command, ends[2].value.fields[0].name],
        [1, 'INSERT', 'v'],
      );
      for (const { reason } of ends) if (reason) assert.match(reason.stack, /batch\.test\.js/);
      assert.deepEqual(await ids(), [1, 3]);
      await db.sql(`DELETE FROM ${name}`);
    }
  });

  test('batch() takes an empty list, rowMode array and large results', async (t) => {
    const pool = db.pool(t);
    assert.deepEqual(await pool.batch([]), []);
    assert.deepEqual(await pool.batch([], { transaction: true }), []);
    const [one, many] = await pool.batch(
      ['SELECT 1 AS a, 2 AS b', 'SELECT g, repeat($$x$$, 100) FROM generate_series(1, 20000) g'],
      {
        rowMode: 'array',
      },
    );
    assert.deepEqual(one.value, [[1, 2]]);
    assert.equal(many.value.length, 20000);
    assert.deepEqual(many.value[19999], [20000, 'x'.repeat(100)]);
  });

  test('batch(): 2,000 statements on a pool of 2, twice at once, among other work, get their own results', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const batches = range(2).map((b) =>
      pool.batch(range(2000).map((i) => ['SELECT $1::int4 AS v, $2::text AS w', [i, `${b}`]])),
    );
    const others = range(200).map((i) => pool.query('SELECT $1::int4 AS v', [i]));
    for (const [b, ends] of (await Promise.all(batches)).entries()) {
      assert.deepEqual(
        told(ends),
        range(2000).map((i) => [{ v: i, w: `${b}` }]),
      );
    }
    for (const [i, rows] of (await Promise.all(others)).entries()) assert.deepEqual(rows, [{ v: i }]);
  });

  test('batch() prepares a plan again that DDL has made useless', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const { name, insert } = await tableFor(t);
    const select = `SELECT * FROM ${name}`;
    await pool.batch([[insert, [1, 'a']], select]);
    await db.sql(`ALTER TABLE ${name} ADD COLUMN more int DEFAULT 5`);
    const ends = await pool.batch([select, ['SELECT 1 AS v'], select]);
    const row = { id: 1, note: 'a', more: 5 };
    assert.deepEqual(told(ends), [[row], [{ v: 1 }], [row]]);
  });

  test('batch() with timeoutMs ends the statements that have not ended', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const slow = 'SELECT pg_sleep(30)';
    await pool.batch(['SELECT 1 AS v', 'SELECT 2 AS v']);
    const ends = await pool.batch(['SELECT 1 AS v', slow, 'SELECT 2 AS v', slow], { timeoutMs: 300 });
    assert.deepEqual(told(ends), [[{ v: 1 }], '57014', [{ v: 2 }], '57014']);
    assert.equal(ends[1].reason.name, 'QueryTimeoutError');
    assert.equal(ends[1].reason.outcome, 'not-applied');
    assert.deepEqual(await pool.query('SELECT 3 AS v'), [{ v: 3 }]);
  });

  test('batch() with a signal ends the statements that have not ended, with the reason of the signal', async (t) => {
    const applicationName = `signal ${process.pid}`;
    const pool = db.pool(t, { poolSize: 1, applicationName });
    const reason = new Error('enough');
    const already = await failureOf(pool.batch(['SELECT 1'], { signal: AbortSignal.abort(reason) }));
    assert.deepEqual([already.name, already.cause], ['AbortError', reason]);
    const controller = new AbortController();
    const running = pool.batch(['SELECT 1 AS v', 'SELECT pg_sleep(30)'], { signal: controller.signal });
    const sleeping = "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'";
    await until('the second one sleeps', async () => (await db.sql(sleeping, [applicationName])).length > 0);
    controller.abort(reason);
    const ends = await running;
    assert.deepEqual(told(ends), [[{ v: 1 }], 'ABORT_ERR']);
    assert.equal(ends[1].reason.cause, reason);
    assert.deepEqual(await pool.query('SELECT 3 AS v'), [{ v: 3 }]);
  });

  test('batch() whose backend is killed: the running statement is unknown, and those behind it run elsewhere or are unknown', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const { insert, ids } = await tableFor(t);
    await pool.batch([[insert, [0, 'warm']]]);
    const kill = 'SELECT pg_terminate_backend(pg_backend_pid())';
    const ends = await pool.batch([[insert, [1, 'a']], kill, [insert, [2, 'b']], [insert, [3, 'c']]]);
    const codes = told(ends).map((end) => (Array.isArray(end) ? 'ok' : end));
    assert.deepEqual(codes.slice(0, 2), ['ok', 'ERR_OUTCOME_UNKNOWN']);
    const present = await ids();
    for (const [index, id] of [2, 3].entries()) {
      const end = codes[index + 2];
      assert.ok(['ok', 'ERR_OUTCOME_UNKNOWN'].includes(end), end);
      if (end === 'ok') assert.ok(present.includes(id), `${id} was acknowledged`);
    }
    assert.equal(new Set(present).size, present.length);
  });

  test('batch() without a connection: each statement has the reason as its error', async (t) => {
    const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 500 });
    const tx = await pool.begin();
    await tx.query('SELECT 1');
    assert.deepEqual(told(await pool.batch(['SELECT 1', 'SELECT 2'])), ['ERR_ACQUIRE_TIMEOUT', 'ERR_ACQUIRE_TIMEOUT']);
    assert.equal(
      (await failureOf(pool.batch(['SELECT 1', 'SELECT 2'], { transaction: true }))).code,
      'ERR_ACQUIRE_TIMEOUT',
    );
    await tx.rollback();
    await pool.end();
    assert.equal((await failureOf(pool.batch(['SELECT 1']))).code, 'ERR_POOL_CLOSED');
  });
});

describe('batch() in one transaction', () => {
  test('batch() in one transaction applies all statements or none', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const { insert, ids } = await tableFor(t);
    const count = range(40).map((i) => [insert, [i, 'x']]);
    const results = await pool.batch([...count, ['SELECT $1::int4 AS v', [5]]], { transaction: true });
    assert.deepEqual(results[40], [{ v: 5 }]);
    assert.equal(results[0].rowCount, 1);
    assert.deepEqual(await ids(), range(40));
    // The wrong statement, the code, and the number of the statement whose error it is.
    const table = /** @type {[any[], string, number | undefined][]} */ ([
      [[insert, [101, 'no']], '23514', 40],
      [['SELECT 1/0'], '22012', 40],
      [['SELECT nonsense'], '42703', 40],
      [[insert, ['x', 'x']], '22P02', 40],
      [[insert, [2.5, 'x']], 'ERR_INVALID_PARAM', 40],
      [[insert, [1]], 'ERR_INVALID_PARAM', 40],
      // A deferred constraint: only COMMIT fails.
      [[insert, [1, 'again']], '23505', undefined],
    ]);
    for (const [wrong, code, index] of table) {
      const more = range(40).map((i) => [insert, [200 + i, 'x']]);
      const error = await failureOf(
        pool.batch([...more, wrong, ...range(3).map((i) => [insert, [300 + i, 'x']])], { transaction: true }),
      );
      assert.deepEqual([error.code, error.statementIndex], [code, index], error.stack);
      assert.match(error.stack, /batch\.test\.js/);
      if (error.outcome !== undefined) assert.equal(error.outcome, 'not-applied');
      assert.deepEqual(await ids(), range(40), code);
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    }
  });

  test('batch() in one transaction takes isolation and readOnly', async (t) => {
    const pool = db.pool(t);
    const settings =
      "SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r";
    const [[plain]] = await pool.batch([settings], { transaction: true });
    assert.deepEqual(plain, { i: 'read committed', r: 'off' });
    const [[strict]] = await pool.batch([settings], { transaction: { isolation: 'serializable', readOnly: true } });
    assert.deepEqual(strict, { i: 'serializable', r: 'on' });
  });

  test('batch() in one transaction travels in one flight, BEGIN first and COMMIT last', async (t) => {
    db.needsVersion(14, 'older servers do not report their role');
    const { host, sent } = await relayTo(t, db.cluster.primary());
    const pool = db.pool(t, { hosts: [host], poolSize: 1, monitor: false });
    const statements = range(50).map((i) => ['SELECT $1::int4 AS v', [i]]);
    await pool.batch(statements, { transaction: true });
    // The first statements of a pool are followed by a reset, until the pool knows the functions of the database.
    await pool.query('SELECT 1');
    sent();
    await pool.batch(statements, { transaction: true });
    const [flight, ...others] = sent();
    assert.deepEqual(others, []);
    assert.ok(flight.startsWith('Q\0\0\0\x0aBEGIN\0B') && flight.endsWith('Q\0\0\0\x0bCOMMIT\0'));
    assert.equal(flight.indexOf('COMMIT'), flight.lastIndexOf('COMMIT'));
    assert.equal(flight.split('\x45\0\0\0\x09\0').length - 1, 50, 'Execute');
    await pool.batch(statements);
    const each = sent();
    assert.equal(each.length, 1);
    assert.doesNotMatch(each[0], /BEGIN|COMMIT/);
  });

  test('batch() in one transaction with wrong parameters sends nothing', async (t) => {
    const { host, sent } = await relayTo(t, db.cluster.primary());
    const pool = db.pool(t, { hosts: [host], poolSize: 1, monitor: false });
    const { insert, ids } = await tableFor(t);
    await pool.batch([[insert, [1, 'a']]], { transaction: true });
    await pool.query('SELECT 1');
    sent();
    for (const wrong of [[3.5, 'x'], [2 ** 40, 'x'], [1], [1, 'a\0b'], [1, 'a', 2]]) {
      const error = await failureOf(
        pool.batch(
          [
            [insert, [2, 'a']],
            [insert, wrong],
          ],
          { transaction: true },
        ),
      );
      assert.equal(error.code, 'ERR_INVALID_PARAM');
    }
    assert.ok(!sent().some((piece) => /BEGIN/.test(piece)));
    assert.deepEqual(await ids(), [1]);
  });

  test('batch() in one transaction prepares a plan again that DDL has made useless', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const { name, insert, ids } = await tableFor(t);
    const select = `SELECT * FROM ${name}`;
    await pool.batch([[insert, [1, 'a']], select], { transaction: true });
    await db.sql(`ALTER TABLE ${name} ADD COLUMN more int DEFAULT 5`);
    const [, rows] = await pool.batch([[insert, [2, 'b']], select], { transaction: true });
    assert.deepEqual(rows.at(-1), { id: 2, note: 'b', more: 5 });
    assert.deepEqual(await ids(), [1, 2]);
  });

  test('batch() in one transaction is undone by a timeout or a signal', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const { insert, ids } = await tableFor(t);
    for (const limit of [() => ({ timeoutMs: 100 }), () => ({ signal: AbortSignal.timeout(100) })]) {
      const work = [[insert, [1, 'a']], 'SELECT pg_sleep(30)', [insert, [2, 'a']]];
      const error = await failureOf(pool.batch(work, { transaction: true, ...limit() }));
      assert.match(error.name, /QueryTimeoutError|AbortError/);
      assert.equal(error.outcome, 'not-applied');
      assert.deepEqual(await ids(), []);
    }
    await pool.batch([[insert, [3, 'a']]], { transaction: true, timeoutMs: 10_000 });
    assert.deepEqual(await ids(), [3]);
  });

  test('batch() in one transaction whose backend is killed is applied wholly or not at all', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const { insert, ids } = await tableFor(t);
    const work = [[insert, [1, 'a']], 'SELECT pg_terminate_backend(pg_backend_pid())', [insert, [2, 'b']]];
    const error = await failureOf(pool.batch(work, { transaction: true }));
    assert.equal(error.code, '57P01');
    assert.equal(error.outcome, 'not-applied');
    assert.deepEqual(await ids(), []);
  });
});

describe('batch() with wrong arguments', () => {
  const sql = 'SELECT 1';
  // statements, options, what the message has to contain
  const table = /** @type {[any, any, RegExp][]} */ ([
    [undefined, undefined, /statements must be an array/],
    [sql, undefined, /statements must be an array/],
    [[5], undefined, /statements\[0\]/],
    [[sql, [sql, [], 3]], undefined, /statements\[1\]/],
    [[[sql, 'x']], undefined, /statements\[0\]: params/],
    [[sql, [sql, [Symbol('x')]]], undefined, /statements\[1\]: parameter \$1/],
    [[[5, []]], undefined, /statements\[0\]/],
    [['COMMIT'], undefined, /statements\[0\].*COMMIT/],
    [['SELECT \0'], undefined, /statements\[0\].*NUL/],
    [[sql], { nonsense: 1 }, /nonsense/],
    [[sql], { transaction: 1 }, /transaction/],
    [[sql], { transaction: { isolation: 'x' } }, /transaction: isolation/],
    [[sql], { transaction: { retries: 1 } }, /transaction.*retries/],
    [[sql], { transaction: true, readOnly: true }, /readOnly/],
    [[sql], { timeoutMs: -1 }, /timeoutMs/],
    [range(600).map((i) => `SELECT ${i}`), undefined, /512 different/],
  ]);
  for (const [statements, options, message] of table) {
    test(`batch() refuses wrong arguments, and sends nothing: ${message}`, async (t) => {
      const pool = db.pool(t);
      const error = await failureOf(pool.batch(statements, options));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, message);
      assert.equal(pool.status().size, 0, 'nothing was sent');
    });
  }
});

test('batch(): the logger is called for each statement', async (t) => {
  /** @type {any[]} */
  const events = [];
  const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event) });
  await pool.batch(['SELECT 1 AS v', 'SELECT 1/0']);
  await pool.batch(['SELECT 2 AS v'], { transaction: true });
  assert.deepEqual(
    events.map(({ sql, rowCount, error }) => [sql, rowCount, error?.code]),
    [
      ['SELECT 1 AS v', 1, undefined],
      ['SELECT 1/0', undefined, '22012'],
      ['SELECT 2 AS v', 1, undefined],
    ],
  );
  for (const { durationMs, node } of events) assert.ok(durationMs > 0 && /:\d+$/.test(node));
});

for (const transaction of [false, true]) {
  test(`batch() succeeds through a fence, ${transaction ? 'in transactions' : 'each statement for itself'}`, async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote', 'fence');
    const [old, next] = own.cluster.nodes;
    const pool = poolFor(t, own.options({ poolSize: 4 }));
    await pool.query('CREATE TABLE moved (id int)');
    await until(
      'replicated',
      async () => (await next.sql("SELECT 1 FROM pg_class WHERE relname = 'moved'")).length > 0,
    );
    let id = 0;
    let stopped = false;
    const writers = range(4).map(async () => {
      while (!stopped) {
        const ids = range(5).map(() => ++id);
        const ends = await pool.batch(
          ids.map((one) => ['INSERT INTO moved VALUES ($1)', [one]]),
          { transaction },
        );
        if (!transaction) for (const { status, reason } of ends) assert.equal(status, 'fulfilled', reason?.stack);
      }
    });
    await sleep(300);
    await old.fence();
    const [{ end }] = await old.sql('SELECT pg_current_wal_lsn()::text AS end');
    await until('all is there', async () => {
      const [{ there }] = await next.sql('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there', [end]);
      return there;
    });
    await next.promote();
    await sleep(500);
    stopped = true;
    await Promise.all(writers);
    const [{ n, d }] = await next.sql('SELECT count(*)::int AS n, count(DISTINCT id)::int AS d FROM moved');
    assert.deepEqual([n, d], [id, id]);
  });
}
