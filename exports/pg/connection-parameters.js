'use strict';

// `ConnectionParameters` of pg: who connects where, from the options, the connection string in them, PG* variables and `defaults`, in
// this order. `host` may be a list, `a,b,c`, with one port or as many: the hosts of the list are in `hosts`.

const dns = require('node:dns');
const { OptionError } = require('../../client.js');
const { parse } = require('./connection-string.js');
const defaults = require('./defaults.js');
const { optionsForCore } = require('./pool-options.js');

/** @typedef {{ host: string, port: number, address?: string }} Host */

/**
 * @param {string} name
 * @param {Record<string, any>} config
 * @param {string | false} [variable] false: none
 */
function settingOf(name, config, variable = `PG${name.toUpperCase()}`) {
  return config[name] || (variable === false ? undefined : process.env[variable]) || defaults[name];
}

/** PGSSLMODE, which pg reads otherwise than libpq does: all modes that encrypt also verify. */
function sslFromEnvironment() {
  const mode = process.env.PGSSLMODE ?? '';
  if (mode === 'disable') return false;
  if (mode === 'no-verify') return { rejectUnauthorized: false };
  return ['prefer', 'require', 'verify-ca', 'verify-full'].includes(mode) ? true : defaults.ssl;
}

/** @param {any} given */
function sslOf(given) {
  if (given === undefined) return sslFromEnvironment();
  if (given === 'true') return true;
  return given === 'no-verify' ? { rejectUnauthorized: false } : given;
}

/** The options with what the connection string in them says. @param {any} config */
function merged(config) {
  const given = typeof config === 'string' ? parse(config) : config || {};
  return given.connectionString ? Object.assign({}, given, parse(given.connectionString)) : given;
}

/** A host and its own port, if it has one: `h`, `h:5432`, `[::1]:5432`. @param {string} text */
function hostAndPort(text) {
  const [, name, port] = /^\[(.+)\](?::(\d+))?$/.exec(text) ?? /^([^:/]*)(?::(\d+))?$/.exec(text) ?? [text, text];
  return { name: name || defaults.host, own: port === undefined ? undefined : Number(port) };
}

/** @param {string} ports @param {number} index */
function portAt(ports, index) {
  const list = ports.split(',');
  return Number.parseInt(list[list.length > 1 ? index : 0] || String(defaults.port), 10);
}

/**
 * The hosts of our option `hosts`, or of the list in `host`.
 * @param {Record<string, any>} config
 * @returns {Host[]}
 */
function hostsOf(config) {
  const ports = String(settingOf('port', config));
  const list = config.hosts === undefined ? String(settingOf('host', config)).split(',') : config.hosts;
  const items = typeof list === 'string' ? list.split(',') : Array.isArray(list) ? list : [list];
  const count = ports.split(',').length;
  if (count > 1 && count !== items.length) throw new OptionError(`port has ${count} ports for ${items.length} hosts`);
  return items.map((item, index) => {
    const { name, own } = hostAndPort(String((typeof item === 'string' ? item : item?.host) ?? '').trim());
    const { port, address } = typeof item === 'string' || !item ? /** @type {any} */ ({}) : item;
    const host = { host: name, port: port ?? own ?? portAt(ports, index) };
    return address === undefined ? host : { ...host, address };
  });
}

/**
 * Sets a property that is not shown when the object is printed.
 * @param {object} object
 * @param {string} name
 * @param {unknown} value
 */
const hide = (object, name, value) =>
  Object.defineProperty(object, name, { configurable: true, enumerable: false, writable: true, value });

class ConnectionParameters {
  /** The options of createPool for a configuration of pg. @param {any} config */
  static poolOptions(config) {
    return optionsForCore(merged(config), new ConnectionParameters(config));
  }

