'use strict';

// Counting beside stats(): what a program has seen itself, and how the counts of a pool have changed meanwhile.

const assert = require('node:assert/strict');

/** The counts that a program can make, too. @param {any} stats */
const countsOf = ({ queries, rows, errors, unknownOutcomes, transactions, retries }) => ({
  ...{ queries, rows, errors, unknownOutcomes, ...transactions, retries },
});

/** What was added to counts by their names. @param {Record<string, number>} after @param {Record<string, number>} before */
function added(after, before) {
  const changes = Object.entries(after).map(
    ([name, count]) => /** @type {const} */ ([name, count - (before[name] ?? 0)]),
  );
  return Object.fromEntries(changes.filter(([, count]) => count !== 0));
}

/** How counts have changed; what has not changed is left out. @param {any} after @param {any} before */
function changes(after, before) {
  const [{ errors, retries, ...later }, { errors: oldErrors, retries: oldRetries, ...earlier }] = [
    countsOf(after),
    countsOf(before),
  ];
  /** @type {Record<string, any>} */
  const changed = added(later, earlier);
  const [newErrors, newRetries] = [added(errors, oldErrors), added(retries, oldRetries)];
  if (Object.keys(newErrors).length > 0) changed.errors = newErrors;
  if (Object.keys(newRetries).length > 0) changed.retries = newRetries;
  return changed;
}

/** What an error is counted by. @param {any} error */
const kindOf = ({ code }) => (/^[0-9A-Z]{5}$/.test(code) ? code.slice(0, 2) : code);

/** What a program has seen of its statements and transactions. */
class Tally {
  queries = 0;
  rows = 0;
  /** @type {Record<string, number>} */
  errors = {};
  unknownOutcomes = 0;
  begun = 0;
  committed = 0;
  rolledBack = 0;

  /** @param {any} error that the program was told, once */
  failed(error) {
    if (error?.code === undefined) throw error;
    const kind = kindOf(error);
    this.errors[kind] = (this.errors[kind] ?? 0) + 1;
    if (error.outcome === 'unknown') this.unknownOutcomes++;
  }

  /**
   * A statement of the program, counted when it ends. Resolves to its error if it fails.
   * @param {Promise<any>} statement
   * @param {(result: any) => number} rowsOf
   * @returns {Promise<any>}
   */
  async statement(statement, rowsOf = (rows) => rows.rowCount) {
    try {
      const result = await statement;
      this.rows += rowsOf(result);
      return undefined;
    } catch (error) {
      this.failed(error);
      return error;
    } finally {
      this.queries++;
    }
  }

  /** The counts that are not 0, as {@link changes} has them. */
  counts() {
    const { errors, ...numbers } = this;
    /** @type {Record<string, any>} */
    const counts = added(/** @type {any} */ (numbers), {});
    if (Object.keys(errors).length > 0) counts.errors = { ...errors };
    return counts;
  }
}

/**
 * Checks how work changes the counts of a pool.
 * @param {any} pool
 * @param {() => unknown} work
 * @param {Record<string, any>} expected what is not named must not change
 */
async function assertCounts(pool, work, expected) {
  const before = pool.stats();
  await work();
  assert.deepEqual(changes(pool.stats(), before), expected);
}

module.exports = { Tally, assertCounts, changes, countsOf };
