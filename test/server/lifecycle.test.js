'use strict';

// Beginnings and ends: of a pool, of a process that has one, of a worker thread, of the package itself. What could take the
// process down runs in a child process, whose exit code, signal and stderr are part of the test.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const path = require('node:path');
const { createPool, HyperionError } = require('../../client.js');
const {
  endings,
  test,
  failureOf,
  inChild,
  isPending,
  printedBy,
  range,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');

const db = useCluster({ nodes: 2 });

const named = (/** @type {string} */ purpose) => `${purpose}-${process.pid}-${Math.floor(Math.random() * 1e9)}`;
const asyncDispose = /** @type {any} */ (Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'));
const CLIENT = JSON.stringify(path.join(__dirname, '..', '..', 'client.js'));

/** Sessions whose application_name begins like this, on any node: the pool's own and its monitor's. @param {string} name */
async function sessions(name) {
  const counts = await Promise.all(
    db.cluster.nodes.map((node) =>
      node.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE $1 || '%'", [name]),
    ),
  );
  return counts.reduce((sum, [{ n }]) => sum + n, 0);
}

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

  test('end() of a pool that was never used', async (t) => {
    const pool = db.pool(t);
    await pool.end();
    const nowhere = createPool({ hosts: 'nowhere.invalid', user: 'u' });
    await nowhere.end();
  });

  test('end() while the pool is still looking for a node', async () => {
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

describe('the end of a process', () => {
  test('a process with an idle open pool exits at once', async () => {
    const started = performance.now();
    const printed = await printedBy(
      db,
      `
      const pool = createPool(options);
      await pool.query('SELECT 1');
      const idle = createPool(options);
      print('done');`,
      { killMs: 20_000 },
    );
    assert.deepEqual(printed, ['done']);
    assert.ok(performance.now() - started < 15_000);
  });

  test('a process with a pool whose cluster is down exits when its last statement has failed', async () => {
    const printed = await printedBy(
      null,
      `
      const pool = createPool({ hosts: '127.0.0.1:1', user: 'u', password: 'p', acquireTimeoutMs: 200 });
      pool.query('SELECT 1').catch((error) => print(error.code));`,
      { killMs: 20_000 },
    );
    assert.deepEqual(printed, ['ERR_NO_PRIMARY']);
  });

  test('a process waits for running statements that nobody awaits', async () => {
    const printed = await printedBy(
      db,
      `
      const pool = createPool(options);
      pool.query('SELECT 1 AS v FROM pg_sleep(0.3)').then((rows) => print(rows));
      pool.transaction((tx) => tx.query('SELECT 2 AS v FROM pg_sleep(0.2)')).then((rows) => print(rows));`,
    );
    assert.deepEqual(printed.sort(), ['[{"v":1}]', '[{"v":2}]']);
  });

  test('a process waits for end()', async () => {
    const printed = await printedBy(
      db,
      `
      const pool = createPool(options);
      await pool.query('SELECT 1');
      pool.end().then(() => print('ended'));`,
    );
    assert.deepEqual(printed, ['ended']);
  });

  test('a process may exit in the middle of everything', async () => {
    for (const how of ['process.exit(0)', 'process.exitCode = 0; setTimeout(() => process.exit(), 1)']) {
      const { code, signal, stderr } = await inChild(
        db,
        `
        const pool = createPool({ ...options, poolSize: 4 });
        const tx = await pool.begin();
        tx.query('SELECT pg_sleep(60)').catch(() => {});
        for (let i = 0; i < 20; i++) pool.query("SELECT i, repeat('x', 1000) FROM generate_series(1, 10000) i").catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 100));
        ${how};`,
      );
      assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
    }
  });

  test('a process that is ended by an uncaught exception ends by it', async () => {
    const { code, signal, stderr } = await inChild(
      db,
      `
      const pool = createPool(options);
      pool.query('SELECT pg_sleep(60)').catch(() => {});
      setTimeout(() => { throw new Error('mine'); }, 50);`,
    );
    assert.deepEqual([code, signal], [1, null]);
    assert.match(stderr, /Error: mine/);
  });

  test('a rejection of query() that nobody handles is an ordinary unhandled rejection', async () => {
    const { code, stderr } = await inChild(
      db,
      `
      process.on('unhandledRejection', (error) => { print(error.code); process.exit(3); });
      const pool = createPool(options);
      pool.query('SELECT nothing');`,
    );
    assert.deepEqual([code, stderr], [3, '']);
  });

  test('a pool that the program forgets is closed when it is collected', async () => {
    const applicationName = named('forgotten');
    const printed = await printedBy(
      db,
      `
      for (let i = 0; i < 20; i++) await (async () => { await createPool({ ...options, applicationName: '${applicationName}' }).query('SELECT 1'); })();
      const watcher = createPool({ ...options, applicationName: 'watcher' });
      let n = 1;
      for (let i = 0; n > 0 && i < 300; i++) {
        global.gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
        [{ n }] = await watcher.query("SELECT count(*)::int4 AS n FROM pg_stat_activity WHERE application_name LIKE '${applicationName}%'");
      }
      print(n);`,
      { flags: ['--expose-gc'] },
    );
    assert.deepEqual(printed, ['0']);
  });

  test('a pool that the program forgets still answers its statements', async () => {
    const printed = await printedBy(
      db,
      `
      const answers = [];
      for (let i = 0; i < 20; i++) answers.push((async () => createPool(options).query('SELECT $1::int4 AS v FROM pg_sleep(0.1)', [i]))());
      const transactions = [];
      for (let i = 0; i < 5; i++) transactions.push((async () => createPool(options).transaction(async (tx) => { await tx.query('SELECT pg_sleep(0.1)'); return (await tx.query('SELECT $1::int4 AS v', [i]))[0].v; }))());
      const timer = setInterval(() => global.gc(), 5);
      const rows = await Promise.all(answers);
      print(rows.map(([{ v }]) => v).join(), (await Promise.all(transactions)).join());
      clearInterval(timer);`,
      { flags: ['--expose-gc'] },
    );
    assert.deepEqual(printed, [`${range(20).join()} 0,1,2,3,4`]);
  });

  test('memory does not grow with statements, errors and transactions', async () => {
    const [line] = await printedBy(
      db,
      `
      const pool = createPool({ ...options, poolSize: 2 });
      const work = async (n) => {
        for (let i = 0; i < n; i++) {
          await Promise.all(Array.from({ length: 50 }, (_, k) => pool.query('SELECT $1::int4 AS v, $2::text AS t', [k, 'x'.repeat(k)])));
          await pool.query('SELECT nothing').catch(() => {});
          await pool.query('SELECT $1::int4', ['x']).catch(() => {});
          await pool.query('SELECT 1', [], { timeoutMs: 5000 });
          await pool.transaction((tx) => tx.query('SELECT 1'));
        }
        global.gc();
        return process.memoryUsage();
      };
      await work(100);
      const before = await work(50);
      const after = await work(300);
      print(Math.round((after.heapUsed - before.heapUsed) / 1024), Math.round((after.rss - before.rss) / 1024));`,
      { flags: ['--expose-gc'] },
    );
    const [heapKb, rssKb] = line.split(' ').map(Number);
    assert.ok(heapKb < 2_000, `the heap grew by ${heapKb} kB over 16,000 statements`);
    assert.ok(rssKb < 40_000, `the process grew by ${rssKb} kB`);
  });
});

describe('several pools, copies and threads', () => {
  test('two pools work in one process', async (t) => {
    const names = [named('a'), named('b')];
    const pools = names.map((applicationName) => db.pool(t, { applicationName, poolSize: 2 }));
    const answers = await Promise.all(
      range(100).map((i) =>
        pools[i % 2].query("SELECT current_setting('application_name') AS name, $1::int4 AS v", [i]),
      ),
    );
    answers.forEach(([row], i) => assert.deepStrictEqual(row, { name: names[i % 2], v: i }));
    await pools[0].end();
    assert.deepStrictEqual(
      await pools[1].query('SELECT 1 AS v'),
      [{ v: 1 }],
      'the end of one is not the end of the other',
    );
  });

  test('the package works when it is loaded twice', async () => {
    const printed = await printedBy(
      db,
      `
      const first = createPool(options);
      await first.query('SELECT 1');
      for (const name of Object.keys(require.cache)) delete require.cache[name];
      const again = require(${CLIENT});
      const second = again.createPool(options);
      const [a, b] = await Promise.all([first.query('SELECT 1 AS v'), second.query('SELECT 2 AS v')]);
      print(again.createPool !== createPool, a, b);
      await first.end();
      print(await second.query('SELECT 3 AS v'));
      await second.end();`,
    );
    assert.deepEqual(printed, ['true [{"v":1}] [{"v":2}]', '[{"v":3}]']);
  });

  test('CommonJS and ES modules have the same exports', async () => {
    const printed = await printedBy(
      db,
      `
      const url = require('node:url').pathToFileURL(${CLIENT}).href;
      const module = await import(url);
      print(module.createPool === createPool, typeof module.DatabaseError, module.default.createPool === createPool);`,
    );
    assert.deepEqual(printed, ['true function true']);
  });

  test('50 worker threads load the package, query and exit, some in the middle of a query', async () => {
    const printed = await printedBy(
      db,
      `
      const { Worker } = require('node:worker_threads');
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads');
        const { createPool } = require(${CLIENT});
        (async () => {
          const pool = createPool({ ...workerData.options, poolSize: 2 });
          const [{ v }] = await pool.query('SELECT $1::int4 AS v', [workerData.i]);
          parentPort.postMessage(v);
          const kind = workerData.i % 5;
          if (kind === 0) return pool.end();
          if (kind === 1) return;
          if (kind === 2) return process.exit();
          for (let k = 0; k < 20; k++) pool.query("SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i").catch(() => {});
          const tx = await pool.begin();
          await tx.query('SELECT pg_sleep(60)').catch(() => {});
        })();
      \`;
      let right = 0;
      const run = (i) => new Promise((resolve, reject) => {
        const worker = new Worker(source, { eval: true, workerData: { options, i } });
        worker.on('message', (v) => {
          if (v === i) right++;
          if (i % 5 > 2) setTimeout(() => worker.terminate(), i % 7 * 3);
        });
        worker.on('error', reject);
        worker.on('exit', resolve);
      });
      const main = createPool({ ...options, poolSize: 1 });
      for (let i = 0; i < 50; i += 5) {
        await Promise.all([0, 1, 2, 3, 4].map((k) => run(i + k)));
        await main.query('SELECT 1');
      }
      print(right, await main.query('SELECT 1 AS v'));`,
      { killMs: 55_000 },
    );
    assert.deepEqual(printed, ['50 [{"v":1}]']);
  });

  test('worker threads use the package that the main thread never loads', async () => {
    const printed = await printedBy(
      db,
      `
      const { Worker } = require('node:worker_threads');
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads');
        const { createPool } = require(${CLIENT});
        createPool(workerData).query('SELECT 1 AS v').then(([{ v }]) => parentPort.postMessage(v));
      \`;
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve, reject) => {
          const worker = new Worker(source, { eval: true, workerData: options });
          worker.on('message', (v) => print(v));
          worker.on('error', reject);
          worker.on('exit', resolve);
        });
      }`,
      { load: false },
    );
    assert.deepEqual(printed, ['1', '1', '1', '1', '1']);
  });
});

test('a panic in the core rejects one promise, and the pool goes on', async () => {
  const { code, signal, lines } = await inChild(
    db,
    `
    const { shared } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'lib', 'core', 'core-link.js'))});
    const { OP } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'lib', 'core', 'numbers.js'))});
    const pool = createPool({ ...options, poolSize: 2 });
    await pool.query('SELECT 1');
    for (let i = 0; i < 5; i++) {
      const results = await Promise.allSettled([
        pool.query('SELECT 1 AS v'), shared().ask(OP.PANIC, 1), pool.query('SELECT 2 AS v'), shared().ask(OP.PANIC, 1), pool.query('SELECT 3 AS v FROM pg_sleep(0.01)'),
      ]);
      print(results.map(({ status, value, reason }) => status === 'fulfilled' ? value[0].v : reason.code).join());
    }
    print(await pool.query('SELECT 4 AS v'), pool.status().inUse);
    await pool.end();`,
  );
  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  assert.deepEqual(lines, [...Array(5).fill('1,ERR_INTERNAL,2,ERR_INTERNAL,3'), '[{"v":4}] 0']);
});

describe('the stack of an error leads to the line that called', () => {
  // how it is called
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
