'use strict';

// `npm run demo`: a pool under load follows the primary of a real cluster through a switchover and a crash, and reads from its
// standbys meanwhile. At the end the rows of the database are compared with what the pool has reported. Exit code 1 if they differ,
// or cannot be compared, if a read has failed, or has not seen what it had to see. With `--dashboard` the pool is watched in a browser
// instead, until Ctrl-C (demo/dashboard.js).
//
// demo/: load.js (writers and readers), scenario.js (what happens to the cluster), figures.js (rates, latencies, pauses),
// check.js (the verdict on the writes), reads.js (on the reads), view.js, format.js and screen.js (the display),
// interrupt.js (Ctrl-C).

const { createPool } = require('../client.js');
const { startCluster } = require('../test/support/cluster');
const { judge } = require('./demo/check.js');
const { showDashboard } = require('./demo/dashboard.js');
const { SLOT_MS } = require('./demo/figures.js');
const { BY_NODE, COUNTED, Load, SCHEMA } = require('./demo/load.js');
const { play } = require('./demo/scenario.js');
const { interruptible } = require('./demo/interrupt.js');
const { screenFor } = require('./demo/screen.js');
const view = require('./demo/view.js');

/** @typedef {import('../test/support/cluster').Cluster} Cluster */

/** How long the last statements may take. */
const LAST_STATEMENTS_MS = 8_000;

/**
 * @param {Cluster} cluster
 * @param {(cleanUp: () => void) => void} onInterrupt
 * @returns {Promise<0 | 1>} the exit code
 */
async function run(cluster, onInterrupt) {
  await cluster.primary().sql(SCHEMA);
  const { hosts, user, password, database } = cluster;
  const pool = createPool({ hosts, user, password, database, mode: 'read-write', applicationName: 'hyperiondb-demo' });
  const load = new Load(pool);
  const started = performance.now();
  const screen = screenFor(process.stdout, view);
  onInterrupt(() => screen.end());

  const scene = {
    cluster,
    pool,
    load,
    now: '',
    /** @type {import('./demo/view.js').Happening[]} */
    happenings: [],
    get elapsedMs() {
      return performance.now() - started;
    },
  };
  const happened = (/** @type {string} */ text) => {
    const happening = { atMs: scene.elapsedMs, text };
    scene.happenings.push(happening);
    screen.event(happening);
  };
  tellWhatThePoolSees(pool, cluster, happened);
  pool.on('primary', ({ to }) => {
    load.lookups.primary = to ?? '';
  });

  load.start();
  const timers = [
    setInterval(() => {
      load.writes.turn();
      load.reads.turn();
    }, SLOT_MS),
    setInterval(() => screen.draw(scene), screen.everyMs),
  ];
  try {
    await play({
      cluster,
      episodes: load.episodes,
      now: (text) => {
        scene.now = text;
      },
      happened,
    });
    scene.now = 'the load has ended; now the database is asked';
    if (!(await load.stop(LAST_STATEMENTS_MS))) happened('some statements did not come back: their outcome is unknown');
    screen.draw(scene);
  } finally {
    for (const timer of timers) clearInterval(timer);
    screen.end();
  }
  const code = await conclude(cluster, load);
  await pool.end({ timeoutMs: 1_000 });
  return code;
}

/**
 * @param {import('../client.js').Pool} pool
 * @param {Cluster} cluster
 * @param {(text: string) => void} happened
 */
function tellWhatThePoolSees(pool, cluster, happened) {
  const names = view.nodeNames(cluster);
  pool.on('fenced', ({ host, port }) =>
    happened(`pool: ${names.get(`${host}:${port}`)} is fenced, its connections are dropped`),
  );
  pool.on('primary', ({ from, to, downMs }) => {
    if (from === null) happened(`pool: found ${names.get(to)}, the primary`);
    else if (to !== null) happened(`pool: ${names.get(to)} is the primary, after ${Math.round(downMs)} ms without one`);
  });
}

/**
 * @param {Cluster} cluster
 * @param {Load} load
 * @returns {Promise<0 | 1>}
 */
async function conclude(cluster, load) {
  // Asked with node-postgres, the client of the harness, so that the pool does not judge itself.
  const primary = cluster.primary();
  const { code, verdict, error } = await judge(load.ledger.writes, () => /** @type {any} */ (primary.sql(COUNTED)));
  if (verdict === undefined) {
    console.error('FAILED: the database could not be asked, so nothing is proved.', error);
    return 1;
  }
  const byNode = /** @type {any} */ (await primary.sql(BY_NODE));
  console.log(view.summary({ verdict, load, byNode, where: primary.name }).join('\n'));
  return load.lookups.ok ? code : 1;
}

async function main() {
  const [option, ...others] = process.argv.slice(2);
  if ((option !== undefined && option !== '--dashboard') || others.length > 0) {
    throw new Error('the demo has one option: --dashboard');
  }
  if (process.env.HYPERION_HOSTS) {
    throw new Error('the demo crashes servers, so it starts a cluster of its own: unset HYPERION_HOSTS');
  }
  const { onInterrupt, settled } = interruptible();
  console.log('Starting three PostgreSQL servers ...');
  const cluster = await startCluster({ nodes: 3, synchronous: true });
  onInterrupt(() => cluster.stop());
  try {
    if (option === '--dashboard') await showDashboard(cluster, onInterrupt);
    else process.exitCode = await run(cluster, onInterrupt);
  } finally {
    await settled();
    await cluster.stop();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
