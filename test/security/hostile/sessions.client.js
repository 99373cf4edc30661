'use strict';

// The client of sessions.js: every kind of work with each pool, many pools at once. Prints JSON lines: what is wrong with a
// session, and figures at the end.

const { createPool } = require('../../../client.js');
const { ending, untyped } = require('./judge');
const { peakMb } = require('./memory');

/** @typedef {{ hosts: string[], sessions: number, only?: number, parallel: number }} Task */

/** @type {Task} */
const TASK = JSON.parse(process.argv[2]);
/** A statement may take this long; then it is cancelled, which may take 2 s more. A busy machine must not need it. */
const TIMEOUT_MS = 1_000;
/** No step takes this long, even on a machine that is busy. */
const BOUND_MS = 20_000;
/** Good sessions, after which the process has the size that it needs for as many sessions at once. */
const WARM = 2 * TASK.parallel;

/** The number of slow steps that are named at the end. */
const SLOWEST = 10;

const LIMITS = { timeoutMs: TIMEOUT_MS };

/** Each returns a promise that must be settled. @type {readonly (readonly [string, (pool: any) => Promise<unknown>])[]} */
const WORK = [
  ['query', (pool) => pool.query('SELECT types', [1], LIMITS)],
  ['insert', (pool) => pool.query('INSERT INTO t VALUES (1)', [], LIMITS)],
  ['again', (pool) => pool.query('SELECT types', [2], LIMITS)],
  ['enum', (pool) => pool.query('SELECT mood', [], LIMITS)],
  ['error', (pool) => pool.query('SELECT wrong', [], LIMITS)],
  [
    'transaction',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO t VALUES (2)', [], LIMITS), LIMITS),
  ],
  ['load', (pool) => pool.copyFrom('COPY t FROM STDIN', ['1\n', '2\n'], LIMITS)],
  [
    'unload',
    async (pool) => {
      for await (const _ of pool.copyTo('COPY t TO STDOUT', LIMITS));
    },
  ],
  [
    'stream',
    async (pool) => {
      for await (const _ of pool.stream('SELECT types', [3], LIMITS));
    },
  ],
  ['batch', (pool) => pool.batch(['INSERT INTO t VALUES (3)', ['SELECT types', [1]]], LIMITS)],
  ['script', (pool) => pool.exec('INSERT INTO t VALUES (4); SELECT 1 AS one', LIMITS)],
];
/** For one session in eight, because it takes a connection more. It waits for a payload, so that the good session always ends alike. */
/** @type {(typeof WORK)[number]} */
const LISTENING = [
  'listen',
  (pool) =>
    new Promise((resolve, reject) => {
      setTimeout(resolve, TIMEOUT_MS);
      pool.listen('c', resolve).catch(reject);
    }),
];

const figures = { values: 0, errors: 0, codes: /** @type {Record<string, number>} */ ({}) };
/** @type {{ session: number, step: string, ms: number }[]} */
const slowest = [];
/** @param {object} line */
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/**
 * @param {string} database
 * @param {number} number
 * @param {(wrong: string) => void} complain
 */
async function session(database, number, complain) {
  const pool = /** @type {any} */ (
    createPool(
      /** @type {any} */ ({
        hosts: [TASK.hosts[Math.max(number, 0) % TASK.hosts.length]],
        user: 'u',
        password: 'secret',
        database,
        ssl: 'disable',
        poolSize: 1,
        // With a reset behind them statements are sent by tokio-postgres, without one by the stream itself.
        reset: number % 2 === 0 ? 'changes' : 'none',
        monitor: false,
        connectTimeoutMs: 1_000,
        acquireTimeoutMs: 1_000,
      }),
    )
  );
  for (const [name, does] of number % 8 === 3 ? [...WORK, LISTENING] : WORK) {
    const began = performance.now();
    const { error, hangs } = await ending(does(pool), BOUND_MS);
    if (hangs) {
      complain(`hangs in ${name}`);
      return;
    }
    if (error === undefined) figures.values++;
    else {
      figures.errors++;
      const wrong = untyped(error);
      if (wrong !== null) complain(`${name}: ${wrong}`);
      const code = String(error?.code);
      figures.codes[code] = (figures.codes[code] ?? 0) + 1;
    }
    slowest.push({ session: number, step: name, ms: Math.round(performance.now() - began) });
  }
  const { hangs, error } = await ending(pool.end({ timeoutMs: 100 }), BOUND_MS);
  if (hangs) complain('hangs in end');
  else if (error !== undefined) complain(`end: ${error}`);
  slowest.sort((one, other) => other.ms - one.ms).splice(SLOWEST);
}

/** @param {number} count @param {(number: number) => Promise<void>} run */
async function inParallel(count, run) {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: TASK.parallel }, worker));
}

async function main() {
  /** @param {number} number */
  const complaining = (number) => (/** @type {string} */ wrong) => tell({ session: number, wrong });
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (error) => tell({ session: -1, wrong: `${event}: ${error?.stack ?? error}` }));
  }
  process.on('warning', (warning) => tell({ session: -1, wrong: `warning: ${warning.stack}` }));
  // The good session that is recorded has every kind of work.
  await session('record', 3, (wrong) => tell({ session: -1, wrong: `the good session: ${wrong}` }));
  const errors = figures.errors;
  if (errors !== 1)
    tell({ session: -1, wrong: `the good session had ${errors} errors, not 1: ${JSON.stringify(figures.codes)}` });
  slowest.length = 0;
  if (TASK.only !== undefined) await session(`s${TASK.only}`, TASK.only, complaining(TASK.only));
  else {
    await inParallel(WARM, (number) => session(`good${number}`, number, () => {}));
    Object.assign(figures, { values: 0, errors: 0, codes: {} });
    slowest.length = 0;
    tell({ warmMb: peakMb() });
    await inParallel(TASK.sessions, (number) => session(`s${number}`, number, complaining(number)));
  }
  tell({ done: true, peakMb: peakMb(), slowest, ...figures });
  // Counts the sockets now, before the end of this process closes them.
  process.stdin.resume().on('end', () => process.exit());
}

main();
