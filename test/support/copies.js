'use strict';

// What the tests of COPY have in common: a table for each test, and its rows afterwards.

let tables = 0;

/**
 * A pool and a new table.
 * @param {{ pool: (t: import('node:test').TestContext, options?: Record<string, unknown>) => any }} db
 * @param {import('node:test').TestContext} t
 * @param {string} columns
 * @param {Record<string, unknown>} [options]
 */
async function withTable(db, t, columns, options) {
  const pool = db.pool(t, options);
  const table = `copied_${++tables}`;
  await pool.query(`CREATE TABLE ${table} (${columns})`);
  return { pool, table };
}

/** @param {any} pool @param {string} table */
const countOf = async (pool, table) => Number((await pool.query(`SELECT count(*) AS n FROM ${table}`))[0].n);

/** @param {AsyncIterable<Buffer>} stream */
async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

module.exports = { countOf, textOf, withTable };
