'use strict';

// A limit: PostgreSQL's own pgbench, in C, with prepared statements, one at a time on each connection. It makes no values
// out of what it receives. Latencies are not among its figures here: writing each to its log would slow it down.

const { execFile, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');
const { beginServerCpu, processCpu } = require('../server-cpu.js');

/** @typedef {import('../types').Limit} Limit */

/** Threads that are tried; the best number depends on the machine and is looked for once for each load. */
const THREADS = [1, 2];

let program = '';
/** @type {Map<string, number>} */
const bestThreads = new Map();

/** Newest first. */
function candidates() {
  const debian = '/usr/lib/postgresql';
  const versions = fs.existsSync(debian) ? fs.readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  return [
    ...(process.env.HYPERION_PG_BIN ? [path.join(process.env.HYPERION_PG_BIN, 'pgbench')] : []),
    'pgbench',
    ...versions.map((version) => path.join(debian, version, 'bin/pgbench')),
  ];
}

const versionOf = (/** @type {string} */ file) =>
  /\d[\d.]*/.exec(execFileSync(file, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))?.[0];

exports.version = () => versionOf(program) ?? '';

/** @type {Limit['prepare']} */
exports.prepare = async () => {
  for (const file of candidates()) {
    try {
      versionOf(file);
      program = file;
      return undefined;
    } catch {
      // the next one
    }
  }
  return 'it is not installed (on Debian it comes with the postgresql package)';
};

/** CPU time is looked at between these parts of a run: its connections are open and statements prepared, and it has not ended. */
const LOOK_FROM = 0.4;
const LOOK_UNTIL = 0.9;

/** @type {Limit['run']} */
exports.run = async (load, opening, { seconds, warmupSeconds, dataDir }) => {
  const { id, connections, way } = load;
  const clients = way.kind === 'steady' ? Math.min(way.inFlight, connections) : 1;
  const threads = bestThreads.get(id) ?? (await findThreads(load, opening, clients));
  bestThreads.set(id, threads);
  const how = { clients, threads, seconds: Math.ceil(seconds + warmupSeconds) };
  const { opsPerSecond, cpu } = await rate(load, opening, how, dataDir);
  return {
    operations: Math.round(opsPerSecond * seconds),
    opsPerSecond,
    cpuUsPerOp: cpu?.ownUs && cpu.ownUs / (opsPerSecond * cpu.seconds),
    serverUsPerOp: cpu?.serverUs && cpu.serverUs / (opsPerSecond * cpu.seconds),
    variant: `-c ${clients} -j ${threads}`,
  };
};

/** @param {import('../types').Load} load @param {import('../types').Opening} opening @param {number} clients */
async function findThreads(load, opening, clients) {
  let best = { threads: 1, found: 0 };
  for (const threads of THREADS.filter((number) => number <= clients)) {
    const { opsPerSecond } = await rate(load, opening, { clients, threads, seconds: 1 });
    if (opsPerSecond > best.found) best = { threads, found: opsPerSecond };
  }
  return best.threads;
}

/**
 * @param {import('../types').Load} load
 * @param {import('../types').Opening} opening
 * @param {{ clients: number, threads: number, seconds: number }} how
 * @param {string} [dataDir]
 */
async function rate(load, { primary, user, password, database }, { clients, threads, seconds }, dataDir) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-pgbench-'));
  try {
    const script = path.join(folder, 'script.sql');
    fs.writeFileSync(script, `${load.script?.replace(/\n\s+/g, ' ')}\n`);
    const running = promisify(execFile)(
      program,
      [
        ...['-n', '-M', 'prepared', '-c', clients, '-j', threads, '-T', seconds, '-f', script],
        ...['-D', 'text=customer number 12345', '-D', 'true=1', '-D', 'one=1'],
        ...['-h', primary.host, '-p', primary.port, '-U', user, database],
      ].map(String),
      { env: { ...process.env, PGPASSWORD: password } },
    );
    const looking = cpuOf(running.child, seconds, dataDir);
    const { stdout } = await running;
    const [, tps] = /tps = ([\d.]+)/.exec(stdout) ?? [];
    if (tps === undefined) throw new Error(`pgbench says:\n${stdout}`);
    return { opsPerSecond: Number(tps), cpu: await looking };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * CPU time of pgbench and of the server in a part of the run. pgbench does not tell how many transactions that part had, but their rate
 * hardly changes.
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} seconds of the whole run
 * @param {string | undefined} dataDir
 */
async function cpuOf({ pid }, seconds, dataDir) {
  if (pid === undefined) return undefined;
  await sleep(seconds * LOOK_FROM * 1000);
  const started = performance.now();
  const end = beginServerCpu(dataDir);
  const before = processCpu(pid);
  await sleep(seconds * (LOOK_UNTIL - LOOK_FROM) * 1000);
  const after = processCpu(pid);
  const serverUs = end();
  return {
    ownUs: before === undefined || after === undefined ? undefined : after - before,
    serverUs,
    seconds: (performance.now() - started) / 1000,
  };
}
