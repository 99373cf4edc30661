'use strict';

// The verdict on a round: pure functions of what was recorded, so that tests can doctor a round (judge.test.js).

/** @typedef {import('./watch').Acceptance} Acceptance */
/** @typedef {[from: number, to: number]} Span milliseconds */
/** A row of the load: `timeline` in hex digits, as WAL files have it. @typedef {{ id: number, part: number, timeline: string, at: number }} Written */
/** @typedef {import('../../chaos/check').Violation} Violation */

/** A probe that takes longer did not just meet a busy machine: no node accepted writes. */
const GAP_MS = 150;

/** The times between neighbouring moments. @param {number[]} times @returns {Span[]} */
function between(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted.slice(1).map((time, i) => [sorted[i], time]);
}

/** @param {Span[]} spans */
const longest = (spans) => Math.max(0, ...spans.map(([from, to]) => to - from));

/**
 * The times in which no node accepted writes.
 * @param {Acceptance[]} acceptances
 * @param {Span} during
 */
function gapsOf(acceptances, [from, to]) {
  const times = acceptances.map(({ at }) => at).filter((at) => at > from && at < to);
  return between([from, ...times, to]).filter(([start, end]) => end - start > GAP_MS);
}

/** The times between acknowledged writes. @param {number[]} acknowledged @param {Span} during */
const pausesOf = (acknowledged, [from, to]) =>
  between([from, ...acknowledged.filter((at) => at > from && at < to), to]);

/**
 * The longest time without an acknowledged write, not counting the time in which no node accepted any.
 * @param {number[]} acknowledged when each was
 * @param {Span[]} gaps
 * @param {Span} during
 */
function pauseBeyond(acknowledged, gaps, during) {
  const excused = (/** @type {Span} */ [start, end]) =>
    gaps.reduce((sum, gap) => sum + Math.max(0, Math.min(end, gap[1]) - Math.max(start, gap[0])), 0);
  return Math.max(0, ...pausesOf(acknowledged, during).map((pause) => pause[1] - pause[0] - excused(pause)));
}

/**
 * Acknowledged rows that a server wrote after another had accepted writes on a higher timeline.
 * @param {Written[]} rows of all nodes
 * @param {Acceptance[]} reigns the first acceptance on each timeline
 * @param {(id: number) => boolean} acknowledged
 */
function writtenByDeposed(rows, reigns, acknowledged) {
  const isLate = (/** @type {Written} */ { timeline, at }) =>
    reigns.some((reign) => reign.timeline > Number.parseInt(timeline, 16) && reign.at < at);
  return rows.filter((row) => isLate(row) && acknowledged(row.id));
}

/** The number of examples that are reported of each rule. */
const EXAMPLES = 3;

/**
 * @typedef {object} Seen
 * @property {Violation[]} broken what the load's own check (test/chaos/check.js) found
 * @property {Written[]} byDeposed of {@link writtenByDeposed}
 * @property {number} acknowledged writes
 * @property {string | null} stalled what the round waited for in vain
 */

/** The violations of a round, a line each. @param {Seen} seen @returns {string[]} nothing when all is well */
function violationsOf({ broken, byDeposed, acknowledged, stalled }) {
  const rules = [...new Set(broken.map(({ rule }) => rule))];
  return [
    ...rules.map((rule) => {
      const cases = broken.filter((violation) => violation.rule === rule).map(({ what }) => what);
      return `${rule}: ${cases.length} (${cases.slice(0, EXAMPLES).join('; ')})`;
    }),
    ...(byDeposed.length > 0 ? [`acknowledged by a deposed primary: ${byDeposed.map(({ id }) => id).join(', ')}`] : []),
    ...(acknowledged === 0 ? ['no write was acknowledged at all'] : []),
    ...(stalled === null ? [] : [stalled]),
  ];
}

module.exports = { GAP_MS, gapsOf, longest, pauseBeyond, pausesOf, violationsOf, writtenByDeposed };
