'use strict';

// Savepoints and statements of one transaction side by side: what waits for what, and what must not wait.

const assert = require('node:assert/strict');
const { failureOf, range, test, useCluster } = require('../support/helpers');
const { assertIdle, failure, scene, xidOf } = require('./tables.js');

const db = useCluster({ nodes: 1 });

/** @typedef {any} Tx */

/** A promise, and what resolves it. */
function signal() {
  let give = () => {};
  const given = new Promise((resolve) => {
    give = () => resolve(undefined);
  });
  return { given, give };
}

test('savepoints side by side run one after the other as a whole', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction((/** @type {Tx} */ tx) =>
    Promise.allSettled(
      range(6).map((i) =>
        tx.transaction(async (/** @type {Tx} */ inner) => {
          await write(inner, `${i} a`);
          await xidOf(pool);
          await write(pool, `${i} b`);
          if (i % 2 === 1) throw failure();
        }),
      ),
    ),
  );
  assert.deepEqual(await seen(), ['0 a', '0 b', '2 a', '2 b', '4 a', '4 b']);
  assertIdle(pool);
});

test('a statement from outside of an open savepoint waits for its end, and is not undone with it', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const { given, give } = signal();
    const part = failureOf(
      tx.transaction(async (/** @type {Tx} */ inner) => {
        await write(inner, 'undone');
        give();
        await xidOf(inner);
        throw failure();
      }),
    );
    await given;
    // By tx, by the pool, and in several methods.
    await Promise.all([
      write(tx, 'by tx'),
      write(pool, 'by the pool'),
      pool.exec('SELECT 1'),
      pool.batch([['SELECT 1']]),
      tx.transaction((/** @type {Tx} */ inner) => write(inner, 'in the next savepoint')),
      write(tx, 'after the next savepoint'),
    ]);
    assert.ok((await part).isMeant);
  });
  assert.deepEqual(await seen(), ['by tx', 'by the pool', 'in the next savepoint', 'after the next savepoint']);
});

test('a statement of an outer scope from inside of a savepoint runs in that one: it waits for nothing', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const error = await failureOf(
      tx.transaction(async (/** @type {Tx} */ one) => {
        await write(tx, 'undone, 1');
        await one.transaction(async () => {
          await write(tx, 'undone, 2');
          await write(one, 'undone, 3');
          await tx.batch([[`SELECT 1`]]);
          await tx.transaction(() => write(one, 'undone, 4'));
          for await (const _ of tx.stream('SELECT 1'));
        });
        throw failure();
      }),
    );
    assert.ok(error.isMeant, error.stack);
    await write(tx, 'kept');
  });
  assert.deepEqual(await seen(), ['kept']);
});

test('a call in pool.outside() on the outer transaction from inside of a savepoint runs in that one, too', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction((/** @type {Tx} */ tx) =>
    tx.transaction(async () => {
      await pool.outside(() => write(tx, '1'));
      await pool.outside(() =>
        pool.transaction(async (/** @type {Tx} */ other) => {
          await write(tx, '2');
          assert.notEqual(await xidOf(pool), await xidOf(tx));
          await other.transaction(() => write(tx, '3'));
        }),
      );
    }),
  );
  assert.deepEqual(await seen(), ['1', '2', '3']);
});

test('of a pool without ambient: inside and outside of a savepoint are told apart, too', async (t) => {
  const { pool, seen, write } = await scene(db, t, { ambient: false });
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const { given, give } = signal();
    const part = failureOf(
      tx.transaction(async () => {
        await write(tx, 'undone');
        give();
        // A transaction of its own, which is not in the context, and a savepoint of that.
        await pool.transaction((/** @type {Tx} */ other) => other.transaction(() => write(tx, 'undone, too')));
        throw failure();
      }),
    );
    await given;
    await write(tx, 'kept');
    assert.ok((await part).isMeant);
  });
  assert.deepEqual(await seen(), ['kept']);
});

test('statements keep the order of their calls around savepoints, whatever they are', async (t) => {
  const { pool, seen, write, table } = await scene(db, t);
  const wanted = [...range(40).map(String), 'last'];
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    await Promise.all(
      range(40).map((i) => {
        const note = String(i);
        if (i % 5 === 1) return tx.transaction((/** @type {Tx} */ inner) => write(inner, note));
        if (i % 5 === 2) return pool.exec(`INSERT INTO ${table} (note) VALUES ('${note}')`);
        if (i % 5 === 3) return tx.copyFrom(`${table} (note)`, [[note]]);
        if (i % 5 === 4) return pool.batch([[`INSERT INTO ${table} (note) VALUES ($1)`, [note]]]);
        return write(tx, note);
      }),
    );
    await write(tx, 'last');
  });
  assert.deepEqual(await seen(), wanted);
});

test('parameters that change while a statement waits are sent as they were', async (t) => {
  const { pool, seen, table } = await scene(db, t);
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const params = ['as given'];
    const part = tx.transaction(() => xidOf(pool));
    const waits = tx.query(`INSERT INTO ${table} (note) VALUES ($1)`, params);
    params[0] = 'changed';
    await Promise.all([part, waits]);
  });
  assert.deepEqual(await seen(), ['as given']);
});

test('a statement that waits for a savepoint keeps its own limits', async (t) => {
  const { pool, seen, write, table } = await scene(db, t);
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const controller = new AbortController();
    const part = tx.transaction(async () => {
      await pool.query('SELECT pg_sleep(0.1)');
      controller.abort();
    });
    const insert = `INSERT INTO ${table} (note) VALUES ('never')`;
    const late = failureOf(tx.query(insert, [], { timeoutMs: 20 }));
    const aborted = failureOf(tx.query(insert, [], { signal: controller.signal }));
    await part;
    assert.deepEqual([(await late).code, (await late).outcome], ['57014', 'not-applied']);
    assert.equal((await aborted).code, 'ABORT_ERR');
    await write(tx, 'kept');
  });
  assert.deepEqual(await seen(), ['kept']);
});

test('a joined transaction that outlives the savepoint around it is refused, and does not wait for ever', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction(async (/** @type {Tx} */ tx) => {
    const { given, give } = signal();
    /** @type {Promise<any> | undefined} */
    let late;
    await tx.transaction(async () => {
      await write(pool, 'kept');
      late = failureOf(
        pool.transaction(async () => {
          await given;
          await write(pool, 'late');
        }),
      );
    });
    give();
    assert.equal((await late).code, 'ERR_TRANSACTION_ENDED');
  });
  assert.deepEqual(await seen(), ['kept']);
});

test('a timeout of the transaction ends it while a savepoint is open that never ends', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  for (const awaited of [true, false]) {
    const error = await failureOf(
      pool.transaction(
        async (/** @type {Tx} */ tx) => {
          const part = tx.transaction(async () => {
            await write(pool, 'undone');
            await new Promise(() => {});
          });
          if (awaited) await part;
          else part.catch(() => {});
        },
        { timeoutMs: 100 },
      ),
    );
    assert.equal(error.code, '57014', error.stack);
  }
  assert.deepEqual(await seen(), []);
  assertIdle(pool);
});
