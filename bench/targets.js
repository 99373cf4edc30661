'use strict';

// Our targets, and whether a run has reached them. They are printed and fail nothing, because they depend on the machine.

const { OURS, aligned, bestOf, figureOf, short, times, timesOf } = require('./report.js');

/** @typedef {import('./types').Measured} Measured */
/** @typedef {import('./types').Measurement} Measurement */

/**
 * @typedef {object} Target
 * @property {string} load
 * @property {'opsPerSecond' | 'p50Ms' | 'p99Ms' | 'mainUsPerOp' | 'eventLoopUtilization' | 'stallMs' | 'peakRssMb'} figure
 * @property {string} [against] a peer, or 'best': the best client. The target is then ours divided by theirs.
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {number} [below]
 * @property {boolean} [perUnitTime] the time of a unit instead of units a second
 */

/** @type {Target[]} */
const TARGETS = [
  { load: 'W1', figure: 'opsPerSecond', against: 'best', atLeast: 1 },
  { load: 'W1', figure: 'p50Ms', against: 'tokio-postgres', atMost: 1.3 },
  { load: 'W2-64', figure: 'opsPerSecond', against: 'best', atLeast: 2.2 },
  { load: 'W2-64', figure: 'opsPerSecond', against: 'pgbench', atLeast: 1.1 },
  { load: 'W2-64', figure: 'eventLoopUtilization', atMost: 0.35 },
  { load: 'W2-1000', figure: 'opsPerSecond', against: 'best', atLeast: 1.6 },
  { load: 'W3', figure: 'opsPerSecond', against: 'best', atLeast: 2.8 },
  { load: 'W3', figure: 'mainUsPerOp', against: 'pg', atMost: 0.2 },
  { load: 'W4', figure: 'opsPerSecond', against: 'best', atLeast: 2.3 },
  { load: 'W4', figure: 'stallMs', below: 12 },
  { load: 'W4', figure: 'opsPerSecond', perUnitTime: true, against: 'tokio-postgres', atMost: 1.5 },
  { load: 'W5', figure: 'opsPerSecond', against: 'best', atLeast: 1.9 },
  { load: 'W6', figure: 'opsPerSecond', against: 'best', atLeast: 2.5 },
  { load: 'W7', figure: 'opsPerSecond', against: 'best', atLeast: 1.5 },
  { load: 'W8', figure: 'p99Ms', against: 'best', below: 1 },
  { load: 'W10', figure: 'opsPerSecond', against: 'best', atLeast: 1.5 },
  { load: 'W11', figure: 'peakRssMb', below: 120 },
  { load: 'W11', figure: 'stallMs', below: 12 },
];

/** @type {Record<Target['figure'], string>} */
const NAMES = {
  opsPerSecond: 'throughput',
  p50Ms: 'p50 latency',
  p99Ms: 'p99 latency',
  mainUsPerOp: 'main thread CPU',
  eventLoopUtilization: 'event-loop utilisation',
  stallMs: 'longest stall, ms',
  peakRssMb: 'peak memory, MB',
};

/**
 * @param {Target} target
 * @param {Measured} measured
 * @param {string[]} clients the peers that 'best' is chosen from
 * @returns {{ value: number, peer?: string } | undefined} nothing when it was not measured
 */
function reached({ load, figure, against, perUnitTime = false }, measured, clients) {
  const rounds = measured[load] ?? [];
  if (against === undefined) {
    const found = figureOf(rounds, OURS, (each) => each[figure]);
    return found && { value: found.median };
  }
  const byTime = figure !== 'opsPerSecond' && figure !== 'p99Ms' ? 'p50Ms' : figure;
  const peer = against === 'best' ? bestOf(rounds, clients, byTime) : against;
  const found = peer === undefined ? undefined : timesOf(rounds, peer, figure, { inverse: perUnitTime });
  return found && { value: found.median, peer };
}

/** @param {Target} target @param {number} value */
function isMet({ atLeast, atMost, below }, value) {
  if (atLeast !== undefined) return value >= atLeast;
  if (atMost !== undefined) return value <= atMost;
  return value < /** @type {number} */ (below);
}

/**
 * @param {Measured} measured
 * @param {string[]} clients
 */
function judge(measured, clients) {
  return TARGETS.filter(({ load }) => load in measured).map((target) => {
    const found = reached(target, measured, clients);
    return { ...target, ...found, met: found === undefined ? undefined : isMet(target, found.value) };
  });
}

/** @param {ReturnType<typeof judge>} verdicts */
function targetTable(verdicts) {
  return aligned([
    ['', 'target', 'reached', '', ''],
    ...verdicts.map(({ load, figure, against, perUnitTime, atLeast, atMost, below, value, peer, met }) => {
      const bound = /** @type {number} */ (atLeast ?? atMost ?? below);
      const sign = atLeast !== undefined ? '>=' : atMost !== undefined ? '<=' : '<';
      const unit = against === undefined ? '' : 'x';
      const shown = value === undefined ? '-' : against === undefined ? short(value) : `${times(value)}x`;
      return [
        `${load}: ${perUnitTime ? 'time of a row' : NAMES[figure]}`,
        `${sign} ${bound}${unit}`,
        shown,
        peer === undefined ? '' : `of ${peer}${against === 'best' ? ' (the best)' : ''}`,
        met === undefined ? 'not measured' : met ? 'met' : 'MISSED',
      ];
    }),
  ]);
}

module.exports = { TARGETS, judge, targetTable };
