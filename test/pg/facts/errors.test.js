'use strict';

// DatabaseError: https://node-postgres.com/apis/errors, and pg's own tests of it.

const assert = require('node:assert/strict');
const { failureOf } = require('../../support/helpers.js');
const { called, fact } = require('../support.js');

const MEMBERS = [
  'length',
  'severity',
  'code',
  'detail',
  'hint',
  'position',
  'internalPosition',
  'internalQuery',
  'where',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'file',
  'line',
  'routine',
];

/**
 * The error of a statement, after others.
 * @param {any} face
 * @param {string} text
 * @param {string[]} before
 */
async function errorOf(face, text, ...before) {
  const client = await face.client();
  for (const statement of before) await client.query(statement);
  return failureOf(client.query(text));
}

fact('error: it is a DatabaseError and an Error, and its name is error', async (_t, face) => {
  const error = await errorOf(face, 'SELEKT 1');
  assert.ok(error instanceof face.pg.DatabaseError);
  assert.ok(error instanceof Error);
  assert.equal(error.name, 'error');
  assert.equal(error.constructor, face.pg.DatabaseError);
});

fact('error: it has all members of pg', async (_t, face) => {
  const error = await errorOf(face, 'SELEKT 1');
  for (const member of MEMBERS) assert.ok(member in error, member);
});

fact('error: what the server did not send is undefined', async (_t, face) => {
  const error = await errorOf(face, 'SELEKT 1');
  for (const member of ['detail', 'hint', 'internalPosition', 'internalQuery', 'where', 'schema', 'table', 'column']) {
    assert.equal(error[member], undefined, member);
  }
});

fact('error: its members can be seen by JSON and util.inspect, as loggers do', async (_t, face) => {
  const error = await errorOf(face, 'SELEKT 1');
  const { code, severity, position } = JSON.parse(JSON.stringify(error));
  assert.deepEqual([code, severity, position], ['42601', 'ERROR', '1']);
  assert.match(require('node:util').inspect(error), /code: '42601'/);
});

fact('error: a syntax error has its position as a string', async (_t, face) => {
  const error = await errorOf(face, 'SELECT 1 FROM FROM');
  assert.deepEqual([error.code, error.position, error.severity], ['42601', '15', 'ERROR']);
  assert.equal(error.message, 'syntax error at or near "FROM"');
});

fact('error: file, line and routine are strings', async (_t, face) => {
  const error = await errorOf(face, 'SELEKT 1');
  assert.equal(error.file, 'scan.l');
  assert.match(error.line, /^\d+$/);
  assert.equal(error.routine, 'scanner_yyerror');
});

fact('error: length is the number of bytes of the message', async (_t, face) => {
  const error = await errorOf(face, 'SELECT * FROM no_such_table');
  assert.equal(typeof error.length, 'number');
  assert.ok(error.length > 80 && error.length < 200, String(error.length));
});

fact('error: a table that is not there is 42P01', async (_t, face) => {
  const error = await errorOf(face, 'SELECT * FROM no_such_table');
  assert.deepEqual([error.code, error.position], ['42P01', '15']);
  assert.equal(error.message, 'relation "no_such_table" does not exist');
});

fact('error: a column that is nearly there has a hint', async (_t, face) => {
  const error = await errorOf(face, 'SELECT nome FROM people', 'CREATE TEMP TABLE people (name text)');
  assert.equal(error.code, '42703');
  assert.match(error.hint, /Perhaps you meant to reference the column "people\.name"/);
});

fact('error: a unique violation has schema, table, constraint and detail', async (_t, face) => {
  const error = await errorOf(
    face,
    'INSERT INTO ones VALUES (1)',
    'CREATE TEMP TABLE ones (a int PRIMARY KEY)',
    'INSERT INTO ones VALUES (1)',
  );
  assert.deepEqual([error.code, error.table, error.constraint], ['23505', 'ones', 'ones_pkey']);
  assert.equal(error.detail, 'Key (a)=(1) already exists.');
  assert.match(error.schema, /^pg_temp_\d+$/);
});

fact('error: a NOT NULL violation has table and column', async (_t, face) => {
  const error = await errorOf(
    face,
    'INSERT INTO needed VALUES (NULL, 2)',
    'CREATE TEMP TABLE needed (a int NOT NULL, b int)',
  );
  assert.deepEqual([error.code, error.table, error.column], ['23502', 'needed', 'a']);
  assert.equal(error.detail, 'Failing row contains (null, 2).');
});

fact('error: a check violation has its constraint', async (_t, face) => {
  const error = await errorOf(
    face,
    'INSERT INTO checked VALUES (-1)',
    'CREATE TEMP TABLE checked (a int CONSTRAINT positive CHECK (a > 0))',
  );
  assert.deepEqual([error.code, error.table, error.constraint], ['23514', 'checked', 'positive']);
});

fact('error: a foreign key violation has its constraint and detail', async (_t, face) => {
  const error = await errorOf(
    face,
    'INSERT INTO children VALUES (7)',
    'CREATE TEMP TABLE parents (id int PRIMARY KEY)',
    'CREATE TEMP TABLE children (parent int CONSTRAINT to_parent REFERENCES parents)',
  );
  assert.deepEqual([error.code, error.table, error.constraint], ['23503', 'children', 'to_parent']);
  assert.equal(error.detail, 'Key (parent)=(7) is not present in table "parents".');
});

