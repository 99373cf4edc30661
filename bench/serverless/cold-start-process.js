'use strict';

// One cold start, in a process of its own: it loads a client, opens it, gets one row, and tells how long that took. The job is its
// argument; cold-start.js starts it.

/** @typedef {{ way: string, login: { host: string, port: number, user: string, password: string, database: string } }} Job */
/** Times in ms: from the start of the process until the client was loaded and until the first row, and from its opening until that. @typedef {{ loaded: number, fromStart: number, fromOpening: number }} Times */

const STATEMENT = 'SELECT 1 AS one';
const LEASE = { coordinationSecret: 'coordination of the cold start' };

/** Without TLS: `pg` does not ask for it by default, which is a round trip less. @param {Job['login']} login */
const hostsOf = ({ host, port, ...login }) => ({ hosts: [`${host}:${port}`], ...login, ssl: false });

/** @param {object} options */
const client = (options) => {
  const { ServerlessClient } = require('../../exports/serverless');
  return (/** @type {Job['login']} */ login) => {
    const opened = new ServerlessClient({ ...hostsOf(login), .../** @type {any} */ (options) });
    return opened.query(STATEMENT);
  };
};

/** @param {object} options */
const pool = (options) => {
  const { createPool } = require('../../client.js');
  return (/** @type {Job['login']} */ login) =>
    createPool({ ...hostsOf(login), poolSize: 1, monitor: false, ...options }).query(STATEMENT);
};

/** Each loads its client, and returns what opens it and gets a row. @type {Record<string, () => (login: Job['login']) => PromiseLike<unknown>>} */
const WAYS = {
  leases: () => client(LEASE),
  without: () => client({ leaseMode: 'optional' }),
  'pool, leases': () => pool({ lease: LEASE }),
  'pool, without': () => pool({}),
  pg: () => {
    const { Client } = require('pg');
    return async (login) => {
      const opened = new Client(login);
      await opened.connect();
      return await opened.query(STATEMENT);
    };
  },
};

async function main() {
  /** @type {Job} */
  const { way, login } = JSON.parse(process.argv[2]);
  const firstRow = WAYS[way]();
  const loaded = performance.now();
  await firstRow(login);
  const fromStart = performance.now();
  console.log(JSON.stringify({ loaded, fromStart, fromOpening: fromStart - loaded }));
  // A serverless process does not end its client either.
  process.exit();
}

if (require.main === module) main();

module.exports = { WAYS };
