'use strict';

// One look at the cluster.

const { seen } = require('./seen.js');
const { fullTable } = require('./table.js');
const { exitCode, verdict, writable } = require('./topology.js');
const { label } = require('./words.js');

/**
 * @param {import('../../client.js').Pool} pool
 * @param {import('./arguments.js').Arguments} asked
 * @param {{ out: NodeJS.WritableStream, colors: boolean }} surroundings
 * @returns {Promise<number>} the exit code
 */
async function look(pool, { timeoutMs, json }, { out, colors }) {
  const nodes = await seen(pool, timeoutMs);
  const [primary = null] = writable(nodes).map(label);
  const text = json
    ? JSON.stringify({ nodes, primary }, null, 2)
    : [...fullTable(nodes, colors), verdict(nodes)].join('\n');
  out.write(`${text}\n`);
  return exitCode(nodes);
}

module.exports = { look };
