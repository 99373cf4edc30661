'use strict';

// Whose transaction a call belongs to: through awaits, timers, events, streams and queues of libraries, in retried callbacks, in other
// pools and workers, and after the end of the transaction.

const assert = require('node:assert/strict');
const { AsyncResource } = require('node:async_hooks');
const { EventEmitter } = require('node:events');
const { PassThrough, Readable, Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { describe } = require('node:test');
const { promisify } = require('node:util');
const { endings, failureOf, printedBy, range, sleep, test, until, useCluster } = require('../support/helpers');
const { assertIdle, failure, scene, xidOf } = require('./tables.js');

const db = useCluster({ nodes: 1 });

/** @typedef {any} Tx */

test('a call joins through awaits, timers, microtasks, callbacks, events and streams', async (t) => {
  const { pool } = await scene(db, t);
  const emitter = new EventEmitter();
  // Added outside of any transaction: the context is that of emit().
  emitter.on('ask', (answer) => answer(xidOf(pool)));
  const byCallback = (/** @type {(call: () => void) => void} */ later) =>
    new Promise((resolve, reject) => later(() => xidOf(pool).then(resolve, reject)));
  /** @type {Record<string, () => Promise<unknown>>} */
  const ways = {
    await: async () => {
      await null;
      await sleep(1);
      return xidOf(pool);
    },
    'Promise.then': () => Promise.resolve().then(() => xidOf(pool)),
    setTimeout: () => byCallback((call) => setTimeout(call, 2)),
    setImmediate: () => byCallback((call) => setImmediate(call)),
    nextTick: () => byCallback((call) => process.nextTick(call)),
    queueMicrotask: () => byCallback((call) => queueMicrotask(call)),
    setInterval: () =>
      byCallback((call) => {
        const timer = setInterval(() => {
          clearInterval(timer);
          call();
        }, 2);
      }),
    'a callback of fs': () => byCallback((call) => require('node:fs').stat('.', call)),
    promisify: () => promisify((/** @type {any} */ done) => xidOf(pool).then((xid) => done(null, xid), done))(),
    'an event': () => new Promise((resolve) => emitter.emit('ask', resolve)),
    'a stream': async () => {
      /** @type {string[]} */
      const found = [];
      const asking = new Transform({
        objectMode: true,
        transform: (_row, _, done) => void xidOf(pool).then((xid) => done(null, xid), done),
      });
      await pipeline(Readable.from([1, 2, 3]), asking, async (/** @type {any} */ xids) => {
        for await (const xid of xids) found.push(xid, await xidOf(pool));
      });
      assert.equal(found.length, 6);
      return [...new Set(found)].join();
    },
    'an async generator': async () => {
      async function* ask() {
        yield await xidOf(pool);
      }
      for await (const xid of ask()) return xid;
    },
    'the data events of copyTo': () =>
      new Promise((resolve, reject) => {
        const unload = pool.copyTo('COPY (SELECT 1) TO STDOUT');
        unload.once('data', () =>
          resolve(unload.readableEnded || until('it ended', () => unload.readableEnded).then(() => xidOf(pool))),
        );
        unload.once('error', reject);
      }),
    'a statement of another pool': async () => {
      await other.query('SELECT 1');
      return xidOf(pool);
    },
  };
  const other = db.pool(t, { ambient: true });
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const own = await xidOf(tx);
    for (const [way, run] of Object.entries(ways)) {
      assert.equal(await run(), own, way);
      assert.equal(await tx.transaction(run), own, `${way}, in a savepoint`);
    }
  });
  assertIdle(pool);
});

test('a listener that was added within a transaction runs in that of the code that emits, or in none', async (t) => {
  const { pool } = await scene(db, t);
  const emitter = new EventEmitter();
  const answer = () => new Promise((resolve) => emitter.emit('ask', resolve));
  await pool.transaction(async () => {
    emitter.on('ask', (tell) => tell(xidOf(pool)));
    assert.equal(await answer(), await xidOf(pool));
  });
  const found = await answer();
  assert.ok(found, 'outside of a transaction it is a statement for itself');
  await pool.transaction(async () => assert.equal(await answer(), await xidOf(pool)));
});

