'use strict';

// `npm run bench -- --curves`: what an operation costs, in time and in memory, while one thing grows: rows, connections, statements
// in flight, nodes, distinct texts. `--help` has the options (bench/curves/options.js); bench/curves/kinds/ has the curves.
//
// Each step of each client is measured in a process of its own, in another order each round.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { startCluster } = require('../test/support/cluster');
const { answerOf } = require('./children.js');
const { chart } = require('./curves/chart.js');
const { startFakes } = require('./curves/fakes.js');
const { CURVES } = require('./curves/kinds');
const { knees, markdown, table } = require('./curves/knees.js');
const { options } = require('./curves/options.js');
const { load } = require('./curves/point.js');
const { installPeers } = require('./install.js');
const limit = require('./peers/tokio-postgres.js');
const { rotated, short } = require('./report.js');

/** @typedef {import('./curves/types').Curve} Curve */
/** @typedef {import('./curves/types').Figures} Figures */
/** @typedef {import('./curves/types').Place} Place */
/** @typedef {import('./curves/types').Result} Result */
/** @typedef {import('./curves/types').Series} Series */
/** @typedef {import('../test/support/cluster').Cluster} Cluster */

const RESULTS = path.join(__dirname, 'results/curves');
const CHILD = path.join(__dirname, 'curves/child.js');

/** Connections beside those that are measured: of the bench, its monitor, replication, superusers. */
const SPARE = 30;
const MOST_CONNECTIONS = 1_000;
/** Nodes of the cluster when the list of hosts grows; those beyond are listeners. */
const REAL_NODES = 3;

/** @param {Cluster} cluster @returns {Promise<Place>} */
async function placeOf(cluster) {
  const { hosts, user, password, database, nodes } = cluster;
  const primary = cluster.primary();
  const [{ connections, identifier }] = await primary.sql(
    `SELECT current_setting('max_connections')::int AS connections,
      (SELECT system_identifier::text FROM pg_control_system()) AS identifier`,
  );
  const dirs = /** @type {{ dataDir?: string }[]} */ (/** @type {unknown} */ ([primary]));
  return {
    hosts: [hosts.find((host) => host === primary.address) ?? hosts[0]],
    primary: { host: primary.host, port: primary.port },
    user,
    password,
    database,
    connections: 1,
    dataDirs: dirs.flatMap(({ dataDir }) => dataDir ?? []),
    maxConnections: connections,
    standbys: nodes.filter((node) => node !== primary).map(({ address }) => address),
    systemIdentifier: identifier,
  };
}

/** One run. */
class Run {
  failures = 0;
  /** @type {Record<string, string>} */
  versions = {};
  #place;
  #time;

  /** @param {Place} place @param {{ seconds: number }} how */
  constructor(place, { seconds }) {
    this.#place = place;
    this.#time = { seconds, warmupSeconds: seconds };
  }

  /**
   * @param {Curve} curve
   * @param {{ rounds: number, quick: boolean, without: Set<string> }} how
   * @returns {Promise<import('./curves/types').Rounds>}
   */
  async curve(curve, { rounds, quick, without }) {
    /** @type {import('./curves/types').Rounds} */
    const measured = {};
    const wanted = (quick ? curve.quick : curve.steps).filter((step) => this.#isPossible(curve, step));
    // Round by round: a slow minute of the machine must not look like a knee.
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      for (const step of wanted.filter((each) => round === 0 || each < (curve.onceFrom ?? Number.POSITIVE_INFINITY))) {
        const here = curve.series.filter(
          ({ name, from = 0, to = Number.POSITIVE_INFINITY }) => !without.has(name) && step >= from && step <= to,
        );
        measured[step] ??= Object.fromEntries(here.map(({ name }) => [name, []]));
        for (const series of rotated(here, round)) {
          const figures = await this.#measure(curve, series, step);
          if (figures !== undefined) measured[step][series.name].push(figures);
        }
      }
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(`${curve.name.padEnd(12)} round ${round + 1} of ${rounds}   ${seconds} s`);
    }
    return measured;
  }

