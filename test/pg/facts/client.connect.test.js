'use strict';

// Connecting: https://node-postgres.com/apis/client, and pg's own test/integration/client/{configuration,error-handling,appname,
// connection-timeout,promise-api}-tests.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { failureOf, sleep } = require('../../support/helpers.js');
const { called, fact } = require('../support.js');

/** A port on which nothing listens. */
async function refusedPort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * The port of a server that is silent, and closes with its test.
 * @param {import('node:test').TestContext} t
 * @param {(socket: net.Socket) => void} [onConnection]
 */
async function strangePort(t, onConnection = () => {}) {
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return /** @type {net.AddressInfo} */ (server.address()).port;
}

/** So that a host that fails is not asked again for longer: see the fact of a server that starts. */
const BOUNDED = { connectionTimeoutMillis: 1000 };

fact('connect: a promise resolves to the client', async (_t, face) => {
  const client = face.unconnected();
  assert.equal(await client.connect(), client);
});

fact('connect: a callback gets no error and the client, and nothing is returned', async (_t, face) => {
  const client = face.unconnected();
  let returned;
  const args = await called((callback) => {
    returned = client.connect(callback);
  });
  assert.equal(returned, undefined);
  assert.equal(args[0], null);
  assert.equal(args[1], client);
});

fact('connect: the event connect is emitted once', async (_t, face) => {
  const client = face.unconnected();
  let count = 0;
  client.on('connect', () => {
    count += 1;
  });
  await client.connect();
  await client.query('SELECT 1');
  assert.equal(count, 1);
});

fact('connect: connecting twice rejects', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.connect());
  assert.equal(error.message, 'Client has already been connected. You cannot reuse a client.');
});

fact('connect: connecting twice calls the second callback with an error', async (_t, face) => {
  const client = await face.client();
  const [error] = await called((callback) => client.connect(callback));
  assert.equal(error.message, 'Client has already been connected. You cannot reuse a client.');
});

