'use strict';

// Every transaction is committed once and reported as what it was, whatever becomes of the answers to COMMIT:
//
//   node test/exactly-once/torture.js --transactions 5000 [--clients 16] [--lost 5] [--seed N] [--exactly-once off]
//
// Clients run short transactions on a synchronous cluster of three nodes, through relays that lose one answer to COMMIT in `--lost`
// (lossy-relay.js). Meanwhile the primary crashes and a standby is promoted, the old primary comes back as a standby, the next
// primary falls silent with all that is in it (SIGSTOP) and another one is promoted, and the roles are changed as planned. A quarter of the calls have a key, and each of
// those is made twice at the same time, by two pools. Each transaction adds a row and counts in one of a few rows that all share, so a
// session that is left behind with its locks would stop the others.
// `--exactly-once off` runs the same callbacks as a program does that takes `unknown` for a failure and tries again: then rows are
// doubled. Exit code 1 when a row was doubled or is missing, or a call was reported wrongly.

const { createPool } = require('../../client.js');
const { numberOf, oneOf, readArguments, seedOf } = require('../chaos/arguments.js');
const { Random } = require('../chaos/random.js');
const { startCluster } = require('../support/cluster');
const { range, sleep } = require('../support/helpers.js');
const { FAULTS, LossyRelay } = require('./lossy-relay.js');
const { makeTable } = require('./support.js');

/** @typedef {import('../support/cluster').Cluster} Cluster */
/** @typedef {{ transactions: number, clients: number, lost: number, seed: number, isOn: boolean }} Options */
/** How a call has ended: with the run that its callback has returned, or with the outcome of its error. @typedef {{ run?: number, outcome?: string, error?: any }} Ending */

const USAGE =
  'node test/exactly-once/torture.js [--transactions 5000] [--clients 16] [--lost 5] [--seed N] [--exactly-once on|off]';
const COUNTERS = 8;
/** Without the end of a call for so long something hangs. */
const HANG_MS = 90_000;
const RETRIES = 50;
/** The limits of a pool must cause no error: they are longer than every fault. */
const POOL = { poolSize: 12, acquireTimeoutMs: 60_000, monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 } };

/** What happens to the nodes, each with the share of the calls after which it begins. @type {[number, string, (cluster: Cluster) => Promise<unknown>][]} */
const EVENTS = [
  [
    0.25,
    'the primary crashes, and a standby is promoted',
    async (cluster) => promoteAfter(cluster, (node) => node.crash()),
  ],
  [0.4, 'the old primary comes back as a standby', rejoin],
  [
    0.6,
    'the primary falls silent, and a standby is promoted',
    async (cluster) => promoteAfter(cluster, (node) => node.freeze()),
  ],
  [0.75, 'the old primary comes back as a standby', rejoin],
  [0.9, 'a planned switchover', (cluster) => cluster.switchover()],
];

/** @param {Cluster} cluster @param {(node: any) => Promise<unknown>} end */
async function promoteAfter(cluster, end) {
  await end(cluster.primary());
  await cluster.failover();
}

/** @param {Cluster} cluster */
async function rejoin(cluster) {
  const old = /** @type {any} */ (cluster.nodes.find(({ role }) => role === 'deposed'));
  await old.rejoin(cluster.primary());
}

class Calls {
  #pools;
  #options;
  #random;
  #runs = 0;
  #isStopped = false;
  /** By the number of the call. @type {Ending[][]} */
  endings = [];
  done = 0;

