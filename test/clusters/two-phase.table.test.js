'use strict';

// The table of decisions: who makes it, what it is called, who may not use it, and how long a row of it lives.

const assert = require('node:assert/strict');
const { before, beforeEach } = require('node:test');
const { failureOf, range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const { Decisions } = require('../../exports/clusters/two-phase/decisions.js');
const { OptionError } = require('../../client.js');
const { DECISIONS } = require('../../exports/clusters/two-phase/rows.js');
const {
  makeAccounts,
  money,
  decided,
  prepareAs,
  prepared,
  transfer,
  twoPhaseOver,
  ACCOUNTS,
  BALANCE,
} = require('./two-phase.js');

const clusters = useClusters({ a: { nodes: 1 }, b: { nodes: 1 } });
const { a, b } = clusters;
const ALL = ACCOUNTS * BALANCE;

before(async () => {
  await clusters.started;
  for (const db of [a, b]) await makeAccounts(db);
});
beforeEach(async () => {
  await clusters.started;
  for (const db of [a, b]) {
    for (const gid of await prepared([db])) await db.sql(`ROLLBACK PREPARED '${gid}'`);
    await makeAccounts(db);
  }
  await a.sql('DROP TABLE IF EXISTS hyperiondb_decisions');
});

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] @param {object} [ofPool] */
function twoClusters(t, options, ofPool) {
  const made = twoPhaseOver({ a: a.pool(t, ofPool), b: b.pool(t) }, options);
  t.after(() => made.twoPhase.close());
  return made;
}

test('table of decisions: many processes make it at once, and share one coordinator', async (t) => {
  const all = range(12).map(() => twoClusters(t));
  await Promise.all(all.map(({ run }, i) => run(transfer('a', 'b', { id: 1 + (i % ACCOUNTS) }))));
  assert.deepEqual(await money([a, b]), [ALL - 12, ALL + 12]);
  const rows = await a.sql(
    "SELECT id, outcome, cardinality(participants) AS names FROM hyperiondb_decisions WHERE outcome = 'identity'",
  );
  assert.deepEqual(rows, [{ id: 'coordinator', outcome: 'identity', names: 1 }]);
});

test('table of decisions: a schema and names with capitals, blanks and quotes are taken as they are', async (t) => {
  await a.sql('CREATE SCHEMA IF NOT EXISTS "My ""app"');
  await a.sql('DROP TABLE IF EXISTS "My ""app"."it\'s mine"');
  const { run, twoPhase } = twoClusters(t, { table: 'My "app.it\'s mine' });
  await run(transfer('a', 'b'));
  await twoPhase.close();
  assert.deepEqual(await a.sql('SELECT outcome FROM "My ""app"."it\'s mine"'), [{ outcome: 'identity' }]);
});

test('table of decisions: an impossible name, and other impossible options, are refused by name', () => {
  const mistakes = /** @type {[keyof typeof DECISIONS, unknown][]} */ ([
    ['table', ''],
    ['table', 'a.b.c'],
    ['table', 'a.'],
    ['table', 'a\0b'],
    ['table', 'x'.repeat(59)],
    ['table', 7],
    ['cluster', ''],
    ['recoverIntervalMs', 0],
    ['graceMs', 10],
    ['finishTimeoutMs', 1.5],
  ]);
  for (const [name, value] of mistakes) {
    assert.throws(
      () => DECISIONS[name].check(value, `decisions.${name}`),
      (error) => error instanceof OptionError && error.message.startsWith(`decisions.${name} must be`),
      `${name} ${String(value)}`,
    );
  }
  assert.equal(DECISIONS.table.check('app.decisions', 'decisions.table'), 'app.decisions');
});

test('table of decisions: without the right to make it the error has the SQL, before anything runs', async (t) => {
  const { user, password } = /** @type {any} */ (a.cluster.app);
  await a.sql('CREATE SCHEMA IF NOT EXISTS closed');
  const { run } = twoClusters(t, { table: 'closed.decisions' }, { user, password });
  const error = await failureOf(run(() => assert.fail('it has run')));
  assert.deepEqual([error.code, error.outcome, error.cause.code], ['ERR_DECISION_TABLE', 'not-applied', '42501']);
  assert.match(
    error.message,
    /"closed"\."decisions" of cluster 'a'.*CREATE TABLE IF NOT EXISTS "closed"\."decisions" \(/s,
  );
  const [sql] = /CREATE TABLE.*?\n\)/s.exec(error.message) ?? [];
  await a.sql(/** @type {string} */ (sql));
  t.after(() => a.sql('DROP SCHEMA closed CASCADE'));
  await a.sql(`GRANT USAGE ON SCHEMA closed TO ${user}`);
  const noRights = await failureOf(run(() => assert.fail('it has run')));
  assert.match(noRights.message, /permission denied.*GRANT SELECT, INSERT, UPDATE, DELETE ON "closed"\."decisions"/s);
  await a.sql(`GRANT SELECT, INSERT, UPDATE, DELETE ON closed.decisions TO ${user}`);
  await a.sql(`GRANT ALL ON accounts TO ${user}`);
  assert.equal(await run(transfer('a', 'b')), 'moved');
});

