'use strict';

// Waits until a pool has looked at all of its nodes.

const { setTimeout: sleep } = require('node:timers/promises');
const { isSeen } = require('./topology.js');

/** @typedef {import('./topology.js').Node} Node */

const EVERY_MS = 20;
/** The pool's own limit, which is the same, comes first: it has decided by then what the nodes amount to. */
const GRACE_MS = 500;

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

module.exports = { seen };
