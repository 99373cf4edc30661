'use strict';

// torture.js in short, with two failovers: some hundreds of transactions, and 5,000 with HYPERION_FULL.

const assert = require('node:assert/strict');
const { test } = require('../support/helpers.js');
const { torture } = require('./torture.js');

const FULL = process.env.HYPERION_FULL === '1';
const seed = Number(process.env.HYPERION_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** For a slow machine; what hangs ends earlier, because no call ends. */
const timeout = 1_200_000;
/** Two failovers take longer than `npm test` has for this room. */
const skip = FULL ? undefined : 'npm run test:full';

test(`torture: no transaction is doubled, missing or wrongly reported (seed ${seed})`, { timeout, skip }, async (t) => {
  const { doubled, missing, wrong, unknown, rows, counted, details } = await torture(
    { transactions: 5_000, seed },
    (line) => t.diagnostic(line),
  );
  assert.deepEqual(
    { doubled, missing, wrong, unknown },
    { doubled: 0, missing: 0, wrong: 0, unknown: 0 },
    details.join('\n'),
  );
  assert.equal(counted, rows);
});

test(`torture: without exactlyOnce rows are doubled (seed ${seed})`, { timeout, skip }, async (t) => {
  const { doubled } = await torture({ transactions: 500, seed, isOn: false }, (line) => t.diagnostic(line));
  assert.ok(doubled > 0);
});
