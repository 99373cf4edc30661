'use strict';

// Renewals that fail: the server does not answer in time, refuses, or is about to end the session. heartbeatErrorMode says what follows.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { failureOf, range, sleep, test, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

const LEASE = { coordinationSecret: 'a secret of the service', reaper: false };
const PID = 'SELECT pg_backend_pid() AS pid';

/**
 * A pool whose role may not take the lock of a renewal, so that the server refuses each renewal.
 * @param {import('node:test').TestContext} t @param {object} lease
 */
async function refusedPool(t, lease) {
  await db.sql(`DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lockless') THEN CREATE ROLE lockless LOGIN PASSWORD 'lockless'; END IF;
  END $$`);
  await db.sql('REVOKE EXECUTE ON FUNCTION pg_try_advisory_xact_lock(int, int) FROM public');
  t.after(() => db.sql('GRANT EXECUTE ON FUNCTION pg_try_advisory_xact_lock(int, int) TO public'));
  return watched(t, lease, { user: 'lockless', password: 'lockless' });
}

/** @param {import('node:test').TestContext} t @param {object} lease @param {object} [options] */
function watched(t, lease, options) {
  const pool = db.pool(t, { poolSize: 1, monitor: false, reset: 'none', ...options, lease: { ...LEASE, ...lease } });
  /** @type {any[]} */
  const events = [];
  pool.on('lease', (/** @type {any} */ event) => events.push(event));
  const told = (/** @type {string} */ type) => events.filter((event) => event.type === type);
  return { pool, told };
}

/** A renewal before a statement as soon as one in the background. */
const HARD = { leaseTtlMs: 400, heartbeatSoftRemainingMs: 200, heartbeatHardWaitRemainingMs: 200 };
/** A renewal in the background right behind the login. */
const SOFT = { leaseTtlMs: 60_000, heartbeatSoftRemainingMs: 59_900, heartbeatHardWaitRemainingMs: 59_700 };

/** Freezes a backend of the server until the test has ended. @param {import('node:test').TestContext} t @param {number} pid */
function freeze(t, pid) {
  process.kill(pid, 'SIGSTOP');
  t.after(() => {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // It has ended.
    }
  });
}

/**
 * Whether the server lets a pool log in: not if a process was frozen while it holds the table of locks, which a renewal changes.
 * @param {import('node:test').TestContext} t
 * @param {object} lease
 */
async function letsIn(t, lease) {
  const { pool } = watched(t, lease, { acquireTimeoutMs: 2_000 });
  const rows = await pool.query(PID).catch(() => []);
  return rows.length === 1;
}

describe('a renewal that the server refuses', () => {
  test("'reconnect': the session is closed, and the statement runs on another one", async (t) => {
    const { pool, told } = await refusedPool(t, { ...SOFT, heartbeatErrorMode: 'reconnect' });
    const pids = [(await pool.query(PID))[0].pid];
    await until('the session is closed', () => told('heartbeat-failed').length === 1);
    pids.push((await pool.query(PID))[0].pid);
    assert.notEqual(pids[0], pids[1]);
    const [{ error, node }] = told('heartbeat-failed');
    assert.equal(error.code, 'ERR_HEARTBEAT');
    assert.match(
      error.message,
      new RegExp(`^the lease of the session with ${node} could not be renewed: permission denied`),
    );
    await until('its end is told', () => told('dead').length >= 1);
  });

  test("'swallow': the session is kept, in the background and before a statement", async (t) => {
    for (const times of [SOFT, HARD]) {
      const { pool, told } = await refusedPool(t, { ...times, heartbeatErrorMode: 'swallow' });
      const [{ pid }] = await pool.query(PID);
      await until('it has failed', async () => {
        assert.deepEqual(await pool.query(PID), [{ pid }]);
        return told('heartbeat-failed').length > 0;
      });
      assert.deepEqual(await pool.query(PID), [{ pid }]);
      assert.deepEqual(told('dead'), []);
      await pool.end();
    }
  });

  test("'throw': the statement fails before it is sent, and may run again", async (t) => {
    const { pool, told } = await refusedPool(t, { ...HARD, heartbeatErrorMode: 'throw' });
    await db.sql('DROP TABLE IF EXISTS thrown; ').catch(() => {});
    await db.sql('CREATE TABLE thrown (n int)');
    await db.sql('GRANT ALL ON thrown TO lockless');
    const [{ pid }] = await pool.query(PID);
    await sleep(HARD.leaseTtlMs);
    const error = await failureOf(pool.query('INSERT INTO thrown VALUES (1)'));
    assert.deepEqual(
      [error.name, error.code, error.outcome, error.retryable],
      ['HyperionError', 'ERR_HEARTBEAT', 'not-applied', true],
    );
    assert.match(error.stack, /heartbeat\.test\.js/);
    const transaction = await failureOf(
      pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO thrown VALUES (2)')),
    );
    assert.equal(transaction.code, 'ERR_HEARTBEAT');
    assert.deepEqual(await db.sql('SELECT n FROM thrown'), []);
    assert.ok(told('heartbeat-failed').length >= 2);
    await db.sql('GRANT EXECUTE ON FUNCTION pg_try_advisory_xact_lock(int, int) TO public');
    assert.deepEqual(await pool.query(PID), [{ pid }], 'the session is kept');
  });
});

