'use strict';

// Ten thousand sessions with servers whose bytes are changed, cut, doubled, lost or exchanged: hostile/sessions.js. Wrong values
// are allowed then; a hang, a crash, a leak and an error of another class are not. HYPERION_SEED repeats the choices of a run, and
// `npm run test:hostile -- --seed N --only M` one session of it.

const assert = require('node:assert/strict');
const { seedFrom } = require('../chaos/random');
const { test } = require('../support/helpers');
const { runSessions } = require('./hostile/sessions');

const SESSIONS = 10_000;
const MOST_MB = 64;

const SEED = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
console.log(`hostile sessions: HYPERION_SEED=${SEED} repeats the choices`);

test(`hostile server: ${SESSIONS} mutated sessions hang, crash and leak nothing`, { timeout: 900_000 }, async (t) => {
  const { wrong, stderr, exit, open, warmMb, peakMb, values, errors, codes, ms } = await runSessions({
    sessions: SESSIONS,
    seed: SEED,
  });
  t.diagnostic(`seed ${SEED}: ${values} promises fulfilled, ${errors} rejected: ${JSON.stringify(codes)}`);
  t.diagnostic(`RSS ${warmMb} MB warm, ${peakMb} MB at the peak; ${Math.round(ms / 1000)} s`);
  const again = wrong.map(({ session, what }) => `--seed ${SEED} --only ${session}: ${what}`);
  assert.deepEqual({ again, stderr, exit, open }, { again: [], stderr: '', exit: 0, open: 0 });
  // If mutations changed nothing, or if everything failed, this test would prove nothing.
  assert.ok(values > SESSIONS && errors > SESSIONS, `${values} fulfilled, ${errors} rejected`);
  assert.ok(peakMb - warmMb <= MOST_MB, `the client grew by ${peakMb - warmMb} MB`);
});
