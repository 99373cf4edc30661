'use strict';

// node-postgres on libpq, by its optional native binding.

const { native } = require('pg');
const { onPool, unnest } = require('./on-pool.js');

exports.version = () => require('../package.json').optionalDependencies['pg-native'];

/** @param {import('../types').Opening} opening @returns {Promise<import('../types').Db>} */
exports.open = async ({ primary, user, password, database, connections }) => {
  if (native === null) throw new Error('libpq is not built');
  const pool = new native.Pool({ ...primary, user, password, database, max: connections, idleTimeoutMillis: 0 });
  return {
    ...onPool(pool),
    bulk: { unnest: unnest(pool) },
    close: () => pool.end(),
  };
};
