'use strict';

// Every method of a pool with `ambient`, called within pool.transaction(): it runs in that transaction, and what it did goes with it.

const assert = require('node:assert/strict');
const { text } = require('node:stream/consumers');
const { describe } = require('node:test');
const { sql } = require('../../client.js');
const { endings, failureOf, range, sleep, test, until, useCluster } = require('../support/helpers');
const { assertIdle, failure, scene, xidOf } = require('./tables.js');

const db = useCluster({ nodes: 2 });

/** @param {any} rows an iterable */
async function all(rows) {
  const found = [];
  for await (const row of rows) found.push(row);
  return found;
}

// It assigns no number, so that a standby can answer it, too.
const XID = 'SELECT pg_current_xact_id_if_assigned()::text AS xid';

test('a call on the pool by any method runs in the transaction, and after it in another one', async (t) => {
  /** How each method tells its transaction. @type {Record<string, (pool: any, table: string) => Promise<string>>} */
  const methods = {
    query: async (pool) => (await pool.query(XID))[0].xid,
    'query with a fragment': async (pool) => (await pool.query(sql`${sql.raw(XID)}`))[0].xid,
    sql: async (pool) => (await pool.sql`${sql.raw(XID)}`)[0].xid,
    one: async (pool) => (await pool.one(XID)).xid,
    maybeOne: async (pool) => (await pool.maybeOne(XID)).xid,
    many: async (pool) => (await pool.many(XID))[0].xid,
    value: (pool) => pool.value(XID),
    batch: async (pool) => (await pool.batch([XID]))[0].value[0].xid,
    'batch in a transaction': async (pool) => (await pool.batch([[XID]], { transaction: true }))[0][0].xid,
    stream: async (pool) => (await all(pool.stream(XID)))[0].xid,
    exec: async (pool) => (await pool.exec(`SELECT 1; ${XID}`))[1][0].xid,
    copyTo: async (pool) => (await text(pool.copyTo(`COPY (${XID}) TO STDOUT`))).trim(),
    copyFrom: async (pool, table) => {
      const note = String(Math.random());
      await pool.copyFrom(`${table} (note)`, [[note]]);
      return String(await pool.value(`SELECT xid FROM ${table} WHERE note = $1`, [note]));
    },
    read: async (pool) => (await pool.read(XID))[0].xid,
    'read.one': async (pool) => (await pool.read.one(XID)).xid,
    'read.maybeOne': async (pool) => (await pool.read.maybeOne(XID)).xid,
    'read.many': async (pool) => (await pool.read.many(XID))[0].xid,
    'read.value': (pool) => pool.read.value(XID),
    'read.sql': async (pool) => (await pool.read.sql`${sql.raw(XID)}`)[0].xid,
    'read.stream': async (pool) => (await all(pool.read.stream(XID)))[0].xid,
    session: (pool) => pool.session(() => pool.value(XID)),
    transaction: (pool) => pool.transaction((/** @type {any} */ tx) => tx.value(XID)),
    'a savepoint': (pool) => pool.transaction((/** @type {any} */ tx) => tx.value(XID), { nested: 'savepoint' }),
  };
  const { pool, table } = await scene(db, t);
  for (const [method, xidBy] of Object.entries(methods)) {
    const [own, found] = await pool.transaction(async (/** @type {any} */ tx) => [
      await xidOf(tx),
      await xidBy(pool, table),
    ]);
    assert.equal(found, own, method);
    assert.notEqual(await xidBy(pool, table), own, method);
  }
  assertIdle(pool);
});

