'use strict';

// How long a call waits for the answer to the question what has become of its transaction.

/** How long the question may take when the caller's own limit is over: only the answer says whether its work was done. */
const GRACE_MS = 1_000;

class Patience {
  #deadline;
  /** @type {AbortSignal | undefined} */
  #signal;
  #isCut = false;

  /**
   * @param {number} acquireTimeoutMs of the pool: so long may it take to find a new primary
   * @param {{ timeoutMs?: number, signal?: AbortSignal }} limits of the call
   * @param {number} began when the call began, on the clock of performance.now()
   */
  constructor(acquireTimeoutMs, { timeoutMs = 0, signal }, began) {
    const now = performance.now();
    this.#deadline = now + acquireTimeoutMs;
    if (timeoutMs > 0) this.#deadline = Math.min(this.#deadline, Math.max(began + timeoutMs, now + GRACE_MS));
    this.#signal = signal;
  }

  /** The time that is left, in ms. */
  left() {
    const now = performance.now();
    if (this.#signal?.aborted && !this.#isCut) {
      this.#isCut = true;
      this.#deadline = Math.min(this.#deadline, now + GRACE_MS);
    }
    return Math.max(0, Math.ceil(this.#deadline - now));
  }
}

module.exports = { Patience };
