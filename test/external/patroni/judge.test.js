'use strict';

// The judge of Patroni rounds must find violations, or a good verdict would prove nothing: doctored rounds and their verdicts.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { gapsOf, longest, pauseBeyond, violationsOf, writtenByDeposed } = require('./judge');
const { tableOf } = require('./report');

/** @param {[node: string, timeline: number, at: number][]} seen */
const acceptances = (seen) => seen.map(([node, timeline, at]) => ({ node, timeline, at }));

/** @param {[from: number, to: number, everyMs: number]} spans */
const ticks = (...[from, to, everyMs]) =>
  Array.from({ length: Math.floor((to - from) / everyMs) + 1 }, (_, i) => from + i * everyMs);

test('patroni judge: a gap is a time in which no node accepted writes', () => {
  const seen = acceptances([
    ...ticks(0, 1_000, 10).map((at) => /** @type {[string, number, number]} */ (['n1', 1, at])),
    ...ticks(4_000, 6_000, 10).map((at) => /** @type {[string, number, number]} */ (['n2', 2, at])),
  ]);
  assert.deepEqual(gapsOf(seen, [500, 6_000]), [[1_000, 4_000]]);
  assert.deepEqual(gapsOf(seen, [4_500, 5_500]), []);
  assert.deepEqual(gapsOf(seen, [500, 9_000]), [
    [1_000, 4_000],
    [6_000, 9_000],
  ]);
  assert.deepEqual(gapsOf([], [0, 1_000]), [[0, 1_000]]);
});

test('patroni judge: two nodes that accept writes side by side leave no gap', () => {
  const seen = acceptances([
    ...ticks(0, 2_000, 10).map((at) => /** @type {[string, number, number]} */ (['n1', 1, at])),
    ...ticks(1_500, 4_000, 10).map((at) => /** @type {[string, number, number]} */ (['n2', 2, at])),
  ]);
  assert.deepEqual(gapsOf(seen, [0, 4_000]), []);
});

test("patroni judge: the client's pause counts only where a node accepted writes", () => {
  const gaps = /** @type {[number, number][]} */ ([[1_000, 4_000]]);
  assert.equal(pauseBeyond([...ticks(0, 1_000, 10), ...ticks(4_300, 6_000, 10)], gaps, [0, 6_000]), 300);
  assert.equal(pauseBeyond([...ticks(0, 900, 10), ...ticks(4_000, 6_000, 10)], gaps, [0, 6_000]), 100);
  assert.equal(pauseBeyond(ticks(0, 900, 10), gaps, [0, 6_000]), 2_100, 'no write after the gap: until the end');
  assert.equal(pauseBeyond([], [], [0, 700]), 700);
  assert.equal(longest(gaps), 3_000);
});

test("patroni judge: a row counts as a deposed primary's when a higher timeline had accepted writes before it", () => {
  const reigns = acceptances([
    ['n1', 1, 0],
    ['n2', 2, 1_000],
  ]);
  const rows = [
    { id: 1, part: 1, timeline: '00000001', at: 999 },
    { id: 2, part: 1, timeline: '00000001', at: 1_001 },
    { id: 3, part: 1, timeline: '00000002', at: 1_001 },
    { id: 4, part: 1, timeline: '00000001', at: 5_000 },
  ];
  const found = writtenByDeposed(rows, reigns, (id) => id !== 4);
  assert.deepEqual(
    found.map(({ id }) => id),
    [2],
    'and what was not acknowledged is nobody’s loss',
  );
});

const GOOD = { broken: [], byDeposed: [], acknowledged: 1, stalled: null };

test('patroni judge: a good round has no violation', () => {
  assert.deepEqual(violationsOf(GOOD), []);
});

test('patroni judge: a broken rule is reported with some examples', () => {
  const lost = [1, 2, 3, 4].map((id) => ({ rule: 'lost', kind: 'begin', what: `write ${id}` }));
  const pending = { rule: 'pending', kind: 'read', what: 'read of write 9' };
  assert.deepEqual(violationsOf({ ...GOOD, broken: [...lost, pending] }), [
    'lost: 4 (write 1; write 2; write 3)',
    'pending: 1 (read of write 9)',
  ]);
});

for (const [title, part, expected] of /** @type {[string, object, RegExp][]} */ ([
  ['no write at all', { acknowledged: 0 }, /no write was acknowledged/],
  ['a deposed primary', { byDeposed: [{ id: 7, part: 1, timeline: '00000001', at: 0 }] }, /a deposed primary: 7/],
  ['a round that stood still', { stalled: 'the round did not go on' }, /did not go on/],
])) {
  test(`patroni judge: ${title} is a violation`, () => {
    const [found, ...more] = violationsOf({ ...GOOD, ...part });
    assert.match(found, expected);
    assert.deepEqual(more, []);
  });
}

test('patroni report: the table has a line for each scenario, with median and spread', () => {
  const round = (/** @type {string} */ scenario, /** @type {number} */ gap) =>
    /** @type {any} */ ({
      scenario,
      violations: [],
      kinds: {
        begin: { acknowledged: 4, 'not-applied': 1, unknown: 1, pending: 0 },
        batch: { acknowledged: 6, 'not-applied': 0, unknown: 2, pending: 0 },
        stream: { acknowledged: 100, 'not-applied': 0, unknown: 1, pending: 0 },
      },
      lost: 0,
      doubled: 0,
      hung: 0,
      managerGapMs: gap,
      beyondMs: 5,
      errors: { 'ERR_OUTCOME_UNKNOWN unknown': 1 },
    });
  const lines = tableOf([round('crash', 100), round('agent', 0), round('crash', 300), round('crash', 110)]).split('\n');
  assert.match(lines[1], /^crash +3 +30 +300 +0 +0 +0 +4 \(4-4\) +1 \(1-1\) +110 \(100-300\) +5 \(5-5\) +0$/);
  assert.match(lines[2], /^agent +1 +10 +100/);
  assert.match(lines.join('\n'), /crash: 3 ERR_OUTCOME_UNKNOWN unknown/);
});
