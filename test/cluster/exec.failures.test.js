'use strict';

// Scripts under failures: limits of time, lost sessions and nodes, the fence, synchronous replication. A script never runs
// twice unless nothing of it can have run.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, ownCluster, named, range, sleep, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 3 });

/** @param {string} table */
const countOf = async (table) => Number((await db.sql(`SELECT count(*) AS n FROM ${table}`))[0].n);

/**
 * Calls `how(pid)` on the server for the sessions that wait for `event`.
 * @param {string} applicationName
 * @param {string} event
 * @param {string} how
 */
async function endWaiting(applicationName, event, how) {
  const sql = `SELECT ${how}(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = $2`;
  await until(`it waits for ${event}`, async () => (await db.sql(sql, [applicationName, event])).length > 0);
}

/** @param {any} error */
const verdict = ({ code, outcome }) => `${code} ${outcome}`;

/** A table that is dropped when its test ends. @param {import('node:test').TestContext} t @param {any} pool */
async function tableFor(t, pool) {
  const table = `t${Math.floor(Math.random() * 1e9)}`;
  await pool.query(`CREATE TABLE ${table} (id int)`);
  t.after(() => db.sql(`DROP TABLE IF EXISTS ${table}`));
  return table;
}

describe('exec() and its limits', () => {
  const LIMITS = /** @type {[string, string, () => object][]} */ ([
    ['timeoutMs', '57014', () => ({ timeoutMs: 300 })],
    ['signal', 'ABORT_ERR', () => ({ signal: AbortSignal.timeout(300) })],
  ]);
  for (const [name, code, limit] of LIMITS) {
    test(`exec() with ${name} is cancelled on the server and undone`, async (t) => {
      const applicationName = named('limit');
      const pool = db.pool(t, { poolSize: 1, applicationName });
      const table = await tableFor(t, pool);
      const script = `INSERT INTO ${table} VALUES (1); SELECT pg_sleep(30); INSERT INTO ${table} VALUES (2)`;
      assert.equal(verdict(await failureOf(pool.exec(script, limit()))), `${code} not-applied`);
      assert.equal(await countOf(table), 0);
      const running = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'";
      assert.deepEqual(await db.sql(running, [applicationName]), []);
      const committed = `INSERT INTO ${table} VALUES (1); COMMIT; SELECT pg_sleep(30)`;
      assert.equal(verdict(await failureOf(pool.exec(committed, limit()))), `${code} unknown`);
      assert.equal(await countOf(table), 1);
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    });

    test(`exec() with ${name} in a transaction: the transaction is aborted, and its connection goes on`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const tx = await pool.begin();
      await tx.exec('SAVEPOINT a');
      assert.equal(verdict(await failureOf(tx.exec('SELECT 1; SELECT pg_sleep(30)', limit()))), `${code} not-applied`);
      assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
      await tx.exec('ROLLBACK TO a');
      assert.deepEqual(await tx.query('SELECT 1 AS v'), [{ v: 1 }]);
      await tx.commit();
    });

    test(`exec() with ${name} while it waits for a connection is never sent`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const table = await tableFor(t, pool);
      const tx = await pool.begin();
      const error = await failureOf(pool.exec(`INSERT INTO ${table} VALUES (1)`, limit()));
      assert.equal(verdict(error), `${code} not-applied`);
      await tx.rollback();
      await pool.query('SELECT 1');
      assert.equal(await countOf(table), 0);
    });
  }

  test('exec() with an aborted signal sends nothing, and a limit that is not reached changes nothing', async (t) => {
    const pool = db.pool(t);
    const error = await failureOf(pool.exec('SELECT 1', { signal: AbortSignal.abort('no') }));
    assert.deepEqual([verdict(error), error.cause], ['ABORT_ERR not-applied', 'no']);
    const controller = new AbortController();
    assert.deepEqual(await pool.exec('SELECT 1 AS v', { timeoutMs: 30_000, signal: controller.signal }), [[{ v: 1 }]]);
    controller.abort();
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('end() waits for exec(), and cancels it after its own timeout', async (t) => {
    const pool = db.pool(t);
    const running = pool.exec('SELECT pg_sleep(0.3); SELECT 1 AS v');
    await pool.end();
    assert.deepEqual((await running)[1], [{ v: 1 }]);
    const other = db.pool(t);
    await other.query('SELECT 1');
    const cancelled = failureOf(other.exec('SELECT pg_sleep(30)'));
    await other.end({ timeoutMs: 200 });
    assert.notEqual((await cancelled).outcome, 'applied');
  });
});

