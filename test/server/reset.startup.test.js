'use strict';

// The option `reset`: after a reset a session is as it was when it was new, with the settings of its startup and of its role, and
// not as the server's defaults have it. And what that means for row-level security.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { range, test, useCluster } = require('../support/helpers');
const { DATABASE, changesOf, loginTo, makeDatabase, settingsOf } = require('../support/settings');

const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await makeDatabase(db.cluster);
  await db.sql(`DROP ROLE IF EXISTS with_settings;
    CREATE ROLE with_settings LOGIN SUPERUSER PASSWORD 'with_settings';
    ALTER ROLE with_settings SET work_mem = '9MB';
    ALTER ROLE with_settings SET app.tenant = 'of the role';
    ALTER ROLE with_settings SET TimeZone = 'Europe/Rome';
    ALTER ROLE with_settings SET role = 'app';
    ALTER ROLE with_settings IN DATABASE ${DATABASE} SET IntervalStyle = 'postgres_verbose';
    ALTER DATABASE ${DATABASE} SET lock_timeout = '99s'`);
});

/**
 * Where settings of a new session come from, and what some of them are then.
 * @type {[title: string, options: Record<string, unknown>, expected: Record<string, string>][]}
 */
const SOURCES = [
  [
    'the option `options`',
    { options: { work_mem: '9MB', 'app.tenant': 'ours', TimeZone: 'Asia/Tokyo', search_path: 'public, pg_temp' } },
    { work_mem: '9MB', tenant: 'ours', TimeZone: 'Asia/Tokyo', search_path: 'public, pg_temp' },
  ],
  [
    'statementTimeoutMs and applicationName',
    { statementTimeoutMs: 54_321, applicationName: 'resets' },
    { statement_timeout: '54321ms', application_name: 'resets' },
  ],
  ['a role of the startup', { options: { role: 'app' } }, { user: 'app' }],
  [
    'ALTER ROLE ... SET and ALTER DATABASE ... SET',
    { user: 'with_settings', password: 'with_settings' },
    {
      work_mem: '9MB',
      tenant: 'of the role',
      TimeZone: 'Europe/Rome',
      user: 'app',
      login: 'with_settings',
      IntervalStyle: 'postgres_verbose',
      lock_timeout: '99s',
    },
  ],
];

const ANYTHING_ELSE = [
  ['work_mem', '7MB'],
  ['app.tenant', 'secret'],
  ['TimeZone', 'UTC'],
  ['search_path', 'pg_catalog'],
  ['statement_timeout', '0'],
  ['lock_timeout', '0'],
  ['application_name', ''],
  ['IntervalStyle', 'iso_8601'],
].map(([name, value]) => `set_config('${name}', '${value}', false)`);

/** Statements that change what these sources have set, or take it away. @type {[title: string, sql: string][]} */
const CHANGES = [
  ['set_config of everything', `SELECT ${ANYTHING_ELSE}`],
  ['set_config of the role', "SELECT set_config('role', 'none', false)"],
  ['functions that set', 'SELECT public.leak(), public.leak_work_mem()'],
  ['SET ROLE', 'SET ROLE NONE'],
  ['SET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT'],
  ['SET ... TO DEFAULT', 'SET work_mem TO DEFAULT'],
  ['RESET ALL', 'RESET ALL'],
  ['RESET ROLE', 'RESET ROLE'],
  ['DISCARD ALL', 'DISCARD ALL'],
  ['a DO block', "DO $$ BEGIN RESET work_mem; SET app.tenant = 'secret'; END $$"],
];

