'use strict';

// Which shard of a cluster has a key.

const { ParameterError } = require('../../../client.js');
const { openDirectory } = require('./directory.js');
const { shardInRanges } = require('./ranges.js');
const { partitionsOfSlots, slotOf } = require('./slots.js');

/** @typedef {(key: unknown) => number | Promise<number>} ShardOf */

class Sharding {
  /** How many shards there are. @type {number} */
  count;
  /** @type {ShardOf} */
  #find;

  /**
   * @param {import('./rows.js').ShardingOptions} options checked
   * @param {{ clusterId: string, lookup: import('./directory.js').Lookup }} surroundings `lookup` asks a shard for the directory
   */
  constructor(options, surroundings) {
    this.count = options.shards.length;
    this.#find = finderOf(options, surroundings);
  }

  /**
   * The number of the shard that has this key. A promise only where a directory has to be asked.
   * @param {unknown} key
   * @returns {number | Promise<number>}
   */
  shardOf(key) {
    return this.#find(key);
  }
}

/**
 * @param {import('./rows.js').ShardingOptions} options
 * @param {{ clusterId: string, lookup: import('./directory.js').Lookup }} surroundings
 * @returns {ShardOf}
 */
function finderOf({ strategy, shards, ranges, directory }, { clusterId, lookup }) {
  if (strategy === 'hash') {
    const table = partitionsOfSlots(shards.length);
    return (key) => table[slotOf(key)];
  }
  if (strategy === 'range') {
    return (key) => {
      const shard = shardInRanges(/** @type {import('./ranges.js').Ranges} */ (ranges), key);
      if (shard === undefined) throw new ParameterError(`shardKey: no range of cluster '${clusterId}' has this key`);
      return shard;
    };
  }
  const known = /** @type {NonNullable<typeof directory>} */ (directory);
  return openDirectory(known, { clusterId, count: shards.length, lookup });
}

module.exports = { Sharding };
