'use strict';

// The SDK of OpenTelemetry, with exporters that keep what they are given.

const { SpanKind, SpanStatusCode, context } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { instrument } = require('../../exports/otel');

// One for the process: the API keeps it in a global.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

/** @typedef {import('@opentelemetry/sdk-trace-base').ReadableSpan} ReadableSpan */

/** A tracer provider, and the spans that have ended. @param {object} [options] of the provider */
function spanSdk(options) {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ ...options, spanProcessors: [new SimpleSpanProcessor(exporter)] });
  return {
    provider,
    /** @returns {ReadableSpan[]} */
    spans: () => exporter.getFinishedSpans(),
    reset: () => exporter.reset(),
  };
}

/** A meter provider, and what is measured now. @param {number} [temporality] */
function metricSdk(temporality = AggregationTemporality.CUMULATIVE) {
  const exporter = new InMemoryMetricExporter(temporality);
  // The timer is unref'd, and never fires in a test.
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 0x7fff_ffff });
  const provider = new MeterProvider({ readers: [reader] });
  return {
    provider,
    /** By their names. @returns {Promise<Record<string, any>>} */
    async metrics() {
      exporter.reset();
      await reader.forceFlush();
      const [resource] = exporter.getMetrics();
      const all = resource?.scopeMetrics.flatMap(({ metrics }) => metrics) ?? [];
      return Object.fromEntries(all.map((metric) => [metric.descriptor.name, metric]));
    },
  };
}

/**
 * Instruments until the end of a test.
 * @param {import('node:test').TestContext} t
 * @param {any} pool undefined: all
 * @param {object} [options]
 */
function instrumented(t, pool, options) {
  const traced = spanSdk();
  const measured = metricSdk();
  const providers = { tracerProvider: traced.provider, meterProvider: measured.provider };
  const instrumentation = instrument(pool, { ...providers, ...options });
  t.after(() => instrumentation.disable());
  return { ...traced, ...measured, ...providers, disable: () => instrumentation.disable() };
}

/** What a test compares of a span. @param {ReadableSpan} span */
const facts = ({ name, kind, attributes, status }) => ({
  name,
  kind: SpanKind[kind],
  attributes: { ...attributes },
  status: SpanStatusCode[status.code],
});

module.exports = { facts, instrumented, metricSdk, spanSdk };
