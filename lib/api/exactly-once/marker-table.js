'use strict';

// The table of exactly-once transactions: its DDL and every statement on it. docs/exactly-once.md says why each is as it is.
//
// A row is a marker. `attempt:...` stands for one run of a callback between BEGIN and COMMIT, `key:...` for a key of the user. Both are
// inserted by the transaction itself, so they are there if and only if the transaction has committed. A row that says 'aborted' was
// put there by whoever had to find out what became of an attempt, and proves that the attempt did not commit and never will.

const { randomUUID } = require('node:crypto');

/** @typedef {'committed' | 'aborted'} State */

/** The rights that a user of the table needs. */
const RIGHTS = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];
const COLUMNS = ['key', 'state', 'value', 'at'];
/** How many rows one statement of the clean-up deletes. */
const PIECE = 500;

/** @param {string} name */
const quotedName = (name) => `"${name.replaceAll('"', '""')}"`;
/** @param {string} text */
const quotedText = (text) => `'${text.replaceAll("'", "''")}'`;
/** The name of a table in SQL. @param {string} table as the option exactlyOnceTable has it */
const quotedTable = (table) => table.split('.').map(quotedName).join('.');

/**
 * What makes the table, statement by statement. It can be run again.
 * @param {string} table as the option exactlyOnceTable has it
 */
function tableDdl(table) {
  const name = quotedTable(table);
  const index = quotedName(`${table.split('.').at(-1)}_at`);
  return [
    `CREATE TABLE IF NOT EXISTS ${name} (
  key text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('committed', 'aborted')),
  value text,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
)`,
    `CREATE INDEX IF NOT EXISTS ${index} ON ${name} (at)`,
  ];
}

/**
 * What lets a role use the table.
 * @param {string} table as the option exactlyOnceTable has it
 * @param {string} role
 */
const tableGrant = (table, role) => `GRANT ${RIGHTS.join(', ')} ON ${quotedTable(table)} TO ${quotedName(role)}`;

/** A name for one attempt that no other has. It begins with the time: new rows are neighbours in the index. */
const attemptMarker = () => `attempt:${Date.now().toString(36)}-${randomUUID()}`;
/** @param {string} key */
const keyMarker = (key) => `key:${key}`;

/**
 * The statements of a table.
 * @param {string} table as the option exactlyOnceTable has it
 */
function statementsOf(table) {
  const name = quotedTable(table);
  return {
    /**
     * Goes with BEGIN, so COMMIT is never sent before it was answered.
     * @param {string} marker
     */
    insert: (marker) => `INSERT INTO ${name} (key, state) VALUES (${quotedText(marker)}, 'committed')`,
    /** No row: somebody else has committed this key. */
    claim: `INSERT INTO ${name} (key, state) VALUES ($1, 'committed') ON CONFLICT (key) DO NOTHING RETURNING state`,
    remember: `UPDATE ${name} SET value = $2 WHERE key = $1`,
    /**
     * Waits for the transaction that inserts the same marker, then says what became of it. It writes in either case, so that its own
     * COMMIT is answered only when what it says is as safe as `durability` wants. The comment is how `release` finds it.
     * @param {string} marker
     * @param {string | undefined} durability
     */
    settle: (marker, durability) =>
      `/* ${marker} */ INSERT INTO ${name} AS marker (key, state) SELECT $1, 'aborted'${
        durability === undefined ? '' : ` FROM ${withDurability(durability)}`
      } ON CONFLICT (key) DO UPDATE SET state = marker.state RETURNING state`,
    /**
     * The value of a key that is committed; it writes for the same reason.
     * @param {string | undefined} durability
     */
    recall: (durability) =>
      `UPDATE ${name} AS marker SET state = marker.state${
        durability === undefined ? '' : ` FROM ${withDurability(durability)}`
      } WHERE key = $1 RETURNING marker.value`,
    cleanUp: `WITH old AS (
  SELECT key FROM ${name} WHERE at < clock_timestamp() - $1::float8 * interval '1 ms' ORDER BY at LIMIT ${PIECE} FOR UPDATE SKIP LOCKED
), gone AS (DELETE FROM ${name} AS marker USING old WHERE marker.key = old.key RETURNING 1)
SELECT 1 AS one FROM gone`,
  };
}

/** synchronous_commit for the statement whose FROM this stands in. @param {string} durability checked */
const withDurability = (durability) => `pg_catalog.set_config('synchronous_commit', '${durability}', true)`;

/**
 * Ends the session that keeps a `settle` waiting, if it waits for its client between two statements: it is the session that has lost
 * its client. One that is at work, or that waits for a standby at its COMMIT, is left alone.
 */
const RELEASE = `SELECT pg_catalog.pg_terminate_backend(holder.pid)
FROM pg_catalog.pg_stat_activity AS waiter
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(waiter.pid)) AS blocking (pid)
JOIN pg_catalog.pg_stat_activity AS holder ON holder.pid = blocking.pid
WHERE waiter.query LIKE '/* ' || $1 || ' */%' AND waiter.wait_event_type = 'Lock' AND waiter.wait_event = 'transactionid'
  AND holder.state IN ('idle in transaction', 'idle in transaction (aborted)')`;

/** What there is of a table, in texts; no row: there is no such table. */
const EXAMINE = `SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence,
  (SELECT pg_catalog.string_agg(a.attname::text, ',') FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT pg_catalog.string_agg(a.attname::text, ',') FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1) AS keys,
  (SELECT pg_catalog.string_agg(p, ', ') FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
    WHERE NOT pg_catalog.has_table_privilege(c.oid, p)) AS missing
FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)`;

/**
 * What makes a table unfit; undefined: nothing.
 * @param {Record<string, string | null> | undefined} row of EXAMINE
 */
function fault(row) {
  if (row === undefined) return 'does not exist';
  const has = (/** @type {string} */ list, /** @type {string} */ name) => (row[list] ?? '').split(',').includes(name);
  if (!['r', 'p'].includes(row.kind ?? '')) return 'is not a table';
  if (row.persistence !== 'p') return 'is unlogged or temporary: a crash of the server would empty it';
  const absent = COLUMNS.filter((name) => !has('columns', name));
  if (absent.length > 0) return `has no column ${absent.join(', ')}`;
  if (!has('keys', 'key')) return 'has no unique index on key';
  if (row.missing !== null) return `may not be used by this user: ${row.missing} is not granted`;
  return undefined;
}

module.exports = {
  EXAMINE,
  PIECE,
  RELEASE,
  attemptMarker,
  fault,
  keyMarker,
  quotedTable,
  statementsOf,
  tableDdl,
  tableGrant,
};
