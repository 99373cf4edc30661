'use strict';

// The table in which each database has the migrations that were applied to it, and every statement on it.

const { ParameterError } = require('../../../client.js');

/**
 * A migration as the database knows it. `begun`: it runs outside of a transaction, and it is not known that it has ended.
 * @typedef {{ number: bigint, name: string, checksum: string, state: 'applied' | 'begun', appliedAt: string, durationMs: number | null }} Applied
 */
/** @typedef {{ name: string, exists: boolean }} Place where the table is, or would be made; `name`: in SQL */
/** @typedef {{ query(sql: string, params?: any, options?: any): Promise<any> }} Runner */

/**
 * Migrations of one database run one after the other: whoever applies one has this advisory lock until its transaction ends
 * (PostgreSQL docs, 13.3.5). The first number stands for this package's migrations, so that locks of others do not meet it.
 */
const LOCK = { class: 0x4844_4d47, id: 0 };

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** @param {unknown} table */
function checkTable(table) {
  const parts = typeof table === 'string' ? table.split('.') : [];
  const isName = (/** @type {string} */ part) => part !== '' && !part.includes('\0') && Buffer.byteLength(part) <= 63;
  if (parts.length < 1 || parts.length > 2 || !parts.every(isName)) {
    throw new ParameterError("table must be 'table' or 'schema.table', names of 1 to 63 bytes");
  }
  return /** @type {string} */ (table);
}

const FIND = `SELECT c.oid IS NOT NULL AS there, coalesce(n.nspname::text, pg_catalog.current_schema()::text) AS schema
FROM (SELECT pg_catalog.to_regclass($1) AS oid) AS t
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.oid LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace`;

/**
 * Its name has a schema, because a migration may change the search_path.
 * @param {Runner} runner
 * @param {string} table checked
 * @param {object} [options] of query()
 * @returns {Promise<Place>}
 */
async function findTable(runner, table, options) {
  const parts = table.split('.');
  const [{ there, schema: found }] = await runner.query(FIND, [parts.map(quoted).join('.')], options);
  const schema = parts.length === 2 ? parts[0] : found;
  if (schema === null) throw new ParameterError(`table: no schema of the search_path exists: say 'schema.${table}'`);
  return { name: `${quoted(schema)}.${quoted(/** @type {string} */ (parts.at(-1)))}`, exists: there };
}

/** @param {string} name in SQL */
const makeTable = (name) => `CREATE TABLE IF NOT EXISTS ${name} (
  number int8 PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  state text NOT NULL CHECK (state IN ('begun', 'applied')),
  applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  duration_ms float8,
  attempt text NOT NULL
)`;

/**
 * @param {Runner} runner
 * @param {Place} place
 * @param {object} [options] of query()
 * @returns {Promise<Applied[]>}
 */
async function readTable(runner, { name, exists }, options) {
  if (!exists) return [];
  // Texts: the pool may have other types for numbers and times.
  const rows = await runner.query(
    `SELECT number::text, name, checksum, state, duration_ms::text AS duration,
       pg_catalog.to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at
     FROM ${name} AS t ORDER BY t.number`,
    [],
    options,
  );
  return [...rows].map(({ number, name: called, checksum, state, at, duration }) => ({
    number: BigInt(number),
    name: called,
    checksum,
    state,
    appliedAt: at,
    durationMs: duration === null ? null : Number(duration),
  }));
}

/** Whoever waits for a lock in a statement has a snapshot, for which CREATE INDEX CONCURRENTLY waits: so nobody waits, all ask. */
const TRY_LOCK = `SELECT pg_catalog.pg_try_advisory_xact_lock(${LOCK.class}, ${LOCK.id}) AS locked, pg_catalog.pg_backend_pid() AS pid,
  (SELECT extract(epoch FROM backend_start)::text FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()) AS started,
  pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)`;

/** @param {string} name in SQL */
const insert = (name) =>
  `INSERT INTO ${name} (number, name, checksum, state, attempt) VALUES ($1::text::int8, $2, $3, $4, $5)`;

/** @param {string} name in SQL */
const complete = (name) =>
  `UPDATE ${name} SET state = 'applied', duration_ms = $3::text::float8, applied_at = pg_catalog.clock_timestamp()
WHERE number = $1::text::int8 AND attempt = $2`;

/** @param {string} name in SQL */
const forget = (name) => `DELETE FROM ${name} WHERE number = $1::text::int8 AND attempt = $2`;

/**
 * Whether this attempt was committed. It writes, so that its own COMMIT waits for a standby where commits do: what a node says that is
 * cut off from its standbys may be lost.
 * @param {string} name in SQL
 */
const settle = (name) =>
  `UPDATE ${name} SET attempt = attempt WHERE number = $1::text::int8 AND attempt = $2 RETURNING state`;

/** Ends the session whose COMMIT has no answer, if it has the lock and waits for its client, which is gone. */
const RELEASE = `SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity AS a JOIN pg_catalog.pg_locks AS l ON l.pid = a.pid
WHERE a.pid = $1 AND extract(epoch FROM a.backend_start)::text = $2 AND a.state LIKE 'idle in transaction%' AND l.locktype = 'advisory' AND l.granted
  AND l.classid = ${LOCK.class} AND l.objid = ${LOCK.id} AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`;

module.exports = {
  RELEASE,
  TRY_LOCK,
  checkTable,
  complete,
  findTable,
  forget,
  insert,
  makeTable,
  readTable,
  settle,
};
