'use strict';

// The contract of what the client tells of itself: a test for each sentence, through the names under which programs load the package.

const assert = require('node:assert/strict');
const { channel, tracingChannel } = require('node:diagnostics_channel');
const { Console } = require('node:console');
const { Writable } = require('node:stream');
const { describe } = require('node:test');
const { context, trace } = require('@opentelemetry/api');
const bunyan = require('bunyan');
const pino = require('pino');
const winston = require('winston');
const { createPool } = require('hyperiondb-client');
const prometheus = require('hyperiondb-client/metrics');
const otel = require('hyperiondb-client/otel');
const { ask, serve, viewer } = require('./dashboard.support.js');
const { metricSdk, spanSdk } = require('./otel-sdk.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { run, start } = require('../support/command.js');
const { readMetrics } = require('../support/exposition.js');
const { failureOf, ownCluster, printedBy, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });
const PARAMETER = 'parameter-kept-secret';
const TOKEN = 'token-kept-secret';
const EVENTS = /** @type {const} */ (['start', 'end', 'asyncStart', 'asyncEnd', 'error']);

/** @param {string[]} lines */
const collecting = (lines) =>
  new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });

/** Loggers as programs make them, which write to `lines`. @param {string[]} lines @returns {Record<string, any>} */
const loggersTo = (lines) => ({
  pino: pino({ level: 'debug' }, collecting(lines)),
  winston: winston.createLogger({
    level: 'debug',
    format: winston.format.json(),
    transports: [new winston.transports.Stream({ stream: collecting(lines) })],
  }),
  bunyan: bunyan.createLogger({
    name: 'contract',
    streams: [{ level: 'debug', stream: collecting(lines) }],
    serializers: { err: bunyan.stdSerializers.err },
  }),
});
/** What each calls a level. @type {Record<string, string[]>} */
const LEVELS = { pino: ['20', '30', '40', '50'], winston: ['debug', 'info', 'warn', 'error'] };
LEVELS.bunyan = LEVELS.pino;

/** @param {import('node:test').TestContext} t @param {string} name @returns {[event: string, message: any][]} */
function heardOn(t, name) {
  /** @type {[string, any][]} */
  const heard = [];
  const tracing = tracingChannel(name);
  const subscribers = Object.fromEntries(
    EVENTS.map((event) => [event, (/** @type {any} */ message) => void heard.push([event, message])]),
  );
  tracing.subscribe(/** @type {any} */ (subscribers));
  t.after(() => tracing.unsubscribe(/** @type {any} */ (subscribers)));
  return heard;
}

describe('contract: slow statements and loggers', () => {
  test('contract: slowQueryMs and the event slow have sql, durationMs, node, rowCount and waitMs', async (t) => {
    const pool = db.pool(t, { slowQueryMs: 100 });
    /** @type {any[]} */
    const slow = [];
    pool.on('slow', (/** @type {any} */ event) => slow.push(event));
    await pool.query('SELECT pg_sleep(0.12), $1::text', [PARAMETER]);
    await until('it is told', () => slow.length > 0);
    const { durationMs, waitMs, operation, ...rest } = slow[0];
    const [{ address }] = db.cluster.nodes;
    assert.deepEqual(rest, { sql: 'SELECT pg_sleep(0.12), $1::text', node: address, rowCount: 1 });
    assert.ok(durationMs >= 100 && waitMs >= 0 && waitMs <= durationMs);
    assert.equal(operation, 'query');
  });

  test('contract: parameters only with logParameters', async (t) => {
    for (const logParameters of [false, true]) {
      /** @type {any[]} */
      const told = [];
      const pool = db.pool(t, {
        slowQueryMs: 0,
        logParameters,
        logger: (/** @type {any} */ event) => told.push(event),
      });
      pool.on('slow', (/** @type {any} */ event) => told.push(event));
      await pool.query('SELECT $1::text', [PARAMETER]);
      await until('both are told', () => told.length === 2);
      const expected = logParameters ? [PARAMETER] : undefined;
      for (const event of told) assert.deepEqual(event.parameters, expected);
    }
  });

  for (const kind of Object.keys(LEVELS)) {
    test(`contract: logger takes ${kind} as it is, with its four levels`, async (t) => {
      /** @type {string[]} */
      const lines = [];
      const pool = db.pool(t, { logger: loggersTo(lines)[kind], slowQueryMs: 100 });
      await pool.query('SELECT 1 AS quick');
      await pool.query('SELECT pg_sleep(0.12)');
      await failureOf(pool.query('SELECT 1 / 0'));
      await until('all is written', () => lines.some((line) => line.includes('division by zero')));
      const of = (/** @type {string} */ text) =>
        lines.map((line) => JSON.parse(line)).find((line) => JSON.stringify(line).includes(text));
      const found = ['SELECT 1 AS quick', 'is the primary|the primary is|is up', 'pg_sleep', 'division by zero'].map(
        (texts) => texts.split('|').reduce((line, text) => line ?? of(text), /** @type {any} */ (undefined)),
      );
      assert.deepEqual(
        found.map(({ level }) => String(level)),
        LEVELS[kind],
      );
    });
  }

  test('contract: logger takes a function, and console as it is', async (t) => {
    /** @type {any[]} */
    const told = [];
    const pool = db.pool(t, { logger: (/** @type {any} */ event) => told.push(event) });
    await pool.query('SELECT 1 AS one');
    assert.deepEqual(
      told.map(({ sql, rowCount }) => [sql, rowCount]),
      [['SELECT 1 AS one', 1]],
    );
    /** @type {string[]} */
    const lines = [];
    await db.pool(t, { logger: new Console(collecting(lines)) }).query('SELECT 2 AS two');
    assert.ok(lines.some((line) => line.includes('SELECT 2 AS two')));
    assert.ok(lines.some((line) => line.includes('the primary is')));
    await createPool({ hosts: ['127.0.0.1'], logger: console }).end();
  });
});

