'use strict';

// `npm run demo:clusters`: the shop of examples/shop on five embedded servers (users in two shards, a catalogue, orders with a
// synchronous standby) under load, while the primary of the orders crashes, and a process is killed in the middle of a two-phase commit.
// At the end money, stock and what is in doubt are counted in the databases. Exit code 0 only if all counts are right.
//
//   npm run demo:clusters -- --seconds 60     how long the load lasts; 20 where it is not given
//
// demo-clusters/: load.js (who orders and reads), scenario.js (what happens), victim.js (the process that is killed), audit.js (what is
// counted), view.js (the texts), install-shop.js (the example with the package).

const { parseArgs } = require('node:util');
const { startCluster } = require('../test/support/cluster');
const { judge, look } = require('./demo-clusters/audit.js');
const { installShop, variablesOf } = require('./demo-clusters/install-shop.js');
const { Load } = require('./demo-clusters/load.js');
const { play } = require('./demo-clusters/scenario.js');
const view = require('./demo-clusters/view.js');
const { SLOT_MS } = require('./demo/figures.js');
const { interruptible } = require('./demo/interrupt.js');
const { paintFor, screenFor } = require('./demo/screen.js');

/** @typedef {import('../test/support/cluster').Cluster} Cluster */
/** @typedef {Record<'users0' | 'users1' | 'catalogue' | 'orders', Cluster>} Clusters */

const LEAST_SECONDS = 5;
const HEALTH_EVERY_MS = 500;
/** How long the last calls may take. */
const LAST_CALLS_MS = 10_000;

const settings = { max_prepared_transactions: 50 };
const SERVERS = {
  users0: { nodes: 1, settings },
  users1: { nodes: 1, settings },
  catalogue: { nodes: 1, settings },
  orders: { nodes: 2, settings, synchronous: true },
};

/** @param {Clusters} clusters @param {number} seconds @param {(cleanUp: () => unknown) => void} onInterrupt @returns {Promise<0 | 1>} */
async function run(clusters, seconds, onInterrupt) {
  const variables = variablesOf(clusters);
  const { clustersFrom, openShop, ShopError, remove } = installShop();
  const shop = await openShop(clustersFrom(variables), {
    decisions: { cluster: 'orders', recoverIntervalMs: 600_000 },
    cluster: { healthTimeoutMs: HEALTH_EVERY_MS },
  }).finally(remove);
  const load = new Load(shop, ShopError);
  await load.prepare();
  load.primary = clusters.orders.primary().address;
  const began = performance.now();
  const screen = screenFor(process.stdout, view);
  onInterrupt(() => screen.end());
  const { users0, users1, catalogue, orders } = clusters;

  /** @type {import('./demo-clusters/view.js').Scene} */
  const scene = {
    clusters: { 'users/0': users0, 'users/1': users1, catalogue, orders },
    health: null,
    load,
    seconds,
    now: '',
    happenings: [],
    get inDoubt() {
      return shop.multi.getMetrics().transactions.inDoubt;
    },
    get elapsedMs() {
      return performance.now() - began;
    },
  };
  const happened = (/** @type {string} */ text) => {
    const happening = { atMs: scene.elapsedMs, text };
    scene.happenings.push(happening);
    screen.event(happening);
  };
  shop.multi.on('failover', (/** @type {{ clusterId: string, to: string }} */ { clusterId, to }) => {
    if (clusterId === 'orders') load.primary = to;
    const node = clusters.orders.nodes.find(({ address }) => address === to);
    happened(`the shop has found the new primary of ${clusterId}: ${node?.name ?? to}`);
  });
  const watch = () =>
    shop.health().then(
      (/** @type {any} */ health) => {
        scene.health = health;
      },
      () => {},
    );
  await watch();
  load.begin();
  const timers = [
    setInterval(() => {
      load.orderMeter.turn();
      load.pageMeter.turn();
    }, SLOT_MS),
    setInterval(watch, HEALTH_EVERY_MS),
    setInterval(() => screen.draw(scene), screen.everyMs),
  ];
  const now = (/** @type {string} */ text) => {
    scene.now = text;
  };
  let kill;
  try {
    kill = await play({ clusters, shop, load, variables, seconds, now, happened });
    now('the load has ended; now the databases are asked');
    await load.stop(LAST_CALLS_MS);
    // What a lost primary has left behind, if anything.
    await shop.multi.recover();
    screen.draw(scene);
  } finally {
    for (const timer of timers) clearInterval(timer);
    screen.end();
  }
  await shop.close();
  const verdict = judge(load.entries, load.start, await look(clusters));
  const ok = verdict.ok && load.ok && kill.left === 2 && kill.recovered > 0 && load.episodes.list.length === 1;
  const paint = paintFor(process.stdout.isTTY === true && process.stdout.hasColors());
  console.log(view.page({ verdict, start: load.start, load, kill, ok }, paint).join('\n'));
  return ok ? 0 : 1;
}

/** @returns {number} */
function secondsGiven() {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
  const seconds = Number(values.seconds);
  if (!(seconds >= LEAST_SECONDS && Number.isFinite(seconds))) {
    throw new Error(`--seconds must be a number from ${LEAST_SECONDS}`);
  }
  return seconds;
}

async function main() {
  const seconds = secondsGiven();
  if (process.env.HYPERION_HOSTS) {
    throw new Error('the demo crashes servers, so it starts clusters of its own: unset HYPERION_HOSTS');
  }
  const { onInterrupt, settled } = interruptible();
  /** @type {Record<string, Cluster>} */
  const clusters = {};
  onInterrupt(() => Promise.all(Object.values(clusters).map((cluster) => cluster.stop())));
  console.log('Starting five PostgreSQL servers: two shards of users, catalogue, orders ...');
  try {
    // One after the other: two cores do not start five servers sooner at once.
    for (const [name, options] of Object.entries(SERVERS)) clusters[name] = await startCluster(options);
    process.exitCode = await run(/** @type {Clusters} */ (clusters), seconds, onInterrupt);
  } finally {
    await settled();
    await Promise.all(Object.values(clusters).map((cluster) => cluster.stop()));
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
