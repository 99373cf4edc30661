'use strict';

// What the tables and targets say of measurements. `node --test bench/`.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { LOADS } = require('./loads.js');
const { PARTICIPANTS, takesPart } = require('./peers');
const { LEGEND, summary, table } = require('./report.js');
const { TARGETS, judge, targetTable } = require('./targets.js');

/** @typedef {import('./types').Measurement} Measurement */

const CLIENTS = ['pg', 'postgres'];

/** @param {Partial<Measurement>} figures @returns {Measurement} */
const measured = (figures) => ({ operations: 1, opsPerSecond: 1, ...figures });

/** @param {string} id */
const loadOf = (id) => /** @type {import('./types').Load} */ (LOADS.find((load) => load.id === id));

/**
 * @param {string} load
 * @param {Record<string, Partial<Measurement>>[]} rounds
 */
const judged = (load, rounds) =>
  judge(
    {
      [load]: rounds.map((round) =>
        Object.fromEntries(Object.entries(round).map(([peer, figures]) => [peer, measured(figures)])),
      ),
    },
    CLIENTS,
  );

test('targets: a ratio is made round by round, and its median decides', () => {
  const rounds = [
    { hyperion: { opsPerSecond: 90 }, 'tokio-postgres': { opsPerSecond: 100 } },
    { hyperion: { opsPerSecond: 40 }, 'tokio-postgres': { opsPerSecond: 50 } },
    { hyperion: { opsPerSecond: 700 }, 'tokio-postgres': { opsPerSecond: 1000 } },
  ];
  const [first] = judged('W2-1000', rounds);
  assert.deepEqual(first, {
    load: 'W2-1000',
    figure: 'opsPerSecond',
    against: 'tokio-postgres',
    atLeast: 0.8,
    value: 0.8,
    min: 0.7,
    max: 0.9,
    peer: 'tokio-postgres',
    met: true,
  });
  rounds[1].hyperion.opsPerSecond = 39;
  assert.equal(judged('W2-1000', rounds)[0].met, false);
});

test('targets: the best is the client with the best median, not a limit', () => {
  const [, best] = judged('W3', [
    {
      hyperion: { opsPerSecond: 90 },
      pg: { opsPerSecond: 25 },
      postgres: { opsPerSecond: 30 },
      'tokio-postgres': { opsPerSecond: 1000 },
    },
  ]);
  assert.deepEqual([best.peer, best.value, best.met], ['postgres', 3, true]);
});

test('targets: less is better for latency, time, stalls and CPU', () => {
  const round = {
    hyperion: { p50Ms: 10, opsPerSecond: 100, stallMs: 39, cpuUsPerOp: 18 },
    pg: { p50Ms: 13, opsPerSecond: 40 },
    'tokio-postgres': { p50Ms: 10, opsPerSecond: 130, cpuUsPerOp: 10 },
    floor: { stallMs: 30 },
  };
  const met = (/** @type {string} */ load) => judged(load, [round]).map(({ met }) => met);
  assert.deepEqual(met('W1'), [true, true]);
  assert.deepEqual(met('W4'), [true, true, true]);
  round.hyperion = { p50Ms: 10.1, opsPerSecond: 99, stallMs: 39.1, cpuUsPerOp: 18.1 };
  assert.deepEqual(met('W1'), [false, false]);
  assert.deepEqual(met('W4'), [false, false, true]);
  assert.equal(judged('W2-64', [round]).find(({ figure }) => figure === 'cpuUsPerOp')?.met, false);
  round.hyperion.cpuUsPerOp = 18;
  assert.equal(judged('W2-64', [round]).find(({ figure }) => figure === 'cpuUsPerOp')?.met, true);
});

test('targets: CPU may be 0.7 of what it was, beside what the limit costs', () => {
  const bounds = TARGETS.flatMap(({ load, figure, atMost }) => (figure === 'cpuUsPerOp' ? [[load, atMost]] : []));
  assert.deepEqual(bounds, [
    ['W2-64', (0.7 * 11.1) / 4.3],
    ['W2-1000', (0.7 * 11.0) / 2.6],
    ['W3', (0.7 * 142) / 34],
    ['W5', (0.7 * 15.1) / 4.3],
    ['W7', (0.7 * 158) / 50],
  ]);
});

