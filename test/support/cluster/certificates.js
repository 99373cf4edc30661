'use strict';

// A small PKI, made in about a second and without the openssl program: authorities, server certificates that are good and bad in
// every way that a client must notice, client certificates, revocation lists, and private keys in the forms that are used in
// practice.
//
//   const pki = await makePki(folder);
//   pki.servers.good             { subject, cert, key, certFile, keyFile }: PEM texts, and the files that hold them
//   pki.ca.pem, pki.ca.file      the root that clients trust (test/security/tls.matrix.js tells what each certificate is for)
//
// A certificate's PEM text carries the intermediates, as servers send them: leaf first, without the root.

require('reflect-metadata'); // @peculiar/x509 asks for reflect-metadata before it is loaded
const { KeyObject, sign: signBytes, webcrypto } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { AsnConvert } = require('@peculiar/asn1-schema');
const asn1 = require('@peculiar/asn1-x509');
const x509 = require('@peculiar/x509');

/** @typedef {{ name: string, file: string, pem: string }} Trust a file of certificates or of revocation lists */
/** @typedef {{ name: string, subject: string, cert: string, key: string, certFile: string, keyFile: string }} Identity */
/** @typedef {webcrypto.CryptoKeyPair} Keys */
/** @typedef {{ subject: string, keys: Keys, algorithm: any, chain: string, issuer: string, serial: string }} Authority */

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const ECDSA_384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-512',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};

const DAY_MS = 86_400_000;
/** @param {number} days from now */
const day = (days) => new Date(Date.now() + days * DAY_MS);

const NOW = { notBefore: day(-2), notAfter: day(365) };
const PAST = { notBefore: day(-30), notAfter: day(-1) };
const FUTURE = { notBefore: day(2), notAfter: day(365) };

const { digitalSignature, keyCertSign, cRLSign, keyEncipherment } = x509.KeyUsageFlags;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const CRL_NUMBER = '2.5.29.20';

/** @param {...string} values */
const dns = (...values) => values.map((value) => ({ type: /** @type {const} */ ('dns'), value }));
/** @param {...string} values */
const ip = (...values) => values.map((value) => ({ type: /** @type {const} */ ('ip'), value }));
const LOCAL = [...dns('localhost'), ...ip('127.0.0.1', '127.0.0.2', '127.0.0.3')];

/**
 * The authorities; one that comes later may be signed by an earlier one, and one without a signer signs itself.
 *
 * @type {Record<string, { subject: string, by?: string, algorithm?: any, validity?: typeof NOW }>}
 */
const AUTHORITIES = {
  root: { subject: 'CN=Test Root' },
  otherRoot: { subject: 'CN=Other Root' },
  expiredRoot: { subject: 'CN=Expired Root', validity: PAST },
  intermediate: { subject: 'CN=Test Intermediate', by: 'root' },
  revokedIntermediate: { subject: 'CN=Revoked Intermediate', by: 'root' },
  rsaIntermediate: { subject: 'CN=RSA Intermediate', by: 'root', algorithm: RSA },
  p384Intermediate: { subject: 'CN=P-384 Intermediate', by: 'root', algorithm: ECDSA_384 },
};

/**
 * @typedef {object} Leaf
 * @property {string} subject
 * @property {{ type: 'dns' | 'ip', value: string }[]} [names] alternative names; none: no such extension
 * @property {string} [by] the authority. Default: intermediate
 * @property {typeof NOW} [validity]
 * @property {any} [algorithm] of its own key
 * @property {string} [usage]
 * @property {boolean} [ca] it says of itself that it is an authority's
 */

