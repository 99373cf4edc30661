'use strict';

// The figures find losses, duplicates and hanging statements in invented histories, and in those of a client that reports
// wrong results.
//
//   node --test bench/failover/

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { PARTICIPANTS } = require('./clients');
const { CLEAN_MS, HUNG_MS, History, figures, longestPause, worksAgain } = require('./figures.js');
const { PER_SECOND, READ_EVERY } = require('./load.js');
const { markdown, medianOf, recovered, terminal } = require('./report.js');
const { round } = require('./round.js');
const { SCENARIOS } = require('./scenarios.js');

/** @typedef {import('./types').Statement} Statement */

const TIMELINE = { faultAt: 10_000, promotedAt: 12_000, healedAt: 12_500, overAt: 13_000 };
const END = TIMELINE.overAt + 20_000;

/** @param {Partial<Statement>} more @returns {Statement} */
const write = (more) => ({ type: 'write', id: 1, begunAt: 9_000, endedAt: 9_001, ...more });
/** @param {Partial<Statement>} more */
const read = (more) => write({ type: 'read', ...more });

/** @param {Statement[]} statements @param {Record<number, number>} present @param {number[]} onOld */
const of = (statements, present = {}, onOld = [], endedAt = END) =>
  figures(statements, TIMELINE, endedAt, {
    present: new Map(Object.entries(present).map(([id, times]) => [Number(id), times])),
    onOld: new Set(onOld),
  });

/** Writes at the load's rate. @param {number} from @param {number} to @param {Partial<Statement>} [more] */
function steady(from, to, more) {
  const every = 1000 / (PER_SECOND * (1 - 1 / READ_EVERY));
  const list = [];
  for (let at = from; at < to; at += every)
    list.push(write({ id: Math.round(at), begunAt: at, endedAt: at + 1, ...more }));
  return list;
}

test('what became of writes', () => {
  /** @type {[string, Partial<import('./types').Figures>, import('./types').Figures][]} */
  const facts = [
    ['kept', { acknowledged: 1, lost: 0, doubled: 0 }, of([write({})], { 1: 1 })],
    ['lost', { acknowledged: 1, lost: 1, deposed: 0 }, of([write({})])],
    ['lost with the old primary', { lost: 1, deposed: 0 }, of([write({})], {}, [1])],
    ['acknowledged by the old one', { lost: 1, deposed: 1 }, of([write({ endedAt: 12_001 })], {}, [1])],
    ['lost later, and not there', { lost: 1, deposed: 0 }, of([write({ endedAt: 12_001 })])],
    ['doubled', { doubled: 1, lost: 0 }, of([write({})], { 1: 2 })],
    ['doubled after a failure', { doubled: 1, failedWrites: 1 }, of([write({ error: 'x' })], { 1: 2 })],
    ['failed', { failedWrites: 1, failedReads: 0, lost: 0, failedButThere: 0 }, of([write({ error: 'x' })])],
    ['failed, and there', { failedWrites: 1, failedButThere: 1, denied: 0 }, of([write({ error: 'x' })], { 1: 1 })],
    ['denied', { denied: 1 }, of([write({ error: 'x', outcome: 'not-applied' })], { 1: 1 })],
    ['a failed read', { failedReads: 1, failedWrites: 0, errors: { 'read x': 1 } }, of([read({ error: 'x' })])],
    ['a stale read', { staleReads: 1 }, of([read({ stale: true })])],
    ['hung', { hung: 1, lost: 0, acknowledged: 0 }, of([write({ endedAt: undefined })])],
    ['hung, and there', { hung: 1, lost: 0, doubled: 0 }, of([write({ endedAt: undefined })], { 1: 1 })],
    ['settled too late', { hung: 1 }, of([write({ endedAt: TIMELINE.overAt + HUNG_MS + 1 })], { 1: 1 })],
    ['settled late', { hung: 0 }, of([write({ endedAt: TIMELINE.overAt + HUNG_MS - 1 })], { 1: 1 })],
    ['begun later', { hung: 0 }, of([write({ begunAt: END - HUNG_MS + 1, endedAt: undefined })])],
    ['not known to hang yet', { hung: 0 }, of([write({ endedAt: undefined })], {}, [], TIMELINE.overAt + 1_000)],
  ];
  for (const [name, expected, found] of facts) {
    for (const [figure, value] of Object.entries(expected)) {
      assert.deepEqual(found[/** @type {keyof typeof found} */ (figure)], value, `${name}: ${figure}`);
    }
  }
});

