'use strict';

// What getMetrics() counts, without servers.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { Metrics } = require('../../exports/clusters/metrics.js');
const { prometheusText } = require('../../exports/clusters/prometheus.js');
const { readMetrics } = require('../support/exposition.js');
const { test } = require('../support/helpers');

const OTHERS = {
  cache: { hits: 30, misses: 10, hitRate: 0.75, entries: 7, bytes: 4_096 },
  transactions: { started: 9, committed: 6, aborted: 2, inDoubt: 1, recovered: 3 },
  connections: (/** @type {string} */ id) => id.length,
};

/** A generator of numbers in [0, 1) that gives the same ones in each run (mulberry32). @param {number} seed */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {(random: () => number) => number} draw @param {number} count @param {number} seed */
function durationsOf(draw, count, seed) {
  const random = generator(seed);
  return Float64Array.from({ length: count }, () => draw(random));
}

/** @param {Float64Array} durations */
const exactP95 = (durations) => durations.toSorted()[Math.ceil(0.95 * durations.length) - 1];

/** @type {Record<string, (random: () => number) => number>} */
const DISTRIBUTIONS = {
  constant: () => 3.7,
  'uniform from 0 to 10 ms': (random) => random() * 10,
  exponential: (random) => -Math.log(1 - random()) * 2,
  'log-normal': (random) => Math.exp(Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())),
  'Pareto with a long tail': (random) => 0.05 / (1 - random()) ** 1.2,
  'a fast and a slow kind': (random) => (random() < 0.9 ? 0.2 + random() * 0.1 : 900 + random() * 200),
  'microseconds to minutes': (random) => 10 ** (random() * 8 - 3),
};

test('metrics: p95 is less than 10 % away from the exact one in every distribution', () => {
  const count = process.env.HYPERION_FULL ? 1_000_000 : 50_000;
  for (const [name, draw] of Object.entries(DISTRIBUTIONS)) {
    const durations = durationsOf(draw, count, 1);
    const metrics = new Metrics();
    const cluster = metrics.cluster('a');
    for (const duration of durations) cluster.record(duration, true);
    const { p95 } = metrics.snapshot(OTHERS).clusters.a;
    const error = Math.abs(p95 / exactP95(durations) - 1);
    console.log(
      `p95 of ${count} durations, ${name}: ${(error * 100).toFixed(2)} % away from ${exactP95(durations)} ms`,
    );
    assert.ok(error < 0.1, `${name}: ${p95} instead of ${exactP95(durations)}`);
  }
});

test('metrics: p95 of one query is its duration, from a microsecond to an hour', () => {
  for (let duration = 0.001; duration < 4_000_000; duration *= 1.037) {
    const metrics = new Metrics();
    metrics.cluster('a').record(duration, true);
    const { p95 } = metrics.snapshot(OTHERS).clusters.a;
    assert.ok(Math.abs(p95 / duration - 1) <= 0.0323, `${p95} instead of ${duration}`);
  }
});

test('metrics: durations beyond the histogram are counted in its first and last bucket', () => {
  const metrics = new Metrics();
  const cluster = metrics.cluster('a');
  for (const duration of [0, 1e-9, -1]) cluster.record(duration, true);
  assert.ok(metrics.snapshot(OTHERS).clusters.a.p95 <= 0.0011);
  for (let i = 0; i < 97; i++) cluster.record(1e12, true);
  const { p95, histogram, queries } = metrics.snapshot(OTHERS).clusters.a;
  assert.ok(p95 > 4_000_000, String(p95));
  assert.equal(queries, 100);
  assert.equal(histogram.find(({ leMs }) => leMs === 32_768)?.count, 3);
  assert.deepEqual(histogram.at(-1), { leMs: Number.POSITIVE_INFINITY, count: 100 });
});

test('metrics: reads, writes, errors and averages of each cluster and of all', () => {
  const metrics = new Metrics();
  const a = metrics.cluster('a');
  a.record(1, true);
  a.record(3, true);
  a.record(8, false);
  a.fail(4, false);
  metrics.cluster('bb').fail(34, true);
  assert.equal(metrics.cluster('a'), a);
  const snapshot = metrics.snapshot(OTHERS);
  const [{ p95: p95OfA, ...ofA }, { p95: p95OfB, ...ofB }] = [snapshot.clusters.a, snapshot.clusters.bb];
  assert.deepEqual(ofA, { queries: 4, reads: 2, writes: 2, errors: 1, avgResponseTime: 4, connections: 1 });
  assert.deepEqual(ofB, { queries: 1, reads: 1, writes: 0, errors: 1, avgResponseTime: 34, connections: 2 });
  for (const ratio of [p95OfA / 8, p95OfB / 34]) assert.ok(Math.abs(ratio - 1) < 0.04, String(ratio));
  assert.equal(snapshot.totalQueries, 5);
  assert.equal(snapshot.avgResponseTime, 10);
  assert.equal(snapshot.errorRate, 0.4);
  assert.deepEqual(snapshot.cache, OTHERS.cache);
  assert.deepEqual(snapshot.transactions, OTHERS.transactions);
});

test('metrics: before the first query everything is 0', () => {
  const metrics = new Metrics();
  metrics.cluster('a');
  const { cache, transactions, ...snapshot } = metrics.snapshot({ ...OTHERS, connections: () => 0 });
  assert.deepEqual(snapshot, {
    totalQueries: 0,
    avgResponseTime: 0,
    errorRate: 0,
    clusters: { a: { queries: 0, reads: 0, writes: 0, errors: 0, avgResponseTime: 0, p95: 0, connections: 0 } },
  });
});