/** @type {Record<string, Leaf>} */
const SERVERS = {
  good: { subject: 'CN=good', names: LOCAL },
  rsa: { subject: 'CN=rsa', names: LOCAL, by: 'rsaIntermediate', algorithm: RSA },
  p384: { subject: 'CN=p384', names: LOCAL, by: 'p384Intermediate', algorithm: ECDSA_384 },
  wrongHost: { subject: 'CN=wrong-host', names: dns('db.example.test') },
  expired: { subject: 'CN=expired', names: LOCAL, validity: PAST },
  notYetValid: { subject: 'CN=not-yet-valid', names: LOCAL, validity: FUTURE },
  revoked: { subject: 'CN=revoked', names: LOCAL },
  revokedIntermediate: { subject: 'CN=under-revoked', names: LOCAL, by: 'revokedIntermediate' },
  unknownCa: { subject: 'CN=unknown-ca', names: LOCAL, by: 'otherRoot' },
  expiredRoot: { subject: 'CN=under-expired', names: LOCAL, by: 'expiredRoot' },
  clientOnly: { subject: 'CN=client-only', names: LOCAL, usage: CLIENT_AUTH },
  // An authority made by hand, with the extensions of an authority.
  likeCa: { subject: 'CN=like-ca', names: LOCAL, by: 'root', ca: true },
  // Which of the names counts: see the table of names in test/security/tls.matrix.js.
  onlyCn: { subject: 'CN=localhost' },
  onlyCnIp: { subject: 'CN=127.0.0.1' },
  cnBesideIp: { subject: 'CN=localhost', names: ip('127.0.0.1') },
  cnIpBesideDns: { subject: 'CN=127.0.0.1', names: dns('localhost') },
  cnBesideDns: { subject: 'CN=localhost', names: dns('db.example.test') },
  cnIpBesideIp: { subject: 'CN=127.0.0.1', names: ip('127.0.0.9') },
  ipAsDns: { subject: 'CN=ip-as-dns', names: dns('127.0.0.1') },
  wildcard: { subject: 'CN=wildcard', names: dns('*.example.test') },
  wildcardCn: { subject: 'CN=*.example.test' },
  partWildcard: { subject: 'CN=part-wildcard', names: dns('db*.example.test') },
  upperCase: { subject: 'CN=upper-case', names: dns('LocalHost') },
};

/** @type {Record<string, Leaf>} */
const CLIENTS = {
  app: { subject: 'CN=app', usage: CLIENT_AUTH },
  appRsa: { subject: 'CN=app', usage: CLIENT_AUTH, algorithm: RSA },
  somebody: { subject: 'CN=somebody', usage: CLIENT_AUTH },
  expired: { subject: 'CN=app', usage: CLIENT_AUTH, validity: PAST },
  otherCa: { subject: 'CN=app', usage: CLIENT_AUTH, by: 'otherRoot' },
};

/** As `openssl req -x509` makes them, with its default extensions and without. */
const SELF_SIGNED = {
  selfSigned: { subject: 'CN=self-signed', ca: true },
  selfSignedLeaf: { subject: 'CN=self-signed-leaf', ca: false },
};

/**
 * Makes everything and writes it into `folder`, keys with mode 0600.
 *
 * @param {string} folder
 */
