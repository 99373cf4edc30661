'use strict';

// The option `ssl`, libpq's ssl keywords and the files of ~/.postgresql: what the core is told of TLS. What comes of it with
// real servers is in the tests of TLS itself; here a file is PEM by its first line alone.

const assert = require('node:assert/strict');
const path = require('node:path');
const { OptionError } = require('../../lib/errors.js');
const { parseOptions } = require('../../lib/options/options.js');
const { isOpen } = require('../../lib/options/tls-options.js');
const { FOLDER, HOME, core, file, refused, shown } = require('../support/configured.js');
const { test } = require('../support/helpers.js');

const CERT = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIs3cret\n-----END PRIVATE KEY-----\n';
const CRL = '-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n';
const ca = file('ca.pem', CERT);
const cert = file('cert.pem', CERT);
const key = file('key.pem', KEY);
const crl = file('crl.pem', CRL);
/** A home with all of libpq's files, and one with a CA alone. */
const full = path.join(FOLDER, 'full');
const rootOnly = path.join(FOLDER, 'root-only');
const own = (/** @type {string} */ home, /** @type {string} */ name) => path.join(home, '.postgresql', name);
file('full/.postgresql/root.crt', CERT);
file('full/.postgresql/root.crl', CRL);
file('full/.postgresql/postgresql.crt', CERT);
file('full/.postgresql/postgresql.key', KEY);
file('root-only/.postgresql/root.crt', CERT);

