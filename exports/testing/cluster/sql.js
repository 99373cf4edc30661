'use strict';

// Statements of the harness: a connection for each call, never shared with the code under test.

const { Connection } = require('./connection.js');

/** @typedef {import('./connection.js').Login} Login */
/** @typedef {import('./connection.js').Row} Row */

/**
 * A server as its statements see it.
 *
 * @typedef {object} SqlNode
 * @property {string} name
 * @property {Login} login of a superuser
 * @property {(text: string, params?: unknown[]) => Promise<Row[]>} sql
 */

const TIMEOUT_MS = 30_000;

/**
 * @template T
 * @param {Login} login
 * @param {(query: (text: string, params?: unknown[]) => Promise<Row[]>) => Promise<T>} work
 * @param {number} [timeoutMs] for the connect and for each statement; a statement is not cancelled
 * @returns {Promise<T>}
 */
async function withConnection(login, work, timeoutMs = TIMEOUT_MS) {
  const connection = await Connection.open(login, 'hyperion-harness', timeoutMs);
  try {
    return await work((text, params) => connection.query(text, params));
  } finally {
    // A server that is frozen or being killed does not answer the end of a connection: the harness does not wait for it.
    connection.unref();
    connection.end();
  }
}

exports.withConnection = withConnection;
exports.TIMEOUT_MS = TIMEOUT_MS;
