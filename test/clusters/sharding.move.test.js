'use strict';

// From two shards to three while writes go on, by the steps of docs/sharding.md: no write is lost, none is there twice, and rows that do
// not move are written all the time.

const assert = require('node:assert/strict');
const { planMoves } = require('../../exports/clusters/sharding/plan.js');
const { slotExpression } = require('../../exports/clusters/index.js');
const { range, sleep, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const KEYS = 200;
const WRITERS = 4;
/** What the guard says: object_not_in_prerequisite_state. */
const MOVING = '55000';

const clusters = useClusters({ a: { nodes: 1 } });

/** @param {number} count */
function configuration(count) {
  const { user, password, hosts } = clusters.a.cluster;
  const [host, port] = hosts[0].split(':');
  const shards = range(count).map((i) => ({ primary: { host, port: Number(port), database: `shard_${i}` } }));
  return { users: { schemas: ['users'], user, password, sharding: { strategy: 'hash', key: 'user_id', shards } } };
}

/**
 * Writes to random keys until it is told to stop; a write that is refused because its row moves is tried again.
 * @param {any} multi
 * @param {{ isOn: boolean, done: Map<number, number>, refused: number, during: number, isMoving: boolean }} state
 */
async function write(multi, state) {
  while (state.isOn) {
    const key = Math.floor(Math.random() * KEYS);
    for (;;) {
      try {
        await multi.query('UPDATE totals SET n = n + 1 WHERE user_id = $1', [key], { schema: 'users', shardKey: key });
        break;
      } catch (/** @type {any} */ error) {
        if (error.code !== MOVING) throw error;
        state.refused++;
        if (!state.isOn) return;
        await sleep(5);
      }
    }
    state.done.set(key, (state.done.get(key) ?? 0) + 1);
    if (state.isMoving) state.during++;
  }
}

test('sharding: from two shards to three under writes, no write is lost and none is there twice', async (t) => {
  for (const i of range(3)) await clusters.a.sql(`CREATE DATABASE shard_${i}`);
  const pools = range(3).map((i) => clusters.a.pool(t, { database: `shard_${i}`, poolSize: 2 }));
  const two = await clusters.multi(t, configuration(2));
  // A process that gets the new configuration later.
  const late = await clusters.multi(t, configuration(2));
  await two.migrate({
    migrations: [{ name: '1_totals', sql: 'CREATE TABLE totals (user_id int PRIMARY KEY, n int NOT NULL)' }],
  });
  for (const key of range(KEYS))
    await two.query('INSERT INTO totals VALUES ($1, 0)', [key], { schema: 'users', shardKey: key });

  const state = { isOn: true, done: new Map(), refused: 0, during: 0, isMoving: false };
  const writers = [two, late].flatMap((multi) => range(WRITERS).map(() => write(multi, state)));
  await until('writes are done', () => state.done.size > KEYS / 2);

  // 1. The new shard has the tables.
  await pools[2].exec('CREATE TABLE totals (user_id int PRIMARY KEY, n int NOT NULL)');
  const { moves } = planMoves(2, 3, { key: 'user_id', table: 'totals' });
  assert.deepEqual(
    moves.map(({ from, to }) => [from, to]),
    [
      [0, 2],
      [1, 2],
    ],
  );
  // 2. Nothing writes to the rows that move.
  state.isMoving = true;
  for (const { from, sql } of moves) await pools[from].batch(sql.guard, { transaction: true });
  // 3. They are copied.
  for (const { from, sql } of moves) {
    const { rowCount } = await pools[2].copyFrom('COPY totals FROM STDIN', pools[from].copyTo(sql.copy));
    assert.equal(BigInt(rowCount), await pools[from].value(sql.count));
    assert.ok(rowCount > 0);
  }
  // 4. All processes get the new configuration.
  await two.reload(configuration(3));
  await until(
    'writes reach the new shard',
    async () => (await pools[2].value('SELECT count(*) FROM totals WHERE n > 0')) > 0n,
  );
  await until('a late process is refused', () => state.refused > 0);
  await late.reload(configuration(3));
  // 5. The old rows are deleted.
  for (const { from, sql } of moves) await pools[from].batch([...sql.release, sql.delete], { transaction: true });
  state.isMoving = false;
  await sleep(100);
  state.isOn = false;
  await Promise.all(writers);

  const { rows } = await two.query('SELECT user_id, n FROM totals', [], {
    ...{ schema: 'users', operation: 'read' },
    orderBy: (/** @type {any} */ a, /** @type {any} */ b) => a.user_id - b.user_id,
  });
  assert.deepEqual(
    rows.map(({ user_id, n }) => [user_id, n]),
    range(KEYS).map((key) => [key, state.done.get(key) ?? 0]),
  );
  const slots = await Promise.all(
    pools.map((pool) => pool.query(`SELECT count(*)::int AS n, min(${slotExpression('user_id')}) AS low FROM totals`)),
  );
  t.diagnostic(
    `rows on the shards: ${slots.map(([{ n }]) => n).join(', ')}; ${[...state.done.values()].reduce((a, b) => a + b, 0)} writes, ` +
      `${state.during} of them while rows moved; ${state.refused} were refused and tried again`,
  );
  assert.ok(state.during > 0);
});
