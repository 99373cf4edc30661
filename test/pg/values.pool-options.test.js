'use strict';

// A configuration of pg becomes options of createPool, and the sessions of both have the same settings.

const assert = require('node:assert/strict');
const tls = require('node:tls');
const pg = require('pg');
const client = /** @type {any} */ (require('../../client.js'));
const ConnectionParameters = require('../../exports/pg/connection-parameters.js');
const { failureOf, poolFor, test, useCluster } = require('../support/helpers.js');

const { checkOptions } = client[Symbol.for('hyperiondb-client.options')];
const { poolOptions } = ConnectionParameters;

for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name];

const db = useCluster({ nodes: 1 });

/** How pg reaches the cluster. @param {Record<string, unknown>} [more] @returns {Record<string, any>} */
function login(more) {
  const { hosts, user, password, database } = /** @type {any} */ (db.options());
  const [host, port] = String(hosts[0]).split(':');
  return { host, port: Number(port), user, password, database, ...more };
}

/** @param {any} config @param {readonly string[]} names */
const part = (config, names) => {
  const options = poolOptions(config);
  return Object.fromEntries(names.filter((name) => name in options).map((name) => [name, options[name]]));
};

test('poolOptions: times', () => {
  const times = (/** @type {any} */ config) => part(config, ['acquireTimeoutMs', 'connectTimeoutMs']);
  assert.deepEqual(times({ host: 'a,b' }), {});
  assert.deepEqual(times({ host: 'a' }), { connectTimeoutMs: 5_000 });
  assert.deepEqual(times({ host: 'a,b', connectionTimeoutMillis: 0 }), {});
  assert.deepEqual(times({ host: 'a,b', connectionTimeoutMillis: 700.5 }), { acquireTimeoutMs: 701 });
  assert.deepEqual(times({ host: 'a', connectionTimeoutMillis: '700' }), {
    acquireTimeoutMs: 700,
    connectTimeoutMs: 700,
  });
  assert.deepEqual(times({ connectionTimeoutMillis: Number.POSITIVE_INFINITY }).acquireTimeoutMs, 0x7fff_ffff);
  assert.deepEqual(times({ acquireTimeoutMs: 1, connectTimeoutMs: 2, connectionTimeoutMillis: 3 }), {
    acquireTimeoutMs: 1,
    connectTimeoutMs: 2,
  });
});

test('poolOptions: the core ends no session for its age or for being idle, and joins no transactions', () => {
  const { idleTimeoutMs, maxLifetimeMs, ambient } = poolOptions({
    idleTimeoutMillis: 1,
    maxLifetimeSeconds: 1,
    idleTimeoutMs: 5,
  });
  assert.deepEqual([idleTimeoutMs, maxLifetimeMs, ambient], [0x7fff_ffff, 0x7fff_ffff, false]);
});

test('poolOptions: mode, the number of sessions, and the name of the application', (t) => {
  const some = (/** @type {any} */ config) => part(config, ['mode', 'poolSize', 'applicationName', 'loadBalanceHosts']);
  assert.deepEqual(some({ host: 'a' }), { mode: 'any', poolSize: 10, applicationName: '' });
  assert.deepEqual(some({ host: 'a,b', max: 3 }), { poolSize: 3, applicationName: '' });
  assert.deepEqual(some({ max: 1e9, target_session_attrs: 'read-only', mode: 'any' }).poolSize, 10_000);
  assert.deepEqual(
    some('postgres://a,b/d?target_session_attrs=primary&load_balance_hosts=random&fallback_application_name=f'),
    {
      ...{ mode: 'primary', poolSize: 10, applicationName: 'f', loadBalanceHosts: 'random' },
    },
  );
  assert.equal(some({ mode: 'standby', application_name: 'a', fallback_application_name: 'f' }).applicationName, 'a');
  process.env.PGTARGETSESSIONATTRS = 'standby';
  t.after(() => delete process.env.PGTARGETSESSIONATTRS);
  assert.equal(checkOptions(poolOptions({ host: 'a' })).mode, 'standby');
});

test('poolOptions: keepalives', () => {
  const idle = (/** @type {any} */ config) => poolOptions(config).keepAlive;
  assert.equal(idle({}), undefined);
  assert.equal(idle({ keepAliveInitialDelayMillis: 5_000 }), undefined);
  assert.equal(idle({ keepAlive: false }), false);
  assert.equal(idle({ keepAlive: true }), undefined);
  assert.deepEqual(idle({ keepAlive: true, keepAliveInitialDelayMillis: 5_400 }), { idleMs: 5_000 });
  assert.deepEqual(idle({ keepAlive: true, keepAliveInitialDelayMillis: 1 }), { idleMs: 1_000 });
  assert.deepEqual(idle({ keepAlive: true, keepAliveInitialDelayMillis: 1e12 }), { idleMs: 32_767_000 });
  assert.deepEqual(idle({ keepAlive: { count: 3 } }), { count: 3 });
});

