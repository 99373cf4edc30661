'use strict';

// The spans of statements, by the real SDK: each attribute, name, kind and status is what the stable semantic conventions for databases
// say (opentelemetry.io/docs/specs/semconv/db/postgresql).

const assert = require('node:assert/strict');
const { test, until, useCluster } = require('../support/helpers.js');
const { facts, instrumented } = require('./otel-sdk.js');
const pg = require('../../exports/pg');

const db = useCluster({ nodes: 2, synchronous: false });

/** The attributes that all spans have. */
function common() {
  const { host, port } = db.cluster.primary();
  return {
    'db.system.name': 'postgresql',
    'db.namespace': db.cluster.database,
    'server.address': host,
    'server.port': port,
  };
}

/** @param {any} t @param {object} [options] */
function open(t, options) {
  const pool = db.pool(t);
  return { pool, ...instrumented(t, pool, options) };
}

/** The one span that has ended. @param {{ spans: () => any[] }} otel */
function onlySpan({ spans }) {
  assert.equal(spans().length, 1);
  return spans()[0];
}

test('otel: the span of a statement with parameters keeps its text', async (t) => {
  const otel = open(t);
  await otel.pool.query('SELECT relname FROM pg_class WHERE oid = $1', [1]);
  assert.deepEqual(facts(onlySpan(otel)), {
    name: 'SELECT pg_class',
    kind: 'CLIENT',
    attributes: {
      ...common(),
      'db.operation.name': 'SELECT',
      'db.query.summary': 'SELECT pg_class',
      'db.query.text': 'SELECT relname FROM pg_class WHERE oid = $1',
    },
    status: 'UNSET',
  });
  assert.equal(otel.spans()[0].instrumentationScope.name, 'hyperiondb-client');
});

test('otel: a text without parameters is told without its literals', async (t) => {
  const otel = open(t);
  await otel.pool.query("SELECT relname FROM pg_class WHERE relname = 'secret' AND oid = 4711");
  assert.equal(
    onlySpan(otel).attributes['db.query.text'],
    'SELECT relname FROM pg_class WHERE relname = ? AND oid = ?',
  );
});

test('otel: a script is one span without literals, and has no single operation', async (t) => {
  const otel = open(t);
  await otel.pool.exec(
    "CREATE TABLE script (id int, name text); INSERT INTO script VALUES (1, 'secret'); DROP TABLE script",
  );
  assert.deepEqual(facts(onlySpan(otel)), {
    name: 'CREATE TABLE script INSERT script DROP TABLE script',
    kind: 'CLIENT',
    attributes: {
      ...common(),
      'db.query.summary': 'CREATE TABLE script INSERT script DROP TABLE script',
      'db.query.text': 'CREATE TABLE script (id int, name text); INSERT INTO script VALUES (?, ?); DROP TABLE script',
    },
    status: 'UNSET',
  });
});

test('otel: a failure of the server has its SQLSTATE as status code and type', async (t) => {
  const otel = open(t);
  await assert.rejects(otel.pool.query('SELECT nothing FROM pg_class'));
  const { status, attributes, events } = onlySpan(otel);
  assert.deepEqual(status, { code: 2, message: 'column "nothing" does not exist' });
  assert.equal(attributes['error.type'], '42703');
  assert.equal(attributes['db.response.status_code'], '42703');
  // "It is NOT RECOMMENDED to record the error via a span event."
  assert.deepEqual(events, []);
});

test('otel: a failure of the client has its code as type, and no status code', async (t) => {
  const otel = open(t);
  const signal = AbortSignal.timeout(20);
  await assert.rejects(otel.pool.query('SELECT pg_sleep(60)', [], { signal }));
  const { status, attributes } = onlySpan(otel);
  assert.equal(status.code, 2);
  assert.equal(attributes['error.type'], 'ABORT_ERR');
  assert.ok(!('db.response.status_code' in attributes));
});

