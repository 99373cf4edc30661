'use strict';

// The options of createPool: every default in one place, checked once, frozen.
//
// What is missing is filled as libpq does: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, then the password file.
// An unknown option, a wrong type or an impossible value throws an OptionError that names it; no value is printed.

const os = require('node:os');
const { integer, kindOf, nonEmpty, oneOf, plainObject, string } = require('./check.js');
const { OptionError } = require('./errors.js');
const { passwordFor } = require('./pgpass.js');
const { DEFAULT_TYPES } = require('./types.js');

const MODES = ['read-write', 'read-only', 'prefer-standby', 'any', 'primary', 'standby'];

/** The largest delay a timer takes. */
const MAX_MS = 0x7fff_ffff;

/** @typedef {{ host: string, port: number }} Host */

/**
 * @param {unknown} value
 * @param {string} name
 */
const port = (value, name) => integer(name, value, 1, 65_535);

/**
 * `h`, `h:port`, `[::1]`, `[::1]:port`, `::1`, `/socket/dir`, `/socket/dir:port`. What does not look like it is not
 * printed: it may be a URL with a password.
 * @param {string} given
 * @param {number} defaultPort
 * @param {string} name
 * @returns {Host}
 */
function parseHost(given, defaultPort, name) {
  const text = given.trim();
  const parts =
    /^\[([0-9A-Fa-f:.%\w]+)\](?::(\d+))?$/.exec(text) ??
    /^([0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.%\w]*)$/.exec(text) ??
    /^(\/[^:@]*|[^\s:/@?#[\]]+)(?::(\d+))?$/.exec(text);
  if (parts === null) throw new OptionError(`${name} must be 'host', 'host:port', '[ipv6]:port' or '/socket/dir'`);
  return { host: parts[1], port: parts[2] === undefined ? defaultPort : port(Number(parts[2]), name) };
}

/**
 * @param {unknown} value
 * @param {number} defaultPort
 * @returns {Host[]}
 */
function hosts(value, defaultPort) {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [value];
  if (list.length === 0) throw new OptionError('hosts must name at least one host');
  return list.map((item, index) => {
    const name = `hosts[${index}]`;
    if (typeof item === 'string') return parseHost(item, defaultPort, name);
    const object = plainObject(name, item);
    for (const key of Object.keys(object)) {
      if (key !== 'host' && key !== 'port') throw new OptionError(`${name}: unknown property '${key}'`);
    }
    const given = object.port === undefined ? defaultPort : port(object.port, `${name}.port`);
    const { host } = parseHost(nonEmpty(`${name}.host`, object.host), given, `${name}.host`);
    return { host, port: given };
  });
}

/** @param {unknown} value */
function sessionOptions(value) {
  const settings = plainObject('options', value);
  /** @type {Record<string, string>} */
  const checked = {};
  for (const [name, setting] of Object.entries(settings)) {
    if (!/^[A-Za-z_][A-Za-z0-9_$.]*$/.test(name))
      throw new OptionError(`options: '${name}' is not the name of a setting`);
    const type = typeof setting;
    if (type !== 'string' && type !== 'number' && type !== 'boolean') {
      throw new OptionError(`options.${name} must be a string, number or boolean, not ${kindOf(setting)}`);
    }
    checked[name] = string(`options.${name}`, String(setting));
  }
  return checked;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function fn(name, value) {
  if (typeof value !== 'function') throw new OptionError(`${name} must be a function, not ${kindOf(value)}`);
  return value;
}

/** Statements on one connection: 4 to 8 gave all there is to gain. */
const DEPTH = 8;

/**
 * @param {unknown} value
 * @returns {{ depth: number }}
 */
function pipeline(value) {
  if (typeof value === 'boolean') return { depth: value ? DEPTH : 1 };
  const given = plainObject('pipeline', value);
  for (const name of Object.keys(given)) {
    if (name !== 'depth') throw new OptionError(`unknown option 'pipeline.${name}'`);
  }
  return { depth: given.depth === undefined ? DEPTH : integer('pipeline.depth', given.depth, 1, 1_000) };
}

/** How the nodes are watched, unless it is said otherwise. */
const MONITOR = { intervalMs: 1_000, nodeTimeoutMs: 3_000 };

/**
 * @param {unknown} value
 * @returns {typeof MONITOR | null} null: not at all
 */
function monitor(value) {
  if (value === false) return null;
  const given = value === true ? {} : plainObject('monitor', value);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(MONITOR, name)) throw new OptionError(`unknown option 'monitor.${name}'`);
  }
  const least = { intervalMs: 10, nodeTimeoutMs: 100 };
  const checked = Object.entries(MONITOR).map(([name, preset]) => [
    name,
    given[name] === undefined
      ? preset
      : integer(`monitor.${name}`, given[name], least[/** @type {keyof typeof MONITOR} */ (name)], MAX_MS),
  ]);
  return Object.fromEntries(checked);
}

/**
 * What is undone between two users of a connection, as the core reads it.
 * @param {unknown} value
 */
function reset(value) {
  if (typeof value === 'string') return { mode: oneOf('reset', value, ['changes', 'none', 'discard']), sql: null };
  const given = plainObject('reset', value);
  for (const name of Object.keys(given)) {
    if (name !== 'sql') throw new OptionError(`unknown option 'reset.${name}'`);
  }
  return { mode: 'sql', sql: nonEmpty('reset.sql', given.sql) };
}

/** @param {unknown} value @param {string} name */
function boolean(value, name) {
  if (typeof value !== 'boolean') throw new OptionError(`${name} must be a boolean, not ${kindOf(value)}`);
  return value;
}

/** @param {unknown} value */
function password(value) {
  return typeof value === 'function' ? value : string('password', value);
}

/** @param {number} least */
const ms = (least) => /** @param {unknown} value @param {string} name */ (value, name) =>
  integer(name, value, least, MAX_MS);

/**
 * Every option: its default, and how its value is checked. `undefined` as a default: filled in below, or none.
 * @type {Record<string, { value?: unknown, check: (value: any, name: string) => unknown }>}
 */
const OPTIONS = {
  hosts: { check: (value) => value },
  port: { check: port },
  user: { check: (value, name) => nonEmpty(name, value) },
  password: { check: password },
  database: { check: (value, name) => nonEmpty(name, value) },
  mode: { value: 'read-write', check: (value, name) => oneOf(name, value, MODES) },
  poolSize: { value: 10, check: (value, name) => integer(name, value, 1, 10_000) },
  connectTimeoutMs: { value: 2_000, check: ms(1) },
  acquireTimeoutMs: { value: 5_000, check: ms(1) },
  statementTimeoutMs: { check: ms(1) },
  idleTimeoutMs: { value: 600_000, check: ms(1) },
  maxLifetimeMs: { value: 1_800_000, check: ms(1) },
  statementCacheSize: { value: 256, check: (value, name) => integer(name, value, 1, 100_000) },
  maxResultBytes: { check: (value, name) => integer(name, value, 1, Number.MAX_SAFE_INTEGER) },
  prepare: { check: boolean },
  reset: { value: 'changes', check: reset },
  pipeline: { value: true, check: pipeline },
  monitor: { value: true, check: monitor },
  transactionRetries: { value: 0, check: (value, name) => integer(name, value, 0, 1_000_000) },
  applicationName: { value: 'hyperiondb-client', check: (value, name) => string(name, value) },
  options: { value: {}, check: sessionOptions },
  types: { value: {}, check: (value) => DEFAULT_TYPES.with(value) },
  logger: { check: (value, name) => fn(name, value) },
};

/** Options of the public API that later versions will have. */
const NOT_YET = ['ssl', 'connectionString'];

/** @param {NodeJS.ProcessEnv} env @param {string} name */
const fromEnv = (env, name) => (env[name] === '' ? undefined : env[name]);

function osUser() {
  try {
    return os.userInfo().username;
  } catch {
    throw new OptionError('user is missing, and the operating system does not tell who you are');
  }
}

/**
 * The complete options of a pool.
 * @param {unknown} given
 * @param {NodeJS.ProcessEnv} [env]
 */
function parseOptions(given = {}, env = process.env) {
  if (typeof given === 'string')
    throw new OptionError('connectionString is not supported in this version: use options');
  const own = plainObject('options', given);
  /** @type {Record<string, any>} */
  const checked = {};
  for (const name of Object.keys(own)) {
    if (NOT_YET.includes(name)) throw new OptionError(`${name} is not supported in this version`);
    if (!Object.hasOwn(OPTIONS, name)) throw new OptionError(`unknown option '${name}'${suggestion(name)}`);
  }
  for (const [name, { value, check }] of Object.entries(OPTIONS)) {
    const present = own[name] === undefined ? value : own[name];
    if (present !== undefined) checked[name] = check(present, name);
  }
  const envPort = fromEnv(env, 'PGPORT');
  const defaultPort = checked.port ?? (envPort === undefined ? 5432 : port(Number(envPort), 'PGPORT'));
  checked.hosts = hosts(checked.hosts ?? fromEnv(env, 'PGHOST') ?? 'localhost', defaultPort);
  checked.user ??= fromEnv(env, 'PGUSER') ?? osUser();
  checked.database ??= fromEnv(env, 'PGDATABASE') ?? checked.user;
  checked.password ??= fromEnv(env, 'PGPASSWORD');
  delete checked.port;
  return Object.freeze(checked);
}

/**
 * What the core is told: JSON with everything it needs and nothing else.
 * @param {Readonly<Record<string, any>>} options as parseOptions made them
 * @param {NodeJS.ProcessEnv} [env]
 */
function forCore(options, env = process.env) {
  const { logger: _logger, transactionRetries: _retries, password, pipeline, ...rest } = options;
  const passwords =
    typeof password === 'function'
      ? null
      : options.hosts.map((/** @type {Host} */ host) => password ?? passwordFor(host, options, env));
  return JSON.stringify({ ...rest, pipelineDepth: pipeline.depth, passwords });
}

/**
 * The known option that the unknown one may be meant for.
 * @param {string} name
 */
function suggestion(name) {
  const plain = (/** @type {string} */ text) => text.toLowerCase().replaceAll(/[^a-z]/g, '');
  /** @type {Record<string, string>} */
  const elsewhere = {
    host: 'hosts',
    username: 'user',
    dbname: 'database',
    db: 'database',
    max: 'poolSize',
    idletimeoutmillis: 'idleTimeoutMs',
    connectiontimeoutmillis: 'connectTimeoutMs',
    statementtimeout: 'statementTimeoutMs',
    targetsessionattrs: 'mode',
  };
  const wanted = plain(name);
  const near = Object.keys(OPTIONS).find((option) => plain(option) === wanted || `${wanted}ms` === plain(option));
  const meant = near ?? elsewhere[wanted];
  return meant === undefined ? '' : `: did you mean '${meant}'?`;
}

module.exports = { parseOptions, forCore, OPTIONS, NOT_YET };
