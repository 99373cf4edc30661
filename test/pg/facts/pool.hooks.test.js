'use strict';

// Functions that a program hands to a pool: onConnect, verify, Promise, log.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { sleep } = require('../../support/helpers.js');

fact('pool: onConnect is called with each new client, once', async (_t, face) => {
  /** @type {any[]} */
  const seen = [];
  const pool = face.pool({ max: 1, onConnect: (/** @type {any} */ client) => void seen.push(client) });
  const client = await pool.connect();
  client.release();
  await pool.query('SELECT 1');
  assert.deepEqual(seen, [client]);
});

fact('pool: what onConnect promises is awaited before the client is handed out', async (_t, face) => {
  const pool = face.pool({
    onConnect: async (/** @type {any} */ client) => {
      await sleep(20);
      await client.query("SET application_name = 'of onConnect'");
    },
  });
  assert.deepEqual((await pool.query('SHOW application_name')).rows, [{ application_name: 'of onConnect' }]);
});

fact('pool: onConnect comes before the event connect', async (_t, face) => {
  /** @type {string[]} */
  const order = [];
  const pool = face.pool({ onConnect: () => void order.push('onConnect') });
  pool.on('connect', () => order.push('connect'));
  await pool.query('SELECT 1');
  assert.deepEqual(order, ['onConnect', 'connect']);
});

for (const [how, fail] of /** @type {const} */ ([
  [
    'throws',
    () => {
      throw new Error('refused by onConnect');
    },
  ],
  ['rejects', () => Promise.reject(new Error('refused by onConnect'))],
])) {
  fact(
    `pool: an onConnect that ${how} rejects connect() with its error, and the client is not kept`,
    async (_t, face) => {
      const pool = face.pool({ onConnect: fail });
      await assert.rejects(pool.connect(), { message: 'refused by onConnect' });
      await assert.rejects(pool.query('SELECT 1'), { message: 'refused by onConnect' });
      assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
    },
  );
}

fact('pool: after an onConnect that failed who waits is served', async (_t, face) => {
  let calls = 0;
  const pool = face.pool({
    max: 1,
    onConnect: () => {
      calls += 1;
      if (calls === 1) throw new Error('only the first');
    },
  });
  const [first, second] = await Promise.allSettled([pool.query('SELECT 1'), pool.query('SELECT 2 AS two')]);
  assert.equal(first.status, 'rejected');
  assert.deepEqual(second.status === 'fulfilled' && second.value.rows, [{ two: 2 }]);
});

fact('pool: verify is asked about a new client, and not again', async (_t, face) => {
  let calls = 0;
  const verify = (/** @type {any} */ client, /** @type {any} */ done) => {
    calls += 1;
    client.query('SELECT 1', done);
  };
  const pool = face.pool({ verify });
  (await pool.connect()).release();
  (await pool.connect()).release();
  assert.equal(calls, 1);
});

fact('pool: an error of verify rejects connect(), and removes the client', async (_t, face) => {
  const pool = face.pool({ verify: (/** @type {any} */ _client, /** @type {any} */ done) => done(new Error('nope')) });
  await assert.rejects(pool.connect(), { message: 'nope' });
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
});

fact('pool: an error of verify comes to a callback, without a client', async (_t, face) => {
  const pool = face.pool({ verify: (/** @type {any} */ _client, /** @type {any} */ done) => done(new Error('nope')) });
  const [error, client] = await new Promise((resolve) => {
    pool.connect((/** @type {any[]} */ ...args) => resolve(args));
  });
  assert.equal(error.message, 'nope');
  assert.equal(client, undefined);
});

fact('pool: Promise says of which class the promises of the pool are', async (_t, face) => {
  class Mine extends Promise {}
  const pool = face.pool({ Promise: Mine });
  const connecting = pool.connect();
  assert.ok(connecting instanceof Mine);
  const client = await connecting;
  const asked = client.query('SELECT 1');
  assert.ok(asked instanceof Mine);
  await asked;
  client.release();
  const queried = pool.query('SELECT 1');
  assert.ok(queried instanceof Mine);
  await queried;
  const ended = pool.end();
  assert.ok(ended instanceof Mine);
  await ended;
});

fact('pool: Promise is of which class rejected promises are, too', async (_t, face) => {
  class Mine extends Promise {}
  const pool = face.pool({ Promise: Mine, host: '127.0.0.1', port: 1, connectionTimeoutMillis: 500 });
  const connecting = pool.connect();
  assert.ok(connecting instanceof Mine);
  await assert.rejects(connecting);
  await pool.end();
  const refused = pool.connect();
  assert.ok(refused instanceof Mine);
  await assert.rejects(refused);
});

fact('pool: log is called with lines about what the pool does', async (_t, face) => {
  /** @type {any[]} */
  const lines = [];
  const pool = face.pool({ log: (/** @type {any} */ line) => lines.push(line) });
  await pool.query('SELECT 1');
  await pool.end();
  assert.ok(lines.length > 2);
  for (const line of lines) assert.equal(typeof line, 'string');
  for (const expected of ['connecting new client', 'new client connected', 'dispatching query', 'ending']) {
    assert.ok(lines.includes(expected), expected);
  }
});

fact('pool: a pool without log has a log function that does nothing', async (_t, face) => {
  assert.equal(face.pool().log('nothing'), undefined);
});
