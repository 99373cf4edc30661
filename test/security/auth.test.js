'use strict';

// Login: which methods a server may ask for, with TLS and without, what is never sent in clear text, passwords from a function,
// which may expire, and wrong passwords, which must not be tried until the server locks the account.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe } = require('node:test');
const { HyperionError } = require('../../client.js');
const { secretOf } = require('../../exports/testing/cluster/secret.js');
const { endings, test, failureOf, range, sleep, until } = require('../support/helpers');
const { relayTo } = require('../support/relay.js');
const { useTls } = require('./tls.helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

const sockets = fs.mkdtempSync(path.join(os.tmpdir(), 'hs-'));
fs.chmodSync(sockets, 0o777);
after(() => fs.rmSync(sockets, { recursive: true, force: true }));

const db = useTls({ settings: { unix_socket_directories: sockets } });

/** A role whose password is stored as an md5 hash: for the other roles the method md5 means SCRAM. */
const OLD = { user: 'old', password: secretOf('old') };
/** A role that tests may change. */
const NEW = { user: 'fickle', password: secretOf('fickle') };

/** @type {Promise<unknown> | undefined} */
let roles;

/** Not in a before() hook: the hooks of a file start all at once. */
async function makeRoles() {
  await db.node.sql(`SET password_encryption = 'md5'; CREATE ROLE ${OLD.user} LOGIN PASSWORD '${OLD.password}'`);
  await db.node.sql(`CREATE ROLE ${NEW.user} LOGIN PASSWORD '${NEW.password}'`);
}

/** @param {Parameters<typeof db.receive>} how */
async function receive(...how) {
  roles ??= makeRoles();
  await roles;
  await db.receive(...how);
}

/** @param {string} password */
const setPassword = (password) => db.node.sql(`ALTER ROLE ${NEW.user} PASSWORD '${password.replaceAll("'", "''")}'`);

const WHO = 'SELECT current_user AS name';

/** Lines of the server's log that report a wrong password. @param {string} log */
const refusals = (log) => (log.match(/password authentication failed for user/g) ?? []).length;

describe('authentication methods', () => {
  // The server's method, the role, whether by TLS, and requireAuth; the result, and whether the password itself could be read on the
  // network.
  const TABLE = `
    method         role  tls  requireAuth            comes to  readable
    scram-sha-256  app   off  -                      in        no
    scram-sha-256  app   on   -                      in        no
    md5            app   off  -                      in        no
    md5            old   off  -                      in        no
    md5            old   on   -                      in        no
    trust          app   off  -                      in        no
    trust          app   on   -                      in        no
    password       app   on   -                      in        no
    password       app   off  -                      ERR_AUTH  no
    password       old   off  -                      ERR_AUTH  no
    reject         app   off  -                      28000     no
    reject         app   on   -                      28000     no

    password       app   off  password               in        yes
    password       app   off  scram-sha-256,password in        yes
    password       app   off  !md5                   ERR_AUTH  no
    password       app   off  scram-sha-256          ERR_AUTH  no
    password       app   on   password               in        no
    password       app   on   !password              ERR_AUTH  no
    password       app   on   !md5,!none             in        no
    password       app   on   scram-sha-256,md5      ERR_AUTH  no
    password       app   on   none                   ERR_AUTH  no

    scram-sha-256  app   off  scram-sha-256          in        no
    scram-sha-256  app   off  none,scram-sha-256     in        no
    scram-sha-256  app   on   scram-sha-256          in        no
    scram-sha-256  app   on   !password,!md5         in        no
    scram-sha-256  app   off  !scram-sha-256         ERR_AUTH  no
    scram-sha-256  app   on   md5                    ERR_AUTH  no
    scram-sha-256  app   off  none                   ERR_AUTH  no
    scram-sha-256  app   off  gss,sspi               ERR_AUTH  no

    md5            app   off  scram-sha-256          in        no
    md5            app   off  md5                    ERR_AUTH  no
    md5            old   off  md5                    in        no
    md5            old   off  md5,password           in        no
    md5            old   off  scram-sha-256          ERR_AUTH  no
    md5            old   on   !md5                   ERR_AUTH  no
    md5            old   on   !scram-sha-256         in        no

    trust          app   off  none                   in        no
    trust          app   off  none,md5               in        no
    trust          app   off  !password              in        no
    trust          app   off  !none                  ERR_AUTH  no
    trust          app   off  scram-sha-256          ERR_AUTH  no
    trust          app   on   scram-sha-256,md5      ERR_AUTH  no
  `;
  const rows = TABLE.trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((cells) => cells.length > 1);

  for (const [method, role, tls, requireAuth, expected, readable] of rows) {
    test(`authentication by ${method} for ${role}, TLS ${tls}, requireAuth ${requireAuth}: ${expected}`, async (t) => {
      await receive(tls === 'on' ? 'good' : null, { hba: [`host all all all ${method}`] });
      const relay = await relayTo(t, db.node);
      const login = role === 'old' ? OLD : db.app;
      const pool = db.pool(t, {
        ...login,
        hosts: relay.host,
        ssl: tls === 'on' ? 'require' : 'prefer',
        poolSize: 1,
        ...(requireAuth !== '-' && { requireAuth }),
      });
      const [{ value, error }] = await endings([pool.query(WHO)]);
      assert.equal(error === undefined ? 'in' : error.code, expected, error?.stack);
      if (error === undefined) assert.deepStrictEqual(value, [{ name: login.user }]);
      else assert.ok(error instanceof HyperionError && error.outcome === 'not-applied');
      if (expected === 'ERR_AUTH') {
        assert.ok(error.message.includes(relay.host), error.message);
        assert.match(error.message, requireAuth === '-' ? /clear text/ : /requireAuth|clear text/);
      }
      const isReadable = relay.conversations().some((text) => text.includes(login.password));
      assert.equal(isReadable ? 'yes' : 'no', readable);
    });
  }

  test('requireAuth may be an array', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    const inBy = (/** @type {string[]} */ requireAuth) => db.pool(t, { requireAuth }).query(WHO);
    assert.deepStrictEqual(await inBy(['md5', 'scram-sha-256']), [{ name: 'app' }]);
    assert.equal((await failureOf(inBy(['!scram-sha-256']))).code, 'ERR_AUTH');
  });

  test('requireAuth: a client certificate does not count as a method', async (t) => {
    await receive('good', { hba: ['hostssl all app all cert'], ca: true });
    const { cert, key } = db.pki.clients.app;
    const ssl = { ca: db.pki.ca.pem, cert, key };
    const inBy = (/** @type {string | undefined} */ requireAuth) => db.pool(t, { ssl, requireAuth }).query(WHO);
    assert.deepStrictEqual(await inBy(undefined), [{ name: 'app' }]);
    assert.deepStrictEqual(await inBy('none'), [{ name: 'app' }]);
    assert.equal((await failureOf(inBy('scram-sha-256'))).code, 'ERR_AUTH');
  });

  test('authentication by a password in clear text is allowed on a Unix socket as over TLS', async (t) => {
    await receive(null, { hba: ['local all app password'] });
    const pool = db.pool(t, { hosts: sockets, port: db.node.port });
    assert.deepStrictEqual(await pool.query(WHO), [{ name: 'app' }]);
  });

  test('authentication without a password where the server asks for one: an error at once that says so', async (t) => {
    for (const method of ['scram-sha-256', 'md5', 'password']) {
      await receive('good', { hba: [`host all all all ${method}`] });
      const error = await failureOf(db.pool(t, { password: undefined, ssl: 'require' }).query(WHO));
      assert.ok(error instanceof HyperionError, error.stack);
      assert.match(error.message, /password/, method);
    }
  });
});

