'use strict';

// query(): parameters, statements that it refuses, and errors of the server. Results are in statements.results.test.js,
// prepared statements in statements.prepared.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, printedBy, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

describe('parameters of query()', () => {
  // sql, parameters as given, rows
  const GIVEN = /** @type {[string, any, object[]][]} */ ([
    ['SELECT 1 AS v', undefined, [{ v: 1 }]],
    ['SELECT 1 AS v', null, [{ v: 1 }]],
    ['SELECT 1 AS v', [], [{ v: 1 }]],
    ['SELECT $1::int4 AS v', [0], [{ v: 0 }]],
    ['SELECT $1::int4 AS v', [undefined], [{ v: null }]],
    ['SELECT $1::int4 AS v', [null], [{ v: null }]],
    // biome-ignore lint/suspicious/noSparseArray: that is the point
    ['SELECT $1::int4 AS v', [,], [{ v: null }]],
    ['SELECT $1::bool AS v', [false], [{ v: false }]],
    ['SELECT $1::text AS v', [''], [{ v: '' }]],
    ['SELECT $2::int4 AS b, $1::int4 AS a', [1, 2], [{ b: 2, a: 1 }]],
    ['SELECT $1::int4 + $1::int4 AS v', [2], [{ v: 4 }]],
    ['SELECT $1::text AS a, $2::text AS b', Object.freeze(['x', null]), [{ a: 'x', b: null }]],
  ]);
  for (const [sql, params, rows] of GIVEN) {
    test(`query() of ${sql} with ${JSON.stringify(params)}`, async (t) => {
      assert.deepStrictEqual(await db.pool(t).query(sql, params), rows);
    });
  }

  // sql, parameters, wanted, given
  const WRONG = /** @type {[string, any[], number, number][]} */ ([
    ['SELECT 1', [1], 0, 1],
    ['SELECT $1::int4', [], 1, 0],
    ['SELECT $1::int4', [1, 2], 1, 2],
    ['CREATE TABLE never (id int)', [1], 0, 1],
  ]);
  for (const [sql, params, wanted, given] of WRONG) {
    test(`query() of ${sql} takes ${wanted} parameters, not ${given}`, async (t) => {
      const pool = db.pool(t);
      const error = await failureOf(pool.query(sql, params));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.equal(error.name, 'ParameterError');
      assert.match(error.message, new RegExp(`\\b${wanted}\\b.*\\b${given}\\b`));
      assert.deepEqual(await pool.query("SELECT to_regclass('never')::text AS v"), [{ v: null }]);
    });
  }

  for (const params of ['x', 42, {}, new Map(), new Uint8Array(2)]) {
    test(`query() refuses params that are no array: ${Object.prototype.toString.call(params)}`, async (t) => {
      assert.equal(
        (await failureOf(db.pool(t).query('SELECT $1::text', /** @type {any} */ (params)))).code,
        'ERR_INVALID_PARAM',
      );
    });
  }

  for (const sql of [undefined, null, 42, {}, ['SELECT 1'], 'SELECT \0', "SELECT '\ud800'"]) {
    test(`query() refuses sql ${JSON.stringify(sql)}`, async (t) => {
      assert.equal((await failureOf(db.pool(t).query(/** @type {any} */ (sql)))).code, 'ERR_INVALID_PARAM');
    });
  }

  test('parameters: the caller may change the array right after the call', async (t) => {
    const params = [1, Buffer.from('a'), [1, 2], { a: 1 }];
    const answer = db.pool(t).query('SELECT $1::int4 AS a, $2::bytea AS b, $3::int4[] AS c, $4::jsonb AS d', params);
    /** @type {any} */ (params)[1][0] = 0x62;
    /** @type {any} */ (params)[2][0] = 9;
    /** @type {any} */ (params)[3].a = 9;
    params.length = 0;
    assert.deepStrictEqual(await answer, [{ a: 1, b: Buffer.from('a'), c: [1, 2], d: { a: 1 } }]);
  });

  test('parameters: one that throws sends nothing, and other statements of the same tick succeed', async (t) => {
    const pool = db.pool(t);
    const bad = {
      get x() {
        throw new Error('getter');
      },
    };
    const ended = await endings([
      pool.query('SELECT $1::int4 AS v', [1]),
      pool.query('SELECT $1::jsonb AS v', [bad]),
      pool.query('SELECT $1::int4 AS a, $2::text AS v', [1, Symbol('s')]),
      pool.query('SELECT $1::text AS v', [() => {}]),
      pool.query('SELECT $1::text AS v', ['\ud800']),
      pool.query('SELECT $1::jsonb AS v', [
        {
          toJSON() {
            throw new Error('toJSON');
          },
        },
      ]),
      pool.query('SELECT $1::jsonb AS v', [{ deep: { n: new WeakMap(), n2: 1n } }]),
      pool.query('SELECT $1::int4 AS v', [2]),
    ]);
    assert.deepStrictEqual(ended[0].value, [{ v: 1 }]);
    assert.deepStrictEqual(ended[7].value, [{ v: 2 }]);
    for (const { error } of ended.slice(1, 7)) {
      assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
      assert.match(error.message, /\$[12]/);
    }
  });

  test('parameters: a cyclic object is a ParameterError', async (t) => {
    /** @type {any} */
    const cyclic = {};
    cyclic.self = cyclic;
    /** @type {any[]} */
    const array = [];
    array.push(array);
    const pool = db.pool(t);
    for (const value of [cyclic, array]) {
      const error = await failureOf(pool.query('SELECT $1::jsonb AS v', [value]));
      assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
    }
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('parameters: 65,535 are the most a statement can take', async (t) => {
    const pool = db.pool(t);
    const many = `SELECT sum(v) AS sum FROM unnest(ARRAY[${range(65_535)
      .map((i) => `$${i + 1}::int4`)
      .join(',')}]) v`;
    assert.deepStrictEqual(await pool.query(many, Array(65_535).fill(1)), [{ sum: 65_535n }]);
    const error = await failureOf(pool.query('SELECT $1::int4', Array(70_000).fill(1)));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
  });
});

describe('statements that query() does not send', () => {
  const REFUSED = [
    'BEGIN',
    'begin',
    'BEGIN ISOLATION LEVEL SERIALIZABLE',
    'START TRANSACTION',
    'start transaction read only',
    'COMMIT',
    'Commit Work',
    'COMMIT AND CHAIN',
    'END',
    'ROLLBACK',
    'rollback work',
    'ROLLBACK AND CHAIN',
    'ABORT',
    ' \n BEGIN',
    '-- x\nBEGIN',
    '/* x */ COMMIT',
    '/* a /* nested */ b */ ROLLBACK',
    ';BEGIN',
    'BEGIN;',
    '/**/ /***/ BEGIN',
    '\ufeffBEGIN',
    'BEGIN/**/',
    '\fBEGIN',
    '\vBEGIN',
  ];
  test('query() refuses transaction control, however it is written', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const sql of REFUSED) {
      const ended = await endings([pool.query(sql)]);
      const { error } = ended[0];
      // A statement that the server takes for a syntax error has opened no transaction either.
      assert.ok(
        error?.code === 'ERR_INVALID_PARAM' || error?.code === '42601',
        `${JSON.stringify(sql)}: ${error ?? 'it was sent'}`,
      );
    }
    const tx = await pool.begin();
    for (const sql of REFUSED) {
      const { error } = (await endings([tx.query(sql)]))[0];
      assert.ok(error, sql);
    }
    await tx.rollback();
  });

  test('query() sends what only looks like transaction control', async (t) => {
    const pool = db.pool(t);
    assert.deepStrictEqual(await pool.query("SELECT 'BEGIN' AS v"), [{ v: 'BEGIN' }]);
    assert.equal((await failureOf(pool.query("ROLLBACK PREPARED 'x'"))).code, '42704');
    assert.equal((await failureOf(pool.query("COMMIT PREPARED 'x'"))).code, '42704');
    await pool.query('CREATE TABLE begin_log (commit int4)');
    await pool.query('DROP TABLE begin_log');
  });

  test('query() refuses COPY from and to the client, however it is written, and keeps its connection', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const [sql, advice] of [
      ['COPY pg_class TO STDOUT', 'copyTo'],
      ['copy pg_class (relname) to stdin with (format csv)', 'copyTo'],
      ['COPY (SELECT 1 FROM pg_class) TO STDOUT', 'copyTo'],
      ['/* x */ COPY "pg_class" FROM -- y\n STDIN;', 'copyFrom'],
      ['COPY pg_class FROM STDOUT (HEADER)', 'copyFrom'],
    ]) {
      for (const call of [pool.query(sql), pool.read(sql)]) {
        const error = await failureOf(call);
        assert.equal(error.code, 'ERR_INVALID_PARAM', sql);
        assert.match(error.message, RegExp(`^sql: COPY cannot be sent by query\\(\\): use ${advice}\\(\\)$`));
      }
    }
    assert.deepEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }]);
  });

  test('query() sends a COPY from and to files of the server, and what only looks like one of the client', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE copy_names (stdin int4, stdout int4)');
    for (const sql of [
      "COPY copy_names FROM '/dev/null'",
      "COPY (SELECT stdin FROM copy_names AS stdout) TO '/dev/null'",
      "COPY copy_names (stdin, stdout) TO '/dev/null' /* FROM STDIN */",
      "COPY copy_names TO '/dev/null' (NULL 'TO STDOUT')",
      'SELECT stdin FROM copy_names',
    ]) {
      assert.equal((await pool.query(sql)).length, 0, sql);
    }
    await pool.query('DROP TABLE copy_names');
  });

  test("query() of several statements in one text is the server's syntax error, and none is run", async (t) => {
    const pool = db.pool(t);
    assert.equal((await failureOf(pool.query('CREATE TABLE two_at_once (id int); SELECT 1'))).code, '42601');
    assert.deepStrictEqual(await pool.query("SELECT to_regclass('two_at_once')::text AS v"), [{ v: null }]);
  });

  test('query() of COPY is an error, and the pool goes on', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE TABLE copied (id int)');
    for (const sql of ['COPY copied FROM STDIN', 'COPY copied TO STDOUT', 'COPY (SELECT 1) TO STDOUT']) {
      await failureOf(pool.query(sql));
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }], sql);
    }
    await pool.query('DROP TABLE copied');
  });
});

