'use strict';

// The figures of a running load: rates and latencies of the last second, a history for the little charts, and for every
// event of the scenario the longest time without an acknowledged write.

const SLOT_MS = 250;
const SLOTS_A_SECOND = 1000 / SLOT_MS;

/** @param {number[]} sorted @param {number} share */
const quantile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** Completed statements of one kind. */
class Meter {
  /** Latencies of the slot that is being filled. @type {number[]} */
  #open = [];
  /** The last full second, slot by slot. @type {number[][]} */
  #second = [];
  /** Statements a second in each slot so far, oldest first. @type {number[]} */
  history = [];
  total = 0;

  /** @param {number} latencyMs */
  add(latencyMs) {
    this.total += 1;
    this.#open.push(latencyMs);
  }

  /** Ends a slot; called every SLOT_MS. */
  turn() {
    this.history.push(this.#open.length * SLOTS_A_SECOND);
    this.#second.push(this.#open);
    if (this.#second.length > SLOTS_A_SECOND) this.#second.shift();
    this.#open = [];
  }

  /** The last full second; the quantiles are NaN when nothing was completed. */
  recent() {
    const sorted = this.#second.flat().sort((a, b) => a - b);
    const perSecond = (sorted.length * SLOTS_A_SECOND) / Math.max(1, this.#second.length);
    return { perSecond, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
  }
}

/**
 * What happened to the writes from one event of the scenario to the next.
 * @typedef {object} Episode
 * @property {string} title
 * @property {number} longestPauseMs
 * @property {number} failed
 * @property {string | null} promoted name of the node that became the primary
 * @property {number} acceptedAt when it first took a write that did not come through the pool; NaN: not yet
 * @property {number} firstWriteAt when it first took one through the pool
 */

class Episodes {
  /** @type {Episode[]} */
  list = [];
  #lastWrite = performance.now();

  /** @param {string} title */
  begin(title) {
    const never = Number.NaN;
    /** @type {Episode} */
    const episode = { title, longestPauseMs: 0, failed: 0, promoted: null, acceptedAt: never, firstWriteAt: never };
    this.list.push(episode);
    return episode;
  }

  /** @param {string} node that took the write */
  acknowledged(node) {
    const now = performance.now();
    const episode = this.list.at(-1);
    if (episode !== undefined) {
      episode.longestPauseMs = Math.max(episode.longestPauseMs, now - this.#lastWrite);
      if (node === episode.promoted && Number.isNaN(episode.firstWriteAt)) episode.firstWriteAt = now;
    }
    this.#lastWrite = now;
  }

  failed() {
    const episode = this.list.at(-1);
    if (episode !== undefined) episode.failed += 1;
  }

  /** How long no write has been acknowledged. */
  get pauseMs() {
    return performance.now() - this.#lastWrite;
  }
}

module.exports = { Episodes, Meter, SLOT_MS };
