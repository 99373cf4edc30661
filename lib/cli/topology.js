'use strict';

// Judges the nodes that pool.nodes() returns: pure functions.

const { label } = require('./format.js');

/** @typedef {import('../../client.js').NodeStatus} Node */

/** Whether the pool has asked the node; before that, its state has no meaning. @param {Node} node */
const isSeen = ({ role, lastError }) => role !== 'unknown' || lastError !== null;

/**
 * The nodes that accept writes; where there are several, the one that was promoted last comes first.
 * @param {Node[]} nodes
 */
function writable(nodes) {
  const primaries = nodes.filter(({ role, state }) => role === 'primary' && state === 'up');
  return primaries.sort((a, b) => (b.timeline ?? 0) - (a.timeline ?? 0));
}

/** The exit code of a command that has seen these nodes. @param {Node[]} nodes */
const exitCode = (nodes) => (writable(nodes).length > 0 ? 0 : 1);

/**
 * Which node accepts writes, or why none does.
 * @param {Node[]} nodes
 */
function verdict(nodes) {
  const found = writable(nodes).map(label);
  if (found.length === 1) return `${found[0]} accepts writes.`;
  if (found.length > 1) return `Split brain: ${found.join(' and ')} accept writes.`;
  const fenced = nodes.filter(({ state }) => state === 'fenced').map(label);
  const up = nodes.filter(({ state }) => state === 'up').length;
  if (fenced.length > 0)
    return `No writable primary: ${fenced.join(' and ')} ${fenced.length > 1 ? 'are' : 'is'} fenced.`;
  if (up > 0) return `No writable primary: only standbys are up (${up} of ${nodes.length} nodes).`;
  return `No writable primary: ${nodes.length > 1 ? `none of ${nodes.length} nodes can` : 'the node cannot'} be used, see last error.`;
}

module.exports = { exitCode, isSeen, verdict, writable };
