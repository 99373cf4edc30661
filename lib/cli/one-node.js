'use strict';

// One connection to one node, for commands that ask each node by itself.

/** @typedef {import('../../client.js').PoolOptions} PoolOptions */
/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {{ host: string, port: number, address?: string | null }} Host */

/**
 * A pool of one connection to this node, whatever its role is.
 * @param {(options: PoolOptions) => Pool} createPool
 * @param {PoolOptions} options
 * @param {Host} host
 * @param {number} timeoutMs
 * @returns {Pool}
 */
function openNode(createPool, options, { host, port, address }, timeoutMs) {
  return createPool({
    ...options,
    hosts: { host, port, ...(address ? { address } : {}) },
    mode: 'any',
    poolSize: 1,
    monitor: false,
    acquireTimeoutMs: timeoutMs,
  });
}

/** Why a node could not be asked. @param {any} error */
function reasonOf(error) {
  const [reason] = error?.nodes ?? [];
  return reason ? reason.reason : error instanceof Error ? error.message : String(error);
}

module.exports = { openNode, reasonOf };
