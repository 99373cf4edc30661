'use strict';

// The option `reset`: no setting reaches the next user of the connection, whichever method of the pool has run the statement, and
// whatever became of its functions since the pool has got to know them.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { sql } = require('../../client.js');
const { failureOf, range, test, useCluster } = require('../support/helpers');
const { changesOf, loginTo, makeDatabase, settingsOf } = require('../support/settings');

const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await makeDatabase(db.cluster);
});

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] */
const openPool = (t, options) => db.pool(t, { poolSize: 1, ...loginTo(db), ...options });

const LEAK = "SELECT set_config('app.tenant', 'secret', false) AS v";
const LEAKING_ROWS = 'SELECT i, leak() AS v FROM generate_series(1, 3) AS i';

/** @param {AsyncIterable<unknown>} stream */
async function readAll(stream) {
  for await (const _ of stream);
}

/** @param {AsyncIterable<unknown>} stream */
async function readFirst(stream) {
  for await (const _ of stream) break;
}

/** What leaves a setting in the session. @type {[title: string, leave: (pool: any) => Promise<unknown>][]} */
const WAYS = [
  ['query()', (pool) => pool.query(LEAK)],
  ['query() with timeoutMs', (pool) => pool.query(LEAK, [], { timeoutMs: 20_000 })],
  ['query() with a signal', (pool) => pool.query(LEAK, [], { signal: new AbortController().signal })],
  ['query() with readOnly', (pool) => pool.query(LEAK, [], { readOnly: true })],
  ['query() of arrays', (pool) => pool.query(LEAK, [], { rowMode: 'array' })],
  ['value()', (pool) => pool.value(LEAK)],
  ['one()', (pool) => pool.one(LEAK)],
  ['maybeOne() that finds too many rows', (pool) => failureOf(pool.maybeOne(LEAKING_ROWS))],
  ['many()', (pool) => pool.many(LEAKING_ROWS)],
  ['a template', (pool) => pool.sql`SELECT set_config(${'app.tenant'}, ${'secret'}, ${false})`],
  ['query() of a template', (pool) => pool.query(sql`SELECT set_config('app.tenant', ${'secret'}, false)`)],
  ['batch(), in its middle', (pool) => pool.batch(['SELECT 1', LEAK, ['SELECT $1::int', [2]]])],
  ['batch(), at its end', (pool) => pool.batch(['SELECT 1', LEAK])],
  ['batch() in a transaction', (pool) => pool.batch(['SELECT 1', LEAK, 'SELECT 2'], { transaction: true })],
  ['batch() of which another statement fails', (pool) => pool.batch([LEAK, 'SELECT 1 / 0', 'SELECT 2'])],
  ['stream() that is read to its end', (pool) => readAll(pool.stream(LEAKING_ROWS))],
  ['stream() that is read row by row', (pool) => readAll(pool.stream(LEAKING_ROWS, [], { batchSize: 1 }))],
  ['stream() that is left when the server has sent all', (pool) => readFirst(pool.stream(LEAKING_ROWS))],
  ['copyTo()', (pool) => readAll(pool.copyTo('COPY (SELECT leak()) TO STDOUT'))],
  ['copyFrom() into a table with a trigger', (pool) => pool.copyFrom('with_before', [[1], [2]])],
  ['copyFrom() of a CSV', (pool) => pool.copyFrom('COPY with_before FROM STDIN (FORMAT csv)', '1\n2\n')],
  ['copyFrom() into a column of a domain', (pool) => pool.copyFrom('with_domain', [[1]])],
  ['copyFrom() into a table with a default', (pool) => pool.copyFrom('with_default (id)', [[1]])],
  ['transaction()', (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(LEAK))],
  [
    'transaction() with isolation',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(LEAK), { isolation: 'serializable' }),
  ],
  [
    'transaction(), ahead of other statements',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(LEAK);
        for (const i of range(3)) await tx.query('SELECT $1::int', [i]);
      }),
  ],
  [
    'transaction(), ahead of SET LOCAL',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(LEAK);
        await tx.query("SET LOCAL work_mem = '7MB'");
      }),
  ],
  [
    'transaction() with copyFrom()',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.copyFrom('with_before', [[1]])),
  ],
  [
    'transaction() with copyTo()',
    (pool) => pool.transaction((/** @type {any} */ tx) => readAll(tx.copyTo('COPY (SELECT leak()) TO STDOUT'))),
  ],
  [
    'transaction() with a trigger that fires at COMMIT',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO with_deferred VALUES (1)')),
  ],
  [
    'transaction() with a cursor',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('DECLARE leaking CURSOR FOR SELECT leak()');
        await tx.query('FETCH ALL FROM leaking');
      }),
  ],
  [
    'begin() and commit()',
    async (pool) => {
      const tx = await pool.begin();
      await tx.query(LEAK);
      await tx.commit();
    },
  ],
  [
    'a savepoint that is released',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SAVEPOINT one');
        await tx.query(LEAK);
        await tx.query('RELEASE one');
      }),
  ],
  [
    'a transaction ahead of a savepoint that is rolled back',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(LEAK);
        await tx.query('SAVEPOINT one');
        await failureOf(tx.query('SELECT 1 / 0'));
        await tx.query('ROLLBACK TO one');
      }),
  ],
];

