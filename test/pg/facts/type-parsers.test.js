'use strict';

// Parsers of one's own: https://node-postgres.com/features/queries#types, pg-types, and pg's own
// test/integration/client/{custom-types,parse-int-8,binary-results}-tests.js and its unit tests of TypeOverrides.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');

/**
 * Runs a body while a global parser is another one.
 * @param {any} types
 * @param {number} oid
 * @param {Function} parser
 * @param {() => Promise<void>} body
 */
async function withParser(types, oid, parser, body) {
  const before = types.getTypeParser(oid, 'text');
  types.setTypeParser(oid, parser);
  try {
    await body();
  } finally {
    types.setTypeParser(oid, before);
  }
}

/** @param {any} client @param {unknown} expected */
async function readsBigint(client, expected) {
  const text = 'SELECT 42::int8 AS n';
  assert.deepEqual((await client.query(text)).rows, [{ n: expected }]);
  assert.deepEqual((await client.query('SELECT $1::int8 AS n', [42])).rows, [{ n: expected }]);
  assert.deepEqual((await client.query({ name: 'bigint', text })).rows, [{ n: expected }]);
  assert.deepEqual((await client.query({ text, rowMode: 'array' })).rows, [[expected]]);
}

fact('types: setTypeParser holds for all clients, also for those that are connected', async (_t, face) => {
  const client = await face.client();
  await readsBigint(client, '42');
  await withParser(
    face.pg.types,
    20,
    (/** @type {string} */ text) => BigInt(text),
    () => readsBigint(client, 42n),
  );
  await readsBigint(client, '42');
});

fact('types: setTypeParser takes a format', async (_t, face) => {
  const client = await face.client();
  const { types } = face.pg;
  const before = types.getTypeParser(20, 'text');
  types.setTypeParser(20, 'text', Number);
  await readsBigint(client, 42);
  types.setTypeParser(20, 'text', before);
  await readsBigint(client, '42');
});

fact('types: a parser gets the text of the server', async (_t, face) => {
  const client = await face.client();
  await client.query("SET TIME ZONE 'UTC'");
  for (const [oid, expression, text] of [
    [16, 'true', 't'],
    [23, '42', '42'],
    [701, '0.1::float8', '0.1'],
    [17, "'\\x00ff'::bytea", '\\x00ff'],
    [1184, "'2024-07-01T12:00:00.123456Z'::timestamptz", '2024-07-01 12:00:00.123456+00'],
    [1082, "'2024-07-01'::date", '2024-07-01'],
    [114, `'{"a": 1}'::json`, '{"a": 1}'],
    [1007, 'ARRAY[1, 2]', '{1,2}'],
    [25, "'text'::text", 'text'],
    [1186, "'1 day'::interval", '1 day'],
  ]) {
    /** @type {unknown[]} */
    const seen = [];
    await withParser(
      face.pg.types,
      oid,
      (/** @type {string} */ value) => {
        seen.push(value);
        return `mine: ${value}`;
      },
      async () => {
        assert.deepEqual((await client.query(`SELECT ${expression} AS value`)).rows, [{ value: `mine: ${text}` }]);
        assert.deepEqual((await client.query(`SELECT ${expression} AS value WHERE $1`, [true])).rows, [
          { value: `mine: ${text}` },
        ]);
      },
    );
    assert.deepEqual(seen, [text, text]);
  }
});

fact('types: a parser is not called for NULL', async (_t, face) => {
  const client = await face.client();
  await withParser(
    face.pg.types,
    20,
    () => assert.fail('it is NULL'),
    async () => assert.deepEqual((await client.query('SELECT NULL::int8 AS n')).rows, [{ n: null }]),
  );
});

fact('types: a parser is called once a value, in the order of the columns and rows', async (_t, face) => {
  const client = await face.client();
  /** @type {string[]} */
  const seen = [];
  await withParser(
    face.pg.types,
    20,
    (/** @type {string} */ text) => seen.push(text),
    async () => {
      await client.query('SELECT n::int8 AS a, (n * 10)::int8 AS b FROM generate_series(1, 2) AS n');
    },
  );
  assert.deepEqual(seen, ['1', '10', '2', '20']);
});