fact('connect: connecting while it connects rejects, and the client connects', async (_t, face) => {
  const client = face.unconnected();
  const connected = once(client, 'connect');
  client.connect().catch(() => {});
  const error = await failureOf(client.connect());
  assert.equal(error.message, 'Client has already been connected. You cannot reuse a client.');
  await connected;
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('connect: a wrong password rejects with 28P01', async (_t, face) => {
  const error = await failureOf(face.unconnected({ password: 'wrong' }).connect());
  assert.equal(error.code, '28P01');
  assert.equal(error.severity, 'FATAL');
  assert.match(error.message, /password authentication failed for user/);
  assert.ok(error instanceof face.pg.DatabaseError);
});

fact('connect: a wrong password calls the callback with 28P01', async (_t, face) => {
  const client = face.unconnected({ password: 'wrong' });
  const [error] = await called((callback) => client.connect(callback));
  assert.equal(error.code, '28P01');
});

fact('connect: an unknown database rejects with 3D000', async (_t, face) => {
  const error = await failureOf(face.unconnected({ database: 'nosuchdb' }).connect());
  assert.equal(error.code, '3D000');
  assert.equal(error.message, 'database "nosuchdb" does not exist');
});

fact(
  'connect: a port that refuses is not tried again',
  async (_t, face) => {
    const port = await refusedPort();
    const began = performance.now();
    await failureOf(face.unconnected({ host: '127.0.0.1', port, connectionTimeoutMillis: 20_000 }).connect());
    assert.ok(performance.now() - began < 20_000);
  },
  {
    differs: {
      reason:
        'A server that refuses connections is tried again for `connectionTimeoutMillis`, or for 5 s: a node that restarts, or a new primary, is there by then. pg rejects at once.',
      test: async (_t, face) => {
        const port = await refusedPort();
        const began = performance.now();
        const client = face.unconnected({ host: '127.0.0.1', port, connectionTimeoutMillis: 300 });
        assert.equal((await failureOf(client.connect())).code, 'ECONNREFUSED');
        assert.ok(performance.now() - began > 250);
      },
    },
  },
);

fact('connect: a port that refuses rejects with ECONNREFUSED', async (_t, face) => {
  const port = await refusedPort();
  const error = await failureOf(face.unconnected({ ...BOUNDED, host: '127.0.0.1', port }).connect());
  assert.equal(error.code, 'ECONNREFUSED');
  assert.ok(error.message.includes(String(port)), error.message);
});

/**
 * A client that connects to a port on which a server listens a little later.
 * @param {import('node:test').TestContext} t
 * @param {any} face
 */
async function connectedWhileStarting(t, face) {
  const port = await refusedPort();
  const { host: target, port: targetPort } = face.config;
  const connected = face.unconnected({ host: '127.0.0.1', port }).connect();
  const settled = Promise.allSettled([connected]);
  await sleep(100);
  const relay = net.createServer((socket) => {
    const server = net.connect(targetPort, target);
    for (const end of [socket, server]) end.on('error', () => {});
    socket.pipe(server).pipe(socket);
  });
  relay.listen(port, '127.0.0.1');
  t.after(() => relay.close());
  const [{ status }] = await settled;
  return status;
}

fact(
  'connect: a host that refuses is not asked again',
  async (t, face) => assert.equal(await connectedWhileStarting(t, face), 'rejected'),
  {
    differs: {
      reason:
        'A host that refuses or is not known is asked again until `connectionTimeoutMillis` (5 s without it) has passed: it may be starting, or another may become the primary. pg fails at once.',
      test: async (t, face) => assert.equal(await connectedWhileStarting(t, face), 'fulfilled'),
    },
  },
);

fact('connect: an error while connecting is no error event', async (_t, face) => {
  const client = face.unconnected({ password: 'wrong' });
  let events = 0;
  client.on('error', () => {
    events += 1;
  });
  await failureOf(client.connect());
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(events, 0);
});

fact('connect: a host name that is unknown rejects with ENOTFOUND or EAI_AGAIN', async (_t, face) => {
  const error = await failureOf(face.unconnected({ ...BOUNDED, host: 'nosuchhost.invalid' }).connect());
  assert.match(error.code, /^(ENOTFOUND|EAI_AGAIN)$/);
});

fact('connect: connectionTimeoutMillis bounds a silent server', async (t, face) => {
  const port = await strangePort(t);
  const client = face.unconnected({ host: '127.0.0.1', port, connectionTimeoutMillis: 100 });
  const error = await failureOf(client.connect());
  assert.equal(error.message, 'timeout expired');
});

fact('connect: connectionTimeoutMillis in a callback', async (t, face) => {
  const port = await strangePort(t);
  const client = face.unconnected({ host: '127.0.0.1', port, connectionTimeoutMillis: 100 });
  const [error] = await called((callback) => client.connect(callback));
  assert.equal(error.message, 'timeout expired');
});

fact('connect: connectionTimeoutMillis does not touch a client that has connected', async (_t, face) => {
  const client = await face.client({ connectionTimeoutMillis: 1000 });
  const { rows } = await client.query('SELECT pg_sleep(1.2), 1 AS one');
  assert.equal(rows[0].one, 1);
});

fact('connect: a server that closes at once rejects', async (t, face) => {
  const port = await strangePort(t, (socket) => socket.end());
  const error = await failureOf(face.unconnected({ ...BOUNDED, host: '127.0.0.1', port }).connect());
  assert.equal(error.message, 'Connection terminated unexpectedly');
});

fact('connect: a connection string is taken instead of single options', async (_t, face) => {
  const { host, port, user, password, database } = face.config;
  const client = new face.pg.Client(
    `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}?application_name=by-string`,
  );
  await client.connect();
  const { rows } = await client.query("SELECT current_setting('application_name') AS name");
  await client.end();
  assert.equal(rows[0].name, 'by-string');
});

fact('connect: the password may be a function', async (_t, face) => {
  const client = await face.client({ password: () => face.config.password });
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('connect: the password may be an asynchronous function', async (_t, face) => {
  const client = await face.client({ password: async () => face.config.password });
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('connect: a password function that fails rejects with its error', async (_t, face) => {
  const mine = new Error('no token');
  const client = face.unconnected({
    password: async () => {
      throw mine;
    },
  });
  assert.equal(await failureOf(client.connect()), mine);
});

fact('connect: a password function that gives no string is a TypeError', async (_t, face) => {
  const error = await failureOf(face.unconnected({ password: () => 42 }).connect());
  assert.ok(error instanceof TypeError);
  assert.equal(error.message, 'Password must be a string');
});

fact('connect: no password where one is needed', async (_t, face) => {
  const error = await failureOf(face.unconnected({ password: '' }).connect());
  assert.match(error.message, /client password must be a string/);
});

fact('connect: host, port, user and database are members of the client, the password is hidden', async (_t, face) => {
  const client = face.unconnected();
  const { host, port, user, password, database } = face.config;
  assert.deepEqual([client.host, client.port, client.user, client.database], [host, port, user, database]);
  assert.equal(client.password, password);
  assert.equal(Object.keys(client).includes('password'), false);
  assert.equal(require('node:util').inspect(client, { depth: 4 }).includes(password), false);
});

fact('connect: processID is that of the server process', async (_t, face) => {
  const client = face.unconnected();
  assert.equal(client.processID, null);
  await client.connect();
  assert.equal(typeof client.processID, 'number');
  assert.equal(client.processID, (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
});

fact('connect: secretKey is a number', async (_t, face) => {
  const client = await face.client();
  assert.equal(typeof client.secretKey, 'number');
});

fact('connect: application_name is told the server', async (_t, face) => {
  const client = await face.client({ application_name: 'my app' });
  const { rows } = await client.query('SHOW application_name');
  assert.deepEqual(rows, [{ application_name: 'my app' }]);
});

fact('connect: fallback_application_name counts when there is no application_name', async (_t, face) => {
  const client = await face.client({ fallback_application_name: 'the other' });
  assert.deepEqual((await client.query('SHOW application_name')).rows, [{ application_name: 'the other' }]);
});

fact('connect: application_name comes before fallback_application_name', async (_t, face) => {
  const client = await face.client({ application_name: 'mine', fallback_application_name: 'the other' });
  assert.deepEqual((await client.query('SHOW application_name')).rows, [{ application_name: 'mine' }]);
});

fact('connect: without a name application_name is empty', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query('SHOW application_name')).rows, [{ application_name: '' }]);
});

fact('connect: options are settings of the session', async (_t, face) => {
  const client = await face.client({ options: '-c search_path=elsewhere -c work_mem=5MB' });
  const { rows } = await client.query(
    "SELECT current_setting('search_path') AS path, current_setting('work_mem') AS mem",
  );
  assert.deepEqual(rows, [{ path: 'elsewhere', mem: '5MB' }]);
});

fact('connect: client_encoding is UTF8 whatever the option says', async (_t, face) => {
  const client = await face.client({ client_encoding: 'utf8' });
  assert.deepEqual((await client.query('SHOW client_encoding')).rows, [{ client_encoding: 'UTF8' }]);
});

fact('connect: an option that pg does not know is ignored', async (_t, face) => {
  const client = await face.client({ thereIsNoSuchOption: 1 });
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});
