'use strict';

// What the options, a connection string and the environment come down to: what the core is told (forCore). No pool is opened.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');
const { after, describe } = require('node:test');
const { OptionError } = require('../lib/errors.js');
const { resolveHosts } = require('../lib/hosts.js');
const { KEYWORDS } = require('../lib/keywords.js');
const { distance, nearest } = require('../lib/near.js');
const { OPTIONS, forCore, parseOptions } = require('../lib/options.js');
const { isOpen } = require('../lib/tls-options.js');
const { fact } = require('./helpers.js');

const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-options-'));
after(() => fs.rmSync(FOLDER, { recursive: true }));

/** Nobody's home. */
const HOME = path.join(FOLDER, 'empty');

/** @param {string} name @param {string} text @param {number} [mode] */
function file(name, text, mode = 0o600) {
  const full = path.join(FOLDER, name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, text);
  fs.chmodSync(full, mode);
  return full;
}

/** @param {unknown} given @param {NodeJS.ProcessEnv} [env] */
function core(given, env = {}) {
  const surroundings = { HOME, ...env };
  return JSON.parse(forCore(parseOptions(given, surroundings), surroundings));
}

/** @param {unknown} given @param {NodeJS.ProcessEnv} env @param {RegExp} message */
function refused(given, env, message) {
  assert.throws(
    () => parseOptions(given, { HOME, ...env }),
    (/** @type {any} */ error) => {
      assert.ok(error instanceof OptionError, String(error));
      assert.match(error.message, message);
      return true;
    },
  );
}

/** @param {unknown} given */
const shown = (given) => util.inspect(given, { breakLength: Infinity, depth: 4 }).replaceAll(FOLDER, '');

