'use strict';

// Client clocks that are wrong by a day: leases are by the server's clock, so they are valid, and no process ends what is valid for
// another. The clock of a whole process is shifted (clock-shift.c), Node and the core alike.

const assert = require('node:assert/strict');
const { createLease, verifyLease } = require('../../client.js');
const { range, sleep, test, until, useCluster } = require('../support/helpers');
const { Connection } = require('../../exports/testing/cluster/connection.js');
const { Agent, noClockShift } = require('./agents.js');

const db = useCluster({ nodes: 1 });

const SECRET = 'a secret of the service';
const DAY_SECONDS = 86_400;
const SERVICE = 'clocks';
const LEASE = {
  coordinationSecret: SECRET,
  serviceName: SERVICE,
  leaseTtlMs: 1_000,
  reaper: false,
  minConnectionIdleTimeSec: 0,
  maxIdleConnectionsToKill: 100,
};

const rounds = process.env.HYPERION_FULL ? 200 : 20;

/** A session with a lease that nobody renews. @param {import('node:test').TestContext} t @param {number} forMs */
async function abandonedSession(t, forMs) {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = db.options();
  const lease = createLease({ secret: SECRET, serviceName: SERVICE, expiresAt: Date.now() + forMs });
  const conn = await Connection.open({ host, port, user, password, database }, lease, 10_000);
  t.after(() => conn.end());
  const [{ pid }] = await conn.query('SELECT pg_backend_pid() AS pid');
  return Number(pid);
}

/** What is left of each lease of the service, by the server's clock. */
async function leftOf() {
  const rows = await db.sql(
    `SELECT pid, application_name AS name, extract(epoch FROM clock_timestamp()) * 1000 AS now FROM pg_stat_activity
     WHERE application_name LIKE $1`,
    [`s=${SERVICE};%`],
  );
  return rows.map((/** @type {any} */ { pid, name, now }) => {
    const lease = verifyLease(name, SECRET);
    assert.ok(lease);
    return { pid: Number(pid), leftMs: lease.expiresAt - Number(now) };
  });
}

test('clocks wrong by a day either way: leases are valid, and 0 wrong kills', { skip: noClockShift }, async (t) => {
  const options = db.options({ poolSize: 1, monitor: false, lease: LEASE });
  const agents = await Promise.all(
    [-DAY_SECONDS, 0, DAY_SECONDS].map((clockShiftSeconds) => Agent.start(t, options, { clockShiftSeconds })),
  );
  const clocks = await Promise.all(agents.map((agent) => agent.now()));
  clocks.forEach((now, index) => {
    assert.ok(Math.abs(now - Date.now() - (index - 1) * DAY_SECONDS * 1_000) < 60_000, `the clock of agent ${index}`);
  });
  const own = (await Promise.all(agents.map((agent) => agent.query('SELECT pg_backend_pid() AS pid')))).map(
    ([{ pid }]) => pid,
  );
  let killed = 0;
  for (const round of range(rounds)) {
    const expired = await abandonedSession(t, -1);
    const [reaper, ...others] = [0, 1, 2].map((step) => agents[(round + step) % 3]);
    // A session that has just begun to be idle is idle for 0 s.
    await until('the expired session is ended', async () => {
      const left = await leftOf();
      for (const { pid, leftMs } of left)
        if (pid !== expired) assert.ok(leftMs > 0 && leftMs < 1_500, `${leftMs} ms left`);
      const pass = await reaper.reap();
      killed += pass.killed;
      return pass.killed > 0;
    });
    // On a busy machine it ends so late that another pass would end it again.
    await until('it is gone', async () => (await leftOf()).every(({ pid }) => pid !== expired));
    await others[round % 2].query('SELECT 1');
    if (round % 5 === 0) await sleep(300);
  }
  assert.equal(killed, rounds, 'the expired ones and no other');
  const after = await Promise.all(agents.map((agent) => agent.query('SELECT pg_backend_pid() AS pid')));
  assert.deepEqual(
    after.map(([{ pid }]) => pid),
    own,
    'nobody has lost the session',
  );
  for (const agent of agents) assert.deepEqual(agent.told('lease', 'dead'), []);
});

for (const clockShiftSeconds of [-DAY_SECONDS, DAY_SECONDS]) {
  test(`a clock that is wrong by ${clockShiftSeconds} s is noticed in the login: the first statement sees a lease that is right`, {
    skip: noClockShift,
  }, async (t) => {
    const lease = { ...LEASE, leaseTtlMs: 3_600_000 };
    const options = db.options({ poolSize: 1, monitor: false, reset: 'none', lease });
    const agent = await Agent.start(t, options, { clockShiftSeconds });
    for (const _ of range(2)) {
      const [{ application_name: name }] = await agent.query('SHOW application_name');
      const leftMs = /** @type {any} */ (verifyLease(name, SECRET)).expiresAt - Date.now();
      assert.ok(leftMs > 3_500_000 && leftMs < 3_700_000, `${leftMs} ms left`);
    }
  });
}
