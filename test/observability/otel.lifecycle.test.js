'use strict';

// instrument(): what it takes, which pools it is of, and that neither its coming, nor its going, nor a failure within it disturbs a
// statement.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { channel } = require('node:diagnostics_channel');
const { Worker } = require('node:worker_threads');
const api = require('@opentelemetry/api');
const { createPool, OptionError } = require('../../client.js');
const { instrument } = require('../../exports/otel');
const { test, useCluster } = require('../support/helpers.js');
const { instrumented, metricSdk, spanSdk } = require('./otel-sdk.js');

const ROOT = path.join(__dirname, '..', '..');
const db = useCluster({ nodes: 1, synchronous: false });

const CHANNELS = [
  ...['start', 'end', 'asyncStart', 'asyncEnd', 'error'].flatMap((name) => [
    `tracing:hyperiondb:query:${name}`,
    `tracing:hyperiondb:transaction:${name}`,
  ]),
  'hyperiondb:failover',
];
/** Channels that somebody listens to. */
const listened = () => CHANNELS.filter((name) => channel(name).hasSubscribers);

test('otel: arguments that are wrong are refused by their names', () => {
  const cases = [
    [[undefined, { traceProvider: {} }], /unknown option 'traceProvider'.*tracerProvider/],
    [[undefined, { tracerProvider: {} }], /^tracerProvider must be a TracerProvider/],
    [[undefined, { meterProvider: 1 }], /^meterProvider must be a MeterProvider/],
    [[undefined, { captureParameters: 1 }], /^captureParameters must be a boolean, not number/],
    [[undefined, { captureRows: 'no' }], /^captureRows must be a boolean/],
    [[undefined, { sqlcommenter: 1 }], /^sqlcommenter must be a boolean or an object/],
    [[undefined, { sqlcommenter: {} }], /^sqlcommenter.propagator must be a TextMapPropagator, not undefined/],
    [[undefined, { sqlcommenter: { propagators: 1 } }], /^unknown option 'sqlcommenter.propagators'/],
    [[1], /^pool must be a Pool/],
    [[{}, {}], /^pool must be a Pool/],
    [[{ captureParameter: true }], /unknown option 'captureParameter'/],
  ];
  for (const [given, message] of cases) {
    const call = () => instrument(.../** @type {any} */ (given));
    assert.throws(
      call,
      (/** @type {any} */ error) => error instanceof OptionError && /** @type {RegExp} */ (message).test(error.message),
    );
  }
  assert.deepEqual(listened(), []);
});

test('otel: without @opentelemetry/api the error says what to install', (t) => {
  // The package as it is installed: a folder with no node_modules above it.
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-otel-')));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const home = path.join(folder, 'node_modules', 'hyperiondb-client');
  fs.mkdirSync(home, { recursive: true });
  for (const name of fs.readdirSync(ROOT)) {
    if (/^(?:client\.js|exports|index\.js|lib|package\.json)$|\.node$/.test(name)) {
      fs.cpSync(path.join(ROOT, name), path.join(home, name), { recursive: true });
    }
  }
  const program = `
    const { instrument } = require('hyperiondb-client/otel');
    try { instrument(); } catch (error) { console.log(error.code + ' ' + error.message); }`;
  const said = execFileSync(process.execPath, ['-e', program], { cwd: folder, encoding: 'utf8' });
  assert.match(said, /^ERR_INVALID_OPTION .*@opentelemetry\/api.*npm install @opentelemetry\/api/);
});

test('otel: instrument() is of the pools that are there and of those to come, instrument(pool) of one', async (t) => {
  const before = db.pool(t);
  const all = instrumented(t, undefined);
  const after = db.pool(t);
  await before.query('SELECT 1');
  await after.query('SELECT 1');
  assert.equal(all.spans().length, 2);
  all.disable();
  const one = instrumented(t, after);
  await before.query('SELECT 1');
  await after.query('SELECT 1');
  assert.equal(all.spans().length, 2);
  assert.equal(one.spans().length, 1);
});

test('otel: a statement has one span, however often its pool is instrumented', async (t) => {
  const pool = db.pool(t);
  const other = db.pool(t);
  const all = instrumented(t, undefined);
  const first = instrumented(t, pool);
  const second = instrumented(t, pool);
  const everybody = [all, first, second];
  const counts = () => everybody.map(({ spans }) => spans().length);
  await pool.query('SELECT 1');
  await other.query('SELECT 1');
  assert.deepEqual(counts(), [1, 0, 1]);
  second.disable();
  await pool.query('SELECT 1');
  assert.deepEqual(counts(), [1, 1, 1]);
  first.disable();
  first.disable();
  await pool.query('SELECT 1');
  assert.deepEqual(counts(), [2, 1, 1]);
});

test('otel: two copies of the package make one span', async (t) => {
  const mine = Object.keys(require.cache).filter((file) => file.startsWith(path.join(ROOT, 'exports', 'otel')));
  const kept = mine.map((file) => [file, require.cache[file]]);
  for (const file of mine) delete require.cache[file];
  const { instrument: ofCopy } = require('../../exports/otel');
  for (const [file, module] of kept) require.cache[/** @type {string} */ (file)] = /** @type {any} */ (module);
  assert.notEqual(ofCopy, instrument);
  const pool = db.pool(t);
  const one = instrumented(t, undefined);
  const copy = spanSdk();
  const instrumentation = ofCopy(undefined, { tracerProvider: copy.provider });
  await pool.query('SELECT 1');
  assert.deepEqual([one.spans().length, copy.spans().length], [0, 1]);
  instrumentation.disable();
  await pool.query('SELECT 1');
  assert.deepEqual([one.spans().length, copy.spans().length], [1, 1]);
});

