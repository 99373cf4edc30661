'use strict';

// One measurement: an operation again and again, and what it cost.

const fs = require('node:fs');
const { monitorEventLoopDelay, performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { beginServerCpu } = require('./server-cpu.js');

/** @typedef {import('./types').Load} Load */
/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {import('./types').Result} Result */
/** @typedef {(n: number) => PromiseLike<Result>} Operation */

// Stalls: libuv's own timer, due every millisecond, notes in C++ how late it comes. It notes whatever blocks the loop
// (a long callback, a chain of microtasks, a garbage collection), to about 1 ms, and runs no JavaScript. A probe by
// setImmediate would note the same, but would keep the loop busy and so spoil utilisation and CPU time.
const STALL_RESOLUTION_MS = 1;
/** After it is switched on or reset the monitor needs one tick before it can see anything. */
const STALL_READY_MS = 5;

/**
 * Measures with a constant number of operations in flight, for a time. Warms up until the code is compiled, the connections are open and the
 * statements prepared.
 * @param {Operation} operation
 * @param {Load} load
 * @param {{ inFlight: number, seconds: number, warmupSeconds: number, dataDir?: string }} how
 * @returns {Promise<Measurement>}
 */
async function steady(operation, load, { inFlight, seconds, warmupSeconds, dataDir }) {
  const { ignored = () => false } = load;
  /** @type {number[]} */
  let latencies = [];
  let running = true;
  let next = 0;
  const worker = async () => {
    while (running) {
      const n = next++;
      const started = performance.now();
      const result = await operation(n);
      if (!ignored(n)) latencies.push(performance.now() - started);
      expectRows(result, load.rows(n));
    }
  };
  const workers = Promise.all(Array.from({ length: inFlight }, worker));
  const failed = workers.then(() => undefined);
  const stalls = monitorEventLoopDelay({ resolution: STALL_RESOLUTION_MS });
  stalls.enable();
  await Promise.race([sleep(warmupSeconds * 1000), failed]);
  latencies = [];
  const end = begin(dataDir);
  stalls.reset();
  await Promise.race([sleep(seconds * 1000), failed]);
  const spent = end();
  const measured = latencies;
  const stallMs = stalls.max / 1e6;
  stalls.disable();
  running = false;
  await workers;
  return { ...figures(spent, measured.length), ...percentiles(measured), stallMs };
}

/**
 * Measures operations one after another; `reset` between them is not measured.
 * @param {Operation} operation
 * @param {Load} load
 * @param {{ warmups: number, times: number, reset: () => Promise<unknown>, dataDir?: string }} how
 * @returns {Promise<Measurement>}
 */
async function repeated(operation, load, { warmups, times, reset, dataDir }) {
  /** @type {Spent[]} */
  const parts = [];
  let units = 0;
  let stallMs = 0;
  const stalls = monitorEventLoopDelay({ resolution: STALL_RESOLUTION_MS });
  for (let n = 1; n <= warmups + times; n++) {
    await reset();
    stalls.enable();
    await sleep(STALL_READY_MS);
    stalls.reset();
    await sleep(STALL_READY_MS);
    const end = begin(dataDir);
    expectRows(await operation(n), load.rows(n));
    const spent = end();
    await sleep(STALL_READY_MS); // the tick that tells of a stall at the very end
    if (n > warmups) {
      parts.push(spent);
      units += load.unit === 'row' ? load.rows(n) : 1;
      stallMs = Math.max(stallMs, stalls.max / 1e6);
    }
    stalls.disable();
  }
  return { ...figures(sum(parts), units), ...percentiles(parts.map(({ ms }) => ms)), stallMs };
}

/**
 * Measures one operation, including the load of the client.
 * @param {() => Promise<Result>} operation
 * @param {Load} load
 * @param {string} [dataDir]
 * @returns {Promise<Measurement>}
 */
async function once(operation, load, dataDir) {
  const end = begin(dataDir);
  expectRows(await operation(), load.rows(0));
  const spent = end();
  return { ...figures(spent, 1), ...percentiles([spent.ms]) };
}

/** @param {Result} result @param {number} expected */
function expectRows({ length }, expected) {
  if (length !== expected) throw new Error(`${length} rows instead of ${expected}`);
}

/**
 * Begins to measure what is spent. The server's processes are looked at outside of what counts for the client: that takes part of a
 * millisecond.
 * @param {string} [dataDir] of the server, if it is one of this machine
 */
function begin(dataDir) {
  const endServer = beginServerCpu(dataDir);
  const before = readClocks();
  /** @returns {Spent} */
  return () => {
    const spent = difference(before, readClocks());
    return { ...spent, serverUs: endServer() };
  };
}

function readClocks() {
  return {
    now: performance.now(),
    cpu: process.cpuUsage(),
    main: mainThreadUs(),
    loop: performance.eventLoopUtilization(),
  };
}

/** @typedef {ReturnType<typeof readClocks>} Clocks */
/** @typedef {ReturnType<typeof difference> & { serverUs: number | undefined }} Spent what one stretch of time has cost */

/**
 * CPU time of the JavaScript thread. Older versions of Node.js do not have it; then it is read from Linux (the first number of schedstat
 * is the thread's time on a CPU in ns). Elsewhere nobody can tell: the time that the event loop is active contains the time that the
 * thread waits for a processor.
 * @returns {{ source?: Measurement['mainSource'], us?: number }}
 */
function mainThreadUs() {
  const usage = /** @type {any} */ (process).threadCpuUsage?.();
  if (usage !== undefined) return { source: 'threadCpuUsage', us: usage.user + usage.system };
  try {
    const [ns] = fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ');
    return { source: 'schedstat', us: Number(ns) / 1000 };
  } catch {
    return {};
  }
}

/** @param {Clocks} before @param {Clocks} after */
function difference(before, after) {
  const loop = performance.eventLoopUtilization(after.loop, before.loop);
  return {
    ms: after.now - before.now,
    cpuUs: after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system,
    mainUs: known(before.main.us, after.main.us, (a, b) => b - a),
    mainSource: after.main.source,
    activeMs: loop.active,
    idleMs: loop.idle,
  };
}

/**
 * What is made of two figures, if both are known.
 * @param {number | undefined} a
 * @param {number | undefined} b
 * @param {(a: number, b: number) => number} made
 */
const known = (a, b, made) => (a === undefined || b === undefined ? undefined : made(a, b));

/** @param {number} a @param {number} b */
const plus = (a, b) => a + b;

/** @param {Spent[]} parts */
function sum(parts) {
  return parts.reduce((total, part) => ({
    ms: total.ms + part.ms,
    cpuUs: total.cpuUs + part.cpuUs,
    mainUs: known(total.mainUs, part.mainUs, plus),
    mainSource: part.mainSource,
    activeMs: total.activeMs + part.activeMs,
    idleMs: total.idleMs + part.idleMs,
    serverUs: known(total.serverUs, part.serverUs, plus),
  }));
}

/** @param {Spent} spent @param {number} operations @returns {Measurement} */
function figures({ ms, cpuUs, mainUs, mainSource, activeMs, idleMs, serverUs }, operations) {
  return {
    operations,
    opsPerSecond: (operations * 1000) / ms,
    cpuUsPerOp: cpuUs / operations,
    mainUsPerOp: mainUs && mainUs / operations,
    // The two are read one after the other, so a process of one thread could have a little less than nothing for the others.
    otherUsPerOp: mainUs && Math.max(0, cpuUs - mainUs) / operations,
    serverUsPerOp: serverUs && serverUs / operations,
    mainSource,
    eventLoopUtilization: activeMs / (activeMs + idleMs),
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  };
}

/** @param {number[]} latencies */
function percentiles(latencies) {
  const sorted = Float64Array.from(latencies).sort();
  const at = (/** @type {number} */ share) => sorted[Math.floor(sorted.length * share)];
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

module.exports = { steady, repeated, once, percentiles };
