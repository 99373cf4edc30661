'use strict';

// exactlyOnce on a synchronous cluster: what only the primary has is not believed, and a promoted standby is asked in its place.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { failureOf, ownCluster, test, until, useCluster } = require('../support/helpers.js');
const { idsIn, tableFor } = require('../support/transactions.js');
const { LossyRelay } = require('./lossy-relay.js');
const { makeTable } = require('./support.js');

const db = useCluster({ nodes: 3 });
before(async () => {
  await db.started;
  await makeTable(db);
});

/** @param {string} table */
const insert = (table) => async (/** @type {any} */ tx) => {
  await tx.query(`INSERT INTO ${table} VALUES (1)`);
  return 'inserted';
};

/** @param {string} state of a backend at COMMIT */
const backendsThat = async (state) =>
  (await db.sql(`SELECT pid FROM pg_stat_activity WHERE wait_event = '${state}'`)).length;

test('exactlyOnce: a commit that no standby has is unknown, although the primary shows it; its key finds it later', async (t) => {
  const pool = db.pool(t, { acquireTimeoutMs: 1_000 });
  const table = await tableFor(db, t);
  const exactlyOnce = { key: 'no standby', remember: true };
  await pool.query('SELECT 1');
  await db.withFrozenStandbys(async () => {
    const error = await failureOf(pool.transaction(insert(table), { exactlyOnce, timeoutMs: 400 }));
    assert.deepEqual([error.constructor.name, error.outcome], ['QueryTimeoutError', 'unknown']);
    assert.match(error.hint, /the same call with the same key finds out/);
    assert.deepEqual(await idsIn(db, table), [1], 'the wait was cancelled, so the row is visible');
  });
  const never = () => assert.fail('it has run');
  assert.equal(await pool.transaction(never, { exactlyOnce }), 'inserted');
});

test('exactlyOnce: a commit whose wait for a standby was cancelled is resolved when a standby has it', async (t) => {
  const pool = db.pool(t);
  const table = await tableFor(db, t);
  await pool.query('SELECT 1');
  /** @type {Promise<unknown> | undefined} */
  let call;
  await db.withFrozenStandbys(async () => {
    call = pool.transaction(insert(table), { exactlyOnce: true });
    await until('COMMIT waits for a standby', async () => (await backendsThat('SyncRep')) === 1);
    await db.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    await until('the question waits for a standby', async () => (await backendsThat('SyncRep')) === 1);
  });
  assert.equal(await call, 'inserted');
  assert.deepEqual(await idsIn(db, table), [1]);
});

test('exactlyOnce: a signal that fires at a COMMIT that is carried out does not make the call fail', async (t) => {
  const pool = db.pool(t);
  const table = await tableFor(db, t);
  await pool.query('SELECT 1');
  const controller = new AbortController();
  const { signal } = controller;
  /** @type {Promise<unknown> | undefined} */
  let call;
  await db.withFrozenStandbys(async () => {
    call = pool.transaction(insert(table), { exactlyOnce: true, signal });
    await until('COMMIT waits for a standby', async () => (await backendsThat('SyncRep')) === 1);
    controller.abort();
  });
  assert.equal(await call, 'inserted');
  assert.deepEqual(await idsIn(db, table), [1]);
});

for (const hasReceived of [true, false]) {
  const what = hasReceived ? 'has' : 'has not';
  test(`exactlyOnce: the primary is lost at COMMIT, and the promoted standby ${what} received it`, async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    await makeTable(own);
    await own.sql('CREATE TABLE t (id int)');
    const relays = await Promise.all(own.cluster.nodes.map((/** @type {any} */ node) => LossyRelay.open(node)));
    t.after(() => relays.forEach((relay) => relay.close()));
    const pool = own.pool(t, {
      hosts: relays.map(({ address }) => address),
      acquireTimeoutMs: 50_000,
      monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 },
    });
    await pool.query('SELECT 1');
    const [old] = own.cluster.nodes;
    // The COMMIT is lost together with its server.
    let isOver = false;
    for (const relay of relays) {
      relay.fault = () => {
        if (isOver) return undefined;
        isOver = true;
        return hasReceived ? 'cut after' : 'cut before';
      };
    }
    /** @type {Promise<unknown> | undefined} */
    let promoted;
    relays[0].onLost = () => {
      // At once: until it is dead, the old primary would answer the question that the promoted standby is to answer.
      relays[0].close();
      promoted = old.crash().then(() => own.cluster.failover(undefined, { synchronous: false }));
    };
    let runs = 0;
    const work = async (/** @type {any} */ tx) => {
      runs++;
      await tx.query('INSERT INTO t VALUES ($1)', [runs]);
      return runs;
    };
    assert.equal(await pool.transaction(work, { exactlyOnce: true }), hasReceived ? 1 : 2);
    await promoted;
    assert.deepEqual(await own.sql('SELECT id FROM t'), [{ id: hasReceived ? 1 : 2 }]);
  });
}
