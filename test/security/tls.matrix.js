'use strict';

// The result of every sslmode with every kind of server and certificate, and the names that a certificate is good for. The modes
// mean what they mean in libpq, and the tables are compared with libpq where psql is installed (tls.matrix.test.js).

const MODES = /** @type {const} */ (['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full']);

/** Which sessions the server admits: all, those with TLS, or those without. */
const ENTRANCES = {
  any: ['host all app all scram-sha-256'],
  tls: ['hostssl all app all scram-sha-256'],
  plain: ['hostnossl all app all scram-sha-256'],
};

/**
 * `server`: the certificate of test/support/cluster/certificates.js; `off`: TLS is switched off. `trusts`: the client's CA, and
 * after a + its revocation lists; `own` is the server's certificate itself; `-` is nothing at all.
 *
 * `tls`, `plain`: a session that is encrypted, or one that is not. Everything else is the reason why there is none (REASONS);
 * `a|b` where two things are wrong and either may be named.
 */
const MATRIX = facts(`
  server               entrance  trusts          disable  allow        prefer       require      verify-ca    verify-full

  good                 any       -               plain    plain        tls          tls          no-ca        unknown-ca
  good                 any       ca              plain    plain        tls          tls          tls          tls
  good                 any       ca+crl          plain    plain        tls          tls          tls          tls
  good                 any       otherCa         plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  good                 any       intermediateCa  plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  good                 any       bundle          plain    plain        tls          tls          tls          tls
  leafOnly             any       ca              plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  leafOnly             any       bundle          plain    plain        tls          tls          tls          tls
  withRoot             any       ca              plain    plain        tls          tls          tls          tls
  disordered           any       ca              plain    plain        tls          tls          tls          tls
  good                 any       ca+leafCrl      plain    plain        plain        no-list      no-list      no-list
  good                 any       ca+expiredCrl   plain    plain        plain        old-list     old-list     old-list
  rsa                  any       ca              plain    plain        tls          tls          tls          tls
  p384                 any       ca              plain    plain        tls          tls          tls          tls
  likeCa               any       ca              plain    plain        tls          tls          tls          tls
  version1             any       -               plain    plain        tls          tls          no-ca        unknown-ca|version-1
  version1             any       ca              plain    plain        tls          tls          tls          tls

  selfSigned           any       -               plain    plain        tls          tls          no-ca        unknown-ca
  selfSigned           any       ca              plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  selfSigned           any       own             plain    plain        tls          tls          tls          tls
  selfSignedLeaf       any       -               plain    plain        tls          tls          no-ca        unknown-ca
  selfSignedLeaf       any       ca              plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  selfSignedLeaf       any       own             plain    plain        tls          tls          tls          tls

  wrongHost            any       -               plain    plain        tls          tls          no-ca        unknown-ca|wrong-host
  wrongHost            any       ca              plain    plain        tls          tls          tls          wrong-host
  expired              any       -               plain    plain        tls          tls          no-ca        unknown-ca|expired
  expired              any       ca              plain    plain        plain        expired      expired      expired
  notYetValid          any       -               plain    plain        tls          tls          no-ca        unknown-ca|not-yet
  notYetValid          any       ca              plain    plain        plain        not-yet      not-yet      not-yet
  revoked              any       -               plain    plain        tls          tls          no-ca        unknown-ca
  revoked              any       ca              plain    plain        tls          tls          tls          tls
  revoked              any       ca+crl          plain    plain        plain        revoked      revoked      revoked
  revokedIntermediate  any       -               plain    plain        tls          tls          no-ca        unknown-ca
  revokedIntermediate  any       ca              plain    plain        tls          tls          tls          tls
  revokedIntermediate  any       ca+crl          plain    plain        plain        revoked      revoked      revoked
  unknownCa            any       -               plain    plain        tls          tls          no-ca        unknown-ca
  unknownCa            any       ca              plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
  expiredRoot          any       -               plain    plain        tls          tls          no-ca        unknown-ca
  expiredRoot          any       expiredCa       plain    plain        plain        expired-ca   expired-ca   expired-ca
  clientOnly           any       -               plain    plain        tls          tls          no-ca        unknown-ca|purpose
  clientOnly           any       ca              plain    plain        plain        purpose      purpose      purpose

  off                  any       -               plain    plain        plain        no-tls       no-ca        no-tls
  off                  any       ca              plain    plain        plain        no-tls       no-tls       no-tls

  good                 tls       -               hba      tls          tls          tls          no-ca        unknown-ca
  good                 tls       ca              hba      tls          tls          tls          tls          tls
  wrongHost            tls       ca              hba      tls          tls          tls          tls          wrong-host
  unknownCa            tls       -               hba      tls          tls          tls          no-ca        unknown-ca
  unknownCa            tls       ca              hba      unknown-ca   unknown-ca   unknown-ca   unknown-ca   unknown-ca
  revoked              tls       ca+crl          hba      revoked      revoked      revoked      revoked      revoked

  good                 plain     -               plain    plain        plain        hba          no-ca        unknown-ca
  good                 plain     ca              plain    plain        plain        hba          hba          hba
  unknownCa            plain     ca              plain    plain        plain        unknown-ca   unknown-ca   unknown-ca
`);

