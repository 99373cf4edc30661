'use strict';

// Transactions that span clusters, when an answer is lost: to PREPARE TRANSACTION, to the decision, to COMMIT PREPARED. Each in all the ways
// in which answers are lost: the server has done it, has not, does it later, or while a frozen backend holds everything.

const assert = require('node:assert/strict');
const { before, beforeEach } = require('node:test');
const { FAULTS, LossyRelay } = require('../exactly-once/lossy-relay.js');
const { failureOf, test, until } = require('../support/helpers.js');
const { Decisions } = require('../../exports/clusters/two-phase/decisions.js');
const { useClusters } = require('./support.js');
const { BALANCE, ACCOUNTS, decided, makeAccounts, money, prepared, transfer, twoPhaseOver } = require('./two-phase.js');

/** @typedef {import('../exactly-once/lossy-relay.js').Fault} Fault */

const clusters = useClusters({ a: { nodes: 1 }, b: { nodes: 1 }, decisions: { nodes: 1 } });
const { a, b, decisions } = clusters;
const ALL = ACCOUNTS * BALANCE;

/** Pieces that a client sends, by what they ask for. @type {Record<string, (piece: Buffer) => boolean>} */
const ASKS = {
  prepare: (piece) => piece.includes('PREPARE TRANSACTION'),
  // A Bind: the id, a length, what is decided.
  decide: (piece) => /[0-9a-f]{24}.{4}commit/s.test(piece.toString('latin1')),
  commit: (piece) => piece.includes('COMMIT PREPARED'),
  rollback: (piece) => piece.includes('ROLLBACK PREPARED'),
};

before(() => clusters.started);
beforeEach(async () => {
  await clusters.started;
  await Promise.all([a, b].map(makeAccounts));
});

/**
 * A TwoPhase whose way to one of the clusters goes through a relay.
 * @param {import('node:test').TestContext} t
 * @param {{ through: 'decisions' | 'b', concerns: (piece: Buffer) => boolean, options?: object }} given
 */
async function relayed(t, { through, concerns, options }) {
  const dbs = { decisions, a, b };
  const relay = await LossyRelay.open(dbs[through].cluster.primary());
  t.after(() => relay.close());
  relay.concerns = concerns;
  const pools = Object.fromEntries(
    Object.entries(dbs).map(([name, db]) => [
      name,
      db.pool(t, { acquireTimeoutMs: 10_000, ...(name === through ? { hosts: [relay.address] } : {}) }),
    ]),
  );
  const made = twoPhaseOver(pools, options);
  t.after(() => made.twoPhase.close());
  // All is open and known.
  await made.run(transfer('a', 'b', { amount: 0 }));
  return { ...made, relay };
}

/** Loses the next answer, once. @param {LossyRelay} relay @param {Fault} fault */
function loseOne(relay, fault) {
  let isLost = false;
  relay.fault = () => {
    if (isLost) return undefined;
    isLost = true;
    return fault;
  };
  return () => isLost;
}

/** Resolves when nothing is prepared and nothing is decided, with a recovery where that is needed. @param {any} twoPhase */
const untilClean = (twoPhase) =>
  until('nothing is left', async () => {
    await twoPhase.recover();
    const rows = await decided(decisions);
    return (await prepared([a, b])).length === 0 && rows.every(({ outcome }) => outcome !== 'commit');
  });

for (const fault of FAULTS) {
  test(`lost answers: the decision (${fault}): it is asked for again, and the transaction is committed`, async (t) => {
    const { run, relay, twoPhase } = await relayed(t, { through: 'decisions', concerns: ASKS.decide });
    const isLost = loseOne(relay, fault);
    assert.equal(await run(transfer('a', 'b')), 'moved');
    assert.equal(isLost(), true);
    assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
    await untilClean(twoPhase);
    assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  });

  test(`lost answers: PREPARE TRANSACTION (${fault}): all is rolled back, at once or by the recovery`, async (t) => {
    const { run, relay, twoPhase } = await relayed(t, {
      through: 'b',
      concerns: ASKS.prepare,
      options: { graceMs: 1_000 },
    });
    const isLost = loseOne(relay, fault);
    const error = await failureOf(run(transfer('a', 'b')));
    assert.equal(isLost(), true);
    assert.deepEqual(
      [error.code, error.outcome, error.retryable, error.cause.outcome],
      ['ERR_TRANSACTION_ABORTED', 'not-applied', true, 'unknown'],
    );
    // What comes late is prepared then.
    await until('no backend holds what was not answered', async () => {
      const rows = await b.sql(
        "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' OR query LIKE 'PREPARE%' AND state = 'active'",
      );
      return rows.length === 0 || fault.startsWith('deaf');
    });
    await untilClean(twoPhase);
    assert.deepEqual(await money([a, b]), [ALL, ALL]);
  });

  test(`lost answers: COMMIT PREPARED (${fault}): it is sent again, and the call succeeds`, async (t) => {
    const { run, relay, twoPhase } = await relayed(t, { through: 'b', concerns: ASKS.commit });
    const isLost = loseOne(relay, fault);
    assert.equal(await run(transfer('a', 'b')), 'moved');
    assert.equal(isLost(), true);
    assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
    await untilClean(twoPhase);
  });
}

