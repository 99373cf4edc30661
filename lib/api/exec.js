'use strict';

// Scripts: several statements by the simple protocol (src/query/script.rs).
//
// The rows of a result arrive first, then a message with its command tag. So the call collects rows, and makes a result of them
// when the tag arrives. Which node has answered is known at the end of the script.

const { Call } = require('../core/core-link.js');
const { FLAG, OP } = require('../core/numbers.js');
const { ParameterError, located } = require('../errors.js');
const { asRows } = require('../values/rows.js');
const { underSignal } = require('../core/under-signal.js');
const { EXEC, callOptions } = require('../options/call-options.js');
const { controlOf, scriptTokens } = require('../core/sql-tokens.js');

/** @param {unknown} options */
const execOptions = (options) => callOptions(options, EXEC);

/** @param {unknown} script */
function checkScript(script) {
  if (typeof script !== 'string') {
    throw new ParameterError(`script must be a string, not ${script === null ? 'null' : typeof script}`);
  }
  if (script.includes('\0'))
    throw new ParameterError('script contains a NUL character, which PostgreSQL text cannot hold');
  if (!script.isWellFormed())
    throw new ParameterError('script contains an unpaired surrogate, which UTF-8 cannot hold');
  return script;
}

/**
 * Refuses a script that would begin or end the transaction it runs in. A procedure that commits is found by the core, after it
 * has run.
 * @param {string} script
 */
function refuseTransactionControl(script) {
  // Most scripts contain none of these words. Reading their tokens would take some 50 ms a megabyte.
  if (!/\b(?:begin|start|commit|end|abort|rollback)\b/i.test(script)) return;
  /** @type {string[]} */
  let words = [];
  // The depth within the SQL body of a function, BEGIN ATOMIC ... END, which has semicolons of its own.
  let body = 0;
  let before = '';
  const check = () => {
    const why = controlOf(words.slice(0, 4));
    if (why !== null) throw new ParameterError(`script: ${words[0]} cannot be sent in a transaction: ${why}`);
  };
  for (const token of scriptTokens(script)) {
    if (body > 0) {
      if (token === 'CASE') body++;
      else if (token === 'END') body--;
    } else if (token === ';') {
      check();
      words = [];
    } else {
      if (token === 'ATOMIC' && before === 'BEGIN' && words[0] === 'CREATE') body = 1;
      if (words.length < 4) words.push(token);
    }
    before = token;
  }
  check();
}

/**
 * Runs a script; resolves with an array of its results.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction 0: none
 * @param {unknown} script
 * @param {Record<string, any>} options checked
 */
async function exec(runner, transaction, script, options) {
  const sql = checkScript(script);
  if (transaction !== 0) refuseTransactionControl(sql);
  try {
    if (!runner.observer.isWatching) return await send(runner, transaction, sql, options, () => {});
    return await runner.observer.run('exec', sql, undefined, transaction, async (watched) => {
      const results = await send(runner, transaction, watched.text, options, watched.sent);
      watched.rowCount = results.reduce((sum, rows) => sum + /** @type {any} */ (rows).rowCount, 0);
      return results;
    });
  } catch (error) {
    throw located(error);
  }
}

/**
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction
 * @param {string} sql
 * @param {Record<string, any>} options
 * @param {(call: Call) => void} onSent
 */
async function send(runner, transaction, sql, options, onSent) {
  const { link, pool } = runner;
  const { signal, timeoutMs = 0 } = options;
  const types = options.types === undefined ? undefined : runner.types.with(options.types);
  /** @type {object[][]} */
  const results = [];
  const run = (/** @type {(call: Call) => void} */ started) =>
    new Promise((resolve, reject) => {
      const call = new Call(resolve, reject);
      call.asArrays = options.rowMode === 'array';
      call.onGrant = (_pieces, rowCount, tag) => {
        results.push(asRows(call.rows, rowCount, tag.split(' ', 1)[0], call.shape, null));
        call.rows = [];
        call.shape = null;
      };
      const id = link.register(call);
      const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
      const text = types === undefined ? sql : `${types.core}\0${sql}`;
      link.sendText(OP.SCRIPT, id, pool, 0, transaction, flags, timeoutMs, text);
      onSent(call);
      started(call);
    });
  const { node } = await underSignal(link, pool, signal, run);
  for (const rows of results) /** @type {any} */ (rows).node = runner.nodes[node] ?? null;
  return results;
}

module.exports = { exec, execOptions };
