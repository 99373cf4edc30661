'use strict';

// Histograms of durations as the core reports them (src/engine/histogram.rs): `[bound, count]` for each bucket that is not empty, in
// ascending order. `count` durations were below `bound` microseconds, and not below the bound of the bucket before it. From 10 us on a
// bucket is at most a tenth of its lower bound wide.

/** @typedef {{ count: number, sumUs: number, maxUs: number, buckets: [bound: number, count: number][] }} Histogram */

/** From here on all durations share the last bucket, in microseconds. It ends behind the longest duration, so its bound grows. */
const LONGEST = 100_000_000;

/** The lower bound of the bucket that ends at `bound`. @param {number} bound */
function lowerBound(bound) {
  if (bound > LONGEST) return LONGEST;
  if (bound <= 100) return bound - 1;
  return bound - 10 ** (Math.ceil(Math.log10(bound)) - 2);
}

/**
 * The duration that a share of all durations is not above, in microseconds; 0 without durations. Within a bucket the durations count as
 * evenly spread.
 * @param {Histogram} histogram
 * @param {number} share 0 to 1
 */
function percentile({ count, maxUs, buckets }, share) {
  let wanted = share * count;
  for (const [bound, here] of buckets) {
    if (wanted <= here) {
      const lower = Math.min(lowerBound(bound), maxUs);
      return Math.min(lower + ((bound - lower) * wanted) / here, maxUs);
    }
    wanted -= here;
  }
  return count === 0 ? 0 : maxUs;
}

/**
 * How many durations were below an edge, in microseconds. Exact if the edge is a number of two digits times a power of ten.
 * @param {Histogram} histogram
 * @param {number} edge
 */
function below({ buckets }, edge) {
  let sum = 0;
  for (const [bound, count] of buckets) {
    if (bound > edge) break;
    sum += count;
  }
  return sum;
}

/**
 * What came between two looks at a histogram. Its longest duration is only known to its bucket.
 * @param {Histogram} later
 * @param {Histogram} earlier
 * @returns {Histogram}
 */
function difference(later, earlier) {
  const known = (/** @type {number} */ bound) => Math.min(bound, LONGEST + 1);
  const before = new Map(earlier.buckets.map(([bound, count]) => [known(bound), count]));
  /** @type {[number, number][]} */
  const buckets = [];
  for (const [bound, count] of later.buckets) {
    const here = count - (before.get(known(bound)) ?? 0);
    if (here > 0) buckets.push([bound, here]);
  }
  const count = buckets.reduce((sum, [, here]) => sum + here, 0);
  const maxUs = Math.min(buckets.at(-1)?.[0] ?? 0, later.maxUs);
  return { count, sumUs: later.sumUs - earlier.sumUs, maxUs, buckets };
}

module.exports = { below, difference, percentile };
