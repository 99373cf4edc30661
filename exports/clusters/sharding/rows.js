'use strict';

// The option `sharding` of a cluster: a row for each member, and what they must be together.

const client = /** @type {any} */ (require('../../../client.js'));
const { checkRanges } = require('./ranges.js');
const { SLOTS } = require('./slots.js');

const { OptionError } = client;
const { count, members, ms, plainObject, refuseUnknown } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {'hash' | 'range' | 'directory'} Strategy */
/** @typedef {Record<string, unknown>} Shard where its servers are: `primary` and `replicas`, or `hosts` */
/** @typedef {{ table: string, keyColumn: string, shardColumn: string, shard: number, cacheMs: number }} DirectoryTable */
/** @typedef {(key: import('./slots.js').Key) => unknown} DirectoryFunction */
/**
 * The option as the package works with it.
 * @typedef {object} ShardingOptions
 * @property {Strategy} strategy
 * @property {string} key
 * @property {number} partitions
 * @property {Shard[]} shards
 * @property {import('./ranges.js').Ranges | null} ranges of the strategy `range`
 * @property {DirectoryTable | DirectoryFunction | null} directory of the strategy `directory`
 */

/** Which strategies there are, and the option that each needs. @type {Record<Strategy, string | null>} */
const STRATEGIES = { hash: null, range: 'ranges', directory: 'directory' };

/** @param {unknown} value */
const kindOf = (value) => (value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`);

/** @param {unknown} value @param {string} name */
function strategy(value, name) {
  if (typeof value === 'string' && Object.hasOwn(STRATEGIES, value)) return value;
  const given = typeof value === 'string' ? `'${value}'` : kindOf(value);
  throw new OptionError(`${name} must be one of 'hash', 'range', 'directory', not ${given}`);
}

/** A name of the database, as it is. PostgreSQL cuts longer ones, so another thing would be named. @param {unknown} value @param {string} name */
function identifier(value, name) {
  if (typeof value !== 'string') throw new OptionError(`${name} must be a string, not ${kindOf(value)}`);
  if (value === '' || value.includes('\0') || Buffer.byteLength(value) > 63) {
    throw new OptionError(`${name} must be a name of 1 to 63 bytes without NUL`);
  }
  return value;
}

/** `'table'` or `'schema.table'`. @param {unknown} value @param {string} name */
function tableName(value, name) {
  if (typeof value !== 'string') throw new OptionError(`${name} must be a string, not ${kindOf(value)}`);
  const parts = value.split('.');
  if (parts.length > 2) throw new OptionError(`${name} must be 'table' or 'schema.table'`);
  for (const part of parts) identifier(part, name);
  return value;
}

/** @param {unknown} value @param {string} name @returns {any[]} */
function list(value, name) {
  if (!Array.isArray(value)) throw new OptionError(`${name} must be an array, not ${kindOf(value)}`);
  return value;
}

/** What a host is, the pool of the shard checks. */
const PLACES = { primary: null, replicas: null, hosts: null };

/** @param {unknown} value @param {string} name */
function shards(value, name) {
  const found = list(value, name);
  if (found.length < 1 || found.length > SLOTS) {
    throw new OptionError(`${name} must name from 1 to ${SLOTS} shards, not ${found.length}`);
  }
  for (const [index, shard] of found.entries()) {
    const path = `${name}[${index}]`;
    const given = plainObject(path, shard);
    refuseUnknown(given, PLACES, { path });
    if ((given.primary === undefined) === (given.hosts === undefined)) {
      throw new OptionError(`${path} must have primary (and replicas), or hosts instead`);
    }
    if (given.hosts !== undefined && given.replicas !== undefined) {
      throw new OptionError(`${path}.replicas does not go with hosts, which names them all`);
    }
  }
  return found;
}

const DIRECTORY = {
  table: {
    type: 'string',
    preset: 'must be given',
    check: tableName,
    text: "the table, also `'schema.table'`; both names as they are, without quotes",
  },
  keyColumn: { type: 'string', value: 'key', check: identifier, text: 'its column with the key, which is unique' },
  shardColumn: { type: 'string', value: 'shard', check: identifier, text: 'its column with the number of the shard' },
  shard: { type: 'number', value: 0, check: count(0, SLOTS - 1), text: 'the shard that has the table' },
  cacheMs: {
    type: 'number',
    value: 60_000,
    check: ms(0),
    text: 'how long an answer is kept, in ms; 0: not at all',
    more: 'Up to 100,000 answers are kept. A key that was not there is asked for again.',
  },
};

/** @param {unknown} value @param {string} name */
function directory(value, name) {
  if (typeof value === 'function') return value;
  if (typeof value !== 'object' || value === null) {
    throw new OptionError(`${name} must be a function or { table }, not ${kindOf(value)}`);
  }
  const checked = members(name, value, DIRECTORY);
  if (checked.table === undefined) throw new OptionError(`${name}.table is missing`);
  return checked;
}

const SHARDING = {
  strategy: {
    type: "'hash' | 'range' | 'directory'",
    preset: 'must be given',
    check: strategy,
    text: 'how a key leads to its shard',
  },
  key: {
    type: 'string',
    preset: 'must be given',
    check: identifier,
    text: 'the column that every sharded table is divided by, for messages and expressions',
  },
  shards: {
    type: 'ReadonlyArray<ShardOptions>',
    preset: 'must be given',
    check: shards,
    text: 'where each shard is: `{ primary, replicas }` or `{ hosts }`; its number is its place, from 0',
  },
  partitions: {
    type: 'number',
    preset: 'the number of `shards`',
    check: count(1, SLOTS),
    text: 'how many shards there are, as a check: it must be the number of `shards`',
  },
  ranges: {
    type: 'ReadonlyArray<ShardRange>',
    preset: 'none',
    check: list,
    text: 'of the strategy `range`: which keys each shard has',
  },
  directory: {
    type: '((key: ShardKey) => number | Promise<number>) | ShardDirectory',
    preset: 'none',
    check: directory,
    text: 'of the strategy `directory`: a function, or a table, that knows the shard of each key',
  },
};

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {ShardingOptions}
 */
function checkSharding(value, name) {
  const found = members(name, value, SHARDING);
  for (const member of ['strategy', 'key', 'shards']) {
    if (found[member] === undefined) throw new OptionError(`${name}.${member} is missing`);
  }
  const total = found.shards.length;
  const { partitions = total } = found;
  if (partitions !== total) {
    throw new OptionError(`${name}.partitions is ${partitions}, but ${name}.shards has ${total}: they must be equal`);
  }
  for (const [owner, member] of Object.entries(STRATEGIES)) {
    if (member === null) continue;
    if (owner === found.strategy && found[member] === undefined) {
      throw new OptionError(`${name}.${member} is missing: the strategy '${owner}' needs it`);
    }
    if (owner !== found.strategy && found[member] !== undefined) {
      throw new OptionError(`${name}.${member} belongs to the strategy '${owner}', not to '${found.strategy}'`);
    }
  }
  if (typeof found.directory === 'object' && found.directory.shard >= total) {
    throw new OptionError(`${name}.directory.shard is ${found.directory.shard}, but the shards are 0 to ${total - 1}`);
  }
  const { strategy: chosen, key, shards: all, directory: known = null } = found;
  const ranges = found.ranges === undefined ? null : checkRanges(found.ranges, `${name}.ranges`, total);
  return { strategy: chosen, key, partitions, shards: all, ranges, directory: known };
}

module.exports = { DIRECTORY, SHARDING, checkSharding };
