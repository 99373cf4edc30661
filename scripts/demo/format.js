'use strict';

// Numbers as a person reads them.

const BARS = [...'▁▂▃▄▅▆▇█'];

const number = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** @param {number} value */
const count = (value) => number.format(value);

/** @param {number} value @param {string} one @param {string} [many] */
const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** @param {number | null | undefined} value */
function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '-';
  return `${value < 10 ? value.toFixed(1) : count(value)} ms`;
}

/** @param {number} value */
const seconds = (value) => (value / 1000).toFixed(1).padStart(4);

/**
 * A line of bars, the newest at the right.
 * @param {number[]} history
 * @param {number} width
 */
function chart(history, width) {
  const shown = history.slice(-width);
  const highest = Math.max(1, ...shown);
  return shown.map((value) => (value === 0 ? ' ' : BARS[Math.ceil((value / highest) * BARS.length) - 1])).join('');
}

module.exports = { chart, count, counted, ms, seconds };
