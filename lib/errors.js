'use strict';

// The error classes of the public API, and how they are made of the reports of the core (src/error.rs).

/** Base of all errors of this package. */
class HyperionError extends Error {
  /**
   * @param {string} message
   * @param {string} code
   * @param {{ cause?: unknown }} [options]
   */
  constructor(message, code, options) {
    super(message, options);
    /** @type {string} */
    this.code = code;
    /** Whether the same work may run again without being applied twice, and may succeed then: the core says so. */
    this.retryable = false;
  }

  get name() {
    return this.constructor.name;
  }
}

/** The server reported an error; `code` is the SQLSTATE. */
class DatabaseError extends HyperionError {}
/** No node that suits the pool could be used in time; `nodes` has each host's reason. */
class NoPrimaryError extends HyperionError {}
/** No standby was fit for a read that must not go to the primary; `nodes` has each host's reason. */
class NoStandbyError extends HyperionError {}
/** All connections were busy for acquireTimeoutMs. */
class AcquireTimeoutError extends HyperionError {}
/** The connection was lost under a statement. */
class ConnectionLostError extends HyperionError {}
/** timeoutMs passed; the statement was cancelled on the server. */
class QueryTimeoutError extends HyperionError {}
/** The signal fired; `cause` is its reason. */
class AbortError extends HyperionError {}

/** The TLS or the certificate of a node is not trusted; `host`, `port`, `reason`, and `subject` of the certificate shown. */
class TlsError extends HyperionError {}

/** The pool has ended. */
class PoolClosedError extends HyperionError {
  constructor(message = 'the pool is closed') {
    super(message, 'ERR_POOL_CLOSED');
  }
}

/** An option is unknown, of the wrong type or impossible; the message names it. */
class OptionError extends HyperionError {
  /** @param {string} message */
  constructor(message) {
    super(message, 'ERR_INVALID_OPTION');
  }
}

/** A parameter is wrong; nothing was sent. */
class ParameterError extends HyperionError {
  /**
   * @param {string} message
   * @param {{ cause?: unknown }} [options]
   */
  constructor(message, options) {
    super(message, 'ERR_INVALID_PARAM', options);
  }
}

/** A statement returned no row where one was expected. It has run. */
class NoRowsError extends HyperionError {
  /** @param {string} message */
  constructor(message) {
    super(message, 'ERR_NO_ROWS');
    this.outcome = 'applied';
  }
}

/** A statement returned more rows, or columns, than were expected. It has run. */
class TooManyRowsError extends HyperionError {
  /**
   * @param {string} message
   * @param {string} [code]
   */
  constructor(message, code = 'ERR_TOO_MANY_ROWS') {
    super(message, code);
    this.outcome = 'applied';
  }
}

/** @type {Record<string, new (message: string, code: string) => HyperionError>} */
const CLASSES = {
  HyperionError,
  DatabaseError,
  NoPrimaryError,
  NoStandbyError,
  AcquireTimeoutError,
  ConnectionLostError,
  QueryTimeoutError,
  AbortError,
  TlsError,
};

/** Errors of `password` functions, which the core knows by a number. The oldest are forgotten. */
const causes = new Map();
const MOST_CAUSES = 1_000;

/**
 * @param {number} request
 * @param {unknown} error
 */
function rememberCause(request, error) {
  causes.set(request, error);
  if (causes.size > MOST_CAUSES) causes.delete(causes.keys().next().value);
}

/**
 * Makes an error of the core's JSON: `class`, `code`, `message`, and fields that become properties of the error.
 * @param {string} json
 * @returns {HyperionError}
 */
function fromCore(json) {
  const { class: name, code, message, request, ...fields } = JSON.parse(json);
  let error;
  if (name === 'ParameterError') error = new ParameterError(message);
  else if (name === 'PoolClosedError') error = new PoolClosedError(message);
  else error = new CLASSES[name](message, code);
  if (causes.has(request)) {
    Object.defineProperty(error, 'cause', { value: causes.get(request), configurable: true, writable: true });
  }
  return Object.assign(error, fields);
}

/**
 * An AbortError for work that `signal` ended.
 * @param {AbortSignal} signal
 * @param {string} [outcome]
 */
function aborted(signal, outcome = 'not-applied') {
  const error = new AbortError('the operation was aborted', 'ABORT_ERR', { cause: signal.reason });
  return Object.assign(error, { outcome });
}

/** A call on a transaction that has ended. @param {string} message */
const transactionEnded = (message) => new HyperionError(message, 'ERR_TRANSACTION_ENDED');

/** A call that an open transaction does not allow. @param {string} message */
const transactionOpen = (message) => new HyperionError(message, 'ERR_TRANSACTION_OPEN');

/**
 * Gives an error of the core the stack of its caller. Must be called in the `catch` of an async function that awaited the core:
 * there V8 knows the chain of awaits up to the user's line. Costs nothing without an error.
 * @template T
 * @param {T} error
 * @returns {T}
 */
function located(error) {
  if (error instanceof HyperionError) Error.captureStackTrace(error, located);
  return error;
}

module.exports = {
  HyperionError,
  DatabaseError,
  NoPrimaryError,
  NoStandbyError,
  AcquireTimeoutError,
  ConnectionLostError,
  QueryTimeoutError,
  AbortError,
  TlsError,
  PoolClosedError,
  OptionError,
  ParameterError,
  NoRowsError,
  TooManyRowsError,
  fromCore,
  rememberCause,
  aborted,
  transactionEnded,
  transactionOpen,
  located,
};
