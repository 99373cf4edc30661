'use strict';

// The loads. Every statement and every value is the same for all peers.

const { ITEMS, MIXED, item, mixed, event, copy, account, entry, together } = require('./tables.js');

/** @typedef {import('./types').Load} Load */

const CONNECTIONS = 10;

/** A walk over 0..size-1 that looks random and is the same for all peers. @param {number} n @param {number} size */
const scattered = (n, size) => ((n * 7919) % 1_000_003) % size;

/** @param {number} rows */
const always = (rows) => () => rows;

/** A statement as pgbench wants it, its parameters named. @param {string} sql @param {string[]} names */
const named = (sql, ...names) => `${sql.replace(/\$(\d+)/g, (_, number) => `:${names[number - 1]}`)};`;

const POINT = 'SELECT id, name, score FROM hyperion_bench_item WHERE id = $1';

/**
 * @param {string} id
 * @param {number} inFlight
 * @param {{ title?: string, short?: string, latencyMs?: number }} [more]
 * @returns {Load}
 */
function pointSelect(id, inFlight, { title = '', short = '', latencyMs } = {}) {
  return {
    id,
    title: `point select by primary key, ${inFlight} in flight${title}`,
    short: `Point select, ${inFlight} in flight${short}`,
    connections: CONNECTIONS,
    way: { kind: 'steady', inFlight },
    unit: 'operation',
    headline: 'opsPerSecond',
    ...item,
    statements: [POINT],
    script: `\\set id random(1, ${ITEMS})\n${named(POINT, 'id')}`,
    rust: { task: 'point', size: ITEMS },
    latencyMs,
    rows: always(1),
    open(db) {
      const select = db.statement('bench_point', POINT);
      return (n) => select([1 + scattered(n, ITEMS)]);
    },
  };
}

const HUNDRED = `SELECT id, big, ratio, price, name, note, at, active, doc, key FROM hyperion_bench_mixed
  WHERE id >= $1 ORDER BY id LIMIT 100`;

/** @type {Load} */
const hundredRows = {
  id: 'W3',
  title: '100 rows of 10 mixed columns, 16 in flight',
  short: '100 rows x 10 columns, 16 in flight',
  connections: CONNECTIONS,
  way: { kind: 'steady', inFlight: 16 },
  unit: 'operation',
  headline: 'opsPerSecond',
  ...mixed,
  statements: [HUNDRED],
  rust: { task: 'rows', size: MIXED - 100 },
  rows: always(100),
  open(db) {
    const select = db.statement('bench_mixed', HUNDRED);
    return (n) => select([1 + scattered(n, MIXED - 100)]);
  },
};

const ALL = 'SELECT id, big, ratio, price, name, note, at, active, doc, key FROM hyperion_bench_mixed ORDER BY id';

/** @type {Load} */
const largeResult = {
  id: 'W4',
  title: `${MIXED.toLocaleString('en-US')} rows of 10 mixed columns in one query`,
  short: '100,000 rows in one query',
  connections: 1,
  way: { kind: 'repeated', warmups: 2, times: 3 },
  unit: 'row',
  headline: 'opsPerSecond',
  ...mixed,
  statements: [ALL],
  rust: { task: 'all', size: MIXED },
  rows: always(MIXED),
  samples: 1,
  sample: (rows) => Array.from(rows).filter((_, index) => index % 1000 === 0),
  open(db) {
    const select = db.statement('bench_all', ALL);
    return () => select([]);
  },
};

const INSERT = 'INSERT INTO hyperion_bench_event (owner, name, amount, active, note) VALUES ($1, $2, $3, $4, $5)';
const INSERTED = 'SELECT owner, name, amount, active, note FROM hyperion_bench_event ORDER BY id';

/** @type {Load} */
const insert = {
  id: 'W5',
  title: 'insert of one row with 5 parameters, 64 in flight',
  short: 'Insert of one row, 64 in flight',
  connections: CONNECTIONS,
  way: { kind: 'steady', inFlight: 64 },
  unit: 'operation',
  headline: 'opsPerSecond',
  ...event,
  before: ['TRUNCATE hyperion_bench_event RESTART IDENTITY'],
  statements: [INSERT],
  // pgbench has numbers only; the two texts come from its command line.
  script: `\\set owner random(1, 5000)\n${named(INSERT, 'owner', 'text', 'owner', 'true', 'text')}`,
  rust: { task: 'insert', size: 5000 },
  rows: always(0),
  sample: (_, db) => db.statement('bench_inserted', INSERTED)([]),
  open(db) {
    const add = db.statement('bench_insert', INSERT);
    return (n) => add([n % 5000, `customer number ${n}`, n / 7, n % 2 === 0, n % 5 === 0 ? null : `note for ${n}`]);
  },
};

const COPIED = 100_000;
const COPY_COLUMNS = [
  { name: 'owner', type: 'int4' },
  { name: 'name', type: 'text' },
  { name: 'amount', type: 'float8' },
  { name: 'active', type: 'bool' },
  { name: 'note', type: 'text' },
  { name: 'at', type: 'timestamptz' },
];
const COPY_CHECK = `SELECT count(*)::int4 AS count, sum(hashtextextended(t::text, 0))::text AS sum FROM hyperion_bench_copy t`;

