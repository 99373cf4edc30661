'use strict';

// A sharded cluster of MultiClusterPostgres: where a key goes, reads of all shards, writes that need a key, transactions across shards.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { slotOf } = require('../../exports/clusters/index.js');
const { failureOf, loginOf, range, test } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const SETTINGS = { max_prepared_transactions: 20 };
const clusters = useClusters({ zero: { nodes: 1, settings: SETTINGS }, one: { nodes: 1, settings: SETTINGS } });
const NAMES = /** @type {const} */ (['zero', 'one']);

before(async () => {
  await clusters.started;
  for (const name of NAMES) {
    await clusters.get(name).sql('CREATE TABLE accounts (user_id int PRIMARY KEY, balance int NOT NULL)');
    await clusters.get(name).sql('CREATE TABLE place (name text)');
    await clusters.get(name).sql('INSERT INTO place VALUES ($1)', [name]);
  }
});

/** @param {Record<string, unknown>} [options] */
function configuration(options) {
  const { hosts: _, ...login } = loginOf(clusters.zero.cluster);
  const shards = NAMES.map((name) => ({ hosts: clusters.get(name).cluster.hosts }));
  // Both clusters of the harness have the same login.
  assert.deepEqual(login, (({ hosts: _hosts, ...others }) => others)(loginOf(clusters.one.cluster)));
  const sharding = { strategy: 'hash', key: 'user_id', partitions: 2, shards };
  return { users: { schemas: ['users'], ...login, sharding, ...options } };
}

/** The shard of a key, as docs/sharding.md says it: the slots are dealt out evenly. @param {any} multi @param {number} key */
const placeOf = async (multi, key) => (await multi.query('SELECT name FROM place', [], { shardKey: key })).rows[0].name;

test('sharding: a statement with a key goes to the shard of the key, always the same', async (t) => {
  const multi = await clusters.multi(t, configuration());
  const places = new Map();
  for (const key of range(40)) {
    const place = await placeOf(multi, key);
    assert.equal(await placeOf(multi, /** @type {any} */ (String(key))), place);
    const slot = slotOf(key);
    if (places.has(slot)) assert.equal(places.get(slot), place);
    places.set(slot, place);
  }
  assert.deepEqual(new Set(places.values()), new Set(NAMES));
});

test('sharding: a read without a key goes to all shards, and is merged, ordered and cut', async (t) => {
  const multi = await clusters.multi(t, configuration());
  for (const key of range(20)) {
    await multi.query('INSERT INTO accounts VALUES ($1, 100) ON CONFLICT DO NOTHING', [key], { shardKey: key });
  }
  const ids = (/** @type {any} */ { rows }) => rows.map((/** @type {any} */ { user_id }) => user_id);
  const all = await multi.query('SELECT user_id FROM accounts ORDER BY user_id', []);
  assert.equal(all.rowCount, 20);
  assert.deepEqual(
    ids(all).toSorted((/** @type {number} */ a, /** @type {number} */ b) => a - b),
    range(20),
  );
  assert.notDeepEqual(ids(all), range(20), 'concat: in the order of shards');
  assert.equal(all.node.split(',').length, 2);
  const orderBy = (/** @type {any} */ a, /** @type {any} */ b) => b.user_id - a.user_id;
  const ordered = await multi.query('SELECT user_id FROM accounts', [], { orderBy, limit: 5 });
  assert.deepEqual([ids(ordered), ordered.rowCount], [[19, 18, 17, 16, 15], 5]);
});

test('sharding: a write without a key is refused by name, declared or not, and nothing is written', async (t) => {
  const multi = await clusters.multi(t, configuration());
  const sql = 'UPDATE accounts SET balance = balance + 1';
  for (const options of [undefined, { operation: 'write' }, { operation: 'read' }, { consistencyLevel: 'eventual' }]) {
    const error = await failureOf(multi.query(sql, [], options));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(
      error.message,
      /^shardKey must be given to a (write|statement that writes): the rows of cluster 'users'/,
    );
  }
  const { rows } = await multi.query('SELECT count(*)::int4 AS n FROM accounts WHERE balance <> 100');
  assert.deepEqual(
    rows.map((/** @type {any} */ { n }) => n),
    [0, 0],
  );
});

test('sharding: a transaction across shards is all or nothing', async (t) => {
  const multi = await clusters.multi(t, configuration());
  const keys = range(20);
  const places = await Promise.all(keys.map((key) => placeOf(multi, key)));
  const [from, to] = [places.indexOf('zero'), places.indexOf('one')];
  for (const key of keys) {
    await multi.query('INSERT INTO accounts VALUES ($1, 100) ON CONFLICT DO NOTHING', [key], { shardKey: key });
  }
  const move = (/** @type {number} */ amount, /** @type {boolean} */ fails) =>
    multi.withTransaction(['users'], async (/** @type {any} */ tx) => {
      const sql = 'UPDATE accounts SET balance = balance + $2 WHERE user_id = $1';
      await tx.query(sql, [from, -amount], { schema: 'users', shardKey: from });
      await tx.query(sql, [to, amount], { schema: 'users', shardKey: to });
      if (fails) throw new Error('no');
      return 'moved';
    });
  const balances = async () =>
    Promise.all(
      [from, to].map(
        async (key) =>
          (await multi.query('SELECT balance FROM accounts WHERE user_id = $1', [key], { shardKey: key })).rows[0]
            .balance,
      ),
    );
  assert.equal(await move(30, false), 'moved');
  assert.deepEqual(await balances(), [70, 130]);
  assert.equal((await failureOf(move(5, true))).message, 'no');
  assert.deepEqual(await balances(), [70, 130]);
  const without = multi.withTransaction(['users'], (/** @type {any} */ tx) =>
    tx.query('SELECT 1', [], { schema: 'users' }),
  );
  assert.match((await failureOf(without)).message, /^shardKey must be given in a transaction/);
  const { transactions } = multi.getMetrics();
  assert.deepEqual([transactions.started, transactions.committed, transactions.aborted], [3, 1, 2]);
  await move(-30, false);
});

test('sharding: ranges and a table of the first shard lead to shards, too', async (t) => {
  await clusters.zero.sql('CREATE TABLE tenants (key text PRIMARY KEY, shard int NOT NULL)');
  await clusters.zero.sql("INSERT INTO tenants VALUES ('ours', 0), ('theirs', 1)");
  const { users } = configuration();
  const { shards } = users.sharding;
  const ranges = [
    { from: null, to: 100, shard: 1 },
    { from: 100, to: 200, shard: 0 },
  ];
  const byRange = await clusters.multi(t, {
    users: { ...users, sharding: { strategy: 'range', key: 'user_id', shards, ranges } },
  });
  assert.deepEqual([await placeOf(byRange, 5), await placeOf(byRange, 100)], ['one', 'zero']);
  assert.match((await failureOf(placeOf(byRange, 200))).message, /^shardKey: no range of cluster 'users'/);
  const byTable = await clusters.multi(t, {
    users: { ...users, sharding: { strategy: 'directory', key: 'tenant', shards, directory: { table: 'tenants' } } },
  });
  assert.deepEqual(
    await Promise.all(['ours', 'theirs'].map((key) => placeOf(byTable, /** @type {any} */ (key)))),
    NAMES,
  );
  assert.match((await failureOf(placeOf(byTable, /** @type {any} */ ('nobody')))).message, /shardKey/);
});
