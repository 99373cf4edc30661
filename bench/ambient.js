'use strict';

// `npm run bench:ambient`: what the option `ambient` costs, on a server that it starts itself.
//
//   node bench/ambient.js [--turns 40] [--seconds 0.25]
//
// W2-64, point selects with 64 in flight outside of any transaction: `ambient` off and on.
// W7, short transactions: off; on, with every statement on tx; on, with every statement on the pool, which joins.
//
// All ways have their pools open in one process and take turns, many and short ones: only what is measured within a second of each
// other is compared. Printed are, for each way, the median of its operations a second and of its ratio to `off` in the same turn, with
// the half of the turns that is in the middle. `off` stands twice: what its second measurement differs from the first is chance.

const os = require('node:os');
const { parseArgs } = require('node:util');
const { createPool } = require('../client.js');
const { startCluster } = require('../test/support/cluster');
const { LOADS } = require('./loads.js');
const { steady } = require('./measure.js');
const { alternate, medianOf, middleOf } = require('./reads/alternation.js');
const { account, entry, item } = require('./tables.js');

/** @typedef {import('./types').Db} Db */
/** @typedef {{ ambient: boolean, onPool?: boolean }} Way */

const WARMUP_SECONDS = 1;
const START_SECONDS = 0.03;

/** The ways of each load; the first is what the others are compared with. @type {Record<string, Record<string, Way>>} */
const WAYS = {
  'W2-64': { off: { ambient: false }, 'off again': { ambient: false }, on: { ambient: true } },
  W7: {
    off: { ambient: false },
    'off again': { ambient: false },
    'on, by tx': { ambient: true },
    'on, by the pool': { ambient: true, onPool: true },
  },
};

function options() {
  const { values } = parseArgs({
    options: { turns: { type: 'string', default: '40' }, seconds: { type: 'string', default: '0.25' } },
  });
  const [turns, seconds] = [Number(values.turns), Number(values.seconds)];
  if (!(Number.isInteger(turns) && turns > 0)) throw new Error('--turns must be a whole number from 1');
  if (!(seconds > 0 && Number.isFinite(seconds))) throw new Error('--seconds must be a number greater than 0');
  return { turns, seconds };
}

/**
 * A pool as the loads want it.
 * @param {any} pool
 * @param {boolean} onPool whether the statements of transactions are called on the pool
 * @returns {Pick<Db, 'statement' | 'transaction'>}
 */
const asDb = (pool, onPool) => ({
  statement: (_name, sql) => (params, tx) => (onPool ? pool : (tx ?? pool)).query(sql, params),
  transaction: (body) => pool.transaction(body),
});

/**
 * @param {string} id of the load
 * @param {any} login
 * @param {{ turns: number, seconds: number }} how
 */
async function measure(id, login, { turns, seconds }) {
  const load = /** @type {any} */ (LOADS.find((each) => each.id === id));
  const { inFlight } = load.way;
  const ways = Object.keys(WAYS[id]);
  /** @type {Record<string, { pool: any, operation: any }>} */
  const opened = {};
  for (const [way, { ambient, onPool = false }] of Object.entries(WAYS[id])) {
    const pool = createPool({ ...login, poolSize: load.connections, ambient });
    opened[way] = { pool, operation: load.open(asDb(pool, onPool)) };
  }
  const run = (/** @type {string} */ way, warmupSeconds = START_SECONDS) =>
    steady(opened[way].operation, load, { inFlight, seconds, warmupSeconds });
  try {
    for (const way of ways) await run(way, WARMUP_SECONDS);
    return await alternate(ways, turns, (way) => run(way));
  } finally {
    await Promise.all(Object.values(opened).map(({ pool }) => pool.end()));
  }
}

/**
 * @param {string} id
 * @param {Record<string, import('./types').Measurement>[]} measured
 */
function report(id, measured) {
  const ways = Object.keys(WAYS[id]);
  const figure = (/** @type {any} */ turn, /** @type {string} */ way) => turn[way].opsPerSecond;
  console.log(`\n${id}  ${LOADS.find((each) => each.id === id)?.title}`);
  for (const way of ways) {
    const perSecond = medianOf(measured.map((turn) => figure(turn, way)));
    const ratio = middleOf(measured.map((turn) => figure(turn, way) / figure(turn, ways[0])));
    console.log(`  ${way.padEnd(16)} ${perSecond.toFixed(0).padStart(8)} a second   ${ratio}`);
  }
}

async function main() {
  const how = options();
  const loadAverage = os.loadavg()[0].toFixed(1);
  const cluster = await startCluster({
    nodes: 1,
    settings: { shared_buffers: '64MB', max_wal_size: '4GB', jit: false },
  });
  try {
    const { hosts, user, password, database } = cluster;
    for (const statement of [...item.setup, ...account.setup, ...entry.setup]) await cluster.primary().sql(statement);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    for (const id of Object.keys(WAYS)) report(id, await measure(id, { hosts, user, password, database }, how));
  } finally {
    await cluster.stop();
  }
}

main();
