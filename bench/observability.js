'use strict';

// `npm run bench:observability`: what it costs to be watched, on a server that it starts itself.
//
//   node bench/observability.js [--rounds 15] [--seconds 0.4] [--load W2-64] [--before <folder>] [--only pg,ours]
//
// The same point selects, 64 in flight on 10 connections:
//
//   ours                 nobody listens
//   without the check    the same, and query() does not even ask whether anybody listens
//   before               an earlier version: a folder with its sources and its add-on, given by --before
//   ours, instrumented   instrument() of hyperiondb-client/otel: spans and metrics by the SDK, a batch span processor
//   ours, sqlcommenter   the same with the comment of its span in each statement
//   pg                   node-postgres with a pool of 10, named statements
//   pg, instrumented     the same with @opentelemetry/instrumentation-pg and the same SDK
//
// Each has a process of its own, with its connections open and its statements prepared. In every round each has its turn, in another
// order each time. Printed are medians with their quartiles: operations a second, CPU time of the main thread for an operation, and, round
// by round, what both, and the CPU time of the whole process, are beside the same client without instrumentation.

const { fork } = require('node:child_process');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../test/support/cluster');
const { LOADS } = require('./loads.js');
const { alternate, ascending } = require('./reads/alternation.js');
const { aligned, short } = require('./report.js');

/** @typedef {import('./types').Measurement} Measurement */

/** Each way, and the one that it is compared with. @type {Record<string, string | undefined>} */
const WAYS = {
  ours: undefined,
  'without the check': 'ours',
  before: 'ours',
  'ours, instrumented': 'ours',
  'ours, sqlcommenter': 'ours',
  pg: undefined,
  'pg, instrumented': 'pg',
};
const WARMUP_SECONDS = 1.5;

function optionsOf() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '15' },
      seconds: { type: 'string', default: '0.4' },
      load: { type: 'string', default: 'W2-64' },
      before: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const only = values.only?.split(';').map((name) => name.trim());
  const ways = Object.keys(WAYS).filter(
    (way) => (way !== 'before' || values.before !== undefined) && (only === undefined || only.includes(way)),
  );
  const before = values.before === undefined ? undefined : path.resolve(values.before);
  return { rounds: Number(values.rounds), seconds: Number(values.seconds), load: values.load, before, ways };
}

/** A process that measures when it is asked. */
function startWay() {
  const child = fork(path.join(__dirname, 'observability', 'way.js'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  /** @param {object} asked @returns {Promise<any>} */
  const ask = (asked) =>
    new Promise((resolve, reject) => {
      const onExit = (/** @type {number} */ code) => reject(new Error(`ended without an answer (${code})`));
      child.once('exit', onExit);
      child.once('message', (/** @type {any} */ answer) => {
        child.off('exit', onExit);
        if ('error' in answer) reject(new Error(answer.error));
        else resolve(answer);
      });
      child.send(asked);
    });
  return { ask, kill: () => child.kill() };
}

/** The median with its quartiles. @param {number[]} values @param {(value: number) => string} show */
function shown(values, show) {
  const sorted = ascending(values);
  const at = (/** @type {number} */ share) => show(sorted[Math.round((sorted.length - 1) * share)]);
  return `${at(0.5)} (${at(0.25)}..${at(0.75)})`;
}

const ratio = (/** @type {number} */ value) => value.toFixed(3);

/** @param {string[]} ways @param {Record<string, Measurement>[]} rounds */
function report(ways, rounds) {
  const lines = [['', 'operations/s', 'main thread, us', 'operations, ratio', 'main thread, ratio', 'process, ratio']];
  for (const way of ways) {
    const beside = WAYS[way] ?? way;
    const ratios = (/** @type {(measured: Measurement) => number} */ figure) =>
      rounds[0][beside] === undefined || beside === way
        ? ''
        : shown(
            rounds.map((round) => figure(round[way]) / figure(round[beside])),
            ratio,
          );
    const main = ({ mainUsPerOp = Number.NaN }) => mainUsPerOp;
    lines.push([
      way,
      shown(
        rounds.map((round) => round[way].opsPerSecond),
        short,
      ),
      shown(
        rounds.map((round) => main(round[way])),
        (value) => value.toFixed(2),
      ),
      ratios(({ opsPerSecond }) => opsPerSecond),
      ratios(main),
      ratios(({ cpuUsPerOp = Number.NaN }) => cpuUsPerOp),
    ]);
  }
  return aligned(lines).join('\n');
}

async function main() {
  const { rounds, seconds, load: id, before, ways } = optionsOf();
  const load = LOADS.find((each) => each.id === id);
  if (load === undefined) throw new Error(`no load ${id}`);
  const loadAverage = os.loadavg()[0].toFixed(1);
  const settings = { shared_buffers: '128MB', max_wal_size: '4GB', jit: false, max_connections: 200 };
  const cluster = await startCluster({ nodes: 1, synchronous: false, settings });
  const started = Object.fromEntries(ways.map((way) => [way, startWay()]));
  try {
    for (const statement of load.setup) await cluster.primary().sql(statement);
    const { hosts, user, password, database } = cluster;
    const { host, port } = cluster.primary();
    for (const way of ways) {
      const job = { way, load: id, login: { hosts, user, password, database }, primary: { host, port }, before };
      await started[way].ask({ open: job, seconds: 0.2, warmupSeconds: WARMUP_SECONDS });
    }
    const measured = await alternate(ways, rounds, async (way) => (await started[way].ask({ seconds })).measured);
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, load average before ${loadAverage}`);
    console.log(`${id}, ${load.title}: median (quartiles) of ${rounds} rounds of ${seconds} s\n`);
    console.log(report(ways, measured));
    for (const way of ways) {
      const { exported } = await started[way].ask({ end: true });
      if (exported !== undefined)
        console.log(`${way}: ${exported.spans} spans, ${exported.durations} durations exported`);
    }
  } finally {
    for (const { kill } of Object.values(started)) kill();
    await cluster.stop();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
