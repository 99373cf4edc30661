'use strict';

// A program that is traced: prints which span stands below which, and what was measured. It gets the login as its argument.

const { createPool } = require('../../client.js');
const { instrument } = require('../../exports/otel');
const { metricSdk, spanSdk } = require('./otel-sdk.js');

async function main() {
  const { provider: tracerProvider, spans } = spanSdk();
  const { provider: meterProvider, metrics } = metricSdk();
  const instrumentation = instrument({ tracerProvider, meterProvider });
  const pool = createPool(JSON.parse(process.argv[2]));
  const tracer = tracerProvider.getTracer('app');
  await tracer.startActiveSpan('request', async (request) => {
    await pool.transaction(async (tx) => {
      await tx.query('SELECT 1');
      await new Promise((resolve) => setTimeout(resolve, 1));
      await tracer.startActiveSpan('step', async (step) => {
        await tx.query('VALUES (2)');
        step.end();
      });
    });
    await pool.query('SHOW timezone');
    request.end();
  });
  const { 'db.client.operation.duration': duration } = await metrics();
  instrumentation.disable();
  await pool.end();
  const names = new Map(spans().map((span) => [span.spanContext().spanId, span.name]));
  console.log(
    JSON.stringify({
      tree: spans().map(({ name, parentSpanContext }) => [name, names.get(parentSpanContext?.spanId ?? '') ?? null]),
      durations: duration.dataPoints.reduce(
        (/** @type {number} */ sum, /** @type {any} */ { value }) => sum + value.count,
        0,
      ),
    }),
  );
}

main();
