'use strict';

// A kill against a session that renews its lease or becomes busy at the same time. HYPERION_SEED repeats the choices, and HYPERION_FULL
// (npm run test:full) means 10,000 races. races.js is the same by hand.

const assert = require('node:assert/strict');
const { reapNode } = require('../../lib/api/reap-node.js');
const { parseOptions } = require('../../lib/options/options.js');
const { seedFrom } = require('../chaos/random.js');
const { HANG_MS, test, useCluster } = require('../support/helpers.js');
const { races, shown } = require('./races.js');
const { alive, gone, leaseOf, leaseOption, loginOn, poolWith, sessions } = require('./sessions.js');

const RACES = process.env.HYPERION_FULL ? 10_000 : 500;
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
const timeout = HANG_MS * 5;

const db = useCluster({ nodes: 1, synchronous: false, hba: ['host all all 127.0.0.1/32 trust'] });

test(`${RACES} races of a kill with a renewal: no session is ended that was told that it is renewed (seed ${seed})`, {
  timeout,
}, async (t) => {
  const result = await races(db.cluster, { races: RACES, seed });
  t.diagnostic(shown(result));
  assert.deepEqual({ wrong: result.wrong, miscounted: result.miscounted }, { wrong: 0, miscounted: 0 }, shown(result));
  // Both win often, or the races would say nothing.
  assert.ok(result.renewed > RACES / 20 && result.killed > RACES / 20, shown(result));
});

test(`the same when a kill pauses behind its last look at a session (seed ${seed})`, { timeout }, async (t) => {
  const result = await races(db.cluster, { races: RACES / 2, seed, windowMs: 1 });
  t.diagnostic(shown(result));
  assert.deepEqual({ wrong: result.wrong, miscounted: result.miscounted }, { wrong: 0, miscounted: 0 }, shown(result));
  assert.ok(result.renewed > RACES / 40 && result.killed > RACES / 40, shown(result));
});

for (const without of ['lock', 'snapshot']) {
  test(`the races find wrong kills when a kill leaves out its ${without} (seed ${seed})`, { timeout }, async () => {
    const result = await races(db.cluster, { races: 300, seed, without, windowMs: without === 'lock' ? 1 : 0 });
    assert.ok(result.wrong > 0, shown(result));
  });
}

// What a session does between the two statements of a pass.
const BETWEEN = /** @type {[string, (session: import('./sessions.js').Session) => unknown][]} */ ([
  ['renews its lease', (session) => session.query(`SET application_name = '${leaseOf({ inMs: 60_000 })}'`)],
  ['takes another lease that has expired, too', (session) => session.query(`SET application_name = '${leaseOf()}'`)],
  ['gives up its lease', (session) => session.query("SET application_name = 'psql'")],
  ['begins a transaction', (session) => session.query('BEGIN')],
  ['holds the lock of a renewal', (session) => session.query('SELECT pg_advisory_lock(1346847058, pg_backend_pid())')],
  [
    'runs a statement',
    (session) => {
      // Sent, and not waited for.
      session.query('SELECT pg_sleep(60)').catch(() => {});
      return session.query;
    },
  ],
]);

/**
 * A pass in which `between` is done before the kill is sent.
 * @param {any} pool
 * @param {object} given members of the option `lease`
 * @param {() => Promise<unknown>} between
 */
function passWith(pool, given, between) {
  const { lease } = parseOptions(db.options({ lease: leaseOption(given) }), {});
  return reapNode(async (sql, params, how) => {
    if (sql.includes('pg_terminate_backend')) await between();
    return await pool.query(sql, params, how);
  }, lease);
}

test('what has changed since the sessions were read is seen by the kill: of all sessions only the unchanged are ended', async (t) => {
  const serviceName = 'changes';
  const names = [...BETWEEN, ['does nothing'], ['does nothing']].map(() => leaseOf({ serviceName }));
  const all = await sessions(t, loginOn(db), names);
  const given = { serviceName };
  const pool = poolWith(t, db, given);
  const node = db.cluster.primary();
  const { killed } = await passWith(pool, given, async () => {
    await Promise.all(BETWEEN.map(([, change], index) => change(all[index])));
    const isActive = async () =>
      (await node.sql('SELECT state FROM pg_stat_activity WHERE pid = $1', [all[BETWEEN.length - 1].pid]))[0].state;
    while ((await isActive()) !== 'active');
  });
  const [changed, unchanged] = [all.slice(0, BETWEEN.length), all.slice(BETWEEN.length)];
  await gone(node, unchanged);
  const left = await alive(node, changed);
  assert.deepEqual(
    BETWEEN.filter((_, index) => !left.includes(changed[index])).map(([what]) => `was ended: ${what}`),
    [],
  );
  assert.equal(killed, unchanged.length);
});

test('a session that has idled too short since it was read is not ended', async (t) => {
  const serviceName = 'busy';
  const all = await sessions(t, loginOn(db), [leaseOf({ serviceName })]);
  const given = { serviceName, minConnectionIdleTimeSec: 1 };
  const pool = poolWith(t, db, given);
  const node = db.cluster.primary();
  const idle = async () =>
    (
      await node.sql(
        "SELECT state_change < clock_timestamp() - interval '1 second' AS is FROM pg_stat_activity WHERE pid = $1",
        [all[0].pid],
      )
    )[0].is;
  while (!(await idle()));
  let asked = 0;
  const { killed } = await passWith(pool, given, async () => {
    asked += 1;
    await all[0].query('SELECT 1');
  });
  assert.deepEqual({ asked, killed }, { asked: 1, killed: 0 });
  assert.equal((await alive(node, all)).length, 1);
});

test('a process that freezes in a pass leaves no lock and no transaction behind', async (t) => {
  const serviceName = 'frozen';
  const pool = poolWith(t, db, { serviceName }, { poolSize: 1 });
  const all = await sessions(t, loginOn(db), [leaseOf({ serviceName })]);
  const pid = await pool.value('SELECT pg_backend_pid()');
  /** @type {any[]} */
  const seen = [];
  const { killed } = await passWith(pool, { serviceName }, async () => {
    const sql = `SELECT pg_try_advisory_xact_lock(1346847057, hashtext($1)) AS free,
      (SELECT state FROM pg_stat_activity WHERE pid = $2)`;
    seen.push(...(await db.sql(sql, [serviceName, pid])));
  });
  assert.deepEqual(seen, [{ free: true, state: 'idle' }]);
  await gone(db.cluster.primary(), all);
  assert.equal(killed, 1);
});
