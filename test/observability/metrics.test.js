'use strict';

// The text that pools give to Prometheus: every number of the core at its place, in base units. No server is asked.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { CAUSES } = require('../../lib/api/metric-families.js');
const { metricsOf } = require('../../lib/api/metrics.js');
const { prometheusText } = require('../../exports/clusters/prometheus.js');
const { Metrics } = require('../../exports/clusters/metrics.js');
const { CLEAN, lint } = require('./promtool.js');
const { NODES, STATS, fakePool, histogram } = require('./fake-pools.js');
const { readMetrics, seriesValue } = require('../support/exposition.js');
const { range, test } = require('../support/helpers.js');

/** @param {Parameters<typeof fakePool>[0]} [changes] */
const read = (changes) => readMetrics(metricsOf([['orders', fakePool(changes)]]));

/** The series of a family, as words. @param {ReturnType<typeof read>} families @param {string} name */
const seriesOf = (families, name) =>
  (families.get(`hyperiondb_${name}`)?.samples ?? []).map(({ name: series, labels: { pool, ...labels }, value }) => {
    assert.equal(pool, 'orders');
    return [series.replace('hyperiondb_', ''), ...Object.values(labels), value].join(' ');
  });

const NUMBERS = /** @type {[string, Record<string, string>, number][]} */ ([
  ['queries_total', {}, 1_001],
  ['rows_total', {}, 1_002],
  ['errors_total', { class: '23' }, 3],
  ['errors_total', { class: 'ERR_NO_PRIMARY' }, 4],
  ['unknown_outcomes_total', {}, 5],
  ['transactions_begun_total', {}, 6],
  ['transactions_committed_total', {}, 7],
  ['transactions_rolled_back_total', {}, 8],
  ['retries_total', { cause: 'connectionLost' }, 9],
  ['retries_total', { cause: 'fenced' }, 10],
  ['retries_total', { cause: '40001' }, 37],
  ['acquires_total', {}, 11],
  ['acquire_waits_total', {}, 12],
  ['failovers_total', {}, 16],
  ['failover_noticed_timestamp_seconds', {}, 1_700_000_010],
  ['failover_seconds', { phase: 'found' }, 2.5],
  ['failover_seconds', { phase: 'first_write' }, 0.25],
  ['failover_statements', { fate: 'held' }, 13],
  ['failover_statements', { fate: 'retried' }, 14],
  ['failover_statements', { fate: 'unknown' }, 15],
  ['fence_evictions_total', {}, 17],
  ['hedges_total', {}, 18],
  ['hedges_won_total', {}, 19],
  ['prepared_hits_total', {}, 20],
  ['prepared_misses_total', {}, 21],
  ['prepared_evictions_total', {}, 22],
  ['node_in_flight', { node: 'db1:5432' }, 23],
  ['node_connections', { node: 'db1:5432' }, 24],
  ['node_latency_seconds_count', { node: 'db1:5432' }, 25],
  ['node_received_bytes_total', { node: 'db1:5432' }, 26],
  ['node_sent_bytes_total', { node: 'db1:5432' }, 27],
  ['node_in_flight', { node: '[::1]:5432' }, 28],
  ['node_latency_seconds_count', { node: '[::1]:5432' }, 0],
  ['pool_start_time_seconds', {}, 1_700_000_000],
  ['pool_max_size', {}, 32],
  ['pool_size', {}, 33],
  ['pool_in_use', {}, 34],
  ['pool_waiting', {}, 35],
  ['pool_pipelined_total', {}, 36],
  ['pool_primaries', {}, 1],
  ['node_up', { node: 'db1:5432', role: 'primary' }, 1],
  ['node_up', { node: '[::1]:5432', role: 'standby' }, 1],
  ['node_state', { node: 'db1:5432', state: 'up' }, 1],
  ['node_state', { node: 'db1:5432', state: 'fenced' }, 0],
  ['node_state', { node: '[::1]:5432', state: 'fenced' }, 1],
  ['node_state', { node: '[::1]:5432', state: 'down' }, 0],
  ['node_fit', { node: 'db1:5432' }, 1],
  ['node_fit', { node: '[::1]:5432' }, 0],
  ['node_timeline', { node: 'db1:5432' }, 2],
  ['node_lag_bytes', { node: '[::1]:5432' }, 4_096],
  ['node_lag_seconds', { node: '[::1]:5432' }, 1.5],
  ['node_round_trip_seconds', { node: 'db1:5432' }, 0.000_25],
]);