describe('contract: numbers', () => {
  test('contract: stats() has all that is promised, and status() stays', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT i FROM generate_series(1, 3) i');
    await pool.query('SELECT i FROM generate_series(1, 3) i');
    await failureOf(pool.query('SELECT 1 / 0'));
    const { queries, rows, errors, retries, acquires, waits, failovers, ...rest } = pool.stats();
    assert.deepEqual(
      { queries, rows, errors, retries, failovers },
      { queries: 3, rows: 6, errors: { 22: 1 }, retries: {}, failovers: [] },
    );
    assert.ok(acquires >= 3 && waits >= 1 && waits <= acquires);
    assert.deepEqual([rest.fenceEvictions, rest.hedges], [0, 0]);
    assert.deepEqual(Object.keys(rest.prepared).sort(), ['evictions', 'hits', 'misses']);
    assert.equal(rest.prepared.hits, 1);
    const [{ inFlight, latencyMs, bytes }] = rest.nodes;
    assert.equal(inFlight, 0);
    assert.ok(0 < latencyMs.p50 && latencyMs.p50 <= latencyMs.p95 && latencyMs.p95 <= latencyMs.p99);
    assert.ok(bytes.in > 0 && bytes.out > 0);
    assert.deepEqual(Object.keys(pool.status()).sort(), [
      'available',
      'inUse',
      'maxSize',
      'pipelined',
      'size',
      'waiting',
    ]);
  });

  test('contract: metrics() is text for Prometheus: base units, _total for counters, and the prefix hyperiondb_', async (t) => {
    const pool = db.pool(t, { name: 'contract' });
    await pool.query('SELECT 1');
    const families = readMetrics(pool.metrics());
    for (const { name, type } of families.values()) {
      assert.match(name, /^hyperiondb_/);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.doesNotMatch(name, /_(ms|us|millis|milliseconds|microseconds|kb|kilobytes|percent)(_|$)/);
    }
    assert.equal(families.get('hyperiondb_queries_total')?.samples[0].value, 1);
    assert.equal(families.get('hyperiondb_node_latency_seconds')?.type, 'histogram');
  });

  test('contract: hyperiondb-client/metrics is of all pools of the process', async (t) => {
    for (const name of ['one', 'two']) await db.pool(t, { name }).query('SELECT 1');
    const { port } = await serve(t, prometheus.handler);
    const { status, headers, body } = await ask(port, '/metrics');
    assert.deepEqual([status, headers['content-type']], [200, prometheus.contentType]);
    for (const text of [body, prometheus.metrics()]) {
      for (const name of ['one', 'two'])
        assert.match(text, new RegExp(`^hyperiondb_queries_total\\{pool="${name}"\\} 1$`, 'm'));
    }
  });
});

