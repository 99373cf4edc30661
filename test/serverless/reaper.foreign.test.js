'use strict';

// Sessions that must live, of every kind, beside 1,000 whose leases have expired: exactly the 1,000 are ended.

const assert = require('node:assert/strict');
const net = require('node:net');
const { createLease } = require('../../client.js');
const { range, test, until, useCluster } = require('../support/helpers.js');
const { SECRET, Session, alive, gone, leaseOf, loginOn, poolWith, sessions } = require('./sessions.js');

/** `_` is a wildcard of LIKE. */
const SERVICE = 'sh_p';
const EXPIRED = 1_000;
const PER_PASS = 300;
const IDLE_SEC = 2;

const db = useCluster({
  nodes: 1,
  synchronous: false,
  settings: { max_connections: EXPIRED + 100, max_wal_senders: 4 },
  // A login by SCRAM costs more than all the rest of a session.
  hba: ['host all all 127.0.0.1/32 trust'],
});

/** @param {Parameters<typeof leaseOf>[0]} [parts] */
const ours = (parts) => leaseOf({ serviceName: SERVICE, ...parts });

/** One character of a lease replaced. @param {RegExp} from @param {string} to */
const tampered = (from, to) => {
  const lease = ours({ inMs: 60_000 });
  const other = lease.replace(from, to);
  assert.notEqual(other, lease);
  return other;
};

/** What a session is called, and what it does. @type {[kind: string, name: string, sql?: string][]} */
const FOREIGN = [
  ['of another service', ours({ serviceName: 'store' })],
  ['of a service that a pattern of ours would match', ours({ serviceName: 'shop' })],
  ['of a service whose name begins with ours', ours({ serviceName: 'sh_p2' })],
  ['of a service with whose name ours begins', ours({ serviceName: 'sh_' })],
  ['of our service in capitals', ours({ serviceName: 'SH_P' })],
  ['with another secret', ours({ secret: 'quite another secret' })],
  ['with no name', ''],
  ['of psql', 'psql'],
  ['of a pool without leases', 'hyperiondb-client'],
  ['with the beginning of a lease', `s=${SERVICE};i=Ab3-_xYz`],
  ['with a lease without a signature', ours().replace(/;g=.*/, ';g=')],
  ['with a lease whose signature is of zeros', ours().replace(/;g=.*/, `;g=${'A'.repeat(11)}`)],
  ['with a valid lease that was made to look expired', tampered(/e=\d/, 'e=0').replace('e=0', 'e=1000')],
  ['with a lease of another service that was given our name', ours({ serviceName: 'shop' }).replace('shop', SERVICE)],
  ['with an expired lease that another wrote a zero into', ours().replace('e=', 'e=0')],
  ['with a lease that has not expired', ours({ inMs: 3_600_000 })],
  ['with a lease that expires in a day, as of a clock that is wrong', ours({ inMs: 86_400_000 })],
  ['that runs a statement', ours(), 'SELECT pg_sleep(600)'],
  ['idle in a transaction', ours(), 'BEGIN'],
  ['in a transaction that has failed', ours(), 'BEGIN; SELECT 1/0'],
  [
    'that runs a parallel query, and its worker',
    ours(),
    `DO $$ BEGIN
       PERFORM set_config(name, 'on', false) FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode');
     END $$; SELECT pg_sleep(600)`,
  ],
];

/** Big-endian. */
const int32 = (/** @type {number} */ value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

/**
 * A session that replicates: its server process is a walsender.
 * @param {import('node:test').TestContext} t
 * @param {any} login
 * @param {string} name
 */
async function walsender(t, { host, port, user, database }, name) {
  const socket = net.connect(port, host);
  t.after(() => socket.destroy());
  const parameters = { user, database, replication: 'database', application_name: name };
  const body = Buffer.from(`${Object.entries(parameters).flat().join('\0')}\0\0`);
  socket.write(Buffer.concat([int32(body.length + 8), int32(0x0003_0000), body]));
  await new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
  });
  return until('the walsender is there', async () => {
    const [row] = await db.sql(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name = $1 AND state = 'idle'",
      [name],
    );
    return row === undefined ? undefined : new Session(/** @type {any} */ ({}), row.pid, name);
  });
}

