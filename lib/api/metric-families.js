'use strict';

// The metrics of pools, a row each: what pool.metrics() and hyperiondb-client/metrics write. docs/observability.md has the same table;
// test/observability/metrics.table.test.js compares them.
//
// A series that appears with its first event has a first value of 1, and increase() of Prometheus does not see that event: what alerts
// look at is written from the beginning, as 0 (prometheus.io/docs/practices/instrumentation, "Avoid missing metrics").

const { below } = require('../values/histogram.js');
const { histogramSamples } = require('../values/prometheus.js');

/** @typedef {import('../values/prometheus.js').Sample} Sample */
/** @typedef {{ label: string, role: string, state: string, lastError: string | null, fit: boolean, timeline: number | null, lagBytes: number | null, lagMs: number | null, latencyMs: number | null }} Node */
/**
 * What is known of one pool; `nodes` are as pool.nodes() has them, each with a label of its own.
 * @typedef {{ stats: any, status: any, nodes: Node[] }} View `stats`: of snapshot() in statistics.js
 */
/** @typedef {{ name: string, type: import('../values/prometheus.js').Type, help: string, samples: (view: View) => Sample[] }} Row */

/** The bounds of histograms, in microseconds, from 100 us to 10 s: each is a bound of the buckets in which the core counts. */
const EDGES_US = [100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7];
/** Errors that alerts look at, in the label `class`. */
const WATCHED = ['ERR_ACQUIRE_TIMEOUT', 'ERR_CONNECTION_LOST', 'ERR_NO_PRIMARY'];
/** The causes of the core (src/engine/statistics.rs), in the label `cause`; transactions that run again here add the codes of their errors. */
const CAUSES = ['connectionLost', 'sessionEnded', 'fenced', 'standby'];
const STATES = /** @type {const} */ (['up', 'down', 'fenced']);

/** @param {string[]} names @returns {Record<string, number>} */
const zeros = (names) => Object.fromEntries(names.map((name) => [name, 0]));
const seconds = (/** @type {number} */ ms) => ms / 1_000;

/** One sample, or none for what is not known. @param {(view: View) => number | null} value */
const one = (value) => /** @param {View} view */ (view) => {
  const found = value(view);
  return found === null ? [] : [{ value: found }];
};

/** A sample for each node of which the value is known. @param {(node: Node) => number | null} value */
const ofNodes =
  (value) =>
  /** @param {View} view */
  ({ nodes }) =>
    nodes.flatMap((node) => {
      const found = value(node);
      return found === null ? [] : [{ labels: { node: node.label }, value: found }];
    });

/** A sample of what was counted of each node. @param {(counts: any) => number} value */
const ofCounts =
  (value) =>
  /** @param {View} view */
  ({ stats }) =>
    stats.nodes.map((/** @type {any} */ counts) => ({ labels: { node: counts.node }, value: value(counts) }));

/** A sample for each member of an object. @param {string} label @param {(view: View) => Readonly<Record<string, number>>} counts */
const each = (label, counts) => /** @param {View} view */ (view) =>
  Object.entries(counts(view)).map(([name, value]) => ({ labels: { [label]: name }, value }));

/** @param {Readonly<Record<string, string>>} labels @param {import('../values/histogram.js').Histogram} counted in microseconds */
const histogram = (labels, counted) =>
  histogramSamples(labels, {
    buckets: [
      ...EDGES_US.map((edge) => ({ le: edge / 1e6, count: below(counted, edge) })),
      { le: Number.POSITIVE_INFINITY, count: counted.count },
    ],
    sum: counted.sumUs / 1e6,
    count: counted.count,
  });

/** How many usable primaries there are; unknown before the first look at any node. @param {View} view */
function primaries({ nodes }) {
  if (nodes.every(({ role, lastError }) => role === 'unknown' && lastError === null)) return null;
  return nodes.filter(({ role, state }) => role === 'primary' && state === 'up').length;
}

/** @param {View} view */
const lastFailover = ({ stats }) => stats.failovers.at(-1);

