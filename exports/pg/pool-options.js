'use strict';

// What becomes of a configuration of pg. These become options of createPool:
//
//   host, hosts, port, connectionString     hosts
//   user, database, password                the same; a function is called for each new connection, with the ConnectionParameters
//   ssl, sslnegotiation                     ssl (ssl-options.js)
//   application_name, fallback_application_name   applicationName; without both it is empty, as with pg
//   statement_timeout, lock_timeout, idle_in_transaction_session_timeout   settings of the session, sent at startup
//   options                                 text: sent at startup as it is; an object of ours: settings of the session
//   max                                     poolSize: a session for each client of the pool
//   connectionTimeoutMillis                 acquireTimeoutMs. 0 and none are no limit in pg; here the core's default holds, because a
//                                           cluster without a primary would be waited for without end. Waiting for a client that is
//                                           in use has no limit then, as in pg: that is the pool's in JavaScript
//   keepAlive, keepAliveInitialDelayMillis  keepAlive; without the first, the core's default: a dead peer is noticed
//   target_session_attrs, mode              mode. Without it: the primary of several hosts, and any server if it is the only host, as in pg
//   load_balance_hosts                      loadBalanceHosts
//   logger                                  logger, if it is a function or an object
//   and the options of createPool in OURS, under their names
//
// These belong to the clients and the pool in JavaScript: query_timeout, binary, types, Promise, onConnect, min, idleTimeoutMillis, maxUses,
// maxLifetimeSeconds, allowExitOnIdle, log, Client, pipeline. The core never ends a session for its age or for being idle.
//
// These ask for nothing: client_encoding (pg always says UTF8 to the server, and so does the core), enableChannelBinding (the core binds
// SCRAM to TLS wherever the server offers it), scramMaxIterations (the core has a limit of its own).
//
// These are refused: stream and connection (the core opens the sockets), replication (the core does not speak that protocol).

const { OptionError } = require('../../client.js');
const { sslOptions } = require('./ssl-options.js');

/** As class ConnectionParameters has them. @typedef {Record<string, any>} Parameters */

/** Options of createPool that are taken as they are. */
const OURS = [
  'service',
  'passfile',
  'loadBalanceHosts',
  'channelBinding',
  'requireAuth',
  'tcpUserTimeoutMs',
  'connectTimeoutMs',
  'acquireTimeoutMs',
  'statementTimeoutMs',
  'statementCacheSize',
  'maxResultBytes',
  'prepare',
  'monitor',
  'name',
  'slowQueryMs',
  'logParameters',
];

/** The longest time that createPool takes. */
const FOREVER_MS = 0x7fff_ffff;
/** The core's default for `acquireTimeoutMs`. */
const ACQUIRE_MS = 5_000;
const MOST_SESSIONS = 10_000;
/** The least and the most idle time of a TCP keepalive that createPool takes. */
const [LEAST_KEEP_ALIVE_MS, MOST_KEEP_ALIVE_MS] = [1_000, 32_767_000];
const TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];

/** @param {any} config @param {Parameters} parameters */
function refuseImpossible({ stream, connection }, { replication }) {
  for (const [name, value] of Object.entries({ stream, connection })) {
    if (value !== undefined && value !== null) {
      throw new OptionError(`${name} is not supported: connections are made by the native core`);
    }
  }
  if (replication && !/^(false|off|no|0)$/i.test(String(replication))) {
    throw new OptionError('replication is not supported: the native core does not speak the protocol of replication');
  }
}

/** The settings of a session. @param {any} config @param {any} parameters */
function settingsOf(config, parameters) {
  const settings = typeof config.options === 'object' ? { ...config.options } : {};
  for (const name of TIMEOUTS) {
    if (parameters[name]) settings[name] = String(Number.parseInt(parameters[name], 10));
  }
  return settings;
}

/**
 * What createPool takes in a connection string only: text for the server's command line; and no certificate of ~/.postgresql is shown to a
 * server, because pg does not look there. `sslmode` repeats what the option `ssl` says: it hides PGSSLMODE, which has values of pg's own.
 * @param {any} parameters
 * @param {any} tls as sslOptions() made it
 */
