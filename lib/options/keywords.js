'use strict';

// libpq's connection keywords, 13 to 18: the environment variable of each, the option of createPool that it sets, and how its
// text is read. A keyword that this client cannot obey is refused, never ignored: a user may rely on it.
//
// A value may be a secret in the wrong place (`sslmode=require password=...` in one line of a service file): no message
// prints it.

const { MAX_MS } = require('./validate.js');
const { OptionError } = require('../errors.js');
const { didYouMean } = require('./did-you-mean.js');

const MODES = ['read-write', 'read-only', 'prefer-standby', 'any', 'primary', 'standby'];
const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
const NEGOTIATIONS = ['postgres', 'direct'];
const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'];
const LOAD_BALANCING = ['disable', 'random'];

/**
 * @typedef {object} Keyword
 * @property {string} [env]
 * @property {string} [option] what it sets; without one it is only checked
 * @property {boolean} [inner] it has no such option in the public API
 * @property {(value: string, name: string) => unknown} [read]
 * @property {readonly string[]} [only] the values that ask for nothing we cannot do
 * @property {string} [why] it is refused
 */

/** @param {string} value */
const text = (value) => value;

/** @param {readonly string[]} choices */
const choice = (choices) => /** @param {string} value @param {string} name */ (value, name) => {
  if (choices.includes(value)) return value;
  throw new OptionError(`${name} must be one of ${choices.map((one) => `'${one}'`).join(', ')}`);
};

/**
 * As strtol() reads it.
 * @param {string} value
 * @param {string} name
 */
function integer(value, name) {
  const number = /^\s*[+-]?\d{1,10}\s*$/.test(value) ? Number(value) : Number.NaN;
  if (!(Math.abs(number) <= MAX_MS)) throw new OptionError(`${name} must be an integer`);
  return number;
}

/** @param {string} value @param {string} name */
function seconds(value, name) {
  const number = integer(value, name);
  return number > 0 ? Math.min(number * 1_000, MAX_MS) : undefined;
}

/** TLS 1.2 is the oldest version here, so it also serves those who ask for an older one at least. @param {string} value @param {string} name */
function leastVersion(value, name) {
  return choice(['TLSv1.2', 'TLSv1.3'])(oldVersion(value) ? 'TLSv1.2' : spelled(value), name);
}

/** @param {string} value @param {string} name */
function mostVersion(value, name) {
  if (oldVersion(value)) throw new OptionError(`${name} is not supported below TLSv1.2`);
  return choice(['TLSv1.2', 'TLSv1.3'])(spelled(value), name);
}

/** @param {string} value */
const oldVersion = (value) => /^TLSv1(\.1)?$/i.test(value);
/** @param {string} value */
const spelled = (value) => value.replace(/^tlsv/i, 'TLSv');

/** Whether it is a name of UTF-8; `auto` is libpq's word for the encoding of the program. @param {string} value */
const isUtf8 = (value) => ['utf8', 'unicode', 'auto'].includes(value.toLowerCase().replaceAll(/[^a-z0-9]/g, ''));

/** @param {string} value @param {string} name */
function encoding(value, name) {
  if (isUtf8(value)) return undefined;
  throw new OptionError(`${name} must be UTF8: strings in JavaScript are Unicode`);
}

