'use strict';

// Compares what the pool has reported of each write with the rows of the database. Every write is entered in a ledger before
// it is sent, and its outcome when the pool reports it.

/**
 * What the pool told about a write. One it has told nothing about yet is as unknown as one it could not tell about.
 * @typedef {'acknowledged' | 'not-applied' | 'unknown'} Outcome
 */

/**
 * One INSERT, or one transaction of several.
 * @typedef {object} Write
 * @property {number} writer
 * @property {number} seq unique for its writer
 * @property {number} parts number of rows, numbered from 0
 * @property {Outcome} outcome
 */

/** A row of the table, counted. @typedef {{ writer: number, seq: number, part: number, copies: number }} Found */

/**
 * @typedef {object} Verdict
 * @property {number} acknowledged rows whose write the pool reported as done
 * @property {number} present of them in the database
 * @property {number} lost of them missing: must be 0
 * @property {number} duplicated rows that are there more than once: must be 0
 * @property {number} denied rows that are there although the pool said "not applied": must be 0
 * @property {number} torn transactions of which only a part is there: must be 0
 * @property {number} strangers rows that nobody wrote: must be 0
 * @property {{ notApplied: number, unknown: number }} failed writes that were not acknowledged
 * @property {number} unknownPresent of the unknown ones, how many turned out to be there
 * @property {boolean} ok
 */

class Ledger {
  /** @type {Write[]} */
  writes = [];
  acknowledged = 0;
  failed = { notApplied: 0, unknown: 0 };

  /**
   * To be called before the write is sent.
   * @param {number} writer
   * @param {number} seq
   * @param {number} [parts]
   * @returns {Write}
   */
  enter(writer, seq, parts = 1) {
    /** @type {Write} */
    const write = { writer, seq, parts, outcome: 'unknown' };
    this.writes.push(write);
    return write;
  }

  /** @param {Write} write */
  acknowledge(write) {
    write.outcome = 'acknowledged';
    this.acknowledged += write.parts;
  }

  /**
   * @param {Write} write
   * @param {unknown} error
   */
  fail(write, error) {
    write.outcome = wasNotApplied(error) ? 'not-applied' : 'unknown';
    if (write.outcome === 'unknown') this.failed.unknown += 1;
    else this.failed.notApplied += 1;
  }
}

/** Errors without an `outcome` that are raised before anything is sent. */
const NEVER_SENT = new Set(['ERR_NO_PRIMARY', 'ERR_ACQUIRE_TIMEOUT', 'ERR_POOL_CLOSED']);

/**
 * Whether the pool promises that the statement had no effect. What promises nothing is unknown.
 * @param {any} error
 */
function wasNotApplied(error) {
  return error?.outcome === undefined ? NEVER_SENT.has(error?.code) : error.outcome === 'not-applied';
}

/** @param {{ writer: number, seq: number, part: number }} row */
const keyOf = ({ writer, seq, part }) => `${writer} ${seq} ${part}`;

/**
 * @param {readonly Write[]} writes
 * @param {readonly Found[]} found
 * @returns {Verdict}
 */
function compare(writes, found) {
  const copies = new Map(found.map((row) => [keyOf(row), row.copies]));
  const verdict = {
    acknowledged: 0,
    present: 0,
    lost: 0,
    duplicated: [...copies.values()].filter((count) => count > 1).length,
    denied: 0,
    torn: 0,
    strangers: copies.size,
    failed: { notApplied: 0, unknown: 0 },
    unknownPresent: 0,
    ok: false,
  };
  for (const { writer, seq, parts, outcome } of writes) {
    let there = 0;
    for (let part = 0; part < parts; part++) if (copies.has(keyOf({ writer, seq, part }))) there += 1;
    verdict.strangers -= there;
    if (there > 0 && there < parts) verdict.torn += 1;
    if (outcome === 'acknowledged') {
      verdict.acknowledged += parts;
      verdict.present += there;
      verdict.lost += parts - there;
    } else if (outcome === 'not-applied') {
      verdict.failed.notApplied += 1;
      verdict.denied += there;
    } else {
      verdict.failed.unknown += 1;
      if (there > 0) verdict.unknownPresent += 1;
    }
  }
  const { acknowledged, lost, duplicated, denied, torn, strangers } = verdict;
  verdict.ok = acknowledged > 0 && lost + duplicated + denied + torn + strangers === 0;
  return verdict;
}

/**
 * The end of a run: the verdict, and the exit code it deserves. A check that cannot be made is no better than a failed one.
 * @param {readonly Write[]} writes
 * @param {() => Promise<readonly Found[]>} readRows asks the database
 * @returns {Promise<{ code: 0 | 1, verdict?: Verdict, error?: unknown }>}
 */
async function judge(writes, readRows) {
  try {
    const verdict = compare(writes, await readRows());
    return { code: verdict.ok ? 0 : 1, verdict };
  } catch (error) {
    return { code: 1, error };
  }
}

module.exports = { Ledger, compare, judge, wasNotApplied };
