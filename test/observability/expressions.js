'use strict';

// The expressions of PromQL that docs/operations has: those of Grafana's dashboard, and those of the alert rules.

const fs = require('node:fs');
const path = require('node:path');

const FOLDER = path.join(__dirname, '..', '..', 'docs', 'operations');
const RULES = path.join(FOLDER, 'alerts.yml');

/** @typedef {{ where: string, expr: string, legend: string }} Expression */

const dashboard = () => JSON.parse(fs.readFileSync(path.join(FOLDER, 'grafana-dashboard.json'), 'utf8'));

/** Those of panels, of annotations and of variables, with the variables of Grafana as it would fill them in. @returns {Expression[]} */
function ofDashboard() {
  const { panels, annotations, templating } = dashboard();
  const filled = (/** @type {string} */ expr) =>
    expr
      .replaceAll('$__rate_interval', '1m')
      .replaceAll('$__range', '1h')
      .replaceAll(/"\$(job|instance|pool|node)"/g, '".*"');
  const all = [
    ...panels.flatMap((/** @type {any} */ { title, targets = [] }) =>
      targets.map((/** @type {any} */ { refId, expr, legendFormat }) => ({
        where: `${title} ${refId}`,
        expr,
        legend: legendFormat,
      })),
    ),
    ...annotations.list
      .filter((/** @type {any} */ { expr }) => expr !== undefined)
      .map((/** @type {any} */ { name, expr, textFormat }) => ({ where: name, expr, legend: textFormat })),
    ...templating.list
      .filter((/** @type {any} */ { type }) => type === 'query')
      .map((/** @type {any} */ { name, definition }) => {
        const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
        return { where: `$${name}`, expr: `group by (${label}) (${selector})`, legend: '' };
      }),
  ];
  return all.map(({ expr, ...rest }) => ({ ...rest, expr: filled(expr) }));
}

/** Those of the rules. @returns {Expression[]} */
function ofRules() {
  const text = fs.readFileSync(RULES, 'utf8');
  // A value of one line, or a folded block.
  const found = text.matchAll(/- alert: (\w+)\n +expr: (?:>-\n((?: {10,}.*\n)+)|(.*)\n)/g);
  return Array.from(found, ([, where, block, line]) => ({
    where,
    expr: (block ?? line).replaceAll(/\s+/g, ' ').trim(),
    legend: '',
  }));
}

/** The metrics of an expression with the labels of their selectors. @param {string} expr */
const selectorsOf = (expr) =>
  Array.from(expr.matchAll(/\b(hyperiondb_\w+)(?:\{([^}]*)\})?/g), ([, name, matchers = '']) => ({
    name,
    labels: Array.from(matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"[^"]*"/g), ([, label]) => label),
  }));

/** The labels by which an expression groups, joins and is named. @param {Expression} expression */
function labelsOf({ expr, legend }) {
  const groups = Array.from(expr.matchAll(/\b(?:by|ignoring|on|without) \(([^)]*)\)/g), ([, list]) => list.split(', '));
  return { groups: groups.flat(), names: Array.from(legend.matchAll(/\{\{(\w+)\}\}/g), ([, label]) => label) };
}

module.exports = { RULES, dashboard, labelsOf, ofDashboard, ofRules, selectorsOf };
