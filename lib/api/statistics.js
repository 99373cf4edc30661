'use strict';

// What a pool has counted: pool.stats(), and the raw form that metrics and the dashboard read.

const { percentile } = require('../values/histogram.js');

/** @typedef {import('../values/histogram.js').Histogram} Histogram */

/**
 * The counts as the core has them (src/cluster/statistics.rs): durations as histograms, times as milliseconds since the epoch.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 */
function snapshot({ corePool, retries }) {
  const counts = JSON.parse(corePool.stats());
  // The core retries what it may retry itself; a transaction with `retries` runs again here.
  for (const [cause, count] of retries) counts.retries[cause] = (counts.retries[cause] ?? 0) + count;
  return counts;
}

/** @param {Histogram} histogram */
function inMs(histogram) {
  const at = (/** @type {number} */ share) => Math.round(percentile(histogram, share)) / 1_000;
  const { count, sumUs, maxUs } = histogram;
  return { count, sum: sumUs / 1_000, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: maxUs / 1_000 };
}

/** @param {number | null} time */
const dateOf = (time) => (time === null ? null : new Date(time));

/**
 * A failover with its times as dates.
 * @param {any} failover of the core
 */
function failoverOf({ noticed, asked, found, firstWrite, ...rest }) {
  const answers = asked.map((/** @type {any} */ { at, ...answer }) => ({ at: new Date(at), ...answer }));
  const { from, to, by, ...counts } = rest;
  return {
    ...{ from, to, noticed: new Date(noticed), by, asked: answers },
    ...{ found: dateOf(found), firstWrite: dateOf(firstWrite), ...counts },
  };
}

/** pool.stats(). @param {import('../core/statement-runner.js').StatementRunner} runner */
function statistics(runner) {
  const counts = snapshot(runner);
  const { queries, rows, errors, unknownOutcomes, transactions, retries, acquires, waits } = counts;
  const { failoverCount, fenceEvictions, hedges, hedgesWon, prepared } = counts;
  return {
    ...{ since: new Date(counts.since), queries, rows, errors, unknownOutcomes, transactions, retries },
    ...{ acquires, waits, waitMs: inMs(counts.wait) },
    ...{ failovers: counts.failovers.map(failoverOf), failoverCount },
    ...{ fenceEvictions, hedges, hedgesWon, prepared },
    nodes: counts.nodes.map((/** @type {any} */ { node, inFlight, connections, latency, bytes }) => ({
      ...{ node, inFlight, connections, latencyMs: inMs(latency), bytes },
    })),
  };
}

module.exports = { failoverOf, snapshot, statistics };
