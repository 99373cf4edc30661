'use strict';

// Facts about transactions in transactions, about several at once, on one connection and on two, and about close().

const assert = require('node:assert/strict');
const { failureOf, gate } = require('./conformance.tools.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */
/** @typedef {import('./conformance.tools.js').Database} Database */

const TABLE = 'CREATE TABLE t (n INTEGER PRIMARY KEY)';

/** @param {Database} db @param {number} n */
const insert = (db, n) => db.prepare('INSERT INTO t VALUES (?)').run(n);

/** @param {Database} db @returns {Promise<number[]>} */
const numbers = async (db) =>
  (await db.prepare('SELECT n FROM t ORDER BY n').all()).map((/** @type {{ n: number }} */ { n }) => n);

const failure = new Error('on purpose');

/** @type {Fact[]} */
const NESTED_AND_APART = [
  {
    title: 'a nested tx() joins: its failure undoes nothing by itself',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        await insert(db, 1);
        const error = await failureOf(
          db.tx(async () => {
            await insert(db, 2);
            throw failure;
          }),
        );
        assert.equal(error, failure);
      });
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'a nested tx() that joins is undone with the outer one',
    async run(db) {
      await db.prepare(TABLE).run();
      await failureOf(
        db.tx(async () => {
          assert.equal(await db.tx(async () => insert(db, 2).then(() => 'inner')), 'inner');
          throw failure;
        }),
      );
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'a savepoint that fails is undone alone',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        await insert(db, 1);
        const inner = db.tx(
          async () => {
            await insert(db, 2);
            throw failure;
          },
          { nested: 'savepoint' },
        );
        assert.equal(await failureOf(inner), failure);
        await insert(db, 3);
      });
      assert.deepEqual(await numbers(db), [1, 3]);
    },
  },
  {
    title: 'a savepoint makes a failed statement good again',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        await insert(db, 1);
        const inner = db.tx(() => insert(db, 1), { nested: 'savepoint' });
        assert.equal((await failureOf(inner)).code, '23505');
        await insert(db, 2);
      });
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'a savepoint that swallows a failed statement fails with 25P02, alone',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        await insert(db, 1);
        const inner = db.tx(
          async () => {
            await insert(db, 2);
            await failureOf(insert(db, 1));
          },
          { nested: 'savepoint' },
        );
        assert.equal((await failureOf(inner)).code, '25P02');
        await insert(db, 3);
      });
      assert.deepEqual(await numbers(db), [1, 3]);
    },
  },
  {
    title: 'savepoints nest, and an outer one undoes the inner one',
    async run(db) {
      await db.prepare(TABLE).run();
      const nested = { nested: 'savepoint' };
      await db.tx(async () => {
        await failureOf(
          db.tx(async () => {
            await insert(db, 1);
            await db.tx(() => insert(db, 2), nested);
            throw failure;
          }, nested),
        );
        await db.tx(async () => {
          await insert(db, 3);
          await failureOf(
            db.tx(async () => {
              await insert(db, 4);
              throw failure;
            }, nested),
          );
        }, nested);
      });
      assert.deepEqual(await numbers(db), [3]);
    },
  },
  {
    title: 'a statement beside a savepoint is not undone with it',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        const inner = db.tx(
          async () => {
            await insert(db, 1);
            await new Promise((resolve) => setImmediate(resolve));
            throw failure;
          },
          { nested: 'savepoint' },
        );
        const beside = insert(db, 2);
        assert.equal(await failureOf(inner), failure);
        await beside;
      });
      assert.deepEqual(await numbers(db), [2]);
    },
  },
  {
    title: 'two savepoints side by side do not mix',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(() =>
        Promise.allSettled(
          [1, 2, 3, 4].map((n) =>
            db.tx(
              async () => {
                await insert(db, n);
                await new Promise((resolve) => setImmediate(resolve));
                if (n % 2 === 0) throw failure;
              },
              { nested: 'savepoint' },
            ),
          ),
        ),
      );
      assert.deepEqual(await numbers(db), [1, 3]);
    },
  },
  {
    title: 'a call that outlives a savepoint rejects with ERR_TRANSACTION_ENDED',
    async run(db) {
      await db.prepare(TABLE).run();
      const { open, opened } = gate();
      await db.tx(async () => {
        /** @type {Promise<any> | undefined} */
        let late;
        await db.tx(
          async () => {
            late = opened.then(() => failureOf(insert(db, 1)));
          },
          { nested: 'savepoint' },
        );
        open();
        assert.equal((await late).code, 'ERR_TRANSACTION_ENDED');
        await insert(db, 2);
      });
      assert.deepEqual(await numbers(db), [2]);
    },
  },
  {
    title: 'what is called outside while a transaction is open is no part of it',
    async run(db) {
      await db.prepare(TABLE).run();
      const { open, opened } = gate();
      const begun = gate();
      const tx = failureOf(
        db.tx(async () => {
          await insert(db, 1);
          begun.open();
          await opened;
          throw failure;
        }),
      );
      await begun.opened;
      const outside = insert(db, 2);
      open();
      assert.equal(await tx, failure);
      await outside;
      assert.deepEqual(await numbers(db), [2]);
    },
  },
  {
    title: 'many transactions at once, some failing, do not mix',
    async run(db) {
      await db.exec('CREATE TABLE t (n INTEGER, who INTEGER)');
      const row = db.prepare('INSERT INTO t VALUES (?, ?)');
      await Promise.allSettled(
        Array.from({ length: 30 }, (_, who) =>
          db.tx(async () => {
            await row.run(1, who);
            await new Promise((resolve) => setImmediate(resolve));
            await row.run(2, who);
            const { c } = await db.prepare('SELECT count(*) AS c FROM t WHERE who = ?').get(who);
            assert.equal(c, 2);
            if (who % 3 === 0) throw failure;
          }),
        ),
      );
      const rows = await db.prepare('SELECT who, count(*) AS c FROM t GROUP BY who ORDER BY who').all();
      const kept = Array.from({ length: 30 }, (_, who) => who).filter((who) => who % 3 !== 0);
      assert.deepEqual(
        rows,
        kept.map((who) => ({ who, c: 2 })),
      );
    },
  },
  {
    title: 'two transactions in a row are two',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(() => insert(db, 1));
      await failureOf(db.tx(async () => insert(db, 2).then(() => Promise.reject(failure))));
      await db.tx(() => insert(db, 3));
      assert.deepEqual(await numbers(db), [1, 3]);
    },
  },
  {
    title: 'transactions of two connections wait for each other, and both commit',
    reopens: true,
    async run(db, { open: openAgain }) {
      await db.prepare(TABLE).run();
      const other = await openAgain();
      const { open, opened } = gate();
      const begun = gate();
      const first = db.tx(async () => {
        await insert(db, 1);
        begun.open();
        await opened;
      });
      await begun.opened;
      const second = other.tx(() => insert(other, 2));
      setTimeout(open, 5);
      await Promise.all([first, second]);
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'the transaction of one database is none for another',
    reopens: true,
    async run(db, { open: openAgain }) {
      await db.prepare(TABLE).run();
      const other = await openAgain();
      await db.tx(async () => {
        assert.deepEqual(await numbers(other), []);
      });
      await insert(other, 1);
      assert.deepEqual(await numbers(db), [1]);
    },
  },
  {
    title: 'another connection does not see a transaction before its end',
    reopens: true,
    async run(db, { open: openAgain }) {
      await db.prepare(TABLE).run();
      const other = await openAgain();
      await db.tx(async () => {
        await insert(db, 1);
        assert.deepEqual(await numbers(other), []);
      });
      assert.deepEqual(await numbers(other), [1]);
    },
  },
  {
    title: 'close() refuses later calls and can be called twice',
    reopens: true,
    async run(_db, { open }) {
      const db = await open();
      await db.close();
      await db.close();
      const calls = [() => db.prepare('SELECT 1').get(), () => db.exec('SELECT 1'), () => db.tx(() => 1)];
      for (const call of calls) assert.equal((await failureOf(call())).code, 'ERR_POOL_CLOSED');
    },
  },
  {
    title: 'close() waits for what was called before',
    reopens: true,
    async run(db, { open }) {
      await db.prepare(TABLE).run();
      const other = await open();
      const tx = other.tx(async () => {
        await insert(other, 1);
        await new Promise((resolve) => setImmediate(resolve));
        await insert(other, 2);
      });
      await other.close();
      await tx;
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'await using closes',
    reopens: true,
    async run(_db, { open }) {
      const db = await open();
      await db[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
      assert.equal((await failureOf(db.exec('SELECT 1'))).code, 'ERR_POOL_CLOSED');
    },
  },
];

module.exports = { NESTED_AND_APART };
