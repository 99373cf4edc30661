'use strict';

// Standbys that are behind: which bounds on their lag keep reads away from them, what of a standby whose lag nobody can know, and
// what becomes of a read that the replay of the log cancels (a recovery conflict).

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, failureOf, ownCluster, range, sleep, test, until, useCluster } = require('../support/helpers');
const { nodeIn, readMany, untilFit } = require('../support/reads');

const db = useCluster({ nodes: 3, synchronous: false });

/** Nodes are asked often, so that a test need not wait for the news. */
const MONITOR = { intervalMs: 50, nodeTimeoutMs: 5_000 };
/** More than a standby is ever behind here, unless the test wants it. A busy machine stands still for a while, too. */
const BOUND_MS = 1_500;
/** The bytes that `write` writes at least, and a bound below that. */
const WRITTEN = 100_000;
const BOUND_BYTES = 50_000;

/** Writes more than WRITTEN bytes of the log. @param {{ sql: (text: string) => Promise<any[]> }} node */
const write = (node) => node.sql(`SELECT pg_logical_emit_message(true, 'filler', repeat('x', ${WRITTEN}))`);

/** A position in the log as a number. @param {string | null} lsn */
function numberOf(lsn) {
  const [high, low] = (lsn ?? '0/0').split('/').map((part) => BigInt(`0x${part}`));
  return (high << 32n) | low;
}

/**
 * Pauses the replay of the first standby while a test runs, and writes. Resolves when the pool has seen that the primary and the
 * other standby have what was written.
 * @param {import('node:test').TestContext} t
 * @param {any} pool
 */
