'use strict';

// Loads that fail or are given up: a load is applied wholly or not at all, its error says what became of it, and afterwards its
// connection is free and its source is closed.

const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const { describe } = require('node:test');
const { test, failureOf, isPending, ownCluster, range, sleep, until, useCluster } = require('../support/helpers');
const { countOf, textOf, withTable } = require('../support/copies');

const db = useCluster({ nodes: 1, synchronous: false });

/** A source that records in `state` whether it was read to its end and whether it was closed. @param {any} values @param {(n: number) => void} [before] */
function* watched(values, before, state = /** @type {any} */ (undefined)) {
  let n = 0;
  try {
    for (const value of values) {
      before?.(++n);
      yield value;
    }
    if (state !== undefined) state.ended = true;
  } finally {
    if (state !== undefined) state.left = true;
  }
}

describe('copyFrom: a load that is given up', () => {
  test('copyFrom whose source throws rejects with that error, no row stays, and the connection goes on', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4', { poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const at of [1, 2, 50_000]) {
      const enough = new Error('enough');
      const stop = (/** @type {number} */ n) => {
        if (n === at) throw enough;
      };
      const source = watched(
        range(100_000).map((i) => [i]),
        stop,
      );
      assert.equal(await failureOf(pool.copyFrom(table, source)), enough);
      const later = async function* () {
        yield* source;
        yield* range(at).map((i) => [i]);
        throw enough;
      };
      assert.equal(await failureOf(pool.copyFrom(table, later())), enough);
    }
    const bad = () => {
      throw new TypeError('progress');
    };
    const error = await failureOf(pool.copyFrom(table, [[1]], { onProgress: bad }));
    assert.equal(error.message, 'progress');
    assert.equal(await countOf(pool, table), 0);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }]);
  });

  test('copyFrom that a signal or timeoutMs ends, in every phase: no row stays, and the source is closed', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4', { poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    const before = watched([[1]], undefined, {});
    assert.equal(
      (await failureOf(pool.copyFrom(table, before, { signal: AbortSignal.abort('early') }))).cause,
      'early',
    );

    const controller = new AbortController();
    const state = {};
    const act = (/** @type {number} */ n) => {
      if (n === 30_000) controller.abort('midway');
    };
    const endless = watched(
      (function* () {
        for (let i = 0; ; i++) yield [i];
      })(),
      act,
      state,
    );
    const aborted = await failureOf(pool.copyFrom(table, endless, { signal: controller.signal }));
    assert.deepEqual([aborted.code, aborted.cause, aborted.outcome], ['ABORT_ERR', 'midway', 'not-applied']);
    assert.deepEqual(state, { left: true });

    // A source that never answers does not hold the load.
    let released = false;
    const stuck = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          released = true;
          return { done: true };
        },
      }),
    };
    const late = await failureOf(pool.copyFrom(table, stuck, { timeoutMs: 100 }));
    assert.deepEqual([late.name, late.code, late.outcome], ['QueryTimeoutError', '57014', 'not-applied']);
    assert.ok(released);
    const readable = new Readable({ read() {} });
    await failureOf(pool.copyFrom(`COPY ${table} FROM STDIN`, readable, { timeoutMs: 50 }));
    assert.ok(readable.destroyed);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');

    // The server waits for a lock.
    const holder = await db.pool(t).begin();
    await holder.query(`LOCK TABLE ${table} IN EXCLUSIVE MODE`);
    const blocked = await failureOf(pool.copyFrom(table, [[1]], { timeoutMs: 200 }));
    assert.equal(blocked.code, '57014');
    await holder.rollback();
    // No connection is free.
    const [, waiting] = await Promise.all([
      pool.query('SELECT pg_sleep(0.3)'),
      failureOf(pool.copyFrom(table, watched([[1]]), { timeoutMs: 100 })),
    ]);
    assert.equal(waiting.code, '57014');
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom whose backend is ended: ERR_CONNECTION_LOST, not applied, and no row stays', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4', { poolSize: 2 });
    const state = {};
    const source = (async function* () {
      try {
        for (let i = 0; ; i++) {
          if (i === 10_000) {
            await db.sql(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY ${table} %' OR query LIKE 'COPY "${table}" %'`,
            );
          }
          if (i % 1000 === 0) await sleep(1);
          yield [i];
        }
      } finally {
        Object.assign(state, { left: true });
      }
    })();
    const error = await failureOf(pool.copyFrom(table, source));
    assert.deepEqual(
      [error.name, error.code, error.outcome],
      ['ConnectionLostError', 'ERR_CONNECTION_LOST', 'not-applied'],
    );
    await until('the source is left', () => 'left' in state);
    assert.equal(await countOf(pool, table), 0);
    assert.equal((await pool.copyFrom(table, [[1]])).rowCount, 1);
  });

  test('copyFrom and the end of the pool: end() waits for the load, and end() with timeoutMs cancels it', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4');
    const gate = { open: () => {} };
    const opened = new Promise((resolve) => {
      gate.open = () => resolve(undefined);
    });
    const slow = (async function* () {
      yield [1];
      await opened;
      yield [2];
    })();
    const load = pool.copyFrom(table, slow);
    await until('it runs', () => pool.status().inUse === 1);
    const ended = pool.end();
    assert.ok(await isPending(ended), 'what runs may end');
    gate.open();
    assert.equal((await load).rowCount, 2);
    await ended;
    assert.equal((await failureOf(pool.copyFrom(table, [[1]]))).code, 'ERR_POOL_CLOSED');
    assert.throws(() => pool.copyTo(table), { code: 'ERR_POOL_CLOSED' });

    const other = db.pool(t);
    const stuck = other.copyFrom(
      table,
      (async function* () {
        yield [3];
        await new Promise(() => {});
      })(),
    );
    await until('it runs', () => other.status().inUse === 1);
    const [error] = await Promise.all([failureOf(stuck), other.end({ timeoutMs: 100 })]);
    assert.equal(error.outcome, 'not-applied');
    assert.deepEqual(
      (await db.sql(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => Number(id)),
      [1, 2],
    );
  });
});

