'use strict';

// node-postgres, pure JavaScript. Its best: a pool, and named statements, which it prepares once a connection.

const { Pool } = require('pg');

exports.version = () => require('../package.json').devDependencies.pg;

/** @param {import('../types').Opening} opening @returns {Promise<import('../types').Db>} */
exports.open = async ({ primary, user, password, database, connections }) => {
  const pool = new Pool({ ...primary, user, password, database, max: connections, idleTimeoutMillis: 0 });
  return {
    statement: (name, text) => async (values) => (await pool.query({ name, text, values })).rows,
    close: () => pool.end(),
  };
};