  /** @param {any} [config] a connection string or options */
  constructor(config) {
    const given = merged(config);
    this.user = settingOf('user', given);
    this.database = settingOf('database', given);
    if (this.database === undefined) this.database = this.user;
    const hosts = hostsOf(given);
    this.port = hosts[0].port;
    /** A list, if there are several. @type {string} */
    this.host = given.hosts === undefined ? settingOf('host', given) : hosts.map(({ host }) => host).join();
    /** @type {Host[]} */
    this.hosts = [];
    hide(this, 'hosts', hosts);
    /** @type {any} */
    this.password = null;
    hide(this, 'password', settingOf('password', given));
    this.binary = settingOf('binary', given);
    this.options = settingOf('options', given);
    this.ssl = sslOf(given.ssl);
    if (this.ssl?.key) hide(this.ssl, 'key', this.ssl.key);
    this.sslnegotiation = settingOf('sslnegotiation', given, 'PGSSLNEGOTIATION');
    this.#checkNegotiation();
    this.client_encoding = settingOf('client_encoding', given);
    this.replication = settingOf('replication', given);
    this.isDomainSocket = hosts[0].host.startsWith('/');
    this.application_name = settingOf('application_name', given, 'PGAPPNAME');
    this.fallback_application_name = settingOf('fallback_application_name', given, false);
    this.statement_timeout = settingOf('statement_timeout', given, false);
    this.lock_timeout = settingOf('lock_timeout', given, false);
    this.idle_in_transaction_session_timeout = settingOf('idle_in_transaction_session_timeout', given, false);
    this.query_timeout = settingOf('query_timeout', given, false);
    /** Seconds. @type {number | string} */
    this.connect_timeout =
      given.connectionTimeoutMillis === undefined
        ? process.env.PGCONNECT_TIMEOUT || 0
        : Math.floor(given.connectionTimeoutMillis / 1000);
    if (typeof given.keepAlive === 'boolean') this.keepalives = given.keepAlive ? 1 : 0;
    if (typeof given.keepAliveInitialDelayMillis === 'number') {
      this.keepalives_idle = Math.floor(given.keepAliveInitialDelayMillis / 1000);
    }
  }

  #checkNegotiation() {
    const { sslnegotiation } = this;
    if (sslnegotiation !== undefined && sslnegotiation !== 'postgres' && sslnegotiation !== 'direct') {
      throw new Error(`Invalid sslnegotiation value: "${sslnegotiation}". Valid values are "postgres" and "direct".`);
    }
    if (sslnegotiation === 'direct' && !this.ssl) {
      throw new Error('sslnegotiation=direct requires SSL to be enabled');
    }
  }

  /**
   * A connection string of libpq, for programs that hand it to another client.
   * @param {(error: Error | null, text: string | null) => unknown} callback
   */
  getLibpqConnectionString(callback) {
    const ssl = typeof this.ssl === 'object' ? (this.ssl ?? {}) : this.ssl ? { sslmode: this.ssl } : {};
    /** @type {[string, unknown][]} */
    const pairs = [
      ...[
        'user',
        'password',
        'port',
        'application_name',
        'fallback_application_name',
        'connect_timeout',
        'options',
      ].map((name) => /** @type {[string, unknown]} */ ([name, /** @type {any} */ (this)[name]])),
      ...['sslmode', 'sslca', 'sslkey', 'sslcert', 'sslrootcert'].map(
        (name) => /** @type {[string, unknown]} */ ([name, /** @type {any} */ (ssl)[name]]),
      ),
      ['sslnegotiation', this.sslnegotiation],
      ['dbname', this.database || null],
      ['replication', this.replication || null],
      ['host', this.host || null],
    ];
    if (this.isDomainSocket) return callback(null, textOf(pairs));
    pairs.push(['client_encoding', this.client_encoding || null]);
    // libpq looks up each host of a list itself.
    if (this.hosts.length > 1) return callback(null, textOf(pairs));
    dns.lookup(this.host, (error, address) => {
      if (error) return callback(error, null);
      callback(null, textOf([...pairs, ['hostaddr', address]]));
    });
  }
}

/** @param {[string, unknown][]} pairs those without a value are left out */
const textOf = (pairs) =>
  pairs
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}='${String(value).replaceAll(/[\\']/g, '\\$&')}'`)
    .join(' ');

module.exports = ConnectionParameters;
