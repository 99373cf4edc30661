'use strict';

// What createPool is given: who logs in with which password, where missing options come from, and which options are refused.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');
const { describe } = require('node:test');
const { createPool, HyperionError, OptionError } = require('../../client.js');
const { endings, test, failureOf, poolFor, printedBy, range, sleep, useCluster } = require('../support/helpers');
const { hostsOf, letters, portOf, uriOf } = require('../support/pools');

const db = useCluster({ nodes: 3 });

/** Escapes a value for the quotes of a keyword=value string. @param {string} value */
const quoted = (value) => value.replaceAll(/[\\']/g, '\\$&');

describe('login', () => {
  test('login: a wrong password fails at once with 28P01, though a standby comes first', async (t) => {
    for (const hosts of ['P', 'PST', 'SP']) {
      const pool = db.pool(t, { hosts: hostsOf(db, hosts), password: 'wrong', acquireTimeoutMs: 50_000 });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.equal(error.code, '28P01', hosts);
      assert.equal(error.name, 'DatabaseError');
      assert.equal(error.outcome, 'not-applied');
      assert.ok(!error.message.includes('wrong'));
    }
  });

  test('login: an unknown database is 3D000 at once', async (t) => {
    const pool = db.pool(t, { database: 'nowhere', acquireTimeoutMs: 50_000 });
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, '3D000');
  });

  test('login: all waiting statements fail with its error, and the next statement tries again', async (t) => {
    let password = 'wrong';
    const pool = db.pool(t, { password: () => password, acquireTimeoutMs: 50_000 });
    const ended = await endings(range(5).map(() => pool.query('SELECT 1')));
    assert.deepEqual(
      ended.map(({ error }) => error?.code),
      Array(5).fill('28P01'),
    );
    password = db.cluster.password;
    assert.deepEqual(await pool.query('SELECT 1 AS one'), rows([{ one: 1 }]));
  });

  test('password may be a function, sync or async, called for each connection', async (t) => {
    let calls = 0;
    const { password } = db.cluster;
    const functions = [
      () => {
        calls++;
        return password;
      },
      async () => {
        calls++;
        await sleep(5);
        return password;
      },
    ];
    for (const given of functions) {
      calls = 0;
      const pool = db.pool(t, { password: given, poolSize: 3, hosts: hostsOf(db, 'P') });
      await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.1)')));
      assert.ok(calls >= 3, `${calls} calls`);
    }
  });

  test('password missing where the server asks for one: an error at once that says so', async () => {
    const [error] = await printedBy(
      null,
      `
      const pool = createPool({ hosts: '${letters(db).P.address}', user: '${db.cluster.user}', acquireTimeoutMs: 120000 });
      await pool.query('SELECT 1').catch((error) => print(error.message));
      await pool.end();`,
      { env: { PGPASSFILE: '/nowhere', PGPASSWORD: '' } },
    );
    assert.match(error, /password/);
  });

  const FAILING = /** @type {const} */ ([
    [
      'throws',
      () => {
        throw new Error('vault is sealed');
      },
      /vault is sealed/,
    ],
    [
      'rejects',
      async () => {
        throw new Error('vault is sealed');
      },
      /vault is sealed/,
    ],
    ['returns no string', () => 42, /did not return a string/],
    ['rejects with nothing', () => Promise.reject(), /password function failed/],
  ]);
  for (const [how, password, message] of FAILING) {
    test(`password function that ${how} fails the query at once`, async (t) => {
      const pool = db.pool(t, { password, acquireTimeoutMs: 50_000 });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.ok(error instanceof HyperionError);
      assert.match(error.message, message);
    });
  }

  test('PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE are the defaults of missing options', async () => {
    const { user, password, database } = db.cluster;
    const { host, port } = letters(db).P;
    const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
    const printed = await printedBy(
      null,
      `
      const pool = createPool({ applicationName: 'from-env' });
      const [row] = await pool.query("SELECT current_user::text AS u, current_database()::text AS d, current_setting('application_name') AS a");
      print(row.u, row.d, row.a);
      await pool.end();`,
      { env },
    );
    assert.deepEqual(printed, [`${user} ${database} from-env`]);
  });

  test("connection string, alone and beside options, and libpq's other ways to write it", async (t) => {
    const { user, password, database } = db.cluster;
    const { P } = letters(db);
    const uri = uriOf(P, { user, password }, `/${database}?application_name=by-uri&options=-c%20work_mem%3D3MB`);
    const pairs = `host=${P.host} port=${P.port} user='${user}' password='${quoted(password)}' dbname=${database}`;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'service-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'services');
    fs.writeFileSync(
      file,
      `[db]\nhost=${P.host}\nport=${P.port}\nuser=${user}\npassword=${password}\ndbname=${database}\napplication_name=by-service\n`,
    );
    const table = [
      [uri, 'by-uri 3MB'],
      [{ connectionString: uri, applicationName: 'by-option' }, 'by-option 3MB'],
      [{ connectionString: uri, options: { work_mem: '5MB' } }, 'by-uri 5MB'],
      [`${pairs} application_name=by-pairs options='-c work_mem=3MB'`, 'by-pairs 3MB'],
      [{ service: 'db', options: { work_mem: '3MB' } }, 'by-service 3MB'],
    ];
    const printed = await printedBy(
      null,
      `
      for (const [given] of ${JSON.stringify(table)}) {
        const pool = createPool(given);
        const [row] = await pool.query("SELECT current_setting('application_name') || ' ' || current_setting('work_mem') AS v");
        print(row.v);
        await pool.end();
      }`,
      { env: { PGSERVICEFILE: file, PGAPPNAME: 'by-env' } },
    );
    assert.deepEqual(
      printed,
      table.map(([, expected]) => expected),
    );
  });

  test('options win over the environment', async () => {
    const env = { PGHOST: 'nowhere.invalid', PGPORT: '1', PGUSER: 'nobody', PGPASSWORD: 'x', PGDATABASE: 'none' };
    const printed = await printedBy(
      db,
      `
      const pool = createPool(options);
      print((await pool.query('SELECT 1 AS one'))[0].one);
      await pool.end();`,
      { env },
    );
    assert.deepEqual(printed, ['1']);
  });

  test('password file: first match, wildcards, escapes, and ignored when others may read it', async (t) => {
    const { user, password, database } = db.cluster;
    const { host, port } = letters(db).P;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpass-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'pass:word');
    const escaped = password.replace(/[\\:]/g, '\\$&');
    const attempt = async (/** @type {string} */ text, mode = 0o600) => {
      fs.writeFileSync(file, text);
      fs.chmodSync(file, mode);
      const [line] = await printedBy(
        null,
        `
        process.removeAllListeners('warning');
        const pool = createPool({ hosts: '${host}:${port}', user: '${user}', database: '${database}', acquireTimeoutMs: 500 });
        print(await pool.query('SELECT 1').then(() => 'in', (error) => error.code));
        await pool.end();`,
        { env: { PGPASSFILE: file, PGPASSWORD: '', NODE_NO_WARNINGS: '1' } },
      );
      return line;
    };
    assert.equal(
      await attempt(`# comment\n\nelsewhere:*:*:*:no\n${host}:${port}:${database}:${user}:${escaped}\n`),
      'in',
    );
    assert.equal(await attempt(`*:*:*:*:${escaped}\r\n`), 'in');
    assert.equal(await attempt(`*:*:*:*:wrong\n*:*:*:*:${escaped}\n`), '28P01', 'the first match counts');
    assert.notEqual(await attempt(`*:*:*:*:${escaped}\n`, 0o644), 'in', 'others may read it');
  });
});

