'use strict';

// Hooks only observe: they are not waited for, and what they throw, or reject with, changes nothing.

const { ConnectionLostError } = require('../../client.js');

/**
 * @param {Function | undefined} hook
 * @param {object} payload
 */
function callHook(hook, payload) {
  if (hook === undefined) return;
  try {
    Promise.resolve(hook(payload)).catch(() => {});
  } catch {
    // See the head of this file.
  }
}

/** @param {{ reason?: string | null, sqlstate?: string | null }} detail */
function deadOf({ reason, sqlstate = null }) {
  const meta = { sqlstate };
  if (!reason) return { source: 'end', meta };
  return { source: 'error', err: new ConnectionLostError(reason, 'ERR_CONNECTION_LOST'), meta };
}

/**
 * The hook of each type of the pool's event `lease`, and what the hook is told.
 * @type {Record<string, [name: string, payload: (detail: any) => object]>}
 */
const OF_TYPE = {
  connect: ['onConnect', ({ node }) => ({ node })],
  heartbeat: ['onHeartbeat', ({ node }) => ({ node })],
  'heartbeat-failed': ['onHeartbeatFail', ({ error }) => ({ err: error })],
  dead: ['onClientDead', deadOf],
  reap: [
    'onReap',
    ({ locked, killed, durationMs, error }) => ({ locked, killed, durationMs, ...(error && { err: error }) }),
  ],
};

/**
 * @param {Record<string, Function | undefined>} hooks
 * @param {any} detail of the pool's event `lease`
 */
function callHookOf(hooks, detail) {
  const [name, payload] = OF_TYPE[detail.type] ?? [];
  if (name !== undefined && payload !== undefined) callHook(hooks[name], payload(detail));
}

module.exports = { callHook, callHookOf };
