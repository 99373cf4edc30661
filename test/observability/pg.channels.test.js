'use strict';

// What the channel hyperiondb:query tells of the sessions of hyperiondb-client/pg.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { finished } = require('node:stream/promises');
const copyStreams = require('../../exports/pg/copy-streams.js');
const pg = require('../../exports/pg/index.js');
const { failureOf, range, test, until, useCluster } = require('../support/helpers.js');
const { FAILURE, SUCCESS, listenTo, subscribe } = require('./listen.js');

const db = useCluster({ nodes: 1 });
const address = () => db.cluster.primary().address;

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [more] @returns {Promise<any>} */
async function clientOf(t, more) {
  const client = /** @type {any} */ (new pg.Client(/** @type {any} */ ({ ...db.options(), ...more })));
  t.after(() => client.end());
  // What the tests end on purpose.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** @param {any[]} ended */
const short = (ended) => ended.map(({ operation, sql, rowCount }) => [operation, sql, rowCount]);

test('pg: queries of all protocols are told once, with rows, node and values', async (t) => {
  const client = await clientOf(t);
  const { events, ended, heard } = listenTo(t, 'hyperiondb:query');
  await client.query('SELECT generate_series(1, 3)');
  await client.query('SELECT $1::int AS v', [1]);
  await client.query({ name: 'named', text: 'SELECT $1::int AS v', values: [2] });
  await client.query({ text: 'SELECT $1::int AS v', values: [3], binary: true });
  await client.query('CREATE TEMP TABLE told (id int); INSERT INTO told VALUES (1), (2); SELECT * FROM told');
  await new Promise((resolve) => client.query('UPDATE told SET id = id', resolve));
  await client.query('');
  const rows = client.query(new pg.Query('SELECT generate_series(1, 5)'));
  await once(rows, 'end');
  assert.deepEqual(short(ended()), [
    ['query', 'SELECT generate_series(1, 3)', 3],
    ['query', 'SELECT $1::int AS v', 1],
    ['query', 'SELECT $1::int AS v', 1],
    ['query', 'SELECT $1::int AS v', 1],
    ['query', 'CREATE TEMP TABLE told (id int); INSERT INTO told VALUES (1), (2); SELECT * FROM told', 4],
    ['query', 'UPDATE told SET id = id', 2],
    ['query', '', 0],
    ['query', 'SELECT generate_series(1, 5)', 5],
  ]);
  assert.deepEqual(
    events(),
    range(8).flatMap(() => SUCCESS),
  );
  assert.ok(ended().every(({ node }) => node === address()));
  assert.deepEqual(heard[4].message.parameters, ['1']);
});

test('pg: failures of the server, of the client, and of a session that is ended', async (t) => {
  const client = await clientOf(t);
  const { events, ended } = listenTo(t, 'hyperiondb:query');
  await failureOf(client.query('SELECT 1 / 0'));
  await failureOf(client.query('SELECT $1::int', ['x']));
  const killed = failureOf(client.query('SELECT pg_sleep(60)'));
  await until(
    'it runs',
    async () => (await db.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length,
  );
  await db.sql(`SELECT pg_terminate_backend(${client.processID})`);
  await killed;
  assert.deepEqual(events(), [...FAILURE, ...FAILURE, ...FAILURE]);
  assert.deepEqual(
    ended()
      .map(({ error, node }) => [error.code, node])
      .slice(0, 2),
    [
      ['22012', address()],
      ['22P02', address()],
    ],
  );
  assert.ok(ended()[2].error instanceof Error);
});

test('pg: a BEGIN that goes ahead of a statement is not told, what follows is', async (t) => {
  const client = await clientOf(t);
  const { ended } = listenTo(t, 'hyperiondb:query');
  await client.query('BEGIN');
  await client.query('SELECT 1');
  await client.query('COMMIT');
  assert.deepEqual(
    ended()
      .map(({ sql }) => sql)
      .filter((sql) => sql !== 'BEGIN'),
    ['SELECT 1', 'COMMIT'],
  );
});

test('pg: a cursor is one statement from its first rows to its end, whichever end', async (t) => {
  const client = await clientOf(t);
  const { events, ended } = listenTo(t, 'hyperiondb:query');
  const whole = client.query(new pg.Cursor('SELECT generate_series(1, $1::int)', [5]));
  assert.equal((await whole.read(3)).length, 3);
  assert.deepEqual(events(), ['start', 'end']);
  assert.equal((await whole.read(10)).length, 2);
  await whole.close();
  const left = client.query(new pg.Cursor('SELECT generate_series(1, 100)'));
  await left.read(3);
  await left.close();
  const failing = client.query(new pg.Cursor('SELECT 1 / (3 - i) FROM generate_series(1, 5) i'));
  await failureOf(failing.read(10));
  await failing.close().catch(() => {});
  const stream = client.query(new pg.QueryStream('SELECT generate_series(1, 250)'));
  for await (const _ of stream);
  assert.deepEqual(events(), [...SUCCESS, ...SUCCESS, ...FAILURE, ...SUCCESS]);
  assert.deepEqual(
    ended().map(({ operation, rowCount, error }) => [operation, rowCount, error?.code]),
    [
      ['stream', 5, undefined],
      ['stream', 3, undefined],
      ['stream', undefined, '22012'],
      ['stream', 250, undefined],
    ],
  );
});

test('pg: COPY in both directions, given up and refused', async (t) => {
  const client = await clientOf(t);
  await client.query('CREATE TEMP TABLE copied (id int)');
  const { events, ended } = listenTo(t, 'hyperiondb:query');
  const load = client.query(copyStreams.from('COPY copied FROM STDIN'));
  load.end('1\n2\n3\n');
  await finished(load);
  for await (const _ of client.query(copyStreams.to('COPY copied TO STDOUT')));
  const wrong = client.query(copyStreams.from('COPY copied FROM STDIN'));
  wrong.end('x\n');
  await failureOf(finished(wrong));
  const givenUp = client.query(copyStreams.from('COPY copied FROM STDIN'));
  givenUp.write('4\n');
  givenUp.destroy();
  await failureOf(finished(givenUp));
  await client.query('SELECT 1');
  assert.deepEqual(events(), [...SUCCESS, ...SUCCESS, ...FAILURE, ...FAILURE, ...SUCCESS]);
  const [loaded, unloaded, refused] = ended();
  assert.deepEqual(
    [loaded.operation, loaded.sql, loaded.rowCount, loaded.node],
    ['copyFrom', 'COPY copied FROM STDIN', 3, address()],
  );
  assert.deepEqual([unloaded.operation, unloaded.sql, unloaded.node], ['copyTo', 'COPY copied TO STDOUT', address()]);
  assert.equal(refused.error.code, '22P02');
});

test('pg: a text that a subscriber sets is sent, but not for a statement with a name', async (t) => {
  const client = await clientOf(t);
  subscribe(t, 'hyperiondb:query', {
    start: (message) => {
      message.text = `${message.sql} /* traced */`;
    },
  });
  const sql = 'SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()';
  const sent = async (/** @type {any} */ query) => (await client.query(query)).rows[0].query;
  assert.equal(await sent(sql), `${sql} /* traced */`);
  assert.equal(await sent({ text: sql, values: [] }), `${sql} /* traced */`);
  for (const _ of range(2)) assert.equal(await sent({ name: 'mine', text: sql }), sql);
  const [row] = await client.query(new pg.Cursor(sql)).read(1);
  assert.equal(row.query, `${sql} /* traced */`);
});

test('pg: subscribers change nothing of the results, whatever way a query goes', async (t) => {
  const pool = /** @type {any} */ (new pg.Pool(/** @type {any} */ ({ ...db.options(), max: 2 })));
  t.after(() => pool.end());
  const { events } = listenTo(t, 'hyperiondb:query');
  const before = await Promise.all(range(200).map((i) => pool.query('SELECT $1::int AS v', [i])));
  assert.deepEqual(
    before.map(({ rows }) => rows[0].v),
    range(200),
  );
  assert.equal(events().length, 200 * SUCCESS.length);
});
