'use strict';

// The configuration of initialize(): a row for each member of a cluster, and what a cluster's pools are opened with.
//
// A cluster has what is its own here, and any option of createPool beside it. `primary` and `replicas` are the hosts of its pool, in
// this order; what pg-multiverse writes beside a host (user, password, database) is the cluster's.

const client = /** @type {any} */ (require('../../client.js'));
const { checkSharding } = require('./sharding/rows.js');

const { OptionError } = client;
const { POOL, ELSEWHERE, choice, count, filled, kindOf, labelOf, later, members, plainObject, refuseUnknown, share } =
  client[Symbol.for('hyperiondb-client.options')];

/** @typedef {import('./sharding/rows.js').ShardingOptions} ShardingOptions */
/**
 * One pool of a cluster, still to be opened.
 * @typedef {{ name: string, shard: number | null, options: Record<string, any> }} UnitPlan
 */
/**
 * A cluster of the configuration, checked.
 * @typedef {object} ClusterPlan
 * @property {string} id
 * @property {string[]} schemas
 * @property {'primary' | 'replica' | 'nearest'} readPreference
 * @property {'strong' | 'session' | 'eventual' | undefined} consistencyLevel
 * @property {ShardingOptions | null} sharding
 * @property {UnitPlan[]} units
 */

/** What stands in metrics, in decisions and in errors. A slash would be that of a shard. */
const ID = /^[\w.-]{1,63}$/;

/** The strategies under the names of pg-multiverse, and what `reads.balance` calls them. @type {Record<string, string>} */
const BALANCE = {
  round_robin: 'round-robin',
  weighted: 'weighted',
  least_connections: 'least-connections',
  response_time: 'response-time',
  health_aware: 'health-aware',
};

/** @param {unknown} value @param {string} name @returns {any[]} */
function list(value, name) {
  if (!Array.isArray(value)) throw new OptionError(`${name} must be an array, not ${kindOf(value)}`);
  return value;
}

/** One host, or several, as the option of a pool has them. @param {unknown} value @param {string} name @returns {any[]} */
function hostList(value, name) {
  if (typeof value === 'string') return value.split(',').map((host) => host.trim());
  return Array.isArray(value) ? value : [plainObject(name, value)];
}

/** @param {unknown} value @param {string} name */
function schemas(value, name) {
  const names = list(value, name).map((one, index) => filled(one, `${name}[${index}]`));
  const twice = names.find((one, index) => names.indexOf(one) !== index);
  if (twice !== undefined) throw new OptionError(`${name} names '${twice}' more than once`);
  return names;
}

const LOAD_BALANCING = {
  strategy: {
    type: 'LoadBalancingStrategy',
    value: 'round_robin',
    check: choice(Object.keys(BALANCE)),
    text: 'how a read chooses among the nodes that are fit',
  },
  weights: {
    type: 'Readonly<Record<string, number>>',
    value: {},
    preset: '1 each',
    check: (/** @type {unknown} */ value, /** @type {string} */ name) => plainObject(name, value),
    text: "how much of the reads each node gets, by `'host:port'`, or by `replica_1`, `replica_2` in the order of `replicas`",
    more: 'Of the strategies `weighted` and `health_aware`.',
  },
  healthThreshold: {
    type: 'number',
    value: 0,
    preset: '0: no',
    check: share,
    text: 'a node of whose reads a smaller share has succeeded of late is used only when nothing else is fit, from 0 to 1',
    more: 'Of the strategy `health_aware`.',
  },
};

const CONNECTION_POOL = {
  min: {
    type: 'number',
    value: 0,
    check: count(0, 10_000),
    text: 'so many connections to the primary are opened at once, and kept when they are idle, too',
  },
  max: { type: 'number', value: 10, check: count(1, 10_000), text: 'the most connections to the primary' },
};

