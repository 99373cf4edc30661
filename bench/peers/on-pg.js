'use strict';

// node-postgres at its best, or what has its face: a pool, and named statements, which it prepares once a connection.

const { pipeline } = require('node:stream/promises');
const { textChunks } = require('./bulk.js');
const { onPool, unnest } = require('./on-pool.js');

/** Rows that a cursor fetches at a time: the fastest of 100, 500, 1000, 5000. */
const FETCHED = 1000;

/**
 * @param {{ Pool: any, Cursor: any }} pg
 * @param {import('../types').Opening} opening
 * @returns {Promise<import('../types').Db>}
 */
async function openOn({ Pool, Cursor }, { primary, user, password, database, connections, tls }) {
  const pool = new Pool({ ...primary, user, password, database, max: connections, idleTimeoutMillis: 0, ssl: tls });
  return {
    ...onPool(pool),
    bulk: {
      async 'pg-copy-streams'(table, columns, rows) {
        const { from } = /** @type {any} */ (require('pg-copy-streams'));
        const client = await pool.connect();
        try {
          const names = columns.map(({ name }) => name).join(', ');
          const stream = client.query(from(`COPY ${table} (${names}) FROM STDIN`));
          await pipeline(textChunks(rows), stream);
          return stream.rowCount;
        } finally {
          client.release();
        }
      },
      unnest: unnest(pool),
    },
    async stream(sql, params, onRow) {
      const client = await pool.connect();
      try {
        const cursor = client.query(new Cursor(sql, params));
        for (;;) {
          const rows = await cursor.read(FETCHED);
          if (rows.length === 0) break;
          for (const row of rows) onRow(row);
        }
        await cursor.close();
      } finally {
        client.release();
      }
    },
    close: () => pool.end(),
  };
}

module.exports = { openOn };
