'use strict';

// What programs do with a pool beside its documentation, and rely on.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { Program } = require('./processes.js');
const { range, sleep, until } = require('../../support/helpers.js');

fact('pool: max as a text, as it comes from a variable', async (_t, face) => {
  const pool = face.pool({ max: '2' });
  const clients = await Promise.all([pool.connect(), pool.connect()]);
  const third = pool.connect();
  assert.equal(pool.waitingCount, 1);
  for (const client of clients) client.release();
  (await third).release();
  assert.equal(pool.totalCount, 2);
});

fact('pool: times as texts, as they come from variables', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: '50', connectionTimeoutMillis: '5000', maxUses: '100' });
  await pool.query('SELECT 1');
  await until('the idle client is removed', () => pool.totalCount === 0);
});

fact('pool: max 0 is the default', async (_t, face) => {
  assert.equal(face.pool({ max: 0 }).options.max, 10);
});

fact('pool: options that are undefined or null are not there', async (_t, face) => {
  const nothing = {
    max: undefined,
    ssl: undefined,
    application_name: undefined,
    statement_timeout: null,
    types: undefined,
  };
  assert.deepEqual((await face.pool(nothing).query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('pool: parameters of a connection string that pg does not know are ignored', async (t, face) => {
  const { host, port, user, password, database } = face.config;
  const query =
    'schema=public&pgbouncer=true&connection_limit=5&channel_binding=prefer&connect_timeout=10&pool_timeout=3';
  const connectionString = `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}?${query}`;
  const pool = new face.pg.Pool({ connectionString });
  t.after(() => pool.end());
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('pool: a query on a client that has been released still runs', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  client.release();
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool: the client of an idle session that is removed emits end', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: 30 });
  const client = await pool.connect();
  const ended = new Promise((resolve) => {
    client.once('end', resolve);
  });
  client.release();
  await ended;
  await assert.rejects(client.query('SELECT 1'), { message: 'Client was closed and is not queryable' });
});

fact('pool: many checkouts leave no listeners behind', async (t, face) => {
  const { errors, code } = await new Program(
    t,
    face,
    `const pool = new pg.Pool({ ...config, max: 2 });
     process.on('warning', (warning) => console.error(String(warning)));
     for (let i = 0; i < 60; i++) {
       const client = await pool.connect();
       await client.query('SELECT 1');
       client.release();
       await pool.query('SELECT 1');
     }
     const client = await pool.connect();
     for (const name of ['end', 'drain', 'connect', 'notice', 'notification']) {
       if (client.listenerCount(name) > 2) console.error(name, client.listenerCount(name));
     }
     if (client.listenerCount('error') > 2) console.error('error', client.listenerCount('error'));
     client.release();
     await pool.end();`,
  ).ended;
  assert.deepEqual({ code, errors }, { code: 0, errors: '' });
});

fact('pool: hundreds of calls at once are all answered', async (_t, face) => {
  const pool = face.pool({ max: 5 });
  const results = await Promise.all(range(500).map((n) => pool.query('SELECT $1::int AS n', [n])));
  assert.equal(
    results.reduce((sum, { rows }) => sum + rows[0].n, 0),
    124_750,
  );
  assert.deepEqual([pool.totalCount, pool.idleCount, pool.waitingCount], [5, 5, 0]);
});

fact('pool: an onConnect that fails once in a while costs only those whose client it was', async (_t, face) => {
  let calls = 0;
  const onConnect = () => {
    calls += 1;
    if (calls % 2 === 0) throw new Error('every second');
  };
  const pool = face.pool({ max: 4, onConnect });
  const endings = await Promise.allSettled(range(4).map(() => pool.query('SELECT 1')));
  assert.equal(endings.filter(({ status }) => status === 'rejected').length, 2);
  assert.equal(pool.totalCount, 2);
});

fact('pool: who waits when the pool is ended is not served', async (_t, face) => {
  const pool = face.pool({ max: 1, connectionTimeoutMillis: 600 });
  const holder = await pool.connect();
  const waiting = pool.connect();
  waiting.catch(() => {});
  const ended = pool.end();
  holder.release();
  await ended;
  // The timer of who waits does not keep the process running.
  const [ending] = await Promise.all([Promise.allSettled([waiting]), sleep(800)]);
  assert.equal(/** @type {any} */ (ending[0]).reason.message, 'timeout exceeded when trying to connect');
});

fact('pool.query: a QueryStream that is destroyed early gives its client back', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const stream = new face.QueryStream('SELECT generate_series(1, 100000)::int AS n', [], { batchSize: 2 });
  pool.query(stream).catch(() => {});
  let rows = 0;
  for await (const _ of stream) {
    rows += 1;
    if (rows === 5) break;
  }
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool.query: a QueryStream that fails rejects', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const stream = new face.QueryStream('SELECT wrong');
  const whole = pool.query(stream);
  const [error] = await Promise.all([
    whole.catch((/** @type {any} */ reason) => reason),
    new Promise((resolve) => stream.on('error', resolve).resume()),
  ]);
  assert.equal(error.code, '42703');
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('pool: a wrapper of pool.query sees every call, as tracers need it', async (_t, face) => {
  const pool = face.pool();
  const query = pool.query;
  /** @type {string[]} */
  const seen = [];
  pool.query = function traced(/** @type {any[]} */ ...args) {
    seen.push(args[0]);
    return query.apply(this, args);
  };
  await pool.query('SELECT 1');
  assert.deepEqual(seen, ['SELECT 1']);
});

fact('pool: a wrapper of pool.connect is called by pool.query', async (_t, face) => {
  const pool = face.pool();
  const connect = pool.connect;
  let calls = 0;
  pool.connect = function traced(/** @type {any[]} */ ...args) {
    calls += 1;
    return connect.apply(this, args);
  };
  await pool.query('SELECT 1');
  assert.equal(calls, 1);
});

fact('pool: a wrapper of Client.prototype.query is called by pool.query', async (t, face) => {
  const { prototype } = face.pg.Client;
  const { query } = prototype;
  let calls = 0;
  prototype.query = function traced(/** @type {any[]} */ ...args) {
    calls += 1;
    return query.apply(this, args);
  };
  t.after(() => {
    prototype.query = query;
  });
  await face.pool().query('SELECT 1');
  assert.equal(calls, 1);
});

fact('pool: a class may extend Pool', async (t, face) => {
  class Mine extends face.pg.Pool {
    async one(/** @type {string} */ text, /** @type {any[]} */ values) {
      return (await this.query(text, values)).rows[0];
    }
  }
  const pool = new Mine(face.config);
  t.after(() => pool.end());
  assert.deepEqual(await pool.one('SELECT $1::int AS n', [4]), { n: 4 });
});

fact('pool: the rows of one query are not shared with another', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const [first, second] = [await pool.query('SELECT 1 AS n'), await pool.query('SELECT 1 AS n')];
  first.rows[0].n = 2;
  first.rows.push({ n: 3 });
  first.fields[0].name = 'changed';
  assert.deepEqual(second.rows, [{ n: 1 }]);
  const third = await pool.query('SELECT 1 AS n');
  assert.deepEqual([third.rows, third.fields[0].name], [[{ n: 1 }], 'n']);
});

fact('pool: a client that is ended twice, by its holder and by release, is no error', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  const ending = client.end();
  client.release(true);
  await ending;
  assert.equal(pool.totalCount, 0);
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});
