'use strict';

// ConnectionParameters has the fields of that of pg, for configurations, connection strings and PG* variables.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { defaults: stockDefaults } = require('pg');
const Stock = require('pg/lib/connection-parameters');
const { parse: stockParse } = require('pg-connection-string');
const ConnectionParameters = require('../../exports/pg/connection-parameters.js');
const { parse } = require('../../exports/pg/connection-string.js');
const defaults = require('../../exports/pg/defaults.js');
const { inChild, test } = require('../support/helpers.js');
const { ROUNDS, randomFrom } = require('./values.support.js');

/** Runs with these PG* variables and no others. @param {Record<string, string>} variables @param {() => unknown} body */
function withEnv(variables, body) {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];
  Object.assign(process.env, variables);
  try {
    return body();
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

/** @param {() => any} work */
function outcomeOf(work) {
  try {
    return { value: work() };
  } catch (error) {
    const { message, code, input } = /** @type {any} */ (error);
    return { error: message, code, input };
  }
}

/** All that a configuration of pg leads to. @param {any} Class @param {any} config */
function seen(Class, config) {
  const parameters = new Class(
    typeof config === 'object' && config?.ssl ? { ...config, ssl: copyOf(config.ssl) } : config,
  );
  let text;
  if (parameters.isDomainSocket && parameters.ssl !== null)
    parameters.getLibpqConnectionString((/** @type {any} */ _, /** @type {string} */ given) => (text = given));
  return {
    all: { ...parameters },
    names: Object.keys(parameters),
    password: parameters.password,
    key: parameters.ssl?.key,
    text,
  };
}

/** @param {any} ssl */
const copyOf = (ssl) => (typeof ssl === 'object' ? { ...ssl } : ssl);

const getPassword = () => 'secret';

const CONFIGS = [
  undefined,
  null,
  {},
  { user: 'u', database: 'd', host: 'h', port: 6000, password: 'p' },
  { user: 'u', port: '6000' },
  { password: getPassword },
  { host: '/var/run/postgresql', database: 'd' },
  { host: '' },
  { host: '::1' },
  { ssl: true },
  { ssl: false },
  { ssl: 'true' },
  { ssl: 'no-verify' },
  { ssl: 'require' },
  { ssl: { rejectUnauthorized: false, ca: 'c', key: 'k', cert: 'x' } },
  { ssl: null },
  { sslnegotiation: 'direct', ssl: true },
  { sslnegotiation: 'direct' },
  { sslnegotiation: 'strange' },
  { connectionTimeoutMillis: 1_500, keepAlive: true, keepAliveInitialDelayMillis: 12_500 },
  { connectionTimeoutMillis: 0, keepAlive: false },
  { statement_timeout: 5_000, lock_timeout: '3', idle_in_transaction_session_timeout: 4, query_timeout: 5 },
  { application_name: 'a', fallback_application_name: 'f', options: '-c geqo=off', binary: true },
  { replication: 'database', client_encoding: 'latin1' },
  { connectionString: 'postgres://u:p@h:1/d', user: 'other', port: 2, host: 'x', max: 5 },
  { connectionString: 'postgres:///d', host: 'x', user: 'u' },
  { connectionString: 'postgres://h/d?ssl=true&application_name=a', ssl: false },
  ...[
    'postgres://u:p@h:6000/d',
    'postgres://h',
    'postgresql://u@h/',
    'socket:/tmp?db=d&encoding=utf8',
    '/tmp d',
    '/tmp',
    'd',
    '',
  ],
];

const ENVIRONMENTS = [
  {},
  {
    PGUSER: 'eu',
    PGDATABASE: 'ed',
    PGHOST: 'eh',
    PGPORT: '7000',
    PGPASSWORD: 'ep',
    PGAPPNAME: 'ea',
    PGOPTIONS: '-c a=b',
  },
  { PGHOST: '/tmp', PGCONNECT_TIMEOUT: '7', PGCLIENT_ENCODING: 'utf8', PGREPLICATION: 'true', PGBINARY: '1' },
  ...['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify', 'x'].map((PGSSLMODE) => ({
    PGSSLMODE,
  })),
  { PGSSLNEGOTIATION: 'direct', PGSSLMODE: 'require' },
  { PGSSLNEGOTIATION: 'direct' },
];

test('ConnectionParameters: configurations and variables lead to the fields of pg', () => {
  for (const env of ENVIRONMENTS) {
    withEnv(env, () => {
      for (const config of CONFIGS) {
        const [ours, theirs] = [ConnectionParameters, Stock].map((Class) => outcomeOf(() => seen(Class, config)));
        assert.deepStrictEqual(ours, theirs, `${JSON.stringify(env)} ${JSON.stringify(config)}`);
      }
    });
  }
});

test('ConnectionParameters: pg.defaults fill what is missing', (t) => {
  const changes = {
    user: 'du',
    host: 'dh',
    port: 9000,
    password: 'dp',
    ssl: true,
    application_name: 'da',
    statement_timeout: 7,
  };
  const before = { ...defaults };
  t.after(() => {
    for (const name of Object.keys(changes)) defaults[name] = /** @type {any} */ (stockDefaults)[name] = before[name];
  });
  Object.assign(defaults, changes);
  Object.assign(stockDefaults, changes);
  withEnv({}, () => {
    for (const config of [{}, { host: 'h', ssl: false }])
      assert.deepStrictEqual(seen(ConnectionParameters, config), seen(Stock, config));
  });
});

test('ConnectionParameters: password, hosts and the key of TLS are not shown when it is printed', () => {
  const parameters = new ConnectionParameters({ password: 'hunter2', host: 'a,b', ssl: { key: 'hunter3' } });
  const shown = require('node:util').inspect(parameters, { depth: 9 }) + JSON.stringify(parameters);
  assert.doesNotMatch(shown, /hunter|hosts/);
  assert.deepEqual([parameters.password, parameters.ssl.key], ['hunter2', 'hunter3']);
});

test('ConnectionParameters: getLibpqConnectionString is that of pg', async () => {
  const config = {
    user: "o'brien",
    password: 'a\\b',
    host: '127.0.0.1',
    database: 'd',
    application_name: 'a',
    connectionTimeoutMillis: 9_000,
  };
  for (const more of [
    {},
    { ssl: true },
    { ssl: { sslmode: 'require', sslca: 'c' } },
    { client_encoding: 'utf8', replication: 'x' },
  ]) {
    const texts = await Promise.all(
      [ConnectionParameters, Stock].map(
        (Class) =>
          new Promise((resolve) => {
            /** @type {any} */ (new Class({ ...config, ...more })).getLibpqConnectionString(
              (/** @type {unknown} */ _, /** @type {unknown} */ text) => resolve(text),
            );
          }),
      ),
    );
    // The order of keywords means nothing.
    assert.deepEqual(...texts.map((text) => String(text).split(' ').sort()));
  }
});

test('ConnectionParameters: several hosts, in a list, in `hosts` and in connection strings', () => {
  const all = (/** @type {any} */ config) => {
    const { host, port, hosts } = new ConnectionParameters(config);
    return [host, port, hosts.map((one) => `${one.host} ${one.port}`).join()];
  };
  withEnv({}, () => {
    assert.deepEqual(all({ host: 'a,b' }), ['a,b', 5432, 'a 5432,b 5432']);
    assert.deepEqual(all({ host: 'a, b', port: 6000 }), ['a, b', 6000, 'a 6000,b 6000']);
    assert.deepEqual(all({ host: 'a,b', port: '1,2' }), ['a,b', 1, 'a 1,b 2']);
    assert.deepEqual(all({ host: 'a:1,[::1]:2,b', port: 3 }), ['a:1,[::1]:2,b', 1, 'a 1,::1 2,b 3']);
    assert.deepEqual(all({ hosts: ['a:1', { host: 'b', port: 2 }, 'c'], port: 3 }), ['a,b,c', 1, 'a 1,b 2,c 3']);
    assert.deepEqual(all({ hosts: 'a,/tmp' }), ['a,/tmp', 5432, 'a 5432,/tmp 5432']);
    assert.deepEqual(all('postgres://u:p@a:1,b:2/d'), ['a,b', 1, 'a 1,b 2']);
    assert.deepEqual(all('postgres://u:p@a,b:2/d'), ['a,b', 5432, 'a 5432,b 2']);
    assert.deepEqual(all('postgres://a,[::1]:5/d?x=1'), ['a,::1', 5432, 'a 5432,::1 5']);
    assert.deepEqual(all('postgres://%2Ftmp,b/d'), ['/tmp,b', 5432, '/tmp 5432,b 5432']);
    assert.deepEqual(all('postgres:///d?host=a,b&port=1,2'), ['a,b', 1, 'a 1,b 2']);
  });
  withEnv({ PGHOST: 'a,b', PGPORT: '1,2' }, () => assert.deepEqual(all({}), ['a,b', 1, 'a 1,b 2']));
  withEnv({ PGPORT: '7' }, () => assert.deepEqual(all('postgres://a,b/d'), ['a,b', 7, 'a 7,b 7']));
  assert.throws(() => all({ host: 'a,b', port: '1,2,3' }), {
    code: 'ERR_INVALID_OPTION',
    message: 'port has 3 ports for 2 hosts',
  });
});

test('connection strings: user, password, database and query of one with several hosts are those of one host', () => {
  for (const [several, one] of [
    [
      'postgres://u:p%40w@a,b/d%20e?application_name=x&ssl=true',
      'postgres://u:p%40w@a/d%20e?application_name=x&ssl=true',
    ],
    ['postgresql://u@a:1,b:2', 'postgresql://u@a:1'],
  ]) {
    const { host: _, port: __, ...ours } = parse(several);
    const { host: ___, port: ____, ...theirs } = stockParse(one);
    assert.deepEqual(ours, { ...theirs });
  }
});

const STRINGS = [
  'postgres://user:pass@host:5432/db?ssl=1',
  'postgres://user:pass@host/db?ssl=0',
  'postgres://user:pass@host/db?ssl=false',
  'postgres://us%2Fer:p%3Aa%40ss@host/d%2Fb',
  'postgres://user:p ss@host/d b',
  'postgres://user:p%ss@host/db',
  'postgres://[::1]:5432/db',
  'postgres://%2Fvar%2Frun/db',
  'postgres://user@%2Ftmp:5433/db?host=/other',
  'postgres:///db?host=/tmp&port=1&user=u&password=p',
  'postgres://user:pass@/db',
  'postgres://host/db?encoding=utf8&options=-c%20geqo%3Doff&keepalives=1',
  'postgres://host/?sslnegotiation=direct',
  'postgres://host/db?sslmode=no-verify',
  'postgres://host/db?sslmode=disable',
  'postgres://host/db?sslmode=verify-full',
  'postgres://host/db?sslmode=require',
  'postgres://host/db?sslmode=strange',
  ...['prefer', 'require', 'verify-ca', 'verify-full', 'disable'].map(
    (mode) => `postgres://host/db?uselibpqcompat=true&sslmode=${mode}`,
  ),
  'postgres://host/db?sslrootcert=/nowhere/ca.pem',
  'postgres://host:port/db',
  'postgres://user:secret@host:99999/db',
  'postgres://host/d?a=1&a=2&b',
  'mysql://host/db',
  'host',
  'socket:/tmp/?db=d',
  '/tmp db more',
];

test('connection strings are read as pg-connection-string reads them', () => {
  for (const text of STRINGS) {
    const [ours, theirs] = [parse, stockParse].map((read) => outcomeOf(() => ({ ...read(text) })));
    for (const { value } of [ours, theirs])
      if (value?.ssl?.checkServerIdentity) value.ssl.checkServerIdentity = value.ssl.checkServerIdentity();
    assert.deepStrictEqual(ours, theirs, text);
  }
});

test('connection strings: certificates are read from files', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pg-face-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const query = ['sslcert', 'sslkey', 'sslrootcert'].map((name) => {
    fs.writeFileSync(path.join(folder, name), `text of ${name}`);
    return `${name}=${path.join(folder, name)}`;
  });
  const text = `postgres://host/db?${query.join('&')}`;
  assert.deepEqual({ ...parse(text) }, { ...stockParse(text) });
  assert.equal(parse(text).ssl.ca, 'text of sslrootcert');
  const compat = parse(`${text}&uselibpqcompat=true&sslmode=verify-ca`);
  assert.deepEqual([typeof compat.ssl.checkServerIdentity, compat.ssl.rejectUnauthorized], ['function', undefined]);
});

