'use strict';

// In whose context (AsyncLocalStorage) the channels tell: a tracer makes the span of a statement a child of its caller's span so.

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { describe } = require('node:test');
const pg = require('../../exports/pg/index.js');
const { failureOf, range, sleep, test, useCluster } = require('../support/helpers.js');
const { bind, subscribe } = require('./listen.js');

const db = useCluster({ nodes: 1 });

/**
 * A tracer: a span for each statement and transaction, whose parent is the span around it. Returns the path of each statement.
 * @param {import('node:test').TestContext} t
 */
function tracer(t) {
  const storage = new AsyncLocalStorage();
  /** @type {string[]} */
  const paths = [];
  /** @type {string[]} */
  const misplaced = [];
  const pathWith = (/** @type {string} */ name) => [...(storage.getStore() ?? []), name];
  const nameOf = (/** @type {any} */ { sql }) => (sql === undefined ? 'transaction' : /\w+$/.exec(sql)?.[0]);
  for (const channel of /** @type {const} */ (['hyperiondb:query', 'hyperiondb:transaction'])) {
    bind(t, channel, storage, (message) => pathWith(nameOf(message) ?? ''));
    subscribe(t, channel, {
      // What is bound is bound for the subscribers to `start`, too.
      start: (message) => {
        paths.push(/** @type {string[]} */ (storage.getStore()).join(' > '));
        message.path = storage.getStore();
      },
      asyncEnd: (message) => {
        // The end of a transaction of begin() is told in the context of its commit().
        if (storage.getStore() !== message.path) misplaced.push(nameOf(message) ?? '');
      },
    });
  }
  return {
    paths,
    misplaced,
    storage,
    /** Runs in a span of the caller. @template T @param {string} name @param {() => T} work @returns {T} */
    within: (name, work) => storage.run(pathWith(name), work),
  };
}

describe('contexts of hyperiondb-client', () => {
  test('contexts: statements side by side, and what follows them, are each in the context of their caller', async (t) => {
    const pool = db.pool(t, { poolSize: 3 });
    const { paths, misplaced, within, storage } = tracer(t);
    await Promise.all(
      range(20).map((i) =>
        within(`caller${i}`, async () => {
          await pool.query(`SELECT 1 AS first${i}`);
          assert.equal(storage.getStore()?.join(), `caller${i}`, 'the context of the caller is as before');
          await pool.read(`SELECT 1 AS second${i}`);
          await failureOf(pool.query(`SELECT 1 / 0 AS third${i}`));
        }),
      ),
    );
    assert.deepEqual(
      paths.sort(),
      range(20)
        .flatMap((i) => ['first', 'second', 'third'].map((name) => `caller${i} > ${name}${i}`))
        .sort(),
    );
    assert.deepEqual(misplaced, []);
    assert.equal(storage.getStore(), undefined);
  });

  for (const ambient of [false, true]) {
    test(`contexts: a callback's transaction is the parent of its statements${ambient ? ', those of the pool included' : ''}`, async (t) => {
      const pool = db.pool(t, { ambient });
      const { paths, misplaced, within } = tracer(t);
      await within('caller', () =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query('SELECT 1 AS one');
          await within('inner', () => tx.transaction((/** @type {any} */ part) => part.query('SELECT 2 AS two')));
          if (ambient) await pool.query('SELECT 3 AS three');
          await sleep(5);
          await tx.exec('SELECT 4 AS four');
        }),
      );
      assert.deepEqual(paths, [
        'caller > transaction',
        'caller > transaction > one',
        'caller > transaction > inner > hyperiondb_1',
        'caller > transaction > inner > two',
        'caller > transaction > inner > hyperiondb_1',
        ...(ambient ? ['caller > transaction > three'] : []),
        'caller > transaction > four',
      ]);
      assert.deepEqual(misplaced, []);
    });
  }

  test('contexts: a callback that runs again is in the same context each time', async (t) => {
    const pool = db.pool(t);
    const { paths, misplaced, within } = tracer(t);
    let runs = 0;
    await within('caller', () =>
      pool.transaction(
        async (/** @type {any} */ tx) => {
          await tx.query('SELECT 1 AS one');
          if (++runs < 3) await tx.query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$ -- again");
        },
        { retries: 5 },
      ),
    );
    assert.deepEqual(paths, [
      'caller > transaction',
      ...range(2).flatMap(() => ['caller > transaction > one', 'caller > transaction > again']),
      'caller > transaction > one',
    ]);
    assert.deepEqual(misplaced, []);
  });

  test('contexts: begin() binds nothing around the statements of its caller', async (t) => {
    const pool = db.pool(t);
    const { paths, within } = tracer(t);
    await within('caller', async () => {
      const tx = await pool.begin();
      await tx.query('SELECT 1 AS one');
      await tx.commit();
    });
    assert.deepEqual(paths, ['caller > transaction', 'caller > one']);
  });

  test('contexts: a statement that waits for a savepoint or a load is in the context of its own caller', async (t) => {
    const pool = db.pool(t);
    const { paths, misplaced, within } = tracer(t);
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('CREATE TEMP TABLE loaded (id int) ON COMMIT DROP -- create');
      await Promise.all([
        within('a', () =>
          tx.transaction(async (/** @type {any} */ part) => {
            await sleep(20);
            await part.query('SELECT 1 AS inside');
          }),
        ),
        within('b', () => tx.query('SELECT 2 AS behind')),
        within('c', () => tx.copyFrom('loaded', [[1]])),
        within('d', () => tx.exec('SELECT 3 AS last')),
      ]);
    });
    assert.deepEqual(paths, [
      'transaction',
      'transaction > create',
      'transaction > a > hyperiondb_1',
      'transaction > a > inside',
      'transaction > a > hyperiondb_1',
      'transaction > b > behind',
      'transaction > c > loaded',
      'transaction > d > last',
    ]);
    assert.deepEqual(misplaced, []);
  });

  test('contexts: a stream is in the context of its first next(), an unload in that of its first read', async (t) => {
    const pool = db.pool(t);
    const { paths, misplaced, within } = tracer(t);
    const stream = within('maker', () => pool.stream('SELECT 1 AS streamed'));
    const unload = within('maker', () => pool.copyTo('COPY (SELECT 1) TO STDOUT'));
    await within('reader', async () => {
      for await (const _ of stream);
      for await (const _ of unload);
    });
    assert.deepEqual(paths, ['reader > streamed', 'reader > STDOUT']);
    assert.deepEqual(misplaced, []);
  });

  test('contexts: a read that waits for the position of its session keeps its context', async (t) => {
    const pool = db.pool(t);
    const { paths, misplaced, within } = tracer(t);
    await pool.session(async () => {
      await pool.exec('SELECT 1 AS script');
      await Promise.all(['a', 'b'].map((name) => within(name, () => pool.read(`SELECT 1 AS read_${name}`))));
    });
    const reads = paths.filter((path) => path.includes('read_'));
    assert.deepEqual(reads.sort(), ['a > read_a', 'b > read_b']);
    assert.deepEqual(misplaced, []);
  });
});

