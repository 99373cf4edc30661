'use strict';

// `npm run bench:storm`: waves of processes that freeze with their sessions open, more in all than the server can hold.
//
//   node bench/serverless/storm.js [--waves 10] [--processes 10] [--every 1] [--patience 5] [--work-ms 0] [--only WAY,...] [--docs]
//
// Each process connects, runs a statement, works on for --work-ms, and stops itself (SIGSTOP), with its session open: what a serverless
// runtime does when an invocation is over. None is thawed. The ways run one after the other on one server (max_connections = 60):
//
// default      ServerlessClient with leases, a pass of the reaper after one connect in ten
// always       the same, a pass after each connect (reaperRunProbability: 1)
// without      the same without leases
// pg           node-postgres, which tries again for --patience seconds as the pool of this package does
// server       the same with idle_session_timeout (PostgreSQL 14): the server ends sessions that have been idle for as long, those of
//              living processes, too
//
// Leases are short, so that the run is: a session can be ended when its lease has expired and it has been idle long enough. What has to
// hold for a wave to be served is printed. Everything measured goes to bench/results/serverless/ as JSON; --docs draws the picture of
// docs/ from it (storm-chart.js).

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../../test/support/cluster');
const { runStorm, slotsOf } = require('../../test/serverless/storm.js');
const { aligned } = require('../report.js');
const { chart } = require('./storm-chart.js');

/** @typedef {import('../../test/serverless/storm.js').Storm} Storm */
/** @typedef {Awaited<ReturnType<typeof runStorm>>} Measured */
/** @typedef {Pick<Storm, 'client' | 'options'> & { title: string }} Way */

const RESULTS = path.join(__dirname, '../results/serverless');
const DOCS_CHART = path.join(__dirname, '../../docs/serverless-storm.svg');
const MAX_CONNECTIONS = 60;

const LEASE = { coordinationSecret: 'coordination of the storm', leaseTtlMs: 1_500, minConnectionIdleTimeSec: 1 };
/** The default, which the arithmetic below needs, too (docs/configuration.md). */
const MOST_KILLED = 10;

/** When a session of a frozen process can be ended, by others or by the server. */
const KEPT_MS = Math.max(LEASE.leaseTtlMs, 1000 * LEASE.minConnectionIdleTimeSec);

/** @type {Record<string, Way>} */
const WAYS = {
  default: { title: 'leases, defaults', client: 'hyperion', options: LEASE },
  always: { title: 'leases, a pass each', client: 'hyperion', options: { ...LEASE, reaperRunProbability: 1 } },
  without: { title: 'without leases', client: 'hyperion', options: { leaseMode: 'optional' } },
  pg: { title: 'pg', client: 'pg', options: {} },
  server: { title: 'pg, server ends', client: 'pg', options: { options: `-c idle_session_timeout=${KEPT_MS}` } },
};

function options() {
  const { values } = parseArgs({
    options: {
      waves: { type: 'string', default: '10' },
      processes: { type: 'string', default: '10' },
      every: { type: 'string', default: '1' },
      patience: { type: 'string', default: '5' },
      'work-ms': { type: 'string', default: '0' },
      only: { type: 'string', default: Object.keys(WAYS).join() },
      docs: { type: 'boolean', default: false },
    },
  });
  const number = (/** @type {'waves' | 'processes' | 'every' | 'patience' | 'work-ms'} */ name, least = 0) => {
    const value = Number(values[name]);
    if (!(Number.isFinite(value) && value >= least)) throw new Error(`--${name} must be a number from ${least}`);
    return value;
  };
  const only = values.only.split(',');
  for (const way of only)
    if (!(way in WAYS)) throw new Error(`--only: '${way}' is none of ${Object.keys(WAYS).join(', ')}`);
  return {
    storm: {
      waves: number('waves', 1),
      processes: number('processes', 1),
      everyMs: 1000 * number('every'),
      pace: /** @type {const} */ ('steady'),
      patienceMs: 1000 * number('patience'),
      work: number('work-ms'),
    },
    only,
    docs: values.docs,
  };
}

