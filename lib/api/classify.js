'use strict';

// What an error means, whoever made it: this package, node-postgres, or Node's sockets. The functions take any value and throw for
// none, because they are called where something has gone wrong already.
//
// An error of this package knows by itself whether it is `retryable`: the core has seen how far the statement had come. The tables
// here say it of other errors, and only where the code alone proves that nothing was applied. docs/errors.md has the tables for
// users. An error that nothing is known of is judged by its `cause`; of an AggregateError holds what holds of each of its errors.

const { HyperionError, ParameterError } = require('../errors.js');
const { kindOf } = require('../options/validate.js');
const { conditionName, isSqlState } = require('../values/sqlstates.js');

/**
 * @typedef {object} Verdict
 * @property {boolean} retryable certainly not applied, and may succeed if it is run again; then it is transient, too
 * @property {boolean} transient may pass by itself
 * @property {boolean} connection the connection or the way to the server has failed, not the statement
 */

/** @typedef {Verdict & { state?: string, constraint?: unknown }} Finding */

/** @type {Verdict} */
const NOTHING = { retryable: false, transient: false, connection: false };
/** The server has undone the work, or the work never left. */
const UNDONE = { retryable: true, transient: true, connection: false };
/** The cause may pass; running it again is not known to be safe, or meets the same limit. */
const PASSING = { retryable: false, transient: true, connection: false };
/** No session was had for the work, so nothing was sent. */
const UNREACHED = { retryable: true, transient: true, connection: true };
/** The session ended, and what was sent on it may have been applied. */
const LOST = { retryable: false, transient: true, connection: true };
/** There is no way to the server until a person repairs it. */
const BARRED = { retryable: false, transient: false, connection: true };

/** @param {Record<string, Verdict>} rows */
const table = (rows) => new Map(Object.entries(rows));

/** By SQLSTATE, or by class where the code has no row. @type {Map<string, Verdict>} */
const STATES = new Map([
  ['08', LOST],
  // A client, or postgres_fdw, could not connect; a server refused the session.
  ['08001', UNREACHED],
  ['08004', UNREACHED],
  // Mostly a wrong number of parameters: see ofState.
  ['08P01', NOTHING],
  // The server has ended the session of a transaction that took too long. It is undone, but the next may take as long.
  ['25P03', PASSING],
  ['25P04', PASSING],
  ['40000', PASSING],
  ['40001', UNDONE],
  // statement_completion_unknown.
  ['40003', PASSING],
  ['40P01', UNDONE],
  // Memory, disk, slots: what others use they give back.
  ['53', PASSING],
  ['53300', UNREACHED],
  ['55006', PASSING],
  ['55P03', UNDONE],
  // statement_timeout, or a cancel by others. The statement is undone, but somebody did not want it to go on.
  ['57014', PASSING],
  // A backend that is told to die while it waits for a standby has already committed (src/query/retry_policy.rs).
  ['57P01', LOST],
  ['57P02', LOST],
  ['57P03', UNREACHED],
  ['57P04', BARRED],
  // idle_session_timeout is found out before a message is processed, never under a statement (PostgreSQL's PostgresMain, 4 and 5).
  ['57P05', UNREACHED],
  ['58030', PASSING],
  ['72000', PASSING],
]);

/** By the codes of this package. `retryable` is not looked at here: the error has it. */
const OWN = table({
  ABORT_ERR: NOTHING,
  ERR_ACQUIRE_TIMEOUT: UNDONE,
  ERR_AUTH: BARRED,
  ERR_CONNECTION_LOST: LOST,
  ERR_HEARTBEAT: UNREACHED,
  ERR_LEASE_POOLER: BARRED,
  ERR_NO_PRIMARY: UNREACHED,
  ERR_NO_STANDBY: UNREACHED,
  ERR_OUTCOME_UNKNOWN: LOST,
  ERR_PROTOCOL: BARRED,
  ERR_TLS: BARRED,
});

