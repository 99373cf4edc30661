'use strict';

// Free TCP ports that stay free. Port 0 would give one of the ephemeral range, from which any outgoing connection of the
// machine may take it while a node is stopped; so we draw from below that range (32768 on Linux, 49152 elsewhere) and
// try to bind. Another process can still be faster between our test and the server's bind: startCluster tries again.

const net = require('node:net');

// Files that run side by side have a part of the range each (scripts/test/run-files.js): the port of a stopped node must not go
// to another file's node.
const [LOWEST, HIGHEST] = (process.env.HYPERION_PORTS ?? '20000-32000').split('-').map(Number);

/** Ports given out by this process, never again: a node that is stopped wants its own back. @type {Set<number>} */
const given = new Set();

/** @returns {Promise<number>} */
async function freePort() {
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (!given.has(port) && (await canBind(port))) {
      given.add(port);
      return port;
    }
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST}`);
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function canBind(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

exports.freePort = freePort;