fact('types: a parser that throws rejects the query, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const mine = new Error('mine');
  await withParser(
    face.pg.types,
    20,
    () => {
      throw mine;
    },
    async () => {
      await assert.rejects(client.query('SELECT 1::int8 AS n'), mine);
      await assert.rejects(client.query('SELECT $1::int8 AS n', [1]), mine);
    },
  );
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('types: a parser for the type of an extension or an enum, by its oid', async (_t, face) => {
  const client = await face.client();
  await client.query("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'ok')");
  const { oid } = (await client.query("SELECT 'pg_temp.mood'::regtype::oid AS oid")).rows[0];
  await withParser(
    face.pg.types,
    oid,
    (/** @type {string} */ text) => text.toUpperCase(),
    async () => assert.deepEqual((await client.query("SELECT 'ok'::pg_temp.mood AS mood")).rows, [{ mood: 'OK' }]),
  );
});

fact('types: getTypeParser gives the parser, and one for what has none', (_t, face) => {
  const { types } = face.pg;
  assert.equal(types.getTypeParser(23)('42'), 42);
  assert.equal(types.getTypeParser(23, 'text')('42'), 42);
  assert.equal(types.getTypeParser(20)('42'), '42');
  assert.equal(types.getTypeParser(16)('t'), true);
  assert.equal(types.getTypeParser(999999)('as it is'), 'as it is');
  assert.equal(types.getTypeParser(23, 'binary')(Buffer.from([0, 0, 0, 42])), 42);
});

fact('types: builtins are the oids of types by their names', (_t, face) => {
  const {
    BOOL,
    BYTEA,
    INT8,
    INT4,
    TEXT,
    JSON: json,
    DATE,
    TIMESTAMP,
    TIMESTAMPTZ,
    NUMERIC,
    UUID,
    JSONB,
  } = face.pg.types.builtins;
  assert.deepEqual([BOOL, BYTEA, INT8, INT4, TEXT, json], [16, 17, 20, 23, 25, 114]);
  assert.deepEqual([DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB], [1082, 1114, 1184, 1700, 2950, 3802]);
});

fact('types: builtins have the names and numbers of pg-types', (_t, face) => {
  assert.deepEqual({ ...face.pg.types.builtins }, { ...require('pg-types').builtins });
});

fact('types: arrayParser parses arrays of texts', (_t, face) => {
  const parsed = face.pg.types.arrayParser.create('{1,NULL,"a,b",{x}}', (/** @type {string} */ entry) => entry).parse();
  assert.deepEqual(parsed, ['1', null, 'a,b', ['x']]);
});

fact('types: those of a client hold for it alone', async (_t, face) => {
  const [mine, other] = [await face.client(), await face.client()];
  mine.setTypeParser(20, Number);
  await readsBigint(mine, 42);
  await readsBigint(other, '42');
  assert.equal(mine.getTypeParser(20)('42'), 42);
  assert.equal(other.getTypeParser(20, 'text')('42'), '42');
});

fact('types: a parser of a client may be set while it is used', async (_t, face) => {
  const client = await face.client();
  await readsBigint(client, '42');
  client.setTypeParser(20, 'text', (/** @type {string} */ text) => BigInt(text));
  await readsBigint(client, 42n);
  client.setTypeParser(20, Number);
  await readsBigint(client, 42);
});

fact('types: those of a client come before the global ones', async (_t, face) => {
  const client = await face.client();
  client.setTypeParser(20, Number);
  await withParser(
    face.pg.types,
    20,
    () => 'global',
    async () => readsBigint(client, 42),
  );
});

fact('types: the option types of a client', async (_t, face) => {
  const client = await face.client({ types: { getTypeParser: () => (/** @type {string} */ text) => `mine: ${text}` } });
  await readsBigint(client, 'mine: 42');
  assert.deepEqual((await client.query("SELECT 't'::text AS t, 1 AS one")).rows, [{ t: 'mine: t', one: 'mine: 1' }]);
});

fact('types: those of a query hold for it alone', async (_t, face) => {
  const client = await face.client();
  const types = { getTypeParser: () => (/** @type {string} */ text) => text };
  const text = "SELECT 1 AS n, true AS t, '{}'::json AS j, NULL AS nothing";
  const { rows } = await client.query({ text, types });
  assert.deepEqual(rows, [{ n: '1', t: 't', j: '{}', nothing: null }]);
  assert.deepEqual((await client.query(text)).rows, [{ n: 1, t: true, j: {}, nothing: null }]);
});

fact('types: those of a query are asked by the oid and the format of each column', async (_t, face) => {
  const client = await face.client();
  /** @type {unknown[]} */
  const asked = [];
  const types = {
    getTypeParser(/** @type {number} */ oid, /** @type {string} */ format) {
      asked.push([oid, format]);
      return String;
    },
  };
  await client.query({ text: "SELECT 1 AS n, 'a'::text AS t FROM generate_series(1, 3)", types });
  assert.deepEqual(asked, [
    [23, 'text'],
    [25, 'text'],
  ]);
});

fact('types: those of a query with values, with a name and with rowMode array', async (_t, face) => {
  const client = await face.client();
  const types = { getTypeParser: () => (/** @type {string} */ text) => text };
  assert.deepEqual((await client.query({ text: 'SELECT $1::int AS n', values: [1], types })).rows, [{ n: '1' }]);
  const named = { name: 'typed', text: 'SELECT 1 AS n' };
  assert.deepEqual((await client.query({ ...named, types })).rows, [{ n: '1' }]);
  assert.deepEqual((await client.query(named)).rows, [{ n: 1 }]);
  assert.deepEqual((await client.query({ text: 'SELECT 1 AS n', types, rowMode: 'array' })).rows, [['1']]);
});

fact('TypeOverrides: one for a query falls back to the global parsers', async (_t, face) => {
  const client = await face.client();
  const types = new face.pg.TypeOverrides();
  types.setTypeParser(20, Number);
  assert.deepEqual((await client.query({ text: 'SELECT 1::int8 AS big, 2 AS small', types })).rows, [
    { big: 1, small: 2 },
  ]);
});

fact('TypeOverrides: setTypeParser and getTypeParser with formats', (_t, face) => {
  const overrides = new face.pg.TypeOverrides();
  const [text, binary] = [() => 'text', () => 'binary'];
  overrides.setTypeParser(20, text);
  overrides.setTypeParser(20, 'binary', binary);
  assert.equal(overrides.getTypeParser(20), text);
  assert.equal(overrides.getTypeParser(20, 'text'), text);
  assert.equal(overrides.getTypeParser(20, 'binary'), binary);
  assert.equal(overrides.getTypeParser(23)('1'), 1);
});

fact('TypeOverrides: one on top of other types', (_t, face) => {
  const overrides = new face.pg.TypeOverrides({ getTypeParser: () => () => 'below' });
  overrides.setTypeParser(20, () => 'above');
  assert.equal(overrides.getTypeParser(20)('1'), 'above');
  assert.equal(overrides.getTypeParser(23)('1'), 'below');
});

fact('defaults: parseInt8 makes numbers of bigint and of arrays of it', async (_t, face) => {
  const client = await face.client();
  const text = 'SELECT count(*) AS count, ARRAY[1, 2]::int8[] AS list';
  face.pg.defaults.parseInt8 = true;
  try {
    assert.deepEqual((await client.query(text)).rows, [{ count: 1, list: [1, 2] }]);
  } finally {
    face.pg.defaults.parseInt8 = false;
  }
  assert.deepEqual((await client.query(text)).rows, [{ count: '1', list: ['1', '2'] }]);
});

fact('binary: a query gets integers, floats, booleans and texts', async (_t, face) => {
  const client = await face.client();
  const text = "SELECT $1::int AS i, 2::int2 AS s, 2.0::float8 AS d, true AS b, 'text'::text AS t, NULL::int AS n";
  const { rows, fields } = await client.query({ text, values: [42], binary: true });
  assert.deepEqual(rows, [{ i: 42, s: 2, d: 2, b: true, t: 'text', n: null }]);
  assert.equal(fields[0].format, 'binary');
});

/** Values whose bytes are above 127 in the binary format. @param {any} face */
async function highBytesOf(face) {
  const client = await face.client();
  const text = 'SELECT $1::float8 AS d, 200 AS i';
  return (await client.query({ text, values: [1.5], binary: true, rowMode: 'array' })).rows[0];
}

fact(
  'binary: bytes above 127 are damaged',
  async (_t, face) => {
    const [d, i] = await highBytesOf(face);
    assert.notEqual(d, 1.5);
    assert.notEqual(i, 200);
  },
  {
    differs: {
      reason: 'Results in the binary format (`binary: true`) are right; pg 8.23 damages bytes above 127 in them.',
      test: async (_t, face) => assert.deepEqual(await highBytesOf(face), [1.5, 200]),
    },
  },
);

fact('binary: parsers of the format binary get Buffers', async (_t, face) => {
  const client = await face.client();
  client.setTypeParser(23, 'binary', (/** @type {Buffer} */ bytes) => [Buffer.isBuffer(bytes), bytes.readInt32BE(0)]);
  const { rows } = await client.query({ text: 'SELECT $1::int AS n', values: [42], binary: true });
  assert.deepEqual(rows, [{ n: [true, 42] }]);
});

fact('binary: the option of a client holds for its queries with values', async (_t, face) => {
  const client = await face.client({ binary: true });
  const { rows, fields } = await client.query('SELECT $1::int AS n', [42]);
  assert.deepEqual([rows, fields[0].format], [[{ n: 42 }], 'binary']);
});

fact('binary: without values a result stays text', async (_t, face) => {
  const client = await face.client({ binary: true });
  const { rows, fields } = await client.query('SELECT 42 AS n');
  assert.deepEqual([rows, fields[0].format], [[{ n: 42 }], 'text']);
});