describe('copyFrom and copyTo: mistakes', () => {
  test('copyFrom and copyTo refuse wrong arguments by name, and send nothing', async (t) => {
    const pool = db.pool(t);
    /** @type {[unknown[], RegExp][]} */
    const calls = [
      [[undefined, []], /^target must be a string/],
      [['', []], /^target/],
      [['a b', []], /^target: 'b' was not expected/],
      [['a (b', []], /^target: '\)' is missing/],
      [['a (b); DROP TABLE a', []], /^target: '; DROP TABLE a'/],
      [['a (b + 1)', []], /^target/],
      [['a ()', []], /^target/],
      [['a\0', []], /^target contains a NUL/],
      [['COPY a TO STDOUT', ''], /^target: SQL must be COPY \.\.\. FROM STDIN/],
      [["COPY a FROM '/etc/passwd'", ''], /^target: SQL must be/],
      [["COPY a FROM PROGRAM 'id'", ''], /^target: SQL must be/],
      [['copy (a)', []], /a table named "copy" needs quotes/],
      [['a', undefined], /^source must be an iterable/],
      [['a', 5], /^source must be/],
      [['a', 'text'], /^source: ready data needs/],
      [['a', Buffer.from('x')], /^source: ready data needs/],
      [['COPY a FROM STDIN', null], /^source must be a Readable/],
      [['a', [], { onprogress: 1 }], /^unknown option 'onprogress'/],
      [['a', [], { onProgress: 1 }], /^onProgress must be a function/],
      [['a', [], { timeoutMs: -1 }], /^timeoutMs/],
      [['a', [], { signal: 1 }], /^signal/],
    ];
    for (const [args, message] of calls) {
      const error = await failureOf(pool.copyFrom(...args));
      assert.equal(error.code, 'ERR_INVALID_PARAM', String(error.stack));
      assert.match(error.message, message);
    }
    for (const [target, options] of [
      ['COPY a FROM STDIN'],
      ["COPY a TO '/x'"],
      ['a', { highWaterMark: 0 }],
      ['a', { x: 1 }],
    ]) {
      assert.throws(() => pool.copyTo(target, options), { code: 'ERR_INVALID_PARAM' });
    }
    assert.equal(pool.status().size, 0);
  });

  test('copyFrom: an error in the target comes before any row is taken from the source', async (t) => {
    const { pool, table } = await withTable(db, t, 'a int4');
    for (const [target, code] of [
      ['nowhere', '42P01'],
      [`${table} (b)`, '42703'],
      [`COPY ${table} (b) FROM STDIN`, '42703'],
      [`COPY ${table} FROM STDIN (FORMAT none)`, '22023'],
    ]) {
      const source = watched([], () => assert.fail('it was asked'));
      const error = await failureOf(pool.copyFrom(target, source));
      assert.deepEqual([error.code, error.outcome], [code, 'not-applied']);
    }
    await pool.query('CREATE TABLE without ()');
    assert.match((await failureOf(pool.copyFrom('without', []))).message, /^target: the table has no columns/);
  });

  test('copyFrom and copyTo: the logger is called once for each copy', async (t) => {
    /** @type {any[]} */
    const events = [];
    const { pool, table } = await withTable(db, t, 'a int4', {
      logger: (/** @type {any} */ event) => events.push(event),
    });
    events.length = 0;
    await pool.copyFrom(table, [[1], [2]]);
    await textOf(pool.copyTo(table));
    await failureOf(pool.copyFrom(table, [['x']]));
    assert.deepEqual(
      events.map(({ sql, rowCount, error, node }) => [sql, rowCount, error?.code, typeof node]),
      [
        [table, 2, undefined, 'string'],
        [`COPY "${table}" TO STDOUT`, undefined, undefined, 'string'],
        [table, undefined, '22P02', 'string'],
      ],
    );
  });
});

