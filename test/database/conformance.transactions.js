'use strict';

// Facts about tx() and the order of calls that hold on both databases.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
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
const TRANSACTIONS = [
  {
    title: 'tx() commits, and resolves to what the function returned',
    async run(db) {
      await db.prepare(TABLE).run();
      const value = await db.tx(async () => {
        await insert(db, 1);
        return 'done';
      });
      assert.deepEqual([value, await numbers(db)], ['done', [1]]);
    },
  },
  {
    title: 'tx() gives the database to the function',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async (/** @type {Database} */ inner) => insert(inner, 1));
      assert.deepEqual(await numbers(db), [1]);
    },
  },
  {
    title: 'tx() takes a function that is not async',
    async run(db) {
      assert.equal(await db.tx(() => 5), 5);
    },
  },
  {
    title: 'tx() rolls back when the function throws, and rejects with the same error',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(
        db.tx(async () => {
          await insert(db, 1);
          throw failure;
        }),
      );
      assert.equal(error, failure);
      assert.deepEqual(await numbers(db), []);
      await insert(db, 1);
    },
  },
  {
    title: 'tx() rolls back when a function that is not async throws',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(
        db.tx(() => {
          insert(db, 1).catch(() => {});
          throw failure;
        }),
      );
      assert.equal(error, failure);
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'tx() without a function is refused',
    async run(db) {
      assert.equal((await failureOf(db.tx(5))).code, 'ERR_INVALID_PARAM');
    },
  },
  {
    title: 'an unknown option of tx() is refused by its name',
    async run(db) {
      const error = await failureOf(db.tx(() => 1, { nestd: 'join' }));
      assert.deepEqual(
        [error.name, error.message],
        ['ParameterError', "unknown option 'nestd': did you mean 'nested'?"],
      );
      assert.match((await failureOf(db.tx(() => 1, { nested: 'error' }))).message, /nested must be one of/);
    },
  },
  {
    title: 'calls join through awaits, timers and emitters',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(
        db.tx(async () => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await insert(db, 1);
          const emitter = new EventEmitter();
          const { open, opened } = gate();
          emitter.on('go', () => open(insert(db, 2)));
          setImmediate(() => emitter.emit('go'));
          await opened;
          assert.deepEqual(await numbers(db), [1, 2]);
          throw failure;
        }),
      );
      assert.equal(error, failure);
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'exec() joins',
    async run(db) {
      await db.prepare(TABLE).run();
      await failureOf(
        db.tx(async () => {
          await db.exec('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)');
          throw failure;
        }),
      );
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'exec() in a transaction must not end it',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(db.tx(() => db.exec('INSERT INTO t VALUES (1); COMMIT')));
      assert.deepEqual([error.name, /COMMIT/.test(error.message)], ['ParameterError', true]);
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'statements side by side in a transaction run in the order of the calls',
    async run(db) {
      await db.prepare('CREATE TABLE log (at INTEGER, seen INTEGER)').run();
      await db.tx(() =>
        Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            db.prepare('INSERT INTO log SELECT CAST(? AS INTEGER), count(*) FROM log').run(i),
          ),
        ),
      );
      const rows = await db.prepare('SELECT at, seen FROM log ORDER BY at').all();
      assert.deepEqual(
        rows,
        Array.from({ length: 20 }, (_, i) => ({ at: i, seen: i })),
      );
    },
  },
  {
    title: 'a statement that nobody awaits is a part of the transaction that it was called in',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        insert(db, 1);
        insert(db, 2);
      });
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'after a failed statement the transaction refuses others with 25P02',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(
        db.tx(async () => {
          await insert(db, 1);
          assert.equal((await failureOf(insert(db, 1))).code, '23505');
          assert.equal((await failureOf(insert(db, 2))).code, '25P02');
          await numbers(db);
        }),
      );
      assert.deepEqual([error.name, error.code], ['DatabaseError', '25P02']);
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'a transaction that swallows a failed statement is rolled back with 25P02',
    async run(db) {
      await db.prepare(TABLE).run();
      const error = await failureOf(
        db.tx(async () => {
          await insert(db, 1);
          await failureOf(insert(db, 1));
        }),
      );
      assert.deepEqual([error.code, error.outcome], ['25P02', 'not-applied']);
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'a refused parameter does not spoil the transaction',
    async run(db) {
      await db.prepare(TABLE).run();
      await db.tx(async () => {
        await insert(db, 1);
        assert.equal(
          (await failureOf(db.prepare('INSERT INTO t VALUES (?)').run(undefined))).code,
          'ERR_INVALID_PARAM',
        );
        await insert(db, 2);
      });
      assert.deepEqual(await numbers(db), [1, 2]);
    },
  },
  {
    title: 'a constraint that is checked at COMMIT fails the transaction',
    async run(db) {
      await db.exec(`${TABLE}; CREATE TABLE child (n INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)`);
      const error = await failureOf(db.tx(() => db.prepare('INSERT INTO child VALUES (9)').run()));
      assert.equal(error.code, '23503');
      assert.deepEqual(await db.prepare('SELECT n FROM child').all(), []);
      await db.tx(async () => {
        await db.prepare('INSERT INTO child VALUES (9)').run();
        await insert(db, 9);
      });
    },
  },
  {
    title: 'a call that outlives the transaction rejects with ERR_TRANSACTION_ENDED',
    async run(db) {
      await db.prepare(TABLE).run();
      const { open, opened } = gate();
      /** @type {Promise<any>[]} */
      let late = [];
      await db.tx(async () => {
        const codes = [() => insert(db, 1), () => db.exec('DELETE FROM t'), () => db.tx(() => insert(db, 2))];
        late = codes.map((call) => opened.then(call).then(null, (/** @type {any} */ error) => error.code));
      });
      open();
      assert.deepEqual(await Promise.all(late), Array(3).fill('ERR_TRANSACTION_ENDED'));
      assert.deepEqual(await numbers(db), []);
    },
  },
  {
    title: 'calls that wait when the function throws do not run',
    async run(db) {
      await db.prepare(TABLE).run();
      /** @type {Promise<any>[]} */
      let waiting = [];
      await failureOf(
        db.tx(async () => {
          waiting = [1, 2, 3].map((n) => insert(db, n).catch((/** @type {any} */ error) => error.code));
          throw failure;
        }),
      );
      const ends = await Promise.all(waiting);
      assert.deepEqual(ends.slice(1), ['ERR_TRANSACTION_ENDED', 'ERR_TRANSACTION_ENDED']);
      assert.deepEqual(await numbers(db), []);
    },
  },
];

module.exports = { TRANSACTIONS };
