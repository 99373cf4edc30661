'use strict';

// The sessions of a server and their leases, as any role may see them. Only leases.js ends any.

const { readLease, verifyLease } = require('../values/lease.js');

/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {'valid' | 'foreign' | 'unknown'} Signature `foreign`: by none of the secrets; `unknown`: there is no secret to check it with */
/**
 * @typedef {object} Session
 * @property {number} pid
 * @property {string} role
 * @property {string} database
 * @property {string | null} state as in pg_stat_activity; null: this role may not see it
 * @property {number | null} stateMs for how long it has been in this state
 * @property {string} service
 * @property {string} instance
 * @property {number} leftMs how long the lease is still valid, by the clock of the server; less than 0: it has expired
 * @property {Signature} signature
 */
/**
 * @typedef {object} Look
 * @property {'primary' | 'standby'} nodeRole
 * @property {boolean} knowsRole whether there is a role of the name that was asked for
 * @property {number} room how many connections there are for everybody
 * @property {number} reserved how many more there are for superusers and the like
 * @property {number} used by all clients, this command among them
 * @property {number} leased how many of them have a lease
 * @property {Session[]} sessions those with a lease; of one service, if one was asked for
 */

const GRACE_MS = 500;

const SERVER = `
  SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS "nodeRole",
    $1::text IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::text) AS "knowsRole",
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::float8 AS now,
    current_setting('max_connections')::int4 AS connections,
    current_setting('superuser_reserved_connections')::int4
      + coalesce(current_setting('reserved_connections', true), '0')::int4 AS reserved`;

/**
 * Every role sees pid, role, database and application_name of all sessions. What it may not see of others is NULL, backend_type, too
 * (pg_stat_get_activity in pgstatfuncs.c). A process without a role is none of a client.
 */
const SESSIONS = `
  SELECT pid, usename::text AS role, datname::text AS database, application_name AS name, state,
    (extract(epoch FROM pg_catalog.clock_timestamp() - state_change) * 1000)::float8 AS "stateMs"
  FROM pg_catalog.pg_stat_activity
  WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
    AND coalesce(backend_type, 'client backend') = 'client backend'
  ORDER BY pid`;

/**
 * @param {Pool} pool
 * @param {{ secrets: ReturnType<typeof import('../values/lease.js').secretsOf> | null, service: string | null, role: string | null, timeoutMs: number }} wanted
 *   `service`: null means all
 * @returns {Promise<Look>}
 */
async function lookAtSessions(pool, { secrets, service, role, timeoutMs }) {
  // The wait for a connection has its own limit, whose error has the reason of the server.
  const call = { timeoutMs: timeoutMs + GRACE_MS, readOnly: true };
  const { now, connections, ...server } = /** @type {any} */ (await pool.one(SERVER, [role], call));
  const rows = /** @type {any[]} */ (await pool.query(SESSIONS, [], call));
  const sessions = rows.flatMap(({ name, ...session }) => {
    const lease = leaseOf(name, secrets, now);
    return lease === null ? [] : [{ ...session, ...lease }];
  });
  return {
    ...server,
    room: connections - server.reserved,
    used: rows.length + 1,
    leased: sessions.length,
    sessions: sessions.filter((session) => service === null || session.service === service),
  };
}

/** @param {string} name @param {ReturnType<typeof import('../values/lease.js').secretsOf> | null} secrets @param {number} now */
function leaseOf(name, secrets, now) {
  const lease = readLease(name);
  if (lease === null) return null;
  const { serviceName: service, instance, expiresAt } = lease;
  const signature = secrets === null ? 'unknown' : verifyLease(name, secrets) === null ? 'foreign' : 'valid';
  return { service, instance, leftMs: expiresAt - now, signature };
}

module.exports = { lookAtSessions };
