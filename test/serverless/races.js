'use strict';

// A session that has got the answer to its renewal is not ended for the lease that it had before:
//
//   node test/serverless/races.js --races 10000 [--seed N] [--without lock|snapshot] [--window 0]
//
// Sessions with expired leases wait. A pass reads them, and at the moment at which it sends the kill, and some milliseconds around it,
// each of them renews its lease, with the statement of the core; every other one runs a statement behind that. A wrong kill is a
// session that was ended although its renewal was answered. `--window` holds the kill for so many milliseconds between its last look
// at a session and the end of it. `--without` leaves out what prevents wrong kills: then there must be some. Exit code 1 when there
// are wrong kills.

const { createPool } = require('../../client.js');
const { reapNode } = require('../../lib/api/reap-node.js');
const { parseOptions } = require('../../lib/options/options.js');
const { numberOf, oneOf, readArguments, seedOf } = require('../chaos/arguments.js');
const { Random } = require('../chaos/random.js');
const { startCluster } = require('../support/cluster');
const { range, until } = require('../support/helpers.js');
const { Session, leaseOf, leaseOption } = require('./sessions.js');

/** @typedef {{ races: number, seed: number, without?: string, windowMs?: number }} Options */
/** @typedef {{ races: number, renewed: number, killed: number, refused: number, wrong: number, miscounted: number }} Result */

const USAGE = 'node test/serverless/races.js [--races 10000] [--seed N] [--without lock|snapshot] [--window 0]';
/** So many sessions race against one kill. */
const AT_ONCE = 20;
/** How far from the kill a renewal may be sent. */
const BEFORE_MS = 1;
const BEHIND_MS = 2;
/** In a session's own words. */
const PLACE = 's=<lease>';

/** What is left out of the statement that kills. @type {Record<string, [from: string, to: string]>} */
const WITHOUT = {
  lock: ['pg_catalog.pg_try_advisory_xact_lock(1346847058, victim.pid)', 'true'],
  snapshot: ['pg_catalog.pg_stat_clear_snapshot()::text IS NOT NULL', 'true'],
};

/** @param {string} sql @param {string} from @param {string} to */
function replaced(sql, from, to) {
  if (!sql.includes(from)) throw new Error(`the statement has no ${from}`);
  return sql.replace(from, to);
}

/** The statement that kills, as the options say. @param {string} sql @param {Options} options */
function changed(sql, { without, windowMs = 0 }) {
  const end = 'pg_catalog.pg_terminate_backend(now.pid)';
  const held = `CASE WHEN pg_catalog.pg_sleep(${windowMs / 1_000})::text IS NOT NULL THEN ${end} END`;
  const wide = windowMs === 0 ? sql : replaced(sql, end, held);
  return without === undefined ? wide : replaced(wide, ...WITHOUT[without]);
}

