'use strict';

// Several statements in one round trip: each for itself, or all in one transaction.
//
// A batch is one frame (src/binding/frames.rs): a mistake in one of its statements is found before any of it is sent.

const { Call } = require('../core/core-link.js');
const { FLAG, OP } = require('../core/numbers.js');
const { AbortError, ParameterError, located } = require('../errors.js');
const { StatementCall } = require('../core/statement-call.js');
const { underSignal } = require('../core/under-signal.js');
const { BATCH, MODES_OF_BEGIN, callOptions } = require('../options/call-options.js');
const { normalize } = require('../values/params.js');
const { checkStatement, readStatements } = require('./batch-statements.js');
const { beginSql } = require('./transaction.js');

/** A statement as the caller gives it; `text` is sent in its place. @typedef {import('../core/observer.js').Item} Given */
/** @typedef {{ statement: import('../core/statements.js').Statement, params: readonly unknown[], text: string | undefined }} Known */
/** @typedef {Known & { values: readonly unknown[] }} Item */

/**
 * Makes the statements known to the core.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Given[]} items
 * @param {import('../values/types.js').Types | undefined} types
 */
function makeKnown(runner, items, types) {
  const different = new Set(items.map(({ sql }) => sql));
  // The core must know all texts at the same time.
  const most = runner.statements.capacity >> 1;
  if (different.size > most) {
    throw new ParameterError(
      `statements: a batch may have ${most} different texts (twice statementCacheSize), not ${different.size}`,
    );
  }
  return items.map(({ sql, params, text }, index) =>
    checkStatement(index, () => ({ statement: runner.statements.get(sql, types), params, text })),
  );
}

/**
 * Asks the core for the types of all parameters, so that serializers can be chosen.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Known[]} items
 * @param {Record<string, any>} given
 */
async function learnAllParameters(runner, items, given) {
  for (const { statement, params } of items) if (params.length > 0) await runner.learnParameters(statement, given, 0);
}

/**
 * The statements with the values that are written for their parameters.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Known[]} items
 * @returns {Item[]}
 */
function writable(runner, items) {
  return items.map(({ statement, params, text }, index) => ({
    statement,
    params,
    text,
    values: checkStatement(index, () => normalize(runner.serialize(statement, params), statement.takesStructure)),
  }));
}

/** The BEGIN of the option `transaction`; empty without one. @param {unknown} transaction */
function beginOf(transaction) {
  if (transaction === undefined || transaction === false) return '';
  try {
    return beginSql(callOptions(transaction === true ? {} : transaction, MODES_OF_BEGIN));
  } catch (error) {
    if (error instanceof ParameterError) error.message = `transaction: ${error.message}`;
    throw error;
  }
}

/**
 * @param {unknown} options
 */
function batchOptions(options) {
  const given = callOptions(options, BATCH);
  const begin = beginOf(given.transaction);
  if (begin !== '' && given.readOnly !== undefined) {
    throw new ParameterError(
      'readOnly: in a transaction it is one of its options, { transaction: { readOnly: true } }',
    );
  }
  return { given, begin };
}

/**
 * Writes the frame. Returns a promise for each statement, and `ended` for the whole batch, which rejects at once when nothing
 * was sent.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Item[]} items
 * @param {Record<string, any>} given
 * @param {string} begin
 */
function submit(runner, items, given, begin) {
  const { link, pool, statements } = runner;
  const { frames } = link;
  /** @type {Call[]} */
  const calls = [];
  const results = items.map(({ statement }) => {
    const call = new StatementCall(statement, runner.nodes);
    call.asArrays = given.rowMode === 'array';
    calls.push(call);
    return call.promise;
  });
  const sent = { calls, whole: /** @type {Call | undefined} */ (undefined) };
  /** @param {(call: Call) => void} started */
  const send = (started) =>
    new Promise((resolve, reject) => {
      const whole = new Call(resolve, reject);
      const flags = (given.readOnly ? FLAG.READ_ONLY : 0) | (given.signal === undefined ? 0 : FLAG.HAS_SIGNAL);
      const named = items.map(({ statement, text }) =>
        text === undefined ? statement : statements.once(statement, text),
      );
      const forget = () => {
        for (const [index, { statement }] of items.entries()) {
          if (named[index] !== statement) statements.forget(named[index]);
        }
      };
      for (const call of [whole, ...calls]) link.register(call);
      frames.open(OP.BATCH, whole.id, pool, 0, 0, flags, items.length, given.timeoutMs ?? 0, begin.length);
      try {
        frames.ascii(begin);
        for (const [index, { values }] of items.entries()) {
          checkStatement(index, () => frames.item(calls[index].id, named[index].id, values));
        }
      } catch (error) {
        frames.abandon();
        forget();
        for (const call of [whole, ...calls]) link.release(call);
        throw error;
      }
      frames.close();
      forget();
      link.flushSoon();
      sent.whole = whole;
      started(whole);
    });
  return { results, sent, ended: underSignal(link, pool, given.signal, send) };
}

/**
 * Runs a batch.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {unknown} statements
 * @param {unknown} options
 * @returns {Promise<any[]>} the results; outside a transaction each as Promise.allSettled returns it
 */
async function batch(runner, statements, options) {
  const { given, begin } = batchOptions(options);
  const types = given.types === undefined ? undefined : runner.types.with(given.types);
  const items = readStatements(statements);
  if (items.length === 0) return [];
  const { observer } = runner;
  if (!observer.isWatching) return run(runner, items, { given, begin, types }, () => {});
  return observer.runBatch(items, (texts, sent) => run(runner, texts, { given, begin, types }, sent));
}

/**
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Given[]} statements
 * @param {{ given: Record<string, any>, begin: string, types: import('../values/types.js').Types | undefined }} options
 * @param {(results: Promise<any>[], calls: Call[], whole: Call) => void} onSent
 * @returns {Promise<any[]>}
 */
async function run(runner, statements, { given, begin, types }, onSent) {
  const known = makeKnown(runner, statements, types);
  if ((types ?? runner.types).serializers.size > 0) await learnAllParameters(runner, known, given);
  const items = writable(runner, known);
  const { results, sent, ended } = submit(runner, items, given, begin);
  if (sent.whole !== undefined) onSent(results, sent.calls, sent.whole);
  const settled = Promise.allSettled(results);
  try {
    await ended;
  } catch (error) {
    if (sent.whole === undefined) throw located(error);
    const failed = (await settled).flatMap(({ status }, index) => (status === 'rejected' ? [index] : []));
    if (begin !== '')
      throw located(
        failed.length === 1 ? Object.assign(/** @type {object} */ (error), { statementIndex: failed[0] }) : error,
      );
  }
  if (begin !== '') return Promise.all(results);
  const ends = await settled;
  for (const end of ends) {
    if (end.status === 'fulfilled') continue;
    if (end.reason instanceof AbortError) end.reason.cause = given.signal.reason;
    located(end.reason);
  }
  return ends;
}

module.exports = { batch };
