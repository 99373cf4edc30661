'use strict';

// What the values of results are: https://node-postgres.com/features/types, pg-types, and pg's own
// test/integration/client/{type-coercion,json-type-parsing,huge-numeric,timezone}-tests.js.

process.env.TZ = 'America/New_York';

const assert = require('node:assert/strict');
const { fact } = require('../support.js');

/**
 * The value of an expression, by the simple and by the extended protocol, which must agree.
 * @param {any} face
 * @param {string} expression
 */
async function readValue(face, expression) {
  const client = await face.client();
  const simple = (await client.query(`SELECT ${expression} AS value`)).rows[0].value;
  const extended = (await client.query(`SELECT ${expression} AS value WHERE $1`, [true])).rows[0].value;
  const array = (await client.query({ text: `SELECT ${expression}`, rowMode: 'array' })).rows[0][0];
  assert.deepEqual(simple, extended);
  assert.deepEqual(simple, array);
  await client.end();
  return simple;
}

/** @param {any} face @param {[string, unknown][]} expected */
async function areValues(face, expected) {
  for (const [expression, value] of expected) {
    const found = await readValue(face, expression);
    assert.deepStrictEqual(found, value, `${expression}: ${found}`);
  }
}

/** A fact of expressions and their values. @param {string} title @param {[string, unknown][]} expected */
const values = (title, expected) => fact(`value: ${title}`, (_t, face) => areValues(face, expected));

values('NULL is null', [
  ['NULL', null],
  ['NULL::int', null],
  ['NULL::text[]', null],
  ['NULL::json', null],
]);

values('boolean', [
  ['true', true],
  ['false', false],
]);

values('smallint, integer and oid are numbers', [
  ['(-32768)::int2', -32768],
  ['32767::int2', 32767],
  ['(-2147483648)::int4', -2147483648],
  ['2147483647::int4', 2147483647],
  ['4294967295::oid', 4294967295],
]);

values('bigint is a string', [
  ['9223372036854775807::int8', '9223372036854775807'],
  ['(-9223372036854775808)::int8', '-9223372036854775808'],
  ['1::int8', '1'],
  ['count(*)', '1'],
]);

values('real and double precision are numbers', [
  ['1.5::float4', 1.5],
  ['0.1::float4', 0.1],
  ['0.1::float8', 0.1],
  ['1e300::float8', 1e300],
  ['5e-324::float8', 5e-324],
  ["'NaN'::float8", Number.NaN],
  ["'Infinity'::float8", Number.POSITIVE_INFINITY],
  ["'-Infinity'::float4", Number.NEGATIVE_INFINITY],
  ["'-0'::float8", -0],
]);

values('numeric is a string with all its digits', [
  ['1.50::numeric', '1.50'],
  ["'NaN'::numeric", 'NaN'],
  ["'Infinity'::numeric", 'Infinity'],
  [
    "'-3141592653589793238462643383279502.1618033988749894848204586834365638'::numeric",
    '-3141592653589793238462643383279502.1618033988749894848204586834365638',
  ],
]);

values('text, varchar, char and name are strings', [
  ["''::text", ''],
  ["'a ü€😀'::text", 'a ü€😀'],
  ["'abc'::varchar(2)", 'ab'],
  ["'a'::char(3)", 'a  '],
  ["'a'::name", 'a'],
  ['\'a\'::"char"', 'a'],
]);

values('bytea is a Buffer', [
  ["'\\x0001feff'::bytea", Buffer.from([0, 1, 254, 255])],
  ["'\\x'::bytea", Buffer.alloc(0)],
]);

fact('value: bytea in the format escape is a Buffer, too', async (_t, face) => {
  const client = await face.client();
  await client.query('SET bytea_output = escape');
  const { rows } = await client.query("SELECT '\\x00015c41ff'::bytea AS bytes");
  assert.deepEqual(rows[0].bytes, Buffer.from([0, 1, 0x5c, 0x41, 255]));
});

values('json and jsonb are parsed', [
  [`'{"a": [1, "b", null, {"c": true}]}'::json`, { a: [1, 'b', null, { c: true }] }],
  [`'{"a": 1}'::jsonb`, { a: 1 }],
  ["'[1, 2]'::jsonb", [1, 2]],
  ["'1'::json", 1],
  [`'"text"'::json`, 'text'],
  ["'null'::json", null],
  ["'true'::jsonb", true],
  ["'12345678901234567890'::json", 12345678901234567000],
]);

values('date is a Date at midnight of local time', [
  ["'2024-02-29'::date", new Date(2024, 1, 29)],
  ["'1900-01-01'::date", new Date(1900, 0, 1)],
]);

