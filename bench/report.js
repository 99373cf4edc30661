'use strict';

// From the measurements of all rounds to the table of a load: a line for each peer, medians, made for 120 columns.

/** @typedef {import('./types').Load} Load */
/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {import('./types').Spread} Spread */
/** @typedef {import('./types').Summary} Summary */
/** @typedef {Partial<Record<string, Measurement>>[]} Rounds of one load: peer to measurement */
/** @typedef {(measured: Measurement) => number | undefined} Figure */

const { RAW } = require('./peers');

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
 * How many times as much of something one peer has as another, round by round: a slow moment of the machine hits both sides of a ratio.
 * @param {Rounds} rounds
 * @param {[one: string, other: string]} peers
 * @param {keyof Measurement} name
 * @param {{ inverse?: boolean }} [how]
 */
function ratioOf(rounds, [one, other], name, { inverse = false } = {}) {
  return spreadOf(
    rounds.map(({ [one]: ones, [other]: others }) => {
      const [a, b] = [ones?.[name], others?.[name]];
      if (typeof a !== 'number' || typeof b !== 'number') return undefined;
      return inverse ? b / a : a / b;
    }),
  );
}

/** Ours against a peer. @param {Rounds} rounds @param {string} peer @param {keyof Measurement} name @param {{ inverse?: boolean }} [how] */
const timesOf = (rounds, peer, name, how) => ratioOf(rounds, [OURS, peer], name, how);

/** Ours against a peer in the headline figure of the load. @param {Rounds} rounds @param {string} peer @param {Load} load */
const headlineTimes = (rounds, peer, { headline }) =>
  timesOf(rounds, peer, headline, { inverse: !higherIsBetter(headline) });

/** A peer's share of what the limit reaches. @param {Rounds} rounds @param {string} peer @param {Load} load */
const shareOfRaw = (rounds, peer, { headline }) =>
  ratioOf(rounds, [peer, RAW], headline, { inverse: !higherIsBetter(headline) });

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
/** What cannot be told. */
const UNKNOWN = '-';
/** @param {Spread | undefined} spread */
const median = (spread) => (spread === undefined ? UNKNOWN : short(spread.median));
/** @param {number} value */
const times = (value) => (value >= 10 ? value.toFixed(1) : value.toFixed(2));
/** @param {Spread} spread */
const timesWithSpread = (spread) => `${times(spread.median)}x (${times(spread.min)}..${times(spread.max)})`;

/** Another order for each round, so that no peer is always measured behind the same one. @template T @param {T[]} list @param {number} by */
const rotated = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

/** Half of the way from the least to the greatest. @param {Spread | undefined} spread */
const plusMinus = (spread) =>
  spread === undefined ? UNKNOWN : `${Math.round(((spread.max - spread.min) / 2 / spread.median) * 100)}%`;

/** @param {Load} load @returns {[string, (rounds: Rounds, peer: string) => string][]} title and cell of each column */
function columns(load) {
  const unit = load.unit === 'row' ? 'row' : 'op';
  /** @param {Figure} figure */
  const cell = (figure) => (/** @type {Rounds} */ rounds, /** @type {string} */ peer) =>
    median(figureOf(rounds, peer, figure));
  return [
    [`${unit}s/s`, cell(({ opsPerSecond }) => opsPerSecond)],
    ['+-', (rounds, peer) => plusMinus(figureOf(rounds, peer, (measured) => measured[load.headline]))],
    ['p50', cell(({ p50Ms }) => p50Ms)],
    ['p99', cell(({ p99Ms }) => p99Ms)],
    [`us/${unit}`, cell(({ cpuUsPerOp }) => cpuUsPerOp)],
    ['main', cell(({ mainUsPerOp }) => mainUsPerOp)],
    ['other', cell(({ otherUsPerOp }) => otherUsPerOp)],
    ['server', cell(({ serverUsPerOp }) => serverUsPerOp)],
    ['loop', (rounds, peer) => figureOf(rounds, peer, (m) => m.eventLoopUtilization)?.median.toFixed(2) ?? UNKNOWN],
    ['stall', cell(({ stallMs }) => stallMs)],
    ['MB', (rounds, peer) => figureOf(rounds, peer, (m) => m.peakRssMb)?.median.toFixed(0) ?? UNKNOWN],
    [
      'of raw',
      (rounds, peer) => {
        const share = shareOfRaw(rounds, peer, load);
        return share ? `${(share.median * 100).toFixed(0)}%` : UNKNOWN;
      },
    ],
    [
      'ours is',
      (rounds, peer) => {
        const found = peer === OURS ? undefined : headlineTimes(rounds, peer, load);
        return found ? timesWithSpread(found) : '';
      },
    ],
  ];
}

/** What the columns mean; once, above the tables. */
const LEGEND = [
  'Medians of all rounds; - is what cannot be told. +-: half the way from the least to the greatest, of the figure the load',
  'is about (throughput, if not said otherwise). p50, p99: latency in ms. CPU time in microseconds: us/op, us/row of the',
  'client process, main of its JavaScript thread, other of its other threads, server of all processes of PostgreSQL. loop:',
  'event-loop utilisation. stall: longest event-loop stall, ms. MB: peak memory. of raw: share of what tokio-postgres',
  'reaches, in the figure the load is about. ours is: so many times better in it, round by round (least..greatest).',
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

/** Leaves out columns that say nothing. @param {string[][]} cells */
function withoutEmpty([titles, ...lines]) {
  const says = (/** @type {number} */ column) => lines.some((line) => line[column] !== '' && line[column] !== UNKNOWN);
  return [titles, ...lines].map((row) => row.filter((_, column) => column === 0 || says(column)));
}

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

/**
 * All figures of the peers over all rounds.
 * @param {Load} load
 * @param {Rounds} rounds
 * @returns {Record<string, Summary>}
 */
function summary(load, rounds) {
  const peers = new Set(rounds.flatMap((round) => Object.keys(round)));
  return Object.fromEntries(
    [...peers].map((peer) => {
      const measured = rounds.flatMap((round) => round[peer] ?? []);
      const names = /** @type {(keyof Measurement)[]} */ ([...new Set(measured.flatMap((each) => Object.keys(each)))]);
      const figures = names.flatMap((name) => {
        const values = measured.map((each) => each[name]);
        return values.every((value) => typeof value === 'number') ? [[name, spread(values)]] : [];
      });
      return [
        peer,
        {
          figures: Object.fromEntries(figures),
          ofRaw: shareOfRaw(rounds, peer, load),
          cpuOfRaw: ratioOf(rounds, [peer, RAW], 'cpuUsPerOp'),
          oursIs: peer === OURS ? undefined : headlineTimes(rounds, peer, load),
        },
      ];
    }),
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
  summary,
  table,
  aligned,
  rotated,
  short,
  times,
  timesWithSpread,
};
