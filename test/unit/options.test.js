'use strict';

// What the options, a connection string and the environment come down to: what the core is told (forCore). No pool is opened.
// TLS has a file of its own (ssl-options.test.js).

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { describe } = require('node:test');
const { resolveHosts } = require('../../lib/options/hosts.js');
const { KEYWORDS } = require('../../lib/options/keywords.js');
const { distance, nearest } = require('../../lib/options/did-you-mean.js');
const { parseOptions } = require('../../lib/options/options.js');
const { POOL } = require('../../lib/options/pool-rows.js');
const { FOLDER, HOME, core, refused, shown } = require('../support/configured.js');
const { test } = require('../support/helpers.js');

describe('what the core is told', () => {
  test('with nothing given: every default', () => {
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
      minPoolSize: 0,
      connectTimeoutMs: 2_000,
      acquireTimeoutMs: 5_000,
      idleTimeoutMs: 600_000,
      maxLifetimeMs: 1_800_000,
      statementCacheSize: 256,
      reset: { mode: 'changes', sql: null },
      pipelineDepth: 16,
      monitor: { intervalMs: 1_000, nodeTimeoutMs: 3_000 },
      reads: {
        poolSize: 10,
        balance: 'least-connections',
        weights: [1],
        maxLagMs: null,
        maxLagBytes: null,
        fallback: 'primary',
        waitMs: 500,
        hedgeMs: null,
        hedgeShare: 0.05,
        slowStartMs: 5_000,
        healthThreshold: 0,
      },
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
    test(`${shown(given)} ${shown(env)}`, () => {
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
    test(`${shown(given)} ${shown(env)}`, () => assert.deepEqual(core(given, env).hosts, hosts));
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
    [
      { hosts: [{ host: 'a', addres: '::1' }] },
      {},
      /unknown option 'hosts\[0\].addres': did you mean 'hosts\[0\].address'/,
    ],
  ]);
  for (const [given, env, message] of WRONG) {
    test(`refused: ${shown(given)} ${shown(env)}`, () => refused(given === '' ? {} : given, env, message));
  }

  test('where nothing is said: the first folder with a socket of that port, else localhost', async (t) => {
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
    test(`${shown(given)} ${shown(env)}`, () => {
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
    test(`option ${name}: did you mean ${meant}?`, () => {
      const end = meant === undefined ? `unknown option '${name}'$` : `did you mean '${meant}'\\?$`;
      refused({ [name]: 1 }, {}, new RegExp(end));
    });
  }

  test('the distance of two words, and what is near enough', () => {
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

test('a parsed connection string is not kept', () => {
  const options = parseOptions('postgres://u:hunter2@h/d', { HOME });
  assert.ok(!('connectionString' in options) && !('service' in options));
});

test('every option of a keyword is there', () => {
  for (const [keyword, { option, inner }] of Object.entries(KEYWORDS)) {
    if (option !== undefined && !inner) assert.ok(Object.hasOwn(POOL, option.split('.')[0]), keyword);
  }
});