test("a library's queue whose worker runs elsewhere does not join; a bound job does", async (t) => {
  const { pool } = await scene(db, t);
  /** @type {(() => void)[]} */
  const jobs = [];
  const timer = setInterval(() => jobs.shift()?.(), 1);
  t.after(() => clearInterval(timer));
  const enqueue = (/** @type {() => Promise<unknown>} */ work, bind = false) =>
    new Promise((resolve, reject) => {
      const job = () => void work().then(resolve, reject);
      jobs.push(bind ? AsyncResource.bind(job) : job);
    });
  await pool.transaction(async () => {
    const own = await xidOf(pool);
    assert.notEqual(await enqueue(() => xidOf(pool)), own, 'the context is that of the worker');
    assert.equal(await enqueue(() => xidOf(pool), true), own);
  });
});

describe('what outlives its transaction', () => {
  test('is refused in every method, and sends nothing', async (t) => {
    const { pool, table, seen } = await scene(db, t);
    /** @type {() => void} */
    let go = () => {};
    const over = new Promise((resolve) => {
      go = () => resolve(undefined);
    });
    const insert = `INSERT INTO ${table} VALUES ('late')`;
    /** @type {Promise<any>[]} */
    let calls = [];
    const whole = pool.transaction(async () => {
      const late = async (/** @type {() => any} */ call) => {
        await over;
        assert.equal(pool.inTransaction, false);
        return call();
      };
      calls = [
        late(() => pool.query(insert)),
        late(() => pool.sql`select 1`),
        late(() => pool.value('SELECT 1')),
        late(() => pool.batch([insert])),
        late(() => pool.exec(insert)),
        late(() => pool.stream(insert)),
        late(() => pool.copyTo(table)),
        late(() => pool.copyFrom(`${table} (note)`, [['late']])),
        late(() => pool.read('SELECT 1')),
        late(() => pool.read.stream('SELECT 1')),
        late(() => pool.notify('x')),
        late(() => pool.transaction(() => 1)),
        late(() => pool.transaction(() => 1, { nested: 'savepoint' })),
      ].map((call) => failureOf(call));
      await xidOf(pool);
    });
    await whole;
    go();
    for (const error of await Promise.all(calls)) assert.equal(error.code, 'ERR_TRANSACTION_ENDED', error.stack);
    assert.deepEqual(await seen(), []);
    assertIdle(pool);
  });

  test('is refused after a rollback, after tx.commit(), and in a timer', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    /** @type {Promise<any>[]} */
    const later = [];
    const remember = () =>
      later.push(new Promise((resolve) => setTimeout(() => resolve(failureOf(write(pool, 'late'))), 30)));
    await failureOf(
      pool.transaction(async () => {
        remember();
        throw failure();
      }),
    );
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      await write(tx, 'kept');
      await tx.commit();
      assert.equal((await failureOf(write(pool, 'late'))).code, 'ERR_TRANSACTION_ENDED');
      remember();
    });
    for (const error of await Promise.all(later)) assert.equal(error.code, 'ERR_TRANSACTION_ENDED', error.stack);
    assert.deepEqual(await seen(), ['kept']);
  });

  test('may run in pool.outside()', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    /** @type {Promise<any> | undefined} */
    let later;
    await pool.transaction(() => {
      later = sleep(20).then(() => pool.outside(() => write(pool, 'later')));
    });
    await later;
    assert.deepEqual(await seen(), ['later']);
  });

  test('of a savepoint is refused, and what outlives a joined transaction, too', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      /** @type {Promise<any>[]} */
      const late = [];
      const remember = () => void late.push(failureOf(sleep(10).then(() => write(pool, 'late'))));
      await tx.transaction(remember);
      await pool.transaction(remember);
      await failureOf(
        tx.transaction(() => {
          remember();
          throw failure();
        }),
      );
      for (const error of await Promise.all(late)) assert.equal(error.code, 'ERR_TRANSACTION_ENDED', error.stack);
      // By tx it is clear what is meant.
      /** @type {Promise<any> | undefined} */
      let byTx;
      await tx.transaction(() => {
        byTx = sleep(10).then(() => write(tx, 'by tx'));
      });
      await byTx;
    });
    assert.deepEqual(await seen(), ['by tx']);
  });

  test('a stream and an unload that are made within, and read after the end, are refused', async (t) => {
    const { pool } = await scene(db, t);
    const [stream, unload] = await pool.transaction(() => [
      pool.stream('SELECT 1'),
      pool.copyTo('COPY (SELECT 1) TO STDOUT'),
    ]);
    assert.equal((await failureOf(stream.next())).code, 'ERR_TRANSACTION_ENDED');
    assert.equal((await failureOf(pipeline(unload, new PassThrough()))).code, 'ERR_TRANSACTION_ENDED');
    // Also in another transaction: they belong to the one in which they were made.
    const again = await pool.transaction(() => pool.stream('SELECT 1'));
    await pool.transaction(async () => {
      assert.equal((await failureOf(again.next())).code, 'ERR_TRANSACTION_ENDED');
    });
    assertIdle(pool);
  });
});