const CLUSTER = {
  schemas: {
    type: 'readonly string[]',
    preset: 'must be given',
    check: schemas,
    text: 'the schemas that the cluster has: a call that names one of them goes here',
    more: 'They only route: the search_path of the sessions is an option of the pool, `options: { search_path }`.',
  },
  primary: {
    type: 'ClusterHost',
    preset: 'none',
    check: later,
    text: "the first host: `'host:port'` or `{ host, port }`, with `user`, `password` and `database` if they stand here",
    more: 'It need not be the primary: the pool finds that among all hosts, and follows it.',
  },
  replicas: { type: 'readonly ClusterHost[]', preset: 'none', check: list, text: 'the other hosts' },
  hosts: { ...POOL.hosts, check: later, text: 'all hosts, instead of `primary` and `replicas`' },
  readPreference: {
    type: "'primary' | 'replica' | 'nearest'",
    value: 'primary',
    check: choice(['primary', 'replica', 'nearest']),
    text: 'where a call goes that names no `operation`',
    more:
      "`'replica'`: a statement is tried on a standby, whose sessions cannot write; if it is refused there it runs on the primary, and " +
      "its text is remembered as a write. `'nearest'`: the same, and on the primary when that answers sooner than every standby.",
  },
  consistencyLevel: {
    type: "'strong' | 'session' | 'eventual'",
    preset: "`'session'` for what goes to standbys, else `'strong'`",
    check: choice(['strong', 'session', 'eventual']),
    text: "what a read must see: `'strong'`: everything, so it goes to the primary; `'session'`: what this object has written before",
    more:
      "`'eventual'`: what a standby has, within `reads.maxLagMs` if that is set. `'strong'` goes before `readPreference` and " +
      "`operation`, so what is not given is `'session'` where these ask for standbys.",
  },
  loadBalancing: {
    type: 'LoadBalancingOptions',
    preset: "`{ strategy: 'round_robin' }`",
    check: (/** @type {unknown} */ value, /** @type {string} */ name) => members(name, value, LOAD_BALANCING),
    text: 'how reads are spread over the standbys',
  },
  connectionPool: {
    type: 'ConnectionPoolOptions',
    preset: '`{ min: 0, max: 10 }`',
    check: (/** @type {unknown} */ value, /** @type {string} */ name) => members(name, value, CONNECTION_POOL),
    text: 'how many connections there are: `minPoolSize` and `poolSize` of a pool by other names',
  },
  sharding: {
    type: 'ShardingOptions',
    preset: 'none',
    check: checkSharding,
    text: 'the cluster is several, each with a part of the rows: its shards have the hosts then',
  },
};

const { mode: _mode, ambient: _ambient, name: _name, hosts: _hosts, ...OF_POOL } = POOL;
const ALL = { ...OF_POOL, ...CLUSTER };

const HINTS = {
  elsewhere: { ...ELSEWHERE, replica: 'replicas', schema: 'schemas', loadbalancer: 'loadBalancing' },
  reasons: {
    mode: 'a cluster follows its primary; `readPreference` says where reads go',
    name: 'a pool is called as its cluster, `orders`, or as its shard, `orders/0`',
    ambient: 'a transaction may span clusters here, so its statements go through `tx.query`',
  },
};

/** What may stand beside a host and belongs to the cluster. */
const OF_HOST = ['user', 'password', 'database'];

/**
 * The hosts of a pool, and what stood beside them.
 * @param {Record<string, unknown>} place `primary` and `replicas`, or `hosts`
 * @param {string} path ends with a dot
 */
