'use strict';

// COPY: bulk load (copyFrom) and unload (copyTo).

const { Load } = require('./load.js');
const { parseTarget, unloadSql } = require('./target.js');
const { Unload } = require('./unload.js');

/**
 * Loads rows or ready data into a table.
 * @param {import('../../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction 0: one of its own
 * @param {unknown} target
 * @param {unknown} source
 * @param {Record<string, any>} options checked
 */
async function copyFrom(runner, transaction, target, source, options) {
  const load = new Load(runner, parseTarget(target, 'FROM'), source, options);
  if (!runner.observer.isWatching) return load.run(transaction, () => {});
  return runner.observer.run('copyFrom', /** @type {string} */ (target), undefined, transaction, ({ sent }) =>
    load.run(transaction, sent),
  );
}

/**
 * What COPY sends, as a Readable.
 * @param {import('../../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction 0: one of its own
 * @param {unknown} target
 * @param {Record<string, any>} options checked
 * @param {(work: () => Promise<void>) => Promise<void>} [inTurn] starts it when it is first read
 */
function copyTo(runner, transaction, target, options, inTurn = (work) => work()) {
  return new Unload(runner, transaction, unloadSql(parseTarget(target, 'TO')), options, inTurn);
}

/**
 * Whether an unload may write: a query may call functions that do.
 * @param {unknown} target
 */
const mayWrite = (target) => 'sql' in parseTarget(target, 'TO');

module.exports = { copyFrom, copyTo, mayWrite };
