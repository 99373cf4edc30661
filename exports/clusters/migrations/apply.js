'use strict';

// Applies one migration to one unit, once: whatever other processes do at the same time, and whether or not the answer to COMMIT arrives.

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { ConnectionLostError } = require('../../../client.js');
const { problemsOf } = require('./comparison.js');
const { failed, migrationError, refusal } = require('./errors.js');
const { RELEASE, complete, forget, insert, makeTable, settle } = require('./ledger.js');
const { left } = require('./limits.js');
const { pause, underLock } = require('./lock.js');

/** @typedef {import('./files.js').Migration} Migration */
/** @typedef {import('./lock.js').Work} Work */
/** @typedef {import('./lock.js').Held} Held */
/** @typedef {{ isNew: boolean, durationMs: number }} Done `isNew: false`: another process has applied it */
/** One run of a migration. @typedef {{ id: string, held: Held | null, durationMs: number, isScript: boolean }} Attempt */

/** How often a migration is run that was certainly not applied, because a connection was lost or by a deadlock. */
const TRIES = 3;
/** How long the outcome of a COMMIT without an answer is looked for: at least, and at most. */
const SETTLE_MS = { least: 1_000, most: 60_000 };
/** For these the pool has waited already. */
const NO_CONNECTION = new Set(['ERR_NO_PRIMARY', 'ERR_ACQUIRE_TIMEOUT']);

/** @type {Done} */
const KNOWN = { isNew: false, durationMs: 0 };

/**
 * @param {Work} work
 * @param {Migration} migration
 * @returns {Promise<Done>}
 */
async function applyMigration(work, migration) {
  const run = migration.inTransaction ? runInTransaction : runOutside;
  for (let tries = 1; ; tries++) {
    try {
      return await run(work, migration);
    } catch (/** @type {any} */ error) {
      const isWorthIt = error.retryable && !NO_CONNECTION.has(error.cause?.code);
      if (!migration.inTransaction || !isWorthIt || tries === TRIES) throw error;
      await pause(work.limits);
    }
  }
}

/**
 * Whether it is still to be applied: another process may have been faster, also with files that are newer than these.
 * @param {Work} work
 * @param {Migration} migration
 * @param {Held} held
 */
function isPending({ unit, migrations }, migration, { applied }) {
  const problems = problemsOf(unit.name, migrations, applied);
  if (problems.length > 0) throw refusal(problems);
  return applied.every(({ number }) => number !== migration.number);
}

/** @param {Attempt} attempt @param {Migration} migration */
const rowOf = ({ id }, { number, name, checksum }) => [String(number), name, checksum, 'begun', id];

/**
 * The migration and its row are one transaction.
 * @param {Work} work
 * @param {Migration} migration
 * @returns {Promise<Done>}
 */
async function runInTransaction(work, migration) {
  /** @type {Attempt} */
  const attempt = { id: randomUUID(), held: null, durationMs: 0, isScript: false };
  try {
    return await underLock(work, async (tx, held) => {
      if (!isPending(work, migration, held)) return KNOWN;
      const { name, exists } = held.place;
      attempt.held = held;
      work.emit({ type: 'begun', unit: work.unit.name, name: migration.name });
      if (!exists) await tx.query(makeTable(name));
      // Before the script: it may change the role, which then may have no right to the table.
      await tx.query(insert(name), rowOf(attempt, migration));
      const startedAt = performance.now();
      attempt.isScript = true;
      await tx.exec(migration.sql);
      attempt.isScript = false;
      attempt.durationMs = performance.now() - startedAt;
      await tx.exec('RESET SESSION AUTHORIZATION; RESET ROLE');
      await tx.query(complete(name), [String(migration.number), attempt.id, String(attempt.durationMs)]);
      return { isNew: true, durationMs: attempt.durationMs };
    });
  } catch (/** @type {any} */ error) {
    const failure = failed(work.unit.name, migration, error, attempt.isScript);
    if (error.outcome !== 'unknown') throw failure;
    const state = attempt.held === null ? 'absent' : await settled(work, migration, attempt);
    if (state === 'applied') return { isNew: true, durationMs: attempt.durationMs };
    if (state !== 'absent') throw failure;
    throw Object.assign(failure, { outcome: 'not-applied', retryable: error instanceof ConnectionLostError });
  }
}

