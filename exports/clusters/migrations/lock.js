'use strict';

// The advisory lock under which the migrations of a database run, and what is read under it.

const { setTimeout: sleep } = require('node:timers/promises');
const { findTable, readTable, TRY_LOCK } = require('./ledger.js');
const { left } = require('./limits.js');

/**
 * What one unit needs for its migrations.
 * @typedef {object} Work
 * @property {{ name: string, pool: import('../../../client.js').Pool }} unit
 * @property {import('./files.js').Migration[]} migrations all, in order
 * @property {string} table
 * @property {import('./limits.js').Limits} limits
 * @property {(event: { type: string, unit: string, name: string | null, durationMs?: number }) => void} emit
 */
/**
 * What is known while the lock is held.
 * @typedef {object} Held
 * @property {{ pid: number, startedAt: string }} session which has the lock
 * @property {import('./ledger.js').Place} place
 * @property {import('./ledger.js').Applied[]} applied
 */

/** Between two questions for the lock: as long as a statement, and not all at once. */
const PAUSE_MS = { least: 50, most: 250 };

/** @param {Work['limits']} limits */
async function pause(limits) {
  const ms = PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least);
  const { signal } = left(limits);
  await sleep(ms, undefined, { signal }).catch(() => left(limits));
}

/**
 * Runs `body` in a transaction that has the lock, as soon as no other process has it. The lock ends with the transaction, and the table
 * is read after it was taken: with READ COMMITTED it shows what the one before has committed.
 * @template T
 * @param {Work} work
 * @param {(tx: any, held: Held) => Promise<T>} body
 * @returns {Promise<T>}
 */
async function underLock(work, body) {
  const { unit, table, limits, emit } = work;
  let isWaiting = false;
  for (;;) {
    /** @type {{ value: T } | undefined} */
    let done;
    // A pool that is `ambient` would run all of it in the transaction of whoever called migrate().
    await unit.pool.outside(() =>
      unit.pool.transaction(
        async (tx) => {
          const [{ locked, pid, started }] = /** @type {any} */ (await tx.query(TRY_LOCK));
          if (!locked) return;
          const place = await findTable(tx, table);
          const applied = await readTable(tx, place);
          done = { value: await body(tx, { session: { pid, startedAt: started }, place, applied }) };
        },
        { isolation: 'read committed', readOnly: false, retries: 0, ...left(limits) },
      ),
    );
    if (done !== undefined) return done.value;
    if (!isWaiting) emit({ type: 'waiting', unit: unit.name, name: null });
    isWaiting = true;
    await pause(limits);
  }
}

module.exports = { pause, underLock };
