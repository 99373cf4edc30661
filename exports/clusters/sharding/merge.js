'use strict';

// The results of a statement that has run on every shard, as one result.

const { HyperionError, ParameterError } = require('../../../client.js');

/** @typedef {{ name: string, typeName: string }} Field */
/** @typedef {{ rows: any[], rowCount: number, command: string, fields: readonly any[] }} Merged */
/**
 * @typedef {object} MergeOptions
 * @property {'concat'} [merge] the rows of one shard behind those of the one before
 * @property {(a: any, b: any) => number} [orderBy] as Array.prototype.sort takes it; rows that are equal stay in the order of shards
 * @property {number} [limit] the most rows
 */

/**
 * Checks the options of a merge: before the statement runs, because a mistake in them is one of the call.
 * @param {MergeOptions} options
 */
function checkMerge({ merge = 'concat', orderBy, limit }) {
  if (merge !== 'concat') {
    const given = typeof merge === 'string' ? `'${merge}'` : typeof merge;
    throw new ParameterError(`merge must be 'concat', not ${given}`);
  }
  if (orderBy !== undefined && typeof orderBy !== 'function') {
    throw new ParameterError(`orderBy must be a function (a, b) => number, not ${typeof orderBy}`);
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw new ParameterError(
      `limit must be an integer from 0, not ${typeof limit === 'number' ? limit : typeof limit}`,
    );
  }
}

/**
 * A bigint, which `(a, b) => a.id - b.id` returns for int8 columns, would be a TypeError without a name in sort().
 * @param {(a: any, b: any) => number} orderBy
 */
const checkedOrder = (orderBy) => (/** @type {any} */ a, /** @type {any} */ b) => {
  const order = orderBy(a, b);
  if (typeof order === 'number' && !Number.isNaN(order)) return order;
  const given = typeof order === 'number' ? 'NaN' : typeof order;
  throw new ParameterError(
    `orderBy must return a number, not ${given}${typeof order === 'bigint' ? ': compare with <' : ''}`,
  );
};

/** @param {readonly Field[]} fields @param {boolean} isInOrder whether the order of columns counts */
const columnsOf = (fields, isInOrder) => {
  const columns = fields.map(({ name, typeName }) => `${name} ${typeName}`);
  return (isInOrder ? columns : columns.sort()).join();
};

/** Rows with other columns, or the same in another order for rows that are arrays, are not rows of one result. @param {Merged[]} results */
function checkColumns(results) {
  const isInOrder = results.some(({ rows }) => Array.isArray(rows[0]));
  const [first, ...others] = results.map(({ fields }) => columnsOf(fields, isInOrder));
  const shard = others.findIndex((columns) => columns !== first) + 1;
  if (shard === 0) return;
  throw new HyperionError(
    `shard ${shard} has answered with other columns than shard 0: are the migrations of all shards the same?`,
    'ERR_SHARDS_DIFFER',
  );
}

/**
 * @param {Merged[]} results in the order of shards, at least one
 * @param {MergeOptions} [options]
 * @returns {Merged}
 */
function mergeResults(results, options = {}) {
  checkMerge(options);
  checkColumns(results);
  const { orderBy, limit } = options;
  const all = results.flatMap((result) => result.rows);
  if (orderBy !== undefined) all.sort(checkedOrder(orderBy));
  const isCut = limit !== undefined && all.length > limit;
  const rows = isCut ? all.slice(0, limit) : all;
  // A statement without rows, an UPDATE for example, has a count, too.
  const rowCount = isCut ? rows.length : results.reduce((sum, result) => sum + result.rowCount, 0);
  const [{ command, fields }] = results;
  return { rows, rowCount, command, fields };
}

module.exports = { checkMerge, mergeResults };
