'use strict';

// Values under the control of the user: the option types with choices, parsers and serializers, for a pool and for a call; and
// values with members: composites, ranges, hstores.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { test, failureOf, printedBy, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

/** @type {Promise<unknown> | undefined} */
let made;
const makeTypes = () => {
  made ??= db.sql(`
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE pair AS (a int4, b text[], m mood);
    CREATE TYPE box2 AS (low pair, high pair, at timestamptz, big int8, raw bytea, doc jsonb);
    CREATE DOMAIN age AS int4;
    CREATE TYPE floats AS RANGE (subtype = float8);
    CREATE TABLE loads (p pair, r int4range, j jsonb, i int4);
    -- A type that nobody knows, as an extension would bring it: text inside, and a colon between elements.
    CREATE TYPE odd;
    CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE FUNCTION odd_send(odd) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'textsend';
    CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, SEND = odd_send, DELIMITER = ':');`);
  return made;
};

/** @param {any} on @param {string} sql @param {any[]} [params] @param {any} [options] */
const row = async (on, sql, params, options) => (await on.query(sql, params, options))[0];

describe('types.parsers', () => {
  before(makeTypes);
  const seen = (/** @type {string} */ text) => `<${text}>`;
  // SQL of a value, the name of the parser, the result
  for (const [literal, name, expected] of /** @type {[string, string, unknown][]} */ ([
    ['5::int8', 'int8', '<5>'],
    ['5::int8', '20', '<5>'],
    ['5::int8', 'pg_catalog.int8', '<5>'],
    ['true', 'bool', '<t>'],
    ["'\\x00ff'::bytea", 'bytea', '<\\x00ff>'],
    ["'2024-01-01 12:00+02'::timestamptz", 'timestamptz', '<2024-01-01 10:00:00+00>'],
    ['\'{"a": [1]}\'::jsonb', 'jsonb', '<{"a": [1]}>'],
    ['0.1::float4', 'float4', '<0.1>'],
    ["'ok'::mood", 'mood', '<ok>'],
    ["'ok'::mood", 'public.mood', '<ok>'],
    ["ARRAY['ok', NULL]::mood[]", 'mood', ['<ok>', null]],
    ["ARRAY['ok', NULL]::mood[]", 'mood[]', '<{ok,NULL}>'],
    ["ARRAY['ok', NULL]::mood[]", '_mood', '<{ok,NULL}>'],
    ["(1, '{x}', 'sad')::pair", 'pair', '<(1,{x},sad)>'],
    ["(1, '{x}', 'sad')::pair", 'mood', { a: 1, b: ['x'], m: '<sad>' }],
    ["ARRAY[(1, '{x}', 'sad')::pair]", 'text', [{ a: 1, b: ['<x>'], m: 'sad' }]],
    ["'pg_class'::regclass", 'regclass', '<pg_class>'],
    ["ARRAY['pg_class']::regclass[]", 'regclass', ['<pg_class>']],
    ["'(1,2)'::point", 'point', '<(1,2)>'],
    ['int4range(1, 5)', 'int4range', '<[1,5)>'],
    ["'x:y'::odd", 'odd', '<x:y>'],
    ["ARRAY['x', NULL]::odd[]", 'odd', ['<x>', null]],
    ["ROW(1, 'a')", 'record', '<(1,a)>'],
    ['NULL::int8', 'int8', null],
    ['5::int4', 'int8', 5],
  ])) {
    test(`types.parsers: the parser of ${name} is given ${literal}`, async (t) => {
      const pool = db.pool(t, { types: { parsers: { [name]: seen } } });
      const sql = `SELECT ${literal} AS v, 1::int2 AS other`;
      assert.deepStrictEqual(await row(pool, sql), { v: expected, other: 1 });
      assert.deepStrictEqual(await row(pool, sql, [], { rowMode: 'array' }), [expected, 1]);
      for await (const streamed of pool.stream(sql)) assert.deepStrictEqual(streamed.v, expected);
      assert.deepStrictEqual((await pool.exec(sql))[0][0].v, expected);
    });
  }

  test('types.parsers: a parser that throws rejects its statement, names the column, and harms no other statement', async (t) => {
    const broken = new Error('no such mood');
    const pool = db.pool(t, {
      types: {
        parsers: {
          mood: () => {
            throw broken;
          },
        },
      },
    });
    const [good, bad, other] = await Promise.allSettled([
      pool.query('SELECT 1 AS v'),
      pool.query("SELECT 1, ARRAY['ok']::mood[] AS feeling FROM generate_series(1, 5000)"),
      pool.query('SELECT 2 AS v'),
    ]);
    assert.deepStrictEqual(
      [good, other].map((end) => /** @type {any} */ (end).value),
      [[{ v: 1 }], [{ v: 2 }]],
    );
    const { code, message, outcome, cause, stack } = /** @type {any} */ (bad).reason;
    assert.deepStrictEqual({ code, outcome, cause }, { code: 'ERR_PARSER', outcome: 'applied', cause: broken });
    assert.match(message, /column "feeling".*_?mood.*no such mood/);
    assert.match(stack, /choices\.test\.js/);
  });

  test('types.parsers: a call has parsers of its own, and the next call those of the pool', async (t) => {
    const pool = db.pool(t, { types: { int8: 'number', parsers: { mood: seen } } });
    const sql = "SELECT 5::int8 AS i, 'ok'::mood AS m, '{}'::json AS j";
    const mine = { int8: 'string', json: 'string', parsers: { mood: null } };
    for (const _ of range(2)) {
      assert.deepStrictEqual(await row(pool, sql), { i: 5, m: '<ok>', j: {} });
      assert.deepStrictEqual(await row(pool, sql, [], { types: mine }), { i: '5', m: 'ok', j: '{}' });
      assert.deepStrictEqual(await row(pool, sql, [], { types: { ...mine, int8: 'bigint' } }), {
        i: 5n,
        m: 'ok',
        j: '{}',
      });
    }
    await pool.transaction(async (/** @type {any} */ tx) =>
      assert.equal((await row(tx, sql, [], { types: mine })).i, '5'),
    );
    const [[batched]] = await pool.batch([[sql]], { types: mine, transaction: true });
    assert.equal(batched.i, '5');
  });

  test('types.parsers: two pools have their own, though they share the shapes of rows', async (t) => {
    const pools = ['a', 'b'].map((mark) =>
      db.pool(t, { types: { parsers: { int4: (/** @type {string} */ text) => mark + text } } }),
    );
    const rows = await Promise.all(pools.map((pool) => row(pool, 'SELECT 1 AS v')));
    assert.deepStrictEqual(rows, [{ v: 'a1' }, { v: 'b1' }]);
  });

  test('types: an object of a call says what it says at each call, with the parsers of the pool it is given to', async (t) => {
    const sql = "SELECT 1.5::numeric AS n, '{}'::json AS j";
    const parsers = { json: seen };
    const [pool, other] = [db.pool(t, { types: { parsers } }), db.pool(t)];
    const changing = { numeric: 'number' };
    const frozen = Object.freeze({ numeric: 'number' });
    const nested = Object.freeze({ numeric: 'string', parsers: { json: () => 'first' } });
    assert.deepEqual(await row(pool, sql, [], { types: changing }), { n: 1.5, j: '<{}>' });
    changing.numeric = 'string';
    assert.deepEqual(await row(pool, sql, [], { types: changing }), { n: '1.5', j: '<{}>' });
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(await row(pool, sql, [], { types: frozen }), { n: 1.5, j: '<{}>' });
      assert.deepEqual(await row(other, sql, [], { types: frozen }), { n: 1.5, j: {} });
    }
    assert.deepEqual(await row(pool, sql, [], { types: nested }), { n: '1.5', j: 'first' });
    nested.parsers.json = () => 'second';
    assert.deepEqual(await row(pool, sql, [], { types: nested }), { n: '1.5', j: 'second' });
  });

  test('types.parsers: functions that nobody refers to any more are collected', async () => {
    const lines = await printedBy(
      db,
      `const pool = createPool(options);
       const { parserOf } = require(process.cwd() + '/lib/values/types.js');
       for (let i = 0; i < 2000; i++) await pool.query('SELECT 1::int4 AS v', [], { types: { parsers: { int4: (text) => text + i } } });
       for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)); }
       let left = 0;
       for (let number = 1; number <= 2000; number++) if (parserOf(number)) left++;
       print(left < 1200 ? 'few' : left);
       await pool.end();`,
      { flags: ['--expose-gc'] },
    );
    assert.deepStrictEqual(lines, ['few']);
  });
});

