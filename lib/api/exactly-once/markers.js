'use strict';

// The markers of one pool: whether their table is fit, what became of an attempt, and the clean-up.
//
// Everything here runs outside of the caller's transactions, on any connection to the present primary, and may be asked again and again:
// a lost answer of these statements changes nothing. What became of an attempt is asked over connections that no caller can occupy:
// all those of the pool may be waiting for a lock of the session that is asked about.

const { HyperionError, QueryTimeoutError } = require('../../errors.js');
const { Gate } = require('./gate.js');
const { ASIDE } = require('../inner-pools.js');
const { setTimeout: sleep } = require('node:timers/promises');
const { EXAMINE, PIECE, RELEASE, fault, keyMarker, quotedTable, statementsOf } = require('./marker-table.js');
const { remembered } = require('./remembered.js');

/** @typedef {import('./marker-table.js').State} State */
/** @typedef {import('./patience.js').Patience} Patience */
/** What runs a statement on the primary. @typedef {{ query: (sql: string, params: unknown[], options: { timeoutMs: number }) => Promise<any[]> }} Asker */

/** Limits that the server has set to the wait: lock_timeout, statement_timeout. */
const LIMITS = new Set(['55P03', '57014']);
/** How long one question waits before it is asked anew, of what is then the primary. */
const ASK_MS = 1_000;
/** How long a question may wait for a lock before its holder is looked at, and between two looks. */
const LOOK_MS = 100;
/** The pauses between two questions. */
const PAUSES_MS = [5, 10, 20, 50, 100];
/** The clean-up deletes so many pieces at a time. */
const PIECES = 20;
const LONGEST_CLEAN_UP_PAUSE_MS = 600_000;
const CLEAN_UP_MS = 5_000;

/** @param {any} error whether it says nothing about the question, which may be asked again */
const mayPass = (error) =>
  error.retryable === true ||
  error.outcome === 'unknown' ||
  error instanceof QueryTimeoutError ||
  LIMITS.has(error.code);

class Markers {
  #runner;
  #table;
  #keepMs;
  #statements;
  #isFit = false;
  #cleanedUp = -Infinity;
  #aside;
  /** One connection stays free for #release: a question that waits for a session is no use without it. */
  #gate = new Gate(ASIDE.poolSize - 1);

  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {{ exactlyOnceTable: string, exactlyOnceKeepMs: number }} options of the pool
   * @param {() => Asker} aside
   */
  constructor(runner, { exactlyOnceTable, exactlyOnceKeepMs }, aside) {
    this.#runner = runner;
    this.#aside = aside;
    this.#table = exactlyOnceTable;
    this.#keepMs = exactlyOnceKeepMs;
    this.#statements = statementsOf(exactlyOnceTable);
  }

  get statements() {
    return this.#statements;
  }

  /**
   * The longest time between an attempt's BEGIN and the question what became of it: half of the time for which its marker is kept. A
   * marker that is not there after that may have been deleted.
   */
  get longestAttemptMs() {
    return this.#keepMs === 0 ? Infinity : this.#keepMs / 2;
  }

  /** Resolves when the table is known to be fit. @param {{ timeoutMs?: number, signal?: AbortSignal }} limits */
  async checkTable({ timeoutMs, signal }) {
    if (this.#isFit) return;
    const options = { timeoutMs, signal, readOnly: true };
    const rows = await this.#runner.query(EXAMINE, [quotedTable(this.#table)], options, 0);
    const found = fault(/** @type {any} */ (rows[0]));
    if (found !== undefined) throw this.#unfit(found);
    this.#isFit = true;
  }

  /** The same, whatever was known of the table before. @param {{ timeoutMs?: number, signal?: AbortSignal }} limits */
  async checkAgain(limits) {
    this.#isFit = false;
    await this.checkTable(limits);
  }

  /** @param {string} reason */
  #unfit(reason) {
    const message = `exactlyOnce: the table ${quotedTable(this.#table)} ${reason}: npx hyperiondb-client setup exactly-once`;
    return Object.assign(new HyperionError(message, 'ERR_EXACTLY_ONCE_TABLE'), { outcome: 'not-applied' });
  }