describe('passwords', () => {
  test('passwords may have any characters', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    t.after(() => setPassword(NEW.password));
    for (const password of [
      'with spaces and "quotes" \'of\' two kinds',
      'back\\slash=equals,comma;semicolon@at/slash?query#hash%25',
      'Überraschung ✓ 密码 🔑',
      'ﬁ ª ² Ⅸ', // characters that SASLprep replaces
      'x'.repeat(900),
      ' ',
    ]) {
      await setPassword(password);
      const pool = db.pool(t, { user: NEW.user, password, poolSize: 1 });
      assert.deepStrictEqual(await pool.query(WHO), [{ name: NEW.user }], password);
    }
  });

  // Roles that cannot log in, and databases that do not exist: the error of the server, at once.
  test('authentication: other refusals of the server come at once, too', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    await db.node.sql(
      `CREATE ROLE nologin NOLOGIN PASSWORD 'x'; CREATE ROLE stale LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01'`,
    );
    for (const [options, code] of /** @type {[any, string][]} */ ([
      [{ user: 'nologin', password: 'x' }, '28000'],
      [{ user: 'stale', password: 'x' }, '28P01'],
      [{ user: 'nobody', password: 'x' }, '28P01'],
      [{ database: 'nowhere' }, '3D000'],
    ])) {
      const error = await failureOf(db.pool(t, options).query('SELECT 1'));
      assert.deepEqual([error.name, error.code], ['DatabaseError', code], error.stack);
    }
  });
});

