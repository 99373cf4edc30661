'use strict';

// Transactions within transactions: joined, as savepoints, refused; and what of their options cannot hold.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { Transaction, createPool } = require('../../client.js');
const { failureOf, test, useCluster } = require('../support/helpers');
const { assertIdle, failure, scene, xidOf } = require('./tables.js');

const db = useCluster({ nodes: 1 });

/** @typedef {any} Tx */

describe('nested: join', () => {
  test('runs in the outer transaction; its error goes on, and who catches it spoils nothing', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ outer) => {
      await write(outer, 'outer');
      const error = await failureOf(
        pool.transaction(async (/** @type {Tx} */ inner) => {
          assert.ok(inner instanceof Transaction);
          assert.equal(await xidOf(inner), await xidOf(outer));
          await write(inner, 'inner');
          throw failure();
        }),
      );
      assert.ok(error.isMeant, error.stack);
      await write(pool, 'after');
    });
    assert.deepEqual(await seen(), ['outer', 'inner', 'after']);
  });

  test('gives a transaction whose end belongs to the outer one', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    /** @type {Tx} */
    let kept;
    await pool.transaction(async (/** @type {Tx} */ outer) => {
      await pool.transaction(async (/** @type {Tx} */ inner) => {
        kept = inner;
        assert.equal((await failureOf(inner.commit())).code, 'ERR_TRANSACTION_OPEN');
        assert.equal((await failureOf(inner.rollback())).code, 'ERR_TRANSACTION_OPEN');
        assert.equal((await failureOf(outer.commit())).code, 'ERR_TRANSACTION_OPEN');
        await write(inner, 'x');
        assert.equal(inner.ended, false);
      });
      assert.equal(kept.ended, true);
      assert.equal((await failureOf(write(kept, 'late'))).code, 'ERR_TRANSACTION_ENDED');
      assert.equal(outer.ended, false);
    });
    assert.deepEqual(await seen(), ['x']);
  });

  test('returns what its callback returns, to any depth', async (t) => {
    const { pool } = await scene(db, t);
    const nest = (/** @type {number} */ depth) =>
      pool.transaction(async (/** @type {Tx} */ tx) =>
        depth === 0 ? xidOf(tx) : [await xidOf(pool), await nest(depth - 1)],
      );
    const found = (await nest(8)).flat(Infinity);
    assert.equal(found.length, 9);
    assert.equal(new Set(found).size, 1);
  });
});

