'use strict';

// What query() returns: the shape of results and rows, and statements, parameters and results of any size.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 1 });

/**
 * The columns of the only row, as pairs: an object would not show what a duplicate name or `__proto__` did.
 * @param {any[]} rows
 */
const pairs = ([row]) => Object.entries(row);

describe('results of query()', () => {
  // sql, rows, rowCount, command, names of the fields
  const TABLE = /** @type {[string, object[], number, string, string[]][]} */ ([
    ["SELECT 1 AS a, 'x' AS b", [{ a: 1, b: 'x' }], 1, 'SELECT', ['a', 'b']],
    ['SELECT 1 AS a WHERE false', [], 0, 'SELECT', ['a']],
    ['SELECT', [{}], 1, 'SELECT', []],
    ['SELECT FROM generate_series(1, 3)', [{}, {}, {}], 3, 'SELECT', []],
    ['VALUES (1), (2)', [{ column1: 1 }, { column1: 2 }], 2, 'SELECT', ['column1']],
    ['(SELECT 1 AS a) UNION ALL (SELECT 2)', [{ a: 1 }, { a: 2 }], 2, 'SELECT', ['a']],
    ['CREATE TABLE shop (id int PRIMARY KEY, item text)', [], 0, 'CREATE', []],
    ["INSERT INTO shop VALUES (1, 'a'), (2, 'b'), (3, 'c')", [], 3, 'INSERT', []],
    ["INSERT INTO shop VALUES (4, 'd') RETURNING id, item", [{ id: 4, item: 'd' }], 1, 'INSERT', ['id', 'item']],
    ["INSERT INTO shop VALUES (1, 'x') ON CONFLICT DO NOTHING", [], 0, 'INSERT', []],
    ["INSERT INTO shop VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id", [], 0, 'INSERT', ['id']],
    ["UPDATE shop SET item = 'z' WHERE id > 2", [], 2, 'UPDATE', []],
    ['UPDATE shop SET item = item WHERE id > 99', [], 0, 'UPDATE', []],
    [
      "WITH w AS (DELETE FROM shop WHERE id = 4 RETURNING id) SELECT id, 'select' AS s FROM w",
      [{ id: 4, s: 'select' }],
      1,
      'SELECT',
      ['id', 's'],
    ],
    ['WITH w AS (SELECT 1 AS id) DELETE FROM shop USING w WHERE shop.id = w.id', [], 1, 'DELETE', []],
    ['DELETE FROM shop', [], 2, 'DELETE', []],
    ['/* c */ -- d\n TABLE shop', [], 0, 'SELECT', ['id', 'item']],
    ['TRUNCATE shop', [], 0, 'TRUNCATE', []],
    ['DROP TABLE shop', [], 0, 'DROP', []],
    ["SET work_mem = '4MB'", [], 0, 'SET', []],
    ['SHOW server_version_num', [{ server_version_num: '' }], 0, 'SHOW', ['server_version_num']],
    ['DO $$ BEGIN PERFORM 1; END $$', [], 0, 'DO', []],
    ['EXPLAIN (COSTS off) SELECT 1', [{ 'QUERY PLAN': 'Result' }], 0, 'EXPLAIN', ['QUERY PLAN']],
    ['', [], 0, '', []],
    [' \n\t', [], 0, '', []],
    ['-- nothing', [], 0, '', []],
    ['/* nothing /* at */ all */', [], 0, '', []],
    [';', [], 0, '', []],
    ['SELECT 1 AS a;', [{ a: 1 }], 1, 'SELECT', ['a']],
  ]);
  test('results: rows of statements of each kind', async (t) => {
    const pool = db.pool(t);
    for (const [sql, rows, rowCount, command, fields] of TABLE) {
      const result = await pool.query(sql);
      if (command === 'SHOW') rows[0] = { server_version_num: result[0].server_version_num };
      assert.deepStrictEqual(result, rows, sql);
      if (command !== 'SHOW' && command !== 'EXPLAIN') assert.equal(result.rowCount, rowCount, sql);
      assert.equal(result.command, command, sql);
      assert.deepEqual(
        result.fields.map((/** @type {any} */ { name }) => name),
        fields,
        sql,
      );
    }
  });

  test('results: a result is an ordinary array whose other properties are not enumerable', async (t) => {
    const result = await db.pool(t).query('SELECT 1::int4 AS a, 2::int8 AS b, 3::numeric(5,2) AS c');
    assert.ok(Array.isArray(result));
    assert.deepStrictEqual(result, [{ a: 1, b: 2n, c: '3.00' }]);
    assert.deepEqual(Object.keys(result), ['0']);
    assert.equal(
      JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
      '[{"a":1,"b":2,"c":"3.00"}]',
    );
    assert.deepStrictEqual([...result], [{ a: 1, b: 2n, c: '3.00' }]);
    const [a, b, c] = result.fields;
    assert.deepEqual([a.name, a.typeOid, a.typeName], ['a', 23, 'int4']);
    assert.deepEqual([b.name, b.typeOid, b.typeName], ['b', 20, 'int8']);
    assert.deepEqual([c.name, c.typeOid, c.typeName], ['c', 1700, 'numeric']);
    assert.equal(Object.getPrototypeOf(result[0]), Object.prototype);
    result[0].a = 5;
    result.push({ a: 6 });
    assert.equal(result.length, 2, "and it is the caller's own");
  });

  test('results: of duplicate column names the last one counts', async (t) => {
    const pool = db.pool(t);
    assert.deepStrictEqual(pairs(await pool.query('SELECT 1 AS a, 2 AS b, 3 AS a')), [
      ['a', 3],
      ['b', 2],
    ]);
    assert.deepStrictEqual(pairs(await pool.query('SELECT 1, 2')), [['?column?', 2]]);
    assert.deepStrictEqual(pairs(await pool.query('SELECT 1 AS a, NULL AS a')), [['a', null]]);
    assert.deepStrictEqual(pairs(await pool.query('SELECT NULL AS a, 1 AS a')), [['a', 1]]);
    assert.deepStrictEqual(pairs(await pool.query('SELECT 1 AS "__proto__", 2 AS "__proto__"')), [['__proto__', 2]]);
  });

  const NAMES = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
    'prototype',
    '0',
    '-1',
    '1e3',
    ' ',
    ' a ',
    'a b',
    "it's",
    'say "x"',
    'back\\slash',
    '\\u0041',
    'line\nbreak',
    'tab\t',
    '\r',
    '\u2028',
    '\u2029',
    '`${x}`',
    '*/',
    '/*',
    '//',
    ']',
    'ä',
    '日本',
    '😀',
    '👩‍👩‍👧',
    'class',
    'null',
    'undefined',
    'i32',
    'place',
    'a'.repeat(63),
    'é'.repeat(31),
    '\u00a0',
    '\ufeff',
    '\u0001',
  ];
  test('results: a column may have any name', async (t) => {
    const pool = db.pool(t);
    const quoted = (/** @type {string} */ name) => `"${name.replace(/"/g, '""')}"`;
    for (const name of NAMES) {
      assert.deepStrictEqual(pairs(await pool.query(`SELECT 1 AS ${quoted(name)}`)), [[name, 1]], name);
      assert.deepStrictEqual(pairs(await pool.query(`SELECT NULL::int4 AS ${quoted(name)}`)), [[name, null]], name);
    }
    const all = await pool.query(`SELECT ${NAMES.map((name, i) => `${i} AS ${quoted(name)}`).join(', ')}`);
    assert.equal(Object.keys(all[0]).length, NAMES.length);
    NAMES.forEach((name, i) => assert.equal(Object.getOwnPropertyDescriptor(all[0], name)?.value, i, name));
    assert.equal(Object.getPrototypeOf(all[0]), Object.prototype);
    assert.equal(/** @type {any} */ ({}).polluted, undefined);
  });

  for (const columns of [31, 32, 33, 63, 64, 65, 128, 256, 257, 1_600]) {
    test(`results: ${columns} columns, every other one NULL, are read`, async (t) => {
      const pool = db.pool(t);
      const list = range(columns)
        .map((i) => `CASE WHEN (g + ${i}) % 2 = 0 THEN ${i} END AS c${i}`)
        .join(', ');
      const result = await pool.query(`SELECT ${list} FROM generate_series(0, 2) g`);
      assert.equal(result.fields.length, columns);
      for (const g of range(3)) {
        assert.deepStrictEqual(
          result[g],
          Object.fromEntries(range(columns).map((i) => [`c${i}`, (g + i) % 2 === 0 ? i : null])),
        );
      }
    });
  }

  test('results: 1,600 columns of a table, of mixed types, are read', async (t) => {
    const pool = db.pool(t);
    const types = ['int4', 'text', 'bool', 'float8'];
    await pool.query(
      `CREATE TABLE wide (${range(1_600)
        .map((i) => `c${i} ${types[i % 4]}`)
        .join(', ')})`,
    );
    await pool.query(`INSERT INTO wide (c0, c5, c1598, c1599) VALUES (1, 'é', true, 0.1)`);
    const [row] = await pool.query('SELECT * FROM wide');
    assert.equal(Object.keys(row).length, 1_600);
    assert.deepEqual(
      Object.entries(row).filter(([, value]) => value !== null),
      [
        ['c0', 1],
        ['c5', 'é'],
        ['c1598', true],
        ['c1599', 0.1],
      ],
    );
    await pool.query('DROP TABLE wide');
  });

  test('results: statements that differ in text, type or order of columns do not share a wrong shape', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    await pool.query('CREATE TABLE shape_a (x int4)');
    await pool.query('CREATE TABLE shape_b (x text)');
    for (let i = 0; i < 5; i++) {
      assert.deepStrictEqual(await pool.query('SELECT 1 AS x'), [{ x: 1 }]);
      assert.deepStrictEqual(await pool.query('SELECT 2 AS x'), [{ x: 2 }]);
      assert.deepStrictEqual(await pool.query("SELECT '2' AS x"), [{ x: '2' }]);
      assert.deepStrictEqual(await pool.query('SELECT 2 AS x, 3 AS y'), [{ x: 2, y: 3 }]);
      assert.deepStrictEqual(await pool.query('SELECT 3 AS y, 2 AS x'), [{ y: 3, x: 2 }]);
    }
    await pool.query('DROP TABLE shape_a, shape_b');
  });
});

