'use strict';

// What the tests of TLS have in common: a PKI, and a server whose certificate and pg_hba.conf change from test to test.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before } = require('node:test');
const { HyperionError, TlsError } = require('../../client.js');
const { makePki } = require('../support/cluster/certificates');
const { poolFor, useCluster } = require('../support/helpers');
const { ABOUT_CERTIFICATE, ENTRANCES, REASONS } = require('./tls.matrix.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('../support/cluster/certificates').Pki} Pki */
/** @typedef {import('../support/cluster').Cluster['primary']} Primary */

/** Long: a call that fails at once has not waited for it, and a call that waits exceeds the time limit of its test. */
const PATIENCE_MS = 120_000;

const ENCRYPTION = 'SELECT ssl, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

// The user's ~/.postgresql and environment must have no influence.
for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name];

/** A folder for the certificates of a file, and one for the home directory. */
class Certificates {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-tls-'));
  home = path.join(this.folder, 'home');
  /** @type {Pki | undefined} */
  #pki;

  async make() {
    fs.mkdirSync(this.home);
    process.env.HOME = this.home;
    this.#pki = await makePki(this.folder);
  }

  get pki() {
    return /** @type {Pki} */ (this.#pki);
  }

  remove() {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The servers of a file: they start without TLS, and each test gives them certificates and rules. */
class TlsDatabase {
  certificates = new Certificates();
  #db;

  /** @param {import('../support/cluster').ClusterOptions} options */
  constructor(options) {
    before(() => this.certificates.make());
    this.#db = useCluster({ nodes: 1, ...options });
    after(() => this.certificates.remove());
  }

  get pki() {
    return this.certificates.pki;
  }

  get cluster() {
    return this.#db.cluster;
  }

  /** Skips the test unless it can change certificates and pg_hba.conf. */
  get node() {
    this.#db.needs('entrance');
    return /** @type {import('../../exports/testing/cluster/node.js').LocalNode} */ (this.#db.cluster.primary());
  }

  /** A role without special rights. */
  get app() {
    return /** @type {{ user: string, password: string }} */ (this.cluster.app);
  }

  get version() {
    return this.#db.cluster.version;
  }

  /**
   * @param {string | null} server name of a certificate; null: no TLS
   * @param {{ hba?: string[], ca?: boolean, settings?: Record<string, string> }} [more] `ca`: asks for client certificates
   */
  async receive(server, { hba = ENTRANCES.any, ca = false, settings } = {}) {
    const tls = server === null ? null : { ...this.pki.servers[server], settings, ...(ca && { ca: this.pki.ca.pem }) };
    await this.node.entrance({ tls, hba });
  }

  /**
   * The options of the application's login, with a host name that certificates are for.
   *
   * @param {Record<string, unknown>} [options]
   */
  options(options) {
    const hosts = `localhost:${this.node.port}`;
    return { hosts, ...this.app, database: this.cluster.database, acquireTimeoutMs: PATIENCE_MS, ...options };
  }

  /** @param {TestContext} t @param {Record<string, unknown>} [options] @returns {any} */
  pool(t, options) {
    return poolFor(t, this.options(options));
  }

  /** Lines of the server's log since the last call. @returns {() => string} */
  logFrom() {
    const start = this.node.log().length;
    return () => this.node.log().slice(start);
  }
}

/** @param {import('../support/cluster').ClusterOptions} [options] */
const useTls = (options = {}) => new TlsDatabase(options);

/**
 * Whether the session of a pool is encrypted; if there is none, the reason by its name in REASONS.
 *
 * @param {() => any} open
 * @param {string} at host:port that an error has to name
 * @param {string} [subject] of the server's certificate
 */
async function outcomeOf(open, at, subject) {
  try {
    const [{ ssl, version }] = await open().query(ENCRYPTION);
    if (ssl) assert.match(version, /^TLSv1\.[23]$/);
    return ssl ? 'tls' : 'plain';
  } catch (error) {
    return reasonOf(/** @type {any} */ (error), at, subject);
  }
}

/**
 * @param {any} error
 * @param {string} at
 * @param {string} [subject]
 */
function reasonOf(error, at, subject) {
  const reason = Object.keys(REASONS).find((name) => REASONS[name][0].test(error.message));
  if (reason === undefined) return error.stack;
  assert.ok(error instanceof HyperionError);
  if (reason === 'no-ca') assert.equal(error.name, 'OptionError', error.stack);
  else if (reason === 'hba') assert.deepEqual([error.name, error.code], ['DatabaseError', '28000'], error.stack);
  else assertTlsError(error, at, ABOUT_CERTIFICATE.test(reason) ? subject : undefined);
  return reason;
}

/**
 * @param {any} error
 * @param {string} at
 * @param {string} [subject]
 */
function assertTlsError(error, at, subject) {
  assert.ok(error instanceof TlsError, error.stack);
  assert.deepEqual([error.name, error.code, error.outcome], ['TlsError', 'ERR_TLS', 'not-applied']);
  assert.equal(`${error.host}:${error.port}`, at, error.stack);
  assert.ok(error.message.includes(at), error.message);
  assert.ok(error.message.includes(error.reason), error.message);
  assert.equal(error.subject ?? undefined, subject, error.stack);
  if (subject !== undefined) assert.ok(error.message.includes(subject), error.message);
}

module.exports = { ENCRYPTION, PATIENCE_MS, assertTlsError, outcomeOf, reasonOf, useTls };
