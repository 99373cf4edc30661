'use strict';

// A statement carries its route: in one pool of mode 'read-write' some statements go to the primary and some to standbys. No public
// method sends reads yet, so these tests write the frames themselves (the flag READ_ROUTE).

const assert = require('node:assert/strict');
const { Call, shared } = require('../../lib/core/core-link.js');
const { FLAG, OP } = require('../../lib/core/numbers.js');
const { test, useCluster } = require('../support/helpers');
const { until } = require('../support/cluster/until');

const db = useCluster({ nodes: 3 });

/** @param {import('node:test').TestContext} t */
function poolWithReads(t) {
  const link = shared();
  const { openPool } = link;
  let number = 0;
  // The pool keeps its handle to itself.
  t.mock.method(link, 'openPool', (/** @type {string} */ options, /** @type {any} */ listener) => {
    const core = openPool.call(link, options, listener);
    number = core.id;
    return core;
  });
  const pool = db.pool(t, { poolSize: 4 });
  let statements = 1_000_000;
  /** @param {string} sql @returns {Promise<Call>} */
  const read = (sql) =>
    new Promise((resolve, reject) => {
      const statement = ++statements;
      link.sendText(OP.DEFINE, 0, number, statement, 0, 0, 0, sql);
      const id = link.register(new Call(resolve, reject));
      link.frames.open(OP.QUERY, id, number, statement, 0, FLAG.READ_ROUTE, 0, 0, 1000);
      link.frames.close();
      link.flushSoon();
    });
  return { pool, read };
}

const WHERE = 'SELECT pg_is_in_recovery() AS standby, inet_server_port() AS port';

test('a read of a read-write pool runs on a standby, and other statements on the primary', async (t) => {
  const { pool, read } = poolWithReads(t);
  const answers = await Promise.all([pool.query(WHERE), read(WHERE), pool.query(WHERE), read(WHERE)]);
  const standby = (/** @type {any} */ { rows = [], 0: first = rows[0] }) => first.standby;
  assert.deepEqual(answers.map(standby), [false, true, false, true]);
  const nodes = pool.nodes();
  assert.equal(nodes[answers[1].node].role, 'standby', 'the answer names its node');
});

test('reads that run side by side spread over the standbys', async (t) => {
  const { pool, read } = poolWithReads(t);
  await pool.query('SELECT 1');
  await until(
    'both standbys are known',
    () => pool.nodes().filter((/** @type {any} */ n) => n.role === 'standby').length === 2,
  );
  const reads = await Promise.all(
    Array.from({ length: 4 }, () => read('SELECT inet_server_port() AS port FROM pg_sleep(0.2)')),
  );
  const ports = reads.map(({ rows }) => /** @type {any} */ (rows[0]).port);
  const counts = [...new Set(ports)].map((port) => ports.filter((other) => other === port).length);
  assert.deepEqual(counts, [2, 2], `ports ${ports}`);
});

test('a write on a read route is refused by the standby and not sent to the primary', async (t) => {
  const { pool, read } = poolWithReads(t);
  await pool.query('CREATE TABLE routed (n int)');
  await assert.rejects(read('INSERT INTO routed VALUES (1)'), { code: '25006', outcome: 'not-applied' });
  assert.equal(await pool.value('SELECT count(*)::int FROM routed'), 0);
});

test('reads that fill their connections hold up no write', async (t) => {
  const { pool, read } = poolWithReads(t);
  const slow = Array.from({ length: 12 }, () => read('SELECT pg_sleep(0.5)'));
  let readsEnded = false;
  const ended = Promise.all(slow).then(() => {
    readsEnded = true;
  });
  await pool.query('SELECT 1');
  assert.equal(readsEnded, false, 'the write did not wait for the reads');
  await ended;
});

test('reads go to the primary when no standby is left', async (t) => {
  db.needs('stop');
  const { read } = poolWithReads(t);
  const before = /** @type {any} */ ((await read(WHERE)).rows[0]);
  assert.equal(before.standby, true);
  for (const node of db.cluster.standbys()) await node.stop();
  try {
    const after = /** @type {any} */ ((await read(WHERE)).rows[0]);
    assert.equal(after.standby, false);
  } finally {
    for (const node of db.cluster.standbys()) await node.start();
  }
});
