'use strict';

// `status`: the nodes of the cluster, once.

const { waitForNodes } = require('./wait-for-nodes.js');
const { fullTable } = require('./table.js');
const { exitCode, verdict, writable } = require('./topology.js');
const { label } = require('./format.js');

/**
 * Prints the nodes.
 * @param {import('../../client.js').Pool} pool
 * @param {import('./arguments.js').Arguments} asked
 * @param {{ out: NodeJS.WritableStream, colors: boolean }} surroundings
 * @returns {Promise<number>} the exit code
 */
async function showStatus(pool, { timeoutMs, json }, { out, colors }) {
  const nodes = await waitForNodes(pool, timeoutMs);
  const [primary = null] = writable(nodes).map(label);
  const text = json
    ? JSON.stringify({ nodes, primary }, null, 2)
    : [...fullTable(nodes, colors), verdict(nodes)].join('\n');
  out.write(`${text}\n`);
  return exitCode(nodes);
}

module.exports = { showStatus };