values('timestamp is a Date of local time', [
  ["'2024-07-01 12:34:56.789'::timestamp", new Date(2024, 6, 1, 12, 34, 56, 789)],
  ["'2024-01-01 00:00:00'::timestamp", new Date(2024, 0, 1)],
]);

values('timestamptz is a Date', [
  ["'2024-07-01 12:34:56.789+02'::timestamptz", new Date('2024-07-01T10:34:56.789Z')],
  ["'1969-12-31 23:59:59.999Z'::timestamptz", new Date(-1)],
]);

values('microseconds are cut off', [
  ["'2024-07-01 12:34:56.789999Z'::timestamptz", new Date('2024-07-01T12:34:56.789Z')],
]);

values('infinity of a date is a number', [
  ["'infinity'::timestamptz", Number.POSITIVE_INFINITY],
  ["'-infinity'::timestamp", Number.NEGATIVE_INFINITY],
  ["'infinity'::date", Number.POSITIVE_INFINITY],
]);

fact('value: the extremes of timestamptz', async (_t, face) => {
  const client = await face.client();
  await client.query('SET TIMEZONE TO GMT');
  const at = async (/** @type {string} */ text) =>
    (await client.query('SELECT $1::timestamptz AS at', [text])).rows[0].at;
  assert.equal((await at('275760-09-13 00:00:00 GMT')).getTime(), 8.64e15);
  assert.equal((await at('4713-12-31 12:31:59 BC GMT')).getFullYear(), -4712);
  assert.equal(Number.isNaN((await at('275760-09-13 00:00:00 -15:00')).getTime()), true);
});

fact('value: timestamptz is the same Date in every zone of the session', async (_t, face) => {
  const client = await face.client();
  for (const zone of ['UTC', 'Asia/Kolkata', 'America/St_Johns', 'Australia/Lord_Howe']) {
    await client.query(`SET TIME ZONE '${zone}'`);
    const { rows } = await client.query(
      "SELECT '2024-07-01T12:00:00Z'::timestamptz AS at, '1850-01-01T00:00:00Z'::timestamptz AS old",
    );
    assert.deepEqual([zone, rows[0].at], [zone, new Date('2024-07-01T12:00:00Z')]);
    assert.deepEqual([zone, rows[0].old], [zone, new Date('1850-01-01T00:00:00Z')]);
  }
});

fact('value: a Date goes and comes back', async (_t, face) => {
  const client = await face.client();
  const now = new Date();
  const { rows } = await client.query('SELECT $1::timestamptz AS tz, $2::timestamp AS local', [now, now]);
  assert.deepEqual(rows, [{ tz: now, local: now }]);
});

values('time, timetz and uuid are strings', [
  ["'13:12:12.321'::time", '13:12:12.321'],
  ["'13:11:12.1234-05:30'::timetz", '13:11:12.1234-05:30'],
  ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
]);

fact('value: interval is an object with the parts that are not 0', async (_t, face) => {
  const interval = await readValue(face, "'1 year 2 months 3 days 04:05:06.007'::interval");
  assert.deepEqual(
    { ...interval },
    { years: 1, months: 2, days: 3, hours: 4, minutes: 5, seconds: 6, milliseconds: 7 },
  );
  assert.deepEqual({ ...(await readValue(face, "'-1 hour'::interval")) }, { hours: -1 });
  assert.deepEqual({ ...(await readValue(face, "'0'::interval")) }, {});
});

fact('value: interval has toPostgres(), toISO() and toISOString(), and goes back', async (_t, face) => {
  const client = await face.client();
  const text = '1 year 2 months 3 days 04:05:06.007';
  const { interval } = (await client.query(`SELECT '${text}'::interval AS interval`)).rows[0];
  assert.equal(
    interval.toPostgres(),
    '7.006 seconds 5 minutes 4 hours 3 days 2 months 1 years'.replace('7.006', '6.007'),
  );
  assert.equal(interval.toISO(), 'P1Y2M3DT4H5M6.007S');
  assert.equal(interval.toISOString(), 'P1Y2M3DT4H5M6.007S');
  const { rows } = await client.query(`SELECT $1::interval = '${text}'::interval AS same`, [interval]);
  assert.equal(rows[0].same, true);
});

values('point and circle are objects', [
  ["'(1.5,-2)'::point", { x: 1.5, y: -2 }],
  ["'<(1,2),3.5>'::circle", { x: 1, y: 2, radius: 3.5 }],
]);