/** What has to hold, in numbers. @param {ReturnType<typeof options>['storm']} storm @param {number} slots */
function conditions({ waves, processes, everyMs }, slots) {
  const kept = processes * (1 + Math.floor(KEPT_MS / Math.max(1, everyMs)));
  return [
    `${waves} waves of ${processes} processes, one wave each ${everyMs / 1000} s: ${waves * processes} sessions for ${slots} slots`,
    `A wave is served for certain if`,
    `- the processes that froze within the last ${KEPT_MS} ms, which is the larger of leaseTtlMs and minConnectionIdleTimeSec, and a wave`,
    `  fit into the slots: ${kept} + ${processes} of ${slots}. Nobody may end their sessions yet. When frozen processes have every slot,`,
    '  nobody is left who could end any;',
    '- a pass follows the connects often enough, and ends before its process is frozen: after one connect in ten, and after each while',
    `  less than a fifth of the connections is left. A pass ends ${MOST_KILLED} sessions at most, and takes two round trips behind the first row.`,
  ];
}

/** @param {Measured['waves'][number]['endings']} endings */
const waitsOf = (endings) => endings.flatMap(({ served }) => (served === undefined ? [] : [served]));

/** @param {Measured} measured */
function summary({ waves, samples }) {
  const endings = waves.flatMap((wave) => wave.endings);
  const waits = waitsOf(endings).sort((a, b) => a - b);
  const refused = waves.reduce((sum, wave) => sum + wave.refused, 0);
  return {
    processes: endings.length,
    served: waits.length,
    refused,
    otherErrors: endings.length - waits.length - refused,
    medianMs: waits[Math.floor(waits.length / 2)] ?? Number.NaN,
    longestMs: waits[waits.length - 1] ?? Number.NaN,
    mostSessions: Math.max(...samples.map(({ sessions }) => sessions)),
    mostMb: Math.max(...endings.map(({ rss = 0 }) => rss)) / 2 ** 20,
  };
}

/** @param {Record<string, Measured>} measured */
function report(measured) {
  const rows = Object.entries(measured).map(([way, one]) => {
    const { processes, served, refused, otherErrors, medianMs, longestMs, mostSessions, mostMb } = summary(one);
    const unserved = one.waves.flatMap((wave, index) => (wave.refused > 0 ? [index + 1] : []));
    return [
      WAYS[way].title,
      `${served} of ${processes}`,
      `${refused}${unserved.length > 0 ? ` (waves ${unserved.join(' ')})` : ''}`,
      String(otherErrors),
      medianMs.toFixed(0),
      longestMs.toFixed(0),
      String(mostSessions),
      mostMb.toFixed(0),
    ];
  });
  const titles = ['', 'served', '53300', 'other errors', 'median ms', 'longest ms', 'most sessions', 'MB each'];
  for (const line of aligned([titles, ...rows])) console.log(`  ${line}`);
}

async function main() {
  if (process.env.HYPERION_HOSTS) throw new Error('it fills a server of its own: unset HYPERION_HOSTS');
  const { storm, only, docs } = options();
  const loadAverage = os.loadavg()[0].toFixed(1);
  const cluster = await startCluster({ nodes: 1, synchronous: false, settings: { max_connections: MAX_CONNECTIONS } });
  try {
    const slots = await slotsOf(cluster);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    for (const line of conditions(storm, slots)) console.log(line);
    console.log('');
    /** @type {Record<string, Measured>} */
    const measured = {};
    for (const way of only) {
      measured[way] = await runStorm(cluster, { ...WAYS[way], ...storm });
      const served = measured[way].waves.map((wave) => `${wave.served}/${wave.endings.length}`);
      console.log(`${WAYS[way].title}: ${served.join(' ')}`);
    }
    console.log('\nHow long a process waited from the start of its connect to its first row:\n');
    report(measured);
    const machine = { node: process.version, postgresql: cluster.version, cpu, loadAverage };
    const result = { at: new Date().toISOString(), ...machine, slots, storm, lease: LEASE, measured };
    fs.mkdirSync(RESULTS, { recursive: true });
    const file = path.join(RESULTS, `storm-${result.at.replace(/[:.]/g, '-')}.json`);
    fs.writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
    const image = docs ? DOCS_CHART : path.join(RESULTS, 'storm.svg');
    fs.writeFileSync(image, chart(result));
    console.log(
      `\nAll figures: ${path.relative(process.cwd(), file)}, the picture: ${path.relative(process.cwd(), image)}`,
    );
  } finally {
    await cluster.stop();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