/**
 * What query() returns for these rows, as far as deepEqual compares.
 * @param {object[]} list
 */
const rows = (list) => list;

describe('options of createPool', () => {
  // option, value, what the message has to contain
  const WRONG = /** @type {[string, any, RegExp][]} */ ([
    ['hosts', 42, /hosts/],
    ['hosts', [], /hosts/],
    ['hosts', [''], /hosts/],
    ['hosts', ['h:0'], /hosts/],
    ['hosts', ['h:65536'], /hosts/],
    ['hosts', ['h:x'], /hosts/],
    ['hosts', [null], /hosts/],
    ['hosts', [{ port: 1 }], /hosts/],
    ['hosts', [{ host: '', port: 1 }], /hosts/],
    ['hosts', [{ host: 'h', prot: 1 }], /hosts.*prot/],
    ['hosts', [{ host: 'h', port: '1' }], /hosts.*port/],
    ['port', '5432', /port/],
    ['port', 0, /port/],
    ['port', 70_000, /port/],
    ['user', 42, /user/],
    ['user', '', /user/],
    ['user', 'a\0b', /user/],
    ['password', 42, /password/],
    ['password', 'a\0b', /password/],
    ['database', [], /database/],
    ['mode', 'readwrite', /mode.*'read-write'/],
    ['mode', true, /mode/],
    ['poolSize', 0, /poolSize/],
    ['poolSize', 1.5, /poolSize/],
    ['poolSize', '10', /poolSize/],
    ['poolSize', NaN, /poolSize/],
    ['connectTimeoutMs', 0, /connectTimeoutMs/],
    ['connectTimeoutMs', -1, /connectTimeoutMs/],
    ['connectTimeoutMs', 2 ** 31, /connectTimeoutMs/],
    ['acquireTimeoutMs', Infinity, /acquireTimeoutMs/],
    ['statementTimeoutMs', 0.5, /statementTimeoutMs/],
    ['idleTimeoutMs', '1', /idleTimeoutMs/],
    ['maxLifetimeMs', null, /maxLifetimeMs/],
    ['applicationName', 1, /applicationName/],
    ['options', 'x', /options/],
    ['options', { 'a b': 1 }, /options.*'a b'/],
    ['options', { a: {} }, /options\.a/],
    ['types', 'x', /types/],
    ['types', { int9: 'number' }, /types.*int9/],
    ['types', { int8: 'float' }, /types\.int8.*'bigint'/],
    ['types', { json: 1 }, /types\.json/],
    ['logger', {}, /logger/],
    ['ssl', 'on', /ssl.*'verify-full'/],
    ['ssl', { caa: 1 }, /ssl\.caa.*'ssl\.ca'/],
    ['connectionString', 'postgres://u:hunter2@h/d?x=y', /connectionString/],
    ['pollSize', 1, /pollSize/],
    ['host', 'h', /host.*'hosts'/],
    ['max', 5, /max.*'poolSize'/],
    ['pipeline', 4, /pipeline/],
    ['pipeline', { depth: 0 }, /pipeline\.depth/],
    ['pipeline', { deep: 1 }, /pipeline\.deep/],
    ['__proto__x', 5, /__proto__x/],
  ]);
  for (const [name, value, message] of WRONG) {
    test(`createPool refuses ${name}: ${util.inspect(value)}, and names the option`, () => {
      assert.throws(
        () => createPool({ [name]: value }),
        (/** @type {any} */ error) => {
          assert.ok(error instanceof OptionError && error instanceof HyperionError);
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          assert.match(error.message, message);
          assert.ok(!util.inspect(error).includes('hunter2'));
          assert.match(String(error.stack), /pool\.options\.test\.js/);
          return true;
        },
      );
    });
  }

  for (const value of ['postgres://u:hunter2@h:x/d', null, 42, [], () => {}]) {
    test(`createPool(${util.inspect(value)}) throws and does not show the value`, () => {
      assert.throws(
        () => createPool(value),
        (/** @type {any} */ error) => {
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          assert.ok(!util.inspect(error).includes('hunter2'));
          return true;
        },
      );
    });
  }

  test('createPool refuses a URL among the hosts, and does not show its password', () => {
    for (const hosts of ['postgres://u:hunter2@h:5432/d', ['postgres://u:hunter2@h/d'], 'u:hunter2@h']) {
      assert.throws(
        () => createPool({ hosts }),
        (/** @type {any} */ error) => {
          assert.equal(error.code, 'ERR_INVALID_OPTION', String(error));
          assert.ok(!util.inspect(error).includes('hunter2'), String(error));
          return true;
        },
        String(hosts),
      );
    }
  });

  test('createPool: undefined is the same as an option that is not given', async (t) => {
    const pool = db.pool(t, { poolSize: undefined, mode: undefined, logger: undefined, statementTimeoutMs: undefined });
    assert.equal(pool.status().maxSize, 10);
    await pool.query('SELECT 1');
  });

  test('createPool: the caller may change the options object afterwards', async (t) => {
    const options = db.options({ types: { int8: 'number' }, options: { work_mem: '3MB' } });
    const hosts = [...options.hosts];
    const pool = poolFor(t, { ...options, hosts });
    hosts.length = 0;
    Object.assign(options, { user: 'nobody' });
    /** @type {any} */ (options).types.int8 = 'string';
    assert.deepEqual(await pool.query('SELECT 1::int8 AS v'), [{ v: 1 }]);
  });

  test('forms of hosts', async (t) => {
    const { host, port } = letters(db).P;
    const forms = [
      `${host}:${port}`,
      [`${host}:${port}`],
      [{ host, port }],
      ` ${host}:${port} , ${hostsOf(db, 'S')[0]}`,
    ];
    for (const hosts of forms) assert.equal(await portOf(db.pool(t, { hosts })), port, util.inspect(hosts));
    for (const hosts of [host, [host], [{ host }]]) assert.equal(await portOf(db.pool(t, { hosts, port })), port);
  });

  // hosts, what nodes() makes of it
  const FORMS = /** @type {[any, [string, number][]][]} */ ([
    ['a', [['a', 5432]]],
    [
      'a,b:1',
      [
        ['a', 5432],
        ['b', 1],
      ],
    ],
    [
      ['[::1]:5433', '[fe80::1]', '::1'],
      [
        ['::1', 5433],
        ['fe80::1', 5432],
        ['::1', 5432],
      ],
    ],
    [
      ['/var/run/postgresql', '/tmp:5434'],
      [
        ['/var/run/postgresql', 5432],
        ['/tmp', 5434],
      ],
    ],
    [
      [{ host: 'h', port: 7 }, { host: '::1' }],
      [
        ['h', 7],
        ['::1', 5432],
      ],
    ],
  ]);
  for (const [hosts, expected] of FORMS) {
    test(`hosts may be ${util.inspect(hosts)}`, async (t) => {
      const pool = poolFor(t, { hosts, user: 'u', password: 'p' });
      assert.deepEqual(
        pool.nodes().map((/** @type {any} */ node) => [node.host, node.port]),
        expected,
      );
    });
  }

  test('hosts may be a socket directory', async (t) => {
    db.needs('settings');
    const [{ dirs }] = await db.sql("SELECT current_setting('unix_socket_directories') AS dirs");
    if (dirs === '') {
      const error = await failureOf(
        db.pool(t, { hosts: os.tmpdir(), port: 1, acquireTimeoutMs: 200 }).query('SELECT 1'),
      );
      assert.equal(error.code, 'ERR_NO_PRIMARY');
      assert.match(error.nodes[0].reason, /No such file|refused/i);
      return;
    }
    const host = dirs.split(',')[0];
    await db.pool(t, { hosts: [{ host, port: letters(db).P.port }] }).query('SELECT 1');
  });
});
