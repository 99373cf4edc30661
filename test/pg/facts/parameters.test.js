'use strict';

// What values become: https://node-postgres.com/features/queries#parameterized-query, and pg's own
// test/integration/client/{type-coercion,array,api,timezone}-tests.js.

process.env.TZ = 'America/New_York';

const assert = require('node:assert/strict');
const { failureOf } = require('../../support/helpers.js');
const { fact } = require('../support.js');

/**
 * What the server reads of a value that is cast to a type, as its own text.
 * @param {any} face
 * @param {string} type
 * @param {unknown} value
 */
async function textOf(face, type, value) {
  const client = await face.client();
  const { rows } = await client.query(`SELECT $1::${type}::text AS text`, [value]);
  await client.end();
  return rows[0].text;
}

fact('parameter: null and undefined are NULL', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query('SELECT $1::int AS a, $2::text AS b', [null, undefined]);
  assert.deepEqual(rows, [{ a: null, b: null }]);
});

fact('parameter: a string goes as it is', async (_t, face) => {
  for (const text of ['', ' ', "it's", '\\', 'ü€😀', 'a\nb\tc', '$1', '{}']) {
    assert.equal(await textOf(face, 'text', text), text);
  }
});

fact('parameter: a string is good for every type', async (_t, face) => {
  assert.equal(await textOf(face, 'int', '42'), '42');
  assert.equal(await textOf(face, 'numeric', '1.50'), '1.50');
  assert.equal(await textOf(face, 'boolean', 'yes'), 'true');
  assert.equal(await textOf(face, 'jsonb', '{"a":1}'), '{"a": 1}');
  assert.equal(await textOf(face, 'int[]', '{1,2}'), '{1,2}');
  assert.equal(await textOf(face, 'interval', '1 day'), '1 day');
});

fact('parameter: numbers', async (_t, face) => {
  assert.equal(await textOf(face, 'int', 42), '42');
  assert.equal(await textOf(face, 'float8', 0.1), '0.1');
  assert.equal(await textOf(face, 'float8', 1e300), '1e+300');
  assert.equal(await textOf(face, 'float8', Number.NaN), 'NaN');
  assert.equal(await textOf(face, 'float8', Number.POSITIVE_INFINITY), 'Infinity');
  assert.equal(await textOf(face, 'numeric', 12.5), '12.5');
  assert.equal(await textOf(face, 'bigint', Number.MAX_SAFE_INTEGER), '9007199254740991');
});

fact('parameter: -0 is 0', async (_t, face) => {
  assert.equal(await textOf(face, 'float8', -0), '0');
});

fact('parameter: a number for text is its digits', async (_t, face) => {
  assert.equal(await textOf(face, 'text', 42), '42');
  assert.equal(await textOf(face, 'text', 1.5), '1.5');
});

fact('parameter: a bigint', async (_t, face) => {
  assert.equal(await textOf(face, 'bigint', 9223372036854775807n), '9223372036854775807');
  assert.equal(await textOf(face, 'numeric', 123456789012345678901234567890n), '123456789012345678901234567890');
  assert.equal(await textOf(face, 'text', 1n), '1');
});

fact('parameter: booleans', async (_t, face) => {
  assert.equal(await textOf(face, 'boolean', true), 'true');
  assert.equal(await textOf(face, 'boolean', false), 'false');
  assert.equal(await textOf(face, 'text', true), 'true');
});

fact('parameter: a Date goes with the local offset', async (_t, face) => {
  const date = new Date(Date.UTC(2024, 6, 1, 12, 34, 56, 789));
  assert.equal(await textOf(face, 'text', date), '2024-07-01T08:34:56.789-04:00');
  const client = await face.client();
  const { rows } = await client.query('SELECT $1::timestamptz AS at', [date]);
  assert.deepEqual(rows[0].at, date);
});

fact('parameter: a Date for timestamp and date is local time', async (_t, face) => {
  const date = new Date(2024, 0, 2, 3, 4, 5, 6);
  assert.equal(await textOf(face, 'timestamp', date), '2024-01-02 03:04:05.006');
  assert.equal(await textOf(face, 'date', date), '2024-01-02');
});

fact('parameter: a Date before Christ', async (_t, face) => {
  const date = new Date(0);
  date.setFullYear(-43, 2, 15);
  date.setHours(12, 0, 0, 0);
  assert.match(await textOf(face, 'text', date), /^0044-03-15T12:00:00\.000-0[45]:\d\d BC$/);
});

