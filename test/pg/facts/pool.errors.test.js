'use strict';

// Sessions that break: while their client is idle in the pool, and while it is out.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { Program } = require('./processes.js');
const { terminate } = require('./sessions.js');
const { until } = require('../../support/helpers.js');

const NOT_QUERYABLE = 'Client has encountered a connection error and is not queryable';

/** @param {any} emitter @param {string} event @returns {Promise<any[]>} the arguments of the next one */
const next = (emitter, event) =>
  new Promise((resolve) => {
    emitter.once(event, (/** @type {any[]} */ ...args) => resolve(args));
  });

fact(
  'pool: an idle client that is terminated emits error on the pool, with the error and the client',
  async (_t, face) => {
    const pool = face.pool();
    const client = await pool.connect();
    client.release();
    const told = next(pool, 'error');
    await terminate(face, client.processID);
    const [error, broken] = await told;
    assert.ok(error instanceof Error);
    assert.equal(/** @type {any} */ (error).code, '57P01');
    assert.equal(broken, client);
    assert.equal(/** @type {any} */ (error).client, client);
  },
);

fact('pool: an idle client that is terminated is removed, and the next one is new', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  pool.on('error', () => {});
  const client = await pool.connect();
  client.release();
  const removed = next(pool, 'remove');
  await terminate(face, client.processID);
  assert.deepEqual(await removed, [client]);
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
  assert.notEqual((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid, client.processID);
});

fact('pool: the error of a session is emitted once on the pool', async (_t, face) => {
  const pool = face.pool();
  let errors = 0;
  pool.on('error', () => {
    errors += 1;
  });
  const client = await pool.connect();
  client.release();
  const ended = next(client, 'end');
  await terminate(face, client.processID);
  await ended;
  await pool.query('SELECT 1');
  assert.equal(errors, 1);
});

const WITHOUT_LISTENER = `
  const pool = new pg.Pool({ ...config });
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
  const killer = new pg.Client(config);
  await killer.connect();
  await killer.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
  await killer.end();
  while (pool.totalCount > 0) await sleep(10);
  console.log((await pool.query('SELECT 1 AS one')).rows[0].one);
  await pool.end();`;

fact(
  'process: a pool without a listener for error ends its process when an idle client breaks',
  async (t, face) => {
    const { code, lines, errors } = await new Program(t, face, WITHOUT_LISTENER).ended;
    assert.deepEqual({ code, lines }, { code: 1, lines: [] });
    assert.match(errors, /57P01/);
  },
  {
    differs: {
      reason:
        'An idle client whose session breaks does not end the process when nobody listens for `error` on the pool: a failover breaks every idle session at once, and the pool replaces them by itself.',
      test: async (t, face) => {
        const { code, lines, errors } = await new Program(t, face, WITHOUT_LISTENER).ended;
        assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['1'], errors: '' });
      },
    },
  },
);

const OUT_WITHOUT_LISTENER = `
  const pool = new pg.Pool({ ...config });
  const client = await pool.connect();
  const killer = new pg.Client(config);
  await killer.connect();
  await killer.query('SELECT pg_terminate_backend($1)', [client.processID]);
  await killer.end();
  await sleep(50);
  await client.query('SELECT 1').catch((error) => console.log(error.message));
  client.release();
  console.log((await pool.query('SELECT 1 AS one')).rows[0].one);
  await pool.end();`;

fact(
  'process: a client that breaks while it is out ends its process when nobody listens for its error',
  async (t, face) => {
    const { code, lines, errors } = await new Program(t, face, OUT_WITHOUT_LISTENER).ended;
    assert.deepEqual({ code, lines }, { code: 1, lines: [] });
    assert.match(errors, /57P01/);
  },
  {
    differs: {
      reason: 'Nor does a client that breaks while it is out of its pool: the next statement of its holder fails.',
      test: async (t, face) => {
        const { code, lines, errors } = await new Program(t, face, OUT_WITHOUT_LISTENER).ended;
        assert.deepEqual({ code, errors }, { code: 0, errors: '' });
        assert.equal(lines.length, 2);
        assert.match(lines[0], /not queryable|terminat/);
        assert.equal(lines[1], '1');
      },
    },
  },
);

fact('pool: a client that breaks while it is out tells its holder by error, not the pool', async (_t, face) => {
  const pool = face.pool();
  /** @type {any[]} */
  const ofPool = [];
  pool.on('error', (/** @type {any} */ error) => ofPool.push(error));
  const client = await pool.connect();
  client.on('error', () => {}); // pg tells the end of the session by a second error
  const told = next(client, 'error');
  await terminate(face, client.processID);
  const [error] = await told;
  assert.equal(/** @type {any} */ (error).code, '57P01');
  assert.equal(pool.totalCount, 1);
  client.release();
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
  assert.deepEqual(ofPool, []);
});

fact('pool: a broken client that is out refuses statements', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  client.on('error', () => {}); // pg tells the end of the session by a second error
  const told = next(client, 'error');
  await terminate(face, client.processID);
  await told;
  await assert.rejects(client.query('SELECT 1'), { message: NOT_QUERYABLE });
  client.release();
});

fact('pool: a broken client emits end', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  client.on('error', () => {});
  const ended = next(client, 'end');
  await terminate(face, client.processID);
  await ended;
  client.release();
});

fact('pool: a statement that runs when its session is terminated rejects with 57P01', async (_t, face) => {
  const pool = face.pool();
  pool.on('error', () => {}); // when the client is released before its socket is closed
  const client = await pool.connect();
  client.on('error', () => {});
  const running = client.query('SELECT pg_sleep(30)');
  running.catch(() => {});
  await until('it runs', async () => {
    const rows = await face.server.sql("SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [
      client.processID,
    ]);
    return rows.length === 1;
  });
  await terminate(face, client.processID);
  await assert.rejects(running, { code: '57P01', severity: 'FATAL' });
  client.release();
  await face.untilGone(client.processID);
});

fact('pool: release(err) of a broken client makes room, and the next one works', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  client.on('error', () => {}); // pg tells the end of the session by a second error
  const told = next(client, 'error');
  await terminate(face, client.processID);
  const [error] = await told;
  const waiting = pool.connect();
  client.release(error);
  const other = await waiting;
  assert.notEqual(other.processID, client.processID);
  other.release();
});

fact('pool: an error of a statement emits no error, neither on the client nor on the pool', async (_t, face) => {
  const pool = face.pool();
  let errors = 0;
  const count = () => {
    errors += 1;
  };
  pool.on('error', count);
  const client = await pool.connect();
  client.on('error', count);
  await assert.rejects(client.query('SELECT wrong'), { code: '42703' });
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
  await assert.rejects(pool.query('SELECT wrong'));
  assert.equal(errors, 0);
});

fact('pool: an error that a program emits on an idle client is told by the pool, and removes it', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  client.release();
  const told = next(pool, 'error');
  const expected = new Error('expected');
  client.emit('error', expected);
  assert.deepEqual(await told, [expected, client]);
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
});

fact('pool: an error that a program emits on a client that is out stays there', async (_t, face) => {
  const pool = face.pool();
  const client = await pool.connect();
  const told = next(client, 'error');
  const expected = new Error('expected');
  client.emit('error', expected);
  assert.deepEqual(await told, [expected]);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 0]);
  client.release();
});
