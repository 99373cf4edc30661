'use strict';

// ServerlessClient on a server: its methods, what they return, its sessions, and its end.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { sql } = require('../../client.js');
const { ServerlessClient, createLease, verifyLease } = require('../../exports/serverless');
const { failureOf, named, range, sleep, test, until, useCluster } = require('../support/helpers.js');
const { SECRET, clientFor, notingHooks } = require('./clients.js');

const db = useCluster({ nodes: 1, synchronous: false });

/** The sessions of a service, by their leases. @param {string} service */
async function sessionsOf(service) {
  const rows = await db.sql('SELECT application_name AS name, pid, state, query FROM pg_stat_activity');
  return rows.filter(({ name }) => verifyLease(name, SECRET)?.serviceName === service);
}

/** A service of its own: a short name, which stands in the lease as it is. */
const newService = () => `s${Math.random().toString(36).slice(2, 10)}`;

describe('query', () => {
  test('query: the result is a plain object with rows, rowCount, command and fields', async (t) => {
    const client = clientFor(t, db);
    const { fields, ...result } = await client.query('SELECT $1::int AS one, $2::text AS two', [1, 'two']);
    assert.deepEqual(result, { rows: [{ one: 1, two: 'two' }], rowCount: 1, command: 'SELECT' });
    assert.deepEqual(Object.getPrototypeOf(result), Object.prototype);
    assert.deepEqual(
      fields.map(({ name, typeName }) => [name, typeName]),
      [
        ['one', 'int4'],
        ['two', 'text'],
      ],
    );
  });

  test('query: what has no rows has a rowCount, and an empty statement has neither', async (t) => {
    const client = clientFor(t, db);
    await client.query('CREATE TABLE counted (id int)');
    const facts = [];
    for (const text of [
      'INSERT INTO counted SELECT generate_series(1, 3)',
      'DELETE FROM counted WHERE id > 1',
      'DROP TABLE counted',
      '',
    ]) {
      const { rows, rowCount, command } = await client.query(text);
      facts.push([rows.length, rowCount, command]);
    }
    assert.deepEqual(facts, [
      [0, 3, 'INSERT'],
      [0, 2, 'DELETE'],
      [0, 0, 'DROP'],
      [0, 0, ''],
    ]);
  });

  test('query: options of the call are those of the pool, and what sql makes is a statement', async (t) => {
    const client = clientFor(t, db, { types: { int8: 'number' } });
    const arrays = await client.query('SELECT 1::int8, 2', null, { rowMode: 'array' });
    assert.deepEqual(arrays.rows, [[1, 2]]);
    assert.deepEqual((await client.query(sql`SELECT ${'x'}::text AS x`)).rows, [{ x: 'x' }]);
    assert.match((await client.query('SELECT 1', [], { token: true })).rows.token, /./);
    assert.match(
      (await failureOf(client.query('SELECT 1', [], /** @type {any} */ ({ readonly: true })))).message,
      /'readOnly'/,
    );
    assert.match(
      (await failureOf(client.query('SELECT 1', [], /** @type {any} */ (5)))).message,
      /options must be an object/,
    );
    const aborted = await failureOf(client.query('SELECT 1', [], { signal: AbortSignal.abort() }));
    assert.equal(aborted.code, 'ABORT_ERR');
  });

  test('query: an error of the server goes to its caller, and the client goes on', async (t) => {
    const client = clientFor(t, db);
    const error = await failureOf(client.query('SELECT nothing'));
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '42703', 'not-applied']);
    assert.match(error.stack, /client\.test\.js/);
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });
});

