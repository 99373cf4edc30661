'use strict';

// `npm run bench`: this client beside its peers, on a one-node cluster it starts itself (or the one HYPERION_HOSTS names).
//
//   node bench/run.js [--rounds 5] [--seconds 2] [--only W2,W3] [--peers pg,postgres]
//
// In every round each peer has its turn under each load, in a process of its own and in another order each time. Values
// are compared before anything counts. Everything measured goes to bench/results/, the medians to the terminal.

const { execFileSync, fork } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../test/cluster');
const { LOADS } = require('./loads.js');
const { OURS, summarise, table } = require('./report.js');

/** @typedef {import('./types').Answer} Answer */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Load} Load */

const PEERS = [OURS, 'pg', 'postgres'];

/** The peers are dependencies of this folder alone, at the versions it pins. */
function installPeers() {
  const { devDependencies } = require('./package.json');
  const isThere = (/** @type {[string, string]} */ [name, version]) => {
    const file = path.join(__dirname, 'node_modules', name, 'package.json');
    return fs.existsSync(file) && JSON.parse(fs.readFileSync(file, 'utf8')).version === version;
  };
  if (Object.entries(devDependencies).every(isThere)) return;
  console.error('> npm ci (in bench/)');
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: __dirname,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
}

/**
 * @param {string | undefined} list
 * @param {string[]} known
 * @param {string} option
 */
function chosen(list, known, option) {
  const names = list?.split(',') ?? known;
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`--${option}: '${name}' is none of ${known.join(', ')}`);
  }
  return known.filter((name) => names.includes(name));
}

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      only: { type: 'string' },
      peers: { type: 'string' },
    },
  });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds must be a whole number from 1');
  if (!(seconds > 0)) throw new Error('--seconds must be a number greater than 0');
  const ids = chosen(
    values.only,
    LOADS.map(({ id }) => id),
    'only',
  );
  return {
    rounds,
    seconds,
    loads: LOADS.filter(({ id }) => ids.includes(id)),
    peers: chosen(values.peers, PEERS, 'peers'),
  };
}

/**
 * @param {Job} job
 * @returns {Promise<Answer>}
 */
function inChild(job) {
  const child = fork(path.join(__dirname, 'child.js'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    const failed = (/** @type {unknown} */ why) => reject(new Error(`${job.peer} under ${job.load}: ${why}`));
    child.once('message', (/** @type {any} */ answer) => {
      if ('error' in answer) failed(answer.error);
      else resolve(answer);
    });
    child.once('error', failed);
    child.once('exit', (code, signal) => failed(`ended without an answer (${signal ?? code})`));
    child.send(job);
  });
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
        `${load}: different values\n  ${first.peer}: ...${around(first.values)}...\n  ${peer}: ...${around(values)}...`,
      );
    }
  }
}

/** @template T @param {T[]} list @param {number} by */
const rotated = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

async function main() {
  const { rounds, seconds, loads, peers } = options();
  installPeers();
  const settings = { shared_buffers: '128MB', jit: false };
  const cluster = await startCluster({
    nodes: 1,
    synchronous: false,
    ...(process.env.HYPERION_HOSTS ? {} : { settings }),
  });
  const { hosts, user, password, database, version } = cluster;
  const primary = cluster.primary();
  const opening = {
    hosts,
    primary: { host: primary.host, port: primary.port },
    user,
    password,
    database,
  };
  /** @type {Record<string, Record<string, import('./types').Measurement>[]>} */
  const measured = Object.fromEntries(loads.map(({ id }) => [id, []]));
  /** @type {Record<string, string>} */
  const versions = {};
  const values = new Values();
  let library;
  try {
    for (const statement of new Set(loads.flatMap(({ setup }) => setup))) await primary.sql(statement);
    console.log(
      `Node.js ${process.version}, PostgreSQL ${version}, ${os.availableParallelism()} x ${os.cpus()[0]?.model}`,
    );
    console.log(`${rounds} rounds of ${seconds} s for each of ${peers.join(', ')}`);
    for (let round = 0; round < rounds; round++) {
      for (const load of loads) {
        /** @type {Record<string, import('./types').Measurement>} */
        const results = {};
        for (const peer of rotated(peers, round)) {
          const answer = await inChild({ peer, load: load.id, opening: /** @type {any} */ (opening), seconds });
          values.check(load.id, peer, answer.values);
          results[peer] = answer.measured;
          versions[peer] = answer.version;
          if (answer.library !== undefined && library === undefined) {
            library = answer.library;
            console.log(`native library: ${library} (${(fs.statSync(library).size / 2 ** 20).toFixed(1)} MB)`);
          }
        }
        measured[load.id].push(Object.fromEntries(peers.map((peer) => [peer, results[peer]])));
        const rates = peers.map((peer) => `${peer} ${Math.round(results[peer].opsPerSecond).toLocaleString('en-US')}`);
        console.log(`round ${round + 1}, ${load.id}: ${rates.join(', ')} a second`);
      }
    }
    report(measured, loads, peers, versions);
    save({
      rounds,
      seconds,
      node: process.version,
      postgresql: version,
      cpu: os.cpus()[0]?.model,
      versions,
      library,
      measured,
    });
  } finally {
    for (const statement of new Set(loads.flatMap(({ teardown }) => teardown)))
      await primary.sql(statement).catch(() => {});
    await cluster.stop();
  }
}

/**
 * @param {Record<string, Record<string, import('./types').Measurement>[]>} measured
 * @param {Load[]} loads
 * @param {string[]} peers
 * @param {Record<string, string>} versions
 */
function report(measured, loads, peers, versions) {
  for (const { id, title } of loads) {
    const [head, ...rest] = table(summarise(measured[id]), peers);
    console.log(`\n${id}: ${title}; median (least..greatest)\n`);
    console.log([head, ...rest].map((line) => `  ${line}`).join('\n'));
  }
  const [source] = Object.values(measured).flatMap((rounds) => rounds.flatMap(Object.values));
  console.log(
    `\n${peers.map((peer) => `${peer} ${versions[peer]}`).join(', ')}; the main thread's CPU by ${source.mainSource}.`,
  );
}

/** @param {object} result */
function save(result) {
  const folder = path.join(__dirname, 'results');
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${new Date().toISOString().replace(/[:.]/g, '-')}.json`);
  fs.writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), ...result }, null, 2)}\n`);
  console.log(`All figures: ${path.relative(process.cwd(), file)}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
