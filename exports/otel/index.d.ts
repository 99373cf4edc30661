// Types of hyperiondb-client/otel: spans and metrics of pools for OpenTelemetry, by its stable semantic conventions for databases.

import type { MeterProvider, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import type { Pool } from '../../client.js';

export interface InstrumentOptions {
  /**
   * Makes the spans. Default: the global provider of `@opentelemetry/api`, also one that is registered later.
   */
  tracerProvider?: TracerProvider;
  /**
   * Takes the metrics. Default: the global provider of `@opentelemetry/api`. One that is registered later is noticed with the next
   * statement.
   */
  meterProvider?: MeterProvider;
  /**
   * Whether spans have the parameters of their statements (`db.query.parameter.0` is `$1`), and messages of errors that repeat what
   * the caller has sent. Parameters may be personal data. Default: `false`.
   */
  captureParameters?: boolean;
  /**
   * Whether spans have the number of rows that the statement returned (`db.response.returned_rows`), and there is a histogram of it
   * (`db.client.response.returned_rows`). Default: `false`.
   */
  captureRows?: boolean;
  /**
   * Whether a comment with the `traceparent` of its span is appended to each statement of a sampled trace, as
   * google.github.io/sqlcommenter/spec says, so that the server's log can be joined with the traces. The comment comes from the global
   * propagator, or from the one given here. Such a statement is prepared anew each time: docs/observability.md says what it costs.
   * Default: `false`.
   */
  sqlcommenter?: boolean | { propagator: TextMapPropagator };
}

export interface Instrumentation {
  /** Makes no more spans and metrics. What has begun is told to its end. */
  disable(): void;
}

/**
 * Makes spans and metrics of what a pool does; without a pool, of all pools of this thread, those of the future included. Pools of
 * `hyperiondb-client/pg` and of the other entry points are such pools, too. Needs the package `@opentelemetry/api`.
 *
 * A statement never has two spans: of several instrumentations the last one for its pool tells of it, or else the last one for all
 * pools. Call it in each worker thread that has pools.
 */
export function instrument(pool?: Pool, options?: InstrumentOptions): Instrumentation;
export function instrument(options: InstrumentOptions): Instrumentation;

// Without it everything here would be exported, named so or not.
// biome-ignore lint/complexity/noUselessEmptyExport: see above
export {};