  /** @param {Curve} curve @param {number} step */
  #isPossible({ name }, step) {
    const { maxConnections } = this.#place;
    const isPossible = name !== 'connections' || step + SPARE <= maxConnections;
    if (!isPossible) console.log(`without ${step} connections: the server has ${maxConnections}`);
    return isPossible;
  }

  /** @param {Curve} curve @param {Series} series @param {number} step @returns {Promise<Figures | undefined>} */
  async #measure(curve, series, step) {
    try {
      if (series.isLimit) return await this.#limit(curve, step);
      const job = { curve: curve.name, series, step, place: this.#place, ...this.#time };
      const { figures, version } = /** @type {{ figures: Figures, version: string }} */ (await answerOf(job, CHILD));
      this.versions[series.peer] = version;
      return figures;
    } catch (error) {
      this.failures++;
      console.log(`FAILED: ${series.label} at ${step} of ${curve.axis}: ${/** @type {Error} */ (error).message}`);
      return undefined;
    }
  }

  /** @param {Curve} curve @param {number} step */
  async #limit(curve, step) {
    const asked = /** @type {any} */ (curve.raw?.(step));
    const { opsPerSecond, cpuUsPerOp, serverUsPerOp, peakRssMb } = await limit.run(asked, this.#place, {
      ...this.#time,
      dataDir: this.#place.dataDirs[0],
    });
    this.versions['tokio-postgres'] ??= limit.version();
    return { usPerOp: 1e6 / opsPerSecond, cpuUsPerOp, serverUsPerOp, peakRssMb };
  }
}

/** @param {Curve} curve @param {Result} result */
function report(curve, result) {
  console.log(`\n${curve.title}\n`);
  console.log(
    table(curve, result.measured)
      .map((line) => `  ${line}`)
      .join('\n'),
  );
  for (const { series, figure, from, to, times } of knees(curve, result.measured)) {
    const label = curve.figures.find(({ key }) => key === figure)?.label;
    const steps = `${from.toLocaleString('en-US')} to ${to.toLocaleString('en-US')}`;
    console.log(`  knee: ${series}, ${label}, from ${steps}: ${short(times)} times`);
  }
  fs.mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, curve.name);
  fs.writeFileSync(`${file}.json`, `${JSON.stringify(result, null, 2)}\n`);
  fs.writeFileSync(`${file}.svg`, chart(curve, result));
  fs.writeFileSync(`${file}.md`, `${markdown(curve, result.measured).join('\n')}\n`);
  console.log(`  ${path.relative(process.cwd(), file)}.json, a chart and a table for documents beside it`);
}

/** @param {string[]} [args] */
async function main(args = process.argv.slice(2)) {
  const { names, rounds, seconds, quick, help } = options(args, CURVES);
  if (help !== undefined) return console.log(help);
  const curves = CURVES.filter(({ name }) => names.includes(name));
  const started = performance.now();
  installPeers();
  const why = await limit.prepare();
  if (why !== undefined) console.log(`without tokio-postgres: ${why}`);
  const cluster = await startCluster({
    nodes: names.includes('nodes') ? REAL_NODES : 1,
    synchronous: false,
    ...(process.env.HYPERION_HOSTS
      ? {}
      : { settings: { max_connections: MOST_CONNECTIONS + SPARE + 20, shared_buffers: '128MB', jit: false } }),
  });
  /** @type {Awaited<ReturnType<typeof startFakes>> | undefined} */
  let fakes;
  try {
    const primary = cluster.primary();
    for (const statement of load.setup) await primary.sql(statement);
    const place = await placeOf(cluster);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}`);
    if (names.includes('nodes')) {
      const { steps } = /** @type {Curve} */ (CURVES.find(({ name }) => name === 'nodes'));
      fakes = await startFakes(Math.max(...steps) - 1 - place.standbys.length, place.systemIdentifier);
    }
    const run = new Run({ ...place, fakes: fakes?.addresses }, { seconds });
    for (const curve of curves) {
      const without = new Set(
        curve.series.filter(({ isLimit }) => isLimit && why !== undefined).map(({ name }) => name),
      );
      const measured = await run.curve(curve, { rounds, quick, without });
      report(curve, {
        at: new Date().toISOString(),
        curve: curve.name,
        rounds,
        seconds,
        quick,
        node: process.version,
        postgresql: cluster.version,
        cpu,
        versions: run.versions,
        measured,
      });
    }
    if (run.failures > 0) process.exitCode = 1;
    console.log(`\n${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
  } finally {
    fakes?.stop();
    for (const statement of load.teardown)
      await cluster
        .primary()
        .sql(statement)
        .catch(() => {});
    await cluster.stop();
  }
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { main };
