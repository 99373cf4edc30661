'use strict';

// An error of the server has the class and properties of that of pg.

const assert = require('node:assert/strict');
const pg = require('pg');
const { ConnectionLostError, HyperionError, ParameterError, QueryTimeoutError } = /** @type {any} */ (
  require('../../client.js')
);
const { DatabaseError, toPgError } = require('../../exports/pg/database-error.js');
const { failureOf, test, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** @param {import('node:test').TestContext} t */
async function stockClient(t) {
  const { hosts, user, password, database } = /** @type {any} */ (db.options());
  const [host, port] = String(hosts[0]).split(':');
  const client = new pg.Client({ host, port: Number(port), user, password, database });
  await client.connect();
  t.after(() => client.end());
  return client;
}

const FAILING = [
  'SELECT nothing',
  'SELECT 1 FROM nowhere',
  'SELEC 1',
  'SELECT 1/0',
  "SELECT 'x'::int",
  "SELECT '{'::json",
  "INSERT INTO errors_of_face VALUES (1, 'é')",
  'INSERT INTO errors_of_face VALUES (NULL, 1)',
  'INSERT INTO errors_of_face VALUES (-1, 1)',
  "DO $$ BEGIN EXECUTE 'SELECT wrong'; END $$",
  "DO $$ BEGIN RAISE EXCEPTION 'mine' USING DETAIL = 'd', HINT = 'h', ERRCODE = 'P0999', TABLE = 't', COLUMN = 'c', DATATYPE = 'y', SCHEMA = 's', CONSTRAINT = 'k'; END $$",
  'SELECT pg_sleep(1) FROM (SELECT set_config($$statement_timeout$$, $$1$$, true)) AS x, LATERAL (SELECT 1) AS y LIMIT 0 OFFSET -1',
];

test('toPgError: each error of the server has the properties of that of pg, in their order', async (t) => {
  await db.sql('CREATE TABLE errors_of_face (n int PRIMARY KEY CHECK (n > 0), t text)');
  await db.sql("INSERT INTO errors_of_face VALUES (1, 'first')");
  const [client, pool] = [await stockClient(t), db.pool(t)];
  for (const sql of FAILING) {
    const [theirs, given] = [await failureOf(client.query(sql)), await failureOf(pool.exec(sql))];
    const ours = toPgError(given);
    assert.deepEqual(Object.keys(ours), Object.keys(theirs), sql);
    assert.deepEqual({ ...ours }, { ...theirs }, sql);
    assert.deepEqual([ours.message, ours.name, String(ours)], [theirs.message, theirs.name, String(theirs)]);
    assert.ok(ours instanceof DatabaseError);
    assert.equal(ours.cause, given);
    assert.equal(ours.outcome, given.outcome);
  }
});

test('toPgError: a lost connection and a limit of time have the texts of pg', () => {
  const lost = Object.assign(new ConnectionLostError('gone', 'ERR_OUTCOME_UNKNOWN'), { outcome: 'unknown' });
  const error = toPgError(lost);
  assert.deepEqual(
    [error.message, error.constructor, error.cause, error.outcome, error.retryable, Object.keys(error)],
    ['Connection terminated unexpectedly', Error, lost, 'unknown', false, []],
  );
  assert.equal(toPgError(new QueryTimeoutError('late', '57014')).message, 'Query read timeout');
});

test('toPgError: what a parser or the password function has thrown is passed on, and all else, too', () => {
  const own = new TypeError('mine');
  assert.equal(toPgError(new HyperionError('failed', 'ERR_PARSER', { cause: own })), own);
  assert.equal(toPgError(new HyperionError('failed', 'ERR_PASSWORD', { cause: own })), own);
  const other = new ParameterError('wrong');
  for (const error of [other, own, undefined, null, 'text']) assert.equal(toPgError(error), error);
});

test('DatabaseError is constructed as that of pg', () => {
  const [ours, theirs] = [new DatabaseError('m', 5, 'error'), new pg.DatabaseError('m', 5, 'error')];
  assert.deepEqual({ ...ours }, { ...theirs });
  assert.deepEqual(
    [ours.message, ours.name, ours.constructor.name],
    [theirs.message, theirs.name, theirs.constructor.name],
  );
});
