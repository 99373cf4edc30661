'use strict';

// The end of a pool, its logger, and the errors that it rejects with. Processes and threads that have pools are in
// process.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool, HyperionError } = require('../../client.js');
const { endings, test, failureOf, isPending, named, range, sleep, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 2 });

const asyncDispose = /** @type {any} */ (Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'));

/** Sessions whose application_name begins with this, on any node: those of the pool and of its monitor. @param {string} name */
async function sessions(name) {
  const counts = await Promise.all(
    db.cluster.nodes.map((node) =>
      node.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE $1 || '%'", [name]),
    ),
  );
  return counts.reduce((sum, [{ n }]) => sum + n, 0);
}

/** More rows than a reader could take. */
const ENDLESS = 'SELECT generate_series(1, 1000000000) AS n';

describe('end()', () => {
  test('end() takes no new work, lets running work finish, then closes every connection', async (t) => {
    const applicationName = named('end');
    const pool = db.pool(t, { applicationName, poolSize: 2 });
    const running = pool.query('SELECT 1 AS v FROM pg_sleep(0.3)');
    const waiting = range(5).map((i) => pool.query('SELECT $1::int4 AS v FROM pg_sleep(0.01)', [i]));
    const ended = pool.end();
    for (const refused of [pool.query('SELECT 1'), pool.begin(), pool.transaction(async () => {})]) {
      const error = await failureOf(refused);
      assert.deepEqual([error.name, error.code], ['PoolClosedError', 'ERR_POOL_CLOSED']);
      assert.ok(error instanceof HyperionError);
    }
    assert.ok(await isPending(ended));
    assert.deepStrictEqual(await running, [{ v: 1 }]);
    (await Promise.all(waiting)).forEach((answer, i) => assert.deepStrictEqual(answer, [{ v: i }]));
    assert.equal(await ended, undefined);
    await until('no session is left', async () => (await sessions(applicationName)) === 0);
    assert.deepEqual(pool.status(), { maxSize: 2, size: 0, available: 0, inUse: 0, waiting: 0, pipelined: 0 });
    assert.deepEqual(pool.nodes(), []);
  });

  test('end() may be called again, and many times at once', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT 1');
    await Promise.all([pool.end(), pool.end(), pool[asyncDispose](), pool.end({ timeoutMs: 5 })]);
    await pool.end();
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
  });

  test('end() of a pool that was never used resolves', async (t) => {
    const pool = db.pool(t);
    await pool.end();
    const nowhere = createPool({ hosts: 'nowhere.invalid', user: 'u' });
    await nowhere.end();
  });

  test('end() waits for a transaction that was called right before it', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT 1');
    const done = pool.transaction(async (tx) => {
      const [{ v }] = await tx.query('SELECT 1 AS v');
      await sleep(5);
      return v + (await tx.value('SELECT 2'));
    });
    await pool.end();
    assert.equal(await done, 3);
  });

  test('end() while the pool is still looking for a node waits for the statements that fail', async () => {
    const pool = createPool({ hosts: '127.0.0.1:1', user: 'u', password: 'p', acquireTimeoutMs: 300 });
    const waiting = failureOf(pool.query('SELECT 1'));
    const ended = pool.end();
    assert.match((await waiting).code, /ERR_NO_PRIMARY|ERR_POOL_CLOSED/);
    await ended;
  });

  test('end() with timeoutMs: statements that still run then are cancelled, and their errors say so', async (t) => {
    const applicationName = named('end-timeout');
    const pool = db.pool(t, { applicationName, poolSize: 3 });
    await pool.query('CREATE TABLE cut_short (id int)');
    const tx = await pool.begin();
    await tx.query('INSERT INTO cut_short VALUES (1)');
    const running = endings([
      pool.query('SELECT pg_sleep(60)'),
      pool.query('INSERT INTO cut_short SELECT 2 FROM pg_sleep(60)'),
      tx.query('SELECT pg_sleep(60)'),
      ...range(3).map(() => pool.query('INSERT INTO cut_short VALUES (3)')),
    ]);
    await until('all are busy', () => pool.status().inUse === 3);
    await sleep(50);
    await pool.end({ timeoutMs: 100 });
    for (const { error } of await running) {
      assert.ok(error instanceof HyperionError, String(error));
      assert.ok(
        ['57014', 'ERR_POOL_CLOSED', 'ERR_OUTCOME_UNKNOWN', 'ERR_CONNECTION_LOST'].includes(
          /** @type {any} */ (error).code,
        ),
        error.stack,
      );
    }
    await until('no session is left', async () => (await sessions(applicationName)) === 0);
    assert.deepEqual(await db.sql('SELECT id FROM cut_short'), []);
    await db.sql('DROP TABLE cut_short');
  });

  for (const [name, start] of /** @type {[string, (pool: any) => Promise<AsyncIterable<unknown>>][]} */ ([
    ['a stream', async (pool) => pool.stream(ENDLESS)],
    ['a stream of read()', async (pool) => pool.read.stream(ENDLESS)],
    ['the stream of copyTo()', async (pool) => pool.copyTo(`COPY (${ENDLESS}) TO STDOUT`)],
    [
      'the stream of copyTo() in a transaction',
      async (pool) => (await pool.begin()).copyTo(`COPY (${ENDLESS}) TO STDOUT`),
    ],
  ])) {
    test(`end() with timeoutMs does not wait for the reader of ${name}, who gets ERR_POOL_CLOSED`, async (t) => {
      const applicationName = named('end-unread');
      const pool = db.pool(t, { applicationName });
      const pieces = (await start(pool))[Symbol.asyncIterator]();
      await pieces.next();
      await pool.end({ timeoutMs: 50 });
      const rest = async () => {
        while (!(await pieces.next()).done);
      };
      assert.equal((await failureOf(rest())).code, 'ERR_POOL_CLOSED');
      await until('no session is left', async () => (await sessions(applicationName)) === 0);
    });
  }

  test('end() with timeoutMs does not wait for the source of copyFrom(), which is undone', async (t) => {
    const applicationName = named('end-no-source');
    const pool = db.pool(t, { applicationName });
    await pool.query('CREATE TABLE half_loaded (id int)');
    let isAsked = false;
    const load = failureOf(
      pool.copyFrom(
        'half_loaded',
        (async function* () {
          yield [1];
          isAsked = true;
          await new Promise(() => {});
        })(),
      ),
    );
    await until('it waits for its source', () => isAsked);
    await pool.end({ timeoutMs: 50 });
    assert.match((await load).code, /^(ERR_POOL_CLOSED|57014)$/);
    await until('no session is left', async () => (await sessions(applicationName)) === 0);
    assert.deepEqual(await db.sql('SELECT id FROM half_loaded'), []);
    await db.sql('DROP TABLE half_loaded');
  });

  test('end() refuses wrong options', async (t) => {
    for (const options of [{ timeoutMs: -1 }, { timeoutMs: 'x' }, { timeout: 1 }, 5]) {
      const pool = db.pool(t);
      assert.equal((await failureOf(pool.end(options))).code, 'ERR_INVALID_PARAM');
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }], 'it is as open as before');
      await pool.end();
    }
  });

  test('await using ends the pool', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT 1');
    // What `await using pool = createPool()` calls at the end of its block.
    assert.equal(await pool[asyncDispose](), undefined);
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
    if (Symbol.asyncDispose) assert.equal(typeof pool[Symbol.asyncDispose], 'function');
  });

  test('end() of a hundred pools, one after another, leaves nothing open', async () => {
    const applicationName = named('hundred');
    for (let i = 0; i < 100; i++) {
      const pool = createPool(db.options({ applicationName }));
      assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v', [i]), [{ v: i }]);
      await pool.end();
    }
    await until('no session is left', async () => (await sessions(applicationName)) === 0);
  });
});

