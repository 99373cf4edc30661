'use strict';

// The figures of the table, from the statements of a client, their ends, and the rows of the databases. Pure functions:
// figures.test.js shows with invented histories that they find a loss.

const { PER_SECOND, READ_EVERY } = require('./load.js');

/** @typedef {import('./types').Statement} Statement */
/** @typedef {import('./types').Timeline} Timeline */
/** @typedef {import('./types').Told} Told */

/** A statement hangs when it has not settled this long after the fault was over (or after its begin, if that was later). */
const HUNG_MS = 15_000;
/** A client has recovered if, within this time after the fault was over, ... */
const RECOVERY_MS = 30_000;
/** ... nothing failed for this long and writes were acknowledged at nearly the rate from before. */
const CLEAN_MS = 3_000;
const NEARLY = 0.8;
/** Half of the writes that a client acknowledges in that time without a fault. */
const LEAST = ((CLEAN_MS / 1000) * PER_SECOND * (1 - 1 / READ_EVERY)) / 2;

/** Statements by number. */
class History {
  /** @type {Map<number, Statement>} */
  statements = new Map();

  /** @param {Told[]} events */
  add(events) {
    for (const event of events) {
      if (event.kind === 'begun') {
        const { n, type, id, at } = event;
        this.statements.set(n, { type, id, begunAt: at });
      } else {
        const { n, at, error, outcome, stale } = event;
        Object.assign(/** @type {Statement} */ (this.statements.get(n)), { endedAt: at, error, outcome, stale });
      }
    }
  }

  get all() {
    return [...this.statements.values()];
  }
}

const isAcknowledged = (/** @type {Statement} */ { type, endedAt, error }) =>
  type === 'write' && endedAt !== undefined && error === undefined;

/**
 * Whether a client works as before: there is a while without a failure in which writes are acknowledged as before the fault.
 *
 * @param {Statement[]} statements
 * @param {Pick<Timeline, 'faultAt' | 'overAt'>} timeline
 * @param {number} endedAt end of the observation
 * @param {(statement: Statement) => boolean} [counts] whether an acknowledged write is a success
 */
function worksAgain(statements, { faultAt, overAt }, endedAt, counts = () => true) {
  const acknowledged = statements.filter((each) => isAcknowledged(each) && counts(each));
  const within = (/** @type {Statement[]} */ list, /** @type {number} */ from, /** @type {number} */ to) =>
    list.filter(({ endedAt: at = Infinity }) => at >= from && at < to).length;
  const failed = statements.filter(({ error }) => error !== undefined);
  // A client that wrote nothing before the fault has no rate to come back to.
  const before = Math.max(within(acknowledged, faultAt - CLEAN_MS / 2, faultAt) * 2, LEAST);
  const last = Math.min(endedAt, overAt + RECOVERY_MS) - CLEAN_MS;
  for (let from = overAt; from <= last; from += 100) {
    const to = from + CLEAN_MS;
    if (within(failed, from, to) === 0 && within(acknowledged, from, to) >= NEARLY * before) return true;
  }
  return false;
}

/** Whether it had no answer in time. @param {Statement} statement @param {number} overAt @param {number} endedAt */
function isHung({ begunAt, endedAt: settledAt }, overAt, endedAt) {
  const limit = Math.max(begunAt, overAt) + HUNG_MS;
  return settledAt === undefined ? endedAt >= limit : settledAt > limit;
}

/**
 * The longest time without one of `times`, from `from` to `to`.
 * @param {number[]} times
 * @param {number} from
 * @param {number} to
 */
function longestPause(times, from, to) {
  const points = [from, ...times.filter((time) => time > from && time < to).sort((a, b) => a - b), to];
  return points.reduce((longest, time, i) => Math.max(longest, i === 0 ? 0 : time - points[i - 1]), 0);
}

/**
 * @param {Statement[]} statements
 * @param {Timeline} timeline
 * @param {number} endedAt end of the observation
 * @param {{ present: Map<number, number>, onOld: Set<number> }} rows how often each id is on the new primary; ids on the old
 * @param {string} [died]
 * @returns {import('./types').Figures}
 */
function figures(statements, timeline, endedAt, { present, onOld }, died) {
  const { faultAt, promotedAt, healedAt, overAt } = timeline;
  const timesThere = (/** @type {Statement} */ { id }) => present.get(id) ?? 0;
  const isThere = (/** @type {Statement} */ each) => timesThere(each) > 0;
  const writes = statements.filter(({ type }) => type === 'write');
  const failed = statements.filter(({ error }) => error !== undefined);
  const failedWrites = failed.filter(({ type }) => type === 'write');
  const acknowledged = writes.filter(isAcknowledged);
  const kept = acknowledged.filter(isThere);
  const lost = acknowledged.filter((each) => !isThere(each));
  /** @type {Record<string, number>} */
  const errors = {};
  for (const { type, error, outcome } of failed) {
    const key = [type, error, outcome].filter(Boolean).join(' ');
    errors[key] = (errors[key] ?? 0) + 1;
  }
  const count = (/** @type {Statement[]} */ list, /** @type {(each: Statement) => boolean} */ suits) =>
    list.filter(suits).length;
  const works = died === undefined && worksAgain(statements, timeline, endedAt, isThere);
  const some = died === undefined && kept.some(({ begunAt }) => begunAt > overAt);
  return {
    statements: statements.length,
    acknowledged: acknowledged.length,
    failedWrites: failedWrites.length,
    failedReads: failed.length - failedWrites.length,
    errors,
    failedButThere: count(failedWrites, isThere),
    denied: count(failedWrites, (each) => each.outcome === 'not-applied' && isThere(each)),
    hung: count(statements, (each) => isHung(each, overAt, endedAt)),
    lost: lost.length,
    doubled: count(writes, (each) => timesThere(each) > 1),
    deposed: count(lost, ({ id, endedAt: at = 0 }) => at > promotedAt && onOld.has(id)),
    staleReads: count(statements, ({ stale }) => stale === true),
    pauseMs: longestPause(
      kept.map(({ endedAt: at = 0 }) => at),
      faultAt - 500,
      endedAt,
    ),
    clusterPauseMs: healedAt - faultAt,
    recovered: works ? 'yes' : some ? 'partly' : 'no',
    ...(died === undefined ? {} : { died }),
  };
}

module.exports = { CLEAN_MS, HUNG_MS, RECOVERY_MS, History, figures, longestPause, worksAgain };
