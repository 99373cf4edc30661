'use strict';

// What runs again, and how often. Running it again needs a proof: the failed attempt has certainly changed nothing (`retryable`), or
// its caller has declared it `readOnly`. An error that only looks as if the connection had been lost before the statement is no proof.

const {
  ConnectionLostError,
  HyperionError,
  isConnectionError,
  isRetryable,
  isTransient,
  retry,
} = require('../../client.js');
const { callHook } = require('./hooks.js');

/** Whether there was no session for the work, so that nothing was sent. @param {unknown} error */
const hadNoSession = (error) =>
  isRetryable(error) && isConnectionError(error) && !(error instanceof ConnectionLostError);

/**
 * Whether a time limit has ended the work, and not silence: it would take as long again, and nobody wants to wait so long.
 * @param {any} error
 */
const tookTooLong = (error) => error?.code === '57014' && error.outcome !== 'unknown';

/** Whether a statement may run again. @param {unknown} error @param {boolean} isReadOnly */
const mayQueryAgain = (error, isReadOnly) =>
  isRetryable(error) || (isReadOnly && isTransient(error) && !tookTooLong(error));

/** Whether a transaction may begin again: the pool has seen to the other failures. What its callback throws is no matter of ours. @param {unknown} error */
const mayBeginAgain = (error) => error instanceof HyperionError && hadNoSession(error);

class Retries {
  #limits;
  #hooks;

  /**
   * @param {Record<string, any>} limits `retries` and the others that options.js has
   * @param {Record<string, Function | undefined>} hooks
   */
  constructor(limits, hooks) {
    this.#limits = limits;
    this.#hooks = hooks;
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @param {(error: unknown) => boolean} mayRunAgain
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  async run(work, mayRunAgain, signal) {
    const { retries, minBackoff, maxBackoff, maxConnectRetryTimeMs, maxQueryRetryTimeMs } = this.#limits;
    const began = performance.now();
    return await retry(work, {
      attempts: retries + 1,
      minMs: minBackoff,
      maxMs: maxBackoff,
      signal,
      when: (error) => {
        const most = hadNoSession(error) ? maxConnectRetryTimeMs : maxQueryRetryTimeMs;
        return mayRunAgain(error) && performance.now() - began < most;
      },
      onRetry: ({ attempt, pauseMs, error }) => {
        const { onReconnect, onQueryRetry } = this.#hooks;
        callHook(hadNoSession(error) ? onReconnect : onQueryRetry, { retries: attempt, delay: pauseMs, err: error });
      },
    });
  }
}

module.exports = { Retries, mayBeginAgain, mayQueryAgain };
