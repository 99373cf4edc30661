'use strict';

// What becomes of a read, by the position in its token: one that a standby has, one that it will have, one of the future, one of a
// timeline that was left behind, and one of a timeline that no node has.

const assert = require('node:assert/strict');
const { failureOf, isPending, ownCluster, range, sleep, test, until, useCluster } = require('../support/helpers');
const { tableFor } = require('../support/transactions');
const { ENDLESS_MS, changed, lsnOf, partsOf, resume, standbysOf, untilAllFit, whilePaused } = require('./standbys');

const db = useCluster({ nodes: 3, settings: { wal_writer_delay: '20ms' } });

/** Waiting for a standby ends the test by its time limit. */
const PATIENT = { acquireTimeoutMs: ENDLESS_MS, reads: { waitMs: ENDLESS_MS } };

/** Known faults; the tests of them fail. */

const GIGABYTE = 1n << 30n;

/** A token of a position that no node reaches. @param {any} pool */
async function tokenOfTheFuture(pool) {
  const token = await pool.token();
  return changed(token, { lsn: partsOf(token).lsn + GIGABYTE });
}

/** The position of the next record of the primary. */
async function insertLsn() {
  const [{ lsn }] = await db.sql('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return lsnOf(lsn);
}

/** A pool that knows all nodes. @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] */
async function informed(t, options) {
  const pool = db.pool(t, options);
  await pool.read('SELECT 1');
  await untilAllFit(pool, db);
  return pool;
}

test('a read of a position that its standbys do not have waits for one of them', async (t) => {
  const pool = await informed(t, PATIENT);
  const table = await tableFor(db, t);
  for (const standby of db.cluster.standbys()) {
    await whilePaused(db.cluster.standbys(), async () => {
      const { token } = await pool.query(`INSERT INTO ${table} VALUES ($1)`, [standby.port], { token: true });
      const read = pool.read(`SELECT id FROM ${table} WHERE id = $1`, [standby.port], { after: token });
      assert.ok(await isPending(read));
      await resume(standby);
      const rows = await read;
      assert.deepEqual([rows.length, rows.node], [1, standby.address]);
    });
  }
});

test('after waitMs a read whose position no standby has goes to the primary', async (t) => {
  const pool = await informed(t, { reads: { waitMs: ENDLESS_MS } });
  const after = await tokenOfTheFuture(pool);
  const started = performance.now();
  const rows = await pool.read('SELECT 1 AS one', [], { after, waitMs: 300 });
  // A timer of Node may fire a millisecond early.
  assert.ok(performance.now() - started > 298, 'it has waited');
  assert.equal(rows.node, db.cluster.primary().address);
});

test('with waitMs: 0 a read does not wait, but a standby that has its position answers', async (t) => {
  const pool = await informed(t, PATIENT);
  const table = await tableFor(db, t);
  const future = await pool.read('SELECT 1', [], { after: await tokenOfTheFuture(pool), waitMs: 0 });
  assert.equal(future.node, db.cluster.primary().address);
  await whilePaused(db.cluster.standbys(), async () => {
    const { token } = await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
    const rows = await pool.read(`SELECT id FROM ${table}`, [], { after: token, waitMs: 0 });
    assert.deepEqual([rows.length, rows.node], [1, db.cluster.primary().address]);
  });
  const token = await pool.token();
  await pool.read('SELECT 1', [], { after: token });
  const known = await pool.read('SELECT 1', [], { after: token, waitMs: 0 });
  assert.ok(standbysOf(db).includes(known.node));
});

test('with waitMs: 0 a standby whose position was asked for long ago is tried, and has the position meanwhile', async (t) => {
  const pool = await informed(t, { ...PATIENT, monitor: { intervalMs: 60_000 } });
  const table = await tableFor(db, t);
  const { token } = await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
  // Both standbys get it while nobody asks them.
  await pool.read(`SELECT id FROM ${table}`, [], { after: token });
  await sleep(50);
  const later = await pool.query(`INSERT INTO ${table} VALUES (2)`, [], { token: true });
  for (const standby of db.cluster.standbys()) {
    await until(`${standby.name} has it`, async () => {
      const [{ replayed }] = await standby.sql('SELECT pg_last_wal_replay_lsn()::text AS replayed');
      return lsnOf(replayed) >= partsOf(later.token).lsn;
    });
  }
  const rows = await pool.read(`SELECT id FROM ${table}`, [], { after: later.token, waitMs: 0 });
  assert.deepEqual([rows.length, standbysOf(db).includes(rows.node)], [2, true]);
});

for (const waitMs of [0, 50]) {
  test(`fallback none: a position that no standby reaches is ERR_NO_STANDBY with a reason for each node (waitMs: ${waitMs})`, async (t) => {
    const pool = await informed(t, { acquireTimeoutMs: 300 });
    const after = await tokenOfTheFuture(pool);
    const error = await failureOf(pool.read('SELECT 1', [], { after, fallback: 'none', waitMs }));
    assert.deepEqual([error.name, error.code], ['NoStandbyError', 'ERR_NO_STANDBY']);
    const reasons = Object.fromEntries(
      error.nodes.map((/** @type {any} */ { host, port, reason }) => [`${host}:${port}`, reason]),
    );
    assert.deepEqual(Object.keys(reasons).sort(), [...db.cluster.hosts].sort());
    for (const standby of standbysOf(db)) assert.match(reasons[standby], /has not reached the position/);
    assert.match(reasons[db.cluster.primary().address], /primary/);
  });
}

test('fallback none: a position that a standby reaches in time is answered by it', async (t) => {
  const pool = await informed(t, PATIENT);
  const table = await tableFor(db, t);
  await whilePaused(db.cluster.standbys(), async () => {
    const { token } = await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
    const read = pool.read(`SELECT id FROM ${table}`, [], { after: token, fallback: 'none', waitMs: 0 });
    assert.ok(await isPending(read), 'without fallback it waits for longer than waitMs');
    await resume(db.cluster.standbys()[0]);
    assert.deepEqual([...(await read)], [{ id: 1 }]);
  });
});

test('a read that waits for its position ends by its signal and by timeoutMs', async (t) => {
  const pool = await informed(t, PATIENT);
  const after = await tokenOfTheFuture(pool);
  const controller = new AbortController();
  const read = pool.read('SELECT 1', [], { after, signal: controller.signal });
  assert.ok(await isPending(read));
  controller.abort();
  assert.equal((await failureOf(read)).code, 'ABORT_ERR');
  const limited = await failureOf(pool.read('SELECT 1', [], { after, timeoutMs: 50 }));
  assert.deepEqual([limited.code, limited.outcome], ['57014', 'not-applied']);
});

test('pool.end({ timeoutMs }) ends a read that waits for its position', async (t) => {
  const pool = await informed(t, { acquireTimeoutMs: ENDLESS_MS });
  const after = await tokenOfTheFuture(pool);
  const waitMs = 5_000;
  const read = failureOf(pool.read('SELECT 1', [], { after, waitMs }));
  assert.ok(await isPending(read));
  const started = performance.now();
  await pool.end({ timeoutMs: 50 });
  const lasted = performance.now() - started;
  assert.ok((await read).code);
  assert.ok(lasted < waitMs, 'it has waited to the end of waitMs');
});

test('waitMs may be longer than acquireTimeoutMs: the read goes to the primary after waitMs', async (t) => {
  const pool = await informed(t, { acquireTimeoutMs: 1_000 });
  const after = await tokenOfTheFuture(pool);
  const rows = await pool.read('SELECT 1', [], { after, waitMs: 1_500 });
  assert.equal(rows.node, db.cluster.primary().address);
});

test('commits with synchronous_commit = off are seen by the token that follows them', async (t) => {
  const pool = await informed(t, PATIENT);
  const table = await tableFor(db, t);
  let ahead = 0;
  // Until several tokens were ahead of what the primary had flushed: the others would pass with the position of the flush, too.
  for (let id = 1; ahead < 3; id++) {
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('SET LOCAL synchronous_commit = off');
      await tx.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
    });
    const { 0: flush, token } = await pool.query('SELECT pg_current_wal_flush_lsn()::text AS lsn', [], { token: true });
    if (lsnOf(flush.lsn) < partsOf(token).lsn) ahead++;
    const rows = await pool.read(`SELECT max(id) AS id FROM ${table}`, [], { after: token });
    assert.deepEqual([...rows], [{ id }]);
    assert.ok(standbysOf(db).includes(rows.node));
  }
});

