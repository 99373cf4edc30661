'use strict';

// Which standby answers a read that must see a position: the one that has it, or the first one that gets it; and what waiting
// costs the standbys.

const assert = require('node:assert/strict');
const { failureOf, isPending, named, range, sleep, test, until, useCluster } = require('../support/helpers');
const { tableFor } = require('../support/transactions');
const {
  ENDLESS_MS,
  LOGGED,
  changed,
  delayBy,
  partsOf,
  resume,
  standbysOf,
  statementsOn,
  untilAllFit,
  whilePaused,
} = require('./standbys');

const db = useCluster({ nodes: 3, settings: LOGGED });

/** How much later the slow standby applies commits. */
const DELAY_MS = 300;
/** The pauses between two questions of one watcher are no longer than this (src/cluster/replay.rs, LONGEST_PAUSE). */
const LONGEST_PAUSE_MS = 10;

/** Waiting for a standby ends the test by its time limit. */
const PATIENT = { acquireTimeoutMs: ENDLESS_MS, reads: { waitMs: ENDLESS_MS } };

/**
 * Runs `body` while the first standby applies commits late.
 * @param {(nodes: { slow: any, quick: any }) => Promise<void>} body
 */
async function withSlowStandby(body) {
  const [slow, quick] = db.cluster.standbys();
  await delayBy(slow, DELAY_MS);
  try {
    await body({ slow, quick });
  } finally {
    await delayBy(slow, 0);
  }
}

/**
 * Writes a row and returns it, with its token.
 * @param {any} pool @param {string} table @param {number} id
 */
async function write(pool, table, id) {
  const { token } = await pool.query(`INSERT INTO ${table} VALUES ($1)`, [id], { token: true });
  return token;
}

/** @param {any} pool @param {string} table @param {number} id @param {object} options */
async function readBack(pool, table, id, options) {
  const rows = await pool.read(`SELECT id FROM ${table} WHERE id = $1`, [id], options);
  assert.deepEqual([...rows], [{ id }], `row ${id} on ${rows.node}`);
  return rows.node;
}

test('reads go to the standby that has their position, not to one that is 300 ms behind', async (t) => {
  const pool = db.pool(t, { ...PATIENT, reads: { ...PATIENT.reads, balance: 'round-robin' } });
  const table = await tableFor(db, t);
  await readBack(pool, table, 0, { after: await write(pool, table, 0) });
  await untilAllFit(pool, db);
  await withSlowStandby(async ({ quick }) => {
    for (let id = 1; id <= 30; id++) {
      assert.equal(await readBack(pool, table, id, { after: await write(pool, table, id) }), quick.address);
    }
    const nodes = await Promise.all(range(10).map(async () => (await pool.read('SELECT 1')).node));
    assert.equal(new Set(nodes).size, 2, 'reads without a token go to both');
  });
});

test('a standby that is late answers reads of positions that it has meanwhile', async (t) => {
  const pool = db.pool(t, { ...PATIENT, reads: { ...PATIENT.reads, balance: 'round-robin' } });
  const table = await tableFor(db, t);
  await untilAllFit(pool, db);
  await withSlowStandby(async ({ slow }) => {
    const after = await write(pool, table, 1);
    await until('the late one answers', async () => (await readBack(pool, table, 1, { after })) === slow.address);
  });
});

test('with only a standby that is 300 ms behind, reads wait for it, and it answers them', async (t) => {
  const [slow] = db.cluster.standbys();
  const pool = db.pool(t, { ...PATIENT, hosts: [db.cluster.primary().address, slow.address] });
  const table = await tableFor(db, t);
  await withSlowStandby(async () => {
    for (let id = 1; id <= 5; id++) {
      const reads = range(10).map(async (n) => {
        const row = 10 * id + n;
        return readBack(pool, table, row, { after: await write(pool, table, row) });
      });
      assert.deepEqual(new Set(await Promise.all(reads)), new Set([slow.address]));
    }
  });
});

test('a read is woken by its own position, while one with a later position goes on waiting', async (t) => {
  const pool = db.pool(t, PATIENT);
  const table = await tableFor(db, t);
  await readBack(pool, table, 0, { after: await write(pool, table, 0) });
  await untilAllFit(pool, db);
  const controller = new AbortController();
  await whilePaused(db.cluster.standbys(), async () => {
    const after = await write(pool, table, 1);
    const future = changed(after, { lsn: partsOf(after).lsn + (1n << 30n) });
    const later = pool.read('SELECT 1', [], { after: future, signal: controller.signal });
    later.catch(() => {});
    const reads = range(3).map(() => readBack(pool, table, 1, { after }));
    for (const read of [later, ...reads]) assert.ok(await isPending(read));
    await Promise.all(db.cluster.standbys().map(resume));
    await Promise.all(reads);
    assert.ok(await isPending(later));
    controller.abort();
    assert.equal((await failureOf(later)).code, 'ABORT_ERR');
  });
});

