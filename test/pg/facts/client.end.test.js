'use strict';

// How a client ends, and how its connection is lost: https://node-postgres.com/apis/client#clientend, and pg's own
// test/integration/client/{error-handling,quick-disconnect,network-partition}-tests.js.

const assert = require('node:assert/strict');
const { failureOf, printedBy, until } = require('../../support/helpers.js');
const { called, emitted, fact, programOf } = require('../support.js');

/** The names of a client's events, in their order. @param {any} client @param {...string} names */
function eventsOf(client, ...names) {
  /** @type {string[]} */
  const events = [];
  for (const name of names) client.on(name, () => events.push(name));
  return events;
}

fact('end: a promise resolves, and the session of the server ends', async (_t, face) => {
  const client = await face.client();
  const { processID } = client;
  assert.equal(await client.end(), undefined);
  await face.untilGone(processID);
});

fact('end: a callback is called, and nothing is returned', async (_t, face) => {
  const client = await face.client();
  let returned;
  const [error] = await called((callback) => {
    returned = client.end(callback);
  });
  assert.equal(error, undefined);
  assert.equal(returned, undefined);
});

fact('end: the event end is emitted once', async (_t, face) => {
  const client = await face.client();
  const events = eventsOf(client, 'end', 'error');
  await client.end();
  await until('the client has ended', () => events.length > 0);
  await client.end();
  assert.deepEqual(events, ['end']);
});

fact('end: ending twice resolves twice', async (_t, face) => {
  const client = await face.client();
  await client.end();
  assert.equal(await client.end(), undefined);
});

fact('end: a client that has never connected ends at once', async (_t, face) => {
  assert.equal(await face.unconnected().end(), undefined);
});

fact('end: a client that has never connected calls the callback', async (_t, face) => {
  await called((callback) => face.unconnected().end(callback));
});

fact('end: a query afterwards rejects', async (_t, face) => {
  const client = await face.client();
  await client.end();
  const error = await failureOf(client.query('SELECT 1'));
  assert.equal(error.message, 'Client was closed and is not queryable');
});

fact('end: a query afterwards calls its callback with the error', async (_t, face) => {
  const client = await face.client();
  await client.end();
  const [error] = await called((callback) => client.query('SELECT 1', callback));
  assert.equal(error.message, 'Client was closed and is not queryable');
});

fact('end: a Query afterwards emits the error', async (_t, face) => {
  const client = await face.client();
  await client.end();
  const query = client.query(new face.pg.Query('SELECT 1'));
  const [error] = await emitted(query, 'error');
  assert.equal(error.message, 'Client was closed and is not queryable');
});

fact('end: connecting afterwards rejects', async (_t, face) => {
  const client = await face.client();
  await client.end();
  const error = await failureOf(client.connect());
  assert.equal(error.message, 'Client has already been connected. You cannot reuse a client.');
});

fact('end: a query that runs fails with Connection terminated', async (_t, face) => {
  const client = await face.client();
  const failed = failureOf(client.query('SELECT pg_sleep(30)'));
  await face.untilActive(client);
  await client.end();
  assert.equal((await failed).message, 'Connection terminated');
});

fact('end: queries that wait fail with Connection terminated, in their order', async (_t, face) => {
  const client = await face.client();
  /** @type {[number, string][]} */
  const failures = [];
  const queries = [0, 1, 2].map((i) =>
    client.query('SELECT pg_sleep(30)').catch((/** @type {Error} */ error) => failures.push([i, error.message])),
  );
  await face.untilActive(client);
  await client.end();
  await Promise.all(queries);
  assert.deepEqual(
    failures,
    [0, 1, 2].map((i) => [i, 'Connection terminated']),
  );
});

fact('end: a client that ends while a query runs has no error event', async (_t, face) => {
  const client = await face.client();
  const events = eventsOf(client, 'end', 'error');
  const failed = failureOf(client.query('SELECT pg_sleep(30)'));
  await client.end();
  await failed;
  await until('the client has ended', () => events.length > 0);
  assert.deepEqual(events, ['end']);
});

fact('end: at drain a client can be ended', async (_t, face) => {
  const client = await face.client();
  const ended = emitted(client, 'end');
  client.once('drain', () => client.end());
  const { rows } = await client.query('SELECT 1 AS one');
  await ended;
  assert.equal(rows[0].one, 1);
});

fact('end: in the callback of a query a client can be ended', async (_t, face) => {
  const client = await face.client();
  await new Promise((resolve, reject) => {
    client.query('SELECT 1', (/** @type {any} */ error) => (error ? reject(error) : client.end(resolve)));
  });
});

/** Ends a client while a statement runs. @param {any} face */
async function endedWhileActive(face) {
  const client = await face.client();
  client.query('SELECT pg_sleep(30)').catch(() => {});
  await face.untilActive(client);
  await client.end();
  return client;
}

fact(
  'end: a statement that runs goes on in the server',
  async (_t, face) => {
    const client = await endedWhileActive(face);
    await face.untilActive(client);
    await face.terminate(client);
  },
  {
    differs: {
      reason:
        '`end()` cancels a statement that still runs 100 ms later, and waits for its end; pg closes the socket, and the server goes on with the statement and its locks.',
      test: async (_t, face) => face.untilGone((await endedWhileActive(face)).processID),
    },
  },
);

