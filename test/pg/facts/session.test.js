'use strict';

// A client is one session of the server: https://node-postgres.com/features/transactions, and pg's own
// test/integration/client/{transaction,txstatus,notice,timezone}-tests.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { failureOf, until } = require('../../support/helpers.js');
const { fact } = require('../support.js');

fact('session: all queries of a client have the same server process', async (_t, face) => {
  const client = await face.client();
  const pids = await Promise.all([1, 2, 3].map(() => client.query('SELECT pg_backend_pid() AS pid')));
  for (const { rows } of pids) assert.equal(rows[0].pid, client.processID);
});

fact('session: SET holds for the queries after it', async (_t, face) => {
  const client = await face.client();
  await client.query("SET search_path TO elsewhere; SET TIME ZONE 'Asia/Kolkata'");
  const { rows } = await client.query(
    "SELECT current_setting('search_path') AS path, current_setting('timezone') AS zone WHERE $1",
    [true],
  );
  assert.deepEqual(rows, [{ path: 'elsewhere', zone: 'Asia/Kolkata' }]);
});

fact('session: SET SESSION AUTHORIZATION and SET ROLE hold, and RESET takes them back', async (_t, face) => {
  const client = await face.client();
  await client.query('SET ROLE pg_monitor');
  assert.equal((await client.query('SELECT current_user AS name')).rows[0].name, 'pg_monitor');
  await client.query('RESET ROLE');
  assert.equal((await client.query('SELECT current_user AS name')).rows[0].name, face.config.user);
});

fact('session: set_config holds for the session and for a transaction', async (_t, face) => {
  const client = await face.client();
  await client.query("SELECT set_config('my.session', 'a', false)");
  await client.query('BEGIN');
  await client.query("SELECT set_config('my.local', 'b', true)");
  const inside = await client.query("SELECT current_setting('my.session') AS a, current_setting('my.local') AS b");
  assert.deepEqual(inside.rows, [{ a: 'a', b: 'b' }]);
  await client.query('COMMIT');
  const outside = await client.query("SELECT current_setting('my.session') AS a, current_setting('my.local') AS b");
  assert.deepEqual(outside.rows, [{ a: 'a', b: '' }]);
});

fact('session: temporary tables, sequences and functions stay', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE mine (n int)');
  await client.query('CREATE TEMP SEQUENCE counter START 5');
  await client.query('CREATE FUNCTION pg_temp.twice(n int) RETURNS int LANGUAGE sql RETURN n * 2');
  await client.query("INSERT INTO mine VALUES (pg_temp.twice(nextval('counter')::int))");
  assert.deepEqual((await client.query('SELECT n FROM mine')).rows, [{ n: 10 }]);
});

fact('session: advisory locks stay until they are given back', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  const take = 'SELECT pg_try_advisory_lock(4711) AS taken';
  assert.deepEqual((await one.query(take)).rows, [{ taken: true }]);
  assert.deepEqual((await two.query(take)).rows, [{ taken: false }]);
  await one.query('SELECT pg_advisory_unlock(4711)');
  assert.deepEqual((await two.query(take)).rows, [{ taken: true }]);
});

fact('session: a SQL cursor stays open between queries', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  await client.query('DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) AS n');
  assert.deepEqual((await client.query('FETCH 2 FROM c')).rows, [{ n: 1 }, { n: 2 }]);
  assert.deepEqual((await client.query('FETCH 2 FROM c')).rows, [{ n: 3 }, { n: 4 }]);
  await client.query('ROLLBACK');
});

fact('session: DISCARD ALL is no harm', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE gone (n int)');
  await client.query('DISCARD ALL');
  assert.equal((await failureOf(client.query('SELECT * FROM gone'))).code, '42P01');
  assert.deepEqual((await client.query('SELECT $1::int AS n', [1])).rows, [{ n: 1 }]);
});

fact('transaction: COMMIT keeps, ROLLBACK takes back', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE kept (n int)');
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES (1)');
  await client.query('COMMIT');
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES ($1)', [2]);
  await client.query('ROLLBACK');
  assert.deepEqual((await client.query('SELECT n FROM kept')).rows, [{ n: 1 }]);
});

fact('transaction: another client does not see it before COMMIT', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  const table = `seen_${face.name}`;
  await one.query(`CREATE TABLE ${table} (n int)`);
  await one.query('BEGIN');
  await one.query(`INSERT INTO ${table} VALUES (1)`);
  assert.deepEqual((await two.query(`SELECT n FROM ${table}`)).rows, []);
  await one.query('COMMIT');
  assert.deepEqual((await two.query(`SELECT n FROM ${table}`)).rows, [{ n: 1 }]);
  await one.query(`DROP TABLE ${table}`);
});