/** @type {Readonly<Record<string, Keyword>>} */
const KEYWORDS = {
  host: { env: 'PGHOST', option: 'hosts', read: text },
  hostaddr: { env: 'PGHOSTADDR', option: 'hosts.address', read: text },
  port: { env: 'PGPORT', option: 'port', read: text },
  dbname: { env: 'PGDATABASE', option: 'database', read: text },
  user: { env: 'PGUSER', option: 'user', read: text },
  password: { env: 'PGPASSWORD', option: 'password', read: text },
  passfile: { env: 'PGPASSFILE', option: 'passfile', read: text },
  service: { env: 'PGSERVICE', option: 'service', read: text },
  target_session_attrs: { env: 'PGTARGETSESSIONATTRS', option: 'mode', read: choice(MODES) },
  load_balance_hosts: { env: 'PGLOADBALANCEHOSTS', option: 'loadBalanceHosts', read: choice(LOAD_BALANCING) },
  connect_timeout: {
    env: 'PGCONNECT_TIMEOUT',
    option: 'connectTimeoutMs',
    read: (value, name) => seconds(value, name) ?? MAX_MS,
  },
  application_name: { env: 'PGAPPNAME', option: 'applicationName', read: text },
  // After application_name: the first one that is given counts.
  fallback_application_name: { option: 'applicationName', read: text },
  options: { env: 'PGOPTIONS', option: 'startupOptions', inner: true, read: text },
  client_encoding: { env: 'PGCLIENTENCODING', read: encoding },
  keepalives: {
    option: 'keepAlive',
    read: (value, name) => (integer(value, name) === 0 ? false : undefined),
  },
  keepalives_idle: { option: 'keepAlive.idleMs', read: seconds },
  keepalives_interval: { option: 'keepAlive.intervalMs', read: seconds },
  keepalives_count: {
    option: 'keepAlive.count',
    read: (value, name) => (integer(value, name) > 0 ? integer(value, name) : undefined),
  },
  tcp_user_timeout: { option: 'tcpUserTimeoutMs', read: (value, name) => Math.max(0, integer(value, name)) },
  sslmode: { env: 'PGSSLMODE', option: 'ssl.mode', read: choice(SSL_MODES) },
  sslnegotiation: { env: 'PGSSLNEGOTIATION', option: 'ssl.negotiation', read: choice(NEGOTIATIONS) },
  sslrootcert: { env: 'PGSSLROOTCERT', option: 'ssl.ca', read: text },
  sslcert: { env: 'PGSSLCERT', option: 'ssl.cert', read: text },
  sslkey: { env: 'PGSSLKEY', option: 'ssl.key', read: text },
  sslcertmode: { env: 'PGSSLCERTMODE', option: 'ssl.certMode', inner: true, read: choice(['disable', 'allow']) },
  sslcrl: { env: 'PGSSLCRL', option: 'ssl.crl', read: text },
  sslsni: {
    env: 'PGSSLSNI',
    option: 'ssl.sni',
    read: (value, name) => choice(['0', '1'])(value, name) === '1',
  },
  ssl_min_protocol_version: { env: 'PGSSLMINPROTOCOLVERSION', option: 'ssl.minVersion', read: leastVersion },
  ssl_max_protocol_version: { env: 'PGSSLMAXPROTOCOLVERSION', option: 'ssl.maxVersion', read: mostVersion },
  channel_binding: { env: 'PGCHANNELBINDING', option: 'channelBinding', read: choice(CHANNEL_BINDINGS) },
  require_auth: { env: 'PGREQUIREAUTH', option: 'requireAuth', read: text },

  gssencmode: { env: 'PGGSSENCMODE', only: ['disable', 'prefer'], why: 'there is no GSSAPI' },
  krbsrvname: { env: 'PGKRBSRVNAME', only: [], why: 'there is no GSSAPI' },
  gsslib: { env: 'PGGSSLIB', only: [], why: 'there is no GSSAPI' },
  gssdelegation: { env: 'PGGSSDELEGATION', only: ['0'], why: 'there is no GSSAPI' },
  requirepeer: { env: 'PGREQUIREPEER', only: [], why: 'the owner of a server is not looked at' },
  sslpassword: { only: [], why: 'a private key must not be encrypted' },
  sslcrldir: { env: 'PGSSLCRLDIR', only: [], why: 'use sslcrl' },
  sslcompression: { env: 'PGSSLCOMPRESSION', only: ['0'], why: 'TLS does not compress' },
  sslkeylogfile: { only: [], why: 'keys are not written to files' },
  min_protocol_version: { env: 'PGMINPROTOCOLVERSION', only: ['3.0'], why: 'the protocol is 3.0' },
  max_protocol_version: { env: 'PGMAXPROTOCOLVERSION', only: ['3.0', '3.2', 'latest'], why: 'the protocol is 3.0' },
  replication: { only: ['0', 'false', 'off', 'no'], why: 'a pool does not replicate' },
  scram_client_key: { only: [], why: 'use a password' },
  scram_server_key: { only: [], why: 'use a password' },
  oauth_issuer: { only: [], why: 'there is no OAuth' },
  oauth_client_id: { only: [], why: 'there is no OAuth' },
  oauth_client_secret: { only: [], why: 'there is no OAuth' },
  oauth_scope: { only: [], why: 'there is no OAuth' },
  authtype: { only: [], why: 'libpq does not know it any more' },
  tty: { only: [], why: 'libpq does not know it any more' },
};

/** The keywords with secret values. */
const SECRETS = ['password', 'sslpassword', 'scram_client_key', 'scram_server_key', 'oauth_client_secret'];

/** Names that other clients use. */
const ELSEWHERE = {
  database: 'dbname',
  db: 'dbname',
  username: 'user',
  pass: 'password',
  hostname: 'host',
  ssl: 'sslmode',
  sslca: 'sslrootcert',
  timeout: 'connect_timeout',
  encoding: 'client_encoding',
};

/** `requiressl` is accepted in strings, but is not a keyword any more. @param {string} name */
const isKeyword = (name) => Object.hasOwn(KEYWORDS, name) || name === 'requiressl';

/** @param {string} name */
function unknownKeyword(name) {
  if (!/^[A-Za-z]\w{0,39}$/.test(name)) return 'unknown keyword';
  return `unknown keyword '${name}'${didYouMean(name, Object.keys(KEYWORDS), ELSEWHERE)}`;
}

/** A value and where it comes from, for messages. @typedef {{ value: any, name: string }} Said */

/**
 * The options that keywords set. An empty text sets nothing, but hides the same keyword from sources of lower precedence.
 * @param {ReadonlyMap<string, { value: string, name: string }>} settings
 * @returns {Map<string, Said>} by the option's name
 */
function optionsOf(settings) {
  /** @type {Map<string, Said>} */
  const said = new Map();
  for (const [keyword, { option, read, only, why }] of Object.entries(KEYWORDS)) {
    const { value, name } = settings.get(keyword) ?? { value: '', name: '' };
    if (value === '') continue;
    if (only !== undefined) {
      if (!only.includes(value)) throw unsupported(name, only, why);
      continue;
    }
    const read_ = read?.(value, name);
    if (option !== undefined && read_ !== undefined && !said.has(option)) said.set(option, { value: read_, name });
  }
  return said;
}

/** @param {string} name @param {readonly string[]} only @param {string | undefined} why */
function unsupported(name, only, why) {
  const but = only.length > 0 ? ` (but ${only.map((one) => `'${one}'`).join(', ')})` : '';
  return new OptionError(`${name} is not supported${but}: ${why}`);
}

module.exports = {
  CHANNEL_BINDINGS,
  KEYWORDS,
  LOAD_BALANCING,
  MODES,
  NEGOTIATIONS,
  SECRETS,
  SSL_MODES,
  integer,
  isKeyword,
  isUtf8,
  optionsOf,
  unknownKeyword,
};