test('the token of a statement that wrote nothing covers what others had committed', async (t) => {
  const pool = await informed(t, PATIENT);
  const table = await tableFor(db, t);
  await whilePaused(db.cluster.standbys(), async () => {
    await db.sql(`INSERT INTO ${table} VALUES (1)`);
    const { token } = await pool.query('SELECT 1', [], { token: true });
    const read = pool.read(`SELECT id FROM ${table}`, [], { after: token });
    assert.ok(await isPending(read));
    await Promise.all(db.cluster.standbys().map(resume));
    assert.deepEqual([...(await read)], [{ id: 1 }]);
  });
});

/** The size of the header of a WAL page (xlog_internal.h, SizeOfXLogShortPHD), and of a page. */
const [HEADER, PAGE] = [24n, 8192n];

/** Writes records until the last one ends where a page ends. Returns the position of the next record, behind the page's header. */
async function fillPage() {
  for (const _ of range(200)) {
    const lsn = await insertLsn();
    const used = lsn % PAGE;
    // The first page of a segment of 4 MB has a longer header, which the token leaves alone.
    if (used === HEADER && lsn % (4n << 20n) > PAGE) return lsn;
    // A record takes a little more than its content, and a multiple of 8 (MAXALIGN): large steps first, then small ones.
    const left = PAGE - used;
    const size = left > 600n ? left - 500n : left > 120n ? (left - 80n) / 8n : 1n;
    await db.sql(`SELECT pg_logical_emit_message(false, '', repeat('x', $1))`, [Number(size)]);
  }
  throw new Error('no record ended with its page');
}