test('metrics: a removed cluster leaves the snapshot and stays in the totals, as do its last queries', () => {
  const metrics = new Metrics();
  const removed = metrics.cluster('a');
  removed.record(2, true);
  metrics.cluster('b').record(2, true);
  metrics.remove('a');
  removed.fail(5, true); // it was in flight
  const snapshot = metrics.snapshot(OTHERS);
  assert.deepEqual(Object.keys(snapshot.clusters), ['b']);
  assert.equal(snapshot.totalQueries, 3);
  assert.equal(snapshot.avgResponseTime, 3);
  assert.equal(snapshot.errorRate, 1 / 3);
  assert.equal(metrics.cluster('a').snapshot(0).queries, 0);
});

test('metrics: a snapshot does not change afterwards', () => {
  const metrics = new Metrics();
  metrics.cluster('a').record(1, true);
  const snapshot = metrics.snapshot(OTHERS);
  metrics.cluster('a').record(1, true);
  assert.equal(snapshot.totalQueries, 1);
  assert.equal(snapshot.clusters.a.histogram.at(-1)?.count, 1);
});

test('metrics: counting a query allocates nothing', () => {
  const script = `
    const { Metrics } = require(${JSON.stringify(path.join(__dirname, '../../exports/clusters/metrics.js'))});
    const cluster = new Metrics().cluster('a');
    const run = (count) => { for (let i = 0; i < count; i++) { cluster.record(i * 0.001, (i & 1) === 0); } };
    run(200_000);
    console.log('warm');
    const begun = process.hrtime.bigint();
    run(20_000_000);
    console.log('done', Number(process.hrtime.bigint() - begun) / 20_000_000);`;
  const output = execFileSync(process.execPath, ['--trace-gc', '-e', script], { encoding: 'utf8' });
  const counted = output.slice(output.indexOf('warm'), output.indexOf('done'));
  // One object for each of 20 million calls would be many collections of the young generation.
  assert.doesNotMatch(counted, /Scavenge|Mark-Compact/);
  console.log(`record(): ${Number(output.split('done ')[1]).toFixed(1)} ns`);
});

test('prometheus: each number of the snapshot has its family, in base units, with HELP and TYPE', () => {
  const metrics = new Metrics();
  metrics.cluster('orders').record(3, true);
  metrics.cluster('orders').record(3_000, false);
  metrics.cluster('orders').fail(0.2, false);
  const families = readMetrics(prometheusText(metrics.snapshot(OTHERS)));
  /** @param {string} name */
  const values = (name) => families.get(`hyperiondb_clusters_${name}`)?.samples.map(({ value }) => value);
  for (const [name, { type, help }] of families) {
    assert.ok(help.length > 0);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
  }
  assert.deepEqual(
    families.get('hyperiondb_clusters_queries_total')?.samples.map(({ labels, value }) => [labels, value]),
    [
      [{ cluster: 'orders', kind: 'read' }, 1],
      [{ cluster: 'orders', kind: 'write' }, 2],
    ],
  );
  assert.deepEqual(values('query_errors_total'), [1]);
  assert.deepEqual(values('connections'), [6]);
  assert.deepEqual(values('cache_hits_total'), [30]);
  assert.deepEqual(values('cache_misses_total'), [10]);
  assert.deepEqual(values('cache_entries'), [7]);
  assert.deepEqual(values('cache_bytes'), [4_096]);
  assert.deepEqual(values('transactions_started_total'), [9]);
  assert.deepEqual(values('transactions_committed_total'), [6]);
  assert.deepEqual(values('transactions_aborted_total'), [2]);
  assert.deepEqual(values('transactions_in_doubt'), [1]);
  assert.deepEqual(values('transactions_recovered_total'), [3]);
});

test('prometheus: the buckets of the histogram grow up to the count, and the sum is in seconds', () => {
  const metrics = new Metrics();
  const durations = durationsOf((random) => random() * 100, 10_000, 7);
  for (const duration of durations) metrics.cluster('a').record(duration, true);
  const samples = readMetrics(prometheusText(metrics.snapshot(OTHERS))).get(
    'hyperiondb_clusters_query_duration_seconds',
  )?.samples;
  const buckets = samples?.filter(({ name }) => name.endsWith('_bucket')) ?? [];
  for (const { labels, value } of buckets) {
    const bound = Number(labels.le.replace('+Inf', 'Infinity')) * 1_000;
    assert.equal(value, durations.filter((duration) => duration < bound).length, `le=${labels.le}`);
  }
  assert.equal(buckets.at(-1)?.labels.le, '+Inf');
  assert.equal(samples?.find(({ name }) => name.endsWith('_count'))?.value, 10_000);
  const sum = durations.reduce((all, one) => all + one, 0) / 1_000;
  assert.ok(Math.abs((samples?.find(({ name }) => name.endsWith('_sum'))?.value ?? 0) - sum) < 1e-6);
});

test('prometheus: a cluster with quotes, backslashes and line breaks in its name is escaped', () => {
  const metrics = new Metrics();
  const name = 'a"b\\c\nd,e="f"} 1';
  metrics.cluster(name).record(1, true);
  const families = readMetrics(prometheusText(metrics.snapshot(OTHERS)));
  for (const family of ['queries_total', 'query_duration_seconds', 'connections']) {
    const samples = families.get(`hyperiondb_clusters_${family}`)?.samples ?? [];
    assert.ok(samples.length > 0);
    for (const { labels } of samples) assert.equal(labels.cluster, name);
  }
});

test('prometheus: what is switched off has no family', () => {
  const metrics = new Metrics();
  const text = prometheusText(metrics.snapshot({ ...OTHERS, cache: null, transactions: null }));
  assert.doesNotMatch(text, /cache|transactions/);
  assert.equal(text, '', 'nor has a cluster that is not there');
});
