'use strict';

// The report of a run: a line for each fault.

/** @typedef {import('./check').Violation} Violation */
/** @typedef {import('./history').Fate} Fate */
/** @typedef {import('./load').Load} Load */

/**
 * @param {string} name
 * @param {Load} load
 * @param {Violation[]} violations
 */
function brief(name, load, violations) {
  const sum = (/** @type {Fate} */ wanted) => [...load.history.values()].filter(({ fate }) => fate === wanted).length;
  const broken = (/** @type {string} */ wanted) => violations.filter(({ rule }) => rule === wanted).length;
  const [lost, doubled] = [broken('lost'), broken('doubled')];
  return [
    `${name}: acknowledged ${sum('acknowledged')}, failed ${sum('not-applied')}, unknown ${sum('unknown')}`,
    `lost ${lost}, doubled ${doubled}, other violations ${violations.length - lost - doubled}`,
    `longest pause ${Math.round(load.longestPauseMs())} ms, gaps ${load.record.gaps.length}`,
  ].join(', ');
}

/**
 * The same line, with acknowledged/failed/unknown of each kind.
 * @param {string} name
 * @param {Load} load
 * @param {{ violations: Violation[], kinds: Record<string, Record<Fate, number>> }} verdict
 */
function line(name, load, { violations, kinds }) {
  const each = Object.entries(kinds).map(
    ([kind, counts]) => `${kind} ${counts.acknowledged}/${counts['not-applied']}/${counts.unknown}`,
  );
  return `${brief(name, load, violations)} (${each.join(', ')})`;
}

exports.brief = brief;
exports.line = line;
