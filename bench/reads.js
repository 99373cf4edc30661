'use strict';

// `npm run bench:reads`: reading from standbys, on a primary with two standbys that it starts itself.
//
//   node bench/reads.js [--rounds 5] [--turns 6] [--seconds 0.25] [--only throughput,hedging,consistency,choosing]
//
// throughput   point selects with 64 in flight: each strategy, the primary alone, and peers (bench/reads/throughput.js)
// hedging      latency while a standby holds back some of its answers, with `hedgeMs` and without (bench/reads/hedging.js)
// consistency  a read right after a write that it has to see (bench/reads/consistency.js)
// choosing     how to measure what the choice of a node costs; runs nothing
//
// In every round each part has a process of its own, in which the ways that are compared take turns, many and short ones: only what
// is measured within seconds of each other is compared. --seconds is the length of a turn, for all parts; each has its own default.
// Everything measured goes to bench/results/reads/ as JSON.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../test/support/cluster');
const { waitUntilCaughtUp } = require('../exports/testing/cluster/replication.js');
const { answerOf } = require('./children.js');
const { installPeers } = require('./install.js');
const { short } = require('./report.js');
const { account, item } = require('./tables.js');

/** @typedef {import('./reads/types').Opening} Opening */
/** @typedef {import('./reads/types').Part<any>} Part */
/** @typedef {import('./reads/types').Answer<any>} Answer */
/** @typedef {import('../test/support/cluster').Cluster} Cluster */

const CHILD = path.join(__dirname, 'reads/child.js');
const RESULTS = path.join(__dirname, 'results/reads');

const MEASURED = ['throughput', 'hedging', 'consistency'];
const CHOOSING = 'choosing';

/** The choice alone takes nanoseconds, in Rust: it is measured there. */
const HOW_TO_MEASURE_CHOOSING = [
  'choosing: what the choice of a node costs, for each strategy with 3 and with 50 nodes',
  '',
  '  cargo test --release --lib -- --ignored --nocapture cost_of_choosing',
];

/** @param {string | undefined} list */
function chosen(list) {
  const known = [...MEASURED, CHOOSING];
  const given = list?.split(',') ?? known;
  for (const each of given) {
    if (!known.includes(each)) throw new Error(`--only: '${each}' is none of ${known.join(', ')}`);
  }
  return known.filter((each) => given.includes(each));
}

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      turns: { type: 'string', default: '6' },
      seconds: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const [rounds, turns] = [Number(values.rounds), Number(values.turns)];
  for (const [name, value] of Object.entries({ rounds, turns })) {
    if (!(Number.isInteger(value) && value > 0)) throw new Error(`--${name} must be a whole number from 1`);
  }
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  if (seconds !== undefined && !(seconds > 0 && Number.isFinite(seconds)))
    throw new Error('--seconds must be a number greater than 0');
  return { rounds, turns, seconds, only: chosen(values.only) };
}

/** @param {string} id @returns {Part} */
const partOf = (id) => require(`./reads/${id}.js`);

/** Makes the tables, and waits until the standbys have them. @param {Cluster} cluster */
async function setUp(cluster) {
  const primary = cluster.primary();
  for (const statement of [...item.setup, ...account.setup]) await primary.sql(statement);
  for (const standby of cluster.standbys()) {
    await waitUntilCaughtUp(/** @type {import('../exports/testing/cluster/node.js').LocalNode} */ (standby), primary);
  }
}

/** @param {Cluster} cluster @returns {Opening} */
function openingOf(cluster) {
  const { user, password, database } = cluster;
  const nodes = [cluster.primary(), ...cluster.standbys()].map((node) => {
    const { host, port, dataDir } = /** @type {import('../exports/testing/cluster/node.js').LocalNode} */ (node);
    return { host, port, dataDir };
  });
  return { hosts: nodes.map(({ host, port }) => `${host}:${port}`), nodes, user, password, database };
}

/**
 * @param {string[]} ids of the parts
 * @param {{ rounds: number, turns: number, seconds: number | undefined }} how
 */
async function measure(ids, { rounds, turns, seconds }) {
  if (process.env.HYPERION_HOSTS) throw new Error('it starts a cluster with standbys of its own: unset HYPERION_HOSTS');
  installPeers();
  const started = performance.now();
  // Who else is at work: the reader should know how far to believe the figures.
  const loadAverage = os.loadavg()[0].toFixed(1);
  const cluster = await startCluster({
    nodes: 3,
    synchronous: false,
    settings: { shared_buffers: '64MB', max_wal_size: '4GB', jit: false },
  });
  try {
    await setUp(cluster);
    const opening = openingOf(cluster);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    /** @type {Record<string, any[]>} part to rounds */
    const measured = Object.fromEntries(ids.map((id) => [id, []]));
    /** @type {Answer | undefined} */
    let answer;
    for (let round = 0; round < rounds; round++) {
      for (const id of ids) {
        const time = { turns, seconds: seconds ?? partOf(id).seconds, round };
        answer = /** @type {Answer} */ (await answerOf({ part: id, opening, ...time }, CHILD));
        measured[id].push(answer.round);
        console.log(`round ${round + 1} of ${rounds}  ${id}`);
      }
    }
    const { library, versions } = /** @type {Answer} */ (answer);
    const minutes = (performance.now() - started) / 60_000;
    const machine = { node: process.version, postgresql: cluster.version, cpu, loadAverage };
    return { at: new Date().toISOString(), minutes, rounds, turns, seconds, ...machine, library, versions, measured };
  } finally {
    await cluster.stop();
  }
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
function report({ measured, versions, library }) {
  for (const [id, rounds] of Object.entries(measured)) {
    const { title, report: linesOf } = partOf(id);
    console.log(`\n${title}\n`);
    for (const line of linesOf(rounds)) console.log(line === '' ? '' : `  ${line}`);
  }
  const clients = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  console.log(`\nClients: ${clients.join(', ')}`);
  // A debug build would be an unfair witness against us.
  if (library)
    console.log(`Native library: ${path.basename(library)}, ${short(fs.statSync(library).size / 2 ** 20)} MB`);
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
function save(result) {
  fs.mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `${result.at.replace(/[:.]/g, '-')}.json`);
  const library = result.library && path.basename(result.library);
  fs.writeFileSync(file, `${JSON.stringify({ ...result, library }, null, 2)}\n`);
  console.log(`\nAll figures: ${path.relative(process.cwd(), file)}, ${result.minutes.toFixed(1)} minutes`);
}

/** Failed reads are an error of the client, not a figure. @param {Record<string, any[]>} measured */
function failuresOf({ hedging = [] }) {
  const ways = hedging.flatMap((round) => Object.values(round).flatMap((scenario) => Object.values(scenario)));
  return ways.reduce((sum, { failures }) => sum + failures, 0);
}

async function main() {
  const { only, ...how } = options();
  const ids = only.filter((id) => id !== CHOOSING);
  if (ids.length > 0) {
    const result = await measure(ids, how);
    report(result);
    save(result);
    if (failuresOf(result.measured) > 0) process.exitCode = 1;
  }
  if (only.includes(CHOOSING)) console.log(`\n${HOW_TO_MEASURE_CHOOSING.join('\n')}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
