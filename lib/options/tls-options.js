'use strict';

// The option `ssl` and the ssl keywords of libpq, as the core reads them (src/binding/options.rs).
//
// The meaning is that of libpq (PostgreSQL docs, 34.19): if there is a CA, it is used in every mode; files in ~/.postgresql are
// used if they exist. There are two differences, both safer: a file that is named must exist, and verify-full without a CA
// trusts the system's roots instead of failing.
//
// Files are checked here, so that createPool throws; the core reads them, and reads them again when they change.

const fs = require('node:fs');
const path = require('node:path');
const { boolean, choice, filled, kindOf, nonEmpty, oneOf, plainObject, refuseUnknown } = require('./validate.js');
const { OptionError } = require('../errors.js');
const { homeFile } = require('./files.js');
const { NEGOTIATIONS, SSL_MODES } = require('./keywords.js');

/** @typedef {import('./keywords.js').Said} Said */
/** @typedef {{ pem: string } | { path: string }} File */

const VERSIONS = ['TLSv1.2', 'TLSv1.3'];
const STRONG = ['require', 'verify-ca', 'verify-full'];

/** The labels in PEM files. */
const LABELS = {
  ca: /-----BEGIN CERTIFICATE-----/,
  cert: /-----BEGIN CERTIFICATE-----/,
  key: /-----BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY-----/,
  crl: /-----BEGIN X509 CRL-----/,
};

/** @param {unknown} value @param {string} name */
function source(value, name) {
  if (value instanceof Uint8Array) return { pem: Buffer.from(value).toString('latin1') };
  if (typeof value !== 'string') {
    throw new OptionError(`${name} must be PEM text, a Buffer or a path, not ${kindOf(value)}`);
  }
  return nonEmpty(name, value).includes('-----BEGIN') ? { pem: value } : { path: path.resolve(value) };
}

/** @type {import('./validate.js').Rows} */
const SSL = {
  mode: {
    type: 'SslMode',
    preset: "`'verify-full'`, whatever a connection string says; with `rejectUnauthorized: false` `'require'`",
    check: choice(SSL_MODES),
    text: 'how much the connection is protected',
  },
  ca: {
    type: 'string | Uint8Array',
    preset: "the file ~/.postgresql/root.crt where it exists; for verify-full, the system's roots",
    check: (value, name) => (value === 'system' ? { system: true } : source(value, name)),
    text: "whom to trust: PEM text, a path, or `'system'` for the system's roots (with verify-full alone)",
    more: 'Where there is a CA, the chain is verified in every mode.',
  },
  cert: {
    type: 'string | Uint8Array',
    preset: '~/.postgresql/postgresql.crt where it exists',
    check: source,
    text: 'the certificate of the client: PEM text or a path',
  },
  key: {
    type: 'string | Uint8Array',
    preset: '~/.postgresql/postgresql.key',
    check: source,
    text: 'the private key of the client, not encrypted: PEM text or a path',
    more: 'A file that others may read (more than 0600, or 0640 if root owns it) is refused: {@link OptionError}.',
  },
  crl: {
    type: 'string | Uint8Array',
    preset: '~/.postgresql/root.crl where it exists',
    check: source,
    text: 'certificates that were revoked: PEM text or a path',
  },
  servername: {
    type: 'string',
    preset: "the host's",
    check: filled,
    text: "the name that is sent and verified instead of the host's",
  },
  rejectUnauthorized: {
    type: 'boolean',
    preset: 'as `mode` says',
    check: boolean,
    text: '`false`: nothing is verified, and whoever is in between can read and change everything',
  },
  negotiation: {
    type: "'postgres' | 'direct'",
    preset: "`'postgres'`",
    check: choice(NEGOTIATIONS),
    text: "`'direct'`: TLS from the first byte, which saves a round trip; PostgreSQL 17+, mode `'require'` or stronger",
  },
  sni: { type: 'boolean', preset: '`true`', check: boolean, text: "whether the server's name is sent" },
  minVersion: {
    type: "'TLSv1.2' | 'TLSv1.3'",
    preset: "`'TLSv1.2'`, the least there is",
    check: choice(VERSIONS),
    text: 'the oldest version of TLS',
  },
  maxVersion: {
    type: "'TLSv1.2' | 'TLSv1.3'",
    preset: "`'TLSv1.3'`",
    check: choice(VERSIONS),
    text: 'the newest version of TLS',
  },
};

