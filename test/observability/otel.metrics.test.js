'use strict';

// The metrics, by the real SDK: names, units, boundaries, attributes and values are what the semantic conventions for databases say
// (opentelemetry.io/docs/specs/semconv/db/database-metrics).

const assert = require('node:assert/strict');
const { AggregationTemporality } = require('@opentelemetry/sdk-metrics');
const { test, until, useCluster } = require('../support/helpers.js');
const { instrumented, metricSdk } = require('./otel-sdk.js');

const db = useCluster({ nodes: 1, synchronous: false });

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

/** The values of a metric by one of their attributes. @param {any} metric @param {string} attribute */
const by = (metric, attribute) =>
  Object.fromEntries(
    metric.dataPoints.map((/** @type {any} */ { attributes, value }) => [attributes[attribute], value]),
  );

test('otel: db.client.operation.duration has each statement, in seconds, with the advised boundaries', async (t) => {
  const pool = db.pool(t);
  const { metrics } = instrumented(t, pool);
  for (let n = 0; n < 5; n++) await pool.query('SELECT relname FROM pg_class WHERE oid = $1', [n]);
  await pool.query('SELECT pg_sleep($1::float)', [0.2]);
  await assert.rejects(pool.query('SELECT 1 / 0 FROM pg_type'));
  await pool.batch(['VALUES (1)', 'VALUES (2)', 'VALUES (3)']);
  const { 'db.client.operation.duration': metric } = await metrics();
  assert.deepEqual([metric.descriptor.unit, metric.descriptor.type], ['s', 'HISTOGRAM']);
  assert.equal(metric.descriptor.description, 'Duration of database client operations.');
  const { host, port } = db.cluster.primary();
  const common = {
    'db.system.name': 'postgresql',
    'db.namespace': db.cluster.database,
    'server.address': host,
    'server.port': port,
  };
  const points = metric.dataPoints.map((/** @type {any} */ { attributes, value }) => [attributes, value.count]);
  assert.deepEqual(points, [
    [{ ...common, 'db.operation.name': 'SELECT', 'db.query.summary': 'SELECT pg_class' }, 5],
    [{ ...common, 'db.operation.name': 'SELECT', 'db.query.summary': 'SELECT' }, 1],
    [
      {
        ...common,
        'db.operation.name': 'SELECT',
        'db.query.summary': 'SELECT pg_type',
        'error.type': '22012',
        'db.response.status_code': '22012',
      },
      1,
    ],
    // "Batch operations SHOULD be recorded as a single operation."
    [{ ...common, 'db.operation.name': 'BATCH VALUES', 'db.query.summary': 'BATCH VALUES' }, 1],
  ]);
  for (const { value } of metric.dataPoints) assert.deepEqual(value.buckets.boundaries, SECONDS);
  // Seconds, not milliseconds: the sleep is from 0.1 s on, and all others together take less than a minute.
  const { sum } = metric.dataPoints[1].value;
  assert.ok(sum >= 0.2 && sum < 60, String(sum));
});

test('otel: a duration is that of the span', async (t) => {
  const pool = db.pool(t);
  const { metrics, spans } = instrumented(t, pool);
  await pool.query('SELECT pg_sleep(0.3)');
  const { 'db.client.operation.duration': metric } = await metrics();
  const [{ duration }] = spans();
  const difference = Math.abs(duration[0] + duration[1] / 1e9 - metric.dataPoints[0].value.sum);
  assert.ok(difference < 0.1, `${difference} s`);
});

test('otel: the connections of the pool are counted by their state', async (t) => {
  const pool = db.pool(t, { poolSize: 2, acquireTimeoutMs: 400, name: 'shop' });
  const { metrics } = instrumented(t, pool);
  const idle = { 'db.client.connection.pool.name': 'shop', 'db.client.connection.state': 'idle' };
  const first = await pool.begin();
  const second = await pool.begin();
  const refused = assert.rejects(pool.begin(), { code: 'ERR_ACQUIRE_TIMEOUT' });
  await until('somebody waits', () => pool.status().waiting === 1);
  const busy = await metrics();
  const count = busy['db.client.connection.count'];
  assert.deepEqual(by(count, 'db.client.connection.state'), { idle: 0, used: 2 });
  assert.deepEqual(count.dataPoints[0].attributes, idle);
  assert.equal(count.descriptor.unit, '{connection}');
  assert.equal(count.isMonotonic, false);
  const values = (/** @type {string} */ name) =>
    by(busy[`db.client.connection.${name}`], 'db.client.connection.pool.name');
  assert.deepEqual(values('max'), { shop: 2 });
  assert.deepEqual(values('idle.max'), { shop: 2 });
  assert.deepEqual(values('idle.min'), { shop: 0 });
  assert.deepEqual(values('pending_requests'), { shop: 1 });
  assert.deepEqual(values('timeouts'), { shop: 0 });
  await refused;
  await first.rollback();
  await second.rollback();
  const after = await metrics();
  assert.deepEqual(by(after['db.client.connection.timeouts'], 'db.client.connection.pool.name'), { shop: 1 });
  assert.equal(after['db.client.connection.timeouts'].isMonotonic, true);
  assert.deepEqual(by(after['db.client.connection.pending_requests'], 'db.client.connection.pool.name'), { shop: 0 });
  await until('both are idle', async () => {
    const { 'db.client.connection.count': now } = await metrics();
    return by(now, 'db.client.connection.state').idle === 2;
  });
});

