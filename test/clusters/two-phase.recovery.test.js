'use strict';

// What finishes transactions that span clusters when a process has left them: each is committed or rolled back as it was decided, by
// whichever process looks first, and nothing else is touched.

const assert = require('node:assert/strict');
const { before, beforeEach } = require('node:test');
const { failureOf, range, test, until } = require('../support/helpers.js');
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

const clusters = useClusters({ a: { nodes: 1 }, b: { nodes: 1 } });
const { a, b } = clusters;
const ALL = ACCOUNTS * BALANCE;
/** What is prepared is taken for left behind at once. */
const AT_ONCE = { graceMs: 0 };

beforeEach(async () => {
  await clusters.started;
  for (const db of [a, b]) {
    for (const gid of await prepared([db])) await db.sql(`ROLLBACK PREPARED '${gid}'`);
    await makeAccounts(db);
  }
  await a.sql('DROP TABLE IF EXISTS hyperiondb_decisions');
});
before(() => clusters.started);

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @param {object} [ofPool] */
function twoClusters(t, options, ofPool) {
  const made = twoPhaseOver({ a: a.pool(t, ofPool), b: b.pool(t, ofPool) }, options);
  t.after(() => made.twoPhase.close());
  return made;
}

/**
 * A transfer that stops for ever at a point, as one whose process was killed there.
 * @param {import('node:test').TestContext} t
 * @param {(point: string, part?: number) => boolean} isThere
 * @param {number} [id] of the accounts
 */
async function leftAt(t, isThere, id = 1) {
  const made = twoPhaseOver({ a: a.pool(t), b: b.pool(t) });
  /** @type {() => void} */
  let goOn = () => {};
  const reached = new Promise((resolve) => {
    /** @type {any} */ (made.twoPhase)[POINT] = (/** @type {string} */ point, /** @type {number} */ part) => {
      if (!isThere(point, part)) return undefined;
      resolve(undefined);
      return new Promise((go) => {
        goOn = () => go(undefined);
      });
    };
  });
  const call = made.run(transfer('a', 'b', { id }));
  call.catch(() => {});
  await reached;
  return { ...made, call, goOn: () => goOn() };
}

const outcomes = async () => (await decided(a)).map(({ outcome }) => outcome);
const none = { committed: 0, rolledBack: 0, pending: 0, inProgress: 0, foreign: 0, problems: [] };

test('recovery: where nothing was ever decided there is nothing to do, and no table is made', async (t) => {
  const { twoPhase } = twoClusters(t);
  await prepareAs(b, 'hdb:somebody:1');
  assert.deepEqual(await twoPhase.recover(), { ...none, foreign: 1 });
  assert.deepEqual(await a.sql("SELECT to_regclass('hyperiondb_decisions')::text AS made"), [{ made: null }]);
});

test('recovery: what is decided is committed at once, and its decision says so', async (t) => {
  const { told: left } = await leftAt(t, (point) => point === 'commit');
  const { twoPhase } = twoClusters(t);
  assert.equal((await prepared([a, b])).length, 2);
  assert.deepEqual(await twoPhase.recover(), { ...none, committed: 1 });
  assert.deepEqual(
    [await money([a, b]), await prepared([a, b]), await outcomes()],
    [[ALL - 1, ALL + 1], [], ['committed']],
  );
  assert.equal(left.length, 1);
  assert.deepEqual(await twoPhase.recover(), none);
  assert.equal(twoPhase.stats().recovered, 1);
});

test('recovery: of what one participant has committed the other one is committed, too', async (t) => {
  await leftAt(t, (point, part) => point === 'commit' && part === 1);
  await until('the first one has committed', async () => (await prepared([a])).length === 0);
  const { twoPhase } = twoClusters(t);
  assert.deepEqual([await money([a, b]), await prepared([a, b]).then((gids) => gids.length)], [[ALL - 1, ALL], 1]);
  assert.deepEqual(await twoPhase.recover(), { ...none, committed: 1 });
  assert.deepEqual([await money([a, b]), await outcomes()], [[ALL - 1, ALL + 1], ['committed']]);
});

test('recovery: what is prepared and not decided is left alone for graceMs, by the clock of its server', async (t) => {
  const { told } = await leftAt(t, (point) => point === 'prepared');
  const early = twoClusters(t).twoPhase;
  assert.deepEqual(await early.recover(), { ...none, inProgress: 1 });
  assert.equal((await prepared([a, b])).length, 2);
  const late = twoClusters(t, AT_ONCE).twoPhase;
  assert.deepEqual(await late.recover(), { ...none, rolledBack: 1 });
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL, ALL], []]);
  assert.deepEqual(
    (await decided(a)).map(({ id, outcome }) => ({ id, outcome })),
    [{ id: told[0].id, outcome: 'abort' }],
  );
});

