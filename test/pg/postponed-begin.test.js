'use strict';

// A plain BEGIN is answered at once, and goes in the flight of the statement behind it (exports/pg/postponed-begin.js). What the program
// takes for a transaction is one, whatever comes behind its BEGIN.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { finished } = require('node:stream/promises');
const stock = { ...require('pg'), copy: require('pg-copy-streams') };
const StockCursor = require('pg-cursor');
const StockStream = require('pg-query-stream');
const copyStreams = require('../../exports/pg/copy-streams.js');
const { Client, Cursor, Pool, Query, QueryStream } = require('../../exports/pg/index.js');
const { failureOf, loginOf, test, until, useCluster } = require('../support/helpers.js');
const { messagesIn, relayTo } = require('../support/relay.js');
const { idsIn, tableFor } = require('../support/transactions.js');

process.noDeprecation = true;
const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @returns {Promise<any>} */
async function clientFor(t, options) {
  const client = /** @type {any} */ (new Client({ ...loginOf(db.cluster), ...options }));
  t.after(() => client.end());
  await client.connect();
  return client;
}

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @returns {any} */
function poolFor(t, options) {
  const pool = /** @type {any} */ (new Pool({ ...loginOf(db.cluster), ...options }));
  t.after(() => pool.end());
  return pool;
}

/** A relay to the node, which may change what is sent. @param {import('node:test').TestContext} t @param {(piece: Buffer) => Buffer} [change] */
function relay(t, change) {
  const [host, port] = loginOf(db.cluster).hosts[0].split(':');
  return relayTo(t, { host, port: Number(port) }, change);
}

/** What a session does. @param {{ processID: number }} client */
const stateOf = async ({ processID }) =>
  (await db.sql('SELECT state, query FROM pg_stat_activity WHERE pid = $1', [processID]))[0];

/** @param {{ processID: number }} client */
const terminate = ({ processID }) => db.sql('SELECT pg_terminate_backend($1)', [processID]);

/** A client behind a relay, and the messages that it sends from now on. @param {import('node:test').TestContext} t */
async function overheard(t) {
  const node = await relay(t);
  const client = await clientFor(t, { hosts: [node.host] });
  await client.query('SELECT 1 AS beginning');
  const isOurs = (/** @type {string} */ conversation) => conversation.includes('SELECT 1 AS beginning');
  const messages = () => messagesIn(/** @type {string} */ (node.conversations().find(isOurs)));
  const before = messages().length;
  const sent = () => messages().slice(before);
  // Each of these, and nothing else, makes the server answer with ReadyForQuery.
  const roundTrips = () => sent().filter(({ type }) => type === 'S' || type === 'Q').length;
  return { client, sent, roundTrips };
}

test('postponed BEGIN: a transaction of three statements needs four round trips', async (t) => {
  const { client, sent, roundTrips } = await overheard(t);
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  await client.query('BEGIN');
  for (const id of [1, 2, 3]) await client.query(insert, [id]);
  await client.query('COMMIT');
  assert.equal(roundTrips(), 4);
  assert.match(
    sent()
      .map(({ type }) => type)
      .join(''),
    /^PBE(PBD?ES){3}Q$/,
  );
  assert.match(sent()[0].body, /^\0BEGIN\0/);
  assert.deepEqual(await idsIn(db, table), [1, 2, 3]);
});

test('postponed BEGIN: a BEGIN with options is sent by itself', async (t) => {
  const { client, sent } = await overheard(t);
  await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
  assert.deepEqual(
    sent().map(({ body }) => body),
    ['BEGIN ISOLATION LEVEL SERIALIZABLE\0'],
  );
});

test('postponed BEGIN: the program is in a transaction at once, and the server is soon', async (t) => {
  const client = await clientFor(t);
  const queries = ['BEGIN', ' begin ; ', 'BEGIN WORK', 'begin transaction', 'START TRANSACTION', { text: 'BEGIN' }];
  for (const text of queries) {
    await client.query(text);
    assert.equal(client.getTransactionStatus(), 'T');
    await until('it is sent alone', async () => (await stateOf(client)).state === 'idle in transaction');
    assert.equal(client.getTransactionStatus(), 'T');
    await client.query('ROLLBACK');
    assert.equal(client.getTransactionStatus(), 'I');
  }
});