describe('errors of the server', () => {
  test('DatabaseError has all fields that the server sent', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE fields (id int4 CONSTRAINT fields_key PRIMARY KEY, n int2 NOT NULL)');
    await pool.query('INSERT INTO fields VALUES (1, 1)');
    const duplicate = await failureOf(pool.query('INSERT INTO fields VALUES ($1, 1)', [1]));
    assert.deepEqual(
      [
        duplicate.code,
        duplicate.name,
        duplicate.severity,
        duplicate.schema,
        duplicate.table,
        duplicate.constraint,
        duplicate.outcome,
        duplicate.attempts,
      ],
      ['23505', 'DatabaseError', 'ERROR', 'public', 'fields', 'fields_key', 'not-applied', 1],
    );
    assert.match(duplicate.detail, /\(id\)=\(1\)/);
    assert.equal(typeof duplicate.routine, 'string');
    const missing = await failureOf(pool.query('INSERT INTO fields VALUES (2, NULL)'));
    assert.deepEqual([missing.code, missing.column], ['23502', 'n']);
    const syntax = await failureOf(pool.query('SELECT é FRM'));
    assert.equal(syntax.code, '42703');
    assert.equal(syntax.position, 8);
    const raised = await failureOf(
      pool.query("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'AB123', HINT = 'try', DETAIL = 'because'; END $$"),
    );
    assert.deepEqual([raised.code, raised.message, raised.hint, raised.detail], ['AB123', 'no', 'try', 'because']);
    assert.match(raised.where, /PL\/pgSQL/);
    await pool.query('DROP TABLE fields');
  });

  test('DatabaseError after rows have arrived rejects the statement', async (t) => {
    const pool = db.pool(t);
    const error = await failureOf(
      pool.query("SELECT 1 / (50000 - i), repeat('x', 100) FROM generate_series(1, 60000) i"),
    );
    assert.equal(error.code, '22012');
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('DatabaseError of a deferred constraint rejects the statement', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TABLE deferred (id int4 UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    const ended = await endings(range(3).map(() => pool.query('INSERT INTO deferred VALUES (1)')));
    assert.equal(ended.filter(({ error }) => error?.code === '23505').length, 2);
    assert.deepStrictEqual(await pool.query('SELECT count(*)::int4 AS n FROM deferred'), [{ n: 1 }]);
    await pool.query('DROP TABLE deferred');
  });
});

test('query() works where code generation from strings is forbidden', async () => {
  const printed = await printedBy(
    db,
    `
    let forbidden = false;
    try { new Function('return 1'); } catch { forbidden = true; }
    const pool = createPool({ ...options, types: { int8: 'number' } });
    const rows = await pool.query('SELECT 1 AS a, NULL AS b, 2::int8 AS "__proto__", ARRAY[1,NULL] AS c, \\'{"x":1}\\'::jsonb AS d, true AS e, 0.5::float8 AS f FROM generate_series(1, 2)');
    print(forbidden, rows.map(Object.entries));
    await pool.end();`,
    { flags: ['--disallow-code-generation-from-strings'] },
  );
  const row = '[["a",1],["b",null],["__proto__",2],["c",[1,null]],["d",{"x":1}],["e",true],["f",0.5]]';
  assert.deepEqual(printed, [`true [${row},${row}]`]);
});