/** Lets a session be recently idle until the returned function is called. @param {Session} session */
function busy(session) {
  let isOver = false;
  const loop = (async () => {
    while (!isOver) {
      await session.query('SELECT 1');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return () => {
    isOver = true;
    return loop;
  };
}

test(`of ${EXPIRED} expired sessions and foreign ones of every kind exactly the expired are ended, the longest expired first`, async (t) => {
  const node = db.cluster.primary();
  const login = loginOn(db);
  await db.sql('CREATE DATABASE other_database');
  await db.sql('CREATE ROLE other_role LOGIN');
  await db.sql(`ALTER ROLE ${login.user} REPLICATION`);

  const names = FOREIGN.map(([, name]) => name);
  const foreign = [...(await sessions(t, login, names))];
  FOREIGN.forEach(([, , sql], index) => {
    if (sql !== undefined) foreign[index].query(sql).catch(() => {});
  });
  const kinds = FOREIGN.map(([kind]) => kind);
  /** @param {string} kind @param {Session} session */
  const add = (kind, session) => {
    kinds.push(kind);
    foreign.push(session);
  };
  add('in another database', (await sessions(t, { ...login, database: 'other_database' }, [ours()]))[0]);
  add('of another role', (await sessions(t, { ...login, user: 'other_role' }, [ours()]))[0]);
  add('of a superuser', (await sessions(t, node.login, [ours()]))[0]);
  add('that replicates', await walsender(t, login, ours()));
  const [recent] = await sessions(t, login, [ours({ inMs: -3_600_000 })]);
  add('that was idle for too short a time', recent);
  await until('the worker of the parallel query runs', async () => {
    const [row] = await db.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'parallel worker'");
    if (row !== undefined) add('a parallel worker', new Session(/** @type {any} */ ({}), row.pid, ''));
    return row !== undefined;
  });

  // Each expires a second before the next, and all of them logged in in another order.
  const expired = await sessions(
    t,
    login,
    range(EXPIRED).map((place) => ours({ inMs: -100_000_000 + ((place * 7) % EXPIRED) * 1_000 })),
  );
  const expiries = expired.map(({ name }) => Number(/e=(\d+)/.exec(name)?.[1]));
  const stop = busy(recent);
  await until('all have been idle for long enough', async () => {
    const [{ n }] = await db.sql(
      'SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND state_change < clock_timestamp() - make_interval(secs => $2)',
      [`{${expired.map(({ pid }) => pid)}}`, IDLE_SEC],
    );
    return n === EXPIRED;
  });

  const secret = ['the next secret of all', SECRET];
  const lease = {
    coordinationSecret: secret,
    serviceName: SERVICE,
    maxIdleConnectionsToKill: PER_PASS,
    minConnectionIdleTimeSec: IDLE_SEC,
  };
  const pool = poolWith(t, db, lease, { poolSize: 1 });
  const sums = [];
  for (let left = EXPIRED; left > 0; left -= PER_PASS) {
    const last = Math.min(PER_PASS, left);
    const { locked, killed } = await pool.reap();
    sums.push([locked, killed]);
    const order = [...expired].sort((a, b) => expiries[expired.indexOf(a)] - expiries[expired.indexOf(b)]);
    await gone(node, order.slice(EXPIRED - left, EXPIRED - left + last));
    assert.equal((await alive(node, expired)).length, left - last, 'the longest expired were ended first');
  }
  sums.push(Object.values(await pool.reap()));
  await stop();

  assert.deepEqual(sums, [...Array(3).fill([true, PER_PASS]), [true, EXPIRED - 3 * PER_PASS], [true, 0]]);
  const living = await alive(node, foreign);
  assert.deepEqual(
    kinds.filter((_, index) => !living.includes(foreign[index])),
    [],
    'these were ended',
  );
  assert.equal(await pool.value('SELECT 1'), 1, 'and the pool lives');
});

test('a lease that createLease made for a session of another client is as good as that of a pool', async (t) => {
  const serviceName = 'others';
  const parts = { secret: SECRET, serviceName, instance: 'psql', expiresAt: new Date(Date.now() - 1_000) };
  const all = await sessions(t, loginOn(db), [createLease(parts), createLease({ ...parts, serviceName: 'no others' })]);
  const pool = poolWith(t, db, { serviceName });
  assert.deepEqual(await pool.reap(), { locked: true, killed: 1 });
  await gone(db.cluster.primary(), [all[0]]);
  assert.equal((await alive(db.cluster.primary(), all)).length, 1);
});