/** @type {Load} */
const bulkLoad = {
  id: 'W6',
  title: `bulk load of ${COPIED.toLocaleString('en-US')} rows of 6 columns, each client's best way`,
  short: 'Bulk load of 100,000 rows',
  connections: 1,
  way: { kind: 'repeated', warmups: 1, times: 3 },
  unit: 'row',
  headline: 'opsPerSecond',
  ...copy,
  reset: { statement: 'TRUNCATE hyperion_bench_copy' },
  statements: [],
  rows: always(COPIED),
  samples: 1,
  sample: (_, db) => db.statement('bench_copied', COPY_CHECK)([]),
  variants: (db) => Object.keys(db.bulk),
  open(db, variant = '') {
    const start = Date.UTC(2024, 0, 1);
    const rows = Array.from({ length: COPIED }, (_, n) => [
      n,
      `customer\tnumber ${n}`,
      n / 7,
      n % 2 === 0,
      n % 5 === 0 ? null : `note for ${n}`,
      new Date(start + n * 1001),
    ]);
    return async () => ({ length: await db.bulk[variant]('hyperion_bench_copy', COPY_COLUMNS, rows) });
  },
};

const BALANCE = 'SELECT balance FROM hyperion_bench_account WHERE id = $1';
const MOVE = 'UPDATE hyperion_bench_account SET balance = balance + $1 WHERE id = $2';
const NOTE = 'INSERT INTO hyperion_bench_entry (account, amount) VALUES ($1, $2)';

/**
 * @param {string} id
 * @param {{ task: string, title?: string, short?: string, last?: { commit: boolean } }} how `last`: options of the last statement
 * @returns {Load}
 */
function transaction(id, { task, title = '', short = '', last }) {
  return {
    id,
    title: `transaction of three statements (select, update, insert), 10 in flight${title}`,
    short: `Transaction of three, 10 in flight${short}`,
    connections: CONNECTIONS,
    way: { kind: 'steady', inFlight: 10 },
    unit: 'operation',
    headline: 'opsPerSecond',
    ...together(account, entry),
    before: ['TRUNCATE hyperion_bench_entry', 'UPDATE hyperion_bench_account SET balance = 1000 WHERE balance <> 1000'],
    statements: [BALANCE, MOVE, NOTE],
    script: [
      `\\set id random(1, ${ITEMS})`,
      'BEGIN;',
      named(BALANCE, 'id'),
      named(MOVE, 'one', 'id'),
      named(NOTE, 'id', 'one'),
      'COMMIT;',
    ].join('\n'),
    rust: { task, size: ITEMS },
    rows: always(1),
    open(db) {
      const balance = db.statement('bench_balance', BALANCE);
      const move = db.statement('bench_move', MOVE);
      const note = db.statement('bench_note', NOTE);
      return (n) => {
        const id = 1 + scattered(n, ITEMS);
        return db.transaction(async (tx) => {
          const rows = await balance([id], tx);
          await move([1, id], tx);
          await note([id, 1], tx, last);
          return rows;
        });
      };
    },
  };
}

const SLOW_EVERY = 100;
const isSlow = (/** @type {number} */ n) => n % SLOW_EVERY === SLOW_EVERY - 1;

/** @type {Load} */
const someSlow = {
  ...pointSelect('W8', 64),
  title: `point select, 64 in flight, one in ${SLOW_EVERY} statements sleeps 50 ms; figures of the fast ones`,
  short: '1 in 100 slow: p99 of the others',
  headline: 'p99Ms',
  ignored: isSlow,
  open(db) {
    const select = db.statement('bench_point', POINT);
    const sleep = db.statement('bench_sleep', 'SELECT 1 AS slept FROM pg_sleep($1)');
    return (n) => (isSlow(n) ? sleep([0.05]) : select([1 + scattered(n, ITEMS)]));
  },
};

/** @type {Load} */
const coldStart = {
  ...pointSelect('W9', 1),
  title: 'cold start: from before require to the first row, each in a new process',
  short: 'Cold start to the first row',
  way: { kind: 'cold', processes: 5 },
  headline: 'p50Ms',
};

const STREAMED = `SELECT id, big, ratio, price, name, note, at, active, doc, key FROM hyperion_bench_mixed
  CROSS JOIN generate_series(1, $1)`;
/** The first one is short: it warms up, and is compared. */
const streamedTimes = (/** @type {number} */ n) => (n === 0 ? 1 : 10);

/** @type {Load} */
const stream = {
  id: 'W11',
  title: `streaming ${(10 * MIXED).toLocaleString('en-US')} rows of 10 mixed columns`,
  short: 'Streaming 1,000,000 rows',
  connections: 1,
  way: { kind: 'repeated', warmups: 0, times: 1 },
  unit: 'row',
  headline: 'opsPerSecond',
  ...mixed,
  statements: [STREAMED],
  rows: (n) => streamedTimes(n) * MIXED,
  samples: 1,
  sample: (result) => /** @type {{ kept?: unknown }} */ (result).kept,
  open: (db) => async (n) => {
    const kept = /** @type {object[]} */ ([]);
    let length = 0;
    await db.stream?.(STREAMED, [streamedTimes(n)], (row) => {
      length++;
      if (/** @type {number} */ (row.id) % 1000 === 0 && length <= MIXED) kept.push(row);
    });
    kept.sort((a, b) => /** @type {any} */ (a).id - /** @type {any} */ (b).id);
    return { length, kept };
  },
};

/** @type {Load[]} */
exports.LOADS = [
  pointSelect('W1', 1),
  pointSelect('W2-64', 64),
  pointSelect('W2-1000', 1000),
  hundredRows,
  largeResult,
  insert,
  bulkLoad,
  transaction('W7', { task: 'transaction' }),
  transaction('W7-commit', {
    task: 'transaction-commit',
    title: ', COMMIT sent with the last',
    short: ', COMMIT with the last',
    last: { commit: true },
  }),
  someSlow,
  coldStart,
  pointSelect('W10', 64, { title: ', a network of 2 ms a round trip', short: ', 2 ms away', latencyMs: 2 }),
  stream,
];
