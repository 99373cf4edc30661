'use strict';

// The errors of the face: what the server reports has the class and properties of pg-protocol, whose values are text, and what else may
// happen to a statement has the text that programs know from pg. The error of this package is the `cause`; `outcome` and `retryable` are
// its own. None of the three is enumerable.

const client = require('../../client.js');

/** What pg copies of an ErrorResponse, in pg's order; V repeats the severity, so it is not here. */
const FIELDS = [
  'severity',
  'code',
  'detail',
  'hint',
  'position',
  'internalPosition',
  'internalQuery',
  'where',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'file',
  'line',
  'routine',
];

/** As the core says it (src/connection/tls/handshake.rs). */
const NO_TLS = 'the server does not offer TLS';

/** `DatabaseError` of pg: the server reported an error, or a notice. */
class DatabaseError extends Error {
  /**
   * @param {string} message
   * @param {number} length of the message of the protocol, in bytes
   * @param {string} name
   */
  constructor(message, length, name) {
    super(message);
    this.length = length;
    this.name = name;
  }
}

/** The length of the message that had these fields: a byte for the kind of each and one behind it. @param {(string | undefined)[]} values */
const lengthOf = (values) =>
  values.reduce((sum, value) => (value === undefined ? sum : sum + Buffer.byteLength(value) + 2), 5);

/**
 * @param {any} error a DatabaseError of this package
 */
function fromServer(error) {
  const fields = FIELDS.map((name) =>
    error[name] === undefined || error[name] === null ? undefined : `${error[name]}`,
  );
  const { message, severity } = error;
  const made = new DatabaseError(message, lengthOf([message, `${severity}`, ...fields]), 'error');
  return Object.assign(made, Object.fromEntries(FIELDS.map((name, index) => [name, fields[index]])));
}

/** @param {any} error */
function bare(error) {
  if (error instanceof client.DatabaseError) return fromServer(error);
  if (error instanceof client.ConnectionLostError) return new Error('Connection terminated unexpectedly');
  if (error instanceof client.QueryTimeoutError) return new Error('Query read timeout');
  if (error instanceof client.TlsError && /** @type {any} */ (error).reason === NO_TLS) {
    return new Error('The server does not support SSL connections');
  }
  return null;
}

/**
 * The error that pg would have given.
 * @param {any} error what a call of this package was rejected with
 * @returns {any}
 */
function toPgError(error) {
  // What a parser or the password function has thrown is passed on by pg as it is.
  if (error?.code === 'ERR_PARSER' || error?.code === 'ERR_PASSWORD') return error.cause ?? error;
  const made = bare(error);
  if (made === null) return error;
  const { outcome, retryable } = error;
  for (const [name, value] of Object.entries({ cause: error, outcome, retryable })) {
    Object.defineProperty(made, name, { value, configurable: true, writable: true });
  }
  return made;
}

module.exports = { DatabaseError, toPgError };