describe('the option logger', () => {
  test('logger is called once for each statement, with text, time, rows, node and error', async (t) => {
    /** @type {any[]} */
    const events = [];
    const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event) });
    await pool.query('SELECT i FROM generate_series(1, 3) i');
    const error = await failureOf(pool.query('SELECT 1 / $1::int4', [0]));
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 2 FROM pg_sleep(0.02)'));
    const invalid = await failureOf(pool.query('SELECT $1::int4', ['a', 'b']));
    const sqls = events.map(({ sql }) => sql).filter((sql) => sql.startsWith('SELECT'));
    assert.deepEqual(sqls, [
      'SELECT i FROM generate_series(1, 3) i',
      'SELECT 1 / $1::int4',
      'SELECT 2 FROM pg_sleep(0.02)',
      'SELECT $1::int4',
    ]);
    const [first, second, third, fourth] = events.filter(({ sql }) => sql.startsWith('SELECT'));
    assert.deepEqual([first.rowCount, first.error, first.node], [3, undefined, db.cluster.primary().address]);
    assert.deepEqual([second.rowCount, second.error, second.node], [undefined, error, db.cluster.primary().address]);
    assert.ok(third.durationMs >= 15 && third.durationMs < 60_000);
    assert.equal(fourth.error, invalid);
    for (const event of events) assert.ok(event.durationMs >= 0);
    // Parameters may be secrets.
    await failureOf(pool.query('SELECT $1::int4', ['hunter2 hunter2']));
    assert.ok(!('params' in events.at(-1)));
  });

  for (const [how, logger] of /** @type {const} */ ([
    [
      'throws',
      () => {
        throw new Error('logger');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('logger');
      },
    ],
    [
      'rejects as a thenable',
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
      () => ({ then: (/** @type {any} */ _, /** @type {any} */ reject) => reject(new Error('logger')) }),
    ],
  ])) {
    test(`logger that ${how} changes nothing for the statement`, async (t) => {
      const pool = db.pool(t, { logger });
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
      assert.equal((await failureOf(pool.query('SELECT nothing'))).code, '42703');
    });
  }
});

