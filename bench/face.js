'use strict';

// `npm run bench:face`: the face of pg beside pg itself, and beside this client's own interface, under W1 to W7.
//
//   node bench/face.js [--rounds 9] [--seconds 1] [--only W1,W7]
//
// The same program runs on pg and on the face: named statements on a pool, COPY by pg-copy-streams. In every round each has its turn
// in a process of its own, in another order each time, and the values that it returns are compared. Printed is, of all rounds, the
// median of the ratio with its quartiles: throughput, and CPU time of the main thread.

const { parseArgs } = require('node:util');
const { startCluster } = require('../test/support/cluster');
const { inChild } = require('./children.js');
const { installPeers } = require('./install.js');
const { LOADS } = require('./loads.js');
const { aligned, rotated, short } = require('./report.js');

const IDS = ['W1', 'W2-64', 'W2-1000', 'W3', 'W4', 'W5', 'W6', 'W7'];
const PEERS = ['pg', 'face', 'hyperion'];

/** @typedef {import('./types').Measurement} Measurement */

/** The value below which a share of the values lies. @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * share)];
}

/** @param {number[]} values */
const shown = (values) =>
  `${quantile(values, 0.5).toFixed(2)} (${quantile(values, 0.25).toFixed(2)}-${quantile(values, 0.75).toFixed(2)})`;

/**
 * @param {Record<string, Measurement>[]} rounds
 * @param {string} one
 * @param {string} other
 * @param {(measured: Measurement) => number} figure
 */
const ratios = (rounds, one, other, figure) => rounds.map((round) => figure(round[one]) / figure(round[other]));

/** @param {Measurement} measured */
const speed = ({ opsPerSecond }) => opsPerSecond;
/** @param {Measurement} measured */
const main = ({ mainUsPerOp }) => /** @type {number} */ (mainUsPerOp);

async function run() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '1' },
      only: { type: 'string' },
    },
  });
  const only = values.only?.split(',') ?? IDS;
  const loads = LOADS.filter(
    ({ id }) => IDS.includes(id) && only.some((name) => id === name || id.startsWith(`${name}-`)),
  );
  installPeers();
  const settings = { shared_buffers: '128MB', max_wal_size: '4GB', jit: false };
  const cluster = await startCluster({ nodes: 1, synchronous: false, settings });
  try {
    const primary = cluster.primary();
    for (const statement of new Set(loads.flatMap(({ setup }) => setup))) await primary.sql(statement);
    const { hosts, user, password, database } = cluster;
    const { host, port } = primary;
    const opening = { hosts, primary: { host, port }, user, password, database };
    const lines = [['load', 'pg, ops/s', 'face / pg', 'main thread, face / pg', 'own interface / face']];
    for (const load of loads) {
      /** @type {Record<string, Measurement>[]} */
      const rounds = [];
      let expected;
      for (let n = 0; n < Number(values.rounds); n++) {
        /** @type {Record<string, Measurement>} */
        const round = {};
        for (const peer of rotated(PEERS, n)) {
          for (const statement of load.before ?? []) await primary.sql(statement);
          const time = { seconds: Number(values.seconds), warmupSeconds: 0.7 };
          const job = { peer, load: load.id, opening: { ...opening, connections: load.connections }, ...time };
          const answer = await inChild(job);
          expected ??= answer.values;
          if (answer.values !== expected) throw new Error(`${load.id}: ${peer} returns other values`);
          round[peer] = answer.measured;
        }
        rounds.push(round);
      }
      const times = [
        shown(ratios(rounds, 'face', 'pg', speed)),
        shown(ratios(rounds, 'face', 'pg', main)),
        shown(ratios(rounds, 'hyperion', 'face', speed)),
      ];
      lines.push([
        load.id,
        short(
          quantile(
            rounds.map((round) => speed(round.pg)),
            0.5,
          ),
        ),
        ...times,
      ]);
      console.log(lines.at(-1)?.join('  '));
    }
    console.log(`\n${aligned(lines).join('\n')}`);
  } finally {
    await cluster.stop();
  }
}

run().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
