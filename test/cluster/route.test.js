'use strict';

// A statement carries its route: in one pool of mode 'read-write' some statements go to the primary and some to standbys.

const assert = require('node:assert/strict');
const { test, useCluster } = require('../support/helpers');
const { until } = require('../../exports/testing/cluster/until.js');

const db = useCluster({ nodes: 3 });

const WHERE = 'SELECT pg_is_in_recovery() AS standby, inet_server_port() AS port';

test('a read of a read-write pool runs on a standby, and other statements on the primary', async (t) => {
  const pool = db.pool(t, { poolSize: 4 });
  const answers = await Promise.all([pool.query(WHERE), pool.read(WHERE), pool.query(WHERE), pool.read(WHERE)]);
  assert.deepEqual(
    answers.map(([{ standby }]) => standby),
    [false, true, false, true],
  );
});

test('reads that run side by side spread over the standbys', async (t) => {
  const pool = db.pool(t, { poolSize: 4 });
  await pool.query('SELECT 1');
  await until(
    'both standbys are known',
    () => pool.nodes().filter((/** @type {any} */ n) => n.role === 'standby').length === 2,
  );
  const reads = await Promise.all(
    Array.from({ length: 4 }, () => pool.read('SELECT inet_server_port() AS port FROM pg_sleep(0.2)')),
  );
  const ports = reads.map(([{ port }]) => port);
  const counts = [...new Set(ports)].map((port) => ports.filter((other) => other === port).length);
  assert.deepEqual(counts, [2, 2], `ports ${ports}`);
});

test('a write on a read route is refused by the standby and not sent to the primary', async (t) => {
  const pool = db.pool(t, { poolSize: 4 });
  const { token: after } = await pool.query('CREATE TABLE routed (n int)', [], { token: true });
  await assert.rejects(pool.read('INSERT INTO routed VALUES (1)', [], { after }), {
    code: '25006',
    outcome: 'not-applied',
  });
  assert.equal(await pool.value('SELECT count(*)::int FROM routed'), 0);
});

test('reads that fill their connections hold up no write', async (t) => {
  const pool = db.pool(t, { poolSize: 4 });
  const slow = Array.from({ length: 12 }, () => pool.read('SELECT pg_sleep(0.5)'));
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
  const pool = db.pool(t, { poolSize: 4 });
  assert.equal((await pool.read.one(WHERE)).standby, true);
  for (const node of db.cluster.standbys()) await node.stop();
  try {
    assert.equal((await pool.read.one(WHERE)).standby, false);
  } finally {
    for (const node of db.cluster.standbys()) await node.start();
  }
});
