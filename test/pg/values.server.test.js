'use strict';

// What a server prints under many settings is parsed as pg parses it, and parameters arrive at the server as those of pg do.

const assert = require('node:assert/strict');
const pg = require('pg');
const { poolOptions } = require('../../exports/pg/connection-parameters.js');
const Result = require('../../exports/pg/result.js');
const TypeOverrides = require('../../exports/pg/type-overrides.js');
const types = require('../../exports/pg/types.js');
const { prepareValue } = require('../../exports/pg/utils.js');
const { poolFor, test, useCluster } = require('../support/helpers.js');
const { shapeOf } = require('./values.support.js');

const db = useCluster({ nodes: 1 });

/** How pg reaches the cluster. */
function login() {
  const { hosts, user, password, database } = /** @type {any} */ (db.options());
  const [host, port] = String(hosts[0]).split(':');
  return { host, port: Number(port), user, password, database };
}

/** @param {import('node:test').TestContext} t */
async function stockClient(t) {
  const client = new pg.Client(login());
  await client.connect();
  t.after(() => client.end());
  return client;
}

/** A session of the core. @param {import('node:test').TestContext} t @returns {Promise<any>} */
async function coreSession(t) {
  const none = () => {};
  const pool = /** @type {any} */ (poolFor(t, poolOptions(login())));
  const handlers = { notice: none, notification: none, parameter: none, lost: none, retired: none };
  const session = await pool[Symbol.for('hyperiondb-client.session')](handlers, {});
  t.after(() => session.close());
  return session;
}

const AS_TEXT = { getTypeParser: () => (/** @type {any} */ text) => text };

const SETTINGS = [
  ["DateStyle = 'ISO, MDY'", "TimeZone = 'UTC'", "IntervalStyle = 'postgres'", "bytea_output = 'hex'"],
  [
    "DateStyle = 'ISO, DMY'",
    "TimeZone = 'Asia/Kolkata'",
    "IntervalStyle = 'postgres_verbose'",
    "bytea_output = 'escape'",
  ],
  [
    "DateStyle = 'SQL, DMY'",
    "TimeZone = 'America/New_York'",
    "IntervalStyle = 'sql_standard'",
    'extra_float_digits = 0',
  ],
  [
    "DateStyle = 'Postgres, MDY'",
    "TimeZone = 'Europe/Berlin'",
    "IntervalStyle = 'iso_8601'",
    'extra_float_digits = -15',
  ],
  ["DateStyle = 'German'", "TimeZone = 'America/St_Johns'", "IntervalStyle = 'postgres'", 'extra_float_digits = 3'],
];

const TIMES = `(VALUES ('2024-02-29 12:34:56.789012'), ('0001-01-01 00:00:00'), ('0044-03-15 12:00:00 BC'), ('4714-11-24 12:00:00 BC'),
  ('1890-06-01 00:00:00.1'), ('9999-12-31 23:59:59.999999'), ('10000-01-01 00:00:00'), ('294276-12-30 23:59:59.999999'), ('infinity'),
  ('-infinity'), ('2024-03-31 02:30:00'), ('1969-12-31 23:59:59.9')) AS v (x)`;
