'use strict';

// The metrics of pools of all kinds on a real cluster, scraped while they work.

const assert = require('node:assert/strict');
const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
const { metrics } = require('../../exports/metrics/index.js');
const pg = require('../../exports/pg/index.js');
const { ServerlessClient } = require('../../exports/serverless/index.js');
const { CLEAN, lint } = require('./promtool.js');
const { readMetrics, seriesValue } = require('../support/exposition.js');
const { ownCluster, range, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 3 });

test('metrics: the counts are those of the program, and the buckets hold each statement', async (t) => {
  const pool = db.pool(t, { name: 'orders' });
  await pool.exec('CREATE TEMP TABLE nothing ()');
  await pool.query('SELECT generate_series(1, 7)');
  await Promise.all(range(20).map((i) => pool.query('SELECT $1::int', [i])));
  await pool.query('SELECT pg_sleep(0.03)');
  await assert.rejects(pool.query('SELECT 1 / 0'), { code: '22012' });
  await pool.transaction(async (tx) => {
    await tx.query('SELECT 1');
  });
  const text = pool.metrics();
  const families = readMetrics(text);
  assert.equal(seriesValue(families, 'hyperiondb_queries_total'), 25);
  assert.equal(seriesValue(families, 'hyperiondb_rows_total'), 7 + 20 + 1 + 1);
  assert.equal(seriesValue(families, 'hyperiondb_errors_total', { class: '22' }), 1);
  assert.equal(seriesValue(families, 'hyperiondb_transactions_committed_total'), 1);
  const [primary] = pool.nodes().filter((/** @type {any} */ { role }) => role === 'primary');
  const node = `${primary.host}:${primary.port}`;
  const at = (/** @type {string} */ le) =>
    seriesValue(families, 'hyperiondb_node_latency_seconds_bucket', { node, le });
  const all = seriesValue(families, 'hyperiondb_node_latency_seconds_count', { node });
  assert.equal(at('+Inf'), all);
  assert.ok(all >= 25, `${all} answers`);
  assert.ok(at('0.025') < at('10'), 'a statement of 30 ms is not below 25 ms');
  assert.ok(seriesValue(families, 'hyperiondb_node_latency_seconds_sum', { node }) > 0.03);
  assert.ok(seriesValue(families, 'hyperiondb_node_received_bytes_total', { node }) > 25 * 20);
  assert.deepEqual(lint(text), CLEAN);
});

test('metrics: standbys have their lag and the primary is one', async (t) => {
  const pool = db.pool(t, { name: 'watching' });
  await pool.query('SELECT 1');
  const families = await until('the standbys are known', () => {
    const found = readMetrics(pool.metrics());
    return found.get('hyperiondb_node_lag_seconds')?.samples.length === 3 && found;
  });
  assert.equal(seriesValue(families, 'hyperiondb_pool_primaries'), 1);
  assert.equal(families.get('hyperiondb_node_up')?.samples.filter(({ labels }) => labels.role === 'standby').length, 2);
});

test('metrics: one text has pools of createPool, of pg, of serverless and of clusters', async (t) => {
  const { hosts, user, password, database } = /** @type {any} */ (db.options());
  const plain = db.pool(t, { name: 'plain' });
  await plain.query('SELECT 1');
  const ofPg = /** @type {any} */ (new pg.Pool({ hosts, user, password, database, name: 'of pg' }));
  t.after(() => ofPg.end());
  await Promise.all(range(3).map(() => ofPg.query('SELECT 1')));
  const serverless = new ServerlessClient(
    /** @type {any} */ ({ hosts, user, password, database, name: 'lambda', leaseMode: 'optional' }),
  );
  t.after(() => serverless.end());
  await serverless.query('SELECT 1');
  const multi = new MultiClusterPostgres(/** @type {any} */ ({ enableMetrics: true }));
  t.after(() => multi.close());
  await multi.initialize({ ledger: { schemas: ['public'], hosts, user, password, database } });
  await multi.query('SELECT 1', [], { schema: 'public' });
  const text = metrics();
  const families = readMetrics(text);
  for (const [pool, least] of /** @type {[string, number][]} */ ([
    ['plain', 1],
    ['of pg', 3],
    ['lambda', 1],
    ['ledger', 2],
  ])) {
    const count = seriesValue(families, 'hyperiondb_queries_total', { pool });
    assert.ok(count >= least, `${pool}: ${count}`);
  }
  // The metrics of the clusters themselves may stand in the same answer.
  assert.deepEqual(lint(text + multi.prometheus()), CLEAN);
  readMetrics(text + multi.prometheus());
});