describe('connect', () => {
  test('connect: it opens one session with a lease, however often it is called, and may be left out', async (t) => {
    const serviceName = newService();
    const { hooks, toldTo } = notingHooks();
    const client = clientFor(t, db, { serviceName, hooks });
    await client.connect();
    const [{ pid, name }, ...others] = await sessionsOf(serviceName);
    assert.deepEqual(others, []);
    await Promise.all(range(5).map(() => client.connect()));
    await client.query('SELECT 1');
    await client.connect();
    assert.deepEqual(
      (await sessionsOf(serviceName)).map((session) => session.pid),
      [pid],
    );
    assert.ok(/** @type {any} */ (verifyLease(name, SECRET)).expiresAt > Date.now());
    const address = db.cluster.primary().address;
    await until('the hook is called', () => toldTo('onConnect').length > 0);
    assert.deepEqual(toldTo('onConnect'), [{ node: address }]);
    const without = clientFor(t, db, { serviceName: newService() });
    assert.equal((await without.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('connect: it sends no statement of its own', async (t) => {
    const serviceName = newService();
    const client = clientFor(t, db, { serviceName, reaper: false });
    await client.query("SELECT 'the last one'");
    await client.connect();
    const [{ query }] = await sessionsOf(serviceName);
    assert.doesNotMatch(/** @type {string} */ (query), /BEGIN|ROLLBACK/);
  });

  test('connect: while the only session is at work it resolves at once', async (t) => {
    const client = clientFor(t, db);
    await client.transaction(async (tx) => {
      await tx.query('SELECT 1');
      await client.connect();
    });
  });

  test('connect: no monitor has a session, and the pool has one, unless more are asked for', async (t) => {
    const serviceName = newService();
    const client = clientFor(t, db, { serviceName });
    await Promise.all(range(8).map(() => client.query('SELECT pg_sleep(0.01)')));
    assert.equal((await sessionsOf(serviceName)).length, 1);
    const all = await db.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '% monitor'");
    assert.deepEqual(all, []);
    const larger = newService();
    const two = clientFor(t, db, { serviceName: larger, poolSize: 2, pipeline: false });
    await Promise.all(range(8).map(() => two.query('SELECT pg_sleep(0.05)')));
    assert.equal((await sessionsOf(larger)).length, 2);
  });
});

describe('transaction', () => {
  test('transaction: it commits what its callback has done, and undoes it when the callback throws', async (t) => {
    const client = clientFor(t, db);
    const table = named('tx').replaceAll('-', '_');
    await client.query(`CREATE TABLE ${table} (id int)`);
    const mine = new Error('mine');
    const seven = await client.transaction(async (tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (7)`);
      return 7;
    });
    const failed = client.transaction(async (tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (8)`);
      throw mine;
    });
    assert.equal(await failureOf(failed), mine);
    assert.equal(seven, 7);
    assert.deepEqual((await client.query(`SELECT id FROM ${table}`)).rows, [{ id: 7 }]);
    assert.match((await failureOf(client.transaction(/** @type {any} */ (null)))).message, /needs a function/);
  });

  test('transaction: a serialization failure runs it again as a whole, `retries` times, and the option of the call goes before', async (t) => {
    const failure = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$";
    for (const [options, ofCall, expected] of /** @type {[object, object | undefined, number][]} */ ([
      [{}, undefined, 4],
      [{ retries: 1 }, undefined, 2],
      [{ retries: 1, transactionRetries: 2 }, undefined, 3],
      [{ retries: 1 }, { retries: 0 }, 1],
    ])) {
      const client = clientFor(t, db, options);
      let runs = 0;
      const running = client.transaction(async (tx) => {
        runs += 1;
        await tx.query(failure);
      }, ofCall);
      assert.equal((await failureOf(running)).code, '40001');
      assert.equal(runs, expected);
    }
  });

  test('transaction: of a client with `ambient` its queries join, and do not run again alone', async (t) => {
    const client = clientFor(t, db, { ambient: true, retries: 2 });
    const { hooks, toldTo } = notingHooks();
    const other = clientFor(t, db, { ambient: true, hooks, transactionRetries: 0 });
    const failure = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$";
    const pids = await client.transaction(async (tx) => {
      await client.connect();
      const [{ pid }] = await tx.query('SELECT pg_backend_pid() AS pid');
      return [pid, (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid];
    });
    assert.equal(pids[0], pids[1]);
    assert.equal((await failureOf(other.transaction(() => other.query(failure)))).code, '40001');
    assert.deepEqual([toldTo('onQueryRetry'), toldTo('onQueryError').length], [[], 1]);
  });
});

describe('the end', () => {
  test('end: it closes the session, and every call after it rejects with PoolClosedError', async (t) => {
    for (const how of /** @type {const} */ (['end', 'clean'])) {
      const serviceName = newService();
      const client = clientFor(t, db, { serviceName });
      await client.connect();
      await client[how]();
      await client[how]();
      await until('its session is gone', async () => (await sessionsOf(serviceName)).length === 0);
      for (const call of [
        client.query('SELECT 1'),
        client.connect(),
        client.transaction(async () => {}),
        client.reap(),
      ]) {
        const { name, code } = await failureOf(call);
        assert.deepEqual([name, code], ['PoolClosedError', 'ERR_POOL_CLOSED']);
      }
    }
  });

  test('end: it waits for what runs, and cancels it after timeoutMs', async (t) => {
    const client = clientFor(t, db);
    const running = client.query('SELECT 1 AS one FROM pg_sleep(0.1)');
    await client.end();
    assert.deepEqual((await running).rows, [{ one: 1 }]);
    const other = clientFor(t, db);
    const endless = failureOf(other.query('SELECT pg_sleep(60)', [], { readOnly: true }));
    await sleep(100);
    await other.clean({ timeoutMs: 50 });
    assert.ok((await endless) instanceof Error);
    assert.match((await failureOf(other.end(/** @type {any} */ ({ timeout: 5 })))).message, /'timeoutMs'/);
  });

  test('end: a client that was never used ends, and `await using` ends one', async () => {
    await new ServerlessClient(db.options({ coordinationSecret: SECRET })).end();
    const client = new ServerlessClient(db.options({ coordinationSecret: SECRET }));
    await client.query('SELECT 1');
    const dispose = /** @type {any} */ (client)[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')];
    await dispose.call(client);
    assert.equal((await failureOf(client.query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
  });
});

test('serverless: ES modules have the same exports, and they do the same', async (t) => {
  const module = await import('hyperiondb-client/serverless');
  assert.equal(module.ServerlessClient, ServerlessClient);
  assert.equal(module.createLease, createLease);
  assert.equal(module.verifyLease, verifyLease);
  const { createLease: ofClient, verifyLease: verifyOfClient } = require('../../client.js');
  assert.deepEqual([createLease, verifyLease], [ofClient, verifyOfClient]);
  const client = new module.ServerlessClient(db.options({ coordinationSecret: SECRET }));
  t.after(() => client.end());
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});