test('a pause', () => {
  assert.equal(longestPause([1, 2, 5, 6], 0, 7), 3);
  assert.equal(longestPause([], 0, 7), 7, 'nothing at all');
  assert.equal(longestPause([1, 2], 0, 7), 5, 'to the end');
  assert.equal(longestPause([5, 1, 20], 4, 8), 3, 'only within');
  const lost = [write({ id: 1, endedAt: 9_600 }), write({ id: 2, endedAt: 14_000 }), write({ id: 3, endedAt: 15_000 })];
  assert.equal(of(lost, { 1: 1, 3: 1 }, [], 16_000).pauseMs, 5_400, 'a lost write does not end it');
});

test('recovered', () => {
  const { faultAt, overAt } = TIMELINE;
  const before = steady(faultAt - 2_000, faultAt);
  const works = (/** @type {Statement[]} */ after, endedAt = END) =>
    worksAgain([...before, ...after], TIMELINE, endedAt);
  assert.ok(works(steady(overAt, END)));
  assert.ok(works(steady(overAt + 10_000, END)), 'later');
  assert.ok(!works([]), 'nothing');
  assert.ok(!works(steady(overAt, overAt + CLEAN_MS / 2)), 'for a moment');
  assert.ok(!works(steady(overAt, END).filter((_, i) => i % 2 === 0)), 'at half the rate');
  assert.ok(
    !works(steady(overAt, END).map((each, i) => (i % 500 === 0 ? { ...each, error: 'x' } : each))),
    'with errors',
  );
  assert.ok(!works(steady(overAt, END), overAt + CLEAN_MS - 1), 'too early to say');
  assert.ok(!worksAgain([], TIMELINE, END), 'silence is no recovery, whatever was before');
  const present = Object.fromEntries([...before, ...steady(overAt, END)].map(({ id }) => [id, 1]));
  assert.equal(of([...before, ...steady(overAt, END)], present).recovered, 'yes');
  assert.equal(of([...before, ...steady(overAt, END)]).recovered, 'no', 'all of it lost');
  assert.equal(
    of([...before, write({ id: 13_000, begunAt: overAt + 1, endedAt: overAt + 2 })], present).recovered,
    'partly',
  );
});

test('a history is put together from what was told', () => {
  const history = new History();
  history.add([
    { kind: 'begun', n: 0, type: 'write', id: 7, at: 1 },
    { kind: 'begun', n: 1, type: 'read', id: 7, at: 2 },
  ]);
  history.add([{ kind: 'ended', n: 0, at: 3, error: '57P01', outcome: 'unknown' }]);
  assert.deepEqual(history.all, [
    { type: 'write', id: 7, begunAt: 1, endedAt: 3, error: '57P01', outcome: 'unknown', stale: undefined },
    { type: 'read', id: 7, begunAt: 2 },
  ]);
});

test('tables', () => {
  assert.equal(medianOf([3, 1, 2], String), '2 (1-3)');
  assert.equal(medianOf([2, 2], String), '2');
  const good = of([write({})], { 1: 1 });
  const rounds = [{ ...good, recovered: /** @type {const} */ ('yes') }, good];
  assert.equal(recovered(rounds), 'yes 1, no 1');
  const result = {
    at: '2026-01-01T00:00:00.000Z',
    minutes: 1,
    rounds: 2,
    node: 'v20',
    postgresql: 18,
    cpu: '2 x',
    versions: { pg: '8' },
    measured: {
      kill: {
        pg: [
          { ...good, lost: 2 },
          { ...good, lost: 3 },
        ],
      },
    },
  };
  assert.match(terminal(result), /pg with a wrapper +0 +0 +0 +5 +0/, 'losses of all rounds');
  assert.match(markdown(result), /\| pg with a wrapper \| 0 \| 0 \| 0 \| 5 \| 0 \|/);
  for (const { best, variants } of PARTICIPANTS) assert.ok(best in variants);
});

test('a client that lies is seen', { timeout: 120_000 }, async () => {
  const [scenario] = SCENARIOS.filter(({ id }) => id === 'kill');
  const { figures: found } = await round(scenario, path.join(__dirname, 'broken/liar.js'), {
    primary: 'first',
    settings: {},
  });
  for (const name of /** @type {const} */ (['lost', 'hung', 'doubled', 'denied', 'failedWrites', 'failedReads'])) {
    assert.ok(found[name] > 0, `${name}: ${found[name]}`);
  }
  assert.equal(found.recovered, 'no');
});

test('a client that ends its process is seen', { timeout: 120_000 }, async () => {
  const [scenario] = SCENARIOS.filter(({ id }) => id === 'kill');
  const file = path.join(__dirname, 'broken/mortal.js');
  const { figures: found } = await round(scenario, file, { primary: 'first', settings: {} });
  assert.match(found.died ?? '', /^Error: (nobody listened|Connection terminated)/);
  assert.equal(found.recovered, 'no');
});
