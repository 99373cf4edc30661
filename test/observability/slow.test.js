'use strict';

// The option slowQueryMs, and the event `slow`.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
const pg = require('../../exports/pg/index.js');
const { ServerlessClient } = require('../../exports/serverless/index.js');
const { failureOf, printedBy, sleep, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });
const address = () => db.cluster.primary().address;
const HOLDS = 'SELECT pg_sleep(0.5) AS holds';

/** The events of a pool. @param {any} pool @returns {any[]} */
function slowOf(pool) {
  /** @type {any[]} */
  const events = [];
  pool.on('slow', (/** @type {any} */ event) => events.push(event));
  return events;
}

/** The listeners are called behind what waits for the statement. */
const told = () => sleep(1);

describe('slow: the event', () => {
  test('slow: a statement over slowQueryMs is told once, with its wait; a quick one is not', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 400, poolSize: 1, pipeline: { depth: 1 } });
    const events = slowOf(pool);
    await pool.query('SELECT 1');
    events.length = 0;
    await Promise.all([pool.query(HOLDS), pool.query('SELECT i FROM generate_series(1, 3) i')]);
    await pool.query('SELECT 1');
    await told();
    const [first, second, ...more] = events;
    assert.deepEqual(more, []);
    const { durationMs, waitMs, ...rest } = first;
    assert.deepEqual(rest, { sql: HOLDS, operation: 'query', node: address(), rowCount: 1 });
    assert.ok(durationMs >= 400 && waitMs < 400, `took ${durationMs}, waited ${waitMs}`);
    // It is quick, and has waited for the connection.
    assert.equal(second.rowCount, 3);
    assert.ok(second.waitMs >= 400 && second.durationMs >= second.waitMs, `${second.durationMs}, ${second.waitMs}`);
  });

  test('slow: 0 tells of every statement, whatever runs it', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 0 });
    await pool.exec('CREATE TABLE slow (id int)');
    t.after(() => db.sql('DROP TABLE slow'));
    const events = slowOf(pool);
    await pool.query('SELECT 1');
    await pool.read('SELECT 2');
    for await (const _ of pool.stream('SELECT 3'));
    await pool.batch(['SELECT 4', 'SELECT 5']);
    await pool.exec('SELECT 6');
    await pool.copyFrom('slow', [[1]]);
    for await (const _ of pool.copyTo('slow'));
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 7'));
    const failed = await failureOf(pool.query('SELECT 1 / 0'));
    const refused = await failureOf(pool.query('SELECT $1::int', ['a', 'b']));
    await told();
    assert.deepEqual(
      events.map(({ sql, operation, rowCount }) => [sql, operation, rowCount]),
      [
        ['SELECT 1', 'query', 1],
        ['SELECT 2', 'read', 1],
        ['SELECT 3', 'stream', 1],
        ['SELECT 4', 'batch', 1],
        ['SELECT 5', 'batch', 1],
        ['SELECT 6', 'exec', 1],
        ['slow', 'copyFrom', 1],
        ['COPY "slow" TO STDOUT', 'copyTo', undefined],
        ['SELECT 7', 'query', 1],
        ['SELECT 1 / 0', 'query', undefined],
        ['SELECT $1::int', 'query', undefined],
      ],
    );
    assert.deepEqual(
      events.slice(-2).map(({ error, node }) => [error, node]),
      [
        [failed, address()],
        // The core has asked the node for the parameters.
        [refused, address()],
      ],
    );
    assert.ok(events.slice(0, -2).every((event) => !('error' in event) && event.node === address()));
  });

  test('slow: a timeout, an abort, a stream that is left', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 0 });
    const events = slowOf(pool);
    const errors = [
      await failureOf(pool.query('SELECT pg_sleep(60)', [], { timeoutMs: 20 })),
      await failureOf(pool.query('SELECT pg_sleep(60)', [], { signal: AbortSignal.timeout(20) })),
    ];
    for await (const _ of pool.stream('SELECT generate_series(1, 1000000)', [], { batchSize: 10 })) break;
    await told();
    assert.deepEqual(
      events.map(({ error }) => error),
      [...errors, undefined],
    );
    assert.ok(events[2].rowCount >= 10 && events[2].rowCount < 1_000_000);
  });

  test('slow: parameters only with logParameters, as they were when the statement began', async (t) => {
    const secretive = db.pool(t, { slowQueryMs: 0 });
    const open = db.pool(t, { slowQueryMs: 0, logParameters: true });
    const [without, withThem] = [slowOf(secretive), slowOf(open)];
    const params = ['hunter2'];
    for (const pool of [secretive, open]) {
      const running = pool.query('SELECT $1::text', params);
      params[0] = 'changed';
      await running;
      params[0] = 'hunter2';
      await pool.exec('SELECT 1');
    }
    await told();
    assert.deepEqual(
      withThem.map(({ parameters }) => parameters),
      [['hunter2'], undefined],
    );
    assert.ok(without.every((event) => !('parameters' in event)));
    assert.doesNotMatch(JSON.stringify(without), /hunter2/);
  });

  test('slow: a listener runs outside of the transaction that it is told of', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 0, ambient: true });
    /** @type {boolean[]} */
    const within = [];
    pool.on('slow', () => within.push(pool.inTransaction));
    await pool.transaction(async () => {
      await pool.query('SELECT 1');
      await told();
    });
    assert.deepEqual(within, [false]);
  });

  test('slow: a listener that throws fails no statement, and loses no result', async () => {
    const lines = await printedBy(
      db,
      `
      const caught = [];
      process.on('uncaughtException', (error) => caught.push(error.message));
      const pool = createPool({ ...options, slowQueryMs: 0 });
      pool.on('slow', () => { throw new Error('of a listener'); });
      print(await pool.query('SELECT 1 AS v'));
      print(await pool.batch(['SELECT 2 AS v']));
      print((await pool.query('SELECT 1 / 0').catch((error) => error)).code);
      await pool.end();
      print(caught);
      `,
    );
    assert.deepEqual(lines, [
      '[{"v":1}]',
      '[{"status":"fulfilled","value":[{"v":2}]}]',
      '22012',
      '["of a listener","of a listener","of a listener"]',
    ]);
  });
});