describe('types unknown to the codec', () => {
  before(makeTypes);
  test('a value of an unknown type is a Buffer, and the pool raises one notice', async (t) => {
    const pool = db.pool(t);
    /** @type {any[]} */
    const notices = [];
    pool.on('notice', (/** @type {any} */ notice) => notices.push(notice));
    for (const _ of range(3)) {
      const { v, vs } = await row(pool, "SELECT 'é'::odd AS v, ARRAY['x', NULL]::odd[] AS vs");
      assert.deepStrictEqual([v, vs], [Buffer.from('é'), [Buffer.from('x'), null]]);
    }
    const own = notices.filter(({ message }) => /Buffer/.test(message));
    assert.equal(own.length, 2, 'the type and its array');
    assert.deepStrictEqual([own[0].severity, own[0].dataType], ['WARNING', 'odd']);
    assert.match(own[0].hint, /types\.parsers/);
    // Arrays of this type have a delimiter of their own.
    assert.deepStrictEqual(
      (await row(pool, 'SELECT $1::odd[]::text AS v', [['a,b', 'c:d', null]])).v,
      '{a,b:"c:d":NULL}',
    );
    assert.deepStrictEqual((await row(pool, 'SELECT $1::odd AS v', ['as text'])).v, Buffer.from('as text'));
  });
});

