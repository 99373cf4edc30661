// Type tests of hyperiondb-client/otel. Compiled, never run.

import { metrics, propagation, trace } from '@opentelemetry/api';
import type { MeterProvider, TextMapPropagator, TracerProvider } from '@opentelemetry/api';
import { createPool } from '../../client.js';
import { type Instrumentation, type InstrumentOptions, instrument } from '../../exports/otel/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

same<
  Equal<
    Required<InstrumentOptions>,
    {
      tracerProvider: TracerProvider;
      meterProvider: MeterProvider;
      captureParameters: boolean;
      captureRows: boolean;
      sqlcommenter: boolean | { propagator: TextMapPropagator };
    }
  >
>();

declare const propagator: TextMapPropagator;
const pool = createPool();
const all: Instrumentation = instrument();
same<Equal<ReturnType<typeof all.disable>, void>>();
instrument(pool).disable();
instrument(undefined, { captureParameters: true });
instrument(pool, { tracerProvider: trace.getTracerProvider(), meterProvider: metrics.getMeterProvider() });
instrument({ sqlcommenter: true, captureRows: true });
instrument({ sqlcommenter: { propagator } });
void propagation;

// @ts-expect-error: an option that is not there
instrument(pool, { captureParameter: true });
// @ts-expect-error: no pool
instrument('pool');
// @ts-expect-error: a propagator is needed
instrument({ sqlcommenter: {} });
