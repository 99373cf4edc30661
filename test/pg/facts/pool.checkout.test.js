'use strict';

// How a client is taken out of a pool and given back: the forms of connect() and release(), and what stays with the session.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { named, range } = require('../../support/helpers.js');

const DOUBLE = 'Release called on client which has already been released to the pool.';

/** @param {any} pool @returns {Promise<{ error: any, client: any, done: any }>} */
const connected = (pool) =>
  new Promise((resolve) => {
    pool.connect((/** @type {any} */ error, /** @type {any} */ client, /** @type {any} */ done) =>
      resolve({ error, client, done }),
    );
  });

fact('pool: a new pool has no client, and says so by its counts', async (_t, face) => {
  const pool = face.pool();
  assert.deepEqual([pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount], [0, 0, 0, 0]);
  assert.deepEqual([pool.ending, pool.ended], [false, false]);
});

fact('pool: options has the defaults that were not given', async (_t, face) => {
  const { max, min, idleTimeoutMillis, maxUses, maxLifetimeSeconds, allowExitOnIdle } = face.pool().options;
  assert.deepEqual(
    { max, min, idleTimeoutMillis, maxUses, maxLifetimeSeconds, allowExitOnIdle },
    { max: 10, min: 0, idleTimeoutMillis: 10000, maxUses: Infinity, maxLifetimeSeconds: 0, allowExitOnIdle: false },
  );
});

fact('pool: options keeps what was given, and hides the password from a listing', async (_t, face) => {
  const pool = face.pool({ max: 3, application_name: 'listed' });
  assert.equal(pool.options.max, 3);
  assert.equal(pool.options.application_name, 'listed');
  assert.equal(pool.options.password, face.config.password);
  assert.ok(!Object.keys(pool.options).includes('password'));
  assert.ok(!JSON.stringify(pool.options).includes(face.config.password));
});

fact('pool: poolSize is another name for max', async (_t, face) => {
  assert.equal(face.pool({ poolSize: 4 }).options.max, 4);
});

fact('pool: the object of options that a program has given is not changed', async (t, face) => {
  const given = Object.freeze({ ...face.config, ...{ max: 2 } });
  const pool = new face.pg.Pool(given);
  t.after(() => pool.end());
  await pool.query('SELECT 1');
});

fact('pool: connect() resolves with a Client', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  assert.ok(client instanceof face.pg.Client);
  assert.equal(typeof client.release, 'function');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
});

fact(
  'pool: connect(callback) calls back with no error, the client and a function that releases it',
  async (_t, face) => {
    const pool = face.pool();
    const { error, client, done } = await connected(pool);
    assert.ok(!error);
    assert.equal(done, client.release);
    assert.deepEqual([pool.totalCount, pool.idleCount], [1, 0]);
    done();
    assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
  },
);

fact('pool: connect(callback) returns nothing', async (_t, face) => {
  const pool = face.pool();
  await new Promise((resolve) => {
    const returned = pool.connect((/** @type {any} */ _error, /** @type {any} */ _client, /** @type {any} */ done) => {
      done();
      resolve(undefined);
    });
    assert.equal(returned, undefined);
  });
});

fact(
  'pool: connect(callback) of a server that is not there calls back with its error, no client and a function',
  async (_t, face) => {
    const pool = face.pool({ host: '127.0.0.1', port: 1, connectionTimeoutMillis: 500 });
    const { error, client, done } = await connected(pool);
    assert.ok(error instanceof Error);
    assert.equal(client, undefined);
    assert.equal(done(), undefined);
    assert.equal(pool.totalCount, 0);
  },
);

fact('pool: connect() of a server that is not there rejects with ECONNREFUSED', async (_t, face) => {
  const pool = face.pool({ host: '127.0.0.1', port: 1, connectionTimeoutMillis: 500 });
  await assert.rejects(pool.connect(), { code: 'ECONNREFUSED' });
  assert.equal(pool.totalCount, 0);
});