/**
 * What the errors of the client and of libpq say. libpq 15 and older name no reason for a certificate that is not trusted; and
 * verify-full without a CA fails there, where the client trusts the roots of the system.
 *
 * @type {Record<string, [ours: RegExp, libpq: RegExp]>}
 */
const REASONS = {
  'no-ca': [/verify-ca.* needs a CA/, /root certificate file .* does not exist/],
  'unknown-ca': [/is not signed by a trusted CA|and none of the trusted ones/, /verify failed/],
  'wrong-host': [/is not for "localhost": it is for db\.example\.test/, /does not match host name "localhost"/],
  'old-list': [/the revocation list has expired/, /verify failed/],
  expired: [/certificate "?CN=.* has expired/, /verify failed/],
  'expired-ca': [/the CA certificate has expired/, /verify failed/],
  'not-yet': [/is not valid yet/, /verify failed/],
  revoked: [/is revoked/, /verify failed/],
  'no-list': [/is not covered by the revocation lists/, /verify failed/],
  purpose: [/is not for servers/, /verify failed/],
  'version-1': [/is of X\.509 version 1/, /verify failed/],
  'no-tls': [/the server does not offer TLS/, /server does not support SSL/],
  hba: [/no pg_hba\.conf entry/, /no pg_hba\.conf entry/],
};

/** Reasons that concern the certificate, whose errors name its subject. */
const ABOUT_CERTIFICATE = /^(unknown-ca|wrong-host|expired|not-yet|revoked|no-list|old-list|purpose|version-1)$/;

/** With verify-full: the host that a client asks for, and whether the certificate is good for it. */
const NAMES = facts(`
  server         host                verify-full
  good           localhost           tls
  good           LocalHost           tls
  good           127.0.0.1           tls
  good           127.0.0.2           tls
  good           127.0.0.9           wrong-host
  good           localhost.          wrong-host
  wrongHost      db.example.test     tls
  wrongHost      DB.example.TEST     tls
  wrongHost      localhost           wrong-host
  upperCase      localhost           tls
  onlyCn         localhost           tls
  onlyCn         127.0.0.1           wrong-host
  onlyCnIp       127.0.0.1           tls
  onlyCnIp       localhost           wrong-host
  cnBesideIp     localhost           tls
  cnBesideIp     127.0.0.1           tls
  cnBesideDns    localhost           wrong-host
  cnIpBesideDns  127.0.0.1           tls
  cnIpBesideDns  localhost           tls
  cnIpBesideIp   127.0.0.1           wrong-host
  ipAsDns        127.0.0.1           tls
  wildcard       db1.example.test    tls
  wildcard       a.b.example.test    wrong-host
  wildcard       example.test        wrong-host
  wildcard       .example.test       wrong-host
  wildcardCn     db1.example.test    tls
  wildcardCn     a.b.example.test    wrong-host
  partWildcard   db1.example.test    wrong-host
`);

/**
 * Reads a table: the first line has the names of the columns.
 *
 * @param {string} text
 * @returns {Record<string, string>[]}
 */
function facts(text) {
  const [names, ...rows] = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([first]) => first !== '');
  return rows.map((cells) => Object.fromEntries(names.map((name, column) => [name, cells[column]])));
}

module.exports = { ABOUT_CERTIFICATE, ENTRANCES, MATRIX, MODES, NAMES, REASONS };