/**
 * The option's properties, each under its name as keywords have it.
 * @param {unknown} given
 * @returns {Map<string, Said>}
 */
function explicit(given) {
  /** @type {Map<string, Said>} */
  const said = new Map();
  const put = (/** @type {string} */ name, /** @type {unknown} */ value, label = `ssl.${name}`) =>
    said.set(`ssl.${name}`, { value, name: label });
  if (given === undefined) return said;
  if (typeof given === 'string') return put('mode', oneOf('ssl', given, SSL_MODES), 'ssl');
  if (given === false) return put('mode', 'disable', 'ssl');
  if (given === true) {
    put('ca', { system: true }, 'ssl');
    return put('mode', 'verify-full', 'ssl');
  }
  const object = plainObject('ssl', given);
  refuseUnknown(object, SSL, { path: 'ssl' });
  for (const [name, value] of Object.entries(object)) {
    if (value !== undefined) put(name, SSL[name].check(value, `ssl.${name}`));
  }
  const { mode, rejectUnauthorized } = object;
  if (mode === undefined) put('mode', rejectUnauthorized === false ? 'require' : 'verify-full');
  if (rejectUnauthorized !== undefined && mode !== undefined) {
    const isVerified = /** @type {string} */ (mode).startsWith('verify-');
    if (isVerified !== rejectUnauthorized) {
      throw new OptionError(`ssl.rejectUnauthorized: ${rejectUnauthorized} contradicts ssl.mode '${mode}'`);
    }
  }
  return said;
}

/**
 * @param {unknown} given the option `ssl`
 * @param {ReadonlyMap<string, Said>} fromKeywords
 * @param {{ env: NodeJS.ProcessEnv, hasTcp: boolean }} surroundings over sockets TLS is never used
 * @returns {object | null} null: no TLS
 */
function resolveTls(given, fromKeywords, { env, hasTcp }) {
  const own = explicit(given);
  const said = (/** @type {string} */ name) => own.get(`ssl.${name}`) ?? fromKeywords.get(`ssl.${name}`);
  const ca = said('ca');
  const isSystem = ca !== undefined && (ca.value === 'system' || ca.value.system === true);
  const mode = said('mode') ?? { value: isSystem ? 'verify-full' : 'prefer', name: 'ssl' };
  checkMode(mode, isSystem ? ca : undefined, said('negotiation'));
  if (mode.value === 'disable') return null;
  /** A file in ~/.postgresql that is used if it exists. @param {string} name */
  const present = (name) => {
    const file = hasTcp ? homeFile(env, path.join('.postgresql', name)) : undefined;
    return file !== undefined && fs.existsSync(file) ? { value: { path: file }, name: `ssl ("${file}")` } : undefined;
  };
  const isBlind = said('rejectUnauthorized')?.value === false;
  const [minVersion, maxVersion] = [said('minVersion'), said('maxVersion')];
  if (minVersion && maxVersion && minVersion.value > maxVersion.value) {
    throw new OptionError(`${minVersion.name} is above ${maxVersion.name}`);
  }
  return {
    mode: mode.value,
    negotiation: said('negotiation')?.value ?? 'postgres',
    ...trust(mode, isSystem ? { value: { system: true }, name: ca.name } : (ca ?? present('root.crt')), {
      crl: said('crl'),
      ownCrl: present('root.crl'),
      isBlind,
    }),
    ...identity(said('certMode')?.value === 'disable', said('cert') ?? present('postgresql.crt'), {
      key: said('key'),
      ownKey: present('postgresql.key'),
    }),
    servername: said('servername')?.value ?? null,
    sni: said('sni')?.value ?? true,
    minVersion: minVersion?.value ?? null,
    maxVersion: maxVersion?.value ?? null,
  };
}

/**
 * @param {Said} mode
 * @param {Said | undefined} system the CA, where it is the system's roots
 * @param {Said | undefined} negotiation
 */
function checkMode(mode, system, negotiation) {
  if (system !== undefined && mode.value !== 'verify-full') {
    throw new OptionError(`${system.name}: 'system' is for verify-full alone, but ${mode.name} is '${mode.value}'`);
  }
  if (negotiation?.value === 'direct' && !STRONG.includes(mode.value)) {
    throw new OptionError(`${negotiation.name}: 'direct' needs mode 'require' or a stronger one, not '${mode.value}'`);
  }
}

