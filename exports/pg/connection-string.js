'use strict';

// Connection strings, read as pg-connection-string 2.14 reads them, which pg uses. Several hosts are understood beside that, as in libpq:
// postgres://user:password@h1:5432,h2:5433/database?ssl=true&application_name=a. There `host` and `port` are lists.

const fs = require('node:fs');

/** What is not percent-encoded as a URL wants it. */
const UNENCODED = / |%[^a-f0-9]|%[a-f0-9][^a-f0-9]/i;
/** The authority of a URL with several hosts: what is before them, the hosts, what is behind them. */
const SEVERAL_HOSTS = /^([a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?)([^/?#@,]*(?:,[^/?#@,]*)+)([/?#].*)?$/is;

/**
 * The parts, each under the name of an option of pg: what is in the query is among them.
 * @param {string} text
 * @param {{ useLibpqCompat?: boolean }} [options]
 * @returns {Record<string, any>}
 */
function parse(text, options = {}) {
  if (text.startsWith('/')) {
    const [host, database] = text.split(' ');
    return { host, database };
  }
  const encoded = UNENCODED.test(text) ? encodeURI(text).replaceAll(/%25(\d\d)/g, '%$1') : text;
  const { url, hosts, isWithoutHost } = split(encoded);
  /** @type {Record<string, any>} */
  const config = Object.assign(Object.create(null), Object.fromEntries(url.searchParams));
  config.user ||= decodeURIComponent(url.username);
  config.password ||= decodeURIComponent(url.password);
  if (url.protocol === 'socket:') {
    config.host = decodeURI(url.pathname);
    config.database = url.searchParams.get('db');
    config.client_encoding = url.searchParams.get('encoding');
    return config;
  }
  const hostname = isWithoutHost ? '' : url.hostname.replace(/^\[(.+)\]$/, '$1');
  let path = url.pathname;
  if (!config.host) config.host = hosts?.names.join() ?? decodeURIComponent(hostname);
  // The socket's folder is in the query, so what stands in the place of the host is a part of the path.
  else if (hostname && /^%2f/i.test(hostname)) path = `/${hostname}${path}`;
  config.port ||= hosts?.ports.join() ?? url.port;
  config.database = path.length > 1 ? decodeURI(path.slice(1)) : null;
  setSsl(config, options);
  return config;
}

/** @param {string} text */
function split(text) {
  const [, before, list, after = ''] = SEVERAL_HOSTS.exec(text) ?? [];
  if (list === undefined) return { ...urlOf(text), hosts: undefined };
  const hosts = list.split(',').map((host) => /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(host));
  if (hosts.includes(null)) throw new TypeError('Invalid URL: a host of the list is neither host nor host:port');
  const names = hosts.map((host) => decodeURIComponent(/** @type {any} */ (host)[1]).replace(/^\[(.+)\]$/, '$1'));
  const ports = hosts.map((host) => /** @type {any} */ (host)[2] ?? '');
  // Without any port the list is empty, so that PGPORT counts.
  return { ...urlOf(`${before}h${after}`), hosts: { names, ports: ports.some(Boolean) ? ports : [] } };
}

/** @param {string} text @returns {{ url: URL, isWithoutHost: boolean }} */
function urlOf(text) {
  const url = tried(text);
  if (url !== null) return { url, isWithoutHost: false };
  try {
    return { url: new URL(text.replace('@/', '@none/'), 'postgres://base'), isWithoutHost: true };
  } catch (error) {
    // It is the text, with the password.
    if (/** @type {any} */ (error).input) /** @type {any} */ (error).input = '*****REDACTED*****';
    throw error;
  }
}

/** @param {string} text */
function tried(text) {
  try {
    return new URL(text, 'postgres://base');
  } catch {
    return null;
  }
}

/** @param {Record<string, any>} config @param {{ useLibpqCompat?: boolean }} options */
function setSsl(config, options) {
  if (config.ssl === 'true' || config.ssl === '1') config.ssl = true;
  if (config.ssl === '0') config.ssl = false;
  const { sslcert, sslkey, sslrootcert, sslmode } = config;
  if (sslcert || sslkey || sslrootcert || sslmode) config.ssl = {};
  if (config.sslnegotiation === 'direct' && config.ssl === undefined) config.ssl = true;
  for (const [file, member] of [
    [sslcert, 'cert'],
    [sslkey, 'key'],
    [sslrootcert, 'ca'],
  ]) {
    if (file) config.ssl[member] = fs.readFileSync(file).toString();
  }
  if (options.useLibpqCompat && config.uselibpqcompat) {
    throw new Error('Both useLibpqCompat and uselibpqcompat are set. Please use only one of them.');
  }
  const isLibpq = config.uselibpqcompat === 'true' || options.useLibpqCompat === true;
  if (sslmode === 'disable') config.ssl = false;
  else if (isLibpq) setAsLibpq(config.ssl, config);
  else if (sslmode === 'no-verify') config.ssl.rejectUnauthorized = false;
  else if (['prefer', 'require', 'verify-ca'].includes(sslmode)) warnOfMode(sslmode);
}

/** @param {any} ssl @param {Record<string, any>} config */
function setAsLibpq(ssl, { sslmode, sslrootcert }) {
  if (sslmode === 'prefer' || (sslmode === 'require' && !sslrootcert)) ssl.rejectUnauthorized = false;
  if (sslmode === 'verify-ca' && !ssl.ca) {
    throw new Error(
      'SECURITY WARNING: Using sslmode=verify-ca requires specifying a CA with sslrootcert. If a public CA is used, verify-ca allows connections to a server that somebody else may have registered with the CA, making you vulnerable to Man-in-the-Middle attacks. Either specify a custom CA certificate with sslrootcert parameter or use sslmode=verify-full for proper security.',
    );
  }
  // With a CA, `require` verifies the chain, but not the name.
  if (sslmode === 'verify-ca' || (sslmode === 'require' && sslrootcert)) ssl.checkServerIdentity = () => {};
}

let hasWarned = false;

/** Once for a process, as pg does. @param {string} mode */
function warnOfMode(mode) {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(`SECURITY WARNING: The SSL modes 'prefer', 'require', and 'verify-ca' are treated as aliases for 'verify-full', as pg 8 does.
If that is what you want, use 'sslmode=verify-full'. For the meaning that they have in libpq, use 'uselibpqcompat=true&sslmode=${mode}'.`);
}

module.exports = { parse };
