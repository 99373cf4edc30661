'use strict';

// The ways to run a point select that throughput.js compares: this client on the primary alone and on two standbys, and what people
// do today. Each has 10 connections to each node that it uses. One has half of that, as many in all as the primary alone has: it tells
// whether a difference is due to the number of connections.

const { createPool } = require('../../client.js');

/** @typedef {import('./types').Opening} Opening */
/** @typedef {import('../types').Db} Db */
/** @typedef {import('../types').Peer} Peer */
/** @typedef {Pick<Db, 'statement' | 'close'> & { pool?: ReturnType<typeof createPool> }} Way */

const CONNECTIONS = 10;

/** The way that the others are compared with. */
const BASE = 'query, primary';

const STRATEGIES = /** @type {const} */ ([
  'least-connections',
  'round-robin',
  'random',
  'weighted',
  'response-time',
  'health-aware',
]);

let turn = 0;
/** A balancing function as a caller would write it. @type {import('../../client.js').BalanceFunction} */
const inTurn = (nodes) => nodes[turn++ % nodes.length];

/**
 * @param {Opening} opening
 * @param {import('../../client.js').Balance | import('../../client.js').BalanceFunction} balance
 * @param {number} [poolSize] connections to each standby
 */
function openReads({ hosts, user, password, database }, balance, poolSize = CONNECTIONS) {
  const reads = { balance, poolSize };
  const pool = createPool({ hosts, user, password, database, ssl: false, poolSize: CONNECTIONS, reads });
  return {
    pool,
    statement: (/** @type {string} */ _name, /** @type {string} */ sql) => (/** @type {readonly unknown[]} */ params) =>
      pool.read(sql, params),
    close: () => pool.end(),
  };
}

/**
 * A peer of bench/peers/ on one node.
 * @param {string} name
 * @param {Opening} opening
 * @param {number} node
 */
function openPeer(name, { hosts, nodes, user, password, database }, node) {
  const peer = /** @type {Peer} */ (require(`../peers/${name}.js`));
  const { host, port } = nodes[node];
  const login = { user, password, database, tls: /** @type {const} */ (false) };
  return peer.open({ hosts, primary: { host, port }, ...login, connections: CONNECTIONS });
}

/** A pool on the primary and one on a standby; the caller takes them in turn. @param {Opening} opening @returns {Promise<Way>} */
async function openTwoPools(opening) {
  const pools = [await openPeer('pg', opening, 0), await openPeer('pg', opening, 1)];
  return {
    statement(name, sql) {
      const [first, second] = pools.map((pool) => pool.statement(name, sql));
      let isFirst = false;
      return (params) => {
        isFirst = !isFirst;
        return (isFirst ? first : second)(params);
      };
    },
    close: async () => {
      for (const pool of pools) await pool.close();
    },
  };
}

/** @type {Record<string, (opening: Opening) => Promise<Way>>} */
const WAYS = {
  [BASE]: (opening) => openPeer('hyperion', opening, 0),
  ...Object.fromEntries(
    STRATEGIES.map((strategy) => [
      `read, ${strategy}`,
      async (/** @type {Opening} */ opening) => openReads(opening, strategy),
    ]),
  ),
  'read, half of the connections': async (opening) => openReads(opening, STRATEGIES[0], CONNECTIONS / 2),
  'read, a function': async (opening) => openReads(opening, inTurn),
  'pg, primary': (opening) => openPeer('pg', opening, 0),
  'pg, two pools': openTwoPools,
  'postgres, primary': (opening) => openPeer('postgres', opening, 0),
};

module.exports = { BASE, WAYS };