test('poolOptions: everything that it makes is accepted by createPool', () => {
  for (const config of [
    undefined,
    {},
    'postgres://u:p@h1:1,h2:2/d?application_name=a&options=-c%20geqo%3Doff',
    { host: '/var/run/postgresql' },
    { host: '::1', ssl: true },
    {
      user: 5,
      database: 6,
      max: '7',
      statement_timeout: '5s',
      lock_timeout: 1,
      idle_in_transaction_session_timeout: 2,
    },
    { hosts: ['a', { host: 'b', port: 1, address: '10.0.0.1' }], port: 5 },
    { options: "-c search_path='a\\b' -c work_mem=1MB" },
    { options: { work_mem: '1MB', geqo: false }, lock_timeout: 5 },
    {
      keepAlive: true,
      keepAliveInitialDelayMillis: 10,
      client_encoding: 'latin1',
      replication: 'false',
      enableChannelBinding: true,
    },
    {
      types: pg.types,
      Promise,
      log: () => {},
      onConnect: () => {},
      min: 1,
      maxUses: 2,
      pipeline: true,
      logger: 1,
      unknown: 1,
    },
    {
      passfile: '/nowhere',
      monitor: false,
      name: 'orders',
      prepare: false,
      requireAuth: 'scram-sha-256',
      statementCacheSize: 5,
      tcpUserTimeoutMs: 5,
    },
    { ssl: { rejectUnauthorized: false, require: true } },
  ]) {
    assert.ok(checkOptions(poolOptions(config)), JSON.stringify(config));
  }
});

