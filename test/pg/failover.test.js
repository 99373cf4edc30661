'use strict';

// pool.query() of the face while nodes change their roles or break: what runs again, and what never does.

const assert = require('node:assert/strict');
const { clusterFor } = require('./failover.support.js');
const { copyStreams } = require('../../exports/pg/index.js');
const { failureOf, range, sleep, test, until } = require('../support/helpers.js');

const WRITERS = 8;
const INSERT = 'INSERT INTO written VALUES ($1, inet_server_port())';

/**
 * Writers that go on until stop(): numbers are written once each, those that were acknowledged are remembered.
 * @param {(id: number) => Promise<unknown>} write
 */
function writers(write) {
  /** @type {number[]} */
  const acknowledged = [];
  /** @type {any[]} */
  const failures = [];
  let isOver = false;
  let next = 0;
  const running = range(WRITERS).map(async () => {
    while (!isOver) {
      const id = next++;
      try {
        await write(id);
        acknowledged.push(id);
      } catch (error) {
        failures.push(error);
        await sleep(20);
      }
    }
  });
  const goOn = (/** @type {number} */ count = acknowledged.length) =>
    until('writes go on', () => acknowledged.length > count + 50);
  const stop = async () => {
    isOver = true;
    await Promise.all(running);
    return { acknowledged, failures };
  };
  return { goOn, stop };
}

/** @param {any} node @param {number[]} acknowledged */
async function checkRows(node, acknowledged) {
  const ids = (await node.sql('SELECT id FROM written')).map((/** @type {any} */ { id }) => Number(id));
  const there = new Set(ids);
  assert.equal(there.size, ids.length, 'no row is there twice');
  assert.deepEqual(
    acknowledged.filter((id) => !there.has(id)),
    [],
    'no acknowledged row is lost',
  );
}

test('pool.query: at a switchover no statement fails, and every acknowledged row is there once', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 3 });
  const pool = poolOf({ max: 4 });
  await pool.query('CREATE TABLE written (id int, node int)');
  const { goOn, stop } = writers((id) => pool.query(INSERT, [id]));
  await goOn();
  await cluster.primary().fence();
  const next = await cluster.failover();
  await goOn();
  const { acknowledged, failures } = await stop();
  assert.deepEqual(failures, []);
  await checkRows(next, acknowledged);
  assert.equal((await next.sql('SELECT DISTINCT node FROM written')).length, 2, 'both nodes were written to');
});

test('pool.query with a callback: at a switchover no statement fails either', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const pool = poolOf({ max: 4 });
  await pool.query('CREATE TABLE written (id int, node int)');
  const write = (/** @type {number} */ id) =>
    new Promise((resolve, reject) => {
      pool.query(INSERT, [id], (/** @type {any} */ error) => (error ? reject(error) : resolve(undefined)));
    });
  const { goOn, stop } = writers(write);
  await goOn();
  await cluster.primary().fence();
  const next = await cluster.failover();
  await goOn();
  assert.deepEqual((await stop()).failures, []);
  assert.ok((await next.sql('SELECT DISTINCT node FROM written')).length >= 1);
});

test('pool: when the primary crashes, only statements in flight fail, and no acknowledged row is lost', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 3 });
  const pool = poolOf({ max: 4 });
  await pool.query('CREATE TABLE written (id int, node int)');
  const { goOn, stop } = writers((id) => pool.query(INSERT, [id]));
  await goOn();
  await cluster.primary().crash();
  const next = await cluster.failover();
  await goOn();
  const { acknowledged, failures } = await stop();
  // A writer whose next statement failed as well would have a second one.
  assert.ok(failures.length <= WRITERS, `one for each writer at most: ${failures.map(String)}`);
  for (const failure of failures) assert.equal(failure.outcome, 'unknown', String(failure));
  await checkRows(next, acknowledged);
});

test('pool.query: a transaction that was begun by hand stays on its session, fenced or not, and nothing of it runs outside', async (t) => {
  const { cluster, poolOf } = await clusterFor(t, { nodes: 2, synchronous: false });
  const [old, next] = cluster.nodes;
  await old.sql('CREATE TABLE written (id int, node int)');
  const pool = poolOf({ max: 1 });
  await pool.query('BEGIN');
  const { rows: began } = await pool.query('SELECT pg_backend_pid() AS pid');
  const watching = poolOf({ max: 1, idleTimeoutMillis: 0 });
  await watching.query('SELECT 1');
  await old.fence();
  await until('the fence is seen', () => watching.totalCount === 0);
  await sleep(250);
  // The transaction began before the fence, so the server lets it write.
  await pool.query(INSERT, [1]);
  assert.deepEqual((await pool.query('SELECT pg_backend_pid() AS pid')).rows, began);
  await pool.query('ROLLBACK');
  assert.equal(pool.totalCount, 0, 'the session is given up when its transaction has ended');
  await next.promote();
  assert.deepEqual(await next.sql('SELECT id FROM written'), []);
  assert.notDeepEqual((await pool.query('SELECT pg_backend_pid() AS pid')).rows, began);
});

test('COPY and a query whose wait for a standby is cut short have the outcome unknown, and are no success', async (t) => {
  const { cluster, db, poolOf } = await clusterFor(t, { nodes: 2 });
  const pool = poolOf({
    max: 1,
    host: cluster.primary().host,
    port: cluster.primary().port,
    application_name: 'waits',
  });
  await pool.query('CREATE TABLE written (id int, node int)');
  const query = (/** @type {any} */ client) => client.query(INSERT, [1]);
  const copy = (/** @type {any} */ client) =>
    new Promise((resolve, reject) => {
      const stream = client.query(copyStreams.from('COPY written (id) FROM STDIN'));
      stream.on('error', reject).on('finish', () => resolve(stream.rowCount));
      stream.end('1\n2\n');
    });
  for (const write of [query, copy]) {
    const client = await pool.connect();
    await db.withFrozenStandbys(async () => {
      const failing = failureOf(write(client));
      const waiting = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event = 'SyncRep'`;
      await until('the commit waits for its standby', async () => (await db.sql(waiting)).length > 0);
      const failure = await failing;
      assert.deepEqual([failure.cause.code, failure.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], `${write}`);
    });
    client.release(true);
  }
});