fact('parameter: a Date of a year with one digit', async (_t, face) => {
  const date = new Date(2000, 0, 1);
  date.setFullYear(7);
  assert.match(await textOf(face, 'text', date), /^0007-01-01T/);
});

fact('parameter: an invalid Date is refused by the server', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::timestamptz', [new Date(Number.NaN)]));
  assert.match(error.message, /NaN-NaN-NaN/);
});

fact('parameter: defaults.parseInputDatesAsUTC sends Dates as UTC', async (_t, face) => {
  const date = new Date(Date.UTC(2024, 6, 1, 12, 34, 56, 789));
  face.pg.defaults.parseInputDatesAsUTC = true;
  try {
    assert.equal(await textOf(face, 'text', date), '2024-07-01T12:34:56.789+00:00');
  } finally {
    face.pg.defaults.parseInputDatesAsUTC = false;
  }
});

fact('parameter: a Buffer is bytea', async (_t, face) => {
  const bytes = Buffer.from([0, 1, 2, 253, 254, 255]);
  assert.equal(await textOf(face, 'bytea', bytes), '\\x000102fdfeff');
  assert.equal(await textOf(face, 'bytea', Buffer.alloc(0)), '\\x');
});

fact('parameter: a typed array and a DataView are their bytes', async (_t, face) => {
  assert.equal(await textOf(face, 'bytea', new Uint8Array([1, 2, 3]).subarray(1)), '\\x0203');
  assert.equal(await textOf(face, 'bytea', new Uint16Array([0x0201])), '\\x0102');
  assert.equal(await textOf(face, 'bytea', new DataView(new Uint8Array([9, 8, 7, 6]).buffer, 1, 2)), '\\x0807');
});

fact('parameter: a Buffer for text is read by the server as it is, in binary', async (_t, face) => {
  assert.equal(await textOf(face, 'text', Buffer.from('abc')), 'abc');
  const client = await face.client();
  const { rows } = await client.query('SELECT $1::int AS n', [Buffer.from([0, 0, 1, 0])]);
  assert.equal(rows[0].n, 256);
});

fact('parameter: an object is JSON', async (_t, face) => {
  assert.equal(await textOf(face, 'json', { a: [1, 'b', null], c: { d: true } }), '{"a":[1,"b",null],"c":{"d":true}}');
  assert.equal(await textOf(face, 'jsonb', {}), '{}');
});

fact('parameter: toJSON of an object counts', async (_t, face) => {
  const value = { toJSON: () => ({ mine: 1 }) };
  assert.equal(await textOf(face, 'json', value), '{"mine":1}');
});

fact('parameter: a Map, a Set and a RegExp are what JSON makes of them', async (_t, face) => {
  assert.equal(await textOf(face, 'json', new Map([[1, 2]])), '{}');
  assert.equal(await textOf(face, 'json', new Set([1])), '{}');
  assert.equal(await textOf(face, 'json', /x/), '{}');
});

fact('parameter: an array is an array of the server, not JSON', async (_t, face) => {
  assert.equal(await textOf(face, 'int[]', [1, 2, 3]), '{1,2,3}');
  assert.equal(await textOf(face, 'int[]', []), '{}');
  const client = await face.client();
  assert.equal((await failureOf(client.query('SELECT $1::json', [['a', 'b']]))).code, '22P02');
});

fact('parameter: an array of texts with quotes, commas, braces and backslashes', async (_t, face) => {
  const texts = ['a"b', "it's", 'a,b', '{}', '\\', '', 'NULL', ' x ', 'ü😀', 'new\nline'];
  const client = await face.client();
  const { rows } = await client.query('SELECT $1::text[] AS texts', [texts]);
  assert.deepEqual(rows[0].texts, texts);
});

fact('parameter: null and undefined in an array are NULL', async (_t, face) => {
  assert.equal(await textOf(face, 'int[]', [1, null, undefined, 4]), '{1,NULL,NULL,4}');
});

fact('parameter: arrays in arrays', async (_t, face) => {
  assert.equal(
    await textOf(face, 'int[]', [
      [1, 2],
      [3, 4],
    ]),
    '{{1,2},{3,4}}',
  );
});

fact('parameter: booleans, Dates, Buffers and objects in an array', async (_t, face) => {
  assert.equal(await textOf(face, 'boolean[]', [true, false]), '{t,f}');
  assert.equal(await textOf(face, 'bytea[]', [Buffer.from([1, 255])]), '{"\\\\x01ff"}');
  assert.equal(await textOf(face, 'json[]', [{ a: 1 }]), '{"{\\"a\\":1}"}');
  assert.equal(await textOf(face, 'date[]', [new Date(2024, 0, 2)]), '{2024-01-02}');
});