test('otel: disable() lets what has begun end, and leaves no listener', async (t) => {
  const pool = db.pool(t);
  assert.deepEqual(listened(), []);
  const { spans, disable, metrics } = instrumented(t, pool);
  const tx = await pool.begin();
  const running = tx.query('SELECT pg_sleep(0.1)');
  disable();
  const later = pool.query('SELECT 2');
  await running;
  await later;
  await tx.commit();
  const names = spans().map(({ name }) => name);
  assert.deepEqual(names, ['SELECT', `transaction ${db.cluster.database}`]);
  assert.deepEqual(listened(), []);
  const { 'db.client.operation.duration': duration, 'db.client.connection.count': count } = await metrics();
  assert.equal(duration.dataPoints[0].value.count, 1);
  assert.equal(count, undefined);
});

test('otel: providers that are registered later are used from then on', async (t) => {
  const pool = db.pool(t);
  const instrumentation = instrument(pool);
  t.after(() => {
    instrumentation.disable();
    api.trace.disable();
    api.metrics.disable();
  });
  await pool.query('SELECT 1');
  const { provider: tracerProvider, spans } = spanSdk();
  const { provider: meterProvider, metrics } = metricSdk();
  api.trace.setGlobalTracerProvider(tracerProvider);
  api.metrics.setGlobalMeterProvider(meterProvider);
  await pool.query('VALUES (1)');
  await pool.query('VALUES (1)');
  assert.deepEqual(
    spans().map(({ name }) => name),
    ['VALUES', 'VALUES'],
  );
  const { 'db.client.operation.duration': duration, 'db.client.connection.max': max } = await metrics();
  assert.equal(duration.dataPoints[0].value.count, 2);
  assert.equal(max.dataPoints.length, 1);
});

test('otel: what a sampler, a processor or a propagator throws fails no statement, and ends no process', async (t) => {
  const pool = db.pool(t);
  const thrower = () => {
    throw new Error('thrown by the test');
  };
  /** @type {string[]} */
  const told = [];
  api.diag.setLogger({ error: (...said) => told.push(said.join(' ')), warn() {}, info() {}, debug() {}, verbose() {} });
  t.after(() => api.diag.disable());
  const uncaught = (/** @type {Error} */ error) => told.push(`uncaught: ${error.message}`);
  process.on('uncaughtException', uncaught);
  t.after(() => process.off('uncaughtException', uncaught));
  const works = async () => {
    assert.deepEqual(await pool.query('SELECT $1::int AS n', [1]), [{ n: 1 }]);
    const sum = await pool.transaction(async (/** @type {any} */ tx) => (await tx.query('SELECT 2 AS n'))[0].n);
    assert.equal(sum, 2);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const sampler = { shouldSample: thrower, toString: () => 'thrower' };
  const first = instrumented(t, pool, { tracerProvider: spanSdk({ sampler }).provider });
  await works();
  first.disable();
  const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
  const processor = { onStart() {}, onEnd: thrower, shutdown: async () => {}, forceFlush: async () => {} };
  const second = instrumented(t, pool, { tracerProvider: new BasicTracerProvider({ spanProcessors: [processor] }) });
  await works();
  second.disable();
  const propagator = { inject: thrower, extract: thrower, fields: () => [] };
  const third = instrumented(t, pool, { sqlcommenter: { propagator } });
  await works();
  third.disable();
  assert.ok(told.length >= 3);
  for (const line of told) assert.match(line, /^hyperiondb-client\/otel.*thrown by the test/);
  assert.deepEqual(listened(), []);
});

test('otel: each worker thread instruments its own pools', async () => {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { createPool } = require(workerData.root + '/client.js');
    const { spanSdk } = require(workerData.root + '/test/observability/otel-sdk.js');
    const { instrument } = require(workerData.root + '/exports/otel');
    (async () => {
      const { provider, spans } = spanSdk();
      const { disable } = instrument({ tracerProvider: provider });
      const pool = createPool(workerData.login);
      await pool.query('SELECT 1');
      await pool.end();
      disable();
      parentPort.postMessage(spans().map(({ name }) => name));
    })();`;
  const workerData = { root: ROOT, login: db.options({}) };
  const workers = Array.from({ length: 3 }, () => new Worker(program, { eval: true, workerData }));
  const said = await Promise.all(
    workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))),
  );
  assert.deepEqual(said, [['SELECT'], ['SELECT'], ['SELECT']]);
  // This thread heard nothing.
  assert.deepEqual(listened(), []);
});

test('otel: a pool that is instrumented can be collected, and then nobody listens any more', async () => {
  const program = `
    const { channel } = require('node:diagnostics_channel');
    const { createPool } = require('${ROOT}/client.js');
    const { instrument } = require('${ROOT}/exports/otel');
    const start = channel('tracing:hyperiondb:query:start');
    let pool = createPool({ hosts: ['127.0.0.1:1'], user: 'u', password: 'p', database: 'd' });
    instrument(pool);
    const before = start.hasSubscribers;
    pool.end().then(async () => {
      pool = undefined;
      for (let n = 0; n < 100 && start.hasSubscribers; n++) {
        global.gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(before, start.hasSubscribers);
    });`;
  const said = execFileSync(process.execPath, ['--expose-gc', '-e', program], { encoding: 'utf8' });
  assert.equal(said, 'true false\n');
});

test('otel: a pool without any tracer works as before', async (t) => {
  const pool = createPool(db.options({}));
  t.after(() => pool.end());
  const instrumentation = instrument(pool);
  t.after(() => instrumentation.disable());
  assert.deepEqual(await pool.query('SELECT 1 AS n'), [{ n: 1 }]);
});
