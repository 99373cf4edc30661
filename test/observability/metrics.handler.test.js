'use strict';

// hyperiondb-client/metrics over HTTP, as Prometheus and a load balancer ask for it. No database is asked.

const assert = require('node:assert/strict');
const http = require('node:http');
const { once } = require('node:events');
const { createPool } = require('../../client.js');
const { contentType, handler, metrics } = require('../../exports/metrics/index.js');
const { readMetrics, seriesValue } = require('../support/exposition.js');
const { printedBy, test } = require('../support/helpers.js');

const LOGIN = { hosts: '127.0.0.1:1', user: 'nobody', password: 'none', monitor: false, acquireTimeoutMs: 500 };

/** @param {import('node:test').TestContext} t @param {string} name */
function open(t, name) {
  const pool = createPool({ ...LOGIN, name });
  t.after(() => pool.end());
  return pool;
}

/** A server on a port of its own, and how it is asked. @param {import('node:test').TestContext} t */
async function serve(t) {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return (/** @type {RequestInit} */ init) => fetch(`http://127.0.0.1:${port}/metrics`, init);
}

test('handler: GET has the text of all open pools, with the type that Prometheus asks for', async (t) => {
  const ask = await serve(t);
  open(t, 'orders');
  open(t, 'stock');
  const response = await ask({
    headers: { Accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4' },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal(response.headers.get('content-type'), contentType);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const text = await response.text();
  assert.equal(Number(response.headers.get('content-length')), Buffer.byteLength(text));
  const families = readMetrics(text);
  for (const pool of ['orders', 'stock']) assert.equal(seriesValue(families, 'hyperiondb_pool_max_size', { pool }), 10);
});

test('handler: HEAD has the head of GET and no text', async (t) => {
  const ask = await serve(t);
  open(t, 'orders');
  const response = await ask({ method: 'HEAD' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), contentType);
  assert.ok(Number(response.headers.get('content-length')) > 1_000);
  assert.equal(await response.text(), '');
});

for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
  test(`handler: ${method} is refused with 405 and what is allowed`, async (t) => {
    const ask = await serve(t);
    const body = method === 'POST' ? 'x'.repeat(1_000_000) : undefined;
    const response = await ask({ method, body });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'GET, HEAD');
  });
}

test('handler: a pool that cannot be read is an answer 500, and neither ends the process nor hides', async (t) => {
  const ask = await serve(t);
  const pool = open(t, 'broken');
  const broken = t.mock.method(pool, 'status', () => {
    throw new Error('no counts today');
  });
  const response = await ask({});
  broken.mock.restore();
  assert.equal(response.status, 500);
  assert.equal(await response.text(), 'no counts today\n');
  assert.equal((await ask({})).status, 200);
});

test('metrics(): a pool is there from its opening to its end, and without pools the text is empty', async (t) => {
  const pool = open(t, 'orders');
  assert.match(metrics(), /^hyperiondb_queries_total\{pool="orders"\} 0$/m);
  await pool.end();
  assert.equal(metrics(), '');
});

test('metrics(): a closed pool still tells its counts by pool.metrics(), and nothing of nodes', async (t) => {
  const pool = open(t, 'orders');
  await assert.rejects(pool.query('SELECT 1'), { code: 'ERR_NO_PRIMARY' });
  await pool.end();
  const families = readMetrics(pool.metrics());
  assert.equal(seriesValue(families, 'hyperiondb_queries_total', { pool: 'orders' }), 1);
  assert.equal(seriesValue(families, 'hyperiondb_errors_total', { class: 'ERR_NO_PRIMARY' }), 1);
  assert.equal(seriesValue(families, 'hyperiondb_pool_size'), 0);
  assert.equal(families.has('hyperiondb_node_up'), false);
});

test('metrics(): each thread has its own pools', async () => {
  const lines = await printedBy(
    null,
    `const { Worker } = require('node:worker_threads');
     const folder = ${JSON.stringify(require.resolve('../../package.json'))}.replace('package.json', '');
     const { metrics } = require(folder + 'exports/metrics/index.js');
     const names = () => [...metrics().matchAll(/hyperiondb_queries_total\\{pool="(.+)"\\}/g)].map(([, name]) => name);
     createPool(${JSON.stringify({ ...LOGIN, name: 'of main' })});
     const code = \`
       const { createPool } = require(\${JSON.stringify(folder)} + 'client.js');
       const { metrics } = require(\${JSON.stringify(folder)} + 'exports/metrics/index.js');
       createPool(${JSON.stringify(LOGIN)});
       createPool({ ...${JSON.stringify(LOGIN)}, name: 'of main' });
       require('node:worker_threads').parentPort.postMessage(metrics());\`;
     const workers = [1, 2].map(() => new Worker(code, { eval: true }));
     for (const text of await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))))) {
       print([...text.matchAll(/hyperiondb_queries_total\\{pool="(.+)"\\}/g)].map(([, name]) => name));
     }
     print(names());`,
  );
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [['pool1', 'of main'], ['pool1', 'of main'], ['of main']],
  );
});
