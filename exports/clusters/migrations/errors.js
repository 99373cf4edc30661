'use strict';

// Errors of migrations. Each names the unit (a cluster, or a shard as `users/2`) and the migration in its message and in its fields.

const { AbortError, DatabaseError, HyperionError, QueryTimeoutError } = require('../../../client.js');

/** active_sql_transaction: the statement cannot run in a transaction. */
const IN_TRANSACTION = '25001';

/**
 * @typedef {'ERR_MIGRATION_FILES' | 'ERR_MIGRATION_UNREACHABLE' | 'ERR_MIGRATION_CHANGED' | 'ERR_MIGRATION_MISSING'
 *   | 'ERR_MIGRATION_ORDER' | 'ERR_MIGRATION_BEGUN' | 'ERR_MIGRATION_FAILED'} Code
 */
/** @typedef {{ unit: string, number: bigint | null, name: string | null, code: Code, message: string, cause?: any }} Problem */

/**
 * @param {Code} code
 * @param {string} message
 * @param {Record<string, unknown> & { cause?: unknown }} [fields] `cause` and what the error has besides
 * @returns {any}
 */
function migrationError(code, message, { cause, ...fields } = {}) {
  const error = new HyperionError(message, code, cause === undefined ? undefined : { cause });
  return Object.assign(error, fields);
}

/**
 * One error for all that speaks against applying anything.
 * @param {Problem[]} problems at least one
 * @param {string} [end] of the message
 */
function refusal(problems, end = '') {
  const [{ message, unit, name, code, cause }] = problems;
  const more = problems.length - 1;
  const others = more === 0 ? '' : ` (and ${more} more, see problems)`;
  const retryable = problems.every((one) => one.code === 'ERR_MIGRATION_UNREACHABLE');
  return migrationError(code, `${message}${end}${others}`, {
    ...{ cause, unit, migration: name, retryable, outcome: 'not-applied' },
    problems: problems.map((one) => ({ unit: one.unit, name: one.name, code: one.code, message: one.message })),
  });
}

/**
 * Where a statement has failed: line and column, from 1. The server counts characters, from 1.
 * @param {string} sql
 * @param {number} position
 */
function placeIn(sql, position) {
  const before = [...sql].slice(0, position - 1).join('');
  const line = before.split('\n').length;
  return { line, column: [...before.slice(before.lastIndexOf('\n') + 1)].length + 1 };
}

/** What helps a statement that the server runs outside of a transaction only. @param {boolean} inTransaction */
const hintOf = (inTransaction) =>
  inTransaction
    ? ': it needs a file of its own that begins with "-- no transaction"'
    : ': a migration without a transaction is one statement';

/**
 * The error of a migration that has failed. What ended it from outside stays what it is.
 * @param {string} unit
 * @param {{ name: string, sql: string, inTransaction: boolean }} migration
 * @param {any} cause
 * @param {boolean} isScript whether it comes from a statement of the migration, whose `position` is one in its text
 */
function failed(unit, { name, sql, inTransaction }, cause, isScript) {
  if (/^ERR_MIGRATION/.test(cause.code)) return cause;
  if (cause instanceof AbortError || cause instanceof QueryTimeoutError) {
    return Object.assign(cause, { unit, migration: name });
  }
  const place = isScript && cause.position !== undefined ? placeIn(sql, cause.position) : {};
  const at = 'line' in place ? `, line ${place.line}` : '';
  const state = cause instanceof DatabaseError ? ` (${cause.code})` : '';
  const hint = cause.code === IN_TRANSACTION ? hintOf(inTransaction) : '';
  return migrationError('ERR_MIGRATION_FAILED', `${unit}: ${name}${at}: ${cause.message}${hint}${state}`, {
    ...{ cause, unit, migration: name, ...place },
    ...{ retryable: cause.retryable === true, outcome: cause.outcome ?? 'not-applied' },
  });
}

module.exports = { failed, migrationError, refusal };
