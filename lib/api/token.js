'use strict';

// Consistency tokens: asked of the primary by a statement of their own, or brought by a statement with its answer. Their form is in
// lib/values/token.js.

const { FLAG } = require('../core/numbers.js');
const { withMembers } = require('../options/with-members.js');
const { HyperionError, ParameterError } = require('../errors.js');

/** The modes of pools whose statements run on the primary alone: only there an answer has a position of the primary. */
const MODES = ['read-write', 'primary'];

/** Whether the answer to a statement of a pool can bring a token. @param {string} mode of the pool */
const bringsTokens = (mode) => MODES.includes(mode);

/**
 * Refuses the option `token` where an answer cannot bring one.
 * @param {string} mode of the pool
 */
function checkMode(mode) {
  if (bringsTokens(mode)) return;
  throw new ParameterError(
    `token: the pool has the mode '${mode}', so a statement may run on a standby: call pool.token() instead`,
  );
}

/** Refuses the option `token` of a method whose result is not the rows. @param {string} method @param {any} options */
function refuseToken(method, options) {
  if (options?.token !== true || method === 'many') return;
  throw new ParameterError(`token: what ${method}() returns could not have it: use query() or many()`);
}

/**
 * Runs a statement whose answer brings a token. '': the statement was answered, and the request for its position was not, because the
 * session ended in between.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {string} sql
 * @param {unknown} params
 * @param {Record<string, any>} options checked
 * @returns {Promise<{ rows: object[], token: string }>}
 */
async function queryForToken(runner, sql, params, options) {
  let token = '';
  const onGrant = (/** @type {number} */ _pieces, /** @type {number} */ _bytes, /** @type {string} */ text) => {
    token = text;
  };
  const flags = (options.flags ?? 0) | FLAG.TOKEN;
  const rows = await runner.query(sql, params, withMembers(options, { flags, onGrant }), 0);
  return { rows, token };
}

/**
 * The position of the primary, whatever the mode of the pool. An empty SELECT changes nothing and needs no table; the core repeats it
 * until it is answered with a position.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {{ timeoutMs?: number, signal?: AbortSignal }} [limits]
 * @returns {Promise<string>}
 */
async function askToken(runner, { timeoutMs, signal } = {}) {
  const options = { readOnly: true, flags: FLAG.PRIMARY, timeoutMs, signal };
  const { token } = await queryForToken(runner, 'SELECT', undefined, options);
  if (token === '') throw new HyperionError('internal error: an answer without its consistency token', 'ERR_INTERNAL');
  return token;
}

/**
 * The position of the primary for a write that has ended without its own: a later position does as well.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {{ timeoutMs?: number, signal?: AbortSignal }} limits
 * @returns {Promise<string>}
 */
async function askTokenAfterWrite(runner, limits) {
  try {
    return await askToken(runner, limits);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    const text = `the statement was applied, and its consistency token could not be asked for: ${message}`;
    throw Object.assign(/** @type {Error} */ (error), { message: text, outcome: 'applied', retryable: false });
  }
}

module.exports = { askToken, askTokenAfterWrite, bringsTokens, checkMode, queryForToken, refuseToken };