test('poolOptions: what the core cannot do is refused by its name', () => {
  for (const [config, message] of /** @type {[any, RegExp][]} */ ([
    [{ stream: () => {} }, /^stream is not supported/],
    [{ connection: {} }, /^connection is not supported/],
    [{ replication: 'database' }, /^replication is not supported/],
    [{ ssl: { ciphers: 'x' } }, /^ssl\.ciphers is not supported/],
    [{ ssl: { pfx: Buffer.alloc(1) } }, /^ssl\.pfx is not supported/],
    [{ ssl: { secureContext: {} } }, /^ssl\.secureContext is not supported/],
    [{ ssl: { ca: 5 } }, /^ssl\.ca must be PEM text/],
    [{ ssl: { checkServerIdentity: (/** @type {any} */ host) => host } }, /^ssl\.checkServerIdentity is not supported/],
    [{ ssl: { checkServerIdentity: () => new Error('no') } }, /^ssl\.checkServerIdentity is not supported/],
    [{ ssl: { key: 'secret of mine', passphrase: 'x' } }, /^ssl\.key cannot be decrypted with ssl\.passphrase \(ERR_/],
  ])) {
    assert.throws(
      () => poolOptions(config),
      (/** @type {any} */ error) => {
        assert.deepEqual([error.name, error.code], ['OptionError', 'ERR_INVALID_OPTION']);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

test('poolOptions: forms of ssl', () => {
  const ssl = (/** @type {any} */ config) => poolOptions(config).ssl;
  const full = { mode: 'verify-full', ca: ssl({ ssl: true }).ca };
  for (const root of tls.rootCertificates) assert.ok(full.ca.includes(root));
  assert.equal(ssl({ ssl: { ca: 'system' } }).ca, 'system');
  assert.equal(ssl({}), false);
  assert.equal(ssl({ ssl: false }), false);
  assert.equal(ssl({ ssl: 'disable' }), false);
  for (const given of [true, {}, 'true', 'require', 'verify-full', { rejectUnauthorized: true }])
    assert.deepEqual(ssl({ ssl: given }), full);
  assert.deepEqual(ssl('postgres://h/d?sslmode=verify-full'), full);
  assert.deepEqual(ssl('postgres://h/d?sslmode=no-verify'), { mode: 'require', rejectUnauthorized: false });
  assert.deepEqual(ssl({ ssl: { ca: ['a', Buffer.from('b')] } }), { mode: 'verify-full', ca: 'a\nb' });
  assert.deepEqual(ssl({ ssl: { ca: 'a', checkServerIdentity: () => undefined } }), { mode: 'verify-ca', ca: 'a' });
  assert.deepEqual(ssl({ ssl: { ca: 'a', checkServerIdentity: tls.checkServerIdentity } }), {
    mode: 'verify-full',
    ca: 'a',
  });
  assert.deepEqual(ssl({ ssl: true, sslnegotiation: 'direct' }), { ...full, negotiation: 'direct' });
  assert.deepEqual(
    ssl({ host: '::1', ssl: { servername: 's', sni: false, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', crl: 'c' } }),
    {
      ...{ ...full, servername: 's', sni: false, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', crl: 'c' },
    },
  );
  assert.deepEqual(ssl({ ssl: { minVersion: 'TLSv1' } }), full);
  assert.deepEqual(ssl({ host: 'h', ssl: { servername: 's' } }), full);
  assert.deepEqual(ssl({ host: 'h,i', ssl: { servername: 's' } }), { ...full, servername: 's' });
  assert.deepEqual(ssl({ ssl: { mode: 'require' } }), { mode: 'require' });
});

test('poolOptions: a certificate of ~/.postgresql is not shown, one of the configuration is', () => {
  assert.match(poolOptions({}).connectionString, /sslcertmode=disable/);
  assert.doesNotMatch(poolOptions({ ssl: { cert: 'c', key: 'k' } }).connectionString, /sslcertmode/);
});

test('poolOptions: PGSSLMODE of pg, which libpq does not know, is no error', (t) => {
  process.env.PGSSLMODE = 'no-verify';
  t.after(() => {
    delete process.env.PGSSLMODE;
  });
  const options = poolOptions({ host: 'h' });
  assert.deepEqual(options.ssl, { mode: 'require', rejectUnauthorized: false });
  assert.ok(checkOptions(options));
});

const SETTINGS = `SELECT current_setting('statement_timeout') AS st, current_setting('lock_timeout') AS lt, current_setting('application_name') AS a,
  current_setting('idle_in_transaction_session_timeout') AS it, current_setting('work_mem') AS wm, current_setting('search_path') AS sp,
  current_setting('client_encoding') AS ce, current_setting('DateStyle') AS ds, current_setting('TimeZone') AS tz, session_user AS u, current_database() AS d`;

test('poolOptions: sessions have the settings that those of pg have', async (t) => {
  for (const more of [
    {},
    {
      statement_timeout: 1_234,
      lock_timeout: '567',
      idle_in_transaction_session_timeout: 89_000,
      application_name: "it's",
    },
    { fallback_application_name: 'fallback', client_encoding: 'latin1' },
    { options: '-c work_mem=3MB -c DateStyle=ISO,\\ DMY --search-path=a,b' },
  ]) {
    const stock = new pg.Client(login(more));
    await stock.connect();
    t.after(() => stock.end());
    const { rows } = await stock.query(SETTINGS);
    const [ours] = await poolFor(t, poolOptions(login(more))).query(SETTINGS);
    assert.deepEqual({ ...ours }, rows[0], JSON.stringify(more));
  }
});

test('poolOptions: our settings of sessions are taken, too', async (t) => {
  const [{ wm }] = await poolFor(t, poolOptions(login({ options: { work_mem: '3MB' } }))).query(SETTINGS);
  assert.equal(wm, '3MB');
});

test('poolOptions: the primary is found among several hosts of a list and of a connection string', async (t) => {
  const { host, port, user, password, database } = login();
  const { hosts: dead } = { hosts: '127.0.0.1' };
  for (const config of [
    { ...login(), host: `${dead},${host}`, port: `1,${port}` },
    `postgres://${user}:${encodeURIComponent(password)}@${dead}:1,${host}:${port}/${database}`,
    { ...login(), host: undefined, hosts: [`${dead}:1`, { host, port }] },
  ]) {
    assert.equal((await poolFor(t, poolOptions(config)).query(SETTINGS))[0].d, database);
  }
});

test('poolOptions: a password function is called with the parameters, and its errors are its own', async (t) => {
  /** @type {any[]} */
  const calls = [];
  const { password } = login();
  const config = login({
    password: async (/** @type {any} */ parameters) => {
      calls.push(parameters);
      return password;
    },
  });
  assert.equal((await poolFor(t, poolOptions(config)).query('SELECT 1 AS one'))[0].one, 1);
  assert.ok(calls.length > 0 && calls.every((given) => given instanceof ConnectionParameters));
  assert.equal(calls[0].host, config.host);
  const wrong = poolFor(t, poolOptions(login({ password: () => 5 })));
  const { code, cause } = await failureOf(wrong.query('SELECT 1'));
  assert.deepEqual([code, cause.name, cause.message], ['ERR_PASSWORD', 'TypeError', 'Password must be a string']);
});
