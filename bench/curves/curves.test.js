'use strict';

// The pure parts of the curves: the command line, knees, the table and the picture.
//
//   node --test bench/curves/

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { chart, ticksOf } = require('./chart.js');
const { CURVES } = require('./kinds');
const { knees, markdown, points, table } = require('./knees.js');
const { options } = require('./options.js');

/** @type {import('./types').Curve} */
const CURVE = {
  name: 'sheep',
  title: 'Sheep <of a herd>',
  axis: 'sheep',
  steps: [1, 10, 100],
  quick: [1, 100],
  series: [
    { name: 'ours', label: 'our dog', peer: 'hyperion' },
    { name: 'theirs', label: 'their dog', peer: 'pg', to: 10 },
  ],
  figures: [
    { key: 'usPerOp', head: 'us', label: 'us a sheep' },
    { key: 'peakRssMb', head: 'MB', label: 'peak RSS, MB' },
    { key: 'serverUsPerOp', head: 'server us', label: 'us of the server', knee: false },
  ],
  measure: async () => ({}),
};

const round = (/** @type {number} */ usPerOp, /** @type {number} */ peakRssMb, serverUsPerOp = usPerOp) => ({
  usPerOp,
  peakRssMb,
  serverUsPerOp,
});

/** @type {import('./types').Rounds} */
const MEASURED = {
  100: { ours: [round(31, 60)] },
  1: { ours: [round(9, 40), round(10, 41), round(50, 42)], theirs: [round(20, 90)] },
  10: { ours: [round(14.9, 90), round(15.0, 90), round(15.1, 90)], theirs: [round(31, 136)] },
};

test('points: the median of the rounds at each step, in the order of the steps', () => {
  assert.deepStrictEqual(points(MEASURED, 'ours', 'usPerOp'), [
    { step: 1, value: 10 },
    { step: 10, value: 15 },
    { step: 100, value: 31 },
  ]);
  assert.deepStrictEqual(points(MEASURED, 'theirs', 'peakRssMb'), [
    { step: 1, value: 90 },
    { step: 10, value: 136 },
  ]);
});

test('points: a step whose rounds have all failed is no point', () => {
  assert.deepStrictEqual(points({ 1: { ours: [] }, 2: { ours: [{ usPerOp: undefined }] } }, 'ours', 'usPerOp'), []);
});

test('knees: a rise of exactly 1.5 times is none, one above it is, and memory below the floor of its figure is none', () => {
  assert.deepStrictEqual(
    knees(CURVE, MEASURED).map(({ series, figure, from, to }) => [series, figure, from, to]),
    [
      ['ours', 'usPerOp', 10, 100],
      ['theirs', 'usPerOp', 1, 10],
      ['theirs', 'peakRssMb', 1, 10],
    ],
  );
});

test('knees: figures that are not asked for them have none', () => {
  const found = knees(CURVE, { 1: { ours: [round(1, 1, 1)] }, 10: { ours: [round(1, 1, 100)] } });
  assert.deepStrictEqual(found, []);
});

test('table: a line for each step and client that was measured, and a star at each knee', () => {
  const lines = table(CURVE, MEASURED);
  assert.strictEqual(lines.length, 1 + 2 + 2 + 1);
  assert.match(lines[0], /^sheep +us +MB +server us$/);
  assert.match(lines[5], /^ +100 {2}our dog +31\.0 \* +60\.0 +31\.0$/);
  assert.match(lines[4], /^ +10 {2}their dog +31\.0 \* +136 \* +31\.0$/);
});

test('markdown: a line for each step, a column for each figure of each client, empty where nothing was measured', () => {
  const lines = markdown({ ...CURVE, figures: CURVE.figures.slice(0, 2) }, MEASURED);
  assert.deepStrictEqual(lines, [
    '| sheep | ours: us | theirs: us | ours: MB | theirs: MB |',
    '| ---: | ---: | ---: | ---: | ---: |',
    '| 1 | 10.0 | 20.0 | 41.0 | 90.0 |',
    '| 10 | 15.0 | 31.0 | 90.0 | 136 |',
    '| 100 | 31.0 |  | 60.0 |  |',
  ]);
});

test('chart: a panel for each figure, a ring for each knee, no unescaped text', () => {
  const picture = chart(CURVE, {
    at: '2026-01-02T03:04:05.000Z',
    curve: 'sheep',
    rounds: 3,
    seconds: 1,
    quick: false,
    node: 'v20',
    postgresql: 18,
    cpu: 'two',
    versions: {},
    measured: MEASURED,
  });
  assert.strictEqual(picture.match(/class="name"/g)?.length, 3);
  assert.strictEqual(picture.match(/class="knee"/g)?.length, 3 + 1);
  assert.match(picture, /Sheep &lt;of a herd>/);
  assert.doesNotMatch(picture, /NaN|undefined|Infinity/);
});

test('ticksOf: round numbers around the values, at least a decade', () => {
  assert.deepStrictEqual(ticksOf(3, 40), [2, 5, 10, 20, 50]);
  assert.deepStrictEqual(ticksOf(0.3, 140), [0.1, 1, 10, 100, 1000]);
  for (const value of [0.07, 1, 6, 1000]) {
    const ticks = ticksOf(value, value);
    assert.ok(ticks[0] <= value && value <= ticks[ticks.length - 1], `${value} is not in ${ticks}`);
    assert.ok(ticks[ticks.length - 1] / ticks[0] >= 10, `${ticks} is less than a decade`);
  }
});

test('options: --curves takes names by either sign, and none are all', () => {
  const names = (/** @type {string[]} */ ...args) => options(args, CURVES).names;
  const all = CURVES.map(({ name }) => name);
  assert.deepStrictEqual(names('--curves'), all);
  assert.deepStrictEqual(names('--curves', 'texts,rows'), ['rows', 'texts']);
  assert.deepStrictEqual(names('--curves=texts'), ['texts']);
  assert.deepStrictEqual(names('--quick', '--curves', 'nodes', '--rounds', '2'), ['nodes']);
});

test('options: defaults, --quick and what is refused', () => {
  const read = (/** @type {string[]} */ ...args) => options(['--curves', ...args], CURVES);
  assert.deepStrictEqual([read().rounds, read('--quick').rounds, read('--quick', '--rounds', '2').rounds], [3, 1, 2]);
  assert.throws(() => read('lines'), /'lines' is none of rows, connections, in-flight, nodes, texts/);
  assert.throws(() => read('--rounds', '0'), /--rounds must be a whole number from 1/);
  assert.throws(() => read('--seconds', 'x'), /--seconds must be a number greater than 0/);
  assert.throws(() => read('--quik'), /quik/);
});

test('options: --help names every curve and every option', () => {
  const { help } = options(['--curves', '--help'], CURVES);
  for (const { name } of CURVES) assert.match(/** @type {string} */ (help), new RegExp(`^ {2}${name} `, 'm'));
  for (const option of ['rounds', 'seconds', 'quick', 'help']) assert.ok(help?.includes(`--${option}`));
});

test('curves: the steps of --quick are steps, in rising order, and each figure has a name of its own', () => {
  for (const { name, steps, quick, figures, series } of CURVES) {
    assert.deepStrictEqual(
      [...steps].sort((a, b) => a - b),
      steps,
      name,
    );
    assert.ok(
      quick.every((step) => steps.includes(step)),
      name,
    );
    assert.strictEqual(new Set(figures.map(({ key }) => key)).size, figures.length, name);
    assert.strictEqual(new Set(series.map((each) => each.name)).size, series.length, name);
  }
});
