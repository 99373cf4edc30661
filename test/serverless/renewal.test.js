'use strict';

// When the core renews leases (src/pool/lease.rs, src/connection/renewal.rs): in the background, before a statement, never within a
// transaction; and which sessions have leases.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { verifyLease } = require('../../client.js');
const { failureOf, ownCluster, range, sleep, test, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 2 });

const SECRET = 'a secret of the service';
/** Short times, so that a lease is renewed several times in a second. */
const SHORT = { leaseTtlMs: 900, heartbeatSoftRemainingMs: 600, heartbeatHardWaitRemainingMs: 200 };

let services = 0;

/** @param {any} node */
const labelOf = ({ host, port }) => `${host}:${port}`;

/**
 * A pool of a service of its own.
 * @param {import('node:test').TestContext} t @param {object} [lease] @param {object} [options]
 */
function leasedPool(t, lease = {}, options = {}) {
  const service = `renewal-${++services}`;
  const pool = db.pool(t, {
    poolSize: 1,
    monitor: false,
    lease: { coordinationSecret: SECRET, serviceName: service, reaper: false, ...SHORT, ...lease },
    ...options,
  });
  /** @type {any[]} */
  const events = [];
  pool.on('lease', (/** @type {any} */ event) => events.push(event));
  return { pool, service, events };
}

/** The sessions of a service, with what is left of their leases by the server's clock. @param {string} service @param {any} [node] */
async function sessionsOf(service, node = db.cluster.primary()) {
  const rows = await node.sql(
    `SELECT pid, application_name, state, extract(epoch FROM clock_timestamp()) * 1000 AS now FROM pg_stat_activity
     WHERE application_name LIKE $1 ORDER BY backend_start`,
    [`s=${service};%`],
  );
  return rows.map((/** @type {any} */ { pid, application_name: name, state, now }) => {
    const lease = verifyLease(name, SECRET);
    assert.ok(lease, `${name} is signed`);
    return { pid: Number(pid), name, state, leftMs: lease.expiresAt - Number(now), ...lease };
  });
}

/** The one session of a service. @param {string} service */
async function sessionOf(service) {
  const sessions = await sessionsOf(service);
  assert.equal(sessions.length, 1);
  return sessions[0];
}

/** Resolves when the session has another lease than this one. @param {string} service @param {string} name */
const renewed = (service, name) => until('the lease is renewed', async () => (await sessionOf(service)).name !== name);

describe('a session has a lease', () => {
  test('from its login on, for as long as the option says by the clock of the server', async (t) => {
    const { pool, service, events } = leasedPool(t, { leaseTtlMs: 60_000 });
    assert.equal(await pool.value('SHOW application_name'), (await sessionOf(service)).name);
    const { leftMs } = await sessionOf(service);
    assert.ok(leftMs > 50_000 && leftMs <= 60_500, `${leftMs} ms are left`);
    await until('the pool has told', () => events.length > 0);
    assert.deepEqual(events, [
      { type: 'connect', node: labelOf(db.cluster.primary()), refused: false, crowded: false },
    ]);
  });

  test('at the login itself: no statement comes before it', async (t) => {
    const { pool, service } = leasedPool(t, { leaseTtlMs: 60_000 }, { reset: 'none' });
    await pool.query('SELECT 1');
    const { name } = await sessionOf(service);
    // RESET gives a session what its startup packet has said.
    const atLogin = await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('RESET application_name');
      return tx.value('SHOW application_name');
    });
    assert.equal(atLogin, name);
  });

  test('all sessions of the pool: its own, those of the monitor, of reads and of listen()', async (t) => {
    const { pool, service } = leasedPool(t, { leaseTtlMs: 60_000 }, { poolSize: 2, monitor: { intervalMs: 50 } });
    await pool.listen('here', () => {});
    await Promise.all(range(2).map(() => pool.query('SELECT pg_sleep(0.05)')));
    await until('a standby has answered', async () => (await pool.read('SELECT pg_is_in_recovery() AS r'))[0].r);
    const [primary, standby] = [db.cluster.primary(), db.cluster.standbys()[0]];
    await until('all have leases', async () => (await sessionsOf(service, primary)).length === 4);
    assert.equal((await sessionsOf(service, standby)).length, 2, 'the monitor and the reads');
    const instances = [...(await sessionsOf(service, primary)), ...(await sessionsOf(service, standby))];
    assert.equal(new Set(instances.map(({ instance }) => instance)).size, 1);
    const others = await db.sql(
      "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '%monitor%'",
    );
    assert.deepEqual(others, []);
  });
});

test('a connect to a server that has little room left is told, and is followed by a pass whatever the draw', async (t) => {
  const small = await ownCluster(t, { nodes: 1, settings: { max_connections: 20 } });
  const lease = { coordinationSecret: SECRET, reaperRunProbability: 1e-12, minConnectionIdleTimeSec: 0 };
  const options = { poolSize: 1, monitor: false };
  /** @type {any[]} */
  const events = [];
  const connect = async () => {
    const pool = small.pool(t, { ...options, lease });
    pool.on('lease', (/** @type {any} */ event) => events.push(event));
    await pool.query('SELECT 1');
  };
  await connect();
  const crowd = small.pool(t, { ...options, poolSize: 15 });
  await until('the sessions are there', async () => {
    await Promise.all(range(15).map(() => crowd.query('SELECT pg_sleep(0.1)')));
    return crowd.status().size === 15;
  });
  await connect();
  await until('a pass has run', () => events.some(({ type }) => type === 'reap'));
  const told = events.filter(({ type }) => type === 'connect' || type === 'reap');
  assert.deepEqual(
    told.map(({ type, crowded }) => [type, crowded]),
    [
      ['connect', false],
      ['connect', true],
      ['reap', undefined],
    ],
  );
});

