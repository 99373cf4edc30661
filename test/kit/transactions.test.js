'use strict';

// testTransaction() and useTestTransaction() undo what a test has done, whatever it has left behind. The hooks are called here as a
// runner calls them; test/external/test-runners.test.js has the runners themselves.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { testTransaction, useTestTransaction } = require('hyperiondb-client/testing');
const { failureOf, test, useCluster } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await db.sql('DROP TABLE IF EXISTS kept; CREATE TABLE kept (id int PRIMARY KEY)');
});

/** @param {any} pool @param {number} id */
const insert = (pool, id) => pool.query('INSERT INTO kept VALUES ($1)', [id]);
/** What everybody sees, over a connection that is not the pool's. */
const committed = async () => (await db.sql('SELECT id FROM kept ORDER BY id')).map(({ id }) => id);
/** What the pool sees. @param {any} pool */
const seen = async (pool) =>
  (await pool.query('SELECT id FROM kept ORDER BY id')).map((/** @type {{ id: number }} */ { id }) => id);

/** Hooks that a test calls as a runner does. @param {any} pool */
function hooksOf(pool) {
  /** @type {Record<string, (context?: unknown) => Promise<void>>} */
  const hooks = {};
  useTestTransaction(pool, {
    beforeEach: (hook) => {
      hooks.begin = hook;
    },
    afterEach: (hook) => {
      hooks.end = hook;
    },
  });
  return hooks;
}

/** Leaves a transaction of the pool open. @param {any} pool @returns {Promise<void>} */
const leaveOpen = (pool) =>
  new Promise((resolve) => {
    const within = async () => {
      await insert(pool, 9);
      resolve(undefined);
      await new Promise(() => {});
    };
    pool.transaction(within).catch(() => {});
  });

/** The ways to run a test in a transaction. @type {[string, (pool: any, body: () => Promise<void>) => Promise<unknown>][]} */
const WAYS = [
  ['testTransaction', (pool, body) => testTransaction(pool, body)],
  [
    'useTestTransaction',
    async (pool, body) => {
      const { begin, end } = hooksOf(pool);
      await begin();
      // A runner takes the error of a test for itself, and calls the hook.
      const error = await body().then(
        () => undefined,
        (/** @type {unknown} */ reason) => ({ reason }),
      );
      await end();
      if (error) throw error.reason;
    },
  ],
];

for (const [name, run] of WAYS) {
  for (const ambient of [false, true]) {
    const poolOf = (/** @type {TestContext} */ t) => db.pool(t, { ambient });
    const way = `${name}, ${ambient ? 'an ambient' : 'a plain'} pool`;

    test(`${way}: what the pool does is seen within and undone afterwards`, async (t) => {
      const pool = poolOf(t);
      await run(pool, async () => {
        await insert(pool, 1);
        assert.deepEqual([await seen(pool), await committed()], [[1], []]);
      });
      assert.deepEqual([await seen(pool), await committed()], [[], []]);
      assert.equal(pool.status().inUse, 0);
    });

    test(`${way}: a transaction of the pool is a savepoint, whose failure is undone alone`, async (t) => {
      const pool = poolOf(t);
      await run(pool, async () => {
        await pool.transaction(() => insert(pool, 1));
        const failed = pool.transaction(async () => {
          await insert(pool, 2);
          throw new Error('on purpose');
        });
        await assert.rejects(failed, /on purpose/);
        assert.deepEqual([await seen(pool), await committed()], [[1], []]);
      });
      assert.deepEqual(await committed(), []);
    });

    test(`${way}: the pool joins in calls from outside of the test's context, too`, async (t) => {
      const pool = poolOf(t);
      /** @type {() => void} */
      let go = () => {};
      const started = new Promise((resolve) => {
        go = () => resolve(undefined);
      });
      const server = started.then(() => insert(pool, 1));
      await run(pool, async () => {
        go();
        await server;
        assert.deepEqual([await seen(pool), await committed()], [[1], []]);
      });
      assert.deepEqual(await committed(), []);
    });

    for (const [left, leave] of /** @type {[string, (pool: any) => Promise<unknown>][]} */ ([
      ['an aborted transaction', (pool) => failureOf(pool.query('SELECT 1 / 0'))],
      ['a savepoint', (pool) => pool.query('SAVEPOINT mine')],
      [
        'an aborted savepoint',
        (pool) => pool.query('SAVEPOINT mine').then(() => failureOf(pool.query('SELECT 1 / 0'))),
      ],
      ['a statement that nobody awaits', async (pool) => void pool.query('SELECT pg_sleep(0.05)').catch(() => {})],
      ['a transaction within that never ends', leaveOpen],
      ['an error that the test throws', () => Promise.reject(new Error('left'))],
      ['a setting of the session', (pool) => pool.query('SET search_path TO nowhere')],
    ])) {
      test(`${way}: the next test is well after ${left}`, async (t) => {
        const pool = poolOf(t);
        await run(pool, () => insert(pool, 1).then(() => leave(pool))).catch((error) => {
          assert.equal(error.message, 'left');
        });
        await run(pool, async () => {
          await insert(pool, 1);
          assert.deepEqual(await seen(pool), [1]);
        });
        assert.deepEqual([await committed(), pool.status().inUse], [[], 0]);
      });
    }
  }
}