/**
 * What became of an attempt whose COMMIT has no answer. The lock is free when its session has ended its transaction, one way or the
 * other; then its row is there, or never will be. A session that does not know that its client is gone is ended.
 * @param {Work} work
 * @param {Migration} migration
 * @param {Attempt} attempt
 * @returns {Promise<'applied' | 'absent' | 'begun' | 'unknown'>}
 */
async function settled(work, { number }, { id, held }) {
  const { pool } = work.unit;
  const { pid, startedAt } = /** @type {Held} */ (held).session;
  const now = performance.now();
  const wanted = work.limits.signal?.aborted ? now : Math.min(work.limits.until, now + SETTLE_MS.most);
  const until = Math.max(wanted, now + SETTLE_MS.least);
  while (performance.now() < until) {
    // Each question by itself is short, so that it is asked of the node that is the primary now.
    const limits = { until: performance.now() + SETTLE_MS.least, timeoutMs: SETTLE_MS.least, signal: undefined };
    try {
      return await underLock({ ...work, limits, emit: () => {} }, async (tx, { place }) => {
        if (!place.exists) return 'absent';
        const [row] = await tx.query(settle(place.name), [String(number), id]);
        return row?.state ?? 'absent';
      });
    } catch {
      await pool.outside(() => pool.query(RELEASE, [pid, startedAt], { timeoutMs: SETTLE_MS.least })).catch(() => {});
      await sleep(50);
    }
  }
  return 'unknown';
}

/**
 * A statement that cannot run in a transaction. Its row says `begun` before it runs. The lock is held by a transaction beside it, which
 * has no snapshot while it waits, so that CREATE INDEX CONCURRENTLY does not wait for it.
 * @param {Work} work
 * @param {Migration} migration
 * @returns {Promise<Done>}
 */
async function runOutside(work, migration) {
  const { unit, limits } = work;
  const { pool } = unit;
  if (pool.status().maxSize < 2) {
    throw migrationError(
      'ERR_MIGRATION_FAILED',
      `${unit.name}: ${migration.name} needs a second connection: poolSize is 1`,
      {
        ...{ unit: unit.name, migration: migration.name, outcome: 'not-applied' },
      },
    );
  }
  /** @type {Done | undefined} */
  let done;
  try {
    await underLock(work, async (_, held) => {
      if (isPending(work, migration, held)) {
        work.emit({ type: 'begun', unit: unit.name, name: migration.name });
        done = await pool.outside(() => runBeside(pool, migration, held, limits));
      } else done = KNOWN;
    });
  } catch (/** @type {any} */ error) {
    // The transaction with the lock has read only: how it ends does not matter once the rest is done.
    if (done === undefined) throw failed(unit.name, migration, error, error.isScript === true);
  }
  return /** @type {Done} */ (done);
}

/**
 * @param {import('../../../client.js').Pool} pool
 * @param {Migration} migration
 * @param {Held} held
 * @param {import('./limits.js').Limits} limits
 * @returns {Promise<Done>}
 */
async function runBeside(pool, migration, { place: { name, exists } }, limits) {
  const attempt = { id: randomUUID(), held: null, durationMs: 0, isScript: false };
  const key = [String(migration.number), attempt.id];
  if (!exists) await pool.query(makeTable(name), [], left(limits));
  try {
    await pool.query(insert(name), rowOf(attempt, migration), left(limits));
  } catch (error) {
    await pool.query(forget(name), key).catch(() => {});
    throw error;
  }
  const startedAt = performance.now();
  try {
    await pool.exec(migration.sql, left(limits));
  } catch (/** @type {any} */ error) {
    const isUndone = hasDoneNothing(error);
    if (isUndone) await pool.query(forget(name), key).catch(() => {});
    throw Object.assign(error, { isScript: true, outcome: isUndone ? 'not-applied' : 'unknown' });
  }
  const durationMs = performance.now() - startedAt;
  // The statement is idempotent, so its outcome does not matter.
  for (let tries = 1; ; tries++) {
    try {
      await pool.query(complete(name), [...key, String(durationMs)]);
      return { isNew: true, durationMs };
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}

/**
 * Whether a statement has failed before it began: the core knows that nothing was applied, or the server did not understand it. An
 * error within a function has a context (`where`): then the statement was at work. So was one that has failed otherwise: CREATE INDEX
 * CONCURRENTLY leaves an invalid index behind.
 * @param {any} error
 */
function hasDoneNothing({ code, outcome, where, statementIndex = 0 }) {
  return outcome === 'not-applied' || (/^42|^25001$/.test(code) && where === undefined && statementIndex === 0);
}

module.exports = { applyMigration };
