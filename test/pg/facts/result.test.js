'use strict';

// Results: https://node-postgres.com/apis/result, and pg's own
// test/integration/client/{result-metadata,results-as-array,row-description-on-results,field-name-escape,query-column-names}-tests.js.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { fact } = require('../support.js');

/** A client with a temporary table `things (id serial PRIMARY KEY, name text, price numeric(10, 2))`. @param {any} face */
async function withThings(face) {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE things (id serial PRIMARY KEY, name text, price numeric(10, 2))');
  await client.query("INSERT INTO things (name, price) VALUES ('a', 1.5), ('b', 2.25)");
  return client;
}

// What the server prints as the tag of a command, and what Result makes of it.
const TAGS = [
  ['SELECT 1', 'SELECT', 1],
  ['VALUES (1), (2)', 'SELECT', 2],
  ['TABLE things', 'SELECT', 2],
  ["INSERT INTO things (name) VALUES ('c')", 'INSERT', 1, 0],
  ["INSERT INTO things (name) VALUES ('c') RETURNING id", 'INSERT', 1, 0],
  ["UPDATE things SET name = 'd'", 'UPDATE', 2],
  ["UPDATE things SET name = 'd' WHERE false", 'UPDATE', 0],
  ['DELETE FROM things', 'DELETE', 2],
  ['MERGE INTO things USING (SELECT 1 AS id) AS s ON things.id = s.id WHEN MATCHED THEN DELETE', 'MERGE', 1],
  ['CREATE TEMP TABLE made (n int)', 'CREATE', null],
  ['CREATE TEMP TABLE made AS SELECT generate_series(1, 4)', 'SELECT', 4],
  ['CREATE INDEX ON things (name)', 'CREATE', null],
  ['ALTER TABLE things ADD COLUMN more int', 'ALTER', null],
  ['DROP TABLE things', 'DROP', null],
  ['TRUNCATE things', 'TRUNCATE', null],
  ['BEGIN', 'BEGIN', null],
  ['START TRANSACTION', 'START', null],
  ['COMMIT', 'COMMIT', null],
  ['ROLLBACK', 'ROLLBACK', null],
  ["SET work_mem = '5MB'", 'SET', null],
  ['RESET ALL', 'RESET', null],
  ['SHOW work_mem', 'SHOW', null],
  ['EXPLAIN SELECT 1', 'EXPLAIN', null],
  ['LISTEN things', 'LISTEN', null],
  ['NOTIFY things', 'NOTIFY', null],
  ['UNLISTEN *', 'UNLISTEN', null],
  ['DISCARD ALL', 'DISCARD', null],
  ['VACUUM things', 'VACUUM', null],
  ['ANALYZE things', 'ANALYZE', null],
  ['DO $$ BEGIN NULL; END $$', 'DO', null],
  ["COMMENT ON TABLE things IS 'c'", 'COMMENT', null],
  ['GRANT SELECT ON things TO public', 'GRANT', null],
  ['CHECKPOINT', 'CHECKPOINT', null],
];

fact('result: command, rowCount and oid of every kind of statement', async (_t, face) => {
  for (const [text, command, rowCount, oid = null] of TAGS) {
    const client = await withThings(face);
    const result = await client.query(text);
    assert.deepEqual([text, result.command, result.rowCount, result.oid], [text, command, rowCount, oid]);
    await client.end();
  }
});

fact('result: command, rowCount and oid are the same with values', async (_t, face) => {
  const client = await withThings(face);
  const inserted = await client.query('INSERT INTO things (name) VALUES ($1), ($1)', ['c']);
  assert.deepEqual([inserted.command, inserted.rowCount, inserted.oid], ['INSERT', 2, 0]);
  const updated = await client.query('UPDATE things SET name = $1', ['d']);
  assert.deepEqual([updated.command, updated.rowCount, updated.oid], ['UPDATE', 4, null]);
});