test('table of decisions: an unlogged table, a view, and a table of another form are refused', async (t) => {
  const unfit = {
    'CREATE UNLOGGED TABLE unfit (id text)': /is unlogged or temporary/,
    'CREATE VIEW unfit AS SELECT 1 AS id': /is not a table/,
    'CREATE TABLE unfit (id text)': /cannot be used: column/,
    'CREATE TABLE unfit (id text, outcome text, participants text[])': /cannot be used: .*no unique/s,
  };
  for (const [sql, message] of Object.entries(unfit)) {
    await a.sql(sql);
    const { run } = twoClusters(t, { table: 'unfit' });
    const error = await failureOf(run(() => assert.fail('it has run')));
    assert.equal(error.code, 'ERR_DECISION_TABLE', sql);
    assert.match(error.message, message);
    await a.sql(sql.includes('VIEW') ? 'DROP VIEW unfit' : 'DROP TABLE unfit');
  }
});

test('table of decisions: when it is gone at the decision, all is rolled back, and it is made anew', async (t) => {
  const { run } = twoClusters(t);
  await run(transfer('a', 'b'));
  await a.sql('DROP TABLE hyperiondb_decisions');
  const error = await failureOf(run(transfer('a', 'b')));
  assert.deepEqual([error.code, error.outcome], ['ERR_DECISION_TABLE', 'not-applied']);
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL - 1, ALL + 1], []]);
  assert.equal(await run(transfer('a', 'b')), 'moved');
});

test('table of decisions: when it cannot be made anew at the end of a transaction, that is rolled back', async (t) => {
  const { run } = twoClusters(t);
  const error = await failureOf(
    run(async (tx) => {
      await transfer('a', 'b')(tx);
      await a.sql('DROP TABLE hyperiondb_decisions');
      await failureOf(run(transfer('a', 'b', { id: 2 })));
      await a.sql('CREATE VIEW hyperiondb_decisions AS SELECT 1 AS id');
    }),
  );
  await a.sql('DROP VIEW hyperiondb_decisions');
  assert.deepEqual([error.code, error.outcome], ['ERR_DECISION_TABLE', 'not-applied']);
  assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL, ALL], []]);
  await until('no session is left in a transaction', async () => {
    const open = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    return (await Promise.all([a.sql(open), b.sql(open)])).flat().length === 0;
  });
});

test('table of decisions: a row of an abort is kept for two days, and nobody can decide later than one day', async (t) => {
  const { twoPhase, run, units } = twoClusters(t);
  await run(transfer('a', 'b'));
  await a.sql(`INSERT INTO hyperiondb_decisions VALUES
    ('old', 'abort', '{a}', now() - interval '49 hours'), ('young', 'abort', '{a}', now() - interval '47 hours')`);
  await twoPhase.recover();
  assert.deepEqual(
    (await decided(a)).map(({ id }) => id),
    ['young'],
  );
  const decisions = new Decisions(
    'hyperiondb_decisions',
    () => units[0],
    () => false,
  );
  const soon = performance.now() + 5_000;
  const [{ now }] = await a.sql("SELECT date_part('epoch', clock_timestamp()) AS now");
  const decide = (/** @type {string} */ id, /** @type {number} */ before) =>
    decisions.decide(id, 'commit', ['a', 'b'], before, soon);
  assert.equal((await decide('in time', Number(now) + 60)).outcome, 'commit');
  assert.equal((await decide('too late', Number(now) - 1)).outcome, 'abort');
  assert.equal((await decide('too late', Number(now) + 60)).outcome, 'abort');
  // Decided in time, and asked again when it is too late.
  assert.deepEqual(await decide('in time', Number(now) - 1), { outcome: 'commit', participants: ['a', 'b'] });
});

test('table of decisions: when no more can be prepared, all is rolled back with the error of the server', async (t) => {
  const most = Number((await b.sql('SHOW max_prepared_transactions'))[0].max_prepared_transactions);
  for (const i of range(most)) await prepareAs(b, `full ${i}`);
  const { run } = twoClusters(t);
  const error = await failureOf(run(transfer('a', 'b')));
  assert.deepEqual([error.code, error.outcome], ['53200', 'not-applied']);
  assert.match(error.message, /maximum number of prepared transactions reached/);
  assert.deepEqual([await money([a, b]), await prepared([a])], [[ALL, ALL], []]);
});

test('table of decisions: rows of many transactions are removed together, and none is left', async (t) => {
  const { run, twoPhase } = twoClusters(t);
  await Promise.all(range(40).map((i) => run(transfer('a', 'b', { id: 1 + (i % ACCOUNTS) }))));
  await twoPhase.close();
  assert.deepEqual([await decided(a), await prepared([a, b]), await money([a, b])], [[], [], [ALL - 40, ALL + 40]]);
});
