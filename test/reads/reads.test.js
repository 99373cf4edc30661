'use strict';

// pool.read(): its forms and options, which nodes answer, and what a write through it becomes. Its connections are in
// reads.pool.test.js, its strategies in reads.balance.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, failureOf, named, ownCluster, range, test, until, useCluster } = require('../support/helpers');
const { sessionsOn } = require('../support/reads');

const db = useCluster({ nodes: 3 });

const standbys = () => db.cluster.standbys().map(({ address }) => address);
const primary = () => db.cluster.primary();

/** What a session is: on a standby or not, and whether it can write. */
const SESSION = `SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only`;

/** The rows that are in a table of the primary, seen over a connection that is not the pool's. @param {string} table */
const countIn = async (table) => (await db.sql(`SELECT count(*)::int AS n FROM ${table}`))[0].n;

/**
 * A table that is on all standbys, and is dropped when its test ends.
 * @param {import('node:test').TestContext} t
 */
async function tableFor(t) {
  const name = `reads_${Math.floor(Math.random() * 1e12)}`;
  await db.sql(`CREATE TABLE ${name} (n int)`);
  t.after(() => db.sql(`DROP TABLE ${name}`));
  for (const node of db.cluster.standbys()) {
    await until('the standbys have the table', async () => {
      const [{ there }] = await node.sql(`SELECT to_regclass('${name}') IS NOT NULL AS there`);
      return there;
    });
  }
  return name;
}

describe('the forms of read', () => {
  const ROWS = [{ n: 1 }, { n: 2 }];
  const TWO = 'SELECT n::int4 FROM generate_series(1, $1::int4) AS n';
  const listed = async (/** @type {Promise<any[]>} */ rows) => [...(await rows)];
  // name, the call on pool.read and on the pool, what it resolves to
  const FORMS = /** @type {[string, (of: any) => Promise<any>, unknown][]} */ ([
    ['one()', (of) => of.one(TWO, [1]), { n: 1 }],
    ['maybeOne()', (of) => of.maybeOne(TWO, [0]), null],
    ['many()', (of) => listed(of.many(TWO, [2])), ROWS],
    ['value()', (of) => of.value(TWO, [1]), 1],
    ['sql``', (of) => listed(of.sql`SELECT n::int4 FROM generate_series(1, ${2}::int4) AS n`), ROWS],
    [
      'stream()',
      async (of) => {
        const rows = [];
        for await (const row of of.stream(TWO, [2])) rows.push(row);
        return rows;
      },
      ROWS,
    ],
  ]);
  for (const [name, call, expected] of FORMS) {
    test(`read.${name} returns what ${name} of the pool returns`, async (t) => {
      const pool = db.pool(t);
      assert.deepStrictEqual(await call(pool), expected);
      assert.deepStrictEqual(await call(pool.read), expected);
    });
  }

  test('read() returns the rows with rowCount, command and fields, as query() does', async (t) => {
    const pool = db.pool(t);
    const [ours, theirs] = await Promise.all([pool.read(TWO, [2]), pool.query(TWO, [2])]);
    assert.deepStrictEqual([...ours], ROWS);
    for (const name of ['rowCount', 'command', 'fields']) assert.deepStrictEqual(ours[name], theirs[name], name);
  });

  test('every form of read is answered by standbys only', async (t) => {
    const pool = db.pool(t);
    const { read } = pool;
    const sql = 'SELECT pg_is_in_recovery() AS standby';
    const stream = async () => {
      for await (const { standby } of read.stream(sql)) return standby;
      return undefined;
    };
    const answers = await Promise.all([
      read(sql).then((/** @type {any[]} */ [row]) => row.standby),
      read.one(sql).then((/** @type {any} */ row) => row.standby),
      read.maybeOne(sql).then((/** @type {any} */ row) => row.standby),
      read.many(sql).then((/** @type {any[]} */ [row]) => row.standby),
      read.value(sql),
      read.sql`SELECT pg_is_in_recovery() AS standby`.then((/** @type {any[]} */ [row]) => row.standby),
      stream(),
    ]);
    assert.deepEqual(answers, Array(7).fill(true));
    assert.equal(await pool.value(sql), false, 'query() is as it was');
  });

  test('read.one() and read.value() refuse more and fewer rows, as those of the pool do', async (t) => {
    const pool = db.pool(t);
    for (const [count, method] of /** @type {[number, string][]} */ ([
      [0, 'one'],
      [2, 'one'],
      [2, 'maybeOne'],
      [0, 'value'],
    ])) {
      const [ours, theirs] = await Promise.all([
        failureOf(pool.read[method](TWO, [count])),
        failureOf(pool[method](TWO, [count])),
      ]);
      assert.deepEqual([ours.code, ours.message], [theirs.code, theirs.message], `${method}() of ${count}`);
    }
  });

  test('read is one function for each pool, whose methods can be taken off it', async (t) => {
    const pool = db.pool(t);
    assert.equal(pool.read, pool.read);
    const { read } = pool;
    const { value } = read;
    assert.equal(await value('SELECT 7'), 7);
  });
});

