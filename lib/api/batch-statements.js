'use strict';

// The statements of a batch as the caller has given them.

const { ParameterError, located } = require('../errors.js');
const { listOf } = require('../values/params.js');
const { Sql, unfold } = require('./sql.js');

/**
 * Runs `check`; a ParameterError of it names the statement.
 * @template T
 * @param {number} index
 * @param {() => T} check
 * @returns {T}
 */
function checkStatement(index, check) {
  try {
    return check();
  } catch (error) {
    if (error instanceof ParameterError) error.message = `statements[${index}]: ${error.message}`;
    throw error;
  }
}

/**
 * @param {unknown} statements
 * @returns {{ sql: string, params: readonly unknown[] }[]}
 */
function readStatements(statements) {
  if (!Array.isArray(statements)) throw new ParameterError('statements must be an array of [sql, params]');
  return statements.map((entry, index) =>
    checkStatement(index, () => {
      const [given, own, ...rest] =
        typeof entry === 'string' || entry instanceof Sql ? [entry] : Array.isArray(entry) ? entry : [undefined];
      const [sql, params] = unfold(given, own);
      if (typeof sql !== 'string' || rest.length > 0) throw new ParameterError('must be [sql, params] or a fragment');
      return { sql, params: listOf(params) };
    }),
  );
}

/**
 * The results of statements in a transaction, which were sent at once. What follows a failure is refused by the server, because the
 * transaction has failed: so the first error is the one that counts.
 * @param {Promise<any>[]} results
 */
async function allOrNone(results) {
  const ends = await Promise.allSettled(results);
  return ends.map((end, statementIndex) =>
    checkStatement(statementIndex, () => {
      if (end.status === 'fulfilled') return end.value;
      throw located(Object.assign(end.reason, { statementIndex }));
    }),
  );
}

module.exports = { allOrNone, checkStatement, readStatements };
