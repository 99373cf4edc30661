'use strict';

// A value of each type and arrays of them, from the server to JavaScript and back, and the option types. Parameters are in
// types.parameters.test.js, comparisons with the text of the server in types.text.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, range, useCluster } = require('../support/helpers');
const { TABLE, quoted, shown, valueIn } = require('./types.values');

const db = useCluster({ nodes: 1 });

/** Runs before each test that needs these types; quick when they exist. @param {any} pool */
async function createTypes(pool) {
  await pool.query(`DO $$ BEGIN
    IF to_regtype('color') IS NULL THEN
      CREATE TYPE color AS ENUM ('red', 'it''s "blue"');
      CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);
    END IF;
  END $$`);
}

describe('one value of each type', () => {
  for (const [type, rows] of Object.entries(TABLE)) {
    test(`${type} from the server has its JavaScript value`, async (t) => {
      const pool = db.pool(t);
      await createTypes(pool);
      for (const [text, value] of rows)
        assert.deepStrictEqual(await valueIn(pool, `SELECT ${quoted(text)}::${type} AS v`), value, text);
      const [row] = await pool.query(
        `SELECT ${rows.map(([text], i) => `${quoted(text)}::${type} AS c${i}`).join(', ')}, NULL::${type} AS n`,
      );
      assert.deepStrictEqual(row, { ...Object.fromEntries(rows.map(([, value], i) => [`c${i}`, value])), n: null });
    });

    test(`${type} sent from JavaScript has its value on the server`, async (t) => {
      const pool = db.pool(t);
      await createTypes(pool);
      for (const [text, value, way] of rows) {
        if (way === 'one way') continue;
        assert.equal(
          await valueIn(pool, `SELECT $1::${type}::text AS v`, [value]),
          await valueIn(pool, `SELECT ${quoted(text)}::${type}::text AS v`),
          shown(value),
        );
        assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type} AS v`, [value]), value, shown(value));
      }
      // Every string is read as the server reads it.
      for (const [text, value] of rows)
        assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type} AS v`, [text]), value, text);
      assert.equal(await valueIn(pool, `SELECT $1::${type} AS v`, [null]), null);
    });

    test(`arrays of ${type} are read and sent`, async (t) => {
      const pool = db.pool(t);
      await createTypes(pool);
      const literals = rows.map(([text]) => `${quoted(text)}::${type}`);
      const values = rows.map(([, value]) => value);
      assert.deepStrictEqual(await valueIn(pool, `SELECT ARRAY[${literals.join(', ')}] AS v`), values);
      assert.deepStrictEqual(
        await valueIn(pool, `SELECT ARRAY[NULL, ${literals.join(', NULL, ')}, NULL]::${type}[] AS v`),
        [null, ...values.flatMap((value) => [value, null])],
      );
      assert.deepStrictEqual(
        await valueIn(
          pool,
          `SELECT ARRAY[ARRAY[${literals.join(', ')}], ARRAY[${[...literals].reverse().join(', ')}]] AS v`,
        ),
        [values, [...values].reverse()],
      );
      assert.deepStrictEqual(await valueIn(pool, `SELECT '{}'::${type}[] AS v`), []);
      assert.deepStrictEqual(await valueIn(pool, `SELECT NULL::${type}[] AS v`), null);
      assert.deepStrictEqual(await valueIn(pool, `SELECT ARRAY[NULL]::${type}[] AS v`), [null]);

      // An array in an array parameter is a dimension, whatever the element's type.
      const there = rows.filter(([, value, way]) => way !== 'one way' && !Array.isArray(value));
      const sent = there.map(([, value]) => value);
      const asText = `SELECT $1::${type}[]::text AS v`;
      const expected = (/** @type {string} */ array) => valueIn(pool, `SELECT (${array})::${type}[]::text AS v`);
      const cast = there.map(([text]) => `${quoted(text)}::${type}`);
      assert.equal(await valueIn(pool, asText, [sent]), await expected(`ARRAY[${cast.join(', ')}]`));
      assert.equal(await valueIn(pool, asText, [[null, ...sent]]), await expected(`ARRAY[NULL, ${cast.join(', ')}]`));
      assert.equal(
        await valueIn(pool, asText, [[sent, sent]]),
        await expected(`ARRAY[ARRAY[${cast.join(', ')}], ARRAY[${cast.join(', ')}]]`),
      );
      assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type}[] AS v`, [sent]), sent);
      assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type}[] AS v`, [[]]), []);
      assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type}[] AS v`, [[undefined]]), [null]);
    });
  }

  test('void is null', async (t) => {
    assert.deepStrictEqual(await db.pool(t).query('SELECT pg_sleep(0) AS v, 1 AS w'), [{ v: null, w: 1 }]);
  });

  test('an untyped literal is text', async (t) => {
    assert.deepStrictEqual(await db.pool(t).query("SELECT 'x' AS v, NULL AS n"), [{ v: 'x', n: null }]);
  });

  test('xml is text', async (t) => {
    const pool = db.pool(t);
    const [{ value, error }] = await endings([valueIn(pool, "SELECT '<a>é</a>'::xml AS v")]);
    if (error?.code === '0A000') return t.skip('this server is built without XML');
    assert.equal(value, '<a>é</a>', error?.stack);
    assert.deepStrictEqual(await valueIn(pool, "SELECT ARRAY['<a/>'::xml, NULL] AS v"), ['<a/>', null]);
    assert.equal(await valueIn(pool, 'SELECT $1::xml AS v', ['<b/>']), '<b/>');
  });

  for (const [extension, type, values] of /** @type {const} */ ([
    ['citext', 'citext', ['Ab', '']],
    ['hstore', 'hstore', [{ a: '1', b: null, __proto__x: 'q"\\' }, {}]],
    ['ltree', 'ltree', ['a.b.c']],
  ])) {
    test(`${type} is read and sent, where the extension can be made`, async (t) => {
      const pool = db.pool(t);
      const [{ error }] = await endings([pool.query(`CREATE EXTENSION IF NOT EXISTS ${extension}`)]);
      if (error) return t.skip(error.message);
      for (const value of values) {
        assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type} AS v`, [value]), value);
        assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type}[] AS v`, [[value, null]]), [value, null]);
      }
      if (type === 'citext') assert.equal(await valueIn(pool, "SELECT $1 = 'AB'::citext AS v", ['ab']), true);
    });
  }
});

describe('arrays', () => {
  // SQL, JavaScript
  const SHAPES = /** @type {[string, any][]} */ ([
    ["'[3:4]={1,2}'::int4[]", [1, 2]],
    [
      "'[-1:0][2:3]={{1,2},{3,NULL}}'::int4[]",
      [
        [1, 2],
        [3, null],
      ],
    ],
    ["'{{{{{{7}}}}}}'::int4[]", [[[[[[7]]]]]]],
    [
      "'{{{1,2},{3,4}},{{5,6},{7,8}}}'::int8[]",
      [
        [
          [1n, 2n],
          [3n, 4n],
        ],
        [
          [5n, 6n],
          [7n, 8n],
        ],
      ],
    ],
    [
      '\'{{a,NULL},{"NULL",""}}\'::text[]',
      [
        ['a', null],
        ['NULL', ''],
      ],
    ],
    ["'{{},{}}'::int4[]", []],
    ['ARRAY(SELECT i FROM generate_series(1, 200) i)', range(200).map((i) => i + 1)],
    [
      'ARRAY(SELECT CASE WHEN i % 3 = 0 THEN i END FROM generate_series(1, 130) i)',
      range(130).map((i) => ((i + 1) % 3 === 0 ? i + 1 : null)),
    ],
    ["'{1,2,3}'::int2vector", '1 2 3'],
  ]);
  for (const [sql, value] of SHAPES) {
    test(`array ${sql} is read`, async (t) => {
      const pool = db.pool(t);
      const [{ error, value: got }] = await endings([valueIn(pool, `SELECT ${sql} AS v`)]);
      // The server decides on malformed literals (18 refuses '{{},{}}').
      if (error) assert.match(error.code, /^22/);
      else if (!sql.includes('int2vector')) assert.deepStrictEqual(got, value);
    });
  }

  // parameter type, JavaScript array, the server's text
  const SENT = /** @type {[string, any, string][]} */ ([
    ['int4[]', [1, null, 3], '{1,NULL,3}'],
    [
      'int4[]',
      [
        [1, 2],
        [3, 4],
      ],
      '{{1,2},{3,4}}',
    ],
    ['int4[]', [[[[[[7]]]]]], '{{{{{{7}}}}}}'],
    ['int4[]', [], '{}'],
    ['int4[]', [[]], '{}'],
    ['int4[]', ['1', 2, 3n], '{1,2,3}'],
    ['int4[]', '{5,6}', '{5,6}'],
    ['int4[]', new Int32Array([1, -2]), '{1,-2}'],
    ['int8[]', new BigInt64Array([1n, -(2n ** 63n)]), '{1,-9223372036854775808}'],
    ['int8[]', [1, 2n, '3', null], '{1,2,3,NULL}'],
    ['int8[]', [2 ** 53], '{9007199254740992}'],
    ['float8[]', new Float64Array([0.1, NaN, -0, Infinity]), '{0.1,NaN,-0,Infinity}'],
    ['float4[]', new Float32Array([0.5, 1e10]), '{0.5,1e+10}'],
    ['int2[]', new Uint16Array([1, 2]), '{1,2}'],
    ['numeric[]', [1.5, '2.50', 10n ** 30n, null], `{1.5,2.50,1${'0'.repeat(30)},NULL}`],
    ['bool[]', [true, false, null, 'yes'], '{t,f,NULL,t}'],
    [
      'text[]',
      ['a', '', 'NULL', null, 'null', '{', '}', ',', '"', '\\', ' x ', "'", '\n', 'é'],
      '{a,"","NULL",NULL,"null","{","}",",","\\"","\\\\"," x ",\',"\n",é}',
    ],
    ['text[]', [1, true, 1.5, 10n], '{1,true,1.5,10}'],
    [
      'text[]',
      [
        ['a', 'b'],
        ['c', null],
      ],
      '{{a,b},{c,NULL}}',
    ],
    [
      'bytea[]',
      [Buffer.from([0, 255]), new Uint8Array([92, 34]), Buffer.alloc(0)],
      '{"\\\\x00ff","\\\\x5c22","\\\\x"}',
    ],
    ['timestamptz[]', [new Date(0), '2024-01-01 00:00:00Z'], '{"1970-01-01 00:00:00+00","2024-01-01 00:00:00+00"}'],
    ['date[]', [new Date(86_400_000)], '{1970-01-02}'],
    ['uuid[]', ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'], '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'],
    ['box[]', ['((1,2),(0,0))', '((3,4),(0,0))'], '{(1,2),(0,0);(3,4),(0,0)}'],
  ]);
  for (const [type, value, text] of SENT) {
    test(`array ${shown(value)} is sent as ${type}`, async (t) => {
      const pool = db.pool(t);
      assert.equal(await valueIn(pool, `SELECT $1::${type}::text AS v`, [value]), text);
    });
  }

  test('arrays: objects are elements of jsonb[]', async (t) => {
    const pool = db.pool(t);
    const value = [{ a: 1 }, { b: '"\\' }, 5, true, null, '"s"'];
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::jsonb[] AS v', [value]), [
      { a: 1 },
      { b: '"\\' },
      5,
      true,
      null,
      's',
    ]);
  });

  test('an array sent as json or jsonb is a JSON array, not a PostgreSQL array', async (t) => {
    const pool = db.pool(t);
    const values = [
      [],
      [1, 2],
      [[1], [2, 3]],
      [null],
      ['a', { b: [] }],
      [true, 0.1, 'x"\\\n\u2028'],
      [1, [2, [3, [4]]]],
      [[], {}],
    ];
    for (const type of ['json', 'jsonb']) {
      for (const value of values)
        assert.deepStrictEqual(await valueIn(pool, `SELECT $1::${type} AS v`, [value]), value, JSON.stringify(value));
    }
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::jsonb AS v', [[undefined, NaN, new Date(0), 2n ** 60n]]), [
      null,
      null,
      '1970-01-01T00:00:00.000Z',
      2 ** 60,
    ]);
    assert.equal(
      await valueIn(pool, 'SELECT $1::jsonb::text AS v', [[12345678901234567890n]]),
      '[12345678901234567890]',
    );
  });

  // parameter type, JavaScript array, what the message has to contain
  const WRONG = /** @type {[string, any, RegExp][]} */ ([
    ['int4[]', [[1], [2, 3]], /\$1.*int4\[\]/],
    ['int4[]', [1, [2]], /\$1.*int4\[\]/],
    ['int4[]', [[1], 2], /\$1.*int4\[\]/],
    ['int4[]', [1, 1.5], /\$1.*int4.*number|\$1.*number.*int4/],
    ['int4[]', [2 ** 31], /\$1.*int4/],
    ['int4[]', [NaN], /\$1.*NaN.*int4/],
    ['int4[]', [{}], /\$1.*object.*int4/],
    ['int4[]', [[[[[[[1]]]]]]], /\$1.*6 dimensions/],
    ['int4', [1], /\$1.*array.*int4/],
    ['bool[]', [1], /\$1.*number.*bool/],
    ['bytea[]', [1], /\$1.*number.*bytea/],
    ['text[]', ['a\0b'], /\$1.*NUL/],
    ['text[]', ['\ud800'], /\$1.*surrogate/],
    ['timestamptz[]', [new Date(NaN)], /\$1.*Date/],
  ]);
  for (const [type, value, message] of WRONG) {
    test(`array ${shown(value)} is refused as ${type}`, async (t) => {
      const pool = db.pool(t);
      const error = await failureOf(pool.query(`SELECT $1::${type} AS v`, [value]));
      assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
      assert.match(error.message, message);
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    });
  }
});

describe('the option types', () => {
  const SQL = `SELECT 9007199254740993::int8 AS i, 1.10::numeric AS n, 'NaN'::numeric AS nan, '2024-01-01 00:00:00.123456+00'::timestamptz AS tz, '2024-01-01 00:00:00'::timestamp AS ts,
    '2024-01-01'::date AS d, 'infinity'::timestamptz AS inf, '{"a": 1}'::jsonb AS j, '{ "a":1}'::json AS k, NULL::int8 AS z,
    ARRAY[1::int8, NULL] AS ia, ARRAY[1.50::numeric] AS na, ARRAY['2024-01-01'::date] AS da, ARRAY['{}'::jsonb] AS ja`;
  const DEFAULT = {
    i: 9_007_199_254_740_993n,
    n: '1.10',
    nan: 'NaN',
    tz: '2024-01-01T00:00:00.123456Z',
    ts: '2024-01-01T00:00:00.000',
    d: '2024-01-01',
    inf: 'infinity',
    j: { a: 1 },
    k: { a: 1 },
    z: null,
    ia: [1n, null],
    na: ['1.50'],
    da: ['2024-01-01'],
    ja: [{}],
  };
  const CHOICES = /** @type {[any, any][]} */ ([
    [{}, {}],
    [{ int8: 'bigint', numeric: 'string', date: 'string', json: 'parse' }, {}],
    [{ int8: 'number' }, { i: 9_007_199_254_740_992, ia: [1, null] }],
    [{ int8: 'string' }, { i: '9007199254740993', ia: ['1', null] }],
    [{ numeric: 'number' }, { n: 1.1, nan: NaN, na: [1.5] }],
    [
      { date: 'date' },
      {
        tz: new Date('2024-01-01T00:00:00.123Z'),
        ts: new Date('2024-01-01T00:00:00Z'),
        d: new Date('2024-01-01T00:00:00Z'),
        inf: Infinity,
        da: [new Date('2024-01-01T00:00:00Z')],
      },
    ],
    [{ json: 'string' }, { j: '{"a": 1}', k: '{ "a":1}', ja: ['{}'] }],
  ]);
  for (const [types, changed] of CHOICES) {
    test(`types ${JSON.stringify(types)} chooses the JavaScript values`, async (t) => {
      assert.deepStrictEqual(await db.pool(t, { types }).query(SQL), [{ ...DEFAULT, ...changed }]);
    });
  }

  test('types: two pools with different choices do not disturb each other', async (t) => {
    const [a, b] = [db.pool(t, { types: { int8: 'number' } }), db.pool(t)];
    for (let i = 0; i < 5; i++) {
      const [x, y] = await Promise.all([a.query('SELECT 1::int8 AS v'), b.query('SELECT 1::int8 AS v')]);
      assert.deepStrictEqual([x, y], [[{ v: 1 }], [{ v: 1n }]]);
    }
  });
});
