'use strict';

// One pass over the expired sessions of one node, as at most two statements, each a transaction of its own: a process that freezes
// between them (most do, for a pass follows a connect) leaves no transaction behind, and no lock.
//
// The first reads the sessions of the service with the server's clock. JavaScript verifies their leases. The second ends those that have
// expired, and looks at each again at the moment of the kill. Two locks keep others out, both until the statement has ended:
// - (PASS, hashtext(service)): one pass at a time for a service. pg-aequor takes the same lock.
// - (SESSION, pid): whoever renews a lease takes it, too, for the time of the renewal. So a session that has got the answer to its
//   renewal is seen with its new lease, and one that is about to be ended cannot renew.

const { DatabaseError } = require('../errors.js');
const { verifyLease } = require('../values/lease.js');

/** What runs a statement of its own on one node, and returns its rows, with their `node`. @typedef {(sql: string, params: string[], options: object) => Promise<any>} Query */
/** @typedef {{ pid: number, name: string, started: string, idleMs: number }} Candidate */
/** `role`: whose sessions, if not those of the own role. @typedef {Record<string, any> & { role?: string }} LeaseOption */

/** 'PGAQ' in ASCII. */
const PASS = 0x50474151;
const SESSION = PASS + 1;
/** A statement of a pass may take so long. */
const STATEMENT_MS = 10_000;

/** The server refuses for lack of rights. */
const NO_RIGHT = '42501';

/** The role of this name, by a parameter: the own one if it is empty, and none if nobody is called so. @param {string} name */
const roleOf = (name) =>
  `CASE WHEN ${name}::text = '' THEN me.usesysid ELSE (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ${name}::text) END`;

/**
 * No process has the pid 0: without the lock there are no candidates. (-1 means all, as NULL does: pg_stat_get_activity in pgstatfuncs.c.)
 * Both statements answer with JSON as text, and take text: so no type that a pool has chosen a parser for is in the way. What a pass
 * may see of its own role's sessions needs no right, unless the session works as another role than it has logged in as.
 */
const LOOK = `
WITH lock AS MATERIALIZED (
  SELECT pg_catalog.pg_try_advisory_xact_lock(${PASS}, pg_catalog.hashtext($1::text)) AS locked
)
SELECT pg_catalog.json_build_object(
  'locked', lock.locked,
  'now', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000,
  'user', current_user,
  'sees', (SELECT state IS NOT NULL FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())),
  'sessions', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'pid', other.pid, 'name', other.application_name, 'started', other.backend_start::text,
      'idleMs', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - other.state_change) * 1000))
    FROM pg_catalog.pg_stat_get_activity(CASE WHEN lock.locked THEN NULL ELSE 0 END) AS other,
      pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS me
    WHERE other.pid <> me.pid AND other.datid = me.datid AND other.usesysid = ${roleOf('$3')}
      AND other.backend_type = 'client backend' AND other.state = 'idle'
      AND other.state_change <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2::text::float8)
      AND pg_catalog.starts_with(other.application_name, 's=' || $1::text || ';')
  )
)::text AS said FROM lock`;

/**
 * The order matters: lock, forget what this transaction knows of the sessions (it is a snapshot), look, end. Nested CASEs and a
 * subquery in a result are evaluated in their order (PostgreSQL docs, 4.2.14), conditions of one WHERE are not.
 */
const KILL = `
WITH lock AS MATERIALIZED (
  SELECT pg_catalog.pg_try_advisory_xact_lock(${PASS}, pg_catalog.hashtext($4::text)) AS locked
)
SELECT pg_catalog.json_build_object('locked', (SELECT locked FROM lock), 'pids', pg_catalog.json_agg(pid) FILTER (WHERE ended))::text AS said
FROM (
  SELECT victim.pid, CASE WHEN (SELECT locked FROM lock) THEN
    CASE WHEN pg_catalog.pg_try_advisory_xact_lock(${SESSION}, victim.pid) THEN
    CASE WHEN pg_catalog.pg_stat_clear_snapshot()::text IS NOT NULL THEN (
      SELECT pg_catalog.pg_terminate_backend(now.pid)
      FROM pg_catalog.pg_stat_get_activity(victim.pid) AS now
      WHERE now.application_name = victim.name AND now.backend_start = victim.started
        AND now.datid = me.datid AND now.usesysid = ${roleOf('$3')}
        AND now.backend_type = 'client backend' AND now.state = 'idle'
        AND now.state_change <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2::text::float8)
    ) END
    END
  END AS ended
  FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS me,
    pg_catalog.json_to_recordset($1::text::json) AS victim(pid int4, name text, started timestamptz)
  WHERE victim.pid <> me.pid
) AS victims`;

