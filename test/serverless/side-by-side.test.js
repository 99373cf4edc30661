'use strict';

// Sessions of pg-aequor and of this package in one database, of one service: aequor.js makes theirs, as its published source does.
// Each ends what has expired, of both kinds, nobody ends what is valid, and only one is at it at a time.

const assert = require('node:assert/strict');
const { verifyLease } = require('../../client.js');
const { test, until, useCluster } = require('../support/helpers.js');
const { Aequor, LOCK, read } = require('./aequor.js');
const { Agent } = require('./agents.js');
const { SECRET, Session, alive, gone, leaseOf, leaseOption, loginOn, poolWith } = require('./sessions.js');

const db = useCluster({ nodes: 1, synchronous: false });

const LONG_MS = 3_600_000;
const EXPIRED_MS = -60_000;
const OTHER_SECRET = 'a secret of other processes';

/** @param {string} serviceName @param {string} [secret] */
const aequor = (serviceName, secret = SECRET) => new Aequor({ secret, serviceName });

/** One of ours, which is asked to end what has expired. @param {import('node:test').TestContext} t @param {string} serviceName @param {object} [lease] */
async function ours(t, serviceName, lease) {
  const pool = poolWith(t, db, { serviceName, ...lease }, { poolSize: 1, monitor: false });
  const [{ pid, name }] = await pool.query(
    "SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name",
  );
  return { pool, pid, name };
}

const primary = () => db.cluster.primary();
/** @typedef {{ pid: number }} Lives */
/** @param {Lives[]} all */
const living = async (all) => (await alive(primary(), /** @type {any} */ (all))).length;
/** @param {Lives[]} all */
const ended = (all) => gone(primary(), /** @type {any} */ (all));

test('side by side: each reads the leases of the other, of a long service name, too', async (t) => {
  for (const serviceName of ['shop', 'a-service-with-a-name-of-more-than-20-characters']) {
    const { name } = await ours(t, serviceName);
    const theirs = aequor(serviceName);
    await theirs.connect(t, loginOn(db), LONG_MS);
    const shown = await theirs.name();
    assert.equal(read(name, SECRET)?.service, theirs.service);
    assert.equal(verifyLease(shown, SECRET)?.serviceName, theirs.service);
    assert.equal(read(name, OTHER_SECRET), null);
    assert.equal(verifyLease(shown, OTHER_SECRET), null);
  }
});

test('side by side: a pass of ours ends the expired sessions of pg-aequor, and no other', async (t) => {
  const login = loginOn(db);
  const expired = [aequor('ours-kills'), aequor('ours-kills')];
  const valid = [
    { client: aequor('ours-kills'), inMs: LONG_MS },
    { client: aequor('ours-kills', OTHER_SECRET), inMs: EXPIRED_MS },
    { client: aequor('ours-kills2'), inMs: EXPIRED_MS },
    { client: aequor('ours-kill'), inMs: EXPIRED_MS },
  ];
  const victims = await Promise.all(expired.map((client) => client.connect(t, login, EXPIRED_MS)));
  const others = await Promise.all(valid.map(({ client, inMs }) => client.connect(t, login, inMs)));
  const renewed = aequor('ours-kills');
  others.push(await renewed.connect(t, login, EXPIRED_MS));
  await renewed.heartbeat(LONG_MS);
  const { pool } = await ours(t, 'ours-kills');
  assert.deepEqual(await pool.reap(), { locked: true, killed: 2 });
  await ended(victims);
  assert.equal(await living(others), others.length);
  assert.deepEqual(await pool.reap(), { locked: true, killed: 0 });
});

test('side by side: a pass of pg-aequor ends the session of our frozen process, and none of a living one', async (t) => {
  const theirs = aequor('theirs-kills');
  await theirs.connect(t, loginOn(db), LONG_MS);
  const lease = leaseOption({ serviceName: 'theirs-kills', leaseTtlMs: 300 });
  const renewing = await ours(t, 'theirs-kills', { leaseTtlMs: 2_000, heartbeatSoftRemainingMs: 1_800 });
  const agent = await Agent.start(t, db.options({ ...db.cluster.app, poolSize: 1, monitor: false, lease }));
  const [{ pid }] = await agent.query('SELECT pg_backend_pid() AS pid');
  agent.freeze();
  await until('the session of the frozen process is ended', async () => {
    await theirs.reap();
    return (await living([{ pid }])) === 0;
  });
  assert.equal(await living([renewing]), 1);
  const expiresAt = verifyLease(renewing.name, SECRET)?.expiresAt ?? Number.NaN;
  await until('the first lease of the living process has expired', () => Date.now() > expiresAt);
  assert.deepEqual(await theirs.reap(), { locked: true, killed: 0 });
  assert.equal(await living([renewing]), 1);
  agent.thaw();
  const [{ later }] = await agent.query('SELECT pg_backend_pid() AS later');
  assert.notEqual(later, pid, 'the process goes on, in a new session');
});

test('side by side: while pg-aequor holds the lock of a service, a pass of ours does nothing', async (t) => {
  const theirs = aequor('their-lock');
  await theirs.connect(t, loginOn(db), LONG_MS);
  const victim = await aequor('their-lock').connect(t, loginOn(db), EXPIRED_MS);
  const { pool } = await ours(t, 'their-lock');
  assert.equal(await theirs.lock(), true);
  assert.deepEqual(await pool.reap(), { locked: false, killed: 0 });
  assert.equal(await living([victim]), 1);
  const other = await ours(t, 'another-lock');
  assert.equal((await other.pool.reap()).locked, true, 'the lock is that of a service');
  await theirs.unlock();
  assert.deepEqual(await pool.reap(), { locked: true, killed: 1 });
  await ended([victim]);
});

test('side by side: while the statement that ends sessions holds the lock of a service, a pass of pg-aequor does nothing', async (t) => {
  const theirs = aequor('our-lock');
  await theirs.connect(t, loginOn(db), LONG_MS);
  const victim = await Session.open(loginOn(db), leaseOf({ serviceName: 'our-lock' }));
  t.after(() => victim.connection.end());
  const { pool } = await ours(t, 'our-lock');
  // What the statement takes, in a transaction that stays open.
  await pool.transaction(async (/** @type {any} */ tx) => {
    await tx.query('SELECT pg_try_advisory_xact_lock($1::int, hashtext($2::text))', [LOCK, theirs.service]);
    assert.deepEqual(await theirs.reap(), { locked: false, killed: 0 });
  });
  assert.deepEqual(await pool.reap(), { locked: true, killed: 1 });
  await ended([victim]);
  assert.deepEqual(await theirs.reap(), { locked: true, killed: 0 });
});