describe('types.serializers', () => {
  before(makeTypes);
  class Point {
    /** @param {number} x @param {number} y */
    constructor(x, y) {
      this.x = x;
      this.y = y;
    }
  }
  const types = {
    serializers: {
      point: (/** @type {Point} */ { x, y }) => `(${x},${y})`,
      int4: (/** @type {any} */ value) => (typeof value === 'object' ? String(value.value) : String(value)),
      mood: (/** @type {any} */ value) => (value === 'nothing' ? null : value),
      age: (/** @type {any} */ value) => String(value.years),
    },
  };

  for (const [sql, param, expected] of /** @type {[string, any, any][]} */ ([
    ['$1::point', new Point(1, 2), '(1,2)'],
    ['$1::point', null, null],
    ['$1::point', undefined, null],
    ['$1::point[]', [new Point(1, 2), null], ['(1,2)', null]],
    ['$1::int4', { value: 7 }, 7],
    ['$1::int4[]', [[{ value: 7 }], [8]], [[7], [8]]],
    ['$1::mood', 'nothing', null],
    ['$1::age', { years: 5 }, 5],
    ['$1::pair', { a: { value: 3 }, b: ['x'], m: 'ok' }, { a: 3, b: ['x'], m: 'ok' }],
    ['$1::pair', { a: null }, { a: null, b: null, m: null }],
    ['$1::text', 'as it is', 'as it is'],
  ])) {
    test(`types.serializers: ${sql} with ${JSON.stringify(param)}`, async (t) => {
      const pool = db.pool(t, { types });
      for (const _ of range(2)) assert.deepStrictEqual(await row(pool, `SELECT ${sql} AS v`, [param]), { v: expected });
      assert.deepStrictEqual(await row(db.pool(t), `SELECT ${sql} AS v`, [param], { types }), { v: expected });
      const [[batched]] = await db.pool(t).batch([[`SELECT ${sql} AS v`, [param]]], { types, transaction: true });
      assert.deepStrictEqual(batched, { v: expected });
    });
  }

  test('types.serializers: statements of a transaction keep their order, and a mistake spoils one of them', async (t) => {
    const pool = db.pool(t, { types });
    await pool.query('CREATE TABLE IF NOT EXISTS steps (n int4, at serial)');
    await pool
      .transaction(async (/** @type {any} */ tx) => {
        await Promise.all([
          tx.query('INSERT INTO steps (n) VALUES ($1)', [{ value: 1 }]),
          tx.query('INSERT INTO steps (n) VALUES (2)'),
          tx.query('INSERT INTO steps (n) VALUES ($1::int4)', [{ value: 3 }]),
          tx.query('INSERT INTO steps (n) VALUES (4)'),
        ]);
        const error = await failureOf(
          tx.query('SELECT $1::point', [null]).then(() => tx.query('SELECT $1::point', [5n])),
        );
        assert.equal(error.code, '22P02', 'what the serializer made is for the server to judge');
      })
      .catch(() => {});
    const tx = await pool.begin();
    const sent = tx.query('INSERT INTO steps (n) VALUES ($1 + 10)', [{ value: 1 }]);
    await tx.commit();
    await sent;
    assert.deepStrictEqual(await pool.query('SELECT n FROM steps ORDER BY at'), [{ n: 11 }]);
  });

  for (const [name, serializer, message] of /** @type {[string, any, RegExp][]} */ ([
    [
      'throws',
      () => {
        throw new Error('boo');
      },
      /\$1: the serializer for point failed: boo/,
    ],
    ['returns a number', () => 5, /\$1: the serializer for point must return a string or null/],
  ])) {
    test(`types.serializers: a serializer that ${name} rejects its statement, and nothing is sent`, async (t) => {
      const pool = db.pool(t, { types: { serializers: { point: serializer } } });
      const error = await failureOf(pool.query('SELECT $1::point', [1]));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, message);
    });
  }

  test('types.serializers: rows of copyFrom() go through them', async (t) => {
    const pool = db.pool(t, { types });
    await pool.query('TRUNCATE loads');
    const rows = [
      { p: { a: { value: 1 }, b: null, m: null }, r: { lower: 1, upper: 3 }, j: { a: 1 }, i: { value: 9 } },
      { p: null, r: 'empty', j: [1], i: null },
    ];
    assert.equal((await pool.copyFrom('loads', rows)).rowCount, 2);
    assert.deepStrictEqual(await pool.query('SELECT * FROM loads ORDER BY i'), [
      { p: { a: 1, b: null, m: null }, r: '[1,3)', j: { a: 1 }, i: 9 },
      { p: null, r: 'empty', j: [1], i: null },
    ]);
    const error = await failureOf(pool.copyFrom('loads', [{ p: { nix: 1 }, r: null, j: null, i: null }]));
    assert.deepStrictEqual([error.code, error.column], ['ERR_INVALID_PARAM', 'p']);
  });
});

