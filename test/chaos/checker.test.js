'use strict';

// The checker of chaos runs must find losses, or "nothing was lost" would prove nothing: doctored histories, and a real loss.

const assert = require('node:assert/strict');
const { test, ownCluster, sleep, until } = require('../support/helpers');
const { RULES } = require('./check');
const { History } = require('./history');
const { Load, TABLE, check, judge } = require('./load');

/** @typedef {import('./check').Truth} Truth */

/** The error of a lost connection. */
const lost = Object.assign(new Error('lost'), { code: 'ERR_OUTCOME_UNKNOWN', outcome: 'unknown' });
const refused = Object.assign(new Error('refused'), { code: 'ERR_CONNECTION_LOST', outcome: 'not-applied' });

/** A history without a violation, in which much happens, and what the database has then. */
function wellTold() {
  const history = new History();
  const { writes, reads, streams, sent, received, subscriptions, gaps, visits } = history;
  const write = (/** @type {number} */ id, /** @type {any} */ entry) =>
    writes.set(id, { kind: 'autocommit', fate: 'acknowledged', at: id, end: id + 5, rows: 1, ...entry });
  write(1, { timeline: '00000001' });
  write(2, { rows: 2, kind: 'transaction', timeline: '00000001' });
  write(3, { fate: 'not-applied', error: refused });
  write(4, { fate: 'unknown', error: lost });
  write(5, { fate: 'unknown', error: lost, rows: 2, kind: 'begin' });
  // It began before anybody could know of timeline 2.
  write(6, { end: 40, timeline: '00000002' });
  write(39, { end: 41, timeline: '00000001' });
  write(50, { timeline: '00000002' });
  reads.push({ fate: 'acknowledged', at: 20, end: 21, about: 2, found: 2 });
  // A read before the acknowledgement may find the rows or not.
  reads.push({ fate: 'acknowledged', at: 6, end: 8, about: 2, found: 0 });
  reads.push({ fate: 'acknowledged', at: 20, end: 21, about: 3, found: 0 });
  reads.push({ fate: 'acknowledged', at: 20, end: 21, about: 5, found: 2 });
  const stream = { at: 1, end: 2, length: 100, leave: null, got: 100, wrong: null, declared: true };
  streams.push({ ...stream, fate: 'acknowledged' });
  streams.push({ ...stream, fate: 'acknowledged', leave: 10, got: 10 });
  streams.push({ ...stream, fate: 'unknown', got: 30, error: lost });
  subscriptions.set(0, { channel: 'a', since: 1000 });
  subscriptions.set(1, { channel: 'a', since: 1000, until: 1200, ended: 1300 });
  subscriptions.set(2, { channel: 'b', since: 1000 });
  const notify = (/** @type {number} */ number, /** @type {number} */ at, /** @type {any} */ entry = {}) =>
    sent.set(number, { fate: 'acknowledged', at, end: at + 10, channel: 'a', sender: 's', ...entry });
  notify(0, 900);
  notify(1, 1100);
  notify(2, 1110, { fate: 'unknown', error: lost });
  notify(3, 1120, { fate: 'not-applied', error: refused });
  notify(4, 1500);
  notify(5, 1700);
  notify(6, 1700, { channel: 'b' });
  gaps.push({ channels: ['a'], since: 1400, until: 1600 });
  const hear = (/** @type {number} */ subscription, /** @type {number} */ number, channel = 'a', at = 1150) =>
    received.push({ subscription, channel, payload: String(number), at });
  hear(0, 1);
  hear(1, 1);
  hear(0, 5);
  // An unknown notification that arrives late.
  hear(0, 2);
  hear(2, 6, 'b');
  visits.push({ fate: 'acknowledged', at: 1, end: 2 });
  history.strikes.push(3);
  history.inFlight = { autocommit: 1, begin: 1, transaction: 1, read: 1, stream: 1, notify: 1, listen: 1 };
  history.primaries.push({ at: 0, from: null, to: 'old:1' }, { at: 45, from: 'old:1', to: 'new:1' });
  const row = (/** @type {number} */ id, part = 1, timeline = '00000001') => ({ id, part, timeline });
  const rows = [row(1), row(2), row(2, 2), row(5), row(5, 2), row(6, 1, '00000002'), row(39), row(50, 1, '00000002')];
  /** @type {Truth} */
  const truth = { rows, deposed: [{ node: 'old:1', rows: [row(1), row(2), row(2, 2), row(4)] }] };
  return { history, truth, row, hear, notify, write };
}

