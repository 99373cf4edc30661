'use strict';

// `npm run bench`: this client beside its peers, on a one-node cluster it starts itself (or the one HYPERION_HOSTS names).
//
//   node bench/run.js [--rounds 5] [--seconds 1] [--only W2,W3] [--peers hyperion,pg,postgres]
//   node bench/run.js --help                all options, loads and peers
//   node bench/run.js --curves [--help]     how costs grow (curves.js)
//
// In every round each peer has its turn under each load, in a process of its own and in another order each time. Values
// are compared before anything counts. Everything measured goes to bench/results/ (JSON, and a chart), the medians to the
// terminal, with our targets (targets.js) at the end.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { startCluster } = require('../test/support/cluster');
const { chart } = require('./chart.js');
const { inChild } = require('./children.js');
const { buildNative, installPeers } = require('./install.js');
const { HELP, readOptions } = require('./options.js');
const { FLOOR, takesPart } = require('./peers');
const { startProxy } = require('./proxy.js');
const {
  LEGEND,
  OURS,
  bestOf,
  headlineTimes,
  rotated,
  short,
  spread,
  summary,
  table,
  times,
  timesOf,
  timesWithSpread,
} = require('./report.js');
const { judge, targetTable } = require('./targets.js');
const { isUsage } = require('./usage-error.js');

/** @typedef {import('./types').Answer} Answer */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Load} Load */
/** @typedef {import('./types').Measured} Measured */
/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {import('./types').Opening} Opening */
/** @typedef {import('./types').Time} Time */

const WARMUP_SECONDS = 0.7;
const RESULTS = path.join(__dirname, 'results');

/**
 * Those that can take part on this machine; the others are named with the reason.
 * @param {import('./peers').Participant[]} participants
 */
async function prepared(participants) {
  installPeers();
  const able = [];
  for (const participant of participants) {
    const { name } = participant;
    const why = name === 'pg-native' ? buildNative() : await programOf(participant)?.prepare();
    if (why === undefined) able.push(participant);
    else console.log(`without ${name}: ${why}`);
  }
  return able;
}

/**
 * The limits that are programs of their own.
 * @param {import('./peers').Participant} participant
 * @returns {import('./types').Limit | undefined}
 */
function programOf({ name, kind, file = name }) {
  const found = kind === 'limit' ? require(`./peers/${file}.js`) : {};
  return 'run' in found ? found : undefined;
}

/**
 * Several cold starts are one measurement.
 * @param {Answer[]} answers
 * @returns {Answer}
 */
function merged(answers) {
  const all = answers.map(({ measured }) => measured);
  const median = (/** @type {(measured: Measurement) => number | undefined} */ figure) => {
    const values = all.map(figure);
    return values.every((value) => value !== undefined) ? spread(values).median : undefined;
  };
  const p50Ms = median(({ p50Ms }) => p50Ms) ?? Number.NaN;
  return {
    ...answers[0],
    measured: {
      ...all[0],
      operations: all.length,
      opsPerSecond: 1000 / p50Ms,
      p50Ms,
      p99Ms: Math.max(...all.map(({ p99Ms = Number.NaN }) => p99Ms)),
      cpuUsPerOp: median(({ cpuUsPerOp }) => cpuUsPerOp),
      mainUsPerOp: median(({ mainUsPerOp }) => mainUsPerOp),
      otherUsPerOp: median(({ otherUsPerOp }) => otherUsPerOp),
      serverUsPerOp: median(({ serverUsPerOp }) => serverUsPerOp),
      eventLoopUtilization: median(({ eventLoopUtilization }) => eventLoopUtilization),
      peakRssMb: median(({ peakRssMb }) => peakRssMb),
    },
  };
}

/** @param {Load} load @param {Job} job @param {string[]} [execArgv] */
async function measureClient({ way }, job, execArgv) {
  if (way.kind !== 'cold') return inChild(job, execArgv);
  const answers = [];
  for (let n = 0; n < way.processes; n++) answers.push(await inChild(job, execArgv));
  return merged(answers);
}

/** Peers have to return the same values, or there is nothing to compare. */
class Values {
  /** @type {Map<string, { peer: string, values: string }>} */
  #first = new Map();

  /** @param {string} load @param {string} peer @param {string} values */
  check(load, peer, values) {
    const first = this.#first.get(load);
    if (first === undefined) {
      this.#first.set(load, { peer, values });
    } else if (first.values !== values) {
      let at = 0;
      while (first.values[at] === values[at]) at++;
      const around = (/** @type {string} */ text) => text.slice(Math.max(0, at - 60), at + 60);
      throw new Error(
        `different values\n  ${first.peer}: ...${around(first.values)}...\n  ${peer}: ...${around(values)}...`,
      );
    }
  }
}

