'use strict';

// What getMetrics() counts. Each query calls record() or fail() once; both allocate nothing. All numbers are in arrays of doubles: they are
// exact up to 2^53, while an unsigned integer of 32 bits would overflow after twelve hours of 100,000 queries a second.

// A duration belongs to the bucket that the exponent and the first four bits of the mantissa of its double name (IEEE 754): 16 buckets from
// each power of two to the next. The upper bound of a bucket is at most 1/16 above its lower bound, so its middle is at most 3.2 % away from
// every duration in it.

const MANTISSA_BITS = 4;
const PER_OCTAVE = 1 << MANTISSA_BITS;
/** Durations below 2^-10 ms (1 us) are in the first bucket, those from 2^22 ms (70 minutes) in the last one. */
const LEAST_EXPONENT = -10;
const MOST_EXPONENT = 22;
const BUCKETS = (MOST_EXPONENT - LEAST_EXPONENT) * PER_OCTAVE;
/** The high 32 bits of a double without the bits of the mantissa that are not looked at. */
const SHIFT = 20 - MANTISSA_BITS;
const FIRST = (1023 + LEAST_EXPONENT) << MANTISSA_BITS;

const double = new Float64Array([1]);
const words = new Uint32Array(double.buffer);
/** Which half of a double has its exponent: depends on the byte order of the machine. */
const HIGH = words[0] === 0 ? 1 : 0;

/** @param {number} durationMs a number from 0 */
function bucketOf(durationMs) {
  double[0] = durationMs;
  const bucket = (words[HIGH] >>> SHIFT) - FIRST;
  return bucket < 0 ? 0 : bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/** @param {number} bucket */
const lowerBound = (bucket) =>
  2 ** (LEAST_EXPONENT + Math.floor(bucket / PER_OCTAVE)) * (1 + (bucket % PER_OCTAVE) / PER_OCTAVE);

/** @param {number} bucket */
const middleOf = (bucket) => (lowerBound(bucket) + lowerBound(bucket + 1)) / 2;

// Where a number stands in the array of a cluster; the buckets follow.
const READS = 0;
const WRITES = 1;
const ERRORS = 2;
const DURATION = 3;
const COUNTERS = 4;

/** The bounds of the histogram for Prometheus, in powers of two: 0.125 ms, 0.25 ms, ... 32.768 s are bounds of buckets here, too. */
const BOUND_EXPONENTS = Array.from({ length: 19 }, (_, i) => i - 3);

class ClusterMetrics {
  /** What the cluster and all clusters together have counted. */
  #own = new Float64Array(COUNTERS + BUCKETS);
  #all;

  /** @param {Float64Array} all counts the queries of all clusters, those that were removed included */
  constructor(all) {
    this.#all = all;
  }

  /**
   * A query has succeeded.
   * @param {number} durationMs
   * @param {boolean} isRead
   */
  record(durationMs, isRead) {
    const own = this.#own;
    const all = this.#all;
    const kind = isRead ? READS : WRITES;
    // The sign of a negative duration would be taken for a part of its exponent.
    const duration = Math.max(durationMs, 0);
    own[kind]++;
    own[DURATION] += duration;
    own[COUNTERS + bucketOf(duration)]++;
    all[kind]++;
    all[DURATION] += duration;
  }

  /**
   * A query has failed.
   * @param {number} durationMs
   * @param {boolean} isRead
   */
  fail(durationMs, isRead) {
    this.record(durationMs, isRead);
    this.#own[ERRORS]++;
    this.#all[ERRORS]++;
  }

  /**
   * @param {number} connections
   * @returns {import('./index.d.ts').ClusterMetrics}
   */
  snapshot(connections) {
    const own = this.#own;
    const queries = queriesOf(own);
    const snapshot = {
      queries,
      reads: own[READS],
      writes: own[WRITES],
      errors: own[ERRORS],
      avgResponseTime: queries === 0 ? 0 : own[DURATION] / queries,
      p95: this.#quantile(0.95, queries),
      connections,
    };
    Object.defineProperty(snapshot, 'histogram', { value: this.#histogram(queries) });
    return /** @type {any} */ (snapshot);
  }

  /** The duration that this share of the queries did not exceed. @param {number} share @param {number} queries */
  #quantile(share, queries) {
    if (queries === 0) return 0;
    const rank = Math.ceil(share * queries);
    let seen = 0;
    let bucket = -1;
    while (seen < rank && bucket < BUCKETS - 1) seen += this.#own[COUNTERS + ++bucket];
    return middleOf(bucket);
  }

  /** How many queries took no longer than each bound. @param {number} queries */
  #histogram(queries) {
    let seen = 0;
    let bucket = 0;
    const bounds = BOUND_EXPONENTS.map((exponent) => {
      const end = (exponent - LEAST_EXPONENT) * PER_OCTAVE;
      while (bucket < end) seen += this.#own[COUNTERS + bucket++];
      return { leMs: 2 ** exponent, count: seen };
    });
    return [...bounds, { leMs: Number.POSITIVE_INFINITY, count: queries }];
  }
}

/** @param {Float64Array} counted */
const queriesOf = (counted) => counted[READS] + counted[WRITES];

class Metrics {
  #all = new Float64Array(COUNTERS);
  /** @type {Map<string, ClusterMetrics>} */
  #clusters = new Map();

  /** @param {string} id @returns {ClusterMetrics} what counts the queries of this cluster; made when it is first asked for */
  cluster(id) {
    const known = this.#clusters.get(id);
    if (known !== undefined) return known;
    const metrics = new ClusterMetrics(this.#all);
    this.#clusters.set(id, metrics);
    return metrics;
  }

  /** The cluster is not in the next snapshot; its queries stay in the totals. @param {string} id */
  remove(id) {
    this.#clusters.delete(id);
  }

  /**
   * @param {object} others what is counted elsewhere
   * @param {any} others.cache `stats()` of the cache
   * @param {any} others.transactions `stats()` of the two-phase commits
   * @param {(id: string) => number} others.connections how many connections to the primaries of a cluster are open
   * @returns {import('./index.d.ts').MultiClusterMetrics}
   */
  snapshot({ cache, transactions, connections }) {
    const totalQueries = queriesOf(this.#all);
    const clusters = [...this.#clusters].map(([id, metrics]) => [id, metrics.snapshot(connections(id))]);
    return {
      totalQueries,
      avgResponseTime: totalQueries === 0 ? 0 : this.#all[DURATION] / totalQueries,
      errorRate: totalQueries === 0 ? 0 : this.#all[ERRORS] / totalQueries,
      cache,
      transactions,
      clusters: Object.fromEntries(clusters),
    };
  }
}

module.exports = { Metrics };
