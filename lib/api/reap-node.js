'use strict';

// One pass over the expired sessions of one node, as one transaction of at most two statements.
//
// The first takes the lock of the service and reads its sessions with the server's clock. JavaScript verifies their leases. The second
// ends those that have expired, and looks at each again at the moment of the kill. Two locks keep others out, both until COMMIT:
// - (PASS, hashtext(service)): one pass at a time for a service. pg-aequor takes the same lock.
// - (SESSION, pid): whoever renews a lease takes it, too, for the time of the renewal. So a session that has got the answer to its
//   renewal is seen with its new lease, and one that is about to be ended cannot renew.

const { verifyLease } = require('../values/lease.js');

/** What begins a transaction on one node. @typedef {(options: object) => Promise<import('./transaction-handle.js').Transaction>} Begin */
/** @typedef {{ pid: number, name: string, started: string }} Candidate */

/** 'PGAQ' in ASCII. */
const PASS = 0x50474151;
const SESSION = PASS + 1;
/** A statement of a pass may take so long. */
const STATEMENT_MS = 10_000;
/** A process that freezes in a pass must not keep the lock: the server ends its session then. */
const FROZEN_MS = 10_000;

/**
 * Both statements answer with JSON as text, and take text: so no type that a pool has chosen a parser for is in the way. What a pass
 * may see of its own role's sessions needs no right.
 */
const LOOK = `
WITH lock AS MATERIALIZED (
  SELECT pg_catalog.pg_try_advisory_xact_lock(${PASS}, pg_catalog.hashtext($1::text)) AS locked,
    pg_catalog.set_config('idle_in_transaction_session_timeout', '${FROZEN_MS}', true)
)
SELECT pg_catalog.json_build_object(
  'locked', lock.locked,
  'now', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000,
  'sessions', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'pid', other.pid, 'name', other.application_name, 'started', other.backend_start::text))
    FROM pg_catalog.pg_stat_get_activity(CASE WHEN lock.locked THEN NULL ELSE -1 END) AS other,
      pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS me
    WHERE other.pid <> me.pid AND other.datid = me.datid AND other.usesysid = me.usesysid
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
SELECT pg_catalog.json_build_object('killed', pg_catalog.count(*) FILTER (WHERE ended))::text AS said
FROM (
  SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock(${SESSION}, victim.pid) THEN
    CASE WHEN pg_catalog.pg_stat_clear_snapshot()::text IS NOT NULL THEN (
      SELECT pg_catalog.pg_terminate_backend(now.pid)
      FROM pg_catalog.pg_stat_get_activity(victim.pid) AS now
      WHERE now.application_name = victim.name AND now.backend_start = victim.started
        AND now.datid = me.datid AND now.usesysid = me.usesysid
        AND now.backend_type = 'client backend' AND now.state = 'idle'
        AND now.state_change <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2::text::float8)
    ) END
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
 * @param {Record<string, any>} lease the option
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

/**
 * @param {import('./transaction-handle.js').Transaction} tx
 * @param {Record<string, any>} lease the option
 */
async function reapWithin(tx, lease) {
  const ask = async (/** @type {string} */ sql, /** @type {string[]} */ params) => {
    const rows = /** @type {any} */ (await tx.query(sql, params, OPTIONS));
    return { ...JSON.parse(rows[0].said), node: rows.node };
  };
  const idleSec = String(lease.minConnectionIdleTimeSec);
  const { locked, now, sessions, node } = await ask(LOOK, [lease.service, idleSec]);
  const victims = expired(sessions ?? [], now, lease);
  if (victims.length === 0) return { locked, killed: 0, node };
  const { killed } = await ask(KILL, [JSON.stringify(victims), idleSec]);
  return { locked, killed, node };
}

/**
 * One call of the core at a time: whoever calls this relies on it.
 * @param {Begin} begin
 * @param {Record<string, any>} lease the option
 * @returns {Promise<{ locked: boolean, killed: number, node: string }>}
 */
async function reapNode(begin, lease) {
  const tx = await begin({ isolation: 'read committed' });
  try {
    const result = await reapWithin(tx, lease);
    await tx.commit();
    return result;
  } catch (error) {
    if (!tx.ended) await tx.rollback().catch(() => {});
    throw error;
  }
}

module.exports = { reapNode };
