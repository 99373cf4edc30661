'use strict';

// Leases behind PgBouncer, which gives the sessions of the server to its clients in turn: refused by name, or left off.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { failureOf, inChild, range, test, useCluster } = require('../support/helpers');
const { usePgBouncer } = require('./pgbouncer');

const db = useCluster({ nodes: 1 });
const poolers = {
  transaction: usePgBouncer(db, { mode: 'transaction', poolSize: 3 }),
  session: usePgBouncer(db, { mode: 'session', poolSize: 20 }),
};

const LEASE = { coordinationSecret: 'a secret of the service', serviceName: 'pooled', reaperRunProbability: 1 };

/** Sessions of the server whose name is a lease. */
const leases = () => db.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 's=pooled;%'");

for (const [mode, pooler] of Object.entries(poolers)) {
  describe(`PgBouncer in ${mode} mode`, () => {
    test(`leaseMode 'required' fails by name, at once and each time (${mode} mode)`, async (t) => {
      const pool = pooler.pool(t, { lease: LEASE });
      for (const _ of range(2)) {
        const error = await failureOf(pool.query('SELECT 1'));
        assert.equal(error.code, 'ERR_LEASE_POOLER');
        assert.equal(error.outcome, 'not-applied');
        assert.equal(error.retryable, false);
        assert.match(error.message, /connection pooler.*leaseMode: 'optional'/);
      }
    });

    test(`leaseMode 'optional' works without leases, and no session of the server carries one (${mode} mode)`, async (t) => {
      const pool = pooler.pool(t, { poolSize: 3, lease: { ...LEASE, leaseMode: 'optional', leaseTtlMs: 300 } });
      /** @type {any[]} */
      const events = [];
      pool.on('lease', (/** @type {any} */ event) => events.push(event));
      for (const _ of range(10)) await Promise.all(range(6).map(() => pool.query('SELECT pg_sleep(0.02)')));
      assert.deepEqual(await leases(), []);
      assert.deepEqual(
        events.map(({ type }) => type),
        ['off'],
      );
    });
  });
}

test("leaseMode 'optional' behind a pooler is said once in a process", async () => {
  const { code, lines } = await inChild(
    db,
    `const warnings = [];
     process.on('warning', (warning) => warnings.push(warning));
     for (let i = 0; i < 2; i++) {
       const pool = createPool(options);
       await pool.query('SELECT 1');
       await pool.end();
     }
     print(warnings.map(({ code }) => code));`,
    { options: { ...poolers.transaction.options(), lease: { ...LEASE, leaseMode: 'optional' } } },
  );
  assert.deepEqual({ code, lines }, { code: 0, lines: ['["HYPERION_NO_LEASE"]'] });
});