function connectionString({ options, ssl }, tls) {
  const words = [`sslmode=${tls === false ? 'disable' : tls.mode}`];
  if (!ssl?.cert) words.push('sslcertmode=disable');
  if (typeof options === 'string') words.push(`options='${options.replaceAll(/[\\']/g, '\\$&')}'`);
  return words.join(' ');
}

/** @param {any} config */
function keepAlive({ keepAlive: given, keepAliveInitialDelayMillis: delay }) {
  if (given === false || (typeof given === 'object' && given !== null)) return given;
  if (!given || !(delay > 0)) return undefined;
  // Whole seconds.
  return { idleMs: Math.min(Math.max(Math.round(delay / 1_000) * 1_000, LEAST_KEEP_ALIVE_MS), MOST_KEEP_ALIVE_MS) };
}

/** @param {any} password @param {Parameters} parameters */
function passwordOf(password, parameters) {
  if (typeof password !== 'function') return password ?? undefined;
  return async () => {
    const given = await password(parameters);
    if (given === undefined || given === null) return '';
    if (typeof given !== 'string') throw new TypeError('Password must be a string');
    return given;
  };
}

/** @param {any} value */
const textOf = (value) => (value ? String(value) : undefined);

/** Milliseconds. @param {any} value */
const limit = (value) => Math.min(Math.max(Math.ceil(Number(value)), 1), FOREVER_MS);

/** @param {any} config @param {boolean} isAlone whether there is only one host */
function times({ connectionTimeoutMillis, acquireTimeoutMs, connectTimeoutMs }, isAlone) {
  const acquire = acquireTimeoutMs ?? (connectionTimeoutMillis > 0 ? limit(connectionTimeoutMillis) : undefined);
  // Of several hosts the next one is tried soon. If there is no other, the whole time is the host's.
  const connect = connectTimeoutMs ?? (isAlone ? (acquire ?? ACQUIRE_MS) : undefined);
  return { acquireTimeoutMs: acquire, connectTimeoutMs: connect };
}

/** The option of createPool. What cannot be a logger is ignored, as all that pg does not know. @param {any} config */
const loggerOf = ({ logger }) => (['function', 'object'].includes(typeof logger) ? (logger ?? undefined) : undefined);

/** @param {any} config @param {boolean} isAlone */
function modeOf({ target_session_attrs: attributes, mode }, isAlone) {
  if (attributes || mode) return attributes || mode;
  return isAlone && !process.env.PGTARGETSESSIONATTRS ? 'any' : undefined;
}

/**
 * The options of createPool.
 * @param {any} config options of pg, with what the connection string in them says
 * @param {Parameters} parameters
 * @returns {Record<string, any>}
 */
function optionsForCore(config, parameters) {
  refuseImpossible(config, parameters);
  const { hosts, user, database, password, ssl, sslnegotiation } = parameters;
  const isAlone = hosts.length === 1;
  const tls = sslOptions(ssl, sslnegotiation, hosts);
  const ours = OURS.filter((name) => config[name] !== undefined && config[name] !== null);
  const options = {
    ...Object.fromEntries(ours.map((name) => [name, config[name]])),
    ...{ hosts, user: textOf(user), database: textOf(database) },
    password: passwordOf(password, parameters),
    ssl: tls,
    mode: modeOf(config, isAlone),
    loadBalanceHosts: config.load_balance_hosts ?? config.loadBalanceHosts,
    applicationName: parameters.application_name || parameters.fallback_application_name || '',
    connectionString: connectionString(parameters, tls),
    options: settingsOf(config, parameters),
    keepAlive: keepAlive(config),
    logger: loggerOf(config),
    poolSize: Math.min(Number(config.max || config.poolSize || 10), MOST_SESSIONS),
    ...times(config, isAlone),
    idleTimeoutMs: FOREVER_MS,
    maxLifetimeMs: FOREVER_MS,
    ambient: false,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

module.exports = { optionsForCore };