async function behindStandby(t, pool) {
  const [primary, paused, other] = db.cluster.nodes;
  t.after(() => paused.sql('SELECT pg_wal_replay_resume()'));
  await paused.sql('SELECT pg_wal_replay_pause()');
  await until('the replay has stopped', async () => {
    // pg_is_wal_replay_paused() is already true when the pause was only requested (PostgreSQL docs, 9.28.4).
    const [{ state }] = await paused.sql('SELECT pg_get_wal_replay_pause_state() AS state');
    return state === 'paused';
  });
  await write(primary);
  const [{ lsn }] = await primary.sql('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  const watched = [primary, other].filter((node) => nodeIn(pool, node) !== undefined);
  await until('the pool has seen it', () => watched.every((node) => numberOf(nodeIn(pool, node).lsn) >= numberOf(lsn)));
  return { paused, other, primary };
}

describe('a standby that is behind', () => {
  // The option, its value, what the reason says.
  const BOUNDS = /** @type {[string, number, RegExp][]} */ ([
    ['maxLagMs', BOUND_MS, /is up to \d+ ms behind \(maxLagMs: 1500\)/],
    ['maxLagBytes', BOUND_BYTES, /is \d+ bytes behind \(maxLagBytes: 50000\)/],
  ]);
  for (const [option, bound, text] of BOUNDS) {
    test(`reads.${option}: a standby beyond it gets no reads and is not fit, with a reason that names it`, async (t) => {
      const pool = db.pool(t, { monitor: MONITOR, reads: { [option]: bound, balance: 'round-robin' } });
      await untilFit(pool, db.cluster.standbys());
      const { paused, other } = await behindStandby(t, pool);
      await untilFit(pool, [other]);
      const { fit, reason, state } = nodeIn(pool, paused);
      assert.deepEqual([fit, state], [false, 'up']);
      assert.match(reason, text);
      const behind = await readMany(pool, 300);
      assert.deepEqual([behind.failures, behind.of(other.address)], [[], 300]);
      await paused.sql('SELECT pg_wal_replay_resume()');
      await untilFit(pool, [paused, other]);
      const again = await readMany(pool, 300);
      assert.ok(again.of(paused.address) > 0, 'it gets reads again when it has caught up');
    });

    test(`${option} of a call overrides the pool's, in both directions`, async (t) => {
      const free = db.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin' } });
      const bounded = db.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin', [option]: bound } });
      await untilFit(bounded, db.cluster.standbys());
      const { paused, other, primary } = await behindStandby(t, bounded);
      await untilFit(bounded, [other]);
      await until('the other pool sees it, too', () => nodeIn(free, paused).lagBytes >= WRITTEN);
      const strict = await readMany(free, 200, { options: { [option]: bound } });
      assert.deepEqual([strict.failures, strict.of(paused.address), strict.of(primary.address)], [[], 0, 0]);
      const loose = await readMany(bounded, 200, { options: { [option]: 1_000_000_000 } });
      assert.deepEqual([loose.failures, loose.of(paused.address)], [[], 100], 'the call allows more than the pool');
    });
  }

  test('without a bound a standby gets its reads however far it is behind', async (t) => {
    const pool = db.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin' } });
    await untilFit(pool, db.cluster.standbys());
    const { paused } = await behindStandby(t, pool);
    await until('its lag is seen', () => nodeIn(pool, paused).lagBytes >= WRITTEN);
    const { of, failures } = await readMany(pool, 200);
    assert.deepEqual([failures, of(paused.address)], [[], 100]);
  });

  test('all standbys are beyond the bound: the primary answers; with fallback none the error has the reasons', async (t) => {
    const [primary, standby] = db.cluster.nodes;
    const pool = db.pool(t, {
      hosts: [primary.address, standby.address],
      monitor: MONITOR,
      reads: { maxLagMs: BOUND_MS },
      acquireTimeoutMs: 300,
    });
    await untilFit(pool, [standby]);
    await behindStandby(t, pool);
    await untilFit(pool, []);
    const { failures, of } = await readMany(pool, 100);
    assert.deepEqual([failures, of(primary.address)], [[], 100]);
    const error = await failureOf(pool.read('SELECT 1', [], { fallback: 'none' }));
    assert.equal(error.code, 'ERR_NO_STANDBY');
    assert.match(error.nodes[1].reason, /maxLagMs/);
  });

  test('an idle primary does not make its standbys unfit, however long it is idle', async (t) => {
    const standbys = db.cluster.standbys();
    const bounds = { maxLagMs: BOUND_MS, maxLagBytes: BOUND_BYTES };
    // One pool asks as often as the bound needs it, by itself.
    const pools = [db.pool(t, { reads: bounds }), db.pool(t, { monitor: MONITOR, reads: bounds })];
    await Promise.all(pools.map((pool) => untilFit(pool, standbys)));
    for (const _ of range(8)) {
      await sleep(BOUND_MS / 4);
      for (const pool of pools) {
        const { of, failures } = await readMany(pool, 20);
        assert.deepEqual([failures, of(db.cluster.primary().address)], [[], 0]);
      }
    }
  });
});

describe('a standby whose lag is not known', () => {
  test('a standby that is cut off from its primary is not fit under a bound, and is without one', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('follow');
    const [primary, cut, other] = own.cluster.nodes;
    const bound = own.pool(t, { monitor: MONITOR, reads: { maxLagMs: BOUND_MS, balance: 'round-robin' } });
    const bytes = own.pool(t, { monitor: MONITOR, reads: { maxLagBytes: BOUND_BYTES, balance: 'round-robin' } });
    const free = own.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin' } });
    for (const pool of [bound, bytes, free]) await untilFit(pool, [cut, other]);
    await cut.detach();
    await write(primary);
    for (const pool of [bound, bytes]) {
      await until('it is not fit', () => !nodeIn(pool, cut).fit);
      await untilFit(pool, [other]);
      assert.equal((await readMany(pool, 100)).of(cut.address), 0);
    }
    await untilFit(free, [cut, other]);
    assert.equal((await readMany(free, 100)).of(cut.address), 50);
    await cut.follow(primary);
    await untilFit(bound, [cut, other]);
    await untilFit(bytes, [cut, other]);
  });

  test('while the primary is gone nobody knows the lag: unfit under a bound, fit without', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('crash');
    const [primary, ...standbys] = own.cluster.nodes;
    const acquireTimeoutMs = 400;
    const pools = [{ maxLagMs: BOUND_MS }, { maxLagBytes: BOUND_BYTES }].map((reads) =>
      own.pool(t, { monitor: { intervalMs: 50, nodeTimeoutMs: 500 }, acquireTimeoutMs, reads }),
    );
    const free = own.pool(t, { acquireTimeoutMs });
    for (const pool of [...pools, free]) await untilFit(pool, standbys);
    await primary.crash();
    for (const pool of pools) {
      await untilFit(pool, []);
      const [{ error }] = await endings([pool.read('SELECT 1', [], { fallback: 'none' })]);
      assert.equal(error?.code, 'ERR_NO_STANDBY');
      for (const { reason } of error.nodes.slice(1)) assert.match(reason, /maxLagMs|its lag is not known/);
      assert.equal((await failureOf(pool.read('SELECT 1'))).code, 'ERR_NO_PRIMARY', 'nor is there a primary');
    }
    const { failures, total } = await readMany(free, 200);
    assert.deepEqual([failures, total], [[], 200]);
  });
});

