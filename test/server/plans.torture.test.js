'use strict';

// Transactions of many tenants on one pool while DDL at random changes their tables, views and functions: no statement fails, and
// no row is another tenant's or decoded by an outdated plan. Five seconds; HYPERION_PLANS_SECONDS says how many, HYPERION_SEED
// repeats the choices.

const assert = require('node:assert/strict');
const { Client } = require('pg');
const { Random, seedFrom } = require('../chaos/random');
const { HANG_MS, range, sleep, test, useCluster } = require('../support/helpers');
const { usePlans } = require('../support/plans');
const { TENANTS, Tenant, faultOf, keyOf, setupScript } = require('../support/tenants');

const SECONDS = Number(process.env.HYPERION_PLANS_SECONDS ?? 5);
const SEED = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
/** Transactions at a time, on a third as many connections. Each has a row of its own in every table. */
const WORKERS = 32;
const CONNECTIONS = 10;

const db = useCluster({ nodes: 1 });
const plans = usePlans(db);

/** @typedef {{ tx: any, tenant: number, id: number, fresh: () => number }} Turn */

/** How a transaction goes to a tenant. @type {((tx: any, schema: string, within: (sql: string) => string) => Promise<unknown>)[]} */
const ENTRIES = [
  (tx, schema) => tx.query(`SET LOCAL search_path = ${schema}`),
  (tx, schema) => tx.query("SELECT set_config('search_path', $1, true)", [schema]),
  (tx, schema, within) => tx.query(within('SELECT S.enter($1)'), [schema]),
];

/** The same text for all tenants; each resolves to rows and the ids that they must have. @type {Record<string, (turn: Turn) => Promise<[rows: any, ids: number[]]>>} */
const STATEMENTS = {
  'SELECT *': async ({ tx }) => [await tx.query('SELECT * FROM t WHERE id < 3 ORDER BY id'), [0, 1, 2]],
  'SELECT * by id': async ({ tx, id }) => [await tx.query('SELECT * FROM t WHERE id = $1', [id]), [id]],
  'SELECT * by v': async ({ tx, tenant, id }) => [
    await tx.query('SELECT * FROM t WHERE v = $1', [keyOf(tenant, id)]),
    [id],
  ],
  'INSERT RETURNING *': async ({ tx, tenant, fresh }) => {
    const id = fresh();
    const rows = await tx.query('INSERT INTO t (id, v) VALUES ($1, $2) RETURNING *', [id, keyOf(tenant, id)]);
    await tx.query('DELETE FROM t WHERE id = $1', [id]);
    return [rows, [id]];
  },
  'INSERT without RETURNING': async ({ tx, tenant, fresh }) => {
    const id = fresh();
    const { rowCount } = await tx.query('INSERT INTO t (id, v) VALUES ($1, $2)', [id, keyOf(tenant, id)]);
    assert.equal(rowCount, 1);
    return [await tx.query('DELETE FROM t WHERE id = $1 RETURNING *', [id]), [id]];
  },
  'UPDATE RETURNING *': async ({ tx, tenant, id }) => [
    await tx.query('UPDATE t SET v = $2 WHERE id = $1 RETURNING *', [id, keyOf(tenant, id)]),
    [id],
  ],
  'SELECT from a view': async ({ tx, id }) => [await tx.query('SELECT * FROM seen WHERE id = $1', [id]), [id]],
  'SELECT from a function': async ({ tx, id }) => [
    await tx.query('SELECT f.* FROM t, found($1) f WHERE t.id = $1', [id]),
    [id],
  ],
};

/** The columns of a table, which stay as they are while the transaction has read it. */
const COLUMNS = `SELECT attname::text AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = $1::text::regnamespace AND c.relname = 't' AND attnum > 0 AND NOT attisdropped ORDER BY attnum`;

/** What happened, by kind. */
class Tally {
  /** @type {Map<string, number>} */
  #counts = new Map();
  /** The first ones of each kind. @type {string[]} */
  wrong = [];

  /** @param {string} what */
  count(what) {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** @param {string} what @param {string} detail */
  blame(what, detail) {
    this.count(`WRONG ${what}`);
    if (this.of(`WRONG ${what}`) <= 2) this.wrong.push(`${what}: ${detail}`);
  }

  /** @param {string} what */
  of(what) {
    return this.#counts.get(what) ?? 0;
  }

  lines() {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, n]) => `${n} ${what}`);
  }
}

