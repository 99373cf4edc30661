'use strict';

// pool.read() through PgBouncer in transaction mode, one in front of each node. PgBouncer refuses the setting with which the pool
// makes the sessions of its reads read-only, unless it is told to drop it: then only a standby refuses a write.

const assert = require('node:assert/strict');
const { test, failureOf, range, until, useCluster } = require('../support/helpers');
const { usePgBouncer } = require('./pgbouncer');

const db = useCluster({ nodes: 2 });

/** One in front of each node. @param {Record<string, string>} settings */
const inFrontOfEach = (settings) =>
  range(2).map((place) => usePgBouncer(db, { poolSize: 3, settings, node: ({ nodes }) => nodes[place] }));

const strict = inFrontOfEach({});
const lenient = inFrontOfEach({ ignore_startup_parameters: 'options' });

/**
 * A pool whose hosts are these poolers, and the addresses of those before the primary and the standby.
 * @param {import('node:test').TestContext} t
 * @param {import('./pgbouncer').PgBouncer[]} poolers
 */
function poolThrough(t, poolers) {
  const { nodes } = db.cluster;
  const hosts = poolers.map(({ address }) => address);
  const before = (/** @type {string} */ role) => hosts[nodes.findIndex((node) => node.role === role)];
  const pool = poolers[0].pool(t, { hosts, prepare: false });
  return { pool, primary: before('primary'), standby: before('standby') };
}

/** @param {any} pool whether it has found all nodes */
const knowsAll = (pool) => pool.nodes().every((/** @type {any} */ { state }) => state === 'up');

test('PgBouncer refuses the sessions of read(): 08P01 with a hint, and what is no read works', async (t) => {
  const { pool } = poolThrough(t, strict);
  await until('both nodes are known', () => knowsAll(pool));
  const error = await failureOf(pool.read('SELECT 1'));
  assert.deepEqual([error.code, error.outcome], ['08P01', 'not-applied'], error.stack);
  assert.match(error.hint, /ignore_startup_parameters = options/);
  assert.equal(await pool.value('SELECT 1'), 1);
});

test('PgBouncer that ignores options: reads run on the standby, by their tokens too, and it refuses writes', async (t) => {
  await db.sql('CREATE TABLE seen (n int4)');
  const { pool, standby } = poolThrough(t, lenient);
  await until('both nodes are known', () => knowsAll(pool));
  for (const n of range(20)) {
    const { token } = await pool.query('INSERT INTO seen VALUES ($1)', [n], { token: true });
    const rows = await pool.read('SELECT max(n) AS n FROM seen', [], { after: token, waitMs: 30_000 });
    assert.deepStrictEqual([rows[0].n, rows.node], [n, standby]);
  }
  const error = await failureOf(pool.read('INSERT INTO seen VALUES (-1)'));
  assert.deepEqual([error.code, error.outcome], ['25006', 'not-applied'], error.stack);
  assert.match(error.message, /read\(\)/);
  assert.equal(await pool.value('SELECT count(*)::int4 FROM seen WHERE n < 0'), 0);
});

test('PgBouncer that ignores options: nothing refuses a write that is declared a read on the primary', async (t) => {
  db.needs('stop', 'start');
  await db.sql('CREATE TABLE declared (n int4)');
  const { pool, primary } = poolThrough(t, lenient);
  await until('both nodes are known', () => knowsAll(pool));
  const [standby] = db.cluster.standbys();
  await standby.stop('fast');
  t.after(() => standby.start());
  await until('the standby is down', () => !knowsAll(pool));
  // The commit would wait for the standby.
  const { node } = await pool.read(
    "WITH a AS (SELECT set_config('synchronous_commit', 'local', true)) INSERT INTO declared SELECT 1 FROM a",
  );
  assert.equal(node, primary);
  assert.equal(await pool.value('SELECT count(*)::int4 FROM declared'), 1);
});
