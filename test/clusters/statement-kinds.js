'use strict';

// Kinds of statements, in the order in which they run: every command of PostgreSQL 15 and 18 that can be a first word
// (postgresql.org/docs/18/sql-commands.html), and what makes a SELECT a write. Each says where it belongs when the server decides: a standby
// is tried first, and what it refuses runs on the primary.

const { ALTERED, DROPPED, OBJECTS, nowhere, primary, standby } = require('./statement-kinds.objects.js');

/** @typedef {import('./statement-kinds.objects.js').Kind} Kind */

/** A statement that writes a row into k.applied: `{label}` is what the row has, `{mark}` a call that writes it. @param {string} sql @param {Partial<Kind>} [more] */
const marked = (sql, more) => primary(sql, { marks: true, ...more });

const FUNCTIONS = [
  primary(
    "CREATE FUNCTION k.write_plpgsql(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO k.applied VALUES ($1); RETURN 1; END'",
  ),
  primary(
    "CREATE FUNCTION k.write_dynamic(text) RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE format('INSERT INTO k.applied VALUES (%L)', $1); RETURN 1; END$$",
  ),
  primary("CREATE FUNCTION k.write_nested(text) RETURNS int LANGUAGE sql AS 'SELECT k.write_plpgsql($1)'"),
  primary(
    "CREATE FUNCTION k.write_definer(text) RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT k.write_plpgsql($1)'",
  ),
  primary(
    "CREATE FUNCTION k.write_set(text) RETURNS SETOF int LANGUAGE sql AS 'INSERT INTO k.applied VALUES ($1) RETURNING 1'",
  ),
  primary(
    'CREATE FUNCTION k.write_rethrown(text) RETURNS int LANGUAGE plpgsql AS ' +
      '$$BEGIN RETURN k.mark($1); EXCEPTION WHEN unique_violation THEN RETURN 0; END$$',
  ),
  primary("CREATE FUNCTION k.write_sfunc(int, text) RETURNS int LANGUAGE sql AS 'SELECT k.mark($2)'"),
  primary('CREATE AGGREGATE k.write_all (text) (SFUNC = k.write_sfunc, STYPE = int)'),
  primary("CREATE FUNCTION k.write_left(text) RETURNS int LANGUAGE sql AS 'SELECT k.mark($1)'"),
  primary('CREATE OPERATOR k.!!! (FUNCTION = k.write_left, RIGHTARG = text)'),
  primary(
    "CREATE FUNCTION k.write_returning(text) RETURNS k.applied LANGUAGE sql AS 'INSERT INTO k.applied VALUES ($1) RETURNING *'",
  ),
  primary("CREATE PROCEDURE k.proc(text) LANGUAGE sql AS 'INSERT INTO k.applied VALUES ($1)'"),
  primary(
    "CREATE PROCEDURE k.proc_commit(text) LANGUAGE plpgsql AS 'BEGIN INSERT INTO k.applied VALUES ($1); COMMIT; PERFORM 1; END'",
  ),
  primary(
    "CREATE PROCEDURE k.proc_late(text) LANGUAGE plpgsql AS 'BEGIN PERFORM count(*) FROM k.t; COMMIT; INSERT INTO k.applied VALUES ($1); COMMIT; END'",
  ),
  primary(
    "CREATE PROCEDURE k.proc_rollback(text) LANGUAGE plpgsql AS 'BEGIN INSERT INTO k.applied VALUES ($1); ROLLBACK; INSERT INTO k.applied VALUES ($1); END'",
  ),
  primary("CREATE PROCEDURE k.proc_out(text, INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := k.mark($1); END'"),
  primary(
    "CREATE PROCEDURE k.proc_reads(INOUT n bigint) LANGUAGE plpgsql AS 'BEGIN SELECT count(*) INTO n FROM k.t; END'",
  ),
];

