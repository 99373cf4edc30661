'use strict';

// CPU time of a server, all of its processes. Linux tells it for each (the first number of schedstat is the time on a CPU in ns), and a
// process of PostgreSQL has one thread. A process that ends takes its schedstat with it; its time is then in what the postmaster has
// waited for (cutime and cstime of proc_pid_stat(5), in ticks of 10 ms). Elsewhere nothing is told, and nothing is said.

const fs = require('node:fs');
const path = require('node:path');

/** USER_HZ is 100 on every platform that Node.js runs on. */
const TICK_US = 10_000;
/** A reading during which a process ended is thrown away; so often it is tried. */
const TRIES = 5;

/**
 * @typedef {object} Reading
 * @property {Map<number, number>} times of the postmaster and its children, in us by pid
 * @property {number} endedUs of the children that have ended
 */

/** @param {string} file */
const read = (file) => fs.readFileSync(file, 'utf8');

/** @param {number} pid @returns {number | undefined} us; nothing when it has ended */
function timeOf(pid) {
  try {
    return Number(read(`/proc/${pid}/schedstat`).split(' ')[0]) / 1000;
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function endedTime(pid) {
  // Its name stands in brackets, and may contain anything. utime is the 14th field of all and the 12th behind the name.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_US;
}

/** @param {number} pid @returns {number[]} */
const childrenOf = (pid) => read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);

/** @param {number} postmaster @returns {Reading | undefined} */
function readTimes(postmaster) {
  for (let tries = 0; tries < TRIES; tries++) {
    const endedUs = endedTime(postmaster);
    // Read twice: the list can miss a process while another one ends (proc_tid_children(5)).
    const pids = new Set([postmaster, ...childrenOf(postmaster), ...childrenOf(postmaster)]);
    /** @type {Reading['times']} */
    const times = new Map();
    for (const pid of pids) {
      const time = timeOf(pid);
      if (time !== undefined) times.set(pid, time);
    }
    if (times.size === pids.size && endedTime(postmaster) === endedUs) return { times, endedUs };
  }
  return undefined;
}

/**
 * What was spent between two readings.
 * @param {Reading} before
 * @param {Reading} after
 * @returns {number | undefined} us; nothing when the readings do not fit together
 */
function spentBetween(before, after) {
  let spent = 0;
  // A process that is new has spent all its time meanwhile.
  for (const [pid, time] of after.times) spent += time - (before.times.get(pid) ?? 0);
  let already = 0;
  for (const [pid, time] of before.times) if (!after.times.has(pid)) already += time;
  const ofEnded = after.endedUs - before.endedUs - already;
  // Each of the four numbers of ticks is rounded down. What is missing beyond that was waited for by somebody else.
  if (ofEnded < -2 * TICK_US) return undefined;
  return spent + Math.max(0, ofEnded);
}

/**
 * Begins to measure.
 * @param {string | undefined} dataDir of the server, if it is one of this machine
 * @returns {() => number | undefined} ends it: CPU time in us; nothing where it cannot be told
 */
function beginServerCpu(dataDir) {
  const unknown = () => undefined;
  if (process.platform !== 'linux' || dataDir === undefined) return unknown;
  try {
    const postmaster = Number(read(path.join(dataDir, 'postmaster.pid')).split('\n')[0]);
    return beginCpuOf(postmaster);
  } catch {
    return unknown; // no right to look, or a kernel without these files
  }
}

/**
 * The same of a process and its children.
 * @param {number} postmaster
 * @returns {() => number | undefined}
 */
function beginCpuOf(postmaster) {
  const before = readTimes(postmaster);
  return () => {
    try {
      const after = readTimes(postmaster);
      // A kernel without CONFIG_SCHED_INFO has the file, with zeros in it.
      if (before === undefined || !after?.times.get(postmaster)) return undefined;
      return spentBetween(before, after);
    } catch {
      return undefined;
    }
  };
}

/**
 * CPU time of a process with all its threads, until now.
 * @param {number} pid
 * @returns {number | undefined} us; nothing where it cannot be told
 */
function processCpu(pid) {
  try {
    return fs
      .readdirSync(`/proc/${pid}/task`)
      .reduce((sum, thread) => sum + Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]) / 1000, 0);
  } catch {
    return undefined;
  }
}

module.exports = { beginCpuOf, beginServerCpu, processCpu, spentBetween };
