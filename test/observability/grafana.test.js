'use strict';

// The dashboard for Grafana and the alert rules of docs/operations use metrics and labels that there are, and are well formed.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { metricsOf } = require('../../lib/api/metrics.js');
const { RULES, dashboard, labelsOf, ofDashboard, ofRules, selectorsOf } = require('./expressions.js');
const { fakePool } = require('./fake-pools.js');
const { promtool } = require('./promtool.js');
const { readMetrics } = require('../support/exposition.js');
const { test } = require('../support/helpers.js');

/** What Prometheus adds to each series. */
const OF_SCRAPE = ['job', 'instance'];

/** The labels of each series of the real text, by its name. */
function realSeries() {
  /** @type {Map<string, Set<string>>} */
  const series = new Map();
  for (const { samples } of readMetrics(metricsOf([['orders', fakePool()]])).values()) {
    for (const { name, labels } of samples) series.set(name, new Set([...OF_SCRAPE, ...Object.keys(labels)]));
  }
  return series;
}

/** What is wrong with an expression. @param {import('./expressions.js').Expression} expression @param {Map<string, Set<string>>} series */
function problemsOf(expression, series) {
  const selectors = selectorsOf(expression.expr);
  const known = selectors.map(({ name }) => series.get(name) ?? new Set());
  const { groups, names } = labelsOf(expression);
  const problems = [
    ...(selectors.length === 0 ? ['no metric'] : []),
    ...selectors.filter(({ name }) => !series.has(name)).map(({ name }) => `no metric ${name}`),
    ...selectors.flatMap(({ name, labels }, i) =>
      labels.filter((label) => !known[i].has(label)).map((label) => `${name} has no label ${label}`),
    ),
    ...groups.filter((label) => !known.some((labels) => labels.has(label))).map((label) => `no metric has ${label}`),
    ...names.filter((label) => !groups.includes(label)).map((label) => `${label} is named and not grouped by`),
  ];
  return problems.map((problem) => `${expression.where}: ${problem}`);
}

test('grafana: each expression of the dashboard and of the alerts uses metrics and labels that there are', (t) => {
  const series = realSeries();
  const expressions = [...ofDashboard(), ...ofRules()];
  assert.ok(expressions.length > 50, `${expressions.length} expressions`);
  t.diagnostic(`${expressions.length} expressions`);
  assert.deepEqual(
    expressions.flatMap((expression) => problemsOf(expression, series)),
    [],
  );
});

for (const [expr, legend, problem] of [
  ['sum(hyperiondb_nothing)', '', 'x: no metric hyperiondb_nothing'],
  ['sum(hyperiondb_rows_total{node="a"})', '', 'x: hyperiondb_rows_total has no label node'],
  ['sum by (node) (hyperiondb_rows_total)', '', 'x: no metric has node'],
  ['sum by (pool) (hyperiondb_rows_total)', '{{instance}}', 'x: instance is named and not grouped by'],
  ['rate(hyperiondb_node_latency_seconds[1m])', '', 'x: no metric hyperiondb_node_latency_seconds'],
]) {
  test(`grafana: the check finds what is wrong in ${expr}`, () => {
    assert.deepEqual(problemsOf({ where: 'x', expr, legend }, realSeries()), [problem]);
  });
}

test('grafana: the dashboard shows every metric', () => {
  const used = new Set(ofDashboard().flatMap(({ expr }) => selectorsOf(expr).map(({ name }) => name)));
  const families = readMetrics(metricsOf([['orders', fakePool()]])).keys();
  const unused = [...families].filter((name) => !used.has(name) && !used.has(`${name}_bucket`));
  assert.deepEqual(unused, ['hyperiondb_pool_start_time_seconds']);
});

test('grafana: promtool reads each expression of the dashboard', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-rules-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'rules.json');
  const rules = ofDashboard().map(({ expr }, i) => ({ record: `expression:${i}`, expr }));
  // JSON is YAML, too.
  fs.writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  const { status, output } = promtool(['check', 'rules', file]);
  assert.equal(status, 0, output);
  assert.match(output, new RegExp(`SUCCESS: ${rules.length} rules found`));
});

test('grafana: panels have numbers of their own, do not overlap, and each asks the chosen data source', () => {
  const { panels, schemaVersion, templating, uid } = dashboard();
  assert.equal(uid, 'hyperiondb-client');
  assert.ok(schemaVersion >= 36);
  assert.equal(new Set(panels.map((/** @type {any} */ { id }) => id)).size, panels.length);
  /** @type {Map<string, string>} */
  const taken = new Map();
  for (const {
    title,
    type,
    gridPos: { x, y, w, h },
    targets = [],
    datasource,
    description,
  } of panels) {
    assert.ok(Number.isInteger(x) && Number.isInteger(y) && x >= 0 && x + w <= 24 && h > 0, title);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        const place = `${column} ${row}`;
        assert.equal(taken.get(place), undefined, `${title} lies on ${taken.get(place)}`);
        taken.set(place, title);
      }
    }
    if (type === 'row') continue;
    assert.ok(targets.length > 0 && description.length > 0, title);
    assert.equal(new Set(targets.map((/** @type {any} */ { refId }) => refId)).size, targets.length, title);
    for (const one of [datasource, ...targets.map((/** @type {any} */ target) => target.datasource)]) {
      assert.deepEqual(one, { type: 'prometheus', uid: '${datasource}' }, title);
    }
  }
  assert.deepEqual(
    templating.list.map((/** @type {any} */ { name }) => name),
    ['datasource', 'job', 'instance', 'pool', 'node'],
  );
  // A row without a gap: what stands below would move up in Grafana, and look different from the file.
  const rows = new Set([...taken.keys()].map((place) => Number(place.split(' ')[1])));
  assert.equal(Math.max(...rows) + 1, rows.size);
});

test('grafana: every expression of a panel can be narrowed to a job, an instance and a pool', () => {
  for (const { panels } of [dashboard()]) {
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        for (const { name, labels } of selectorsOf(expr)) {
          for (const label of ['job', 'instance', 'pool'])
            assert.ok(labels.includes(label), `${title}: ${name} ${label}`);
          if (name.startsWith('hyperiondb_node_')) assert.ok(labels.includes('node'), `${title}: ${name} node`);
        }
      }
    }
  }
});

test('alerts: promtool reads the rules, and each alert has a unit test', () => {
  const { status, output } = promtool(['check', 'rules', RULES]);
  assert.equal(status, 0, output);
  const units = fs.readFileSync(path.join(__dirname, 'alerts.yml'), 'utf8');
  const tested = new Set(Array.from(units.matchAll(/alertname: (\w+)\n +exp_alerts:\n/g), ([, name]) => name));
  assert.deepEqual(
    [...tested].sort(),
    ofRules()
      .map(({ where }) => where)
      .sort(),
  );
});

test('alerts: each is raised when it should be, and not before', () => {
  const { status, output } = promtool(['test', 'rules', path.join(__dirname, 'alerts.yml')]);
  assert.equal(status, 0, output);
});
