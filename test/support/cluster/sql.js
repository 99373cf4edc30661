'use strict';

// The harness's own connections: node-postgres, one for each call, never shared with the code under test. Only the client has
// time limits. A statement_timeout of the server would cancel a COMMIT that waits for its standby, and PostgreSQL then reports
// success ("committed locally, but might not have been replicated"), which would mislead the harness.

const { Client } = require('pg');

/**
 * @typedef {object} Login
 * @property {string} host
 * @property {number} port
 * @property {string} user
 * @property {string} password
 * @property {string} database
 */

/** @typedef {Record<string, any>} Row */

const TIMEOUT_MS = 30_000;

/**
 * @template T
 * @param {Login} login
 * @param {(query: (text: string, params?: unknown[]) => Promise<Row[]>) => Promise<T>} work
 * @param {number} [timeoutMs] for the connect and for each statement
 * @returns {Promise<T>}
 */
async function withConnection(login, work, timeoutMs = TIMEOUT_MS) {
  const client = new Client({
    ...login,
    ssl: false,
    application_name: 'hyperion-harness',
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => {}); // the statement that is running gets the same error
  await client.connect();
  try {
    return await work(async (text, params) => {
      const result = await client.query(text, params);
      return (Array.isArray(result) ? result[result.length - 1] : result).rows;
    });
  } finally {
    // A server that is frozen or being killed does not answer the end of a connection: the harness does not wait for it.
    client.end().catch(() => {});
  }
}

exports.withConnection = withConnection;
