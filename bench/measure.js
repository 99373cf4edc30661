'use strict';

// One measurement: an operation, so many of it in flight all the time, so long.

const fs = require('node:fs');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

/** @typedef {import('./types').Measurement} Measurement */

/** Until the code is compiled, the connections are open and the statements prepared. */
const WARMUP_MS = 1_000;

/**
 * @param {(n: number) => PromiseLike<object[]>} operation
 * @param {{ inFlight: number, rows: number, seconds: number }} how
 * @returns {Promise<Measurement>}
 */
async function measure(operation, { inFlight, rows, seconds }) {
  /** @type {number[]} */
  let latencies = [];
  let running = true;
  let next = 0;
  const worker = async () => {
    while (running) {
      const started = performance.now();
      const result = await operation(next++);
      latencies.push(performance.now() - started);
      if (result.length !== rows) throw new Error(`${result.length} rows instead of ${rows}`);
    }
  };
  const workers = Promise.all(Array.from({ length: inFlight }, worker));
  const failed = workers.then(() => undefined);
  await Promise.race([sleep(WARMUP_MS), failed]);
  latencies = [];
  const before = readClocks();
  await Promise.race([sleep(seconds * 1000), failed]);
  const after = readClocks();
  const measured = latencies;
  running = false;
  await workers;
  return figures(measured, before, after);
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
 * CPU time of the JavaScript thread. Older versions of Node.js do not tell; then Linux does (the first number of schedstat
 * is the thread's time on a CPU in ns).
 * @returns {{ source: Measurement['mainSource'], us: number }}
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

/**
 * @param {number[]} latencies
 * @param {Clocks} before
 * @param {Clocks} after
 * @returns {Measurement}
 */
function figures(latencies, before, after) {
  const operations = latencies.length;
  const sorted = Float64Array.from(latencies).sort();
  const cpuUs = after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system;
  return {
    operations,
    opsPerSecond: (operations * 1000) / (after.now - before.now),
    p50Ms: sorted[Math.floor(operations * 0.5)],
    p99Ms: sorted[Math.floor(operations * 0.99)],
    cpuUsPerOp: cpuUs / operations,
    mainUsPerOp: (after.main.us - before.main.us) / operations,
    mainSource: after.main.source,
    eventLoopUtilization: performance.eventLoopUtilization(after.loop, before.loop).utilization,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  };
}

module.exports = { measure };
