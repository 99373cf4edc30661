'use strict';

// One look at a pool: what its counters have gained since the last one, and what is true at this moment.

const { labelOf } = require('../../options/hosts.js');
const { difference, percentile } = require('../../values/histogram.js');

/** @typedef {import('../../values/histogram.js').Histogram} Histogram */
/** What pool.nodes() has of each. @typedef {Record<string, any> & { host: string, port: number }} NodeStatus */
/** @typedef {{ size: number, maxSize: number, inUse: number, waiting: number }} PoolStatus */
/** What statistics.js returns of a pool: times in milliseconds since 1970, latencies as histograms. @typedef {Record<string, any>} Raw */
/** @typedef {{ at: number, clock: number, raw: Raw, nodes: NodeStatus[], pool: PoolStatus }} Look `clock`: of performance.now() */

const NOTHING = /** @type {Histogram} */ ({ count: 0, sumUs: 0, maxUs: 0, buckets: [] });
const NO_COUNTS = { latency: NOTHING, inFlight: 0, connections: 0, bytes: { in: 0, out: 0 } };
/** The quantiles that are shown. */
const SHARES = /** @type {const} */ ([
  ['p50', 0.5],
  ['p95', 0.95],
  ['p99', 0.99],
]);

/** Fewer digits are fewer bytes for each viewer. @param {number} value */
const short = (value) => Number(value.toPrecision(4));

/** What was counted between two looks. @param {Histogram} later @param {Histogram} [earlier] */
const gained = (later, earlier = NOTHING) => (later.count === earlier.count ? NOTHING : difference(later, earlier));

/** In milliseconds; null where nothing was counted. @param {Histogram} histogram */
function quantiles(histogram) {
  /** @param {number} share */
  const at = (share) => (histogram.count > 0 ? short(percentile(histogram, share) / 1000) : null);
  return /** @type {Record<'p50' | 'p95' | 'p99', number | null>} */ (
    Object.fromEntries(SHARES.map(([name, share]) => [name, at(share)]))
  );
}

/** All of them as one. @param {Histogram[]} histograms @returns {Histogram} */
function together(histograms) {
  /** @type {Map<number, number>} */
  const buckets = new Map();
  for (const histogram of histograms) {
    for (const [upper, count] of histogram.buckets) buckets.set(upper, (buckets.get(upper) ?? 0) + count);
  }
  const sum = (/** @type {'count' | 'sumUs'} */ name) => histograms.reduce((total, one) => total + one[name], 0);
  return {
    count: sum('count'),
    sumUs: sum('sumUs'),
    maxUs: Math.max(0, ...histograms.map(({ maxUs }) => maxUs)),
    buckets: [...buckets].sort(([a], [b]) => a - b),
  };
}

/** @param {Raw} raw @returns {Map<string, any>} */
const countsOf = (raw) => new Map(raw.nodes.map((/** @type {any} */ node) => [node.node, node]));

/** @param {Readonly<Record<string, number>>} counts */
const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/**
 * @param {Look} now
 * @param {Look | undefined} before the last look
 * @param {Look | undefined} recent one some seconds ago: the quantiles in the table of nodes are of this time
 */
function sampleOf(now, before, recent) {
  const { at, raw, pool } = now;
  const seconds = before === undefined ? 0 : (now.clock - before.clock) / 1000;
  /** @param {number} later @param {number} [earlier] */
  const rate = (later, earlier = 0) => (seconds > 0 ? short(Math.max(0, later - earlier) / seconds) : null);
  const earlier = before?.raw;
  const [counts, countsBefore, countsRecent] = [raw, earlier ?? raw, (recent ?? now).raw].map(countsOf);
  /** @type {Histogram[]} */
  const latencies = [];
  const nodes = now.nodes.map((node) => {
    const label = labelOf(node);
    const known = counts.get(label) ?? NO_COUNTS;
    const known0 = countsBefore.get(label) ?? NO_COUNTS;
    const latency = gained(known.latency, known0.latency);
    latencies.push(latency);
    return {
      node: label,
      ...{ role: node.role, state: node.state, timeline: node.timeline, lsn: node.lsn },
      ...{ lagBytes: node.lagBytes, lagMs: node.lagMs === null ? null : short(node.lagMs) },
      roundTripMs: node.latencyMs === null ? null : short(node.latencyMs),
      ...{ inFlight: known.inFlight, connections: known.connections },
      ...{ fit: node.fit, reason: node.reason, lastError: node.lastError },
      statements: rate(known.latency.count, known0.latency.count),
      latencyMs: quantiles(latency),
      recentMs: quantiles(gained(known.latency, countsRecent.get(label)?.latency)),
      bytes: { in: rate(known.bytes.in, known0.bytes.in), out: rate(known.bytes.out, known0.bytes.out) },
    };
  });
  const errors = total(raw.errors);
  return {
    at,
    pool: { size: pool.size, maxSize: pool.maxSize, inUse: pool.inUse, waiting: pool.waiting },
    rate: {
      statements: rate(raw.queries, earlier?.queries),
      rows: rate(raw.rows, earlier?.rows),
      errors: rate(errors, earlier && total(earlier.errors)),
      waits: rate(raw.waits, earlier?.waits),
    },
    latencyMs: quantiles(together(latencies)),
    waitMs: quantiles(gained(raw.wait, earlier?.wait ?? raw.wait)),
    nodes,
    totals: {
      since: raw.since,
      ...{ queries: raw.queries, rows: raw.rows, errors, transactions: raw.transactions, retries: raw.retries },
      ...{ acquires: raw.acquires, waits: raw.waits, failovers: raw.failoverCount, fenceEvictions: raw.fenceEvictions },
      ...{ hedges: raw.hedges, hedgesWon: raw.hedgesWon, prepared: raw.prepared, unknownOutcomes: raw.unknownOutcomes },
    },
  };
}

/** The point of a sample in the history. @param {ReturnType<typeof sampleOf>} sample @returns {import('./history.js').Point} */
function pointOf({ at, pool: { size, inUse, waiting }, rate, latencyMs, waitMs, nodes }) {
  return {
    at,
    values: {
      ...{ statements: rate.statements, errors: rate.errors, waits: rate.waits, ...latencyMs },
      ...{ waitP50: waitMs.p50, waitP99: waitMs.p99, size, inUse, waiting },
    },
    nodes: new Map(
      nodes.map(({ node, statements, latencyMs, lagMs, lagBytes }) => [
        node,
        { statements, ...latencyMs, lagMs, lagBytes },
      ]),
    ),
  };
}

module.exports = { pointOf, sampleOf };