describe('the stack of an error leads to the line that called', () => {
  // name of the call, the call
  const CALLS = /** @type {[string, (pool: any) => Promise<unknown>][]} */ ([
    [
      'awaited',
      async (pool) => {
        await pool.query('SELECT nothing');
      },
    ],
    [
      'a wrong parameter',
      async (pool) => {
        await pool.query('SELECT $1::int4', [3.5]);
      },
    ],
    [
      'a wrong number of parameters',
      async (pool) => {
        await pool.query('SELECT $1::int4', []);
      },
    ],
    ['returned', async (pool) => pool.query('SELECT nothing')],
    [
      'in Promise.all',
      async (pool) => {
        await Promise.all([pool.query('SELECT 1'), pool.query('SELECT nothing')]);
      },
    ],
    [
      'in Promise.allSettled, and thrown',
      async (pool) => {
        const [one] = await Promise.allSettled([pool.query('SELECT nothing')]);
        throw /** @type {any} */ (one).reason;
      },
    ],
    [
      'with a timeout',
      async (pool) => {
        await pool.query('SELECT pg_sleep(10)', [], { timeoutMs: 20 });
      },
    ],
    [
      'with a signal',
      async (pool) => {
        await pool.query('SELECT pg_sleep(10)', [], { signal: AbortSignal.timeout(20) });
      },
    ],
    [
      'begin()',
      async (pool) => {
        await pool.begin({ isolation: 'no' });
      },
    ],
    [
      'in begin()',
      async (pool) => {
        const tx = await pool.begin();
        try {
          await tx.query('SELECT nothing');
        } finally {
          await tx.rollback();
        }
      },
    ],
    [
      'commit()',
      async (pool) => {
        const tx = await pool.begin();
        await tx.query('SELECT nothing').catch(() => {});
        await tx.commit();
      },
    ],
    [
      'in transaction()',
      async (pool) => {
        await pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query('SELECT nothing');
        });
      },
    ],
    [
      'logged',
      async (pool) => {
        await pool.logging.query('SELECT nothing');
      },
    ],
    [
      'of a closed pool',
      async (pool) => {
        await pool.closed.query('SELECT 1');
      },
    ],
  ]);
  test('the stack of an error leads to the line that called, whatever the method', async (t) => {
    const pool = db.pool(t);
    pool.logging = db.pool(t, { logger: () => {} });
    pool.closed = db.pool(t);
    await pool.closed.end();
    const missing = [];
    for (const [how, call] of CALLS) {
      const { stack } = await failureOf(call(pool));
      if (!stack.includes('lifecycle.test.js')) missing.push(`${how}: ${stack}`);
      assert.match(stack.split('\n')[0], /Error/);
    }
    assert.deepEqual(missing, []);
  });
});

describe('errors', () => {
  test('errors are instances of the exported classes, and have their names', async (t) => {
    const client = require('../../client.js');
    const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 100 });
    const busy = await pool.begin();
    const errors = {
      AcquireTimeoutError: await failureOf(pool.query('SELECT 1')),
      DatabaseError: await failureOf(busy.query('SELECT nothing')),
      ParameterError: await failureOf(pool.query('SELECT 1', /** @type {any} */ ('x'))),
      AbortError: await failureOf(pool.query('SELECT 1', [], { signal: AbortSignal.abort() })),
      NoPrimaryError: await failureOf(db.pool(t, { hosts: '127.0.0.1:1', acquireTimeoutMs: 50 }).query('SELECT 1')),
    };
    await busy.rollback();
    for (const [name, error] of Object.entries(errors)) {
      const Class = /** @type {any} */ (client)[name];
      assert.ok(error instanceof Class && error instanceof client.HyperionError && error instanceof Error, name);
      assert.equal(error.name, name);
      assert.equal(Object.prototype.toString.call(error), '[object Error]');
      assert.match(String(error), new RegExp(`^${name}: `));
      assert.equal(typeof error.code, 'string');
    }
    for (const error of [errors.AcquireTimeoutError, errors.DatabaseError, errors.NoPrimaryError])
      assert.equal(typeof error.attempts, 'number');
  });
});