test('testTransaction returns what the function returns, and rejects with what it throws', async (t) => {
  const pool = db.pool(t);
  assert.equal(await testTransaction(pool, async (tx) => tx.value('SELECT 7')), 7);
  const thrown = new Error('mine');
  assert.equal(await failureOf(testTransaction(pool, () => Promise.reject(thrown))), thrown);
  const inSync = testTransaction(pool, () => {
    throw thrown;
  });
  assert.equal(await failureOf(inSync), thrown);
});

test('testTransaction: the pool and tx are in one transaction', async (t) => {
  const pool = db.pool(t);
  await testTransaction(pool, async (tx) => {
    await tx.query('INSERT INTO kept VALUES (1)');
    assert.deepEqual(await seen(pool), [1]);
  });
});

test('testTransaction within testTransaction undoes the inner one first', async (t) => {
  const pool = db.pool(t);
  await testTransaction(pool, async () => {
    await insert(pool, 1);
    for (let round = 0; round < 2; round++) {
      await testTransaction(pool, async () => {
        await insert(pool, 2);
        assert.deepEqual(await seen(pool), [1, 2]);
      });
      assert.deepEqual(await seen(pool), [1]);
    }
    await assert.rejects(
      testTransaction(pool, () => pool.query('SELECT 1 / 0')),
      { code: '22012' },
    );
    assert.deepEqual(await seen(pool), [1]);
    await testTransaction(pool, () => leaveOpen(pool));
    assert.deepEqual(await seen(pool), [1]);
    await testTransaction(pool, async (tx) => {
      await tx.query('INSERT INTO kept VALUES (2)');
      assert.deepEqual(await seen(pool), [1, 2]);
      await tx.query('SAVEPOINT mine');
    });
    assert.deepEqual(await seen(pool), [1]);
  });
  assert.deepEqual(await seen(pool), []);
});

test('testTransaction within a test with hooks undoes the inner one first', async (t) => {
  const pool = db.pool(t);
  const { begin, end } = hooksOf(pool);
  await begin();
  await insert(pool, 1);
  await testTransaction(pool, () => insert(pool, 2));
  assert.deepEqual(await seen(pool), [1]);
  await end();
  assert.deepEqual(await committed(), []);
});

test('useTestTransaction: a subtest of node:test is a savepoint', async (t) => {
  const pool = db.pool(t);
  const { begin, end } = hooksOf(pool);
  const [outer, inner] = [{ test() {} }, { test() {} }];
  await begin(outer);
  await insert(pool, 1);
  for (let round = 0; round < 2; round++) {
    await begin(inner);
    await insert(pool, 2);
    await end(inner);
    assert.deepEqual(await seen(pool), [1]);
  }
  await end(outer);
  assert.deepEqual(await committed(), []);
});

