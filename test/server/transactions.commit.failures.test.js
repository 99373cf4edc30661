'use strict';

// What becomes of a transaction whose last statement brings COMMIT with it, when the statement or COMMIT fails.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, failureOf, named, sleep, test, until, useCluster } = require('../support/helpers');
const { assertEnded, idsIn, meetingOf, tableFor } = require('../support/transactions');

const db = useCluster({ nodes: 1, synchronous: false });

const LAST = { commit: true };

/** After a pause plans are in doubt, and statement and COMMIT are sent in another way. @param {number} run */
const pauseFor = (run) => sleep(run % 2 === 0 ? 5 : 0);

describe('failures of a last statement', () => {
  test('commit: a statement that fails rolls the transaction back, and its own error is told', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    await pool.query(`ALTER TABLE ${table} ADD CHECK (id < 100)`);
    const insert = `INSERT INTO ${table} VALUES ($1)`;
    for (let run = 0; run < 6; run++) {
      await pauseFor(run);
      const tx = await pool.begin();
      await tx.query(insert, [1]);
      const error = await failureOf(tx.query(insert, [100], LAST));
      assert.deepEqual([error.code, error.outcome], ['23514', 'not-applied'], error.stack);
      const late = await failureOf(tx.query('SELECT 1'));
      assertEnded(late);
      assert.match(late.message, /rolled back/);
      assertEnded(await failureOf(tx.rollback()));
      assert.equal(
        (await failureOf(pool.transaction((/** @type {any} */ other) => other.query(insert, [100], LAST)))).code,
        '23514',
      );
    }
    assert.deepEqual(await idsIn(db, table), []);
    assert.deepEqual([pool.status().available, await pool.value('SELECT 1 AS v')], [1, 1]);
  });

  test('commit: a deferred constraint fails at COMMIT, and the error is that of COMMIT', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const insert = `INSERT INTO ${table} VALUES ($1) RETURNING id`;
    for (let run = 0; run < 6; run++) {
      await pauseFor(run);
      const error = await failureOf(
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(insert, [1]);
          await tx.query(insert, [1], LAST);
        }),
      );
      assert.deepEqual([error.code, error.outcome], ['23505', 'not-applied'], error.stack);
    }
    assert.deepEqual(await idsIn(db, table), []);
    assert.equal(await pool.value('SELECT 1 AS v'), 1);
  });

  test('commit: a statement behind a failure that was hidden is refused, and nothing is applied', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    for (let run = 0; run < 6; run++) {
      await pauseFor(run);
      const error = await failureOf(
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`INSERT INTO ${table} VALUES (1)`);
          await tx.query('SELECT 1 / 0').catch(() => {});
          await tx.query(`INSERT INTO ${table} VALUES (2)`, [], LAST);
        }),
      );
      assert.deepEqual([error.code, error.outcome], ['25P02', 'not-applied'], error.stack);
    }
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('commit: a serialization failure at the end is run again by retries', async (t) => {
    const pool = db.pool(t, { poolSize: 4 });
    const table = await tableFor(db, t);
    await pool.query(`INSERT INTO ${table} VALUES (0)`);
    let runs = 0;
    for (let round = 0; round < 3; round++) {
      const met = meetingOf(4);
      const increment = async (/** @type {any} */ tx) => {
        runs++;
        const [{ id }] = await tx.query(`SELECT id FROM ${table}`);
        await met();
        await tx.query(`UPDATE ${table} SET id = $1`, [id + 1], LAST);
      };
      const options = { isolation: 'serializable', retries: 50 };
      await Promise.all(Array.from({ length: 4 }, () => pool.transaction(increment, options)));
    }
    assert.deepEqual(await idsIn(db, table), [12]);
    assert.ok(runs > 12, `${runs} runs`);
  });

  test('commit: a serialization failure of COMMIT itself is told by the statement, and runs again', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    await db.sql(
      `CREATE FUNCTION ${table}_conflict() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE SQLSTATE ''40001''; END'`,
    );
    t.after(() => db.sql(`DROP FUNCTION ${table}_conflict CASCADE`));
    await db.sql(
      `CREATE CONSTRAINT TRIGGER late AFTER INSERT ON ${table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
       WHEN (NEW.id = 1) EXECUTE FUNCTION ${table}_conflict()`,
    );
    let runs = 0;
    await pool.transaction(
      async (/** @type {any} */ tx) => {
        runs++;
        await tx.query('SELECT 1');
        await tx.query(`INSERT INTO ${table} VALUES ($1)`, [Math.min(runs, 3) === 3 ? 2 : 1], LAST);
      },
      { retries: 5 },
    );
    assert.deepEqual([runs, await idsIn(db, table)], [3, [2]]);
  });

  test('commit: parameters that cannot be sent roll the transaction back', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const insert = `INSERT INTO ${table} VALUES ($1)`;
    for (const wrong of [['x'], [1, 2], [2 ** 40], [Symbol('s')], [() => {}]]) {
      const tx = await pool.begin();
      await tx.query(insert, [1]);
      const error = await failureOf(tx.query(insert, wrong, LAST));
      assert.ok(['ERR_INVALID_PARAM', '22P02', '22003'].includes(error.code), error.stack);
      assertEnded(await failureOf(tx.query('SELECT 1')));
      await until('the connection is back', () => pool.status().available === 1);
    }
    const syntax = await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('SELEC', [], LAST)));
    assert.equal(syntax.code, '42601');
    assert.match(
      (await failureOf(pool.transaction((/** @type {any} */ tx) => tx.query('COMMIT', [], LAST)))).message,
      /COMMIT/,
    );
    assert.deepEqual(await idsIn(db, table), []);
    await until('the connection is back', () => pool.status().available === 1);
  });

  test('commit: what a callback throws behind it undoes nothing, and nothing is done twice', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const table = await tableFor(db, t);
    let runs = 0;
    const error = await failureOf(
      pool.transaction(
        async (/** @type {any} */ tx) => {
          runs++;
          await tx.query(`INSERT INTO ${table} VALUES (1)`, [], LAST);
          await pool.query("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$");
        },
        { retries: 5 },
      ),
    );
    assert.deepEqual([error.code, error.retryable, runs], ['40001', true, 1]);
    assert.deepEqual(await idsIn(db, table), [1]);
  });

  test('commit: rows that are larger than maxResultBytes: the transaction is committed, and the error says so', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: 2_000 });
    const table = await tableFor(db, t);
    const rows = `INSERT INTO ${table} SELECT generate_series($1::int, $1::int + 9) RETURNING id, repeat('x', 1000) AS text`;
    for (const from of [0, 10, 20, 30, 40, 50]) {
      await pauseFor(from / 10);
      const error = await failureOf(
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query('SELECT 1');
          await tx.query(rows, [from], LAST);
        }),
      );
      assert.equal(error.code, 'ERR_RESULT_TOO_LARGE');
      const expected = error.outcome === 'applied' ? 10 : 0;
      const [{ n }] = await db.sql(`SELECT count(*)::int AS n FROM ${table} WHERE id BETWEEN ${from} AND ${from + 9}`);
      assert.deepEqual([n, ['applied', 'not-applied'].includes(error.outcome)], [expected, true]);
    }
    assert.equal(await pool.value('SELECT 1 AS v'), 1);
  });

  test('commit: the session is ended under the last statement: not applied, and run again by retries', async (t) => {
    const applicationName = named('last');
    const pool = db.pool(t, { poolSize: 1, applicationName });
    const table = await tableFor(db, t);
    let runs = 0;
    const run = () =>
      pool.transaction(
        async (/** @type {any} */ tx) => {
          runs++;
          await tx.query(`INSERT INTO ${table} VALUES (1)`);
          await tx.query(`INSERT INTO ${table} SELECT 2 FROM pg_sleep($1)`, [runs === 1 ? 30 : 0], LAST);
        },
        { retries: 3 },
      );
    const done = run();
    await until('it sleeps', async () => {
      const ended = await db.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'`,
        [applicationName],
      );
      return ended.length > 0;
    });
    await done;
    assert.deepEqual([runs, await idsIn(db, table)], [2, [1, 2]]);
  });

  test('commit: side by side on many connections, each transaction is applied wholly or not at all', async (t) => {
    const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 60_000 });
    const table = await tableFor(db, t);
    const ids = Array.from({ length: 600 }, (_, i) => i);
    const ended = await endings(
      ids.map((i) =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`INSERT INTO ${table} VALUES ($1)`, [i * 2]);
          if (i % 3 === 1) await tx.query('SELECT 1 / $1::int', [0], LAST);
          else await tx.query(`INSERT INTO ${table} VALUES ($1)`, [i * 2 + (i % 3 === 2 ? 0 : 1)], LAST);
        }),
      ),
    );
    ended.forEach(({ error }, i) => assert.equal(error?.code, [undefined, '22012', '23505'][i % 3]));
    assert.deepEqual(
      await idsIn(db, table),
      ids.filter((i) => i % 3 === 0).flatMap((i) => [i * 2, i * 2 + 1]),
    );
  });
});