/** A program with an idle client that loses its session, and nobody who listens for errors. @param {any} face */
const lonelyClient = (face) => `${programOf(face)}
  process.on('uncaughtException', (error) => { print('uncaught', error.code); process.exit(0); });
  const client = new pg.Client(config);
  await client.connect();
  const other = new pg.Client(config);
  await other.connect();
  const ended = new Promise((resolve) => client.once('end', resolve));
  await other.query('SELECT pg_terminate_backend($1)', [client.processID]);
  await ended;
  print('end');
  await other.end();`;

fact(
  'lost: an idle client without a listener for error ends the process',
  async (_t, face) => {
    assert.deepEqual(await printedBy(null, lonelyClient(face), { load: false }), ['uncaught 57P01']);
  },
  {
    differs: {
      reason:
        'An idle `Client` whose session breaks does not end the process when nobody listens for its `error`: its next query fails.',
      test: async (_t, face) => {
        assert.deepEqual(await printedBy(null, lonelyClient(face), { load: false }), ['end']);
      },
    },
  },
);

fact('lost: an idle client emits error with the FATAL of the server, then end', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const errors = [];
  client.on('error', (/** @type {any} */ error) => errors.push(error));
  const ended = emitted(client, 'end');
  await face.terminate(client);
  await ended;
  assert.equal(errors[0].code, '57P01');
  assert.equal(errors[0].message, 'terminating connection due to administrator command');
  assert.equal(errors[0].severity, 'FATAL');
});

fact('lost: an idle client emits error a second time when its socket closes', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const messages = [];
  client.on('error', (/** @type {Error} */ error) => messages.push(error.message));
  const ended = emitted(client, 'end');
  await face.terminate(client);
  await ended;
  assert.deepEqual(messages.slice(1), ['Connection terminated unexpectedly']);
});

fact('lost: the query that runs fails with 57P01', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const failed = failureOf(client.query('SELECT pg_sleep(30)'));
  await face.untilActive(client);
  await face.terminate(client);
  const error = await failed;
  assert.equal(error.code, '57P01');
  assert.ok(error instanceof face.pg.DatabaseError);
});

fact('lost: the query that runs fails, and the client emits error, then end', async (_t, face) => {
  const client = await face.client();
  const events = eventsOf(client, 'error', 'end');
  const failed = failureOf(client.query('SELECT pg_sleep(30)'));
  await face.untilActive(client);
  await face.terminate(client);
  await failed;
  await until('the client has ended', () => events.includes('end'));
  assert.deepEqual(events, ['error', 'end']);
});

fact('lost: queries that wait fail with Connection terminated unexpectedly', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const first = failureOf(client.query('SELECT pg_sleep(30)'));
  const second = failureOf(client.query('SELECT 1'));
  await face.untilActive(client);
  await face.terminate(client);
  assert.equal((await first).code, '57P01');
  assert.equal((await second).message, 'Connection terminated unexpectedly');
});

fact('lost: a query afterwards fails, and says that the client is not queryable', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const ended = emitted(client, 'end');
  await face.terminate(client);
  await ended;
  const error = await failureOf(client.query('SELECT 1'));
  assert.equal(error.message, 'Client has encountered a connection error and is not queryable');
});

fact('lost: end() afterwards resolves', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const ended = emitted(client, 'end');
  await face.terminate(client);
  await ended;
  assert.equal(await client.end(), undefined);
});

fact('lost: a query that terminates its own session fails with 57P01', async (_t, face) => {
  const client = await face.client();
  client.on('error', () => {});
  const error = await failureOf(client.query('SELECT pg_terminate_backend(pg_backend_pid())'));
  assert.equal(error.code, '57P01');
});

fact('ref: a client has ref() and unref()', async (_t, face) => {
  const client = await face.client();
  client.unref();
  client.ref();
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

/** What a program sees of a session that is terminated under its statement, in order. @param {any} face */
async function terminatedUnderStatement(face) {
  const client = await face.client();
  /** @type {string[]} */
  const seen = [];
  client.on('error', (/** @type {any} */ error) => seen.push(`error: ${error.message}`));
  const ended = new Promise((resolve) => client.once('end', resolve));
  const failed = client.query('SELECT pg_terminate_backend(pg_backend_pid())');
  await failed.catch((/** @type {any} */ error) => seen.push(`query: ${error.code}`));
  await ended;
  return seen;
}

fact(
  'loss: a session that is terminated under its statement fails the statement, and then the client emits error',
  async (_t, face) => {
    assert.deepEqual(await terminatedUnderStatement(face), [
      'query: 57P01',
      'error: Connection terminated unexpectedly',
    ]);
  },
  {
    differs: {
      reason:
        'When a session ends under a statement, the client emits `error` before the statement fails, with what the server has said: a pool of a library does not lend the client again.',
      test: async (_t, face) => {
        assert.deepEqual(await terminatedUnderStatement(face), [
          'error: terminating connection due to administrator command',
          'query: 57P01',
        ]);
      },
    },
  },
);