/** @param {any} query an emitter of pg */
async function ended(client, query) {
  client.query(query);
  await once(query, 'end');
}

/** @param {any} stream */
async function streamed(stream) {
  stream.resume();
  await finished(stream);
}

/** @param {any} stream @param {string} data */
async function loaded(stream, data) {
  stream.end(data);
  await finished(stream);
}

class OwnSubmit extends Query {
  /** @param {any} connection */
  submit(connection) {
    connection.query(/** @type {any} */ (this).text.replace('$1', '7'));
  }

  handleRowDescription() {}

  handleDataRow() {}

  handleCommandComplete() {}

  handleReadyForQuery() {
    this.emit('end');
  }
}

/** Ways to insert 7, as the first statement of a transaction. @type {[string, (client: any, insert: string, table: string) => Promise<any>][]} */
const WAYS = [
  ['values', (client, insert) => client.query(insert, [7])],
  ['a text', (client, insert) => client.query(insert.replace('$1', '7'))],
  ['a name', (client, insert) => client.query({ name: 'insert', text: insert, values: [7] })],
  ['rowMode array', (client, insert) => client.query({ text: insert, values: [7], rowMode: 'array' })],
  ['the extended mode', (client, insert) => client.query({ text: insert.replace('$1', '7'), queryMode: 'extended' })],
  ['the binary format', (client, insert) => client.query({ text: insert, values: [7], binary: true })],
  ['rows', (client, insert) => client.query({ text: insert, values: [7], rows: 10 })],
  ['a limit of time', (client, insert) => client.query({ text: insert, values: [7], query_timeout: 60_000 })],
  ['a callback', (client, insert) => new Promise((resolve) => client.query(insert, [7], resolve))],
  [
    'a Query',
    (client, insert) =>
      ended(
        client,
        new Query({ text: insert, values: [7] }).on('row', () => {}),
      ),
  ],
  ["pg's Query", (client, insert) => ended(client, new stock.Query({ text: insert, values: [7] }))],
  [
    'a Query with a submit() of its own',
    (client, insert) => ended(client, new OwnSubmit({ text: insert, values: [7] })),
  ],
  [
    'a Cursor',
    async (client, insert) => {
      const cursor = client.query(new Cursor(insert, [7]));
      await cursor.read(10);
      await cursor.close();
    },
  ],
  [
    'pg-cursor',
    async (client, insert) => {
      const cursor = client.query(new StockCursor(insert, [7]));
      await cursor.read(10);
      await cursor.close();
    },
  ],
  ['a QueryStream', (client, insert) => streamed(client.query(new QueryStream(insert, [7])))],
  ['pg-query-stream', (client, insert) => streamed(client.query(new StockStream(insert, [7])))],
  ['COPY from', (client, _, table) => loaded(client.query(copyStreams.from(`COPY ${table} FROM STDIN`)), '7\n')],
  [
    "pg-copy-streams' from",
    (client, _, table) => loaded(client.query(stock.copy.from(`COPY ${table} FROM STDIN`)), '7\n'),
  ],
  [
    'COPY to',
    (client, insert) => streamed(client.query(copyStreams.to(`COPY (${insert.replace('$1', '7')}) TO STDOUT`))),
  ],
  [
    "pg-copy-streams' to",
    (client, insert) => streamed(client.query(stock.copy.to(`COPY (${insert.replace('$1', '7')}) TO STDOUT`))),
  ],
];

for (const [way, run] of WAYS) {
  test(`postponed BEGIN: the first statement is one of the transaction: ${way}`, async (t) => {
    const client = await clientFor(t);
    const table = await tableFor(db, t);
    const insert = `INSERT INTO ${table} VALUES ($1) RETURNING id`;
    for (const isAwaited of [true, false]) {
      for (const [end, expected] of /** @type {[string, number[]][]} */ ([
        ['ROLLBACK', []],
        ['COMMIT', [7]],
      ])) {
        const begun = client.query('BEGIN');
        if (isAwaited) await begun;
        await run(client, insert, table);
        assert.equal(client.getTransactionStatus(), 'T');
        assert.deepEqual(await idsIn(db, table), [], 'before the end');
        await client.query(end);
        assert.deepEqual(await idsIn(db, table), expected, end);
      }
      await client.query(`DELETE FROM ${table}`);
    }
  });
}