describe('what the core is told', () => {
  fact('with nothing given: every default', () => {
    const user = os.userInfo().username;
    const { types, ...told } = core({ hosts: 'h' });
    assert.deepEqual(told, {
      hosts: [{ host: 'h', port: 5432, address: null }],
      user,
      database: user,
      passwords: [null],
      mode: 'read-write',
      loadBalanceHosts: false,
      ssl: {
        mode: 'prefer',
        negotiation: 'postgres',
        ca: null,
        cert: null,
        key: null,
        crl: null,
        servername: null,
        sni: true,
        minVersion: null,
        maxVersion: null,
      },
      channelBinding: 'prefer',
      requireAuth: null,
      keepAlive: { idleMs: 10_000, intervalMs: 5_000, count: null },
      tcpUserTimeoutMs: 60_000,
      poolSize: 10,
      connectTimeoutMs: 2_000,
      acquireTimeoutMs: 5_000,
      idleTimeoutMs: 600_000,
      maxLifetimeMs: 1_800_000,
      statementCacheSize: 256,
      pipelineDepth: 8,
      monitor: { intervalMs: 1_000, nodeTimeoutMs: 3_000 },
      applicationName: 'hyperiondb-client',
      options: {},
      startupOptions: '',
    });
  });

  // What is given, environment, the part of what the core is told.
  const TOLD = /** @type {[unknown, NodeJS.ProcessEnv, Record<string, unknown>][]} */ ([
    // Keywords.
    ['user=u', {}, { user: 'u', database: 'u' }],
    ['user=u dbname=', { PGDATABASE: 'd' }, { database: 'u' }],
    ['connect_timeout=7', {}, { connectTimeoutMs: 7_000 }],
    ['connect_timeout=0', {}, { connectTimeoutMs: 2 ** 31 - 1 }],
    ['connect_timeout=-1', {}, { connectTimeoutMs: 2 ** 31 - 1 }],
    ['connect_timeout=2147483647', {}, { connectTimeoutMs: 2 ** 31 - 1 }],
    ["connect_timeout=' 7 '", {}, { connectTimeoutMs: 7_000 }],
    ['application_name=a', { PGAPPNAME: 'e' }, { applicationName: 'a' }],
    ['fallback_application_name=f', { PGAPPNAME: 'e' }, { applicationName: 'e' }],
    ['fallback_application_name=f', {}, { applicationName: 'f' }],
    ["options='-c geqo=off'", { PGOPTIONS: '-c x.y=1' }, { startupOptions: '-c geqo=off', options: {} }],
    ['', { PGOPTIONS: '-c x.y=1' }, { startupOptions: '-c x.y=1' }],
    ['client_encoding=UTF-8', {}, {}],
    ['client_encoding=auto', {}, {}],
    ['', { PGCLIENTENCODING: 'unicode' }, {}],
    ['target_session_attrs=prefer-standby', {}, { mode: 'prefer-standby' }],
    ['', { PGTARGETSESSIONATTRS: 'any' }, { mode: 'any' }],
    ['load_balance_hosts=random', {}, { loadBalanceHosts: true }],
    ['', { PGLOADBALANCEHOSTS: 'random' }, { loadBalanceHosts: true }],
    ['load_balance_hosts=disable', { PGLOADBALANCEHOSTS: 'random' }, { loadBalanceHosts: false }],
    ['keepalives=0', {}, { keepAlive: null }],
    ['keepalives=1 keepalives_idle=30', {}, { keepAlive: { idleMs: 30_000, intervalMs: 5_000, count: null } }],
    [
      'keepalives_idle=0 keepalives_interval=2 keepalives_count=3',
      {},
      { keepAlive: { idleMs: 10_000, intervalMs: 2_000, count: 3 } },
    ],
    ['tcp_user_timeout=0', {}, { tcpUserTimeoutMs: 0 }],
    ['tcp_user_timeout=500', {}, { tcpUserTimeoutMs: 500 }],
    ['channel_binding=require', {}, { channelBinding: 'require' }],
    ['', { PGCHANNELBINDING: 'disable' }, { channelBinding: 'disable' }],
    ['require_auth=scram-sha-256,none', {}, { requireAuth: { methods: ['scram-sha-256', 'none'], negated: false } }],
    ['', { PGREQUIREAUTH: '!password,!md5' }, { requireAuth: { methods: ['password', 'md5'], negated: true } }],
    ['require_auth=', { PGREQUIREAUTH: 'md5' }, { requireAuth: null }],
    ["gssencmode=prefer krbsrvname='' sslcompression=0 replication=off gssdelegation=0", {}, {}],
    ['min_protocol_version=3.0 max_protocol_version=latest', {}, {}],
    // Options.
    [{ keepAlive: false }, {}, { keepAlive: null }],
    [{ keepAlive: { count: 4 } }, {}, { keepAlive: { idleMs: 10_000, intervalMs: 5_000, count: 4 } }],
    [
      { keepAlive: { count: 4 }, connectionString: 'keepalives=0 keepalives_idle=9' },
      {},
      { keepAlive: { idleMs: 9_000, intervalMs: 5_000, count: 4 } },
    ],
    [{ tcpUserTimeoutMs: 0 }, {}, { tcpUserTimeoutMs: 0 }],
    [{ requireAuth: ['!gss', '!sspi'] }, {}, { requireAuth: { methods: ['gss', 'sspi'], negated: true } }],
    [{ loadBalanceHosts: 'random' }, {}, { loadBalanceHosts: true }],
    [{ channelBinding: 'disable' }, {}, { channelBinding: 'disable' }],
    [{ password: () => 'x' }, { PGPASSWORD: 'e' }, { passwords: null }],
    // Session settings of the environment.
    ['', { PGTZ: 'Europe/Rome', PGGEQO: 'off' }, { options: { TimeZone: 'Europe/Rome', geqo: 'off' } }],
    ['', { PGTZ: 'default', PGGEQO: '' }, { options: {} }],
    [{ options: { timezone: 'UTC' } }, { PGTZ: 'Europe/Rome' }, { options: { timezone: 'UTC' } }],
    ['', { PGDATESTYLE: 'ISO, DMY' }, { options: { DateStyle: 'ISO, DMY' } }],
    ['', { PGDATESTYLE: 'German' }, { options: { DateStyle: 'ISO, DMY' } }],
    ['', { PGDATESTYLE: 'Postgres, US' }, { options: { DateStyle: 'ISO, MDY' } }],
    ['', { PGDATESTYLE: 'german,ymd' }, { options: { DateStyle: 'ISO, YMD' } }],
    ['', { PGDATESTYLE: 'SQL' }, { options: {} }],
    // Each from its own place.
    [
      { connectionString: 'user=s port=2', database: 'o' },
      { PGUSER: 'e', PGDATABASE: 'e', PGPORT: '3', PGHOST: 'e', PGPASSWORD: 'e' },
      { user: 's', database: 'o', hosts: [{ host: 'e', port: 2, address: null }], passwords: ['e'] },
    ],
    ['password=', { PGPASSWORD: 'e' }, { passwords: [null] }],
    [{ mode: 'any', connectionString: 'target_session_attrs=standby' }, {}, { mode: 'any' }],
    [{ connectTimeoutMs: 5, connectionString: 'connect_timeout=7' }, {}, { connectTimeoutMs: 5 }],
    [{ requireAuth: '', connectionString: 'require_auth=md5' }, {}, { requireAuth: null }],
    ['', { PGUSER: '', PGSSLMODE: '' }, { user: os.userInfo().username }],
  ]);
  for (const [given, env, told] of TOLD) {
    fact(`${shown(given)} ${shown(env)}`, () => {
      const whole = core(given === '' ? {} : given, env);
      for (const [name, value] of Object.entries(told)) assert.deepEqual(whole[name], value, name);
    });
  }
});

