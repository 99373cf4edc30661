'use strict';

// The spans of transactions: what runs in the callback of transaction() stands below them.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { trace } = require('@opentelemetry/api');
const { test, useCluster } = require('../support/helpers.js');
const { facts, instrumented } = require('./otel-sdk.js');

const db = useCluster({ nodes: 1, synchronous: false });

/** @param {import('@opentelemetry/sdk-trace-base').ReadableSpan[]} spans from a span to its parent, by their names */
function tree(spans) {
  const names = new Map(spans.map((span) => [span.spanContext().spanId, span.name]));
  return spans.map(({ name, parentSpanContext }) => [name, names.get(parentSpanContext?.spanId ?? '')]);
}

test('otel: a transaction is a span of its caller, and holds what its callback does', async (t) => {
  const pool = db.pool(t);
  const { spans, tracerProvider } = instrumented(t, pool);
  const tracer = tracerProvider.getTracer('app');
  await tracer.startActiveSpan('request', async (request) => {
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('SELECT 1');
      await sleep(1);
      await tracer.startActiveSpan('step', async (step) => {
        await tx.query('SELECT $1::int', [2]);
        step.end();
      });
    });
    // Behind it the span of the caller is active again.
    await pool.query('SHOW timezone');
    request.end();
  });
  const name = `transaction ${db.cluster.database}`;
  assert.deepEqual(tree(spans()), [
    ['SELECT', name],
    ['SELECT', 'step'],
    ['step', name],
    [name, 'request'],
    ['SHOW', 'request'],
    ['request', undefined],
  ]);
  const { host, port } = db.cluster.primary();
  assert.deepEqual(facts(spans()[3]), {
    name,
    kind: 'INTERNAL',
    attributes: {
      'db.system.name': 'postgresql',
      'db.namespace': db.cluster.database,
      'server.address': host,
      'server.port': port,
      'hyperiondb.transaction.outcome': 'committed',
      'hyperiondb.transaction.attempts': 1,
    },
    status: 'UNSET',
  });
});

test('otel: a nested transaction is a part of its outer one', async (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool);
  await pool.transaction((/** @type {any} */ tx) =>
    tx.transaction((/** @type {any} */ inner) => inner.query('VALUES (3)')),
  );
  const name = `transaction ${db.cluster.database}`;
  const all = tree(spans());
  assert.deepEqual(all.at(-1), [name, undefined]);
  assert.ok(all.some(([own]) => own === 'VALUES'));
  for (const [, parent] of all.slice(0, -1)) assert.equal(parent, name);
});

test('otel: an ambient pool nests in the same way', async (t) => {
  const pool = db.pool(t, { ambient: true });
  const { spans } = instrumented(t, pool);
  await pool.transaction(async () => {
    await pool.query('SELECT 1');
    await pool.outside(() => pool.query('VALUES (1)'));
  });
  const name = `transaction ${db.cluster.database}`;
  assert.deepEqual(tree(spans()), [
    ['SELECT', name],
    ['VALUES', name],
    [name, undefined],
  ]);
});

test('otel: a transaction whose callback throws is rolled back, with the type of the error', async (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool, {});
  const failed = pool.transaction(async (/** @type {any} */ tx) => {
    await tx.query('SELECT 1');
    throw new RangeError('too many');
  });
  await assert.rejects(failed, RangeError);
  const { status, attributes } = spans()[1];
  assert.deepEqual(status, { code: 2, message: 'too many' });
  assert.equal(attributes['error.type'], 'RangeError');
  assert.equal(attributes['hyperiondb.transaction.outcome'], 'rolled back');
});

test('otel: a transaction that runs again is one span, and says how often it was begun', async (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool, {});
  let attempts = 0;
  const run = pool.transaction(
    async (/** @type {any} */ tx) => {
      attempts += 1;
      if (attempts < 3) await tx.query("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$");
      await tx.query('SELECT 1');
    },
    { retries: 5, isolation: 'serializable' },
  );
  await run;
  const whole = spans().filter(({ name }) => name.startsWith('transaction'));
  assert.equal(whole.length, 1);
  assert.equal(whole[0].attributes['hyperiondb.transaction.attempts'], 3);
  assert.equal(whole[0].attributes['hyperiondb.transaction.isolation'], 'serializable');
  // "Errors that were retried or handled SHOULD NOT be recorded on spans that describe this operation."
  assert.equal(facts(whole[0]).status, 'UNSET');
});

test('otel: begin() has a span until it is ended, and does not become the active one', async (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool);
  const before = trace.getActiveSpan();
  const tx = await pool.begin();
  assert.equal(trace.getActiveSpan(), before);
  await tx.query('SELECT 1');
  assert.deepEqual(tree(spans()), [['SELECT', undefined]]);
  await tx.rollback();
  const [, span] = spans();
  assert.equal(span.attributes['hyperiondb.transaction.outcome'], 'rolled back');
  assert.equal(facts(span).status, 'UNSET');
});
