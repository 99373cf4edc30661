'use strict';

// Turns: the ways to do something are measured one after another, again and again, so that a slow moment of the machine hits all.

const { rotated, spread, times } = require('../report.js');

/**
 * @template T
 * @param {string[]} ways
 * @param {number} turns
 * @param {(way: string, turn: number) => Promise<T>} measure
 * @returns {Promise<Record<string, T>[]>} way to measurement, a member for each turn
 */
async function alternate(ways, turns, measure) {
  const all = [];
  for (let turn = 0; turn < turns; turn++) {
    // Nobody is always the first, or always behind the same one.
    const order = rotated(ways, turn >> 1);
    if (turn % 2 === 1) order.reverse();
    /** @type {Record<string, T>} */
    const measured = {};
    for (const way of order) measured[way] = await measure(way, turn);
    all.push(measured);
  }
  return all;
}

/**
 * The value below which a share of all values is.
 * @param {number[]} values sorted
 * @param {number} share
 */
const quantile = (values, share) =>
  values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;

/** @param {number[]} values */
const ascending = (values) => [...values].sort((a, b) => a - b);

/** The median of ratios, with the least and the greatest. @param {number[]} ratios */
function ratioOf(ratios) {
  const { median, min, max } = spread(ratios);
  return `${times(median)} (${times(min)}..${times(max)})`;
}

/** The median of ratios, with the half of them that is in the middle. @param {number[]} ratios */
function middleOf(ratios) {
  const sorted = ascending(ratios);
  const at = (/** @type {number} */ share) => times(sorted[Math.round((sorted.length - 1) * share)]);
  return `${times(spread(ratios).median)} (${at(0.25)}..${at(0.75)})`;
}

/** @param {number[]} values */
const medianOf = (values) => spread(values).median;

/** @param {number} share */
const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 1)}%`;

module.exports = { alternate, ascending, medianOf, middleOf, percent, quantile, ratioOf };
