'use strict';

// What the tests of pools have in common: nodes by letter, their ports and URIs, and sessions on them.

const net = require('node:net');

/** @typedef {{ cluster: import('./cluster').Cluster, sql: (text: string, params?: unknown[]) => Promise<any[]> }} Database */

/** The port of the node that answers. @param {any} pool */
const portOf = async (pool) => (await pool.query('SELECT inet_server_port() AS port'))[0].port;

/** Sessions of a name on the primary. @param {Database} db @param {string} applicationName */
const sessions = (db, applicationName) =>
  db.sql('SELECT pid, query, state FROM pg_stat_activity WHERE application_name = $1', [applicationName]);

/** The cluster's nodes by letter: P primary, S and T its standbys. @param {Database} db */
function letters(db) {
  const [primary, second, third] = db.cluster.nodes;
  return { P: primary, S: second, T: third };
}

/** @param {Database} db @param {string} text e.g. 'SP' */
const hostsOf = (db, text) => [...text].map((letter) => letters(db)[/** @type {'P' | 'S' | 'T'} */ (letter)].address);

/** A port at which nobody listens. */
async function refusingPort() {
  const server = net.createServer();
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

/**
 * @param {{ host: string, port: number }} node
 * @param {{ user: string, password: string }} login
 */
const uriOf = ({ host, port }, { user, password }, rest = '') =>
  `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}${rest}`;

module.exports = { hostsOf, letters, portOf, refusingPort, sessions, uriOf };
