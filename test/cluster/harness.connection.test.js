'use strict';

// The harness's own connection reads and writes values, logs in and keeps time as the tests that use it expect.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { Connection } = require('../../exports/testing/cluster/connection.js');
const { startCluster } = require('../support/cluster');
const { skip } = require('../support/harness');
const { failureOf } = require('../support/helpers.js');

/** @typedef {import('../../exports/testing/cluster/cluster.js').Cluster} Cluster */

const HBA = ['md5', 'password', 'trust', 'scram-sha-256'].map(
  (method) => `host all by_${method.replaceAll('-', '_')} 127.0.0.1/32 ${method}`,
);

describe('connection of the harness', { skip }, () => {
  /** @type {Cluster} */
  let cluster;
  /** @type {Connection} */
  let connection;
  before(async () => {
    cluster = await startCluster({ nodes: 1, hba: HBA });
    connection = await Connection.open(cluster.primary().login, 'test', 30_000);
  });
  after(async () => {
    await connection?.end();
    await cluster?.stop();
  });

  /** @type {[string, unknown][]} */
  const VALUES = [
    ['NULL', null],
    ['true', true],
    ['7', 7],
    ['7::int8', '7'],
    ['0.10', '0.10'],
    ['0.5::float8', 0.5],
    ["'a''b'", "a'b"],
    ["'ä€😀'", 'ä€😀'],
    ["'\\x00ff'::bytea", Buffer.from([0, 255])],
    ['\'{"a":[1]}\'::jsonb', { a: [1] }],
    ["'2026-01-02 03:04:05.678+00'::timestamptz", new Date('2026-01-02T03:04:05.678Z')],
    ["'2026-01-02 03:04:05'::timestamp", new Date('2026-01-02T03:04:05')],
    ["'2026-01-02'::date", new Date('2026-01-02T00:00:00')],
    ["'infinity'::timestamptz", Infinity],
    ['ARRAY[1, NULL, 3]', [1, null, 3]],
    ["'[0:1]={1,2}'::int[]", [1, 2]],
    [
      'ARRAY[[1, 2], [3, 4]]',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["'{}'::int[]", []],
    [`ARRAY['a,b', '{"c\\d"}', '', NULL, 'NULL']`, ['a,b', '{"c\\d"}', '', null, 'NULL']],
    ['ARRAY[true, false]', [true, false]],
  ];
  for (const [sql, value] of VALUES) {
    test(`connection of the harness reads ${sql}`, async () => {
      assert.deepEqual(await connection.query(`SELECT ${sql} AS value`), [{ value }]);
    });
  }

  /** @type {[string, unknown][]} */
  const PARAMETERS = [
    ['int', 7],
    ['text', null],
    ['bool', false],
    ['text', "a'b"],
    ['int8', '9007199254740993'],
    ['bytea', Buffer.from([0, 1, 255])],
    ['jsonb', { a: [1, { b: null }] }],
    ['timestamptz', new Date('2026-01-02T03:04:05.678Z')],
    ['text[]', ['a"b', 'c\\d', null, '']],
    [
      'int[]',
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ];
  for (const [type, value] of PARAMETERS) {
    test(`connection of the harness sends ${JSON.stringify(value)} as ${type}`, async () => {
      assert.deepEqual(await connection.query(`SELECT $1::${type} AS value`, [value]), [{ value }]);
    });
  }

  test('connection of the harness returns the rows of the last statement of several', async () => {
    assert.deepEqual(await connection.query('SELECT 1 AS one; SELECT 2 AS two'), [{ two: 2 }]);
    assert.deepEqual(await connection.query('SELECT 1 AS one; SET work_mem = 64'), []);
    assert.deepEqual(await connection.query(''), []);
  });

  test('connection of the harness runs statements in their order, and goes on after an error', async () => {
    const all = [
      connection.query('SELECT 1 AS n'),
      connection.query('SELECT 1 / 0'),
      connection.query('SELECT 3 AS n'),
    ];
    const [first, error, third] = await Promise.all([all[0], failureOf(all[1]), all[2]]);
    assert.deepEqual([first, third], [[{ n: 1 }], [{ n: 3 }]]);
    assert.deepEqual([error.code, error.severity, error.message], ['22012', 'ERROR', 'division by zero']);
    assert.equal((await failureOf(connection.query('SELECT $1::int', ['x']))).code, '22P02');
    assert.equal((await failureOf(connection.query('COPY nothing FROM STDIN'))).code, '42P01');
    assert.deepEqual(await connection.query('SELECT 4 AS n'), [{ n: 4 }]);
  });

  test('connection of the harness refuses COPY from it, and goes on', async () => {
    await connection.query('CREATE TEMP TABLE target (id int)');
    assert.equal((await failureOf(connection.query('COPY target FROM STDIN'))).code, '57014');
    assert.deepEqual(await connection.query('SELECT * FROM target'), []);
  });

  for (const line of HBA) {
    const [, , user, , method] = line.split(' ');
    test(`connection of the harness logs in by ${method}`, async () => {
      const encryption = method === 'md5' ? 'md5' : 'scram-sha-256';
      await connection.query(`SET password_encryption = '${encryption}'; CREATE ROLE ${user} LOGIN PASSWORD 'good'`);
      const login = { ...cluster.primary().login, user };
      const as = await Connection.open({ ...login, password: 'good' }, 'test', 30_000);
      assert.deepEqual(await as.query('SELECT current_user AS name'), [{ name: user }]);
      await as.end();
      if (method === 'trust') return;
      assert.equal((await failureOf(Connection.open({ ...login, password: 'bad' }, 'test', 30_000))).code, '28P01');
    });
  }

  test('connection of the harness gives up a statement after its time', async () => {
    const impatient = await Connection.open(cluster.primary().login, 'test', 200);
    await assert.rejects(impatient.query('SELECT pg_sleep(3600)'), /no answer to a statement within 200 ms/);
    await assert.rejects(impatient.query('SELECT 1'), /no answer to a statement within 200 ms/);
    await impatient.end();
  });
});
