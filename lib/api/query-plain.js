'use strict';

// A query without options, outside of transactions and sessions, that nobody watches.

const { located } = require('../errors.js');
const { unfold } = require('./sql.js');

/**
 * Runs a statement, if its runner isPlain. An async function would cost a promise, a wait and a turn of the microtasks more: what is
 * thrown becomes a rejection here.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {string | import('./sql.js').Sql} sql
 * @param {unknown} params
 * @returns {Promise<object[]>}
 */
function queryPlain(runner, sql, params) {
  try {
    if (typeof sql === 'string') return runner.queryPlain(sql, params);
    const [text, values] = unfold(sql, params);
    return runner.queryPlain(text, values);
  } catch (error) {
    return Promise.reject(located(error));
  }
}

module.exports = { queryPlain };
