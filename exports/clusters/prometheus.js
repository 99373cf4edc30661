'use strict';

// The metrics of several clusters as families of Prometheus. docs/clusters.md has the table of names.

const client = /** @type {any} */ (require('../../client.js'));

const { histogramSamples, prometheusText: textOf } = client[Symbol.for('hyperiondb-client.options')];

const PREFIX = 'hyperiondb_clusters_';

/** @typedef {import('./index.d.ts').MultiClusterMetrics} Snapshot */
/** @typedef {{ suffix?: string, labels?: Record<string, string>, value: number }} Sample as lib/values/prometheus.js has them */
/** @typedef {{ name: string, type: 'counter' | 'gauge' | 'histogram', help: string, samples: (snapshot: Snapshot) => Sample[] }} Family */

/**
 * A sample for each cluster.
 * @param {(metrics: import('./index.d.ts').ClusterMetrics) => number} value
 */
const ofClusters = (value) => /** @param {Snapshot} snapshot */ (snapshot) =>
  Object.entries(snapshot.clusters).map(([cluster, metrics]) => ({ labels: { cluster }, value: value(metrics) }));

/** One sample, or none for what is switched off or not known. @param {'cache' | 'transactions'} part @param {string} member */
const of = (part, member) => /** @param {Snapshot} snapshot */ (snapshot) => {
  const value = /** @type {any} */ (snapshot[part])?.[member];
  return value == null ? [] : [{ value }];
};

/** @param {Snapshot} snapshot @returns {Sample[]} */
const queries = ({ clusters }) =>
  Object.entries(clusters).flatMap(([cluster, { reads, writes }]) => [
    { labels: { cluster, kind: 'read' }, value: reads },
    { labels: { cluster, kind: 'write' }, value: writes },
  ]);

/** @param {Snapshot} snapshot @returns {Sample[]} */
const durations = ({ clusters }) =>
  Object.entries(clusters).flatMap(([cluster, { histogram, avgResponseTime, queries: count }]) =>
    histogramSamples(
      { cluster },
      {
        buckets: histogram.map(({ leMs, count: value }) => ({ le: leMs / 1_000, count: value })),
        sum: (avgResponseTime * count) / 1_000,
        count,
      },
    ),
  );

/** @type {Family[]} */
const FAMILIES = [
  { name: 'queries_total', type: 'counter', help: 'Queries that have ended, failed ones included.', samples: queries },
  {
    name: 'query_errors_total',
    type: 'counter',
    help: 'Queries that have failed.',
    samples: ofClusters(({ errors }) => errors),
  },
  {
    name: 'query_duration_seconds',
    type: 'histogram',
    help: 'How long queries took, failed ones included.',
    samples: durations,
  },
  {
    name: 'connections',
    type: 'gauge',
    help: 'Open connections to the primaries of a cluster.',
    samples: ofClusters(({ connections }) => connections),
  },
  {
    name: 'cache_hits_total',
    type: 'counter',
    help: 'Queries that the cache has answered.',
    samples: of('cache', 'hits'),
  },
  {
    name: 'cache_misses_total',
    type: 'counter',
    help: 'Queries with cache: true that were not in the cache.',
    samples: of('cache', 'misses'),
  },
  { name: 'cache_entries', type: 'gauge', help: 'Entries in the cache.', samples: of('cache', 'entries') },
  { name: 'cache_bytes', type: 'gauge', help: 'Size of the entries in the cache.', samples: of('cache', 'bytes') },
  {
    name: 'transactions_started_total',
    type: 'counter',
    help: 'Transactions that were begun.',
    samples: of('transactions', 'started'),
  },
  {
    name: 'transactions_committed_total',
    type: 'counter',
    help: 'Transactions that were committed.',
    samples: of('transactions', 'committed'),
  },
  {
    name: 'transactions_aborted_total',
    type: 'counter',
    help: 'Transactions that were rolled back.',
    samples: of('transactions', 'aborted'),
  },
  {
    name: 'transactions_in_doubt',
    type: 'gauge',
    help: 'Transactions over several clusters that are decided and not yet finished everywhere, as far as this process knows.',
    samples: of('transactions', 'inDoubt'),
  },
  {
    name: 'transactions_recovered_total',
    type: 'counter',
    help: 'Prepared transactions that recover() has finished.',
    samples: of('transactions', 'recovered'),
  },
];

/**
 * The same as text for Prometheus.
 * @param {Snapshot} snapshot
 */
function prometheusText(snapshot) {
  return textOf(
    FAMILIES.map(({ name, samples, ...others }) => ({ ...others, name: PREFIX + name, samples: samples(snapshot) })),
  );
}

module.exports = { prometheusText };