/** One lie or loss in each line, and the rules that must find it, and no others. */
const DOCTORED = /** @type {[string, string[], (told: ReturnType<typeof wellTold>) => unknown][]} */ ([
  ['an acknowledged row is missing', ['lost'], ({ truth }) => (truth.rows = truth.rows.slice(1))],
  ['half of a transaction is missing', ['lost', 'torn'], ({ truth }) => (truth.rows = truth.rows.toSpliced(1, 1))],
  [
    'one half twice, the other missing',
    ['lost', 'doubled', 'torn'],
    ({ truth, row }) => (truth.rows = truth.rows.toSpliced(2, 1, row(2))),
  ],
  ['a row is there twice', ['doubled'], ({ truth, row }) => (truth.rows = [...truth.rows, row(1)])],
  ['an unknown write is there twice', ['doubled'], ({ truth, row }) => (truth.rows = [...truth.rows, row(4), row(4)])],
  ['a row of a write that was not applied', ['denied'], ({ truth, row }) => (truth.rows = [...truth.rows, row(3)])],
  [
    'a row of a write that was not applied, on the deposed node',
    ['denied'],
    ({ truth, row }) => (truth.deposed = [{ node: 'old:1', rows: [row(3)] }]),
  ],
  ['half of an unknown transaction is there', ['torn'], ({ truth }) => (truth.rows = truth.rows.toSpliced(3, 1))],
  ['a row that nobody wrote', ['strange'], ({ truth, row }) => (truth.rows = [...truth.rows, row(99)])],
  [
    'a write was lost on the old primary, and applied again on the new one',
    ['moved'],
    ({ truth, row }) => (truth.rows = truth.rows.toSpliced(0, 1, row(1, 1, '00000002'))),
  ],
  [
    'a write was acknowledged by the old primary when the new one was known',
    ['deposed'],
    ({ write, truth, row }) => {
      write(60, { timeline: '00000001' });
      truth.rows = [...truth.rows, row(60)];
    },
  ],
  [
    'a write was sent to the old primary after the event for the new one',
    ['misdirected'],
    ({ history, truth, row, write }) => {
      write(46, { fate: 'unknown', error: lost });
      truth.deposed = [{ node: 'old:1', rows: [row(46)] }];
      assert.equal(history.primaries.length, 2);
    },
  ],
  ['a write was never answered', ['pending'], ({ write }) => write(70, { fate: 'pending', end: undefined })],
  ['a stream was never answered', ['pending'], ({ history }) => (history.streams[0].fate = 'pending')],
  [
    'more writes are unknown than were in flight',
    ['unexplained'],
    ({ write }) => {
      for (const id of [70, 71]) write(id, { fate: 'unknown', error: lost });
    },
  ],
  [
    'a write is unknown without any fault',
    ['unexplained'],
    ({ history }) => {
      history.strikes = [];
    },
  ],
  [
    'an error that nothing explains',
    ['odd'],
    ({ write }) =>
      write(3, {
        fate: 'not-applied',
        error: Object.assign(new Error('?'), { code: '42P01', outcome: 'not-applied' }),
      }),
  ],
  [
    'an error that does not say what became of the work',
    ['odd'],
    ({ write }) => write(4, { fate: 'unknown', error: Object.assign(new Error('?'), { code: 'ERR_CONNECTION_LOST' }) }),
  ],
  [
    'a declared read failed',
    ['unread'],
    ({ history }) => Object.assign(history.reads[0], { fate: 'not-applied', error: refused }),
  ],
  ['a read missed an acknowledged write', ['stale'], ({ history }) => (history.reads[0].found = 0)],
  ['a read saw half a transaction', ['stale'], ({ history }) => (history.reads[1].found = 1)],
  ['a read saw a write that was not applied', ['stale'], ({ history }) => (history.reads[2].found = 1)],
  ['a stream was short', ['misread'], ({ history }) => (history.streams[0].got = 99)],
  ['a stream gave a row twice', ['misread'], ({ history }) => (history.streams[2].wrong = '{"i":29}')],
  ['a stream was longer', ['misread'], ({ history }) => (history.streams[0].got = 101)],
  ['a stream that was left was short', ['misread'], ({ history }) => (history.streams[1].got = 9)],
  ['a notification arrived twice', ['repeated'], ({ hear }) => hear(1, 1)],
  [
    'notifications arrived in another order',
    ['disordered'],
    ({ history }) => history.received.unshift(.../** @type {any} */ (history.received.splice(2, 1))),
  ],
  ['a notification did not arrive', ['missed'], ({ history }) => history.received.splice(1, 1)],
  [
    'a notification did not arrive, and the gap was that of another channel',
    ['missed'],
    ({ history }) => {
      history.gaps[0].channels = ['b'];
    },
  ],
  [
    'a notification did not arrive that was sent after the gap',
    ['missed'],
    ({ history }) => {
      history.gaps[0].until = 1490;
    },
  ],
  [
    'a notification did not arrive that was acknowledged before the gap',
    ['missed'],
    ({ history }) => {
      history.gaps[0].since = 1520;
    },
  ],
  ['a notification arrived that nobody sent', ['forged'], ({ hear }) => hear(0, 77)],
  ['a notification arrived that was not sent', ['forged'], ({ hear }) => hear(0, 3)],
  ['a notification arrived on the wrong channel', ['forged'], ({ hear }) => hear(0, 6, 'a')],
  ['a notification arrived after unlisten()', ['unasked'], ({ hear }) => hear(1, 5, 'a', 1310)],
  ['a channel is deaf', ['deaf'], ({ history }) => history.deaf.push('a')],
]);

