'use strict';

// This repository's client.

const { createPool } = require('../../client.js');

exports.version = () => require('../../package.json').version;

/** The native library in use: a debug build would be slower. */
exports.library = () => Object.keys(require.cache).find((file) => file.endsWith('.node'));

/** @param {import('../types').Opening} opening @returns {Promise<import('../types').Db>} */
exports.open = async ({ hosts, user, password, database, connections, tls }) => {
  const pool = createPool({ hosts, user, password, database, poolSize: connections, ssl: tls });
  return {
    statement: (_name, sql) => (params, transaction, how) =>
      /** @type {any} */ (transaction ?? pool).query(sql, params, how),
    transaction: (body) => pool.transaction(body),
    bulk: {
      async copyFrom(table, columns, rows) {
        const names = columns.map(({ name }) => name).join(', ');
        return (await /** @type {any} */ (pool).copyFrom(`${table} (${names})`, rows)).rowCount;
      },
    },
    async stream(sql, params, onRow) {
      for await (const row of pool.stream(sql, params)) onRow(row);
    },
    close: () => pool.end(),
  };
};