test('metrics: each number of the core, of status() and of nodes() is at its place, in seconds and bytes', () => {
  const families = read();
  for (const [name, labels, value] of NUMBERS) {
    assert.equal(
      seriesValue(families, `hyperiondb_${name}`, { pool: 'orders', ...labels }),
      value,
      `${name} ${JSON.stringify(labels)}`,
    );
  }
  const checked = new Set([...NUMBERS.map(([name]) => name.replace(/_count$/, '')), 'acquire_wait_seconds']);
  assert.deepEqual(
    [...families.keys()].filter((name) => !checked.has(name.replace('hyperiondb_', ''))),
    [],
    'a family that is not looked at here',
  );
});

test('metrics: promtool finds nothing in the text of pools, nor in that of clusters', () => {
  assert.deepEqual(
    lint(
      metricsOf([
        ['a', fakePool()],
        ['b', fakePool()],
      ]),
    ),
    CLEAN,
  );
  const clusters = new Metrics();
  clusters.cluster('orders').record(3, true);
  const others = {
    cache: { hits: 30, misses: 10, hitRate: 0.75, entries: 7, bytes: 4_096 },
    transactions: { started: 9, committed: 6, aborted: 2, inDoubt: 1, recovered: 3 },
    connections: () => 1,
  };
  assert.deepEqual(lint(prometheusText(clusters.snapshot(others))), CLEAN);
  // It does find what is wrong.
  assert.match(lint('# HELP a_ms x\n# TYPE a_ms counter\na_ms 1\n').output, /_total/);
});

test('metrics: a histogram has decimal bounds, at which its counts are exact', () => {
  const families = read();
  const at = (/** @type {string} */ le) => seriesValue(families, 'hyperiondb_acquire_wait_seconds_bucket', { le });
  assert.deepEqual(
    seriesOf(families, 'acquire_wait_seconds').flatMap((series) => /_bucket (\S+)/.exec(series)?.[1] ?? []),
    '0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf'.split(' '),
  );
  // Buckets of the core end at 100, 250 and 260 us, 10 and 11 s.
  assert.deepEqual(['0.0001', '0.00025', '0.0005', '5', '10', '+Inf'].map(at), [1, 3, 7, 7, 15, 31]);
  assert.equal(seriesValue(families, 'hyperiondb_acquire_wait_seconds_count'), 31);
  assert.equal(seriesValue(families, 'hyperiondb_acquire_wait_seconds_sum'), 1.234_567);
});

test('metrics: what is not known is left out, and what never happened is 0 where alerts look', () => {
  const [node] = NODES;
  const families = read({
    stats: { failovers: [], failoverCount: 0, errors: {}, retries: {} },
    nodes: [{ ...node, role: 'unknown', state: 'down', timeline: null, latencyMs: null }],
  });
  for (const name of ['failover_seconds', 'failover_statements', 'failover_noticed_timestamp_seconds']) {
    assert.deepEqual(seriesOf(families, name), [], name);
  }
  for (const name of [
    'pool_primaries',
    'node_timeline',
    'node_lag_bytes',
    'node_lag_seconds',
    'node_round_trip_seconds',
  ]) {
    assert.deepEqual(seriesOf(families, name), [], name);
  }
  assert.deepEqual(seriesOf(families, 'failovers_total'), ['failovers_total 0']);
  assert.deepEqual(seriesOf(families, 'errors_total'), [
    'errors_total ERR_ACQUIRE_TIMEOUT 0',
    'errors_total ERR_CONNECTION_LOST 0',
    'errors_total ERR_NO_PRIMARY 0',
  ]);
  assert.deepEqual(seriesOf(families, 'retries_total'), [
    'retries_total 40001 37',
    ...CAUSES.map((cause) => `retries_total ${cause} 0`),
  ]);
  assert.deepEqual(seriesOf(families, 'node_up'), ['node_up db1:5432 unknown 0']);
});

test('metrics: the causes of retries that are written as 0 are those of the core', () => {
  const source = fs.readFileSync(path.join(__dirname, '../../src/engine/statistics.rs'), 'utf8');
  const [, names] = /impl RetryCause \{\s+const NAMES: \[&str; \d+\] = \[([^\]]*)\]/.exec(source) ?? [];
  assert.deepEqual(CAUSES, JSON.parse(`[${names}]`));
});

test('metrics: there is no primary when the only one is fenced or down, and when no node is one', () => {
  const [primary, standby] = NODES;
  for (const [nodes, expected] of /** @type {[object[], number][]} */ ([
    [[{ ...primary, state: 'fenced' }, standby], 0],
    [[{ ...primary, state: 'down', role: 'unknown', lastError: 'refused' }], 0],
    [[primary, { ...standby, role: 'primary', state: 'up' }], 2],
  ])) {
    assert.deepEqual(seriesOf(read({ nodes }), 'pool_primaries'), [`pool_primaries ${expected}`]);
  }
});