const MARKED = [
  marked('SELECT {mark}'),
  marked('SELECT 1 FROM (SELECT {mark}) AS s (m) WHERE m = 1'),
  marked('SELECT 1 WHERE {mark} = 1'),
  marked('SELECT 1 ORDER BY {mark}'),
  marked('SELECT 1 LIMIT {mark}'),
  marked('SELECT 1 GROUP BY {mark} HAVING count(*) > 0'),
  marked('SELECT CASE WHEN true THEN {mark} ELSE 0 END'),
  marked('SELECT coalesce(NULL, {mark})'),
  marked('SELECT (SELECT {mark})'),
  marked('SELECT ARRAY[{mark}]'),
  marked('SELECT ROW({mark})'),
  marked('SELECT * FROM generate_series(1, {mark})'),
  marked('SELECT * FROM (VALUES (1)) AS v (i), LATERAL (SELECT {mark}) AS l'),
  marked('SELECT 1 FROM (VALUES (1)) AS v (i) JOIN (VALUES (1)) AS w (j) ON i = {mark}'),
  marked('SELECT DISTINCT {mark}'),
  marked('SELECT sum({mark})'),
  marked('SELECT sum({mark}) OVER ()'),
  marked('SELECT 1 UNION ALL SELECT {mark}'),
  marked('(SELECT {mark})'),
  marked('VALUES ({mark})'),
  marked('WITH w AS MATERIALIZED (SELECT {mark} AS m) SELECT m FROM w'),
  marked('SELECT k.write_plpgsql({label})'),
  marked('SELECT k.write_dynamic({label})'),
  marked('SELECT k.write_nested({label})'),
  marked('SELECT k.write_definer({label})'),
  marked('SELECT k.write_set({label})'),
  marked('SELECT * FROM k.write_set({label})'),
  marked('SELECT k.write_rethrown({label})'),
  marked('SELECT k.write_all({label})'),
  marked('SELECT (k.write_returning({label})).label'),
  marked('SELECT OPERATOR(k.!!!) {label}::text'),
  marked('CALL k.proc({label})'),
  marked('CALL k.proc_commit({label})'),
  marked('CALL k.proc_late({label})'),
  marked('CALL k.proc_rollback({label})'),
  marked('CALL k.proc_out({label}, 0)'),
  standby('CALL k.proc_reads(0)'),
  marked('DO $$BEGIN INSERT INTO k.applied VALUES ({label}); END$$'),
  marked('DO $$BEGIN COMMIT; PERFORM {mark}; COMMIT; END$$'),
  marked('DO $$BEGIN BEGIN PERFORM {mark}; EXCEPTION WHEN division_by_zero THEN NULL; END; END$$'),
  standby('DO $$BEGIN PERFORM count(*) FROM k.t; END$$'),
  marked('INSERT INTO k.applied VALUES ({label})'),
  marked('INSERT INTO k.applied SELECT {label}'),
  marked('INSERT INTO k.applied (label) VALUES ({label}) RETURNING label'),
  marked('WITH w AS (INSERT INTO k.applied VALUES ({label}) RETURNING label) SELECT label FROM w'),
  marked('WITH w AS (INSERT INTO k.applied VALUES ({label})) SELECT 1'),
  marked('WITH w AS (SELECT {label} AS l) INSERT INTO k.applied SELECT l FROM w'),
  marked('EXPLAIN ANALYZE INSERT INTO k.applied VALUES ({label})'),
  marked('EXPLAIN (ANALYZE, VERBOSE) SELECT {mark}'),
  marked('CREATE TABLE IF NOT EXISTS k.marked AS SELECT {mark} AS m'),
  marked('SELECT set_config($$k.x$$, {mark}::text, false)'),
];

const READS = [
  standby('SELECT 1'),
  standby('SELECT id, v FROM k.t'),
  standby('SELECT count(*), max(v) FROM k.t GROUP BY note'),
  standby('SELECT * FROM k.t JOIN k.serial USING (id)'),
  standby('SELECT row_number() OVER (ORDER BY id) FROM k.t'),
  standby('SELECT DISTINCT ON (v) id FROM k.t'),
  standby('SELECT * FROM k.view'),
  standby('SELECT * FROM k.mat'),
  standby('SELECT * FROM k.foreign'),
  standby('SELECT * FROM k.parent'),
  standby('SELECT * FROM k.t TABLESAMPLE SYSTEM (10)'),
  standby('SELECT k.add(1, 2)'),
  standby('SELECT relname FROM pg_class LIMIT 1'),
  standby('SELECT last_value FROM k.seq'),
  standby('(SELECT 1)'),
  standby('SELECT 1 UNION SELECT 2'),
  standby('WITH w AS (SELECT 1 AS i) SELECT i FROM w'),
  standby('WITH RECURSIVE w (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM w WHERE i < 3) SELECT i FROM w'),
  standby('VALUES (1), (2)'),
  standby('TABLE k.t'),
  standby('EXPLAIN SELECT 1'),
  standby('EXPLAIN ANALYZE SELECT 1'),
  standby("EXPLAIN INSERT INTO k.applied VALUES ('no')"),
  standby('EXPLAIN CREATE TABLE k.no AS SELECT 1'),
  standby('SHOW work_mem'),
  standby('SHOW ALL'),
  standby('SELECT pg_sleep(0)'),
  standby('SELECT pg_is_in_recovery()'),
  standby('SELECT pg_last_wal_replay_lsn()'),
  standby('SELECT txid_current_if_assigned()'),
  standby('SELECT txid_current_snapshot()'),
  standby('SELECT pg_try_advisory_xact_lock(1)'),
  standby('SELECT lo_get(0::oid) WHERE false'),
  standby("COPY (SELECT 1) TO '/dev/null'"),
  // EXISTS needs no column, so that the function is not called.
  standby("SELECT EXISTS (SELECT k.mark('never'))"),
];