describe('exec() whose session is lost', () => {
  // script, code and outcome of the error, rows afterwards
  const table = /** @type {[string, string, number][]} */ ([
    ['INSERT INTO $ VALUES (1); SELECT pg_sleep(30)', 'ERR_OUTCOME_UNKNOWN unknown', 0],
    ['SELECT pg_sleep(30); INSERT INTO $ VALUES (1)', 'ERR_OUTCOME_UNKNOWN unknown', 0],
    ['INSERT INTO $ VALUES (1); COMMIT; SELECT pg_sleep(30)', 'ERR_OUTCOME_UNKNOWN unknown', 1],
  ]);
  for (const [script, heard, rows] of table) {
    test(`exec() whose session is lost: ${script}`, async (t) => {
      const applicationName = named('lost');
      const pool = db.pool(t, { poolSize: 1, applicationName });
      const name = await tableFor(t, pool);
      const failing = failureOf(pool.exec(script.replace('$', name)));
      await endWaiting(applicationName, 'PgSleep', 'pg_terminate_backend');
      const error = await failing;
      assert.deepEqual([verdict(error), error.attempts], [heard, 1]);
      assert.match(error.message, /57P01/);
      assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
      assert.equal(await countOf(name), rows, 'not run again');
    });
  }

  test('exec() in a transaction whose session is lost is undone', async (t) => {
    const applicationName = named('lost');
    const pool = db.pool(t, { poolSize: 1, applicationName });
    const name = await tableFor(t, pool);
    const tx = await pool.begin();
    const failing = failureOf(tx.exec(`INSERT INTO ${name} VALUES (1); SELECT pg_sleep(30)`));
    await endWaiting(applicationName, 'PgSleep', 'pg_terminate_backend');
    assert.equal(verdict(await failing), '57P01 not-applied');
    assert.equal(verdict(await failureOf(tx.commit())), 'ERR_CONNECTION_LOST not-applied');
    assert.equal(await countOf(name), 0);
  });

  test('exec() on an idle connection that was lost runs on another, because nothing had been sent', async (t) => {
    const applicationName = named('idle');
    const pool = db.pool(t, { poolSize: 3, applicationName });
    const name = await tableFor(t, pool);
    for (const i of range(5)) {
      // A session that was killed at the end of the last round may still accept a statement.
      await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.02)', [], { readOnly: true })));
      const kill = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1';
      const [ended] = await Promise.all([
        endings([pool.exec(`INSERT INTO ${name} VALUES (${i}); SELECT ${i} AS v`)]),
        i % 2 ? db.sql(kill, [applicationName]) : null,
      ]);
      // A session that is killed while the script runs has an unknown outcome.
      assert.ok(ended[0].error === undefined || ended[0].error.code === 'ERR_OUTCOME_UNKNOWN', ended[0].error?.stack);
      if (i % 2 === 0) assert.deepEqual(ended[0].value[1], [{ v: i }]);
      await db.sql(kill, [applicationName]);
    }
    const ids = (await db.sql(`SELECT id FROM ${name}`)).map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, 'none twice');
  });

  test('exec() whose session is lost where only reads are possible runs again', async (t) => {
    const applicationName = named('standby');
    const pool = db.pool(t, { poolSize: 1, applicationName, mode: 'standby' });
    const reading = pool.exec('SELECT 1 AS v; SELECT pg_sleep(2); SELECT pg_is_in_recovery() AS standby');
    const kill =
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'";
    await until('it runs there', async () => {
      const killed = await Promise.all(db.cluster.standbys().map((node) => node.sql(kill, [applicationName])));
      return killed.flat().length > 0;
    });
    const results = await reading;
    assert.deepEqual([results.length, results[0], results[2]], [3, [{ v: 1 }], [{ standby: true }]]);
  });
});

