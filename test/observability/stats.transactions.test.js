'use strict';

// stats() of transactions: statements, errors and ends, one transaction at a time.

const assert = require('node:assert/strict');
const { assertCounts } = require('./counting.js');
const { makeTable } = require('../exactly-once/support.js');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

const LEAVES = new Error('the program rolls back');
const COMMITTED = { begun: 1, committed: 1 };
const ROLLED_BACK = { begun: 1, rolledBack: 1 };
const CONFLICT = `DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`;

let tables = 0;

/** A pool, and a table whose ids are unique at COMMIT only. @param {import('node:test').TestContext} t */
async function withTable(t) {
  const pool = db.pool(t, { poolSize: 2 });
  const table = `transacted_${++tables}`;
  await pool.query(`CREATE TABLE ${table} (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)`);
  return { pool, table };
}

/** @param {AsyncIterable<any>} stream @param {number} [most] leaves after so many */
async function read(stream, most = Infinity) {
  let count = 0;
  for await (const _ of stream) if (++count >= most) break;
}

/** @type {[title: string, work: (tx: any, table: string) => Promise<unknown>, expected: Record<string, any>, failure?: unknown][]} */
const BODIES = [
  ['without a statement: nothing is sent', async () => {}, {}],
  ['of one statement', (tx) => tx.query('SELECT generate_series(1, 2)'), { queries: 1, rows: 2, ...COMMITTED }],
  [
    'of statements side by side',
    (tx) => Promise.all([tx.query('SELECT 1'), tx.query('SELECT 2'), tx.one('SELECT 3')]),
    { queries: 3, rows: 3, ...COMMITTED },
  ],
  ['that throws before its first statement', () => Promise.reject(LEAVES), {}, LEAVES],
  [
    'that throws',
    async (tx) => {
      await tx.query('SELECT 1');
      throw LEAVES;
    },
    { queries: 1, rows: 1, ...ROLLED_BACK },
    LEAVES,
  ],
  [
    'whose first statement fails',
    (tx) => tx.query('SELECT 1 / 0'),
    { queries: 1, errors: { 22: 1 }, ...ROLLED_BACK },
    '22012',
  ],
  [
    'whose first statement is wrong',
    (tx) => tx.query('SELEC'),
    { queries: 1, errors: { 42: 1 }, ...ROLLED_BACK },
    '42601',
  ],
  [
    'whose second statement fails',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.query('SELECT 1 / 0');
    },
    { queries: 2, rows: 1, errors: { 22: 1 }, ...ROLLED_BACK },
    '22012',
  ],
  [
    'whose failure is hidden: COMMIT fails, too',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.query('SELECT 1 / 0').catch(() => {});
    },
    { queries: 2, rows: 1, errors: { 22: 1, 25: 1 }, ...ROLLED_BACK },
    '25P02',
  ],
  [
    'whose COMMIT fails',
    async (tx, table) => {
      await tx.query(`INSERT INTO ${table} VALUES (1), (1)`);
    },
    { queries: 1, rows: 2, errors: { 23: 1 }, ...ROLLED_BACK },
    '23505',
  ],
  [
    'whose last statement brings COMMIT with it',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.query('SELECT generate_series(1, 2)', [], { commit: true });
    },
    { queries: 2, rows: 3, ...COMMITTED },
  ],
  [
    'whose only statement brings COMMIT with it',
    (tx) => tx.query('SELECT 1', [], { commit: true }),
    { queries: 1, rows: 1, ...COMMITTED },
  ],
  [
    'whose statements leave together, with COMMIT',
    (tx) => Promise.all([1, 2, 3, 4].map((i) => tx.query('SELECT 1', [], { commit: i === 4 }))),
    { queries: 4, rows: 4, ...COMMITTED },
  ],
  [
    'whose last statement brings COMMIT with it, and fails',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.query('SELECT 1 / 0', [], { commit: true });
    },
    { queries: 2, rows: 1, errors: { 22: 1 }, ...ROLLED_BACK },
    '22012',
  ],
  [
    'whose COMMIT with the last statement fails',
    async (tx, table) => {
      await tx.query('SELECT 1');
      await tx.query(`INSERT INTO ${table} VALUES (1), (1)`, [], { commit: true });
    },
    { queries: 2, rows: 1, errors: { 23: 1 }, ...ROLLED_BACK },
    '23505',
  ],
  [
    'whose statement takes too long',
    (tx) => tx.query('SELECT pg_sleep(9)', [], { timeoutMs: 200 }),
    { queries: 1, errors: { 57: 1 }, ...ROLLED_BACK },
    '57014',
  ],
  [
    'with a savepoint, which is no query',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.transaction((/** @type {any} */ part) => part.query('SELECT 2'));
    },
    { queries: 2, rows: 2, ...COMMITTED },
  ],
  [
    'with a savepoint first',
    (tx) => tx.transaction((/** @type {any} */ part) => part.query('SELECT 2')),
    { queries: 1, rows: 1, ...COMMITTED },
  ],
  [
    'with a savepoint that is rolled back',
    async (tx) => {
      await tx.query('SELECT 1');
      await tx.transaction((/** @type {any} */ part) => part.query('SELECT 1 / 0')).catch(() => {});
    },
    { queries: 2, rows: 1, errors: { 22: 1 }, ...COMMITTED },
  ],
  [
    'with a batch',
    (tx) => tx.batch([['SELECT 1'], ['SELECT generate_series(1, 2)']]),
    { queries: 2, rows: 3, ...COMMITTED },
  ],
  ['with a stream', (tx) => read(tx.stream('SELECT generate_series(1, 10)')), { queries: 1, rows: 10, ...COMMITTED }],
  ['with a script', (tx) => tx.exec('SELECT 1; SELECT 2'), { queries: 1, ...COMMITTED }],
  [
    'with a script that fails',
    (tx) => tx.exec('SELECT 1; SELECT 1 / 0'),
    { queries: 1, errors: { 22: 1 }, ...ROLLED_BACK },
    '22012',
  ],
  ['with a load', (tx, table) => tx.copyFrom(table, [[1], [2]]), { queries: 1, rows: 2, ...COMMITTED }],
  [
    'with a load that fails',
    (tx, table) => tx.copyFrom(table, [[1], [null]]),
    { queries: 1, errors: { 23: 1 }, ...ROLLED_BACK },
    '23502',
  ],
  ['with an unload', (tx, table) => read(tx.copyTo(table)), { queries: 1, ...COMMITTED }],
];