describe('a lease is renewed', () => {
  test('in the background, while the session is idle', async (t) => {
    const { pool, service, events } = leasedPool(t);
    await pool.query('SELECT 1');
    let { name } = await sessionOf(service);
    for (let round = 0; round < 3; round++) {
      await renewed(service, name);
      const session = await sessionOf(service);
      assert.ok(session.leftMs > 0, 'it never runs out');
      name = session.name;
    }
    assert.equal((await sessionsOf(service)).length, 1);
    assert.ok(events.filter(({ type }) => type === 'heartbeat').length >= 3);
    assert.ok(events.every(({ type }) => type === 'connect' || type === 'heartbeat'));
  });

  test('also for the sessions of the monitor and of listen()', async (t) => {
    const { pool, service } = leasedPool(t, {}, { monitor: { intervalMs: 50, nodeTimeoutMs: 1_000 } });
    await pool.listen('here', () => {});
    await until('both are there', async () => (await sessionsOf(service)).length === 2);
    const before = new Set((await sessionsOf(service)).map(({ name }) => name));
    await until('both are renewed', async () => (await sessionsOf(service)).every(({ name }) => !before.has(name)));
  });

  test('while statements of many callers share the session without a pause', async (t) => {
    const { pool, service } = leasedPool(t);
    const end = Date.now() + 1_500;
    let least = Number.POSITIVE_INFINITY;
    const callers = range(16).map(async () => {
      while (Date.now() < end) await pool.query('SELECT 1');
    });
    while (Date.now() < end) {
      for (const { leftMs } of await sessionsOf(service)) least = Math.min(least, leftMs);
      await sleep(20);
    }
    await Promise.all(callers);
    assert.ok(least > 0, `${least} ms were left at least`);
  });

  test('never within a transaction, and right behind it', async (t) => {
    const { pool, service, events } = leasedPool(t);
    let { name } = await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('SELECT 1');
      const session = await sessionOf(service);
      // Longer than the lease.
      for (const _ of range(12)) {
        await tx.query('SELECT pg_sleep(0.1)');
        assert.equal((await sessionOf(service)).name, session.name);
      }
      assert.ok((await sessionOf(service)).leftMs < 0);
      return session;
    });
    await renewed(service, name);
    assert.ok((await sessionOf(service)).leftMs > 0);
    ({ name } = await sessionOf(service));
    // What a transaction does to the name is undone with it.
    await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query("SET application_name = 'mine'");
        throw new Error('roll back');
      }),
    );
    await renewed(service, name);
    assert.equal(events.filter(({ type }) => type === 'dead').length, 0);
  });

  test('a statement that takes longer than heartbeatTimeoutMs is not disturbed by a renewal behind it', async (t) => {
    const { pool, service, events } = leasedPool(t, { heartbeatTimeoutMs: 50 });
    await db.sql(
      "CREATE OR REPLACE FUNCTION slow_setter() RETURNS text LANGUAGE sql AS $$ SELECT set_config('work_mem', '1MB', false) $$",
    );
    const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid'))[0];
    await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.4), slow_setter()')));
    await Promise.all(range(3).map(() => pool.query("SELECT pg_sleep(0.4), set_config('work_mem', '1MB', false)")));
    assert.equal((await sessionOf(service)).pid, pid);
    assert.deepEqual(
      events.filter(({ type }) => type !== 'heartbeat' && type !== 'connect'),
      [],
    );
  });
});

describe('a name that a caller has changed', () => {
  for (const reset of ['changes', 'none', 'discard', { sql: 'RESET ALL' }]) {
    test(`is put back, reset: ${JSON.stringify(reset)}`, async (t) => {
      const { pool, service } = leasedPool(t, { leaseTtlMs: 60_000 }, { reset });
      await pool.query('SELECT 1');
      const { pid } = await sessionOf(service);
      for (const sql of [
        "SET application_name = 'mine'",
        "SELECT set_config('application_name', 'mine', false)",
        'RESET ALL',
        'DISCARD ALL',
        "SET application_name = ''",
      ]) {
        await pool.query(sql);
        await until(`the session has its lease behind ${sql}`, async () => {
          const [session] = await sessionsOf(service);
          return session !== undefined && session.leftMs > 50_000;
        });
        assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
      }
      assert.equal((await sessionOf(service)).pid, pid);
    });
  }

  test('is left alone within a transaction, and comes back behind it', async (t) => {
    const { pool, service } = leasedPool(t);
    const name = await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query("SET LOCAL application_name = 'mine'");
      await tx.query('SELECT pg_sleep(1)');
      return tx.value('SHOW application_name');
    });
    assert.equal(name, 'mine');
    await until('the lease is valid', async () => (await sessionOf(service)).leftMs > 0);
  });

  test('a lease is no change that must be undone: no RESET follows a renewal', async (t) => {
    const { pool, service } = leasedPool(t);
    await pool.query('SELECT 1');
    const { name } = await sessionOf(service);
    await renewed(service, name);
    // A RESET has a renewal behind it. The keeper may have renewed the lease meanwhile, but not each time.
    await until('two statements leave the lease as it is', async () => {
      const before = await sessionOf(service);
      await pool.query('SELECT 1');
      await pool.query('SELECT 1');
      return (await sessionOf(service)).name === before.name;
    });
  });
});

describe('when little is left', () => {
  test('a busy event loop delays no renewal: the thread of the core does it', async (t) => {
    const { pool, service } = leasedPool(t);
    await pool.query('SELECT 1');
    const { name } = await sessionOf(service);
    const end = Date.now() + 1_500;
    while (Date.now() < end);
    const session = await sessionOf(service);
    assert.notEqual(session.name, name);
    assert.ok(session.leftMs > 0);
  });
});
