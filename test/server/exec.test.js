'use strict';

// Scripts: several statements by the simple protocol, as migrations and dumps are. Their transactions are in
// exec.transactions.test.js; failures of the connection and of the cluster are in test/cluster/exec.failures.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { ParameterError } = require('../../client.js');
const { test, failureOf, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1, synchronous: false });

/** Each result as `[command, rowCount, rows]`. @param {any[]} results */
const told = (results) => results.map((rows) => [rows.command, rows.rowCount, [...rows]]);

describe('exec(): an array with the rows of each statement', () => {
  const table = /** @type {[string, unknown[]][]} */ ([
    ['', []],
    [' \n\t', []],
    ['-- nothing\n/* at /* all */ */', []],
    [';;;', []],
    ['SELECT 1 AS v', [['SELECT', 1, [{ v: 1 }]]]],
    ['SELECT 1 AS v;; SELECT 2 AS v; -- end', [1, 2].map((v) => ['SELECT', 1, [{ v }]])],
    [
      'SELECT; SELECT WHERE false',
      [
        ['SELECT', 1, [{}]],
        ['SELECT', 0, []],
      ],
    ],
    [
      "SELECT 1 AS v; SELECT 'x' AS v WHERE false; VALUES (true)",
      [
        ['SELECT', 1, [{ v: 1 }]],
        ['SELECT', 0, []],
        ['SELECT', 1, [{ column1: true }]],
      ],
    ],
    [
      'SET TIME ZONE UTC; SHOW TIME ZONE',
      [
        ['SET', 0, []],
        ['SHOW', 1, [{ TimeZone: 'UTC' }]],
      ],
    ],
    [
      `CREATE TEMP TABLE t (id int8 PRIMARY KEY, a text); INSERT INTO t VALUES (1, NULL), (2, $$a;b$$) RETURNING *;
       UPDATE t SET a = 'x' WHERE a IS NULL; DELETE FROM t; DROP TABLE t`,
      [
        ['CREATE', 0, []],
        [
          'INSERT',
          2,
          [
            { id: 1n, a: null },
            { id: 2n, a: 'a;b' },
          ],
        ],
        ['UPDATE', 1, []],
        ['DELETE', 2, []],
        ['DROP', 0, []],
      ],
    ],
    [
      'BEGIN; SELECT 1 AS v; COMMIT; BEGIN; ROLLBACK',
      [
        ['BEGIN', 0, []],
        ['SELECT', 1, [{ v: 1 }]],
        ['COMMIT', 0, []],
        ['BEGIN', 0, []],
        ['ROLLBACK', 0, []],
      ],
    ],
  ]);
  for (const [script, results] of table) {
    test(`exec(): the results of ${JSON.stringify(script).slice(0, 100)}`, async (t) => {
      const pool = db.pool(t);
      assert.deepStrictEqual(told(await pool.exec(script)), results);
      if (/BEGIN/.test(script)) return;
      assert.deepStrictEqual(
        await pool.transaction(async (/** @type {any} */ tx) => told(await tx.exec(script))),
        results,
      );
    });
  }

  test('exec(): values are those of query(), whatever the type', async (t) => {
    const pool = db.pool(t);
    await pool.exec(`CREATE TYPE mood AS ENUM ('sad', 'it''s'); CREATE TYPE pair AS (a int8, b mood[]);
      CREATE DOMAIN positive AS int CHECK (VALUE > 0)`);
    for (const value of [
      'NULL::int',
      '1::int2',
      '2147483647',
      '(-9223372036854775808)::int8',
      '1.50::numeric',
      "'NaN'::float8",
      '1e-300::float8',
      '-0.0::float4',
      'true',
      "''",
      "'é\u{1F600}'",
      "'\\x00ff'::bytea",
      '\'{"a": [1, null]}\'::jsonb',
      "'2024-01-01 00:01:00.5+00'::timestamptz",
      "'0044-03-15 BC'::date",
      "'infinity'::timestamp",
      "'1 year 2 days'::interval",
      "'10.0.0.1/8'::inet",
      'ARRAY[[1, NULL], [3, 4]]',
      "ARRAY['a,b', NULL, '\"']",
      'int4range(1, 5)',
      "'it''s'::mood",
      "ARRAY['sad']::mood[]",
      "ROW(1, '{sad}')::pair",
      '7::positive',
      "'pg_class'::regclass",
      'ROW(1, 2)',
      "'(1,2)'::point",
      'now()::text IS NULL',
      "uuid '00000000-0000-0000-0000-000000000001'",
    ]) {
      const [rows] = await pool.exec(`SELECT ${value} AS v`);
      const same = await pool.query(`SELECT ${value} AS v`);
      assert.deepStrictEqual(rows, same, value);
      assert.deepStrictEqual(rows.fields, same.fields, value);
    }
    await pool.exec('DROP TYPE pair; DROP TYPE mood; DROP DOMAIN positive');
  });

  test('exec() takes rowMode and types as query() does', async (t) => {
    const pool = db.pool(t, { types: { int8: 'string' } });
    const script = 'SELECT 1::int8 AS a, 2 AS a; SELECT 3::int8';
    assert.deepStrictEqual(await pool.exec(script, { rowMode: 'array' }), [[['1', 2]], [['3']]]);
    assert.deepStrictEqual(await pool.exec(script, { rowMode: 'array', types: { int8: 'number' } }), [[[1, 2]], [[3]]]);
    const types = { parsers: { int4: (/** @type {string} */ text) => `<${text}>` } };
    assert.deepStrictEqual(await pool.exec('SELECT 1 AS v', { types }), [[{ v: '<1>' }]]);
    const failing = { parsers: { int4: () => assert.fail('no') } };
    assert.match(
      (await failureOf(pool.exec('SELECT 1 AS v', { types: failing }))).message,
      /parser for int4 failed: no/,
    );
  });

  test('exec(): values of a type that the script itself creates, drops or renames are read', async (t) => {
    const pool = db.pool(t);
    const [, rows] = await pool.exec(
      "CREATE TYPE brief AS ENUM ('a'); SELECT 'a'::brief AS v, 1 AS n; DROP TYPE brief",
    );
    assert.deepStrictEqual([...rows], [{ v: 'a', n: 1 }]);
    assert.deepStrictEqual(
      rows.fields.map((/** @type {any} */ { typeName }) => typeName),
      ['unknown', 'int4'],
    );
    const [, before] = await pool.exec(
      "CREATE TYPE born AS ENUM ('a'); SELECT 'a'::born AS v; ALTER TYPE born RENAME TO grown",
    );
    assert.equal(before.fields[0].typeName, 'grown');
    // The look-up of the type fails, and the script has run all the same.
    const script = 'SELECT NULL::grown AS v, 1 AS n; REVOKE SELECT ON pg_type FROM PUBLIC; SET ROLE pg_monitor';
    try {
      const [late] = await pool.exec(script);
      assert.deepStrictEqual([...late], [{ v: null, n: 1 }]);
      assert.equal(late.fields[0].typeName, 'unknown');
    } finally {
      await db.sql('GRANT SELECT ON pg_type TO PUBLIC');
    }
    await pool.query('DROP TYPE grown');
  });
});

