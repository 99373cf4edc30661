// Types of hyperiondb-client/metrics: the metrics of all open pools, for Prometheus.

import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * The metrics of all open pools of this thread in the text format of Prometheus, version 0.0.4, those of `hyperiondb-client/pg`,
 * `/serverless` and `/clusters` included. The label `pool` has the name of each ({@link PoolOptions.name}). Without an open pool it is
 * empty. It may stand beside the text of other libraries, and of `MultiClusterPostgres.prometheus()`: no name is in both.
 */
export function metrics(): string;

/** The `Content-Type` of a response with that text. */
export const contentType: string;

/**
 * Answers a scrape: `http.createServer(handler)`, or `app.get('/metrics', handler)` of Express. It does not look at the path; what is
 * neither GET nor HEAD is answered with 405.
 */
export function handler(req: IncomingMessage, res: ServerResponse): void;

// Without it everything here would be exported, named so or not.
// biome-ignore lint/complexity/noUselessEmptyExport: see above
export {};