test('what a call on the pool by any method has written is undone and kept with the transaction', async (t) => {
  /** @type {Record<string, (pool: any, table: string) => Promise<unknown>>} */
  const writes = {
    query: (pool, table) => pool.query(`INSERT INTO ${table} VALUES ('x')`),
    batch: (pool, table) => pool.batch([`INSERT INTO ${table} VALUES ('x')`]),
    stream: (pool, table) => all(pool.stream(`INSERT INTO ${table} VALUES ('x') RETURNING note`)),
    exec: (pool, table) => pool.exec(`INSERT INTO ${table} VALUES ('x')`),
    copyFrom: (pool, table) => pool.copyFrom(`${table} (note)`, [['x']]),
    copyTo: (pool, table) => text(pool.copyTo(`COPY (INSERT INTO ${table} VALUES ('x') RETURNING note) TO STDOUT`)),
    read: (pool, table) => pool.read(`INSERT INTO ${table} VALUES ('x')`),
    transaction: (pool, table) =>
      pool.transaction((/** @type {any} */ tx) => tx.query(`INSERT INTO ${table} VALUES ('x')`)),
  };
  const { pool, table, seen } = await scene(db, t);
  for (const [method, write] of Object.entries(writes)) {
    const error = await failureOf(
      pool.transaction(async () => {
        await write(pool, table);
        throw failure();
      }),
    );
    assert.ok(error.isMeant, error.stack);
    assert.deepEqual(await seen(), [], method);
    await pool.transaction(() => write(pool, table));
    assert.deepEqual(await seen(), ['x'], method);
    await pool.query(`DELETE FROM ${table}`);
  }
  assertIdle(pool);
});

test('a joined notify is sent by COMMIT, and by no ROLLBACK', async (t) => {
  const { pool, table } = await scene(db, t);
  /** @type {string[]} */
  const heard = [];
  await pool.listen(table, (/** @type {string} */ payload) => heard.push(payload));
  await failureOf(
    pool.transaction(async () => {
      await pool.notify(table, 'undone');
      throw failure();
    }),
  );
  await pool.transaction(() => pool.notify(table, 'kept'));
  await until('the notification is there', () => heard.length > 0);
  assert.deepEqual(heard, ['kept']);
});

test('a listen within a transaction stays outside, and its handler runs in no transaction', async (t) => {
  const { pool, table } = await scene(db, t);
  /** @type {boolean[]} */
  const heard = [];
  await failureOf(
    pool.transaction(async () => {
      await pool.listen(table, () => heard.push(pool.inTransaction));
      throw failure();
    }),
  );
  await pool.notify(table, 'x');
  await until('the notification is there', () => heard.length > 0);
  assert.deepEqual(heard, [false]);
});

test('a joined read takes the options of reads, and runs on the primary', async (t) => {
  const { pool, table, write } = await scene(db, t);
  const token = await pool.token();
  await pool.transaction(async () => {
    await write(pool, 'a');
    const options = { after: token, maxLagMs: 1, maxLagBytes: 1, waitMs: 1, hedgeMs: 1, fallback: 'none' };
    const rows = await pool.read(`SELECT note FROM ${table}`, [], { ...options, rowMode: 'array' });
    assert.deepEqual([...rows], [['a']]);
    assert.equal(rows.node, db.cluster.primary().address);
    const { hedgeMs: _, ...ofStreams } = options;
    assert.deepEqual(await all(pool.read.stream(`SELECT note FROM ${table}`, [], ofStreams)), [{ note: 'a' }]);
    const error = await failureOf(pool.read('SELECT 1', [], { maxLag: 1 }));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
  });
});

test('a position is asked for in no transaction', async (t) => {
  const { pool } = await scene(db, t);
  await pool.transaction(async () => {
    assert.equal((await failureOf(pool.token())).code, 'ERR_TRANSACTION_OPEN');
    const error = await failureOf(pool.query('SELECT 1', [], { token: true }));
    assert.match(error.message, /^token: the position of a transaction is known only after COMMIT/);
    assert.equal(typeof (await pool.outside(() => pool.token())), 'string');
  });
});

test('begin() is refused within a transaction, and allowed outside of it', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await failureOf(
    pool.transaction(async () => {
      assert.equal((await failureOf(pool.begin())).code, 'ERR_TRANSACTION_OPEN');
      const own = await pool.outside(() => pool.begin());
      await write(own, 'own');
      await own.commit();
      throw failure();
    }),
  );
  assert.deepEqual(await seen(), ['own']);
});