describe('the options of read', () => {
  test("rowMode 'array' and types are those of the call", async (t) => {
    const pool = db.pool(t);
    const sql = 'SELECT 1::int8 AS a, 2::int4 AS b';
    assert.deepStrictEqual([...(await pool.read(sql, [], { rowMode: 'array' }))], [[1n, 2]]);
    assert.deepStrictEqual([...(await pool.read(sql, [], { types: { int8: 'number' } }))], [{ a: 1, b: 2 }]);
    assert.deepStrictEqual([...(await pool.read(sql))], [{ a: 1n, b: 2 }]);
  });

  /**
   * How many sleeping statements the sessions of an application run on the standbys.
   * @param {string} applicationName
   */
  async function sleeping(applicationName) {
    const all = await Promise.all(db.cluster.standbys().map((node) => sessionsOn(node, applicationName)));
    return all.flat().filter(({ state, query }) => state === 'active' && query.includes('pg_sleep')).length;
  }

  test('timeoutMs cancels the read on its standby: QueryTimeoutError, and the connection serves on', async (t) => {
    const applicationName = named('timeout');
    const pool = db.pool(t, { applicationName, reads: { poolSize: 1 } });
    const failing = failureOf(pool.read('SELECT pg_sleep(600)', [], { timeoutMs: 2_000 }));
    await until('it runs on a standby', async () => (await sleeping(applicationName)) === 1);
    const error = await failing;
    assert.deepEqual([error.name, error.code], ['QueryTimeoutError', '57014']);
    // The server tells of the end a moment before its statistics do.
    await until('it runs no more', async () => (await sleeping(applicationName)) === 0);
    assert.equal(await pool.read.value('SELECT 1'), 1);
  });

  test('signal cancels the read on its standby: AbortError with its reason', async (t) => {
    const applicationName = named('signal');
    const pool = db.pool(t, { applicationName });
    const controller = new AbortController();
    const failing = failureOf(pool.read('SELECT pg_sleep(600)', [], { signal: controller.signal }));
    await until('it runs on a standby', async () => (await sleeping(applicationName)) === 1);
    const reason = new Error('enough');
    controller.abort(reason);
    const error = await failing;
    assert.deepEqual([error.name, error.cause], ['AbortError', reason]);
    // The server tells of the end a moment before its statistics do.
    await until('it runs no more', async () => (await sleeping(applicationName)) === 0);
  });

  test('a signal that has fired before the call: AbortError, and nothing is sent', async (t) => {
    const pool = db.pool(t);
    const error = await failureOf(pool.read('SELECT 1', [], { signal: AbortSignal.abort() }));
    assert.deepEqual([error.name, error.outcome], ['AbortError', 'not-applied']);
  });

  test('batchSize: a stream hands out so many rows at a time, whatever comes behind them', async (t) => {
    const pool = db.pool(t);
    const seen = [];
    for (const batchSize of [1, 2, 3, 1_000]) {
      let count = 0;
      const error = await failureOf(
        (async () => {
          const sql = 'SELECT 1 / (6 - n) AS v FROM generate_series(1, 10) AS n';
          for await (const _ of pool.read.stream(sql, [], { batchSize })) count++;
        })(),
      );
      assert.equal(error.code, '22012');
      seen.push(count);
    }
    assert.deepEqual(seen, [5, 4, 3, 0], 'whole pieces before the error in the sixth row');
  });

  test('a stream that its reader leaves is cancelled on the standby, and its connection serves on', async (t) => {
    const pool = db.pool(t, { reads: { poolSize: 1 } });
    for (const _ of range(6)) {
      for await (const { n } of pool.read.stream('SELECT generate_series(1, 1000000000) AS n')) if (n > 10) break;
    }
    assert.equal(await pool.read.value('SELECT 1'), 1);
  });
});

