'use strict';

// The queue of a client, its callbacks and what is thrown in them: https://node-postgres.com/apis/client, and pg's own
// test/integration/client/{simple-query,api,query-as-promise}-tests.js and gh-issues/{130,600,1105}-tests.js.

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { EventEmitter, once } = require('node:events');
const { failureOf, printedBy } = require('../../support/helpers.js');
const { fact, programOf } = require('../support.js');

fact('queue: a query before connect() waits for it', async (_t, face) => {
  const client = face.unconnected();
  const query = client.query('SELECT 1 AS one');
  await client.connect();
  assert.deepEqual((await query).rows, [{ one: 1 }]);
});

fact('queue: queries before connect() run in their order', async (_t, face) => {
  const client = face.unconnected();
  const queries = [
    client.query('CREATE TEMP TABLE queued (n int)'),
    client.query('INSERT INTO queued VALUES (1)'),
    client.query('INSERT INTO queued VALUES ($1)', [2]),
    client.query('SELECT n FROM queued ORDER BY n'),
  ];
  await client.connect();
  assert.deepEqual((await Promise.all(queries))[3].rows, [{ n: 1 }, { n: 2 }]);
});

fact('queue: a query while it connects waits', async (_t, face) => {
  const client = face.unconnected();
  const connected = client.connect();
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  await connected;
});

fact('queue: queries before a connect() that fails reject', async (_t, face) => {
  const client = face.unconnected({ password: 'wrong' });
  const failed = failureOf(client.query('SELECT 1'));
  assert.equal((await failureOf(client.connect())).code, '28P01');
  assert.match((await failed).message, /^Connection terminated/);
});

fact('queue: queries that are not awaited run one after another', async (_t, face) => {
  const client = await face.client();
  /** @type {number[]} */
  const order = [];
  const sleeps = [30, 20, 10, 0];
  await Promise.all(sleeps.map((ms) => client.query('SELECT pg_sleep($1)', [ms / 1000]).then(() => order.push(ms))));
  assert.deepEqual(order, sleeps);
});

fact('queue: texts, values and names go in one order', async (_t, face) => {
  const client = await face.client();
  const results = await Promise.all([
    client.query('CREATE TEMP SEQUENCE places'),
    client.query("SELECT nextval('places') AS place"),
    client.query('SELECT nextval($1) AS place', ['places']),
    client.query({ name: 'place', text: 'SELECT nextval($1) AS place', values: ['places'] }),
    client.query("SELECT nextval('places') AS place"),
  ]);
  assert.deepEqual(
    results.slice(1).map(({ rows }) => rows[0].place),
    ['1', '2', '3', '4'],
  );
});

fact('queue: an error does not touch the queries behind it', async (_t, face) => {
  const client = await face.client();
  const [one, two, three] = await Promise.allSettled([
    client.query('SELECT 1 AS n'),
    client.query('SELEKT'),
    client.query('SELECT 3 AS n'),
  ]);
  assert.deepEqual([one.status, two.status, three.status], ['fulfilled', 'rejected', 'fulfilled']);
});

fact('queue: two hundred queries at once', async (_t, face) => {
  const client = await face.client();
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  const results = await Promise.all(numbers.map((n) => client.query('SELECT $1::int AS n', [n])));
  assert.deepEqual(
    results.map(({ rows }) => rows[0].n),
    numbers,
  );
});

fact('queue: callbacks and promises settle in one order', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const order = [];
  client.query('SELECT 1', () => order.push('callback'));
  const promise = client.query('SELECT 2').then(() => order.push('promise'));
  await promise;
  assert.deepEqual(order, ['callback', 'promise']);
});

fact('queue: a query in a callback runs behind those that wait', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const order = [];
  await new Promise((resolve) => {
    client.query('SELECT 1', () => {
      order.push('first');
      client.query('SELECT 2', () => {
        order.push('from the callback');
        resolve(undefined);
      });
    });
    client.query('SELECT 3', () => order.push('second'));
  });
  assert.deepEqual(order, ['first', 'second', 'from the callback']);
});

fact('queue: a callback is called once, for several statements, too', async (_t, face) => {
  const client = await face.client();
  let calls = 0;
  client.query('SELECT 1; SELECT 2; SELECT 3', () => {
    calls += 1;
  });
  await client.query('SELECT 4');
  assert.equal(calls, 1);
});

fact('drain: it is emitted when the last query of the queue has ended', async (_t, face) => {
  const client = await face.client();
  let ended = 0;
  const drained = once(client, 'drain').then(() => ended);
  for (let i = 0; i < 3; i += 1) {
    client.query('SELECT 1', () => {
      ended += 1;
    });
  }
  assert.equal(await drained, 3);
});

fact('drain: it is emitted after an error, too', async (_t, face) => {
  const client = await face.client();
  const drained = once(client, 'drain');
  await failureOf(client.query('SELEKT'));
  await drained;
});

fact('drain: it is not emitted by connecting', async (_t, face) => {
  const client = face.unconnected();
  let drains = 0;
  client.on('drain', () => {
    drains += 1;
  });
  await client.connect();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(drains, 0);
  await client.query('SELECT 1');
  await client.query('SELECT 2');
  assert.equal(drains >= 1, true);
});

