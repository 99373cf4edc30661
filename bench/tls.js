'use strict';

// What TLS costs: W1 and W2-64 (loads.js) without it and with it, by this client and two peers, on one server.
//
//   node bench/tls.js [--rounds 5] [--turns 8] [--seconds 0.25] [--peers hyperion,pg,postgres]
//
// In every round each client has a process of its own, in which the two ways take turns, many and short ones (turns.js): only
// what is measured within a second of each other is compared, so that a slow moment of the machine hits both. Certificates are
// ECDSA P-256, verified by name (verify-full); the server takes each of the two roles in one way only, so that nobody is
// measured who is not encrypted.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { startCluster } = require('../test/support/cluster');
const { makePki } = require('../test/support/cluster/certificates');
const { answerOf } = require('./children.js');
const { installPeers } = require('./install.js');
const { LOADS } = require('./loads.js');
const { OURS, aligned, rotated, short, spread } = require('./report.js');

/** @typedef {import('./report').Spread} Spread */
/** @typedef {import('./turns').Pair} Pair */
/** @typedef {import('./turns').Answer} Answer */

const TURNS = path.join(__dirname, 'turns.js');
const PEERS = [OURS, 'pg', 'postgres'];
const ROLES = /** @type {const} */ ({ plain: 'bench_plain', tls: 'bench_tls' });
const HBA = [
  `hostssl all ${ROLES.tls} 127.0.0.1/32 scram-sha-256`,
  `hostnossl all ${ROLES.plain} 127.0.0.1/32 scram-sha-256`,
];
const PASSWORD = 'bench';

/** What we want to reach: TLS costs this share at most, of what the load is about. */
const MOST = 0.1;

/** @type {{ id: string, figure: 'opsPerSecond' | 'p50Ms', title: string }[]} */
const COMPARED = [
  { id: 'W1', figure: 'p50Ms', title: 'W1: point select, 1 in flight, p50 latency in ms' },
  { id: 'W2-64', figure: 'opsPerSecond', title: 'W2-64: point select, 64 in flight, operations/s' },
];

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      turns: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '0.25' },
      peers: { type: 'string', default: PEERS.join() },
    },
  });
  const [rounds, turns, seconds] = [Number(values.rounds), Number(values.turns), Number(values.seconds)];
  for (const [name, value] of Object.entries({ rounds, turns })) {
    if (!(Number.isInteger(value) && value > 0)) throw new Error(`--${name} must be a whole number from 1`);
  }
  if (!(seconds > 0)) throw new Error('--seconds must be a number greater than 0');
  const peers = values.peers.split(',');
  for (const peer of peers) {
    if (!PEERS.includes(peer)) throw new Error(`--peers: '${peer}' is none of ${PEERS.join(', ')}`);
  }
  return { rounds, turns, seconds, peers };
}

/**
 * @param {import('../test/support/cluster').Cluster} cluster
 * @param {string} ca
 */
function openings(cluster, ca) {
  const { host, port } = cluster.primary();
  const { hosts, database } = cluster;
  const opening = { hosts, primary: { host, port }, password: PASSWORD, database, connections: 0 };
  return {
    plain: { ...opening, user: ROLES.plain, tls: /** @type {const} */ (false) },
    tls: { ...opening, user: ROLES.tls, tls: { ca } },
  };
}

/** How much more time an operation takes by TLS, as a share. @param {Pair} pair @param {'opsPerSecond' | 'p50Ms'} figure */
function cost({ plain, tls }, figure) {
  const [without, by] = [plain[figure], tls[figure]].map((value) => value ?? Number.NaN);
  return figure === 'p50Ms' ? by / without - 1 : 1 - by / without;
}

/** @param {number} share */
const percent = (share) => `${share >= 0 ? '+' : '-'}${Math.abs(share * 100).toFixed(1)}%`;

/**
 * @param {Record<string, Pair[]>} pairs of each client
 * @param {'opsPerSecond' | 'p50Ms'} figure
 */
function table(pairs, figure) {
  const of = (/** @type {Pair[]} */ rounds, /** @type {(pair: Pair) => number | undefined} */ value) =>
    spread(rounds.map((pair) => value(pair) ?? Number.NaN));
  return aligned([
    ['', 'plain', 'TLS', 'TLS costs', 'half of them', 'us/op plain', 'TLS'],
    ...Object.entries(pairs).map(([peer, rounds]) => {
      const costs = rounds.map((pair) => cost(pair, figure)).sort((a, b) => a - b);
      const quartile = (/** @type {number} */ share) => percent(costs[Math.round((costs.length - 1) * share)]);
      return [
        peer,
        short(of(rounds, ({ plain }) => plain[figure]).median),
        short(of(rounds, ({ tls }) => tls[figure]).median),
        percent(spread(costs).median),
        `${quartile(0.25)}..${quartile(0.75)}`,
        short(of(rounds, ({ plain }) => plain.cpuUsPerOp).median),
        short(of(rounds, ({ tls }) => tls.cpuUsPerOp).median),
      ];
    }),
  ]);
}

async function main() {
  const { rounds, turns, seconds, peers } = options();
  installPeers();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-bench-tls-'));
  const pki = await makePki(folder);
  const cluster = await startCluster({
    nodes: 1,
    synchronous: false,
    settings: { shared_buffers: '128MB', max_wal_size: '4GB', jit: false },
    tls: pki.servers.good,
    hba: HBA,
  });
  try {
    const primary = cluster.primary();
    for (const role of Object.values(ROLES))
      await primary.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}' IN ROLE pg_read_all_data`);
    const loads = LOADS.filter(({ id }) => COMPARED.some((compared) => compared.id === id));
    for (const statement of new Set(loads.flatMap(({ setup }) => setup))) await primary.sql(statement);
    const ways = openings(cluster, pki.ca.pem);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}`);
    console.log(`${rounds} rounds of ${turns} turns, ${seconds} s for each way`);

    /** @type {Record<string, Record<string, Pair[]>>} load to client to rounds */
    const measured = {};
    /** @type {string | undefined} */
    let library;
    for (let round = 0; round < rounds; round++) {
      for (const { id } of COMPARED) {
        for (const peer of rotated(peers, round)) {
          const job = { peer, load: id, openings: ways, turns, seconds };
          const answer = /** @type {Answer} */ (await answerOf(job, TURNS));
          measured[id] ??= {};
          measured[id][peer] = [...(measured[id][peer] ?? []), ...answer.pairs];
          library ??= answer.library;
        }
      }
    }
    for (const { id, figure, title } of COMPARED) {
      console.log(
        `\n${title}\n\n${table(measured[id], figure)
          .map((line) => `  ${line}`)
          .join('\n')}`,
      );
      if (!peers.includes(OURS)) continue;
      const { median } = spread(measured[id][OURS].map((pair) => cost(pair, figure)));
      console.log(
        `  target: TLS costs at most ${percent(MOST)}: ${percent(median)}, ${median <= MOST ? 'met' : 'MISSED'}`,
      );
    }
    // A debug build would be an unfair witness against us.
    if (library)
      console.log(`\nNative library: ${path.basename(library)}, ${short(fs.statSync(library).size / 2 ** 20)} MB`);
  } finally {
    await cluster.stop();
    fs.rmSync(folder, { recursive: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
