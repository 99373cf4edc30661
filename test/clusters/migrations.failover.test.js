'use strict';

// Migrations while the primary is lost: what it had not committed runs again on the new one, and nothing is applied twice.

const assert = require('node:assert/strict');
const { migrate } = require('../../exports/clusters/migrations/index.js');
const { ownCluster, range, test, until } = require('../support/helpers.js');
const { fakeUnit } = require('./support.js');

const SLOW = '3_slow';
const MIGRATIONS = range(6).map((i) =>
  i === 0
    ? { name: '1_steps', sql: 'CREATE TABLE steps (at int)' }
    : {
        name: i === 2 ? SLOW : `${i + 1}_step`,
        sql: `INSERT INTO steps VALUES (${i + 1}); SELECT pg_sleep(${i === 2 ? 1 : 0})`,
      },
);

test('migrate: the primary is lost in the middle of a migration, which then runs on the new one', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('crash', 'failover');
  const unit = fakeUnit('orders', own.pool(t, { acquireTimeoutMs: 30_000 }));
  /** @type {string[]} */
  const begun = [];
  /** @type {Promise<unknown> | undefined} */
  let failover;
  const onEvent = (/** @type {any} */ { type, name }) => {
    if (type !== 'begun') return;
    begun.push(name);
    if (name === SLOW) failover ??= loseThePrimary();
  };
  async function loseThePrimary() {
    await until(
      'the slow one sleeps',
      async () => (await own.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length > 0,
    );
    await own.cluster.primary().crash();
    await own.cluster.failover();
  }
  const { applied } = await migrate({ units: [unit], migrations: MIGRATIONS, onEvent });
  await failover;
  assert.deepEqual(
    applied.map(({ name }) => name),
    MIGRATIONS.map(({ name }) => name),
  );
  assert.deepEqual(
    begun.filter((name) => name === SLOW),
    [SLOW, SLOW],
  );
  const steps = await unit.pool.query('SELECT at FROM steps ORDER BY at', [], { rowMode: 'array' });
  assert.deepEqual([...steps].flat(), [2, 3, 4, 5, 6]);
  const states = await unit.pool.query('SELECT name FROM hyperiondb_migrations ORDER BY number');
  assert.equal(states.length, MIGRATIONS.length);
});