test('begin() gives its transaction no context: calls on the pool do not join it', async (t) => {
  const { pool } = await scene(db, t);
  const tx = await pool.begin();
  assert.notEqual(await xidOf(pool), await xidOf(tx));
  assert.equal(pool.inTransaction, false);
  await tx.rollback();
});

describe('a joined batch', () => {
  test('of which one statement fails is undone as a whole, and the transaction goes on', async (t) => {
    const { pool, table, seen, write } = await scene(db, t);
    await pool.transaction(async () => {
      await write(pool, 'before');
      for (const options of [undefined, { transaction: true }]) {
        const error = await failureOf(
          pool.batch(
            [`INSERT INTO ${table} VALUES ('a')`, ['SELECT 1 / $1::int', [0]], `INSERT INTO ${table} VALUES ('b')`],
            options,
          ),
        );
        assert.deepEqual([error.code, error.statementIndex], ['22012', 1], error.stack);
      }
      await write(pool, 'after');
    });
    assert.deepEqual(await seen(), ['before', 'after']);
  });

  test('names the statement whose parameter is wrong', async (t) => {
    const { pool } = await scene(db, t);
    await pool.transaction(async () => {
      const wrong = ['SELECT $1::int', [Symbol('no value')]];
      const error = await failureOf(pool.batch(['SELECT 1', wrong]));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, /^statements\[1\]: /);
      assert.deepEqual(await pool.batch([]), []);
    });
  });

  test('refuses the options of a transaction that is not this one', async (t) => {
    const { pool } = await scene(db, t);
    await pool.transaction(
      async () => {
        const error = await failureOf(pool.batch(['SELECT 1'], { transaction: { isolation: 'serializable' } }));
        assert.match(error.message, /^transaction\.isolation: /);
        const [rows] = await pool.batch(['SELECT 1 AS x'], { transaction: { isolation: 'REPEATABLE READ' } });
        assert.deepEqual([...rows], [{ x: 1 }]);
      },
      { isolation: 'repeatable read' },
    );
  });
});

test('joined statements have their own options: rowMode, types, timeoutMs, signal', async (t) => {
  const { pool } = await scene(db, t);
  await pool.transaction(async () => {
    assert.deepEqual(
      [...(await pool.query('SELECT 1::int8', [], { rowMode: 'array', types: { int8: 'number' } }))],
      [[1]],
    );
  });
  const late = await failureOf(pool.transaction(() => pool.query('SELECT pg_sleep(10)', [], { timeoutMs: 30 })));
  assert.equal(late.code, '57014');
  const controller = new AbortController();
  const aborted = failureOf(
    pool.transaction(async () => {
      const slow = pool.query('SELECT pg_sleep(10)', [], { signal: controller.signal });
      await until('it runs', () => pool.status().inUse === 1);
      controller.abort();
      await slow;
    }),
  );
  assert.equal((await aborted).code, 'ABORT_ERR');
  assertIdle(pool);
});

test('joined statements side by side run in the order of the calls', async (t) => {
  const { pool, seen, write } = await scene(db, t);
  await pool.transaction(() => Promise.all(range(50).map((i) => write(pool, String(i)))));
  assert.deepEqual(await seen(), range(50).map(String));
});

test('a stream and a statement for each of its rows share the connection of the transaction', async (t) => {
  const { pool, table } = await scene(db, t);
  const wide = `SELECT i, repeat('x', 1000) AS filler FROM generate_series(1, 3000) AS i`;
  await pool.transaction(async () => {
    let sum = 0;
    for await (const { i } of pool.stream(wide, [], { batchSize: 10 })) {
      if (i % 1000 === 1) await pool.query(`INSERT INTO ${table} VALUES ($1)`, [String(i)]);
      sum += i;
    }
    assert.equal(sum, 4_501_500);
  });
  assert.deepEqual(
    (await pool.query(`SELECT note FROM ${table}`)).map((/** @type {any} */ row) => row.note),
    ['1', '1001', '2001'],
  );
});

