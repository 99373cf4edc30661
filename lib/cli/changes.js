'use strict';

// The pool's events in words, one sentence a change.

const { duration, label, printable } = require('./words.js');

/**
 * @param {import('../../client.js').Pool} pool
 * @param {(text: string) => void} told
 */
function tellChanges(pool, told) {
  /** What each node was told to be last. @type {Map<string, string>} */
  const known = new Map();
  const reasonOf = (/** @type {{ host: string, port: number }} */ { host, port }) => {
    const { lastError } = pool.nodes().find((node) => node.host === host && node.port === port) ?? {};
    return printable(lastError ?? '').replace(/^is /, '');
  };
  pool.on('node', (node) => {
    const name = label(node);
    const before = known.get(name);
    known.set(name, node.state);
    if (node.state === 'up') told(before === 'up' ? `${name} is now a ${node.role}` : `${name} is up: ${node.role}`);
    if (node.state === 'down') told(`${name} is down${reasonOf(node) && `: ${reasonOf(node)}`}`);
    // 'fenced' has an event of its own.
  });
  pool.on('fenced', (node) => told(`${label(node)} is fenced: ${reasonOf(node) || 'it accepts no writes'}`));
  pool.on('primary', ({ from, to, downMs }) => {
    const gap = downMs > 0 ? `, none for ${duration(downMs)}` : '';
    told(from === null ? `primary is ${to}` : `primary is now ${to}, was ${from}${gap}`);
  });
}

module.exports = { tellChanges };