test('metrics: clients of pg that come and go use few names', async () => {
  const { hosts, user, password, database } = /** @type {any} */ (db.options());
  const names = new Set();
  for (const _ of range(5)) {
    const client = /** @type {any} */ (new pg.Client({ hosts, user, password, database }));
    await client.connect();
    for (const { labels } of readMetrics(metrics()).get('hyperiondb_pool_size')?.samples ?? []) names.add(labels.pool);
    await client.end();
  }
  assert.equal(names.size, 1, [...names].join());
});

test('metrics: a scrape of 50 pools at work has each series once and no pool twice', async (t) => {
  const pools = range(50).map((i) => db.pool(t, { poolSize: 1, name: i % 2 === 0 ? 'even' : undefined }));
  const work = Promise.all(pools.map((pool) => pool.query('SELECT pg_sleep(0.05)')));
  const texts = [metrics()];
  await work;
  texts.push(metrics());
  for (const text of texts) {
    assert.equal(
      new Set(
        readMetrics(text)
          .get('hyperiondb_pool_size')
          ?.samples.map(({ labels }) => labels.pool),
      ).size,
      50,
    );
    assert.deepEqual(lint(text), CLEAN);
  }
});

test('metrics: scrapes during a failover are whole, no counter falls, and its phases are told', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const pool = own.pool(t, { name: 'orders', acquireTimeoutMs: 20_000 });
  await pool.exec('CREATE TABLE written (i int)');
  /** @type {ReturnType<typeof readMetrics>[]} */
  const scrapes = [];
  let isOver = false;
  const scraping = (async () => {
    while (!isOver) {
      scrapes.push(readMetrics(pool.metrics()));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const writing = (async () => {
    for (let i = 0; !isOver; i++) await pool.query('INSERT INTO written VALUES ($1)', [i]).catch(() => {});
  })();
  await own.cluster.switchover();
  await until('the first write is acknowledged', () =>
    pool.metrics().includes('hyperiondb_failover_seconds{pool="orders",phase="first_write"}'),
  );
  isOver = true;
  await Promise.all([scraping, writing]);
  const last = readMetrics(pool.metrics());
  assert.equal(seriesValue(last, 'hyperiondb_failovers_total'), 1);
  const [failover] = pool.stats().failovers;
  assert.equal(
    seriesValue(last, 'hyperiondb_failover_seconds', { phase: 'found' }),
    (failover.found - failover.noticed) / 1_000,
  );
  assert.equal(seriesValue(last, 'hyperiondb_failover_noticed_timestamp_seconds'), failover.noticed / 1_000);
  /** @type {Map<string, number>} */
  const seen = new Map();
  let wasWithoutPrimary = false;
  for (const families of [...scrapes, last]) {
    for (const { type, samples } of families.values()) {
      for (const { name, labels, value } of type === 'gauge' ? [] : samples) {
        const series = `${name} ${JSON.stringify(labels)}`;
        assert.ok(value >= (seen.get(series) ?? 0), `${series} has fallen from ${seen.get(series)} to ${value}`);
        seen.set(series, value);
      }
    }
    wasWithoutPrimary ||= families.get('hyperiondb_pool_primaries')?.samples[0].value === 0;
  }
  assert.ok(wasWithoutPrimary, `in ${scrapes.length} scrapes there was always a primary`);
});
