'use strict';

// The point select of W2, for the curves that grow something around it.

const { LOADS } = require('../loads.js');

const load = /** @type {import('../types').Load} */ (LOADS.find(({ id }) => id === 'W2-64'));

/** @param {import('../types').Db} db @returns {(n: number) => Promise<void>} */
function pointSelect(db) {
  const select = load.open(db);
  return async (n) => {
    const { length } = await select(n);
    if (length !== 1) throw new Error(`${length} rows instead of 1`);
  };
}

/** For the raw limit. @param {number} connections @param {number} inFlight */
const rawPoint = (connections, inFlight) => ({
  rust: load.rust,
  statements: load.statements,
  connections,
  way: { kind: 'steady', inFlight },
});

module.exports = { load, pointSelect, rawPoint };
