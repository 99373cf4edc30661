'use strict';

// The instrumentations of this thread. A statement is told of by one of them, also where two copies of the package are loaded: both hear
// of all pools, because the names of node:diagnostics_channel are those of the process.

/** @typedef {{ pool: WeakRef<object> | undefined }} Active an instrumentation; without a pool: of all */

const KEY = Symbol.for('hyperiondb-client.otel');

/** In the order in which they were enabled. @returns {Active[]} */
function list() {
  const everything = /** @type {any} */ (globalThis);
  everything[KEY] ??= [];
  return everything[KEY];
}

/** The last one for this pool, or else the last one for all. @param {object} pool */
function ownerOf(pool) {
  const active = list();
  return active.findLast((one) => one.pool?.deref() === pool) ?? active.findLast((one) => one.pool === undefined);
}

/** @param {Active} one */
const enable = (one) => {
  list().push(one);
};

/** @param {Active} one */
const disable = (one) => {
  const active = list();
  const index = active.indexOf(one);
  if (index !== -1) active.splice(index, 1);
};

module.exports = { disable, enable, ownerOf };