test('tests that overlap on a pool are refused, and the first one goes on', async (t) => {
  const pool = db.pool(t);
  const { begin, end } = hooksOf(pool);
  const others = () => [begin(), testTransaction(pool, () => assert.fail('it ran'))];
  // Before the first one has begun, and after.
  const first = testTransaction(pool, async () => {
    await insert(pool, 1);
    await release;
    assert.deepEqual(await seen(pool), [1]);
  });
  let go = () => {};
  const release = new Promise((resolve) => {
    go = () => resolve(undefined);
  });
  for (const other of others()) assert.equal((await failureOf(other)).code, 'ERR_TRANSACTION_OPEN');
  await seen(pool);
  for (const other of others()) assert.equal((await failureOf(other)).code, 'ERR_TRANSACTION_OPEN');
  await end(); // its beforeEach has failed
  go();
  await first;
  assert.deepEqual([await committed(), pool.status().inUse], [[], 0]);
});

test('tests of node:test that overlap on a pool fail, and the next test is well', async (t) => {
  const pool = db.pool(t);
  const { begin, end } = hooksOf(pool);
  const [one, two] = [{ test() {} }, { test() {} }];
  await begin(one);
  await begin(two); // it looks like a subtest, until the other one ends
  for (const [ended, why] of /** @type {[object, string][]} */ ([
    [one, 'a test within this one has not ended'],
    [two, 'the test around this one has ended before it'],
  ])) {
    const { code, message } = await failureOf(end(ended));
    assert.deepEqual(
      [code, message],
      ['ERR_TRANSACTION_OPEN', `${why}: tests that run at the same time need a pool each`],
    );
  }
  await begin(one);
  await insert(pool, 1);
  await end(one);
  assert.deepEqual([await committed(), pool.status().inUse], [[], 0]);
});

test('a test that ends its transaction itself fails', async (t) => {
  const pool = db.pool(t);
  const error = await failureOf(testTransaction(pool, (tx) => tx.commit()));
  assert.equal(error.code, 'ERR_TRANSACTION_ENDED');
  await testTransaction(pool, () => seen(pool));
});

test('useTestTransaction asks a function for the pool when a test begins', async (t) => {
  /** @type {any[]} */
  const asked = [];
  const { begin, end } = hooksOf(async () => {
    asked.push(db.pool(t));
    return asked.at(-1);
  });
  for (let round = 1; round <= 2; round++) {
    await begin();
    assert.equal(asked.length, round);
    await insert(asked.at(-1), 1);
    await end();
    assert.deepEqual(await committed(), []);
  }
});

test('a test that loses its connection has changed nothing, and the next test is well', async (t) => {
  const pool = db.pool(t);
  const { begin, end } = hooksOf(pool);
  await begin();
  await insert(pool, 1);
  const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
  await db.sql('SELECT pg_terminate_backend($1, 10000)', [pid]);
  await failureOf(seen(pool));
  await end();
  await begin();
  await insert(pool, 1);
  await end();
  assert.deepEqual([await committed(), pool.status().inUse], [[], 0]);
});

test('a rollback that fails fails the hook, and the next test begins anew', async () => {
  let begun = 0;
  const rollback = async () => {
    throw new Error('no rollback');
  };
  const pool = {
    [Symbol.for('hyperiondb-client.join')]() {},
    async begin() {
      begun++;
      return { ended: false, rollback };
    },
  };
  const { begin, end } = hooksOf(pool);
  for (let round = 1; round <= 2; round++) {
    await begin();
    await assert.rejects(end(), /no rollback/);
    assert.equal(begun, round);
  }
  await assert.rejects(
    testTransaction(/** @type {any} */ (pool), () => 1),
    /no rollback/,
  );
});

test('a test whose transaction cannot begin fails, and its afterEach does nothing', async (t) => {
  const pool = db.pool(t, { database: 'nowhere' });
  const { begin, end } = hooksOf(pool);
  for (let round = 0; round < 2; round++) {
    await assert.rejects(begin(), { code: '3D000' });
    await end();
  }
});

test('test transactions refuse what is no pool, no function and no hooks', async (t) => {
  const pool = db.pool(t);
  const any = /** @type {any} */ (undefined);
  for (const wrong of [testTransaction(any, () => {}), testTransaction(pool, any), hooksOf({}).begin()]) {
    assert.equal((await failureOf(wrong)).code, 'ERR_INVALID_PARAM');
  }
  for (const wrong of [any, {}, { beforeEach() {} }]) {
    assert.throws(() => useTestTransaction(pool, wrong), { code: 'ERR_INVALID_PARAM' });
  }
});
