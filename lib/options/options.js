'use strict';

// The options of createPool, checked once and frozen. Each has its row in pool-rows.js.
//
// Missing options are filled in as libpq does. The order of precedence for each keyword: the option itself, the connection
// string, the service file, the environment, the password file (for the password), the default.
// An unknown option, a wrong type or an impossible value throws an OptionError that names it; no value is printed.

const os = require('node:os');
const { plainObject, refuseUnknown, string } = require('./validate.js');
const { OptionError, located } = require('../errors.js');
const { isSocket, resolveHosts } = require('./hosts.js');
const { completeLease, leaseForCore, refuseSecretAsPassword } = require('./lease-rows.js');
const { KEYWORDS, optionsOf } = require('./keywords.js');
const { passwordsFromFile } = require('./pgpass.js');
const { KEEP_ALIVE, POOL } = require('./pool-rows.js');
const { readsForCore, weightsOf } = require('./read-rows.js');
const { readService } = require('./service.js');
const { environmentSettings } = require('./session-env.js');
const { allowedSettings, refuseStartupSettings } = require('./session-settings.js');
const { resolveTls } = require('./tls-options.js');

/**
 * @param {unknown} given
 * @param {ReadonlyMap<string, Said>} said
 * @returns {Record<string, unknown> | null} null: none
 */
function keepAlive(given, said) {
  if (given === false || (given === undefined && said.get('keepAlive')?.value === false)) return null;
  const own = given === undefined ? {} : plainObject('keepAlive', given);
  refuseUnknown(own, KEEP_ALIVE, { path: 'keepAlive' });
  const checked = Object.entries(KEEP_ALIVE).map(([name, { value: preset, check }]) => {
    const found = said.get(`keepAlive.${name}`) ?? { value: undefined, name: '' };
    const { value, name: label } = own[name] === undefined ? found : { value: own[name], name: `keepAlive.${name}` };
    return [name, value === undefined ? preset : check(value, label)];
  });
  return Object.fromEntries(checked);
}

/** Names that other clients use, if they are too different to be found as the nearest name. */
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

/** Options that are made of several keywords, and `service`, which is used up before. */
const SHAPED = ['hosts', 'port', 'ssl', 'keepAlive', 'service'];

/** @typedef {import('./keywords.js').Said} Said */

/**
 * The settings of the connection string, the service file and the environment, in this order of precedence.
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
  refuseUnknown(own, POOL, { elsewhere: ELSEWHERE });
  /** @type {Record<string, any>} */
  const checked = {};
  for (const [name, { check }] of Object.entries(POOL)) {
    if (own[name] !== undefined) checked[name] = check(own[name], name);
  }
  const { connectionString = new Map(), service, ...options } = checked;
  const said = optionsOf(settingsOf(connectionString, service, env));
  for (const [name, { value, check }] of Object.entries(POOL)) {
    if (SHAPED.includes(name)) continue;
    const found = said.get(name);
    // Checked again, by the option: the keyword has checked less.
    if (options[name] === undefined && found !== undefined) options[name] = check(found.value, found.name);
    else if (options[name] === undefined && value !== undefined) options[name] = check(value, name);
  }
  options.hosts = resolveHosts(options.hosts, options.port, said);
  options.reads.weights = weightsOf(options.reads.weights, options.hosts);
  if (options.minPoolSize > options.poolSize) {
    throw new OptionError(
      `minPoolSize (${options.minPoolSize}) must not be larger than poolSize (${options.poolSize})`,
    );
  }
  options.user ??= osUser();
  options.database ??= options.user;
  options.lease = completeLease(options.lease, env);
  refuseSecretAsPassword(options.lease, options.password);
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
  const { value: startup, name: startupName } = said.get('startupOptions') ?? { value: '', name: '' };
  options.startupOptions = string(startupName, startup);
  refuseStartupSettings(startup, startupName, /** @type {any} */ (options));
  const settings = allowedSettings(options.options, /** @type {any} */ (options));
  options.options = { ...environmentSettings(env, Object.keys(settings)), ...settings };
  delete options.port;
  return Object.freeze(options);
}

/**
 * Checks the options. The stack of an error begins at the caller of createPool: the checks are deeper than a stack trace is long.
 * @param {unknown} options
 */
function checkOptions(options) {
  try {
    return parseOptions(options);
  } catch (error) {
    throw located(error);
  }
}

/**
 * The options for the core, as JSON: what it uses and nothing else.
 * @param {Readonly<Record<string, any>>} options as parseOptions made them
 * @param {NodeJS.ProcessEnv} [env]
 */
function forCore(options, env = process.env) {
  const { password, pipeline, lease, loadBalanceHosts, reads, ...others } = options;
  const rest = Object.entries(others).filter(([name]) => !POOL[name]?.local);
  let passwords = null;
  if (typeof password !== 'function') {
    // An empty password means none; the server accepts no empty password.
    passwords = password ? options.hosts.map(() => password) : passwordsFromFile(options, env);
    for (const known of passwords) refuseSecretAsPassword(lease, known);
  }
  return JSON.stringify({
    ...Object.fromEntries(rest),
    ...(lease === null ? {} : { lease: leaseForCore(lease) }),
    pipelineDepth: pipeline.depth,
    reads: readsForCore(reads),
    loadBalanceHosts: loadBalanceHosts === 'random',
    passwords,
  });
}

module.exports = { ELSEWHERE, checkOptions, forCore, parseOptions };