describe('copyFrom on a cluster', () => {
  test('copyFrom goes to the primary, waits out a fence, and is refused where nothing may be written', async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    own.needs('fence');
    const pool = own.pool(t, { acquireTimeoutMs: 20_000 });
    await pool.query('CREATE TABLE loaded (id int4)');
    await own.cluster.primary().fence();
    let asked = false;
    const load = pool.copyFrom(
      'loaded',
      watched([[1], [2]], () => {
        asked = true;
      }),
    );
    await sleep(300);
    assert.equal(asked, false, 'nothing is taken while there is no primary');
    await own.cluster.primary().unfence();
    assert.equal((await load).rowCount, 2);
    const standby = own.pool(t, { mode: 'standby' });
    await until('it is replayed', async () => (await textOf(standby.copyTo('loaded'))) === '1\n2\n');
    const refused = await failureOf(standby.copyFrom('loaded', [[3]]));
    assert.deepEqual([refused.code, refused.outcome], ['25006', 'not-applied']);
    const fenced = await failureOf(
      own.pool(t, { options: { default_transaction_read_only: 'on' }, mode: 'primary' }).copyFrom('loaded', [[3]]),
    );
    assert.equal(fenced.code, '25006');
  });

  test('copyFrom whose wait for its standby is cancelled is unknown, never a success', async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    own.needsSynchronous();
    const pool = own.pool(t);
    await pool.query('CREATE TABLE loaded (id int4)');
    const [standby] = own.cluster.standbys();
    await standby.freeze();
    t.after(() => standby.thaw());
    const error = await failureOf(pool.copyFrom('loaded', [[1]], { timeoutMs: 500 }));
    assert.equal(error.outcome, 'unknown', String(error));
  });
});
