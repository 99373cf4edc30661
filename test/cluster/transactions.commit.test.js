'use strict';

// tx.query(sql, params, { commit: true }) when connections, nodes and replication fail: what is told of the transaction is true.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, failureOf, named, ownCluster, range, sleep, test, until, useCluster } = require('../support/helpers');
const { loseOne, lossyPool } = require('../exactly-once/support.js');
const { assertAborted, assertTimeout } = require('../support/limits');
const { idsIn, tableFor } = require('../support/transactions');

const db = useCluster({ nodes: 3 });

const LAST = { commit: true };

/** After a pause plans are in doubt, and statement and COMMIT are sent in another way. */
const WAYS = /** @type {[string, number][]} */ ([
  ['', 0],
  [' after a pause', 5],
]);

describe('a connection that is lost when COMMIT was sent with the last statement', () => {
  for (const [way, pause] of WAYS) {
    for (const fault of /** @type {const} */ (['cut before', 'cut after', 'deaf before', 'deaf after'])) {
      test(`commit${way}: ${fault}: unknown, and nothing is sent again`, async (t) => {
        const { relay, pool } = await lossyPool(t, db, { poolSize: 1 });
        relay.concerns = (piece) => piece.includes('COMMIT');
        const table = await tableFor(db, t);
        const insert = `INSERT INTO ${table} VALUES ($1)`;
        let runs = 0;
        const run = (/** @type {number} */ id) =>
          pool.transaction(
            async (/** @type {any} */ tx) => {
              runs++;
              await tx.query(insert, [id]);
              await tx.query(insert, [id + 1], LAST);
            },
            { retries: 5 },
          );
        await run(1);
        await run(3);
        await sleep(pause);
        loseOne(relay, fault);
        const error = await failureOf(run(5));
        assert.deepEqual(
          [error.code, error.outcome, error.retryable],
          ['ERR_OUTCOME_UNKNOWN', 'unknown', false],
          error.stack,
        );
        assert.equal(runs, 3);
        assert.equal(await pool.value('SELECT 1 AS v'), 1);
        // The server may lose its client between the answer to the statement and COMMIT.
        const possible = ['1,2,3,4', ...(fault.endsWith('after') ? ['1,2,3,4,5,6'] : [])];
        const present = String(await idsIn(db, table));
        assert.ok(possible.includes(present), present);
      });
    }

    test(`commit${way}: statements that were sent ahead of it are unknown, too, and the callback does not run again`, async (t) => {
      const { relay, pool } = await lossyPool(t, db, { poolSize: 1 });
      relay.concerns = (piece) => piece.includes('COMMIT');
      const table = await tableFor(db, t);
      const insert = `INSERT INTO ${table} VALUES ($1)`;
      let runs = 0;
      /** @type {any[]} */
      let results = [];
      const run = (/** @type {number} */ from) =>
        pool.transaction(
          async (/** @type {any} */ tx) => {
            runs++;
            await tx.query(insert, [from]);
            const all = range(4).map((i) => tx.query(insert, [from + 1 + i], i === 3 ? LAST : undefined));
            results = await endings(all);
            await Promise.all(all);
          },
          { retries: 5 },
        );
      await run(10);
      await run(20);
      await sleep(pause);
      loseOne(relay, 'cut after');
      const error = await failureOf(run(30));
      for (const { error: one } of results) assert.equal(one?.outcome, 'unknown', String(one?.stack));
      assert.deepEqual([error.outcome, runs], ['unknown', 3]);
      const present = (await idsIn(db, table)).length;
      assert.ok([10, 15].includes(present), `${present} rows`);
    });

    test(`commit${way}: a time limit or a signal that ends the last statement: not applied`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      const table = await tableFor(db, t);
      const last = `INSERT INTO ${table} SELECT 1 FROM pg_sleep($1)`;
      for (let run = 0; run < 2; run++) {
        const begun = async () => {
          await sleep(pause);
          const tx = await pool.begin();
          await tx.query(`INSERT INTO ${table} VALUES (2)`);
          return tx;
        };
        assertTimeout(await failureOf((await begun()).query(last, [30], { ...LAST, timeoutMs: 50 })), 'not-applied');
        const controller = new AbortController();
        const tx = await begun();
        const failing = failureOf(tx.query(last, [30], { ...LAST, signal: controller.signal }));
        setTimeout(() => controller.abort('stop'), 50);
        assertAborted(await failing, 'stop', 'not-applied');
        assert.equal(tx.ended, true);
      }
      assert.deepEqual(await idsIn(db, table), []);
      await until('the connection is back', () => pool.status().inUse === 0);
      assert.equal(await pool.value('SELECT 1 AS v'), 1);
    });

    test(`commit${way}: a wait for a standby that is cancelled or ended is unknown`, async (t) => {
      const applicationName = named('last');
      const pool = db.pool(t, { poolSize: 1, applicationName, hosts: db.cluster.primary().address });
      const table = await tableFor(db, t);
      let id = 0;
      const run = async (/** @type {object} */ options = {}) => {
        await sleep(pause);
        return pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`INSERT INTO ${table} VALUES ($1)`, [++id]);
          await tx.query(`INSERT INTO ${table} VALUES ($1) RETURNING id`, [++id], { ...LAST, ...options });
        });
      };
      await run();
      await run();
      const waiting = () =>
        db.sql("SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'", [
          applicationName,
        ]);
      await db.withFrozenStandbys(async () => {
        assertTimeout(await failureOf(run({ timeoutMs: 200 })), 'unknown');
        for (const end of ['pg_cancel_backend', 'pg_terminate_backend']) {
          const failing = failureOf(run());
          await until('it waits for a standby', async () => (await waiting()).length > 0);
          for (const { pid } of await waiting()) await db.sql(`SELECT ${end}($1)`, [pid]);
          const error = await failing;
          assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], `${end}: ${error.stack}`);
        }
        assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
      });
    });

    test(`commit${way}: a transaction that began before a fence may finish, and the next one waits`, async (t) => {
      const primary = db.cluster.primary();
      const pool = db.pool(t, { poolSize: 1, acquireTimeoutMs: 20_000 });
      const table = await tableFor(db, t);
      const insert = `INSERT INTO ${table} VALUES ($1)`;
      const tx = await pool.begin();
      await tx.query(insert, [1]);
      await primary.fence();
      /** @type {Promise<any>} */
      let next;
      try {
        await sleep(pause);
        await tx.query(insert, [2], LAST);
        next = pool.transaction((/** @type {any} */ other) => other.query(insert, [3], LAST));
        await sleep(100);
        assert.deepEqual(await idsIn(db, table), [1, 2]);
      } finally {
        await primary.unfence();
      }
      await next;
      assert.deepEqual(await idsIn(db, table), [1, 2, 3]);
    });
  }
});

