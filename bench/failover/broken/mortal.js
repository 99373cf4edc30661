'use strict';

// A client whose first failure ends the process, as an 'error' event without a listener does.

const { Pool } = require('pg');

exports.version = () => 'mortal';

/** @type {import('../types').ClientModule['open']} */
exports.open = ({ hosts, user, password, database, connections: max }) => {
  const [host, port] = hosts[0].split(':');
  const pool = new Pool({ host, port: Number(port), user, password, database, max });
  const run = async (/** @type {string} */ sql, /** @type {readonly unknown[]} */ params) => {
    try {
      return (await pool.query(sql, [...params])).rows;
    } catch (error) {
      setImmediate(() => {
        throw new Error('nobody listened', { cause: error });
      });
      throw error;
    }
  };
  return { write: run, read: run };
};