/** Codes of Node with which nothing can have been sent. */
const NEVER_SENT = new Set(['EAI_AGAIN', 'ECONNREFUSED', 'ENOTFOUND']);
/** Codes of Node that come while connecting, and under a statement. */
const ON_THE_WAY = new Set([
  ...['ECONNABORTED', 'ECONNRESET', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETRESET', 'ENETUNREACH', 'ENOTCONN'],
  ...['EPIPE', 'ETIMEDOUT'],
]);
/** Codes that are about a connection only while connecting: no socket file, no port, no descriptor, a full backlog. */
const PASSES_AT_CONNECT = new Set(['EADDRNOTAVAIL', 'EAGAIN', 'EMFILE', 'ENFILE', 'ENOENT']);
/** A certificate that is not trusted (Node docs, "X509 certificate error codes"), or a TLS handshake that failed. */
const TLS_CODE =
  /^(EPROTO$|ERR_(SSL|TLS)_|CERT_|CRL_|UNABLE_TO_(DECODE|DECRYPT|GET|VERIFY)_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|(INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$)/;

/** Errors of node-postgres that have no code (pg/lib/client.js, pg/lib/connection.js, pg-pool/index.js). */
const MESSAGES = table({
  'Connection terminated unexpectedly': LOST,
  // Its own end() was called.
  'Connection terminated': BARRED,
  'Connection terminated due to connection timeout': UNREACHED,
  // All clients of the pool were busy, or still connecting.
  'timeout exceeded when trying to connect': UNDONE,
  // Of pg's Client while it connects; but these two words may be of any other library, after anything.
  'timeout expired': LOST,
  // query_timeout: pg stops waiting, and the server goes on.
  'Query read timeout': PASSING,
  // This statement was never sent. But it is often the ROLLBACK behind a COMMIT whose answer was lost, and hides that.
  'Client has encountered a connection error and is not queryable': LOST,
  'The server does not support SSL connections': BARRED,
  'There was an error establishing an SSL connection': BARRED,
});

/**
 * The SQLSTATEs of each kind of constraint. PostgreSQL 18 reports a foreign key with RESTRICT as 23001, older versions as 23503.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const KINDS = {
  unique: ['23505'],
  foreign_key: ['23503', '23001'],
  not_null: ['23502'],
  check: ['23514'],
  exclusion: ['23P01'],
};

/** Nobody collects more errors in one; an endless chain of causes is cut off here. */
const MOST_ERRORS = 1_000;

/** @param {string} code @param {unknown} severity @returns {Verdict} */
function ofState(code, severity) {
  // As an error of a statement 08P01 is a wrong number of parameters, a mistake. What ends the session is mostly of PgBouncer, which
  // uses it for "the server is away" and "no server in time", too.
  if (code === '08P01' && (severity === 'FATAL' || severity === 'PANIC')) return LOST;
  return STATES.get(code) ?? STATES.get(code.slice(0, 2)) ?? NOTHING;
}

/** @param {string} code of Node @param {unknown} syscall @returns {Verdict | undefined} */
function ofNetwork(code, syscall) {
  const isConnecting = syscall === 'connect' || syscall === 'getaddrinfo';
  if (NEVER_SENT.has(code)) return UNREACHED;
  if (ON_THE_WAY.has(code)) return isConnecting ? UNREACHED : LOST;
  if (isConnecting) return PASSES_AT_CONNECT.has(code) ? UNREACHED : BARRED;
  return TLS_CODE.test(code) ? BARRED : undefined;
}

/** @param {any} error of this package @returns {Finding} */
function ofOurs({ code, severity, retryable, constraint }) {
  const state = isSqlState(code) ? code : undefined;
  const verdict = OWN.get(code) ?? (state === undefined ? NOTHING : ofState(state, severity));
  const isRetryable = retryable === true;
  return { ...verdict, retryable: isRetryable, transient: isRetryable || verdict.transient, state, constraint };
}

/** @param {any} error @returns {Finding | undefined} nothing: its cause may say more */
function ofForeign({ name, code, message, severity, syscall, constraint, retryable }) {
  // Its cause is the reason of a signal, which may be the error of other work.
  if (name === 'AbortError') return NOTHING;
  if (code === undefined) return MESSAGES.get(message);
  if (typeof code !== 'string') return undefined;
  const own = OWN.get(code);
  // Of another copy of this package.
  if (own !== undefined) return { ...own, retryable: own.transient && retryable === true };
  if (isSqlState(code)) return { ...ofState(code, severity), state: code, constraint };
  return ofNetwork(code, syscall);
}

/** Whether an error says of itself that its work must not run again. Wrappers copy these members of our errors. @param {any} error */
const refuses = ({ retryable, outcome }) => retryable === false || outcome === 'unknown' || outcome === 'applied';

/** @param {any} error @returns {error is { errors: unknown[] }} */
const isAggregate = (error) =>
  error.name === 'AggregateError' && Array.isArray(error.errors) && error.errors.length > 0;

/**
 * What is known of one error; or the errors that say more than it does.
 * @param {any} error
 * @returns {{ finding: Finding } | { errors: unknown[] }}
 */
function lookAt(error) {
  if (typeof error !== 'object' || error === null) return { finding: NOTHING };
  if (error instanceof HyperionError) return { finding: ofOurs(error) };
  if (isAggregate(error)) return { errors: error.errors };
  const finding = ofForeign(error);
  if (finding !== undefined) return { finding };
  return error.cause === undefined ? { finding: NOTHING } : { errors: [error.cause] };
}

/**
 * What is known of each error in an error.
 * @param {unknown} given
 * @returns {Finding[]}
 */
function searched(given) {
  /** @type {Finding[]} */
  const findings = [];
  const seen = new Set();
  const open = [given];
  let isRefused = false;
  while (open.length > 0) {
    const error = open.pop();
    if (seen.has(error)) continue;
    if (seen.size === MOST_ERRORS) return [];
    seen.add(error);
    const found = lookAt(error);
    if ('finding' in found) findings.push(found.finding);
    else open.push(...found.errors);
    isRefused ||= !(error instanceof HyperionError) && refuses(Object(error));
  }
  return isRefused ? findings.map((finding) => ({ ...finding, retryable: false })) : findings;
}

/** @param {unknown} error @returns {Finding[]} none: nothing is known of it */
function findingsOf(error) {
  try {
    return searched(error);
  } catch {
    // A getter or a proxy has thrown.
    return [];
  }
}

/** @param {unknown} error @param {(finding: Finding) => boolean} test */
function holds(error, test) {
  const findings = findingsOf(error);
  return findings.length > 0 && findings.every(test);
}

/** @param {unknown} error */
const isRetryable = (error) => holds(error, ({ retryable }) => retryable);

/** @param {unknown} error */
const isTransient = (error) => holds(error, ({ transient }) => transient);

/** @param {unknown} error */
const isConnectionError = (error) => holds(error, ({ connection }) => connection);

/**
 * Extensions use 23001 for other things (MobilityDB for values of its types), without a constraint.
 * @param {Finding} finding
 * @param {readonly string[]} states
 */
const isOfKind = ({ state = '', constraint }, states) =>
  states.includes(state) && (state !== '23001' || constraint !== undefined);

/**
 * @param {unknown} error
 * @param {unknown} [kind] none: any of them
 */
function isConstraintViolation(error, kind) {
  if (kind === undefined) return holds(error, ({ state = '' }) => state.startsWith('23'));
  if (typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) {
    const kinds = Object.keys(KINDS).map((one) => `'${one}'`);
    const given = typeof kind === 'string' ? `'${kind}'` : kindOf(kind);
    throw new ParameterError(`kind must be one of ${kinds.join(', ')}, not ${given}`);
  }
  return holds(error, (finding) => isOfKind(finding, KINDS[kind]));
}

/**
 * The name of the condition in Appendix A of PostgreSQL's documentation.
 * @param {unknown} error
 * @returns {string | undefined}
 */
function sqlState(error) {
  const [state, ...others] = new Set(findingsOf(error).map((finding) => finding.state));
  return state !== undefined && others.length === 0 ? conditionName(state) : undefined;
}

module.exports = { isConnectionError, isConstraintViolation, isRetryable, isTransient, sqlState };
