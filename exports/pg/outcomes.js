'use strict';

// What became of a statement of a transaction. The core judges each flight of a session by itself, and says 'unknown' of one whose session
// was lost. The client knows that the flight belonged to a transaction whose COMMIT was not sent: it was undone with that.

/** With these words a text may end its transaction, and begin another. The END of a CASE is taken for one, too. */
const MAY_END = /\b(?:commit|end|rollback|abort|prepare\s+transaction)\b/i;
const BEGIN = /^\s*(?:begin|start\s+transaction)\b[^;]*;?\s*$/i;
/** read_only_sql_transaction. */
const READ_ONLY = '25006';

/** Codes of statements that have failed because their session was lost. */
const LOSSES = ['ERR_CONNECTION_LOST', 'ERR_OUTCOME_UNKNOWN'];

/** Whether a statement has failed because its session was lost. @param {any} error of the core */
const losesSession = (error) => LOSSES.includes(error?.code);

/** Whether there is no session any more behind an error: it was lost, or the server has ended it. @param {any} error of the core */
const endsSession = (error) => losesSession(error) || error?.severity === 'FATAL';

/** @param {string | null} status of the session's transaction before the statement @param {unknown} text */
function lastsOnlyWithCommit(status, text) {
  if (typeof text !== 'string') return false;
  return status === 'T' || status === 'E' ? !MAY_END.test(text) : BEGIN.test(text);
}

/**
 * Whether a transaction has been read-only from its begin, and not by its own wish: its node has lost its role. The server tells a session
 * of that. (It tells a program's own SET default_transaction_read_only alike.)
 * @param {Record<string, string>} parameters
 */
const isFenced = ({ default_transaction_read_only: readOnly, in_hot_standby: standby }) =>
  readOnly === 'on' || standby === 'on';

/**
 * Says of the error of a statement that its transaction may run again, where the core could not know it: the session was lost before
 * COMMIT, or its node had lost its role when the transaction began.
 * @param {any} error as toPgError() made it
 * @param {string | null} status of the session's transaction before the statement
 * @param {unknown} text
 * @param {Record<string, string>} parameters what the server has told of the session
 */
function explained(error, status, text, parameters) {
  const isUndone = error.outcome === 'unknown' && endsSession(error.cause) && lastsOnlyWithCommit(status, text);
  if (isUndone || (status === 'T' && error.code === READ_ONLY && isFenced(parameters))) {
    error.outcome = 'not-applied';
    error.retryable = true;
  }
  return error;
}

module.exports = { endsSession, explained, losesSession };
