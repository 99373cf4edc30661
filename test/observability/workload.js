'use strict';

// Work of every kind, chosen at random, whose ends are counted as the program sees them.

const { range } = require('../support/helpers.js');

/** @typedef {import('./counting.js').Tally} Tally */
/** @typedef {{ pool: any, table: string, tally: Tally, random: import('../chaos/random.js').Random }} Context */

let ids = 0;
/** A key that no other row has. */
const nextId = () => ++ids;

/** @param {AsyncIterable<unknown>} stream */
async function count(stream) {
  let rows = 0;
  for await (const _ of stream) rows++;
  return rows;
}

const none = () => 0;

/**
 * A transaction of the program: its statements are counted one by one, and the error of COMMIT or of the search for a connection where
 * it comes.
 * @param {Context} context
 * @param {(statement: (sql: string, tx?: any) => Promise<any>, tx: any) => Promise<void>} body
 */
async function transact({ pool, tally }, body) {
  /** @type {any[]} */
  const told = [];
  try {
    await pool.transaction(async (/** @type {any} */ tx) => {
      await body(async (sql, on = tx) => {
        const error = await tally.statement(on.query(sql));
        if (error === undefined) return;
        told.push(error);
        throw error;
      }, tx);
    });
    tally.committed++;
  } catch (error) {
    // When BEGIN and the first statement with it are lost, each has the same error.
    const isKnown = told.some(({ message }) => message === /** @type {any} */ (error).message);
    if (error !== LEAVES && !isKnown) tally.failed(error);
  }
}

const LEAVES = new Error('the program rolls back');

/** @type {Record<string, (context: Context) => Promise<unknown>>} */
const KINDS = {
  query: (context) =>
    context.tally.statement(context.pool.query(`SELECT generate_series(1, $1::int)`, [context.random.int(1, 5)])),
  one: ({ pool, tally }) => tally.statement(pool.one('SELECT 1'), () => 1),
  insert: ({ pool, tally, table }) => tally.statement(pool.query(`INSERT INTO ${table} VALUES ($1)`, [nextId()])),
  update: ({ pool, tally, table }) =>
    tally.statement(pool.query(`UPDATE ${table} SET note = 'x' WHERE id = $1`, [nextId()])),
  duplicate: ({ pool, tally, table }) => tally.statement(pool.query(`INSERT INTO ${table} VALUES (0)`)),
  division: ({ pool, tally }) => tally.statement(pool.query('SELECT 1 / 0')),
  syntax: ({ pool, tally }) => tally.statement(pool.query('SELEC')),
  timeout: ({ pool, tally }) => tally.statement(pool.query('SELECT pg_sleep(9)', [], { timeoutMs: 5 })),
  signal: ({ pool, tally }) =>
    tally.statement(pool.query('SELECT pg_sleep(9)', [], { signal: AbortSignal.timeout(5) })),
  batch: async (context) => {
    const { pool, tally, random } = context;
    const texts = range(random.int(1, 4)).map(() => (random.once(5) ? 'SELECT 1 / 0' : 'SELECT generate_series(1, 2)'));
    const results = await pool.batch(texts.map((text) => [text]));
    const ends = results.map((/** @type {any} */ { value, reason }) => reason ?? value);
    for (const end of ends) await tally.statement(end instanceof Error ? Promise.reject(end) : Promise.resolve(end));
  },
  atOnce: async (context) => {
    const { pool, tally, table, random } = context;
    const texts = [
      `INSERT INTO ${table} VALUES (${nextId()})`,
      random.once(3) ? 'SELECT 1 / 0' : 'SELECT 1',
      'SELECT 2',
    ];
    const done = pool.batch(
      texts.map((text) => [text]),
      { transaction: true },
    );
    await tally.statement(done, () => texts.length);
    // It has one error, but each of its statements counts.
    tally.queries += texts.length - 1;
  },
  script: ({ pool, tally, table }) =>
    tally.statement(pool.exec(`SELECT 1; INSERT INTO ${table} VALUES (${nextId()})`), none),
  load: (context) => {
    const rows = range(context.random.int(1, 50)).map(() => [nextId(), 'loaded']);
    return context.tally.statement(context.pool.copyFrom(context.table, rows), () => rows.length);
  },
  unload: ({ pool, tally }) =>
    tally.statement(count(pool.copyTo('COPY (SELECT generate_series(1, 99)) TO STDOUT')), none),
  stream: (context) => {
    const sql = `SELECT generate_series(1, ${context.random.int(1, 900)})`;
    return context.tally.statement(count(context.pool.stream(sql)), (rows) => rows);
  },
  left: async ({ pool, tally }) => {
    const done = (async () => {
      for await (const _ of pool.stream('SELECT generate_series(1, 50000)')) break;
    })();
    await tally.statement(done, none);
  },
  read: ({ pool, tally }) => tally.statement(pool.read('SELECT generate_series(1, 3)')),
  readFails: ({ pool, tally }) => tally.statement(pool.read('SELECT 1 / 0')),
  commit: (context) =>
    transact(context, async (statement) => {
      await statement(`INSERT INTO ${context.table} VALUES (${nextId()})`);
      await statement('SELECT 1');
    }),
  savepoint: (context) =>
    transact(context, async (statement, tx) => {
      await statement('SELECT 1');
      await tx.transaction((/** @type {any} */ part) => statement('SELECT 2', part));
    }),
  rollback: (context) =>
    transact(context, async (statement) => {
      await statement(`INSERT INTO ${context.table} VALUES (${nextId()})`);
      throw LEAVES;
    }),
  failing: (context) =>
    transact(context, async (statement) => {
      await statement('SELECT 1');
      await statement('SELECT 1 / 0');
    }),
};

/**
 * Runs work of all kinds side by side, each chosen at random.
 * @param {Context} context
 * @param {{ clients: number, goesOn: () => boolean, kinds?: Record<string, (context: Context) => Promise<unknown>> }} settings
 */
async function work(context, { clients, goesOn, kinds = KINDS }) {
  const all = Object.values(kinds);
  const client = async () => {
    while (goesOn()) await context.random.pick(all)(context);
  };
  await Promise.all(range(clients).map(client));
}

module.exports = { KINDS, work };
