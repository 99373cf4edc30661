'use strict';

// exactlyOnce with a key: one commit for all callers, and what the others get.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { failureOf, isPending, named, printedBy, test, useCluster } = require('../support/helpers.js');
const { idsIn, tableFor } = require('../support/transactions.js');
const { makeTable } = require('./support.js');

const db = useCluster({ nodes: 1, synchronous: false });
before(async () => {
  await db.started;
  await makeTable(db);
});

const never = () => assert.fail('the callback has run');

describe('exactlyOnce with a key', () => {
  for (const isolation of ['read committed', 'repeatable read', 'serializable']) {
    test(`a second call does not run its callback (${isolation})`, async (t) => {
      const pool = db.pool(t);
      const exactlyOnce = { key: named('second'), remember: true };
      assert.deepEqual(await pool.transaction(async () => ({ id: 1 }), { exactlyOnce, isolation }), { id: 1 });
      assert.deepEqual(await pool.transaction(never, { exactlyOnce, isolation }), { id: 1 });
      const other = db.pool(t);
      assert.deepEqual(await other.transaction(never, { exactlyOnce }), { id: 1 }, 'of another pool');
    });

    test(`of calls at the same time one runs, the others wait and get its value (${isolation})`, async (t) => {
      const pool = db.pool(t);
      const table = await tableFor(db, t);
      const exactlyOnce = { key: named('same time'), remember: true };
      let runs = 0;
      const work = async (/** @type {any} */ tx) => {
        const run = ++runs;
        await tx.query(`INSERT INTO ${table} VALUES ($1)`, [run]);
        return run;
      };
      const calls = Array.from({ length: 5 }, () => pool.transaction(work, { exactlyOnce, isolation }));
      assert.deepEqual(new Set(await Promise.all(calls)), new Set([1]));
      assert.deepEqual([runs, await idsIn(db, table)], [1, [1]]);
    });
  }

  test('a call waits for the first, and runs when that is rolled back', async (t) => {
    const pool = db.pool(t);
    const exactlyOnce = { key: named('rolled back') };
    let fail = () => {};
    const first = failureOf(
      pool.transaction(
        async (/** @type {any} */ tx) => {
          await tx.query('SELECT 1');
          await new Promise((_, reject) => {
            fail = () => reject(new Error('no'));
          });
        },
        { exactlyOnce },
      ),
    );
    while (fail.toString() === '() => {}') await isPending(first);
    const second = pool.transaction(async () => 2, { exactlyOnce });
    assert.ok(await isPending(second));
    fail();
    assert.equal((await first).message, 'no');
    assert.equal(await second, 2);
  });

  test('timeoutMs ends the wait for the first', async (t) => {
    const pool = db.pool(t);
    const exactlyOnce = { key: named('wait') };
    let open = () => {};
    const first = pool.transaction(
      async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        await new Promise((resolve) => {
          open = () => resolve(undefined);
        });
      },
      { exactlyOnce },
    );
    while (open.toString() === '() => {}') await isPending(first);
    const error = await failureOf(pool.transaction(never, { exactlyOnce, timeoutMs: 100 }));
    assert.deepEqual([error.constructor.name, error.outcome], ['QueryTimeoutError', 'not-applied']);
    open();
    await first;
  });

  test('a call that fails leaves the key free', async (t) => {
    const pool = db.pool(t);
    const exactlyOnce = { key: named('free') };
    const error = await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1/0'), { exactlyOnce }));
    assert.equal(error.code, '22012');
    assert.equal(await pool.transaction(async () => 'done', { exactlyOnce }), 'done');
  });

  test('without remember on both sides a second call resolves with undefined', async (t) => {
    const pool = db.pool(t);
    for (const [first, second] of [
      [false, true],
      [true, false],
      [false, false],
    ]) {
      const key = named('forgets');
      assert.equal(await pool.transaction(async () => 'x', { exactlyOnce: { key, remember: first } }), 'x');
      assert.equal(await pool.transaction(never, { exactlyOnce: { key, remember: second } }), undefined);
    }
  });

  test('another process gets the value', async (t) => {
    const key = named('process');
    await db.pool(t).transaction(async () => ['a', null, 1.5], { exactlyOnce: { key, remember: true } });
    const code = `const pool = createPool(options);
      print(await pool.transaction(() => { throw new Error('it has run'); }, { exactlyOnce: { key: ${JSON.stringify(key)}, remember: true } }));
      await pool.end();`;
    assert.deepEqual(await printedBy(db, code), ['["a",null,1.5]']);
  });

  test('keys may have any character but NUL, and 1024 bytes', async (t) => {
    const pool = db.pool(t);
    for (const key of [`o'brien "${named('x')}"`, `\\' -- ${named('y')}`, `é${'z'.repeat(1022)}`]) {
      const exactlyOnce = { key, remember: true };
      assert.equal(await pool.transaction(async () => 1, { exactlyOnce }), 1);
      assert.equal(await pool.transaction(never, { exactlyOnce }), 1);
    }
  });
});

describe('exactlyOnce.remember', () => {
  const around = /** @type {any} */ ({});
  around.self = around;
  /** @type {[string, unknown, RegExp][]} */
  const refused = [
    ['a BigInt', { a: [{ b: 1n }] }, /the value\.a\[0\]\.b is a BigInt/],
    ['a Date', { at: new Date() }, /the value\.at is an object of the class Date/],
    ['a Map', new Map(), /the value is an object of the class Map/],
    ['undefined in an object', { a: undefined }, /the value\.a is of type undefined/],
    ['a hole', new Array(1), /the value\[0\] is of type undefined/],
    ['NaN', [Number.NaN], /the value\[0\] is the number NaN/],
    ['minus zero', -0, /the value is the number -0/],
    ['a function', () => {}, /the value is of type function/],
    ['a circle', around, /the value\.self is an object that is in itself/],
  ];
  for (const [what, value, message] of refused) {
    test(`${what} is refused by name, and nothing is committed`, async (t) => {
      const pool = db.pool(t);
      const table = await tableFor(db, t);
      const work = async (/** @type {any} */ tx) => {
        await tx.query(`INSERT INTO ${table} VALUES (1)`);
        return value;
      };
      const exactlyOnce = { key: named('refused'), remember: true };
      const error = await failureOf(pool.transaction(work, { exactlyOnce }));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, message);
      assert.deepEqual(await idsIn(db, table), []);
      assert.equal(await pool.transaction(async () => 'free', { exactlyOnce }), 'free');
    });
  }

  test('what JSON can hold comes back as it was', async (t) => {
    const pool = db.pool(t);
    for (const value of [null, true, '', 'a\0\ud800"', 1e300, [], {}, [{ a: [null, { b: 'c' }] }], undefined]) {
      const exactlyOnce = { key: named('json'), remember: true };
      assert.deepEqual(await pool.transaction(async () => value, { exactlyOnce }), value);
      assert.deepEqual(await pool.transaction(never, { exactlyOnce }), value);
    }
  });
});
