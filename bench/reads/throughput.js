'use strict';

// How many point selects a second, 64 in flight: `pool.read` over two standbys with each strategy, beside `pool.query` on the primary
// alone, and peers. All of them have their connections open in one process; those whose turn it is not have nothing to do.
//
// On one machine two standbys add no processor, so the ratio cannot be above 1 by much. What limits it is in the last columns: how
// many processors' worth of time the client and each node took.

const os = require('node:os');
const { LOADS } = require('../loads.js');
const { steady } = require('../measure.js');
const { aligned, short } = require('../report.js');
const { alternate, medianOf, middleOf } = require('./alternation.js');
const { beginServerCpu } = require('./server-cpu.js');
const { BASE, WAYS } = require('./ways.js');

/** @typedef {import('./types').ThroughputTurn} Turn */
/** @typedef {import('./types').ThroughputRound} Round */
/** @typedef {import('./ways').Way} Way */

const IN_FLIGHT = 64;
const load = /** @type {import('../types').Load} */ (LOADS.find(({ id }) => id === 'W2-64'));

/** Before the first turn, and before each. */
const WARMUP_SECONDS = 0.5;
const START_SECONDS = 0.03;
/** Reads whose nodes are looked at. */
const LOOKED_AT = 200;

/** From this share of a processor, or of all, on they are said to be what limits a way. */
const FULL = 0.9;

/** The standbys answer, not the primary: or else something else is measured. @param {Way} way @param {string} name @param {string} primary */
async function expectStandbys({ pool }, name, primary) {
  if (pool === undefined) return;
  const answers = await Promise.all(Array.from({ length: LOOKED_AT }, () => pool.read('SELECT 1 AS one')));
  const byPrimary = answers.filter(({ node }) => node === primary).length;
  if (byPrimary > 0) throw new Error(`${name}: the primary has answered ${byPrimary} of ${LOOKED_AT} reads`);
}

/**
 * @param {import('./types').Opening} opening
 * @param {import('./types').Time} time
 * @returns {Promise<Round>}
 */
async function execute(opening, { turns, seconds }) {
  /** @type {Record<string, Way>} */
  const ways = {};
  try {
    for (const [name, open] of Object.entries(WAYS)) ways[name] = await open(opening);
    const operations = Object.fromEntries(
      Object.entries(ways).map(([name, way]) => [name, load.open(/** @type {any} */ (way))]),
    );
    for (const [name, way] of Object.entries(ways)) {
      await steady(operations[name], load, { inFlight: IN_FLIGHT, seconds: 0.05, warmupSeconds: WARMUP_SECONDS });
      await expectStandbys(way, name, opening.hosts[0]);
    }
    return await alternate(Object.keys(ways), turns, (name) => measure(operations[name], opening.nodes, seconds));
  } finally {
    for (const way of Object.values(ways)) await way.close();
  }
}

/**
 * @param {(n: number) => PromiseLike<import('../types').Result>} operation
 * @param {import('./types').Node[]} nodes
 * @param {number} seconds
 * @returns {Promise<Turn>}
 */
async function measure(operation, nodes, seconds) {
  let started = 0;
  const counted = (/** @type {number} */ n) => {
    started++;
    return operation(n);
  };
  const end = beginServerCpu(nodes);
  const measured = await steady(counted, load, { inFlight: IN_FLIGHT, seconds, warmupSeconds: START_SECONDS });
  // All that was started has ended: `steady` waits for it.
  const servers = end()?.map((us) => us / started);
  const { opsPerSecond, p99Ms = Number.NaN, cpuUsPerOp = Number.NaN, mainUsPerOp = Number.NaN } = measured;
  const { eventLoopUtilization = Number.NaN } = measured;
  return { opsPerSecond, p99Ms, cpuUsPerOp, mainUsPerOp, eventLoopUtilization, serversUsPerOp: servers };
}

/** Processors' worth of time that something takes which costs so much an operation. @param {Turn} turn @param {number} usPerOp */
const busy = ({ opsPerSecond }, usPerOp) => (opsPerSecond * usPerOp) / 1e6;

/** @param {number[]} values */
const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** What limits a way, as far as these figures tell. @param {Turn[]} turns */
function limitOf(turns) {
  const median = (/** @type {(turn: Turn) => number} */ figure) => medianOf(turns.map(figure));
  const all = median((turn) => busy(turn, turn.cpuUsPerOp + total(turn.serversUsPerOp ?? [Number.NaN])));
  return [
    median((turn) => turn.eventLoopUtilization) >= FULL ? 'event loop' : '',
    all >= FULL * os.availableParallelism() ? 'processors' : '',
  ]
    .filter(Boolean)
    .join(' and ');
}

/** @param {Round[]} rounds */
function report(rounds) {
  const turns = rounds.flat();
  const lines = Object.keys(turns[0]).map((name) => {
    const own = turns.map(({ [name]: turn }) => turn);
    const median = (/** @type {(turn: Turn) => number} */ figure) => medianOf(own.map(figure));
    const ratios = turns.map(({ [name]: turn, [BASE]: base }) => turn.opsPerSecond / base.opsPerSecond);
    const server = (/** @type {(servers: number[]) => number} */ figure) =>
      own.every(({ serversUsPerOp }) => serversUsPerOp)
        ? median(({ serversUsPerOp = [] }) => figure(serversUsPerOp)).toFixed(1)
        : '';
    const cores = (/** @type {(turn: Turn) => number} */ usPerOp) =>
      median((turn) => busy(turn, usPerOp(turn))).toFixed(2);
    const node = (/** @type {number} */ index) =>
      own.every(({ serversUsPerOp }) => serversUsPerOp)
        ? cores(({ serversUsPerOp = [] }) => serversUsPerOp[index])
        : '';
    return [
      name,
      short(median(({ opsPerSecond }) => opsPerSecond)),
      name === BASE ? '' : middleOf(ratios),
      short(median(({ p99Ms }) => p99Ms)),
      median(({ cpuUsPerOp }) => cpuUsPerOp).toFixed(1),
      median(({ mainUsPerOp }) => mainUsPerOp).toFixed(1),
      server(total),
      median(({ eventLoopUtilization }) => eventLoopUtilization).toFixed(2),
      cores(({ cpuUsPerOp }) => cpuUsPerOp),
      node(0),
      node(1),
      node(2),
      limitOf(own),
    ];
  });
  return [
    ...aligned([
      [
        '',
        'ops/s',
        'x query, primary',
        'p99 ms',
        'us/op',
        'main',
        'servers',
        'loop',
        'client',
        'n1',
        'n2',
        'n3',
        'full',
      ],
      ...lines,
    ]),
    '',
    `x query, primary: throughput against it, turn by turn (half of all ${turns.length} turns).`,
    'us/op: CPU time of the client for an operation; main: of its JavaScript thread; servers: of all nodes.',
    `loop: event-loop utilisation. client, n1 (the primary), n2, n3: processors in use, of ${os.availableParallelism()}.`,
    `full: what is in use by ${FULL * 100} % or more.`,
  ];
}

/** @type {import('./types').Part<Round>} */
module.exports = {
  id: 'throughput',
  title: `throughput: point select, ${IN_FLIGHT} in flight`,
  seconds: 0.25,
  execute,
  report,
};