/** Whatever the pool's own types do with text. */
const AS_IT_IS = Object.fromEntries(['text', 'pg_catalog.text', '25'].map((name) => [name, null]));
const OPTIONS = { timeoutMs: STATEMENT_MS, types: { parsers: AS_IT_IS, serializers: AS_IT_IS } };

/**
 * The sessions whose lease has expired, the longest expired first.
 * @param {Candidate[]} sessions
 * @param {number} now by the server's clock
 * @param {LeaseOption} lease the option
 * @returns {Candidate[]}
 */
function expired(sessions, now, { service, coordinationSecret, maxIdleConnectionsToKill }) {
  return sessions
    .map((session) => ({ session, lease: verifyLease(session.name, coordinationSecret) }))
    .filter(({ lease }) => lease !== null && lease.serviceName === service && lease.expiresAt < now)
    .sort((a, b) => /** @type {any} */ (a.lease).expiresAt - /** @type {any} */ (b.lease).expiresAt)
    .slice(0, maxIdleConnectionsToKill)
    .map(({ session }) => session);
}

/** @param {Query} query @param {string} sql @param {string[]} params */
async function ask(query, sql, params) {
  const rows = await query(sql, params, OPTIONS);
  return { ...JSON.parse(rows[0].said), node: rows.node };
}

/** @param {string} role @param {string} right */
const grant = (role, right) => `GRANT ${right} TO "${role.replaceAll('"', '""')}"`;

/**
 * What helps when the server has refused a pass.
 * @param {any} error
 * @param {string} role that was refused
 */
function cureFor(error, role) {
  const [, missing] = /\b(pg_\w+)/.exec(error.message) ?? [];
  // An error of the function itself: the session works as another role than the one that has logged in.
  if (error.routine !== 'aclcheck_error' || missing === undefined) return grant(role, 'pg_signal_backend');
  return grant(role, `EXECUTE ON FUNCTION pg_catalog.${missing}`);
}

/**
 * The error of a session that works as another role than it has logged in as: what its own sessions do is hidden from it.
 * @param {string} role
 */
function blind(role) {
  const message = `permission denied: the role ${role} does not see what other sessions do`;
  return Object.assign(new DatabaseError(message, NO_RIGHT), {
    hint: grant(role, 'pg_read_all_stats, pg_signal_backend'),
  });
}

/** @param {LeaseOption} lease the option */
const limitsOf = ({ minConnectionIdleTimeSec, role = '' }) => [String(minConnectionIdleTimeSec), role];

/**
 * What a pass would end.
 * @param {Query} query
 * @param {LeaseOption} lease the option
 * @returns {Promise<{ locked: boolean, now: number, user: string, victims: Candidate[], node: string }>}
 */
async function rehearseNode(query, lease) {
  const { locked, now, sessions, node, user, sees } = await ask(query, LOOK, [lease.service, ...limitsOf(lease)]);
  if (!sees && lease.role === undefined) throw blind(user);
  return { locked, now, user, victims: expired(sessions ?? [], now, lease), node };
}

/**
 * Runs a pass. The session it runs in may have been another's meanwhile, and the node another's: the second statement ends only what is
 * still exactly what the first has seen.
 * @param {Query} query
 * @param {LeaseOption} lease the option
 * @returns {Promise<{ locked: boolean, now: number, killed: number, ended: Candidate[], node: string }>} `now`: by the server's clock
 */
async function reapNode(query, lease) {
  const { victims, ...seen } = await rehearseNode(query, lease);
  if (victims.length === 0) return { ...seen, killed: 0, ended: [] };
  const params = [JSON.stringify(victims), ...limitsOf(lease), lease.service];
  const { locked, pids } = await ask(query, KILL, params).catch((error) => {
    if (error.code === NO_RIGHT) error.hint ??= cureFor(error, seen.user);
    throw error;
  });
  const ended = victims.filter(({ pid }) => pids?.includes(pid));
  return { ...seen, locked, killed: ended.length, ended };
}

module.exports = { NO_RIGHT, cureFor, reapNode, rehearseNode };
