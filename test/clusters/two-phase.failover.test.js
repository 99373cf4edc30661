'use strict';

// A primary is lost while transactions that span clusters are at each point of their end, and a standby takes its place: that of a participant,
// that of the decisions at the decision itself. Both clusters replicate synchronously. HYPERION_ROUNDS says how often.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { LossyRelay } = require('../exactly-once/lossy-relay.js');
const { failureOf, ownCluster, range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const {
  BALANCE,
  ACCOUNTS,
  POINT,
  decided,
  makeAccounts,
  money,
  prepareAs,
  prepared,
  transfer,
  twoPhaseOver,
} = require('./two-phase.js');
const { POINTS, holdAt } = require('./two-phase.process.js');

const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_FULL ? 5 : 1));
const settings = { max_prepared_transactions: 50 };
const clusters = useClusters({ a: { nodes: 1, settings }, b: { nodes: 3, settings } });
const { a, b } = clusters;
const ALL = ACCOUNTS * BALANCE;
/** Longer than a failover takes on a slow machine. */
const PATIENT = { finishTimeoutMs: 40_000 };
const FAST = { acquireTimeoutMs: 40_000, monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 } };
const FOREIGN = ['mine', `hdb:${'f'.repeat(24)}:${'0'.repeat(24)}.0`];
/** Where the participant's part is lost with its primary. */
const LOST = ['before it prepares', 'after one has prepared'];

before(() => clusters.started);

/** @param {any} db @param {number} id */
const balance = async (db, id) => Number((await db.sql('SELECT balance FROM accounts WHERE id = $1', [id]))[0].balance);

test('failover: the primary of a participant is lost at each point: each transfer is whole', {
  timeout: 600_000,
}, async (t) => {
  const pools = { a: a.pool(t), b: b.pool(t, FAST) };
  for (const gid of FOREIGN) await prepareAs(b, gid);
  let longest = 0;
  for (const round of range(ROUNDS)) {
    await Promise.all([a, b].map(makeAccounts));
    /** @type {(value?: unknown) => void} */
    let goOn = () => {};
    const failedOver = new Promise((resolve) => {
      goOn = resolve;
    });
    let reached = 0;
    const transfers = Object.keys(POINTS).map((point, i) => {
      const { run, twoPhase } = twoPhaseOver(pools, PATIENT);
      t.after(() => twoPhase.close());
      /** @type {any} */ (twoPhase)[POINT] = holdAt(point, () => {
        reached++;
        return failedOver;
      });
      return { point, id: i + 1, twoPhase, call: run(transfer('a', 'b', { id: i + 1 })) };
    });
    for (const { call } of transfers) call.catch(() => {});
    await until('each is at its point', () => reached === transfers.length);
    const old = /** @type {any} */ (b.cluster.primary());
    await (round % 2 === 0 ? old.crash() : old.freeze());
    await b.cluster.failover();
    const began = performance.now();
    goOn();
    for (const { point, id, call } of transfers) {
      if (LOST.includes(point)) {
        const error = await failureOf(call);
        assert.deepEqual([error.outcome, error.retryable], ['not-applied', true], `${point}: ${error.message}`);
      } else {
        assert.equal(await call, 'moved', point);
      }
      const moved = LOST.includes(point) ? 0 : 1;
      assert.deepEqual([await balance(a, id), await balance(b, id)], [BALANCE - moved, BALANCE + moved], point);
    }
    longest = Math.max(longest, performance.now() - began);
    await Promise.all(transfers.map(({ twoPhase }) => twoPhase.close()));
    const { twoPhase } = twoPhaseOver(pools, { graceMs: 0 });
    await until('nothing is in doubt', async () => {
      const { pending, inProgress } = await twoPhase.recover();
      return pending + inProgress === 0;
    });
    const [inA, inB] = await money([a, b]);
    assert.equal(inA + inB, 2 * ALL, 'money was created or destroyed');
    assert.deepEqual([await prepared([a]), (await prepared([b])).sort()], [[], [...FOREIGN].sort()]);
    assert.deepEqual(
      (await decided(a)).filter(({ outcome }) => outcome === 'commit'),
      [],
    );
    if (round < ROUNDS - 1) await old.rejoin(b.cluster.primary());
  }
  t.diagnostic(
    `${ROUNDS} failovers, ${ROUNDS * 6} transfers at 6 points: money created or destroyed 0, in doubt 0; the last answer ${longest.toFixed(0)} ms after the promotion at most`,
  );
});