test('exec() refuses what cannot be sent', async (t) => {
  const pool = db.pool(t);
  const table = /** @type {[unknown, unknown, RegExp][]} */ ([
    [undefined, undefined, /script must be a string, not undefined/],
    [null, undefined, /not null/],
    [Buffer.from('SELECT 1'), undefined, /not object/],
    ['SELECT 1\0', undefined, /NUL/],
    ['SELECT \uD800', undefined, /surrogate/],
    ['SELECT 1', [], /options must be an object/],
    ['SELECT 1', { readOnly: true }, /unknown option 'readOnly'/],
    ['SELECT 1', { timeoutMs: -1 }, /timeoutMs/],
    ['SELECT 1', { signal: {} }, /signal/],
  ]);
  const tx = await pool.begin();
  for (const [script, options, message] of table) {
    for (const on of [pool, tx]) {
      const error = await failureOf(on.exec(script, options));
      assert.ok(error instanceof ParameterError, error.stack);
      assert.match(error.message, message);
    }
  }
  assert.deepEqual(told(await tx.exec('SELECT 1 AS v')), [['SELECT', 1, [{ v: 1 }]]], 'it is not spoilt');
  await tx.commit();
  await pool.end();
  assert.equal((await failureOf(pool.exec('SELECT 1'))).code, 'ERR_POOL_CLOSED');
});

