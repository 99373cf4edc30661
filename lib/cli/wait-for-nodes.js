'use strict';

// Waits until a pool has asked all of its nodes.

const { setTimeout: sleep } = require('node:timers/promises');
const { isSeen } = require('./topology.js');

/** @typedef {import('./topology.js').Node} Node */

const EVERY_MS = 20;
/** The pool has the same limit. With this grace it has judged the nodes before this file gives up. */
const GRACE_MS = 500;

/**
 * Resolves with the nodes when the pool knows each of them, or after the time limit.
 * @param {import('../../client.js').Pool} pool
 * @param {number} timeoutMs
 * @returns {Promise<Node[]>}
 */
async function waitForNodes(pool, timeoutMs) {
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

module.exports = { waitForNodes };
