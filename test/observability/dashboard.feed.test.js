'use strict';

// What the dashboard makes of a pool's counts: rates, percentiles, the history, errors by the minute.

const assert = require('node:assert/strict');
const { ErrorMinutes } = require('../../lib/api/dashboard/error-minutes.js');
const { History, KEPT } = require('../../lib/api/dashboard/history.js');
const { pointOf, sampleOf } = require('../../lib/api/dashboard/sample.js');
const { EventEmitter } = require('node:events');
const { Viewers } = require('../../lib/api/dashboard/viewers.js');
const { FakePool, Feed } = require('./dashboard.fake.js');
const { story } = require('./dashboard.story.js');
const { range, test, until } = require('../support/helpers.js');

/** A look at a pool `second` seconds after the first one. @param {FakePool} pool @param {number} second */
function look(pool, second) {
  const { snapshot, nodes, status } = pool.source();
  return { at: 1_000_000 + second * 1_000, clock: second * 1_000, raw: snapshot(), nodes: nodes(), pool: status() };
}

test('dashboard sample: rates and percentiles are those since the last look', () => {
  const pool = new FakePool(2);
  pool.statements(0, 5_000, 90_000);
  const first = look(pool, 0);
  pool.statements(0, 990, 500);
  pool.statements(0, 10, 40_000);
  pool.statements(1, 3_000, 500);
  pool.waits(100, 2_000);
  pool.errors('23', 8);
  pool.errors('ERR_NO_PRIMARY', 2);
  const sample = sampleOf(look(pool, 2), first, first);
  assert.deepEqual(sample.rate, { statements: 2_000, rows: 4_000, errors: 5, waits: 50 });
  const [a, b] = sample.nodes;
  assert.deepEqual([a.node, a.statements, b.node, b.statements], ['db1:5432', 500, 'db2:5432', 1_500]);
  // What was slow before the first look is not in it.
  for (const [value, most] of [
    [a.latencyMs.p50, 0.5],
    [a.latencyMs.p95, 0.5],
    [sample.latencyMs.p99, 0.5],
  ]) {
    assert.ok(value !== null && value > 0.4 && value <= most, String(value));
  }
  assert.ok(/** @type {number} */ (sample.waitMs.p99) > 1.9 && /** @type {number} */ (sample.waitMs.p99) <= 2);
  assert.deepEqual(a.bytes, { in: 90_000, out: 45_000 });
  assert.deepEqual([sample.totals.queries, sample.totals.errors, sample.totals.waits], [9_000, 10, 100]);
});

test('dashboard sample: the first look has no rates, and nothing counted has no percentiles', () => {
  const pool = new FakePool(1);
  pool.statements(0, 100, 500);
  const first = look(pool, 0);
  const { rate, latencyMs } = sampleOf(first, undefined, undefined);
  assert.deepEqual(rate, { statements: null, rows: null, errors: null, waits: null });
  assert.deepEqual(latencyMs, { p50: null, p95: null, p99: null });
  const second = sampleOf(look(pool, 1), first, first);
  assert.deepEqual([second.rate.statements, second.latencyMs.p50, second.waitMs.p99], [0, null, null]);
});

test('dashboard sample: a node of which the core has counted nothing yet', () => {
  const pool = new FakePool(2);
  pool.raw.nodes.pop();
  const { nodes } = sampleOf(look(pool, 1), look(pool, 0), undefined);
  assert.deepEqual([nodes[1].node, nodes[1].statements, nodes[1].inFlight], ['db2:5432', 0, 0]);
});

test('dashboard history: it keeps the last 15 minutes in the order of time, in fixed memory', () => {
  const history = new History();
  const pool = new FakePool(2);
  const size = () => JSON.stringify(history.columns()).length;
  let full = 0;
  for (const second of range(KEPT * 2 + 7)) {
    pool.pool.inUse = second % 1_000;
    history.add(pointOf(sampleOf(look(pool, second), look(pool, second - 1), undefined)));
    if (second === KEPT) full = size();
  }
  const { from, at, lines, nodes } = history.columns();
  assert.deepEqual([at.length, lines.inUse.length, nodes['db2:5432'].p99.length], [KEPT, KEPT, KEPT]);
  assert.equal(from, 1_000_000 + (KEPT + 7) * 1_000);
  assert.deepEqual([at[0], at[1], at.at(-1)], [0, 1_000, (KEPT - 1) * 1_000]);
  assert.deepEqual([lines.inUse[0], lines.inUse.at(-1)], [(KEPT + 7) % 1_000, (KEPT * 2 + 6) % 1_000]);
  assert.ok(size() < full * 1.2, `${size()} bytes, ${full} before`);
});

test('dashboard history: a node that comes later has gaps before, and one that has gone leaves', () => {
  const history = new History();
  const pool = new FakePool(2);
  const add = (/** @type {number} */ second) =>
    history.add(pointOf(sampleOf(look(pool, second), look(pool, second - 1), undefined)));
  const [first, second] = pool.nodeList;
  pool.nodeList = [first];
  for (const number of range(3)) add(number);
  pool.nodeList = [first, second];
  add(3);
  assert.deepEqual(history.columns().nodes['db2:5432'].lagMs, [null, null, null, 0]);
  pool.nodeList = [first];
  for (const number of range(KEPT - 1)) add(4 + number);
  assert.ok('db2:5432' in history.columns().nodes);
  add(4 + KEPT);
  assert.deepEqual(Object.keys(history.columns().nodes), ['db1:5432']);
});

