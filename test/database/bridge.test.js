'use strict';

// The programs of docs/sqlite-and-postgres.md: before the move, over a synchronous bridge to PostgreSQL, and after it, over both
// databases. All print the same.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const { loginOf, test, useCluster } = require('../support/helpers');
const { driversHere } = require('./conformance.js');

const db = useCluster({ nodes: 1 });

const PRINTED = [
  '3 pen, 7 left',
  'not enough',
  '1 ink, 0 left',
  '[{"item":1,"pieces":3},{"item":2,"pieces":1}]',
  '',
].join('\n');

/** @param {string} program @param {string} argument */
async function printed(program, argument) {
  const file = path.join(__dirname, '../../bench/database/bridge', program);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file, argument]);
  assert.equal(stderr, '');
  return stdout;
}

test('the program before the move runs over its bridge', async () => {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = loginOf(db.cluster);
  assert.equal(await printed('before.js', JSON.stringify({ host, port, user, password, database })), PRINTED);
  await db.sql('DROP TABLE orders, items');
});

test('the program after the move prints the same on PostgreSQL', async () => {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = loginOf(db.cluster);
  const target = `postgres://${user}:${encodeURIComponent(String(password))}@${host}:${port}/${database}`;
  assert.equal(await printed('after.js', target), PRINTED);
});

test('the program after the move prints the same on SQLite, and no warning', async (t) => {
  if ((await driversHere()).length === 0) t.skip('no driver of SQLite is there');
  else assert.equal(await printed('after.js', 'sqlite::memory:'), PRINTED);
});