describe('rows.node', () => {
  test('every result names the node that answered, and does not list that property', async (t) => {
    const pool = db.pool(t);
    const sql = 'SELECT 1 AS v';
    const [read, many, template] = await Promise.all([
      pool.read(sql),
      pool.read.many(sql),
      pool.read.sql`SELECT 1 AS v`,
    ]);
    for (const rows of [read, many, template]) assert.ok(standbys().includes(rows.node), String(rows.node));
    const results = [
      await pool.query(sql),
      await pool.many(sql),
      await pool.sql`SELECT 1 AS v`,
      ...(await pool.batch([sql, sql])).map((/** @type {any} */ { value }) => value),
      ...(await pool.batch([sql, sql], { transaction: true })),
      await pool.transaction((/** @type {any} */ tx) => tx.query(sql)),
      ...(await pool.exec('SELECT 1 AS v; SELECT 1 AS v')),
    ];
    assert.deepEqual(
      results.map(({ node }) => node),
      results.map(() => primary().address),
    );
    for (const rows of [read, many, template, ...results]) {
      assert.deepEqual(Object.keys(rows), ['0']);
      assert.equal(JSON.stringify(rows), '[{"v":1}]');
      assert.equal(Object.getOwnPropertyDescriptor(rows, 'node')?.enumerable, false);
    }
  });

  test('results without rows name their node, too', async (t) => {
    const pool = db.pool(t);
    const table = await tableFor(t);
    assert.equal((await pool.query(`DELETE FROM ${table}`)).node, primary().address);
    assert.ok(standbys().includes((await pool.read(`SELECT FROM ${table}`)).node));
  });

  test('side by side, each read names the node whose row it has', async (t) => {
    const pool = db.pool(t, { reads: { balance: 'round-robin' } });
    const sql = 'SELECT inet_server_port() AS port';
    const all = await Promise.all(range(200).map((i) => (i % 3 === 0 ? pool.query(sql) : pool.read(sql))));
    for (const rows of all) assert.equal(rows.node, `127.0.0.1:${rows[0].port}`);
    assert.deepEqual(new Set(all.map(({ node }) => node)), new Set(db.cluster.hosts));
  });
});

describe('which node answers', () => {
  for (const mode of ['read-write', 'primary', 'read-only', 'standby', 'prefer-standby', 'any']) {
    test(`reads of a pool of mode ${mode} are answered by standbys`, async (t) => {
      const pool = db.pool(t, { mode });
      const answers = await Promise.all(range(12).map(() => pool.read(SESSION)));
      for (const rows of answers) {
        assert.ok(standbys().includes(rows.node), String(rows.node));
        assert.deepStrictEqual([...rows], [{ standby: true, read_only: 'on' }]);
      }
    });
  }

  test('a pool without standbys: reads run on the primary, over sessions that cannot write', async (t) => {
    const pool = db.pool(t, { hosts: [primary().address] });
    const rows = await pool.read(SESSION);
    assert.equal(rows.node, primary().address);
    assert.deepStrictEqual([...rows], [{ standby: false, read_only: 'on' }]);
    assert.deepStrictEqual([...(await pool.query(SESSION))], [{ standby: false, read_only: 'off' }]);
  });

  test('a cluster of one node: reads run on it, over sessions that cannot write', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    const pool = own.pool(t);
    const all = await Promise.all(range(20).map(() => pool.read(SESSION)));
    for (const rows of all) {
      assert.equal(rows.node, own.cluster.hosts[0]);
      assert.deepStrictEqual([...rows], [{ standby: false, read_only: 'on' }]);
    }
  });
});