fact('transaction: after an error all fails with 25P02 until ROLLBACK', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  assert.equal((await failureOf(client.query('SELECT 1 / 0'))).code, '22012');
  for (const args of [['SELECT 1'], ['SELECT $1::int', [1]], [{ name: 'n', text: 'SELECT 1' }]]) {
    const error = await failureOf(client.query(...args));
    assert.equal(error.code, '25P02');
    assert.equal(error.message, 'current transaction is aborted, commands ignored until end of transaction block');
  }
  await client.query('ROLLBACK');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('transaction: COMMIT after an error answers ROLLBACK', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN');
  await failureOf(client.query('SELECT 1 / 0'));
  assert.equal((await client.query('COMMIT')).command, 'ROLLBACK');
});

fact('transaction: savepoints', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN; CREATE TEMP TABLE saved (n int); INSERT INTO saved VALUES (1); SAVEPOINT s');
  await failureOf(client.query('INSERT INTO saved VALUES ($1)', ['x']));
  await client.query('ROLLBACK TO s');
  await client.query('INSERT INTO saved VALUES (2)');
  await client.query('COMMIT');
  assert.deepEqual((await client.query('SELECT n FROM saved ORDER BY n')).rows, [{ n: 1 }, { n: 2 }]);
});

fact('transaction: isolation levels and READ ONLY', async (_t, face) => {
  const client = await face.client();
  await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY');
  const { rows } = await client.query('SHOW transaction_isolation');
  assert.deepEqual(rows, [{ transaction_isolation: 'serializable' }]);
  assert.equal((await failureOf(client.query('CREATE TABLE no (n int)'))).code, '25006');
  await client.query('ROLLBACK');
});

fact('transaction: a serialization failure is 40001', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  const table = `serial_${face.name}`;
  await one.query(`CREATE TABLE ${table} (n int); INSERT INTO ${table} VALUES (1)`);
  for (const client of [one, two]) {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query(`SELECT n FROM ${table}`);
  }
  await one.query(`UPDATE ${table} SET n = 2`);
  await one.query('COMMIT');
  assert.equal((await failureOf(two.query(`UPDATE ${table} SET n = 3`))).code, '40001');
  await two.query('ROLLBACK');
  await one.query(`DROP TABLE ${table}`);
});

fact('transaction: a deadlock is 40P01 for one of two', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  for (const client of [one, two]) await client.query("SET deadlock_timeout = '50ms'; BEGIN");
  const lock = (/** @type {any} */ client, /** @type {number} */ key) =>
    client.query('SELECT pg_advisory_xact_lock($1)', [key]);
  await lock(one, 1);
  await lock(two, 2);
  const settled = await Promise.allSettled([
    lock(one, 2).then(() => one.query('COMMIT')),
    lock(two, 1).then(() => two.query('COMMIT')),
  ]);
  const failed = settled.filter(({ status }) => status === 'rejected');
  assert.deepEqual(
    failed.map((one) => /** @type {PromiseRejectedResult} */ (one).reason.code),
    ['40P01'],
  );
});

fact('transaction: ending the client takes it back', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  const table = `ended_${face.name}`;
  await two.query(`CREATE TABLE ${table} (n int)`);
  await one.query('BEGIN');
  await one.query(`INSERT INTO ${table} VALUES (1)`);
  await one.end();
  await face.untilGone(one.processID);
  assert.deepEqual((await two.query(`SELECT n FROM ${table}`)).rows, []);
  await two.query(`DROP TABLE ${table}`);
});

fact('transaction: the result of BEGIN and of START TRANSACTION', async (_t, face) => {
  const client = await face.client();
  for (const [text, command] of [
    ['BEGIN', 'BEGIN'],
    ['begin work;', 'BEGIN'],
    ['BEGIN TRANSACTION', 'BEGIN'],
    ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'BEGIN'],
    ['START TRANSACTION', 'START'],
    ['start transaction read only', 'START'],
  ]) {
    for (const rowMode of [undefined, 'array']) {
      const result = await client.query({ text, rowMode });
      assert.ok(result instanceof face.pg.Result);
      assert.deepEqual([text, result.command, result.rowCount, result.oid], [text, command, null, null]);
      assert.deepEqual([result.rows, result.fields, result.rowAsArray], [[], [], rowMode === 'array']);
      await client.query('ROLLBACK');
    }
  }
});

fact(
  'transaction: the time of a transaction is that of its BEGIN, and not of its first statement',
  async (_t, face) => {
    const client = await face.client();
    await client.query('BEGIN');
    await until('the server has it', async () => {
      const [row] = await face.server.sql('SELECT state FROM pg_stat_activity WHERE pid = $1', [client.processID]);
      return row.state === 'idle in transaction';
    });
    const [{ later }] = await face.server.sql('SELECT clock_timestamp()::text AS later');
    const { rows } = await client.query('SELECT now() < $1 AS earlier', [later]);
    assert.deepEqual(rows, [{ earlier: true }]);
  },
);

/**
 * What fails first in a transaction whose session an administrator has ended, before the client could know it.
 * @param {import('../support.js').Face} face
 */
