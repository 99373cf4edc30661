'use strict';

// The process that commits on two clusters is killed (SIGKILL) at each point, or frozen (SIGSTOP) while another one recovers. HYPERION_ROUNDS
// says how often each; with HYPERION_FULL it is among transfers of other clients that are killed wherever they are.

const assert = require('node:assert/strict');
const { before, beforeEach } = require('node:test');
const { loginOf, range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const {
  BALANCE,
  ACCOUNTS,
  decided,
  makeAccounts,
  money,
  prepareAs,
  prepared,
  transfer,
  twoPhaseOver,
} = require('./two-phase.js');
const { POINTS } = require('./two-phase.process.js');
const { Coordinator } = require('./two-phase.processes.js');

const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_FULL ? 5 : 1));
const CLIENTS = process.env.HYPERION_FULL ? 4 : 0;
const settings = { max_prepared_transactions: 50 };
const clusters = useClusters({ a: { nodes: 1, settings }, b: { nodes: 1, settings } });
const { a, b } = clusters;
const ALL = ACCOUNTS * BALANCE;
/** What nobody may touch. */
const FOREIGN = ['mine', `hdb:${'f'.repeat(24)}:${'0'.repeat(24)}.0`];
/** After these the transaction is committed. */
const DECIDED = ['after the decision', 'after one has committed', 'after all have committed'];

before(async () => {
  await clusters.started;
  for (const db of [a, b]) for (const gid of FOREIGN) await prepareAs(db, gid);
});
beforeEach(async () => {
  await clusters.started;
  await Promise.all([a, b].map(makeAccounts));
});

const job = () => ({
  logins: { a: loginOf(a.cluster), b: loginOf(b.cluster) },
  options: {},
  transfers: CLIENTS * 5,
  clients: CLIENTS,
  accounts: ACCOUNTS,
});

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} options */
function recoverer(t, options) {
  const made = twoPhaseOver({ a: a.pool(t), b: b.pool(t) }, options);
  t.after(() => made.twoPhase.close());
  return made.twoPhase;
}

/** Recovers until nothing is in doubt. @param {any[]} recoverers */
const untilRecovered = (recoverers) =>
  until('nothing is in doubt', async () => {
    await Promise.all(recoverers.map((twoPhase) => twoPhase.recover()));
    const commits = (await decided(a)).filter(({ outcome }) => outcome === 'commit');
    return (await prepared([a, b])).every((gid) => FOREIGN.includes(gid)) && commits.length === 0;
  });

for (const point of Object.keys(POINTS)) {
  const isCommitted = DECIDED.includes(point);
  const outcome = isCommitted ? 'committed' : 'rolled back';
  test(`crash: the coordinator is killed ${point}: the transaction is ${outcome}`, { timeout: 300_000 }, async (t) => {
    const recoverers = [recoverer(t, { graceMs: 100 }), recoverer(t, { graceMs: 100 })];
    let recovered = 0;
    for (const _ of range(ROUNDS)) {
      await Promise.all([a, b].map(makeAccounts));
      const coordinator = new Coordinator(t, { ...job(), point });
      await coordinator.reached();
      await coordinator.kill();
      await untilRecovered(recoverers);
      const [inA, inB] = await money([a, b]);
      assert.equal(inA + inB, 2 * ALL, 'money was created or destroyed');
      if (CLIENTS === 0) assert.deepEqual([inA, inB], isCommitted ? [ALL - 1, ALL + 1] : [ALL, ALL]);
      recovered++;
    }
    for (const db of [a, b]) assert.deepEqual((await prepared([db])).sort(), [...FOREIGN].sort());
    t.diagnostic(
      `${recovered} rounds, ${CLIENTS} clients beside it: money created or destroyed 0, in doubt 0, foreign ones untouched`,
    );
  });
}

test('crash: a coordinator that is frozen before the decision cannot commit when it wakes up', async (t) => {
  const coordinator = new Coordinator(t, { ...job(), clients: 0, transfers: 0, point: 'after all have prepared' });
  await coordinator.reached();
  coordinator.freeze();
  await untilRecovered([recoverer(t, { graceMs: 0 })]);
  coordinator.goOn();
  assert.deepEqual(await coordinator.ended(), { code: 'ERR_TRANSACTION_ABORTED', outcome: 'not-applied' });
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
});

test('crash: a coordinator that is frozen after the decision finds that others have committed', async (t) => {
  const coordinator = new Coordinator(t, { ...job(), clients: 0, transfers: 0, point: 'after the decision' });
  await coordinator.reached();
  coordinator.freeze();
  await untilRecovered([recoverer(t, { graceMs: 0 })]);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  const { run } = twoPhaseOver({ a: a.pool(t), b: b.pool(t) });
  await run(transfer('b', 'a'));
  coordinator.goOn();
  assert.deepEqual(await coordinator.ended(), { value: 'moved' });
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
});
