'use strict';

// Hosts and ports: from the option `hosts`, or from host, hostaddr and port of libpq, which are lists of equal length
// (PostgreSQL docs, 34.1.1.3). By default the server of this machine.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { filled, integer, kindOf, nonEmpty, plainObject, refuseUnknown } = require('./validate.js');
const { OptionError } = require('../errors.js');
const keywords = require('./keywords.js');

/** @typedef {{ host: string, port: number, address: string | null }} Host `address`: where `host` is, not looked up */
/** @typedef {import('./keywords.js').Said} Said */

/** The default folders of a server's socket: those of Debian and Red Hat, and of PostgreSQL itself. */
const SOCKET_FOLDERS = process.platform === 'win32' ? [] : ['/var/run/postgresql', '/tmp'];
const DEFAULT_PORT = 5432;

/**
 * @param {unknown} value
 * @param {string} name
 */
const port = (value, name) => integer(name, value, 1, 65_535);

/** @param {string} host */
const isSocket = (host) => host.startsWith('/');

/** How a node is named everywhere: `host:port`, `[::1]:5432`. @param {{ host: string, port: number }} node */
const labelOf = ({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/**
 * @param {unknown} given the option `hosts`
 * @param {number | undefined} ownPort the option `port`
 * @param {ReadonlyMap<string, Said>} said
 * @param {readonly string[]} [folders]
 * @returns {Host[]}
 */
function resolveHosts(given, ownPort, said, folders = SOCKET_FOLDERS) {
  const list = given === undefined ? named(said) : listed(given);
  const ports = ownPort === undefined ? portList(said.get('port')) : [ownPort];
  if (ports.length > 1 && ports.length !== list.length) {
    throw new OptionError(`${said.get('port')?.name} has ${ports.length} ports for ${list.length} hosts`);
  }
  return list.map(({ host, port: own, address = null }, index) => {
    const at = own ?? ports[ports.length > 1 ? index : 0] ?? DEFAULT_PORT;
    return { host: host ?? address ?? localHost(at, folders), port: at, address };
  });
}

/**
 * @param {number} at
 * @param {readonly string[]} folders
 */
function localHost(at, folders) {
  const hasSocket = (/** @type {string} */ folder) =>
    fs.statSync(path.join(folder, `.s.PGSQL.${at}`), { throwIfNoEntry: false })?.isSocket();
  return folders.find(hasSocket) ?? 'localhost';
}

// --- libpq's lists

/** @typedef {{ host?: string, port?: number, address?: string | null }} Named */

/**
 * @param {ReadonlyMap<string, Said>} said
 * @returns {Named[]}
 */
function named(said) {
  const hosts = said.get('hosts');
  const addresses = said.get('hosts.address');
  const names = hosts?.value.split(',');
  const list = addresses?.value.split(',') ?? names ?? [''];
  if (hosts && addresses && names.length !== list.length) {
    throw new OptionError(
      `${addresses.name} has ${list.length} addresses for the ${names.length} hosts of ${hosts.name}`,
    );
  }
  return list.map((/** @type {string} */ _, /** @type {number} */ index) => ({
    host: hosts && hostName(names[index], hosts.name),
    address: addresses && addressOf(list[index], addresses.name),
  }));
}

/**
 * @param {string} text
 * @param {string} name
 */
function hostName(text, name) {
  // The text behind an '@' may be the rest of a password that is not percent-encoded.
  if (text.includes('@')) throw new OptionError(`${name} must not contain '@': in a password it is written %40`);
  if (/^[^:/]+:\d*$/.test(text)) throw new OptionError(`${name} must not contain a port: that is the keyword port`);
  return text === '' ? undefined : text;
}

/**
 * @param {string} text
 * @param {string} name
 */
function addressOf(text, name) {
  if (text !== '' && net.isIP(text) === 0) throw new OptionError(`${name} must be an IP address`);
  return text === '' ? null : text;
}

/** @param {Said | undefined} ports */
function portList(ports) {
  if (ports === undefined) return [DEFAULT_PORT];
  return ports.value.split(',').map((/** @type {string} */ text) => {
    const number = text === '' ? DEFAULT_PORT : keywords.integer(text, ports.name);
    if (number < 1 || number > 65_535) throw new OptionError(`${ports.name} must be from 1 to 65535`);
    return number;
  });
}

// --- the option

/** @type {import('./validate.js').Rows} */
const HOST = {
  host: {
    type: 'string',
    check: filled,
    preset: 'it must be given',
    text: 'a name, an IP address or the folder of a socket',
  },
  port: { type: 'number', check: port, preset: 'the option `port`', text: 'its port' },
  address: {
    type: 'string',
    check: address,
    preset: 'what its name leads to',
    text: 'the IP address at which `host` is: nothing is looked up, and `host` is what a certificate must name',
  },
};

/**
 * @param {unknown} value
 * @returns {Named[]}
 */
function listed(value) {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [value];
  if (list.length === 0) throw new OptionError('hosts must name at least one host');
  return list.map((item, index) => {
    const name = `hosts[${index}]`;
    if (typeof item === 'string') return parseHost(item, name);
    const object = plainObject(name, item);
    refuseUnknown(object, HOST, { path: name });
    const parsed = parseHost(nonEmpty(`${name}.host`, object.host), `${name}.host`);
    return {
      host: parsed.host,
      port: object.port === undefined ? parsed.port : port(object.port, `${name}.port`),
      address: object.address === undefined ? null : address(object.address, `${name}.address`),
    };
  });
}

/**
 * `h`, `h:port`, `[::1]`, `[::1]:port`, `::1`, `/socket/dir`, `/socket/dir:port`. Any other text is not
 * printed: it may be a URL with a password.
 * @param {string} given
 * @param {string} name
 * @returns {Named & { host: string }}
 */
function parseHost(given, name) {
  const text = given.trim();
  const parts =
    /^\[([0-9A-Fa-f:.%\w]+)\](?::(\d+))?$/.exec(text) ??
    /^([0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.%\w]*)$/.exec(text) ??
    /^(\/[^:@]*|[^\s:/@?#[\]]+)(?::(\d+))?$/.exec(text);
  if (parts === null) throw new OptionError(`${name} must be 'host', 'host:port', '[ipv6]:port' or '/socket/dir'`);
  return { host: parts[1], port: parts[2] === undefined ? undefined : port(Number(parts[2]), name) };
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function address(value, name) {
  if (typeof value === 'string' && net.isIP(value) !== 0) return value;
  throw new OptionError(`${name} must be an IP address${typeof value === 'string' ? '' : `, not ${kindOf(value)}`}`);
}

module.exports = { HOST, SOCKET_FOLDERS, isSocket, labelOf, port, resolveHosts };