describe('nested: savepoint, and tx.transaction()', () => {
  /** @type {[string, (pool: any, tx: Tx, callback: (tx: Tx) => unknown) => Promise<any>][]} */
  const ways = [
    ['pool.transaction(cb, { nested })', (pool, _tx, callback) => pool.transaction(callback, { nested: 'savepoint' })],
    ['tx.transaction(cb)', (_pool, tx, callback) => tx.transaction(callback)],
  ];
  for (const [way, savepoint] of ways) {
    test(`${way}: what fails is undone alone, what succeeds stays`, async (t) => {
      const { pool, seen, write } = await scene(db, t);
      await pool.transaction(async (/** @type {Tx} */ tx) => {
        await write(tx, 'outer');
        const error = await failureOf(
          savepoint(pool, tx, async (inner) => {
            await write(inner, 'undone');
            await inner.query('SELECT 1 / 0');
          }),
        );
        assert.equal(error.code, '22012');
        const value = await savepoint(pool, tx, async (inner) => {
          assert.ok(inner instanceof Transaction);
          await write(inner, 'kept');
          return 7;
        });
        assert.equal(value, 7);
      });
      assert.deepEqual(await seen(), ['outer', 'kept']);
      assertIdle(pool);
    });

    test(`${way}: nests, and each level is undone by itself`, async (t) => {
      const { pool, seen, write } = await scene(db, t);
      await pool.transaction(async (/** @type {Tx} */ tx) => {
        await savepoint(pool, tx, async (one) => {
          await write(one, '1');
          const error = await failureOf(
            savepoint(pool, one, async (two) => {
              await write(two, '2');
              await savepoint(pool, two, (three) => write(three, '3'));
              throw failure();
            }),
          );
          assert.ok(error.isMeant, error.stack);
          await savepoint(pool, one, (two) => write(two, '4'));
        });
      });
      assert.deepEqual(await seen(), ['1', '4']);
    });
  }

  test('a callback that swallows the error of its statement is undone all the same', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      const error = await failureOf(
        tx.transaction(async () => {
          await write(pool, 'undone');
          await failureOf(pool.query('SELECT 1 / 0'));
        }),
      );
      assert.equal(error.code, '25P02');
      await write(pool, 'kept');
    });
    assert.deepEqual(await seen(), ['kept']);
  });

  test('of a pool without ambient: the calls of tx run in it, those of the pool do not', async (t) => {
    const { pool, seen, write } = await scene(db, t, { ambient: false });
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      const error = await failureOf(
        tx.transaction(async (/** @type {Tx} */ inner) => {
          await write(inner, 'undone');
          await write(tx, 'undone, too');
          assert.notEqual(await xidOf(pool), await xidOf(inner));
          throw failure();
        }),
      );
      assert.ok(error.isMeant, error.stack);
      await tx.transaction((/** @type {Tx} */ inner) => write(inner, 'kept'));
    });
    assert.deepEqual(await seen(), ['kept']);
  });

  test('of a transaction that begin() has begun', async (t) => {
    const { pool, seen, write } = await scene(db, t, { ambient: false });
    const tx = await pool.begin();
    await tx.transaction((/** @type {Tx} */ inner) => write(inner, 'kept'));
    const error = await failureOf(
      tx.transaction(async (/** @type {Tx} */ inner) => {
        await write(inner, 'undone');
        assert.equal((await failureOf(tx.commit())).code, 'ERR_TRANSACTION_OPEN');
        assert.equal((await failureOf(inner.rollback())).code, 'ERR_TRANSACTION_OPEN');
        throw failure();
      }),
    );
    assert.ok(error.isMeant, error.stack);
    await tx.commit();
    assert.deepEqual(await seen(), ['kept']);
    assert.equal((await failureOf(tx.transaction(() => {}))).code, 'ERR_TRANSACTION_ENDED');
  });

  test('its scope is refused after its end, whether it was kept or undone', async (t) => {
    const { pool, write } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      /** @type {Tx[]} */
      const kept = [];
      await tx.transaction((/** @type {Tx} */ inner) => kept.push(inner));
      await failureOf(
        tx.transaction((/** @type {Tx} */ inner) => {
          kept.push(inner);
          throw failure();
        }),
      );
      for (const inner of kept) {
        const calls = [
          write(inner, 'late'),
          inner.exec('SELECT 1'),
          inner.transaction(() => {}),
          inner.batch(['SELECT 1']),
        ];
        for (const call of calls) assert.equal((await failureOf(call)).code, 'ERR_TRANSACTION_ENDED');
        assert.throws(() => inner.stream('SELECT 1'), { code: 'ERR_TRANSACTION_ENDED' });
        assert.throws(() => inner.copyTo('x'), { code: 'ERR_TRANSACTION_ENDED' });
      }
    });
  });

  test('a limit of it ends it alone', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      const late = tx.transaction(
        async () => {
          await write(pool, 'undone');
          await pool.query('SELECT pg_sleep(10)');
        },
        { timeoutMs: 50 },
      );
      assert.equal((await failureOf(late)).code, '57014');
      const controller = new AbortController();
      const aborted = tx.transaction(
        async () => {
          await write(pool, 'undone');
          controller.abort();
          await new Promise(() => {});
        },
        { signal: controller.signal },
      );
      assert.equal((await failureOf(aborted)).code, 'ABORT_ERR');
      await write(pool, 'kept');
    });
    assert.deepEqual(await seen(), ['kept']);
    assertIdle(pool);
  });

  test('a savepoint that the callback has not awaited is waited for before COMMIT, and its failure undoes it alone', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    /** @type {Promise<any>[]} */
    const parts = [];
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      parts.push(
        tx.transaction(async () => {
          await write(pool, 'kept');
          await xidOf(pool);
          await write(pool, 'kept, too');
        }),
        failureOf(
          tx.transaction(async () => {
            await write(pool, 'undone');
            await xidOf(pool);
            throw failure();
          }),
        ),
      );
    });
    await Promise.all(parts);
    assert.deepEqual(await seen(), ['kept', 'kept, too']);
    assertIdle(pool);
  });

  test('a savepoint that runs when the transaction fails is undone with it, and its calls are refused', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    /** @type {Promise<any> | undefined} */
    let part;
    let go = () => {};
    const gone = new Promise((resolve) => {
      go = () => resolve(undefined);
    });
    const error = await failureOf(
      pool.transaction(async (/** @type {Tx} */ tx) => {
        const begun = new Promise((resolve) => {
          part = failureOf(
            tx.transaction(async () => {
              await write(pool, 'undone');
              resolve(undefined);
              await gone;
              await write(pool, 'late');
            }),
          );
        });
        await begun;
        throw failure();
      }),
    );
    assert.ok(error.isMeant, error.stack);
    go();
    assert.equal((await part).code, 'ERR_TRANSACTION_ENDED');
    assert.deepEqual(await seen(), []);
    assertIdle(pool);
  });
});

