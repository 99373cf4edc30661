'use strict';

// Waves of processes that freeze with their sessions open, more in all than the server can hold: with leases each is served, without
// them the server is full at last. `npm run bench:storm` is the same with more of everything.

const assert = require('node:assert/strict');
const { test, useCluster } = require('../support/helpers.js');
const { SECRET } = require('./clients.js');
const { runStorm, slotsOf } = require('./storm.js');

const db = useCluster({ nodes: 1, synchronous: false, settings: { max_connections: 10 } });

/** More processes than slots: a wave fits in with the two before it, and not with the three before it. */
const STORM = /** @type {const} */ ({
  client: 'hyperion',
  waves: 5,
  processes: 2,
  everyMs: 400,
  pace: 'one-by-one',
});
/** Nobody waits for so long where slots become free; who waits for nothing should give up soon. */
const [LONG_MS, SHORT_MS] = [10_000, 1_500];
const LEASE = {
  coordinationSecret: SECRET,
  leaseTtlMs: 300,
  minConnectionIdleTimeSec: 0,
  reaperRunProbability: 1,
};

test('storm: with leases each wave of processes that freeze is served, and no 53300 reaches any', async (t) => {
  const { waves, samples } = await runStorm(db.cluster, {
    ...STORM,
    options: LEASE,
    work: 0,
    patienceMs: LONG_MS,
  });
  const slots = await slotsOf(db.cluster);
  assert.ok(STORM.waves * STORM.processes > slots);
  const told = waves.map(({ endings }) => endings.filter(({ failed }) => failed !== undefined));
  assert.deepEqual(told.flat(), []);
  assert.deepEqual(
    waves.map(({ served }) => served),
    waves.map(() => STORM.processes),
  );
  const longest = Math.max(...waves.flatMap(({ endings }) => endings.map(({ served = 0 }) => served)));
  t.diagnostic(
    `at most ${Math.max(...samples.map(({ sessions }) => sessions))} sessions, longest wait ${longest.toFixed()} ms`,
  );
});

test('storm: without leases the last waves get 53300', async () => {
  const { waves } = await runStorm(db.cluster, {
    ...STORM,
    options: { leaseMode: 'optional' },
    work: 0,
    patienceMs: SHORT_MS,
  });
  const slots = await slotsOf(db.cluster);
  const served = waves.reduce((sum, wave) => sum + wave.served, 0);
  assert.ok(served <= slots, `${served} processes were served, and the server has ${slots} slots`);
  assert.ok(waves[waves.length - 1].refused > 0, JSON.stringify(waves[waves.length - 1].endings));
});