describe('slow: the option', () => {
  for (const slowQueryMs of [-1, 1.5, '5', null, Number.NaN, 2 ** 31]) {
    test(`slowQueryMs: ${slowQueryMs} is refused by name`, () => {
      assert.throws(() => createPool(/** @type {any} */ ({ slowQueryMs })), {
        code: 'ERR_INVALID_OPTION',
        message: /^slowQueryMs /,
      });
    });
  }

  test('slow: nobody listens, and the statements run', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 0 });
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});

describe('slow: other faces', () => {
  test('slow: a Pool of hyperiondb-client/pg, and a Client without one, emit it', async (t) => {
    const config = { ...db.options(), slowQueryMs: 0 };
    const pool = /** @type {any} */ (new pg.Pool(config));
    t.after(() => pool.end());
    const client = /** @type {any} */ (new pg.Client(config));
    t.after(() => client.end());
    await client.connect();
    for (const one of [pool, client]) {
      const events = slowOf(one);
      await one.query('SELECT $1::int AS one', [1]);
      await failureOf(one.query('SELECT 1 / 0'));
      await told();
      assert.deepEqual(
        events.map(({ sql, rowCount, node, error }) => [sql, rowCount, node, error?.code]),
        [
          ['SELECT $1::int AS one', 1, address(), undefined],
          ['SELECT 1 / 0', undefined, address(), '22012'],
        ],
      );
    }
  });

  test('slow: ServerlessClient tells its hook', async (t) => {
    /** @type {any[]} */
    const events = [];
    const client = new ServerlessClient(
      /** @type {any} */ ({
        ...db.options(),
        leaseMode: 'optional',
        slowQueryMs: 0,
        hooks: { onSlowQuery: (/** @type {any} */ event) => events.push(event) },
      }),
    );
    t.after(() => client.end());
    await client.query('SELECT 1');
    await until('the hook is told', () => events.length > 0);
    assert.equal(events[0].sql, 'SELECT 1');
  });

  test('slow: MultiClusterPostgres emits it with the cluster', async (t) => {
    const { hosts, user, password, database } = db.cluster;
    const multi = new MultiClusterPostgres();
    t.after(() => multi.close());
    await multi.initialize({
      shop: { schemas: ['public'], hosts: [...hosts], user, password, database, slowQueryMs: 0 },
    });
    const events = slowOf(multi);
    await multi.query('SELECT 1 AS one', [], { clusterId: 'shop' });
    await until('it is told', () => events.some(({ sql }) => sql.includes('SELECT 1 AS one')));
    assert.ok(events.every(({ clusterId, node }) => clusterId === 'shop' && node === address()));
  });
});
