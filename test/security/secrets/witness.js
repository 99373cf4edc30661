'use strict';

// A process of its own for secrets.test.js: opens a pool with the options of its order, does everything that can fail, and prints
// all that a program could print: errors with their causes, events, the logger's input, the pool and its objects.
//
//   node witness.js '<JSON: Order>'
//
// The password comes by the environment (WITNESS_SECRET), never by the order, which is printed, too.

const util = require('node:util');
const { createPool } = require('../../../client.js');

/**
 * @typedef {object} Order
 * @property {any} options of createPool; `@secret` stands for the password, `@function`, `@rejects` and `@object` for
 * functions that return it, fail at the second call, or return something else
 * @property {'anything' | 'terminate' | 'uncaught'} work
 */

const secret = process.env.WITNESS_SECRET ?? '';
let calls = 0;

/** @type {Record<string, unknown>} */
const STANDINS = {
  '@secret': secret,
  '@function': async () => secret,
  '@rejects': async () => {
    calls++;
    if (calls > 1) throw new Error('the vault is closed');
    return secret;
  },
  '@object': () => ({ token: secret }),
  '@symbol': Symbol(secret),
};

/** @param {any} value @returns {any} */
function filled(value) {
  if (typeof value === 'string')
    return value in STANDINS
      ? STANDINS[value]
      : value.replaceAll('@encoded', encodeURIComponent(secret)).replaceAll('@secret', secret);
  if (Array.isArray(value)) return value.map(filled);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one)]));
}

/** Everything that can be seen of a value. @param {string} what @param {any} value */
function show(what, value) {
  console.log(`${what}:`);
  for (let one = value, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    console.log(one.name, /** @type {any} */ (one).code, one.message, one.stack, String(one));
  }
  console.log(
    util.inspect(value, { depth: 20, showHidden: true, getters: true }),
    util.format('%o %O %j', value, value, ''),
  );
  console.log(JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part)));
}

/** @param {string} what @param {() => unknown} work */
async function attempt(what, work) {
  try {
    show(`${what} resolved`, await work());
  } catch (error) {
    console.log(`failed: ${what} ${/** @type {any} */ (error).code}`);
    show(what, error);
  }
}

/** @param {any} pool */
async function anything(pool) {
  // All at once: without a server each of them waits for acquireTimeoutMs.
  await Promise.all([
    attempt('query', () => pool.query('SELECT 1 AS one')),
    attempt('one', () => pool.one('SELECT nothing')),
    attempt('transaction', () => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT $1::int4', [1]))),
    attempt('begin', async () => {
      const tx = await pool.begin();
      show('transaction object', tx);
      await tx.rollback();
    }),
    attempt('batch', () => pool.batch(['SELECT 1', 'SELECT nothing'])),
    attempt('exec', () => pool.exec('SELECT 1; SELECT nothing')),
    attempt('stream', async () => {
      const stream = pool.stream('SELECT 1');
      show('stream object', stream);
      for await (const row of stream) show('row', row);
    }),
    attempt('copyFrom', () => pool.copyFrom('nowhere', [[1]])),
    attempt('copyTo', async () => {
      const unload = pool.copyTo('nowhere');
      show('unload object', unload);
      for await (const piece of unload) show('piece', piece);
    }),
    attempt('reap', () => pool.reap()),
    attempt('wrong parameter', () => pool.query('SELECT $1::int4', ['1', Symbol('s')])),
  ]);
}

/** @param {any} pool */
async function terminate(pool) {
  await attempt('query', () => pool.query('SELECT 1 AS one'));
  await attempt('terminate', () => pool.query('SELECT pg_terminate_backend(pg_backend_pid())'));
  await anything(pool);
}

async function main() {
  const { options, work } = /** @type {Order} */ (JSON.parse(process.argv[2]));
  process.on('warning', (warning) => show('warning', warning));
  let pool;
  try {
    pool = /** @type {any} */ (createPool)(
      typeof options === 'string'
        ? filled(options)
        : {
            logger: (/** @type {unknown} */ event) => show('logger', event),
            acquireTimeoutMs: 150,
            ...filled(options),
          },
    );
  } catch (error) {
    console.log(`failed: createPool ${/** @type {any} */ (error).code}`);
    show('createPool', error);
    return;
  }
  for (const event of ['error', 'notice', 'node', 'primary', 'fenced', 'gap', 'lease']) {
    pool.on(event, (/** @type {unknown} */ detail) => show(`event ${event}`, detail));
  }
  if (work === 'uncaught') await pool.query('SELECT 1');
  await { anything, terminate, uncaught: anything }[work](pool);
  show('pool', pool);
  show('nodes', pool.nodes());
  show('status', pool.status());
  await pool.end();
  await attempt('after the end', () => pool.query('SELECT 1'));
}

main();