test('otel: db.client.connection.wait_time has the waits for a connection, in seconds', async (t) => {
  const pool = db.pool(t, { poolSize: 1, name: 'waits' });
  const { metrics } = instrumented(t, pool);
  await pool.query('SELECT 1');
  const tx = await pool.begin();
  const waiting = pool.query('SELECT 2');
  await until('the statement waits', () => pool.status().waiting === 1);
  await tx.query('SELECT pg_sleep(0.2)');
  await tx.commit();
  await waiting;
  const { 'db.client.connection.wait_time': metric } = await metrics();
  assert.equal(metric.descriptor.unit, 's');
  const [{ attributes, value }] = metric.dataPoints;
  assert.deepEqual(attributes, { 'db.client.connection.pool.name': 'waits' });
  assert.deepEqual(value.buckets.boundaries, SECONDS);
  assert.ok(value.max >= 0.2 && value.max < 60, String(value.max));
  assert.ok(value.count >= 2);
});

test('otel: returned rows are measured only with captureRows', async (t) => {
  const pool = db.pool(t);
  const without = instrumented(t, pool);
  await pool.query('SELECT generate_series(1, 7)');
  assert.ok(!('db.client.response.returned_rows' in (await without.metrics())));
  const { metrics } = instrumented(t, pool, { captureRows: true });
  await pool.query('SELECT generate_series(1, 7)');
  const { 'db.client.response.returned_rows': metric } = await metrics();
  assert.equal(metric.descriptor.unit, '{row}');
  assert.deepEqual([metric.dataPoints[0].value.count, metric.dataPoints[0].value.sum], [1, 7]);
});

test('otel: each pool has its own series, and a pool that has ended has none', async (t) => {
  // With this temporality the SDK keeps no series that was not observed.
  const { provider: meterProvider, metrics } = metricSdk(AggregationTemporality.DELTA);
  instrumented(t, undefined, { meterProvider });
  const [one, other] = [db.pool(t, { name: 'one' }), db.pool(t, { name: 'other' })];
  await one.query('SELECT 1');
  const named = async () => {
    const { 'db.client.connection.max': metric } = await metrics();
    return Object.keys(by(metric ?? { dataPoints: [] }, 'db.client.connection.pool.name'));
  };
  assert.deepEqual(await named(), ['one', 'other']);
  const ofOne = metricSdk(AggregationTemporality.DELTA);
  const instrumentation = instrumented(t, one, { meterProvider: ofOne.provider });
  const { 'db.client.connection.max': max } = await ofOne.metrics();
  assert.deepEqual(by(max, 'db.client.connection.pool.name'), { one: 10 });
  assert.deepEqual(await named(), ['other']);
  instrumentation.disable();
  await one.end();
  assert.deepEqual(await named(), ['other']);
  await other.end();
});

test('otel: disable() leaves no callback at the meter', (t) => {
  const { provider } = metricSdk();
  /** @type {any} */
  const meter = provider.getMeter('x');
  /** @type {unknown[]} */
  const callbacks = [];
  const counting = Object.assign(Object.create(meter), {
    addBatchObservableCallback: (/** @type {unknown} */ callback) => callbacks.push(callback),
    removeBatchObservableCallback: (/** @type {unknown} */ callback) =>
      callbacks.splice(callbacks.indexOf(callback), 1),
  });
  const { disable } = instrumented(t, undefined, { meterProvider: { getMeter: () => counting } });
  assert.equal(callbacks.length, 1);
  disable();
  assert.equal(callbacks.length, 0);
});
