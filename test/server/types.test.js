'use strict';

// Values, in both directions and exactly. Where the server's own text is the measure, the server is asked for it.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const util = require('node:util');
const vm = require('node:vm');
const { endings, test, failureOf, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

/** @param {string} text as a literal of SQL */
const quoted = (text) => `'${text.replace(/'/g, "''")}'`;

/** @param {any} value */
const shown = (value) => util.inspect(value, { breakLength: Infinity });

/** @param {any} pool @param {string} sql @param {any[]} [params] */
const valueIn = async (pool, sql, params) => (await pool.query(sql, params))[0].v;

const json = (/** @type {any} */ value) => [JSON.stringify(value), value];

/**
 * Types: what the server reads, and what JavaScript gets. Where a third element stands, it says that the way back is another.
 * @type {Record<string, [string, any, 'one way'?][]>}
 */
const TABLE = {
  bool: [
    ['t', true],
    ['f', false],
  ],
  int2: [
    ['0', 0],
    ['32767', 32_767],
    ['-32768', -32_768],
  ],
  int4: [
    ['0', 0],
    ['1', 1],
    ['-1', -1],
    ['2147483647', 2_147_483_647],
    ['-2147483648', -2_147_483_648],
  ],
  oid: [
    ['0', 0],
    ['2147483648', 2_147_483_648],
    ['4294967295', 4_294_967_295],
  ],
  int8: [
    ['0', 0n],
    ['9007199254740993', 9_007_199_254_740_993n],
    ['9223372036854775807', 2n ** 63n - 1n],
    ['-9223372036854775808', -(2n ** 63n)],
  ],
  float4: [
    ['0.1', 0.1],
    ['-0', -0],
    ['1e-45', 1e-45],
    ['3.4028235e38', 3.4028235e38],
    ['16777216', 16_777_216],
    ['NaN', NaN],
    ['Infinity', Infinity],
    ['-Infinity', -Infinity],
    ['1.5', 1.5],
  ],
  float8: [
    ['0.1', 0.1],
    ['0', 0],
    ['-0', -0],
    ['1e-300', 1e-300],
    ['5e-324', 5e-324],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['NaN', NaN],
    ['Infinity', Infinity],
    ['-Infinity', -Infinity],
    ['9007199254740993', 9_007_199_254_740_992],
  ],
  numeric: [
    ['0', '0'],
    ['0.00', '0.00'],
    ['-0.000', '0.000'],
    ['1', '1'],
    ['10000', '10000'],
    ['100000000', '100000000'],
    ['0.0001', '0.0001'],
    ['0.00001', '0.00001'],
    ['-12345.6789', '-12345.6789'],
    ['12345678901234567890123456789.987654321', '12345678901234567890123456789.987654321'],
    ['1e20', `1${'0'.repeat(20)}`],
    ['1e-20', `0.${'0'.repeat(19)}1`],
    ['9999.9999', '9999.9999'],
    ['1.10', '1.10'],
    ['NaN', 'NaN'],
  ],
  text: [
    ['', ''],
    ['a', 'a'],
    ['it\'s \\ "x"', 'it\'s \\ "x"'],
    ['é€😀', 'é€😀'],
    ['\u0001\t\n\r', '\u0001\t\n\r'],
    ['NULL', 'NULL'],
    ['{}', '{}'],
    ['\ufffd\ufeff', '\ufffd\ufeff'],
  ],
  varchar: [
    ['', ''],
    ['ä', 'ä'],
  ],
  'varchar(3)': [['abc', 'abc']],
  'char(3)': [
    ['a', 'a  '],
    ['abc', 'abc'],
    ['ä', 'ä  '],
  ],
  name: [
    ['n', 'n'],
    ['x'.repeat(63), 'x'.repeat(63)],
  ],
  uuid: [
    ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'],
  ],
  bytea: [
    ['\\x', Buffer.alloc(0)],
    ['\\x00ff', Buffer.from([0, 255])],
    ['\\x5c7822', Buffer.from('\\x"')],
  ],
  jsonb: [
    json({}),
    json([]),
    json({ a: 1, b: [true, null, 'x'] }),
    json([1, [2, { c: 'd' }]]),
    ['5', 5],
    ['0.1', 0.1],
    ['true', true],
    ['"text"', 'text', 'one way'],
    ['"5"', '5', 'one way'],
    ['null', null, 'one way'],
    ['""', '', 'one way'],
    ['{"__proto__": {"x": 1}}', JSON.parse('{"__proto__": {"x": 1}}')],
    ['{"constructor": 1, "": 2, "é\\"": 3}', { constructor: 1, '': 2, 'é"': 3 }],
    ['{"a": 12345678901234567890}', { a: Number('12345678901234567890') }, 'one way'],
    ['[1e308, 1.0, -0.5]', [1e308, 1, -0.5], 'one way'],
    ['"\\u00e9\\n"', 'é\n', 'one way'],
  ],
  json: [
    json({ a: 1, b: [true, null, 'x'] }),
    json([]),
    [' { "b" : 1 , "a":2, "b":3 } ', { b: 3, a: 2 }, 'one way'],
    ['5', 5],
    ['false', false],
    ['"text"', 'text', 'one way'],
    ['null', null, 'one way'],
    ['"\\ud800"', '\ud800', 'one way'],
    ['"\\u0000"', '\0', 'one way'],
    ['{"__proto__":1}', JSON.parse('{"__proto__":1}')],
  ],
  timestamptz: [
    ['2024-01-01 00:01:00+00', '2024-01-01T00:01:00.000Z'],
    ['2024-02-29 12:00:00.123456+05:30', '2024-02-29T06:30:00.123456Z'],
    ['1969-12-31 23:59:59.999999+00', '1969-12-31T23:59:59.999999Z'],
    ['2024-01-01 00:00:00.1+00', '2024-01-01T00:00:00.100Z'],
    ['2000-01-01 00:00:00+00', '2000-01-01T00:00:00.000Z'],
    ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31 23:59:59.999999+00', '9999-12-31T23:59:59.999999Z'],
    ['10000-01-01 00:00:00+00', '+010000-01-01T00:00:00.000Z', 'one way'],
    ['0001-12-31 00:00:00+00 BC', '0000-12-31T00:00:00.000Z', 'one way'],
    ['0044-03-15 12:00:00+00 BC', '-000043-03-15T12:00:00.000Z', 'one way'],
    ['4713-01-01 00:00:00+00 BC', '-004712-01-01T00:00:00.000Z', 'one way'],
    ['294276-12-31 23:59:59.999999+00', '+294276-12-31T23:59:59.999999Z', 'one way'],
    ['infinity', 'infinity'],
    ['-infinity', '-infinity'],
  ],
  timestamp: [
    ['2024-01-01 00:01:00', '2024-01-01T00:01:00.000'],
    ['2024-02-29 23:59:59.000001', '2024-02-29T23:59:59.000001'],
    ['0044-03-15 12:00:00 BC', '-000043-03-15T12:00:00.000', 'one way'],
    ['294276-12-31 23:59:59.999999', '+294276-12-31T23:59:59.999999', 'one way'],
    ['infinity', 'infinity'],
    ['-infinity', '-infinity'],
  ],
  date: [
    ['2024-01-01', '2024-01-01'],
    ['2024-02-29', '2024-02-29'],
    ['1969-12-31', '1969-12-31'],
    ['0001-01-01', '0001-01-01'],
    ['9999-12-31', '9999-12-31'],
    ['10000-01-01', '+010000-01-01', 'one way'],
    ['0001-12-31 BC', '0000-12-31', 'one way'],
    ['4713-01-01 BC', '-004712-01-01', 'one way'],
    ['5874897-12-31', '+5874897-12-31', 'one way'],
    ['infinity', 'infinity'],
    ['-infinity', '-infinity'],
  ],
  time: [
    ['00:01:00', '00:01:00'],
    ['23:59:59.999999', '23:59:59.999999'],
    ['24:00:00', '24:00:00'],
    ['04:05:06.7', '04:05:06.7'],
  ],
  timetz: [
    ['00:00:00+00', '00:00:00+00'],
    ['04:05:06.789-08:30', '04:05:06.789-08:30'],
    ['23:59:59.999999+15:59:59', '23:59:59.999999+15:59:59'],
    ['04:05:06+02', '04:05:06+02'],
  ],
  color: [
    ['red', 'red'],
    ['it\'s "blue"', 'it\'s "blue"'],
  ],
  positive: [['5', 5]],
};

/** Runs before each test that needs them; cheap when they are there. @param {any} pool */
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
      // Malformed literals are the server's business (18 refuses '{{},{}}').
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

describe('parameters of each type', () => {
  const date = new Date(Date.UTC(2024, 1, 29, 12, 34, 56, 789));
  // JavaScript, parameter type, the server's text
  const ACCEPTED = /** @type {[any, string, string][]} */ ([
    [true, 'bool', 'true'],
    [true, 'text', 'true'],
    [false, 'jsonb', 'false'],
    ['on', 'bool', 'true'],
    [0, 'int2', '0'],
    [-0, 'int4', '0'],
    [5, 'int8', '5'],
    [2 ** 53, 'int8', '9007199254740992'],
    [-(2 ** 63), 'int8', '-9223372036854775808'],
    [4_294_967_295, 'oid', '4294967295'],
    [5, 'numeric', '5'],
    [0.1, 'numeric', '0.1'],
    [1e21, 'numeric', `1${'0'.repeat(21)}`],
    [5e-324, 'float8', '5e-324'],
    [-0, 'float8', '-0'],
    [NaN, 'numeric', 'NaN'],
    [NaN, 'float4', 'NaN'],
    [5, 'float4', '5'],
    [0.1, 'float4', '0.1'],
    [1.5, 'text', '1.5'],
    [1e21, 'text', '1e+21'],
    [5, 'varchar', '5'],
    [0.1, 'jsonb', '0.1'],
    [-5, 'json', '-5'],
    [5, 'money', '$5.00'],
    [5n, 'int2', '5'],
    [5n, 'int4', '5'],
    [-(2n ** 63n), 'int8', '-9223372036854775808'],
    [10n ** 40n, 'numeric', `1${'0'.repeat(40)}`],
    [5n, 'float8', '5'],
    [5n, 'text', '5'],
    [2n ** 64n, 'jsonb', '18446744073709551616'],
    [2n ** 63n, 'numeric', '9223372036854775808'],
    ['42', 'int4', '42'],
    [' 42 ', 'int4', '42'],
    ['0x1F', 'text', '0x1F'],
    ['1e3', 'float8', '1000'],
    ['1 day', 'interval', '1 day'],
    ['10.0.0.1/8', 'inet', '10.0.0.1/8'],
    ['[1,5)', 'int4range', '[1,5)'],
    ['(1,2)', 'point', '(1,2)'],
    ['101', 'varbit', '101'],
    ['a b', 'tsvector', "'a' 'b'"],
    ['16/B374D848', 'pg_lsn', '16/B374D848'],
    ['pg_class', 'regclass', 'pg_class'],
    ['(1,x)', 'pair', '(1,x)'],
    ['\\xdead', 'bytea', '\\xdead'],
    [Buffer.from('dead', 'hex'), 'bytea', '\\xdead'],
    [new Uint8Array([1, 2, 3]).subarray(1), 'bytea', '\\x0203'],
    [Buffer.alloc(0), 'bytea', '\\x'],
    [date, 'timestamptz', '2024-02-29 12:34:56.789+00'],
    [date, 'timestamp', '2024-02-29 12:34:56.789'],
    [date, 'date', '2024-02-29'],
    [date, 'time', '12:34:56.789'],
    [date, 'text', '2024-02-29T12:34:56.789Z'],
    [date, 'jsonb', '"2024-02-29T12:34:56.789Z"'],
    [new Date(-1), 'timestamptz', '1969-12-31 23:59:59.999+00'],
    [new Date(-62_167_219_200_000), 'timestamptz', '0001-01-01 00:00:00+00 BC'],
    [new Date(8.64e15), 'timestamptz', '275760-09-13 00:00:00+00'],
    [new Date(253_402_300_800_000), 'date', '10000-01-01'],
    [{ a: 1 }, 'jsonb', '{"a": 1}'],
    [{ a: 1 }, 'json', '{"a":1}'],
    [{}, 'jsonb', '{}'],
    [{ a: 1 }, 'text', '{"a":1}'],
    [{ toJSON: () => ({ b: 2 }) }, 'jsonb', '{"b": 2}'],
    [new Map(), 'jsonb', '{}'],
    [Object.create(null), 'jsonb', '{}'],
    [{ d: new Date(0) }, 'jsonb', '{"d": "1970-01-01T00:00:00.000Z"}'],
    [{ 'é"': '\u2028' }, 'json', '{"é\\"":"\u2028"}'],
    [new URL('http://x/'), 'jsonb', '"http://x/"'],
    ['{"a":1}', 'jsonb', '{"a": 1}'],
    ['"s"', 'jsonb', '"s"'],
  ]);
  test('parameters: each JavaScript type goes to each PostgreSQL type that takes it', async (t) => {
    const pool = db.pool(t);
    await pool.query('CREATE TYPE pair AS (a int4, b text)');
    for (const [value, type, text] of ACCEPTED) {
      const [{ value: got, error }] = await endings([valueIn(pool, `SELECT $1::${type}::text AS v`, [value])]);
      assert.equal(got, text, `${shown(value)} as ${type}: ${error?.stack}`);
    }
    await pool.query('DROP TYPE pair');
  });

  test('parameters: objects of another realm are taken for what they are', async (t) => {
    const pool = db.pool(t);
    const foreign = vm.runInNewContext(
      '({ date: new Date(0), bytes: new Uint8Array([1, 2]), array: [1, null], object: { a: 1 } })',
    );
    assert.equal(await valueIn(pool, 'SELECT $1::timestamptz::text AS v', [foreign.date]), '1970-01-01 00:00:00+00');
    assert.equal(await valueIn(pool, 'SELECT $1::bytea::text AS v', [foreign.bytes]), '\\x0102');
    assert.equal(await valueIn(pool, 'SELECT $1::int4[]::text AS v', [foreign.array]), '{1,NULL}');
    assert.equal(await valueIn(pool, 'SELECT $1::jsonb::text AS v', [foreign.object]), '{"a": 1}');
  });

  // JavaScript, parameter type, what JavaScript's type is called
  const REFUSED = /** @type {[any, string, string][]} */ ([
    [3.5, 'int4', 'number'],
    [2 ** 31, 'int4', 'number'],
    [-(2 ** 31) - 1, 'int4', 'number'],
    [40_000, 'int2', 'number'],
    [-1, 'oid', 'number'],
    [2 ** 32, 'oid', 'number'],
    [2 ** 63, 'int8', 'number'],
    [0.5, 'int8', 'number'],
    [NaN, 'int4', 'NaN'],
    [NaN, 'int8', 'NaN'],
    [NaN, 'int2', 'NaN'],
    [Infinity, 'int4', 'Infinity'],
    [-Infinity, 'int8', 'Infinity'],
    [NaN, 'jsonb', 'NaN'],
    [Infinity, 'json', 'Infinity'],
    [1e39, 'float4', 'number'],
    [1e-50, 'float4', 'number'],
    [2n ** 31n, 'int4', 'BigInt'],
    [2n ** 63n, 'int8', 'BigInt'],
    [-(2n ** 63n) - 1n, 'int8', 'BigInt'],
    [2n ** 15n, 'int2', 'BigInt'],
    [-1n, 'oid', 'BigInt'],
    [1, 'bool', 'number'],
    [0, 'bool', 'number'],
    [1n, 'bool', 'BigInt'],
    [true, 'int4', 'boolean'],
    [true, 'timestamptz', 'boolean'],
    [false, 'bytea', 'boolean'],
    [0, 'timestamptz', 'number'],
    [0, 'date', 'number'],
    [1, 'time', 'number'],
    [5, 'uuid', 'number'],
    [5, 'bytea', 'number'],
    [5, 'inet', 'number'],
    [5n, 'timestamp', 'BigInt'],
    [{}, 'int4', 'object'],
    [{}, 'timestamptz', 'object'],
    [{}, 'bool', 'object'],
    [{ a: 1 }, 'bytea', 'object'],
    [{}, 'numeric', 'object'],
    [[1], 'int4', 'array'],
    [[], 'bool', 'array'],
    [[1], 'text', 'array'],
    [['a'], 'uuid', 'array'],
    [Buffer.from('a'), 'text', 'Buffer'],
    [Buffer.from('a'), 'int4', 'Buffer'],
    [new Uint8Array(1), 'jsonb', 'Buffer'],
    [date, 'int4', 'Date'],
    [date, 'bool', 'Date'],
    [date, 'uuid', 'Date'],
    [new Date(NaN), 'timestamptz', 'Date'],
    [new Date(NaN), 'date', 'Date'],
  ]);
  test('parameters: the error of a wrong one names its number and both types, never the value, and nothing is sent', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.query('CREATE SEQUENCE sent');
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const [value, type, name] of REFUSED) {
      const sql = `SELECT nextval('sent'), $1::text, $2::${type}`;
      const ended = await endings([pool.query(sql, ['x', value]), pool.query('SELECT $1::int4 AS v', [7])]);
      const { error } = ended[0];
      const what = `${shown(value)} as ${type}: ${error?.stack ?? 'it was sent'}`;
      assert.deepEqual([error?.name, error?.code], ['ParameterError', 'ERR_INVALID_PARAM'], what);
      assert.match(error.message, /^parameter \$2: /, what);
      assert.ok(error.message.includes(name), what);
      if (!Number.isNaN(value?.getTime?.())) assert.ok(error.message.includes(type), what);
      assert.ok(!error.message.replace(/\$2|int[248]|float[48]/g, '').match(/\d{2}|3\.5/), what);
      assert.deepStrictEqual(ended[1].value, [{ v: 7 }], 'its neighbour is not harmed');
    }
    assert.deepStrictEqual(
      await pool.query('SELECT is_called AS v, pg_backend_pid() AS pid FROM sent'),
      [{ v: false, pid }],
      'none of them ran, and it is the same connection',
    );
    await pool.query('DROP SEQUENCE sent');
  });

  for (const value of [Symbol('s'), () => {}, class {}]) {
    test(`parameters: a ${typeof value} is refused`, async (t) => {
      const error = await failureOf(db.pool(t).query('SELECT $1::text', [value]));
      assert.equal(error.code, 'ERR_INVALID_PARAM');
      assert.match(error.message, /\$1.*(symbol|function)/);
    });
  }

  test('parameters: NUL and unpaired surrogates in text are refused by name', async (t) => {
    const pool = db.pool(t);
    for (const type of ['text', 'varchar', 'jsonb', 'int4', 'name', 'uuid']) {
      for (const [text, message] of /** @type {const} */ ([
        ['a\0b', /\$1.*NUL/],
        ['\0', /\$1.*NUL/],
        [`${'x'.repeat(100)}\0`, /\$1.*NUL/],
        ['\ud800', /\$1.*surrogate/],
        ['a\udc00b', /\$1.*surrogate/],
      ])) {
        const error = await failureOf(pool.query(`SELECT $1::${type}`, [text]));
        assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
        assert.match(error.message, message);
      }
    }
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('parameters: NUL and unpaired surrogates in JSON are left to the server and to JSON.stringify', async (t) => {
    const pool = db.pool(t);
    assert.equal((await failureOf(pool.query('SELECT $1::jsonb', [{ a: '\0' }]))).code, '22P05');
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::json AS v', [{ a: '\0' }]), { a: '\0' });
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::json AS v', [{ a: '\ud800' }]), { a: '\ud800' });
  });

  test('parameters: text that the server cannot read is an error of the server', async (t) => {
    const pool = db.pool(t);
    for (const [text, type, code] of /** @type {const} */ ([
      ['x', 'int4', '22P02'],
      ['2147483648', 'int4', '22003'],
      ['', 'int4', '22P02'],
      ['maybe', 'bool', '22P02'],
      ['2024-13-01', 'date', '22008'],
      ['x', 'uuid', '22P02'],
      ['{', 'jsonb', '22P02'],
      ['{1', 'int4[]', '22P02'],
      ['x', 'timestamptz', '22007'],
    ])) {
      const error = await failureOf(pool.query(`SELECT $1::${type}`, [text]));
      assert.deepEqual([error.name, error.code], ['DatabaseError', code], `${text} as ${type}`);
    }
  });

  test('parameters: types that the server infers from the statement', async (t) => {
    const pool = db.pool(t);
    await pool.query(
      'CREATE TABLE inferred (a int4, b int8, c numeric, d text, e jsonb, f timestamptz, g bytea, h int4[], i bool, j float8)',
    );
    const values = [1, 2n, '3.50', 'd', { e: [1] }, new Date(0), Buffer.from('g'), [1, null], true, 0.5];
    await pool.query('INSERT INTO inferred VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)', values);
    assert.deepStrictEqual(
      await pool.query('SELECT * FROM inferred WHERE a = ANY($1) AND d LIKE $2 AND b > $3 LIMIT $4', [
        [1, 2],
        'd%',
        1,
        5,
      ]),
      [
        {
          a: 1,
          b: 2n,
          c: '3.50',
          d: 'd',
          e: { e: [1] },
          f: '1970-01-01T00:00:00.000Z',
          g: Buffer.from('g'),
          h: [1, null],
          i: true,
          j: 0.5,
        },
      ],
    );
    assert.equal(
      (await failureOf(pool.query('INSERT INTO inferred (a) VALUES ($1)', [3.5]))).code,
      'ERR_INVALID_PARAM',
    );
    await pool.query('DROP TABLE inferred');
  });

  test("the session's DateStyle, TimeZone and bytea_output do not change a value", async (t) => {
    const pool = db.pool(t, {
      options: {
        DateStyle: 'SQL, DMY',
        TimeZone: 'Asia/Kolkata',
        bytea_output: 'escape',
        IntervalStyle: 'iso_8601',
        extra_float_digits: -5,
      },
    });
    assert.deepStrictEqual(
      await pool.query(
        "SELECT timestamptz '2024-03-01 00:00:00+00' AS a, date '2024-03-01' AS b, $1::timestamptz AS c, $2::date AS d, $3::bytea AS e, 0.1::float8 + 0.2::float8 AS f, $4::timestamptz AS g, $5::timestamp AS h",
        [new Date(0), new Date(0), Buffer.from([0, 200]), new Date(-62_167_219_200_000), new Date(1)],
      ),
      [
        {
          a: '2024-03-01T00:00:00.000Z',
          b: '2024-03-01',
          c: '1970-01-01T00:00:00.000Z',
          d: '1970-01-01',
          e: Buffer.from([0, 200]),
          f: 0.1 + 0.2,
          g: '0000-01-01T00:00:00.000Z',
          h: '1970-01-01T00:00:00.001',
        },
      ],
    );
  });
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

describe('types that only the server can print', () => {
  for (const sql of ['ROW(1, 2)', "'pg_class'::regclass", "'pg_catalog.int4'::regtype", "'a b'::cstring"]) {
    test(`${sql} is the text of the server`, async (t) => {
      const pool = db.pool(t);
      const [row] = await pool.query(
        `SELECT ${sql} AS odd, (${sql})::text AS text, 1::int8 AS big, now() > '2000-01-01' AS b`,
      );
      assert.deepStrictEqual(row, { odd: row.text, text: row.text, big: 1n, b: true });
    });
  }

  test('arrays of types that only the server can print are the text of the server, or arrays of it', async (t) => {
    assert.deepStrictEqual(
      await db
        .pool(t)
        .query(
          "SELECT ARRAY[ROW(1)] AS r, ARRAY['pg_class', NULL]::regclass[] AS c, relacl AS a FROM pg_class WHERE relname = 'pg_type'",
        ),
      [
        {
          r: '{(1)}',
          c: ['pg_class', null],
          a: (await db.sql("SELECT relacl::text[] AS a FROM pg_class WHERE relname = 'pg_type'"))[0].a,
        },
      ],
    );
  });
});

describe('values as the server prints them', () => {
  // type, a random value of it by the server
  const GENERATED = /** @type {[string, string][]} */ ([
    ['numeric', '(random() - 0.5)::numeric * (10::numeric ^ (i % 60 - 30))'],
    ['numeric', 'round(((random() - 0.5) * 1e15)::numeric, i % 12)'],
    ['numeric', '(i * 10000)::numeric / (1 + i % 7)'],
    ['numeric', "('1e' || (i * 7 - 700))::numeric"],
    [
      'interval',
      'make_interval(i % 13 - 6, i % 25 - 12, 0, i % 63 - 31, i % 49 - 24, i % 121 - 60, (random() * 120 - 60)::numeric(9,6)::float8)',
    ],
    ['interval', "(random() * 1e9 - 5e8) * interval '1 second'"],
    ['inet', "('10.' || i % 256 || '.0.' || i % 200 || '/' || i % 33)::inet"],
    [
      'inet',
      "(to_hex(i) || CASE WHEN i % 2 = 0 THEN '::' ELSE '::1:0:0:' END || to_hex(i * 7) || '/' || i % 129)::inet",
    ],
    ['cidr', "network(('10.' || i % 256 || '.0.' || i % 200 || '/' || i % 33)::inet)::cidr"],
    ['macaddr', "(lpad(to_hex(i * 65537), 12, 'a'))::macaddr"],
    ['money', '((random() - 0.5) * 1e12)::numeric::money'],
    ['varbit', '(i * 7919)::bit(17)::varbit'],
    ['point', 'point((random() - 0.5) * 10 ^ (i % 40 - 20), random())'],
    ['box', 'box(point(random(), i), point(i, random()))'],
    ['circle', 'circle(point(random(), i), i)'],
    ['path', "('[(0,0),(' || i || ',' || random() || ')]')::path"],
    ['polygon', "('((0,0),(' || i || ',1),(2,' || random() || '))')::polygon"],
    ['line', 'line(point(random(), i), point(i + 1, random()))'],
    ['int4range', "int4range(i, i + i % 3, (ARRAY['[]','[)','(]','()'])[1 + i % 4])"],
    ['numrange', "numrange(random()::numeric, CASE WHEN i % 5 > 0 THEN i + 1 END, '(]')"],
    ['tsrange', "tsrange(timestamp '2000-01-01' + i * interval '1 hour 1 second', NULL)"],
    ['daterange', "daterange(date '2000-01-01' - i * 5000, date '2000-01-01' + i)"],
    ['tsvector', "to_tsvector('simple', 'word' || i || ' it''s back\\slash ' || md5(i::text))"],
    ['tsquery', "to_tsquery('simple', 'a' || i || ' & !(b | c:*) <-> d')"],
    ['timetz', "(time '00:00' + i * interval '123.456789 seconds')::time AT TIME ZONE 'UTC'"],
    ['uuid', 'md5(i::text)::uuid'],
    ['xid', 'i::text::xid'],
    ['pg_lsn', "('0/0'::pg_lsn + i * 123456789::numeric)"],
    ['tid', "('(' || i || ',' || i % 100 || ')')::tid"],
    ['"char"', '(1 + i % 127)::"char"'],
    ['jsonpath', "('$.a[' || i || '] ? (@ > ' || i || ')')::jsonpath"],
    ['int8', '(random() * 9e18)::int8 * (i % 2 * 2 - 1)'],
    ['time', "time '00:00' + i * interval '123.456789 seconds'"],
  ]);
  for (const [type, expression] of GENERATED) {
    test(`random values of ${type} are the text of the server: ${expression}`, async (t) => {
      const pool = db.pool(t, { types: { int8: 'string' } });
      const rows = await pool.query(
        `SELECT v, format('%s', v) AS t FROM (SELECT (${expression})::${type} AS v FROM generate_series(1, 200) i) s`,
      );
      assert.equal(rows.length, 200);
      for (const { v, t: text } of rows) assert.equal(v, text);
    });
  }

  test('random float4 and float8 are the numbers that the text of the server means', async (t) => {
    const pool = db.pool(t);
    const bits = new DataView(new ArrayBuffer(8));
    const random = () => {
      for (let at = 0; at < 8; at += 4) bits.setUint32(at, Math.random() * 2 ** 32);
      return bits;
    };
    const doubles = range(2_000).map(() => random().getFloat64(0));
    const floats = range(2_000).map(() => random().getFloat32(0));
    const rows = await pool.query(
      'SELECT d, d::text AS dt, f, f::text AS ft FROM unnest($1::float8[], $2::float4[]) AS u(d, f)',
      [doubles, floats],
    );
    rows.forEach((/** @type {any} */ { d, dt, f, ft }, /** @type {number} */ i) => {
      assert.ok(Object.is(d, doubles[i]) && Object.is(d, Number(dt)), dt);
      // The shortest decimal that is this float4, as a number.
      assert.ok(Object.is(f, Number(ft)) && Object.is(Math.fround(f), Math.fround(floats[i])), ft);
    });
    for (let i = 0; i < 200; i++)
      assert.deepStrictEqual(await pool.query('SELECT $1::float8 AS d, $2::float4 AS f', [doubles[i], floats[i]]), [
        { d: doubles[i], f: rows[i].f },
      ]);
  });

  test('random int2, int4, int8, oid and bool are read and sent', async (t) => {
    const pool = db.pool(t);
    const word = () => Math.floor((Math.random() - 0.5) * 2 ** 32);
    for (let i = 0; i < 200; i++) {
      const row = {
        a: word() >> 16,
        b: word(),
        c: BigInt.asIntN(64, BigInt(word()) * BigInt(word())),
        d: word() >>> 0,
        e: i % 2 === 0,
      };
      assert.deepStrictEqual(
        await pool.query(
          'SELECT $1::int2 AS a, $2::int4 AS b, $3::int8 AS c, $4::oid AS d, $5::bool AS e',
          Object.values(row),
        ),
        [row],
      );
    }
  });

  test('timestamps and dates from the first to the last are the text of the server', async (t) => {
    const pool = db.pool(t);
    const rows = await pool.query(`
      SELECT ts, ts AT TIME ZONE 'UTC' AS plain, ts::date AS day, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US BC') AS t
      FROM (SELECT timestamptz '2000-01-01 00:00:00+00' + CASE WHEN i < 0 THEN i * interval '4 years' ELSE i * interval '190 years' END
        + i * interval '1 day 1.000001 seconds' AS ts FROM generate_series(-1500, 1499) i) s`);
    assert.equal(rows.length, 3_000);
    for (const { ts, plain, day, t: text } of rows) {
      const [, y, date, time, micros, era] = /^(\d+)-(\S+) (\S+)\.(\d{6}) (AD|BC)$/.exec(text) ?? [];
      const year = era === 'BC' ? 1 - Number(y) : Number(y);
      const iso =
        year >= 0 && year <= 9999
          ? String(year).padStart(4, '0')
          : `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
      const fraction = micros.endsWith('000') ? micros.slice(0, 3) : micros;
      assert.equal(ts, `${iso}-${date}T${time}.${fraction}Z`);
      assert.equal(plain, `${iso}-${date}T${time}.${fraction}`);
      assert.equal(day, `${iso}-${date}`);
    }
  });

  test('a Date that is sent comes back the same', async (t) => {
    const pool = db.pool(t, { types: { date: 'date' } });
    const dates = range(500).map((i) => new Date(Math.floor(((i - 250) / 250) * 1.9e14) + i));
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::timestamptz[] AS v', [dates]), dates);
    for (const date of dates.slice(0, 100))
      assert.deepStrictEqual(await pool.query('SELECT $1::timestamptz AS v, $1 AS w', [date]), [{ v: date, w: date }]);
  });

  test('text of every character is read and sent', async (t) => {
    const pool = db.pool(t);
    const characters = [
      ...range(0x3000).slice(1),
      ...range(0x400).map((i) => 0x1f300 + i),
      0xffff,
      0xfffe,
      0x10ffff,
      0xd7ff,
      0xe000,
    ].map((code) => String.fromCodePoint(code));
    const all = characters.join('');
    assert.equal(await valueIn(pool, 'SELECT $1::text AS v', [all]), all);
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::text[] AS v', [characters]), characters);
    assert.equal(await valueIn(pool, 'SELECT length($1::text) AS v', [all]), characters.length);
    for (const length of range(140)) {
      for (const character of ['a', 'é', '€', '😀']) {
        const text = character.repeat(length);
        const [row] = await pool.query('SELECT $1::text AS v, $2::text AS w', [text, `${text}|`]);
        assert.ok(row.v === text && row.w === `${text}|`, `${length} times ${character}`);
      }
    }
  });

  test('bytea of all bytes and lengths is read and sent', async (t) => {
    const pool = db.pool(t);
    for (const length of [...range(70), 255, 4_095, 65_536]) {
      const bytes = Buffer.from(range(length).map((i) => (i * 7) % 256));
      assert.deepStrictEqual(await pool.query('SELECT $1::bytea AS v', [bytes]), [{ v: bytes }]);
    }
    const kept = await Promise.all(
      range(100).map((i) => pool.query('SELECT $1::bytea AS v', [Buffer.alloc(1_000, i)])),
    );
    kept.forEach(([{ v }], i) =>
      assert.ok(v.equals(Buffer.alloc(1_000, i)), 'a kept Buffer is not overwritten by later results'),
    );
  });

  test('a JSON document that is sent comes back the same', async (t) => {
    const pool = db.pool(t);
    /** @param {number} depth @returns {any} */
    const document = (depth) => {
      const kind = Math.floor(Math.random() * (depth > 0 ? 8 : 6));
      switch (kind) {
        case 0:
          return Math.random() < 0.5;
        case 1:
          return Math.floor((Math.random() - 0.5) * 2 ** 50);
        case 2:
          return (Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 40 - 20);
        case 3:
          return 'é"\\\n\u2028😀'.slice(0, Math.floor(Math.random() * 6)).replace(/[\ud800-\udfff]/g, '');
        case 4:
          return null;
        case 5:
          return '';
        case 6:
          return range(Math.floor(Math.random() * 5)).map(() => document(depth - 1));
        default:
          return Object.fromEntries(range(Math.floor(Math.random() * 5)).map((i) => [`k${i}é"`, document(depth - 1)]));
      }
    };
    const documents = range(300).map(() => ({ d: document(5) }));
    for (const type of ['json', 'jsonb']) {
      const answers = await Promise.all(documents.map((one) => valueIn(pool, `SELECT $1::${type} AS v`, [one])));
      assert.deepStrictEqual(answers, documents);
      const rows = await pool.query(`SELECT v FROM unnest($1::${type}[]) v`, [documents]);
      assert.deepStrictEqual(
        rows.map((/** @type {any} */ { v }) => v),
        documents,
      );
    }
    const deep = JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`);
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::jsonb AS v', [{ deep }]), { deep });
  });
});

test('the columns of the catalogues are the text of the server', async (t) => {
  const pool = db.pool(t, { types: { int8: 'string', json: 'string' } });
  // A sample of each column of the catalogues: whatever types they have.
  const columns = await pool.query(`
    SELECT c.relname::text AS rel, a.attname::text AS col, t.typname::text AS type FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND t.typname NOT IN ('bool', 'bytea', 'timestamptz', 'float4', 'float8')`);
  const seen = new Set();
  for (const { rel, col, type } of columns) {
    if (seen.has(type)) continue;
    seen.add(type);
    const rows = await pool.query(
      `SELECT "${col}" AS v, format('%s', "${col}") AS t FROM pg_catalog."${rel}" LIMIT 50`,
    );
    for (const { v, t: text } of rows)
      if (!Array.isArray(v)) assert.equal(String(v ?? ''), text, `${rel}.${col} ${type}`);
  }
  assert.ok(seen.size > 15);
});
