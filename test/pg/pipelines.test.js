'use strict';

// Queries of a pool that are sent behind others (exports/pg/pipelines.js): when all clients are busy, quick ones share them.

const assert = require('node:assert/strict');
const { QUICK, warm } = require('./pipelines.support.js');
const { failureOf, loginOf, range, test, until, useCluster } = require('../support/helpers.js');
const { Pool } = require('../../exports/pg/index.js');

const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t @param {object} [options] @returns {any} */
function poolOf(t, options) {
  const { hosts, ...login } = loginOf(db.cluster);
  const pool = new Pool(/** @type {any} */ ({ ...login, host: hosts.join(','), max: 1, ...options }));
  t.after(() => pool.end());
  return pool;
}

/** A pool that knows that the query is quick. @param {import('node:test').TestContext} t @param {object} [options] */
async function warmPool(t, options) {
  const pool = poolOf(t, options);
  await warm(pool);
  return pool;
}

test('pipelines: quick queries share a client, and each has its own answer, in its order', async (t) => {
  const pool = await warmPool(t, { max: 2 });
  /** @type {number[]} */
  const order = [];
  const answers = range(300).map(async (i) => {
    const { rows } = await pool.query(QUICK, [i]);
    order.push(i);
    return rows[0].i;
  });
  assert.ok(pool._pipelines.waiting > 2, `${pool._pipelines.waiting} were sent behind others`);
  assert.equal(pool.waitingCount, 298);
  assert.deepEqual(await Promise.all(answers), range(300));
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    range(300),
  );
  assert.deepEqual([pool._pipelines.waiting, pool.waitingCount, pool.idleCount], [0, 0, 2]);
});

test('pipelines: an error is that of its query alone, and its client is dropped when the others have their answers', async (t) => {
  const pool = poolOf(t);
  const sql = 'SELECT 10 / $1::int AS q';
  for (const _ of range(20)) await pool.query(sql, [1]);
  const answers = range(60).map((i) => (i % 7 === 3 ? failureOf(pool.query(sql, [0])) : pool.query(sql, [5])));
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    if (i % 7 === 3) assert.equal(answer.code, '22012');
    else assert.deepEqual(answer.rows, [{ q: 2 }]);
  }
  await until('no client is busy', () => pool.idleCount === pool.totalCount && pool.waitingCount === 0);
});

test('pipelines: named statements are sent behind others when the client has parsed them', async (t) => {
  const pool = poolOf(t);
  const named = (/** @type {number} */ i) => pool.query({ name: 'quick', text: QUICK, values: [i] });
  for (const i of range(20)) await named(i);
  const answers = range(100).map((i) => named(i));
  assert.ok(pool._pipelines.waiting > 0);
  assert.deepEqual(
    (await Promise.all(answers)).map(({ rows }) => rows[0].i),
    range(100),
  );
});

test('pipelines: nothing is sent behind a query that is slow, or not known', async (t) => {
  const pool = await warmPool(t);
  const slow = pool.query('SELECT pg_sleep($1)', [0.05]);
  const quick = pool.query(QUICK, [1]);
  assert.equal(pool._pipelines.waiting, 0);
  await Promise.all([slow, quick]);
});

test('pipelines: who waits for a client gets it, however many queries come', async (t) => {
  const pool = await warmPool(t);
  let goesOn = true;
  const loops = range(8).map(async (i) => {
    while (goesOn) await pool.query(QUICK, [i]);
  });
  const client = await pool.connect();
  assert.deepEqual((await client.query(QUICK, [7])).rows, [{ i: 7 }]);
  client.release();
  goesOn = false;
  await Promise.all(loops);
});

test('pipelines: a session that is terminated tells each query what became of it', async (t) => {
  const pool = await warmPool(t);
  const killer = poolOf(t);
  const client = await pool.connect();
  const { processID } = client;
  client.release();
  let goesOn = true;
  /** @type {any[]} */
  const failures = [];
  const loops = range(8).map(async (i) => {
    while (goesOn) {
      const answer = await pool.query(QUICK, [i]).catch((/** @type {any} */ error) => failures.push(error));
      if (typeof answer === 'object') assert.equal(answer.rows[0].i, i);
    }
  });
  await killer.query('SELECT pg_terminate_backend($1)', [processID]);
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
  assert.notEqual(rows[0].pid, processID);
  goesOn = false;
  await Promise.all(loops);
  for (const { outcome } of failures) assert.equal(outcome, 'unknown');
});