/** The clock of the machine may be set back meanwhile. @param {number} from @param {number} to */
const elapsed = (from, to) => seconds(Math.max(0, to - from));

/** The phases of the last failover that have ended. @param {View} view @returns {Sample[]} */
function phases(view) {
  const { noticed = 0, found = null, firstWrite = null } = lastFailover(view) ?? {};
  if (found === null) return [];
  const samples = [{ labels: { phase: 'found' }, value: elapsed(noticed, found) }];
  if (firstWrite !== null) samples.push({ labels: { phase: 'first_write' }, value: elapsed(found, firstWrite) });
  return samples;
}

/** What became of statements in the last failover. @param {View} view @returns {Sample[]} */
function fates(view) {
  const last = lastFailover(view);
  if (last === undefined) return [];
  return /** @type {const} */ (['held', 'retried', 'unknown']).map((fate) => ({ labels: { fate }, value: last[fate] }));
}

/** @param {string} name @param {string} help @param {Row['samples']} samples @returns {Row} */
const counter = (name, help, samples) => ({ name: `hyperiondb_${name}_total`, type: 'counter', help, samples });
/** @param {string} name @param {string} help @param {Row['samples']} samples @returns {Row} */
const gauge = (name, help, samples) => ({ name: `hyperiondb_${name}`, type: 'gauge', help, samples });

