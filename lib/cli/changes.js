'use strict';

// The pool's events as text, one sentence for each change.

const { duration, label, printable } = require('./format.js');

/**
 * @param {import('../../client.js').Pool} pool
 * @param {(text: string) => void} report called with each change
 */
function reportChanges(pool, report) {
  /** The last reported state of each node. @type {Map<string, string>} */
  const known = new Map();
  const reasonOf = (/** @type {{ host: string, port: number }} */ { host, port }) => {
    const { lastError } = pool.nodes().find((node) => node.host === host && node.port === port) ?? {};
    return printable(lastError ?? '').replace(/^is /, '');
  };
  pool.on('node', (node) => {
    const name = label(node);
    const before = known.get(name);
    known.set(name, node.state);
    if (node.state === 'up') report(before === 'up' ? `${name} is now a ${node.role}` : `${name} is up: ${node.role}`);
    if (node.state === 'down') report(`${name} is down${reasonOf(node) && `: ${reasonOf(node)}`}`);
    // The state 'fenced' has an event of its own.
  });
  pool.on('fenced', (node) => report(`${label(node)} is fenced: ${reasonOf(node) || 'it accepts no writes'}`));
  pool.on('primary', ({ from, to, downMs }) => {
    const gap = downMs > 0 ? `, none for ${duration(downMs)}` : '';
    report(from === null ? `primary is ${to}` : `primary is now ${to}, was ${from}${gap}`);
  });
}

module.exports = { reportChanges };
