'use strict';

// How long a pool keeps a client: maxLifetimeSeconds, and the idle time of a client that is used.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { range, sleep, until } = require('../../support/helpers.js');

fact('pool: an idle client is removed when it is maxLifetimeSeconds old', async (_t, face) => {
  const pool = face.pool({ maxLifetimeSeconds: 1 });
  await pool.query('SELECT 1');
  assert.equal(pool.totalCount, 1);
  await until('it is removed', () => pool.totalCount === 0);
});

fact(
  'pool: a client that is out when its lifetime ends counts as expired, and is removed by release()',
  async (_t, face) => {
    const pool = face.pool({ maxLifetimeSeconds: 1 });
    const client = await pool.connect();
    assert.equal(pool.expiredCount, 0);
    await until('it is expired', () => pool.expiredCount === 1);
    assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
    client.release();
    assert.deepEqual([pool.expiredCount, pool.totalCount], [0, 0]);
  },
);

fact('pool: each use of a client begins its idle time anew', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: 400 });
  const { processID } = await pool.connect().then((/** @type {any} */ client) => {
    client.release();
    return client;
  });
  for (const _ of range(4)) {
    await sleep(150);
    const client = await pool.connect();
    assert.equal(client.processID, processID);
    client.release();
  }
});
