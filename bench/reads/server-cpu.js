'use strict';

// CPU time of several servers (bench/server-cpu.js).

const { beginServerCpu: beginOne } = require('../server-cpu.js');

/**
 * Begins to measure.
 * @param {{ dataDir: string }[]} nodes
 * @returns {() => number[] | undefined} ends it: CPU time of each node in us; nothing when that of one cannot be told
 */
function beginServerCpu(nodes) {
  const ends = nodes.map(({ dataDir }) => beginOne(dataDir));
  return () => {
    const times = ends.flatMap((end) => end() ?? []);
    return times.length === nodes.length ? times : undefined;
  };
}

module.exports = { beginServerCpu };
