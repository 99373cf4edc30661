'use strict';

// Ending a statement before it ends by itself, by timeoutMs or by a signal: the error says what became of the statement, the
// connection is usable afterwards, and no other statement is hit. Transactions and commits are in cancel.commit.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, named, range, until, useCluster } = require('../support/helpers');
const { assertAborted, assertTimeout, countOf } = require('../support/limits');

const db = useCluster({ nodes: 3 });

/** Whether a session of this application_name runs a statement that matches `like`. @param {string} applicationName @param {string} like */
const running = async (applicationName, like) =>
  (
    await db.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND state = 'active' AND query LIKE $2", [
      applicationName,
      like,
    ])
  ).length > 0;

describe('timeoutMs', () => {
  test('timeoutMs ends a running statement on the server, and the connection goes on', async (t) => {
    const applicationName = named('timeout');
    const pool = db.pool(t, { poolSize: 1, applicationName });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    assertTimeout(await failureOf(pool.query('SELECT pg_sleep(30)', [], { timeoutMs: 100 })), 'not-applied');
    assert.equal(await running(applicationName, '%pg_sleep%'), false);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the same connection');
  });

  test('timeoutMs undoes what the statement had done', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE timed (id int)');
    const error = await failureOf(
      pool.query('INSERT INTO timed SELECT i FROM generate_series(1, 5) i WHERE pg_sleep(0.2) IS NOT NULL', [], {
        timeoutMs: 300,
      }),
    );
    assertTimeout(error, 'not-applied');
    assert.equal(await countOf(db, 'timed'), 0);
    await pool.query('DROP TABLE timed');
  });

  test('timeoutMs counts from the call: a statement that waits for a connection is given up, and never sent', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE queued (id int)');
    const tx = await pool.begin();
    const error = await failureOf(pool.query('INSERT INTO queued VALUES (1)', [], { timeoutMs: 50 }));
    assertTimeout(error, 'not-applied');
    await tx.rollback();
    await pool.query('SELECT 1');
    assert.equal(await countOf(db, 'queued'), 0);
    await pool.query('DROP TABLE queued');
  });

  test('timeoutMs ends a call while no connection can be had', async (t) => {
    const pool = db.pool(t, { hosts: db.cluster.hosts.slice(1), acquireTimeoutMs: 50_000 });
    assertTimeout(await failureOf(pool.query('SELECT 1', [], { timeoutMs: 100 })), 'not-applied');
    assertTimeout(await failureOf(pool.begin({ timeoutMs: 100 })), 'not-applied');
  });

  test('timeoutMs does not touch a statement that is quick enough', async (t) => {
    const pool = db.pool(t);
    const answers = await Promise.all(
      range(100).map((i) => pool.query('SELECT $1::int4 AS v', [i], { timeoutMs: 30_000 })),
    );
    answers.forEach((answer, i) => assert.deepStrictEqual(answer, [{ v: i }]));
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v', [], { timeoutMs: 0 }), [{ v: 1 }], '0 is none');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v', [], { timeoutMs: undefined }), [{ v: 1 }]);
  });

  test('timeoutMs in the middle of a large result: the statement ends, and the connection goes on', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const error = await failureOf(
      pool.query("SELECT i, repeat('x', 200) FROM generate_series(1, 100000000) i", [], { timeoutMs: 200 }),
    );
    assertTimeout(error, 'not-applied');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('timeoutMs on a frozen node ends the call, and the outcome is unknown if the statement was sent', async (t) => {
    db.needs('freeze');
    const primary = db.cluster.primary();
    const pool = db.pool(t, { hosts: primary.address, poolSize: 1 });
    await pool.query('CREATE TABLE frozen (id int)');
    await pool.query('INSERT INTO frozen VALUES (1)');
    const gaveUp = async (/** @type {string} */ sql) => {
      await primary.freeze();
      const error = await failureOf(pool.query(sql, [], { timeoutMs: 100 }));
      await primary.thaw();
      assert.equal(error.code, '57014');
      return error.outcome;
    };
    assert.equal(await gaveUp('INSERT INTO frozen VALUES (1)'), 'unknown');
    await until('the pool is back', async () => pool.query('SELECT 1'));
    // A statement that the connection has not prepared yet is prepared first: the server knows it, and was not told to run it.
    assert.equal(await gaveUp('INSERT INTO frozen VALUES (2)'), 'not-applied');
    await until('the pool is back', async () => pool.query('SELECT 1'));
    assert.equal(await pool.value('SELECT count(*)::int4 FROM frozen WHERE id = 2'), 0);
    await pool.query('DROP TABLE frozen');
  });
});

