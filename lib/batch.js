'use strict';

// Several statements in one flight: each for itself, or all in one transaction.
//
// A batch is one frame (src/binding/frames.rs): a mistake in one of its statements is found before any of it is sent.

const { Call, FLAG, OP } = require('./channel.js');
const { AbortError, ParameterError, located } = require('./errors.js');
const { callOptions, underSignal } = require('./session.js');
const { listOf, normalize } = require('./params.js');
const { toRows } = require('./rows.js');
const { Sql, unfold } = require('./sql.js');
const { beginSql, transactionOptions } = require('./transaction.js');

const OPTIONS = ['transaction', 'timeoutMs', 'signal', 'readOnly', 'rowMode', 'types'];
const TRANSACTION = ['isolation', 'readOnly', 'deferrable'];

/** @typedef {{ statement: import('./statements.js').Statement, params: readonly unknown[], values: readonly unknown[] }} Item */

/**
 * Runs `check`, and names the statement in its error.
 * @template T
 * @param {number} index
 * @param {() => T} check
 * @returns {T}
 */
function naming(index, check) {
  try {
    return check();
  } catch (error) {
    if (error instanceof ParameterError) error.message = `statements[${index}]: ${error.message}`;
    throw error;
  }
}

/**
 * @param {import('./session.js').Session} session
 * @param {unknown} statements
 * @param {import('./types.js').Types | undefined} types
 */
function readItems(session, statements, types) {
  if (!Array.isArray(statements)) throw new ParameterError('statements must be an array of [sql, params]');
  const different = new Set();
  const items = statements.map((entry, index) =>
    naming(index, () => {
      const [given, own, ...rest] =
        typeof entry === 'string' || entry instanceof Sql ? [entry] : Array.isArray(entry) ? entry : [undefined];
      const [sql, params] = unfold(given, own);
      if (typeof sql !== 'string' || rest.length > 0) throw new ParameterError('must be [sql, params] or a fragment');
      different.add(sql);
      return { sql, params: listOf(params) };
    }),
  );
  // The texts must all be known to the core at once.
  const most = session.statements.capacity >> 1;
  if (different.size > most) {
    throw new ParameterError(
      `statements: a batch may have ${most} different texts (twice statementCacheSize), not ${different.size}`,
    );
  }
  return items.map(({ sql, params }, index) =>
    naming(index, () => ({ statement: session.statements.get(sql, types), params })),
  );
}

/**
 * Asks the core about the parameters, for serializers.
 * @param {import('./session.js').Session} session
 * @param {{ statement: import('./statements.js').Statement, params: readonly unknown[] }[]} items
 * @param {Record<string, any>} given
 */
async function learnAll(session, items, given) {
  for (const { statement, params } of items) if (params.length > 0) await session.learn(statement, given, 0);
}

/**
 * The values that are written.
 * @param {import('./session.js').Session} session
 * @param {{ statement: import('./statements.js').Statement, params: readonly unknown[] }[]} items
 * @returns {Item[]}
 */
function writable(session, items) {
  return items.map(({ statement, params }, index) => ({
    statement,
    params,
    values: naming(index, () => normalize(session.serialize(statement, params), statement.takesStructure)),
  }));
}

/** @param {unknown} transaction */
function beginOf(transaction) {
  if (transaction === undefined || transaction === false) return '';
  try {
    return beginSql(transactionOptions(transaction === true ? {} : transaction, TRANSACTION));
  } catch (error) {
    if (error instanceof ParameterError) error.message = `transaction: ${error.message}`;
    throw error;
  }
}

/**
 * @param {unknown} options
 */
function batchOptions(options) {
  const given = callOptions(options, OPTIONS);
  const begin = beginOf(given.transaction);
  if (begin !== '' && given.readOnly !== undefined) {
    throw new ParameterError(
      'readOnly: in a transaction it is one of its options, { transaction: { readOnly: true } }',
    );
  }
  return { given, begin };
}

/**
 * Writes the frame. Returns a promise for each statement, and one for the end of all; that one fails at once when nothing
 * was sent.
 * @param {import('./session.js').Session} session
 * @param {Item[]} items
 * @param {Record<string, any>} given
 * @param {string} begin
 */
function submit(session, items, given, begin) {
  const { channel, pool } = session;
  const { ring } = channel;
  /** @type {Call[]} */
  const calls = [];
  const results = items.map(
    ({ statement }) =>
      new Promise((resolve, reject) => {
        const call = new Call(
          (call) => resolve(toRows(call, statement)),
          (error) => {
            if (error instanceof ParameterError) statement.unlearn();
            reject(error);
          },
        );
        call.asArrays = given.rowMode === 'array';
        calls.push(call);
      }),
  );
  const sent = { calls, isSent: false };
  /** @param {(call: Call) => void} started */
  const send = (started) =>
    new Promise((resolve, reject) => {
      const whole = new Call(resolve, reject);
      const flags = (given.readOnly ? FLAG.READ_ONLY : 0) | (given.signal === undefined ? 0 : FLAG.HAS_SIGNAL);
      for (const call of [whole, ...calls]) channel.register(call);
      ring.open(OP.BATCH, whole.id, pool, 0, 0, flags, items.length, given.timeoutMs ?? 0, begin.length);
      try {
        ring.ascii(begin);
        for (const [index, { statement, values }] of items.entries()) {
          naming(index, () => ring.item(calls[index].id, statement.id, values));
        }
      } catch (error) {
        ring.abandon();
        for (const call of [whole, ...calls]) channel.release(call);
        throw error;
      }
      ring.close();
      channel.flushSoon();
      sent.isSent = true;
      started(whole);
    });
  return { results, sent, ended: underSignal(channel, pool, given.signal, send) };
}

/**
 * Tells the logger of each statement as it ends.
 * @param {import('./session.js').Session} session
 * @param {Item[]} items
 * @param {Promise<any>[]} results
 * @param {Call[]} calls
 */
function log(session, items, results, calls) {
  const started = performance.now();
  for (const [index, result] of results.entries()) {
    const { statement, params } = items[index];
    const given = session.parameters(params);
    const tell = (/** @type {object} */ end) =>
      session.tell(statement.sql, performance.now() - started, calls[index].node, { ...given, ...end });
    result.then(
      ({ rowCount }) => tell({ rowCount }),
      (error) => tell({ error }),
    );
  }
}

/**
 * @param {import('./session.js').Session} session
 * @param {unknown} statements
 * @param {unknown} options
 * @returns {Promise<any[]>} of results; outside a transaction each as Promise.allSettled has it
 */
async function batch(session, statements, options) {
  const { given, begin } = batchOptions(options);
  const types = given.types === undefined ? undefined : session.types.with(given.types);
  const known = readItems(session, statements, types);
  if (known.length === 0) return [];
  if ((types ?? session.types).serializers.size > 0) await learnAll(session, known, given);
  const items = writable(session, known);
  const { results, sent, ended } = submit(session, items, given, begin);
  if (session.logger !== undefined && sent.isSent) log(session, items, results, sent.calls);
  const settled = Promise.allSettled(results);
  try {
    await ended;
  } catch (error) {
    if (!sent.isSent) throw located(error);
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