fact('result: LOCK, DECLARE, FETCH, MOVE and CLOSE in a transaction', async (_t, face) => {
  const client = await withThings(face);
  await client.query('BEGIN');
  for (const [text, command, rowCount] of [
    ['LOCK TABLE things', 'LOCK', null],
    ['SAVEPOINT s', 'SAVEPOINT', null],
    ['RELEASE s', 'RELEASE', null],
    ['DECLARE c CURSOR FOR SELECT generate_series(1, 5)', 'DECLARE', null],
    ['FETCH 2 FROM c', 'FETCH', 2],
    ['MOVE 2 IN c', 'MOVE', 2],
    ['CLOSE c', 'CLOSE', null],
  ]) {
    const result = await client.query(text);
    assert.deepEqual([text, result.command, result.rowCount], [text, command, rowCount]);
  }
});

fact('result: it has the members of pg, and no others that can be seen', async (_t, face) => {
  const client = await face.client();
  const result = await client.query('SELECT 1 AS one');
  for (const key of ['command', 'rowCount', 'oid', 'rows', 'fields', 'RowCtor', 'rowAsArray']) {
    assert.ok(key in result, key);
  }
  assert.deepEqual([result.RowCtor, result.rowAsArray], [null, false]);
});

fact('result: JSON of it has the members of pg', async (_t, face) => {
  const client = await face.client();
  const { command, rowCount, oid, rows, fields, rowAsArray } = JSON.parse(
    JSON.stringify(await client.query('SELECT 1 AS one')),
  );
  assert.deepEqual(
    { command, rowCount, oid, rows, rowAsArray },
    {
      command: 'SELECT',
      rowCount: 1,
      oid: null,
      rows: [{ one: 1 }],
      rowAsArray: false,
    },
  );
  assert.equal(fields[0].name, 'one');
});

fact('result: rows are objects that can be changed and extended', async (_t, face) => {
  const client = await face.client();
  const [row] = (await client.query('SELECT 1 AS one')).rows;
  row.one = 2;
  row.two = 3;
  delete row.one;
  assert.deepEqual(row, { two: 3 });
});

fact('result: rows are objects of Object with the columns in their order', async (_t, face) => {
  const client = await face.client();
  const [row] = (await client.query('SELECT 1 AS z, 2 AS a, 3 AS m')).rows;
  assert.deepEqual(Object.keys(row), ['z', 'a', 'm']);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
  assert.equal(JSON.stringify(row), '{"z":1,"a":2,"m":3}');
});

fact('result: rows with and without NULL have the same keys', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query('SELECT NULL AS a, 1 AS b UNION ALL SELECT 1, NULL ORDER BY b NULLS LAST');
  assert.deepEqual(
    rows.map((/** @type {object} */ row) => Object.keys(row)),
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
  );
});

fact('result: of columns with the same name the last counts', async (_t, face) => {
  const client = await face.client();
  const { rows, fields } = await client.query('SELECT 1 AS n, 2 AS m, 3 AS n');
  assert.deepEqual(rows, [{ n: 3, m: 2 }]);
  assert.deepEqual(Object.keys(rows[0]), ['n', 'm']);
  assert.deepEqual(
    fields.map((/** @type {{ name: string }} */ field) => field.name),
    ['n', 'm', 'n'],
  );
});

fact('result: a column without a name is ?column?', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query('SELECT 1, $1::int', [2])).rows, [{ '?column?': 1, int4: 2 }]);
});

fact('result: names of columns with quotes, dots, new lines and backslashes', async (_t, face) => {
  const client = await face.client();
  const names = ["it's", 'a.b', 'new\nline', 'back\\slash', '`tick`', 'ü€😀', ' ', 'constructor', 'toString', '1'];
  for (const name of names) {
    const { rows } = await client.query(`SELECT 1 AS ${face.pg.escapeIdentifier(name)}`);
    assert.deepEqual(Object.keys(rows[0]), [name]);
    assert.equal(rows[0][name], 1);
  }
});

fact('result: a column __proto__ does not change the prototype', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query(`SELECT '{"polluted": true}'::json AS "__proto__", 1 AS one`);
  assert.equal(rows[0].one, 1);
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
});

