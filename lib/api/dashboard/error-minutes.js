'use strict';

// Errors by class in the last 5 and 15 minutes, counted in minutes: fixed memory for each class.

const MINUTE_MS = 60_000;
const MINUTES = 15;
/** More classes than SQLSTATE and this package have. What comes later is counted in the totals only. */
const MOST_CLASSES = 128;

/** @typedef {{ buckets: Float64Array, minutes: Float64Array, last: number, at: number | null }} Counter `last`: the total that was seen last */

class ErrorMinutes {
  /** @type {Map<string, Counter>} */
  #classes = new Map();
  /** What the pool had counted before it was looked at belongs to no minute. */
  #isFirst = true;

  /** @param {Readonly<Record<string, number>>} totals since the pool was opened @param {number} at */
  add(totals, at) {
    const minute = Math.floor(at / MINUTE_MS);
    for (const [name, total] of Object.entries(totals)) {
      let counter = this.#classes.get(name);
      if (counter === undefined) {
        if (this.#classes.size >= MOST_CLASSES) continue;
        counter = {
          buckets: new Float64Array(MINUTES),
          minutes: new Float64Array(MINUTES),
          last: this.#isFirst ? total : 0,
          at: null,
        };
        this.#classes.set(name, counter);
      }
      if (total === counter.last) continue;
      const slot = minute % MINUTES;
      if (counter.minutes[slot] !== minute) {
        counter.minutes[slot] = minute;
        counter.buckets[slot] = 0;
      }
      counter.buckets[slot] += total - counter.last;
      counter.last = total;
      counter.at = at;
    }
    this.#isFirst = false;
  }

  /** The classes that have errors, the most frequent first. @param {number} at */
  list(at) {
    const minute = Math.floor(at / MINUTE_MS);
    /** @param {Counter} counter @param {number} length */
    const within = ({ buckets, minutes }, length) =>
      buckets.reduce((sum, count, slot) => (minutes[slot] > minute - length ? sum + count : sum), 0);
    return [...this.#classes]
      .filter(([, { last }]) => last > 0)
      .map(([name, counter]) => ({
        class: name,
        total: counter.last,
        last5: within(counter, 5),
        last15: within(counter, MINUTES),
        lastAt: counter.at,
      }))
      .sort((a, b) => b.total - a.total || (a.class < b.class ? -1 : 1));
  }
}

module.exports = { ErrorMinutes };
