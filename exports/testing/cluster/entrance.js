'use strict';

// Who may log in, and how: a server's certificate and its pg_hba.conf. Both can be changed while the server runs, and the change
// is complete when a new session has it: the postmaster reads all of its files at one SIGHUP and forks no session during that, so
// that a number among the settings tells which version of the files a session has.

const fs = require('node:fs');
const path = require('node:path');
const { writeOwned } = require('./replication.js');
const { SUPERUSER } = require('./template.js');
const { GiveUp, until } = require('./until.js');

/** @typedef {import('./account.js').Account} Account */
/** @typedef {import('./sql.js').SqlNode & { dataDir: string, log: () => string }} LocalServer */

/**
 * TLS of a server, as PEM texts. Keys are written with mode 0600, owned by the server's account.
 *
 * @typedef {object} ServerTls
 * @property {string} cert the certificate, then its intermediates
 * @property {string} key
 * @property {string} [ca] whose client certificates are accepted; default nobody's
 * @property {string} [crl] revocation lists for client certificates
 * @property {Record<string, string | number | boolean>} [settings] more settings, e.g. ssl_max_protocol_version
 */

/** @typedef {{ tls?: ServerTls | null, hba?: string[] }} Entrance */

/** The harness's own rules come first, so that no line of a test can lock it out. */
const HBA = [
  `host all ${SUPERUSER.user} 127.0.0.1/32 scram-sha-256`,
  `host replication ${SUPERUSER.user} 127.0.0.1/32 scram-sha-256`,
];
const HBA_DEFAULT = ['host all all 127.0.0.1/32 scram-sha-256'];

/** A file that postgresql.conf includes, written again with every change. */
const CONFIGURATION = 'entrance.conf';
const VERSION = 'hyperion.entrance';
const FILES = { cert: 'server.crt', key: 'server.key', ca: 'client-ca.crt', crl: 'client.crl' };

/**
 * Before the first start.
 *
 * @param {string} dataDir
 * @param {Account | null} owner
 * @param {Entrance} entrance its lines come before the password default
 */
function writeEntrance(dataDir, owner, { tls = null, hba = [] }) {
  fs.appendFileSync(path.join(dataDir, 'postgresql.conf'), `include_if_exists = '${CONFIGURATION}'\n`);
  if (tls === null) writeSettings(dataDir, owner, { [VERSION]: 0 });
  else writeTls(dataDir, owner, tls, 0);
  writeHba(dataDir, owner, [...hba, ...HBA_DEFAULT]);
}

/**
 * @param {string} dataDir
 * @param {Account | null} owner
 * @param {string[]} lines
 */
function writeHba(dataDir, owner, lines) {
  writeOwned(path.join(dataDir, 'pg_hba.conf'), [...HBA, ...lines, ''].join('\n'), owner);
}

/**
 * @param {string} dataDir
 * @param {Account | null} owner
 * @param {ServerTls | null} tls
 * @param {number} version
 */
function writeTls(dataDir, owner, tls, version) {
  /** @type {Record<string, string | number | boolean>} */
  const settings = { [VERSION]: version, ssl: tls !== null };
  for (const [part, name] of Object.entries(FILES)) {
    const pem = tls?.[/** @type {keyof typeof FILES} */ (part)];
    if (pem !== undefined) writeOwned(path.join(dataDir, name), pem, owner);
    settings[`ssl_${part}_file`] = pem === undefined ? '' : name;
  }
  writeSettings(dataDir, owner, { ...settings, ...tls?.settings });
}

/**
 * @param {string} dataDir
 * @param {Account | null} owner
 * @param {Record<string, string | number | boolean>} settings
 */
function writeSettings(dataDir, owner, settings) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}\n`);
  writeOwned(path.join(dataDir, CONFIGURATION), lines.join(''), owner);
}

/**
 * Changes a running server: `tls: null` switches TLS off, options that are not given stay.
 *
 * @param {LocalServer} node
 * @param {Account | null} owner
 * @param {Entrance} entrance its lines are all there are, beside the harness's own
 */
async function changeEntrance(node, owner, { tls, hba }) {
  const next = (await versionOf(node)) + 1;
  if (hba !== undefined) writeHba(node.dataDir, owner, hba);
  if (tls !== undefined) writeTls(node.dataDir, owner, tls, next);
  else writeVersion(node.dataDir, owner, next);
  const logStart = node.log().length;
  await node.sql('SELECT pg_reload_conf()');
  await until(`${node.name} has read its files`, async () => {
    const isBornAfter = (await versionOf(node)) === next;
    // The server goes on with the old files when the new ones are wrong, and says so in its log alone, before it forks that session.
    const news = node.log().slice(logStart);
    if (/was not reloaded|contains errors|could not load|cannot be changed/.test(news)) throw new GiveUp(news);
    return isBornAfter;
  });
}

/** @param {LocalServer} node */
async function versionOf(node) {
  const [{ version }] = await node.sql(`SELECT current_setting('${VERSION}')::int AS version`);
  return version;
}

/**
 * @param {string} dataDir
 * @param {Account | null} owner
 * @param {number} version
 */
function writeVersion(dataDir, owner, version) {
  const file = path.join(dataDir, CONFIGURATION);
  const others = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith(VERSION));
  writeOwned(file, [`${VERSION} = '${version}'`, ...others].join('\n'), owner);
}

/** @param {string | number | boolean} value */
function quoted(value) {
  const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
  return `'${text.replace(/'/g, "''")}'`;
}

module.exports = { changeEntrance, quoted, writeEntrance };