/** The statement with which the core renews a lease, as the server has seen it. @param {any} cluster */
async function renewalOf(cluster) {
  const lease = leaseOption({ serviceName: 'renews', leaseTtlMs: 300 });
  const pool = createPool({ hosts: cluster.hosts, database: cluster.database, ...cluster.app, monitor: false, lease });
  try {
    await pool.query('SELECT 1');
    const find = async () => {
      const [found] = await cluster
        .primary()
        .sql(
          "SELECT query, application_name AS name FROM pg_stat_activity WHERE application_name LIKE 's=renews;%' AND query LIKE '%advisory%'",
        );
      return found?.query;
    };
    const sql = await until('a lease is renewed', find, { everyMs: 20 });
    return replaced(sql, /** @type {string} */ (/s=renews;[^']*/.exec(sql)?.[0]), PLACE);
  } finally {
    await pool.end();
  }
}

/** Does each of the things at its time. @param {[atMs: number, thing: () => void][]} things on the clock of performance.now() */
async function onTime(things) {
  for (const [at, thing] of [...things].sort(([a], [b]) => a - b)) {
    while (performance.now() < at) await new Promise((resolve) => setImmediate(resolve));
    thing();
  }
}

/** A place for a session, which is opened anew when it was ended. */
class Place {
  /** @type {Session | undefined} */
  session;
  /** How its renewal went. @type {'renewed' | 'refused' | 'killed' | undefined} */
  outcome;

  /** @param {object} login */
  constructor(login) {
    this.login = login;
  }

  /** Lets it have a lease that has expired. */
  async prepare() {
    this.outcome = undefined;
    const name = leaseOf();
    if (this.session === undefined) this.session = await Session.open(this.login, name);
    else await this.session.query(`SET application_name = '${name}'`);
  }

  /** @param {string} renewal @param {boolean} runsMore */
  async renew(renewal, runsMore) {
    const session = /** @type {Session} */ (this.session);
    try {
      const [row] = await session.query(renewal.replace(PLACE, leaseOf({ inMs: 60_000 })));
      this.outcome = row.case === null ? 'refused' : 'renewed';
      if (this.outcome === 'renewed' && runsMore) await session.query('SELECT 1');
    } catch {
      this.outcome ??= 'killed';
    }
  }

  /** Whether the session lives. */
  async look() {
    try {
      await /** @type {Session} */ (this.session).query('SELECT 1');
      return true;
    } catch {
      this.session = undefined;
      return false;
    }
  }
}

/**
 * One kill, and the renewals around it.
 * @param {any} pool
 * @param {Record<string, any>} lease the option as the pool has it
 * @param {readonly Place[]} places
 * @param {{ random: Random, renewal: string, options: Options }} how
 * @returns {Promise<number>} how many were ended
 */
async function oneKill(pool, lease, places, { random, renewal, options }) {
  /** @type {Promise<void>[]} */
  const renewals = [];
  const query = (/** @type {string} */ sql, /** @type {unknown[]} */ params, /** @type {object} */ given) => {
    if (!sql.includes('pg_terminate_backend')) return pool.query(sql, params, given);
    const at = performance.now() + BEFORE_MS;
    const behind = BEHIND_MS + (options.windowMs ?? 0) * places.length;
    return new Promise((resolve, reject) => {
      const kill = () => pool.query(changed(sql, options), params, given).then(resolve, reject);
      const others = places.map((place) => {
        const offset = random.next() * (BEFORE_MS + behind) - BEFORE_MS;
        const runsMore = random.once(2);
        const renew = () => void renewals.push(place.renew(renewal, runsMore));
        return /** @type {[number, () => void]} */ ([at + offset, renew]);
      });
      onTime([[at, kill], ...others]);
    });
  };
  const { killed } = await reapNode(query, lease);
  await until('every renewal is sent', () => renewals.length === places.length, { everyMs: 1 });
  await Promise.all(renewals);
  return killed;
}

/**
 * @param {any} cluster
 * @param {Options} options
 * @returns {Promise<Result>}
 */
async function races(cluster, options) {
  const given = { hosts: cluster.hosts, database: cluster.database, ...cluster.app, poolSize: 1, lease: leaseOption() };
  const pool = createPool(given);
  const { lease } = parseOptions(given, {});
  const places = range(AT_ONCE).map(() => new Place({ ...cluster.primary().login, ...cluster.app }));
  const result = { races: 0, renewed: 0, killed: 0, refused: 0, wrong: 0, miscounted: 0 };
  try {
    const how = { random: new Random(options.seed), renewal: await renewalOf(cluster), options };
    while (result.races < options.races) {
      await Promise.all(places.map((place) => place.prepare()));
      const killed = await oneKill(pool, lease, places, how);
      const alive = await Promise.all(places.map((place) => place.look()));
      result.races += places.length;
      result.killed += killed;
      if (alive.filter((one) => !one).length !== killed) result.miscounted += 1;
      places.forEach(({ outcome }, index) => {
        if (outcome === 'renewed') result.renewed += 1;
        if (outcome === 'refused') result.refused += 1;
        if (outcome === 'renewed' && !alive[index]) result.wrong += 1;
      });
    }
    return result;
  } finally {
    await pool.end({ timeoutMs: 500 });
    await Promise.all(places.map(({ session }) => session?.connection.end()));
  }
}

/** @param {Result} result */
const shown = ({ races: all, renewed, killed, refused, wrong, miscounted }) =>
  `${all} races: ${renewed} renewed, ${killed} killed, ${refused} renewals refused, ${wrong} wrong kills, ${miscounted} miscounted`;

async function main() {
  const options = readArguments(USAGE, ['races', 'seed', 'without', 'window'], (values) => ({
    races: numberOf('races', values.races, { usual: 10_000, least: 1, most: 10_000_000 }),
    seed: seedOf(values.seed),
    without: values.without === undefined ? undefined : oneOf('without', values.without, Object.keys(WITHOUT)),
    windowMs: numberOf('window', values.window, { usual: 0, least: 0, most: 1_000 }),
  }));
  const cluster = await startCluster({ nodes: 1, synchronous: false });
  try {
    console.log(`seed ${options.seed}`);
    const result = await races(cluster, options);
    console.log(shown(result));
    process.exitCode = result.wrong > 0 || result.miscounted > 0 ? 1 : 0;
  } finally {
    await cluster.stop();
  }
}

if (require.main === module) main();

module.exports = { races, shown };