describe('types: wrong values', () => {
  before(makeTypes);
  const bad = { message: /./ };
  for (const [types, message] of /** @type {[any, RegExp][]} */ ([
    [{ int9: 'number' }, /unknown option .types.int9.: did you mean .types.int8./],
    [{ int8: 'float' }, /types\.int8 must be one of/],
    [{ parsers: [] }, /types\.parsers must be an object/],
    [{ parsers: { int8: 'number' } }, /types\.parsers\.int8 must be a function/],
    [{ parsers: { '': Number } }, /must not be empty/],
    [{ serializers: { int8: true } }, /types\.serializers\.int8 must be a function/],
  ])) {
    test(`types: ${JSON.stringify(types)} is refused for a pool and for a call`, async (t) => {
      assert.throws(() => db.pool(t, { types }), { ...bad, code: 'ERR_INVALID_OPTION', message });
      const error = await failureOf(db.pool(t).query('SELECT 1', [], { types }));
      assert.match(error.message, message);
    });
  }
});

describe('objects as parameters', () => {
  before(makeTypes);
  const deep = {
    low: { a: 1, b: ['x"\\,{}', '', null], m: 'ok' },
    high: null,
    at: '2024-01-01T00:00:00.000Z',
    big: 2n ** 62n,
    raw: Buffer.from([0, 255]),
    doc: { k: [1, { l: null }] },
  };

  test('an object sent as a composite, an array of composites or JSON comes back the same', async (t) => {
    const pool = db.pool(t);
    for (const sent of [deep, { ...deep, at: new Date('2024-01-01') }]) {
      for (const _ of range(2)) assert.deepStrictEqual((await row(pool, 'SELECT $1::box2 AS v', [sent])).v, deep);
      assert.deepStrictEqual((await row(pool, 'SELECT $1::box2[] AS v', [[sent, null]])).v, [deep, null]);
      assert.deepStrictEqual((await row(pool, 'SELECT $1::jsonb AS j, $2::box2 AS v', [{ a: 1 }, sent])).v, deep);
    }
  });

  test('the first use of a statement sends an object as it was at the call, though the object changes meanwhile', async (t) => {
    const pool = db.pool(t);
    const changing = { a: 1, b: ['before'], m: null };
    const answer = pool.query('SELECT $1::pair AS v, $2::jsonb AS j', [changing, changing]);
    changing.b[0] = 'after';
    changing.a = 2;
    const before = { a: 1, b: ['before'], m: null };
    assert.deepStrictEqual(await answer, [{ v: before, j: before }]);
  });

  for (const [sql, param, message] of /** @type {[string, any, RegExp][]} */ ([
    ['$1::pair', { a: 1, A: 2 }, /\$1: "A" is no member of pair/],
    ['$1::pair', { a: 1.5 }, /\$1: number does not fit int4/],
    ['$1::pair', { b: ['ok', ['ragged']] }, /ragged/],
    ['$1::pair[]', { a: 1 }, /object cannot be sent as pair\[\]/],
    ['$1::int4range', { lower: 1, upper: 2, bounds: '[[' }, /bounds of a range/],
    ['$1::int4range', { from: 1 }, /"from" is no member of int4range/],
    ['$1::floats', { lower: 'x'.repeat(3), low: 1 }, /"low" is no member of floats/],
    ['$1::int4', { a: 1 }, /object cannot be sent as int4/],
    ['$1::int4multirange', [1], /number cannot be sent as int4multirange/],
  ])) {
    test(`an object that does not fit is refused: ${sql} with ${JSON.stringify(param)}`, async (t) => {
      if (sql.includes('multirange')) db.needsVersion(14, 'multiranges');
      const pool = db.pool(t);
      for (const _ of range(2)) {
        const error = await failureOf(pool.query(`SELECT ${sql}`, [param]));
        assert.equal(error.code, 'ERR_INVALID_PARAM');
        assert.match(error.message, message);
      }
      assert.deepStrictEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
    });
  }

  test('a JSON parameter has what JSON.stringify would write, and BigInts with all their digits', async (t) => {
    const pool = db.pool(t);
    class Money {
      toJSON() {
        return { cents: 5 };
      }
    }
    const odd = {
      u: undefined,
      f() {},
      n: NaN,
      d: new Date(0),
      b: Buffer.from('x'),
      m: new Money(),
      s: new String('boxed'),
      deep: JSON.parse('['.repeat(200) + ']'.repeat(200)),
      '\ud800': '\ud800',
    };
    for (const _ of range(2)) {
      assert.deepStrictEqual((await row(pool, 'SELECT $1::json AS v', [odd])).v, JSON.parse(JSON.stringify(odd)));
      const text = 'SELECT $1::jsonb::text AS v';
      assert.equal(
        (await row(pool, text, [{ n: 2n ** 70n, list: [{ m: -1n }] }])).v,
        '{"n": 1180591620717411303424, "list": [{"m": -1}]}',
      );
    }
    const circle = {};
    Object.assign(circle, { circle });
    assert.equal((await failureOf(pool.query('SELECT $1::json', [circle]))).code, 'ERR_INVALID_PARAM');
  });

  test('a composite type that is altered: ERR_DECODE once at most, then its new members are known', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('DROP TYPE IF EXISTS growing; '.slice(0, -2));
    await pool.query('CREATE TYPE growing AS (a int4)');
    const sql = 'SELECT ROW(1)::growing AS v';
    assert.deepStrictEqual(await row(pool, sql), { v: { a: 1 } });
    assert.deepStrictEqual((await row(pool, 'SELECT $1::growing AS v', [{ a: 5 }])).v, { a: 5 });
    await db.sql('ALTER TYPE growing ADD ATTRIBUTE b text');
    const grown = "SELECT '(1,x)'::growing AS v";
    const [first] = await Promise.allSettled([row(pool, grown)]);
    if (first.status === 'rejected') assert.equal(first.reason.code, 'ERR_DECODE');
    assert.deepStrictEqual(await row(pool, grown), { v: { a: 1, b: 'x' } });
    assert.deepStrictEqual((await row(pool, 'SELECT $1::growing AS v', [{ a: 5, b: 'y' }])).v, { a: 5, b: 'y' });
  });
});
