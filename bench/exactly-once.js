'use strict';

// What exactlyOnce costs when no answer is lost: the transaction of W7 (loads.js) without it, with it, with a key and with a key and
// `remember`, by turns in one process, on a server of its own.
//
//   node bench/exactly-once.js [--turns 40] [--seconds 0.25] [--in-flight 10]
//
// Only what is measured within a second of each other is compared, so that a slow moment of the machine hits all ways. A ratio is the
// transactions per second of a way to those without it in the same turn; beside the median stand the quartiles.

const os = require('node:os');
const { parseArgs } = require('node:util');
const { createPool } = require('../client.js');
const { tableDdl } = require('../lib/api/exactly-once/marker-table.js');
const { startCluster } = require('../test/support/cluster');
const { LOADS } = require('./loads.js');
const { steady } = require('./measure.js');
const { aligned, rotated, short, spread } = require('./report.js');

const LOAD = 'W7';
const START_SECONDS = 0.05;
const WARMUP_SECONDS = 0.7;

let keys = 0;
/** The options of each way. @type {Record<string, () => object>} */
const WAYS = {
  without: () => ({}),
  exactlyOnce: () => ({ exactlyOnce: true }),
  'with a key': () => ({ exactlyOnce: { key: `key ${keys++}` } }),
  'key, remember': () => ({ exactlyOnce: { key: `key ${keys++}`, remember: true } }),
};

function options() {
  const { values } = parseArgs({
    options: {
      turns: { type: 'string', default: '40' },
      seconds: { type: 'string', default: '0.25' },
      'in-flight': { type: 'string', default: '10' },
    },
  });
  const [turns, seconds, inFlight] = [Number(values.turns), Number(values.seconds), Number(values['in-flight'])];
  for (const [name, value] of Object.entries({ turns, 'in-flight': inFlight })) {
    if (!(Number.isInteger(value) && value > 0)) throw new Error(`--${name} must be a whole number from 1`);
  }
  if (!(seconds > 0)) throw new Error('--seconds must be a number greater than 0');
  return { turns, seconds, inFlight };
}

/** W7's transaction, as a program writes it. @param {any} pool @param {() => object} way @param {string[]} statements */
const transactionOf =
  (pool, way, [balance, move, note]) =>
  async (/** @type {number} */ n) => {
    const id = 1 + (n % 1_000);
    return pool.transaction(async (/** @type {any} */ tx) => {
      const rows = await tx.query(balance, [id]);
      await tx.query(move, [1, id]);
      await tx.query(note, [id, 1]);
      return rows.length;
    }, way());
  };

async function main() {
  const { turns, seconds, inFlight } = options();
  const load = LOADS.find(({ id }) => id === LOAD);
  if (load?.way.kind !== 'steady' || load.statements === undefined) throw new Error(`no load ${LOAD}`);
  const { setup, statements } = load;
  const cluster = await startCluster({
    nodes: 1,
    synchronous: false,
    settings: { shared_buffers: '128MB', max_wal_size: '4GB', jit: false },
  });
  try {
    for (const statement of [...new Set(setup), ...tableDdl('hyperiondb_outcome')])
      await cluster.primary().sql(statement);
    const { hosts, user, password, database } = cluster;
    const pool = createPool({ hosts, user, password, database, poolSize: inFlight });
    const rowsOf = async (/** @type {Promise<number>} */ done) => ({ length: await done });
    const measure = (/** @type {string} */ name, warmupSeconds = START_SECONDS) => {
      const run = transactionOf(pool, WAYS[name], statements);
      return steady((/** @type {number} */ n) => rowsOf(run(n)), load, { inFlight, seconds, warmupSeconds });
    };
    const names = Object.keys(WAYS);
    for (const name of names) await measure(name, WARMUP_SECONDS);
    /** @type {Record<string, number[]>} */
    const speeds = Object.fromEntries(names.map((name) => [name, []]));
    for (let turn = 0; turn < turns; turn++) {
      for (const name of rotated(names, turn)) speeds[name].push((await measure(name)).opsPerSecond ?? Number.NaN);
    }
    await pool.end();
    console.log(
      `Node.js ${process.version}, PostgreSQL ${cluster.version}, ${os.availableParallelism()} x ${os.cpus()[0]?.model}`,
    );
    console.log(
      `${load.title.replace('10 in flight', `${inFlight} in flight`)}; ${turns} turns of ${seconds} s for each way\n`,
    );
    const rows = names.map((name) => {
      const ratios = speeds[name].map((speed, turn) => speed / speeds.without[turn]).sort((a, b) => a - b);
      const quartile = (/** @type {number} */ share) => ratios[Math.round((ratios.length - 1) * share)].toFixed(3);
      return [name, short(spread(speeds[name]).median), quartile(0.5), `${quartile(0.25)}..${quartile(0.75)}`];
    });
    for (const line of aligned([['', 'transactions/s', 'ratio', 'quartiles'], ...rows])) console.log(`  ${line}`);
  } finally {
    await cluster.stop();
  }
}

main();
