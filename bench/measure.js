'use strict';

// One measurement: an operation again and again, and what it cost.

const fs = require('node:fs');
const { monitorEventLoopDelay, performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

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
 * @param {{ inFlight: number, seconds: number, warmupSeconds: number }} how
 * @returns {Promise<Measurement>}
 */
async function steady(operation, load, { inFlight, seconds, warmupSeconds }) {
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
  stalls.reset();
  const before = readClocks();
  await Promise.race([sleep(seconds * 1000), failed]);
  const spent = difference(before, readClocks());
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
 * @param {{ warmups: number, times: number, reset: () => Promise<unknown> }} how
 * @returns {Promise<Measurement>}
 */
async function repeated(operation, load, { warmups, times, reset }) {
  /** @type {ReturnType<typeof difference>[]} */
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
    const before = readClocks();
    expectRows(await operation(n), load.rows(n));
    const spent = difference(before, readClocks());
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
 * @returns {Promise<Measurement>}
 */
async function once(operation, load) {
  const before = readClocks();
  expectRows(await operation(), load.rows(0));
  const spent = difference(before, readClocks());
  return { ...figures(spent, 1), ...percentiles([spent.ms]) };
}

/** @param {Result} result @param {number} expected */
function expectRows({ length }, expected) {
  if (length !== expected) throw new Error(`${length} rows instead of ${expected}`);
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

/**
 * CPU time of the JavaScript thread. Older versions of Node.js do not have it; then it is read from Linux (the first number of schedstat
 * is the thread's time on a CPU in ns).
 * @returns {{ source: NonNullable<Measurement['mainSource']>, us: number }}
 */
function mainThreadUs() {
  const usage = /** @type {any} */ (process).threadCpuUsage?.();
  if (usage !== undefined) return { source: 'threadCpuUsage', us: usage.user + usage.system };
  try {
    const [ns] = fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ');
    return { source: 'schedstat', us: Number(ns) / 1000 };
  } catch {
    return { source: 'event loop', us: performance.eventLoopUtilization().active * 1000 };
  }
}

/** @param {Clocks} before @param {Clocks} after */
function difference(before, after) {
  const loop = performance.eventLoopUtilization(after.loop, before.loop);
  return {
    ms: after.now - before.now,
    cpuUs: after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system,
    mainUs: after.main.us - before.main.us,
    mainSource: after.main.source,
    activeMs: loop.active,
    idleMs: loop.idle,
  };
}

/** @param {ReturnType<typeof difference>[]} parts */
function sum(parts) {
  return parts.reduce((total, part) => ({
    ms: total.ms + part.ms,
    cpuUs: total.cpuUs + part.cpuUs,
    mainUs: total.mainUs + part.mainUs,
    mainSource: part.mainSource,
    activeMs: total.activeMs + part.activeMs,
    idleMs: total.idleMs + part.idleMs,
  }));
}

/** @param {ReturnType<typeof difference>} spent @param {number} operations @returns {Measurement} */
function figures(spent, operations) {
  return {
    operations,
    opsPerSecond: (operations * 1000) / spent.ms,
    cpuUsPerOp: spent.cpuUs / operations,
    mainUsPerOp: spent.mainUs / operations,
    mainSource: spent.mainSource,
    eventLoopUtilization: spent.activeMs / (spent.activeMs + spent.idleMs),
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