async function failsFirst(face) {
  const client = await face.client();
  client.on('error', () => {});
  process.kill(client.processID, 'SIGTERM');
  for (const [text, values] of [['BEGIN'], ['SELECT $1', ['a']]]) {
    try {
      await client.query(text, values);
    } catch {
      return text;
    }
  }
  return 'nothing';
}

fact(
  'transaction: a BEGIN fails if its session has ended',
  async (_t, face) => assert.equal(await failsFirst(face), 'BEGIN'),
  {
    differs: {
      reason:
        'A `BEGIN` or `START TRANSACTION` of a client, without options, is answered before the server has it, and goes with the statement behind it if that has values or a name: a transaction needs one round trip less. So if the session is lost or the server refuses the BEGIN, the first statement fails (`not-applied`), and not the BEGIN; of a BEGIN that is refused nothing runs, and the client ends. What other sessions do before that statement, such as a NOTIFY, may still come before the BEGIN and its `now()`. A BEGIN with options (`ISOLATION LEVEL ...`) is sent by itself, as by pg.',
      test: async (_t, face) => assert.equal(await failsFirst(face), 'SELECT $1'),
    },
  },
);

fact('transaction: getTransactionStatus() is I, T and E', async (_t, face) => {
  const client = face.unconnected();
  assert.equal(client.getTransactionStatus(), null);
  await client.connect();
  assert.equal(client.getTransactionStatus(), 'I');
  await client.query('BEGIN');
  assert.equal(client.getTransactionStatus(), 'T');
  await failureOf(client.query('SELEKT'));
  await client.query('').catch(() => {});
  assert.equal(client.getTransactionStatus(), 'E');
  await client.query('ROLLBACK');
  assert.equal(client.getTransactionStatus(), 'I');
});

fact('notice: RAISE NOTICE is an event with its fields', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const notices = [];
  client.on('notice', (/** @type {any} */ notice) => notices.push(notice));
  await client.query(
    "DO $$ BEGIN RAISE NOTICE 'hello, %!', 'world' USING ERRCODE = '23505', DETAIL = 'this is a test', HINT = 'h'; END $$",
  );
  assert.equal(notices.length, 1);
  const { message, name, severity, code, detail, hint, file, routine, where } = notices[0];
  assert.deepEqual([message, name, severity, code], ['hello, world!', 'notice', 'NOTICE', '23505']);
  assert.deepEqual([detail, hint, file, routine], ['this is a test', 'h', 'pl_exec.c', 'exec_stmt_raise']);
  assert.match(where, /PL\/pgSQL function inline_code_block/);
  assert.match(notices[0].line, /^\d+$/);
});

fact('notice: it comes before the query ends, and several keep their order', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const order = [];
  client.on('notice', (/** @type {any} */ notice) => order.push(notice.message));
  await client.query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$");
  order.push('end');
  assert.deepEqual(order, ['one', 'two', 'end']);
});

fact('notice: without a listener it is no harm', async (_t, face) => {
  const client = await face.client();
  await client.query('DROP TABLE IF EXISTS there_is_no_such_table');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('notice: client_min_messages decides', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const messages = [];
  client.on('notice', (/** @type {any} */ notice) => messages.push(notice.message));
  await client.query('SET client_min_messages = error; DROP TABLE IF EXISTS there_is_no_such_table');
  assert.deepEqual(messages, []);
});

fact('parameterStatus: the connection emits those of the start', async (_t, face) => {
  const client = face.unconnected();
  /** @type {Record<string, string>} */
  const parameters = {};
  client.connection.on('parameterStatus', (/** @type {any} */ message) => {
    parameters[message.parameterName] = message.parameterValue;
  });
  await client.connect();
  assert.equal(parameters.client_encoding, 'UTF8');
  assert.equal(parameters.standard_conforming_strings, 'on');
  assert.match(parameters.server_version, /^\d+/);
});

fact('parameterStatus: the connection emits a change', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const changes = [];
  client.connection.on('parameterStatus', (/** @type {any} */ { parameterName, parameterValue }) => {
    changes.push([parameterName, parameterValue]);
  });
  await client.query("SET TIME ZONE 'Asia/Kolkata'");
  await until('the change is known', () => changes.length > 0);
  assert.deepEqual(changes, [['TimeZone', 'Asia/Kolkata']]);
});

fact('notification: LISTEN and NOTIFY of one client', async (_t, face) => {
  const client = await face.client();
  const notified = once(client, 'notification');
  await client.query('LISTEN mine');
  await client.query("NOTIFY mine, 'bar!'");
  const [{ channel, payload, processId }] = await notified;
  assert.deepEqual([channel, payload, processId], ['mine', 'bar!', client.processID]);
});

fact('encoding: it is UTF8', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query("SELECT 'ü€😀' AS text, $1::text AS value, length($1) AS length", ['ü€😀']);
  assert.deepEqual(rows, [{ text: 'ü€😀', value: 'ü€😀', length: 3 }]);
  assert.deepEqual((await client.query('SHOW client_encoding')).rows, [{ client_encoding: 'UTF8' }]);
});