const NONE = {
  mode: 'prefer',
  negotiation: 'postgres',
  ca: null,
  cert: null,
  key: null,
  crl: null,
  servername: null,
};
const SYSTEM = { system: true };
/** @type {[unknown, NodeJS.ProcessEnv, object | null][]} */
const TOLD = [
  // Modes.
  [{ ssl: false }, {}, null],
  [{ ssl: 'disable' }, { HOME: full }, null],
  [{ ssl: 'allow' }, {}, { mode: 'allow' }],
  [{ ssl: 'require' }, {}, { mode: 'require', ca: null }],
  [{ ssl: true }, {}, { mode: 'verify-full', ca: SYSTEM }],
  [{ ssl: true }, { HOME: full, PGSSLROOTCERT: ca }, { mode: 'verify-full', ca: SYSTEM, crl: null }],
  [{ ssl: 'verify-full' }, {}, { mode: 'verify-full', ca: SYSTEM }],
  [{ ssl: 'verify-full' }, { HOME: rootOnly }, { mode: 'verify-full', ca: { path: own(rootOnly, 'root.crt') } }],
  [{ ssl: 'verify-ca' }, { HOME: rootOnly }, { mode: 'verify-ca', ca: { path: own(rootOnly, 'root.crt') } }],
  [{ ssl: {} }, {}, { mode: 'verify-full', ca: SYSTEM }],
  [{ ssl: { mode: 'require' } }, {}, { mode: 'require', ca: null }],
  [{ ssl: { rejectUnauthorized: false } }, {}, { mode: 'require', ca: null }],
  [{ ssl: { rejectUnauthorized: false, ca, crl } }, { HOME: full }, { mode: 'require', ca: null, crl: null }],
  [{ ssl: { rejectUnauthorized: false, mode: 'prefer' } }, { HOME: full }, { mode: 'prefer', ca: null }],
  [{ ssl: { rejectUnauthorized: true } }, {}, { mode: 'verify-full', ca: SYSTEM }],
  [{ ssl: 'require', connectionString: 'sslmode=disable' }, {}, { mode: 'require' }],
  [{ ssl: { ca }, connectionString: 'sslmode=require' }, {}, { mode: 'verify-full', ca: { path: ca } }],
  ['sslmode=require', { PGSSLMODE: 'disable' }, { mode: 'require' }],
  ['', { PGSSLMODE: 'require' }, { mode: 'require' }],
  ['', { PGREQUIRESSL: '1' }, { mode: 'require' }],
  ['', { PGREQUIRESSL: '1', PGSSLMODE: 'disable' }, null],
  ['', { PGREQUIRESSL: '1', PGSSLMODE: '' }, { mode: 'require' }],
  // A CA that is there is used in every mode.
  ['', { HOME: rootOnly }, { mode: 'prefer', ca: { path: own(rootOnly, 'root.crt') }, crl: null, cert: null }],
  [`sslmode=require sslrootcert=${ca}`, { HOME: full }, { mode: 'require', ca: { path: ca } }],
  ['sslrootcert=system', { HOME: full }, { mode: 'verify-full', ca: SYSTEM, crl: null }],
  ['', { PGSSLROOTCERT: 'system' }, { mode: 'verify-full', ca: SYSTEM }],
  ['sslmode=verify-full', { PGSSLROOTCERT: 'system' }, { mode: 'verify-full', ca: SYSTEM }],
  // The forms of a file.
  [{ ssl: { ca: CERT } }, {}, { ca: { pem: CERT } }],
  [{ ssl: { ca: Buffer.from(CERT) } }, {}, { ca: { pem: CERT } }],
  [{ ssl: { ca: new Uint8Array(Buffer.from(CERT)) } }, {}, { ca: { pem: CERT } }],
  [{ ssl: { ca: path.relative(process.cwd(), ca) } }, {}, { ca: { path: ca } }],
  [{ ssl: { ca: 'system' } }, {}, { mode: 'verify-full', ca: SYSTEM }],
  [{ ssl: { cert, key: Buffer.from(KEY) } }, {}, { cert: { path: cert }, key: { pem: KEY } }],
  [{ ssl: { ca, crl: CRL } }, {}, { ca: { path: ca }, crl: { pem: CRL } }],
  [{ ssl: { crl } }, {}, { ca: SYSTEM, crl: { path: crl } }],
  // ~/.postgresql
  [
    '',
    { HOME: full },
    {
      ca: { path: own(full, 'root.crt') },
      crl: { path: own(full, 'root.crl') },
      cert: { path: own(full, 'postgresql.crt') },
      key: { path: own(full, 'postgresql.key') },
    },
  ],
  [`sslcert=${cert}`, { HOME: full }, { cert: { path: cert }, key: { path: own(full, 'postgresql.key') } }],
  [{ ssl: { cert, key } }, { HOME: full }, { mode: 'verify-full', ca: { path: own(full, 'root.crt') } }],
  ['sslcertmode=disable', { HOME: full }, { cert: null, key: null }],
  ['sslcertmode=allow', { HOME: full }, { cert: { path: own(full, 'postgresql.crt') } }],
  ['host=/run/x', { HOME: full }, { mode: 'prefer', ca: null, cert: null }],
  ['host=/run/x,b', { HOME: full }, { ca: { path: own(full, 'root.crt') } }],
  // Each property from its own place.
  [
    { ssl: { ca }, connectionString: `sslcert=${cert} sslkey=${key} sslsni=0` },
    { PGSSLCRL: crl, PGSSLMINPROTOCOLVERSION: 'TLSv1.3' },
    {
      mode: 'verify-full',
      ca: { path: ca },
      cert: { path: cert },
      key: { path: key },
      crl: { path: crl },
      sni: false,
      minVersion: 'TLSv1.3',
    },
  ],
  // The rest.
  [{ ssl: { servername: 'db' } }, {}, { servername: 'db' }],
  [{ ssl: { sni: false } }, {}, { sni: false }],
  ['sslsni=1', {}, { sni: true }],
  [{ ssl: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } }, {}, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' }],
  ['ssl_min_protocol_version=tlsv1.1 ssl_max_protocol_version=TLSV1.2', {}, { minVersion: 'TLSv1.2' }],
  [{ ssl: { negotiation: 'direct' } }, {}, { mode: 'verify-full', negotiation: 'direct' }],
  ['sslnegotiation=direct sslmode=require', {}, { mode: 'require', negotiation: 'direct' }],
  ['sslmode=require', { PGSSLNEGOTIATION: 'direct' }, { negotiation: 'direct' }],
];
for (const [given, env, told] of TOLD) {
  test(`${shown(given)} ${shown(env)}`, () => {
    const options = typeof given === 'string' ? { connectionString: given || undefined } : { ...Object(given) };
    // TLS is for hosts in the network.
    if (!String(given).includes('host=')) options.hosts = 'h';
    const { ssl } = core(options, env);
    if (told === null) return assert.equal(ssl, null);
    for (const [name, value] of Object.entries(told)) assert.deepEqual(ssl[name], value, name);
    for (const name of Object.keys(NONE)) assert.ok(name in ssl, name);
  });
}