function hostsOf({ primary, replicas = [], hosts }, path) {
  if (hosts !== undefined) {
    if (primary !== undefined || /** @type {any[]} */ (replicas).length > 0) {
      throw new OptionError(`${path}hosts names all hosts: leave out primary and replicas`);
    }
    return { hosts: hostList(hosts, `${path}hosts`), replicas: [], beside: {} };
  }
  if (primary === undefined) throw new OptionError(`${path}primary is missing, or ${path}hosts`);
  /** @type {Record<string, unknown>} */
  const beside = {};
  const all = [primary, ...list(replicas, `${path}replicas`)].map((given, index) => {
    if (typeof given === 'string') return given;
    const name = index === 0 ? `${path}primary` : `${path}replicas[${index - 1}]`;
    const host = { ...plainObject(name, given) };
    for (const member of OF_HOST) {
      const value = host[member];
      delete host[member];
      if (value === undefined) continue;
      if (index > 0 && beside[member] !== value) {
        throw new OptionError(`${name}.${member} differs from that of the primary: a cluster has one ${member}`);
      }
      beside[member] = value;
    }
    return host;
  });
  return { hosts: all, replicas: all.slice(1), beside };
}

/**
 * The weights of a pool, with `replica_1` as the host that it is. Those of other shards' hosts are left out.
 * @param {Readonly<Record<string, number>>} weights
 * @param {{ hosts: any[], replicas: any[] }} place
 * @param {number | string | undefined} port of hosts that name none
 * @param {Set<string>} used keys that were found
 */
function weightsOf(weights, { hosts, replicas }, port, used) {
  const keyOf = (/** @type {any} */ host) =>
    typeof host === 'string' ? host : labelOf({ ...host, port: host.port ?? port ?? 5432 });
  const labels = hosts.map(keyOf);
  /** @type {Record<string, number>} */
  const found = {};
  for (const [key, weight] of Object.entries(weights)) {
    const [, number] = /^replica_(\d+)$/.exec(key) ?? [];
    const label = number === undefined ? key : replicas[Number(number) - 1] && keyOf(replicas[Number(number) - 1]);
    if (label === undefined) continue;
    if (number === undefined && !labels.some((one) => one === label || one.replace(/:\d+$/, '') === label)) continue;
    if (Object.hasOwn(found, label)) throw new OptionError(`weights names ${label} more than once`);
    found[label] = weight;
    used.add(key);
  }
  return found;
}

/** @param {Record<string, any>} given @param {string} path */
function checkMembers(given, path) {
  refuseUnknown(given, ALL, { path, ...HINTS });
  return Object.fromEntries(
    Object.entries(CLUSTER).map(([name, row]) => {
      const { check, value } = /** @type {any} */ (row);
      return [name, given[name] === undefined ? value : check(given[name], `${path}.${name}`)];
    }),
  );
}

/**
 * The options that all pools of a cluster have.
 * @param {Record<string, any>} given
 * @param {Record<string, any>} own checked
 * @param {string} path
 * @returns {Record<string, any>}
 */
function poolOptions(given, { loadBalancing, connectionPool }, path) {
  const options = Object.fromEntries(
    Object.entries(given).filter(([name, value]) => !Object.hasOwn(CLUSTER, name) && value !== undefined),
  );
  if (connectionPool !== undefined) {
    const both = ['poolSize', 'minPoolSize'].find((name) => options[name] !== undefined);
    if (both !== undefined) throw new OptionError(`${path}.${both} and ${path}.connectionPool name the same: give one`);
    if (connectionPool.min > connectionPool.max) {
      throw new OptionError(`${path}.connectionPool.min must not be larger than ${path}.connectionPool.max`);
    }
    Object.assign(options, { minPoolSize: connectionPool.min, poolSize: connectionPool.max });
  }
  const reads = options.reads === undefined ? {} : plainObject(`${path}.reads`, options.reads);
  const both = ['balance', 'weights', 'healthThreshold'].find((name) => reads[name] !== undefined);
  if (both !== undefined && loadBalancing !== undefined) {
    throw new OptionError(`${path}.reads.${both} and ${path}.loadBalancing name the same: give one`);
  }
  const { strategy, healthThreshold } = loadBalancing ?? { strategy: 'round_robin', healthThreshold: 0 };
  if (healthThreshold > 0 && strategy !== 'health_aware') {
    throw new OptionError(`${path}.loadBalancing.healthThreshold belongs to the strategy 'health_aware'`);
  }
  if (loadBalancing !== undefined && Object.keys(loadBalancing.weights).length > 0) {
    if (strategy !== 'weighted' && strategy !== 'health_aware') {
      throw new OptionError(
        `${path}.loadBalancing.weights belongs to the strategies 'weighted' and 'health_aware', not to '${strategy}'`,
      );
    }
  }
  return { ...options, reads: { balance: BALANCE[strategy], healthThreshold, ...reads } };
}