describe('contract: node:diagnostics_channel', () => {
  test('contract: hyperiondb:query is a TracingChannel with sql, node and rowCount', async (t) => {
    const heard = heardOn(t, 'hyperiondb:query');
    const pool = db.pool(t);
    await pool.query('SELECT 1 AS one');
    assert.deepEqual(
      heard.map(([event]) => event),
      ['start', 'end', 'asyncStart', 'asyncEnd'],
    );
    const [{ address }] = db.cluster.nodes;
    const [, { sql, node, rowCount }] = heard[3];
    assert.deepEqual([sql, node, rowCount], ['SELECT 1 AS one', address, 1]);
    heard.length = 0;
    const error = await failureOf(pool.query('SELECT 1 / 0'));
    assert.deepEqual(
      heard.map(([event]) => event),
      ['start', 'end', 'error', 'asyncStart', 'asyncEnd'],
    );
    assert.deepEqual(
      [heard[2][1].sql, heard[2][1].node, heard[2][1].error.code],
      ['SELECT 1 / 0', address, error.code],
    );
  });

  test('contract: hyperiondb:transaction is a TracingChannel', async (t) => {
    const heard = heardOn(t, 'hyperiondb:transaction');
    const pool = db.pool(t);
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'));
    assert.deepEqual(
      heard.map(([event]) => event),
      ['start', 'end', 'asyncStart', 'asyncEnd'],
    );
    const [, { pool: of, outcome }] = heard[3];
    assert.ok(of === pool);
    assert.equal(outcome, 'committed');
  });

  test('contract: nobody who listens breaks a statement: loggers, listeners and subscribers may throw', async () => {
    const [uncaught, ...results] = await printedBy(
      db,
      `const { channel } = require('node:diagnostics_channel');
       let uncaught = 0;
       process.on('uncaughtException', () => uncaught++);
       const fails = () => { throw new Error('of a subscriber'); };
       for (const name of ['query', 'transaction'])
         for (const event of ${JSON.stringify(EVENTS)}) channel('tracing:hyperiondb:' + name + ':' + event).subscribe(fails);
       const pool = createPool({ ...options, slowQueryMs: 0, logger: { info: fails, warn: fails, error: fails, debug: fails } });
       pool.on('slow', fails);
       const results = [await pool.query('SELECT 1 AS one'), await pool.query('SELECT 1 / 0').catch((error) => error.code)];
       results.push(await pool.transaction((tx) => tx.query('SELECT 2 AS two')));
       await pool.end();
       print(uncaught > 0);
       for (const result of results) print(result);`,
    );
    assert.deepEqual([uncaught, ...results], ['true', '[{"one":1}]', '22012', '[{"two":2}]']);
  });
});

describe('contract: failovers', () => {
  test('contract: a failover has its phases in stats(), the event, the channel, the metrics, a log line and a span', async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    own.needs('switchover');
    /** @type {any[]} */
    const [published, emitted] = [[], []];
    const publish = (/** @type {unknown} */ message) => published.push(message);
    channel('hyperiondb:failover').subscribe(publish);
    t.after(() => channel('hyperiondb:failover').unsubscribe(publish));
    /** @type {string[]} */
    const lines = [];
    const { provider, spans } = spanSdk();
    const pool = own.pool(t, { name: 'failover', logger: loggersTo(lines).pino });
    const { disable } = otel.instrument(pool, { tracerProvider: provider });
    t.after(disable);
    pool.on('failover', (/** @type {any} */ failover) => emitted.push(failover));
    await pool.query('CREATE TABLE written (id int)');
    await own.cluster.switchover();
    await until('it is told', async () => {
      await pool.query('INSERT INTO written VALUES (1)');
      return emitted.length > 0;
    });
    const [failover] = pool.stats().failovers;
    assert.deepEqual([emitted, pool.stats().failoverCount], [[failover], 1]);
    const { pool: of, ...message } = published[0];
    assert.ok(of === pool);
    assert.deepEqual(message, failover);
    assert.ok(failover.noticed <= failover.found && failover.found <= failover.firstWrite);
    assert.ok(['statement', 'connection', 'monitor', 'fence'].includes(failover.by.source));
    assert.ok(failover.asked.length > 0);
    for (const name of ['held', 'retried', 'unknown']) assert.equal(typeof failover[name], 'number');
    const line = lines.map((text) => JSON.parse(text)).find(({ msg }) => msg.startsWith('failover'));
    assert.deepEqual([line.level, line.to], [30, failover.to]);
    const span = spans().find(({ name }) => name === 'failover');
    assert.equal(span?.attributes['hyperiondb.failover.to'], failover.to);
    assert.match(pool.metrics(), /^hyperiondb_failover_seconds\{pool="failover",phase="first_write"\} /m);
  });
});

