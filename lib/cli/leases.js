'use strict';

// `leases`: who holds how many sessions under a lease, what has expired, and, with `--reap`, its end.
//
// Each node is asked over one connection: on a server that is almost full there may be no second one. sessions.js asks, leases-page.js
// makes the text.

const { setTimeout: sleep } = require('node:timers/promises');
const { reapNode, rehearseNode } = require('../api/reap-node.js');
const { OptionError } = require('../errors.js');
const { LEASE } = require('../options/lease-rows.js');
const { parseOptions } = require('../options/options.js');
const { readLease, secretsOf, serviceToken } = require('../values/lease.js');
const { SECRET_VARIABLE, UsageError } = require('./arguments.js');
const { label } = require('./format.js');
const { pageOf } = require('./leases-page.js');
const { openNode, reasonOf } = require('./one-node.js');
const { lookAtSessions } = require('./sessions.js');

/** How many sessions one pass ends at most: each is a lock that is held until its end. */
const AT_ONCE = 100;
const PAUSE_MS = 50;

/** @typedef {ReturnType<typeof secretsOf>} Secrets */
/** @typedef {import('../api/reap-node.js').LeaseOption & { service: string }} Lease */
/** @typedef {import('./leases-page.js').Report} Report */
/** @typedef {import('./leases-page.js').Victim} Victim */
/** @typedef {import('./sessions.js').Look} Look */
/**
 * @param {import('./arguments.js').Arguments} asked
 * @param {(options: import('../../client.js').PoolOptions) => import('../../client.js').Pool} openPool
 * @param {{ out: NodeJS.WritableStream, colors: boolean }} surroundings
 * @returns {Promise<number>} the exit code
 */
async function showLeases(asked, openPool, { out, colors }) {
  const { pool: options, timeoutMs, pass, json } = asked;
  const secrets = secretsFrom(process.env);
  if (secrets === null && pass !== 'look') {
    throw new UsageError(
      `--${pass === 'reap' ? 'reap' : 'dry-run'} needs the coordination secret: set ${SECRET_VARIABLE}`,
    );
  }
  const service = asked.service === undefined ? null : serviceToken(asked.service);
  const reports = await Promise.all(
    hostsOf(options).map(async (/** @type {any} */ host) => {
      const pool = openNode(openPool, { ...options, applicationName: 'hyperiondb-client leases' }, host, timeoutMs);
      try {
        return await reportOf(pool, { node: label(host), secrets, service, asked });
      } finally {
        await pool.end();
      }
    }),
  );
  const text = json
    ? JSON.stringify({ nodes: reports }, null, 2)
    : pageOf(reports, { checked: secrets !== null, pass }, colors).join('\n');
  out.write(`${text}\n`);
  return reports.some(({ error, problem }) => error !== null || problem !== null) ? 1 : 0;
}

/** @param {NodeJS.ProcessEnv} env */
function secretsFrom(env) {
  const given = env[SECRET_VARIABLE];
  if (!given) return null;
  // A secret may have any character that can stand in a line.
  const lines = given.split(/\r?\n/).filter((line) => line !== '');
  return secretsOf(lines, SECRET_VARIABLE, (message) => new UsageError(message));
}

/** @param {import('../../client.js').PoolOptions} options */
function hostsOf(options) {
  try {
    return parseOptions(options).hosts;
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(error.message) : error;
  }
}

/**
 * @typedef {object} Wanted
 * @property {string} node
 * @property {Secrets | null} secrets
 * @property {string | null} service null: all
 * @property {import('./arguments.js').Arguments} asked
 */

/**
 * @param {import('../../client.js').Pool} pool
 * @param {Wanted} wanted
 * @returns {Promise<Report>}
 */
async function reportOf(pool, wanted) {
  const { node, secrets, service, asked } = wanted;
  /** @type {Report} */
  const report = { node, error: null, look: null, endable: [], ended: [], passes: 0, problem: null };
  const look = () => lookAtSessions(pool, { secrets, service, role: asked.role ?? null, timeoutMs: asked.timeoutMs });
  try {
    report.look = await look();
  } catch (error) {
    return { ...report, error: reasonOf(error) };
  }
  const work = { look: null, rehearse: rehearseService, reap: reapService }[asked.pass];
  if (work === null) return report;
  if (!report.look.knowsRole) return { ...report, problem: `there is no role ${asked.role}` };
  try {
    for (const lease of leasesOf(report.look, wanted)) await work(pool, lease, report, asked.timeoutMs);
    if (report.passes > 0) report.look = await look();
  } catch (error) {
    report.problem = problemOf(error);
  }
  return report;
}

/** The option `lease` of a pass, for each service that has sessions. @param {Look} look @param {Wanted} wanted @returns {Lease[]} */
function leasesOf({ sessions }, { secrets, asked: { minIdleSec, role } }) {
  const valid = sessions.filter(({ signature }) => signature === 'valid');
  return [...new Set(valid.map(({ service }) => service))].sort().map((service) => ({
    service,
    role,
    coordinationSecret: secrets,
    minConnectionIdleTimeSec: minIdleSec ?? LEASE.minConnectionIdleTimeSec.value,
    maxIdleConnectionsToKill: AT_ONCE,
  }));
}

/** @param {import('../../client.js').Pool} pool @param {Lease} lease @param {Report} report */
async function rehearseService(pool, lease, report) {
  const all = { ...lease, maxIdleConnectionsToKill: Number.POSITIVE_INFINITY };
  const { locked, now, victims } = await rehearseNode(queryOn(pool), all);
  if (!locked) report.problem = `another process runs a pass of ${lease.service} at this moment: ask again`;
  report.endable.push(...victims.map((victim) => victimOf(victim, now)));
}

/**
 * Runs passes until none ends anything.
 * @param {import('../../client.js').Pool} pool
 * @param {Lease} lease
 * @param {Report} report
 * @param {number} timeoutMs
 */
async function reapService(pool, lease, report, timeoutMs) {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const { locked, now, ended } = await reapNode(queryOn(pool), lease);
    if (locked) report.passes++;
    if (locked && ended.length === 0) return;
    const fresh = ended.filter(({ pid }) => report.ended.every((one) => one.pid !== pid));
    report.ended.push(...fresh.map((victim) => victimOf(victim, now)));
    if (fresh.length > 0) continue;
    // Another process runs a pass, or sessions that were told to end have not ended yet.
    if (performance.now() >= until) {
      report.problem = locked
        ? `sessions of ${lease.service} were told to end, and still run: ${ended.map(({ pid }) => pid).join(', ')}`
        : `another process runs passes of ${lease.service}: nothing more was ended`;
      return;
    }
    await sleep(PAUSE_MS);
  }
}

/** @param {import('../../client.js').Pool} pool @returns {import('../api/reap-node.js').Query} */
const queryOn =
  (pool) =>
  (...statement) =>
    pool.query(...statement);

/** @param {import('../api/reap-node.js').Candidate} candidate @param {number} now by the server's clock @returns {Victim} */
function victimOf({ pid, name, idleMs }, now) {
  const { serviceName, instance, expiresAt } = /** @type {NonNullable<ReturnType<typeof readLease>>} */ (
    readLease(name)
  );
  return { pid, service: serviceName, instance, idleMs, expiredMs: now - expiresAt };
}

/** @param {any} error */
function problemOf(error) {
  const cure =
    error.code === '42501' ? ': GRANT pg_signal_backend, or the role of the sessions, TO the role that reaps' : '';
  return `a pass has failed: ${reasonOf(error)}${cure}`;
}

module.exports = { showLeases };