test('targets: what was not measured is neither met nor missed', () => {
  const verdicts = judged('W4', [{ hyperion: { stallMs: 3 } }]);
  assert.deepEqual(
    verdicts.map(({ value, met }) => [value, met]),
    [
      [undefined, undefined],
      [undefined, undefined],
      [undefined, undefined],
    ],
  );
  for (const line of targetTable(verdicts).slice(1)) assert.match(line, / - +not measured$/);
});

test('targets: each names a load, and a peer that takes part in it', () => {
  for (const { load, against } of TARGETS) {
    assert.ok(loadOf(load), load);
    if (against === undefined || against === 'best') continue;
    const peer = PARTICIPANTS.find(({ name }) => name === against);
    assert.ok(peer && takesPart(peer, load), `${against} under ${load}`);
  }
});

test('targets: the table has target, median, spread and verdict', () => {
  const rounds = [1, 2, 3].map((n) => ({
    hyperion: { opsPerSecond: 100, eventLoopUtilization: n / 10 },
    pg: { opsPerSecond: 40 * n },
  }));
  const lines = targetTable(judged('W2-64', rounds));
  assert.deepEqual(
    lines.map((line) => line.split(/ {2,}/)),
    [
      ['', 'target', 'reached'],
      ['W2-64: throughput, of tokio-postgres', '>= 0.85x', '-', 'not measured'],
      ['W2-64: throughput, of the best client (pg)', '>= 2.00x', '1.25x (0.83..2.50)', 'MISSED'],
      ['W2-64: CPU of an operation, of tokio-postgres', '<= 1.81x', '-', 'not measured'],
      ['W2-64: event-loop utilisation', '<= 0.2', '0.200 (0.100..0.300)', 'met'],
    ],
  );
});

const SOME = {
  opsPerSecond: 1_234_567,
  p50Ms: 1.234,
  p99Ms: 23.45,
  cpuUsPerOp: 12.34,
  mainUsPerOp: 3.456,
  otherUsPerOp: 8.884,
  serverUsPerOp: 123.4,
  eventLoopUtilization: 0.25,
  stallMs: 123.4,
  peakRssMb: 123,
};

test('report: a table fits into 120 columns, with a dash for what cannot be told', () => {
  const load = loadOf('W2-64');
  const { mainUsPerOp, otherUsPerOp, eventLoopUtilization, stallMs, ...rest } = SOME;
  const round = { hyperion: measured(SOME), pg: measured(SOME), 'tokio-postgres': measured(rest) };
  const lines = table(load, [round, round], Object.keys(round));
  for (const line of [...lines.map((each) => `  ${each}`), ...LEGEND]) assert.ok(line.length <= 120, line);
  assert.match(lines[0], / us\/op +main +other +server +loop +stall +MB +of raw +ours is$/);
  assert.match(lines[1], /^hyperion .* 12\.3 +3\.46 +8\.88 +123 +0\.25 +123 +123 +100%$/);
  assert.match(lines[3], /^tokio-postgres .* 12\.3 +- +- +123 +- +- +123 +100% +1\.00x \(1\.00\.\.1\.00\)$/);
});

test('report: columns that say nothing are left out', () => {
  const [titles] = table(loadOf('W2-64'), [{ hyperion: measured({ p50Ms: 1 }) }], ['hyperion']);
  assert.match(titles, /^ +ops\/s +\+- +p50$/);
});

test('report: the summary has shares of the limit, and nothing where there is none', () => {
  const round = (/** @type {number} */ n) => ({
    hyperion: measured({ opsPerSecond: 50, cpuUsPerOp: 3 * n }),
    pg: measured({ opsPerSecond: 25 }),
    'tokio-postgres': measured({ opsPerSecond: 100, cpuUsPerOp: 1 }),
  });
  const { hyperion, pg } = summary(loadOf('W2-64'), [round(1), round(2), round(3)]);
  assert.deepEqual(hyperion.ofRaw, { median: 0.5, min: 0.5, max: 0.5 });
  assert.deepEqual(hyperion.cpuOfRaw, { median: 6, min: 3, max: 9 });
  assert.deepEqual(hyperion.figures.cpuUsPerOp, { median: 6, min: 3, max: 9 });
  assert.deepEqual([pg.ofRaw?.median, pg.cpuOfRaw, pg.oursIs?.median], [0.25, undefined, 2]);
  assert.equal(summary(loadOf('W2-64'), [{ hyperion: measured({}) }]).hyperion.ofRaw, undefined);
});