const QUERIES = [
  `SELECT x::date AS d, x::timestamp AS t, x::timestamptz AS z, ARRAY[x::date, NULL] AS da, ARRAY[x::timestamp] AS ta, ARRAY[x::timestamptz] AS za FROM ${TIMES}`,
  `SELECT x::interval, ARRAY[x::interval, NULL] AS a FROM (VALUES ('1 year 2 months -3 days 04:05:06.789'), ('-1 year +2 mons'), ('0'),
    ('-00:00:00.000001'), ('100000:00:00'), ('1 day'), ('-178000000 years'), ('00:00:01.5'), ('1 week ago')) AS v (x)`,
  `SELECT decode(x, 'hex') AS b, ARRAY[decode(x, 'hex'), NULL] AS a FROM (VALUES (''), ('00'), ('5c'), ('5c5c303031'), ('5c01'), ('ff5c275c22'), ('c3a9')) AS v (x)`,
  `SELECT x::float8 AS d, x::float4 AS f, x::numeric AS n, ARRAY[x::float8, NULL] AS da, ARRAY[x::float4] AS fa, ARRAY[x::numeric] AS na
    FROM (VALUES ('NaN'), ('Infinity'), ('-Infinity'), ('0.1'), ('-0'), ('1e30'), ('123456789.123456789'), ('1e-30')) AS v (x)`,
  `SELECT 1::int2, -2::int4, 9223372036854775807::int8, 4294967295::oid, '{-1,NULL,3}'::int2[], '{{1,2},{3,4}}'::int4[], '[-1:0]={1,2}'::int8[], '{1}'::oid[]`,
  `SELECT x::text[] AS t, x::varchar[] AS v, x::bpchar[] AS c FROM (VALUES ('{a,"b c",NULL,"NULL","",null,"\\\\","\\"","{}",","}'), ('{}'),
    ('[2:3][5:6]={{a,b},{c,d}}'), (E'{"\\t\\n",é,😀}')) AS v (x)`,
  `SELECT true, ARRAY[true, NULL, false], '(1.5,-2)'::point, ARRAY['(1,2)'::point, 'NaN,Infinity'], '<(1,2),3.5>'::circle, '{"a": [1, "x"]}'::json,
    ' [1] '::jsonb, ARRAY['{"a":"q\\"u"}'::json, NULL, 'null'], ARRAY['"NULL"'::jsonb, '{}'], '((1,2),(3,4))'::box, ARRAY['((1,2),(3,4))'::box]`,
  `SELECT x::json AS j, x::jsonb AS b FROM (VALUES ('{"__proto__": 1, "a": {"constructor": [null, true]}}'), ('[1e308, -0, 12345678901234567890, 0.1]'),
    ('"é😀\\n\\"\\\\ \\u00e9"'), ('null'), ('  {} '), ('{"2": 1, "1": 2, "a": 3, "a": 4}')) AS v (x)`,
  `SELECT '10.0.0.0/8'::cidr, ARRAY['::1/128'::cidr], ARRAY['10.0.0.1'::inet], ARRAY['08:00:2b:01:02:03'::macaddr], ARRAY[1.5::money], ARRAY['12:00'::time],
    ARRAY['12:00+01'::timetz], ARRAY[numrange(1, 2), 'empty', NULL], ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid], ARRAY['x'::"char"], ARRAY['x'::name], '12:00'::time, 'a=>b'`,
];

test('what a server prints, under many settings, is parsed as pg parses it', async (t) => {
  const client = await stockClient(t);
  let values = 0;
  for (const settings of SETTINGS) {
    for (const setting of settings) await client.query(`SET ${setting}`);
    for (const text of QUERIES) {
      const { rows, fields } = await client.query({ text, rowMode: 'array', types: AS_TEXT });
      for (const value of rows.flatMap((row) => row.map((one, index) => ({ one, oid: fields[index].dataTypeID })))) {
        if (value.one === null) continue;
        const [ours, theirs] = [types, pg.types].map((of) => of.getTypeParser(value.oid, 'text')(value.one));
        assert.deepStrictEqual(shapeOf(ours), shapeOf(theirs), `${settings}: ${value.oid} ${value.one}`);
        values++;
      }
    }
  }
  assert.ok(values > 800, `${values}`);
});