async function makePki(folder) {
  const authorities = await makeAuthorities();
  const at = (/** @type {string} */ name) => authorities[name];
  const servers = await makeLeaves(authorities, SERVERS);
  const clients = await makeLeaves(authorities, CLIENTS);
  for (const [name, each] of Object.entries(SELF_SIGNED)) servers[name] = await makeSelfSigned(each);
  // The same certificate with a shorter chain, a longer one, and one in disorder.
  const { good } = servers;
  const [leaf, intermediate] = good.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
  servers.leafOnly = { ...good, cert: leaf };
  servers.withRoot = { ...good, cert: good.cert + at('root').chain };
  servers.disordered = { ...good, cert: leaf + at('root').chain + intermediate };
  servers.version1 = await makeVersion1(at('root'), 'CN=localhost');

  const crls = {
    root: await makeCrl(at('root'), [at('revokedIntermediate').serial]),
    intermediate: await makeCrl(at('intermediate'), [servers.revoked.serial]),
    revokedIntermediate: await makeCrl(at('revokedIntermediate'), []),
    expired: await makeCrl(at('intermediate'), [], PAST),
  };

  const write = (/** @type {string} */ name, /** @type {string} */ pem, mode = 0o644) => {
    const file = path.join(folder, name);
    fs.writeFileSync(file, pem, { mode });
    return { name, file, pem };
  };
  const keyFile = (/** @type {string} */ name, /** @type {string} */ pem) => write(name, pem, 0o600);
  const identities = (/** @type {string} */ kind, /** @type {Record<string, Leaves[string]>} */ leaves) =>
    Object.fromEntries(
      Object.entries(leaves).map(([name, { subject, cert, keys }]) => {
        const key = keyFile(`${kind}-${name}.key`, pemOf(keys, { type: 'pkcs8' }));
        const certificate = write(`${kind}-${name}.crt`, cert);
        return [name, { name, subject, cert, key: key.pem, certFile: certificate.file, keyFile: key.file }];
      }),
    );

  return {
    folder,
    /** The authorities that clients and servers trust. */
    ca: write('root.crt', at('root').chain),
    otherCa: write('other-root.crt', at('otherRoot').chain),
    expiredCa: write('expired-root.crt', at('expiredRoot').chain),
    /** Without the root: not enough for libpq, which trusts no intermediate alone. */
    intermediateCa: write('intermediate.crt', at('intermediate').chain),
    bundle: write('bundle.crt', at('root').chain + at('intermediate').chain),
    /** Lists of the whole chain, as libpq demands them; one of the leaf's issuer alone; and one that is out of date. */
    crl: write('all.crl', crls.root + crls.intermediate + crls.revokedIntermediate),
    leafCrl: write('leaf.crl', crls.intermediate),
    expiredCrl: write('expired.crl', crls.root + crls.expired),
    servers: /** @type {Record<string, Identity>} */ (identities('server', servers)),
    clients: /** @type {Record<string, Identity>} */ (identities('client', clients)),
    /** The same keys as `clients.app` (EC) and `clients.appRsa`, in other formats. */
    keys: {
      pkcs8: keyFile('app.pkcs8.key', pemOf(clients.app.keys, { type: 'pkcs8' })),
      sec1: keyFile('app.sec1.key', pemOf(clients.app.keys, { type: 'sec1' })),
      pkcs8Rsa: keyFile('app-rsa.pkcs8.key', pemOf(clients.appRsa.keys, { type: 'pkcs8' })),
      pkcs1: keyFile('app-rsa.pkcs1.key', pemOf(clients.appRsa.keys, { type: 'pkcs1' })),
      encrypted: keyFile('app.encrypted.key', pemOf(clients.app.keys, { type: 'pkcs8', ...LOCKED })),
      encryptedSec1: keyFile('app.encrypted.sec1.key', pemOf(clients.app.keys, { type: 'sec1', ...LOCKED })),
      encryptedPkcs1: keyFile('app-rsa.encrypted.pkcs1.key', pemOf(clients.appRsa.keys, { type: 'pkcs1', ...LOCKED })),
    },
  };
}

const LOCKED = { cipher: 'aes-256-cbc', passphrase: 'open sesame' };

/** @typedef {Awaited<ReturnType<typeof makePki>>} Pki */
/** @typedef {Record<string, { subject: string, cert: string, keys: Keys, serial: string }>} Leaves */

async function makeAuthorities() {
  /** @type {Record<string, Authority>} */
  const made = {};
  for (const [name, { subject, by, algorithm = ECDSA, validity = NOW }] of Object.entries(AUTHORITIES)) {
    const keys = await generate(algorithm);
    const issuer = by === undefined ? { subject, keys, algorithm } : made[by];
    const certificate = await sign(issuer, subject, keys, validity, [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
    ]);
    // The chain that a server sends after its leaf ends below the root.
    const chain = pemText(certificate) + (by === undefined || by === 'root' ? '' : made[by].chain);
    made[name] = { subject, keys, algorithm, chain, issuer: by ?? name, serial: certificate.serialNumber };
  }
  return made;
}

