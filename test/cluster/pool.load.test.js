'use strict';

// A pool under load: whatever happens to one of its connections, every answer goes to the statement that asked.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, named, range, sleep, until, useCluster } = require('../support/helpers');
const { sessions } = require('../support/pools');

const db = useCluster({ nodes: 3 });

describe('many statements at once', () => {
  for (const poolSize of [10, 2, 1]) {
    for (const inFlight of [64, 1_000]) {
      test(`${inFlight} statements in flight over ${poolSize} connections: each answer matches its question`, async (t) => {
        const pool = db.pool(t, { poolSize, acquireTimeoutMs: 30_000 });
        for (let round = 0; round < 3; round++) {
          const texts = [
            'SELECT $1::int4 AS v',
            'SELECT $1::int8 AS v',
            'SELECT $1::int4::text AS v',
            'SELECT i AS v FROM generate_series($1::int4, $1::int4) i',
          ];
          const answers = await Promise.all(range(inFlight).map((i) => pool.query(texts[i % 4], [i])));
          answers.forEach(([{ v }], i) => assert.equal(Number(v), i));
          assert.ok(answers.every((answer) => answer.length === 1));
        }
      });
    }
  }

  test('statements in flight: each error reaches the statement that failed', async (t) => {
    const pool = db.pool(t, { poolSize: 2, acquireTimeoutMs: 30_000 });
    const ended = await endings(
      range(400).map((i) => {
        if (i % 5 === 1) return pool.query('SELECT 1 / ($1::int4 - $1::int4)', [i]);
        if (i % 5 === 2) return pool.query('SELECT $1::text::int4', [`no number ${i}`]);
        if (i % 5 === 3) return pool.query(`SELECT nothing_${i % 40}`);
        if (i % 5 === 4) return pool.query('SELECT i FROM generate_series(1, 3) i WHERE 10 / (3 - i) > $1::int4', [-i]);
        return pool.query('SELECT $1::int4 AS v', [i]);
      }),
    );
    ended.forEach(({ value, error }, i) => {
      const kind = i % 5;
      if (kind === 0) assert.deepEqual(value, [{ v: i }]);
      else if (kind === 1) assert.equal(error.code, '22012');
      else if (kind === 2) assert.match(error.message, new RegExp(`"no number ${i}"$`));
      else if (kind === 3) assert.match(error.message, new RegExp(`"nothing_${i % 40}"`));
      else assert.equal(error.code, '22012', 'an error after the first rows');
      if (error) assert.equal(error.outcome, 'not-applied');
    });
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('a slow statement holds up no other while a connection is idle', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    await Promise.all([pool.query('SELECT pg_sleep(0.1)'), pool.query('SELECT pg_sleep(0.1)')]);
    await until('both connections are open', () => pool.status().available === 2);
    let slowIsDone = false;
    const slow = pool.query('SELECT pg_sleep(1.5)').then(() => {
      slowIsDone = true;
    });
    for (let i = 0; i < 20; i++) await pool.query('SELECT 1');
    assert.equal(slowIsDone, false);
    await slow;
  });
});

describe('a backend is killed', () => {
  test('a backend that is killed while idle: the next statement succeeds', async (t) => {
    const applicationName = named('idle-kill');
    const pool = db.pool(t, { poolSize: 3, applicationName });
    for (let round = 0; round < 3; round++) {
      await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.02)')));
      await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        applicationName,
      ]);
      const answers = await Promise.all(
        range(6).map((i) => pool.query('SELECT $1::int4 AS v', [i], { readOnly: true })),
      );
      assert.deepEqual(
        answers.map(([{ v }]) => v),
        range(6),
      );
    }
  });

  test('a backend that is killed under a statement: the outcome is unknown, and the pool goes on', async (t) => {
    const applicationName = named('kill');
    const pool = db.pool(t, { applicationName });
    const running = failureOf(pool.query('SELECT pg_sleep(20)'));
    await until('it runs', async () =>
      (await sessions(db, applicationName)).some(
        ({ query, state }) => state === 'active' && query.includes('pg_sleep'),
      ),
    );
    await db.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%pg_sleep(20)%'",
      [applicationName],
    );
    const error = await running;
    assert.equal(error.code, 'ERR_OUTCOME_UNKNOWN');
    assert.equal(error.name, 'ConnectionLostError');
    assert.equal(error.outcome, 'unknown');
    assert.match(error.message, /57P01/);
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('a backend that is killed under a declared read: the read runs again, and returns its rows once', async (t) => {
    const applicationName = named('read');
    const pool = db.pool(t, { applicationName });
    const count = 20_000;
    // Many pieces of the result have arrived when the connection is lost.
    const sql =
      "SELECT i, repeat('x', 100) AS t FROM generate_series(1, $1::int4) i WHERE i < $1 OR pg_sleep(1) IS NOT NULL";
    const reading = pool.query(sql, [count], { readOnly: true });
    await until(
      'it sleeps at its end',
      async () =>
        (await sessions(db, applicationName)).length > 0 &&
        (
          await db.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'", [
            applicationName,
          ])
        ).length > 0,
    );
    await db.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
      [applicationName],
    );
    const answer = await reading;
    assert.equal(answer.length, count);
    assert.equal(answer.rowCount, count);
    answer.forEach((/** @type {any} */ row, /** @type {number} */ index) => assert.equal(row.i, index + 1));
  });

  test('a backend that is killed under load: only statements in flight fail, as unknown, and every answer is right', async (t) => {
    const applicationName = named('load');
    const pool = db.pool(t, { applicationName, poolSize: 4, acquireTimeoutMs: 20_000 });
    let next = 0;
    let over = false;
    /** @type {any[]} */
    const errors = [];
    const clients = range(16).map(async () => {
      while (!over) {
        const mine = next++;
        try {
          assert.deepEqual(await pool.query('SELECT $1::int4 AS v', [mine]), [{ v: mine }]);
        } catch (error) {
          errors.push(error);
        }
      }
    });
    for (let round = 0; round < 5; round++) {
      await sleep(50);
      await db.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        applicationName,
      ]);
    }
    over = true;
    await Promise.all(clients);
    for (const error of errors) assert.equal(error.code, 'ERR_OUTCOME_UNKNOWN', error.stack);
    assert.ok(errors.length <= 5 * 4 * 8, `${errors.length} errors`);
    assert.ok(next > 100);
  });
});
