'use strict';

// Pools as the metrics see them, without a core: every number is known, and different from the others.

/** @param {[bound: number, count: number][]} buckets in microseconds */
const histogram = (buckets) => ({
  count: buckets.reduce((sum, [, count]) => sum + count, 0),
  sumUs: 1_234_567,
  maxUs: 2_000_000,
  buckets,
});

/** What the core tells of a pool that has been through everything. */
const STATS = {
  since: 1_700_000_000_000,
  queries: 1_001,
  rows: 1_002,
  errors: { 23: 3, ERR_NO_PRIMARY: 4 },
  unknownOutcomes: 5,
  transactions: { begun: 6, committed: 7, rolledBack: 8 },
  retries: { connectionLost: 9, fenced: 10 },
  acquires: 11,
  waits: 12,
  wait: histogram([
    [100, 1],
    [250, 2],
    [260, 4],
    [10_000_000, 8],
    [11_000_000, 16],
  ]),
  failovers: [
    { noticed: 1_700_000_001_000, found: 1_700_000_002_000, firstWrite: null, held: 1, retried: 1, unknown: 1 },
    {
      noticed: 1_700_000_010_000,
      found: 1_700_000_012_500,
      firstWrite: 1_700_000_012_750,
      held: 13,
      retried: 14,
      unknown: 15,
    },
  ],
  failoverCount: 16,
  fenceEvictions: 17,
  hedges: 18,
  hedgesWon: 19,
  prepared: { hits: 20, misses: 21, evictions: 22 },
  nodes: [
    { node: 'db1:5432', inFlight: 23, connections: 24, latency: histogram([[500, 25]]), bytes: { in: 26, out: 27 } },
    { node: '[::1]:5432', inFlight: 28, connections: 29, latency: histogram([]), bytes: { in: 30, out: 31 } },
  ],
};

const NODES = [
  {
    ...{ host: 'db1', port: 5432, role: 'primary', state: 'up', lastError: null, fit: true, timeline: 2 },
    ...{ lagBytes: null, lagMs: null, latencyMs: 0.25 },
  },
  {
    ...{ host: '::1', port: 5432, role: 'standby', state: 'fenced', lastError: 'gone', fit: false, timeline: null },
    ...{ lagBytes: 4_096, lagMs: 1_500, latencyMs: null },
  },
];

const STATUS = { maxSize: 32, size: 33, inUse: 34, waiting: 35, pipelined: 36 };

/**
 * @param {{ stats?: object, status?: object, nodes?: object[] }} [changes]
 * @returns {any} what metricsOf() takes beside a name
 */
const fakePool = ({ stats = {}, status = {}, nodes = NODES } = {}) => ({
  runner: { corePool: { stats: () => JSON.stringify({ ...STATS, ...stats }) }, retries: new Map([['40001', 37]]) },
  status: () => ({ ...STATUS, ...status }),
  nodes: () => nodes,
});

module.exports = { NODES, STATS, fakePool, histogram };