describe('hosts', () => {
  const host = (/** @type {string} */ name, port = 5432, /** @type {string | null} */ address = null) => ({
    host: name,
    port,
    address,
  });
  const HOSTS = /** @type {[unknown, NodeJS.ProcessEnv, object[]][]} */ ([
    ['host=a,b,c port=1', {}, [host('a', 1), host('b', 1), host('c', 1)]],
    ['host=a,b port=1,', {}, [host('a', 1), host('b')]],
    ['host=a,b port=1,2', {}, [host('a', 1), host('b', 2)]],
    ['host=::1,/run/x', {}, [host('::1'), host('/run/x')]],
    ['host=a hostaddr=10.0.0.1', {}, [host('a', 5432, '10.0.0.1')]],
    ['hostaddr=10.0.0.1,::1 port=1,2', {}, [host('10.0.0.1', 1, '10.0.0.1'), host('::1', 2, '::1')]],
    ['host=a, hostaddr=,::1', {}, [host('a'), host('::1', 5432, '::1')]],
    ['host=a,b', { PGHOSTADDR: '1.2.3.4,5.6.7.8' }, [host('a', 5432, '1.2.3.4'), host('b', 5432, '5.6.7.8')]],
    ['hostaddr=', { PGHOSTADDR: '1.2.3.4', PGHOST: 'a' }, [host('a')]],
    ['port=7', { PGHOST: 'a,b' }, [host('a', 7), host('b', 7)]],
    [{ hosts: 'a,b:2' }, { PGHOST: 'x', PGHOSTADDR: '1.2.3.4', PGPORT: '7' }, [host('a', 7), host('b', 2)]],
    [{ hosts: 'a,b:2,c', connectionString: 'port=7,8,9' }, {}, [host('a', 7), host('b', 2), host('c', 9)]],
    [{ hosts: ['a', 'b'], port: 3 }, { PGPORT: '1,2,4' }, [host('a', 3), host('b', 3)]],
    [{ hosts: { host: 'a', address: '::1' } }, {}, [host('a', 5432, '::1')]],
    [{ port: 3 }, { PGHOST: 'a,b', PGPORT: '1,2' }, [host('a', 3), host('b', 3)]],
  ]);
  for (const [given, env, hosts] of HOSTS) {
    fact(`${shown(given)} ${shown(env)}`, () => assert.deepEqual(core(given, env).hosts, hosts));
  }

  const WRONG = /** @type {[unknown, NodeJS.ProcessEnv, RegExp][]} */ ([
    ['host=a hostaddr=1.2.3.4,1.2.3.5', {}, /hostaddr has 2 addresses for the 1 hosts of connectionString: host/],
    ['host=a,b port=1,2,3', {}, /connectionString: port has 3 ports for 2 hosts/],
    ['host=a,b,c', { PGPORT: '1,2' }, /PGPORT has 2 ports for 3 hosts/],
    [{ hosts: 'a' }, { PGPORT: '1,2' }, /PGPORT has 2 ports for 1 hosts/],
    ['hostaddr=db', {}, /hostaddr must be an IP address/],
    ['port=0', {}, /port must be from 1 to 65535/],
    ['port=65536', {}, /port must be from 1 to 65535/],
    ['port=1x', {}, /port must be an integer/],
    ['host=a:5433', {}, /host must not contain a port/],
    ['', { PGHOST: '@abstract' }, /PGHOST must not contain '@'/],
    [{ hosts: [{ host: 'a', address: 'db' }] }, {}, /hosts\[0\]\.address must be an IP address/],
    [{ hosts: [{ host: 'a', addres: '::1' }] }, {}, /hosts\[0\]: unknown property 'addres': did you mean 'address'/],
  ]);
  for (const [given, env, message] of WRONG) {
    fact(`refused: ${shown(given)} ${shown(env)}`, () => refused(given === '' ? {} : given, env, message));
  }

  fact('where nothing is said: the first folder with a socket of that port, else localhost', async (t) => {
    const folders = ['first', 'second'].map((name) => fs.mkdtempSync(path.join(FOLDER, name)));
    const server = net.createServer().listen(path.join(folders[1], '.s.PGSQL.5433'));
    t.after(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    // Not a socket.
    fs.writeFileSync(path.join(folders[0], '.s.PGSQL.5433'), '');
    const hostAt = (/** @type {number | undefined} */ port, said = new Map()) =>
      resolveHosts(undefined, port, said, folders).map(({ host, port }) => `${host}:${port}`);
    assert.deepEqual(hostAt(5433), [`${folders[1]}:5433`]);
    assert.deepEqual(hostAt(undefined), ['localhost:5432']);
    const said = new Map([
      ['hosts', { value: 'a,,', name: 'host' }],
      ['port', { value: '1,5433,2', name: 'port' }],
    ]);
    assert.deepEqual(hostAt(undefined, said), ['a:1', `${folders[1]}:5433`, 'localhost:2']);
  });
});

describe('ssl', () => {
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
    fact(`${shown(given)} ${shown(env)}`, () => {
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
    fact(`refused: ${shown(given)} ${shown(env)}`, () => {
      const options = typeof given === 'string' ? { connectionString: given || undefined } : Object(given);
      refused({ hosts: 'h', ...options }, env, message);
    });
  }

  fact('a key that stands where a path should is not shown', () => {
    const body = Buffer.from('s3cret'.repeat(40)).toString('base64');
    for (const text of [body, `${KEY.split('\n')[1]}\n${body}`]) {
      assert.throws(
        () => parseOptions({ hosts: 'h', ssl: { cert, key: text } }, { HOME }),
        (/** @type {any} */ error) => error instanceof OptionError && !error.message.includes(body.slice(0, 20)),
      );
    }
  });

  fact('who may read a key: its owner, and for one of root a group', () => {
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
});

describe('refused by name', () => {
  const WRONG = /** @type {[unknown, NodeJS.ProcessEnv, RegExp][]} */ ([
    // What libpq can do and we cannot.
    ['requirepeer=postgres', {}, /connectionString: requirepeer is not supported/],
    ['sslpassword=hunter2', {}, /sslpassword is not supported/],
    ['sslcrldir=/x', {}, /sslcrldir is not supported/],
    ['sslcompression=1', {}, /sslcompression is not supported \(but '0'\)/],
    ['replication=database', {}, /replication is not supported/],
    ['krbsrvname=postgres', {}, /krbsrvname is not supported: there is no GSSAPI/],
    ['gssencmode=require', {}, /gssencmode is not supported \(but 'disable', 'prefer'\)/],
    ['min_protocol_version=3.2', {}, /min_protocol_version is not supported/],
    ['oauth_issuer=https://x', {}, /oauth_issuer is not supported/],
    ['scram_client_key=hunter2', {}, /scram_client_key is not supported/],
    ['', { PGREQUIREPEER: 'postgres' }, /PGREQUIREPEER is not supported/],
    ['', { PGSSLCRLDIR: '/x' }, /PGSSLCRLDIR is not supported/],
    ['', { PGGSSENCMODE: 'require' }, /PGGSSENCMODE is not supported/],
    ['client_encoding=LATIN1', {}, /client_encoding must be UTF8/],
    // Values.
    ['sslmode=on', {}, /connectionString: sslmode must be one of 'disable', /],
    ['', { PGSSLMODE: 'on' }, /PGSSLMODE must be one of 'disable', /],
    ['target_session_attrs=master', {}, /target_session_attrs must be one of/],
    ['load_balance_hosts=true', {}, /load_balance_hosts must be one of 'disable', 'random'/],
    ['connect_timeout=2s', {}, /connect_timeout must be an integer/],
    ['', { PGCONNECT_TIMEOUT: 'x' }, /PGCONNECT_TIMEOUT must be an integer/],
    ['keepalives=yes', {}, /keepalives must be an integer/],
    ['keepalives_idle=99999', {}, /keepalives_idle must be from 1000 to 32767000/],
    ['', { PGPORT: 'x' }, /PGPORT must be an integer/],
    ['', { PGDATESTYLE: 'x' }, /PGDATESTYLE is not a DateStyle/],
    ['require_auth=md5,!none', {}, /require_auth: either all methods are excluded/],
    ['require_auth=!md5,none', {}, /require_auth: either all methods are excluded/],
    ['require_auth=md5,md5', {}, /'md5' is named more than once/],
    ['require_auth=scram', {}, /require_auth must be of 'password', /],
    ['require_auth=md5,', {}, /require_auth must be of 'password', /],
    ['require_auth=oauth', {}, /'oauth' is not supported/],
    // Options.
    [{ connectionString: '' }, {}, /connectionString must not be empty/],
    [{ connectionString: 5 }, {}, /connectionString must be a string/],
    [{ service: '' }, {}, /service must not be empty/],
    [{ passfile: 5 }, {}, /passfile must be a string/],
    [{ requireAuth: 5 }, {}, /requireAuth must be a string or an array/],
    [{ requireAuth: [] }, {}, /requireAuth must name a method/],
    [{ requireAuth: [5] }, {}, /requireAuth must be a string/],
    [{ channelBinding: true }, {}, /channelBinding must be one of/],
    [{ loadBalanceHosts: true }, {}, /loadBalanceHosts must be one of/],
    [{ keepAlive: true }, {}, /keepAlive must be an object/],
    [{ keepAlive: { idle: 5 } }, {}, /'keepAlive\.idle': did you mean 'keepAlive\.idleMs'/],
    [{ keepAlive: { idleMs: 10 } }, {}, /keepAlive\.idleMs must be from 1000/],
    [{ tcpUserTimeoutMs: -1 }, {}, /tcpUserTimeoutMs must be from 0/],
    [{ monitor: { interval: 5 } }, {}, /'monitor\.interval': did you mean 'monitor\.intervalMs'/],
  ]);
  for (const [given, env, message] of WRONG) {
    fact(`${shown(given)} ${shown(env)}`, () => {
      const options = typeof given === 'string' ? { connectionString: given || undefined } : given;
      refused(options, env, message);
    });
  }

  // What is written, what is meant.
  const MEANT = /** @type {[string, string | undefined][]} */ ([
    ['host', 'hosts'],
    ['pollSize', 'poolSize'],
    ['pool_size', 'poolSize'],
    ['max', 'poolSize'],
    ['username', 'user'],
    ['dbname', 'database'],
    ['db', 'database'],
    ['pasword', 'password'],
    ['sslmode', 'ssl'],
    ['url', 'connectionString'],
    ['idleTimeoutMillis', 'idleTimeoutMs'],
    ['connectionTimeoutMillis', 'connectTimeoutMs'],
    ['statement_timeout', 'statementTimeoutMs'],
    ['targetSessionAttrs', 'mode'],
    ['application_name', 'applicationName'],
    ['requireAuht', 'requireAuth'],
    ['frobnicate', undefined],
  ]);
  for (const [name, meant] of MEANT) {
    fact(`option ${name}: did you mean ${meant}?`, () => {
      const end = meant === undefined ? `unknown option '${name}'$` : `did you mean '${meant}'\\?$`;
      refused({ [name]: 1 }, {}, new RegExp(end));
    });
  }

  fact('the distance of two words, and what is near enough', () => {
    const table = /** @type {[string, string, number][]} */ ([
      ['', 'abc', 3],
      ['port', 'port', 0],
      ['prot', 'port', 1],
      ['pot', 'port', 1],
      ['porrt', 'port', 1],
      ['kitten', 'sitting', 3],
    ]);
    for (const [a, b, expected] of table) assert.equal(distance(a, b), expected, `${a} ${b}`);
    assert.equal(nearest('ab', ['cd']), undefined);
    assert.equal(nearest('', ['a']), undefined);
    assert.equal(nearest('x'.repeat(100_000), ['a']), undefined);
  });
});

fact('a parsed connection string is not kept', () => {
  const options = parseOptions('postgres://u:hunter2@h/d', { HOME });
  assert.ok(!('connectionString' in options) && !('service' in options));
});

fact('every option of a keyword is there', () => {
  for (const [keyword, { option, inner }] of Object.entries(KEYWORDS)) {
    if (option !== undefined && !inner) assert.ok(Object.hasOwn(OPTIONS, option.split('.')[0]), keyword);
  }
});
