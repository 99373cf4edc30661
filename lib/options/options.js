'use strict';

// The options of createPool: every default in one place, checked once, frozen.
//
// What is missing is filled as libpq does. The order of precedence, keyword by keyword: the option itself, the connection
// string, the service file, the environment, for the password the password file, the default.
// An unknown option, a wrong type or an impossible value throws an OptionError that names it; no value is printed.

const os = require('node:os');
const { MAX_MS, integer, kindOf, nonEmpty, oneOf, plainObject, string } = require('./validate.js');
const { parseConninfo } = require('./conninfo.js');
const { OptionError } = require('../errors.js');
const { isSocket, port, resolveHosts } = require('./hosts.js');
const { CHANNEL_BINDINGS, KEYWORDS, LOAD_BALANCING, MODES, optionsOf } = require('./keywords.js');
const { didYouMean } = require('./did-you-mean.js');
const { passwordsFromFile } = require('./pgpass.js');
const { requireAuth } = require('./require-auth.js');
const { readService } = require('./service.js');
const { environmentSettings } = require('./session-env.js');
const { resolveTls } = require('./tls-options.js');
const { DEFAULT_TYPES } = require('../values/types.js');

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
    if (name !== 'depth')
      throw new OptionError(`unknown option 'pipeline.${name}'${didYouMean(name, ['depth'], {}, 'pipeline.')}`);
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
    if (!Object.hasOwn(MONITOR, name)) {
      throw new OptionError(
        `unknown option 'monitor.${name}'${didYouMean(name, Object.keys(MONITOR), {}, 'monitor.')}`,
      );
    }
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

