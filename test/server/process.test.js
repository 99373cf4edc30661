'use strict';

// Processes, worker threads and copies of the package that have pools, and when they end. Code that could end the process runs in
// a child process, whose exit code, signal and stderr the test checks.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const path = require('node:path');
const { test, inChild, named, printedBy, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 2 });

const CLIENT = JSON.stringify(path.join(__dirname, '..', '..', 'client.js'));

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
