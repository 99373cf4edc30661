'use strict';

// A real Prometheus scrapes the handler of a process whose pool goes through a failover. Every expression of the dashboard has
// data then, and the alerts that such a failover deserves are raised.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { createPool } = require('../../client.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { handler } = require('../../exports/metrics/index.js');
const { RULES, ofDashboard, ofRules, selectorsOf } = require('./expressions.js');
const { find } = require('./promtool.js');
const { HANG_MS, failureOf, ownCluster, range, sleep, test, until } = require('../support/helpers.js');

const RUBBISH = 'a"b\\c\nd,e="f"} 1\t\r#\u{1f418}';

/** The handler on a port of its own. @param {import('node:test').TestContext} t @returns {Promise<number>} */
async function serve(t) {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** A Prometheus that scrapes a port twice a second, and how it is asked. @param {import('node:test').TestContext} t @param {number} target */
async function startPrometheus(t, target) {
  const program = find('prometheus');
  const port = await freePort();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-prometheus-'));
  const file = path.join(folder, 'prometheus.yml');
  const configuration = {
    global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '500ms' },
    rule_files: [RULES],
    scrape_configs: [{ job_name: 'shop', static_configs: [{ targets: [`127.0.0.1:${target}`] }] }],
  };
  fs.writeFileSync(file, JSON.stringify(configuration));
  const child = spawn(
    program,
    [
      ...[`--config.file=${file}`, `--storage.tsdb.path=${path.join(folder, 'data')}`],
      ...[`--web.listen-address=127.0.0.1:${port}`, '--log.level=error'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill();
    await ended;
    fs.rmSync(folder, { recursive: true });
  });
  const get = async (/** @type {string} */ address) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${address}`);
    return /** @type {any} */ (await response.json());
  };
  const query = async (/** @type {string} */ expr) => {
    const { status, data, error } = await get(`query?query=${encodeURIComponent(expr)}`);
    assert.equal(status, 'success', `${expr}: ${error}`);
    return data.result;
  };
  await until('Prometheus has scraped', async () => (await query('up').catch(() => []))[0]?.value[1] === '1', {
    timeoutMs: HANG_MS,
  });
  return { get, query };
}

/** Statements of all kinds, until it is told to stop. @param {any} pool */
function load(pool) {
  let isOver = false;
  const again = async (/** @type {(i: number) => Promise<unknown>} */ work) => {
    for (let i = 0; !isOver; i++) {
      await work(i).catch(() => {});
      await sleep(5);
    }
  };
  const running = Promise.all([
    ...range(4).map(() => again((i) => pool.query('INSERT INTO written VALUES ($1)', [i]))),
    again(() => pool.read('SELECT count(*) FROM written')),
    again(() => pool.query('SELECT 1 / 0')),
    again(() => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'))),
    ...range(12).map(() => again(() => pool.query('SELECT pg_sleep(0.05)'))),
  ]);
  return async () => {
    isOver = true;
    await running;
  };
}

test('prometheus: during a failover every expression of the dashboard has data, and the alerts are raised', {
  timeout: 3 * HANG_MS,
}, async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const pool = own.pool(t, { name: 'orders', poolSize: 4, acquireTimeoutMs: 30_000 });
  const rubbish = createPool({ hosts: '127.0.0.1:1', user: 'nobody', name: RUBBISH });
  t.after(() => rubbish.end());
  await pool.exec('CREATE TABLE written (i int)');
  const { get, query } = await startPrometheus(t, await serve(t));

  const stop = load(pool);
  await sleep(3_000);
  const lost = failureOf(pool.query('INSERT INTO written SELECT 1 FROM pg_sleep(30)'));
  await until('the statement runs', async () => {
    const [{ n }] = await own.sql(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'INSERT%pg_sleep(30)'",
    );
    return n > 0;
  });
  const old = own.cluster.primary();
  await old.crash();
  assert.equal((await lost).outcome, 'unknown');
  await until(
    'Prometheus sees no primary',
    async () => (await query('hyperiondb_pool_primaries{pool="orders"} == 0')).length > 0,
  );
  const next = await own.cluster.failover();
  await until(
    'Prometheus sees the first write',
    async () => (await query('hyperiondb_failover_seconds{phase="first_write"}')).length > 0,
  );
  await old.rejoin(next);
  await sleep(3_000);

  // Of the alerts, whose conditions are rare: what they look at.
  const looked = ofRules().flatMap(({ where, expr }) => selectorsOf(expr).map(({ name }) => ({ where, expr: name })));
  const missing = [];
  for (const { where, expr } of [...ofDashboard(), ...looked]) {
    const result = await query(expr);
    const numbers = result.map((/** @type {any} */ { value }) => Number(value[1]));
    if (!numbers.some((/** @type {number} */ number) => Number.isFinite(number))) missing.push(`${where}: ${expr}`);
  }
  await stop();
  assert.deepEqual(missing, []);

  const { data } = await get('alerts');
  const firing = data.alerts
    .filter((/** @type {any} */ { state, labels }) => state === 'firing' && labels.pool === 'orders')
    .map((/** @type {any} */ { labels }) => labels.alertname);
  for (const name of ['HyperionFailover', 'HyperionUnknownOutcomes'])
    assert.ok(firing.includes(name), `${name} is not in ${firing}`);
  const { data: found } = await get('rules');
  for (const rule of found.groups.flatMap((/** @type {any} */ group) => group.rules))
    assert.equal(rule.health, 'ok', rule.name);

  const pools = (await query('hyperiondb_pool_max_size')).map((/** @type {any} */ { metric }) => metric.pool);
  assert.deepEqual(pools.sort(), [RUBBISH, 'orders'].sort());
  t.diagnostic(
    `p95 ${(await query('histogram_quantile(0.95, sum by (le) (rate(hyperiondb_node_latency_seconds_bucket[1m])))'))[0].value[1]} s`,
  );
});
