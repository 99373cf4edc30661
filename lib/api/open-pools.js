'use strict';

// The open pools of this thread by their names, for its metrics. A name is that of one open pool, so that no two have the same series.

/** A pool, as the metrics see it; hyperiondb-client/otel asks `pool`. @typedef {{ readonly runner: import('../core/statement-runner.js').StatementRunner, readonly pool?: object, status(): any, nodes(): any[] }} Source */

/** In the order in which they were opened. Weak: a pool that is forgotten is collected. @type {Map<string, WeakRef<Source>>} */
const pools = new Map();

/** @param {string} name */
const isFree = (name) => pools.get(name)?.deref() === undefined;

/**
 * A name that no other open pool has: the one that is wanted, or the one with the lowest number that is free. So a program that opens and
 * ends one pool after the other uses few names, and Prometheus keeps few series.
 * @param {string | undefined} wanted
 */
function freeName(wanted) {
  if (wanted !== undefined && isFree(wanted)) return wanted;
  const stem = wanted === undefined ? 'pool' : `${wanted}#`;
  let number = wanted === undefined ? 1 : 2;
  while (!isFree(`${stem}${number}`)) number++;
  return `${stem}${number}`;
}

/**
 * @param {string} name of freeName()
 * @param {Source} source held weakly
 */
function add(name, source) {
  // Deleted first: the entry of a collected pool would keep its place in the order.
  pools.delete(name);
  pools.set(name, new WeakRef(source));
}

/** @param {string} name @param {Source} source a pool beside another one has its name, and is not there */
function remove(name, source) {
  if (pools.get(name)?.deref() === source) pools.delete(name);
}

/** @returns {[name: string, source: Source][]} */
function openPools() {
  /** @type {[string, Source][]} */
  const open = [];
  for (const [name, held] of pools) {
    const source = held.deref();
    if (source === undefined) pools.delete(name);
    else open.push([name, source]);
  }
  return open;
}

module.exports = { add, freeName, openPools, remove };
