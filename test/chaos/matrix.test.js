'use strict';

// Every fault of a cluster under every kind of work of a pool. Each fault runs under all kinds of load at once, and each kind is
// judged by itself. HYPERION_SEED repeats the choices of a run.

const assert = require('node:assert/strict');
const { after } = require('node:test');
const { test } = require('../support/helpers');
const { UnsupportedError } = require('../support/cluster');
const { FAULTS } = require('./faults');
const { Random, seedFrom } = require('./random');
const { line } = require('./report');
const { Scene, startStage } = require('./scene');

const SEED = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
const AGAIN = `HYPERION_SEED=${SEED} repeats the choices`;
console.log(`chaos: ${AGAIN}`);

/** One cluster serves the faults as long as they leave it whole. @type {import('./scene').Stage | null} */
let stage = null;
after(() => stage?.stop());

/** @param {import('./faults').Fault} fault */
async function wholeStage({ needs }) {
  stage ??= await startStage();
  const { cluster } = stage;
  for (const operation of [...needs, 'rejoin']) {
    if (!cluster.capabilities.has(operation)) throw new UnsupportedError(operation, 'see cluster.capabilities');
  }
  return stage;
}

for (const fault of FAULTS) {
  test(`chaos: ${fault.name}`, { timeout: 120_000 }, async (t) => {
    const whole = await wholeStage(fault);
    // While this fault runs, and after it has failed, the next one makes a cluster of its own.
    stage = null;
    let isWhole = false;
    t.after(async () => {
      if (!isWhole) await whole.stop();
    });
    const { proxied = false, moves } = fault;
    const scene = await Scene.open(whole, { proxied, random: new Random(SEED).fork(fault.name) });
    t.after(() => scene.end());

    const before = scene.primary;
    await scene.play(fault);
    const verdict = await scene.verdict(fault);
    t.diagnostic(line(fault.name, scene.load, verdict));

    assert.deepEqual(verdict.violations, [], AGAIN);
    const now = scene.primary;
    if (moves !== undefined) assert.equal(now !== before, moves);
    assert.equal(scene.told.at(-1), scene.addressOf(now), 'the last primary the pool told of');
    assert.deepEqual({ role: scene.seen(now).role, state: scene.seen(now).state }, { role: 'primary', state: 'up' });
    await scene.end();
    await whole.restore();
    isWhole = true;
    stage = whole;
  });
}