for (const [title, body, expected, failure] of BODIES) {
  test(`stats: a transaction ${title}`, async (t) => {
    const { pool, table } = await withTable(t);
    const run = async () => {
      const done = pool.transaction((/** @type {any} */ tx) => body(tx, table));
      if (failure === undefined) await done;
      else {
        const error = await failureOf(done);
        assert.equal(failure === LEAVES ? error : error.code, failure);
      }
    };
    await assertCounts(pool, run, expected);
    await until('nothing is in flight', () => pool.stats().nodes[0].inFlight === 0);
  });
}

test('stats: a batch in a transaction that fails counts one error, wherever it fails', async (t) => {
  const { pool, table } = await withTable(t);
  const insert = `INSERT INTO ${table} VALUES (1)`;
  /** @type {[string[], object, string, number][]} */
  const batches = [
    [['SELECT 1', 'SELECT 1 / 0', 'SELECT 2'], {}, '22012', 22],
    [['SELEC', 'SELECT 2'], {}, '42601', 42],
    [['SELECT 1', insert, insert], {}, '23505', 23],
    [['SELECT 1', 'SELECT pg_sleep(9)', 'SELECT 2'], { timeoutMs: 20 }, '57014', 57],
  ];
  for (const [texts, options, code, kind] of batches) {
    const statements = texts.map((text) => [text]);
    const run = async () =>
      assert.equal((await failureOf(pool.batch(statements, { ...options, transaction: true }))).code, code);
    await assertCounts(pool, run, { queries: texts.length, errors: { [kind]: 1 } });
  }
  const inTransaction = () =>
    failureOf(pool.transaction((/** @type {any} */ tx) => tx.batch([['SELECT 1'], ['SELECT 1 / 0']])));
  await assertCounts(pool, inTransaction, { queries: 2, rows: 1, errors: { 22: 1 }, ...ROLLED_BACK });
});

