'use strict';

// Clients that are never released, which some libraries leave behind when their session breaks: Drizzle 0.45.4 and MikroORM 7.2.5 do not
// release the client whose BEGIN has failed.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { fact } = require('../support.js');
const { terminate } = require('./sessions.js');

/** Takes the only client of a pool, and ends its session. @param {any} face */
async function leak(face) {
  const pool = face.pool({ max: 1 });
  pool.on('error', () => {});
  const client = await pool.connect();
  const ended = new Promise((resolve) => client.once('end', resolve));
  client.on('error', () => {});
  await terminate(face, client.processID);
  await ended;
  return { pool, client };
}

/** @param {Promise<unknown>} promise @param {number} ms */
const within = (promise, ms) => Promise.race([promise.then(() => true), sleep(ms, false)]);

fact(
  'pool: a client that is never released keeps its place, though its session has ended',
  async (_t, face) => {
    const { pool, client } = await leak(face);
    const answer = pool.query('SELECT 1');
    assert.equal(await within(answer, 200), false);
    client.release();
    await answer;
  },
  {
    differs: {
      reason:
        'A client whose session has ended takes no place of its pool, even if it is never released: some libraries leave the client of a BEGIN that failed behind, and after some failovers a pool would have no place left.',
      test: async (_t, face) => {
        const { pool, client } = await leak(face);
        const waiting = [pool.query('SELECT 1 AS one'), pool.connect()];
        const [{ rows }, other] = await Promise.all(waiting);
        assert.deepEqual(rows, [{ one: 1 }]);
        const third = pool.query('SELECT 1');
        assert.equal(await within(third, 100), false, 'max is as many sessions as before');
        other.release();
        await third;
        assert.deepEqual([pool.totalCount, pool.idleCount], [2, 1]);
        client.release();
        assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
      },
    },
  },
);

fact(
  'pool: end() waits for a client that is never released, though its session has ended',
  async (_t, face) => {
    const { pool, client } = await leak(face);
    const end = pool.end();
    assert.equal(await within(end, 200), false);
    client.release();
    await end;
  },
  {
    differs: {
      reason: '`pool.end()` does not wait for clients whose sessions have ended.',
      test: async (_t, face) => {
        const { pool, client } = await leak(face);
        await pool.end();
        client.release();
      },
    },
  },
);