fact('pool: connect() with a wrong password rejects with 28P01, and the pool has no client', async (_t, face) => {
  const pool = face.pool({ password: 'wrong' });
  await assert.rejects(pool.connect(), { code: '28P01', severity: 'FATAL' });
  assert.equal(pool.totalCount, 0);
});

fact('pool: connect() to a database that does not exist rejects with 3D000', async (_t, face) => {
  const pool = face.pool({ database: 'nowhere' });
  await assert.rejects(pool.connect(), { code: '3D000', message: 'database "nowhere" does not exist' });
});

fact('pool: the callback of connect() is called later, never before connect() returns', async (_t, face) => {
  const pool = face.pool();
  (await pool.connect()).release();
  let isLater = false;
  const taken = connected(pool).then(({ done }) => {
    assert.ok(isLater);
    done();
  });
  isLater = true;
  await taken;
});

fact('pool: a released client is handed out again: the same object, the same session', async (_t, face) => {
  const pool = face.pool();
  const first = await pool.connect();
  const { processID } = first;
  first.release();
  const second = await pool.connect();
  assert.equal(second, first);
  assert.equal(second.processID, processID);
  assert.equal((await second.query('SELECT pg_backend_pid() AS pid')).rows[0].pid, processID);
  second.release();
});

fact('pool: what a program writes on a client stays on it', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const first = await pool.connect();
  first.mine = { prepared: true };
  first.release();
  const second = await pool.connect();
  assert.deepEqual(second.mine, { prepared: true });
  second.release();
});

fact('pool: a program may wrap query() of a client, and the pool does not undo it', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  const query = client.query;
  let calls = 0;
  client.query = function counted(/** @type {any[]} */ ...args) {
    calls += 1;
    return query.apply(this, args);
  };
  client.release();
  await pool.query('SELECT 1');
  assert.equal(calls, 1);
});

fact('pool: the client that was released last is handed out first', async (_t, face) => {
  const pool = face.pool();
  const [a, b] = [await pool.connect(), await pool.connect()];
  a.release();
  b.release();
  const [c, d] = [await pool.connect(), await pool.connect()];
  assert.equal(c, b);
  assert.equal(d, a);
  c.release();
  d.release();
});

fact('pool: an idle client is used before a new one is made', async (_t, face) => {
  const pool = face.pool({ max: 5 });
  for (const _ of range(4)) (await pool.connect()).release();
  assert.equal(pool.totalCount, 1);
});

fact('pool: release() twice throws, each time', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  client.release();
  assert.throws(() => client.release(), { message: DOUBLE });
  assert.throws(() => client.release(), { message: DOUBLE });
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool: done() twice throws', async (_t, face) => {
  const pool = face.pool();
  const { done } = await connected(pool);
  done();
  assert.throws(() => done(), { message: DOUBLE });
});

fact('pool: release of an earlier checkout throws, and does not release the later one', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const first = await pool.connect();
  const { release } = first;
  release();
  const second = await pool.connect();
  assert.notEqual(second.release, release);
  assert.throws(() => release(), { message: DOUBLE });
  assert.equal(pool.idleCount, 0);
  second.release();
});

for (const [what, value] of /** @type {const} */ ([
  ['true', true],
  ['an error', new Error('broken')],
])) {
  fact(`pool: release(${what}) closes the session, and the next client is another`, async (_t, face) => {
    const pool = face.pool({ max: 1 });
    const first = await pool.connect();
    const { processID } = first;
    first.release(value);
    assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
    const second = await pool.connect();
    assert.notEqual(second, first);
    assert.notEqual(second.processID, processID);
    await face.untilGone(processID);
    second.release();
  });
}

