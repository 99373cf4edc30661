'use strict';

// The sessions of the core that clients of the face hold, and the errors of opening one.

const { AsyncResource } = require('node:async_hooks');
const client = /** @type {any} */ (require('../../client.js'));
const ConnectionParameters = require('./connection-parameters.js');
const { DatabaseError, toPgError } = require('./database-error.js');

/** @typedef {{ name: string, tableOid: number, columnNumber: number, typeOid: number, typeSize: number, typeModifier: number }} RawField */
/** @typedef {{ rows: any[], fields: RawField[], tag: string }} RawResult */

const { isTraced } = client[Symbol.for('hyperiondb-client.options')];

/** Of a pool: opens a session that is its holder's until it is closed. */
const SESSION = Symbol.for('hyperiondb-client.session');

/** What the operating system says, in the reasons of ERR_NO_PRIMARY, and Node's code for it. */
const NETWORK = [
  { reason: /connection refused/i, code: 'ECONNREFUSED', syscall: 'connect' },
  {
    reason: /lookup address|name or service not known|nodename nor servname/i,
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
  },
  { reason: /no route to host/i, code: 'EHOSTUNREACH', syscall: 'connect' },
  { reason: /no such file or directory/i, code: 'ENOENT', syscall: 'connect' },
];
const SILENT = /no answer within/i;
/** Of the core, before it sends anything. */
const NO_PASSWORD = /none was given/;
const NO_TLS = /does not offer TLS/;
const CLOSED = /connection reset|connection closed|end of file/i;

/**
 * A pool of the core, of whose sessions each client holds one.
 * @param {any} holder a Pool, or a Client that has none: it emits what the core tells of slow statements
 * @param {any} config
 * @param {object} [more]
 */
function openPool(holder, config, more) {
  const pool = client.createPool({ ...ConnectionParameters.poolOptions(config), ...more });
  pool.on('slow', (/** @type {object} */ event) => holder.emit('slow', event));
  return pool;
}

/**
 * What is called later, in the context of now (AsyncLocalStorage): for those who listen to the channel hyperiondb:query, to whom a
 * statement is told in the context of its caller. While nobody listens it is not bound, which costs nothing.
 * @template {(...args: any[]) => any} T
 * @param {T} call
 * @returns {T}
 */
const inContext = (call) => (isTraced() ? AsyncResource.bind(call) : call);

/** Whether a session of the pool may be on a node that has lost its role, while another node has it. @param {any} pool @param {any} config */
const mayBeMisplaced = (pool, config) =>
  pool.nodes().length > 1 || ConnectionParameters.poolOptions(config).mode !== 'any';

/**
 * @param {any} pool
 * @param {object} handlers
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
function openSession(pool, handlers, signal) {
  return pool[SESSION](handlers, { signal });
}

/**
 * Runs a query on a session. What cannot be sent is rejected, too: whoever waits for the answer must have one.
 * @param {any} session
 * @param {object} flight
 * @param {object} options
 * @returns {Promise<RawResult[]>}
 */
function ask(session, flight, options) {
  try {
    return session.query(flight, options);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @param {{ code: string, syscall: string }} kind @param {any} error with the reason of each host */
function networkError({ code, syscall }, error) {
  const [first] = error.nodes;
  const where = first.port === undefined ? first.host : `${first.host}:${first.port}`;
  const made = new Error(`${syscall} ${code} ${syscall === 'connect' ? where : first.host}`, { cause: error });
  const place = syscall === 'connect' ? { address: first.host, port: first.port } : { hostname: first.host };
  return Object.assign(made, { code, syscall, ...place, nodes: error.nodes });
}

/** @param {string} message @param {any} cause */
const withNodes = (message, cause) => Object.assign(new Error(message, { cause }), { nodes: cause.nodes });

/** @param {any} error with the reason of each host */
function noNode(error) {
  /** @param {RegExp} reason */
  const isEverywhere = (reason) => error.nodes.every((/** @type {any} */ node) => reason.test(node.reason));
  const kind = NETWORK.find(({ reason }) => isEverywhere(reason));
  if (kind !== undefined) return networkError(kind, error);
  if (isEverywhere(SILENT)) return withNodes('timeout expired', error);
  return isEverywhere(CLOSED) ? withNodes('Connection terminated unexpectedly', error) : error;
}

/**
 * The error of opening a session, as programs that were written for pg know it.
 * @param {any} error
 */
function openingError(error) {
  if (error?.code === 'ERR_NO_PRIMARY' && error.nodes?.length > 0) return noNode(error);
  if (error?.code === 'ERR_ACQUIRE_TIMEOUT')
    return new Error('timeout exceeded when trying to connect', { cause: error });
  if (error?.code === '28P01' && NO_PASSWORD.test(error.message)) {
    return new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', { cause: error });
  }
  if (error?.code === 'ERR_TLS' && NO_TLS.test(error.message)) {
    return new Error('The server does not support SSL connections', { cause: error });
  }
  return toPgError(error);
}

/**
 * What the server said when it ended a session that was idle; null: it said nothing.
 * @param {any} loss
 */
function lastWords({ sqlstate, reason }) {
  if (!sqlstate) return null;
  const message = reason.replace(` (${sqlstate})`, '');
  return Object.assign(new DatabaseError(message, Buffer.byteLength(message), 'error'), {
    severity: 'FATAL',
    code: sqlstate,
  });
}

module.exports = { ask, inContext, lastWords, mayBeMisplaced, openPool, openSession, openingError };