/** @type {Row[]} */
const FAMILIES = [
  counter(
    'queries',
    'Statements that have ended, failed ones included.',
    one(({ stats }) => stats.queries),
  ),
  counter(
    'rows',
    'Rows that statements have returned or changed.',
    one(({ stats }) => stats.rows),
  ),
  counter(
    'errors',
    'Failures, by the class of the SQLSTATE or by the code of the client.',
    each('class', ({ stats }) => ({ ...zeros(WATCHED), ...stats.errors })),
  ),
  counter(
    'unknown_outcomes',
    'Failures after which nobody knows whether the work was applied.',
    one(({ stats }) => stats.unknownOutcomes),
  ),
  counter(
    'retries',
    'Runs of work that had not been applied and was run again, by cause.',
    each('cause', ({ stats }) => ({ ...zeros(CAUSES), ...stats.retries })),
  ),
  counter(
    'transactions_begun',
    'Transactions that were begun.',
    one(({ stats }) => stats.transactions.begun),
  ),
  counter(
    'transactions_committed',
    'Transactions that were committed.',
    one(({ stats }) => stats.transactions.committed),
  ),
  counter(
    'transactions_rolled_back',
    'Transactions that were rolled back.',
    one(({ stats }) => stats.transactions.rolledBack),
  ),
  counter(
    'acquires',
    'Requests for a connection.',
    one(({ stats }) => stats.acquires),
  ),
  counter(
    'acquire_waits',
    'Requests for a connection that could not be served at once.',
    one(({ stats }) => stats.waits),
  ),
  {
    name: 'hyperiondb_acquire_wait_seconds',
    type: 'histogram',
    help: 'How long work waited for a connection, where none was free at once.',
    samples: ({ stats }) => histogram({}, stats.wait),
  },
  counter(
    'failovers',
    'How often another node became the primary.',
    one(({ stats }) => stats.failoverCount),
  ),
  gauge(
    'failover_noticed_timestamp_seconds',
    'When the last failover, or absence of the primary, was noticed, as Unix time.',
    one((view) => {
      const last = lastFailover(view);
      return last === undefined ? null : seconds(last.noticed);
    }),
  ),
  gauge(
    'failover_seconds',
    'The phases of the last failover: until the new primary was found, and from then until its first acknowledged write.',
    phases,
  ),
  gauge(
    'failover_statements',
    'Statements in the last failover that were held, were run again, or whose outcome is unknown.',
    fates,
  ),
  counter(
    'fence_evictions',
    'Connections that were closed because their node was fenced.',
    one(({ stats }) => stats.fenceEvictions),
  ),
  counter(
    'hedges',
    'Reads that were sent to a second node because the first was slow.',
    one(({ stats }) => stats.hedges),
  ),
  counter(
    'hedges_won',
    'Hedged reads that the second node has answered first.',
    one(({ stats }) => stats.hedgesWon),
  ),
  counter(
    'prepared_hits',
    'Statements that were prepared on their connection already.',
    one(({ stats }) => stats.prepared.hits),
  ),
  counter(
    'prepared_misses',
    'Statements that had to be prepared on their connection.',
    one(({ stats }) => stats.prepared.misses),
  ),
  counter(
    'prepared_evictions',
    'Prepared statements that were closed to make room for others.',
    one(({ stats }) => stats.prepared.evictions),
  ),
  gauge(
    'pool_start_time_seconds',
    'When the pool was opened, as Unix time.',
    one(({ stats }) => seconds(stats.since)),
  ),
  gauge(
    'pool_size',
    'Open connections.',
    one(({ status }) => status.size),
  ),
  gauge(
    'pool_max_size',
    'The most connections that the pool opens.',
    one(({ status }) => status.maxSize),
  ),
  gauge(
    'pool_in_use',
    'Connections that are at work.',
    one(({ status }) => status.inUse),
  ),
  gauge(
    'pool_waiting',
    'Statements that wait for a connection.',
    one(({ status }) => status.waiting),
  ),
  counter(
    'pool_pipelined',
    'Statements that were sent down a connection that had others under way.',
    one(({ status }) => status.pipelined),
  ),
  gauge(
    'pool_primaries',
    'Primaries that answer and are not fenced; none before the first look at a node.',
    one(primaries),
  ),
  {
    name: 'hyperiondb_node_up',
    type: 'gauge',
    help: 'Whether a node answers, fenced or not.',
    samples: ({ nodes }) =>
      nodes.map(({ label: node, role, state }) => ({ labels: { node, role }, value: Number(state !== 'down') })),
  },
  {
    name: 'hyperiondb_node_state',
    type: 'gauge',
    help: 'The state of a node: 1 for the one that it is in.',
    samples: ({ nodes }) =>
      nodes.flatMap(({ label: node, state: is }) =>
        STATES.map((state) => ({ labels: { node, state }, value: Number(state === is) })),
      ),
  },
  gauge(
    'node_fit',
    'Whether reads may use a node, by the bounds of the pool.',
    ofNodes(({ fit }) => Number(fit)),
  ),
  gauge(
    'node_timeline',
    'The timeline that a node writes or follows.',
    ofNodes(({ timeline }) => timeline),
  ),
  gauge(
    'node_lag_bytes',
    'How far the replay of a standby is behind the primary.',
    ofNodes(({ lagBytes }) => lagBytes),
  ),
  gauge(
    'node_lag_seconds',
    'How long ago the primary had passed the position that a standby has replayed.',
    ofNodes(({ lagMs }) => (lagMs === null ? null : seconds(lagMs))),
  ),
  gauge(
    'node_round_trip_seconds',
    'The round trip of the last look at a node.',
    ofNodes(({ latencyMs }) => (latencyMs === null ? null : seconds(latencyMs))),
  ),
  gauge(
    'node_in_flight',
    'Statements that a node has not answered yet.',
    ofCounts(({ inFlight }) => inFlight),
  ),
  gauge(
    'node_connections',
    'Open connections to a node.',
    ofCounts(({ connections }) => connections),
  ),
  {
    name: 'hyperiondb_node_latency_seconds',
    type: 'histogram',
    help: 'How long a node took to answer statements.',
    samples: ({ stats }) => stats.nodes.flatMap((/** @type {any} */ { node, latency }) => histogram({ node }, latency)),
  },
  counter(
    'node_received_bytes',
    'Bytes that were received from a node.',
    ofCounts(({ bytes }) => bytes.in),
  ),
  counter(
    'node_sent_bytes',
    'Bytes that were sent to a node.',
    ofCounts(({ bytes }) => bytes.out),
  ),
];

module.exports = { CAUSES, FAMILIES };
