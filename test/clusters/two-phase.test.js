'use strict';

// Transactions that span clusters, when nothing is lost: what is prepared and what is not, what is told, and what undoes all of it.

const assert = require('node:assert/strict');
const { before, beforeEach } = require('node:test');
const { DatabaseError } = require('../../client.js');
const { failureOf, range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const {
  BALANCE,
  ACCOUNTS,
  POINT,
  decided,
  makeAccounts,
  money,
  prepared,
  transfer,
  twoPhaseOver,
} = require('./two-phase.js');

const clusters = useClusters({
  a: { nodes: 1, settings: { log_statement: 'all' } },
  b: { nodes: 1 },
  none: { nodes: 1, settings: { max_prepared_transactions: 0 } },
});
const { a, b, none } = clusters;
const ALL = ACCOUNTS * BALANCE;

before(async () => {
  await clusters.started;
  await makeAccounts(none);
});
beforeEach(async () => {
  await clusters.started;
  await Promise.all([a, b].map(makeAccounts));
});

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] */
function twoClusters(t, options) {
  const made = twoPhaseOver({ a: a.pool(t), b: b.pool(t) }, options);
  t.after(() => made.twoPhase.close());
  return made;
}

test('two-phase: a transfer between two clusters is committed on both, and nothing is left of it', async (t) => {
  const { run, twoPhase, told, events } = twoClusters(t);
  assert.equal(await run(transfer('a', 'b', { amount: 5 })), 'moved');
  assert.deepEqual(await money([a, b]), [ALL - 5, ALL + 5]);
  await twoPhase.close();
  assert.deepEqual([await prepared([a, b]), await decided(a)], [[], []]);
  assert.deepEqual(events(), ['transactionStarted a,b', 'transactionCommitted a,b']);
  assert.match(told[0].id, /^[0-9a-f]{24}$/);
  assert.equal(told[0].id, told[1].id);
  assert.deepEqual(twoPhase.stats(), { started: 1, committed: 1, aborted: 0, inDoubt: 0, recovered: 0 });
});

test('two-phase: each part has an identifier of its own, the decision is there before the second phase and gone after it', async (t) => {
  const { run, twoPhase, told } = twoClusters(t);
  /** @type {any[]} */
  const seen = [];
  /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
    if (point === 'prepared') seen.push([point, await prepared([a, b]), await decided(a)]);
    if (point === 'decided') seen.push([point, await prepared([a, b]), await decided(a), await money([a, b])]);
  };
  await run(transfer('a', 'b'));
  await twoPhase.close();
  const [{ id }] = told;
  const [{ participants }] = await a.sql("SELECT participants FROM hyperiondb_decisions WHERE id = 'coordinator'");
  const gids = [`hdb:${participants[0]}:${id}.0`, `hdb:${participants[0]}:${id}.1`];
  assert.deepEqual(seen, [
    ['prepared', gids, []],
    ['decided', gids, [{ id, outcome: 'commit', participants: '{a,b}' }], [ALL, ALL]],
  ]);
  assert.deepEqual(await decided(a), []);
});

/** What cluster `a` is sent meanwhile. @param {() => Promise<unknown>} work */
async function sentTo(work) {
  const { length } = a.cluster.primary().log();
  await work();
  const sent = a.cluster.primary().log().slice(length);
  return {
    prepares: sent.match(/PREPARE TRANSACTION/g)?.length ?? 0,
    commits: sent.match(/: COMMIT$/gm)?.length ?? 0,
    decisions: sent.match(/INSERT INTO "hyperiondb_decisions"/g)?.length ?? 0,
  };
}

test('two-phase: nothing is prepared when one cluster takes part, or only one has written', async (t) => {
  const { run } = twoClusters(t);
  await run(() => 'ready');
  const onlyA = (/** @type {any} */ tx) => tx.query('UPDATE accounts SET balance = 50', [], { schema: 'a' });
  const reads = (/** @type {any} */ tx) => tx.query('SELECT * FROM accounts', [], { schema: 'b' });
  const plain = { prepares: 0, commits: 1, decisions: 0 };
  assert.deepEqual(await sentTo(() => run(onlyA)), plain);
  assert.deepEqual(await sentTo(() => run(async (tx) => [await reads(tx), await onlyA(tx)])), plain);
  assert.deepEqual(
    await sentTo(() => run(async (tx) => [await reads(tx), await tx.query('SELECT 1', [], { schema: 'a' })])),
    plain,
  );
  assert.deepEqual(await sentTo(() => run(transfer('a', 'b'))), { prepares: 1, commits: 0, decisions: 1 });
});

test('two-phase: a locked row counts as written: its lock is kept until the commit is decided', async (t) => {
  const { run, twoPhase } = twoClusters(t);
  /** @type {string[]} */
  let gids = [];
  /** @type {any} */ (twoPhase)[POINT] = async (/** @type {string} */ point) => {
    if (point === 'prepared') gids = await prepared([a, b]);
  };
  await run(async (tx) => {
    await tx.query('SELECT * FROM accounts WHERE id = 1 FOR UPDATE', [], { schema: 'a' });
    await tx.query('UPDATE accounts SET balance = 0 WHERE id = 1', [], { schema: 'b' });
  });
  assert.equal(gids.length, 2);
});