describe('a wrong password', () => {
  /** How long the test watches the server's log. */
  const WATCHED_MS = 3_000;

  for (const [title, options] of /** @type {[string, () => any][]} */ ([
    ['one host', () => ({})],
    ['one host by TLS, where libpq would try without as well', () => ({ ssl: 'prefer' })],
    ['two hosts', () => ({ hosts: [`localhost:${db.node.port}`, `127.0.0.1:${db.node.port}`] })],
    ['from a function', () => ({ password: () => 'wrong' })],
    ['from a function that takes its time', () => ({ password: () => sleep(50, 'wrong') })],
  ])) {
    test(`a wrong password fails 50 queries at once, and the server sees few attempts: ${title}`, async (t) => {
      await receive('good', { hba: ['host all all all scram-sha-256'] });
      const log = db.logFrom();
      const pool = db.pool(t, { ...NEW, password: 'wrong', ssl: false, monitor: { intervalMs: 100 }, ...options() });
      const ended = await endings(range(50).map(() => pool.query('SELECT 1')));
      for (const { error } of ended) {
        assert.deepEqual(
          [error?.name, error?.code, error?.outcome],
          ['DatabaseError', '28P01', 'not-applied'],
          error?.stack,
        );
      }
      const hosts = pool.nodes().length;
      assert.ok(refusals(log()) <= hosts, `${refusals(log())} attempts at ${hosts} hosts for 50 queries`);
      const deadline = Date.now() + WATCHED_MS;
      while (Date.now() < deadline) {
        assert.equal((await failureOf(pool.query('SELECT 1'))).code, '28P01');
        await sleep(50);
      }
      assert.ok(refusals(log()) <= hosts, `${refusals(log())} attempts at ${hosts} hosts in ${WATCHED_MS} ms`);
    });
  }

  test('a wrong password in an unused pool is not tried by the monitor alone', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    const log = db.logFrom();
    const pool = db.pool(t, { ...NEW, password: 'wrong', monitor: { intervalMs: 50 } });
    await failureOf(pool.query('SELECT 1'));
    await sleep(WATCHED_MS);
    assert.equal(refusals(log()), 1);
  });

  test('a wrong password that the server takes later works in the same pool', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    const pool = db.pool(t, { ...NEW, password: 'next-secret' });
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, '28P01');
    t.after(() => setPassword(NEW.password));
    await setPassword('next-secret');
    await until('it is tried again', async () => (await pool.query(WHO))[0].name === NEW.user);
  });

  test('a password changed on the server under a pool: sessions go on, new ones are refused at once', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    t.after(() => setPassword(NEW.password));
    const pool = db.pool(t, { ...NEW, poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    await setPassword('changed');
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }]);
    await db.node.sql('SELECT pg_terminate_backend($1)', [pid]);
    await until('it is refused', async () => {
      const error = await pool.query('SELECT 1').catch((/** @type {any} */ failed) => failed);
      return error.code === '28P01';
    });
  });
});

