'use strict';

// What `hedgeMs` is worth, and what it costs: reads at a fixed rate while one of two standbys holds back some of its answers by 200 ms
// (slow-proxy.js), without hedging and with it by turns. Both ways of a turn meet the same draws.
//
// Two scenarios. In the first one 1 of 100 answers of one standby is held back: about 1 of 200 reads, so p99 cannot show it, p99.9
// does. In the second one it is 5 of 100, so that p99 shows it, under a strategy that does not look at latency or load: what differs
// between the ways is then due to hedging alone.
//
// The rate is an open loop: a read begins when it is due, whatever became of those before it, and its latency counts from then on. A
// closed loop would send less while answers are held back, and so hide what it is to measure. The timer of Node.js is good to a
// millisecond, so a read is sent half a millisecond late; that stands in both ways.

const { setTimeout: sleep } = require('node:timers/promises');
const { createPool } = require('../../client.js');
const { LOADS } = require('../loads.js');
const { aligned, short } = require('../report.js');
const { alternate, ascending, medianOf, percent, quantile, ratioOf } = require('./alternation.js');
const { HOLD_MS, startSlowProxy } = require('./slow-proxy.js');

/** @typedef {import('./types').HedgingWay} Measured */
/** @typedef {import('./types').HedgingRound} Round */
/** @typedef {import('./types').Counts} Counts */
/** @typedef {{ latencies: number[], late: number[], failures: unknown[] }} Sent */

/** Reads a second: far from any limit, so that what is measured is waiting. */
const RATE = 500;
const HEDGE_MS = 5;
const WARMUP_SECONDS = 0.5;
/** After a turn: until nothing that was held back is on its way any more. */
const PAUSE_MS = HOLD_MS + 50;
const SEED = 1;

const WAYS = /** @type {const} */ (['without', 'with']);

/** @type {{ id: string, share: number, balance: 'least-connections' | 'round-robin' }[]} */
const SCENARIOS = [
  { id: 'rare', share: 0.01, balance: 'least-connections' },
  { id: 'often', share: 0.05, balance: 'round-robin' },
];

const load = /** @type {import('../types').Load} */ (LOADS.find(({ id }) => id === 'W2-64'));

/**
 * Runs an operation at the fixed rate, and waits for all answers.
 * @param {(n: number) => PromiseLike<unknown>} operation
 * @param {number} seconds
 */
async function atRate(operation, seconds) {
  const gap = 1000 / RATE;
  const count = Math.max(1, Math.round(RATE * seconds));
  /** @type {Sent} */
  const sent = { latencies: [], late: [], failures: [] };
  const read = async (/** @type {number} */ n, /** @type {number} */ due) => {
    sent.late.push(performance.now() - due);
    try {
      await operation(n);
      sent.latencies.push(performance.now() - due);
    } catch (error) {
      sent.failures.push(error);
    }
  };
  const reads = [];
  const start = performance.now();
  for (let n = 0; n < count; ) {
    while (n < count && start + n * gap <= performance.now()) {
      reads.push(read(n, start + n * gap));
      n++;
    }
    await sleep(1);
  }
  await Promise.all(reads);
  return sent;
}

/**
 * @param {import('./types').Opening} opening
 * @param {import('./types').Time} time
 * @returns {Promise<Round>}
 */
async function execute(opening, time) {
  const [primary, ...standbys] = opening.nodes.map(({ host, port }) => ({ host, port }));
  const proxy = await startSlowProxy(standbys);
  try {
    const hosts = [primary, ...proxy.addresses].map(({ host, port }) => `${host}:${port}`);
    /** @type {Round} */
    const round = {};
    for (const scenario of SCENARIOS) round[scenario.id] = await play(scenario, { ...opening, hosts }, proxy, time);
    return round;
  } finally {
    proxy.stop();
  }
}

/**
 * @param {typeof SCENARIOS[number]} scenario
 * @param {import('./types').Opening} opening
 * @param {Awaited<ReturnType<typeof startSlowProxy>>} proxy
 * @param {import('./types').Time} time
 */
async function play({ share, balance }, { hosts, user, password, database }, proxy, { turns, seconds, round }) {
  // The proxy reads what passes, so there is no TLS.
  const login = { hosts, user, password, database, ssl: /** @type {const} */ (false) };
  const pools = {
    without: createPool({ ...login, reads: { balance } }),
    with: createPool({ ...login, reads: { balance, hedgeMs: HEDGE_MS } }),
  };
  const operations = {
    without: load.open(/** @type {any} */ ({ statement: statementsOf(pools.without) })),
    with: load.open(/** @type {any} */ ({ statement: statementsOf(pools.with) })),
  };
  try {
    await proxy.hold({ share: 0, seed: SEED });
    for (const way of WAYS) await warmUp(operations[way]);
    const measured = await alternate([...WAYS], turns, async (way, turn) => {
      await proxy.hold({ share, seed: SEED + round * turns + turn });
      await proxy.counts();
      const sent = await atRate(operations[/** @type {'without' | 'with'} */ (way)], seconds);
      await sleep(PAUSE_MS);
      return { ...sent, ...(await proxy.counts()) };
    });
    return {
      without: together(measured.map((turn) => turn.without)),
      with: together(measured.map((turn) => turn.with)),
    };
  } finally {
    await Promise.all(Object.values(pools).map((pool) => pool.end()));
  }
}

