'use strict';

// The end of a pool. The end of a process that has one is in pool.process.test.js.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { isPending } = require('../../support/helpers.js');

const AFTER = 'Cannot use a pool after calling end on the pool';
const TWICE = 'Called end on pool more than once';

fact('pool.end: a pool that was never used ends', async (_t, face) => {
  const pool = face.pool();
  assert.equal(await pool.end(), undefined);
  assert.deepEqual([pool.ending, pool.ended], [true, true]);
});

fact('pool.end: it calls back, and returns nothing then', async (_t, face) => {
  const pool = face.pool();
  const args = await new Promise((resolve) => {
    assert.equal(
      pool.end((/** @type {any[]} */ ...given) => resolve(given)),
      undefined,
    );
  });
  assert.ok(!args[0]);
  assert.equal(pool.ended, true);
});

fact('pool.end: the sessions of idle clients are closed', async (_t, face) => {
  const pool = face.pool();
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
  await pool.end();
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
  await face.untilGone(rows[0].pid);
});

fact('pool.end: it waits for a client that is out, which works until it is released', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  const ended = pool.end();
  assert.deepEqual([pool.ending, pool.ended], [true, false]);
  assert.ok(await isPending(ended));
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
  await ended;
  assert.equal(pool.ended, true);
  await face.untilGone(client.processID);
});

fact('pool.end: a pool.query() that runs is answered', async (_t, face) => {
  const pool = face.pool();
  const answer = pool.query('SELECT pg_sleep(0.05), 1 AS one');
  await pool.end();
  assert.equal((await answer).rows[0].one, 1);
});

fact('pool.end: a client that is being connected is handed out, and closed by its release', async (_t, face) => {
  const pool = face.pool();
  const connecting = pool.connect();
  const ended = pool.end();
  const client = await connecting;
  assert.ok(await isPending(ended));
  client.release();
  await ended;
});

fact('pool.end: a second call rejects', async (_t, face) => {
  const pool = face.pool();
  await pool.end();
  await assert.rejects(pool.end(), { name: 'Error', message: TWICE });
});

fact('pool.end: a second call calls back with the error', async (_t, face) => {
  const pool = face.pool();
  await pool.end();
  const error = await new Promise((resolve) => {
    pool.end(resolve);
  });
  assert.equal(error.message, TWICE);
});

fact('pool.end: afterwards connect() and query() reject', async (_t, face) => {
  const pool = face.pool();
  await pool.end();
  await assert.rejects(pool.connect(), { name: 'Error', message: AFTER });
  await assert.rejects(pool.query('SELECT 1'), { name: 'Error', message: AFTER });
});

fact('pool.end: afterwards connect() and query() call back with the error', async (_t, face) => {
  const pool = face.pool();
  await pool.end();
  for (const call of [
    (/** @type {any} */ done) => pool.connect(done),
    (/** @type {any} */ done) => pool.query('SELECT 1', done),
  ]) {
    const error = await new Promise((resolve) => {
      call(resolve);
    });
    assert.equal(/** @type {any} */ (error).message, AFTER);
  }
});

fact('pool.end: connect() is refused from the call on, not from the end on', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  const ended = pool.end();
  await assert.rejects(pool.connect(), { message: AFTER });
  client.release();
  await ended;
});