/** A callback's own way out of a transaction. */
class Undone extends Error {}

/**
 * Transactions one after the other, until the end.
 * @param {{ pool: any, within: (sql: string) => string, tally: Tally, random: Random, id: number, until: () => boolean }} worker
 */
async function work({ pool, within, tally, random, id, until }) {
  let last = WORKERS + id;
  const fresh = () => {
    last += WORKERS;
    return last;
  };
  while (!until()) {
    let what = 'BEGIN';
    const tenants = random.once(4) ? [random.pick(TENANTS), random.pick(TENANTS)] : [random.pick(TENANTS)];
    try {
      await pool.transaction(async (/** @type {any} */ tx) => {
        for (const tenant of tenants) {
          const schema = within(`S${tenant}`);
          what = 'search_path';
          await random.pick(ENTRIES)(tx, schema, within);
          for (const _ of range(random.int(1, 4))) {
            what = random.pick(Object.keys(STATEMENTS));
            const [rows, ids] = await STATEMENTS[what]({ tx, tenant, id, fresh });
            tally.count(`statements: ${what}`);
            const fault = faultOf(rows, tenant, ids);
            if (fault !== undefined) tally.blame(`rows of ${what}`, fault);
            if (/view|function/.test(what) || !random.once(3)) continue;
            const names = (await tx.query(COLUMNS, [schema])).map((/** @type {any} */ { name }) => name);
            const seen = Object.keys(rows[0] ?? {});
            if (names.join() !== seen.join()) tally.blame(`columns of ${what}`, `${seen} instead of ${names}`);
            tally.count('results whose columns were compared with the table');
          }
        }
        what = 'COMMIT';
        if (random.once(10)) throw new Undone('this one is rolled back');
      });
      tally.count('transactions committed');
    } catch (error) {
      if (error instanceof Undone) tally.count('transactions rolled back');
      else tally.blame(`error of ${what}`, /** @type {any} */ (error).stack);
    }
  }
}

/**
 * Changes at random of some tenants, until the end.
 * @param {{ tenants: Tenant[], tally: Tally, random: Random, until: () => boolean }} changer
 */
async function change({ tenants, tally, random, until }) {
  const client = new Client({ ...db.cluster.primary().login, ssl: false });
  await client.connect();
  try {
    while (!until()) {
      const { kind, script, done } = random.pick(tenants).next();
      try {
        await client.query(script);
        done();
        tally.count(`DDL: ${kind}`);
      } catch (error) {
        // A transaction of the pool has a lock for longer than lock_timeout: the DDL gives way, and so no transaction has to.
        if (/** @type {any} */ (error).code !== '55P03') throw error;
        tally.count('DDL that gave way');
        await client.query('ROLLBACK');
      }
      await sleep(random.int(0, 8));
    }
  } finally {
    await client.end();
  }
}

test('transactions of tenants have their rows while DDL at random changes the tables', {
  timeout: SECONDS * 1000 + HANG_MS,
}, async (t) => {
  const within = await plans.schema(setupScript(WORKERS));
  const pool = db.pool(t, { poolSize: CONNECTIONS, acquireTimeoutMs: HANG_MS });
  const random = new Random(SEED);
  const tally = new Tally();
  const end = performance.now() + SECONDS * 1000;
  const until = () => performance.now() > end;
  const tenants = TENANTS.map((tenant) => new Tenant(tenant, within(`S${tenant}`), random.fork(`tenant ${tenant}`)));
  // Two sessions, each with tenants of its own: DDL does not wait for DDL.
  const halves = [tenants.filter(({ number }) => number % 2 === 1), tenants.filter(({ number }) => number % 2 === 0)];
  await Promise.all([
    ...range(WORKERS).map((id) => work({ pool, within, tally, random: random.fork(`worker ${id}`), id, until })),
    ...halves.map((half, i) => change({ tenants: half, tally, random: random.fork(`ddl ${i}`), until })),
  ]);
  for (const line of tally.lines()) t.diagnostic(line);
  assert.deepEqual(tally.wrong, [], `HYPERION_SEED=${SEED} repeats the choices`);
  assert.ok(tally.of('transactions committed') > 0);
});
