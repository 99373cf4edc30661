'use strict';

// What an operation costs, and what memory the process takes meanwhile. Unlike bench/measure.js nothing is kept for each operation:
// a list of latencies would be part of the memory that is looked at.

const v8 = require('node:v8');
const vm = require('node:vm');
const { beginServerCpu } = require('../reads/server-cpu.js');

/** @typedef {import('./types').Figures} Figures */

v8.setFlagsFromString('--expose-gc');
/** Collects the heap. */
const collect = vm.runInNewContext('gc');

const rssMb = () => process.memoryUsage.rss() / 2 ** 20;

/** RSS of this process when all that is garbage has gone. */
function restMb() {
  collect();
  return rssMb();
}

/** CPU time of the process, in us. */
function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * Begins to count.
 * @param {string[]} dataDirs of the servers on this machine
 * @returns {(units: number) => Figures} ends it
 */
function begin(dataDirs) {
  const endServers = beginServerCpu(dataDirs.map((dataDir) => /** @type {any} */ ({ dataDir })));
  const [cpu, started] = [cpuUs(), performance.now()];
  return (units) => {
    const us = (performance.now() - started) * 1000;
    const spent = cpuUs() - cpu;
    const servers = endServers();
    return {
      usPerOp: us / units,
      cpuUsPerOp: spent / units,
      serverUsPerOp: servers && servers.length > 0 ? servers.reduce((sum, each) => sum + each, 0) / units : undefined,
    };
  };
}

/**
 * A constant number of operations in flight, for a time.
 * @param {(n: number) => PromiseLike<unknown>} operation
 * @param {{ inFlight: number, seconds: number, warmupSeconds: number, dataDirs: string[] }} how
 */
async function steady(operation, { inFlight, seconds, warmupSeconds, dataDirs }) {
  let [next, done, isRunning] = [0, 0, true];
  /** @type {(error: unknown) => void} */
  let fail = () => {};
  const failed = new Promise((_, reject) => {
    fail = reject;
  });
  const worker = async () => {
    while (isRunning) {
      await operation(next++);
      done++;
    }
  };
  const workers = Promise.all(Array.from({ length: inFlight }, worker));
  workers.catch(fail);
  const pass = (/** @type {number} */ s) => Promise.race([new Promise((end) => setTimeout(end, s * 1000)), failed]);
  try {
    await pass(warmupSeconds);
    const end = begin(dataDirs);
    const before = done;
    await pass(seconds);
    // An operation may take longer than the time.
    while (done === before) await pass(0.05);
    return end(done - before);
  } finally {
    isRunning = false;
    await workers.catch(() => {});
  }
}

/**
 * Operations one after another, whole ones, until the time has passed.
 * @param {() => PromiseLike<unknown>} operation
 * @param {{ units: number, seconds: number, dataDirs: string[] }} how
 */
async function repeated(operation, { units, seconds, dataDirs }) {
  const until = performance.now() + seconds * 1000;
  const end = begin(dataDirs);
  let times = 0;
  do {
    await operation();
    times++;
  } while (performance.now() < until);
  return end(times * units);
}

/**
 * Each number below `count` once, so many at a time.
 * @param {(n: number) => PromiseLike<unknown>} operation
 * @param {{ count: number, inFlight: number, dataDirs: string[] }} how
 */
async function each(operation, { count, inFlight, dataDirs }) {
  let next = 0;
  const end = begin(dataDirs);
  const worker = async () => {
    while (next < count) await operation(next++);
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, worker));
  return end(count);
}

/** The most memory this process has had, and how far that is above what it has at rest. @param {number} rest @returns {Figures} */
function memory(rest) {
  const peakRssMb = process.resourceUsage().maxRSS / 1024;
  return { peakRssMb, growthMb: Math.max(0, peakRssMb - rest) };
}

module.exports = { collect, cpuUs, each, memory, repeated, restMb, steady };