test('nested: error refuses a nested transaction, and no other', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction(
    async () => {
      const error = await failureOf(pool.transaction(() => write(pool, 'never'), { nested: 'error' }));
      assert.equal(error.code, 'ERR_TRANSACTION_OPEN');
      await pool.outside(() => pool.transaction(() => write(pool, 'outside'), { nested: 'error' }));
      await write(pool, 'inside');
    },
    { nested: 'error' },
  );
  assert.deepEqual(await seen(), ['outside', 'inside']);
});

describe('an option that cannot hold is refused by its name:', () => {
  test('of a nested transaction', async (t) => {
    const { pool } = await scene(db, t);
    /** @type {[any, any, string | null][]} the outer options, the inner ones, the name of what is refused */
    const table = [
      [{}, { isolation: 'serializable' }, 'isolation'],
      [{ isolation: 'serializable' }, { isolation: 'repeatable read' }, 'isolation'],
      [{ isolation: 'serializable' }, { isolation: 'SERIALIZABLE' }, null],
      [{}, { readOnly: true }, 'readOnly'],
      [{ readOnly: true }, { readOnly: false }, 'readOnly'],
      [{ readOnly: true }, { readOnly: true }, null],
      [{}, { readOnly: false }, null],
      [{}, { deferrable: true }, 'deferrable'],
      [{}, { retries: 3 }, 'retries'],
      [{}, { retries: 0 }, null],
      [{}, { timeoutMs: 1_000 }, null],
      [{}, { isolation: undefined, nested: 'savepoint' }, null],
      [{}, { isolation: 'serializable', nested: 'savepoint' }, 'isolation'],
      [{}, { nested: 'other' }, 'nested'],
      [{}, { isolatoin: 'serializable' }, 'unknown option'],
    ];
    for (const [outer, inner, name] of table) {
      await pool.transaction(async () => {
        const ended = pool.transaction(() => 'done', inner);
        if (name === null) {
          assert.equal(await ended, 'done');
          return;
        }
        const error = await failureOf(ended);
        assert.equal(error.code, 'ERR_INVALID_PARAM', JSON.stringify(inner));
        assert.ok(error.message.startsWith(name), error.message);
      }, outer);
    }
  });

  test('of a savepoint', async (t) => {
    const { pool } = await scene(db, t);
    await pool.transaction(async (/** @type {Tx} */ tx) => {
      for (const name of ['isolation', 'readOnly', 'deferrable', 'retries', 'durability', 'exactlyOnce', 'nested']) {
        const error = await failureOf(tx.transaction(() => {}, { [name]: true }));
        assert.equal(error.code, 'ERR_INVALID_PARAM');
        assert.match(error.message, new RegExp(`^${name}: it belongs to the transaction as a whole`));
      }
      assert.match((await failureOf(tx.transaction(7))).message, /needs a function/);
      assert.match((await failureOf(pool.transaction(7))).message, /needs a function/);
    });
  });

  test('nested, where the pool is not ambient', async (t) => {
    const { pool } = await scene(db, t, { ambient: false });
    assert.match((await failureOf(pool.transaction(() => {}, { nested: 'join' }))).message, /^nested: /);
  });

  test('ambient, of createPool', () => {
    assert.throws(() => createPool({ ambient: 'loose' }), /^OptionError: ambient/);
  });
});