/** What leaves nothing, because PostgreSQL rolls it back or the pool closes the connection. @type {typeof WAYS} */
const WITHOUT_TRACE = [
  ['exec()', (pool) => pool.exec(`${LEAK}; SELECT 1`)],
  ['exec() with BEGIN and COMMIT', (pool) => pool.exec(`BEGIN; ${LEAK}; COMMIT`)],
  ['exec() in a transaction', (pool) => pool.transaction((/** @type {any} */ tx) => tx.exec(`${LEAK}; SELECT 1`))],
  [
    'a statement that fails',
    (pool) => failureOf(pool.query(`${LEAK}, 1 / (SELECT count(*) - 3 FROM generate_series(1, 3))`)),
  ],
  [
    'a statement that is cancelled',
    (pool) => failureOf(pool.query('SELECT leak(), pg_sleep(60)', [], { timeoutMs: 50 })),
  ],
  [
    'stream() that is left while the server sends',
    (pool) => readFirst(pool.stream('SELECT generate_series(1, 50000000), leak()')),
  ],
  [
    'a transaction that is rolled back',
    async (pool) => {
      const tx = await pool.begin();
      await tx.query(LEAK);
      await tx.rollback();
    },
  ],
  [
    'a transaction whose callback fails',
    (pool) =>
      failureOf(
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(LEAK);
          throw new Error('no');
        }),
      ),
  ],
  [
    'a savepoint that is rolled back',
    (pool) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SAVEPOINT one');
        await tx.query(LEAK);
        await tx.query('ROLLBACK TO one');
      }),
  ],
  ['SET LOCAL', (pool) => pool.transaction((/** @type {any} */ tx) => tx.query("SET LOCAL app.tenant = 'secret'"))],
  [
    'a local set_config',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query("SELECT set_config('app.tenant', 'secret', true)")),
  ],
];

/**
 * What the next users see that they should not: a statement and a transaction later, and statements of the same tick.
 * @param {any} pool
 * @param {(pool: any) => Promise<unknown>} leave
 */
async function leaksOf(pool, leave) {
  const base = await settingsOf(pool);
  await leave(pool);
  const later = [await settingsOf(pool), await pool.transaction(settingsOf)];
  const [ahead, , ...behind] = await Promise.all([settingsOf(pool), leave(pool), settingsOf(pool), settingsOf(pool)]);
  return {
    later: later.flatMap((seen) => changesOf(base, seen)),
    sameTick: [ahead, ...behind].flatMap((seen) => changesOf(base, seen)),
  };
}