describe('size of statements and results', () => {
  test('a large result whose connection is lost in the middle is read again, and no row comes twice', async (t) => {
    let left = Infinity;
    let cuts = 0;
    const relay = await relayTo(t, db.cluster.primary(), undefined, (piece) => {
      left -= piece.length;
      if (left > 0) return false;
      left = Infinity;
      cuts++;
      return true;
    });
    const pool = db.pool(t, { hosts: [relay.host], poolSize: 1 });
    const sql = "SELECT i, repeat('x', 100) AS text FROM generate_series(1, $1::int4) AS i";
    // Prepared, so that its answer is read as all later ones are.
    for (let i = 0; i < 3; i++) await pool.query(sql, [3], { readOnly: true });
    for (const bytes of [100_000, 1_000_000]) {
      left = bytes;
      const rows = await pool.query(sql, [20_000], { readOnly: true });
      assert.deepEqual(
        rows.map(({ i }) => i),
        range(20_000).map((i) => i + 1),
      );
    }
    assert.equal(cuts, 2);
  });

  test('size: 100,000 rows are read, while the event loop goes on', async (t) => {
    const pool = db.pool(t);
    let ticks = 0;
    const timer = setInterval(() => {
      ticks++;
    }, 1);
    const result = await pool.query(`
      SELECT i, i::int8 AS big, 'row ' || i AS text, i % 7 = 0 AS seven, CASE WHEN i % 3 = 0 THEN NULL ELSE i / 2.0::float8 END AS half,
        CASE WHEN i % 1000 = 0 THEN 'ünï ' || i END AS rare
      FROM generate_series(1, 100000) i`);
    clearInterval(timer);
    assert.equal(result.length, 100_000);
    assert.equal(result.rowCount, 100_000);
    result.forEach((/** @type {any} */ row, /** @type {number} */ index) => {
      const i = index + 1;
      const expected = {
        i,
        big: BigInt(i),
        text: `row ${i}`,
        seven: i % 7 === 0,
        half: i % 3 === 0 ? null : i / 2,
        rare: i % 1000 === 0 ? `ünï ${i}` : null,
      };
      if (i % 500 < 5) assert.deepStrictEqual(row, expected);
      else
        assert.ok(
          row.i === i &&
            row.text === expected.text &&
            row.big === expected.big &&
            row.half === expected.half &&
            row.rare === expected.rare,
        );
    });
    assert.ok(ticks > 3, `${ticks} timer ticks meanwhile`);
  });

  test('size: a row of 50 MB is read', async (t) => {
    const pool = db.pool(t);
    const size = 50_000_000;
    const [{ ascii }] = await pool.query("SELECT repeat('0123456789', $1::int4 / 10) AS ascii", [size]);
    assert.equal(ascii.length, size);
    assert.ok(ascii.startsWith('0123') && ascii.endsWith('6789'));
    const [{ text, n }] = await pool.query("SELECT repeat('é€', $1::int4 / 5) AS text, 7 AS n", [size]);
    assert.equal(text.length, (size / 5) * 2);
    assert.ok(text.startsWith('é€é') && text.endsWith('é€') && n === 7);
    const [{ bytes, last }] = await pool.query(
      "SELECT decode(repeat('00ff7f80', $1::int4 / 4), 'hex') AS bytes, 'z' AS last",
      [size],
    );
    assert.equal(bytes.length, size);
    assert.deepEqual([...bytes.subarray(0, 4), ...bytes.subarray(-4)], [0, 255, 127, 128, 0, 255, 127, 128]);
    assert.equal(last, 'z');
  });

  test('size: large and small results side by side are read', async (t) => {
    const pool = db.pool(t, { poolSize: 3 });
    const answers = await Promise.all(
      range(60).map((i) =>
        pool.query('SELECT $1::int4 AS i, repeat(chr(97 + $1 % 26), $2::int4) AS t', [i, i % 10 === 0 ? 300_000 : i]),
      ),
    );
    answers.forEach(([{ i, t: text }], index) => {
      assert.equal(i, index);
      assert.equal(text, String.fromCharCode(97 + (index % 26)).repeat(index % 10 === 0 ? 300_000 : index));
    });
  });

  test('size: a statement of more than 1 MB is sent', async (t) => {
    const pool = db.pool(t);
    const filler = 'x'.repeat(1_500_000);
    assert.deepStrictEqual(await pool.query(`SELECT length('${filler}') AS v`), [{ v: 1_500_000 }]);
    assert.deepStrictEqual(await pool.query(`SELECT length('${'é'.repeat(700_000)}') AS v`), [{ v: 700_000 }]);
    assert.deepStrictEqual(await pool.query(`/* ${filler} */ SELECT $1::int4 AS v`, [1]), [{ v: 1 }]);
  });

  // bytes of the parameter: around the size of the frame buffer, and far above it
  for (const size of [
    48,
    49,
    65_536,
    65_537,
    (1 << 20) - 100,
    (1 << 20) - 48,
    (1 << 20) - 40,
    (1 << 20) - 8,
    1 << 20,
    (1 << 20) + 1,
    5_000_000,
  ]) {
    test(`size: a parameter of ${size} bytes among small ones is sent`, async (t) => {
      const pool = db.pool(t);
      const sql = 'SELECT $1::int4 AS before, $2::text AS big, $3::int4 AS after';
      for (const big of ['a'.repeat(size), 'é'.repeat(size / 2), '😀'.repeat(size / 4)]) {
        const [first, [row], last] = await Promise.all([
          pool.query('SELECT $1::text AS v', ['first']),
          pool.query(sql, [1, big, 2]),
          pool.query('SELECT $1::text AS v', ['last']),
        ]);
        assert.deepStrictEqual([first[0].v, row.before, row.after, last[0].v], ['first', 1, 2, 'last']);
        assert.ok(row.big === big);
      }
      const bytes = Buffer.alloc(size, 'ab');
      const [row] = await pool.query('SELECT $1::bytea AS big, $2::bytea AS half', [
        bytes,
        bytes.subarray(1, size >> 1),
      ]);
      assert.ok(row.big.equals(bytes) && row.half.equals(bytes.subarray(1, size >> 1)));
    });
  }

  test('size: 50 MB of parameters are sent', async (t) => {
    const pool = db.pool(t);
    const text = 'é'.repeat(10_000_000);
    const bytes = Buffer.alloc(30_000_000, 7);
    const [row] = await pool.query('SELECT length($1::text) AS text, length($2::bytea) AS bytes', [text, bytes]);
    assert.deepStrictEqual(row, { text: 10_000_000, bytes: 30_000_000 });
  });

  // When statements are pipelined, a quick one may overtake one that usually takes long.
  for (const [name, pipeline, inOrder] of /** @type {const} */ ([
    ['get their own answers', true, false],
    ['keep their order where they are not pipelined', false, true],
  ])) {
    test(`thousands of statements in one tick ${name}`, async (t) => {
      const pool = db.pool(t, { poolSize: 1, pipeline, acquireTimeoutMs: 30_000 });
      await pool.query('CREATE TABLE ordered (at int4 GENERATED ALWAYS AS IDENTITY, n int4, filler text)');
      // Several times the size of the frame buffer, with a large statement now and then.
      const answers = await Promise.all(
        range(5_000).map((i) =>
          pool.query('INSERT INTO ordered (n, filler) VALUES ($1, $2) RETURNING at, n', [
            i,
            'f'.repeat(i % 1_000 === 999 ? 1_200_000 : i % 1_000),
          ]),
        ),
      );
      answers.forEach(([{ at, n }], i) => assert.deepEqual({ n, at: inOrder ? at : i + 1 }, { n: i, at: i + 1 }));
      assert.equal(new Set(answers.map(([{ at }]) => at)).size, 5_000, 'each ran once');
      await pool.query('DROP TABLE ordered');
    });
  }

  test('size: arrays of 100,000 elements are sent and read', async (t) => {
    const pool = db.pool(t);
    const numbers = range(100_000);
    assert.deepStrictEqual(await pool.query('SELECT $1::int4[] AS v', [numbers]), [{ v: numbers }]);
    const texts = numbers.map((i) => `t${i}`);
    assert.deepStrictEqual(await pool.query('SELECT $1::text[] AS v', [texts]), [{ v: texts }]);
  });
});
