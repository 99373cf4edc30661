'use strict';

// node-postgres on libpq, by its optional native binding; a pool, or pipelined where that is faster.

const { native } = require('pg');
const { openLanes } = require('./lanes.js');
const { onPool, unnest } = require('./on-pool.js');

exports.version = () => require('../package.json').optionalDependencies['pg-native'];

/** @type {import('../types').Peer['open']} */
exports.open = async (opening) => {
  if (native === null) throw new Error('libpq is not built');
  if (opening.pipelined) return openLanes(native.Client, opening);
  const { primary, user, password, database, connections } = opening;
  const pool = new native.Pool({ ...primary, user, password, database, max: connections, idleTimeoutMillis: 0 });
  return {
    ...onPool(pool),
    bulk: { unnest: unnest(pool) },
    close: () => pool.end(),
  };
};
