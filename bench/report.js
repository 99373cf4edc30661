'use strict';

// From the measurements of all rounds to the table: medians, with the least and the greatest beside them.

/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {{ median: number, min: number, max: number }} Spread */

/** Who the others are compared with. */
const OURS = 'hyperion';

/** @param {number[]} values @returns {Spread} */
function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
/** @param {number} value */
const short = (value) => (value >= 1000 ? whole.format(value) : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** @param {Spread} spread */
const shown = ({ median, min, max }) => `${short(median)} (${short(min)}..${short(max)})`;

/** @type {[string, (measured: Measurement) => number][]} */
const FIGURES = [
  ['operations a second', ({ opsPerSecond }) => opsPerSecond],
  ['p50 latency, ms', ({ p50Ms }) => p50Ms],
  ['p99 latency, ms', ({ p99Ms }) => p99Ms],
  ['CPU of the process, us/op', ({ cpuUsPerOp }) => cpuUsPerOp],
  ['CPU of the main thread, us/op', ({ mainUsPerOp }) => mainUsPerOp],
  ['event loop utilisation', ({ eventLoopUtilization }) => eventLoopUtilization],
  ['peak memory, MB', ({ peakRssMb }) => peakRssMb],
];

/**
 * Ours against each peer, round by round: a slow moment of the machine hits both sides of a ratio.
 * @param {Record<string, Measurement>[]} rounds
 * @param {string} peer
 * @param {(measured: Measurement) => number} figure
 */
const ratios = (rounds, peer, figure) => rounds.map((round) => figure(round[OURS]) / figure(round[peer]));

/**
 * @param {Record<string, Measurement>[]} rounds of one load: peer to measurement
 * @returns {Record<string, Record<string, Spread>>} figure to peer to spread
 */
function summarise(rounds) {
  const peers = Object.keys(rounds[0]);
  /** @type {Record<string, Record<string, Spread>>} */
  const rows = {};
  for (const [title, figure] of FIGURES) {
    rows[title] = Object.fromEntries(peers.map((peer) => [peer, spread(rounds.map((round) => figure(round[peer])))]));
  }
  const others = peers.includes(OURS) ? peers.filter((peer) => peer !== OURS) : [];
  for (const title of [FIGURES[0][0], FIGURES[4][0]]) {
    const figure = /** @type {(measured: Measurement) => number} */ (FIGURES.find(([name]) => name === title)?.[1]);
    if (others.length > 0) {
      rows[`ours / peer: ${title}`] = Object.fromEntries(
        others.map((peer) => [peer, spread(ratios(rounds, peer, figure))]),
      );
    }
  }
  return rows;
}

/**
 * @param {ReturnType<typeof summarise>} rows
 * @param {string[]} peers
 */
function table(rows, peers) {
  const cells = [
    ['', ...peers],
    ...Object.entries(rows).map(([title, values]) => [
      title,
      ...peers.map((peer) => (peer in values ? shown(values[peer]) : '')),
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] + 3))
      .join('')
      .trimEnd(),
  );
}

module.exports = { OURS, spread, summarise, table };
