'use strict';

// Our targets, and whether a run has reached them. They are printed and fail nothing, because they depend on the machine.

const { FLOOR, RAW } = require('./peers');
const { OURS, aligned, bestOf, figureOf, short, times, timesOf, timesWithSpread } = require('./report.js');

/** @typedef {import('./types').Measured} Measured */
/** @typedef {import('./types').Spread} Spread */

/**
 * @typedef {object} Target
 * @property {string} load
 * @property {'opsPerSecond' | 'p50Ms' | 'p99Ms' | 'cpuUsPerOp' | 'eventLoopUtilization' | 'stallMs' | 'peakRssMb'} figure
 * @property {string} [name] of the figure, if it is not that of NAMES
 * @property {string} [against] a peer, or 'best': the best client. The target is then ours divided by theirs.
 * @property {boolean} [inverse] theirs divided by ours
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {number} [below]
 */

/** @typedef {Target & { value?: number, min?: number, max?: number, peer?: string, met?: boolean }} Verdict */

/** The client may cost so much of what it did when these targets were set. */
const CPU_SHARE = 0.7;

/**
 * CPU time of an operation: ours then, and raw tokio-postgres in the same run, in us. Machines differ, so what is compared with a run
 * is the ratio of the two.
 * @type {Record<string, [ours: number, raw: number]>}
 */
const CPU_THEN = {
  'W2-64': [11.1, 4.3],
  'W2-1000': [11.0, 2.6],
  W3: [142, 34],
  W5: [15.1, 4.3],
  W7: [158, 50],
};

/** @param {string} load @returns {Target} */
function cpuOf(load) {
  const [ours, raw] = CPU_THEN[load];
  return { load, figure: 'cpuUsPerOp', against: RAW, atMost: (CPU_SHARE * ours) / raw };
}

/** Throughput. @param {string} load @param {string} against @param {number} atLeast @returns {Target} */
const throughput = (load, against, atLeast) => ({ load, figure: 'opsPerSecond', against, atLeast });

/** @type {Target[]} */
const TARGETS = [
  { load: 'W1', figure: 'p50Ms', against: RAW, atMost: 1 },
  { load: 'W1', figure: 'p50Ms', name: 'speed by p50 latency', against: 'best', inverse: true, atLeast: 1.3 },
  throughput('W2-64', RAW, 0.85),
  throughput('W2-64', 'best', 2),
  cpuOf('W2-64'),
  { load: 'W2-64', figure: 'eventLoopUtilization', atMost: 0.2 },
  throughput('W2-1000', RAW, 0.8),
  throughput('W2-1000', 'best', 2),
  cpuOf('W2-1000'),
  throughput('W3', RAW, 0.75),
  throughput('W3', 'best', 3),
  cpuOf('W3'),
  { load: 'W4', figure: 'opsPerSecond', name: 'time of a row', against: RAW, inverse: true, atMost: 1.3 },
  { load: 'W4', figure: 'stallMs', name: 'longest stall', against: FLOOR, atMost: 1.3 },
  throughput('W4', 'best', 2.4),
  throughput('W5', RAW, 0.8),
  throughput('W5', 'best', 1.9),
  cpuOf('W5'),
  throughput('W6', 'best', 2.5),
  throughput('W7', RAW, 0.75),
  throughput('W7', 'best', 1.5),
  cpuOf('W7'),
  { load: 'W8', figure: 'p99Ms', against: 'best', below: 1 },
  throughput('W10', 'best', 1.5),
  { load: 'W11', figure: 'peakRssMb', below: 120 },
  { load: 'W11', figure: 'stallMs', below: 12 },
];

/** @type {Record<Target['figure'], string>} */
const NAMES = {
  opsPerSecond: 'throughput',
  p50Ms: 'p50 latency',
  p99Ms: 'p99 latency',
  cpuUsPerOp: 'CPU of an operation',
  eventLoopUtilization: 'event-loop utilisation',
  stallMs: 'longest stall, ms',
  peakRssMb: 'peak memory, MB',
};

/**
 * @param {Target} target
 * @param {Measured} measured
 * @param {string[]} clients the peers that 'best' is chosen from
 * @returns {{ spread: Spread, peer?: string } | undefined} nothing when it was not measured
 */
function reached({ load, figure, against, inverse }, measured, clients) {
  const rounds = measured[load] ?? [];
  if (against === undefined) {
    const found = figureOf(rounds, OURS, (each) => each[figure]);
    return found && { spread: found };
  }
  const byTime = figure !== 'opsPerSecond' && figure !== 'p99Ms' ? 'p50Ms' : figure;
  const peer = against === 'best' ? bestOf(rounds, clients, byTime) : against;
  const found = peer === undefined ? undefined : timesOf(rounds, peer, figure, { inverse });
  return found && { spread: found, peer };
}

/** @param {Target} target @param {number} value */
function isMet({ atLeast, atMost, below }, value) {
  if (atLeast !== undefined) return value >= atLeast;
  if (atMost !== undefined) return value <= atMost;
  return value < /** @type {number} */ (below);
}

/**
 * The targets of the loads that were measured, and whether the medians reach them.
 * @param {Measured} measured
 * @param {string[]} clients
 * @returns {Verdict[]}
 */
function judge(measured, clients) {
  return TARGETS.filter(({ load }) => load in measured).map((target) => {
    const found = reached(target, measured, clients);
    if (found === undefined) return target;
    const { median: value, min, max } = found.spread;
    return { ...target, value, min, max, peer: found.peer, met: isMet(target, value) };
  });
}

/** @param {Target} target */
function bound({ against, atLeast, atMost, below }) {
  const value = /** @type {number} */ (atLeast ?? atMost ?? below);
  const sign = atLeast !== undefined ? '>=' : atMost !== undefined ? '<=' : '<';
  return against === undefined ? `${sign} ${value}` : `${sign} ${times(value)}x`;
}

/** @param {Verdict} verdict */
function shown({ against, value, min = Number.NaN, max = Number.NaN }) {
  if (value === undefined) return '-';
  if (against !== undefined) return timesWithSpread({ median: value, min, max });
  return `${short(value)} (${short(min)}..${short(max)})`;
}

/** @param {Verdict} verdict */
function title({ load, figure, name = NAMES[figure], against, peer }) {
  const other = against === 'best' ? `the best client${peer === undefined ? '' : ` (${peer})`}` : against;
  return `${load}: ${name}${other === undefined ? '' : `, of ${other}`}`;
}

/** @param {Verdict[]} verdicts */
function targetTable(verdicts) {
  return aligned([
    ['', 'target', 'reached', ''],
    ...verdicts.map((verdict) => [
      title(verdict),
      bound(verdict),
      shown(verdict),
      verdict.met === undefined ? 'not measured' : verdict.met ? 'met' : 'MISSED',
    ]),
  ]);
}

module.exports = { TARGETS, judge, targetTable };