test('a former attempt of a retried callback is refused, and the new one has its own transaction', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  /** @type {Promise<any>[]} */
  const former = [];
  let attempts = 0;
  let go = () => {};
  const second = new Promise((resolve) => {
    go = () => resolve(undefined);
  });
  await pool.transaction(
    async () => {
      attempts++;
      const number = attempts;
      await write(pool, `attempt ${number}`);
      if (number === 1) {
        former.push(failureOf(second.then(() => write(pool, 'by the former'))));
        await pool.query(`DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`);
      }
      go();
      await Promise.all(former);
      await write(pool, `attempt ${number}, after`);
    },
    { retries: 2 },
  );
  assert.equal((await former[0]).code, 'ERR_TRANSACTION_ENDED');
  assert.deepEqual(await seen(), ['attempt 2', 'attempt 2, after']);
});

test('pool.outside() and pool.inTransaction', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  assert.equal(pool.inTransaction, false);
  await failureOf(
    pool.transaction(async () => {
      assert.equal(pool.inTransaction, true);
      await write(pool, 'undone');
      const value = await pool.outside(async () => {
        assert.equal(pool.inTransaction, false);
        await write(pool, 'kept');
        await pool.transaction(async () => {
          assert.equal(pool.inTransaction, true);
          await write(pool, 'kept, too');
        });
        return 7;
      });
      assert.equal(value, 7);
      assert.equal(
        pool.outside(() => 8),
        8,
      );
      assert.equal(pool.inTransaction, true);
      throw failure();
    }),
  );
  assert.deepEqual(await seen(), ['kept', 'kept, too']);
  const plain = db.pool(t);
  assert.equal(plain.inTransaction, false);
  assert.equal(
    plain.outside(() => 9),
    9,
  );
  await plain.transaction(() => assert.equal(plain.inTransaction, false));
});

test('transactions of several pools do not mix', async (t) => {
  const { pool: one, seen, write } = await scene(db, t);
  const two = db.pool(t, { ambient: true });
  const plain = db.pool(t);
  await failureOf(
    one.transaction(() =>
      two.transaction(async () => {
        const ids = await Promise.all([one, two, plain].map(xidOf));
        assert.equal(new Set(ids).size, 3);
        assert.deepEqual([one.inTransaction, two.inTransaction, plain.inTransaction], [true, true, false]);
        await write(one, 'undone');
        await two.outside(() => write(one, 'undone, too'));
        await write(two, 'undone, as well');
        await write(plain, 'kept');
        throw failure();
      }),
    ),
  );
  assert.deepEqual(await seen(), ['kept']);
});