/** @param {ReturnType<typeof createPool>} pool */
const statementsOf =
  (pool) => (/** @type {string} */ _name, /** @type {string} */ sql) => (/** @type {any[]} */ params) =>
    pool.read(sql, params);

/** Opens the connections, and prepares on each: many at once, then at the rate. @param {(n: number) => PromiseLike<unknown>} operation */
async function warmUp(operation) {
  for (let time = 0; time < 5; time++) await Promise.all(Array.from({ length: 200 }, (_, n) => operation(n)));
  await atRate(operation, WARMUP_SECONDS);
  await sleep(PAUSE_MS);
}

/** All turns of a way in a round. @param {(Sent & Counts)[]} turns @returns {Measured} */
function together(turns) {
  const latencies = ascending(turns.flatMap((turn) => turn.latencies));
  const failures = turns.flatMap((turn) => turn.failures);
  const sum = (/** @type {(turn: Sent & Counts) => number} */ figure) =>
    turns.reduce((total, turn) => total + figure(turn), 0);
  return {
    reads: latencies.length + failures.length,
    failures: failures.length,
    ...(failures.length > 0 ? { failure: String(/** @type {any} */ (failures[0])?.stack ?? failures[0]) } : {}),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    p999Ms: quantile(latencies, 0.999),
    lateMs: medianOf(turns.flatMap((turn) => turn.late)),
    statements: sum(({ statements }) => statements),
    held: sum(({ held }) => held),
    cancels: sum(({ cancels }) => cancels),
  };
}

/** @param {Round[]} rounds */
function report(rounds) {
  return SCENARIOS.flatMap(({ id, share, balance }, index) => [
    ...(index > 0 ? [''] : []),
    `${id}: ${share * 100} of 100 answers of one standby are held back, balance '${balance}'`,
    ...scenarioTable(rounds.map(({ [id]: scenario }) => scenario)),
  ]).concat([
    '',
    `${RATE} reads a second, hedgeMs ${HEDGE_MS}. Medians of all rounds; ratios round by round (least..greatest).`,
    'sent: statements that reached the standbys, of the reads; held: answers that were held back, of the reads;',
    'cancels: requests to cancel. Latency counts from when a read was due; late: how late it was sent, median.',
  ]);
}

/** @param {Round[string][]} rounds of one scenario */
function scenarioTable(rounds) {
  const line = (/** @type {'without' | 'with'} */ way) => {
    const median = (/** @type {(measured: Measured) => number} */ figure) =>
      medianOf(rounds.map((round) => figure(round[way])));
    const share = (/** @type {'statements' | 'held' | 'cancels'} */ name) =>
      percent(median((measured) => measured[name] / measured.reads));
    return [
      way === 'with' ? `hedgeMs ${HEDGE_MS}` : 'without',
      short(median(({ p50Ms }) => p50Ms)),
      short(median(({ p99Ms }) => p99Ms)),
      short(median(({ p999Ms }) => p999Ms)),
      share('statements'),
      share('held'),
      share('cancels'),
      short(median(({ lateMs }) => lateMs)),
      String(rounds.reduce((sum, round) => sum + round[way].reads, 0)),
      String(rounds.reduce((sum, round) => sum + round[way].failures, 0)),
    ];
  };
  const ratio = (/** @type {'p50Ms' | 'p99Ms' | 'p999Ms'} */ name) =>
    ratioOf(rounds.map((round) => round.with[name] / round.without[name]));
  const failure = rounds.flatMap((round) => WAYS.flatMap((way) => round[way].failure ?? []))[0];
  return [
    ...aligned([
      ['', 'p50 ms', 'p99 ms', 'p99.9 ms', 'sent', 'held', 'cancels', 'late', 'reads', 'failed'],
      ...WAYS.map(line),
    ]),
    `with : without  p50 ${ratio('p50Ms')}, p99 ${ratio('p99Ms')}, p99.9 ${ratio('p999Ms')}`,
    ...(failure === undefined ? [] : [`the first failure: ${failure}`]),
  ];
}

/** @type {import('./types').Part<Round>} */
module.exports = {
  id: 'hedging',
  title: `hedging: answers held back by ${HOLD_MS} ms`,
  seconds: 2,
  execute,
  report,
};