describe('contexts of hyperiondb-client/pg', () => {
  /** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [more] */
  function poolOf(t, more) {
    const pool = /** @type {any} */ (new pg.Pool({ ...db.options(), ...more }));
    t.after(() => pool.end());
    return pool;
  }

  for (const how of ['promises', 'callbacks', 'a query_timeout']) {
    test(`contexts: queries of a pool that wait for a client are in the context of their callers, with ${how}`, async (t) => {
      const pool = poolOf(t, { max: 2, ...(how === 'a query_timeout' ? { query_timeout: 30_000 } : {}) });
      const { paths, misplaced, within } = tracer(t);
      const run = (/** @type {string} */ sql) =>
        how === 'callbacks' ? new Promise((resolve) => pool.query(sql, resolve)) : pool.query(sql);
      await Promise.all(range(12).map((i) => within(`caller${i}`, () => run(`SELECT pg_sleep(0.01) AS q${i}`))));
      assert.deepEqual(
        paths.sort(),
        range(12)
          .map((i) => `caller${i} > q${i}`)
          .sort(),
      );
      assert.deepEqual(misplaced, []);
    });
  }

  test('contexts: queries that are sent behind others are in the context of their callers', async (t) => {
    const pool = poolOf(t, { max: 1 });
    const text = (/** @type {number} */ i) => ({ text: 'SELECT $1::int AS quick', values: [i] });
    // The pool learns that the text is quick.
    for (const i of range(20)) await pool.query(text(i));
    const { storage, misplaced, within } = tracer(t);
    /** @type {string[]} */
    const told = [];
    subscribe(t, 'hyperiondb:query', {
      end: ({ parameters }) => told.push(`${storage.getStore()[0]} ${parameters[0]}`),
    });
    for (const _ of range(5)) {
      await Promise.all(range(10).map((i) => within(`caller${i}`, () => pool.query(text(i)))));
    }
    assert.deepEqual(
      told.sort(),
      range(5)
        .flatMap(() => range(10).map((i) => `caller${i} ${i}`))
        .sort(),
    );
    assert.deepEqual(misplaced, []);
  });

  test('contexts: queries in the queue of a client, and its cursors, are in the context of their callers', async (t) => {
    const client = /** @type {any} */ (new pg.Client(db.options()));
    t.after(() => client.end());
    await client.connect();
    const { paths, within } = tracer(t);
    const cursors = ['a', 'b'].map((name) =>
      within(name, () => client.query(new pg.Cursor(`SELECT 1 AS cursor_${name}`))),
    );
    const queries = ['c', 'd'].map((name) => within(name, () => client.query(`SELECT 1 AS query_${name}`)));
    for (const cursor of cursors) {
      await new Promise((resolve) => cursor.read(10, resolve));
      await cursor.close();
    }
    await Promise.all(queries);
    const [, , ...ofQueries] = paths;
    assert.deepEqual(ofQueries, ['c > query_c', 'd > query_d']);
  });
});
