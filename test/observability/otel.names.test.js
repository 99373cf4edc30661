'use strict';

// The names of all attributes and metrics, compared with the package that OpenTelemetry generates of its conventions.

const assert = require('node:assert/strict');
const { createRequire } = require('node:module');
const { channel } = require('node:diagnostics_channel');
const { test, useCluster } = require('../support/helpers.js');
const { instrumented } = require('./otel-sdk.js');

// A dependency of the instrumentation of pg, and so of the same time.
const requireOfPg = createRequire(require.resolve('@opentelemetry/instrumentation-pg'));
const stable = requireOfPg('@opentelemetry/semantic-conventions');
const incubating = requireOfPg('@opentelemetry/semantic-conventions/incubating');

const db = useCluster({ nodes: 1, synchronous: false });

/** The values of the constants of a package that begin so. @param {Record<string, unknown>} names @param {string} prefix */
const values = (names, prefix) =>
  new Set(
    Object.entries(names)
      .filter(([name]) => name.startsWith(prefix))
      .map(([, value]) => value),
  );

/** The conventions of these are in development: "Opt-In", or of connections. */
const IN_DEVELOPMENT = [
  ...['db.client.connection.pool.name', 'db.client.connection.state', 'db.response.returned_rows'],
  'db.query.parameter.0',
];

test('otel: every name is one of the conventions, and a stable one where there is one', async (t) => {
  const pool = db.pool(t);
  const { spans, metrics } = instrumented(t, pool, { captureParameters: true, captureRows: true });
  await pool.exec('CREATE TABLE named (id int)');
  await pool.query('SELECT $1::int', [1]);
  await assert.rejects(pool.query('SELECT 1/0'));
  await pool.batch(['SELECT 1', 'SELECT 2']);
  await pool.copyFrom('named', [[1]]);
  await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'), {
    isolation: 'serializable',
    readOnly: true,
  });
  const at = new Date();
  const by = { source: 'statement', node: 'a:1', reason: 'lost' };
  const counts = { held: 1, retried: 1, unknown: 1 };
  const failover = {
    from: 'a:1',
    to: 'b:1',
    noticed: at,
    by,
    asked: [],
    found: at,
    timeline: 2,
    firstWrite: at,
    ...counts,
  };
  channel('hyperiondb:failover').publish({ ...failover, pool });
  const measured = await metrics();
  const used = new Set([
    ...spans().flatMap(({ attributes, events }) => [
      ...Object.keys(attributes),
      ...events.flatMap(({ attributes: ofEvent }) => Object.keys(ofEvent ?? {})),
    ]),
    ...Object.values(measured).flatMap(({ dataPoints }) =>
      dataPoints.flatMap((/** @type {any} */ { attributes }) => Object.keys(attributes)),
    ),
  ]);
  const known = values(stable, 'ATTR_');
  const others = [...used].filter((name) => !known.has(name) && !name.startsWith('hyperiondb.'));
  assert.deepEqual(others.sort(), IN_DEVELOPMENT.sort());
  const inDevelopment = values(incubating, 'ATTR_');
  for (const name of others) assert.ok(inDevelopment.has(name) || name.startsWith('db.query.parameter.'), name);
  // 15 of the convention at least: nothing was left out by a mistake in this test.
  assert.ok(used.size >= 15, [...used].join());

  const [ofStable, ofAll] = [values(stable, 'METRIC_'), values(incubating, 'METRIC_')];
  const names = Object.keys(measured).sort();
  assert.deepEqual(
    names.filter((name) => !ofAll.has(name)),
    [],
  );
  assert.deepEqual(
    names.filter((name) => ofStable.has(name)),
    ['db.client.operation.duration'],
  );
  assert.equal(names.length, 9);
  assert.equal(spans()[0].attributes[stable.ATTR_DB_SYSTEM_NAME], stable.DB_SYSTEM_NAME_VALUE_POSTGRESQL);
});
