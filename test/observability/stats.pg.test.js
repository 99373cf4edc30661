'use strict';

// stats() of the pool under hyperiondb-client/pg: its clients, cursors, streams and texts of several statements.

const assert = require('node:assert/strict');
const client = require('../../client.js');
const { Cursor, Pool, QueryStream, copyStreams } = require('../../exports/pg/index.js');
const { Random } = require('../chaos/random.js');
const { Tally, assertCounts, changes } = require('./counting.js');
const { failureOf, loginOf, range, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

let tables = 0;

/**
 * A pool of pg, and the pool of this package under it.
 * @param {import('node:test').TestContext} t
 * @returns {Promise<{ pool: any, core: any, table: string }>}
 */
async function poolOf(t) {
  const { hosts, ...login } = loginOf(db.cluster);
  const { createPool } = client;
  /** @type {any} */
  let core;
  client.createPool = (options) => {
    core = createPool(options);
    return core;
  };
  const pool = /** @type {any} */ (new Pool(/** @type {any} */ ({ ...login, host: hosts.join(','), max: 2 })));
  pool.on('error', () => {});
  t.after(() => (pool.ending ? undefined : pool.end()));
  const table = `faced_${++tables}`;
  await pool.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`);
  client.createPool = createPool;
  return { pool, core, table };
}

/** @param {any} pool @param {(client: any) => Promise<unknown>} work */
async function withClient(pool, work) {
  const held = await pool.connect();
  try {
    return await work(held);
  } finally {
    held.release();
  }
}

/** @param {any} stream @param {string} data */
const write = (stream, data) =>
  new Promise((resolve, reject) => {
    stream.on('finish', resolve).on('error', reject);
    stream.end(data);
  });

/** @param {AsyncIterable<unknown>} stream */
async function drain(stream) {
  for await (const _ of stream);
}

/** @type {[title: string, work: (pool: any, table: string) => Promise<unknown>, expected: Record<string, any>, code?: string][]} */
const CASES = [
  ['a query', (pool) => pool.query('SELECT generate_series(1, 3)'), { queries: 1, rows: 3 }],
  ['a query with values', (pool) => pool.query('SELECT $1::int', [1]), { queries: 1, rows: 1 }],
  [
    'a prepared query, twice',
    async (pool) => {
      for (const i of range(2)) await pool.query({ name: 'n', text: 'SELECT $1::int', values: [i] });
    },
    { queries: 2, rows: 2 },
  ],
  [
    'an INSERT of two rows',
    (pool, table) => pool.query(`INSERT INTO ${table} VALUES (1), (2)`),
    { queries: 1, rows: 2 },
  ],
  [
    'a query that fails',
    (pool, table) => pool.query(`INSERT INTO ${table} VALUES (1), (1)`),
    { queries: 1, errors: { 23: 1 } },
    '23505',
  ],
  [
    'a text of several statements is one query, with the rows of all',
    (pool, table) => pool.query(`SELECT 1; SELECT 2; INSERT INTO ${table} VALUES (1), (2)`),
    { queries: 1, rows: 4 },
  ],
  [
    'a text of several statements that fails',
    (pool) => pool.query('SELECT 1; SELECT 1 / 0'),
    { queries: 1, errors: { 22: 1 } },
    '22012',
  ],
  [
    'ten queries side by side',
    (pool) => Promise.all(range(10).map((i) => pool.query('SELECT $1::int', [i]))),
    { queries: 10, rows: 10 },
  ],
  ['a client that asks nothing: nothing', (pool) => withClient(pool, async () => {}), {}],
  [
    'a transaction: BEGIN and COMMIT are queries of the program',
    (pool) =>
      withClient(pool, async (held) => {
        for (const text of ['BEGIN', 'SELECT 1', 'COMMIT']) await held.query(text);
      }),
    { queries: 3, rows: 1 },
  ],
  [
    'a transaction whose BEGIN goes with its first statement',
    (pool) =>
      withClient(pool, async (held) => {
        await held.query('BEGIN');
        await held.query('SELECT $1::int', [1]);
        await held.query('ROLLBACK');
      }),
    { queries: 3, rows: 1 },
  ],
  [
    'a transaction in which a statement fails',
    (pool) =>
      withClient(pool, async (held) => {
        await held.query('BEGIN');
        for (const text of ['SELECT 1 / 0', 'SELECT 1']) await failureOf(held.query(text));
        await held.query('COMMIT');
      }),
    { queries: 4, errors: { 22: 1, 25: 1 } },
  ],
  [
    'a cursor is one query, with the rows of all reads',
    (pool) =>
      withClient(pool, async (held) => {
        const cursor = held.query(new Cursor('SELECT generate_series(1, 5)'));
        for (const rows of [2, 2, 1]) assert.equal((await cursor.read(2)).length, rows);
        await cursor.close();
      }),
    { queries: 1, rows: 5 },
  ],
  [
    'a cursor that is closed early',
    (pool) =>
      withClient(pool, async (held) => {
        const cursor = held.query(new Cursor('SELECT generate_series(1, 5)'));
        await cursor.read(2);
        await cursor.close();
      }),
    { queries: 1, rows: 2 },
  ],
  [
    'a cursor that fails at its second read',
    (pool) =>
      withClient(pool, async (held) => {
        const cursor = held.query(new Cursor('SELECT 1 / (3 - i) FROM generate_series(1, 5) i'));
        assert.equal((await cursor.read(2)).length, 2);
        await cursor.read(2);
      }),
    { queries: 1, rows: 2, errors: { 22: 1 } },
    '22012',
  ],
  [
    'a QueryStream',
    (pool) => withClient(pool, (held) => drain(held.query(new QueryStream('SELECT generate_series(1, 300)')))),
    { queries: 1, rows: 300 },
  ],
  [
    'a load',
    (pool, table) =>
      withClient(pool, (held) => write(held.query(copyStreams.from(`COPY ${table} FROM STDIN`)), '5\n6\n')),
    { queries: 1, rows: 2 },
  ],
  [
    'a load that fails',
    (pool, table) =>
      withClient(pool, (held) => write(held.query(copyStreams.from(`COPY ${table} FROM STDIN`)), '5\n5\n')),
    { queries: 1, errors: { 23: 1 } },
    '23505',
  ],
  [
    'an unload',
    (pool) => withClient(pool, (held) => drain(held.query(copyStreams.to('COPY (SELECT 1) TO STDOUT')))),
    { queries: 1 },
  ],
];

for (const [title, work, expected, code] of CASES) {
  test(`stats of pg: ${title}`, async (t) => {
    const { pool, core, table } = await poolOf(t);
    const run = async () => {
      const done = work(pool, table);
      if (code === undefined) await done;
      else assert.equal((await failureOf(done)).code, code);
    };
    await assertCounts(core, run, expected);
    await pool.end();
    await until('nothing is in flight, or connected', () => {
      const [{ inFlight, connections }] = core.stats().nodes;
      return inFlight === 0 && connections === 0;
    });
  });
}

test('stats of pg: a query whose session is ended has an unknown outcome', async (t) => {
  const { pool, core } = await poolOf(t);
  const run = () =>
    withClient(pool, async (held) => {
      held.on('error', () => {});
      const [{ pid }] = (await held.query('SELECT pg_backend_pid() AS pid')).rows;
      const sleeping = failureOf(held.query('SELECT pg_sleep(60)'));
      await until('it sleeps', async () => {
        const [{ query }] = await db.sql('SELECT query FROM pg_stat_activity WHERE pid = $1', [pid]);
        return query.includes('pg_sleep');
      });
      await db.sql('SELECT pg_terminate_backend($1)', [pid]);
      const { code, outcome } = await sleeping;
      assert.deepEqual({ code, outcome }, { code: '57P01', outcome: 'unknown' });
    });
  await assertCounts(core, run, { queries: 2, rows: 1, errors: { 57: 1 }, unknownOutcomes: 1 });
});

/** @typedef {{ pool: any, table: string, tally: Tally, random: Random }} Context */

/** @param {any} result of pg */
const rowsOf = (result) =>
  Array.isArray(result) ? result.reduce((sum, one) => sum + one.rowCount, 0) : (result.rowCount ?? 0);

/** @param {Context} context @param {any} asker @param {any[]} query */
const asked = ({ tally }, asker, ...query) => tally.statement(asker.query(...query), rowsOf);

let ids = 0;

/** @type {((context: Context) => Promise<unknown>)[]} */
const KINDS = [
  (context) => asked(context, context.pool, 'SELECT $1::int', [1]),
  (context) => asked(context, context.pool, 'SELECT generate_series(1, 3)'),
  (context) => asked(context, context.pool, 'SELECT 1 / $1::int', [0]),
  (context) => asked(context, context.pool, 'SELEC'),
  (context) => asked(context, context.pool, `INSERT INTO ${context.table} VALUES ($1)`, [++ids]),
  (context) => asked(context, context.pool, { name: 'named', text: 'SELECT $1::int AS named', values: [1] }),
  (context) => asked(context, context.pool, 'SELECT 1; SELECT 2, 3; SELECT generate_series(1, 2)'),
  (context) =>
    withClient(context.pool, async (held) => {
      await asked(context, held, 'BEGIN');
      if (context.random.once(2)) await asked(context, held, 'SELECT $1::int', [1]);
      if (context.random.once(3)) await asked(context, held, 'SELECT 1 / 0');
      await asked(context, held, context.random.once(2) ? 'COMMIT' : 'ROLLBACK');
    }),
  ({ pool, tally, random }) =>
    withClient(pool, async (held) => {
      const cursor = held.query(new Cursor('SELECT generate_series(1, 7)'));
      for (const _ of range(random.int(1, 4))) {
        const rows = await cursor.read(2);
        tally.rows += rows.length;
      }
      await cursor.close();
      tally.queries++;
    }),
  ({ pool, tally }) =>
    withClient(pool, async (held) => {
      for await (const _ of held.query(new QueryStream('SELECT generate_series(1, 250)'))) tally.rows++;
      tally.queries++;
    }),
];

test('stats of pg: queries, transactions and cursors side by side, in a random order', async (t) => {
  const { pool, core, table } = await poolOf(t);
  const context = { pool, table, tally: new Tally(), random: new Random(Number(process.env.HYPERION_SEED ?? 22)) };
  const before = core.stats();
  let begun = 0;
  const client = async () => {
    while (begun++ < 1_000) await context.random.pick(KINDS)(context);
  };
  await Promise.all(range(12).map(client));
  assert.deepEqual(changes(core.stats(), before), context.tally.counts());
  assert.ok(context.tally.queries > 1_000);
});
