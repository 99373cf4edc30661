'use strict';

// What the tests of `reset` have in common: a database with objects that change the settings of a session, and a look at the
// settings that they change. The statements that use these objects are in settings.statements.js.

const { createPool } = require('../../client.js');

/** The database of the objects. */
const DATABASE = 'settings_left';

/** Settings that every server has, and that the statements change. */
const BUILT_IN = [
  'work_mem',
  'statement_timeout',
  'lock_timeout',
  'search_path',
  'session_replication_role',
  'row_security',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'application_name',
];

/**
 * Shows what a session has. A custom setting that was reset is '' and not NULL, and a setting of an extension is NULL until the
 * library is loaded: neither is a leak.
 */
const LOOK = `SELECT coalesce(current_setting('app.tenant', true), '') AS tenant,
  coalesce(nullif(current_setting('pg_trgm.similarity_threshold', true), '0.3'), '') AS threshold,
  current_user::text AS "user", session_user::text AS login,
  ${BUILT_IN.map((name) => `current_setting('${name}') AS "${name}"`).join(', ')}`;

/** @typedef {Record<string, string>} Settings */

/** The settings of the session. @param {any} runner a pool or a transaction @returns {Promise<Settings>} */
const settingsOf = (runner) => runner.one(LOOK);

/** What differs: `tenant: '' became 'secret'`. @param {Settings} before @param {Settings} after */
function changesOf(before, after) {
  return Object.keys(before)
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name}: '${before[name]}' became '${after[name]}'`);
}

/** A function whose body is `body`. @param {string} name @param {string} body @param {string} [more] */
const plpgsql = (name, body, more = '') =>
  `CREATE FUNCTION ${name} LANGUAGE plpgsql ${more} AS $$ BEGIN ${body} END $$;`;

/** Sets the tenant of the session. */
const SET_TENANT = "PERFORM set_config('app.tenant', 'secret', false);";

const FUNCTIONS = `
  ${plpgsql('leak() RETURNS text', `${SET_TENANT} RETURN 'done';`)}
  ${plpgsql('leak_by_set() RETURNS text', "SET app.tenant = 'secret'; RETURN 'done';")}
  ${plpgsql('leak_by_execute() RETURNS text', "EXECUTE 'SE' || 'T app.tenant = ''secret'''; RETURN 'done';")}
  ${plpgsql('leak_by_another() RETURNS text', 'RETURN leak();')}
  ${plpgsql('leak_by_definer() RETURNS text', `${SET_TENANT} RETURN 'done';`, 'SECURITY DEFINER')}
  ${plpgsql('leak_work_mem() RETURNS text', "SET work_mem = '7MB'; RETURN 'done';")}
  ${plpgsql('leak_role() RETURNS text', "SET ROLE app; RETURN 'done';")}
  ${plpgsql('leak_beside_clause() RETURNS text', `${SET_TENANT} RETURN 'done';`, "SET work_mem = '8MB'")}
  ${plpgsql('leak_over_clause() RETURNS text', `${SET_TENANT} RETURN 'done';`, "SET app.tenant = 'own'")}
  ${plpgsql('local_only() RETURNS text', "PERFORM set_config('app.tenant', 'secret', true); RETURN 'done';")}
  ${plpgsql('clause_only() RETURNS text', "SET LOCAL app.tenant = 'secret'; RETURN 'done';", "SET app.tenant = 'own'")}
  ${plpgsql(
    'leak_then_fail() RETURNS text',
    `BEGIN ${SET_TENANT} RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN 'done';`,
  )}
  CREATE FUNCTION leak_sql() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.tenant', 'secret', false) $$;
  DO $do$ BEGIN
    IF current_setting('server_version_num')::int >= 140000 THEN
      EXECUTE $$ CREATE FUNCTION leak_atomic() RETURNS text LANGUAGE sql
        BEGIN ATOMIC SELECT set_config('app.tenant', 'secret', false); END $$;
    END IF;
  END $do$;
  CREATE FUNCTION leak_by_default(a text DEFAULT leak()) RETURNS text LANGUAGE sql AS $$ SELECT a $$;
  ${plpgsql('leak_rows() RETURNS SETOF int', `${SET_TENANT} RETURN QUERY SELECT generate_series(1, 3);`)}
  ${plpgsql('leak_true(int) RETURNS bool', `${SET_TENANT} RETURN true;`)}
  ${plpgsql('leak_equal(int, int) RETURNS bool', `${SET_TENANT} RETURN $1 = $2;`)}
  ${plpgsql('leak_immutable(int) RETURNS int', `${SET_TENANT} RETURN $1;`, 'IMMUTABLE')}
  ${plpgsql('leak_stable() RETURNS int', `${SET_TENANT} RETURN 1;`, 'STABLE')}
  ${plpgsql('leak_trigger() RETURNS trigger', `${SET_TENANT} RETURN coalesce(NEW, OLD);`)}
  ${plpgsql('leak_event() RETURNS event_trigger', SET_TENANT)}
  CREATE PROCEDURE leak_procedure() LANGUAGE plpgsql AS $$ BEGIN ${SET_TENANT} END $$;
  CREATE PROCEDURE leak_and_commit() LANGUAGE plpgsql AS $$ BEGIN ${SET_TENANT} COMMIT; END $$;
  CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = leak_equal);
  ${plpgsql('leak_sum(int, int) RETURNS int', `${SET_TENANT} RETURN $1 + 1;`)}
  CREATE AGGREGATE leak_count(int) (SFUNC = leak_sum, STYPE = int, INITCOND = 0);
  CREATE TYPE boxed AS (number int);
  ${plpgsql('leak_boxed(int) RETURNS boxed', `${SET_TENANT} RETURN row($1);`)}
  CREATE CAST (int AS boxed) WITH FUNCTION leak_boxed(int) AS ASSIGNMENT;
  CREATE DOMAIN leak_domain AS int CHECK (leak_true(VALUE));
