'use strict';

// Does the client leak? `node bench/memory.js [--millions 10]`: point selects in one process, its memory after each million,
// and what it still holds open at the end. Exit code 1 when memory has grown beyond noise or something is left.
//
// Growth: after each million the heap is collected and the process's resident memory (RSS) is noted. The first
// million is warm-up: code is compiled, buffers find their size. Of the notes that follow, the median of the later half is
// compared with the median of the earlier half. Noise is 5 % of the earlier one, at least 4 MB. A leak of 8 bytes a query
// would show as 40 MB between the halves of ten millions.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const { startCluster } = require('../test/support/cluster');
const { LOADS } = require('./loads.js');
const { spread } = require('./report.js');

const MILLION = 1_000_000;
const NOISE_SHARE = 0.05;
const NOISE_LEAST_MB = 4;
/** How long a process that has nothing left to do may take to end. */
const PATIENCE_MS = 5_000;

const load = /** @type {import('./types').Load} */ (LOADS.find(({ id }) => id === 'W2-64'));
const IN_FLIGHT = 64;

/** @param {number} bytes */
const mb = (bytes) => bytes / 2 ** 20;

/**
 * In the child: only the client, so that its memory is what is measured.
 * @param {{ opening: import('./types').Opening, millions: number }} job
 */
async function execute({ opening, millions }) {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc');
  // Node.js opens them when they are first used, and where they are pipes they count.
  for (const output of [process.stdout, process.stderr]) output.write('');
  const before = openThings();
  const peer = require('./peers/hyperion.js');
  const db = await peer.open(opening);
  const operation = load.open(db);
  const notes = [];
  for (let million = 1; million <= millions; million++) {
    const started = performance.now();
    await inFlight(operation, MILLION);
    const seconds = (performance.now() - started) / 1000;
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    notes.push(mb(rss));
    console.log(
      `${String(million).padStart(4)} million   RSS ${mb(rss).toFixed(1)} MB   heap ${mb(heapUsed).toFixed(1)} MB   ` +
        `external ${mb(external).toFixed(1)} MB   ${Math.round(MILLION / seconds).toLocaleString('en-US')} a second`,
    );
  }
  await db.close();
  await sleep(100); // the sockets are closed by another thread
  return { notes, left: without(openThings(), before), library: peer.library() };
}

/**
 * @param {(n: number) => PromiseLike<import('./types').Result>} operation
 * @param {number} times
 */
async function inFlight(operation, times) {
  let next = 0;
  const worker = async () => {
    while (next < times) {
      const rows = await operation(next++);
      if (rows.length !== load.rows(0)) throw new Error(`${rows.length} rows instead of ${load.rows(0)}`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

/** What keeps this process alive, and, where the system shows it, every socket (the core's own are unknown to Node.js). */
function openThings() {
  const handles = process.getActiveResourcesInfo();
  const folder = '/proc/self/fd';
  if (!fs.existsSync(folder)) return handles;
  const targets = fs.readdirSync(folder).map((fd) => {
    try {
      return fs.readlinkSync(path.join(folder, fd));
    } catch {
      return ''; // the one that was open to read the folder
    }
  });
  return [...handles, ...targets.filter((target) => target.startsWith('socket:'))];
}

/**
 * What `list` has more than `known`.
 * @param {string[]} list
 * @param {string[]} known
 */
function without(list, known) {
  const rest = [...known];
  return list.filter((name) => {
    const at = rest.indexOf(name);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

/**
 * @param {number[]} notes RSS in MB after each million
 * @returns {{ grown: boolean, text: string }}
 */
function judgeGrowth(notes) {
  const settled = notes.slice(1);
  if (settled.length < 2) return { grown: false, text: 'too few millions to judge growth: it takes 3' };
  const half = Math.floor(settled.length / 2);
  const earlier = spread(settled.slice(0, half)).median;
  const later = spread(settled.slice(-half)).median;
  const noise = Math.max(NOISE_LEAST_MB, earlier * NOISE_SHARE);
  const grown = later - earlier > noise;
  const perQuery = ((later - earlier) * 2 ** 20) / ((settled.length - half) * MILLION);
  return {
    grown,
    text:
      `memory ${grown ? 'GROWS' : 'is flat'}: ${(later - earlier).toFixed(1)} MB from the earlier to the later half of the ` +
      `millions after the first (${perQuery.toFixed(2)} bytes a query; noise is up to ${noise.toFixed(1)} MB)`,
  };
}

async function main() {
  const { values } = parseArgs({ options: { millions: { type: 'string', default: '10' } } });
  const millions = Number(values.millions);
  if (!(Number.isInteger(millions) && millions > 0)) throw new Error('--millions must be a whole number from 1');
  const cluster = await startCluster({ nodes: 1, synchronous: false });
  const primary = cluster.primary();
  try {
    for (const statement of load.setup) await primary.sql(statement);
    const { hosts, user, password, database } = cluster;
    const { connections } = load;
    console.log(`${load.title}, ${millions} million times`);
    const { notes, left, library } = await inChild({
      millions,
      opening: { hosts, user, password, database, connections },
    });
    const { grown, text } = judgeGrowth(notes);
    console.log(text);
    console.log(left.length === 0 ? 'nothing is left open' : `LEFT OPEN: ${left.join(', ')}`);
    console.log(`native library: ${library}`);
    if (grown || left.length > 0) process.exitCode = 1;
  } finally {
    for (const statement of load.teardown) await primary.sql(statement).catch(() => {});
    await cluster.stop();
  }
}

/**
 * Resolves when the child has ended, which it has to do by itself.
 * @param {object} job
 * @returns {Promise<{ notes: number[], left: string[], library: string | undefined }>}
 */
async function inChild(job) {
  const child = fork(__filename, ['child'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit');
  child.send(job);
  const [answer] = await Promise.race([
    once(child, 'message'),
    ended.then(([code, signal]) => Promise.reject(new Error(`the child ended without an answer (${signal ?? code})`))),
  ]);
  if ('error' in answer) throw new Error(answer.error);
  const late = sleep(PATIENCE_MS, ['late'], { ref: false });
  const [end] = await Promise.race([ended, late]);
  if (end !== 0) answer.left.push(end === 'late' ? 'something that keeps the process alive' : `exit code ${end}`);
  child.kill('SIGKILL');
  return answer;
}

if (require.main === module && process.argv[2] === 'child') {
  process.once('message', async (job) => {
    const answer = await execute(/** @type {any} */ (job)).catch((error) => ({ error: String(error.stack) }));
    // The process must end by itself: that is part of the test.
    process.send?.(answer, () => process.disconnect());
  });
} else {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