describe('recovery conflicts', () => {
  /**
   * A cluster whose standbys cancel at once what is in the way of the replay. `conflicts` counts what was cancelled.
   * @param {import('node:test').TestContext} t
   * @param {number} nodes
   */
  async function impatient(t, nodes) {
    const own = await ownCluster(t, { nodes, synchronous: false, settings: { max_standby_streaming_delay: 0 } });
    const [primary, ...standbys] = /** @type {import('../../exports/testing/cluster/node.js').LocalNode[]} */ (
      own.cluster.nodes
    );
    await primary.sql('CREATE TABLE conflicts AS SELECT n FROM generate_series(1, 100) AS n');
    for (const node of standbys) {
      await until('the standbys have the table', async () => {
        const [{ n }] = await node.sql('SELECT count(*)::int AS n FROM conflicts');
        return n === 100;
      });
    }
    // pg_stat_database_conflicts would tell it up to ten seconds later.
    const cancelled = /canceling statement due to conflict with recovery/g;
    const conflicts = () => standbys.reduce((sum, node) => sum + (node.log().match(cancelled)?.length ?? 0), 0);
    const cause = async () => {
      await primary.sql('UPDATE conflicts SET n = n + 1');
      await primary.sql('VACUUM conflicts');
    };
    return { own, primary, standbys, conflicts, cause };
  }

  /** Whether the node runs a statement that sleeps. @param {{ sql: (text: string) => Promise<any[]> }} node */
  const sleeps = async (node) =>
    (await node.sql(`SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'`)).length > 0;

  // What the primary does to what a read looks at.
  const WAYS = /** @type {[string, string[]][]} */ ([
    ['vacuums away what it reads', ['UPDATE conflicts SET n = n + 1', 'VACUUM conflicts']],
    ['locks what it reads', ['BEGIN; LOCK TABLE conflicts IN ACCESS EXCLUSIVE MODE; COMMIT']],
  ]);
  for (const [what, statements] of WAYS) {
    test(`the primary ${what}: the read is cancelled at its standby, and another standby answers`, async (t) => {
      const { own, primary, standbys, conflicts } = await impatient(t, 3);
      const [first, second] = standbys;
      const pool = own.pool(t, { reads: { balance: () => first.address } });
      await untilFit(pool, standbys);
      // On the first standby it goes on after it has read the table, and needs its snapshot and its lock.
      const reading = pool.read(
        `SELECT (SELECT count(*)::int FROM conflicts) AS n, pg_sleep(CASE inet_server_port() WHEN ${first.port} THEN 600 ELSE 0 END)::text AS slept`,
      );
      await until('it runs', () => sleeps(first));
      assert.equal(conflicts(), 0);
      for (const statement of statements) await primary.sql(statement);
      const rows = await reading;
      assert.equal(conflicts(), 1);
      assert.deepEqual([rows.node, rows[0].n], [second.address, 100]);
      assert.equal(nodeIn(pool, first).fit, true, 'a conflict says nothing about the node');
    });
  }

  test('the only standby cancels a read: the primary answers, and with fallback none the same standby', async (t) => {
    const { own, primary, standbys, conflicts, cause } = await impatient(t, 2);
    const [standby] = standbys;
    const pool = own.pool(t, { acquireTimeoutMs: 60_000 });
    await untilFit(pool, standbys);
    const sql = `SELECT (SELECT count(*)::int FROM conflicts) AS n,
      pg_sleep(CASE WHEN pg_is_in_recovery() AND (SELECT max(n) FROM conflicts) < $1 THEN 600 ELSE 0 END)::text AS slept`;
    const ofPrimary = pool.read(sql, [1_000]);
    await until('it runs', () => sleeps(standby));
    await cause();
    assert.equal((await ofPrimary).node, primary.address);
    // The update has changed the rows, so that it does not sleep when it runs again.
    const [{ most }] = await primary.sql('SELECT max(n) + 1 AS most FROM conflicts');
    const ofStandby = pool.read(sql, [most], { fallback: 'none' });
    await until('it runs', () => sleeps(standby));
    await cause();
    assert.equal((await ofStandby).node, standby.address);
    assert.equal(conflicts(), 2);
  });

  test('reads under constant conflicts are all answered, and conflicts take no standby out of use', async (t) => {
    const { own, standbys, conflicts, cause } = await impatient(t, 3);
    const pool = own.pool(t, { reads: { balance: 'round-robin' } });
    await untilFit(pool, standbys);
    let over = false;
    const sql = 'SELECT (SELECT count(*)::int FROM conflicts) AS n, pg_sleep(0.05)::text AS slept';
    const reads = readMany(pool, Infinity, { sql, until: () => over });
    await until('there were conflicts', async () => {
      await cause();
      return conflicts() > 20;
    });
    over = true;
    const { failures, of } = await reads;
    assert.deepEqual(failures, []);
    for (const { address } of standbys) assert.ok(of(address) > 0, 'a conflict does not take a standby out of use');
  });

  test('a stream that has handed out rows is not run again: its reader gets 40001', async (t) => {
    const { own, standbys, conflicts, cause } = await impatient(t, 2);
    const pool = own.pool(t);
    await untilFit(pool, standbys);
    // The rows are large, because a server sends 8 kB at a time.
    const sql = `SELECT n, repeat('x', 10000) AS filler, pg_sleep(0.1)::text AS slept FROM conflicts`;
    const stream = pool.read.stream(sql, [], { batchSize: 1 });
    t.after(() => stream.return());
    await stream.next();
    await cause();
    const error = await failureOf(
      (async () => {
        for await (const _ of stream);
      })(),
    );
    assert.equal(error.code, '40001');
    assert.equal(conflicts(), 1);
  });
});
