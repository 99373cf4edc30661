'use strict';

// How long a pool waits, and how long it keeps a client: connectionTimeoutMillis, idleTimeoutMillis, min, maxUses.
// maxLifetimeSeconds is in pool.lifetime.test.js.

const assert = require('node:assert/strict');
const net = require('node:net');
const { fact } = require('../support.js');
const { isPending, range, sleep, until } = require('../../support/helpers.js');

/** How long those wait who shall wait in vain. */
const WAIT_MS = 100;
const WAITED = 'timeout exceeded when trying to connect';

/**
 * A pool of one client, which somebody has. Only who waits for it is limited, because connecting takes its time on a busy machine: pg looks
 * at the option when a client is asked for.
 * @param {any} face
 * @param {object} [options]
 */
async function heldPool(face, options) {
  const pool = face.pool({ max: 1, ...options });
  const holder = await pool.connect();
  pool.options.connectionTimeoutMillis = WAIT_MS;
  return { pool, holder };
}

/** A server that accepts connections and never says anything. @param {import('node:test').TestContext} t */
async function silentServer(t) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).resume();
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: /** @type {import('node:net').AddressInfo} */ (server.address()).port, server, sockets };
}

/** A server that accepts connections, and closes them all after close(). @param {import('node:test').TestContext} t */
async function closingServer(t) {
  const { port, sockets, server } = await silentServer(t);
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.on('connection', (socket) => socket.destroy());
  };
  return { port, close };
}

fact(
  'pool: who waits longer than connectionTimeoutMillis for a client gets an error, and waits no more',
  async (_t, face) => {
    const { pool, holder } = await heldPool(face);
    const waiting = pool.connect();
    assert.equal(pool.waitingCount, 1);
    await assert.rejects(waiting, { name: 'Error', message: WAITED });
    assert.equal(pool.waitingCount, 0);
    holder.release();
    assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
  },
);

fact('pool: a callback of connect() gets the timeout as its error', async (_t, face) => {
  const { pool, holder } = await heldPool(face);
  const error = await new Promise((resolve) => {
    pool.connect(resolve);
  });
  assert.equal(error.message, WAITED);
  holder.release();
});

fact('pool: pool.query() rejects with the same timeout', async (_t, face) => {
  const { pool, holder } = await heldPool(face);
  await assert.rejects(pool.query('SELECT 1'), { message: WAITED });
  holder.release();
});

fact('pool: all who wait get their own timeout', async (_t, face) => {
  const { pool, holder } = await heldPool(face);
  const endings = await Promise.allSettled(range(5).map(() => pool.connect()));
  assert.deepEqual(
    endings.map((ending) => ending.status === 'rejected' && ending.reason.message),
    range(5).map(() => WAITED),
  );
  holder.release();
});

fact('pool: who gets a client in time keeps it beyond connectionTimeoutMillis', async (_t, face) => {
  const { pool, holder } = await heldPool(face);
  const waiting = pool.connect();
  holder.release();
  const client = await waiting;
  await sleep(WAIT_MS + 50);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
});