describe("reset 'changes': the settings of a new session come back", () => {
  for (const [title, options, expected] of SOURCES) {
    test(`reset 'changes': settings that come from ${title} are there again after each change`, async (t) => {
      const pool = db.pool(t, { poolSize: 1, ...loginTo(db), ...options });
      const base = await settingsOf(pool);
      for (const [name, value] of Object.entries(expected)) assert.equal(base[name], value, name);
      /** @type {Record<string, string[]>} */
      const wrong = {};
      for (const [what, change] of CHANGES) {
        await pool.query(change);
        const seen = [await settingsOf(pool), await pool.transaction(settingsOf)];
        const [, behind] = await Promise.all([pool.query(change), settingsOf(pool)]);
        const changes = [...seen, behind].flatMap((settings) => changesOf(base, settings));
        if (changes.length > 0) wrong[what] = changes;
      }
      assert.deepEqual(wrong, {});
    });
  }

  test("reset 'changes': what is local to a transaction is there in it, and the settings of the startup behind it", async (t) => {
    const pool = db.pool(t, { poolSize: 1, options: { work_mem: '9MB', 'app.tenant': 'ours' } });
    const base = await settingsOf(pool);
    for (const set of [
      "SELECT set_config('app.tenant', 'mine', true), set_config('work_mem', '7MB', true)",
      "SELECT set_config('app.tenant', 'mine', false), set_config('work_mem', '7MB', false)",
    ]) {
      const mine = await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query(set);
        for (const _ of range(3)) await settingsOf(tx);
        return settingsOf(tx);
      });
      assert.deepEqual({ ...mine }, { ...base, tenant: 'mine', work_mem: '7MB' }, set);
      assert.deepEqual(await settingsOf(pool), base, set);
    }
  });
});

describe("reset 'changes' and row-level security", () => {
  const TENANTS = ['red', 'green', 'blue', 'white'];

  before(async () => {
    await db.started;
    await db.sql(`DROP TABLE IF EXISTS notes; CREATE TABLE notes (tenant text, note text);
      INSERT INTO notes SELECT tenant, tenant || ' note' FROM unnest('{${TENANTS}}'::text[]) AS tenant;
      ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
      CREATE POLICY of_tenant ON notes USING (tenant = current_setting('app.tenant', true));
      GRANT SELECT ON notes TO app`);
  });

  /** A pool of the role whom the policy concerns. @param {import('node:test').TestContext} t @param {number} poolSize */
  const poolOfApp = (t, poolSize) => db.pool(t, { poolSize, ...db.cluster.app });

  const NOTES = 'SELECT tenant FROM notes';

  test("reset 'changes': who names no tenant sees no row, whoever had the connection before", async (t) => {
    const pool = poolOfApp(t, 1);
    const isLocal = false;
    for (const tenant of TENANTS) {
      await pool.query("SELECT set_config('app.tenant', $1, $2)", [tenant, isLocal]);
      assert.deepEqual([...(await pool.query(NOTES))], [], `after ${tenant}`);
      const [, ...behind] = await Promise.all([
        pool.query("SELECT set_config('app.tenant', $1, $2)", [tenant, isLocal]),
        pool.query(NOTES),
        pool.query(NOTES),
      ]);
      assert.deepEqual(behind.flat(), [], `sent with ${tenant}`);
    }
  });

  test("reset 'changes': tenants that share connections see their own rows, and never another's", async (t) => {
    const pool = poolOfApp(t, 2);
    /** @type {object[]} */
    const wrong = [];
    /** @param {string} tenant @param {boolean} isLocal */
    const user = async (tenant, isLocal) => {
      const rows = await pool.transaction(async (/** @type {any} */ tx) => {
        const ahead = await tx.query(NOTES);
        await tx.query("SELECT set_config('app.tenant', $1, $2)", [tenant, isLocal]);
        return [...ahead, ...(await tx.query(NOTES))];
      });
      if (rows.length !== 1 || rows[0].tenant !== tenant) wrong.push({ tenant, rows });
    };
    const nobody = async () => {
      const rows = await pool.query(NOTES);
      if (rows.length > 0) wrong.push({ tenant: 'nobody', rows });
    };
    await Promise.all(range(200).map((i) => (i % 3 === 0 ? nobody() : user(TENANTS[i % 4], i % 2 === 0))));
    assert.deepEqual(wrong, []);
  });
});
