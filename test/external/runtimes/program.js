'use strict';

// What ../runtimes.test.js starts in each runtime, from an application's folder with the package in node_modules. It does every
// kind of work once and prints a line of JSON for each check: what it saw, or the error that it met. The test says what is right.
//
//   program.js '{ "mode": "checks", "login": { "hosts": [...], ... } }'

const { isMainThread, parentPort, workerData } = require('node:worker_threads');
const { createPool } = require('hyperiondb-client');
const { CHECKS, print } = require('./checks.js');

/**
 * Rejects when a check hangs, so that the checks after it still run.
 * @param {Promise<unknown>} check
 * @param {number} hangMs
 */
async function orHangs(check, hangMs) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not ended after ${hangMs} ms`)), hangMs);
  });
  try {
    return await Promise.race([check, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param {any} settings */
async function runChecks(settings) {
  const { login } = settings;
  // On a busy machine a switchover takes longer than statements usually wait.
  const pool = createPool({ ...login, poolSize: 4, applicationName: 'runtimes', acquireTimeoutMs: 60_000 });
  for (const [check, run] of Object.entries(CHECKS)) {
    try {
      print({ check, value: await orHangs(run(pool, login, settings), settings.hangMs) });
    } catch (error) {
      const { name, message, stack } = /** @type {Error} */ (error);
      print({ check, error: { name, message, stack } });
    }
  }
  // The pool stays open: the process must end all the same.
}

/** How a process ends; each mode is a process of its own. @type {Record<string, (settings: any) => unknown>} */
const MODES = {
  checks: runChecks,

  async idle({ login }) {
    const pool = createPool(login);
    print({ answer: await pool.value('SELECT 1') });
  },

  // Nobody awaits the statement, and nothing else keeps the process alive.
  unawaited({ login }) {
    const pool = createPool(login);
    pool.value('SELECT 2 FROM pg_sleep(0.5)').then((/** @type {number} */ answer) => print({ answer }));
  },

  async exit({ login }) {
    const pool = createPool({ ...login, poolSize: 4 });
    const tx = await pool.begin();
    tx.query('SELECT pg_sleep(60)').catch(() => {});
    for (let i = 0; i < 20; i++) pool.query("SELECT repeat('x', 1000) FROM generate_series(1, 10000)").catch(() => {});
    print({ answer: await pool.value('SELECT 3') });
    process.exit(4);
  },

  // Rows and JSON are read by functions that are made from text where that is allowed.
  async read({ login }) {
    let forbidden = false;
    try {
      new Function('return 1');
    } catch {
      forbidden = true;
    }
    const [row] = await createPool(login).query('SELECT 1 AS a, $1::jsonb AS b', [{ c: [{ d: 1 }, { d: 2 }] }]);
    print({ answer: { forbidden, row } });
  },
};

async function runWorker() {
  const { login, i } = workerData;
  const pool = createPool({ ...login, poolSize: 2 });
  const answer = await pool.value('SELECT $1::int4', [i]);
  if (i >= 100) {
    pool.query('SELECT pg_sleep(60)').catch(() => {});
    for (let k = 0; k < 5; k++) pool.query("SELECT repeat('x', 500) FROM generate_series(1, 20000)").catch(() => {});
  }
  parentPort?.postMessage(answer);
}

if (isMainThread) {
  const settings = JSON.parse(process.argv[2]);
  MODES[settings.mode](settings);
} else {
  runWorker();
}