test('intervals and dates that were read arrive at the server as they were', async (t) => {
  const client = await stockClient(t);
  await client.query("SET TimeZone = 'Asia/Kolkata'");
  const read = async (/** @type {string} */ sql, /** @type {number} */ oid, /** @type {unknown[]} */ values) => {
    const { rows } = await client.query({ text: sql, values, rowMode: 'array', types: AS_TEXT });
    return types.getTypeParser(oid)(rows[0][0]);
  };
  for (const text of ['1 year 2 mons -3 days -04:05:06.789', '0', '00:00:00.5', '-00:00:01.5', '-1 mons']) {
    const interval = await read('SELECT $1::interval', 1186, [text]);
    assert.deepEqual(await read('SELECT $1::interval', 1186, [prepareValue(interval)]), interval);
  }
  for (const time of [0, 1_700_000_000_123, -62_135_596_800_000, -65_000_000_000_000, 253_402_300_800_000]) {
    const date = await read('SELECT $1::timestamptz', 1184, [prepareValue(new Date(time))]);
    assert.equal(date.getTime(), time);
  }
  const nested = [
    ['a"b', '\\', null],
    ['', 'NULL', ',{}'],
  ];
  assert.deepEqual(await read('SELECT $1::text[]', 1009, [prepareValue(nested)]), nested);
});

test('the values that the core makes of results are those of pg, under many settings', async (t) => {
  const [client, session] = [await stockClient(t), await coreSession(t)];
  const known = types.coreTypes();
  for (const settings of SETTINGS) {
    for (const setting of settings) {
      await client.query(`SET ${setting}`);
      await session.query({ text: `SET ${setting}` }, { types: known.types });
    }
    for (const text of QUERIES) {
      for (const rowMode of [undefined, 'array']) {
        for (const values of [undefined, []]) {
          const theirs = await client.query(/** @type {any} */ ({ text, values, rowMode }));
          const flight = values === undefined ? { text } : { text, values };
          const [raw] = await session.query(flight, { types: known.types, rowMode });
          const ours = Result.fill(raw, { rowMode, parse: known.parse });
          const where = `${settings}: ${text}`;
          assert.deepStrictEqual(rowsOf(ours), rowsOf(theirs), where);
          assert.deepStrictEqual(ours.fields.map(plain), theirs.fields.map(plain), where);
          assert.deepStrictEqual(
            [ours.command, ours.rowCount, ours.oid],
            [theirs.command, theirs.rowCount, theirs.oid],
          );
        }
      }
    }
  }
});

/** @param {object} field */
const plain = (field) => ({ ...field });

/** @param {any} result */
const rowsOf = ({ rows }) =>
  rows.map((/** @type {any} */ row) =>
    Array.isArray(row) ? shapeOf(row) : Object.entries(row).map(([name, value]) => [name, shapeOf(value)]),
  );

test('a parser of the process and one of a query get the texts of the server from the core', async (t) => {
  const session = await coreSession(t);
  const marked = (/** @type {string} */ mark) => (/** @type {string} */ text) => `${mark}${text}`;
  const overrides = new TypeOverrides();
  overrides.setTypeParser(23, marked('own '));
  overrides.setTypeParser(1082, marked('own '));
  const foreign = { getTypeParser: (/** @type {number} */ oid) => marked(`${oid} `) };
  const text =
    "SELECT 1::int4 AS i, '2024-01-02'::date AS d, 2::int8 AS b, '{\"a\":1}'::json AS j, NULL::int4 AS n, decode('01', 'hex') AS y";
  const read = async (/** @type {any} */ source) => {
    const known = types.coreTypes(source);
    const [raw] = await session.query({ text, values: [] }, { types: known.types });
    return shapeOf(Object.values(Result.fill(raw, { parse: known.parse, types: source }).rows[0]));
  };
  assert.deepEqual(await read(overrides), ['own 1', 'own 2024-01-02', '2', { a: 1 }, null, { buffer: '01' }]);
  assert.deepEqual(await read(foreign), ['23 1', '1082 2024-01-02', '20 2', '114 {"a":1}', null, '17 \\x01']);
  const before = types.getTypeParser(20);
  types.setTypeParser(20, BigInt);
  t.after(() => types.setTypeParser(20, before));
  assert.equal((await read(undefined))[2], 2n);
});
