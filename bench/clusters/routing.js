'use strict';

// `npm run bench:clusters`: what the routing of MultiClusterPostgres costs beside the bare pool, on servers that it starts itself.
//
//   node bench/clusters/routing.js [--turns 40] [--seconds 0.25]
//
// W2-64, point selects with 64 in flight: on a pool; through MultiClusterPostgres by schema, by the only cluster, and with the
// readPreference 'replica', where the statement is tried on a standby (its peer is pool.read).
//
// All ways are open in one process and take turns, many and short ones: only what is measured within a second of each other is
// compared. Printed are, for each way, the median of its operations a second and of its ratio to its peer in the same turn, with the
// half of the turns that is in the middle. Each peer stands twice: what its second measurement differs from the first is chance.

const os = require('node:os');
const { parseArgs } = require('node:util');
const { createPool } = require('../../client.js');
const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
const { startCluster } = require('../../test/support/cluster');
const { LOADS } = require('../loads.js');
const { steady } = require('../measure.js');
const { alternate, medianOf, middleOf } = require('../reads/alternation.js');
const { item } = require('../tables.js');

const WARMUP_SECONDS = 1;
const START_SECONDS = 0.03;
/** The peer of each way. @type {Record<string, string>} */
const PEERS = {
  pool: 'pool',
  'pool again': 'pool',
  'by schema': 'pool',
  'the only cluster': 'pool',
  'pool.read': 'pool.read',
  'pool.read again': 'pool.read',
  'replica, the server decides': 'pool.read',
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

async function main() {
  const { turns, seconds } = options();
  const loadAverage = os.loadavg()[0].toFixed(1);
  const cluster = await startCluster({
    nodes: 2,
    settings: { shared_buffers: '64MB', max_wal_size: '4GB', jit: false },
  });
  const load = /** @type {any} */ (LOADS.find(({ id }) => id === 'W2-64'));
  const { hosts, user, password, database } = cluster;
  for (const statement of item.setup) await cluster.primary().sql(statement);
  const login = { hosts, user, password, database, poolSize: load.connections };
  const pool = createPool(login);
  const plain = { enableTransactions: false };
  const [primary, replica] = [new MultiClusterPostgres(plain), new MultiClusterPostgres(plain)];
  await primary.initialize({ items: { schemas: ['items'], ...login } });
  await replica.initialize({
    items: { schemas: ['items'], ...login, readPreference: 'replica', consistencyLevel: 'eventual' },
  });
  const bySchema = { schema: 'items' };
  /** @type {Record<string, (sql: string, params: unknown[]) => Promise<any>>} */
  const calls = {
    pool: (sql, params) => pool.query(sql, params),
    'by schema': (sql, params) => primary.query(sql, params, bySchema),
    'the only cluster': (sql, params) => primary.query(sql, params),
    'pool.read': (sql, params) => pool.read(sql, params),
    'replica, the server decides': (sql, params) => replica.query(sql, params, bySchema),
  };
  const ways = Object.keys(PEERS);
  const operations = Object.fromEntries(
    ways.map((way) => {
      const call = calls[way.replace(' again', '')];
      return [
        way,
        load.open({
          statement: (/** @type {string} */ _name, /** @type {string} */ sql) => (/** @type {any} */ params) =>
            call(sql, params),
        }),
      ];
    }),
  );
  // A result has its rows in a member there; whether they are the same is checked once.
  for (const way of ways) {
    const found = await operations[way](0);
    if ((found.rows ?? found).length !== 1) throw new Error(`${way}: not one row`);
  }
  const loadOf = (/** @type {string} */ way) => (way.startsWith('pool') ? load : { ...load, rows: () => undefined });
  const run = (/** @type {string} */ way, warmupSeconds = START_SECONDS) =>
    steady(operations[way], loadOf(way), { inFlight: load.way.inFlight, seconds, warmupSeconds });
  try {
    for (const way of ways) await run(way, WARMUP_SECONDS);
    const measured = await alternate(ways, turns, (way) => run(way));
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    console.log(`\nW2-64  ${load.title}`);
    for (const way of ways) {
      const perSecond = medianOf(measured.map((turn) => turn[way].opsPerSecond));
      const ratio = middleOf(measured.map((turn) => turn[way].opsPerSecond / turn[PEERS[way]].opsPerSecond));
      console.log(`  ${way.padEnd(28)} ${perSecond.toFixed(0).padStart(8)} a second   ${ratio}`);
    }
  } finally {
    await Promise.all([pool.end(), primary.close(), replica.close()]);
    await cluster.stop();
  }
}

main();
