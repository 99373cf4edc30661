'use strict';

// postgres.js. Its best: tagged templates, prepared, pipelined on each connection; all of it is its default.

const postgres = require('postgres');

exports.version = () => require('../package.json').devDependencies.postgres;

/** @param {import('../types').Opening} opening @returns {Promise<import('../types').Db>} */
exports.open = async ({ primary, user, password, database, connections }) => {
  const sql = postgres({ ...primary, user, password, database, max: connections, prepare: true, onnotice: () => {} });
  return {
    statement: (_name, text) => {
      const strings = text.split(/\$\d+/);
      const template = Object.assign(strings, { raw: strings });
      return (params) => sql(template, .../** @type {any[]} */ (params));
    },
    close: () => sql.end(),
  };
};