describe('a password function', () => {
  test('a password function is called for each new connection, and not before', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    let calls = 0;
    const password = async () => {
      calls++;
      await sleep(5);
      return NEW.password;
    };
    const pool = db.pool(t, { ...NEW, password, poolSize: 3, monitor: false });
    await sleep(20);
    assert.equal(calls, 0);
    await Promise.all(range(3).map(() => pool.query('SELECT pg_sleep(0.3)')));
    assert.equal(pool.status().size, 3);
    assert.equal(calls, 3);
  });

  test('a password function gives tokens that expire: each connection has a new one', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    t.after(() => setPassword(NEW.password));
    let issued = 0;
    const password = async () => {
      const token = `token-${++issued}`;
      await setPassword(token); // and the one before has expired
      return token;
    };
    const pool = db.pool(t, { ...NEW, password, poolSize: 1, monitor: false });
    for (const round of range(4)) {
      const [{ pid }] = await until('a session', () => pool.query('SELECT pg_backend_pid() AS pid'));
      assert.equal(issued, round + 1);
      await db.node.sql('SELECT pg_terminate_backend($1)', [pid]);
      await until('it is gone', async () => {
        const rows = await db.node.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]);
        return rows.length === 0;
      });
    }
  });

  // What the function does, with the cause of the error.
  for (const [title, fail] of /** @type {[string, (error: Error) => any][]} */ ([
    [
      'throws',
      (error) => () => {
        throw error;
      },
    ],
    ['rejects', (error) => () => Promise.reject(error)],
    ['rejects after a while', (error) => () => sleep(50).then(() => Promise.reject(error))],
  ])) {
    test(`a password function that ${title}: ERR_PASSWORD at once, with that error as its cause`, async (t) => {
      await receive(null, { hba: ['host all all all scram-sha-256'] });
      const reason = new Error('the vault is sealed');
      const pool = db.pool(t, { ...NEW, password: fail(reason) });
      for (const { error } of await endings(range(5).map(() => pool.query('SELECT 1')))) {
        assert.ok(error instanceof HyperionError);
        assert.deepEqual([error.code, error.outcome], ['ERR_PASSWORD', 'not-applied'], error.stack);
        assert.equal(error.cause, reason);
      }
    });
  }

  test('a password function that gives no text: ERR_PASSWORD at once', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    for (const given of [undefined, null, 42, {}, Buffer.from('x'), 'a\0b']) {
      const error = await failureOf(db.pool(t, { ...NEW, password: () => given }).query('SELECT 1'));
      assert.equal(error.code, 'ERR_PASSWORD', `${JSON.stringify(given)}: ${error.stack}`);
    }
  });

  test('a password function that failed is called again by the next query', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    let isSealed = true;
    const password = () => (isSealed ? Promise.reject(new Error('sealed')) : NEW.password);
    const pool = db.pool(t, { ...NEW, password });
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_PASSWORD');
    isSealed = false;
    assert.deepStrictEqual(await until('it works', () => pool.query(WHO)), [{ name: NEW.user }]);
  });

  test('a password function that never answers: the wait is bounded, and the pool ends', async (t) => {
    await receive(null, { hba: ['host all all all scram-sha-256'] });
    const password = () => new Promise(() => {});
    const pool = db.pool(t, { ...NEW, password, connectTimeoutMs: 200, acquireTimeoutMs: 500 });
    const error = await failureOf(pool.query('SELECT 1'));
    assert.ok(error instanceof HyperionError, error.stack);
    await pool.end({ timeoutMs: 100 });
  });
});