describe('a write through read', () => {
  // The node that answers, by the hosts of the pool.
  const PLACES = /** @type {[string, () => string[]][]} */ ([
    ['a standby', () => db.cluster.hosts],
    ['the primary, as the fallback', () => [primary().address]],
  ]);
  for (const [place, hosts] of PLACES) {
    test(`a write through read at ${place}: 25006 that names read(), and nothing is changed`, async (t) => {
      const table = await tableFor(t);
      const pool = db.pool(t, { hosts: hosts() });
      const writes = [
        `INSERT INTO ${table} VALUES (1)`,
        `WITH written AS (INSERT INTO ${table} VALUES (1) RETURNING n) SELECT n FROM written`,
        `UPDATE ${table} SET n = 2`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table}`,
        `CREATE TABLE ${table}_more (n int)`,
        `DO $$ BEGIN INSERT INTO ${table} VALUES (1); END $$`,
      ];
      for (const write of writes) {
        const error = await failureOf(pool.read(write));
        assert.deepEqual([error.code, error.outcome, error.retryable], ['25006', 'not-applied', false], write);
        assert.match(error.message, /read\(\)/, write);
      }
      assert.equal(await countIn(table), 0);
    });

    test(`a function that writes, called through read at ${place}: 25006, and nothing is changed`, async (t) => {
      const table = await tableFor(t);
      const name = `write_${table}`;
      await db.sql(
        `CREATE FUNCTION ${name}() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ${table} VALUES (1); RETURN 1; END $$`,
      );
      t.after(() => db.sql(`DROP FUNCTION ${name}()`));
      const pool = db.pool(t, { hosts: hosts() });
      const call = () => failureOf(pool.read.value(`SELECT ${name}()`));
      // The function may not be on the standby yet.
      const error = await until('the node has the function', async () => {
        const failure = await call();
        return failure.code === '42883' ? null : failure;
      });
      assert.deepEqual([error.code, error.outcome], ['25006', 'not-applied']);
      assert.match(error.message, /read\(\)/);
      assert.equal(await countIn(table), 0);
    });

    test(`a stream that writes, at ${place}: 25006, and nothing is changed`, async (t) => {
      const table = await tableFor(t);
      const pool = db.pool(t, { hosts: hosts() });
      const error = await failureOf(
        (async () => {
          for await (const _ of pool.read.stream(`INSERT INTO ${table} VALUES (1) RETURNING n`));
        })(),
      );
      assert.equal(error.code, '25006');
      assert.equal(await countIn(table), 0);
    });
  }

  // What a read leaves behind in its session is undone before the next read.
  for (const set of [
    'SET default_transaction_read_only = off',
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    'RESET ALL',
    'DISCARD ALL',
  ]) {
    test(`after a read of "${set}" at the primary, a write through read is refused as before`, async (t) => {
      const table = await tableFor(t);
      const pool = db.pool(t, { hosts: [primary().address], reads: { poolSize: 1 } });
      await endings([pool.read(set)]);
      const failed = await endings(range(3).map(() => pool.read(`INSERT INTO ${table} VALUES (1)`)));
      assert.deepEqual(
        failed.map(({ error }) => error?.code),
        Array(3).fill('25006'),
      );
      assert.equal(await countIn(table), 0);
    });
  }
});
