'use strict';

// The option `minPoolSize`: connections that are open before anybody needs them, and stay.

const assert = require('node:assert/strict');
const { failureOf, named, range, sleep, test, until, useCluster } = require('../support/helpers.js');
const { createPool } = require('../../client.js');

const db = useCluster({ nodes: 1 });

/** @param {any} t @param {Record<string, unknown>} options */
function pooled(t, options) {
  const applicationName = named('least');
  const pool = db.pool(t, { applicationName, monitor: false, ...options });
  const pids = async () =>
    (await db.sql('SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid', [applicationName])).map(
      ({ pid }) => pid,
    );
  return { pool, pids };
}

test('minPoolSize: so many connections are opened although nothing was asked, and no more', async (t) => {
  const { pool, pids } = pooled(t, { minPoolSize: 7, poolSize: 9 });
  await until('seven are open', async () => (await pids()).length === 7);
  await sleep(50);
  assert.equal((await pids()).length, 7);
  assert.equal(pool.status().size, 7);
});

test('minPoolSize: idle connections above it are closed, those below it stay', async (t) => {
  const { pool, pids } = pooled(t, { minPoolSize: 2, poolSize: 6, idleTimeoutMs: 300 });
  await until('two are open', async () => (await pids()).length === 2);
  const first = await pids();
  await Promise.all(range(6).map(() => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT pg_sleep(0.1)'))));
  assert.equal((await pids()).length, 6);
  await until('the others are closed', async () => (await pids()).length === 2);
  await sleep(700);
  assert.equal((await pids()).length, 2);
  assert.ok(first.length === 2);
});

test('minPoolSize: connections that were lost are opened again', async (t) => {
  const { pids } = pooled(t, { minPoolSize: 3, idleTimeoutMs: 400 });
  await until('three are open', async () => (await pids()).length === 3);
  const before = await pids();
  await db.sql('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [before]);
  await until('three others are open', async () => {
    const now = await pids();
    return now.length === 3 && now.every((/** @type {number} */ pid) => !before.includes(pid));
  });
});

test('minPoolSize: a pool that ends opens nothing any more', async (t) => {
  const { pool, pids } = pooled(t, { minPoolSize: 5 });
  await pool.end();
  await sleep(100);
  assert.deepEqual(await pids(), []);
});

test('minPoolSize: wrong values are refused by name', async () => {
  for (const minPoolSize of [-1, 1.5, '2', 11]) {
    const error = await failureOf(Promise.resolve().then(() => createPool({ minPoolSize, poolSize: 10 })));
    assert.equal(error.code, 'ERR_INVALID_OPTION');
    assert.match(error.message, /minPoolSize/);
  }
});