test('postponed BEGIN: a transaction that is queued as a whole is one', async (t) => {
  for (const pipeline of [false, true]) {
    const client = await clientFor(t, { pipeline });
    const table = await tableFor(db, t);
    /** @param {string} end */
    const all = (end) =>
      Promise.all([
        client.query('BEGIN'),
        client.query(`INSERT INTO ${table} VALUES ($1)`, [1]),
        client.query(`INSERT INTO ${table} VALUES (2)`),
        client.query(end),
      ]);
    const results = await all('ROLLBACK');
    assert.deepEqual(
      results.map(({ command }) => command),
      ['BEGIN', 'INSERT', 'INSERT', 'ROLLBACK'],
    );
    assert.deepEqual(await idsIn(db, table), []);
    await all('COMMIT');
    assert.deepEqual(await idsIn(db, table), [1, 2]);
  }
});

test('postponed BEGIN: a first statement that cannot be sent leaves the transaction to the next', async (t) => {
  const client = await clientFor(t);
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  const throws = {
    toPostgres() {
      throw new Error('no value');
    },
  };
  /** @type {any[][]} */
  const refused = [[throws], new Array(65_536).fill(1)];
  for (const values of refused) {
    for (const next of [[insert, [1]], [insert.replace('$1', '1')]]) {
      await client.query('BEGIN');
      await failureOf(client.query(insert, values));
      assert.equal(client.getTransactionStatus(), 'T');
      await client.query(...next);
      await client.query('ROLLBACK');
      assert.deepEqual(await idsIn(db, table), []);
    }
    await client.query('BEGIN');
    await failureOf(client.query(insert, values));
    await until('it is sent alone', async () => (await stateOf(client)).state === 'idle in transaction');
    await client.query('ROLLBACK');
  }
});

test('postponed BEGIN: a first statement that fails leaves a transaction that has failed', async (t) => {
  const client = await clientFor(t);
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  for (const [text, values] of [
    [insert, ['no number']],
    ['SELECT nothing', ['a']],
    ['VACUUM', []],
    ['SELECT 1 / 0', undefined],
  ]) {
    await client.query('BEGIN');
    await failureOf(client.query({ text, values, queryMode: values && 'extended' }));
    assert.equal(client.getTransactionStatus(), 'E');
    assert.equal((await failureOf(client.query(insert, [1]))).code, '25P02');
    await client.query('COMMIT');
    assert.equal(client.getTransactionStatus(), 'I');
  }
  await client.query(insert, [2]);
  assert.deepEqual(await idsIn(db, table), [2]);
});

test('postponed BEGIN: nothing between BEGIN and COMMIT, and BEGIN twice', async (t) => {
  const client = await clientFor(t);
  /** @type {string[]} */
  const notices = [];
  client.on('notice', (/** @type {any} */ { code }) => notices.push(code));
  for (const end of ['COMMIT', 'ROLLBACK']) {
    await client.query('BEGIN');
    assert.equal((await client.query(end)).command, end);
  }
  await client.query('BEGIN');
  await client.query({ text: 'COMMIT', queryMode: 'extended' });
  assert.equal(client.getTransactionStatus(), 'I');
  assert.deepEqual(notices, []);
  await client.query('BEGIN');
  await client.query('BEGIN');
  await client.query('COMMIT');
  // active_sql_transaction: there is already a transaction in progress.
  assert.deepEqual(notices, ['25001']);
});

/** A client whose server refuses every plain BEGIN. @param {import('node:test').TestContext} t */
async function refusing(t) {
  const node = await relay(t, (piece) => Buffer.from(piece.toString('latin1').replace('BEGIN\0', 'BEGUN\0'), 'latin1'));
  const client = await clientFor(t, { hosts: [node.host] });
  /** @type {any[]} */
  const errors = [];
  client.on('error', (/** @type {any} */ error) => errors.push(error));
  return { client, errors };
}

test('postponed BEGIN: a server that refuses it runs nothing of the transaction, and the client ends', async (t) => {
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  const { client, errors } = await refusing(t);
  await client.query('BEGIN');
  const [first, second, third] = await Promise.all([
    failureOf(client.query(insert, [1])),
    failureOf(client.query(insert, [2])),
    failureOf(client.query(insert.replace('$1', '3'))),
  ]);
  assert.deepEqual([first.code, first.outcome], ['42601', 'not-applied']);
  for (const error of [second, third]) {
    assert.deepEqual([error.message, error.outcome], ['Connection terminated unexpectedly', 'not-applied']);
  }
  assert.match((await failureOf(client.query(insert, [4]))).message, /not queryable/);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ['Connection terminated unexpectedly'],
  );
  assert.deepEqual(await idsIn(db, table), []);
});

