'use strict';

// Passwords, keys and tokens appear nowhere: not in errors, events, log lines, what inspect and JSON.stringify show, nor in what
// a process prints when it dies. Each case is a process of its own (secrets/witness.js) that prints everything that a program can
// see, and the whole output is searched. The logger has the values of parameters only when it asks for them.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe } = require('node:test');
const util = require('node:util');
const { createPool } = require('../../client.js');
const { Leaks, secretsOf } = require('../../scripts/leaks.js');
const { secretOf } = require('../../exports/testing/cluster/secret.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { HANG_MS, test, failureOf, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** The password has characters that URIs, the password file, JSON and shells treat in special ways. */
const SECRET = 'Tr0ub4dor&3 :@/\\"\'é%41';
const FORMS = [
  'Tr0ub4dor',
  encodeURIComponent(SECRET),
  Buffer.from(SECRET).toString('base64').slice(0, 12),
  Buffer.from(SECRET).toString('base64url').slice(0, 12),
  Buffer.from(SECRET).toString('hex').slice(0, 18),
].map((form) => form.toLowerCase());

/** @param {string} text @param {string} [what] */
function assertSecretless(text, what = 'output') {
  const lower = text.toLowerCase();
  for (const form of FORMS) {
    const at = lower.indexOf(form);
    assert.ok(at < 0, `the ${what} shows the secret: ${text.slice(Math.max(0, at - 200), at + 40)}`);
  }
}

/** The environment without the variables that a developer has set for servers. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^PG|^NODE_/.test(name)));

/**
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<string>} all it has printed
 */
function outputOf(args, env = {}) {
  const child = spawn(process.execPath, args, {
    env: { ...ENV, WITNESS_SECRET: SECRET, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), HANG_MS / 2);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

/** @param {import('./secrets/witness.js').Order} order @param {NodeJS.ProcessEnv} [env] */
const witness = (order, env) => outputOf([path.join(__dirname, 'secrets', 'witness.js'), JSON.stringify(order)], env);

/** Codes of the errors in an output. @param {string} text */
const codes = (text) => [...text.matchAll(/^failed: (.*)$/gm)].map(([, what]) => what);

/** A file with the password in it, in a folder that is removed. @param {any} t @param {string} text */
function fileOf(t, text) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'secrets-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, text, { mode: 0o600 });
  return file;
}

const passfileText = `*:*:*:*:${SECRET.replaceAll(/[\\:]/g, '\\$&')}\n`;

/**
 * Every way to give a password. `at` are the host, the port and the user.
 * @type {Record<string, (t: any, at: { host: string, port: number, user: string, database: string }) => { options: any, env?: NodeJS.ProcessEnv }>}
 */
const WAYS = {
  'an option': (_, { host, port, ...rest }) => ({
    options: { hosts: `${host}:${port}`, ...rest, password: '@secret' },
  }),
  'a function': (_, { host, port, ...rest }) => ({
    options: { hosts: `${host}:${port}`, ...rest, password: '@function' },
  }),
  'a connection string': (_, { host, port, user, database }) => ({
    options: { connectionString: `postgres://${user}:@encoded@${host}:${port}/${database}` },
  }),
  'a connection string alone': (_, { host, port, user, database }) => ({
    options: `postgres://${user}:@encoded@${host}:${port}/${database}?connect_timeout=2`,
  }),
  'the query of a connection string': (_, { host, port, user, database }) => ({
    options: { connectionString: `postgres://${host}:${port}/${database}?user=${user}&password=@encoded` },
  }),
  'the environment': (_, { host, port, ...rest }) => ({
    options: { hosts: `${host}:${port}`, ...rest },
    env: { PGPASSWORD: SECRET },
  }),
  'the password file': (t, { host, port, ...rest }) => ({
    options: { hosts: `${host}:${port}`, ...rest },
    env: { PGPASSFILE: fileOf(t, passfileText) },
  }),
  'a password file by option': (t, { host, port, ...rest }) => ({
    options: { hosts: `${host}:${port}`, ...rest, passfile: fileOf(t, passfileText) },
  }),
  'a service': (t, { host, port, user, database }) => ({
    options: { service: 'shop' },
    env: {
      PGSERVICEFILE: fileOf(
        t,
        `[shop]\nhost=${host}\nport=${port}\nuser=${user}\ndbname=${database}\npassword=${SECRET}\n`,
      ),
    },
  }),
};

const at = (/** @type {number} */ port) => ({ host: '127.0.0.1', port, user: db.cluster.user, database: 'postgres' });

describe('secrets: a password given in each way', () => {
  for (const [way, given] of Object.entries(WAYS)) {
    test(`secrets: a password given by ${way} is not in the error when no server is there`, async (t) => {
      const { options, env } = given(t, at(await freePort()));
      const text = await witness({ options, work: 'anything' }, env);
      assert.ok(codes(text).includes('query ERR_NO_PRIMARY'), text);
      assertSecretless(text);
    });

    test(`secrets: a password given by ${way} is not in the error when it is wrong`, async (t) => {
      const { options, env } = given(t, at(db.cluster.primary().port));
      const text = await witness({ options, work: 'anything' }, env);
      assert.ok(codes(text).includes('query 28P01'), text);
      assertSecretless(text);
    });

    test(`secrets: a password given by ${way} is not in the errors when the server ends the session and refuses others`, async (t) => {
      const role = `leaver_${crypto.randomUUID().slice(0, 8)}`;
      await db.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${SECRET.replaceAll("'", "''")}'`);
      await db.sql(`ALTER ROLE ${role} CONNECTION LIMIT 20`);
      const { options, env } = given(t, { ...at(db.cluster.primary().port), user: role });
      const text = await witness({ options, work: 'terminate' }, env);
      assert.match(text, /query resolved:/);
      assert.ok(
        codes(text).some((what) => /^terminate (ERR_OUTCOME_UNKNOWN|57P01)$/.test(what)),
        codes(text).join('\n'),
      );
      assertSecretless(text);
      await db.sql(`DROP ROLE ${role}`);
    });
  }
});

describe('secrets: createPool fails', () => {
  const key = crypto
    .generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
  /** @type {[string, any][]} */
  const WRONG = [
    ['an unknown option beside the password', { password: '@secret', nonsense: '@secret' }],
    ['a password that is an object', { password: { value: '@secret' } }],
    ['a password that is an array', { password: ['@secret'] }],
    ['a password that is a symbol', { password: '@symbol' }],
    ['a URI among the hosts', { hosts: 'postgres://app:@encoded@db1/shop' }],
    ['a URI as a host', { hosts: [{ host: 'postgres://app:@encoded@db1/shop' }] }],
    ['a URI with a wrong port', 'postgres://app:@encoded@db1:port/shop'],
    ['a URI with an unknown parameter', 'postgres://app:@encoded@db1/shop?nonsense=1'],
    ['a URI with the password in a parameter of the wrong name', 'postgres://db1/shop?passwort=@encoded'],
    ['a URI with broken percent-encoding', 'postgres://app:%zz@encoded@db1/shop'],
    ['a URI of another kind', 'mysql://app:@encoded@db1/shop'],
    ['keywords with a mistake', 'host=db1 passwort=@encoded'],
    ['keywords without an end', "host=db1 password='@encoded"],
    ['a key that is no key', { ssl: { key: '-----BEGIN PRIVATE KEY-----\n@secret\n' } }],
    ['a key without its first line', { ssl: { key: key.split('\n').slice(1).join('\n') } }],
    ['a key without its certificate', { ssl: { key } }],
    ['a coordination secret that is the password', { password: '@secret', lease: { coordinationSecret: '@secret' } }],
    ['a coordination secret of a wrong type', { lease: { coordinationSecret: { value: '@secret' } } }],
    ['a coordination secret under a wrong name', { lease: { secret: '@secret' } }],
    ['a session setting that is an object', { options: { 'app.token': { value: '@secret' } } }],
    ['a session setting of a strange name', { options: { '@secret': 1, 'a b': '@secret' } }],
  ];
  for (const [how, options] of WRONG) {
    test(`secrets: createPool refuses ${how}, and shows no secret`, async () => {
      const text = await witness({ options, work: 'anything' });
      assert.match(text, /^failed: createPool ERR_INVALID_OPTION$/m);
      assertSecretless(text);
      assert.ok(!text.includes(key.split('\n')[1].slice(0, 30)), text);
    });
  }
});

describe('secrets: the secret of leases', () => {
  for (const work of /** @type {const} */ (['anything', 'terminate', 'uncaught'])) {
    test(`secrets: the secret of leases is not in what a pool shows (${work})`, async () => {
      const { hosts, user, password } = db.cluster;
      const options = {
        hosts,
        user,
        database: 'postgres',
        lease: { coordinationSecret: ['@secret', 'another @secret'] },
      };
      const text = await witness({ options, work }, { PGPASSWORD: password });
      assert.match(text, /event lease:/);
      assertSecretless(text);
    });
  }
});

describe('secrets: password functions', () => {
  test('secrets: a password function that fails later: only its error is shown', async () => {
    const options = { hosts: db.cluster.hosts, user: db.cluster.user, database: 'postgres', password: '@rejects' };
    const text = await witness({ options, work: 'anything' });
    assert.match(text, /28P01|ERR_PASSWORD/);
    assertSecretless(text);
  });

  test('secrets: a password function that returns no string: the value is not shown', async () => {
    const options = { hosts: db.cluster.hosts, user: db.cluster.user, database: 'postgres', password: '@object' };
    const text = await witness({ options, work: 'anything' });
    assert.ok(codes(text).includes('query ERR_PASSWORD'), text);
    assertSecretless(text);
  });
});

describe('secrets: what a process prints', () => {
  test('secrets: a process that dies of an uncaught error prints no password', async () => {
    const options = { hosts: db.cluster.hosts, user: db.cluster.user, database: 'postgres', password: '@secret' };
    const text = await witness({ options, work: 'uncaught' });
    assert.match(text, /28P01/);
    assertSecretless(text);
  });

  const CLI = path.join(__dirname, '..', '..', 'lib', 'cli', 'index.js');
  test('secrets: the command line with a wrong password prints none', async () => {
    const { hosts, user } = db.cluster;
    const args = ['status', '--hosts', hosts.join(','), '--user', user, '--timeout', '500'];
    const text = await outputOf([CLI, ...args], { PGPASSWORD: SECRET });
    assert.match(text, /password/);
    assertSecretless(text);
    assertSecretless(await outputOf([CLI, ...args, '--json'], { PGPASSWORD: SECRET }), 'JSON');
  });

  test('secrets: the command line with a URI for a host prints no password', async () => {
    const uri = `postgres://app:${encodeURIComponent(SECRET)}@127.0.0.1:1/shop`;
    assertSecretless(await outputOf([CLI, 'status', '--hosts', uri, '--timeout', '200']));
  });
});

describe('logParameters', () => {
  /** Every way to send a parameter. @type {[string, unknown[], (pool: any) => Promise<unknown>][]} */
  const SENT = [
    ['query', [SECRET, 7], (pool) => pool.query('SELECT $1::text, $2::int4', [SECRET, 7])],
    ['query without any', [], (pool) => pool.query('SELECT 1')],
    ['query that fails', [SECRET, 0], (pool) => failureOf(pool.query('SELECT $1::text, 1 / $2::int4', [SECRET, 0]))],
    ['one', [SECRET], (pool) => pool.one('SELECT $1::text', [SECRET])],
    ['a template', [SECRET], (pool) => pool.sql`SELECT ${SECRET}::text`],
    ['batch', [SECRET], (pool) => pool.batch([['SELECT $1::text', [SECRET]]])],
    [
      'transaction',
      [SECRET],
      (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT $1::text', [SECRET])),
    ],
    [
      'stream',
      [SECRET],
      async (pool) => {
        for await (const _ of pool.stream('SELECT $1::text', [SECRET]));
      },
    ],
  ];

  for (const [how, parameters, send] of SENT) {
    test(`logParameters: the logger has the parameters of ${how} when asked, and not else`, async (t) => {
      /** @type {Record<string, any[]>} */
      const events = { default: [], false: [], true: [] };
      for (const [choice, heard] of Object.entries(events)) {
        const logParameters = choice === 'default' ? undefined : choice === 'true';
        await send(db.pool(t, { logger: (/** @type {any} */ event) => heard.push(event), logParameters }));
      }
      assert.deepEqual(
        events.true.map((event) => event.parameters),
        [parameters],
      );
      for (const { sql, ...rest } of [...events.default, ...events.false]) {
        assert.ok(!Object.hasOwn(rest, 'parameters'));
        assertSecretless(util.inspect({ sql, rest }, { depth: 10, showHidden: true }), 'event');
      }
      assert.deepEqual([events.default.length, events.false.length], [1, 1]);
    });
  }

  test('logParameters: scripts and copies have no parameters', async (t) => {
    /** @type {any[]} */
    const events = [];
    const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event), logParameters: true });
    await pool.exec('CREATE TABLE logged (a text)');
    await pool.copyFrom('logged', [[SECRET]]);
    for await (const _ of pool.copyTo('COPY (SELECT 1) TO STDOUT'));
    await pool.exec('DROP TABLE logged');
    assert.equal(events.length, 4);
    assertSecretless(JSON.stringify(events), 'events');
    assert.ok(events.every((event) => !Object.hasOwn(event, 'parameters')));
  });

  test('logParameters: the parameters are those of the call, whatever the caller does with the array', async (t) => {
    /** @type {any[]} */
    const events = [];
    const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event), logParameters: true });
    const values = [1, 2];
    const running = pool.query('SELECT $1::int4 + $2::int4', values);
    values.length = 0;
    await running;
    assert.deepEqual(events[0].parameters, [1, 2]);
  });

  test('secrets: the error of a parameter that does not fit has its number, not its value', async (t) => {
    const pool = db.pool(t);
    for (const [type, value] of [
      ['int4', 987654.25],
      ['int2', 987654],
      ['bool', { v: 987654 }],
    ]) {
      const error = await failureOf(pool.query(`SELECT $1::${type}`, [value]));
      assert.match(error.message, /\$1/);
      assert.doesNotMatch(util.inspect(error, { showHidden: true }), /987654/);
    }
  });

  test('logParameters must be a boolean', () => {
    for (const logParameters of [1, 'yes', null]) {
      assert.throws(() => createPool({ logParameters }), { message: /^logParameters must be a boolean/ });
    }
  });
});

