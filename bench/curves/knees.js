'use strict';

// Medians of a curve, its knees, and the table of both.

const { short, spread } = require('../report.js');

/** @typedef {import('./types').Curve} Curve */
/** @typedef {import('./types').Rounds} Rounds */
/** @typedef {{ step: number, value: number }} Point */
/** @typedef {{ series: string, figure: string, from: number, to: number, times: number }} Knee */

/** From one step to the next a figure that rises by more than this has a knee there. */
const KNEE = 1.5;

/** What a figure has to be at least at its knee: below, it is the noise of a machine, not a cost. @type {Record<string, number>} */
const LEAST = { peakRssMb: 100, growthMb: 20, serverMb: 30, idleKb: 50, firstMs: 20 };

/**
 * The medians of a figure, by step.
 * @param {Rounds} measured
 * @param {string} series
 * @param {string} figure
 * @returns {Point[]}
 */
function points(measured, series, figure) {
  return Object.entries(measured)
    .map(([step, of]) => ({ step: Number(step), rounds: of[series] ?? [] }))
    .sort((a, b) => a.step - b.step)
    .flatMap(({ step, rounds }) => {
      const values = rounds.flatMap(({ [figure]: value }) => (typeof value === 'number' ? [value] : []));
      return values.length === 0 ? [] : [{ step, value: spread(values).median }];
    });
}

/** @param {Pick<Curve, 'series' | 'figures'>} curve @param {Rounds} measured @returns {Knee[]} */
function knees({ series, figures }, measured) {
  return series.flatMap(({ name }) =>
    figures
      .filter(({ knee = true }) => knee)
      .flatMap(({ key }) => {
        const all = points(measured, name, key);
        return all.slice(1).flatMap(({ step, value }, index) => {
          const before = all[index];
          const times = value / Math.max(before.value, (LEAST[key] ?? 0) / KNEE);
          return times > KNEE ? [{ series: name, figure: key, from: before.step, to: step, times }] : [];
        });
      }),
  );
}

/** @param {number} value */
const grouped = (value) => value.toLocaleString('en-US');

/**
 * A line for each step and series, a column for each figure; a star marks a knee.
 * @param {Curve} curve
 * @param {Rounds} measured
 * @returns {string[][]}
 */
function cells({ axis, series, figures }, measured) {
  const found = knees({ series, figures }, measured);
  const shown = figures.filter(({ key }) => series.some(({ name }) => points(measured, name, key).length > 0));
  const steps = Object.keys(measured)
    .map(Number)
    .sort((a, b) => a - b);
  const lines = steps.flatMap((step) =>
    series
      .filter(({ name }) => (measured[step][name] ?? []).length > 0)
      .map(({ name, label }) => [
        grouped(step),
        label,
        ...shown.map(({ key }) => {
          const here = points(measured, name, key).find((point) => point.step === step);
          const isKnee = found.some((knee) => knee.series === name && knee.figure === key && knee.to === step);
          return here === undefined ? '' : `${short(here.value)}${isKnee ? ' *' : ''}`;
        }),
      ]),
  );
  return [[axis, '', ...shown.map(({ head }) => head)], ...lines];
}

/** For the terminal: names to the left, numbers to the right. @param {Curve} curve @param {Rounds} measured */
function table(curve, measured) {
  const all = cells(curve, measured);
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ row) =>
    row.map((cell, column) => (column === 1 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ');
  return all.map((row) => line(row).trimEnd());
}

/**
 * For a document: a line for each step, a column for each figure that is drawn, and for the client's CPU time, of each client.
 * @param {Curve} curve
 * @param {Rounds} measured
 */
function markdown({ axis, series, figures }, measured) {
  const columns = figures
    .filter(({ key, chart = true }) => chart || key === 'cpuUsPerOp')
    .flatMap(({ key, head }) =>
      series.flatMap(({ name }) => {
        const found = points(measured, name, key);
        const title = series.length === 1 ? head : `${name}: ${head}`;
        return found.length === 0 ? [] : [{ title, values: new Map(found.map(({ step, value }) => [step, value])) }];
      }),
    );
  const steps = Object.keys(measured)
    .map(Number)
    .sort((a, b) => a - b);
  const line = (/** @type {string[]} */ row) => `| ${row.join(' | ')} |`;
  const lines = steps.map((step) =>
    line([grouped(step), ...columns.map(({ values }) => (values.has(step) ? short(values.get(step) ?? 0) : ''))]),
  );
  return [line([axis, ...columns.map(({ title }) => title)]), line(['---:', ...columns.map(() => '---:')]), ...lines];
}

module.exports = { knees, markdown, points, table };