fact('error: a violation of a domain has dataType', async (_t, face) => {
  const error = await errorOf(
    face,
    'SELECT (-1)::pg_temp.positive',
    'CREATE DOMAIN pg_temp.positive AS int CONSTRAINT above CHECK (VALUE > 0)',
  );
  assert.deepEqual([error.code, error.dataType, error.constraint], ['23514', 'positive', 'above']);
});

fact('error: one inside a function has where, internalQuery and internalPosition', async (_t, face) => {
  const error = await errorOf(face, "DO $$ BEGIN EXECUTE 'SELECT * FROM no_such_table'; END $$");
  assert.equal(error.code, '42P01');
  assert.equal(error.internalQuery, 'SELECT * FROM no_such_table');
  assert.equal(error.internalPosition, '15');
  assert.match(error.where, /PL\/pgSQL function inline_code_block line 1 at EXECUTE/);
  assert.equal(error.position, undefined);
});

fact('error: RAISE gives every member that it sets', async (_t, face) => {
  const error = await errorOf(
    face,
    `DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'ZZ001', DETAIL = 'the detail', HINT = 'the hint',
       SCHEMA = 's', TABLE = 't', COLUMN = 'c', DATATYPE = 'd', CONSTRAINT = 'n'; END $$`,
  );
  const { message, code, detail, hint, schema, table, column, dataType, constraint } = error;
  assert.deepEqual([message, code, detail, hint], ['mine', 'ZZ001', 'the detail', 'the hint']);
  assert.deepEqual([schema, table, column, dataType, constraint], ['s', 't', 'c', 'd', 'n']);
});

fact('error: a message of several lines in another script', async (_t, face) => {
  const error = await errorOf(face, "DO $$ BEGIN RAISE EXCEPTION E'für 😀\\nzweite Zeile'; END $$");
  assert.equal(error.message, 'für 😀\nzweite Zeile');
});

fact('error: division by zero, a cast that fails and a number out of range', async (_t, face) => {
  for (const [text, code] of [
    ['SELECT 1 / 0', '22012'],
    ["SELECT 'one'::int", '22P02'],
    ['SELECT 99999999999::int', '22003'],
    ["SELECT 'abc'::json", '22P02'],
    ["SELECT '2020-13-01'::date", '22008'],
    ['SELECT pg_no_such_function()', '42883'],
    ['SET no_such_setting = 1', '42704'],
  ]) {
    assert.deepEqual([text, (await errorOf(face, text)).code], [text, code]);
  }
});

fact('error: too few values are 08P01', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::int, $2::int', [1]));
  assert.equal(error.code, '08P01');
  assert.match(error.message, /bind message supplies 1 parameters, but prepared statement "" requires 2/);
});

fact('error: too many values are 08P01', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::int', [1, 2]));
  assert.equal(error.code, '08P01');
  assert.match(error.message, /bind message supplies 2 parameters, but prepared statement "" requires 1/);
});

fact('error: values for a text without parameters are 08P01', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query('SELECT 1', [1]))).code, '08P01');
});

fact('error: parameters without values are 42P02', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1'));
  assert.deepEqual([error.code, error.message], ['42P02', 'there is no parameter $1']);
});

fact('error: a value that does not fit its type is 22P02, and says which', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::int AS n', ['one']));
  assert.equal(error.code, '22P02');
  assert.equal(error.message, 'invalid input syntax for type integer: "one"');
  assert.match(error.where, /unnamed portal parameter \$1/);
});

fact('error: a fraction for an integer is 22P02', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query('SELECT $1::int', [1.5]))).code, '22P02');
});

fact('error: a parameter of no type is 42P18', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query('SELECT $1 IS NULL', [null]))).code, '42P18');
});

fact('error: a zero byte in a text value is 22021', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELECT $1::text', ['a\0b']));
  assert.equal(error.code, '22021');
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('error: the client goes on after each kind of error', async (_t, face) => {
  const client = await face.client();
  for (const args of [
    ['SELEKT'],
    ['SELECT $1::int', ['x']],
    ['SELECT $1::int', [1, 2]],
    [{ name: 'n', text: 'SELEKT' }],
  ]) {
    await failureOf(client.query(...args));
    assert.equal((await client.query('SELECT $1::int AS one', [1])).rows[0].one, 1);
  }
});

fact('error: a callback and a promise get the same error', async (_t, face) => {
  const client = await face.client();
  const [fromCallback] = await called((callback) => client.query('SELECT 1 / 0', callback));
  const fromPromise = await failureOf(client.query('SELECT 1 / 0'));
  for (const member of ['message', ...MEMBERS]) assert.equal(fromCallback[member], fromPromise[member], member);
});

fact('error: pg_cancel_backend makes the query fail with 57014, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const failed = failureOf(client.query('SELECT pg_sleep(30)'));
  await face.untilActive(client);
  await face.server.sql(`SELECT pg_cancel_backend(${client.processID})`);
  const error = await failed;
  assert.deepEqual([error.code, error.message], ['57014', 'canceling statement due to user request']);
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('DatabaseError: one can be made of a message, a length and a name', (_t, face) => {
  const error = new face.pg.DatabaseError('text', 12, 'error');
  assert.deepEqual([error.message, error.length, error.name], ['text', 12, 'error']);
  assert.ok(error instanceof Error);
});
