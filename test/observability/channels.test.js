'use strict';

// The channel hyperiondb:query of node:diagnostics_channel: what is told of each kind of statement, and when.

const assert = require('node:assert/strict');
const { inspect } = require('node:util');
const { describe } = require('node:test');
const { failureOf, inChild, printedBy, test, until, useCluster } = require('../support/helpers.js');
const { FAILURE, SUCCESS, listenTo, subscribe } = require('./listen.js');

const db = useCluster({ nodes: 1 });
const address = () => db.cluster.primary().address;

/** @param {AsyncIterable<unknown>} rows */
async function readAll(rows) {
  let count = 0;
  for await (const _ of rows) count++;
  return count;
}

/** A kind of statement: how it is run, with its limits, and what is told of it. */
const KINDS =
  /** @type {Record<string, { operation: string, run: (pool: any, sql: string, limits?: object) => Promise<unknown> }>} */ ({
    query: { operation: 'query', run: (pool, sql, limits) => pool.query(sql, [], limits) },
    many: { operation: 'query', run: (pool, sql, limits) => pool.many(sql, [], limits) },
    read: { operation: 'read', run: (pool, sql, limits) => pool.read(sql, [], limits) },
    'read.many': { operation: 'read', run: (pool, sql, limits) => pool.read.many(sql, [], limits) },
    'read.stream': { operation: 'stream', run: (pool, sql, limits) => readAll(pool.read.stream(sql, [], limits)) },
    stream: { operation: 'stream', run: (pool, sql, limits) => readAll(pool.stream(sql, [], limits)) },
    exec: { operation: 'exec', run: (pool, sql, limits) => pool.exec(sql, limits) },
    copyTo: {
      operation: 'copyTo',
      run: (pool, sql, limits) => readAll(pool.copyTo(`COPY (${sql}) TO STDOUT`, limits)),
    },
    'query of a transaction': {
      operation: 'query',
      run: (pool, sql, limits) => pool.transaction((/** @type {any} */ tx) => tx.query(sql, [], limits)),
    },
    'stream of a transaction': {
      operation: 'stream',
      run: (pool, sql, limits) => pool.transaction((/** @type {any} */ tx) => readAll(tx.stream(sql, [], limits))),
    },
    'exec of a transaction': {
      operation: 'exec',
      run: (pool, sql, limits) => pool.transaction((/** @type {any} */ tx) => tx.exec(sql, limits)),
    },
  });

/** What copyTo() is told as. @param {string} kind @param {string} sql */
const textOf = (kind, sql) => (kind === 'copyTo' ? `COPY (${sql}) TO STDOUT` : sql);