/** @param {unknown} value */
function password(value) {
  return typeof value === 'function' ? value : string('password', value);
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function boolean(value, name) {
  if (typeof value !== 'boolean') throw new OptionError(`${name} must be a boolean, not ${kindOf(value)}`);
  return value;
}

/** @param {number} least */
const ms = (least) => /** @param {unknown} value @param {string} name */ (value, name) =>
  integer(name, value, least, MAX_MS);

/** @param {readonly string[]} choices */
const choice = (choices) => /** @param {unknown} value @param {string} name */ (value, name) =>
  oneOf(name, value, choices);

/** @param {unknown} value @param {string} name */
const filled = (value, name) => nonEmpty(name, value);
/** @param {unknown} value @param {string} name */
const text = (value, name) => string(name, value);
/** @param {number} least @param {number} most */
const count = (least, most) => /** @param {unknown} value @param {string} name */ (value, name) =>
  integer(name, value, least, most);

/** Where a peer that is gone is found out in half a minute instead of two hours. */
const KEEP_ALIVE = { idleMs: 10_000, intervalMs: 5_000, count: /** @type {number | null} */ (null) };

/** What Linux takes: whole seconds. */
const keepAliveMs = count(1_000, 32_767_000);
/** @type {Record<string, (value: any, name: string) => unknown>} */
const KEEP_ALIVE_CHECKS = { idleMs: keepAliveMs, intervalMs: keepAliveMs, count: count(1, 127) };

/**
 * @param {unknown} given
 * @param {ReadonlyMap<string, Said>} said
 * @returns {typeof KEEP_ALIVE | null}
 */
function keepAlive(given, said) {
  if (given === false || (given === undefined && said.get('keepAlive')?.value === false)) return null;
  const own = given === undefined ? {} : plainObject('keepAlive', given);
  for (const name of Object.keys(own)) {
    if (!Object.hasOwn(KEEP_ALIVE, name)) {
      throw new OptionError(
        `unknown option 'keepAlive.${name}'${didYouMean(name, Object.keys(KEEP_ALIVE), {}, 'keepAlive.')}`,
      );
    }
  }
  const checked = Object.entries(KEEP_ALIVE).map(([name, preset]) => {
    const found = said.get(`keepAlive.${name}`) ?? { value: undefined, name: '' };
    const { value, name: label } = own[name] === undefined ? found : { value: own[name], name: `keepAlive.${name}` };
    return [name, value === undefined ? preset : KEEP_ALIVE_CHECKS[name](value, label)];
  });
  return Object.fromEntries(checked);
}

/**
 * Every option: its default, and how its value is checked. `undefined` as a default: filled in by parseOptions, or none.
 * @type {Record<string, { value?: unknown, check: (value: any, name: string) => unknown }>}
 */
const OPTIONS = {
  connectionString: { check: (value, name) => parseConninfo(nonEmpty(name, value)) },
  service: { check: filled },
  hosts: { check: (value) => value },
  port: { check: port },
  user: { check: filled },
  password: { check: password },
  passfile: { check: filled },
  database: { check: filled },
  mode: { value: 'read-write', check: choice(MODES) },
  loadBalanceHosts: { value: 'disable', check: choice(LOAD_BALANCING) },
  ssl: { check: (value) => value },
  channelBinding: { value: 'prefer', check: choice(CHANNEL_BINDINGS) },
  requireAuth: { value: '', check: requireAuth },
  keepAlive: { check: (value) => value },
  tcpUserTimeoutMs: { value: 60_000, check: ms(0) },
  poolSize: { value: 10, check: count(1, 10_000) },
  connectTimeoutMs: { value: 2_000, check: ms(1) },
  acquireTimeoutMs: { value: 5_000, check: ms(1) },
  statementTimeoutMs: { check: ms(1) },
  idleTimeoutMs: { value: 600_000, check: ms(1) },
  maxLifetimeMs: { value: 1_800_000, check: ms(1) },
  statementCacheSize: { value: 256, check: count(1, 100_000) },
  maxResultBytes: { check: count(1, Number.MAX_SAFE_INTEGER) },
  prepare: { check: boolean },
  reset: { value: 'changes', check: reset },
  pipeline: { value: true, check: pipeline },
  monitor: { value: true, check: monitor },
  transactionRetries: { value: 0, check: count(0, 1_000_000) },
  applicationName: { value: 'hyperiondb-client', check: text },
  options: { value: {}, check: sessionOptions },
  types: { value: {}, check: (value) => DEFAULT_TYPES.with(value) },
  logger: { check: (value, name) => fn(name, value) },
  logParameters: { value: false, check: boolean },
};

/** What others call them, where it is too far away to be guessed. */
const ELSEWHERE = {
  username: 'user',
  pass: 'password',
  databaseurl: 'connectionString',
  dbname: 'database',
  db: 'database',
  max: 'poolSize',
  targetsessionattrs: 'mode',
  sslmode: 'ssl',
  tls: 'ssl',
  uri: 'connectionString',
  url: 'connectionString',
};

/** Those made of several keywords, and the one that is used up. */
const SHAPED = ['hosts', 'port', 'ssl', 'keepAlive', 'service'];

/** @typedef {import('./keywords.js').Said} Said */

/**
 * What the connection string, the service file and the environment say, in this order of precedence.
 * @param {ReadonlyMap<string, string>} string
 * @param {string | undefined} ownService
 * @param {NodeJS.ProcessEnv} env
 */
function settingsOf(string, ownService, env) {
  /** @type {Map<string, { value: string, name: string }>} */
  const settings = new Map();
  for (const [keyword, { env: variable }] of Object.entries(KEYWORDS)) {
    const value = variable === undefined ? undefined : env[variable];
    if (value) settings.set(keyword, { value, name: /** @type {string} */ (variable) });
  }
  if (!settings.has('sslmode') && env.PGREQUIRESSL?.startsWith('1')) {
    settings.set('sslmode', { value: 'require', name: 'PGREQUIRESSL' });
  }
  const service = ownService ?? string.get('service') ?? settings.get('service')?.value;
  for (const [keyword, value] of service ? readService(service, env) : []) {
    settings.set(keyword, { value, name: `service '${service}': ${keyword}` });
  }
  for (const [keyword, value] of string) settings.set(keyword, { value, name: `connectionString: ${keyword}` });
  return settings;
}

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
  const own = typeof given === 'string' ? { connectionString: given } : plainObject('options', given);
  for (const name of Object.keys(own)) {
    if (!Object.hasOwn(OPTIONS, name)) {
      throw new OptionError(`unknown option '${name}'${didYouMean(name, Object.keys(OPTIONS), ELSEWHERE)}`);
    }
  }
  /** @type {Record<string, any>} */
  const checked = {};
  for (const [name, { check }] of Object.entries(OPTIONS)) {
    if (own[name] !== undefined) checked[name] = check(own[name], name);
  }
  const { connectionString = new Map(), service, ...options } = checked;
  const said = optionsOf(settingsOf(connectionString, service, env));
  for (const [name, { value, check }] of Object.entries(OPTIONS)) {
    if (SHAPED.includes(name)) continue;
    const found = said.get(name);
    // Checked again with its own name: a keyword knows less of its value than the option.
    if (options[name] === undefined && found !== undefined) options[name] = check(found.value, found.name);
    else if (options[name] === undefined && value !== undefined) options[name] = check(value, name);
  }
  options.hosts = resolveHosts(options.hosts, options.port, said);
  options.user ??= osUser();
  options.database ??= options.user;
  options.keepAlive = keepAlive(own.keepAlive, said);
  options.ssl = resolveTls(own.ssl, said, {
    env,
    hasTcp: options.hosts.some(
      (/** @type {import('./hosts.js').Host} */ { host, address }) => address || !isSocket(host),
    ),
  });
  if (options.channelBinding === 'require' && options.ssl === null) {
    throw new OptionError(
      `${said.get('channelBinding')?.name ?? 'channelBinding'}: 'require' needs TLS, but ssl is disabled`,
    );
  }
  options.startupOptions = string(said.get('startupOptions')?.name ?? '', said.get('startupOptions')?.value ?? '');
  options.options = { ...environmentSettings(env, Object.keys(options.options)), ...options.options };
  delete options.port;
  return Object.freeze(options);
}

/**
 * What the core is told: JSON with everything it needs and nothing else.
 * @param {Readonly<Record<string, any>>} options as parseOptions made them
 * @param {NodeJS.ProcessEnv} [env]
 */
function forCore(options, env = process.env) {
  const {
    logger: _logger,
    logParameters: _logged,
    transactionRetries: _retries,
    passfile: _passfile,
    password,
    pipeline,
    loadBalanceHosts,
    ...rest
  } = options;
  let passwords = null;
  if (typeof password !== 'function') {
    // An empty one is none, and the server takes none that is empty.
    passwords = password ? options.hosts.map(() => password) : passwordsFromFile(options, env);
  }
  return JSON.stringify({
    ...rest,
    pipelineDepth: pipeline.depth,
    loadBalanceHosts: loadBalanceHosts === 'random',
    passwords,
  });
}

module.exports = { parseOptions, forCore, OPTIONS };
