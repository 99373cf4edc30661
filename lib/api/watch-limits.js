'use strict';

// The limits of work that waits in JavaScript, where no statement runs that the core could cancel.

const { aborted } = require('../errors.js');

/**
 * Rejects when the time is over or the signal fires; `stop` ends the watch, `fail` ends it at once.
 * @param {Record<string, any>} options
 * @param {(timeoutMs: number) => Error} timedOut makes the error
 */
function watchLimits({ timeoutMs = 0, signal }, timedOut) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {(() => void) | undefined} */
  let onAbort;
  /** @type {(error: unknown) => void} */
  let fail = () => {};
  const over = new Promise((_, reject) => {
    fail = reject;
    if (timeoutMs > 0) {
      timer = setTimeout(() => reject(timedOut(timeoutMs)), timeoutMs);
    }
    if (signal !== undefined) {
      onAbort = () => reject(aborted(signal));
      signal.addEventListener('abort', onAbort, { once: true });
    }
  });
  // The caller may not wait for it any more: no unhandled rejection.
  over.catch(() => {});
  const stop = () => {
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  };
  return { over, stop, fail };
}

module.exports = { watchLimits };