test('a token behind a record that ends with its WAL page is reached without another record', async (t) => {
  const pool = await informed(t, PATIENT);
  // Until the primary has written nothing more meanwhile: it does so now and then without being asked.
  await until('the primary is idle', async () => {
    const lsn = await fillPage();
    // The page is full, so the WAL writer flushes it (xlog.c, XLogBackgroundFlush).
    const token = await pool.token();
    const rows = await pool.read('SELECT 1', [], { after: token });
    const behindHeader = changed(token, { lsn });
    const late = await pool.read('SELECT 1', [], { after: behindHeader, waitMs: 100 });
    if ((await insertLsn()) !== lsn) return false;
    assert.equal(partsOf(token).lsn, lsn - HEADER);
    assert.ok(standbysOf(db).includes(rows.node));
    assert.equal(late.node, db.cluster.primary().address, 'no standby says that it has replayed the header');
    return true;
  });
});

// A transaction may have written what the primary has not flushed, and so not sent: with the next commit it does. The position must
// be behind that all the same: with synchronous_commit = off it may be a commit.
test('a token while a transaction is open that has written: its read is answered, after waitMs by the primary', async (t) => {
  const pool = await informed(t, { acquireTimeoutMs: ENDLESS_MS });
  const table = await tableFor(db, t);
  const tx = await pool.begin();
  await tx.query(`INSERT INTO ${table} VALUES (1)`);
  const after = await pool.token();
  assert.ok(db.cluster.hosts.includes((await pool.read('SELECT 1', [], { after, waitMs: 100 })).node));
  await tx.commit();
  assert.equal(await pool.read.value(`SELECT count(*)::int FROM ${table}`, [], { after: await pool.token() }), 1);
});

test('a token of a timeline that no node has is not answered, whatever its position', async (t) => {
  const pool = await informed(t, { acquireTimeoutMs: 300 });
  const token = await pool.token();
  for (const [lsn, timeline] of /** @type {const} */ ([
    [1n, 2n],
    [partsOf(token).lsn, 2n],
    [partsOf(token).lsn, 0xffff_ffffn],
  ])) {
    const after = changed(token, { lsn, timeline });
    const error = await failureOf(pool.read('SELECT 1', [], { after }));
    assert.deepEqual([error.code, error.outcome], ['ERR_NO_PRIMARY', 'not-applied']);
    const none = await failureOf(pool.read('SELECT 1', [], { after, fallback: 'none' }));
    assert.equal(none.code, 'ERR_NO_STANDBY');
  }
});

test('a token of a timeline that was left behind is answered by the primary, one of the new timeline by standbys', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const pool = own.pool(t, { reads: { waitMs: ENDLESS_MS }, acquireTimeoutMs: 30_000 });
  const table = 'counted';
  await pool.query(`CREATE TABLE ${table} (id int)`);
  const { token: old } = await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
  await pool.read('SELECT 1', [], { after: old });
  await own.cluster.primary().crash();
  const next = await own.cluster.failover();
  const { token } = await pool.query(`INSERT INTO ${table} VALUES (2)`, [], { token: true });
  assert.deepEqual([partsOf(old).timeline, partsOf(token).timeline], [1n, 2n]);
  for (const _ of range(20)) {
    const rows = await pool.read(`SELECT count(*)::int AS n FROM ${table}`, [], { after: old });
    assert.deepEqual([rows[0].n, rows.node], [2, next.address]);
  }
  const none = await failureOf(
    own.pool(t, { acquireTimeoutMs: 500 }).read('SELECT 1', [], { after: old, fallback: 'none' }),
  );
  assert.equal(none.code, 'ERR_NO_STANDBY');
  // A pool that has not been told yet which timeline its standby follows sends the read to the primary.
  await until('a standby answers', async () => {
    const rows = await pool.read(`SELECT count(*)::int AS n FROM ${table}`, [], { after: token });
    assert.equal(rows[0].n, 2);
    return rows.node !== next.address;
  });
});
