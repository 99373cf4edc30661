'use strict';

// `npm run bench:cold-start`: what leases cost a process that has just been started, until it has its first row.
//
//   node bench/serverless/cold-start.js [--rounds 30] [--latency-ms 10]
//
// Each measurement is a process of its own (cold-start-process.js): ServerlessClient with leases and without, a pool with the option
// `lease` and without, and `pg`. In every round each has its turn on a server next door and on one far away, in another order; the ratios
// are those within a round. The server far away is the same one behind a relay that holds back each piece for --latency-ms, in each
// direction: what a way takes longer there, by the time of a round trip, is the number of its round trips.
// Everything measured goes to bench/results/serverless/ as JSON.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../../test/support/cluster');
const { aligned, rotated } = require('../report.js');
const { WAYS } = require('./cold-start-process.js');

/** @typedef {import('./cold-start-process.js').Times} Times */
/** @typedef {import('./cold-start-process.js').Job} Job */
/** @typedef {Record<string, { near: Times, far: Times }>} Round way to times */

const PROGRAM = path.join(__dirname, 'cold-start-process.js');
const RESULTS = path.join(__dirname, '../results/serverless');
const PLACES = /** @type {const} */ (['near', 'far']);

function options() {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '30' }, 'latency-ms': { type: 'string', default: '10' } },
  });
  const [rounds, latencyMs] = [Number(values.rounds), Number(values['latency-ms'])];
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds must be a whole number from 1');
  if (!(latencyMs > 0)) throw new Error('--latency-ms must be a number greater than 0');
  return { rounds, latencyMs };
}

/** Not by a call that blocks: the relay works in this process. @param {Job} job @returns {Promise<Times>} */
function timesOf(job) {
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(job)], {
    // Without a secret a client says that it has no lease.
    env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(printed));
      else reject(new Error(`${job.way}: the process has ended with ${signal ?? code}`));
    });
  });
}

/** @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * share)];
}

/** The median, and the quartiles. @param {number[]} values */
const spread = (values) => {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(values, share).toFixed(3));
  return `${middle} (${low}..${high})`;
};

/**
 * A way beside another in the same round.
 * @param {Round[]} rounds
 * @param {string} way
 * @param {string} base
 * @param {(times: Round[string]) => number} figure
 */
const ratios = (rounds, way, base, figure) => rounds.map((round) => figure(round[way]) / figure(round[base]));

/** @param {Round[]} rounds @param {number} latencyMs */
function report(rounds, latencyMs) {
  const ms = (/** @type {string} */ way, /** @type {(times: Round[string]) => number} */ figure) =>
    quantile(
      rounds.map((round) => figure(round[way])),
      0.5,
    ).toFixed(1);
  const ways = Object.keys(WAYS);
  const trips = (/** @type {string} */ way) =>
    spread(rounds.map((round) => (round[way].far.fromOpening - round[way].near.fromOpening) / (2 * latencyMs)));
  console.log('\nMedians in ms; trips: round trips from the opening to the first row (quartiles)\n');
  const header = ['', 'start to row', 'loading', 'opening to row', `the same, ${2 * latencyMs} ms away`, 'trips'];
  const lines = ways.map((way) => [
    way,
    ms(way, ({ near }) => near.fromStart),
    ms(way, ({ near }) => near.loaded),
    ms(way, ({ near }) => near.fromOpening),
    ms(way, ({ far }) => far.fromOpening),
    trips(way),
  ]);
  for (const line of aligned([header, ...lines])) console.log(`  ${line}`);
  console.log('\nRatios within a round: median (quartiles); less is better\n');
  const pairs = [
    ['leases', 'without'],
    ['pool, leases', 'pool, without'],
    ['leases', 'pg'],
    ['without', 'pg'],
  ];
  const cells = pairs.map(([way, base]) => [
    `${way} / ${base}`,
    spread(ratios(rounds, way, base, ({ near }) => near.fromStart)),
    spread(ratios(rounds, way, base, ({ near }) => near.fromOpening)),
    spread(ratios(rounds, way, base, ({ far }) => far.fromOpening)),
  ]);
  for (const line of aligned([['', 'start to row', 'opening to row', 'the same, far away'], ...cells]))
    console.log(`  ${line}`);
}

async function main() {
  const { rounds: count, latencyMs } = options();
  const loadAverage = os.loadavg()[0].toFixed(1);
  const cluster = await startCluster({ nodes: 1, synchronous: false });
  try {
    const proxy = await cluster.primary().proxy();
    proxy.latency(latencyMs);
    const app = /** @type {{ user: string, password: string }} */ (cluster.app);
    const login = { ...app, database: cluster.database };
    const { host, port } = cluster.primary();
    const places = { near: { host, port }, far: { host: proxy.host, port: proxy.port } };
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    const turns = Object.keys(WAYS).flatMap((way) => PLACES.map((place) => ({ way, place })));
    // The first time the files are not in the kernel's cache yet.
    for (const { way, place } of turns) await timesOf({ way, login: { ...login, ...places[place] } });
    /** @type {Round[]} */
    const rounds = [];
    for (let number = 0; number < count; number++) {
      const round = /** @type {any} */ (Object.fromEntries(Object.keys(WAYS).map((way) => [way, {}])));
      for (const { way, place } of rotated(turns, number)) {
        round[way][place] = await timesOf({ way, login: { ...login, ...places[place] } });
      }
      rounds.push(round);
    }
    report(rounds, latencyMs);
    fs.mkdirSync(RESULTS, { recursive: true });
    const result = {
      at: new Date().toISOString(),
      node: process.version,
      postgresql: cluster.version,
      cpu,
      loadAverage,
    };
    const file = path.join(RESULTS, `cold-start-${result.at.replace(/[:.]/g, '-')}.json`);
    fs.writeFileSync(file, `${JSON.stringify({ ...result, latencyMs, rounds }, null, 2)}\n`);
    console.log(`\nAll figures: ${path.relative(process.cwd(), file)}`);
  } finally {
    await cluster.stop();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