for (const [kind, { operation, run }] of Object.entries(KINDS)) {
  describe(`hyperiondb:query: ${kind}`, () => {
    test(`${kind}: a success is told once, and node, rows and wait are known at asyncStart`, async (t) => {
      const pool = db.pool(t);
      const { heard, events, ended } = listenTo(t, 'hyperiondb:query', pool);
      const sql = 'SELECT i FROM generate_series(1, 3) i';
      await run(pool, sql);
      assert.deepEqual(events(), SUCCESS);
      const [{ sql: told, node, rowCount, waitMs, error, ...rest }] = ended();
      assert.deepEqual(
        { told, operation: rest.operation, node, rowCount, error },
        {
          told: textOf(kind, sql),
          operation,
          node: address(),
          rowCount: kind === 'copyTo' ? undefined : 3,
          error: undefined,
        },
      );
      // A script in a transaction: its BEGIN has waited, and is not told here.
      if (kind !== 'exec of a transaction')
        assert.ok(waitMs > 0, `the first statement waits for its connection: ${waitMs}`);
      assert.ok(heard.every(({ message }) => message === heard[0].message));
      assert.equal(heard[0].known.node, undefined);
    });

    test(`${kind}: a failure of the server is told with its error and node`, async (t) => {
      const pool = db.pool(t);
      const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
      const error = await failureOf(run(pool, 'SELECT 1 / 0'));
      assert.equal(error.code, '22012');
      assert.deepEqual(events(), FAILURE);
      const [known] = ended();
      assert.deepEqual([known.error, known.node, known.rowCount], [error, address(), undefined]);
    });

    test(`${kind}: a timeout is told as its error`, async (t) => {
      const pool = db.pool(t);
      const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
      const error = await failureOf(run(pool, 'SELECT pg_sleep(60)', { timeoutMs: 30 }));
      assert.deepEqual(events(), FAILURE);
      assert.equal(ended()[0].error, error);
      assert.equal(error.name, 'QueryTimeoutError');
    });

    test(`${kind}: an abort is told as its error, also of a signal that has fired before`, async (t) => {
      const pool = db.pool(t);
      const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
      const controller = new AbortController();
      const running = failureOf(run(pool, 'SELECT pg_sleep(60)', { signal: controller.signal }));
      await until(
        'the statement runs',
        async () => (await db.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length,
      );
      controller.abort();
      const errors = [await running, await failureOf(run(pool, 'SELECT 1', { signal: controller.signal }))];
      assert.deepEqual(events(), [...FAILURE, ...FAILURE]);
      assert.deepEqual(
        ended().map(({ error }) => error),
        errors,
      );
      for (const error of errors) assert.equal(error.name, 'AbortError');
    });
  });
}

describe('hyperiondb:query: other statements', () => {
  test('one, maybeOne, value and sql are queries', async (t) => {
    const pool = db.pool(t);
    const { ended } = listenTo(t, 'hyperiondb:query', pool);
    await pool.one('SELECT 1 AS one');
    await pool.maybeOne('SELECT 1 WHERE false');
    await pool.value('SELECT 2 AS two');
    await pool.sql`SELECT ${3}::int AS three`;
    await pool.read.sql`SELECT ${4}::int AS four`;
    assert.deepEqual(
      ended().map(({ operation, sql, rowCount }) => [operation, sql, rowCount]),
      [
        ['query', 'SELECT 1 AS one', 1],
        ['query', 'SELECT 1 WHERE false', 0],
        ['query', 'SELECT 2 AS two', 1],
        ['query', 'SELECT $1::int AS three', 1],
        ['read', 'SELECT $1::int AS four', 1],
      ],
    );
  });

  test('one(): what is wrong with the number of rows is no failure of the statement', async (t) => {
    const pool = db.pool(t);
    const { events } = listenTo(t, 'hyperiondb:query', pool);
    assert.equal((await failureOf(pool.one('SELECT 1 WHERE false'))).name, 'NoRowsError');
    assert.deepEqual(events(), SUCCESS);
  });

  test('a wrong parameter is told as a failure, without a node', async (t) => {
    const pool = db.pool(t);
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    const error = await failureOf(pool.query('SELECT $1::int4', ['a', 'b']));
    await failureOf(pool.query('SELECT $1::int4', 'no array'));
    assert.deepEqual(events(), [...FAILURE, ...FAILURE]);
    assert.equal(ended()[0].error, error);
  });

  test('copyFrom: target, rows and node; its error', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE told (id int)');
    t.after(() => db.sql('DROP TABLE told'));
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    await pool.copyFrom('told', [[1], [2]]);
    const error = await failureOf(pool.copyFrom('told', [['x']]));
    const thrown = new Error('the source');
    const failing = (function* failing() {
      yield [1];
      throw thrown;
    })();
    await failureOf(pool.copyFrom('told', failing));
    assert.deepEqual(events(), [...SUCCESS, ...FAILURE, ...FAILURE]);
    const shown = ended().map(({ operation, sql, rowCount, node, error: told }) => [
      operation,
      sql,
      rowCount,
      node,
      told,
    ]);
    assert.deepEqual(shown, [
      ['copyFrom', 'told', 2, address(), undefined],
      ['copyFrom', 'told', undefined, address(), error],
      ['copyFrom', 'told', undefined, address(), thrown],
    ]);
  });

  test('batch: one message with a part for each statement, which fail for themselves', async (t) => {
    const pool = db.pool(t);
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    await pool.batch(['SELECT 1', ['SELECT generate_series(1, $1::int)', [4]], 'SELECT 1 / 0']);
    assert.deepEqual(events(), SUCCESS);
    const [{ operation, sql, rowCount, node, statements, error, waitMs }] = ended();
    assert.ok(
      waitMs > 0 && statements.every((/** @type {any} */ one) => one.waitMs >= waitMs),
      'it waits for its connection',
    );
    assert.deepEqual(
      { operation, sql, rowCount, node, error },
      {
        operation: 'batch',
        sql: 'SELECT 1;\nSELECT generate_series(1, $1::int);\nSELECT 1 / 0',
        rowCount: 5,
        node: address(),
        error: undefined,
      },
    );
    assert.deepEqual(
      statements.map((/** @type {any} */ one) => [one.rowCount, one.node, one.error?.code, one.parameters]),
      [
        [1, address(), undefined, []],
        [4, address(), undefined, [4]],
        [undefined, address(), '22012', []],
      ],
    );
  });

  test('batch in a transaction: it fails as a whole; a batch that is not sent is told, too', async (t) => {
    const pool = db.pool(t);
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    const error = await failureOf(pool.batch(['SELECT 1', 'SELECT 1 / 0'], { transaction: true }));
    const unsent = await failureOf(pool.batch([['SELECT $1::int', [Symbol('no parameter')]]]));
    const controller = new AbortController();
    controller.abort();
    const aborted = await failureOf(pool.batch(['SELECT 1'], { signal: controller.signal }));
    assert.deepEqual(events(), [...FAILURE, ...FAILURE, ...FAILURE]);
    assert.deepEqual(
      ended().map((known) => known.error),
      [error, unsent, aborted],
    );
    await pool.batch([]);
    assert.equal(events().length, 15, 'an empty batch sends nothing');
  });

  test('a stream or an unload whose reader leaves is no failure; one that is never read is not told', async (t) => {
    const pool = db.pool(t);
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    const many = 'SELECT i FROM generate_series(1, 1000000) i';
    for await (const _ of pool.stream(many, [], { batchSize: 10 })) break;
    const unload = pool.copyTo(`COPY (${many}) TO STDOUT`);
    for await (const _ of unload) break;
    await until('the unload has ended', () => events().filter((event) => event === 'asyncEnd').length >= 2);
    assert.deepEqual(events(), [...SUCCESS, ...SUCCESS]);
    const [{ rowCount }] = ended();
    assert.ok(rowCount >= 10 && rowCount < 1_000_000, `${rowCount} rows had arrived`);
    const unread = pool.stream(many);
    await unread.return();
    pool.copyTo(`COPY (${many}) TO STDOUT`).destroy();
    await pool.query('SELECT 1');
    assert.equal(events().length, 12);
  });

  test('a transaction of begin(): its statements, savepoints included, know it', async (t) => {
    const pool = db.pool(t);
    const queries = listenTo(t, 'hyperiondb:query', pool);
    const transactions = listenTo(t, 'hyperiondb:transaction', pool);
    const tx = await pool.begin();
    await tx.query('SELECT 1');
    await tx.transaction((/** @type {any} */ part) => part.query('SELECT 2'));
    await tx.commit();
    await pool.query('SELECT 3');
    const [{ message }] = transactions.heard;
    assert.deepEqual(
      queries.ended().map(({ sql, transaction }) => [sql, transaction === message]),
      [
        ['SELECT 1', true],
        ['SAVEPOINT hyperiondb_1', true],
        ['SELECT 2', true],
        ['RELEASE SAVEPOINT hyperiondb_1', true],
        ['SELECT 3', false],
      ],
    );
    assert.equal(queries.ended().at(-1).transaction, undefined);
  });

  test('a serializer of the pool: the statement that asks for the types is not told', async (t) => {
    const pool = db.pool(t, { types: { serializers: { int4: (/** @type {unknown} */ value) => String(value) } } });
    const { events, ended } = listenTo(t, 'hyperiondb:query', pool);
    assert.deepEqual(await pool.query('SELECT $1::int4 AS v', ['7']), [{ v: 7 }]);
    assert.deepEqual(events(), SUCCESS);
    assert.equal(ended()[0].rowCount, 1);
  });

  test('the tasks of the pool itself are told with the pool of the user', async (t) => {
    const pool = db.pool(t);
    const { ended } = listenTo(t, 'hyperiondb:query');
    await pool.session(async () => {
      await pool.exec('SELECT 1');
      await pool.read('SELECT 2');
    });
    // The position after the script is asked for.
    assert.deepEqual(
      ended()
        .map(({ sql }) => sql)
        .sort(),
      ['SELECT', 'SELECT 1', 'SELECT 2'],
    );
    assert.ok(ended().every((known) => known.pool === pool));
  });
});