const ROWS = [
  primary("INSERT INTO k.t VALUES (1, 1, 'one'), (2, 2, 'two'), (3, 3, 'three')"),
  primary('INSERT INTO k.serial DEFAULT VALUES'),
  primary('INSERT INTO k.parent VALUES (1)'),
  primary('INSERT INTO k.t VALUES (1, 2) ON CONFLICT DO NOTHING'),
  primary('INSERT INTO k.t VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v'),
  primary('UPDATE k.t SET v = v + 1 WHERE id = 1'),
  primary('UPDATE k.t SET v = 0 WHERE false'),
  primary('UPDATE k.t SET v = s.v FROM k.serial s WHERE s.id = t.id RETURNING t.id'),
  primary('WITH w AS (UPDATE k.t SET v = 7 WHERE id = 2 RETURNING id) SELECT id FROM w'),
  primary('DELETE FROM k.t WHERE id = 3'),
  primary('DELETE FROM k.t USING k.serial s WHERE s.id = t.id AND false'),
  primary('WITH w AS (DELETE FROM k.serial WHERE false RETURNING id) SELECT id FROM w'),
  primary('MERGE INTO k.t USING (VALUES (2)) AS s (id) ON s.id = t.id WHEN MATCHED THEN UPDATE SET v = 8'),
  primary(
    'MERGE INTO k.t USING (VALUES (2)) AS s (id) ON s.id = t.id WHEN MATCHED THEN UPDATE SET v = 9 RETURNING t.id',
    {
      since: 17,
    },
  ),
  // It can change nothing, so that a standby runs it.
  standby('MERGE INTO k.t USING (VALUES (2)) AS s (id) ON s.id = t.id WHEN MATCHED THEN DO NOTHING'),
  primary('SELECT * FROM k.t FOR UPDATE'),
  primary('SELECT * FROM k.t FOR NO KEY UPDATE SKIP LOCKED'),
  primary('SELECT * FROM k.t FOR SHARE NOWAIT'),
  primary('SELECT * FROM k.t FOR KEY SHARE OF t'),
  primary('SELECT * FROM (SELECT * FROM k.t FOR UPDATE) AS s'),
  primary('SELECT id FROM k.unlogged'),
  primary('INSERT INTO k.unlogged VALUES (1)'),
  primary('SELECT count(*) FROM k.t, k.unlogged'),
  primary('TRUNCATE k.serial'),
  primary("COPY k.as_select FROM '/dev/null'"),
  primary("SELECT nextval('k.seq')"),
  primary("VALUES (nextval('k.seq'))"),
  primary("SELECT 1 WHERE nextval('k.seq') > 0"),
  primary("SELECT setval('k.seq', 100)"),
  primary("EXPLAIN ANALYZE SELECT nextval('k.seq')"),
  primary('REFRESH MATERIALIZED VIEW k.mat'),
  primary('REFRESH MATERIALIZED VIEW CONCURRENTLY k.mat'),
  primary('VACUUM k.t'),
  primary('VACUUM (FULL, ANALYZE) k.t'),
  primary('ANALYZE k.t'),
  primary('ANALYZE'),
  primary('REINDEX TABLE k.t'),
  primary('REINDEX INDEX CONCURRENTLY k.t_pkey'),
  primary('CLUSTER k.t USING t_pkey'),
  primary('CREATE TABLE IF NOT EXISTS k.t (id int)'),
  primary('DROP TABLE IF EXISTS k.none'),
];

const SERVER_FUNCTIONS = [
  primary('SELECT txid_current()'),
  primary('SELECT pg_current_xact_id()'),
  primary('SELECT pg_current_wal_lsn()'),
  primary('SELECT pg_current_wal_insert_lsn()'),
  primary('SELECT pg_walfile_name(pg_current_wal_lsn())'),
  primary('SELECT pg_switch_wal()'),
  primary("SELECT pg_create_restore_point('k')"),
  primary("SELECT pg_logical_emit_message(true, 'k', 'm')"),
  primary("SELECT pg_logical_emit_message(false, 'k', 'm')"),
  primary("SELECT pg_notify('k', 'x')"),
  primary("SELECT pg_replication_origin_create('k_origin')"),
  primary("SELECT pg_replication_origin_drop('k_origin')"),
  nowhere('42809', "SELECT brin_summarize_new_values('k.k_v')"),
  primary('SELECT lo_create(4711)'),
  primary("SELECT lo_from_bytea(4712, '\\x01')"),
  primary("SELECT lo_put(4712, 0, '\\x02')"),
  primary("SELECT lowrite(lo_open(4712, 131072), '\\x03')"),
  primary('SELECT lo_truncate(lo_open(4712, 131072), 0)'),
  standby('SELECT lo_get(4712)'),
  standby('SELECT loread(lo_open(4712, 262144), 1)'),
  primary('ALTER LARGE OBJECT 4711 OWNER TO CURRENT_USER'),
  primary('SELECT lo_unlink(4711)'),
  primary("SELECT lo_import('/dev/null', 4713)"),
  primary('SELECT lo_unlink(oid) FROM pg_largeobject_metadata'),
  standby('SELECT pg_export_snapshot()'),
  standby('SELECT pg_advisory_lock(1)'),
  standby('SELECT pg_advisory_unlock_all()'),
  standby('SELECT pg_stat_reset()'),
  standby("SELECT set_config('work_mem', '1MB', true)"),
];