for (const [state, failover, expected] of /** @type {[string, object, string[]][]} */ ([
  ['that looks for a primary', { found: null, firstWrite: null }, []],
  ['without a first write', { firstWrite: null }, ['failover_seconds found 2.5']],
  [
    'during which the clock was set back',
    { found: 1_600_000_000_000, firstWrite: 1_600_000_001_000 },
    ['failover_seconds found 0', 'failover_seconds first_write 1'],
  ],
])) {
  test(`metrics: phases of a failover ${state}`, () => {
    const families = read({ stats: { failovers: [{ ...STATS.failovers[1], ...failover }] } });
    assert.deepEqual(seriesOf(families, 'failover_seconds'), expected);
    assert.deepEqual(seriesOf(families, 'failover_noticed_timestamp_seconds'), [
      'failover_noticed_timestamp_seconds 1700000010',
    ]);
  });
}

test('metrics: several pools share the families, each with its label', () => {
  const families = readMetrics(
    metricsOf([
      ['a', fakePool()],
      ['b', fakePool({ stats: { queries: 2 } })],
    ]),
  );
  assert.equal(seriesValue(families, 'hyperiondb_queries_total', { pool: 'a' }), 1_001);
  assert.equal(seriesValue(families, 'hyperiondb_queries_total', { pool: 'b' }), 2);
  assert.deepEqual([...families.keys()], [...read().keys()]);
});

test('metrics: a host that is named twice is two nodes, whose series differ', () => {
  const [first] = NODES;
  const [counts] = STATS.nodes;
  const families = read({ nodes: [first, first, first], stats: { nodes: [counts, counts, counts] } });
  for (const name of ['hyperiondb_node_connections', 'hyperiondb_node_up', 'hyperiondb_node_latency_seconds_sum']) {
    for (const node of ['db1:5432', 'db1:5432#2', 'db1:5432#3']) seriesValue(families, name, { node });
  }
});

const RUBBISH = 'a"b\\c\nd,e="f"} 1\t\r#\u{1f418} \\n\\';

test('metrics: rubbish in labels comes back as it is, and promtool reads it', () => {
  const stats = { errors: { [RUBBISH]: 1 }, nodes: STATS.nodes.map((node) => ({ ...node, node: RUBBISH })) };
  const text = metricsOf([[RUBBISH, fakePool({ stats, nodes: [{ ...NODES[0], host: RUBBISH }] })]]);
  assert.equal(seriesValue(readMetrics(text), 'hyperiondb_errors_total', { pool: RUBBISH, class: RUBBISH }), 1);
  assert.equal(seriesValue(readMetrics(text), 'hyperiondb_node_fit', { node: `${RUBBISH}:5432` }), 1);
  assert.deepEqual(lint(text), CLEAN);
  const withNul = metricsOf([['a\0b', fakePool()]]);
  assert.equal(seriesValue(readMetrics(withNul), 'hyperiondb_queries_total', { pool: 'a\u{fffd}b' }), 1_001);
  assert.deepEqual(lint(withNul), CLEAN);
});

test('metrics: numbers beyond 2^53, tiny ones and none at all are written so that they are read', () => {
  const stats = { queries: 2 ** 63, rows: 1e21, wait: { ...histogram([]), sumUs: 1e-3 } };
  const families = read({ stats });
  assert.equal(seriesValue(families, 'hyperiondb_queries_total'), 2 ** 63);
  assert.equal(seriesValue(families, 'hyperiondb_rows_total'), 1e21);
  assert.equal(seriesValue(families, 'hyperiondb_acquire_wait_seconds_sum'), 1e-9);
  assert.equal(metricsOf([]), '');
});

test('metrics: the text of 50 pools with 3 nodes each has each series once', (t) => {
  const nodes = range(3).map((i) => ({ ...NODES[0], host: `db${i}` }));
  const stats = { nodes: range(3).map((i) => ({ ...STATS.nodes[0], node: `db${i}:5432` })) };
  const pools = range(50).map((i) => /** @type {[string, any]} */ ([`pool${i}`, fakePool({ stats, nodes })]));
  const began = performance.now();
  const text = metricsOf(pools);
  t.diagnostic(`${text.length} characters in ${(performance.now() - began).toFixed(1)} ms`);
  assert.equal(readMetrics(text).get('hyperiondb_node_latency_seconds')?.samples.length, 50 * 3 * 19);
  assert.deepEqual(lint(text), CLEAN);
});