describe('signal', () => {
  test('signal that is already aborted: nothing is sent', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE aborted (id int)');
    const reason = new Error('changed my mind');
    const signal = AbortSignal.abort(reason);
    assertAborted(await failureOf(pool.query('INSERT INTO aborted VALUES (1)', [], { signal })), reason, 'not-applied');
    assertAborted(await failureOf(pool.begin({ signal })), reason, 'not-applied');
    let called = false;
    assertAborted(
      await failureOf(
        pool.transaction(
          async () => {
            called = true;
          },
          { signal },
        ),
      ),
      reason,
      'not-applied',
    );
    assert.equal(called, false);
    const tx = await pool.begin();
    assertAborted(await failureOf(tx.query('INSERT INTO aborted VALUES (1)', [], { signal })), reason, 'not-applied');
    assert.deepStrictEqual(
      await tx.query('SELECT count(*)::int4 AS n FROM aborted'),
      [{ n: 0 }],
      'and the transaction goes on',
    );
    await tx.commit();
    assert.equal(await countOf(db, 'aborted'), 0);
    const fresh = db.pool(t);
    await failureOf(fresh.query('SELECT 1', [], { signal }));
    assert.equal(fresh.status().size, 0, 'no connection was opened for it');
    await pool.query('DROP TABLE aborted');
  });

  test('signal aborted in the tick of the call: the statement is not applied', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE same_tick (id int)');
    const controller = new AbortController();
    const failing = failureOf(
      pool.query('INSERT INTO same_tick SELECT 1 FROM pg_sleep(5)', [], { signal: controller.signal }),
    );
    controller.abort('now');
    assertAborted(await failing, 'now', 'not-applied');
    assert.equal(await countOf(db, 'same_tick'), 0);
    await pool.query('DROP TABLE same_tick');
  });

  test('signal aborted while the statement waits for a connection: it is never sent', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE waiting (id int)');
    const tx = await pool.begin();
    const controller = new AbortController();
    const failing = failureOf(pool.query('INSERT INTO waiting VALUES (1)', [], { signal: controller.signal }));
    await until('it waits', () => pool.status().waiting === 1);
    controller.abort();
    assertAborted(await failing, controller.signal.reason, 'not-applied');
    assert.equal(pool.status().waiting, 0);
    await tx.rollback();
    await pool.query('SELECT 1');
    assert.equal(await countOf(db, 'waiting'), 0);
    await pool.query('DROP TABLE waiting');
  });

  test('signal aborted while the statement runs: it is cancelled, and the connection goes on', async (t) => {
    const applicationName = named('abort');
    const pool = db.pool(t, { poolSize: 1, applicationName });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    const controller = new AbortController();
    const failing = failureOf(pool.query('SELECT pg_sleep(30)', [], { signal: controller.signal }));
    await until('it runs', () => running(applicationName, '%pg_sleep%'));
    const reason = { any: 'thing' };
    controller.abort(reason);
    assertAborted(await failing, reason, 'not-applied');
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the same connection');
  });

  test('signal aborted after the end of its statement: nothing is cancelled', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const controller = new AbortController();
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v', [], { signal: controller.signal }), [{ v: 1 }]);
    const other = pool.query('SELECT 2 AS v FROM pg_sleep(0.2)');
    controller.abort();
    assert.deepStrictEqual(await other, [{ v: 2 }]);
  });

  test('signal may be one of AbortSignal.timeout() and AbortSignal.any()', async (t) => {
    const pool = db.pool(t);
    const error = await failureOf(
      pool.query('SELECT pg_sleep(30)', [], { signal: AbortSignal.any([AbortSignal.timeout(50)]) }),
    );
    assert.equal(error.name, 'AbortError');
    assert.equal(error.cause.name, 'TimeoutError');
  });

  test('signal: one for many statements ends them all', async (t) => {
    /** @type {Error[]} */
    const warnings = [];
    const hear = (/** @type {Error} */ warning) => warnings.push(warning);
    process.on('warning', hear);
    t.after(() => process.off('warning', hear));
    const pool = db.pool(t, { poolSize: 4 });
    const controller = new AbortController();
    const failing = endings(range(20).map(() => pool.query('SELECT pg_sleep(30)', [], { signal: controller.signal })));
    await until('the pool is busy', () => pool.status().inUse === 4);
    controller.abort('all');
    for (const { error } of await failing) assertAborted(error, 'all', 'not-applied');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    assert.deepEqual(warnings, []);
  });

  test('signal: no listener stays on it', async (t) => {
    const { getEventListeners } = require('node:events');
    const pool = db.pool(t);
    const { signal } = new AbortController();
    await Promise.all(range(50).map(() => pool.query('SELECT 1', [], { signal })));
    await endings(range(5).map(() => pool.query('SELECT nothing', [], { signal })));
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  // options, what the message has to contain
  const WRONG = /** @type {[any, RegExp][]} */ ([
    [{ timeoutMs: -1 }, /timeoutMs/],
    [{ timeoutMs: 1.5 }, /timeoutMs/],
    [{ timeoutMs: '5' }, /timeoutMs/],
    [{ timeoutMs: 2 ** 31 }, /timeoutMs/],
    [{ signal: {} }, /signal/],
    [{ signal: null }, /signal/],
    [{ readOnly: 1 }, /readOnly/],
    [{ timeoutMS: 5 }, /timeoutMS/],
    ['x', /options/],
    [5, /options/],
  ]);
  test('wrong options of query() are refused by name, and nothing is sent', async (t) => {
    const pool = db.pool(t);
    for (const [options, message] of WRONG) {
      const error = await failureOf(pool.query('SELECT 1', [], options));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, message);
    }
    assert.equal(pool.status().size, 0);
  });
});

