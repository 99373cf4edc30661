// Stands as a library in node_modules: it loads pg itself, as pg-promise does, and some of pg by its path.
'use strict';

const pg = require('pg');
const { prepareValue } = require('pg/lib/utils');

exports.pg = pg;

/** @param {unknown} value */
exports.prepared = (value) => prepareValue(value);

/** A database, whose servers are those of the variables PG*. */
exports.open = () => {
  const pool = new pg.Pool({ max: 2 });
  return {
    /** @param {string} text @param {unknown[]} [values] */
    one: async (text, values) => (await pool.query(text, values)).rows[0],
    /** @param {(client: any) => Promise<unknown>} work */
    async tx(work) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        const value = await work(client);
        await client.query('COMMIT');
        return value;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    },
    end: () => pool.end(),
  };
};