describe("reset 'changes': what a method has left is gone for the next user", () => {
  for (const [title, leave] of [...WAYS, ...WITHOUT_TRACE]) {
    test(`reset 'changes': the next user does not see what was left by ${title}`, async (t) => {
      assert.deepEqual(await leaksOf(openPool(t), leave), { later: [], sameTick: [] });
    });
  }

  for (const options of [
    { prepare: false },
    { pipeline: false },
    { statementCacheSize: 1 },
    { pipeline: { depth: 2 } },
  ]) {
    test(`reset 'changes': the next user sees nothing with ${JSON.stringify(options)}`, async (t) => {
      const pool = openPool(t, options);
      for (const statement of [LEAK, LEAKING_ROWS, 'INSERT INTO with_after VALUES (1)']) {
        const leaks = await leaksOf(pool, () => pool.query(statement));
        assert.deepEqual(leaks, { later: [], sameTick: [] }, statement);
      }
    });
  }

  test("reset 'none': the next user sees what each of these methods has left", async (t) => {
    for (const [title, leave] of WAYS) {
      const pool = openPool(t, { reset: 'none' });
      const base = await settingsOf(pool);
      await leave(pool);
      assert.deepEqual(changesOf(base, await settingsOf(pool)), ["tenant: '' became 'secret'"], title);
      await pool.end();
    }
  });

  for (const discard of ['DISCARD ALL', 'DEALLOCATE ALL']) {
    test(`reset 'changes': the next transaction runs statements that the connection knew before ${discard}`, async (t) => {
      const pool = openPool(t);
      const isKnown = (/** @type {any} */ runner) => runner.value('SELECT $1::int + 1 AS v', [1]);
      for (const _ of range(3)) assert.equal(await isKnown(pool), 2);
      await pool.query(discard);
      assert.equal(await pool.transaction(isKnown), 2);
      assert.equal(await pool.value('SELECT 3'), 3);
      // A transaction that has begun with another statement.
      await pool.query(discard);
      const value = await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SELECT 4');
        return isKnown(tx);
      });
      assert.equal(value, 2);
    });
  }

  test("reset 'changes': a pool that writes may write again after set_config of default_transaction_read_only", async (t) => {
    const pool = openPool(t);
    for (const set of [
      "SELECT set_config('default_transaction_read_only', 'on', false)",
      'SET default_transaction_read_only = on',
    ]) {
      await pool.query(set);
      await pool.query('INSERT INTO plain VALUES (9)');
      const [, { rowCount }] = await Promise.all([pool.query(set), pool.query('DELETE FROM plain WHERE id = 9')]);
      assert.equal(rowCount, 1, set);
    }
  });
});

/**
 * Statements that are harmless while the pool gets to know them, until somebody else changes what they run.
 * @type {[title: string, make: string, statement: string, change: string][]}
 */
