'use strict';

// The faults of the cluster while the load runs. The harness acts as the failover manager; the pool gets no hint.

const { setTimeout: sleep } = require('node:timers/promises');
const { withConnection } = require('../../exports/testing/cluster/sql.js');
const { until } = require('../../exports/testing/cluster/until.js');

/** @typedef {import('../../test/support/cluster').Cluster} Cluster */
/** @typedef {import('../../test/support/cluster').Node} Node */
/** @typedef {import('./figures.js').Episode} Episode */

/**
 * @typedef {object} Stage
 * @property {Cluster} cluster
 * @property {import('./figures.js').Episodes} episodes
 * @property {(text: string) => void} now what is happening
 * @property {(text: string) => void} happened
 */

/** About how long the scenario takes. */
const TOTAL_MS = 16_000;
/** The time until a node is promoted: a manager needs a moment to decide. */
const INDECISION_MS = 600;

/** @param {Stage} stage */
async function play(stage) {
  const { cluster, now, happened } = stage;
  const first = cluster.primary();
  now('steady load; every write waits for a standby (synchronous replication)');
  await sleep(4_500);

  let episode = stage.episodes.begin(`switchover (${first.name} fenced)`);
  now(`${first.name} is fenced: it keeps its sessions and refuses writes`);
  await first.fence();
  happened(`fenced ${first.name}: default_transaction_read_only = on`);
  await sleep(INDECISION_MS);
  const second = await promote(stage, episode);
  now(`steady load on ${second.name}`);
  await sleep(2_000);

  now(`${first.name} comes back as a standby of ${second.name} (base backup)`);
  await first.rejoin(second);
  happened(`${first.name} is a standby of ${second.name}`);
  now(`steady load on ${second.name}`);
  await sleep(2_500);

  episode = stage.episodes.begin(`crash of ${second.name}`);
  now(`${second.name} has crashed, and nobody is the primary`);
  await second.crash();
  happened(`crashed ${second.name}: all its processes killed at once`);
  await sleep(INDECISION_MS);
  const third = await promote(stage, episode);
  now(`steady load on ${third.name}`);
  await sleep(4_500);
}

/**
 * Promotes the most advanced standby and lets the other follow it.
 * @param {Stage} stage
 * @param {Episode} episode
 * @returns {Promise<Node>}
 */
async function promote({ cluster, now, happened }, episode) {
  const next = await cluster.mostAdvanced();
  episode.promoted = next.name;
  now(`${next.name}, the most advanced standby, is being promoted`);
  await Promise.all([
    cluster.failover(next),
    firstDirectWrite(next).then((at) => {
      episode.acceptedAt = at;
      happened(`${next.name} is the primary: it accepts writes`);
    }),
  ]);
  return next;
}

/**
 * When the node accepts writes, without asking the pool: a session of our own tries it all the time.
 * @param {Node} node
 * @returns {Promise<number>}
 */
function firstDirectWrite(node) {
  return withConnection(node.login, (query) =>
    until(
      `${node.name} accepts writes`,
      async () => {
        await query('INSERT INTO demo_probe DEFAULT VALUES');
        return performance.now();
      },
      { everyMs: 2 },
    ),
  );
}

module.exports = { INDECISION_MS, TOTAL_MS, play };
