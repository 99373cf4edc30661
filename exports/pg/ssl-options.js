'use strict';

// The option `ssl` of pg, which are options of tls.connect() of Node, as the option `ssl` of createPool. What cannot be the same is refused,
// because a connection would be protected less than its owner thinks.

const { createPrivateKey } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const { OptionError } = require('../../client.js');

/** Options of tls.connect() that say whom to trust or how to encrypt, and have no counterpart. */
const REFUSED = [
  'pfx',
  'secureContext',
  'ciphers',
  'sigalgs',
  'ecdhCurve',
  'dhparam',
  'secureProtocol',
  'secureOptions',
  'pskCallback',
];
const OLD_VERSIONS = ['TLSv1', 'TLSv1.1'];

/** @param {string} name @param {unknown} value @returns {string | Uint8Array} */
function pem(name, value) {
  if (Array.isArray(value)) return value.map((one) => text(name, one)).join('\n');
  return typeof value === 'string' || value instanceof Uint8Array ? value : text(name, value);
}

/** @param {string} name @param {any} value @returns {string} */
function text(name, value) {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (value?.pem !== undefined) return text(name, value.pem);
  throw new OptionError(`ssl.${name} must be PEM text, a Buffer or an array of them`);
}

/** The core reads keys that are not encrypted. @param {any} ssl */
function keyOf({ key, passphrase }) {
  const [first] = Array.isArray(key) ? key : [key];
  const secret = first?.passphrase ?? passphrase;
  if (secret === undefined) return pem('key', key);
  try {
    const opened = createPrivateKey({ key: text('key', first), passphrase: secret });
    return opened.export({ type: 'pkcs8', format: 'pem' });
  } catch (error) {
    throw new OptionError(`ssl.key cannot be decrypted with ssl.passphrase (${/** @type {any} */ (error).code})`);
  }
}

/**
 * A function that looks at neither host nor certificate says that any name will do. Others cannot be called from the core.
 * @param {any} check
 */
function isForAnyName(check) {
  if (check === undefined || check === tls.checkServerIdentity) return false;
  if (typeof check === 'function' && check.length === 0 && !check()) return true;
  throw new OptionError(
    "ssl.checkServerIdentity is not supported, except () => undefined: use ssl.servername, or ssl: { mode: 'verify-ca', ca }",
  );
}

/** @param {any} ssl @returns {string} */
function modeOf(ssl) {
  if (ssl.mode !== undefined) return ssl.mode;
  // As in Node, any value but false verifies.
  if (ssl.rejectUnauthorized === false) return 'require';
  return isForAnyName(ssl.checkServerIdentity) ? 'verify-ca' : 'verify-full';
}

/** @type {string | undefined} */
let trusted;

/**
 * Whom Node trusts, and so pg: its own list of roots, and NODE_EXTRA_CA_CERTS. A small container often has no roots of the operating system.
 */
function trustOfNode() {
  trusted ??= readTrust();
  return trusted;
}

function readTrust() {
  if (/--use-openssl-ca/.test(`${process.execArgv.join(' ')} ${process.env.NODE_OPTIONS ?? ''}`)) return 'system';
  // Node 20 has no such function.
  const known = /** @type {any} */ (tls).getCACertificates?.('default') ?? [
    ...(tls.rootCertificates ?? []),
    ...extraRoots(),
  ];
  return known.length === 0 ? 'system' : known.join('\n');
}

/** Node itself warns of a file that cannot be read, and goes on. */
function extraRoots() {
  const file = process.env.NODE_EXTRA_CA_CERTS;
  try {
    return file ? [fs.readFileSync(file, 'latin1')] : [];
  } catch {
    return [];
  }
}

/** @param {any} ssl */
function fromObject(ssl) {
  const refused = REFUSED.find((name) => ssl[name] !== undefined);
  if (refused !== undefined)
    throw new OptionError(`ssl.${refused} is not supported: connections are made by the native core`);
  const mode = modeOf(ssl);
  /** @type {Record<string, unknown>} */
  const options = { mode };
  if (mode === 'verify-full') options.ca = trustOfNode();
  if (ssl.ca) options.ca = ssl.ca === 'system' ? ssl.ca : pem('ca', ssl.ca);
  if (ssl.mode === undefined && ssl.rejectUnauthorized === false) options.rejectUnauthorized = false;
  if (ssl.cert) options.cert = pem('cert', ssl.cert);
  // pg hides the key from enumeration.
  if (ssl.key) options.key = keyOf(ssl);
  if (ssl.crl) options.crl = pem('crl', ssl.crl);
  if (ssl.sni !== undefined) options.sni = ssl.sni;
  if (ssl.minVersion && !OLD_VERSIONS.includes(ssl.minVersion)) options.minVersion = ssl.minVersion;
  if (ssl.maxVersion) options.maxVersion = ssl.maxVersion;
  return options;
}

/**
 * @param {any} ssl as ConnectionParameters has it
 * @param {string | undefined} negotiation
 * @param {{ host: string }[]} hosts
 * @returns {any} for createPool
 */
function sslOptions(ssl, negotiation, hosts) {
  // A connection string of ours may say 'disable'; in pg any other text is true.
  if (!ssl || ssl === 'disable') return false;
  const options = fromObject(typeof ssl === 'object' ? ssl : {});
  // As in pg, a host that has a name must be called so; `servername` is for addresses. Of several hosts, which pg does not have, all are
  // called as it says.
  const isNamed = hosts.length === 1 && net.isIP(hosts[0].host) === 0;
  if (ssl.servername && !isNamed) options.servername = ssl.servername;
  return negotiation === undefined ? options : { ...options, negotiation };
}

module.exports = { sslOptions };
