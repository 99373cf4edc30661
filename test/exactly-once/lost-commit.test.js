'use strict';

// What becomes of a transaction with exactlyOnce whose COMMIT is not answered, for each way in which an answer is lost.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');
const { idsIn, tableFor } = require('../support/transactions.js');
const { DEAF_MS, FAULTS } = require('./lossy-relay.js');
const { loseOne, lossyPool, makeTable } = require('./support.js');

const db = useCluster({ nodes: 1, synchronous: false });
before(async () => {
  await db.started;
  await makeTable(db);
});

/** A callback that inserts its run, which it returns. @param {string} table */
function inserting(table) {
  const work = Object.assign(
    async (/** @type {any} */ tx) => {
      const run = ++work.runs;
      await tx.query(`INSERT INTO ${table} VALUES ($1)`, [run]);
      return run;
    },
    { runs: 0 },
  );
  return work;
}

/** How often the callback runs. `late` and `frozen`: the old session is ended, or commits first. */
const RUNS = {
  'cut before': [2],
  'cut after': [1],
  'deaf before': [2],
  'deaf after': [1],
  late: [1, 2],
  frozen: [1, 2],
};

describe('a lost answer to COMMIT', () => {
  for (const fault of FAULTS) {
    for (const exactlyOnce of [true, { key: `lost ${fault}` }]) {
      const how = exactlyOnce === true ? '' : ' with a key';
      test(`exactlyOnce${how}: a COMMIT that is lost (${fault}) is committed once, and its value is returned`, async (t) => {
        const { relay, pool } = await lossyPool(t, db);
        const table = await tableFor(db, t);
        loseOne(relay, fault);
        const work = inserting(table);
        const value = await pool.transaction(work, { exactlyOnce });
        assert.ok(RUNS[fault].includes(work.runs), `${work.runs} runs`);
        assert.deepEqual(await idsIn(db, table), [value]);
        assert.deepEqual(relay.made, { [fault]: 1 });
      });
    }
  }

  test('exactlyOnce: without it the same fault is reported as unknown', async (t) => {
    const { relay, pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    for (const fault of FAULTS.slice(0, 4)) {
      loseOne(relay, fault);
      const { code, outcome } = await failureOf(pool.transaction(inserting(table), { retries: 3 }));
      assert.deepEqual([code, outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], fault);
    }
  });

  test('exactlyOnce: of a pool with ambient transactions the question does not join, and nested calls refuse it', async (t) => {
    const { relay, pool } = await lossyPool(t, db, { ambient: true });
    const table = await tableFor(db, t);
    loseOne(relay, 'deaf before');
    let runs = 0;
    const work = async () => {
      runs++;
      const nested = pool.transaction(async () => {}, { exactlyOnce: true });
      assert.match((await failureOf(nested)).message, /^exactlyOnce: /);
      await pool.query(`INSERT INTO ${table} VALUES ($1)`, [runs]);
      return runs;
    };
    assert.equal(await pool.transaction(work, { exactlyOnce: { key: 'ambient', remember: true } }), 2);
    assert.deepEqual(await idsIn(db, table), [2]);
  });

  test('exactlyOnce with retries: 0: a COMMIT that was not carried out is not-applied and retryable', async (t) => {
    const { relay, pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    loseOne(relay, 'cut before');
    const work = inserting(table);
    const error = await failureOf(pool.transaction(work, { exactlyOnce: true, retries: 0 }));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_CONNECTION_LOST', 'not-applied', true]);
    assert.match(error.message, /was not committed/);
    assert.deepEqual([work.runs, await idsIn(db, table)], [1, []]);
  });

  test('exactlyOnce: a session that has lost its client gives its locks to the next run', async (t) => {
    const { relay, pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    await db.sql(`INSERT INTO ${table} VALUES (0)`);
    loseOne(relay, 'deaf before');
    await pool.transaction((/** @type {any} */ tx) => tx.query(`UPDATE ${table} SET id = id + 1`), {
      exactlyOnce: true,
    });
    assert.deepEqual(await idsIn(db, table), [1]);
  });

  test('exactlyOnce: a user without special rights can end the session that has lost its client', async (t) => {
    const { user } = db.cluster.app;
    await db.sql(`GRANT ALL ON hyperiondb_outcome TO ${user}`);
    const { relay, pool } = await lossyPool(t, db, db.cluster.app);
    const table = await tableFor(db, t);
    await db.sql(`GRANT ALL ON ${table} TO ${user}`);
    loseOne(relay, 'deaf before');
    assert.equal(await pool.transaction(inserting(table), { exactlyOnce: true }), 2);
    assert.deepEqual(await idsIn(db, table), [2]);
  });

  test('exactlyOnce: sessions that have lost their clients do not stop the question, with every connection waiting for them', async (t) => {
    const { relay, pool } = await lossyPool(t, db, { poolSize: 2 });
    const table = await tableFor(db, t);
    await db.sql(`INSERT INTO ${table} VALUES (0)`);
    loseOne(relay, 'deaf before');
    const add = (/** @type {any} */ tx) => tx.query(`UPDATE ${table} SET id = id + 1`);
    await Promise.all(Array.from({ length: 8 }, () => pool.transaction(add, { exactlyOnce: true })));
    assert.deepEqual(await idsIn(db, table), [8]);
  });

  test('exactlyOnce: a BEGIN whose answer is lost is sent again with another marker, so it does not wait for the first', async (t) => {
    const { relay, pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    relay.concerns = (piece) => piece.includes('BEGIN; INSERT INTO');
    loseOne(relay, 'deaf after');
    const began = performance.now();
    await pool.transaction(inserting(table), { exactlyOnce: true });
    // The relay ends the first session after a longer time.
    assert.ok(performance.now() - began < DEAF_MS / 2);
    assert.equal((await idsIn(db, table)).length, 1);
  });

  test('exactlyOnce: a question whose own answer is lost is asked again, and meets what it has left', async (t) => {
    for (const [first, runs] of /** @type {const} */ ([
      ['cut before', 2],
      ['cut after', 1],
    ])) {
      const { relay, pool } = await lossyPool(t, db);
      const table = await tableFor(db, t);
      const { concerns } = relay;
      // The run of the question, which was prepared in a message of its own: its parameter is the marker.
      const isQuestion = (/** @type {Buffer} */ piece) => piece.includes('attempt:') && !piece.includes('INSERT INTO');
      relay.concerns = (piece) => concerns(piece) || isQuestion(piece);
      /** @type {import('./lossy-relay.js').Fault[]} */
      const faults = [first, 'cut after'];
      relay.fault = () => faults.shift();
      const work = inserting(table);
      assert.equal(await pool.transaction(work, { exactlyOnce: true }), runs);
      assert.deepEqual([work.runs, await idsIn(db, table), faults], [runs, [runs], []]);
    }
  });

  test('exactlyOnce: a COMMIT that comes after the question was answered finds no transaction', async (t) => {
    const { relay, pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    loseOne(relay, 'late');
    const work = inserting(table);
    let isOver = () => {};
    relay.until = new Promise((resolve) => {
      isOver = () => resolve(undefined);
    });
    assert.equal(await pool.transaction(work, { exactlyOnce: true }), 2);
    isOver();
    relay.laterMs = () => 0;
    await until('nothing is left open', async () => {
      const [{ open }] = await db.sql("SELECT count(*)::int AS open FROM pg_stat_activity WHERE state LIKE 'idle in%'");
      return open === 0;
    });
    assert.deepEqual(await idsIn(db, table), [2]);
  });

  test('exactlyOnce: while the old session stands still the outcome is unknown, with a hint, and a key finds out later', async (t) => {
    const { relay, pool } = await lossyPool(t, db, { acquireTimeoutMs: 700 });
    const table = await tableFor(db, t);
    loseOne(relay, 'frozen');
    let thaw = () => {};
    relay.until = new Promise((resolve) => {
      thaw = () => resolve(undefined);
    });
    const exactlyOnce = { key: 'frozen for long', remember: true };
    const work = inserting(table);
    const error = await failureOf(pool.transaction(work, { exactlyOnce }));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_OUTCOME_UNKNOWN', 'unknown', false]);
    assert.match(error.hint, /the same call with the same key finds out/);
    const again = pool.transaction(work, { exactlyOnce });
    thaw();
    const value = await again;
    assert.deepEqual(await idsIn(db, table), [value]);
  });

  test('exactlyOnce: timeoutMs that passes at COMMIT is resolved within a small patience', async (t) => {
    const { pool } = await lossyPool(t, db);
    const table = await tableFor(db, t);
    // A deferred trigger that sleeps: COMMIT is cancelled in it, and rolls back.
    await db.sql(
      `CREATE FUNCTION ${table}_slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'`,
    );
    t.after(() => db.sql(`DROP FUNCTION ${table}_slow CASCADE`));
    await db.sql(
      `CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ${table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ${table}_slow()`,
    );
    const work = inserting(table);
    const error = await failureOf(pool.transaction(work, { exactlyOnce: true, timeoutMs: 200 }));
    assert.deepEqual([error.constructor.name, error.outcome, work.runs], ['QueryTimeoutError', 'not-applied', 1]);
    assert.deepEqual(await idsIn(db, table), []);
  });
});
