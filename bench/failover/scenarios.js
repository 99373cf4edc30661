'use strict';

// The scenarios. A manager needs time to notice a fault; here that time is always the same, so that only the clients
// differ. The new primary is always the most advanced standby.

const { setTimeout: sleep } = require('node:timers/promises');
const { waitUntilCaughtUp } = require('../../exports/testing/cluster/replication.js');
const { until } = require('../../exports/testing/cluster/until.js');
const { now } = require('./load.js');

/** @typedef {import('../../test/support/cluster').Cluster} Cluster */
/** @typedef {import('../../test/support/cluster').Node} Node */

/** From the fence to the promotion: running statements may finish. */
const FENCED_MS = 500;
/** From the promotion to the stop of the old primary. */
const OLD_STAYS_MS = 1_000;
/** From a failure to the promotion. */
const NOTICED_MS = 3_000;
/** From the promotion to the moment at which a frozen primary goes on. */
const FROZEN_MS = 5_000;

/** Promotes, and sees when the new primary acknowledges a write. @param {Cluster} cluster @param {Node} next */
async function promote(cluster, next) {
  const healed = until(`${next.name} accepts writes`, () => next.sql('INSERT INTO probe DEFAULT VALUES').then(now), {
    everyMs: 20,
  });
  await cluster.failover(next);
  const promotedAt = now();
  // The probe was faster where it could write before the other standby followed.
  const healedAt = await healed;
  return { promotedAt: Math.min(promotedAt, healedAt), healedAt };
}

/** @type {import('./types').Scenario['play']} */
async function switchover(cluster) {
  const faultAt = now();
  const old = cluster.primary();
  await old.fence();
  await sleep(FENCED_MS);
  const next = await cluster.mostAdvanced();
  await waitUntilCaughtUp(next, old);
  const promoted = await promote(cluster, next);
  await sleep(OLD_STAYS_MS);
  await old.stop('fast');
  return { faultAt, ...promoted, overAt: now() };
}

/** @type {import('./types').Scenario['play']} */
async function kill(cluster) {
  const faultAt = now();
  await cluster.primary().crash();
  await sleep(NOTICED_MS);
  const promoted = await promote(cluster, await cluster.mostAdvanced());
  return { faultAt, ...promoted, overAt: now() };
}

/** @type {import('./types').Scenario['play']} */
async function freeze(cluster) {
  const faultAt = now();
  const old = cluster.primary();
  await old.freeze();
  await sleep(NOTICED_MS);
  const promoted = await promote(cluster, await cluster.mostAdvanced());
  await sleep(FROZEN_MS);
  await old.thaw();
  return { faultAt, ...promoted, overAt: now() };
}

/** @type {import('./types').Scenario['play']} */
async function split(cluster) {
  const faultAt = now();
  const promoted = await promote(cluster, await cluster.mostAdvanced());
  return { faultAt, ...promoted, overAt: now() };
}

/** @type {import('./types').Scenario[]} */
exports.SCENARIOS = [
  {
    id: 'switchover',
    title: `switchover: fenced, ${FENCED_MS / 1000} s later a standby promoted, ${OLD_STAYS_MS / 1000} s later the old primary stopped`,
    synchronous: true,
    play: switchover,
  },
  {
    id: 'kill',
    title: `kill: the primary crashes, ${NOTICED_MS / 1000} s later a standby is promoted`,
    synchronous: true,
    play: kill,
  },
  {
    id: 'freeze',
    title: `freeze: the primary stops answering (SIGSTOP), ${NOTICED_MS / 1000} s later a standby is promoted, ${FROZEN_MS / 1000} s later the old primary goes on`,
    synchronous: true,
    play: freeze,
  },
  {
    id: 'freeze-async',
    title:
      'freeze-async: the same with asynchronous replication, where the old primary can acknowledge what nobody else has',
    synchronous: false,
    play: freeze,
  },
  {
    id: 'split-async',
    title:
      'split-async: a standby is promoted and nobody stops the old primary, which goes on accepting writes (its manager has died); asynchronous replication',
    synchronous: false,
    play: split,
  },
];
