'use strict';

// Many transactions at once, nested and failing at random, over awaits, timers and emitters: the table has exactly what the
// transactions, joins and savepoints that did not fail have written. HYPERION_SEED repeats the choices, and HYPERION_FULL (npm run
// test:full) means ten times as many.

const assert = require('node:assert/strict');
const { EventEmitter, once } = require('node:events');
const { setImmediate: turn, setTimeout: sleep } = require('node:timers/promises');
const { openDatabase } = require('../../client.js');
const { Random, seedFrom } = require('../chaos/random');
const { range, test, useCluster } = require('../support/helpers');
const { DRIVERS, driversHere } = require('./conformance.js');

const db = useCluster({ nodes: 1 });
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
const TRANSACTIONS = process.env.HYPERION_FULL ? 2_000 : 200;

/** What is thrown on purpose. */
class OnPurpose extends Error {}

/** A way from one step to the next. @type {Record<string, () => Promise<unknown>>} */
const WAYS = {
  none: async () => {},
  turn: () => turn(),
  timer: () => sleep(1),
  emitter: async () => {
    const emitter = new EventEmitter();
    const seen = once(emitter, 'go');
    setImmediate(() => emitter.emit('go'));
    await seen;
  },
};

/**
 * @typedef {object} Plan of a transaction
 * @property {'join' | 'savepoint'} nested
 * @property {boolean} fails at its end
 * @property {boolean} sideBySide whether its steps are called without waiting for one another
 * @property {({ way: string, n: number } | { way: string, plan: Plan })[]} steps
 */

/** @param {Random} random @param {() => number} next @param {number} depth @returns {Plan} */
function planned(random, next, depth = 0) {
  return {
    nested: random.pick(['join', 'savepoint']),
    fails: random.once(3),
    sideBySide: random.once(3),
    steps: range(random.int(1, 4)).map(() => {
      const way = random.pick(Object.keys(WAYS));
      return depth < 3 && random.once(3) ? { way, plan: planned(random, next, depth + 1) } : { way, n: next() };
    }),
  };
}

/** What is left of a plan in the transaction around it. @param {Plan} plan @returns {number[]} */
function kept(plan, isOutermost = true) {
  const undone = plan.fails && (isOutermost || plan.nested === 'savepoint');
  return undone ? [] : plan.steps.flatMap((step) => ('plan' in step ? kept(step.plan, false) : [step.n]));
}

/** @param {any} database @param {Plan} plan */
async function carryOut(database, plan) {
  const insert = database.prepare('INSERT INTO torture VALUES (?)');
  await database.tx(
    async () => {
      /** @param {Plan['steps'][number]} step */
      const take = async (step) => {
        await WAYS[step.way]();
        if ('n' in step) await insert.run(step.n);
        else await carryOut(database, step.plan).catch(onlyOnPurpose);
      };
      if (plan.sideBySide) await Promise.all(plan.steps.map(take));
      else for (const step of plan.steps) await take(step);
      if (plan.fails) throw new OnPurpose();
    },
    { nested: plan.nested },
  );
}

/** @param {unknown} error */
function onlyOnPurpose(error) {
  if (!(error instanceof OnPurpose)) throw error;
}

/** @param {any} database */
async function torture(database) {
  const random = new Random(seed).fork('database');
  let n = 0;
  const plans = range(TRANSACTIONS).map(() => planned(random, () => ++n));
  await database.exec('CREATE TABLE torture (n INTEGER PRIMARY KEY)');
  await Promise.all(plans.map((plan) => carryOut(database, plan).catch(onlyOnPurpose)));
  const rows = await database.prepare('SELECT n FROM torture ORDER BY n').all();
  const expected = plans.flatMap((plan) => kept(plan)).sort((a, b) => a - b);
  assert.deepEqual(
    rows.map((/** @type {{ n: number }} */ row) => row.n),
    expected,
  );
  assert.ok(expected.length > TRANSACTIONS / 4 && expected.length < n, `${expected.length} of ${n}`);
}

test(`PostgreSQL: nested transactions at random do not mix (seed ${seed})`, async (t) => {
  const pool = db.pool(t, { poolSize: 4, acquireTimeoutMs: 50_000 });
  await torture(await openDatabase(pool));
  assert.equal(pool.status().inUse, 0);
});

for (const driver of DRIVERS) {
  test(`${driver}: nested transactions at random do not mix (seed ${seed})`, async (t) => {
    if (!(await driversHere()).includes(driver)) return t.skip(`${driver} is not there in Node ${process.version}`);
    const database = await openDatabase('sqlite::memory:', { driver });
    await torture(database);
    await database.close();
  });
}