const encrypted = [
  KEY.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE'),
  KEY.replaceAll('PRIVATE', 'RSA PRIVATE').replace('MII', 'Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMII'),
];
const open = file('open.pem', KEY, 0o644);
const listed = file('listed.pem', KEY, 0o640);
file('no-key/.postgresql/postgresql.crt', CERT);
/** @type {[unknown, NodeJS.ProcessEnv, RegExp][]} */
const WRONG = [
  [{ ssl: 'verify' }, {}, /ssl must be one of 'disable', 'allow', /],
  [{ ssl: 1 }, {}, /ssl must be an object/],
  [{ ssl: null }, {}, /ssl must be an object/],
  [{ ssl: { mode: 'no' } }, {}, /ssl\.mode must be one of/],
  [{ ssl: { rejectUnauthorised: false } }, {}, /'ssl\.rejectUnauthorised': did you mean 'ssl\.rejectUnauthorized'/],
  [{ ssl: { passphrase: 'hunter2' } }, {}, /unknown option 'ssl\.passphrase'$/],
  [{ ssl: { rejectUnauthorized: 'no' } }, {}, /ssl\.rejectUnauthorized must be a boolean/],
  [{ ssl: { rejectUnauthorized: false, mode: 'verify-ca' } }, {}, /ssl\.rejectUnauthorized: false contradicts/],
  [{ ssl: { rejectUnauthorized: true, mode: 'require' } }, {}, /ssl\.rejectUnauthorized: true contradicts/],
  [{ ssl: 'verify-ca' }, {}, /ssl: 'verify-ca' needs a CA/],
  ['sslmode=verify-ca', {}, /connectionString: sslmode: 'verify-ca' needs a CA/],
  [{ ssl: { mode: 'require', ca: 'system' } }, {}, /ssl\.ca: 'system' is for verify-full alone/],
  ['sslmode=prefer', { PGSSLROOTCERT: 'system' }, /PGSSLROOTCERT: 'system' is for verify-full alone/],
  ['sslmode=disable', { PGSSLROOTCERT: 'system' }, /PGSSLROOTCERT: 'system' is for verify-full alone/],
  [{ ssl: { ca: '/nowhere/ca.pem' } }, {}, /ssl\.ca cannot be read \(ENOENT\): "\/nowhere\/ca\.pem"/],
  ['sslrootcert=/nowhere/ca.pem', {}, /connectionString: sslrootcert cannot be read \(ENOENT\)/],
  ['', { PGSSLCERT: '/nowhere/cert.pem', PGSSLKEY: key }, /PGSSLCERT cannot be read/],
  ['', { PGSSLCRL: '/nowhere/crl.pem', PGSSLROOTCERT: ca }, /PGSSLCRL cannot be read/],
  [{ ssl: { ca: FOLDER } }, {}, /ssl\.ca is not a file/],
  [{ ssl: { ca: key } }, {}, /ssl\.ca is no PEM with a certificate/],
  [{ ssl: { ca: Buffer.from('der') } }, {}, /ssl\.ca is no PEM/],
  [{ ssl: { ca: CERT.replaceAll('\n', '\\n') } }, {}, /ssl\.ca: the PEM text has no line breaks/],
  [{ ssl: { ca: '' } }, {}, /ssl\.ca must not be empty/],
  [{ ssl: { ca: 5 } }, {}, /ssl\.ca must be PEM text, a Buffer or a path/],
  [{ ssl: { cert } }, {}, /ssl\.cert needs its private key/],
  [{ ssl: { key } }, {}, /ssl\.key needs a certificate/],
  [`sslcert=${cert}`, {}, /sslcert needs its private key/],
  ['', { HOME: path.join(FOLDER, 'no-key') }, /no-key\/\.postgresql\/postgresql\.crt"\) needs its private key/],
  [{ ssl: { cert, key: cert } }, {}, /ssl\.key is no PEM with a private key/],
  [{ ssl: { cert, key: encrypted[0] } }, {}, /ssl\.key is encrypted: decrypt it/],
  [{ ssl: { cert, key: file('encrypted.pem', encrypted[1]) } }, {}, /ssl\.key is encrypted: decrypt it/],
  [{ ssl: { cert, key: open } }, {}, /ssl\.key has group or world access: ".*open\.pem": its mode must be 0600/],
  [`sslcert=${cert} sslkey=${open}`, {}, /sslkey has group or world access/],
  [{ ssl: { mode: 'require', crl } }, {}, /ssl\.crl needs a CA/],
  [`sslmode=require sslcrl=${crl}`, {}, /sslcrl needs a CA/],
  [{ ssl: { ca, crl: ca } }, {}, /ssl\.crl is no PEM with a certificate revocation list/],
  [{ ssl: { servername: '' } }, {}, /ssl\.servername must not be empty/],
  [{ ssl: { sni: 1 } }, {}, /ssl\.sni must be a boolean/],
  [{ ssl: { minVersion: 'TLSv1.1' } }, {}, /ssl\.minVersion must be one of 'TLSv1\.2', 'TLSv1\.3'/],
  [{ ssl: { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' } }, {}, /ssl\.minVersion is above ssl\.maxVersion/],
  ['ssl_max_protocol_version=TLSv1.1', {}, /ssl_max_protocol_version is not supported below TLSv1\.2/],
  ['ssl_min_protocol_version=TLSv2', {}, /ssl_min_protocol_version must be one of/],
  [{ ssl: { mode: 'prefer', negotiation: 'direct' } }, {}, /ssl\.negotiation: 'direct' needs mode 'require'/],
  ['sslnegotiation=direct', {}, /sslnegotiation: 'direct' needs mode 'require'/],
  [{ ssl: false, channelBinding: 'require' }, {}, /channelBinding: 'require' needs TLS/],
  ['sslmode=disable', { PGCHANNELBINDING: 'require' }, /PGCHANNELBINDING: 'require' needs TLS/],
  ['sslcertmode=require', {}, /sslcertmode must be one of 'disable', 'allow'/],
];
for (const [given, env, message] of WRONG) {
  test(`refused: ${shown(given)} ${shown(env)}`, () => {
    const options = typeof given === 'string' ? { connectionString: given || undefined } : Object(given);
    refused({ hosts: 'h', ...options }, env, message);
  });
}

test('a key that stands where a path should is not shown', () => {
  const body = Buffer.from('s3cret'.repeat(40)).toString('base64');
  for (const text of [body, `${KEY.split('\n')[1]}\n${body}`]) {
    assert.throws(
      () => parseOptions({ hosts: 'h', ssl: { cert, key: text } }, { HOME }),
      (/** @type {any} */ error) => error instanceof OptionError && !error.message.includes(body.slice(0, 20)),
    );
  }
});

test('who may read a key: its owner, and for one of root a group', () => {
  const table = /** @type {[number, number, boolean][]} */ ([
    [0o600, 1000, false],
    [0o400, 1000, false],
    [0o640, 1000, true],
    [0o604, 1000, true],
    [0o600, 0, false],
    [0o640, 0, false],
    [0o660, 0, true],
    [0o650, 0, true],
    [0o644, 0, true],
  ]);
  for (const [mode, uid, expected] of table) assert.equal(isOpen({ mode: 0o100000 | mode, uid }), expected);
  const read = () => parseOptions({ hosts: 'h', ssl: { cert, key: listed } }, { HOME });
  if (process.getuid?.() === 0) assert.doesNotThrow(read);
  else assert.throws(read, OptionError);
});