values('other types are the text of the server', [
  ["'192.168.0.0/16'::cidr", '192.168.0.0/16'],
  ["'10.0.0.1'::inet", '10.0.0.1'],
  ["'08:00:2b:01:02:03'::macaddr", '08:00:2b:01:02:03'],
  ["'$1,234.50'::money", '$1,234.50'],
  ["'101'::bit(3)", '101'],
  ["'1 & 2'::tsquery", "'1' & '2'"],
  ["'<a/>'::xml", '<a/>'],
  ["'[1,5)'::int4range", '[1,5)'],
  ["'(1,2),(3,4)'::box", '(3,4),(1,2)'],
  ["ROW(1, 'a b')", '(1,"a b")'],
  ["'pg_class'::regclass", 'pg_class'],
  ["'$.a'::jsonpath", '$."a"'],
]);

values('void is an empty string', [['pg_advisory_unlock_all()', '']]);

values('arrays of numbers, texts and booleans', [
  ['ARRAY[1, NULL, 3]', [1, null, 3]],
  ['ARRAY[1, 2]::int2[]', [1, 2]],
  ['ARRAY[1, 2]::int8[]', ['1', '2']],
  ['ARRAY[1.5, 2]::float8[]', [1.5, 2]],
  ['ARRAY[1.5, 2]::float4[]', [1.5, 2]],
  ['ARRAY[true, false, NULL]', [true, false, null]],
  ["ARRAY['a', 'b,c', NULL, 'd\"e', '', 'NULL']::text[]", ['a', 'b,c', null, 'd"e', '', 'NULL']],
  ["ARRAY['a']::varchar[]", ['a']],
  ["'{}'::int[]", []],
  ["'{}'::text[]", []],
]);

values('numeric[] is an array of numbers', [['ARRAY[1.50, 2]::numeric[]', [1.5, 2]]]);

values('arrays of arrays', [
  [
    'ARRAY[[1, 2], [3, 4]]',
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["ARRAY[['a'], ['b']]", [['a'], ['b']]],
  ["'[0:1]={1,2}'::int[]", [1, 2]],
]);

values('arrays of json, bytea, uuid, dates and points', [
  [`ARRAY['{"a":1}', '[2]']::json[]`, [{ a: 1 }, [2]]],
  [`ARRAY['{"a":1}']::jsonb[]`, [{ a: 1 }]],
  ["ARRAY['\\x00ff']::bytea[]", [Buffer.from([0, 255])]],
  ["ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']::uuid[]", ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']],
  ["ARRAY['2024-02-29']::date[]", [new Date(2024, 1, 29)]],
  ["ARRAY['2024-07-01T12:00:00Z']::timestamptz[]", [new Date('2024-07-01T12:00:00Z')]],
  ["ARRAY['2024-07-01 12:00:00']::timestamp[]", [new Date(2024, 6, 1, 12)]],
  ["ARRAY['(1,2)']::point[]", [{ x: 1, y: 2 }]],
  ["ARRAY['10.0.0.1']::inet[]", ['10.0.0.1']],
  ["ARRAY['10:00']::time[]", ['10:00:00']],
]);

fact('value: an array of intervals', async (_t, face) => {
  const found = await readValue(face, "ARRAY['1 day', '2 hours']::interval[]");
  assert.deepEqual(
    found.map((/** @type {object} */ interval) => ({ ...interval })),
    [{ days: 1 }, { hours: 2 }],
  );
});

fact('value: enums, domains and arrays of enums', async (_t, face) => {
  const client = await face.client();
  await client.query("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok')");
  await client.query('CREATE DOMAIN pg_temp.age AS int');
  const { rows } = await client.query(
    "SELECT 'ok'::pg_temp.mood AS mood, 42::pg_temp.age AS age, ARRAY['sad', 'ok']::pg_temp.mood[] AS moods",
  );
  assert.deepEqual(rows, [{ mood: 'ok', age: 42, moods: '{sad,ok}' }]);
});

fact('value: a table of all kinds goes and comes back', async (_t, face) => {
  const client = await face.client();
  await client.query(
    'CREATE TEMP TABLE kinds (a int, b bigint, c numeric, d text, e boolean, f jsonb, g timestamptz, h bytea, i int[], j float8)',
  );
  const values = [1, '2', '3.50', 'vier', true, { five: [5] }, new Date(6), Buffer.from([7]), [8, null], 9.5];
  const { rows } = await client.query({
    text: 'INSERT INTO kinds VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *',
    values,
    rowMode: 'array',
  });
  assert.deepStrictEqual(rows, [values]);
});