/**
 * The CA that the client trusts.
 * @param {Said} mode
 * @param {Said | undefined} ca
 * @param {{ crl?: Said, ownCrl?: Said, isBlind: boolean }} rest
 */
function trust(mode, ca, { crl, ownCrl, isBlind }) {
  const read = ca === undefined ? systemRoots(mode) : ca.value.system ? ca.value : checked('ca', ca);
  if (isBlind) return { ca: null, crl: null };
  if (read === null) {
    if (crl !== undefined) throw new OptionError(`${crl.name} needs a CA: without one no certificate is verified`);
    return { ca: null, crl: null };
  }
  // The user's own list of revoked certificates is about the user's own CA.
  const list = crl ?? (read.system ? undefined : ownCrl);
  return { ca: read, crl: list === undefined ? null : checked('crl', list) };
}

/** @param {Said} mode */
function systemRoots(mode) {
  if (mode.value === 'verify-full') return { system: true };
  if (mode.value !== 'verify-ca') return null;
  throw new OptionError(
    `${mode.name}: 'verify-ca' needs a CA: the option ssl.ca, sslrootcert, or the file ~/.postgresql/root.crt`,
  );
}

/**
 * The certificate and the key of the client.
 * @param {boolean} isNobody
 * @param {Said | undefined} cert
 * @param {{ key?: Said, ownKey?: Said }} keys
 */
function identity(isNobody, cert, { key, ownKey }) {
  if (isNobody) return { cert: null, key: null };
  if (cert === undefined) {
    if (key !== undefined) throw new OptionError(`${key.name} needs a certificate: ssl.cert or sslcert`);
    return { cert: null, key: null };
  }
  const private_ = key ?? ownKey;
  if (private_ === undefined) throw new OptionError(`${cert.name} needs its private key: ssl.key or sslkey`);
  return { cert: checked('cert', cert), key: checked('key', private_) };
}

/**
 * The file or text, if it has the label that it must have.
 * @param {keyof typeof LABELS} kind
 * @param {Said} said
 * @returns {any}
 */
function checked(kind, { value, name }) {
  /** @type {any} */
  const file = typeof value === 'string' ? { path: path.resolve(value) } : value;
  const pem = file.pem ?? contents(file.path, name, kind === 'key');
  if (!LABELS[kind].test(pem)) throw new OptionError(`${name} is no PEM with ${LABEL_NAMES[kind]}`);
  if (!/-----BEGIN [^-]+-----\s*\n/.test(pem)) throw new OptionError(`${name}: the PEM text has no line breaks`);
  if (kind === 'key' && /-----BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    throw new OptionError(`${name} is encrypted: decrypt it (openssl pkey -in key.pem -out plain.pem)`);
  }
  return file;
}

const LABEL_NAMES = {
  ca: 'a certificate',
  cert: 'a certificate',
  key: 'a private key',
  crl: 'a certificate revocation list (X509 CRL)',
};

/**
 * @param {string} file
 * @param {string} name
 * @param {boolean} isSecret
 */
function contents(file, name, isSecret) {
  try {
    const stat = fs.statSync(file);
    if (!stat.isFile()) throw new OptionError(`${name} is not a file${shown(file)}`);
    if (isSecret && process.platform !== 'win32' && isOpen(stat)) {
      throw new OptionError(
        `${name} has group or world access${shown(file)}: its mode must be 0600 or less, or 0640 or less if root owns it`,
      );
    }
    return fs.readFileSync(file, 'latin1');
  } catch (error) {
    if (error instanceof OptionError) throw error;
    throw new OptionError(`${name} cannot be read (${/** @type {any} */ (error).code})${shown(file)}`);
  }
}

/** Whether more users may read a key than libpq allows. @param {{ mode: number, uid: number }} stat */
const isOpen = ({ mode, uid }) => (mode & (uid === 0 ? 0o037 : 0o077)) !== 0;

/** Text without BEGIN counts as a path, but may still be a key, so it is not printed. @param {string} file */
const shown = (file) => (/[A-Za-z0-9+/=]{60}|[\r\n]/.test(file) ? '' : `: "${file}"`);

module.exports = { SSL, isOpen, resolveTls };
