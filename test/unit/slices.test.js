'use strict';

const assert = require('node:assert/strict');
const { setImmediate: nextTurn } = require('node:timers/promises');
const { Slices } = require('../../lib/core/slices.js');
const { test } = require('../support/helpers.js');

/** Longer than a slice. */
const LONG_MS = 8;

/** @param {number} ms */
function block(ms) {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** What happened, in its order, and a timer that is due after a millisecond. */
function recorded() {
  /** @type {string[]} */
  const order = [];
  const note = (/** @type {string} */ what) => () => order.push(what);
  return { order, slices: new Slices(note('read')), timer: () => setTimeout(note('timer'), 1) };
}

test('slices: a small result is read at once, also behind a large one', () => {
  const { order, slices } = recorded();
  slices.wake();
  slices.isLarge = true;
  assert.ok(slices.begin() > performance.now());
  slices.wake();
  assert.deepEqual(order, ['read', 'read']);
});

test('slices: the next slice comes in the next turn of the event loop', async () => {
  const { order, slices } = recorded();
  slices.pause();
  assert.deepEqual(order, []);
  // On a busy machine the first turn may be a long one.
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  assert.deepEqual(order, ['read']);
});

test('slices: a timer that is due after a long turn runs before the next slice', async () => {
  const { order, slices, timer } = recorded();
  setImmediate(() => {
    timer();
    block(LONG_MS);
  });
  slices.pause();
  for (let turn = 0; turn < 4; turn++) await nextTurn();
  assert.deepEqual(order, ['timer', 'read']);
});

test('slices: what the core reports within a large result waits for the end of a turn', async () => {
  const { order, slices, timer } = recorded();
  slices.isLarge = true;
  slices.wake();
  setImmediate(() => {
    timer();
    block(LONG_MS);
  });
  assert.deepEqual(order, []);
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  assert.deepEqual(order, ['timer', 'read']);
});

test('slices: a loop whose turns are all long does not hold a result up', async () => {
  const { order, slices } = recorded();
  let turns = 0;
  const busy = () => {
    block(LONG_MS);
    if (++turns < 10) setImmediate(busy);
  };
  setImmediate(busy);
  slices.pause();
  while (order.length === 0) await nextTurn();
  assert.ok(turns <= 4, `after ${turns} turns`);
});
