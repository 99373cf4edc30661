'use strict';

// The options of calls, a row each. A mistake is a ParameterError, and nothing is sent.

const client = /** @type {any} */ (require('../../client.js'));

const { boolean, choice, filled, fn, kindOf, ms, QUERY, TRANSACTION } = client[Symbol.for('hyperiondb-client.options')];

const { timeoutMs, signal, rowMode, types } = QUERY;

/** @param {unknown} value @param {string} name */
function tags(value, name) {
  if (!Array.isArray(value)) throw new client.ParameterError(`${name} must be an array, not ${kindOf(value)}`);
  for (const [index, tag] of value.entries()) filled(tag, `${name}[${index}]`);
  return value;
}

/** @param {unknown} value @param {string} name */
function key(value, name) {
  if (typeof value === 'string' || typeof value === 'bigint' || typeof value === 'number') return value;
  throw new client.ParameterError(`${name} must be a string, a number or a bigint, not ${kindOf(value)}`);
}

const QUERY_CALL = {
  schema: { type: 'string', preset: 'none', check: filled, text: 'the schema whose cluster the statement goes to' },
  clusterId: { type: 'string', preset: 'the only cluster', check: filled, text: 'the cluster, instead of a schema' },
  shardKey: {
    type: 'ShardKey',
    preset: 'none',
    check: key,
    text: 'of a sharded cluster: the key whose shard the statement goes to; without it a read goes to all shards',
  },
  operation: {
    type: "'read' | 'write'",
    preset: 'by `readPreference`',
    check: choice(['read', 'write']),
    text: "`'read'`: the caller's promise that nothing is changed; `'write'`: on the primary",
    more:
      'A read that writes all the same is refused by the server, whichever node it went to. With the consistency level `strong` it is an ' +
      'ordinary statement on the primary.',
  },
  consistencyLevel: {
    type: "'strong' | 'session' | 'eventual'",
    preset: "the schema's or cluster's",
    check: choice(['strong', 'session', 'eventual']),
    text: 'what the statement must see if it reads',
  },
  cache: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'whether the result may come from the cache, and goes there; the statement must be a read',
  },
  cacheTtl: { type: 'number', preset: "the cache's `ttl`", check: ms(1), text: 'how long the entry is served, in ms' },
  cacheKey: {
    type: 'string',
    preset: 'none',
    check: filled,
    text: 'a name by which invalidateCache() finds the entry',
  },
  tags: { type: 'readonly string[]', preset: 'none', check: tags, text: 'more names, which entries may share' },
  merge: {
    type: "'concat'",
    value: 'concat',
    check: choice(['concat']),
    text: 'of a read of all shards: the rows of one shard behind those of the one before',
  },
  orderBy: {
    type: '(a: T, b: T) => number',
    preset: 'none',
    check: fn,
    text: 'sorts the rows, as Array.prototype.sort; rows that are equal stay in the order of shards',
  },
  limit: {
    type: 'number',
    preset: 'none',
    check: ms(0),
    text: 'the most rows, counted after `orderBy`; each shard sends its own: say LIMIT in the statement, too',
  },
  ...{ timeoutMs, signal, rowMode, types },
};

const TRANSACTION_CALL = { isolation: TRANSACTION.isolation, timeoutMs: TRANSACTION.timeoutMs };

const CLOSE_CALL = { timeoutMs };

const REGISTER_CALL = {
  readPreference: {
    type: "'primary' | 'replica' | 'nearest'",
    preset: "the cluster's",
    check: choice(['primary', 'replica', 'nearest']),
    text: 'where a call of this schema goes that names no `operation`',
  },
  consistencyLevel: {
    type: "'strong' | 'session' | 'eventual'",
    preset: "the cluster's",
    check: choice(['strong', 'session', 'eventual']),
    text: 'what a read of this schema must see',
  },
};

/** The options that are given. @param {Record<string, unknown>} members */
const definedOf = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

module.exports = { CLOSE_CALL, QUERY_CALL, REGISTER_CALL, TRANSACTION_CALL, definedOf };
