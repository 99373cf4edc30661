'use strict';

// Statements that leave a changed setting in their session, by everything that PostgreSQL lets a statement run. The objects that
// they name are in settings.js.

/**
 * @typedef {object} More
 * @property {unknown[]} [params]
 * @property {string} [before] a statement that the session needs ahead
 * @property {string} [after] a statement that makes another run possible
 * @property {boolean} [isPlainRole] a superuser would not be concerned
 * @property {boolean} [isOutside] it cannot run in a transaction
 * @property {boolean} [isAtCommit] it changes the session when its transaction commits
 * @property {boolean} [isAlone] sessions that run it at a time may get into each other's way
 * @property {number} [since] the first version of PostgreSQL that has it
 */

/** @typedef {[title: string, sql: string, more?: More]} Row */

const SETTINGS = /** @type {[name: string, value: string][]} */ ([
  ['work_mem', '7MB'],
  ['statement_timeout', '77s'],
  ['lock_timeout', '77s'],
  ['search_path', 'pg_catalog'],
  ['role', 'app'],
  ['session_authorization', 'app'],
  ['session_replication_role', 'replica'],
  ['row_security', 'off'],
  ['default_transaction_isolation', 'serializable'],
  ['TimeZone', 'Asia/Tokyo'],
  ['DateStyle', 'German'],
  ['IntervalStyle', 'iso_8601'],
  ['application_name', 'somebody'],
]);

/** @type {Row[]} */
const OF_EACH_SETTING = SETTINGS.map(([name, value]) => [
  `set_config of ${name}`,
  `SELECT set_config('${name}', '${value}', false)`,
]);

const CALL = "set_config('app.tenant', 'secret', false)";

/** How the call of set_config may be written. @type {Row[]} */
const SPELLINGS = [
  ['set_config of a custom setting', `SELECT ${CALL}`],
  ['SET_CONFIG in capitals', "SELECT SET_CONFIG('app.tenant', 'secret', FALSE)"],
  ['pg_catalog.set_config', `SELECT pg_catalog.${CALL}`],
  ['set_config with spaces around the dot', `SELECT pg_catalog . ${CALL}`],
  ['"set_config" in quotes', `SELECT "set_config"('app.tenant', 'secret', false)`],
  ['set_config in Unicode escapes', `SELECT U&"\\0073et_config"('app.tenant', 'secret', false)`],
  ['set_config with comments', "SELECT set_config /* of /* the */ tenant */ -- so\n ('app.tenant', 'secret', false)"],
  ['set_config with its value as a parameter', "SELECT set_config('app.tenant', $1, false)", { params: ['secret'] }],
  ['set_config with its name as a parameter', "SELECT set_config($1, '7MB', false)", { params: ['work_mem'] }],
  [
    'set_config of what the server reports, as parameters',
    'SELECT set_config($1, $2, false)',
    { params: ['TimeZone', 'Asia/Tokyo'] },
  ],
  [
    'set_config with everything as parameters',
    'SELECT set_config($1, $2, $3)',
    { params: ['app.tenant', 'secret', false] },
  ],
  ["set_config with is_local = 'f'", "SELECT set_config('app.tenant', 'secret', 'f')"],
  ['set_config with is_local = NULL', "SELECT set_config('app.tenant', 'secret', NULL)"],
  ['set_config with is_local = (1 = 2)', "SELECT set_config('app.tenant', 'secret', 1 = 2)"],
  ['set_config with is_local = true, inverted', "SELECT set_config('app.tenant', 'secret', NOT true)"],
  ['set_config with a value that ends like a local call', "SELECT set_config('app.tenant', 'a'', true)', false)"],
  ['set_config behind a local one', `SELECT set_config('app.other', 'x', true), ${CALL}`],
  ['set_config ahead of a local one', `SELECT ${CALL}, set_config('app.other', 'x', true)`],
  ['set_config in an argument of set_config', `SELECT set_config('app.tenant', ${CALL}, false)`],
];

