'use strict';

// torture.js in short: a transaction for each of 1,000 callers; with HYPERION_FULL deeper ones, for 60 s.

const assert = require('node:assert/strict');
const { test } = require('../support/helpers');
const { torture } = require('./torture');
const { seedFrom } = require('../chaos/random');

const FULL = process.env.HYPERION_FULL === '1';
/** What takes some seconds. */
const SHORT = { deepest: 3, longest: 1 };
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');

test('torture: 1,000 ambient transactions at a time, at random, keep to themselves', {
  timeout: 300_000,
}, async (t) => {
  const log = (/** @type {string} */ line) => t.diagnostic(line);
  const { rows, counts, wrong } = await torture(
    { seconds: FULL ? 60 : 0, ...(FULL ? {} : SHORT), concurrent: 1_000, seed, ambient: true },
    log,
  );
  for (const [what, count] of Object.entries(wrong)) assert.equal(count, 0, `${what}: ${count} with seed ${seed}`);
  assert.ok(rows > 500 && counts.attempts >= 1_000, `${rows} rows of ${counts.attempts} attempts`);
});

test('torture: without ambient it finds statements in the wrong transaction', { timeout: 120_000 }, async (t) => {
  const log = (/** @type {string} */ line) => t.diagnostic(line);
  const { wrong } = await torture({ seconds: 0, concurrent: 20, seed: 1, ambient: false }, log);
  assert.ok(
    wrong.inTheWrongTransaction > 0 && wrong.ofWhatWasUndone > 0 && wrong.unexpected > 0,
    JSON.stringify(wrong),
  );
});