/** @param {Record<string, Authority>} authorities @param {Record<string, Leaf>} wanted */
async function makeLeaves(authorities, wanted) {
  /** @type {Leaves} */
  const made = {};
  for (const [name, leaf] of Object.entries(wanted)) {
    const {
      subject,
      names,
      by = 'intermediate',
      validity = NOW,
      algorithm = ECDSA,
      usage = SERVER_AUTH,
      ca = false,
    } = leaf;
    const issuer = authorities[by];
    const keys = await generate(algorithm);
    const certificate = await sign(issuer, subject, keys, validity, [
      new x509.BasicConstraintsExtension(ca),
      new x509.KeyUsagesExtension(digitalSignature | keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ]);
    const chain = issuer.issuer === by ? '' : issuer.chain;
    made[name] = { subject, keys, cert: pemText(certificate) + chain, serial: certificate.serialNumber };
  }
  return made;
}

/** @param {{ subject: string, ca: boolean }} how */
async function makeSelfSigned({ subject, ca }) {
  const keys = await generate(ECDSA);
  const certificate = await sign({ subject, keys, algorithm: ECDSA }, subject, keys, NOW, [
    new x509.BasicConstraintsExtension(ca, undefined, true),
    new x509.SubjectAlternativeNameExtension(LOCAL),
  ]);
  return { subject, keys, cert: pemText(certificate), serial: certificate.serialNumber };
}

/**
 * As the recipe in PostgreSQL's own docs (18.9.5) makes them with OpenSSL below 3.2: of X.509 version 1, which has no
 * extensions. The library makes version 3 only, so this takes one apart and signs it again.
 *
 * @param {Authority} issuer
 * @param {string} subject
 */
async function makeVersion1(issuer, subject) {
  const keys = await generate(ECDSA);
  const { rawData } = await sign(issuer, subject, keys, NOW, []);
  const certificate = AsnConvert.parse(rawData, asn1.Certificate);
  const { tbsCertificate } = certificate;
  tbsCertificate.version = asn1.Version.v1;
  tbsCertificate.extensions = undefined;
  certificate.tbsCertificateRaw = undefined;
  const signed = Buffer.from(AsnConvert.serialize(tbsCertificate));
  const signature = signBytes('sha256', signed, KeyObject.from(issuer.keys.privateKey));
  certificate.signatureValue = new Uint8Array(signature).buffer;
  const made = new x509.X509Certificate(AsnConvert.serialize(certificate));
  return { subject, keys, cert: pemText(made), serial: made.serialNumber };
}

/**
 * @param {{ subject: string, keys: Keys, algorithm: any }} issuer
 * @param {string} subject
 * @param {Keys} keys
 * @param {typeof NOW} validity
 * @param {any[]} extensions
 */
async function sign(issuer, subject, keys, validity, extensions) {
  return x509.X509CertificateGenerator.create({
    subject,
    issuer: issuer.subject,
    ...validity,
    publicKey: /** @type {any} */ (keys.publicKey),
    signingKey: /** @type {any} */ (issuer.keys.privateKey),
    signingAlgorithm: issuer.algorithm,
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(/** @type {any} */ (keys.publicKey)),
      await x509.AuthorityKeyIdentifierExtension.create(/** @type {any} */ (issuer.keys.publicKey)),
    ],
  });
}

/**
 * @param {Authority} issuer
 * @param {string[]} serials
 * @param {typeof NOW} [validity]
 */
async function makeCrl({ subject, keys, algorithm }, serials, { notBefore, notAfter } = NOW) {
  const crl = await x509.X509CrlGenerator.create({
    issuer: subject,
    thisUpdate: notBefore,
    nextUpdate: notAfter,
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: notBefore })),
    signingKey: /** @type {any} */ (keys.privateKey),
    signingAlgorithm: algorithm,
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(/** @type {any} */ (keys.publicKey)),
      new x509.Extension(CRL_NUMBER, false, new Uint8Array([0x02, 0x01, 0x01])), // the integer 1
    ],
  });
  // RFC 7468 and OpenSSL want the longer label.
  return pemText(crl).replaceAll(' CRL-----', ' X509 CRL-----');
}

/** @param {any} algorithm @returns {Promise<Keys>} */
const generate = async (algorithm) =>
  /** @type {Keys} */ (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']));

/** @param {Keys} keys @param {any} form */
const pemOf = ({ privateKey }, form) => String(KeyObject.from(privateKey).export({ format: 'pem', ...form }));

/** @param {{ toString(format: 'pem'): string }} made */
const pemText = (made) => `${made.toString('pem')}\n`;

module.exports = { makePki };
