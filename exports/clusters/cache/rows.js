'use strict';

// The option `cache` of MultiClusterPostgres, and the member of it that names a Redis. A row for each member.

const client = /** @type {any} */ (require('../../../client.js'));
const { kindOfRedis } = require('./redis-command.js');

const { boolean, choice, count, filled, members, ms, plainObject } = client[Symbol.for('hyperiondb-client.options')];

const MIB = 1024 * 1024;

/** @param {unknown} value @param {string} name */
function redisClient(value, name) {
  if (kindOfRedis(value) === null) {
    throw new client.OptionError(`${name} must be a client of the package ioredis or redis`);
  }
  return value;
}

/** @param {unknown} value @param {string} name */
function prefix(value, name) {
  if (/[{}]/.test(filled(value, name))) throw new client.OptionError(`${name} must not contain braces`);
  return value;
}

const REDIS = {
  redis: {
    type: 'object',
    check: redisClient,
    preset: 'must be given',
    text: 'a client of the package `ioredis` or `redis`, which stays yours to close',
    more: 'Its user needs the commands EVAL, EVALSHA, INFO, TIME, and those for strings and sorted sets.',
  },
  prefix: {
    type: 'string',
    value: 'hyperiondb',
    check: prefix,
    text: 'all keys begin with `{prefix}:`, braces included, so that they share a slot of Redis Cluster',
    more: 'Processes with the same prefix share their entries.',
  },
  timeoutMs: {
    type: 'number',
    value: 250,
    check: ms(1),
    text: 'how long a command may take; after a failure Redis is left alone for a second',
  },
};

/** @param {unknown} value @param {string} name */
function provider(value, name) {
  if (typeof value === 'string') return choice(['memory'])(value, name);
  const checked = members(name, value, REDIS);
  return { ...checked, redis: redisClient(checked.redis, `${name}.redis`) };
}

const CACHE = {
  maxSize: {
    type: 'number',
    value: 1_000,
    check: count(1, 100_000_000),
    text: 'the most entries in memory; the least recently used one goes first',
  },
  maxBytes: {
    type: 'number',
    value: 64 * MIB,
    check: count(1, Number.MAX_SAFE_INTEGER),
    text: 'the most bytes of all entries in memory, as they are stored',
  },
  ttl: {
    type: 'number',
    value: 300_000,
    check: ms(1),
    text: 'how long an entry is served, in ms, unless a call has its own `cacheTtl`',
  },
  enableCompression: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'whether entries from `compressionThreshold` on are stored deflated',
  },
  compressionThreshold: {
    type: 'number',
    value: 1_024,
    check: count(0, Number.MAX_SAFE_INTEGER),
    text: 'the smallest entry that is deflated, in bytes',
  },
  provider: {
    type: "'memory' | CacheRedis",
    value: 'memory',
    check: provider,
    text: "where entries are: `'memory'` of this process, or `{ redis: client }`, which processes share",
    more: 'While Redis is away queries go to the database.',
  },
  broadcast: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: "whether invalidations reach the memory of other processes, by NOTIFY on the first cluster's database",
    more:
      'They arrive a moment later there. When the session that listens was lost, the whole cache of the process is emptied. ' +
      'With Redis there is nothing to tell.',
  },
};

/** What belongs to the memory of a process, and is refused beside a Redis. */
const MEMORY_ONLY = {
  maxSize: 'Redis keeps its own limit, `maxmemory`',
  maxBytes: 'Redis keeps its own limit, `maxmemory`',
  broadcast: 'with Redis all processes share the entries',
};

/**
 * The option, checked.
 * @param {unknown} value
 * @param {string} [name]
 * @returns {Record<string, any>}
 */
function checkCache(value, name = 'cache') {
  const given = plainObject(name, value);
  const checked = members(name, given, CACHE);
  if (checked.provider === 'memory') return checked;
  for (const [member, why] of Object.entries(MEMORY_ONLY)) {
    if (given[member] !== undefined && given[member] !== false) {
      throw new client.OptionError(`${name}.${member} is for the provider 'memory': ${why}`);
    }
  }
  return checked;
}

module.exports = { CACHE, REDIS, checkCache };