`;

/** @param {string} table @param {string} when */
const trigger = (table, when) =>
  `CREATE TRIGGER leaking ${when} ON ${table} FOR EACH ROW EXECUTE FUNCTION leak_trigger();`;

const TABLES = `
  CREATE TABLE plain (id int);
  INSERT INTO plain VALUES (1), (2), (3);
  CREATE TABLE with_rows (id int);
  INSERT INTO with_rows VALUES (1);
  CREATE TABLE with_before (id int);
  ${trigger('with_before', 'BEFORE INSERT OR UPDATE')}
  CREATE TABLE with_after (id int);
  ${trigger('with_after', 'AFTER INSERT')}
  CREATE TABLE with_truncate (id int);
  CREATE TRIGGER leaking BEFORE TRUNCATE ON with_truncate FOR EACH STATEMENT EXECUTE FUNCTION leak_trigger();
  CREATE TABLE with_deferred (id int);
  CREATE CONSTRAINT TRIGGER leaking AFTER INSERT ON with_deferred DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION leak_trigger();
  CREATE TABLE with_default (id int, note text DEFAULT leak());
  CREATE TABLE with_generated (id int, twice int GENERATED ALWAYS AS (leak_immutable(id)) STORED);
  CREATE TABLE with_check (id int CHECK (leak_true(id)));
  CREATE TABLE with_domain (id leak_domain);
  CREATE TABLE with_boxed (id int, value boxed);
  CREATE TABLE with_index (id int);
  CREATE INDEX ON with_index (leak_immutable(id));
  CREATE TABLE with_policy (id int);
  INSERT INTO with_policy VALUES (1);
  ALTER TABLE with_policy ENABLE ROW LEVEL SECURITY;
  CREATE POLICY leaking ON with_policy USING (leak_true(id));
  CREATE TABLE with_rule (id int);
  CREATE RULE leaking AS ON INSERT TO with_rule DO ALSO SELECT leak();
  CREATE TABLE with_partition (id int) PARTITION BY LIST (id);
  CREATE TABLE with_partition_1 PARTITION OF with_partition FOR VALUES IN (1);
  ${trigger('with_partition_1', 'BEFORE INSERT')}
  CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
  CREATE TABLE child (parent int REFERENCES parent ON DELETE CASCADE);
  ${trigger('child', 'BEFORE DELETE')}
  CREATE VIEW with_function AS SELECT id, leak() AS note FROM plain;
  CREATE VIEW over_view AS SELECT note FROM with_function;
  CREATE VIEW with_instead AS SELECT id FROM plain;
  ${trigger('with_instead', 'INSTEAD OF INSERT')}
  ${plpgsql('leak_row(plain) RETURNS text', `${SET_TENANT} RETURN 'done';`)}
  CREATE MATERIALIZED VIEW kept AS SELECT leak();
  CREATE EVENT TRIGGER leaking ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION leak_event();
  GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
`;

/** Makes the database with its objects. @param {import('./cluster').Cluster} cluster */
async function makeDatabase(cluster) {
  await cluster.primary().sql(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`);
  await cluster.primary().sql(`CREATE DATABASE ${DATABASE}`);
  const { hosts, user, password } = cluster;
  const pool = createPool({ hosts, user, password, database: DATABASE, poolSize: 1, monitor: false });
  try {
    await pool.exec(`${FUNCTIONS} ${TABLES} CREATE EXTENSION pg_trgm;`);
  } finally {
    await pool.end();
  }
}

/**
 * The options of a pool on that database, as a superuser or as the plain role `app`, whom policies concern.
 * @param {ReturnType<typeof import('./helpers').useCluster>} db
 * @param {{ isPlainRole?: boolean }} [login]
 */
function loginTo(db, { isPlainRole = false } = {}) {
  return { database: DATABASE, ...(isPlainRole && db.cluster.app) };
}

module.exports = { DATABASE, changesOf, loginTo, makeDatabase, settingsOf };