/**
 * @param {string} id
 * @param {unknown} value
 * @returns {ClusterPlan}
 */
function checkCluster(id, value) {
  if (!ID.test(id)) {
    // Who has mixed up the order of things may have written an address with a password there.
    const given = id.includes('@') ? '' : `, not '${id}'`;
    throw new OptionError(`the name of a cluster must be 1 to 63 letters, digits, and any of _ . -${given}`);
  }
  const given = /** @type {Record<string, any>} */ (plainObject(id, value));
  const own = checkMembers(given, id);
  if (own.schemas === undefined) throw new OptionError(`${id}.schemas is missing: a list, which may be empty`);
  const common = poolOptions(given, own, id);
  const { sharding = null } = own;
  if (sharding !== null && ['primary', 'replicas', 'hosts'].some((name) => given[name] !== undefined)) {
    throw new OptionError(`${id}.sharding.shards have the hosts: leave out primary, replicas and hosts`);
  }
  const isReachedByString = common.connectionString !== undefined || common.service !== undefined;
  const places =
    sharding === null
      ? [{ place: own, path: `${id}.` }]
      : sharding.shards.map((/** @type {any} */ place, /** @type {number} */ shard) => ({
          place,
          path: `${id}.sharding.shards[${shard}].`,
        }));
  const weights = own.loadBalancing?.weights ?? {};
  /** @type {Set<string>} */
  const used = new Set();
  const units = places.map(
    (/** @type {{ place: any, path: string }} */ { place, path }, /** @type {number} */ index) => {
      const shard = sharding === null ? null : index;
      const name = shard === null ? id : `${id}/${shard}`;
      if (shard === null && isReachedByString && given.primary === undefined && given.hosts === undefined) {
        return { name, shard, options: common };
      }
      const found = hostsOf(place, path);
      const twice = Object.keys(found.beside).find(
        (member) => ![undefined, found.beside[member]].includes(common[member]),
      );
      if (twice !== undefined) {
        throw new OptionError(`${path}primary.${twice} differs from ${id}.${twice}: a cluster has one ${twice}`);
      }
      const reads = { ...common.reads };
      if (own.loadBalancing !== undefined) reads.weights = weightsOf(weights, found, common.port, used);
      return { name, shard, options: { ...found.beside, ...common, hosts: found.hosts, reads } };
    },
  );
  const unused = Object.keys(weights).find((key) => !used.has(key));
  if (unused !== undefined) {
    const shown = unused.includes('@') ? 'a key' : `'${unused}'`;
    throw new OptionError(`${id}.loadBalancing.weights: ${shown} is no host of the cluster`);
  }
  const { readPreference, consistencyLevel } = own;
  return { id, schemas: own.schemas, readPreference, consistencyLevel, sharding, units };
}

/**
 * @param {unknown} configuration
 * @returns {ClusterPlan[]}
 */
function checkConfiguration(configuration) {
  const given = plainObject('configuration', configuration);
  const plans = Object.entries(given).map(([id, value]) => checkCluster(id, value));
  if (plans.length === 0) throw new OptionError('configuration must name at least one cluster');
  /** @type {Map<string, string>} */
  const owners = new Map();
  for (const { id, schemas } of plans) {
    for (const schema of schemas) {
      const other = owners.get(schema);
      if (other !== undefined) throw new OptionError(`the schema '${schema}' is in two clusters: ${other} and ${id}`);
      owners.set(schema, id);
    }
  }
  return plans;
}

module.exports = { CLUSTER, CONNECTION_POOL, LOAD_BALANCING, checkCluster, checkConfiguration };