test('otel: an error that repeats what was sent has a description only with captureParameters', async (t) => {
  const pool = db.pool(t);
  for (const captureParameters of [false, true]) {
    const otel = instrumented(t, pool, { captureParameters });
    await assert.rejects(pool.query("SELECT 'secret'::int"), { code: '22P02' });
    await assert.rejects(pool.query("SELECT 1 'secret' 2"), { code: '42601' });
    const messages = otel.spans().map(({ status }) => status.message);
    if (captureParameters) assert.match(messages.join(), /secret.*secret/);
    else assert.deepEqual(messages, [undefined, undefined]);
  }
});

test('otel: parameters are told only with captureParameters', async (t) => {
  const pool = db.pool(t);
  const without = instrumented(t, pool);
  const run = () => pool.query('SELECT $1::text, $2::int', ['secret', 7]);
  await run();
  assert.ok(!JSON.stringify(facts(onlySpan(without))).includes('secret'));
  const otel = instrumented(t, pool, { captureParameters: true });
  await run();
  await pool.batch([
    ['SELECT $1::text', ['secret']],
    ['SELECT $1::text', ['secret']],
  ]);
  const [query, batch] = otel.spans();
  assert.equal(query.attributes['db.query.parameter.0'], 'secret');
  assert.equal(query.attributes['db.query.parameter.1'], '7');
  // "db.query.parameter.<key> SHOULD NOT be captured on batch operations."
  assert.ok(!JSON.stringify(facts(batch)).includes('secret'));
});

test('otel: the rows that came back are told only with captureRows', async (t) => {
  const pool = db.pool(t);
  const otel = instrumented(t, pool, { captureRows: true });
  await pool.exec('CREATE TABLE counted (id int)');
  await pool.query('SELECT generate_series(1, 5)');
  await pool.query('INSERT INTO counted SELECT generate_series(1, 3)');
  await pool.query('INSERT INTO counted VALUES (1), (2) RETURNING id');
  await pool.exec('DROP TABLE counted');
  const rows = otel.spans().map(({ attributes }) => attributes['db.response.returned_rows']);
  assert.deepEqual(rows, [undefined, 5, undefined, 2, undefined]);
});

test('otel: a batch is one operation', async (t) => {
  const otel = open(t);
  await otel.pool.batch([
    ['SELECT $1::int', [1]],
    ['SELECT $1::int', [2]],
  ]);
  await otel.pool.batch([['SELECT $1::int', [1]], 'SHOW timezone', 'SELECT 1']);
  await otel.pool.batch(['SELECT 1']);
  const [same, mixed, single] = otel.spans().map(facts);
  assert.deepEqual(same, {
    name: 'BATCH SELECT',
    kind: 'CLIENT',
    attributes: {
      ...common(),
      'db.operation.name': 'BATCH SELECT',
      'db.query.summary': 'BATCH SELECT',
      'db.query.text': 'SELECT $1::int',
      'db.operation.batch.size': 2,
    },
    status: 'UNSET',
  });
  assert.equal(mixed.name, 'BATCH');
  assert.equal(mixed.attributes['db.operation.name'], 'BATCH');
  assert.equal(mixed.attributes['db.query.text'], 'SELECT $1::int; SHOW timezone; SELECT ?');
  assert.equal(mixed.attributes['db.operation.batch.size'], 3);
  // "Operations are only considered batches when they contain two or more operations."
  assert.equal(single.name, 'SELECT');
  assert.ok(!('db.operation.batch.size' in single.attributes));
});