const CHANGED_LATER = [
  [
    'a function that was replaced',
    "CREATE FUNCTION later_a() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'done'; END $$",
    'SELECT later_a() AS v',
    `CREATE OR REPLACE FUNCTION later_a() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN leak(); END $$`,
  ],
  [
    'a function whose function was replaced',
    `CREATE FUNCTION later_b() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'done'; END $$;
     CREATE FUNCTION over_b() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN later_b(); END $$`,
    'SELECT over_b() AS v',
    'CREATE OR REPLACE FUNCTION later_b() RETURNS text LANGUAGE sql AS $$ SELECT leak() $$',
  ],
  [
    'a function that became another one by renaming',
    "CREATE FUNCTION later_c() RETURNS text LANGUAGE sql AS $$ SELECT 'done'::text $$",
    'SELECT later_c() AS v',
    'ALTER FUNCTION later_c() RENAME TO was_c; CREATE FUNCTION later_c() RETURNS text LANGUAGE sql AS $$ SELECT leak() $$',
  ],
  [
    'a view that was replaced',
    "CREATE VIEW later_d AS SELECT 'done'::text AS v",
    'SELECT v FROM later_d',
    'CREATE OR REPLACE VIEW later_d AS SELECT leak() AS v',
  ],
  [
    'a table that got a trigger',
    'CREATE TABLE later_e (id int)',
    'INSERT INTO later_e VALUES (1)',
    'CREATE TRIGGER leaking AFTER INSERT ON later_e FOR EACH ROW EXECUTE FUNCTION leak_trigger()',
  ],
  [
    'a table whose trigger was enabled',
    `CREATE TABLE later_f (id int);
     CREATE TRIGGER leaking AFTER INSERT ON later_f FOR EACH ROW EXECUTE FUNCTION leak_trigger();
     ALTER TABLE later_f DISABLE TRIGGER leaking`,
    'INSERT INTO later_f VALUES (1)',
    'ALTER TABLE later_f ENABLE TRIGGER leaking',
  ],
  [
    'a column that got a default',
    'CREATE TABLE later_g (id int, note text)',
    'INSERT INTO later_g (id) VALUES (1)',
    'ALTER TABLE later_g ALTER note SET DEFAULT leak()',
  ],
  [
    'a column that got a check',
    'CREATE TABLE later_h (id int)',
    'INSERT INTO later_h VALUES (1)',
    'ALTER TABLE later_h ADD CHECK (leak_true(id))',
  ],
  [
    'a domain that got a check',
    'CREATE DOMAIN later_i AS int',
    'SELECT 1::later_i AS v',
    'ALTER DOMAIN later_i ADD CHECK (leak_true(VALUE))',
  ],
  [
    'a table that got an index on an expression',
    'CREATE TABLE later_j (id int)',
    'INSERT INTO later_j VALUES (1)',
    'CREATE INDEX ON later_j (leak_immutable(id))',
  ],
  [
    'a table that got a rule',
    'CREATE TABLE later_k (id int)',
    'INSERT INTO later_k VALUES (1)',
    'CREATE RULE leaking AS ON INSERT TO later_k DO ALSO SELECT leak()',
  ],
];

describe("reset 'changes': what became harmful later is undone", () => {
  for (const [title, make, statement, change] of CHANGED_LATER) {
    test(`reset 'changes': the next user does not see what was left by ${title}`, async (t) => {
      const other = openPool(t);
      await other.exec(make);
      const pool = openPool(t);
      const base = await settingsOf(pool);
      for (const _ of range(3)) await pool.query(statement);
      assert.deepEqual(changesOf(base, await settingsOf(pool)), [], 'harmless so far');
      await other.exec(change);
      const none = openPool(t, { reset: 'none' });
      await none.query(statement);
      assert.notDeepEqual(await settingsOf(none), base, 'harmful now');
      assert.deepEqual(await leaksOf(pool, () => pool.query(statement)), { later: [], sameTick: [] });
    });
  }

  test("reset 'changes': the next user does not see what a function left that is younger than the pool", async (t) => {
    const [pool, other] = [openPool(t), openPool(t)];
    await settingsOf(pool);
    await other.exec('CREATE FUNCTION younger() RETURNS text LANGUAGE sql AS $$ SELECT leak() $$');
    assert.deepEqual(await leaksOf(pool, () => pool.query('SELECT younger()')), { later: [], sameTick: [] });
  });

  test("reset 'changes': the next user does not see what a function of another search_path left", async (t) => {
    const [pool, other] = [openPool(t), openPool(t)];
    await other.exec(`CREATE FUNCTION by_path() RETURNS text LANGUAGE sql AS $$ SELECT 'done'::text $$;
      CREATE SCHEMA elsewhere;
      CREATE FUNCTION elsewhere.by_path() RETURNS text LANGUAGE sql AS $$ SELECT public.leak() $$`);
    for (const _ of range(3)) await pool.query('SELECT by_path()');
    const leaks = await leaksOf(pool, () =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SET LOCAL search_path = elsewhere');
        await tx.query('SELECT by_path()');
      }),
    );
    assert.deepEqual(leaks, { later: [], sameTick: [] });
  });
});
