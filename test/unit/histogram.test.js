'use strict';

const assert = require('node:assert/strict');
const { test } = require('../support/helpers.js');
const { below, difference, percentile } = require('../../lib/values/histogram.js');

/** What src/engine/histogram.rs makes of durations. @param {number[]} durations @returns {any} */
function histogramOf(durations) {
  const counts = new Map();
  for (const micros of durations) {
    const width = micros < 100 ? 1 : 10 ** (Math.floor(Math.log10(micros)) - 1);
    const bound = (Math.floor(micros / width) + 1) * width;
    counts.set(bound, (counts.get(bound) ?? 0) + 1);
  }
  const buckets = [...counts].sort(([one], [other]) => one - other);
  const sumUs = durations.reduce((sum, micros) => sum + micros, 0);
  return { count: durations.length, sumUs, maxUs: Math.max(0, ...durations), buckets };
}

test('percentile: a tenth away from the true one at most, for any durations', () => {
  let seed = 1;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (let round = 0; round < 200; round++) {
    const durations = Array.from({ length: 1 + Math.floor(random() * 500) }, () => Math.floor(10 ** (random() * 7)));
    const histogram = histogramOf(durations);
    durations.sort((one, other) => one - other);
    for (const share of [0.01, 0.5, 0.95, 0.99, 1]) {
      const truth = durations[Math.max(Math.ceil(share * durations.length) - 1, 0)];
      const found = percentile(histogram, share);
      assert.ok(Math.abs(found - truth) <= Math.max(truth * 0.1, 1), `${share}: ${found} for ${truth}`);
    }
  }
});

test('percentile: of nothing it is 0, and no percentile is above the longest duration', () => {
  assert.equal(percentile(histogramOf([]), 0.99), 0);
  assert.equal(percentile(histogramOf([1_234]), 1), 1_234);
  assert.ok(percentile(histogramOf([1_234, 1_230]), 0.5) <= 1_234);
});

test('below: exact at edges of two digits times a power of ten', () => {
  const durations = Array.from({ length: 30_000 }, (_, micros) => micros);
  const histogram = histogramOf(durations);
  for (const edge of [1, 7, 10, 99, 100, 250, 500, 1_000, 2_500, 10_000, 25_000])
    assert.equal(below(histogram, edge), edge);
  assert.equal(below(histogram, 1e9), 30_000);
});

test('difference: what came between two looks', () => {
  const earlier = histogramOf([5, 120, 5_000]);
  const later = histogramOf([5, 120, 5_000, 6, 121, 700]);
  const between = difference(later, earlier);
  assert.deepEqual(between, { count: 3, sumUs: 827, maxUs: 710, buckets: histogramOf([6, 121, 700]).buckets });
  assert.deepEqual(difference(later, later), { count: 0, sumUs: 0, maxUs: 0, buckets: [] });
});

test('percentile, difference: durations from 100 s on share a bucket, whose bound grows', () => {
  const later = {
    count: 3,
    sumUs: 401_000_010,
    maxUs: 250_000_000,
    buckets: [
      [11, 1],
      [250_000_001, 2],
    ],
  };
  const earlier = { count: 1, sumUs: 151_000_000, maxUs: 151_000_000, buckets: [[151_000_001, 1]] };
  assert.deepEqual(difference(/** @type {any} */ (later), /** @type {any} */ (earlier)), {
    ...{ count: 2, sumUs: 250_000_010, maxUs: 250_000_000 },
    buckets: [
      [11, 1],
      [250_000_001, 1],
    ],
  });
  const half = percentile(/** @type {any} */ (later), 0.5);
  assert.ok(half > 100_000_000 && half < 151_000_000, `${half}`);
  assert.equal(percentile(/** @type {any} */ (later), 1), 250_000_000);
});