describe('a transaction that is broken as a whole', () => {
  test('cannot be committed by swallowing the serialization failure of a savepoint, and runs again', async (t) => {
    const { pool, table, seen, write } = await scene(db, t);
    await pool.query(`INSERT INTO ${table} (note) VALUES ('0')`);
    let attempts = 0;
    /** @type {any[]} */
    const errors = [];
    await pool.transaction(
      async (/** @type {Tx} */ tx) => {
        attempts++;
        await tx.query(`SELECT * FROM ${table}`);
        // Another transaction overtakes the first attempt.
        if (attempts === 1) await pool.outside(() => pool.query(`UPDATE ${table} SET note = 'other'`));
        try {
          await tx.transaction(() => pool.query(`UPDATE ${table} SET note = 'mine'`));
        } catch (error) {
          errors.push(error);
          errors.push(await failureOf(write(tx, 'never')));
        }
      },
      { isolation: 'repeatable read', retries: 1 },
    );
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['40001', '40001'],
    );
    assert.equal(attempts, 2);
    assert.deepEqual(await seen(), ['mine']);
    assertIdle(pool);
  });

  test('cannot be committed after its connection was lost in a savepoint', async (t) => {
    const { pool, seen, write } = await scene(db, t);
    const run = (/** @type {number} */ retries) => {
      let attempts = 0;
      return pool.transaction(
        async (/** @type {Tx} */ tx) => {
          attempts++;
          await write(tx, `attempt ${attempts}`);
          try {
            await tx.transaction(() =>
              pool.query(attempts === 1 ? 'SELECT pg_terminate_backend(pg_backend_pid())' : 'SELECT 1'),
            );
          } catch {}
        },
        { retries },
      );
    };
    const error = await failureOf(run(0));
    assert.equal(error.outcome, 'not-applied', error.stack);
    assert.deepEqual(await seen(), []);
    await run(1);
    assert.deepEqual(await seen(), ['attempt 2']);
    assertIdle(pool);
  });

  test('a deadlock in a savepoint runs the whole transaction again', async (t) => {
    const { pool, table, seen } = await scene(db, t);
    await pool.query(`INSERT INTO ${table} (note) VALUES ('a'), ('b')`);
    const lock = (/** @type {string} */ note) =>
      pool.query(`UPDATE ${table} SET pid = pid + 1 WHERE note = $1`, [note]);
    let attempts = 0;
    /** @type {(() => void)[]} */
    const waiting = [];
    const bothHaveOne = () =>
      new Promise((resolve) => {
        waiting.push(() => resolve(undefined));
        if (waiting.length >= 2) for (const go of waiting) go();
      });
    const crossing = (/** @type {string[]} */ [first, second]) =>
      pool.transaction(
        async (/** @type {Tx} */ tx) => {
          attempts++;
          await lock(first);
          await bothHaveOne();
          await tx.transaction(() => lock(second)).catch(() => {});
        },
        { retries: 3 },
      );
    await Promise.all([crossing(['a', 'b']), crossing(['b', 'a'])]);
    assert.equal(attempts, 3, 'one was the victim');
    assert.deepEqual((await seen()).sort(), ['a', 'b']);
    assertIdle(pool);
  });
});