test('while a standby is cut off from its primary, the other one answers; afterwards both do', async (t) => {
  const pool = db.pool(t, { ...PATIENT, reads: { ...PATIENT.reads, balance: 'round-robin' } });
  const table = await tableFor(db, t);
  await untilAllFit(pool, db);
  const [other, cut] = db.cluster.standbys();
  await cut.detach();
  try {
    for (const id of range(30)) {
      assert.equal(await readBack(pool, table, id, { after: await write(pool, table, id) }), other.address);
    }
  } finally {
    await cut.follow(db.cluster.primary());
  }
  const after = await write(pool, table, 100);
  const seen = new Set();
  await until('both answer', async () => seen.add(await readBack(pool, table, 100, { after })).size === 2);
});

test('with the quick one cut off and the other one late, reads wait for the late one', async (t) => {
  const pool = db.pool(t, PATIENT);
  const table = await tableFor(db, t);
  await readBack(pool, table, 0, { after: await write(pool, table, 0) });
  await untilAllFit(pool, db);
  await withSlowStandby(async ({ slow, quick }) => {
    await quick.detach();
    try {
      for (const id of [1, 2, 3]) {
        assert.equal(await readBack(pool, table, id, { after: await write(pool, table, id) }), slow.address);
      }
    } finally {
      await quick.follow(db.cluster.primary());
    }
  });
});

test('a standby that is lost while reads wait for it leaves them to another one', async (t) => {
  const pool = db.pool(t, { ...PATIENT, monitor: { intervalMs: 100, nodeTimeoutMs: 300 } });
  const table = await tableFor(db, t);
  await untilAllFit(pool, db);
  const [first, second] = db.cluster.standbys();
  await whilePaused([second], async () => {
    await first.freeze();
    try {
      const token = await write(pool, table, 1);
      const reads = range(20).map(() => readBack(pool, table, 1, { after: token }));
      await sleep(50);
      await resume(second);
      for (const node of await Promise.all(reads)) assert.equal(node, second.address);
    } finally {
      await first.thaw();
    }
  });
});

/**
 * How often each standby is asked for its position by watchers while so many reads wait for about `ms`.
 * @param {import('node:test').TestContext} t
 * @param {number} count
 */
async function questionsFor(t, count) {
  const applicationName = named('waiting');
  const pool = db.pool(t, { ...PATIENT, applicationName });
  const table = await tableFor(db, t);
  await readBack(pool, table, 0, { after: await write(pool, table, 0) });
  await untilAllFit(pool, db);
  const standbys = /** @type {any[]} */ (db.cluster.standbys());
  return whilePaused(standbys, async () => {
    const after = await write(pool, table, 1);
    const since = standbys.map((standby) => standby.log().length);
    const started = performance.now();
    const reads = range(count).map(() => readBack(pool, table, 1, { after }));
    await sleep(400);
    await Promise.all(standbys.map(resume));
    const nodes = new Set(await Promise.all(reads));
    const lasted = performance.now() - started;
    assert.ok(!nodes.has(db.cluster.primary().address));
    const asked = await Promise.all(
      standbys.map(async (standby, index) => {
        const statements = await statementsOn(standby, `${applicationName} monitor`, since[index]);
        return statements.filter((/** @type {string} */ text) => text.includes('pg_last_wal_replay_lsn')).length;
      }),
    );
    const [{ connections }] = await standbys[0].sql(
      'SELECT count(*)::int AS connections FROM pg_stat_activity WHERE application_name = $1',
      [`${applicationName} monitor`],
    );
    return { asked, lasted, connections };
  });
}

for (const count of [1, 500]) {
  test(`${count} reads that wait: each standby is asked by one watcher, over one connection`, async (t) => {
    const { asked, lasted, connections } = await questionsFor(t, count);
    // The pauses grow to the longest one within 8 questions, and begin anew when somebody was woken; the monitor asks, too.
    const most = lasted / LONGEST_PAUSE_MS + 20;
    for (const questions of asked) assert.ok(questions > 1 && questions <= most, `${asked} in ${lasted} ms`);
    assert.ok(connections <= 2, `the monitor's and the watcher's, not ${connections}`);
  });
}

test('nobody is asked any more when nobody waits any more', async (t) => {
  const applicationName = named('over');
  const pool = db.pool(t, { ...PATIENT, applicationName, monitor: { intervalMs: 60_000 } });
  await untilAllFit(pool, db);
  const token = await pool.token();
  const after = changed(token, { lsn: partsOf(token).lsn + (1n << 30n) });
  await pool.read('SELECT 1', [], { after, waitMs: 50 });
  const standby = /** @type {any} */ (db.cluster.standbys()[0]);
  const questions = async () => (await statementsOn(standby, `${applicationName} monitor`)).length;
  // A watcher that is about to ask notices it after that.
  await sleep(5 * LONGEST_PAUSE_MS);
  const before = await questions();
  await sleep(20 * LONGEST_PAUSE_MS);
  assert.equal(await questions(), before);
  assert.ok(standbysOf(db).includes((await pool.read('SELECT 1')).node));
});