describe('secrets: the filter for the output of test suites', () => {
  /** @param {string[]} chunks @param {NodeJS.ProcessEnv} [env] */
  function through(chunks, env = {}) {
    let seen = '';
    const leaks = new Leaks((text) => {
      seen += text;
    }, secretsOf(env));
    for (const chunk of chunks) leaks.take(chunk);
    leaks.end();
    return { seen, found: leaks.found };
  }

  test('output filter: text without a secret passes unchanged', () => {
    const text = 'one\n\n  two\nhyperion-secret-of-no-cluster\n-----BEGIN CERTIFICATE-----\nend without a newline';
    assert.deepEqual(through([text.slice(0, 7), text.slice(7)]), { seen: text, found: [] });
  });

  test("output filter: a cluster's password is found, even in two pieces, and taken out", () => {
    const secret = secretOf('hyperion');
    assert.equal(db.cluster.password, secret, 'the clusters have such passwords');
    const line = `ok\n  password: '${secret}', again ${secret}\nok`;
    for (const cut of [0, 20, 25, 40]) {
      const { seen, found } = through([line.slice(0, cut), line.slice(cut)]);
      assert.equal(seen, "ok\n  password: '[secret]', again [secret]\nok");
      assert.deepEqual(found, ['line 2: a password of a test cluster']);
    }
    assert.equal(
      through([`\n\n${secret}`]).found[0],
      'line 3: a password of a test cluster',
      'a last line without an end',
    );
  });

  test('output filter: the head of a private key is found and taken out', () => {
    for (const kind of ['', 'RSA ', 'EC ', 'ENCRYPTED ', 'OPENSSH ']) {
      const { seen, found } = through([`'-----BEGIN ${kind}PRIVATE KEY-----\\nMII'\n`]);
      assert.deepEqual([seen, found], ["'[secret]\\nMII'\n", ['line 1: a private key']]);
    }
  });

  test('output filter: the password of a cluster that the environment names is found and taken out', () => {
    const env = { HYPERION_PASSWORD: 'a+b (long) one' };
    const { seen, found } = through(['x a+b (long) one y\npostgres://u:a%2Bb%20(long)%20one@h\n'], env);
    assert.equal(seen, 'x [secret] y\npostgres://u:[secret]@h\n');
    assert.deepEqual(found, ['line 1: the value of HYPERION_PASSWORD', 'line 2: the value of HYPERION_PASSWORD']);
    assert.deepEqual(through(['postgres\n'], { HYPERION_PASSWORD: 'postgres'.slice(0, 7) }).found, []);
  });

  test('output filter: a test run that prints a password has failed', async (t) => {
    const file = `${fileOf(t, '')}.test.js`;
    fs.writeFileSync(file, `console.log(${JSON.stringify(`it is ${secretOf('hyperion')}`)});`);
    const text = await outputOf([path.join(__dirname, '..', '..', 'scripts', 'test.js'), file], {
      HYPERION_PG_BIN: '/nowhere',
    });
    assert.doesNotMatch(text, new RegExp(secretOf('hyperion')));
    assert.match(text, /it is \[secret\]/);
    assert.match(text, /== Secret printed by \S+\.test\.js: stdout, line \d+: a password of a test cluster/);
  });
});
