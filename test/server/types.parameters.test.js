'use strict';

// What JavaScript may send as a parameter of each type, what is refused, and the error.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const vm = require('node:vm');
const { endings, test, failureOf, useCluster } = require('../support/helpers');
const { shown, valueIn } = require('./types.values');

const db = useCluster({ nodes: 1 });

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

  // JavaScript, parameter type, the name of JavaScript's type in the error
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

  test('parameters: each has the type that the server infers from the statement', async (t) => {
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
    await db.sql(`ALTER ROLE ${db.cluster.user} SET DateStyle = 'SQL, DMY'`);
    t.after(() => db.sql(`ALTER ROLE ${db.cluster.user} RESET DateStyle`));
    const pool = db.pool(t, {
      options: {
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