describe('a cancel never hits another statement', () => {
  test('cancel: hundreds of them race with the ends of their statements, and no other statement is hit', async (t) => {
    const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 60_000 });
    let over = false;
    let neighbours = 0;
    const others = range(12).map(async (client) => {
      for (let i = 0; !over; i++) {
        const mine = client * 1_000_000 + i;
        assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v', [mine]), [{ v: mine }]);
        if (i % 50 === 0)
          assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v FROM pg_sleep(0.004)', [mine]), [{ v: mine }]);
        neighbours++;
      }
    });
    const counts = { done: 0, cancelled: 0 };
    const cancellers = range(4).map(async (client) => {
      for (let i = 0; i < 120; i++) {
        // Statements of about 2 ms, limits of 1 to 4 ms: many cancel requests arrive just too late.
        const sql = 'SELECT $1::int4 AS v FROM pg_sleep(0.002)';
        const limit = 1 + (i % 4);
        const controller = new AbortController();
        if (client % 2) setTimeout(() => controller.abort(), limit);
        const options = client % 2 ? { signal: controller.signal } : { timeoutMs: limit };
        const [{ value, error }] = await endings([pool.query(sql, [i], options)]);
        if (error) {
          assert.equal(error.name, client % 2 ? 'AbortError' : 'QueryTimeoutError', error.stack);
          assert.ok(['not-applied', 'applied'].includes(error.outcome), error.outcome);
          counts.cancelled++;
        } else {
          assert.deepStrictEqual(value, [{ v: i }]);
          counts.done++;
        }
      }
    });
    await Promise.all(cancellers).finally(() => {
      over = true;
    });
    await Promise.all(others);
    assert.ok(counts.cancelled > 50, JSON.stringify(counts));
    assert.ok(neighbours > 200, `${neighbours}`);
  });

  test('cancel on the only connection of a pool does not hit the next statement', async (t) => {
    const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 60_000 });
    for (let i = 0; i < 150; i++) {
      const [cancelled, ...rest] = await endings([
        pool.query('SELECT pg_sleep(0.001)', [], { timeoutMs: 1 + (i % 3) }),
        pool.query('SELECT $1::int4 AS v', [i]),
        pool.query('SELECT $1::int4 AS v FROM pg_sleep(0.003)', [i]),
      ]);
      if (cancelled.error) assert.equal(cancelled.error.name, 'QueryTimeoutError');
      for (const { value } of rest) assert.deepStrictEqual(value, [{ v: i }]);
    }
  });

  test('cancel in a transaction does not hit its next statement', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    let finished = 0;
    for (let i = 0; i < 100; i++) {
      const tx = await pool.begin();
      await tx.query('SAVEPOINT s');
      const [{ error }] = await endings([tx.query('SELECT pg_sleep(0.001)', [], { timeoutMs: 1 + (i % 3) })]);
      if (error) assert.equal(error.name, 'QueryTimeoutError');
      else finished++;
      await tx.query('ROLLBACK TO s');
      assert.deepStrictEqual(await tx.query('SELECT $1::int4 AS v FROM pg_sleep(0.002)', [i]), [{ v: i }]);
      await tx.commit();
    }
    assert.ok(finished < 100);
  });

  test('cancel: the outcome of each error is what the server has done', async (t) => {
    const pool = db.pool(t, { poolSize: 3, acquireTimeoutMs: 60_000 });
    await pool.query('CREATE TABLE outcomes (id int)');
    const ended = await endings(
      range(200).map((i) =>
        pool.query('INSERT INTO outcomes SELECT $1::int4 FROM pg_sleep(0.002)', [i], { timeoutMs: 5 + i * 2 }),
      ),
    );
    const present = new Set((await db.sql('SELECT id FROM outcomes')).map(({ id }) => id));
    ended.forEach(({ error }, i) => {
      if (!error || error.outcome === 'applied') assert.ok(present.has(i), `${i} was acknowledged`);
      else if (error.outcome === 'not-applied') assert.ok(!present.has(i), `${i} was not applied`);
    });
    assert.equal(present.size, await countOf(db, 'outcomes'), 'none twice');
    await pool.query('DROP TABLE outcomes');
  });
});