fact('parameter: ANY of an array, of numbers and of texts', async (_t, face) => {
  const client = await face.client();
  const numbers = await client.query('SELECT n FROM generate_series(1, 5) AS n WHERE n = ANY($1)', [[2, 4]]);
  assert.deepEqual(numbers.rows, [{ n: 2 }, { n: 4 }]);
  const texts = await client.query("SELECT 'a' = ANY($1) AS found, 'c' = ANY($1) AS missing", [['a', 'b']]);
  assert.deepEqual(texts.rows, [{ found: true, missing: false }]);
});

fact('parameter: toPostgres() of an object counts', async (_t, face) => {
  assert.equal(await textOf(face, 'text', { toPostgres: () => 'mine' }), 'mine');
  assert.equal(await textOf(face, 'int', { toPostgres: () => 42 }), '42');
  assert.equal(await textOf(face, 'text', { toPostgres: () => null }), null);
});

fact('parameter: toPostgres() gets a function for the values in it', async (_t, face) => {
  const range = {
    toPostgres: (/** @type {(value: unknown) => unknown} */ prepareValue) =>
      `[${prepareValue(1)},${prepareValue({ toPostgres: () => 9 })})`,
  };
  assert.equal(await textOf(face, 'int4range', range), '[1,9)');
});

fact('parameter: toPostgres() in an array and in a prototype', async (_t, face) => {
  class Id {
    toPostgres() {
      return 7;
    }
  }
  assert.equal(await textOf(face, 'int[]', [new Id(), new Id()]), '{7,7}');
});

fact('parameter: toPostgres() that gives itself is an error', async (_t, face) => {
  const circle = {
    toPostgres() {
      return circle;
    },
  };
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::text', [circle]));
  assert.match(error.message, /^circular reference detected while preparing/);
});

fact('parameter: toPostgres() that throws rejects with its error, and the client goes on', async (_t, face) => {
  const mine = new Error('mine');
  const client = await face.client();
  const value = {
    toPostgres() {
      throw mine;
    },
  };
  assert.equal(await failureOf(client.query('SELECT $1::text', [value])), mine);
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('parameter: an object that JSON refuses rejects with a TypeError', async (_t, face) => {
  /** @type {any} */
  const circle = {};
  circle.self = circle;
  const client = await face.client();
  assert.ok((await failureOf(client.query('SELECT $1::json', [circle]))) instanceof TypeError);
});

fact('parameter: a symbol and a function are what toString() says', async (_t, face) => {
  assert.equal(await textOf(face, 'text', Symbol('s')), 'Symbol(s)');
  assert.equal(await textOf(face, 'text', String), 'function String() { [native code] }');
});

fact('parameter: boxed values are JSON', async (_t, face) => {
  assert.equal(await textOf(face, 'text', new String('a')), '"a"');
  assert.equal(await textOf(face, 'text', new Number(1)), '1');
});

fact('parameter: the same one twice, and in another order', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query('SELECT $2::text AS a, $1::text AS b, $2::text AS c', ['x', 'y']);
  assert.deepEqual(rows, [{ a: 'y', b: 'x', c: 'y' }]);
});

fact('parameter: the array of values is not changed', async (_t, face) => {
  const client = await face.client();
  const values = Object.freeze([1, new Date(0), { a: 1 }]);
  await client.query('SELECT $1::int, $2::timestamptz, $3::json', values);
  assert.deepEqual(values, [1, new Date(0), { a: 1 }]);
});

fact('parameter: three hundred of them', async (_t, face) => {
  const client = await face.client();
  const values = Array.from({ length: 300 }, (_, i) => i);
  const { rows } = await client.query(`SELECT ${values.map((i) => `$${i + 1}::int`).join(' + ')} AS sum`, values);
  assert.equal(rows[0].sum, (299 * 300) / 2);
});

fact('prepareValue: pg.utils has it', (_t, face) => {
  const { prepareValue } = face.pg.utils;
  assert.deepEqual(
    [null, undefined, 1, 'a', true, { a: 1 }, [1, [2, null]]].map((value) => prepareValue(value)),
    [null, null, '1', 'a', 'true', '{"a":1}', '{"1",{"2",NULL}}'],
  );
});