describe('a server that is lost under transactions with commit: true', () => {
  /**
   * Runs transactions of two rows until `fault` is over, and compares what was told with what is there.
   * @param {import('node:test').TestContext} t
   * @param {number} nodes
   * @param {(own: any) => Promise<void>} fault
   */
  async function underFault(t, nodes, fault) {
    const own = await ownCluster(t, { nodes });
    const pool = own.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000 });
    await pool.query('CREATE TABLE pairs (id int8, part int)');
    const insert = 'INSERT INTO pairs VALUES ($1, $2)';
    /** @type {Map<number, string>} */
    const told = new Map();
    let next = 0;
    let over = false;
    const one = async (/** @type {number} */ id) => {
      const way = id % 3;
      await pool.transaction(
        async (/** @type {any} */ tx) => {
          const first = tx.query(insert, [id, 1]);
          // The error of the last one is told.
          if (way === 0) first.catch(() => {});
          else await first;
          if (way === 1) await sleep(1);
          await tx.query(insert, [id, 2], LAST);
        },
        { retries: 20 },
      );
    };
    const writers = range(8).map(async () => {
      while (!over) {
        const id = next++;
        const [{ error }] = await endings([one(id)]);
        told.set(id, error === undefined ? 'applied' : (error.outcome ?? error.message));
      }
    });
    const since = (/** @type {number} */ count) => until('writes go on', () => told.size > count + 100);
    await since(0);
    await fault(own);
    await since(told.size);
    over = true;
    await Promise.all(writers);
    const parts = new Map();
    for (const { id, n } of await own.sql('SELECT id, count(*)::int AS n FROM pairs GROUP BY id'))
      parts.set(Number(id), n);
    for (const [id, outcome] of told) {
      const there = parts.get(id) ?? 0;
      const allowed = { applied: [2], unknown: [0, 2], 'not-applied': [0] }[outcome];
      assert.ok(allowed?.includes(there), `${id}: ${outcome}, and ${there} of 2 rows are there`);
    }
  }

  test('commit: after kill -9 of the server what was told of each transaction is true', async (t) => {
    await underFault(t, 1, async ({ cluster }) => {
      const primary = cluster.primary();
      await primary.crash();
      await primary.start();
    });
  });

  test('commit: through a switchover what was told of each transaction is true', async (t) => {
    await underFault(t, 3, async (own) => {
      own.needs('promote', 'failover');
      await own.cluster.primary().fence();
      await sleep(200);
      await own.cluster.failover();
    });
  });
});