test('an unload and a statement in the middle of it share the connection of the transaction', async (t) => {
  const { pool, write, seen } = await scene(db, t);
  await pool.transaction(async () => {
    let bytes = 0;
    let isFirst = true;
    for await (const piece of pool.copyTo(`COPY (SELECT repeat('x', 999) FROM generate_series(1, 3000)) TO STDOUT`)) {
      if (isFirst) await write(pool, 'in the middle');
      isFirst = false;
      bytes += piece.length;
    }
    assert.equal(bytes, 3_000_000);
  });
  assert.deepEqual(await seen(), ['in the middle']);
});

test('a stream that is left early cancels its statement: the savepoint around it can go on', async (t) => {
  const { pool, write, seen } = await scene(db, t);
  await pool.transaction(async (/** @type {any} */ tx) => {
    await write(tx, 'before');
    const error = await failureOf(
      tx.transaction(async () => {
        for await (const _ of pool.stream('SELECT generate_series(1, 100000000)')) throw failure();
      }),
    );
    assert.ok(error.isMeant, error.stack);
    await write(tx, 'after');
  });
  assert.deepEqual(await seen(), ['before', 'after']);
});

test('a stream that nobody reads on does not keep the transaction from its end', async (t) => {
  const { pool, write, seen } = await scene(db, t);
  const rest = await pool.transaction(async () => {
    await write(pool, 'x');
    const stream = pool.stream(`SELECT i, repeat('x', 1000) AS filler FROM generate_series(1, 1000) AS i`);
    await stream.next();
    return stream;
  });
  assert.deepEqual(await seen(), ['x']);
  assert.equal((await all(rest)).length, 999, 'what was asked for in the transaction is there');
  const error = await failureOf(
    pool.transaction(async () => {
      await pool.stream('SELECT generate_series(1, 100000000)').next();
      throw failure();
    }),
  );
  assert.ok(error.isMeant, error.stack);
  assertIdle(pool);
});

test('the source of a load cannot use the transaction, and can read outside of it', async (t) => {
  const { pool, table, seen } = await scene(db, t);
  const errors = await endings([
    pool.transaction((/** @type {any} */ _tx) =>
      pool.copyFrom(
        `${table} (note)`,
        (async function* () {
          yield [await pool.value(`SELECT 'from inside'`)];
        })(),
      ),
    ),
    pool.transaction((/** @type {any} */ tx) =>
      pool.copyFrom(
        `${table} (note)`,
        (async function* () {
          yield [await pool.outside(() => tx.value(`SELECT 'by tx'`))];
        })(),
      ),
    ),
  ]);
  assert.deepEqual(
    errors.map(({ error }) => error?.code),
    ['ERR_TRANSACTION_OPEN', 'ERR_TRANSACTION_OPEN'],
  );
  await pool.transaction(() =>
    pool.copyFrom(
      `${table} (note)`,
      (async function* () {
        await sleep(1);
        yield [await pool.outside(() => pool.value(`SELECT 'from outside'`))];
      })(),
    ),
  );
  assert.deepEqual(await seen(), ['from outside']);
  assertIdle(pool);
});

test('writes of a session that have joined a transaction count for its reads when that commits', async (t) => {
  const { pool, table, write } = await scene(db, t, { monitor: { intervalMs: 50 } });
  const count = `SELECT count(*)::int FROM ${table}`;
  // Whichever is around the other.
  await pool.session(async () => {
    await pool.transaction(() => write(pool, 'a'));
    assert.equal(await pool.read.value(count), 1);
  });
  await pool.transaction(async () => {
    await pool.session(async () => {
      await write(pool, 'b');
      assert.equal(await pool.read.value(count), 2);
    });
  });
  /** @type {Promise<any>} */
  let later = Promise.resolve();
  let commit = () => {};
  const committed = new Promise((resolve) => {
    commit = () => resolve(undefined);
  });
  await pool.transaction(() =>
    pool.session(async () => {
      await write(pool, 'c');
      later = pool.outside(async () => {
        await committed;
        return pool.read.value(count);
      });
    }),
  );
  commit();
  assert.equal(await later, 3);
});