fact('pool: a client that has connected after its waiter gave up is idle, and works for others', async (_t, face) => {
  class Gated extends face.pg.Client {
    /** @param {any} callback */
    connect(callback) {
      if (gate === undefined) return super.connect(callback);
      gate.then(() => super.connect(callback));
    }
  }
  /** @type {Promise<void> | undefined} */
  let gate;
  const { pool, holder } = await heldPool(face, { Client: Gated });
  let open = () => {};
  gate = new Promise((resolve) => {
    open = resolve;
  });
  /** @type {any} */
  let failure;
  pool.connect().catch((/** @type {any} */ error) => {
    failure = error;
  });
  // The new client may take its time.
  pool.options.connectionTimeoutMillis = 0;
  holder.release(true);
  await until('the waiter gives up', () => failure !== undefined);
  assert.equal(failure.message, WAITED);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 0]);
  open();
  await until('the new client is idle', () => pool.idleCount === 1);
  assert.equal(pool.totalCount, 1);
  assert.deepEqual((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('pool: without connectionTimeoutMillis who waits has no limit', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const holder = await pool.connect();
  const waiting = pool.connect();
  assert.ok(await isPending(waiting));
  holder.release();
  (await waiting).release();
});

fact('pool: a server that accepts and stays silent ends in an error after connectionTimeoutMillis', async (t, face) => {
  const { port, sockets } = await silentServer(t);
  const pool = face.pool({ host: '127.0.0.1', port, connectionTimeoutMillis: 100 });
  await assert.rejects(pool.connect(), { message: 'Connection terminated due to connection timeout' });
  assert.equal(pool.totalCount, 0);
  // The socket of the attempt is closed, too.
  await until('the socket is closed', () => [...sockets].every((socket) => socket.destroyed || socket.readableEnded));
});

/** The core's default takes 5 s: in the quick form the core is given less. */
const LIMIT = process.env.HYPERION_FULL === '1' ? {} : { acquireTimeoutMs: 300 };

fact(
  'pool: without connectionTimeoutMillis a server that stays silent is waited for without end',
  async (t, face) => {
    const { port } = await silentServer(t);
    const connecting = face.pool({ host: '127.0.0.1', port }).connect();
    connecting.catch(() => {});
    await sleep(process.env.HYPERION_FULL === '1' ? 6000 : 500);
    assert.ok(await isPending(connecting));
  },
  {
    differs: {
      reason:
        'Without `connectionTimeoutMillis` (or with 0) a connection that is not there after 5 s is an error: pg waits for a silent server without end. Waiting for a client that others use has no limit, as in pg.',
      test: async (t, face) => {
        const { port } = await silentServer(t);
        const pool = face.pool({ host: '127.0.0.1', port, ...LIMIT });
        await assert.rejects(pool.connect(), /timeout|expired/);
        assert.equal(pool.totalCount, 0);
      },
    },
  },
);

fact('pool: a connection that cannot be made makes room for who waits', async (t, face) => {
  const { port, close } = await closingServer(t);
  // Without a connectionTimeoutMillis who waits would wait for ever.
  const pool = face.pool({ host: '127.0.0.1', port, max: 1, ...LIMIT });
  const first = pool.connect();
  const second = pool.connect();
  assert.deepEqual([pool.totalCount, pool.waitingCount], [1, 1]);
  assert.ok(await isPending(first));
  close();
  await assert.rejects(first);
  await assert.rejects(second);
  assert.deepEqual([pool.totalCount, pool.waitingCount], [0, 0]);
});

fact('pool: a client that is idle for idleTimeoutMillis is closed and removed', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: 50 });
  const client = await pool.connect();
  client.release();
  const removed = new Promise((resolve) => {
    pool.once('remove', resolve);
  });
  assert.equal(await removed, client);
  assert.deepEqual([pool.totalCount, pool.idleCount], [0, 0]);
  await face.untilGone(client.processID);
});

fact('pool: a client that is out is not idle, however long it is out', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: 30 });
  const client = await pool.connect();
  await sleep(100);
  assert.equal(pool.totalCount, 1);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  client.release();
});

fact('pool: with idleTimeoutMillis 0 an idle client is kept', async (_t, face) => {
  const pool = face.pool({ idleTimeoutMillis: 0 });
  await pool.query('SELECT 1');
  await sleep(100);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool: min clients stay when the others have been idle for too long', async (_t, face) => {
  const pool = face.pool({ min: 1, idleTimeoutMillis: 50 });
  const clients = await Promise.all(range(3).map(() => pool.connect()));
  for (const client of clients) client.release();
  await until('one is left', () => pool.totalCount === 1);
  await sleep(150);
  assert.deepEqual([pool.totalCount, pool.idleCount], [1, 1]);
});

fact('pool: min makes no client by itself', async (_t, face) => {
  const pool = face.pool({ min: 2 });
  await sleep(50);
  assert.equal(pool.totalCount, 0);
});

fact('pool: a client that was used maxUses times is replaced', async (_t, face) => {
  const pool = face.pool({ max: 1, maxUses: 2 });
  /** @type {number[]} */
  const pids = [];
  for (const _ of range(5)) pids.push((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
  const [a, b, c, d, e] = pids;
  assert.deepEqual([a === b, b === c, c === d, d === e], [true, false, true, false]);
});

fact('pool: a use is a checkout, whatever runs in it', async (_t, face) => {
  const pool = face.pool({ max: 1, maxUses: 1 });
  const client = await pool.connect();
  for (const _ of range(5)) await client.query('SELECT 1');
  assert.equal(pool.totalCount, 1);
  client.release();
  assert.equal(pool.totalCount, 0);
});

fact('pool: who waits for an expended client gets its successor', async (_t, face) => {
  const pool = face.pool({ max: 1, maxUses: 1 });
  const first = await pool.connect();
  const waiting = pool.connect();
  first.release();
  const second = await waiting;
  assert.notEqual(second.processID, first.processID);
  second.release();
});