describe('a server that does not answer a renewal', () => {
  for (const mode of ['reconnect', 'throw', 'swallow']) {
    test(`'${mode}', before a statement, after heartbeatTimeoutMs`, async (t) => {
      db.needs('freeze');
      const { pool, told } = watched(t, { ...HARD, heartbeatTimeoutMs: 100, heartbeatErrorMode: mode });
      const [{ pid }] = await pool.query(PID);
      freeze(t, pid);
      await until('the keeper has tried', () => told('heartbeat-failed').length > 0);
      if (mode === 'reconnect') {
        const [{ pid: other }] = await pool.query(PID);
        assert.notEqual(other, pid);
      } else if (mode === 'throw') {
        assert.equal((await failureOf(pool.query(PID))).code, 'ERR_HEARTBEAT');
        process.kill(pid, 'SIGCONT');
        assert.deepEqual(await pool.query(PID), [{ pid }]);
      } else {
        const answer = pool.query(PID);
        await until('the statement waits for its answer', () => told('heartbeat-failed').length > 1);
        process.kill(pid, 'SIGCONT');
        assert.deepEqual(await answer, [{ pid }]);
      }
      assert.match(told('heartbeat-failed')[0].error.message, /no answer within 100 ms \(heartbeatTimeoutMs\)/);
    });
  }

  test('a renewal behind a reset has a limit, too: the server falls silent behind a statement that changes settings', async (t) => {
    db.needs('freeze');
    const times = { leaseTtlMs: 1_000, heartbeatSoftRemainingMs: 900, heartbeatHardWaitRemainingMs: 800 };
    for (let round = 0; round < (process.env.HYPERION_FULL ? 20 : 3); ) {
      const { pool, told } = watched(t, { ...times, heartbeatTimeoutMs: 100 }, { reset: 'changes' });
      // A reset takes no lease away that is still that of the login. A renewal that was too slow has closed the session.
      await until('the lease is renewed', async () => {
        await pool.query(PID);
        return told('heartbeat').length > 0;
      });
      const [{ pid }] = await pool.query(`${PID}, set_config('work_mem', '1MB', false)`);
      const failed = told('heartbeat-failed').length;
      // The server may have answered the reset and the renewal, one of them, or none.
      freeze(t, pid);
      if (await letsIn(t, times)) {
        await until('the keeper has noticed', () => told('heartbeat-failed').length > failed);
        const [{ pid: other }] = await pool.query(PID);
        assert.notEqual(other, pid);
        round++;
      }
      process.kill(pid, 'SIGCONT');
    }
  });

  test('a caller with a time limit does not wait for the renewal any longer than that', async (t) => {
    db.needs('freeze');
    const { pool } = watched(t, { ...HARD, heartbeatTimeoutMs: 30_000 });
    const [{ pid }] = await pool.query(PID);
    freeze(t, pid);
    await sleep(HARD.leaseTtlMs);
    const error = await failureOf(pool.query(PID, [], { timeoutMs: 200 }));
    assert.deepEqual([error.name, error.outcome], ['QueryTimeoutError', 'not-applied']);
    const aborted = await failureOf(pool.query(PID, [], { signal: AbortSignal.timeout(200) }));
    assert.deepEqual([aborted.name, aborted.outcome], ['AbortError', 'not-applied']);
    process.kill(pid, 'SIGCONT');
    assert.deepEqual(await pool.query(PID), [{ pid }]);
  });
});

test('a renewal while a reaper has the lock of the session: the session is given up, and the statement runs on another one', async (t) => {
  for (const heartbeatErrorMode of ['reconnect', 'swallow', 'throw']) {
    const { pool, told } = watched(t, { ...HARD, heartbeatErrorMode });
    const [{ pid }] = await pool.query(PID);
    const reaper = db.pool(t, { poolSize: 1, monitor: false });
    const tx = await reaper.begin();
    assert.equal(await tx.value('SELECT pg_try_advisory_xact_lock(1346847058, $1)', [pid]), true);
    await sleep(HARD.leaseTtlMs);
    const pids = await Promise.all(range(3).map(() => pool.query(PID)));
    for (const [{ pid: other }] of pids) assert.notEqual(other, pid);
    assert.match(told('heartbeat-failed')[0].error.message, /a reaper is ending the session/);
    await tx.rollback();
    await pool.end();
  }
});