for (const hasReceived of [true, false]) {
  const what = hasReceived ? 'has' : 'has not';
  test(`failover: the primary of the decisions is lost at the decision, and the promoted standby ${what} received it`, async (t) => {
    const own = await ownCluster(t, { nodes: 2, settings });
    await makeAccounts(a);
    await makeAccounts(own);
    const relays = await Promise.all(own.cluster.nodes.map((/** @type {any} */ node) => LossyRelay.open(node)));
    t.after(() => relays.forEach((relay) => relay.close()));
    const pools = { own: own.pool(t, { ...FAST, hosts: relays.map(({ address }) => address) }), a: a.pool(t) };
    const { run, twoPhase } = twoPhaseOver(pools, PATIENT);
    t.after(() => twoPhase.close());
    await run(transfer('own', 'a', { amount: 0 }));
    let isOver = false;
    for (const relay of relays) {
      // A Bind: the id, a length, what is decided.
      relay.concerns = (piece) => /[0-9a-f]{24}.{4}commit/s.test(piece.toString('latin1'));
      relay.fault = () => {
        if (isOver) return undefined;
        isOver = true;
        return hasReceived ? 'cut after' : 'cut before';
      };
    }
    const [old] = own.cluster.nodes;
    /** @type {Promise<unknown> | undefined} */
    let promoted;
    relays[0].onLost = () => {
      relays[0].close();
      promoted = old.crash().then(() => own.cluster.failover(undefined, { synchronous: false }));
    };
    assert.equal(await run(transfer('own', 'a')), 'moved');
    await promoted;
    await twoPhase.close();
    assert.deepEqual(await money([own, a]), [ALL - 1, ALL + 1]);
    assert.deepEqual([await prepared([own, a]), await decided(own)], [[], []]);
  });
}

/**
 * A cluster of two nodes whose standby receives through a proxy.
 * @param {import('node:test').TestContext} t
 */
async function behindProxy(t) {
  const own = await ownCluster(t, { nodes: 2, settings });
  await makeAccounts(own);
  const [primary, standby] = /** @type {any[]} */ (own.cluster.nodes);
  const proxy = await primary.proxy();
  await standby.follow(proxy);
  const streams = async () =>
    (await primary.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")).length === 1;
  await until('the standby receives through the proxy', async () => proxy.connections > 0 && (await streams()));
  /** Nothing reaches the standby any more. */
  const cutOff = () => proxy.blackhole();
  const failOver = async () => {
    await primary.crash();
    await proxy.cut();
    await own.cluster.failover(undefined, { synchronous: false });
  };
  return { own, cutOff, failOver };
}

for (const level of ['on', 'local']) {
  const what = level === 'on' ? 'whose wait was cut short' : 'that did not wait (synchronous_commit = local)';
  test(`failover: a COMMIT PREPARED ${what} is not taken for done before the standby has it`, async (t) => {
    const { own, cutOff, failOver } = await behindProxy(t);
    await makeAccounts(a);
    const pools = { a: a.pool(t), own: own.pool(t, { ...FAST, options: { synchronous_commit: level } }) };
    const { run, twoPhase } = twoPhaseOver(pools, { finishTimeoutMs: 3_000 });
    /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
      if (point === 'decided') await cutOff();
    };
    /** @type {any} */
    let tx;
    await run(async (given) => {
      tx = given;
      return transfer('a', 'own')(given);
    });
    assert.deepEqual(tx.pending, ['own']);
    await twoPhase.close();
    // The primary shows the commit.
    assert.deepEqual([await money([a, own]), await prepared([own])], [[ALL - 1, ALL + 1], []]);
    assert.equal((await decided(a)).at(-1)?.outcome, 'commit', 'the decision is still there');
    await failOver();
    assert.equal((await prepared([own])).length, 1, 'the standby has only the prepared transaction');
    const other = twoPhaseOver(pools, PATIENT);
    assert.equal((await other.twoPhase.recover()).committed, 1);
    await other.twoPhase.close();
    assert.deepEqual([await money([a, own]), await prepared([own])], [[ALL - 1, ALL + 1], []]);
    assert.equal((await decided(a)).at(-1)?.outcome, 'committed');
  });
}

test('failover: a decision that the standby has not received is not carried out', async (t) => {
  const { own, cutOff, failOver } = await behindProxy(t);
  await Promise.all([a, b].map(makeAccounts));
  const pools = { own: own.pool(t, FAST), a: a.pool(t), b: b.pool(t, FAST) };
  const { run, twoPhase } = twoPhaseOver(pools, { finishTimeoutMs: 500 });
  const early = twoPhaseOver(pools, { finishTimeoutMs: 500 });
  /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
    if (point !== 'prepared') return;
    // It knows the table before nothing can be written any more.
    await early.twoPhase.recover();
    await cutOff();
  };
  const error = await failureOf(run(transfer('a', 'b')));
  assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown']);
  await twoPhase.close();
  await until('the primary shows the decision', async () => (await decided(own)).length === 1);
  await failureOf(early.twoPhase.recover());
  await early.twoPhase.close();
  assert.deepEqual(await money([a, b]), [ALL, ALL], 'nothing is committed');
  await failOver();
  assert.deepEqual(await decided(own), []);
  const late = twoPhaseOver(pools, { ...PATIENT, graceMs: 0 });
  await until('nothing is in doubt', async () => (await late.twoPhase.recover()).rolledBack === 1);
  await late.twoPhase.close();
  assert.deepEqual([await money([a, b]), await prepared([a])], [[ALL, ALL], []]);
});