test('postponed BEGIN: a server that refuses it alone runs nothing that waits for it', async (t) => {
  const table = await tableFor(db, t);
  for (const text of [`INSERT INTO ${table} VALUES (1)`, 'COMMIT']) {
    const { client, errors } = await refusing(t);
    await client.query('BEGIN');
    const error = await failureOf(client.query(text));
    assert.deepEqual([error.message, error.outcome], ['Connection terminated unexpectedly', 'not-applied']);
    assert.equal(error.cause.code, '42601');
    assert.equal(errors.length, 1);
  }
  const { client, errors } = await refusing(t);
  await client.query('BEGIN');
  await until('the client has ended', () => errors.length === 1);
  assert.equal(errors[0].cause.code, '42601');
  assert.match((await failureOf(client.query(`INSERT INTO ${table} VALUES (1)`))).message, /not queryable/);
  assert.deepEqual(await idsIn(db, table), []);
});

test('postponed BEGIN: a session that ends between it and the statement applies nothing', async (t) => {
  const table = await tableFor(db, t);
  for (const listens of [true, false]) {
    for (const knows of [true, false]) {
      const client = await clientFor(t);
      /** @type {any[]} */
      const errors = [];
      if (listens) client.on('error', (/** @type {any} */ error) => errors.push(error));
      // The client cannot have heard of it yet.
      if (!knows) process.kill(client.processID, 'SIGTERM');
      await client.query('BEGIN');
      if (knows) {
        await terminate(client);
        await until('the client knows', () => !client._queryable);
      }
      const error = await failureOf(client.query(`INSERT INTO ${table} VALUES ($1)`, [1]));
      assert.equal(error.outcome, 'not-applied');
      if (listens) await until('the listener is told', () => errors.length > 0);
      await failureOf(client.query('COMMIT'));
    }
  }
  assert.deepEqual(await idsIn(db, table), []);
});

test('postponed BEGIN: it stays with its client, as a transaction does that is not ended before release()', async (t) => {
  const pool = poolFor(t, { max: 1 });
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  const first = await pool.connect();
  await first.query('BEGIN');
  first.release();
  const second = await pool.connect();
  assert.equal(second.getTransactionStatus(), 'T');
  await second.query(insert, [1]);
  await second.query('ROLLBACK');
  await second.query('BEGIN');
  second.release();
  await pool.query(insert, [2]);
  await pool.query('ROLLBACK');
  assert.deepEqual(await idsIn(db, table), []);
});

test('postponed BEGIN: a client that ends before it was sent ends', async (t) => {
  const client = await clientFor(t);
  await client.query('BEGIN');
  await client.end();
  await until('the session has ended', async () => (await stateOf(client)) === undefined);
});

test('pool.query(): nothing overtakes a BEGIN that waits with it', async (t) => {
  const pool = poolFor(t, { max: 1 });
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1)`;
  // Their times are known then: quick ones may be sent behind others.
  for (let i = 0; i < 3; i += 1) {
    for (const [text, values] of [['BEGIN'], [insert, [i]], ['ROLLBACK']]) await pool.query(text, values);
  }
  const all = [pool.query('BEGIN'), pool.query(insert, [7]), pool.query('ROLLBACK')];
  await Promise.all(all);
  assert.deepEqual(await idsIn(db, table), []);
});

test('pool.query(): a statement behind a BEGIN is not run again outside of its transaction', async (t) => {
  const pool = poolFor(t, { max: 1 });
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} SELECT $1 FROM pg_sleep(50)`;
  for (const isSent of [false, true]) {
    const client = await pool.connect();
    await client.query('BEGIN');
    if (isSent) await client.query('SELECT 1');
    client.release();
    const failed = failureOf(pool.query(insert, [1]));
    await until('it runs', async () => (await stateOf(client))?.query === insert);
    await terminate(client);
    assert.match((await failed).message, /terminat/);
  }
  assert.deepEqual(await idsIn(db, table), []);
});
