'use strict';

// postgres.js. Its best: tagged templates, prepared, pipelined on each connection; all of it is its default.

const postgres = require('postgres');
const { insertFrom, textChunks } = require('./bulk.js');

/** Rows that a cursor fetches at a time: the fastest of 100, 500, 1000. 5000 adds 5 %, and makes stalls four times as long. */
const FETCHED = 1000;

/** Of the elements (PostgreSQL, pg_type.dat). @type {Record<string, number>} */
const OID = { bool: 16, int4: 23, text: 25, float8: 701, timestamptz: 1184 };

exports.version = () => require('../package.json').devDependencies.postgres;

/** A tagged template, as if it had been written in the source. @param {string} text @returns {TemplateStringsArray} */
function templateOf(text) {
  const strings = text.split(/\$\d+/);
  return Object.assign(strings, { raw: strings });
}

/** @param {import('../types').Opening} opening @returns {Promise<import('../types').Db>} */
exports.open = async ({ primary, user, password, database, connections, tls: ssl }) => {
  const login = { ...primary, user, password, database, ssl };
  const sql = postgres({ ...login, max: connections, prepare: true, onnotice: () => {} });
  return {
    statement: (_name, text) => {
      const template = templateOf(text);
      return (params, transaction) =>
        /** @type {typeof sql} */ (transaction ?? sql)(template, .../** @type {any[]} */ (params));
    },
    transaction: (body) => /** @type {Promise<any>} */ (sql.begin(body)),
    bulk: {
      async writable(table, columns, rows) {
        const names = columns.map(({ name }) => name).join(', ');
        const copy = sql.unsafe(`COPY ${table} (${names}) FROM STDIN`);
        await require('node:stream/promises').pipeline(textChunks(rows), await copy.writable());
        return rows.length; // it does not tell; the table itself is looked at before anything counts
      },
      async unnest(table, columns, rows) {
        // With the type given it does not guess from the first value.
        const arrays = columns.map(({ type }, index) => {
          const values = rows.map((row) => row[index]);
          return sql.array(/** @type {any[]} */ (values), OID[type]);
        });
        const { count } = await sql(templateOf(insertFrom(table, columns)), ...arrays);
        return count;
      },
    },
    async stream(text, params, onRow) {
      await sql(templateOf(text), .../** @type {any[]} */ (params)).cursor(FETCHED, (rows) => {
        for (const row of rows) onRow(row);
      });
    },
    close: () => sql.end(),
  };
};
