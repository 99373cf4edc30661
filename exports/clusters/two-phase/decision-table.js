'use strict';

// The table of decisions: its DDL and every statement on it. docs/two-phase-commit.md says why each is as it is.
//
// A row is what was decided on one transaction that spans clusters. `commit` is inserted by the process that has run it, when every
// participant is prepared; `abort` by a recovery that has found a prepared participant and no decision. Whichever of the two is there
// first is the decision, because both have the same key. When all have committed, the process that has decided removes its row. A
// recovery makes it `committed` instead: that process may not know yet that its decision was written, and asks for it again; and another
// recovery that has found the transaction before may be about to insert `abort`. One more row has the name of the coordinator.

const { randomBytes } = require('node:crypto');

/** @typedef {'commit' | 'abort' | 'committed'} Outcome */
/** @typedef {{ id: string, outcome: Outcome, participants: string[] }} Decision */

/**
 * So long after its last statement a transaction may still be decided to be committed, by the clock of the server that has the table.
 * What a recovery has written is kept for twice this time: when it is removed nobody can insert `commit` in its place any more. The clocks
 * of the participants may differ from that server's by the same time.
 */
const COMMIT_WITHIN_S = 86_400;
const KEEP_S = 2 * COMMIT_WITHIN_S;

/** The key of the row that has the coordinator's name. No transaction has it: their ids are hexadecimal digits. */
const COORDINATOR = 'coordinator';

/** Random, so that no other application has it: 96 bits. */
const randomId = () => randomBytes(12).toString('hex');

/** @param {string} name */
const quotedName = (name) => `"${name.replaceAll('"', '""')}"`;
/** @param {string} table as the option `decisions.table` has it */
const quotedTable = (table) => table.split('.').map(quotedName).join('.');

/** @param {string} table as the option `decisions.table` has it */
const tableDdl = (table) => `CREATE TABLE IF NOT EXISTS ${quotedTable(table)} (
  id text PRIMARY KEY,
  outcome text NOT NULL CHECK (outcome IN ('commit', 'abort', 'committed', 'identity')),
  participants text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
)`;

/** Seconds since 1970 by the clock of the server. */
const NOW = "pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())";

/**
 * A COMMIT waits for the disk, and for the standby where one is waited for, whatever the session has set: a weaker level is raised.
 * It holds for the transaction in which it is evaluated.
 */
const DURABLE = `pg_catalog.set_config('synchronous_commit', CASE WHEN pg_catalog.current_setting('synchronous_commit')
  IN ('off', 'local', 'remote_write') THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true)`;
/** What need not be on the disk when it is answered: if it is lost it is done again. */
const LAZY = "pg_catalog.set_config('synchronous_commit', 'off', true)";

/** What there is of a table; no row: there is no such table. */
const EXAMINE = `SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence
FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)`;

/**
 * The statements of a table. Each that reads what the caller acts on also writes the row: its own COMMIT is answered when the row is on
 * the standby that is waited for. A SELECT would show a row, too, whose INSERT has been cancelled while it waited for the standby, and
 * which is lost with this server.
 * @param {string} table as the option `decisions.table` has it
 */
function statementsOf(table) {
  const name = quotedTable(table);
  return {
    /** The name of the coordinator: the first one that was inserted. */
    identify: `INSERT INTO ${name} AS decision (id, outcome, participants)
SELECT '${COORDINATOR}', 'identity', ARRAY[$1::text] FROM ${DURABLE}
ON CONFLICT (id) DO UPDATE SET outcome = decision.outcome RETURNING decision.participants`,
    /** What is decided: this, or what somebody has decided before. No row: it is too late for a decision ($4). */
    decide: `INSERT INTO ${name} AS decision (id, outcome, participants)
SELECT $1::text, $2::text, $3::text[] FROM ${DURABLE} WHERE $4::float8 > ${NOW}
ON CONFLICT (id) DO UPDATE SET outcome = decision.outcome RETURNING decision.outcome, decision.participants`,
    /** Those that are to be committed, and what was decided on the ids in $1. */
    list: `SELECT id, outcome, participants FROM ${name} WHERE outcome = 'commit' OR id = ANY ($1::text[])`,
    /** The same decisions when a failover cannot lose them any more. */
    confirm: `UPDATE ${name} AS decision SET outcome = decision.outcome FROM ${DURABLE}
WHERE decision.id = ANY ($1::text[]) AND decision.outcome <> 'identity'
RETURNING decision.id, decision.outcome, decision.participants`,
    /** Every participant has committed. */
    remove: `DELETE FROM ${name} AS decision USING ${LAZY} WHERE decision.id = ANY ($1::text[]) AND decision.outcome = 'commit'`,
    /** The same, by a recovery. */
    settle: `UPDATE ${name} AS decision SET outcome = 'committed' FROM ${LAZY} WHERE decision.id = $1 AND decision.outcome = 'commit'`,
    removeOld: `DELETE FROM ${name} AS decision USING ${LAZY} WHERE decision.outcome IN ('abort', 'committed')
AND decision.created_at < pg_catalog.clock_timestamp() - ${KEEP_S} * interval '1 second'`,
  };
}

/**
 * What makes a table unfit; undefined: nothing.
 * @param {{ kind: string, persistence: string }} row of EXAMINE
 */
function fault({ kind, persistence }) {
  if (kind !== 'r' && kind !== 'p') return 'is not a table';
  if (persistence !== 'p') return 'is unlogged or temporary: a crash of the server would empty it';
  return undefined;
}

module.exports = {
  COMMIT_WITHIN_S,
  DURABLE,
  EXAMINE,
  NOW,
  fault,
  quotedTable,
  randomId,
  statementsOf,
  tableDdl,
};
