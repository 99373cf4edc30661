'use strict';

// The two phases of a transaction that spans clusters, as the core carries them out: PREPARE TRANSACTION ends a transaction, and COMMIT
// PREPARED or ROLLBACK PREPARED ends what was prepared. What became of each is known, or the error says that it is not.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { LossyRelay } = require('../exactly-once/lossy-relay.js');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');

const PREPARE = Symbol.for('hyperiondb-client.prepare');
const END = Symbol.for('hyperiondb-client.endPrepared');

const db = useCluster({ nodes: 3, settings: { max_prepared_transactions: 20 } });
before(async () => {
  await db.started;
  await db.sql('CREATE TABLE rows_of_two_phases (id int)');
});

let last = 0;
/** A transaction with one row. @param {any} pool */
async function written(pool) {
  const id = ++last;
  const tx = await pool.begin();
  await tx.query('INSERT INTO rows_of_two_phases VALUES ($1)', [id]);
  return { tx, id, gid: `hdb:test:${id}` };
}

/** @param {any} pool */
async function prepared(pool) {
  const { tx, gid } = await written(pool);
  await tx[PREPARE](gid);
  return gid;
}

const gids = async () => (await db.sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid')).map(({ gid }) => gid);
/** @param {number} id */
const isThere = async (id) => (await db.sql('SELECT 1 FROM rows_of_two_phases WHERE id = $1', [id])).length === 1;

test('prepare: the transaction is ended and prepared, and COMMIT PREPARED makes its rows visible', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const { tx, id, gid } = await written(pool);
  await tx[PREPARE](gid);
  assert.equal(tx.ended, true);
  assert.equal((await failureOf(tx.query('SELECT 1'))).code, 'ERR_TRANSACTION_ENDED');
  assert.deepEqual([await gids(), await isThere(id)], [[gid], false]);
  await pool[END]('COMMIT', gid);
  assert.deepEqual([await gids(), await isThere(id)], [[], true]);
});

test('prepare: ROLLBACK PREPARED undoes it, on the same connection, and leaves no statement behind', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const pid = await pool.value('SELECT pg_backend_pid()');
  const { tx, id, gid } = await written(pool);
  await tx[PREPARE](gid);
  const statements = () => pool.value("SELECT count(*)::int4 FROM pg_prepared_statements WHERE name <> ''");
  const count = await statements();
  await pool[END]('ROLLBACK', gid);
  assert.equal(await statements(), count);
  assert.deepEqual([await gids(), await isThere(id), await pool.value('SELECT pg_backend_pid()')], [[], false, pid]);
});

test('prepare: what the server refuses is rolled back, and the error says so', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const temporary = await pool.begin();
  await temporary.query('CREATE TEMP TABLE mine (id int)');
  const refused = await failureOf(temporary[PREPARE]('temporary'));
  assert.deepEqual([refused.code, refused.outcome], ['0A000', 'not-applied']);
  const aborted = await pool.begin();
  await failureOf(aborted.query('SELECT 1 / 0'));
  const failed = await failureOf(aborted[PREPARE]('failed'));
  assert.deepEqual([failed.code, failed.outcome], ['25P02', 'not-applied']);
  const empty = await pool.begin();
  assert.match((await failureOf(empty[PREPARE]('empty'))).message, /without statements/);
  assert.deepEqual([await gids(), await pool.value('SELECT 1')], [[], 1]);
});

test('prepare: an identifier that would need quoting is refused, and nothing is sent', async (t) => {
  const pool = db.pool(t);
  for (const gid of ["it's", '', 'a'.repeat(200), 'a\\b', 'ä']) {
    assert.match((await failureOf(pool[END]('COMMIT', gid))).message, /^gid must be/, gid);
  }
  const { tx } = await written(pool);
  assert.match((await failureOf(tx[PREPARE]("it's"))).message, /^gid must be/);
  await tx.rollback();
});

test('prepare: a wait for a standby that is cut short is an unknown outcome, in both phases', async (t) => {
  const pool = db.pool(t);
  const [first, second] = [await written(pool), await written(pool)];
  await first.tx[PREPARE](first.gid);
  await db.withFrozenStandbys(async () => {
    const errors = await Promise.all([
      failureOf(pool[END]('COMMIT', first.gid, { timeoutMs: 300 })),
      failureOf(second.tx[PREPARE](second.gid, { timeoutMs: 300 })),
    ]);
    assert.deepEqual(
      errors.map(({ outcome }) => outcome),
      ['unknown', 'unknown'],
    );
  });
  assert.deepEqual(await gids(), [second.gid]);
  await pool[END]('ROLLBACK', second.gid);
  assert.equal((await failureOf(pool[END]('COMMIT', first.gid))).code, '42704');
});

test('prepare: a lost answer is an unknown outcome, and asking again tells', async (t) => {
  const relay = await LossyRelay.open(db.cluster.primary());
  t.after(() => relay.close());
  const pool = db.pool(t, { hosts: [relay.address], acquireTimeoutMs: 10_000 });
  relay.concerns = (/** @type {Buffer} */ piece) => piece.includes('PREPARE');
  for (const fault of /** @type {const} */ (['cut before', 'cut after'])) {
    const { tx, gid, id } = await written(pool);
    relay.fault = () => fault;
    const error = await failureOf(tx[PREPARE](gid));
    relay.fault = () => undefined;
    assert.equal(error.outcome, 'unknown', fault);
    // The old session may hold it for a moment.
    await until(
      'its session has ended',
      async () =>
        (
          await db.sql(
            "SELECT 1 FROM pg_locks WHERE pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE 'PREPARE%')",
          )
        ).length === 0,
    );
    assert.deepEqual(await gids(), fault === 'cut after' ? [gid] : []);
    if (fault === 'cut before') continue;
    relay.fault = () => fault;
    assert.equal((await failureOf(pool[END]('COMMIT', gid))).outcome, 'unknown');
    relay.fault = () => undefined;
    assert.equal((await failureOf(pool[END]('COMMIT', gid))).code, '42704');
    assert.equal(await isThere(id), true);
  }
});

test('prepare: what a fenced primary has ended is unknown, and it is not asked again', async (t) => {
  db.needsVersion(14, 'older servers do not report the fence');
  const pool = db.pool(t, { acquireTimeoutMs: 1_000, poolSize: 1 });
  const second = await prepared(pool);
  const primary = /** @type {any} */ (db.cluster.primary());
  t.after(() => primary.unfence());
  const endFenced = async () => {
    const gid = await prepared(pool);
    await pool.query('SELECT 1');
    await primary.fence();
    return [gid, await failureOf(pool[END]('COMMIT', gid))];
  };
  // PostgreSQL does not refuse it as read-only. The session has answered just now, so it is not asked before. On a busy machine
  // the fence may come too late for that: then once more.
  let [first, unknown] = await endFenced();
  for (let i = 0; i < 10 && unknown.outcome === 'not-applied'; i++) {
    await primary.unfence();
    await until('the primary is used again', () =>
      pool[END]('ROLLBACK', first).then(
        () => true,
        () => false,
      ),
    );
    [first, unknown] = await endFenced();
  }
  const refused = await failureOf(pool[END]('COMMIT', second));
  assert.deepEqual([unknown.outcome, refused.code], ['unknown', 'ERR_NO_PRIMARY']);
  assert.deepEqual(await gids(), [second]);
  await primary.unfence();
  await pool[END]('COMMIT', second);
  assert.deepEqual(await gids(), []);
});