test('otel: a batch of which a statement has failed has the error of the first one', async (t) => {
  const otel = open(t);
  const ends = await otel.pool.batch(['SELECT 1', 'SELECT 1/0', 'SELECT nothing', 'SELECT 2']);
  assert.deepEqual(
    ends.map((/** @type {any} */ { status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  const { attributes, status } = facts(onlySpan(otel));
  assert.deepEqual(
    [attributes['error.type'], attributes['db.response.status_code'], status],
    ['22012', '22012', 'ERROR'],
  );
});

test('otel: loads and unloads name their table', async (t) => {
  const otel = open(t);
  await otel.pool.exec('CREATE TABLE loaded (id int)');
  otel.reset();
  await otel.pool.copyFrom('loaded (id)', [[1], [2]]);
  await otel.pool.copyTo('loaded').forEach(() => {});
  await otel.pool.copyTo('COPY (SELECT * FROM loaded WHERE id > 4711) TO STDOUT').forEach(() => {});
  const [load, unload, query] = otel.spans().map(facts);
  assert.deepEqual(load, {
    name: 'COPY loaded',
    kind: 'CLIENT',
    attributes: {
      ...common(),
      'db.operation.name': 'COPY',
      'db.collection.name': 'loaded',
      'db.query.summary': 'COPY loaded',
    },
    status: 'UNSET',
  });
  assert.match(String(unload.attributes['db.collection.name']), /^"?loaded"?$/);
  assert.equal(query.name, 'COPY SELECT loaded');
  assert.ok(!('db.collection.name' in query.attributes));
  assert.ok(!JSON.stringify(query).includes('4711'));
  await otel.pool.exec('DROP TABLE loaded');
});

test('otel: the span of a stream ends with the stream', async (t) => {
  const otel = open(t);
  const stream = otel.pool.stream('SELECT generate_series(1, 100000) AS n', [], { batchSize: 100 });
  for await (const { n } of stream) if (n === 1) assert.equal(otel.spans().length, 0);
  assert.equal(onlySpan(otel).name, 'SELECT');
});

test('otel: a stream that is left early has a span without an error', async (t) => {
  const otel = open(t);
  for await (const _row of otel.pool.stream('SELECT generate_series(1, 1000000)', [])) break;
  await until('the span has ended', () => otel.spans().length === 1);
  assert.equal(facts(onlySpan(otel)).status, 'UNSET');
});

test('otel: a read has the node that answered', async (t) => {
  const pool = db.pool(t);
  const [standby] = db.cluster.standbys();
  await until('a standby is fit', async () => (await pool.read('SELECT 1')).node === `${standby.host}:${standby.port}`);
  const otel = instrumented(t, pool);
  const { node } = await pool.read('SELECT 1');
  const { attributes } = onlySpan(otel);
  assert.equal(`${attributes['server.address']}:${attributes['server.port']}`, node);
  assert.equal(node, `${standby.host}:${standby.port}`);
});

test('otel: spans nest under the one of their caller, each under its own', async (t) => {
  const { pool, spans, tracerProvider } = open(t);
  const tracer = tracerProvider.getTracer('app');
  const request = (/** @type {number} */ n) =>
    tracer.startActiveSpan(`request ${n}`, async (span) => {
      for (let i = 0; i < 3; i++) await pool.query('SELECT $1::int', [n]);
      await Promise.all([pool.query('SELECT 1'), pool.batch(['SELECT 1']), pool.read('SELECT 1')]);
      span.end();
    });
  await Promise.all(Array.from({ length: 20 }, (_, n) => request(n)));
  const requests = spans().filter(({ name }) => name.startsWith('request'));
  assert.equal(requests.length, 20);
  for (const parent of requests) {
    const { traceId, spanId } = parent.spanContext();
    const children = spans().filter(({ parentSpanContext }) => parentSpanContext?.spanId === spanId);
    assert.equal(children.length, 6);
    for (const child of children) assert.equal(child.spanContext().traceId, traceId);
  }
});

test('otel: hyperiondb-client/pg has spans, too', async (t) => {
  const otel = instrumented(t, undefined);
  const { host, port } = db.cluster.primary();
  const { user, password, database } = db.cluster;
  const pool = new pg.Pool({ host, port, user, password, database });
  const { rows } = await pool.query('SELECT $1::int AS n', [1]);
  assert.deepEqual(rows, [{ n: 1 }]);
  await pool.end();
  const span = otel.spans().find(({ attributes }) => attributes['db.query.text'] === 'SELECT $1::int AS n');
  assert.deepEqual(span && facts(span), {
    name: 'SELECT',
    kind: 'CLIENT',
    attributes: {
      ...common(),
      'db.operation.name': 'SELECT',
      'db.query.summary': 'SELECT',
      'db.query.text': 'SELECT $1::int AS n',
    },
    status: 'UNSET',
  });
});
