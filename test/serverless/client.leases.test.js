'use strict';

// ServerlessClient and what its pool does with leases: renewals and passes of the reaper, as its methods and hooks tell them.

const assert = require('node:assert/strict');
const { after, describe } = require('node:test');
const { verifyLease } = require('../../exports/serverless');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');
const { clientFor, notingHooks } = require('./clients.js');
const { SECRET, alive, gone, leaseOf, loginOn, sessions } = require('./sessions.js');

const db = useCluster({ nodes: 1, synchronous: false });

// The sessions of sessions.js keep no process alive, and while they are opened nothing else does.
const held = setInterval(() => {}, 60_000);
after(() => clearInterval(held));

/** A service of its own for each test, because passes of one service do not run side by side. */
let services = 0;
const newService = () => `service-${++services}`;

/** Of a client that ends whatever has expired, of the role of sessions.js. */
const eager = () => ({
  ...db.cluster.app,
  coordinationSecret: SECRET,
  minConnectionIdleTimeSec: 0,
  reaperCooldownMs: 0,
});

describe('passes', () => {
  for (const method of /** @type {const} */ (['query', 'transaction'])) {
    test(`${method}: its answer comes behind the pass that its connect has begun, so a process may freeze then`, async (t) => {
      const serviceName = newService();
      const expired = await sessions(t, loginOn(db), [leaseOf({ serviceName })]);
      const { hooks, toldTo } = notingHooks();
      const client = clientFor(t, db, { ...eager(), serviceName, reaperRunProbability: 1, hooks });
      const answer = { query: () => client.query('SELECT 1'), transaction: () => client.transaction(() => {}) };
      await answer[method]();
      assert.deepEqual(
        toldTo('onReap').map(({ killed }) => killed),
        [1],
      );
      await gone(db.cluster.primary(), expired);
    });
  }

  test('reap: it ends the expired sessions of its service, says how many, and tells onReap', async (t) => {
    const serviceName = newService();
    const login = loginOn(db);
    const expired = await sessions(
      t,
      login,
      [1, 2, 3].map(() => leaseOf({ serviceName })),
    );
    const others = await sessions(t, login, [
      leaseOf({ serviceName, inMs: 60_000 }),
      leaseOf({ serviceName: 'others' }),
      'psql',
    ]);
    const { hooks, toldTo } = notingHooks();
    const client = clientFor(t, db, { ...eager(), serviceName, reaper: false, hooks });
    assert.deepEqual(await client.reap(), { locked: true, killed: 3 });
    await gone(db.cluster.primary(), expired);
    assert.deepEqual(await alive(db.cluster.primary(), others), others);
    await until('the hook is called', () => toldTo('onReap').length > 0);
    const [{ durationMs, ...rest }, ...more] = toldTo('onReap');
    assert.deepEqual([rest, more], [{ locked: true, killed: 3 }, []]);
    assert.ok(durationMs >= 0);
    assert.deepEqual(await client.reap(), { locked: true, killed: 0 });
  });

  test('reap: with reaperRunProbability 1 a connect ends them by itself, with `reaper: false` it does not', async (t) => {
    const serviceName = newService();
    const expired = await sessions(t, loginOn(db), [leaseOf({ serviceName })]);
    const quiet = clientFor(t, db, { ...eager(), serviceName, reaper: false, reaperRunProbability: 1 });
    await quiet.connect();
    await quiet.query('SELECT pg_sleep(0.1)');
    assert.deepEqual(await alive(db.cluster.primary(), expired), expired);
    const { hooks, toldTo } = notingHooks();
    await clientFor(t, db, { ...eager(), serviceName, reaperRunProbability: 1, hooks }).connect();
    await gone(db.cluster.primary(), expired);
    await until('the hook is called', () => toldTo('onReap').length > 0);
    assert.equal(toldTo('onReap')[0].killed, 1);
  });

  test("reap: a pass that fails rejects with reaperErrorMode 'throw' only, and onReap has its error in both cases", async (t) => {
    for (const reaperErrorMode of /** @type {const} */ (['swallow', 'throw'])) {
      const { hooks, toldTo } = notingHooks();
      const options = { ...eager(), serviceName: newService(), reaperErrorMode, hooks };
      const client = clientFor(t, db, { ...options, hosts: '127.0.0.1:1', acquireTimeoutMs: 100 });
      if (reaperErrorMode === 'swallow') assert.deepEqual(await client.reap(), { locked: false, killed: 0 });
      const error = reaperErrorMode === 'throw' ? await failureOf(client.reap()) : undefined;
      await until('the hook is called', () => toldTo('onReap').length > 0);
      const [{ err, locked, killed }] = toldTo('onReap');
      assert.deepEqual([err.code, locked, killed], ['ERR_NO_PRIMARY', false, 0]);
      if (error !== undefined) assert.equal(error.code, 'ERR_NO_PRIMARY');
    }
  });
});

describe('renewals', () => {
  test('heartbeats: the lease of an open client is renewed, and onHeartbeat is told the node', async (t) => {
    const serviceName = newService();
    const { hooks, toldTo } = notingHooks();
    const times = { leaseTtlMs: 1_000, heartbeatSoftRemainingMs: 900, heartbeatHardWaitRemainingMs: 500 };
    const client = clientFor(t, db, { ...eager(), ...times, serviceName, hooks });
    const expiryOf = async () => {
      const { rows } = await client.query("SELECT current_setting('application_name') AS name");
      return /** @type {any} */ (verifyLease(rows[0].name, SECRET)).expiresAt;
    };
    const first = await expiryOf();
    await until('it is renewed', async () => (await expiryOf()) > first);
    assert.ok(toldTo('onHeartbeat').length > 0);
    assert.deepEqual(toldTo('onHeartbeat')[0], { node: db.cluster.primary().address });
    assert.deepEqual(toldTo('onHeartbeatFail'), []);
  });

  test('heartbeats: one that gets no answer is told to onHeartbeatFail, and the query has another session', async (t) => {
    db.needs('freeze');
    const { hooks, toldTo } = notingHooks();
    const times = {
      leaseTtlMs: 1_000,
      heartbeatSoftRemainingMs: 900,
      heartbeatHardWaitRemainingMs: 800,
      heartbeatTimeoutMs: 100,
    };
    const client = clientFor(t, db, { ...eager(), ...times, serviceName: newService(), hooks });
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    // The first renewals may stand behind what was sent before them, and wait for that.
    await until('the session is at rest', () => toldTo('onHeartbeat').length > 2);
    process.kill(rows[0].pid, 'SIGSTOP');
    t.after(() => process.kill(rows[0].pid, 'SIGCONT'));
    await until('it has failed', () => toldTo('onHeartbeatFail').length > 0);
    const [{ err }] = toldTo('onHeartbeatFail');
    assert.ok(err instanceof Error);
    const again = await client.query('SELECT pg_backend_pid() AS pid');
    assert.notEqual(again.rows[0].pid, rows[0].pid);
  });
});