test('two-phase: tx.query has the rows, the cluster and the node; a value is given back', async (t) => {
  const { run, units } = twoClusters(t);
  const result = await run((tx) => tx.query('SELECT $1::int AS n, 2 AS two', [1], { schema: 'b', rowMode: 'array' }));
  assert.deepEqual(Object.keys(result), ['rows', 'rowCount', 'command', 'fields', 'clusterId', 'node', 'cached']);
  assert.deepEqual([...result.rows], [[1, 2]]);
  assert.deepEqual(
    [result.rowCount, result.command, result.clusterId, result.node, result.cached],
    [1, 'SELECT', 'b', units[1].hosts[0], false],
  );
});

test('two-phase: when the callback throws, all is rolled back, and its error is the one that is told', async (t) => {
  const { run, events, twoPhase } = twoClusters(t);
  const mine = new Error('mine');
  const error = await failureOf(
    run(async (tx) => {
      await transfer('a', 'b')(tx);
      throw mine;
    }),
  );
  assert.equal(error, mine);
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
  assert.deepEqual(await prepared([a, b]), []);
  assert.deepEqual(events(), ['transactionStarted a,b', 'transactionAborted a,b']);
  assert.equal(twoPhase.stats().aborted, 1);
});

test('two-phase: a statement that fails undoes all, although the callback has caught its error', async (t) => {
  const { run } = twoClusters(t);
  const error = await failureOf(
    run(async (tx) => {
      await tx.query('UPDATE accounts SET balance = 0', [], { schema: 'a' });
      await failureOf(tx.query('UPDATE accounts SET balance = -1', [], { schema: 'b' }));
    }),
  );
  assert.deepEqual([error.code, error.outcome, error.cause.code], ['25P02', 'not-applied', '23514']);
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
});

