'use strict';

// The part of ambient transactions that the kit needs, for pools that do not have it yet.

const { Pool } = require('../../client.js');

const JOIN = Symbol.for('hyperiondb-client.join');
const prototype = /** @type {any} */ (Pool.prototype);
const HAS_AMBIENT = JOIN in prototype;
if (!HAS_AMBIENT) {
  const joined = new WeakMap();
  const counts = new WeakMap();
  prototype[JOIN] = function (/** @type {any} */ tx) {
    joined.set(this, tx);
  };
  for (const name of ['query', 'exec', 'batch', 'one', 'value', 'many', 'maybeOne']) {
    const original = prototype[name];
    prototype[name] = function (/** @type {any[]} */ ...args) {
      const tx = joined.get(this);
      return tx === undefined ? original.apply(this, args) : tx[name](...args);
    };
  }
  const { transaction } = prototype;
  prototype.transaction = async function (/** @type {any} */ callback, /** @type {any} */ options) {
    const tx = joined.get(this);
    if (tx === undefined) return transaction.call(this, callback, options);
    const count = (counts.get(tx) ?? 0) + 1;
    counts.set(tx, count);
    await tx.query(`SAVEPOINT shim_${count}`);
    try {
      const result = await callback(tx);
      await tx.query(`RELEASE SAVEPOINT shim_${count}`);
      return result;
    } catch (error) {
      await tx.query(`ROLLBACK TO SAVEPOINT shim_${count}`);
      throw error;
    }
  };
}

module.exports = { HAS_AMBIENT };
