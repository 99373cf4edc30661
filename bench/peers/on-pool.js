'use strict';

// What can be done with a pool of node-postgres, be its clients pure JavaScript or native.

const { insertFrom } = require('./bulk.js');

/**
 * @param {any} pool
 * @returns {Pick<import('../types').Db, 'statement' | 'transaction'>}
 */
function onPool(pool) {
  return {
    statement: (name, text) => async (values, transaction) =>
      (await /** @type {any} */ (transaction ?? pool).query({ name, text, values })).rows,
    async transaction(body) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        const result = await body(client);
        await client.query('COMMIT');
        return result;
      } finally {
        client.release();
      }
    },
  };
}

/** One statement with one array a column. @param {any} pool @returns {import('../types').Bulk} */
function unnest(pool) {
  return async (table, columns, rows) => {
    const arrays = columns.map((_, index) => rows.map((row) => row[index]));
    return (await pool.query(insertFrom(table, columns), arrays)).rowCount;
  };
}

module.exports = { onPool, unnest };