/** Where in a statement set_config may stand. @type {Row[]} */
const PLACES = [
  ['set_config in a CTE', `WITH x AS MATERIALIZED (SELECT ${CALL} AS v) SELECT v FROM x`],
  ['set_config in a subquery', `SELECT (SELECT ${CALL}) AS v`],
  ['set_config in WHERE', `SELECT 1 AS v FROM plain WHERE ${CALL} = 'secret'`],
  ['set_config in FROM', `SELECT * FROM ${CALL}`],
  ['set_config in VALUES', `VALUES (${CALL})`],
  ['set_config in ORDER BY', `SELECT id FROM plain ORDER BY ${CALL}`],
  ['set_config in LIMIT', `SELECT id FROM plain LIMIT length(${CALL})`],
  ['set_config in CASE', `SELECT CASE WHEN id = 2 THEN ${CALL} END FROM plain`],
  ['set_config in LATERAL', `SELECT v FROM plain, LATERAL (SELECT ${CALL} || id AS v OFFSET 0) AS x`],
  ['set_config in HAVING', `SELECT count(*) FROM plain HAVING ${CALL} = 'secret'`],
  ['set_config in RETURNING', `INSERT INTO plain VALUES (4) RETURNING ${CALL}`],
  ['set_config in an UPDATE', `UPDATE plain SET id = id WHERE ${CALL} = 'secret'`, { isAlone: true }],
  [
    'set_config in a MERGE',
    `MERGE INTO plain USING (SELECT ${CALL} AS v) AS x ON id::text = v WHEN MATCHED THEN DELETE`,
    { since: 15 },
  ],
  ['UPDATE pg_settings', "UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'"],
  [
    'set_config in the text of query_to_xml()',
    "SELECT query_to_xml('SELECT set_config(''app.tenant'', ''secret'', false)', true, true, '')::text",
  ],
  [
    'set_config in the text of ts_stat()',
    "SELECT word FROM ts_stat('SELECT to_tsvector(set_config(''app.tenant'', ''secret'', false))')",
  ],
  ['a function in C of an extension', 'SELECT set_limit(0.7)'],
];

/** Commands. @type {Row[]} */
const COMMANDS = [
  ['SET', "SET app.tenant = 'secret'"],
  ['SET SESSION', "SET SESSION work_mem = '7MB'"],
  ['SET ROLE', 'SET ROLE app'],
  ['SET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION app'],
  ['SET TIME ZONE', "SET TIME ZONE 'Asia/Tokyo'"],
  ['a DO block', `DO $$ BEGIN PERFORM ${CALL}; END $$`],
  ['a DO block with SET', "DO $$ BEGIN SET app.tenant = 'secret'; END $$"],
  ['CALL of a procedure', 'CALL leak_procedure()'],
  ['CALL of a procedure that commits', 'CALL leak_and_commit()', { isOutside: true }],
  ['EXPLAIN ANALYZE', `EXPLAIN ANALYZE SELECT ${CALL}`],
  ['EXPLAIN ANALYZE of a function', 'EXPLAIN (ANALYZE, COSTS off) SELECT leak()'],
  ['EXPLAIN of a function that is run by the planner', 'EXPLAIN SELECT leak_immutable(1)'],
  ['EXPLAIN of a function that the planner estimates by', 'EXPLAIN SELECT 1 FROM plain WHERE id < leak_stable()'],
  ['CREATE TABLE AS', 'CREATE TEMP TABLE made AS SELECT leak() AS v', { after: 'DROP TABLE made' }],
  ['SELECT INTO', 'SELECT leak() AS v INTO TEMP TABLE made', { after: 'DROP TABLE made' }],
  ['ALTER TABLE ... USING', 'ALTER TABLE with_rows ALTER id TYPE int USING leak_immutable(id)', { isAlone: true }],
  ['EXECUTE of a prepared statement', 'EXECUTE leaking', { before: 'PREPARE leaking AS SELECT leak()' }],
  [
    'DECLARE of a cursor WITH HOLD',
    'DECLARE held CURSOR WITH HOLD FOR SELECT leak()',
    { after: 'CLOSE held', isAtCommit: true },
  ],
  ['COMMENT, with an event trigger', "COMMENT ON TABLE plain IS 'plain'", { isAlone: true }],
];

/** A row of `parent` with one of `child`. */
const WITH_CHILD = 'WITH p AS (INSERT INTO parent DEFAULT VALUES RETURNING id) INSERT INTO child SELECT id FROM p';

