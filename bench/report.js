'use strict';

// From the measurements of all rounds to the table of a load: a line for each peer, medians, made for 100 columns.

/** @typedef {import('./types').Load} Load */
/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {{ median: number, min: number, max: number }} Spread */
/** @typedef {Partial<Record<string, Measurement>>[]} Rounds of one load: peer to measurement */
/** @typedef {(measured: Measurement) => number | undefined} Figure */

/** The client that the others are compared with. */
const OURS = 'hyperion';

/** @param {number[]} values @returns {Spread} */
function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

/** @param {(number | undefined)[]} values @returns {Spread | undefined} nothing when there is no value */
function spreadOf(values) {
  const known = values.filter((value) => value !== undefined);
  return known.length > 0 ? spread(known) : undefined;
}

/** Of all rounds that have it. @param {Rounds} rounds @param {string} peer @param {Figure} figure */
const figureOf = (rounds, peer, figure) => spreadOf(rounds.map(({ [peer]: measured }) => measured && figure(measured)));

/** @param {Load['headline']} name */
const higherIsBetter = (name) => name === 'opsPerSecond';

/**
 * How many times better ours is than a peer, round by round: a slow moment of the machine hits both sides of a ratio.
 * @param {Rounds} rounds
 * @param {string} peer
 * @param {keyof Measurement} name
 * @param {{ inverse?: boolean }} [how]
 */
function timesOf(rounds, peer, name, { inverse = false } = {}) {
  return spreadOf(
    rounds.map(({ [OURS]: ours, [peer]: theirs }) => {
      const [a, b] = [ours?.[name], theirs?.[name]];
      if (typeof a !== 'number' || typeof b !== 'number') return undefined;
      return inverse ? b / a : a / b;
    }),
  );
}

/** Ours against a peer in the headline figure of the load. @param {Rounds} rounds @param {string} peer @param {Load} load */
const headlineTimes = (rounds, peer, { headline }) =>
  timesOf(rounds, peer, headline, { inverse: !higherIsBetter(headline) });

/**
 * The peer with the best median.
 * @param {Rounds} rounds
 * @param {string[]} peers
 * @param {Load['headline']} name
 */
function bestOf(rounds, peers, name) {
  const medians = peers.flatMap((peer) => {
    const found = figureOf(rounds, peer, (measured) => measured[name]);
    return found ? [{ peer, value: found.median }] : [];
  });
  medians.sort((a, b) => (higherIsBetter(name) ? b.value - a.value : a.value - b.value));
  return medians[0]?.peer;
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
/** @param {number} value */
const short = (value) => (value >= 1000 ? whole.format(value) : value >= 100 ? value.toFixed(0) : value.toPrecision(3));
/** @param {Spread | undefined} spread */
const median = (spread) => (spread === undefined ? '' : short(spread.median));
/** @param {number} value */
const times = (value) => (value >= 10 ? value.toFixed(1) : value.toFixed(2));

/** Another order for each round, so that no peer is always measured behind the same one. @template T @param {T[]} list @param {number} by */
const rotated = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

/** Half of the way from the least to the greatest. @param {Spread | undefined} spread */
const plusMinus = (spread) =>
  spread === undefined ? '' : `${Math.round(((spread.max - spread.min) / 2 / spread.median) * 100)}%`;

/** @param {Load} load @returns {[string, (rounds: Rounds, peer: string) => string][]} title and cell of each column */
function columns(load) {
  const unit = load.unit === 'row' ? 'row' : 'op';
  /** @param {Figure} figure */
  const cell = (figure) => (/** @type {Rounds} */ rounds, /** @type {string} */ peer) =>
    median(figureOf(rounds, peer, figure));
  return [
    [`${unit}s/s`, cell(({ opsPerSecond }) => opsPerSecond)],
    ['+-', (rounds, peer) => plusMinus(figureOf(rounds, peer, (measured) => measured[load.headline]))],
    ['p50 ms', cell(({ p50Ms }) => p50Ms)],
    ['p99 ms', cell(({ p99Ms }) => p99Ms)],
    [`us/${unit}`, cell(({ cpuUsPerOp }) => cpuUsPerOp)],
    [`main`, cell(({ mainUsPerOp }) => mainUsPerOp)],
    ['loop', (rounds, peer) => figureOf(rounds, peer, (m) => m.eventLoopUtilization)?.median.toFixed(2) ?? ''],
    ['stall', cell(({ stallMs }) => stallMs)],
    ['MB', (rounds, peer) => figureOf(rounds, peer, (m) => m.peakRssMb)?.median.toFixed(0) ?? ''],
    [
      'ours is',
      (rounds, peer) => {
        const found = peer === OURS ? undefined : headlineTimes(rounds, peer, load);
        return found ? `${times(found.median)}x (${times(found.min)}..${times(found.max)})` : '';
      },
    ],
  ];
}

/** What the columns mean; once, above the tables. */
const LEGEND = [
  'Medians of all rounds. +-: half the way from the least to the greatest, of the figure the load is',
  'about (throughput, if not said otherwise). us/op, us/row: CPU time of the process; main: of its',
  'JavaScript thread. loop: event-loop utilisation. stall: longest event-loop stall, ms. MB: peak',
  'memory. ours is: so many times better in the figure the load is about, round by round',
  '(least..greatest).',
];

/**
 * @param {Load} load
 * @param {Rounds} rounds
 * @param {string[]} peers
 */
function table(load, rounds, peers) {
  const all = columns(load);
  const cells = withoutEmpty([
    ['', ...all.map(([title]) => title)],
    ...peers
      .filter((peer) => rounds.some((round) => round[peer] !== undefined))
      .map((peer) => [peer, ...all.map(([, cell]) => cell(rounds, peer))]),
  ]);
  return aligned(cells);
}

/** Leaves out columns that have a title only. @param {string[][]} cells */
const withoutEmpty = ([titles, ...lines]) =>
  [titles, ...lines].map((row) => row.filter((_, column) => column === 0 || lines.some((line) => line[column] !== '')));

/** The first column to the left, the others to the right. @param {string[][]} cells */
function aligned(cells) {
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

module.exports = {
  OURS,
  LEGEND,
  spread,
  figureOf,
  timesOf,
  headlineTimes,
  higherIsBetter,
  bestOf,
  table,
  aligned,
  rotated,
  short,
  times,
};
