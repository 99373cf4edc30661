'use strict';

// The report of a run: a line for each round while it runs, and a table by scenario at the end.

/** @typedef {import('./round').Round} Round */

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** `median (least-greatest)` @param {number[]} values */
const spread = (values) =>
  values.length === 0 ? '' : `${Math.round(median(values))} (${Math.min(...values)}-${Math.max(...values)})`;

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** @param {Record<string, number>[]} counts */
function merged(counts) {
  /** @type {Record<string, number>} */
  const all = {};
  for (const each of counts) for (const [key, count] of Object.entries(each)) all[key] = (all[key] ?? 0) + count;
  return all;
}

/** @param {Record<string, number>} counts */
const listed = (counts) =>
  Object.entries(counts)
    .map(([key, count]) => `${count} ${key}`)
    .join(', ') || 'none';

/** @typedef {import('../../chaos/history').Fate} Fate */

const WRITES = ['autocommit', 'transaction', 'begin', 'batch', 'batch in a transaction'];

/**
 * How many pieces of work had that outcome.
 * @param {Round} round
 * @param {Fate} fate
 * @param {(kind: string) => boolean} [which]
 */
const countOf = ({ kinds }, fate, which = () => true) =>
  sum(Object.entries(kinds).flatMap(([kind, counts]) => (which(kind) ? [counts[fate]] : [])));
const isWrite = (/** @type {string} */ kind) => WRITES.includes(kind);
const isOther = (/** @type {string} */ kind) => !isWrite(kind);

/** @param {Round} round @param {number} number */
function lineOf(round, number) {
  return [
    `${round.scenario} ${number}:`,
    `${countOf(round, 'acknowledged', isWrite)} writes, ${countOf(round, 'acknowledged', isOther)} other,`,
    `${round.lost} lost, ${round.doubled} doubled, ${round.hung} hung,`,
    `no primary ${round.managerGapMs} ms, our pause ${round.pauseMs} ms (${round.beyondMs} beyond), failed: ${listed(round.errors)}`,
    ...round.violations.map((violation) => `\n  VIOLATION: ${violation}`),
  ].join(' ');
}

/** @typedef {{ title: string, right?: boolean, of: (rounds: Round[]) => string }} Column */

/** @type {Column[]} */
const COLUMNS = [
  { title: 'scenario', of: ([{ scenario }]) => scenario },
  { title: 'rounds', right: true, of: (rounds) => String(rounds.length) },
  {
    title: 'writes',
    right: true,
    of: (rounds) => String(sum(rounds.map((round) => countOf(round, 'acknowledged', isWrite)))),
  },
  {
    title: 'other',
    right: true,
    of: (rounds) => String(sum(rounds.map((round) => countOf(round, 'acknowledged', isOther)))),
  },
  { title: 'lost', right: true, of: (rounds) => String(sum(rounds.map((round) => round.lost))) },
  { title: 'doubled', right: true, of: (rounds) => String(sum(rounds.map((round) => round.doubled))) },
  { title: 'hung', right: true, of: (rounds) => String(sum(rounds.map((round) => round.hung))) },
  { title: 'unknown', right: true, of: (rounds) => spread(rounds.map((round) => countOf(round, 'unknown'))) },
  { title: 'not applied', right: true, of: (rounds) => spread(rounds.map((round) => countOf(round, 'not-applied'))) },
  { title: 'no primary, ms', right: true, of: (rounds) => spread(rounds.map((round) => round.managerGapMs)) },
  { title: 'ours beyond, ms', right: true, of: (rounds) => spread(rounds.map((round) => round.beyondMs)) },
  { title: 'violations', right: true, of: (rounds) => String(sum(rounds.map(({ violations }) => violations.length))) },
];

/** @param {Round[]} rounds by scenario, median (least-greatest) */
function tableOf(rounds) {
  const names = [...new Set(rounds.map(({ scenario }) => scenario))];
  const groups = names.map((name) => rounds.filter(({ scenario }) => scenario === name));
  const cells = [COLUMNS.map(({ title }) => title), ...groups.map((group) => COLUMNS.map(({ of }) => of(group)))];
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (COLUMNS[i].right ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  );
  const errors = groups.map((group) => `${group[0].scenario}: ${listed(merged(group.map((round) => round.errors)))}`);
  return [...lines, '', 'Failed statements by code and fate:', ...errors.map((line) => `  ${line}`)].join('\n');
}

module.exports = { lineOf, median, tableOf };