test('many transactions at a time keep to themselves', async (t) => {
  const { pool, table } = await scene(db, t, { poolSize: 8 });
  await Promise.all(
    range(100).map((i) =>
      pool.transaction(async () => {
        for (const j of range(3)) {
          await pool.query(`INSERT INTO ${table} (note) VALUES ($1)`, [String(i)]);
          if (j === 1) await sleep(1);
        }
      }),
    ),
  );
  const rows = await pool.query(
    `SELECT note, count(DISTINCT xid)::int AS xids, count(*)::int AS n FROM ${table} GROUP BY note`,
  );
  assert.equal(rows.length, 100);
  for (const { note, xids, n } of rows) assert.deepEqual([note, xids, n], [note, 1, 3]);
  assertIdle(pool);
});

test('transactions of several workers do not mix', async (t) => {
  const { table, pool } = await scene(db, t);
  const lines = await printedBy(
    db,
    `const { Worker, isMainThread } = require('node:worker_threads');
    const body = (name) => \`
      const { createPool } = require(\${JSON.stringify(require.resolve(${JSON.stringify(require.resolve('../../client.js'))}))});
      const pool = createPool({ ...\${JSON.stringify(options)}, ambient: true, poolSize: 2 });
      (async () => {
        await Promise.all(Array.from({ length: 20 }, (_, i) => pool.transaction(async () => {
          await pool.query('INSERT INTO ${table} (note) VALUES ($1)', ['\${name} ' + i]);
          await pool.transaction(() => pool.query('INSERT INTO ${table} (note) VALUES ($1)', ['\${name} ' + i]), { nested: 'savepoint' });
          if (i % 2) throw new Error('meant');
        }).catch((error) => { if (error.message !== 'meant') throw error; })));
        await pool.end();
      })();\`;
    await Promise.all(['a', 'b', 'c'].map((name) => new Promise((resolve, reject) => {
      new Worker(body(name), { eval: true }).on('error', reject).on('exit', resolve);
    })));
    print('done');`,
  );
  assert.deepEqual(lines, ['done']);
  const rows = await pool.query(
    `SELECT note, count(DISTINCT xid)::int AS xids, count(*)::int AS n FROM ${table} GROUP BY note`,
  );
  assert.equal(rows.length, 30);
  for (const { note, xids, n } of rows) {
    assert.deepEqual([xids, n], [1, 2], note);
    assert.equal(Number(note.split(' ')[1]) % 2, 0, note);
  }
});

test('events of the pool and its logger: listeners run in no transaction, the logger in that of its statement', async (t) => {
  /** @type {boolean[]} */
  const logged = [];
  /** @type {boolean[]} */
  const noticed = [];
  /** @type {any} */
  let pool;
  ({ pool } = await scene(db, t, { logger: () => void logged.push(pool.inTransaction) }));
  pool.on('notice', () => noticed.push(pool.inTransaction));
  await pool.transaction(async () => {
    await pool.exec(`DO $$ BEGIN RAISE NOTICE 'x'; END $$`);
    await pool.query('SELECT 1');
    await until('the notice is there', () => noticed.length > 0);
  });
  assert.deepEqual(noticed, [false]);
  assert.ok(logged.includes(true));
});

test('a pool that ends lets an ambient transaction finish', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  /** @type {Promise<unknown> | undefined} */
  let end;
  const [whole] = await endings([
    pool.transaction(async (/** @type {Tx} */ tx) => {
      await write(pool, 'before');
      end = pool.end();
      assert.equal((await failureOf(write(pool, 'never'))).code, 'ERR_POOL_CLOSED');
      await write(tx, 'by tx');
      await tx.transaction(() => write(tx, 'in a savepoint'));
    }),
  ]);
  await end;
  assert.equal(whole.error, undefined, whole.error?.stack);
  assert.deepEqual(await seen(), ['before', 'by tx', 'in a savepoint']);
});