test('dashboard errors: by class, in the last 5 and 15 minutes', () => {
  const errors = new ErrorMinutes();
  const minute = (/** @type {number} */ number) => 60_000 * (1_000 + number);
  errors.add({ 23: 100 }, minute(0));
  assert.deepEqual(errors.list(minute(0)), [{ class: '23', total: 100, last5: 0, last15: 0, lastAt: null }]);
  errors.add({ 23: 103 }, minute(0));
  errors.add({ 23: 103, 40: 1 }, minute(3));
  errors.add({ 23: 110, 40: 1 }, minute(9));
  const list = (/** @type {number} */ number) =>
    errors.list(minute(number)).map((one) => [one.class, one.last5, one.last15]);
  assert.deepEqual(list(9), [
    ['23', 7, 10],
    ['40', 0, 1],
  ]);
  assert.deepEqual(list(14), [
    ['23', 0, 10],
    ['40', 0, 1],
  ]);
  assert.deepEqual(list(15), [
    ['23', 0, 7],
    ['40', 0, 1],
  ]);
  assert.deepEqual(list(60), [
    ['23', 0, 0],
    ['40', 0, 0],
  ]);
  errors.add({ 23: 111, 40: 1 }, minute(24));
  assert.deepEqual(
    list(24),
    [
      ['23', 1, 1],
      ['40', 0, 0],
    ],
    'a slot that is used again begins at nothing',
  );
});

test('dashboard errors: a class without errors is not shown, and there is an end to classes', () => {
  const errors = new ErrorMinutes();
  errors.add({ 23: 0 }, 0);
  assert.deepEqual(errors.list(0), []);
  errors.add(Object.fromEntries(range(1_000).map((number) => [`E${number}`, 1])), 1);
  assert.ok(errors.list(1).length <= 128);
});

test('dashboard feed: it holds neither the process nor a pool that was forgotten', async (t) => {
  const pool = new FakePool(1);
  let feed = /** @type {Feed | undefined} */ (new Feed(pool.source(), { intervalMs: 1 }));
  await until('it looks by itself', () => pool.looks > 3);
  if (globalThis.gc === undefined) require('node:v8').setFlagsFromString('--expose-gc');
  const gc = globalThis.gc ?? require('node:vm').runInNewContext('gc');
  feed = undefined;
  await until('it has gone', () => {
    gc();
    const { looks } = pool;
    return new Promise((resolve) => setTimeout(() => resolve(pool.looks === looks), 20));
  });
  t.diagnostic(`${pool.looks} looks, ${feed}`);
});

test('dashboard feed: fifteen minutes of three nodes are one message of less than 200 kB', () => {
  const { feed } = story();
  let text = '';
  feed.watch(
    /** @type {any} */ ({ on: () => ({ on: () => {} }), write: (/** @type {Buffer} */ data) => (text += data) }),
  );
  const bytes = Buffer.byteLength(text);
  assert.ok(bytes > 50_000 && bytes < 200_000, `${bytes} bytes`);
});

/** A response whose reader is slow when it is told to be. */
class SlowResponse extends EventEmitter {
  isSlow = false;
  isDestroyed = false;
  /** @type {string[]} */
  written = [];
  /** @param {Buffer} data */
  write(data) {
    this.written.push(data.toString());
    return !this.isSlow;
  }
  destroy() {
    this.isDestroyed = true;
    this.emit('close');
  }
}

test('dashboard viewers: a slow one gets at once what it has missed, and the whole state when that is too much', () => {
  const viewers = new Viewers(() => Buffer.from('hello;'));
  const response = new SlowResponse();
  response.isSlow = true;
  viewers.add(/** @type {any} */ (response));
  const send = (/** @type {number} */ count) => {
    for (const number of range(count)) viewers.send(Buffer.from(`${number};`));
  };
  send(3);
  assert.deepEqual(response.written, ['hello;']);
  response.emit('drain');
  assert.deepEqual(response.written, ['hello;', '0;1;2;']);
  send(61);
  response.isSlow = false;
  response.emit('drain');
  assert.deepEqual(response.written.slice(2), ['hello;']);
  send(1);
  assert.deepEqual(response.written.slice(3), ['0;']);
  assert.equal(viewers.size, 1);
});

test('dashboard viewers: one that reads nothing for half a minute is let go', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const viewers = new Viewers(() => Buffer.from('hello;'));
  const [slow, quick] = [new SlowResponse(), new SlowResponse()];
  slow.isSlow = true;
  for (const response of [slow, quick]) viewers.add(/** @type {any} */ (response));
  for (now = 1_000; now <= 31_000; now += 1_000) viewers.send(Buffer.from('x'));
  assert.deepEqual([slow.isDestroyed, viewers.size], [false, 2]);
  viewers.send(Buffer.from('x'));
  assert.deepEqual([slow.isDestroyed, quick.isDestroyed, viewers.size], [true, false, 1]);
});

test('dashboard viewers: there is an end to viewers', () => {
  const viewers = new Viewers(() => Buffer.from('hello;'));
  for (const _ of range(999)) viewers.add(/** @type {any} */ (new SlowResponse()));
  assert.equal(viewers.isFull, false);
  viewers.add(/** @type {any} */ (new SlowResponse()));
  assert.equal(viewers.isFull, true);
});