/** What else runs a function of users. @type {Row[]} */
const FUNCTIONS = [
  ['a PL/pgSQL function with set_config', 'SELECT leak()'],
  ['a PL/pgSQL function with SET', 'SELECT leak_by_set()'],
  ['a PL/pgSQL function with EXECUTE of a text that it puts together', 'SELECT leak_by_execute()'],
  ['a function that calls another', 'SELECT leak_by_another()'],
  ['a SECURITY DEFINER function', 'SELECT leak_by_definer()'],
  ['a function that sets work_mem', 'SELECT leak_work_mem()'],
  ['a function that sets the role', 'SELECT leak_role()'],
  ['a function with a SET clause of another setting', 'SELECT leak_beside_clause()'],
  ['a function with a SET clause of the setting that it sets', 'SELECT leak_over_clause()'],
  ['an SQL function', 'SELECT leak_sql()'],
  ['an SQL function with BEGIN ATOMIC', 'SELECT leak_atomic()', { since: 14 }],
  ['a function as the default of an argument', 'SELECT leak_by_default()'],
  ['a function in FROM', 'SELECT * FROM leak_rows()'],
  ['a function of a row, written as a column', 'SELECT plain.leak_row FROM plain'],
  ['a function declared IMMUTABLE', 'SELECT leak_immutable(1)'],
  ['an operator', 'SELECT 1 === 1 AS v'],
  ['an operator of ANY', 'SELECT 1 OPERATOR(public.===) ANY (ARRAY[2, 3]) AS v'],
  ['a cast', 'SELECT (1::boxed)::text AS v'],
  ['an aggregate', 'SELECT leak_count(id) FROM plain'],
  ['an aggregate as a window function', 'SELECT leak_count(id) OVER () FROM plain'],
  ['a domain', 'SELECT 1::leak_domain AS v'],
  ['a domain that a parameter has', 'SELECT $1::leak_domain AS v', { params: [1] }],
  ['a view with a function', 'SELECT * FROM with_function'],
  ['a view over a view with a function', 'SELECT * FROM over_view'],
  ['a policy', 'SELECT * FROM with_policy', { isPlainRole: true }],
  ['a trigger before an INSERT', 'INSERT INTO with_before VALUES (1)'],
  ['a trigger of an INSERT ... ON CONFLICT', 'INSERT INTO with_before VALUES (1) ON CONFLICT DO NOTHING'],
  ['a trigger after an INSERT', 'INSERT INTO with_after VALUES (1)'],
  ['a trigger of a CTE that writes', 'WITH x AS (INSERT INTO with_after VALUES (1) RETURNING id) SELECT id FROM x'],
  ['a trigger of TRUNCATE', 'TRUNCATE with_truncate'],
  ['a deferred trigger, at COMMIT', 'INSERT INTO with_deferred VALUES (1)', { isAtCommit: true }],
  ['a trigger of a view', 'INSERT INTO with_instead VALUES (1)'],
  ['a trigger of a partition', 'INSERT INTO with_partition VALUES (1)'],
  [
    'a trigger of a table that ON DELETE CASCADE reaches',
    'DELETE FROM parent',
    { before: WITH_CHILD, after: WITH_CHILD },
  ],
  ['a rule', 'INSERT INTO with_rule VALUES (1)'],
  ['the default of a column', 'INSERT INTO with_default (id) VALUES (1)'],
  ['a generated column', 'INSERT INTO with_generated (id) VALUES (1)'],
  ['a check of a column', 'INSERT INTO with_check VALUES (1)'],
  ['a column of a domain', 'INSERT INTO with_domain VALUES ($1)', { params: [1] }],
  ['an assignment with a cast', 'INSERT INTO with_boxed VALUES (1, 2)'],
  ['an index on an expression', 'INSERT INTO with_index VALUES (1)'],
];

/** What leaves a changed session behind. */
const LEAVING = [...SPELLINGS, ...OF_EACH_SETTING, ...PLACES, ...COMMANDS, ...FUNCTIONS];

/** What PostgreSQL itself takes back, so that nothing is left even where the pool undoes nothing. @type {Row[]} */
const TAKEN_BACK = [
  ['set_config(..., true) outside of a transaction', "SELECT set_config('app.tenant', 'secret', true)"],
  ['SET LOCAL in a function', 'SELECT local_only()'],
  ['SET LOCAL in a function with a SET clause of the same setting', 'SELECT clause_only()'],
  ['a function that sets in a block whose exception it catches', 'SELECT leak_then_fail()'],
  ['RESET', 'RESET work_mem'],
  ['SET ... TO DEFAULT', 'SET work_mem TO DEFAULT'],
  ['RESET ALL', 'RESET ALL'],
  ['RESET ROLE', 'RESET ROLE'],
  ['DISCARD ALL', 'DISCARD ALL', { isOutside: true }],
  ['REFRESH MATERIALIZED VIEW', 'REFRESH MATERIALIZED VIEW kept'],
  ['CREATE MATERIALIZED VIEW', 'CREATE MATERIALIZED VIEW made_now AS SELECT leak() AS v'],
  ['CREATE INDEX on an expression', 'CREATE INDEX ON plain (leak_immutable(id))'],
  ['REINDEX', 'REINDEX TABLE with_index', { isOutside: true }],
  ['ANALYZE of an index on an expression', 'ANALYZE with_index'],
  ['EXPLAIN without ANALYZE of a volatile function', 'EXPLAIN SELECT leak()'],
  ['a function that is not called', 'SELECT CASE WHEN id = 99 THEN leak() END FROM plain'],
  ['ALTER ROLE ... SET, which counts for later sessions', "ALTER ROLE app SET work_mem = '7MB'"],
];

module.exports = { COMMANDS, LEAVING, OF_EACH_SETTING, TAKEN_BACK };
