'use strict';

// One look at the cluster.

const { setTimeout: sleep } = require('node:timers/promises');
const { fullTable } = require('./table.js');
const { exitCode, isSeen, verdict, writable } = require('./topology.js');
const { label } = require('./words.js');

/** @typedef {import('./topology.js').Node} Node */

const EVERY_MS = 20;
/** The pool's own limit, which is the same, comes first: it has decided by then what the nodes amount to. */
const GRACE_MS = 500;

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

/**
 * The nodes, when each has been looked at or time is up.
 * @param {import('../../client.js').Pool} pool
 * @param {number} timeoutMs
 * @returns {Promise<Node[]>}
 */
async function seen(pool, timeoutMs) {
  const until = performance.now() + timeoutMs + GRACE_MS;
  for (;;) {
    /** @type {Node[]} */
    const nodes = pool.nodes();
    if (nodes.every(isSeen)) return nodes;
    if (performance.now() >= until) {
      return nodes.map((node) => (isSeen(node) ? node : { ...node, lastError: `no answer within ${timeoutMs} ms` }));
    }
    await sleep(EVERY_MS);
  }
}

module.exports = { look };
