'use strict';

// Reports a load or an unload to the pool's logger.

/**
 * Runs `work` and reports how it ended.
 * @template {{ rowCount?: number } | void} T
 * @param {import('../../core/statement-runner.js').StatementRunner} runner
 * @param {string} sql
 * @param {{ node: number }} copy the load or unload that runs
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function logCopy(runner, sql, copy, work) {
  if (runner.logger === undefined) return work();
  const started = performance.now();
  const report = (/** @type {object} */ how) => runner.callLogger(sql, performance.now() - started, copy.node, how);
  try {
    const result = await work();
    report(result === undefined ? {} : { rowCount: result.rowCount });
    return result;
  } catch (error) {
    report({ error });
    throw error;
  }
}

module.exports = { logCopy };
