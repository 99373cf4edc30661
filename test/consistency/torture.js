'use strict';

// Reads follow writes, whatever happens to the standbys:
//
//   node test/consistency/torture.js --probes 1000000 [--clients 32] [--after off] [--user app]
//
// Clients write and read back (probes.js) on a primary with three standbys, one of which applies commits 300 ms late. Meanwhile a
// standby does not replay for a while, another one receives nothing, one is frozen, the primary is killed and a standby promoted, and
// the old primary comes back as a standby. Commits wait for any one standby, so that the failover loses nothing.
// `--after off` reads without tokens and sessions: then probes are stale. `--user app` is a user without special rights.
// Exit code 1 when a probe was stale or a read has failed.

const { createPool } = require('../../client.js');
const { numberOf, oneOf, readArguments } = require('../chaos/arguments');
const { startCluster } = require('../support/cluster');
const { sleep } = require('../support/helpers');
const { Probes } = require('./probes');
const { delayBy, pause, resume } = require('./standbys');

/** @typedef {import('../support/cluster').Cluster} Cluster */
/** @typedef {{ probes: number, clients?: number, follows?: boolean, user?: 'superuser' | 'app' }} Options */

const USAGE =
  'node test/consistency/torture.js [--probes 1000000] [--clients 32] [--after on|off] [--user superuser|app]';
const DELAY_MS = 300;
/** Without a probe for so long something hangs. */
const HANG_MS = 60_000;
/** WAL of a long run. */
const SETTINGS = { max_wal_size: '256MB' };
/** The limits of a pool must cause no error: they are longer than every fault. */
const POOL = { poolSize: 8, acquireTimeoutMs: HANG_MS, monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 } };

/** The standby that is late, and the others. @param {Cluster} cluster */
function roles(cluster) {
  const others = cluster.standbys();
  const slow = /** @type {any} */ (others.pop());
  return { slow, others: /** @type {any[]} */ (others) };
}

/** The faults, each with the share of the probes after which it begins. @type {[number, string, (cluster: Cluster) => Promise<void>][]} */
const FAULTS = [
  [0.1, 'a standby does not replay', async (cluster) => pause(roles(cluster).others[0])],
  [0.2, 'it replays again', async (cluster) => void (await resume(roles(cluster).others[0]))],
  [0.25, 'a standby receives nothing', (cluster) => roles(cluster).others[1].detach()],
  [0.3, 'it receives again', (cluster) => roles(cluster).others[1].follow(cluster.primary())],
  [0.35, 'a standby is frozen', (cluster) => roles(cluster).others[1].freeze()],
  [0.4, 'it is thawed', (cluster) => roles(cluster).others[1].thaw()],
  [0.5, 'the primary is killed, and a standby promoted', failOver],
  [0.6, 'the old primary comes back as a standby', rejoin],
  [0.8, 'a standby receives nothing', (cluster) => roles(cluster).others[0].detach()],
  [0.9, 'it receives again', (cluster) => roles(cluster).others[0].follow(cluster.primary())],
];

/** @param {Cluster} cluster */
async function failOver(cluster) {
  await cluster.primary().crash();
  const next = await cluster.failover();
  // The late one may have been promoted. A base backup would carry its delay on.
  await delayBy(next, 0);
  await delayBy(roles(cluster).slow, DELAY_MS);
}

/** @param {Cluster} cluster */
async function rejoin(cluster) {
  const old = /** @type {any} */ (cluster.nodes.find(({ role }) => role === 'deposed'));
  await old.rejoin(cluster.primary());
}

/**
 * Resolves when so many probes have ended.
 * @param {Probes} probes @param {number} count
 */
async function reached(probes, count) {
  let last = { done: probes.done, at: performance.now() };
  while (probes.done < count) {
    await sleep(10);
    if (probes.done > last.done) last = { done: probes.done, at: performance.now() };
    else if (performance.now() - last.at > HANG_MS) throw new Error(`no probe has ended for ${HANG_MS} ms`);
  }
}

/**
 * Runs the whole scenario. It takes at least as many probes as are asked for.
 * @param {Options} options
 * @param {(line: string) => void} log
 */
async function torture({ probes: wanted, clients = 32, follows = true, user = 'superuser' }, log) {
  const cluster = await startCluster({ nodes: 4, settings: SETTINGS });
  const login = { user: cluster.user, password: cluster.password, ...(user === 'app' ? cluster.app : {}) };
  const options = { hosts: cluster.hosts, database: cluster.database, ...login, ...POOL };
  const [writer, reader] = /** @type {any[]} */ ([createPool(options), createPool(options)]);
  const nameOf = (/** @type {string} */ address) =>
    cluster.nodes.find((node) => node.address === address)?.name ?? address;
  try {
    await Probes.prepare(writer, clients);
    // A read without a token could find a standby without the table.
    await Promise.all(
      [writer, reader].map(async (pool) => pool.read('SELECT FROM probes', [], { after: await pool.token() })),
    );
    await delayBy(roles(cluster).slow, DELAY_MS);
    const began = performance.now();
    const probes = new Probes({ writer, reader }, { clients, follows });
    const elapsed = () => `${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s`;
    try {
      for (const [share, title, strike] of FAULTS) {
        await reached(probes, Math.max(wanted * share, probes.done + 10 * clients));
        log(`${elapsed()}  ${probes.done} probes, ${probes.stale} stale: ${title}`);
        await strike(cluster);
      }
      await reached(probes, Math.max(wanted, probes.done + 10 * clients));
    } finally {
      await probes.stop();
    }
    log(`${elapsed()}  ${probes.report(nameOf)}`);
    return probes;
  } finally {
    await Promise.all([writer, reader].map((pool) => pool.end({ timeoutMs: 500 })));
    await cluster.stop();
  }
}

async function main() {
  const options = readArguments(USAGE, ['probes', 'clients', 'after', 'user'], (values) => ({
    probes: numberOf('probes', values.probes, { usual: 1_000_000, least: 1, most: 1e9 }),
    clients: numberOf('clients', values.clients, { usual: 32, least: 1, most: 1_000 }),
    follows: oneOf('after', values.after, ['on', 'off']) === 'on',
    user: oneOf('user', values.user, /** @type {const} */ (['superuser', 'app'])),
  }));
  const { stale, failed } = await torture(options, console.log);
  process.exitCode = stale + failed > 0 ? 1 : 0;
}

if (require.main === module) main();

module.exports = { torture };
