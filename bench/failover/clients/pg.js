'use strict';

// node-postgres, which knows one host, behind a wrapper that knows several (pg-failover.js).

const { FailoverPool } = require('./pg-failover.js');
const { WAIT_MS } = require('./wait.js');

exports.version = () => require('../../package.json').devDependencies.pg;

/** @type {import('../types').ClientModule['open']} */
exports.open = ({ hosts, user, password, database, connections }, { queryTimeoutMs }) => {
  const pool = new FailoverPool({
    hosts,
    login: { user, password, database },
    max: connections,
    waitMs: WAIT_MS,
    queryTimeoutMs,
  });
  return {
    write: (sql, params) => pool.query(sql, params),
    read: async (sql, params) => (await pool.query(sql, params, { readOnly: true })).rows,
  };
};
