'use strict';

// A pool that is not one: its counts are what a test says, so that each state of the page can be looked at.

const { Feed } = require('../../lib/api/dashboard/feed.js');

/** @typedef {{ count: number, sumUs: number, maxUs: number, buckets: [number, number][] }} Histogram */

/** @returns {Histogram} */
const histogram = () => ({ count: 0, sumUs: 0, maxUs: 0, buckets: [] });

/** @param {Histogram} into @param {number} us with two digits @param {number} times */
function record(into, us, times) {
  if (times === 0) return;
  const known = into.buckets.find(([bound]) => bound === us);
  if (known === undefined) into.buckets.push([us, times]);
  else known[1] += times;
  into.buckets.sort(([a], [b]) => a - b);
  into.count += times;
  into.sumUs += us * times;
  into.maxUs = Math.max(into.maxUs, us);
}

/** @param {number} us */
const twoDigits = (us) => Math.max(1, Number(us.toPrecision(2)));

class FakePool {
  raw;
  nodeList;
  pool = { maxSize: 20, size: 0, available: 0, inUse: 0, waiting: 0, pipelined: 0 };
  /** How often it was looked at. */
  looks = 0;

  /** @param {number} nodes */
  constructor(nodes) {
    const labels = Array.from({ length: nodes }, (_, index) => `db${index + 1}:5432`);
    this.nodeList = labels.map((_, index) => ({
      ...{ host: `db${index + 1}`, port: 5432, weight: 1, inFlight: 0, fit: true, reason: null, lastError: null },
      ...{ role: index === 0 ? 'primary' : 'standby', state: 'up', timeline: 1, lsn: '0/3000148' },
      ...{ latencyMs: 0.3, lagBytes: 0, lagMs: 0 },
    }));
    this.raw = {
      ...{
        since: Date.now(),
        queries: 0,
        rows: 0,
        errors: /** @type {Record<string, number>} */ ({}),
        unknownOutcomes: 0,
      },
      transactions: { begun: 0, committed: 0, rolledBack: 0 },
      retries: /** @type {Record<string, number>} */ ({}),
      ...{ acquires: 0, waits: 0, wait: histogram() },
      ...{ failovers: /** @type {any[]} */ ([]), failoverCount: 0, fenceEvictions: 0, hedges: 0, hedgesWon: 0 },
      prepared: { hits: 0, misses: 0, evictions: 0 },
      nodes: labels.map((node) => ({
        node,
        inFlight: 0,
        connections: 0,
        latency: histogram(),
        bytes: { in: 0, out: 0 },
      })),
    };
  }

  /** @param {number} index @param {number} times @param {number} us */
  statements(index, times, us) {
    const node = this.raw.nodes[index];
    this.raw.queries += times;
    this.raw.rows += times * 2;
    this.raw.acquires += times;
    record(node.latency, twoDigits(us), times);
    node.bytes.in += times * 180;
    node.bytes.out += times * 90;
  }

  /** @param {number} times @param {number} us */
  waits(times, us) {
    this.raw.waits += times;
    record(this.raw.wait, twoDigits(us), times);
  }

  /** @param {string} name @param {number} times */
  errors(name, times) {
    this.raw.errors[name] = (this.raw.errors[name] ?? 0) + times;
  }

  /** What a feed looks at. @param {string | null} [name] */
  source(name = null) {
    return {
      name,
      snapshot: () => {
        this.looks++;
        return structuredClone(this.raw);
      },
      nodes: () => structuredClone(/** @type {any} */ (this.nodeList)),
      status: () => ({ ...this.pool }),
    };
  }
}

module.exports = { FakePool, Feed };