test('stats: transactions that run again are counted by the code of their error', async (t) => {
  const { pool } = await withTable(t);
  let runs = 0;
  const succeeds = () =>
    pool.transaction(
      async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        if (++runs < 3) await tx.query(CONFLICT);
      },
      { retries: 5 },
    );
  const expected = {
    queries: 5,
    rows: 3,
    errors: { 40: 2 },
    begun: 3,
    committed: 1,
    rolledBack: 2,
    retries: { 40001: 2 },
  };
  await assertCounts(pool, succeeds, expected);
  const gives = () => failureOf(pool.transaction((/** @type {any} */ tx) => tx.query(CONFLICT), { retries: 1 }));
  await assertCounts(pool, gives, { queries: 2, errors: { 40: 2 }, begun: 2, rolledBack: 2, retries: { 40001: 1 } });
});

test('stats: begin(), commit() and rollback(), by hand', async (t) => {
  const { pool } = await withTable(t);
  const by = async (/** @type {(tx: any) => Promise<unknown>} */ body) => body(await pool.begin());
  await assertCounts(pool, () => by((tx) => tx.commit()), {});
  await assertCounts(pool, () => by((tx) => tx.rollback()), {});
  const commits = (/** @type {any} */ tx) => tx.query('SELECT 1').then(() => tx.commit());
  await assertCounts(pool, () => by(commits), { queries: 1, rows: 1, ...COMMITTED });
  const rollsBack = (/** @type {any} */ tx) => tx.query('SELECT 1').then(() => tx.rollback());
  await assertCounts(pool, () => by(rollsBack), { queries: 1, rows: 1, ...ROLLED_BACK });
  const goesOn = (/** @type {any} */ tx) => commits(tx).then(() => failureOf(tx.query('SELECT 1')));
  await assertCounts(pool, () => by(goesOn), { queries: 1, rows: 1, ...COMMITTED });
});

test('stats: a transaction that was lost with its connection was rolled back', async (t) => {
  const { pool } = await withTable(t);
  for (const end of ['commit', 'rollback']) {
    const run = async () => {
      const tx = await pool.begin();
      const pid = await tx.value('SELECT pg_backend_pid()');
      await db.sql('SELECT pg_terminate_backend($1)', [pid]);
      await until('its session is gone', () => pool.stats().nodes[0].connections === 0);
      if (end === 'commit') assert.equal((await failureOf(tx.commit())).code, 'ERR_CONNECTION_LOST');
      else await tx.rollback();
    };
    const errors = end === 'commit' ? { errors: { ERR_CONNECTION_LOST: 1 } } : {};
    await assertCounts(pool, run, { queries: 1, rows: 1, ...ROLLED_BACK, ...errors });
  }
});

test('stats: exactlyOnce keeps a table, whose statements count as well', async (t) => {
  await makeTable(db);
  const { pool } = await withTable(t);
  /** @param {string} key @param {object} [more] */
  const run = (key, more) => () =>
    pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'), { exactlyOnce: { key, ...more } });
  const { queries } = pool.stats();
  await run('before')();
  // It looks at the table, takes the key, runs the program's query, and deletes old markers later.
  await until('old markers are deleted', () => pool.stats().queries === queries + 4);
  await assertCounts(pool, run('first'), { queries: 2, rows: 2, ...COMMITTED });
  await assertCounts(pool, run('second', { remember: true }), { queries: 3, rows: 3, ...COMMITTED });
  // Its marker is found, and what it remembers is read: the callback does not run.
  await assertCounts(pool, run('second', { remember: true }), { queries: 2, rows: 1, ...ROLLED_BACK });
});

test('stats: a pool that ends rolls back, and lets what waits run', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const tx = await pool.begin();
  await tx.query('SELECT 1');
  const waiting = [pool.query('SELECT 1'), pool.transaction((/** @type {any} */ other) => other.query('SELECT 1'))];
  const run = async () => {
    await pool.end();
    await Promise.all(waiting);
  };
  await assertCounts(pool, run, { queries: 2, rows: 2, begun: 1, committed: 1, rolledBack: 1 });
});
