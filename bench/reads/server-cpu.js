'use strict';

// CPU time of the servers. Linux tells it for each process (the first number of schedstat is the time on a CPU in ns), and a process
// of PostgreSQL has one thread. Elsewhere nothing is told.

const fs = require('node:fs');
const { processesIn } = require('../../exports/testing/cluster/processes.js');

/** @typedef {Map<number, number>} Times process to its time in us */

/** @param {number} pid */
function timeOf(pid) {
  try {
    return Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return 0; // it has ended
  }
}

/** @param {import('./types').Node} node @returns {Times} */
const timesOf = ({ dataDir }) => new Map(processesIn(dataDir).map((pid) => [pid, timeOf(pid)]));

/**
 * Begins to measure.
 * @param {import('./types').Node[]} nodes
 * @returns {() => number[] | undefined} ends it: CPU time of each node in us
 */
function beginServerCpu(nodes) {
  if (process.platform !== 'linux') return () => undefined;
  const before = nodes.map(timesOf);
  return () =>
    nodes.map((node, index) => {
      let spent = 0;
      // A process that is new has spent all its time meanwhile.
      for (const [pid, time] of timesOf(node)) spent += Math.max(0, time - (before[index].get(pid) ?? 0));
      return spent;
    });
}

module.exports = { beginServerCpu };
