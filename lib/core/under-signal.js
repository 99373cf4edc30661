'use strict';

// Cancels work when its AbortSignal fires.

const { setMaxListeners } = require('node:events');
const { AbortError, aborted } = require('../errors.js');

/** Signals whose limit of listeners was lifted. @type {WeakSet<AbortSignal>} */
const manyListeners = new WeakSet();

/**
 * Runs `start`, which sends work to the core, and cancels the work when the signal fires.
 * @template T
 * @param {import('./core-link.js').CoreLink} link
 * @param {number} pool
 * @param {AbortSignal | undefined} signal
 * @param {(started: (call: import('./core-link.js').Call) => void) => Promise<T>} start
 * @returns {Promise<T>}
 */
async function underSignal(link, pool, signal, start) {
  if (signal === undefined) return start(() => {});
  if (signal.aborted) throw aborted(signal);
  if (signal instanceof EventTarget && !manyListeners.has(signal)) {
    // One signal may end many statements: Node must not warn of a leak.
    manyListeners.add(signal);
    setMaxListeners(0, signal);
  }
  /** @type {import('./core-link.js').Call | undefined} */
  let running;
  const cancel = () => {
    // A settled call has no number any more.
    link.cancel(running, pool);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await start((call) => {
      running = call;
    });
  } catch (error) {
    if (error instanceof AbortError) error.cause = signal.reason;
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

module.exports = { underSignal };
