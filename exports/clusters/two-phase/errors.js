'use strict';

// The errors of transactions that span clusters, and what an error of a statement says.

const { HyperionError, QueryTimeoutError } = require('../../../client.js');

/** The server has no such prepared transaction. */
const UNDEFINED_OBJECT = '42704';
/** Somebody else is ending the prepared transaction at this moment ("is busy"), or PREPARE TRANSACTION is disabled. */
const NOT_IN_STATE = '55000';

/** @param {any} error whether the work that has failed with it may have been done */
const mayHaveRun = (error) =>
  error?.outcome === 'unknown' || error?.outcome === 'applied' || error?.code === 'ERR_OUTCOME_UNKNOWN';

/** @param {any} error whether the same question may be answered the next time */
const mayPass = (error) => error?.retryable === true || mayHaveRun(error) || error instanceof QueryTimeoutError;

/**
 * @param {string} message
 * @param {string} code
 * @param {{ cause?: unknown, outcome?: 'applied' | 'not-applied' | 'unknown', retryable?: boolean, transactionId?: string }} details
 */
function errorOf(message, code, { cause, ...details }) {
  return Object.assign(new HyperionError(message, code, cause === undefined ? undefined : { cause }), details);
}

/** @param {string} cluster the name of a unit */
function notPrepared(cluster) {
  return errorOf(
    `cluster '${cluster}' has max_prepared_transactions = 0, so it cannot take part in a transaction that spans clusters: set it ` +
      'to at least max_connections, on its standbys, too, and restart the servers',
    'ERR_NO_PREPARED_TRANSACTIONS',
    { outcome: 'not-applied' },
  );
}

/** @param {number} timeoutMs @param {string} transactionId */
function timedOut(timeoutMs, transactionId) {
  const error = new QueryTimeoutError(
    `transaction timed out after ${timeoutMs} ms and was rolled back on all clusters`,
    '57014',
  );
  return Object.assign(error, { outcome: 'not-applied', transactionId });
}

/**
 * The error of a transaction that was rolled back everywhere because one participant has failed.
 * @param {any} error of the participant
 * @param {string} cluster
 * @param {string} transactionId
 */
function rolledBack(error, cluster, transactionId) {
  if (error?.code === NOT_IN_STATE && /disabled/.test(error.message)) return notPrepared(cluster);
  // What the participant itself has become of is not known; the transaction as a whole will never be committed.
  if (mayHaveRun(error) || !(error instanceof HyperionError)) {
    return errorOf(
      `the transaction was rolled back on all clusters: '${cluster}' did not answer: ${error?.message}`,
      'ERR_TRANSACTION_ABORTED',
      { cause: error, outcome: 'not-applied', retryable: true, transactionId },
    );
  }
  return Object.assign(error, { outcome: 'not-applied', transactionId });
}

module.exports = { UNDEFINED_OBJECT, NOT_IN_STATE, errorOf, mayHaveRun, mayPass, notPrepared, rolledBack, timedOut };
