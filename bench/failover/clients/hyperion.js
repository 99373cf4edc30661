'use strict';

// This repository's client, with its defaults. A caller waits for a primary as long as with the others.

const { createPool } = require('../../../client.js');
const { WAIT_MS } = require('./wait.js');

exports.version = () => require('../../../package.json').version;

/** @type {import('../types').ClientModule['open']} */
exports.open = ({ hosts, user, password, database, connections }) => {
  const pool = createPool({ hosts, user, password, database, poolSize: connections, acquireTimeoutMs: WAIT_MS });
  return {
    write: (sql, params) => pool.query(sql, params),
    read: (sql, params) => pool.query(sql, params, { readOnly: true }),
  };
};