describe('exec() and the fence', () => {
  test('exec() on an idle connection goes to the new primary after a fence', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote', 'fence');
    const [old, next] = own.cluster.nodes;
    const pool = own.pool(t, { poolSize: 3, acquireTimeoutMs: 20_000 });
    await pool.query('CREATE TABLE moved (port int)');
    await until(
      'it is there',
      async () => (await next.sql("SELECT to_regclass('moved') IS NOT NULL AS there"))[0].there,
    );
    await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.02)')));
    // Longer than the time for which the last answer of a connection counts as recent.
    await sleep(250);
    await Promise.all([old.fence(), next.promote()]);
    const script = 'INSERT INTO moved VALUES (inet_server_port()); SELECT inet_server_port() AS port';
    const [[, [{ port }]], [, [{ port: inTx }]]] = await Promise.all([
      pool.exec(script),
      pool.transaction((/** @type {any} */ tx) => tx.exec(script)),
    ]);
    assert.deepEqual([port, inTx], [next.port, next.port]);
    assert.equal((await next.sql('SELECT 1 FROM moved')).length, 2);
  });

  test('exec() by 8 writers under a switchover: none fails, and every script is applied once', async (t) => {
    const own = await ownCluster(t, { nodes: 3 });
    own.needs('promote', 'failover');
    const pool = own.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000 });
    await pool.query('CREATE TABLE written (id int, part int)');
    /** @type {number[]} */
    const acknowledged = [];
    /** @type {any[]} */
    const failures = [];
    let over = false;
    let id = 0;
    const writers = range(8).map(async () => {
      while (!over) {
        const mine = id++;
        const script = `INSERT INTO written VALUES (${mine}, 1); INSERT INTO written VALUES (${mine}, 2)`;
        const [{ error }] = await endings([pool.exec(script)]);
        if (error === undefined) acknowledged.push(mine);
        else failures.push(error);
      }
    });
    const more = (/** @type {number} */ count) => until('they write', () => acknowledged.length > count + 50);
    await more(0);
    await own.cluster.primary().fence();
    const next = await own.cluster.failover();
    await more(acknowledged.length);
    over = true;
    await Promise.all(writers);
    assert.deepEqual(failures, []);
    const present = await next.sql('SELECT id, count(*)::int AS n FROM written GROUP BY id');
    assert.deepEqual(
      present.filter(({ n }) => n !== 2),
      [],
      'both halves, once',
    );
    const there = new Set(present.map(({ id: one }) => one));
    assert.deepEqual(
      acknowledged.filter((one) => !there.has(one)),
      [],
      'none lost',
    );
  });

  test('exec() of a script that makes itself read-only has 25006 as its error', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t, pool);
    for (const begin of [
      'SET TRANSACTION READ ONLY',
      'BEGIN READ ONLY',
      'SET default_transaction_read_only = on; COMMIT',
    ]) {
      const error = await failureOf(pool.exec(`${begin}; INSERT INTO ${table} VALUES (1)`));
      assert.deepEqual([error.code, error.attempts], ['25006', 1]);
    }
    await pool.query(`INSERT INTO ${table} VALUES (1)`);
    assert.equal(await countOf(table), 1);
  });
});

describe('exec() whose node is lost', () => {
  test('exec() whose node is lost is unknown, then the pool follows, and the script is applied wholly or not at all', async (t) => {
    const own = await ownCluster(t, { nodes: 3 });
    own.needs('crash', 'failover');
    const pool = own.pool(t, { poolSize: 2, acquireTimeoutMs: 30_000 });
    await pool.query('CREATE TABLE half (id int)');
    const running = failureOf(
      pool.exec('INSERT INTO half VALUES (1); SELECT pg_sleep(30); INSERT INTO half VALUES (2)'),
    );
    const within = failureOf(
      pool.transaction((/** @type {any} */ tx) => tx.exec('SELECT 1; SELECT pg_sleep(30)'), { retries: 0 }),
    );
    const asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    await until('both run', async () => (await own.cluster.primary().sql(asleep)).length === 2);
    await own.cluster.primary().crash();
    assert.equal(verdict(await running), 'ERR_OUTCOME_UNKNOWN unknown');
    assert.equal((await within).outcome, 'not-applied');
    await own.cluster.failover();
    assert.deepEqual(await pool.exec('SELECT * FROM half; SELECT 1 AS v'), [[], [{ v: 1 }]]);
  });

  test('exec() on a frozen node ends with timeoutMs, and is unknown', async (t) => {
    db.needs('freeze');
    const primary = db.cluster.primary();
    const pool = db.pool(t, { hosts: primary.address });
    await pool.exec('SELECT 1');
    const running = failureOf(pool.exec('SELECT 1; SELECT pg_sleep(1)', { timeoutMs: 500 }));
    await sleep(200);
    await primary.freeze();
    const error = await running;
    await primary.thaw();
    assert.equal(verdict(error), '57014 unknown');
    await until('the pool is back', async () => pool.exec('SELECT 1'));
  });

  test('exec() without a primary is never sent', async (t) => {
    const pool = db.pool(t, { hosts: db.cluster.hosts.slice(1), acquireTimeoutMs: 300 });
    assert.equal(verdict(await failureOf(pool.exec('SELECT 1'))), 'ERR_NO_PRIMARY not-applied');
  });
});

describe('exec() whose commit waits for a standby', () => {
  test('exec() that is ended while its commit waits for a standby is unknown, never a success', async (t) => {
    const applicationName = named('sync');
    const pool = db.pool(t, { poolSize: 1, applicationName, hosts: db.cluster.primary().address });
    const table = await tableFor(t, pool);
    const scripts = [
      `INSERT INTO ${table} VALUES (1)`,
      `SELECT 1; INSERT INTO ${table} VALUES (1)`,
      `INSERT INTO ${table} VALUES (1); COMMIT; SELECT 1`,
      `INSERT INTO ${table} VALUES (1); COMMIT; SELECT 1/0`,
    ];
    await db.withFrozenStandbys(async () => {
      for (const script of scripts) {
        assert.equal((await failureOf(pool.exec(script, { timeoutMs: 300 }))).outcome, 'unknown', script);
        for (const how of ['pg_cancel_backend', 'pg_terminate_backend']) {
          const failing = failureOf(pool.exec(script));
          await endWaiting(applicationName, 'SyncRep', how);
          assert.equal((await failing).outcome, 'unknown', `${how}: ${script}`);
        }
      }
    });
  });
});