test('recovery: of what one participant has prepared, that one is rolled back', async (t) => {
  await leftAt(t, (point, part) => point === 'prepare' && part === 1);
  await until('the first one is prepared', async () => (await prepared([a])).length === 1);
  const { twoPhase } = twoClusters(t, AT_ONCE);
  assert.deepEqual(await twoPhase.recover(), { ...none, rolledBack: 1 });
  assert.deepEqual(await prepared([a, b]), []);
});

test('recovery: a coordinator that was only slow cannot commit what was rolled back, and is told so', async (t) => {
  const { call, goOn, events } = await leftAt(t, (point) => point === 'prepared');
  const { twoPhase } = twoClusters(t, AT_ONCE);
  assert.equal((await twoPhase.recover()).rolledBack, 1);
  goOn();
  const error = await failureOf(call);
  assert.deepEqual([error.code, error.outcome, error.retryable], ['ERR_TRANSACTION_ABORTED', 'not-applied', true]);
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL, ALL], []]);
  assert.equal(events().at(-1), 'transactionAborted a,b');
});

test('recovery: without the row of the abort a slow coordinator would create money', async (t) => {
  const { call, goOn } = await leftAt(t, (point) => point === 'prepared');
  // Cluster b cannot be reached by the recovery.
  const { twoPhase } = twoPhaseOver(
    { a: a.pool(t), b: a.pool(t, { hosts: ['127.0.0.1:1'], acquireTimeoutMs: 100 }) },
    { ...AT_ONCE, finishTimeoutMs: 600 },
  );
  t.after(() => twoPhase.close());
  const { rolledBack, problems } = await twoPhase.recover();
  assert.deepEqual([rolledBack, problems.map(({ cluster }) => cluster)], [1, ['b']]);
  await a.sql("DELETE FROM hyperiondb_decisions WHERE outcome = 'abort'");
  goOn();
  await call;
  assert.deepEqual(await money([a, b]), [ALL, ALL + 1]);
});

test('recovery: prepared transactions of others are not touched: another name, another coordinator, another form', async (t) => {
  const { run, twoPhase } = twoClusters(t, AT_ONCE);
  await run(transfer('a', 'b'));
  const [{ name }] = await a.sql("SELECT participants[1] AS name FROM hyperiondb_decisions WHERE id = 'coordinator'");
  const foreign = [
    'mine',
    `hdb:${'0'.repeat(24)}:${'1'.repeat(24)}.0`,
    `hdb:${name}:mine`,
    `hdb:${name}:${'1'.repeat(24)}`,
    `x:hdb:${name}:${'1'.repeat(24)}.0`,
  ];
  for (const gid of foreign) await prepareAs(a, gid);
  await prepareAs(b, `hdb:${name}:${'2'.repeat(24)}.0`);
  assert.deepEqual(await twoPhase.recover(), { ...none, rolledBack: 1, foreign: foreign.length });
  assert.deepEqual(await prepared([a, b]), [...foreign].sort());
});

test('recovery: those of another database of the same server are left to a process that is configured for it', async (t) => {
  const { run, twoPhase } = twoClusters(t, AT_ONCE);
  await run(transfer('a', 'b'));
  const [{ name }] = await a.sql("SELECT participants[1] AS name FROM hyperiondb_decisions WHERE id = 'coordinator'");
  const gid = `hdb:${name}:${'3'.repeat(24)}.0`;
  const other = { sql: (/** @type {string} */ text) => b.cluster.primary().sql(text, [], { database: 'template1' }) };
  await prepareAs(other, gid);
  assert.deepEqual(await twoPhase.recover(), none);
  await other.sql(`ROLLBACK PREPARED '${gid}'`);
});

test('recovery: many processes at once do no harm', async (t) => {
  await leftAt(t, (point) => point === 'commit', 1);
  await leftAt(t, (point, part) => point === 'commit' && part === 0, 2);
  await leftAt(t, (point) => point === 'prepared', 3);
  const all = range(4).map(() => twoClusters(t, AT_ONCE).twoPhase);
  const results = await Promise.all(all.map((twoPhase) => twoPhase.recover()));
  assert.deepEqual(
    results.flatMap(({ problems }) => problems),
    [],
  );
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL - 2, ALL + 2], []]);
  assert.ok(!(await outcomes()).includes('commit'));
});