test('random connection strings are read as pg-connection-string reads them', () => {
  const random = randomFrom(11);
  const { of, word, maybe, between } = random;
  for (let round = 0; round < ROUNDS; round++) {
    const text = [
      of(['postgres://', 'postgresql://', 'postgres:', '']),
      maybe() ? `${word('abü%:/ 2F', 5)}${maybe() ? `:${word('ab%@:?#/ ü40', 5)}` : ''}@` : '',
      of(['host', '', '[::1]', '127.0.0.1', '%2Ftmp', 'a b', 'ü.de']),
      maybe(0.3) ? `:${between(0, 70_000)}` : '',
      maybe() ? `/${word('db%20 ü/?', 5)}` : '',
      maybe() ? `?${of(['host', 'port', 'user', 'ssl', 'x', 'password'])}=${word('ab1%20&=+ ', 5)}` : '',
    ].join('');
    const [ours, theirs] = [parse, stockParse].map((read) => outcomeOf(() => ({ ...read(text) })));
    assert.deepStrictEqual(ours, theirs, text);
  }
});

test('connection strings: the warning of an sslmode comes once', async () => {
  const code = `
    const { parse } = require(${JSON.stringify(require.resolve('../../exports/pg/connection-string.js'))});
    process.on('warning', ({ message }) => print(message.split('\\n')[0]));
    for (const mode of ['verify-full', 'disable', 'require', 'prefer']) parse('postgres://h/d?sslmode=' + mode);`;
  const { lines } = await inChild(null, code, { load: false, flags: ['--no-warnings'] });
  assert.deepEqual(lines, [
    "SECURITY WARNING: The SSL modes 'prefer', 'require', and 'verify-ca' are treated as aliases for 'verify-full', as pg 8 does.",
  ]);
});

test('connection strings: the text of one that cannot be read is in no error', () => {
  for (const text of [
    'postgres://u:hunter2@h:port/d',
    'postgres://u:hunter2@h:port,b/d',
    'postgres://u:hunter2@[::1/d',
  ]) {
    const error = /** @type {any} */ (outcomeOf(() => parse(text)));
    assert.ok(error.error, text);
    assert.doesNotMatch(require('node:util').inspect(error), /hunter2/);
  }
});