const SESSION = [
  standby("SET work_mem = '8MB'"),
  standby("SET LOCAL work_mem = '8MB'"),
  standby('RESET work_mem'),
  standby('RESET ALL'),
  standby('SET ROLE k_role'),
  standby('SET ROLE NONE'),
  standby('SET SESSION AUTHORIZATION DEFAULT'),
  standby('SET TRANSACTION READ ONLY'),
  primary('SET TRANSACTION READ WRITE'),
  standby('SET CONSTRAINTS ALL DEFERRED'),
  standby('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE'),
  standby('DISCARD PLANS'),
  standby('DISCARD SEQUENCES'),
  standby('DISCARD TEMP'),
  standby('DISCARD ALL'),
  standby("LOAD 'plpgsql'"),
  standby('PREPARE k_prepared AS SELECT 1', { once: true }),
  nowhere('26000', 'EXECUTE k_missing'),
  nowhere('26000', 'DEALLOCATE k_missing'),
  standby('DEALLOCATE ALL'),
  nowhere('25P01', 'DECLARE k_cursor CURSOR FOR SELECT 1'),
  standby('DECLARE k_hold CURSOR WITH HOLD FOR SELECT 1', { once: true }),
  nowhere('34000', 'FETCH k_none'),
  nowhere('34000', 'MOVE k_none'),
  nowhere('34000', 'CLOSE k_none'),
  standby('CLOSE ALL'),
  nowhere('25P01', 'LOCK TABLE k.t'),
  nowhere('25P01', 'SAVEPOINT s'),
  nowhere('25P01', 'RELEASE SAVEPOINT s'),
  nowhere('25P01', 'ROLLBACK TO SAVEPOINT s'),
  nowhere('ERR_INVALID_PARAM', 'COMMIT'),
  nowhere('ERR_INVALID_PARAM', 'END'),
  nowhere('ERR_INVALID_PARAM', 'ROLLBACK'),
  nowhere('ERR_INVALID_PARAM', 'ABORT'),
  nowhere('ERR_INVALID_PARAM', 'BEGIN'),
  nowhere('ERR_INVALID_PARAM', 'BEGIN READ WRITE'),
  nowhere('ERR_INVALID_PARAM', 'START TRANSACTION'),
  primary("PREPARE TRANSACTION 'k'"),
  nowhere('42704', "COMMIT PREPARED 'k'"),
  nowhere('42704', "ROLLBACK PREPARED 'k'"),
  primary('LISTEN k_channel'),
  standby('UNLISTEN *'),
  primary('NOTIFY k_channel'),
  nowhere('ERR_INVALID_PARAM', 'COPY k.t TO STDOUT'),
  nowhere('ERR_INVALID_PARAM', 'COPY k.t FROM STDIN'),
  standby('CHECKPOINT'),
  standby("ALTER SYSTEM SET log_autovacuum_min_duration = '1min'"),
  standby('ALTER SYSTEM RESET log_autovacuum_min_duration'),
];

/**
 * All kinds, each with a text that occurs nowhere else: `label` is in it, for the server's log and for k.applied.
 * @param {number} version the server's
 * @returns {(Kind & { label: string })[]}
 */
function kindsOf(version) {
  const kinds = [OBJECTS, FUNCTIONS, READS, ROWS, MARKED, SERVER_FUNCTIONS, SESSION, ALTERED, DROPPED].flat();
  return kinds
    .filter(({ since = 0 }) => version >= since)
    .map((kind, number) => {
      const label = `kind ${number}.`;
      const sql = kind.sql.replace('{mark}', 'k.mark({label})').replaceAll('{label}', `'${label}'`);
      return { ...kind, label, sql: `${sql} /* ${label} */` };
    });
}

module.exports = { kindsOf };
