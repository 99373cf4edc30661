'use strict';

// The SDK of OpenTelemetry with exporters that take everything and keep nothing: what is measured is the instrumentation and the SDK, not
// a collector. All instrumented clients get the same.

const { context, metrics, trace } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { AggregationTemporality, MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');

/** How many spans and durations were exported. */
const exported = { spans: 0, durations: 0 };
const SUCCESS = { code: 0 };

const spanExporter = {
  export(/** @type {unknown[]} */ spans, /** @type {(result: any) => void} */ done) {
    exported.spans += spans.length;
    done(SUCCESS);
  },
  shutdown: async () => {},
  forceFlush: async () => {},
};

const metricExporter = {
  export(/** @type {any} */ { scopeMetrics }, /** @type {(result: any) => void} */ done) {
    const all = scopeMetrics.flatMap((/** @type {any} */ scope) => scope.metrics);
    const durations = all.find(
      (/** @type {any} */ { descriptor }) => descriptor.name === 'db.client.operation.duration',
    );
    for (const { value } of durations?.dataPoints ?? []) exported.durations += value.count;
    done(SUCCESS);
  },
  selectAggregationTemporality: () => AggregationTemporality.DELTA,
  shutdown: async () => {},
  forceFlush: async () => {},
};

function startSdk() {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  // As many as are made between two exports: a queue that is full would drop spans, and dropping is cheap.
  const batches = new BatchSpanProcessor(spanExporter, {
    maxQueueSize: 100_000,
    maxExportBatchSize: 10_000,
    scheduledDelayMillis: 50,
  });
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [batches] }));
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 1_000 });
  const meters = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(meters);
  return {
    /** What was exported so far. */
    async exported() {
      await batches.forceFlush();
      await meters.forceFlush();
      return { ...exported };
    },
  };
}

module.exports = { startSdk };