fact('client: it is an EventEmitter, and a program may put its own members on it', async (_t, face) => {
  const client = await face.client();
  assert.ok(client instanceof EventEmitter);
  client.mine = 1;
  assert.equal(client.mine, 1);
});

fact('client: query may be replaced by a wrapper, as tracers do', async (_t, face) => {
  const client = await face.client();
  const original = client.query;
  /** @type {string[]} */
  const texts = [];
  client.query = (/** @type {any[]} */ ...args) => {
    texts.push(args[0]);
    return original.apply(client, args);
  };
  await client.query('SELECT 1');
  assert.deepEqual(texts, ['SELECT 1']);
});

fact('client: a class may extend Client', async (_t, face) => {
  class Mine extends face.pg.Client {
    /** @param {string} text */
    async one(text) {
      return (await this.query(text)).rows[0];
    }
  }
  const client = new Mine(face.config);
  await client.connect();
  assert.deepEqual(await client.one('SELECT 1 AS one'), { one: 1 });
  await client.end();
});

fact('callback: what it throws is an uncaught exception, and the client goes on', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    process.on('uncaughtException', (error) => print('uncaught', error.message));
    const client = new pg.Client(config);
    await client.connect();
    client.query('SELECT 1', () => { throw new Error('mine'); });
    print((await client.query('SELECT 2 AS two')).rows);
    await client.end();`,
    { load: false },
  );
  assert.deepEqual(lines.sort(), ['[{"two":2}]', 'uncaught mine']);
});

fact('callback: what it throws at an error is an uncaught exception', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    process.on('uncaughtException', (error) => { print('uncaught', error.message); process.exit(0); });
    const client = new pg.Client(config);
    await client.connect();
    client.query('SELEKT', () => { throw new Error('mine'); });`,
    { load: false },
  );
  assert.deepEqual(lines, ['uncaught mine']);
});

fact('Query: an error without callback and listener ends the process', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    process.on('uncaughtException', (error) => { print('uncaught', error.code); process.exit(0); });
    const client = new pg.Client(config);
    await client.connect();
    client.query(new pg.Query('SELEKT'));`,
    { load: false },
  );
  assert.deepEqual(lines, ['uncaught 42601']);
});

fact('promise: a rejection that nobody handles is an unhandled rejection', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    process.on('unhandledRejection', (error) => { print('unhandled', error.code); process.exit(0); });
    const client = new pg.Client(config);
    await client.connect();
    client.query('SELEKT');`,
    { load: false },
  );
  assert.deepEqual(lines, ['unhandled 42601']);
});

fact('process: it ends by itself when its client has ended', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    const client = new pg.Client(config);
    await client.connect();
    print((await client.query('SELECT 1 AS one')).rows);
    await client.end();`,
    { load: false },
  );
  assert.deepEqual(lines, ['[{"one":1}]']);
});

fact('process: a client that is unreferenced does not keep it alive', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    const client = new pg.Client(config);
    await client.connect();
    client.unref();
    print('connected');`,
    { load: false },
  );
  assert.deepEqual(lines, ['connected']);
});

fact('process: a client that is connected and idle keeps it alive', async (_t, face) => {
  const lines = await printedBy(
    null,
    `${programOf(face)}
    const client = new pg.Client(config);
    await client.connect();
    const timer = setTimeout(() => { print('alive'); client.end(); }, 300);
    timer.unref();`,
    { load: false },
  );
  assert.deepEqual(lines, ['alive']);
});

fact('context: a promise keeps the store of AsyncLocalStorage', async (_t, face) => {
  const client = await face.client();
  const storage = new AsyncLocalStorage();
  const stores = await Promise.all(
    [1, 2, 3].map((n) =>
      storage.run(n, async () => {
        await client.query('SELECT 1');
        return storage.getStore();
      }),
    ),
  );
  assert.deepEqual(stores, [1, 2, 3]);
});

/** The stores that a callback and a listener see, of a client that connected in another context. @param {any} face */
async function storesOf(face) {
  const storage = new AsyncLocalStorage();
  const client = await storage.run('connect', () => face.client());
  return storage.run('query', async () => [
    await new Promise((resolve) => client.query('SELECT 1', () => resolve(storage.getStore()))),
    await new Promise((resolve) => {
      client.query('SELECT 1');
      client.query('SELECT $1::int', [1], () => resolve(storage.getStore()));
    }),
    await new Promise((resolve) =>
      client.query(new face.pg.Query('SELECT 1')).on('end', () => resolve(storage.getStore())),
    ),
  ]);
}

fact(
  'context: a callback has the store of AsyncLocalStorage of connect()',
  async (_t, face) => assert.deepEqual(await storesOf(face), ['connect', 'connect', 'connect']),
  {
    differs: {
      reason:
        'Callbacks and listeners of a query run in the asynchronous context (`AsyncLocalStorage`) of whoever called `query()`; those of pg run in that of `connect()`.',
      test: async (_t, face) => assert.deepEqual(await storesOf(face), ['query', 'query', 'query']),
    },
  },
);