describe('hyperiondb:query: subscribers', () => {
  test('a message that is printed does not show parameters, passwords or rows', async (t) => {
    const pool = db.pool(t, { password: db.options().password || 'hunter1' });
    const { heard } = listenTo(t, 'hyperiondb:query', pool);
    await pool.query("SELECT 'row ' || $1::text AS v", ['hunter2']);
    await pool.batch([['SELECT $1::text', ['hunter2']]]);
    assert.deepEqual(heard[0].message.parameters, ['hunter2']);
    for (const { message } of heard) {
      const shown = inspect(message, { depth: 9 }) + JSON.stringify(message) + inspect({ ...message }, { depth: 9 });
      assert.doesNotMatch(shown, /hunter2|row hunter|hunter1/);
      assert.ok(!shown.includes(`'${db.options().password}'`) || db.options().password === '');
    }
  });

  test('a text that a subscriber to start sets is sent in place of the SQL, which is still what is told', async (t) => {
    const pool = db.pool(t);
    const { ended } = listenTo(t, 'hyperiondb:query', pool);
    subscribe(t, 'hyperiondb:query', {
      start: (message) => {
        for (const one of message.statements ?? [message]) one.text = `${one.sql} /* traced */`;
      },
    });
    const sent = 'SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()';
    const answers = [
      (await pool.query(sent))[0],
      (await pool.read(sent))[0],
      (await pool.exec(sent))[0][0],
      (await pool.batch([sent]))[0].value[0],
      await pool.transaction((/** @type {any} */ tx) => tx.one(sent)),
    ];
    for await (const row of pool.stream(sent)) answers.push(row);
    for (const { query } of answers) assert.equal(query, `${sent} /* traced */`);
    assert.ok(ended().every(({ sql }) => sql === sent));
  });

  test('a text that is no string is not sent', async (t) => {
    const pool = db.pool(t);
    subscribe(t, 'hyperiondb:query', {
      start: (message) => {
        message.text = 5;
      },
    });
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('a subscriber that makes something else of a message fails nothing', async (t) => {
    const pool = db.pool(t);
    subscribe(t, 'hyperiondb:query', {
      start: (message) => {
        for (const name of Object.keys(message)) message[name] = null;
      },
    });
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    assert.deepEqual((await pool.batch(['SELECT 1 AS v']))[0].value, [{ v: 1 }]);
    assert.deepEqual(await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 2 AS v')), [{ v: 2 }]);
  });

  test('a subscriber that freezes a message fails nothing', async (t) => {
    const pool = db.pool(t);
    subscribe(t, 'hyperiondb:query', { start: Object.freeze });
    subscribe(t, 'hyperiondb:transaction', { start: Object.freeze });
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    assert.equal((await failureOf(pool.query('SELECT 1 / 0'))).code, '22012');
    assert.equal((await pool.batch(['SELECT 1']))[0].status, 'fulfilled');
    assert.deepEqual(await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 2 AS v')), [{ v: 2 }]);
    const tx = await pool.begin();
    await tx.rollback();
  });

  test('a subscriber that throws fails no statement and loses no result: its error is an uncaught exception', async () => {
    const lines = await printedBy(
      db,
      `
      const { tracingChannel } = require('node:diagnostics_channel');
      const caught = [];
      process.on('uncaughtException', (error) => caught.push(error.message));
      for (const name of ['hyperiondb:query', 'hyperiondb:transaction']) {
        const channel = tracingChannel(name);
        for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error']) {
          channel[event].subscribe(() => { throw new Error(event); });
        }
      }
      const pool = createPool(options);
      print(await pool.query('SELECT 1 AS v'));
      print((await pool.query('SELECT 1 / 0').catch((error) => error)).code);
      print(await pool.transaction((tx) => tx.query('SELECT 2 AS v')));
      print(await pool.batch(['SELECT 3 AS v']));
      await pool.end();
      await new Promise((resolve) => setImmediate(resolve));
      print(caught.length);
      `,
    );
    // Four of a success, five of a failure; of the transaction its own four, and those of its statement.
    assert.deepEqual(lines, [
      '[{"v":1}]',
      '22012',
      '[{"v":2}]',
      '[{"status":"fulfilled","value":[{"v":3}]}]',
      `${4 + 5 + 8 + 4}`,
    ]);
  });

  test('a subscriber that throws ends a process that does not listen to uncaughtException, as Node does', async () => {
    const { code, stderr } = await inChild(
      db,
      `
      require('node:diagnostics_channel').tracingChannel('hyperiondb:query').start.subscribe(() => { throw new Error('of a subscriber'); });
      await createPool(options).query('SELECT 1');
      `,
    );
    assert.notEqual(code, 0);
    assert.match(stderr, /of a subscriber/);
  });

  test('a subscriber that unsubscribes meanwhile, and one that comes later, get what there is', async (t) => {
    const pool = db.pool(t);
    const channel = require('node:diagnostics_channel').tracingChannel('hyperiondb:query');
    const once = () => void channel.start.unsubscribe(once);
    channel.start.subscribe(once);
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    const running = pool.query('SELECT 2 AS v');
    const { events } = listenTo(t, 'hyperiondb:query', pool);
    assert.deepEqual(await running, [{ v: 2 }]);
    assert.deepEqual(events(), [], 'a statement is told from its start, or not at all');
  });
});
