'use strict';

// pool.transaction(callback, { exactlyOnce }): a transaction that carries a marker, so that a lost answer to COMMIT can be found out.
//
// The marker is inserted in the flight of BEGIN, so COMMIT is sent only when the server has the marker. docs/exactly-once.md proves what
// follows from that. A key of the user is a second marker, which is claimed before the callback runs: a call with the same key waits at
// its claim until the first has ended.

const { AbortError, ConnectionLostError, ParameterError, QueryTimeoutError } = require('../../errors.js');
const { WEAK } = require('../../options/exactly-once-rows.js');
const { attemptMarker, keyMarker } = require('./marker-table.js');
const { markersOf } = require('./markers.js');
const { Patience } = require('./patience.js');
const { toRemember } = require('./remembered.js');
const { bringsTokens } = require('../token.js');

/** How often a callback is run again at most, if the call does not say. */
const RETRIES = 3;
/** Errors of a server that has not, or no more, the table as it must be: 42P01, 42703, 42501, 42P10. */
const OF_TABLE = new Set(['42P01', '42703', '42501', '42P10']);

/** Somebody else has committed the key, or may have: `cause` is then the error that said so. */
class KeyIsTaken extends Error {}

class ExactlyOnce {
  #markers;
  #key;
  #remember;
  #options;
  #acquireTimeoutMs;

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {Record<string, any>} options of the call, checked
   * @param {any} pool its options
   * @param {() => import('./markers.js').Asker} aside
   */
  constructor(runner, options, pool, aside) {
    const { key, remember = false } = options.exactlyOnce === true ? /** @type {any} */ ({}) : options.exactlyOnce;
    this.#key = key;
    this.#remember = remember;
    this.#options = options;
    this.#acquireTimeoutMs = pool.acquireTimeoutMs;
    this.#markers = markersOf(runner, pool, aside);
  }

  /** Rejects when there is no fit table, before the callback runs. */
  async prepare() {
    await this.#markers.checkTable(this.#options);
  }

  /**
   * Runs the callback in one transaction, and resolves when it is committed. If the error says `not-applied`, it is not, and never
   * will be.
   * @template T
   * @param {(callback: (tx: any) => Promise<any>, options: Record<string, any>) => Promise<any>} attempt BEGIN, callback, COMMIT
   * @param {(tx: any) => Promise<T> | T} callback
   * @returns {Promise<T | undefined>}
   */
  async run(attempt, callback) {
    for (;;) {
      const began = performance.now();
      const marker = attemptMarker();
      /** @type {T | undefined} */
      let value;
      let hasReturned = false;
      try {
        const marked = async (/** @type {any} */ tx) => {
          if (this.#key !== undefined) await this.#claim(tx);
          value = await callback(tx);
          if (this.#remember && !tx.ended) await this.#store(tx, value);
          hasReturned = true;
          return value;
        };
        return await attempt(marked, { ...this.#options, marker: this.#markers.statements.insert(marker) });
      } catch (error) {
        const { code, outcome } = /** @type {any} */ (error);
        if (error instanceof KeyIsTaken) {
          const found = await this.#markers.recall(this.#key, this.#options.durability, this.#patience(began));
          if (found !== null) return this.#remember ? found.value : undefined;
          if (error.cause !== undefined) throw error.cause;
          // It was deleted in the meantime: it is free.
          continue;
        }
        if (!hasReturned && OF_TABLE.has(code)) await this.#blameTable();
        // Only after the callback has returned, what fails is this attempt's own COMMIT.
        if (!hasReturned || outcome !== 'unknown') throw error;
        await this.#settle(error, marker, began);
        return value;
      } finally {
        this.#markers.cleanUpSoon();
      }
    }
  }

  /** Rejects if the table is what is wrong. */
  async #blameTable() {
    try {
      await this.#markers.checkAgain(this.#options);
    } catch (error) {
      if (/** @type {any} */ (error).code === 'ERR_EXACTLY_ONCE_TABLE') throw error;
    }
  }

  /** @param {number} began */
  #patience(began) {
    return new Patience(this.#acquireTimeoutMs, this.#options, began);
  }

  /** @param {any} tx */
  async #claim(tx) {
    let rows;
    try {
      rows = await tx.query(this.#markers.statements.claim, [keyMarker(this.#key)]);
    } catch (error) {
      // In REPEATABLE READ and SERIALIZABLE: the key was committed after the snapshot was taken.
      if (/** @type {any} */ (error).code === '40001') throw new KeyIsTaken('', { cause: error });
      throw error;
    }
    if (rows.length === 0) throw new KeyIsTaken();
  }

  /** @param {any} tx @param {unknown} value */
  async #store(tx, value) {
    await tx.query(this.#markers.statements.remember, [keyMarker(this.#key), toRemember(value)]);
  }

  /**
   * Resolves when the attempt has committed; else rejects with its error, which then says so.
   * @param {any} error of its COMMIT
   * @param {string} marker
   * @param {number} began
   */
  async #settle(error, marker, began) {
    let state;
    try {
      state = await this.#markers.settle(marker, this.#options.durability, this.#patience(began));
    } catch (reason) {
      throw this.#undecided(error, /** @type {Error} */ (reason).message);
    }
    if (state === 'committed') return;
    if (performance.now() - began > this.#markers.longestAttemptMs) {
      throw this.#undecided(error, 'the transaction took longer than half of exactlyOnceKeepMs');
    }
    throw notCommitted(error);
  }

  /** @param {any} error @param {string} reason */
  #undecided(error, reason) {
    const next = this.#key === undefined ? 'look into the database' : 'the same call with the same key finds out';
    return Object.assign(error, { hint: `exactlyOnce could not find out what became of COMMIT (${reason}): ${next}` });
  }
}

/** The error of a COMMIT that was not answered, and of which it is known now that it was not carried out. @param {any} error */
function notCommitted(error) {
  error.outcome = 'not-applied';
  // Its caller does not wait any longer.
  if (error instanceof AbortError || error instanceof QueryTimeoutError) return error;
  const message = `${error.message}; the database was asked, and the transaction was not committed`;
  const code = error instanceof ConnectionLostError ? 'ERR_CONNECTION_LOST' : error.code;
  return Object.assign(error, { message, code, retryable: true });
}

/**
 * What `exactlyOnce` asks for; undefined: nothing.
 * @param {import('../../core/statement-runner.js').StatementRunner} runner
 * @param {Record<string, any>} options of the call, checked
 * @param {any} pool its options
 * @param {() => import('./markers.js').Asker} aside
 */
function exactlyOnceOf(runner, options, pool, aside) {
  if (!options.exactlyOnce) return undefined;
  if (options.readOnly === true)
    throw new ParameterError('exactlyOnce: a READ ONLY transaction has nothing to do once');
  if (WEAK.includes(options.durability)) {
    throw new ParameterError(
      `exactlyOnce: with durability '${options.durability}' a commit that was answered could be lost, and then be done again`,
    );
  }
  if (!bringsTokens(pool.mode)) {
    throw new ParameterError(
      `exactlyOnce: the pool has the mode '${pool.mode}', so a transaction may run on a standby`,
    );
  }
  return new ExactlyOnce(runner, options, pool, aside);
}

module.exports = { RETRIES, exactlyOnceOf };