  /** @param {any[]} pools @param {Options} options */
  constructor(pools, options) {
    this.#pools = pools;
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  /** Calls until it is stopped. @param {number} least */
  async run(least) {
    const client = async () => {
      while (!this.#isStopped || this.endings.length < least) {
        const call = this.endings.length;
        const isKeyed = this.#random.once(4);
        const callers = isKeyed ? [0, 1] : [this.#random.int(0, 1)];
        /** @type {Ending[]} */
        const endings = [];
        this.endings.push(endings);
        await Promise.all(
          callers.map(async (pool) => void endings.push(await this.#call(this.#pools[pool], call, isKeyed))),
        );
        this.done++;
      }
    };
    await Promise.all(range(this.#options.clients).map(client));
  }

  stop() {
    this.#isStopped = true;
  }

  /** @param {any} pool @param {number} call @param {boolean} isKeyed @returns {Promise<Ending>} */
  async #call(pool, call, isKeyed) {
    const work = async (/** @type {any} */ tx) => {
      const run = ++this.#runs;
      await tx.query('INSERT INTO ledger (call, run) VALUES ($1, $2)', [call, run]);
      await tx.query('UPDATE counters SET n = n + 1 WHERE id = $1', [call % COUNTERS]);
      return run;
    };
    const exactlyOnce = isKeyed ? { key: `call ${call}`, remember: true } : true;
    try {
      if (this.#options.isOn) return { run: await pool.transaction(work, { exactlyOnce, retries: RETRIES }) };
      return { run: await tryAgain(() => pool.transaction(work, { retries: RETRIES })) };
    } catch (error) {
      return { outcome: /** @type {any} */ (error).outcome ?? 'none', error };
    }
  }
}

/** What programs do that know nothing of outcomes. @param {() => Promise<any>} work */
async function tryAgain(work) {
  try {
    return await work();
  } catch (error) {
    if (/** @type {any} */ (error).outcome !== 'unknown') throw error;
    return work();
  }
}

/**
 * Compares what the callers were told with what is in the database.
 * @param {Ending[][]} calls
 * @param {{ call: number, run: number }[]} rows
 * @param {boolean} isOn
 */
function judge(calls, rows, isOn) {
  /** @type {Map<number, number[]>} */
  const byCall = new Map();
  for (const { call, run } of rows) byCall.set(call, [...(byCall.get(call) ?? []), run]);
  const report = {
    calls: calls.length,
    doubled: 0,
    missing: 0,
    wrong: 0,
    unknown: 0,
    notApplied: 0,
    details: /** @type {string[]} */ ([]),
  };
  for (const [call, endings] of calls.entries()) {
    const runs = byCall.get(call) ?? [];
    const most = isOn ? 1 : endings.length;
    const note = (/** @type {'doubled' | 'missing' | 'wrong'} */ what) => {
      report[what]++;
      const told = endings.map(({ run, outcome, error }) => run ?? `${outcome} (${error?.message})`);
      if (report.details.length < 10)
        report.details.push(`${what}: call ${call}: rows ${runs.join() || 'none'}, told ${told.join(' and ')}`);
    };
    if (runs.length > most) note('doubled');
    for (const { run, outcome } of endings) {
      if (outcome === undefined && runs.length === 0) note('missing');
      // The value is that of the run which was committed.
      else if (outcome === undefined && !runs.includes(/** @type {number} */ (run))) note('wrong');
      else if (outcome === 'not-applied' && endings.length === 1 && runs.length > 0) note('wrong');
      if (outcome === 'unknown') report.unknown++;
      else if (outcome !== undefined) report.notApplied++;
    }
  }
  return report;
}

/**
 * Runs the whole scenario. It takes at least as many calls as are asked for.
 * @param {Partial<Options> & { transactions: number }} given
 * @param {(line: string) => void} log
 */
async function torture({ transactions, clients = 16, lost = 5, seed = 1, isOn = true }, log) {
  // Without exactlyOnce nobody ends the sessions that have lost their clients, and the others wait for their locks.
  const settings = { max_connections: 300, ...(isOn ? {} : { idle_in_transaction_session_timeout: '1s' }) };
  const cluster = await startCluster({ nodes: 3, settings });
  const random = new Random(seed + 1);
  const relays = await Promise.all(cluster.nodes.map((node) => LossyRelay.open(node)));
  const { user, password, database } = cluster;
  const hosts = relays.map(({ address }) => address);
  const pools = [
    createPool({ hosts, user, password, database, ...POOL }),
    createPool({ hosts, user, password, database, ...POOL }),
  ];
  try {
    await makeTable({ sql: (/** @type {string} */ text) => cluster.primary().sql(text) });
    await cluster.primary().sql('CREATE TABLE ledger (call int NOT NULL, run int NOT NULL)');
    await cluster
      .primary()
      .sql(`CREATE TABLE counters AS SELECT id, 0 AS n FROM generate_series(0, ${COUNTERS - 1}) AS id`);
    for (const relay of relays) {
      relay.fault = () => (random.once(lost) ? FAULTS[random.int(0, FAULTS.length - 1)] : undefined);
      relay.laterMs = () => random.int(0, 800);
    }
    const began = performance.now();
    const calls = new Calls(pools, { transactions, clients, lost, seed, isOn });
    const elapsed = () => `${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s`;
    const running = calls.run(transactions);
    for (const [share, title, strike] of EVENTS) {
      await reached(calls, transactions * share);
      log(`${elapsed()}  ${calls.done} calls: ${title}`);
      await strike(cluster);
    }
    calls.stop();
    await Promise.all([running, reached(calls, transactions)]);
    for (const relay of relays) relay.fault = () => undefined;
    // What came late has ended when the table can be locked.
    await cluster.primary().sql('BEGIN; LOCK ledger; COMMIT');
    const rows = await cluster.primary().sql('SELECT call, run FROM ledger');
    const report = judge(calls.endings, rows, isOn);
    const [{ n }] = await cluster.primary().sql('SELECT sum(n)::int AS n FROM counters');
    if (n !== rows.length) report.details.push(`${rows.length} rows, and ${n} were counted`);
    /** @type {Record<string, number>} */
    const made = {};
    for (const relay of relays)
      for (const [fault, times] of Object.entries(relay.made)) made[fault] = (made[fault] ?? 0) + times;
    const text = Object.entries(made).map(([fault, times]) => `${times} ${fault}`);
    log(`${elapsed()}  ${rows.length} rows; answers to COMMIT lost: ${text.join(', ')}`);
    log(
      `${elapsed()}  ${report.calls} calls: ${report.doubled} doubled, ${report.missing} missing, ${report.wrong} wrongly reported, ` +
        `${report.unknown} unknown, ${report.notApplied} not applied`,
    );
    return { ...report, rows: rows.length, counted: n, made };
  } finally {
    await Promise.all(pools.map((pool) => pool.end({ timeoutMs: 500 })));
    for (const relay of relays) relay.close();
    await cluster.stop();
  }
}

/** Resolves when so many calls have ended. @param {Calls} calls @param {number} count */
async function reached(calls, count) {
  let last = { done: calls.done, at: performance.now() };
  while (calls.done < count) {
    await sleep(10);
    if (calls.done > last.done) last = { done: calls.done, at: performance.now() };
    else if (performance.now() - last.at > HANG_MS) throw new Error(`no call has ended for ${HANG_MS} ms`);
  }
}

async function main() {
  const options = readArguments(USAGE, ['transactions', 'clients', 'lost', 'seed', 'exactly-once'], (values) => ({
    transactions: numberOf('transactions', values.transactions, { usual: 5_000, least: 1, most: 10_000_000 }),
    clients: numberOf('clients', values.clients, { usual: 16, least: 1, most: 1_000 }),
    lost: numberOf('lost', values.lost, { usual: 5, least: 2, most: 1_000_000 }),
    seed: seedOf(values.seed),
    isOn: oneOf('exactly-once', values['exactly-once'], ['on', 'off']) === 'on',
  }));
  console.log(`seed ${options.seed}`);
  const { doubled, missing, wrong, rows, counted, details } = await torture(options, console.log);
  for (const line of details) console.log(line);
  process.exitCode = doubled + missing + wrong === 0 && rows === counted ? 0 : 1;
}

if (require.main === module) main();

module.exports = { torture };
