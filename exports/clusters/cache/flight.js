'use strict';

// A statement that runs for all who ask for the same entry, and how each of them waits for it.

const { setMaxListeners } = require('node:events');
const client = /** @type {any} */ (require('../../../client.js'));

const { aborted, timedOutAs } = client[Symbol.for('hyperiondb-client.options')];

const timedOut = timedOutAs('statement', ', before it was sent');

/**
 * How a flight ended for those who wait. `bytes`: the result, to copy; `error`: the statement failed; neither: the one who ran it was
 * stopped by a limit of its own (`again`: the next one runs it), or its result cannot be copied (each runs it alone).
 * @typedef {{ bytes?: Buffer, error?: unknown, hasFailed?: boolean, again?: boolean }} Ending
 */

class Flight {
  /** Whether an invalidation came in between: the result goes to those who asked before, and is not stored. */
  isStale = false;
  /** How many calls wait for it. */
  waiting = 0;
  /** @type {(ending: Ending) => void} */
  settle = () => {};

  /** @param {readonly string[]} labels @param {number} ticket of the last call that was made before it began */
  constructor(labels, ticket) {
    this.labels = labels;
    this.ticket = ticket;
    /** @type {Promise<Ending>} */
    this.ending = new Promise((resolve) => {
      this.settle = resolve;
    });
  }
}

/** What limits a call: its signal, and its time from the moment of the call on. */
class Limits {
  /** @param {{ signal?: AbortSignal, timeoutMs?: number }} given */
  constructor({ signal, timeoutMs }) {
    this.signal = signal ?? undefined;
    this.timeoutMs = timeoutMs || undefined;
    this.until = this.timeoutMs === undefined ? Infinity : performance.now() + this.timeoutMs;
  }

  /** Throws if the call has no time left. */
  assertOpen() {
    if (this.signal?.aborted) throw aborted(this.signal);
    if (this.until !== Infinity && performance.now() >= this.until) throw timedOut(this.timeoutMs);
  }

  /** What is left for the statement. */
  get left() {
    const timeoutMs = this.until === Infinity ? undefined : Math.max(1, Math.ceil(this.until - performance.now()));
    return { signal: this.signal, timeoutMs };
  }

  /** Whether a statement failed because of these limits. @param {unknown} error */
  isCauseOf(error) {
    return this.signal?.aborted === true || (this.timeoutMs !== undefined && error instanceof client.QueryTimeoutError);
  }

  /**
   * Waits for a promise that does not reject, no longer than the limits allow.
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  wait(promise) {
    const { signal, until } = this;
    if (signal === undefined && until === Infinity) return promise;
    return new Promise((resolve, reject) => {
      // One signal may end many calls: Node must not warn of a leak.
      if (signal !== undefined) setMaxListeners(0, signal);
      const abort = () => end(() => reject(aborted(this.signal)));
      const expire = () => end(() => reject(timedOut(this.timeoutMs)));
      const timer = until === Infinity ? undefined : setTimeout(expire, Math.max(1, until - performance.now()));
      const end = (/** @type {() => void} */ settle) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        settle();
      };
      signal?.addEventListener('abort', abort, { once: true });
      promise.then((value) => end(() => resolve(value)));
    });
  }
}

module.exports = { Flight, Limits };
