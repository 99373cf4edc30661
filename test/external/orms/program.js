'use strict';

// What a program of programs/ begins with. It runs in a process of its own, which library.js starts with its task: it runs the checks of
// the library, or it writes rows until it is told to stop; what it has seen goes to the parent as messages.
//
//   run({
//     // Each check runs on pg and on the face; what it returns must be equal.
//     async checks({ pg, settings, check }) { await check('it selects', () => db.selectFrom('t').execute()); },
//     // What writes rows into public.writes (id bigint, without any constraint) while the primary is replaced.
//     async writers({ pg, settings }) { return { one: (id) => ..., two: (a, b) => ..., end: () => ... }; },
//   });

const { createRequire } = require('node:module');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { plain, plainError } = require('./plain.js');

const ROOT = path.join(__dirname, '..', '..', '..');
/** Of the packages that library.js has installed. */
const load = createRequire(path.join(ROOT, 'target', 'orms', 'package.json'));

/** Loops that write at the same time: half of them a statement each, half of them transactions of two rows. */
const LOOPS = 8;
/** Between two writes of a loop, so that a program does not take a core. */
const PAUSE_MS = 10;

/**
 * @typedef {object} Settings how the servers are reached
 * @property {string} user
 * @property {string} password
 * @property {string} database
 * @property {string} host one host for pg; for the face a list of all nodes, `host:port,host:port`
 * @property {number} [port] for pg
 */

/** @typedef {{ driver: 'pg' | 'face' | 'register', mode: 'checks' | 'failover', settings: Settings }} Task */
/** @typedef {{ name: string, ok: boolean, value: unknown }} Check */
/** @typedef {(name: string, body: () => unknown) => Promise<void>} RunCheck */

/**
 * @typedef {object} Write what became of one write
 * @property {number[]} ids of its rows
 * @property {number} from when it was begun, in ms since 1970
 * @property {number} at when it ended
 * @property {Record<string, unknown>} [error] undefined: it was acknowledged
 */

/**
 * @typedef {object} Writers
 * @property {(id: number) => Promise<unknown>} one inserts a row by one statement
 * @property {(first: number, second: number) => Promise<unknown>} two inserts two rows in one transaction
 * @property {() => Promise<unknown>} end
 */

/**
 * @typedef {object} Program
 * @property {(context: { pg: any, settings: Settings, check: RunCheck, driver: Task['driver'] }) => Promise<void>} checks
 * @property {(context: { pg: any, settings: Settings, driver: Task['driver'] }) => Promise<Writers>} writers
 */

/** Under register the pg that a program loads is the face. @param {Task['driver']} driver */
const driverOf = (driver) => (driver === 'face' ? require('../../../exports/pg') : load('pg'));

/** For libraries that load pg themselves: from here on they get the face. @param {Task['driver']} driver */
function registered(driver) {
  if (driver === 'face') require('../../../exports/register');
}

/** @param {unknown} message @returns {Promise<void>} when it is on its way */
const send = (message) =>
  new Promise((resolve, reject) =>
    process.send?.(message, (/** @type {Error | null} */ error) => (error ? reject(error) : resolve())),
  );

/** @type {RunCheck} */
async function check(name, body) {
  /** @type {Check} */
  let result;
  try {
    result = { name, ok: true, value: plain(await body()) };
  } catch (error) {
    result = { name, ok: false, value: plain(error) };
  }
  await send({ check: result });
}

/** @param {Writers} writers */
async function write(writers) {
  let stopped = false;
  process.on('message', (message) => {
    if (message === 'stop') stopped = true;
  });
  let last = 0;
  await Promise.all(
    Array.from({ length: LOOPS }, async (_, loop) => {
      while (!stopped) {
        const ids = loop % 2 === 0 ? [++last] : [++last, ++last];
        const from = Date.now();
        /** @type {Record<string, unknown> | undefined} */
        let error;
        try {
          await (ids.length === 1 ? writers.one(ids[0]) : writers.two(ids[0], ids[1]));
        } catch (thrown) {
          error = plainError(/** @type {Error} */ (thrown));
        }
        await send({ write: { ids, from, at: Date.now(), ...(error ? { error } : {}) } });
        await sleep(PAUSE_MS);
      }
    }),
  );
  await writers.end();
}

/** @param {Program} program */
function run(program) {
  // A parent that is gone, or has failed, leaves nothing behind.
  const orphaned = () => process.exit(1);
  process.once('disconnect', orphaned);
  process.once('message', async (/** @type {Task} */ { driver, mode, settings }) => {
    const context = { pg: driverOf(driver), settings, driver };
    if (mode === 'checks') await program.checks({ ...context, check });
    else await write(await program.writers(context));
    await send({ ended: true });
    // Nothing but the library can keep the process alive from here on.
    process.off('disconnect', orphaned);
    process.disconnect();
  });
}

/**
 * What a call rejects with, as the value of a check; a call that succeeds fails the check.
 * @param {() => unknown} call
 */
async function rejection(call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    return error;
  }
  throw new Error(`it should have been refused, and gave ${JSON.stringify(plain(value))}`);
}

module.exports = { load, registered, rejection, run };