test('two-phase: a participant that refuses to prepare undoes all: a deferred constraint, a temporary table', async (t) => {
  await b.sql('CREATE TABLE IF NOT EXISTS twice (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
  const { run, events } = twoClusters(t);
  const failing = [
    { statements: ['INSERT INTO twice VALUES (1), (1)'], code: '23505' },
    { statements: ['CREATE TEMP TABLE mine (id int)'], code: '0A000' },
    { statements: ['UPDATE accounts SET balance = 0', "NOTIFY channel, ''"], code: '0A000' },
    { statements: ['UPDATE accounts SET balance = 0', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'], code: '0A000' },
  ];
  for (const { statements, code } of failing) {
    const error = await failureOf(
      run(async (tx) => {
        await tx.query('UPDATE accounts SET balance = 0', [], { schema: 'a' });
        for (const sql of statements) await tx.query(sql, [], { schema: 'b' });
      }),
    );
    const what = statements.join();
    assert.deepEqual([error.code, error.outcome, typeof error.transactionId], [code, 'not-applied', 'string'], what);
    assert.deepEqual([await money([a, b]), await prepared([a, b])], [[ALL, ALL], []], what);
    assert.equal(events().at(-1), 'transactionAborted a,b');
  }
});

test('two-phase: what has only read is committed first; when that fails, all is rolled back', async (t) => {
  const reader = b.pool(t);
  const begin = reader.begin.bind(reader);
  reader.begin = async (/** @type {object} */ options) => {
    const tx = await begin(options);
    tx.commit = async () => {
      await tx.rollback();
      throw Object.assign(new DatabaseError('could not serialize access', '40001'), {
        outcome: 'not-applied',
        retryable: true,
      });
    };
    return tx;
  };
  const { run, twoPhase } = twoPhaseOver({ a: a.pool(t), b: reader });
  t.after(() => twoPhase.close());
  const error = await failureOf(
    run(async (tx) => {
      await tx.query('UPDATE accounts SET balance = 0', [], { schema: 'a' });
      await tx.query('SELECT sum(balance) FROM accounts', [], { schema: 'b' });
    }),
  );
  assert.deepEqual([error.code, error.retryable], ['40001', true]);
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
});

test('two-phase: isolation holds on each cluster', async (t) => {
  const { run } = twoClusters(t);
  const levels = await run(
    async (tx) =>
      Promise.all(
        ['a', 'b'].map(
          async (schema) =>
            (await tx.query('SHOW transaction_isolation', [], { schema })).rows[0].transaction_isolation,
        ),
      ),
    { isolation: 'repeatable read' },
  );
  assert.deepEqual(levels, ['repeatable read', 'repeatable read']);
});

test('two-phase: timeoutMs is for the whole: a statement, a callback that does not return, and many of both', async (t) => {
  const { run, twoPhase } = twoClusters(t);
  await run(() => 'ready');
  const never = () => new Promise(() => {});
  for (const callback of [
    never,
    async (/** @type {any} */ tx) => {
      await transfer('a', 'b')(tx);
      await never();
    },
    async (/** @type {any} */ tx) => {
      await transfer('a', 'b')(tx);
      await tx.query('SELECT pg_sleep(60)', [], { schema: 'b' });
    },
  ]) {
    const error = await failureOf(run(callback, { timeoutMs: 150 }));
    assert.deepEqual(
      [error.constructor.name, error.code, error.outcome],
      ['QueryTimeoutError', '57014', 'not-applied'],
    );
  }
  await until('no session is in a transaction', async () => {
    const rows = await Promise.all(
      [a, b].map((db) =>
        db.sql(
          "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%' OR query LIKE '%pg_sleep(60)' AND state = 'active'",
        ),
      ),
    );
    return rows.flat().length === 0;
  });
  assert.deepEqual(await money([a, b]), [ALL, ALL]);
  assert.equal(twoPhase.stats().aborted, 3);
});

test('two-phase: statements that were not awaited belong to the transaction; later ones are refused', async (t) => {
  const { run } = twoClusters(t);
  /** @type {any} */
  let kept;
  await run((tx) => {
    kept = tx;
    for (const schema of ['a', 'b']) tx.query('UPDATE accounts SET balance = 1', [], { schema });
  });
  assert.deepEqual(await money([a, b]), [ACCOUNTS, ACCOUNTS]);
  assert.equal((await failureOf(kept.query('SELECT 1', [], { schema: 'a' }))).code, 'ERR_TRANSACTION_ENDED');
  assert.deepEqual(kept.pending, []);
});

test('two-phase: a mistake in a call is told by name, and undoes the transaction', async (t) => {
  const { run } = twoClusters(t);
  const options = [
    { given: {}, message: /schema must be one of 'a', 'b'/ },
    { given: { schema: 'a', shema: 'b' }, message: /unknown option 'shema'/ },
    { given: { schema: 'c' }, message: /schema c was not named/ },
    { given: null, message: /options must be an object, not null/ },
  ];
  for (const { given, message } of options) {
    const error = await failureOf(
      run(async (tx) => {
        await tx.query('UPDATE accounts SET balance = 0', [], { schema: 'a' });
        await tx.query('SELECT 1', [], given);
      }),
    );
    assert.match(error.message, message);
    assert.deepEqual(await money([a, b]), [ALL, ALL]);
  }
});

test('two-phase: max_prepared_transactions = 0 is an error by name before anything runs', async (t) => {
  const { run, twoPhase } = twoPhaseOver({ a: a.pool(t), none: none.pool(t) });
  t.after(() => twoPhase.close());
  const error = await failureOf(run(() => assert.fail('it has run')));
  assert.deepEqual([error.code, error.outcome], ['ERR_NO_PREPARED_TRANSACTIONS', 'not-applied']);
  assert.match(error.message, /cluster 'none' has max_prepared_transactions = 0/);
});

test('two-phase: a commit does not wait for callers who wait for its locks and have all connections', async (t) => {
  const { run, twoPhase } = twoPhaseOver({ a: a.pool(t, { poolSize: 2 }), b: b.pool(t, { poolSize: 2 }) });
  t.after(() => twoPhase.close());
  const transfers = range(20).map(() => run(transfer('a', 'b', { id: 1 })));
  assert.deepEqual(new Set(await Promise.all(transfers)), new Set(['moved']));
  assert.deepEqual(await money([a, b]), [ALL - 20, ALL + 20]);
  assert.equal(twoPhase.stats().committed, 20);
});

test('two-phase: within an ambient transaction it has its own, and does not wait for it', async (t) => {
  const pool = a.pool(t, { ambient: true, poolSize: 2 });
  const { run, twoPhase } = twoPhaseOver({ a: pool, b: b.pool(t) });
  t.after(() => twoPhase.close());
  await failureOf(
    pool.transaction(async () => {
      await pool.query('UPDATE accounts SET balance = 7 WHERE id = 2');
      await run(transfer('a', 'b'));
      throw new Error('undo');
    }),
  );
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
});

test('two-phase: parsers and choices of a pool do not change what it asks itself', async (t) => {
  const wrong = () => 'wrong';
  const types = { int8: 'number', parsers: { text: wrong, bool: wrong, int4: wrong, float8: wrong } };
  const { run, twoPhase } = twoPhaseOver({ a: a.pool(t, { types }), b: b.pool(t, { types }) });
  await run(transfer('a', 'b'));
  await twoPhase.close();
  assert.deepEqual(await money([a, b]), [ALL - 1, ALL + 1]);
  assert.deepEqual([await prepared([a, b]), await decided(a)], [[], []]);
});

test('two-phase: two clusters that are databases of one server can take part together', async (t) => {
  await a.sql('DROP DATABASE IF EXISTS second');
  await a.sql('CREATE DATABASE second');
  const second = { sql: (/** @type {string} */ text) => a.cluster.primary().sql(text, [], { database: 'second' }) };
  await makeAccounts(second);
  const { run, twoPhase } = twoPhaseOver({ a: a.pool(t), second: a.pool(t, { database: 'second' }) });
  await run(transfer('a', 'second'));
  await twoPhase.close();
  assert.deepEqual(await money([a, second]), [ALL - 1, ALL + 1]);
});