test('recovery: a cluster that cannot be reached stays pending, is told once, and is finished later', async (t) => {
  const { told: left } = await leftAt(t, (point) => point === 'commit');
  const proxy = await b.cluster.primary().proxy();
  const hosts = [proxy.address];
  await proxy.cut();
  const { twoPhase, events } = twoPhaseOver(
    { a: a.pool(t), b: b.pool(t, { hosts, acquireTimeoutMs: 100 }) },
    { finishTimeoutMs: 600 },
  );
  t.after(() => twoPhase.close());
  for (const _ of range(2)) {
    const result = await twoPhase.recover();
    assert.deepEqual([result.committed, result.pending], [0, 1]);
    assert.deepEqual(
      new Set(result.problems.map(({ id, cluster }) => `${id} ${cluster}`)),
      new Set(['null b', `${left[0].id} b`]),
    );
  }
  assert.deepEqual(events(), ['inDoubt b']);
  assert.equal(twoPhase.stats().inDoubt, 1);
  assert.deepEqual(await decided(a).then((rows) => rows.length), 1);
  await proxy.heal();
  await until('it is finished', async () => (await twoPhase.recover()).committed === 1);
  assert.deepEqual([await money([a, b]), twoPhase.stats().inDoubt], [[ALL - 1, ALL + 1], 0]);
});

test('recovery: a participant that is not configured here stays pending', async (t) => {
  const { told: left } = await leftAt(t, (point) => point === 'commit');
  const { twoPhase, events } = twoPhaseOver({ a: a.pool(t) });
  t.after(() => twoPhase.close());
  const { pending, problems } = await twoPhase.recover();
  assert.deepEqual(
    [pending, problems],
    [1, [{ id: left[0].id, cluster: 'b', reason: 'no cluster of this name is configured' }]],
  );
  assert.deepEqual([events(), (await decided(a)).length], [['inDoubt b'], 1]);
});

test('recovery: what another user has prepared is told, and does not keep the rest from being finished', async (t) => {
  const { run } = twoClusters(t);
  await run(transfer('a', 'b'));
  const [{ name }] = await a.sql("SELECT participants[1] AS name FROM hyperiondb_decisions WHERE id = 'coordinator'");
  const app = /** @type {any} */ (b.cluster.app);
  const gid = `hdb:${name}:${'4'.repeat(24)}.1`;
  await prepareAs(b, gid);
  const { told: left } = await leftAt(t, (point) => point === 'commit');
  const { twoPhase } = twoPhaseOver(
    { a: a.pool(t), b: b.pool(t, { user: app.user, password: app.password }) },
    AT_ONCE,
  );
  t.after(() => twoPhase.close());
  const result = await twoPhase.recover();
  assert.deepEqual([result.pending, result.committed], [2, 0]);
  assert.ok(
    result.problems.every(({ reason }) => /permission denied/.test(reason)),
    JSON.stringify(result.problems),
  );
  assert.deepEqual(await prepared([a]), [], `${left[0].id} is committed where it may be`);
});

test('recovery: start() recovers at once and again and again, and close() ends it', async (t) => {
  const { twoPhase } = twoClusters(t, { ...AT_ONCE, recoverIntervalMs: 20 });
  await leftAt(t, (point) => point === 'commit');
  twoPhase.start();
  await until('it is finished', async () => (await outcomes()).join() === 'committed');
  await leftAt(t, (point) => point === 'commit');
  await until('the next one is finished, too', async () => (await outcomes()).join() === 'committed,committed');
  await twoPhase.close();
  await leftAt(t, (point) => point === 'commit');
  assert.deepEqual(await outcomes(), ['committed', 'committed', 'commit']);
});

test('recovery: a process that knows of a transaction in doubt does not wait for its interval', async (t) => {
  const proxy = await b.cluster.primary().proxy();
  const pools = { a: a.pool(t), b: b.pool(t, { hosts: [proxy.address], acquireTimeoutMs: 100 }) };
  const { run, twoPhase } = twoPhaseOver(pools, { finishTimeoutMs: 300, recoverIntervalMs: 600_000 });
  t.after(() => twoPhase.close({ timeoutMs: 1 }));
  twoPhase.start();
  /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
    if (point === 'decided') await proxy.cut();
  };
  await run(transfer('a', 'b'));
  assert.equal(twoPhase.stats().inDoubt, 1);
  await proxy.heal();
  await until('it is finished', () => twoPhase.stats().inDoubt === 0);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
});

test('recovery: a transaction of the same process that is at its end is left to its call', async (t) => {
  const { run, twoPhase } = twoClusters(t, AT_ONCE);
  /** @type {any[]} */
  const results = [];
  /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
    if (point === 'prepared' || point === 'decided') results.push(await twoPhase.recover());
  };
  await run(transfer('a', 'b'));
  assert.deepEqual(results, [{ ...none, inProgress: 1 }, none]);
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
});