/** One run of the whole. */
class Bench {
  /** @type {Measured} */
  measured = {};
  /** @type {Record<string, string>} */
  versions = {};
  /** @type {string | undefined} */
  library;
  failures = 0;
  #values = new Values();
  #cluster;
  #opening;
  /** @type {import('./types').Measuring} */
  #how;
  /** @type {Map<number, Awaited<ReturnType<typeof startProxy>>>} latency to proxy */
  #proxies = new Map();

  /** @param {import('../test/support/cluster').Cluster} cluster @param {Time} time */
  constructor(cluster, time) {
    this.#cluster = cluster;
    const { hosts, user, password, database } = cluster;
    const { host, port } = cluster.primary();
    // A node of HYPERION_HOSTS has none: it may be on another machine.
    const { dataDir } = /** @type {{ dataDir?: string }} */ (/** @type {unknown} */ (cluster.primary()));
    this.#how = { ...time, dataDir };
    this.#opening = { hosts, primary: { host, port }, user, password, database };
  }

  /** @param {Load} load @returns {Promise<{ opening: Opening, proxy?: Awaited<ReturnType<typeof startProxy>> }>} */
  async #way({ latencyMs, connections }) {
    if (latencyMs === undefined) return { opening: { ...this.#opening, connections } };
    const proxy = this.#proxies.get(latencyMs) ?? (await startProxy(this.#opening.primary, latencyMs));
    this.#proxies.set(latencyMs, proxy);
    const { host, port } = proxy;
    return { opening: { ...this.#opening, connections, hosts: [`${host}:${port}`], primary: { host, port } }, proxy };
  }

  /**
   * @param {Load} load
   * @param {import('./peers').Participant[]} participants
   */
  async round(load, participants) {
    /** @type {Partial<Record<string, Measurement>>} */
    const results = {};
    const { opening, proxy } = await this.#way(load);
    for (const participant of participants) {
      const { name } = participant;
      for (const statement of load.before ?? []) await this.#cluster.primary().sql(statement);
      try {
        await proxy?.utilization();
        const measured = await this.#measure(load, participant, opening);
        const proxyUtilization = await proxy?.utilization();
        results[name] = { ...measured, ...(proxy ? { proxyUtilization } : {}) };
      } catch (error) {
        this.failures++;
        console.log(`FAILED: ${name} under ${load.id}: ${/** @type {Error} */ (error).message}`);
      }
    }
    this.measured[load.id] ??= [];
    this.measured[load.id].push(results);
  }

  /** @param {Load} load @param {import('./peers').Participant} participant @param {Opening} opening */
  async #measure(load, participant, opening) {
    const { name, kind, file = name, pipelined, execArgv } = participant;
    const program = programOf(participant);
    if (program !== undefined) {
      this.versions[name] ??= program.version();
      return program.run(load, opening, this.#how);
    }
    const job = {
      ...this.#how,
      ...(kind === 'limit' ? { dataDir: undefined } : {}), // it knows no server
      peer: file,
      load: load.id,
      opening: { ...opening, pipelined: pipelined?.includes(load.id) },
    };
    const answer = await measureClient(load, job, execArgv && [...process.execArgv, ...execArgv]);
    this.#values.check(load.id, name, answer.values);
    this.versions[name] = answer.version;
    this.library ??= answer.library;
    return answer.measured;
  }

  close() {
    for (const proxy of this.#proxies.values()) proxy.stop();
  }
}

/** One line a load and round: ours, and how it stands. @param {Load} load @param {Measured} measured @param {string[]} clients */
function progress(load, measured, clients) {
  const rounds = measured[load.id].slice(-1);
  const ours = rounds[0][OURS]?.[load.headline];
  const best = bestOf(rounds, clients, load.headline);
  const unit = load.headline === 'opsPerSecond' ? `${load.unit}s/s` : `ms ${load.headline.slice(0, 3)}`;
  if (ours === undefined) return Object.keys(rounds[0]).join(', ');
  const ratio = best && headlineTimes(rounds, best, load);
  return `${short(ours)} ${unit}${ratio ? `: ${times(ratio.median)}x ${best}, the best client` : ''}`;
}

/** @param {import('./options').Options} options */
async function main({ rounds, seconds, loads, participants: wanted }) {
  const time = { seconds, warmupSeconds: WARMUP_SECONDS };
  const participants = await prepared(wanted);
  const clients = participants.filter(({ kind }) => kind === 'client').map(({ name }) => name);
  const started = performance.now();
  const cluster = await startCluster({
    nodes: 1,
    synchronous: false,
    ...(process.env.HYPERION_HOSTS ? {} : { settings: { shared_buffers: '128MB', max_wal_size: '4GB', jit: false } }),
  });
  const bench = new Bench(cluster, time);
  try {
    const primary = cluster.primary();
    for (const statement of new Set(loads.flatMap(({ setup }) => setup))) await primary.sql(statement);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}`);
    console.log(`${countOf(rounds)}, ${time.seconds} s for each of ${participants.map(({ name }) => name).join(', ')}`);
    for (let round = 0; round < rounds; round++) {
      for (const load of loads) {
        const here = participants.filter((participant) => takesPart(participant, load.id));
        await bench.round(load, rotated(here, round));
        const note = progress(load, bench.measured, clients);
        console.log(`round ${round + 1} of ${rounds}  ${load.id.padEnd(7)}  ${note}`);
      }
    }
    const minutes = (performance.now() - started) / 60_000;
    report(bench, loads, participants);
    const targets = judge(bench.measured, clients);
    if (targets.length > 0) {
      console.log(`\nTargets: medians of ${countOf(rounds)} (least..greatest)\n`);
      for (const line of targetTable(targets)) console.log(`  ${line}`);
    }
    save({
      at: new Date().toISOString(),
      minutes,
      rounds,
      ...time,
      node: process.version,
      postgresql: cluster.version,
      cpu,
      library: bench.library && path.basename(bench.library),
      versions: bench.versions,
      targets,
      summary: Object.fromEntries(loads.map((load) => [load.id, summary(load, bench.measured[load.id])])),
      measured: bench.measured,
    });
    console.log(`${minutes.toFixed(1)} minutes`);
  } finally {
    bench.close();
    for (const statement of new Set(loads.flatMap(({ teardown }) => teardown)))
      await cluster
        .primary()
        .sql(statement)
        .catch(() => {});
    await cluster.stop();
  }
  if (bench.failures > 0) process.exitCode = 1;
}

/**
 * @param {Bench} bench
 * @param {Load[]} loads
 * @param {import('./peers').Participant[]} participants
 */
function report({ measured, versions, library }, loads, participants) {
  const peers = participants.map(({ name }) => name);
  console.log(`\n${LEGEND.join('\n')}`);
  for (const load of loads) {
    const rounds = measured[load.id];
    console.log(`\n${load.id}: ${load.title}\n`);
    console.log(
      table(load, rounds, peers)
        .map((line) => `  ${line}`)
        .join('\n'),
    );
    for (const note of notes(load, rounds, participants)) console.log(`  ${note}`);
  }
  const [source] = Object.values(measured).flatMap((rounds) =>
    rounds.flatMap((round) => round[OURS]?.mainSource ?? []),
  );
  const versionsOf = (/** @type {boolean} */ limits) =>
    participants
      .filter(({ name, kind }) => name in versions && (kind === 'limit') === limits)
      .map(({ name }) => `${name} ${versions[name]}`)
      .join(', ');
  console.log(`\nClients: ${versionsOf(false)}`);
  if (versionsOf(true)) console.log(`Limits: ${versionsOf(true)}`);
  if (source) console.log(`CPU of the main thread by ${source}`);
  if (library)
    console.log(`Native library: ${path.basename(library)}, ${short(fs.statSync(library).size / 2 ** 20)} MB`);
}

/**
 * @param {Load} load
 * @param {Measured[string]} rounds
 * @param {import('./peers').Participant[]} participants
 */
function notes({ id }, rounds, participants) {
  const found = [];
  const stall = timesOf(rounds, FLOOR, 'stallMs');
  if (stall) found.push(`stall: ours is ${timesWithSpread(stall)} that of ${FLOOR}`);
  for (const { name, without } of participants) {
    if (without && id in without) found.push(`without ${name}: ${without[id]}`);
    const ways = new Set(rounds.flatMap((round) => round[name]?.variant ?? []));
    if (ways.size > 0) found.push(`${name}: ${[...ways].join(', or ')}`);
    const busy = Math.max(...rounds.map((round) => round[name]?.proxyUtilization ?? 0));
    if (busy > 0.8) found.push(`${name}: the proxy was ${(busy * 100).toFixed(0)}% busy, and may be what was measured`);
  }
  return found;
}

/** @param {any} result */
function save(result) {
  fs.mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `${result.at.replace(/[:.]/g, '-')}.json`);
  fs.writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  const image = path.join(RESULTS, 'chart.svg');
  fs.writeFileSync(image, chart(result));
  const named = (/** @type {string} */ name) => path.relative(process.cwd(), name);
  console.log(`\nAll figures: ${named(file)}, chart: ${named(image)}`);
}

/** @param {number} rounds */
const countOf = (rounds) => `${rounds} round${rounds === 1 ? '' : 's'}`;

/** @param {string[]} args */
async function run(args) {
  const isCurves = args.some((arg) => /^--curves(=|$)/.test(arg));
  try {
    if (isCurves) return await require('./curves.js').main(args);
    const options = readOptions(args);
    if (options.help) console.log(HELP);
    else await main(options);
  } catch (error) {
    const help = `(all options: npm run bench -- ${isCurves ? '--curves ' : ''}--help)`;
    console.error(isUsage(error) ? `bench: ${/** @type {Error} */ (error).message} ${help}` : error);
    process.exitCode = isUsage(error) ? 2 : 1;
  }
}

run(process.argv.slice(2));