describe('contract: OpenTelemetry', () => {
  test('contract: instrument() makes spans by the conventions, which nest under the span of the caller', async (t) => {
    const { provider, spans } = spanSdk();
    const pool = db.pool(t);
    const { disable } = otel.instrument(pool, { tracerProvider: provider });
    t.after(disable);
    const caller = provider.getTracer('program').startSpan('request');
    await context.with(trace.setSpan(context.active(), caller), async () => {
      await pool.query('SELECT $1::text', [PARAMETER]);
      await failureOf(pool.query('SELECT 1 / 0'));
    });
    const [{ host, port }] = db.cluster.nodes;
    const [selected, failed] = spans();
    for (const { parentSpanContext } of [selected, failed])
      assert.equal(parentSpanContext?.spanId, caller.spanContext().spanId);
    assert.deepEqual(selected.attributes, {
      'db.system.name': 'postgresql',
      'db.namespace': db.cluster.database,
      'db.operation.name': 'SELECT',
      'db.query.summary': 'SELECT',
      'db.query.text': 'SELECT $1::text',
      'server.address': host,
      'server.port': port,
    });
    assert.equal(failed.attributes['db.response.status_code'], '22012');
  });

  test('contract: instrument() measures db.client.operation.duration and db.client.connection.*', async (t) => {
    const { provider, metrics } = metricSdk();
    const pool = db.pool(t);
    const { disable } = otel.instrument(pool, { meterProvider: provider });
    t.after(disable);
    await pool.query('SELECT 1');
    const measured = await metrics();
    assert.equal(measured['db.client.operation.duration'].descriptor.unit, 's');
    assert.equal(measured['db.client.operation.duration'].dataPoints[0].value.count, 1);
    for (const name of ['count', 'max', 'pending_requests'])
      assert.ok(`db.client.connection.${name}` in measured, name);
  });
});

describe('contract: dashboard', () => {
  test('contract: the command serves a page on loopback without any external resource', async (t) => {
    const port = await freePort();
    const { hosts, user, database, password } = db.options();
    const args = [
      'dashboard',
      '--hosts',
      hosts.join(','),
      '--user',
      user,
      '--database',
      database,
      '--port',
      String(port),
    ];
    const running = start(args, { PGPASSWORD: password });
    t.after(() => running.child.kill('SIGKILL'));
    await running.printed(/Ctrl-C ends it/);
    assert.match(running.out, new RegExp(`^dashboard: http://127\\.0\\.0\\.1:${port}/ `));
    const { status, headers, body } = await ask(port, '/');
    assert.equal(status, 200);
    assert.doesNotMatch(body, /(?:src|href)="(?:https?:)?\/\//);
    assert.match(String(headers['content-security-policy']), /^default-src 'none'/);
    const again = await run(args, { PGPASSWORD: password });
    assert.deepEqual([again.code, again.out], [2, '']);
    assert.match(again.err, new RegExp(`port ${port} of 127.0.0.1 is in use: choose another one with --port`));
    assert.match((await run(['--help'])).out, /default 8432/);
  });

  test('contract: pool.dashboard() is the same as a handler, with live events: nodes with role, state, timeline, lag', async (t) => {
    const pool = db.pool(t);
    const { port } = await serve(t, pool.dashboard());
    assert.match((await ask(port, '/')).body, /^<!doctype html>/);
    const one = await viewer(port);
    const has = await until('the primary is shown', () =>
      JSON.stringify(one.events).includes('"role":"primary","state":"up"') ? JSON.stringify(one.events) : null,
    );
    for (const name of ['timeline', 'lagMs', 'lagBytes', 'statements', 'latencyMs', 'waits', 'failovers'])
      assert.ok(has.includes(`"${name}"`), name);
  });

  test('contract: with a token nothing is shown without it', async (t) => {
    const { port } = await serve(t, db.pool(t).dashboard({ token: TOKEN }));
    const status = async (/** @type {Record<string, string>} */ headers, path = '/events') =>
      (await ask(port, path, { method: 'HEAD', headers })).status;
    assert.deepEqual(
      [await status({}), await status({ Authorization: 'Bearer wrong' }), await status({}, '/?token=wrong')],
      [401, 401, 401],
    );
    assert.deepEqual(
      [await status({ Authorization: `Bearer ${TOKEN}` }), await status({}, `/?token=${TOKEN}`)],
      [200, 303],
    );
  });
});