for (const fault of /** @type {Fault[]} */ (['cut before', 'cut after'])) {
  const isDecided = fault === 'cut after';
  const what = isDecided ? 'committed' : 'rolled back';
  test(`lost answers: a decision that stays unknown (${fault}) is told as unknown, and ${what} by the recovery`, async (t) => {
    const { run, relay, twoPhase, told } = await relayed(t, {
      through: 'decisions',
      concerns: ASKS.decide,
      options: { finishTimeoutMs: 300, graceMs: 0 },
    });
    relay.fault = () => fault;
    const error = await failureOf(run(transfer('a', 'b')));
    const { event, id, clusters } = /** @type {any} */ (told.at(-1));
    assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_OUTCOME_UNKNOWN', 'unknown', false]);
    assert.deepEqual([event, id, clusters], ['inDoubt', error.transactionId, ['a', 'b']]);
    assert.equal((await prepared([a, b])).length, 2, 'nothing is rolled back while it may be decided');
    assert.equal(twoPhase.stats().inDoubt, 1);
    relay.fault = () => undefined;
    await untilClean(twoPhase);
    assert.deepEqual(await money([a, b]), isDecided ? [ALL - 1, ALL + 1] : [ALL, ALL]);
    const { committed, aborted, inDoubt, recovered } = twoPhase.stats();
    assert.deepEqual(
      { committed, aborted, inDoubt, recovered },
      { committed: 1, aborted: 0, inDoubt: 0, recovered: 1 },
    );
  });
}

test('lost answers: a decision that others have carried out meanwhile is told as committed, whatever a late recovery has found', async (t) => {
  const { run, relay, told, units } = await relayed(t, { through: 'decisions', concerns: ASKS.decide });
  const other = twoPhaseOver(Object.fromEntries([decisions, a, b].map((db, i) => [units[i].name, db.pool(t)])));
  t.after(() => other.twoPhase.close());
  let faults = 0;
  let isCarriedOut = false;
  relay.fault = () => {
    if (isCarriedOut) return undefined;
    faults++;
    return faults === 1 ? 'cut after' : 'cut before';
  };
  const call = run(transfer('a', 'b'));
  await until('the decision is there', async () =>
    (await decided(decisions)).some(({ outcome }) => outcome === 'commit'),
  );
  assert.equal((await other.twoPhase.recover()).committed, 1);
  // One that had listed what is prepared before, and has found no decision.
  const late = new Decisions(
    'hyperiondb_decisions',
    () => other.units[0],
    () => false,
  );
  const id = /** @type {string} */ (told.at(-1)?.id);
  assert.equal((await late.decide(id, 'abort', ['a', 'b'], Infinity, performance.now() + 5_000)).outcome, 'committed');
  isCarriedOut = true;
  assert.equal(await call, 'moved');
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
});

test('lost answers: timeoutMs ends the wait for a cluster that has not committed: success, and it is pending', async (t) => {
  const { run, relay, twoPhase, events } = await relayed(t, { through: 'b', concerns: ASKS.commit });
  relay.fault = () => 'cut before';
  /** @type {any} */
  let tx;
  const value = await run(
    async (given) => {
      tx = given;
      return transfer('a', 'b')(given);
    },
    { timeoutMs: 400 },
  );
  assert.deepEqual([value, tx.pending], ['moved', ['b']]);
  assert.deepEqual(events().slice(-2), ['transactionCommitted a,b', 'inDoubt b']);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL]);
  relay.fault = () => undefined;
  // The process goes on by itself.
  await until('nothing is pending', () => tx.pending.length === 0);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  await untilClean(twoPhase);
});

test('lost answers: the one cluster that has written: its COMMIT is an unknown outcome, and nothing is prepared', async (t) => {
  const { run, relay, told } = await relayed(t, {
    through: 'b',
    concerns: (piece) => piece.includes('Q\0\0\0\x0bCOMMIT\0'),
  });
  relay.fault = () => 'cut after';
  const error = await failureOf(
    run(async (tx) => {
      await tx.query('SELECT 1', [], { schema: 'a' });
      await tx.query('UPDATE accounts SET balance = balance + 1 WHERE id = 1', [], { schema: 'b' });
    }),
  );
  assert.deepEqual([error.outcome, error.transactionId], ['unknown', told.at(-1)?.id]);
  assert.deepEqual(await money([a, b]), [ALL, ALL + 1]);
  assert.equal(told.at(-1)?.event, 'inDoubt');
});