const broken = (/** @type {ReturnType<typeof judge>} */ { violations }) => [
  ...new Set(violations.map(({ rule }) => rule)),
];

test('chaos judge: it finds nothing in a history in which all is well', () => {
  const { history, truth } = wellTold();
  assert.deepEqual(judge(history, truth).violations, []);
  const { 'not-applied': failed, ...counts } = judge(history, truth).kinds.autocommit;
  assert.deepEqual({ failed, ...counts }, { acknowledged: 4, failed: 1, unknown: 1, pending: 0 });
});

for (const [name, rules, doctor] of DOCTORED) {
  test(`chaos judge finds ${rules.join(', ') || 'nothing'} in a doctored history: ${name}`, () => {
    const told = wellTold();
    doctor(told);
    assert.deepEqual(broken(judge(told.history, told.truth)).sort(), [...rules].sort());
  });
}

test('chaos judge: an error under a planned change is found', () => {
  const { history, truth } = wellTold();
  const { violations } = judge(history, truth, { planned: true });
  assert.deepEqual(
    violations.map(({ rule, kind }) => `${rule} ${kind}`),
    ['felt autocommit', 'felt autocommit', 'felt begin', 'felt stream', 'felt notify', 'felt notify'],
  );
});

test('chaos judge: while work is under way, pending work does not count as hanging', () => {
  const { history, truth, write } = wellTold();
  write(70, { fate: 'pending', end: undefined });
  assert.deepEqual(judge(history, truth, { over: false }).violations, []);
});

test('chaos judge: every rule has a doctored history', () => {
  const shown = new Set(['felt', ...DOCTORED.flatMap(([, rules]) => rules)]);
  assert.deepEqual(
    Object.keys(RULES).filter((rule) => !shown.has(rule)),
    [],
  );
});

test('chaos history: forget() drops what has ended, and keeps what is under way', () => {
  const { history, write } = wellTold();
  write(70, { fate: 'pending', end: undefined });
  history.forget();
  assert.deepEqual([...history.writes.keys()], [70]);
  assert.deepEqual([...history.subscriptions.keys()], [0, 2], 'who still listens');
  const { reads, streams, sent, received, gaps, visits, strikes } = history;
  assert.deepEqual(
    [reads.length, streams.length, sent.size, received.length, gaps.length, visits.length],
    Array(6).fill(0),
  );
  assert.deepEqual(strikes, []);
});

test('chaos judge: the rules about writes alone, over ids', () => {
  const entry = (/** @type {any} */ fate, rows = 1) => ({ fate, at: 0, rows });
  const history = new Map([
    [1, entry('acknowledged')],
    [2, entry('acknowledged')],
    [3, entry('acknowledged', 2)],
    [4, entry('acknowledged', 2)],
    [5, entry('not-applied')],
    [6, entry('not-applied')],
    [7, entry('unknown')],
    [8, entry('unknown')],
    [9, entry('unknown')],
    [10, entry('pending')],
  ]);
  assert.deepEqual(check(history, [1, 3, 3, 4, 6, 7, 9, 9, 11]), {
    acknowledged: 4,
    unknown: 3,
    pending: 1,
    failed: 2,
    lost: [2, 4],
    doubled: [9],
    denied: [6],
    torn: [4],
    strange: [11],
    moved: [],
    deposed: [],
  });
});

test('chaos judge: an asynchronous cluster whose replication is cut before a crash loses acknowledged writes, and the judge finds them', {
  timeout: 120_000,
}, async (t) => {
  const own = await ownCluster(t, { nodes: 3, synchronous: false });
  own.needs('promote', 'failover', 'crash', 'follow', 'proxy');
  const { cluster } = own;
  const old = cluster.primary();
  await old.sql(TABLE);
  const link = await old.proxy();
  await Promise.all(cluster.standbys().map((node) => node.follow(link)));
  await until('all stream through the proxy', () => link.connections >= 2);
  const pool = own.pool(t, { poolSize: 8, acquireTimeoutMs: 60_000 });
  const load = new Load(pool);
  const until_ = (/** @type {number} */ count) => until(`${count} writes`, () => load.acknowledged >= count);
  await until_(200);
  await link.blackhole();
  await sleep(50);
  await until_(load.acknowledged + 500);
  await old.crash();
  const next = await cluster.failover();
  await until_(load.acknowledged + 200);
  await load.stop();
  const rows = await next.sql('SELECT id, part, timeline FROM written');
  const result = check(load.history, /** @type {any} */ (rows));
  t.diagnostic(
    `asynchronous: acknowledged ${result.acknowledged}, lost ${result.lost.length}, doubled ${result.doubled.length}, unknown ${result.unknown}`,
  );
  assert.ok(result.lost.length >= 100, `${result.lost.length} lost`);
  assert.deepEqual(result.doubled, []);
  const { violations } = judge(load.record, { rows: /** @type {any} */ (rows) });
  const seen = violations.filter(({ rule }) => rule === 'lost').length;
  assert.equal(seen, result.lost.length, 'the whole truth tells the same');
});
