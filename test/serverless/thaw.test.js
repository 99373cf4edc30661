'use strict';

// Processes that are frozen for longer than their leases live, and thawed: the next call works. HYPERION_FULL=1 does 200 rounds.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { HANG_MS, range, sleep, test, until, useCluster } = require('../support/helpers');
const { Agent } = require('./agents.js');

const db = useCluster({ nodes: 3, synchronous: true });

const SECRET = 'a secret of the service';
const rounds = process.env.HYPERION_FULL ? 200 : 5;
const TTL_MS = 300;

/** @param {string} serviceName @param {object} [more] */
const leaseOf = (serviceName, more = {}) => ({
  coordinationSecret: SECRET,
  serviceName,
  leaseTtlMs: TTL_MS,
  minConnectionIdleTimeSec: 0,
  maxIdleConnectionsToKill: 100,
  reaper: false,
  ...more,
});

/** @param {string} service */
const pidsOf = async (service) =>
  (await db.sql('SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1', [`s=${service};%`])).map(
    (/** @type {any} */ { pid }) => Number(pid),
  );

/** Resolves when no session of the service but the reaper's own is left. @param {any} reaper @param {string} service */
const reapedAll = (reaper, service) =>
  until('the frozen session is ended', async () => {
    await reaper.reap();
    return (await pidsOf(service)).length <= 1;
  });

describe('a process that was frozen', () => {
  for (const kind of /** @type {const} */ (['pool', 'client'])) {
    test(`${kind}: longer than its lease lives, and its session was reaped: the next statement works, ${rounds} times`, {
      timeout: HANG_MS * 10,
    }, async (t) => {
      const service = `thaw-${kind}`;
      await db.sql(`CREATE TABLE thaw_${kind} (n int)`);
      const reaper = db.pool(t, { poolSize: 1, monitor: false, lease: leaseOf(service) });
      await reaper.query('SELECT 1');
      const lease = leaseOf(service);
      const options = kind === 'pool' ? { lease } : lease;
      const agent = await Agent.start(t, db.options({ poolSize: 1, monitor: false, ...options }), { kind });
      const pids = new Set();
      const insert = `INSERT INTO thaw_${kind} VALUES ($1) RETURNING pg_backend_pid() AS pid`;
      pids.add((await agent.query(insert, [0]))[0].pid);
      for (const round of range(rounds)) {
        agent.freeze();
        await reapedAll(reaper, service);
        // The statement is there before the process is awake: it is the first thing that it sees.
        const answer = agent.query(insert, [round + 1]);
        agent.thaw();
        pids.add((await answer)[0].pid);
      }
      const [{ count, rows }] = await db.sql(`SELECT count(DISTINCT n) AS count, count(*) AS rows FROM thaw_${kind}`);
      assert.deepEqual([Number(count), Number(rows)], [rounds + 1, rounds + 1], 'nothing is lost, nothing is doubled');
      assert.equal(pids.size, rounds + 1, 'each time the session had been ended');
      if (kind === 'pool') {
        await until('each thaw was told', () => agent.told('lease', 'thaw').length >= rounds);
        assert.equal(agent.told('error').length, 0);
      } else {
        assert.equal(agent.told('onQueryRetry').length, 0, 'no statement was sent in vain');
      }
    });
  }

  test('longer than its lease lives, and nobody has reaped it: it goes on with its session', async (t) => {
    const agent = await Agent.start(t, db.options({ poolSize: 1, monitor: false, lease: leaseOf('thaw-kept') }));
    const [{ pid }] = await agent.query('SELECT pg_backend_pid() AS pid');
    for (const _ of range(3)) {
      agent.freeze();
      await sleep(TTL_MS * 2);
      const answer = agent.query('SELECT pg_backend_pid() AS pid');
      agent.thaw();
      assert.deepEqual(await answer, [{ pid }]);
    }
    assert.deepEqual(agent.told('lease', 'dead'), []);
  });

  test('in a transaction: it is not reaped, and commits', async (t) => {
    await db.sql('CREATE TABLE thaw_open (n int)');
    const service = 'thaw-open';
    const reaper = db.pool(t, { poolSize: 1, monitor: false, lease: leaseOf(service) });
    const agent = await Agent.start(
      t,
      db.options({ poolSize: 1, monitor: false, reset: 'none', lease: leaseOf(service) }),
    );
    // The statement sleeps while its process is frozen.
    const inserted = agent.query('INSERT INTO thaw_open SELECT 1 FROM pg_sleep(1)');
    await until(
      'it runs',
      async () => (await db.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length > 0,
    );
    agent.freeze();
    await sleep(TTL_MS * 2);
    assert.equal((await reaper.reap()).killed, 0, 'an active session is not ended');
    agent.thaw();
    await inserted;
    assert.equal((await db.sql('SELECT 1 FROM thaw_open')).length, 1);
  });

  test('does not take its own sleep for the death of the nodes: its monitor reports nothing', async (t) => {
    const options = db.options({
      poolSize: 1,
      monitor: { intervalMs: 100, nodeTimeoutMs: 300 },
      lease: leaseOf('thaw-monitor'),
    });
    const agent = await Agent.start(t, options);
    await agent.query('SELECT 1');
    for (const _ of range(2)) {
      agent.freeze();
      await sleep(1_500);
      const answer = agent.query('SELECT 1 AS one');
      agent.thaw();
      assert.deepEqual(await answer, [{ one: 1 }]);
      await sleep(200);
    }
    assert.deepEqual([...agent.told('down'), ...agent.told('failover'), ...agent.told('error')], []);
  });

  test('while the primary has changed: the next statement goes to the new one', async (t) => {
    const options = db.options({ poolSize: 1, monitor: false, lease: leaseOf('thaw-failover') });
    const agent = await Agent.start(t, options);
    const [{ pid }] = await agent.query('SELECT pg_backend_pid() AS pid');
    agent.freeze();
    const old = db.cluster.primary();
    await db.cluster.switchover();
    const answer = agent.query('SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS standby');
    agent.thaw();
    const [found] = await answer;
    assert.equal(found.standby, false);
    assert.notEqual(db.cluster.primary(), old);
    assert.notEqual(found.pid, pid);
  });
});