  /**
   * What became of an attempt whose COMMIT was not answered. Rejects when it cannot be found out.
   * @param {string} marker of the attempt
   * @param {string | undefined} durability
   * @param {Patience} patience
   * @returns {Promise<State>}
   */
  async settle(marker, durability, patience) {
    const sql = this.#statements.settle(marker, durability);
    const asker = this.#aside();
    const release = () => asker.query(RELEASE, [marker], { timeoutMs: ASK_MS });
    const ask = (/** @type {() => { timeoutMs: number }} */ limits) =>
      this.#gate.through(() => whileRunning(asker.query(sql, [marker], limits()), release));
    const [row] = await askUntilAnswered(ask, patience);
    return row.state;
  }

  /**
   * The value that is remembered for a key; null: the key is not committed.
   * @param {string} key
   * @param {string | undefined} durability
   * @param {Patience} patience
   * @returns {Promise<{ value: any } | null>}
   */
  async recall(key, durability, patience) {
    const sql = this.#statements.recall(durability);
    const ask = (/** @type {() => { timeoutMs: number }} */ limits) =>
      this.#runner.query(sql, [keyMarker(key)], limits(), 0);
    const [row] = await askUntilAnswered(ask, patience);
    return row === undefined ? null : { value: remembered(row.value) };
  }

  /** Deletes old markers, if the last time is long enough ago. Nobody waits for it. */
  cleanUpSoon() {
    const now = performance.now();
    const pause = Math.min(this.#keepMs / 4, LONGEST_CLEAN_UP_PAUSE_MS);
    if (this.#keepMs === 0 || now < this.#cleanedUp + pause) return;
    this.#cleanedUp = now;
    // What failed is done by another process, or the next time.
    this.#cleanUp().catch(() => {});
  }

  async #cleanUp() {
    for (let pieces = 0; pieces < PIECES; pieces++) {
      const { length } = await this.#runner.query(
        this.#statements.cleanUp,
        [this.#keepMs],
        { timeoutMs: CLEAN_UP_MS },
        0,
      );
      if (length < PIECE) return;
    }
    // There is more: the next call goes on.
    this.#cleanedUp = -Infinity;
  }
}

/**
 * Asks again while the answer is not there and there is time.
 * @param {(limits: () => { timeoutMs: number }) => Promise<any[]>} ask `limits`: those of a question that is sent now
 * @param {Patience} patience
 * @returns {Promise<any[]>}
 */
async function askUntilAnswered(ask, patience) {
  const limits = () => ({ timeoutMs: Math.min(ASK_MS, Math.max(1, patience.left())) });
  for (let asked = 0; ; asked++) {
    try {
      return await ask(limits);
    } catch (error) {
      if (!mayPass(error) || patience.left() === 0) throw error;
    }
    await sleep(PAUSES_MS[Math.min(asked, PAUSES_MS.length - 1)]);
  }
}

/**
 * Calls `work` every LOOK_MS, not twice at a time, until the promise is settled.
 * @template T
 * @param {Promise<T>} promise
 * @param {() => Promise<unknown>} work
 */
async function whileRunning(promise, work) {
  let isAtWork = false;
  const timer = setInterval(async () => {
    if (isAtWork) return;
    isAtWork = true;
    // The promise itself says what is wrong.
    await work().catch(() => {});
    isAtWork = false;
  }, LOOK_MS);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

/** @type {WeakMap<import('../../core/statement-runner.js').StatementRunner, Markers>} */
const all = new WeakMap();

/**
 * The markers of a pool, made when they are first used.
 * @param {import('../../core/statement-runner.js').StatementRunner} runner
 * @param {any} options of the pool
 * @param {() => Asker} aside
 */
function markersOf(runner, options, aside) {
  const known = all.get(runner);
  if (known !== undefined) return known;
  const markers = new Markers(runner, options, aside);
  all.set(runner, markers);
  return markers;
}

module.exports = { markersOf };
