'use strict';

// `npm run demo -- --dashboard`: the same cluster under load, watched in a browser, until Ctrl-C. Switchovers and crashes come in turns,
// so that there is something to see.

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const { createPool } = require('../../client.js');
const { INDECISION_MS } = require('./scenario.js');

/** @typedef {import('../../test/support/cluster').Cluster} Cluster */
/** @typedef {import('../../test/support/cluster').Node} Node */
/** @typedef {import('../../client.js').Pool} Pool */

const HOST = '127.0.0.1';
const PORT = 8_432;
const ROWS = 1_000;
/** Rows that are only changed: the demo may run for hours. */
const SCHEMA = `
  CREATE TABLE demo_row (id int PRIMARY KEY, changed int NOT NULL DEFAULT 0);
  INSERT INTO demo_row SELECT generate_series(1, ${ROWS})`;
const WRITERS = 6;
const READERS = 8;
/** The mean pause of a writer or reader; it becomes shorter and longer in waves. */
const REST_MS = 9;
const WAVE_MS = 90_000;
/** One write of so many is a transaction, and one is refused by the primary key. */
const TRANSACTION_EVERY = 10;
const REFUSED_EVERY = 400;
const FAILURE_REST_MS = 50;
const STEADY_MS = 25_000;
/** How long a crashed server stays away. */
const AWAY_MS = 8_000;

/** @param {number} most */
const number = (most) => 1 + Math.floor(Math.random() * most);

const rest = () => sleep(REST_MS * (0.3 + Math.random()) * (1.3 + Math.sin((Date.now() / WAVE_MS) * 2 * Math.PI)));

/** @param {Pool} pool */
async function write(pool) {
  if (number(REFUSED_EVERY) === 1) return pool.query('INSERT INTO demo_row (id) VALUES ($1)', [number(ROWS)]);
  const change = 'UPDATE demo_row SET changed = changed + 1 WHERE id = $1';
  if (number(TRANSACTION_EVERY) > 1) return pool.query(change, [number(ROWS)]);
  return pool.transaction(async (tx) => {
    // In the order of the rows, so that no two wait for one another.
    for (const id of [number(ROWS), number(ROWS)].sort((a, b) => a - b)) await tx.query(change, [id]);
  });
}

/** @param {Pool} pool */
const read = (pool) => pool.read('SELECT count(*), max(changed) FROM demo_row WHERE id <= $1', [number(ROWS)]);

/** @param {Pool} pool @param {(pool: Pool) => Promise<unknown>} once @param {() => boolean} isOver */
async function repeat(pool, once, isOver) {
  while (!isOver()) {
    await rest();
    // What fails is on the page.
    await once(pool).catch(() => sleep(FAILURE_REST_MS));
  }
}

/** @param {http.Server} server @param {number} port @returns {Promise<number>} */
function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => resolve(/** @type {import('node:net').AddressInfo} */ (server.address()).port));
  });
}

/** @param {http.Server} server */
const listenSomewhere = (server) => listen(server, PORT).catch(() => listen(server, 0));

/** @param {Cluster} cluster @param {(text: string) => void} tell */
async function promoteNext(cluster, tell) {
  // A manager needs a moment to decide.
  await sleep(INDECISION_MS);
  const next = await cluster.mostAdvanced();
  await cluster.failover(next);
  tell(`${next.name} (${next.address}) is the primary`);
  return next;
}

/** A switchover, then a crash. @param {Cluster} cluster @param {(text: string) => void} tell */
async function play(cluster, tell) {
  await sleep(STEADY_MS);
  const first = cluster.primary();
  tell(`${first.name} (${first.address}) is fenced: a switchover`);
  await first.fence();
  const second = await promoteNext(cluster, tell);
  await first.rejoin(second);
  tell(`${first.name} follows it`);
  await sleep(STEADY_MS);
  tell(`${second.name} (${second.address}) has crashed: kill -9`);
  await second.crash();
  const third = await promoteNext(cluster, tell);
  await sleep(AWAY_MS);
  await second.rejoin(third);
  tell(`${second.name} follows it`);
}

/**
 * Never returns: Ctrl-C ends it.
 * @param {Cluster} cluster
 * @param {(cleanUp: () => unknown) => void} onInterrupt
 */
async function showDashboard(cluster, onInterrupt) {
  await cluster.primary().sql(SCHEMA);
  const { hosts, user, password, database } = cluster;
  const pool = createPool({
    hosts,
    user,
    password,
    database,
    name: 'demo',
    poolSize: 8,
    applicationName: 'hyperiondb-demo',
  });
  const server = http.createServer(pool.dashboard({ path: '/', allowedHosts: ['localhost', HOST, '[::1]'] }));
  const port = await listenSomewhere(server);
  let isOver = false;
  for (let count = 0; count < WRITERS; count++) void repeat(pool, write, () => isOver);
  for (let count = 0; count < READERS; count++) void repeat(pool, read, () => isOver);
  onInterrupt(async () => {
    isOver = true;
    server.close();
    await pool.end({ timeoutMs: 500 });
    server.closeAllConnections();
  });
  const tell = (/** @type {string} */ text) => console.log(`${new Date().toTimeString().slice(0, 8)}  ${text}`);
  console.log(`dashboard: http://${HOST}:${port}/  (Ctrl-C ends it)`);
  for (;;) await play(cluster, tell);
}

module.exports = { showDashboard };
