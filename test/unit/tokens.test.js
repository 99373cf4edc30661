'use strict';

// Consistency tokens: their form, and which of two is later.

const assert = require('node:assert/strict');
const { isToken, laterToken } = require('../../lib/values/token.js');
const { test } = require('../support/helpers.js');

test('a token is system-timeline-lsn in lower-case hex', () => {
  for (const token of ['0-1-0', '6f3a21b09c7d4e55-1-3000148', `${'f'.repeat(16)}-${'f'.repeat(8)}-${'f'.repeat(16)}`]) {
    assert.ok(isToken(token), token);
  }
  const others = [
    '',
    '1-1',
    '1-1-1-1',
    '1-1-',
    'A-1-1',
    'g-1-1',
    '1-1-0/3000148',
    ' 1-1-1',
    '1-1-1\n',
    '0x1-1-1',
    `${'f'.repeat(17)}-1-1`,
    `1-${'f'.repeat(9)}-1`,
    `1-1-${'f'.repeat(17)}`,
    '-1-1-1',
    null,
    undefined,
    5,
    {},
    ['1-1-1'],
    new String('1-1-1'),
  ];
  for (const other of others) assert.ok(!isToken(other), String(other));
});

// Both, and which of them is later.
const LATER = /** @type {[string, string, string][]} */ ([
  ['5-1-10', '5-1-11', '5-1-11'],
  // By number, not by text.
  ['5-1-9', '5-1-10', '5-1-10'],
  ['5-9-1', '5-10-1', '5-10-1'],
  // A timeline decides before a position.
  ['5-2-1', '5-1-ffffffff', '5-2-1'],
  // Beyond the integers of a double.
  ['5-1-fffffffffffffffe', '5-1-ffffffffffffffff', '5-1-ffffffffffffffff'],
  // Of an unknown system.
  ['0-1-10', '5-1-11', '5-1-11'],
  ['0-1-12', '5-1-11', '0-1-12'],
]);
for (const [a, b, later] of LATER) {
  test(`of ${a} and ${b} the later is ${later}`, () => {
    assert.equal(laterToken(a, b), later);
    assert.equal(laterToken(b, a), later);
  });
}

test('of tokens of two clusters the given one is taken, so that its cluster is refused', () => {
  assert.equal(laterToken('5-1-ff', '6-1-1'), '6-1-1');
  assert.equal(laterToken('6-1-1', '5-1-ff'), '5-1-ff');
});

test('the first token is the later one', () => assert.equal(laterToken(undefined, '5-1-1'), '5-1-1'));
