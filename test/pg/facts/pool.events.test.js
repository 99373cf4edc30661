'use strict';

// The events of a pool: their order, their arguments, and the counts at that moment.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { range, until } = require('../../support/helpers.js');

const EVENTS = ['connect', 'acquire', 'release', 'remove', 'error'];

/** Notes every event of a pool with the counts at that moment. @param {any} pool */
function noted(pool) {
  /** @type {{ event: string, args: any[], counts: number[] }[]} */
  const events = [];
  for (const event of EVENTS) {
    pool.on(event, (/** @type {any[]} */ ...args) => {
      events.push({ event, args, counts: [pool.totalCount, pool.idleCount, pool.waitingCount] });
    });
  }
  return events;
}

/** @param {{ event: string }[]} events */
const namesOf = (events) => events.map(({ event }) => event);

fact('pool: it is an EventEmitter', async (_t, face) => {
  assert.ok(face.pool() instanceof require('node:events').EventEmitter);
});

fact('pool: the first checkout emits connect, then acquire, then the client is handed out', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  const client = await pool.connect();
  assert.deepEqual(namesOf(events), ['connect', 'acquire']);
  client.release();
});

fact('pool: the events before a callback of connect() have been emitted', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  await new Promise((resolve) => {
    pool.connect((/** @type {any} */ _error, /** @type {any} */ _client, /** @type {any} */ done) => {
      assert.deepEqual(namesOf(events), ['connect', 'acquire']);
      done();
      resolve(undefined);
    });
  });
});

fact('pool: a later checkout of the same client emits acquire alone', async (_t, face) => {
  const pool = face.pool();
  (await pool.connect()).release();
  const events = noted(pool);
  (await pool.connect()).release();
  assert.deepEqual(namesOf(events), ['acquire', 'release']);
});

fact('pool: connect and acquire get the client, and nothing else', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  const client = await pool.connect();
  for (const { args } of events) {
    assert.equal(args.length, 1);
    assert.equal(args[0], client);
  }
  client.release();
});

fact('pool: release gets what release() was given, and the client', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  const broken = new Error('broken');
  for (const value of [undefined, true, broken]) {
    const client = await pool.connect();
    events.length = 0;
    client.release(value);
    assert.equal(events[0].event, 'release');
    assert.equal(events[0].args[0], value);
    assert.equal(events[0].args[1], client);
  }
});

fact('pool: remove gets the client, after its session has ended', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  const client = await pool.connect();
  let isEnded = false;
  client.on('end', () => {
    isEnded = true;
  });
  client.release(true);
  assert.deepEqual(namesOf(events), ['connect', 'acquire', 'release']);
  await until('the client is removed', () => events.length === 4);
  assert.equal(events[3].event, 'remove');
  assert.equal(events[3].args[0], client);
  await until('the session has ended', () => isEnded);
});

fact('pool: the counts at each event are those of the moment', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const events = noted(pool);
  const client = await pool.connect();
  const waiting = pool.connect();
  client.release();
  (await waiting).release(true);
  await until('the client is removed', () => events.at(-1)?.event === 'remove');
  assert.deepEqual(
    events.map(({ event, counts }) => [event, ...counts]),
    [
      ['connect', 1, 0, 0],
      ['acquire', 1, 0, 0],
      ['release', 1, 0, 1],
      ['acquire', 1, 0, 0],
      ['release', 1, 0, 0],
      ['remove', 0, 0, 0],
    ],
  );
});

fact('pool: a statement sent by a listener of connect runs before those of the first holder', async (_t, face) => {
  const pool = face.pool();
  pool.on('connect', (/** @type {any} */ client) => client.query("SET application_name = 'set by a listener'"));
  assert.deepEqual((await pool.query('SHOW application_name')).rows, [{ application_name: 'set by a listener' }]);
  const client = await pool.connect();
  assert.deepEqual((await client.query('SHOW application_name')).rows, [{ application_name: 'set by a listener' }]);
  client.release();
});

fact('pool: what a listener of connect writes on the client is there for every holder', async (_t, face) => {
  const pool = face.pool();
  let count = 0;
  pool.on('connect', (/** @type {any} */ client) => {
    client.count = count;
    count += 1;
  });
  const [a, b] = [await pool.connect(), await pool.connect()];
  assert.deepEqual([a.count, b.count], [0, 1]);
  a.release();
  b.release();
});

fact('pool: connect is emitted once a session, acquire and release once a use', async (_t, face) => {
  const pool = face.pool({ max: 4 });
  const events = noted(pool);
  await Promise.all(range(40).map((number) => pool.query('SELECT $1::int', [number])));
  const count = (/** @type {string} */ name) => events.filter(({ event }) => event === name).length;
  assert.equal(count('connect'), 4);
  assert.equal(count('acquire'), 40);
  assert.equal(count('release'), 40);
  assert.equal(count('remove'), 0);
});

fact('pool: a connection that fails emits nothing', async (_t, face) => {
  const pool = face.pool({ host: '127.0.0.1', port: 1, connectionTimeoutMillis: 500 });
  const events = noted(pool);
  await assert.rejects(pool.connect());
  await assert.rejects(pool.query('SELECT 1'));
  assert.deepEqual(namesOf(events), []);
});

fact('pool: pool.query() emits release with the error of its statement', async (_t, face) => {
  const pool = face.pool();
  const events = noted(pool);
  await assert.rejects(pool.query('SELECT wrong'), { code: '42703' });
  const release = events.find(({ event }) => event === 'release');
  assert.equal(release?.args[0]?.code, '42703');
});

fact('pool: the end of the pool emits remove for each idle client, once its session has ended', async (_t, face) => {
  const pool = face.pool();
  const clients = [await pool.connect(), await pool.connect()];
  for (const client of clients) client.release();
  const events = noted(pool);
  await pool.end();
  await until('both are removed', () => events.length === 2);
  assert.deepEqual(namesOf(events), ['remove', 'remove']);
  assert.deepEqual(new Set(events.map(({ args }) => args[0])), new Set(clients));
});

fact('pool: a listener of the client is kept over its checkouts', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  let notices = 0;
  client.on('notice', () => {
    notices += 1;
  });
  await client.query("DO $$ BEGIN RAISE NOTICE 'one'; END $$");
  client.release();
  await pool.query("DO $$ BEGIN RAISE NOTICE 'two'; END $$");
  assert.equal(notices, 2);
});
