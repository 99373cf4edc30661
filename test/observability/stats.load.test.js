'use strict';

// stats() under load: work of every kind, side by side and in a random order, adds up to what the program has counted.

const assert = require('node:assert/strict');
const { Random } = require('../chaos/random.js');
const { Tally, changes } = require('./counting.js');
const { work } = require('./workload.js');
const { test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });
const SEED = Number(process.env.HYPERION_SEED ?? 22);
const COUNT = process.env.HYPERION_FULL === '1' ? 20_000 : 2_000;

test(`stats: the counts of ${COUNT} pieces of random work are those of the program`, async (t) => {
  const pool = db.pool(t, { poolSize: 4 });
  await pool.query('CREATE TABLE loaded (id int PRIMARY KEY, note text)');
  await pool.query('INSERT INTO loaded VALUES (0)');
  const before = pool.stats();
  const tally = new Tally();
  let begun = 0;
  await work(
    { pool, table: 'loaded', tally, random: new Random(SEED) },
    { clients: 24, goesOn: () => begun++ < COUNT },
  );
  const after = pool.stats();
  const { begun: transactions, rolledBack, ...changed } = changes(after, before);
  assert.deepEqual(changed, tally.counts());
  assert.equal(transactions, changed.committed + rolledBack, 'each transaction has ended');
  assert.ok(changed.queries > COUNT && changed.committed > 0 && rolledBack > 0 && changed.errors[57] > 0);
  assert.equal(after.acquires - before.acquires, COUNT, 'each piece of work asks for a connection once');
  assert.equal(after.waitMs.count, after.waits);
  assert.ok(after.waits > 0 && after.waits <= after.acquires);
  await until('nothing is in flight', () => pool.stats().nodes[0].inFlight === 0);
});