describe('exec(): what a script changes in its session', () => {
  const DUMP = `
    -- PostgreSQL database dump
    SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;
    SELECT pg_catalog.set_config('search_path', '', false);
    SET check_function_bodies = false; SET client_min_messages = warning; SET row_security = off;
    CREATE SCHEMA dumped; SET default_tablespace = '';
    CREATE FUNCTION dumped.next(i integer) RETURNS integer LANGUAGE plpgsql AS $_$
      BEGIN
        -- BEGIN; COMMIT; it's
        RETURN i + 1; /* ROLLBACK; */
      END; $_$;
    CREATE PROCEDURE dumped.work() LANGUAGE plpgsql AS $$BEGIN COMMIT; END;$$;
    CREATE TABLE dumped.t (id bigint NOT NULL, "at;COMMIT" text DEFAULT E'it\\'s; COMMIT; --' NOT NULL);
    CREATE SEQUENCE dumped.t_id START WITH 1 CACHE 1; ALTER SEQUENCE dumped.t_id OWNED BY dumped.t.id;
    INSERT INTO dumped.t VALUES (1); SELECT pg_catalog.setval('dumped.t_id', 41, true);
    ALTER TABLE ONLY dumped.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
    CREATE TEMP TABLE scratch (id int); PREPARE plan AS SELECT 1; SET ROLE pg_monitor;`;

  for (const where of ['pool.exec()', 'tx.exec()']) {
    test(`${where} of a dump with functions, a search_path, a role and a temporary table`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const session = async () =>
        (
          await pool.query(
            "SELECT current_setting('search_path') AS path, current_user AS user, to_regclass('pg_temp.scratch') AS temp",
          )
        )[0];
      const before = await session();
      const results =
        where === 'tx.exec()'
          ? await pool.transaction((/** @type {any} */ tx) => tx.exec(DUMP))
          : await pool.exec(DUMP);
      assert.equal(results.length, 21);
      assert.deepStrictEqual(await session(), before);
      assert.deepStrictEqual(
        await pool.query(
          'SELECT dumped.next(1) AS two, "at;COMMIT" AS at, nextval(\'dumped.t_id\') AS id FROM dumped.t',
        ),
        [{ two: 2, at: "it's; COMMIT; --", id: 42n }],
      );
      await pool.query('DROP SCHEMA dumped CASCADE');
    });
  }

  test('exec() closes its connection, and the pool has as many as before', async (t) => {
    const applicationName = `exec-${process.pid}`;
    const pool = db.pool(t, { poolSize: 2, applicationName });
    const pids = new Set();
    for (const _ of range(5)) {
      const [[{ pid }]] = await pool.exec('SELECT pg_backend_pid() AS pid');
      pids.add(pid);
    }
    assert.equal(pids.size, 5);
    assert.ok(pool.status().size <= 2);
  });
});

describe('exec(): size', () => {
  test('exec() of 1000 statements has 1000 results', async (t) => {
    const results = await db.pool(t).exec(
      range(1000)
        .map((i) => `SELECT ${i} AS v`)
        .join(';'),
    );
    assert.deepStrictEqual(
      results.map((/** @type {any} */ [{ v }]) => v),
      range(1000),
    );
  });

  test('exec() sends and returns 10 MB of text, also in a transaction', async (t) => {
    const pool = db.pool(t);
    const text = 'é;COMMIT;'.repeat(1 << 20);
    const script = `SELECT length('${text}') AS n; SELECT '${text}' AS text`;
    for (const run of [
      pool,
      { exec: (/** @type {string} */ sql) => pool.transaction((/** @type {any} */ tx) => tx.exec(sql)) },
    ]) {
      const [[{ n }], [{ text: back }]] = await run.exec(script);
      assert.equal(n, text.length);
      assert.ok(back === text);
    }
  });

  test('exec() returns many rows in several results', async (t) => {
    const script = range(3)
      .map((i) => `SELECT g, repeat('x', 100) AS t FROM generate_series(1, 30000 + ${i}) g`)
      .join(';');
    const results = await db.pool(t).exec(script);
    results.forEach((/** @type {any} */ rows, /** @type {number} */ i) => {
      assert.deepEqual([rows.length, rows.rowCount, rows.at(-1).g], [30_000 + i, 30_000 + i, 30_000 + i]);
    });
  });

  test('exec(): 50 scripts at once, beside statements, each with its own results', async (t) => {
    const pool = db.pool(t, { poolSize: 3, acquireTimeoutMs: 50_000 });
    const answers = await Promise.all(
      range(50).map(async (i) => [
        await pool.exec(`SELECT ${i} AS a; SELECT ${i} AS b`),
        await pool.query('SELECT $1::int AS c', [i]),
      ]),
    );
    answers.forEach(([[a, b], c], i) => assert.deepEqual([...a, ...b, ...c], [{ a: i }, { b: i }, { c: i }]));
  });
});

test('exec(): the logger is called once for each script', async (t) => {
  /** @type {any[]} */
  const events = [];
  const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event) });
  await pool.exec('SELECT 1; SELECT generate_series(1, 4)');
  const error = await failureOf(pool.exec('SELECT 1; SELECT 1/0'));
  await pool.transaction((/** @type {any} */ tx) => tx.exec('SELECT 3'));
  const node = `${db.cluster.primary().host}:${db.cluster.primary().port}`;
  assert.deepEqual(
    events.map(({ durationMs, ...rest }) => ({ ...rest, timed: durationMs > 0 })),
    [
      { sql: 'SELECT 1; SELECT generate_series(1, 4)', rowCount: 5, node, timed: true },
      { sql: 'SELECT 1; SELECT 1/0', error, node, timed: true },
      { sql: 'SELECT 3', rowCount: 1, node, timed: true },
    ],
  );
});
