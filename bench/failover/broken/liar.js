'use strict';

// A client with every mistake that the figures must show. It knows only the first host and reports no error.

const { Pool } = require('pg');
const { setTimeout: sleep } = require('node:timers/promises');

exports.version = () => 'liar';

/** @type {import('../types').ClientModule['open']} */
exports.open = ({ hosts, user, password, database, connections: max }) => {
  const [host, port] = hosts[0].split(':');
  const pool = new Pool({ host, port: Number(port), user, password, database, max });
  pool.on('error', () => {});
  pool.on('connect', (/** @type {any} */ client) => client.on('error', () => {}));
  let writes = 0;
  return {
    async write(sql, params) {
      const turn = writes++ % 20;
      if (turn === 0) return undefined; // lost
      if (turn === 1) await sleep(0x7fff_ffff); // hung
      if (turn === 2) await pool.query(sql, [...params]); // doubled
      await pool.query(sql, [...params]);
      if (turn === 3) throw Object.assign(new Error('not at all'), { outcome: 'not-applied' }); // denied
      return undefined;
    },
    read: async (sql, params) => (await pool.query(sql, [...params])).rows,
  };
};
