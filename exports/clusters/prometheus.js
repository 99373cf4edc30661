'use strict';

// Metrics in the text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4). Names follow
// prometheus.io/docs/practices/naming: base units, `_total` for what only grows. docs/clusters.md has the table of names.

const PREFIX = 'hyperiondb_clusters_';

/** @typedef {import('./index.d.ts').MultiClusterMetrics} Snapshot */
/** @typedef {{ suffix?: string, labels?: Record<string, string>, value: number }} Sample */
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
  Object.entries(clusters).flatMap(([cluster, { histogram, avgResponseTime, queries: count }]) => [
    ...histogram.map(({ leMs, count: value }) => ({
      suffix: '_bucket',
      labels: { cluster, le: numeral(leMs / 1_000) },
      value,
    })),
    { suffix: '_sum', labels: { cluster }, value: (avgResponseTime * count) / 1_000 },
    { suffix: '_count', labels: { cluster }, value: count },
  ]);

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

/** @type {Record<string, string>} */
const ESCAPES = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

/** @param {number} value */
const numeral = (value) => (value === Number.POSITIVE_INFINITY ? '+Inf' : String(value));

/** @param {Record<string, string>} labels */
function labelText(labels) {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (character) => ESCAPES[character])}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/**
 * The same as text for Prometheus.
 * @param {Snapshot} snapshot
 */
function prometheusText(snapshot) {
  return FAMILIES.flatMap(({ name, type, help, samples }) => {
    const lines = samples(snapshot).map(
      ({ suffix = '', labels = {}, value }) => `${PREFIX}${name}${suffix}${labelText(labels)} ${numeral(value)}\n`,
    );
    if (lines.length === 0) return [];
    return [`# HELP ${PREFIX}${name} ${help}\n`, `# TYPE ${PREFIX}${name} ${type}\n`, ...lines];
  }).join('');
}

module.exports = { prometheusText };