fact('fields: every member of a column of a table', async (_t, face) => {
  const client = await withThings(face);
  const { fields } = await client.query('SELECT name, price FROM things');
  const tableID = (await client.query("SELECT 'things'::regclass::oid AS oid")).rows[0].oid;
  const plain = fields.map((/** @type {object} */ field) => ({ ...field }));
  assert.deepEqual(plain, [
    { name: 'name', tableID, columnID: 2, dataTypeID: 25, dataTypeSize: -1, dataTypeModifier: -1, format: 'text' },
    {
      name: 'price',
      tableID,
      columnID: 3,
      dataTypeID: 1700,
      dataTypeSize: -1,
      dataTypeModifier: 655366,
      format: 'text',
    },
  ]);
});

fact('fields: an expression has no table', async (_t, face) => {
  const client = await face.client();
  const { fields } = await client.query('SELECT 1 AS one');
  assert.deepEqual(
    { ...fields[0] },
    {
      name: 'one',
      tableID: 0,
      columnID: 0,
      dataTypeID: 23,
      dataTypeSize: 4,
      dataTypeModifier: -1,
      format: 'text',
    },
  );
});

fact('fields: they are the same with values and with a name', async (_t, face) => {
  const client = await withThings(face);
  const text = 'SELECT id, name, price FROM things WHERE id > $1';
  const expected = JSON.stringify((await client.query(text.replace('$1', '0'))).fields);
  assert.equal(JSON.stringify((await client.query(text, [0])).fields), expected);
  for (let i = 0; i < 2; i += 1) {
    assert.equal(JSON.stringify((await client.query({ name: 'things', text, values: [0] })).fields), expected);
  }
});

fact('fields: a statement without rows has none', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query('BEGIN')).fields, []);
});

fact('fields: they are there in the event row', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query('SELECT 1 AS one, 2 AS two'));
  /** @type {string[][]} */
  const seen = [];
  query.on('row', (/** @type {any} */ _row, /** @type {any} */ result) => {
    seen.push(result.fields.map((/** @type {{ name: string }} */ field) => field.name));
  });
  await once(query, 'end');
  assert.deepEqual(seen, [['one', 'two']]);
});

fact('rowMode: array gives arrays in the order of the columns', async (_t, face) => {
  const client = await face.client();
  const result = await client.query({
    text: 'SELECT $1::text AS a, 2 AS b, NULL AS c',
    values: ['x'],
    rowMode: 'array',
  });
  assert.deepEqual(result.rows, [['x', 2, null]]);
  assert.equal(result.rowAsArray, true);
});

fact('rowMode: array keeps columns with the same name', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query({ text: 'SELECT 1 AS n, 2 AS n', rowMode: 'array' });
  assert.deepEqual(rows, [[1, 2]]);
});

fact('rowMode: a named statement may be run in both', async (_t, face) => {
  const client = await face.client();
  const statement = { name: 'both', text: 'SELECT 1 AS a, 2 AS b' };
  assert.deepEqual((await client.query(statement)).rows, [{ a: 1, b: 2 }]);
  assert.deepEqual((await client.query({ ...statement, rowMode: 'array' })).rows, [[1, 2]]);
  assert.deepEqual((await client.query(statement)).rows, [{ a: 1, b: 2 }]);
});

fact('rowMode: another word than array is the default', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ text: 'SELECT 1 AS a', rowMode: 'object' })).rows, [{ a: 1 }]);
});

fact('Result: one made by hand parses rows as pg does', (_t, face) => {
  const result = new face.pg.Result(null, face.pg.types);
  result.addFields([{ name: 'n', dataTypeID: 23, format: 'text' }]);
  result.addRow(result.parseRow(['42']));
  result.addCommandComplete({ text: 'SELECT 1' });
  assert.deepEqual([result.rows, result.command, result.rowCount], [[{ n: 42 }], 'SELECT', 1]);
});

fact('Result: addCommandComplete reads the tags of INSERT and of others', (_t, face) => {
  for (const [text, command, rowCount, oid] of [
    ['INSERT 12 34', 'INSERT', 34, 12],
    ['UPDATE 7', 'UPDATE', 7, null],
    ['CREATE TABLE', 'CREATE', null, null],
  ]) {
    const result = new face.pg.Result();
    result.addCommandComplete({ text });
    assert.deepEqual([result.command, result.rowCount, result.oid], [command, rowCount, oid]);
  }
});