fact('pool: release(false) keeps the client', async (_t, face) => {
  const pool = face.pool();
  (await pool.connect()).release(false);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool: a client that its holder has ended is removed when it is released', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  await client.end();
  assert.equal(pool.totalCount, 1);
  client.release();
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('pool: a query that is not awaited before release() runs', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  const late = client.query("SELECT pg_sleep(0.05), 'late' AS told");
  client.release();
  assert.equal((await pool.query("SELECT 'next' AS told")).rows[0].told, 'next');
  assert.equal((await late).rows[0].told, 'late');
});

fact('pool: settings, temporary tables and prepared statements of a session stay after release()', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const first = await pool.connect();
  await first.query("SET work_mem = '77MB'");
  await first.query('CREATE TEMP TABLE kept (n int)');
  await first.query('PREPARE kept_plan AS SELECT 5 AS five');
  first.release();
  assert.deepEqual((await pool.query('SHOW work_mem')).rows, [{ work_mem: '77MB' }]);
  assert.equal((await pool.query('SELECT count(*) FROM kept')).rows[0].count, '0');
  assert.deepEqual((await pool.query('EXECUTE kept_plan')).rows, [{ five: 5 }]);
});

fact('pool: advisory locks of a session are held until the session is closed', async (_t, face) => {
  const pool = face.pool();
  const [holder, other] = [await pool.connect(), await pool.connect()];
  const LOCK = 'SELECT pg_try_advisory_lock(7201) AS locked';
  assert.equal((await holder.query(LOCK)).rows[0].locked, true);
  holder.release();
  assert.equal((await other.query(LOCK)).rows[0].locked, false);
  const again = await pool.connect();
  assert.equal(again, holder);
  again.release(true);
  await face.untilGone(holder.processID);
  assert.equal((await other.query(LOCK)).rows[0].locked, true);
  other.release(true);
});

fact('pool: a transaction that is open at release() is open for the next holder', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const first = await pool.connect();
  await first.query('BEGIN');
  assert.equal(first.getTransactionStatus(), 'T');
  first.release();
  const second = await pool.connect();
  assert.equal(second.getTransactionStatus(), 'T');
  await second.query('ROLLBACK');
  assert.equal(second.getTransactionStatus(), 'I');
  second.release();
});

fact('pool: clients side by side are sessions of their own, as many as max allows', async (_t, face) => {
  const application_name = named('side');
  const pool = face.pool({ max: 3, application_name });
  const clients = await Promise.all(range(3).map(() => pool.connect()));
  assert.equal(new Set(clients.map(({ processID }) => processID)).size, 3);
  assert.deepEqual([pool.totalCount, pool.idleCount, pool.waitingCount], [3, 0, 0]);
  const { rows } = await clients[0].query(
    'SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1',
    [application_name],
  );
  assert.equal(rows[0].n, 3);
  for (const client of clients) client.release();
});

fact('pool: who asks when all clients are out waits in a queue, first come first served', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const holder = await pool.connect();
  /** @type {number[]} */
  const served = [];
  const waiting = range(3).map((number) =>
    pool.connect().then((/** @type {any} */ client) => {
      served.push(number);
      client.release();
    }),
  );
  assert.equal(pool.waitingCount, 3);
  assert.deepEqual(served, []);
  holder.release();
  await Promise.all(waiting);
  assert.deepEqual(served, [0, 1, 2]);
  assert.equal(pool.waitingCount, 0);
});

fact('pool: a removed client makes room, and who waits gets a new one', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const holder = await pool.connect();
  const waiting = pool.connect();
  holder.release(true);
  const next = await waiting;
  assert.notEqual(next.processID, holder.processID);
  next.release();
});

fact('pool: a client of a pool may not be connected a second time', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  await assert.rejects(client.connect(), {
    message: 'Client has already been connected. You cannot reuse a client.',
  });
  client.release();
});

fact('pool: a class given as Client is what the pool makes clients of', async (_t, face) => {
  class Mine extends face.pg.Client {
    greeting() {
      return 'mine';
    }
  }
  const pool = face.pool({ Client: Mine });
  const client = await pool.connect();
  assert.ok(client instanceof Mine);
  assert.equal(client.greeting(), 'mine');
  client.release();
});
