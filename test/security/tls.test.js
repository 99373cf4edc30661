'use strict';

// The option `ssl`: where certificates and keys come from, files that change, client certificates, protocol versions, names, and
// channel binding. What each mode makes of each certificate is in tls.matrix.test.js, what is encrypted in
// tls.traffic.test.js.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe } = require('node:test');
const { createPool, OptionError } = require('../../client.js');
const { test, failureOf, until } = require('../support/helpers');
const { relayTo, SSL_REQUEST } = require('../support/relay.js');
const { ENCRYPTION, assertTlsError, useTls } = require('./tls.helpers.js');
const { impostorFor } = require('./tls.impostor.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('../support/cluster/certificates').Identity} Identity */

const db = useTls();

const CERT = ['hostssl all app all cert'];
const WHO = 'SELECT current_user AS name, client_dn AS dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

/** @param {TestContext} t @param {any} ssl @param {Record<string, unknown>} [options] */
const encryption = async (t, ssl, options) => (await db.pool(t, { ssl, poolSize: 1, ...options }).query(ENCRYPTION))[0];

/** @param {TestContext} t @param {any} ssl @param {Record<string, unknown>} [options] */
const refusal = (t, ssl, options) => failureOf(db.pool(t, { ssl, poolSize: 1, ...options }).query('SELECT 1'));

/** @param {any} ssl @param {RegExp} message */
function assertOption(ssl, message) {
  let made;
  assert.throws(
    () => {
      made = createPool(/** @type {any} */ ({ ...db.options(), ssl }));
    },
    (error) => error instanceof OptionError && error.code === 'ERR_INVALID_OPTION' && message.test(error.message),
  );
  assert.equal(made, undefined);
}

/** Puts files into ~/.postgresql for one test. @param {TestContext} t @param {Record<string, string>} files */
function atHome(t, files) {
  const folder = path.join(db.certificates.home, '.postgresql');
  fs.mkdirSync(folder, { recursive: true });
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const [name, pem] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), pem, { mode: 0o600 });
}

/** A file with this text, in the folder of the test file. @param {string} name @param {string} pem */
function written(name, pem) {
  const file = path.join(db.certificates.folder, name);
  fs.writeFileSync(file, pem, { mode: 0o600 });
  return file;
}

describe('ssl.ca, ssl.cert and ssl.key', () => {
  test('ssl.ca, cert and key may be PEM text, Buffer, Uint8Array or path', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const { ca } = db.pki;
    const { cert, key, certFile, keyFile } = db.pki.clients.app;
    const bytes = (/** @type {string} */ text) => new Uint8Array(Buffer.from(text));
    const relative = (/** @type {string} */ file) => path.relative(process.cwd(), file);
    const forms = [
      { ca: ca.pem, cert, key },
      { ca: Buffer.from(ca.pem), cert: Buffer.from(cert), key: Buffer.from(key) },
      { ca: bytes(ca.pem), cert: bytes(cert), key: bytes(key) },
      { ca: ca.file, cert: certFile, key: keyFile },
      { ca: relative(ca.file), cert: relative(certFile), key: relative(keyFile) },
      { ca: ca.file, cert, key: Buffer.from(key) },
    ];
    for (const ssl of forms) assert.equal((await encryption(t, ssl)).ssl, true);
  });

  test('ssl: PEM text may have comments, other line ends, and several certificates', async (t) => {
    await db.receive('good');
    const { ca, otherCa } = db.pki;
    for (const pem of [
      `Bag Attributes\n# a comment\n${ca.pem}`,
      ca.pem.replaceAll('\n', '\r\n'),
      otherCa.pem + ca.pem,
      ca.pem.trimEnd(),
    ]) {
      assert.equal((await encryption(t, { ca: pem })).ssl, true, pem);
    }
  });

  test('ssl.key may be in PKCS#8, PKCS#1 or SEC1 form', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const { ca, clients, keys } = db.pki;
    const pairs = /** @type {[Identity, { file: string, pem: string }][]} */ ([
      [clients.app, keys.pkcs8],
      [clients.app, keys.sec1],
      [clients.appRsa, keys.pkcs8Rsa],
      [clients.appRsa, keys.pkcs1],
    ]);
    for (const [{ cert }, { file, pem }] of pairs) {
      assert.equal((await encryption(t, { ca: ca.pem, cert, key: pem })).ssl, true, file);
      assert.equal((await encryption(t, { ca: ca.pem, cert, key: file })).ssl, true, file);
    }
  });

  test('ssl.key: an encrypted key is refused as encrypted, and is not shown', () => {
    const { clients, keys } = db.pki;
    const locked = /** @type {[Identity, { file: string, pem: string }][]} */ ([
      [clients.app, keys.encrypted],
      [clients.app, keys.encryptedSec1],
      [clients.appRsa, keys.encryptedPkcs1],
    ]);
    for (const [{ cert }, { file, pem }] of locked) {
      for (const key of [file, pem, Buffer.from(pem)]) {
        assertOption({ cert, key }, /ssl\.key is encrypted/);
        assert.throws(
          () => createPool(/** @type {any} */ ({ ...db.options(), ssl: { cert, key } })),
          (/** @type {Error} */ error) => !error.message.includes(pem.split('\n')[4]),
        );
      }
    }
  });

  // ssl options that createPool refuses, and the message, which names the option.
  test('ssl: createPool refuses mistakes', () => {
    const { ca, clients } = db.pki;
    const { cert, key, keyFile } = clients.app;
    const open = written('open.key', key);
    fs.chmodSync(open, 0o644);
    const nowhere = path.join(db.certificates.folder, 'nowhere.pem');
    const table = /** @type {[any, RegExp][]} */ ([
      [{ ca: nowhere }, /ssl\.ca cannot be read \(ENOENT\).*nowhere\.pem/],
      [{ ca: db.certificates.folder }, /ssl\.ca is not a file/],
      [{ ca: keyFile }, /ssl\.ca is no PEM with a certificate/],
      [{ ca: Buffer.from('nonsense') }, /ssl\.ca is no PEM with a certificate/],
      [{ ca: ca.pem, cert }, /ssl\.cert needs its private key/],
      [{ ca: ca.pem, key }, /ssl\.key needs a certificate/],
      [{ ca: ca.pem, cert, key: cert }, /ssl\.key is no PEM with a private key/],
      [{ ca: ca.pem, cert, key: open }, /ssl\.key has group or world access/],
      [{ ca: ca.pem, crl: cert }, /ssl\.crl is no PEM with a certificate revocation list/],
      [{ mode: 'require', crl: db.pki.crl.file }, /ssl\.crl needs a CA/],
      ['verify-ca', /verify-ca.* needs a CA/],
      [{ mode: 'verify-ca' }, /verify-ca.* needs a CA/],
      [{ mode: 'require', ca: 'system' }, /ssl\.ca: 'system' is for verify-full alone/],
      [{ mode: 'verify-full', rejectUnauthorized: false }, /ssl\.rejectUnauthorized.*contradicts.*verify-full/],
      [{ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }, /ssl\.minVersion is above ssl\.maxVersion/],
      [{ minVersion: 'TLSv1.1' }, /ssl\.minVersion/],
      [{ negotiation: 'direct', mode: 'prefer' }, /ssl\.negotiation: 'direct' needs mode 'require'/],
      [{ certs: cert }, /unknown option 'ssl\.certs'.*ssl\.cert/],
      ['verify_full', /ssl must be one of/],
      [5, /ssl must be/],
    ]);
    for (const [ssl, message] of table) assertOption(ssl, message);
  });

  test('ssl.key of another certificate is refused at once, and not shown', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const { app, somebody } = db.pki.clients;
    const error = await refusal(t, { ca: db.pki.ca.pem, cert: app.cert, key: somebody.key });
    assert.equal(error.code, 'ERR_TLS', error.stack);
    assert.match(error.message, /key/);
    assert.ok(!error.stack.includes(somebody.key.split('\n')[1]));
  });
});

describe('files of ~/.postgresql', () => {
  test('~/.postgresql/root.crt is used by every mode, as libpq does', async (t) => {
    await db.receive('unknownCa');
    assert.equal((await encryption(t, 'require')).ssl, true);
    atHome(t, { 'root.crt': db.pki.ca.pem });
    assert.match((await refusal(t, 'require')).message, /is not signed by a trusted CA/);
    assert.match((await refusal(t, 'verify-ca')).message, /is not signed by a trusted CA/);
    assert.equal((await encryption(t, 'prefer')).ssl, false, 'prefer does without');
    assert.equal((await encryption(t, { mode: 'require', ca: db.pki.otherCa.pem })).ssl, true, 'what is given counts');
    assert.equal((await encryption(t, { rejectUnauthorized: false })).ssl, true, 'not at all');
    await db.receive('good');
    for (const mode of ['require', 'verify-ca', 'verify-full'])
      assert.equal((await encryption(t, mode)).ssl, true, mode);
    assert.match((await refusal(t, true)).message, /is not signed by a trusted CA/, 'true is the system’s roots');
  });

  test('~/.postgresql/root.crl revokes certificates', async (t) => {
    await db.receive('revoked');
    atHome(t, { 'root.crt': db.pki.ca.pem, 'root.crl': db.pki.crl.pem });
    assert.match((await refusal(t, 'require')).message, /is revoked/);
  });

  test('~/.postgresql/postgresql.crt and postgresql.key are the client certificate', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const { cert, key } = db.pki.clients.app;
    atHome(t, { 'root.crt': db.pki.ca.pem, 'postgresql.crt': cert, 'postgresql.key': key });
    const [row] = await db.pool(t, { ssl: 'verify-full' }).query(WHO);
    assert.deepEqual(row, { name: 'app', dn: '/CN=app' });
  });
});

describe('ssl files that change are read again', () => {
  test('ssl.ca: a file that changes is read again', async (t) => {
    await db.receive('good');
    const ca = written('rotating-ca.pem', db.pki.ca.pem);
    const pool = db.pool(t, { ssl: { ca }, poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    await db.receive('unknownCa');
    assert.deepEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'a session goes on');
    await db.node.sql('SELECT pg_terminate_backend($1)', [pid]);
    await until('the new certificate is refused', async () => {
      const error = await pool.query('SELECT 1').catch((/** @type {any} */ failed) => failed);
      return error.code === 'ERR_TLS' && /is not signed by a trusted CA/.test(error.message);
    });
    fs.writeFileSync(ca, db.pki.otherCa.pem);
    assert.equal((await pool.query(ENCRYPTION))[0].ssl, true);
  });

  test('ssl.cert and ssl.key: files that change are read again', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const { expired, app } = db.pki.clients;
    const cert = written('renewed.crt', expired.cert);
    const key = written('renewed.key', expired.key);
    const pool = db.pool(t, { ssl: { ca: db.pki.ca.pem, cert, key }, poolSize: 1 });
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_TLS');
    fs.writeFileSync(cert, app.cert);
    fs.writeFileSync(key, app.key);
    assert.equal((await pool.query(WHO))[0].name, 'app');
  });

  test('ssl.ca: a file that has gone is named, and one that comes back is used', async (t) => {
    await db.receive('good');
    const ca = written('fleeting-ca.pem', db.pki.ca.pem);
    const pool = db.pool(t, { ssl: { ca }, poolSize: 1 });
    fs.rmSync(ca);
    const error = await failureOf(pool.query('SELECT 1'));
    assert.equal(error.code, 'ERR_TLS', error.stack);
    assert.match(error.message, /fleeting-ca\.pem/);
    fs.writeFileSync(ca, db.pki.ca.pem);
    assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});

describe('client certificates', () => {
  /** @param {Identity} identity */
  const ssl = ({ cert, key }) => ({ ca: db.pki.ca.pem, cert, key });

  test('client certificate logs a user in without a password', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const pool = db.pool(t, { ssl: ssl(db.pki.clients.app), password: undefined });
    assert.deepEqual(await pool.query(WHO), [{ name: 'app', dn: '/CN=app' }]);
  });

  test('client certificate beside a password (clientcert=verify-ca)', async (t) => {
    await db.receive('good', { hba: ['hostssl all app all scram-sha-256 clientcert=verify-ca'], ca: true });
    const pool = db.pool(t, { ssl: ssl(db.pki.clients.somebody) });
    assert.deepEqual(await pool.query(WHO), [{ name: 'app', dn: '/CN=somebody' }]);
    assert.equal((await refusal(t, { ca: db.pki.ca.pem })).code, '28000', 'none');
  });

  test('client certificate of somebody else, or none: the error of the server, at once', async (t) => {
    await db.receive('good', { hba: CERT, ca: true });
    const other = await refusal(t, ssl(db.pki.clients.somebody));
    assert.deepEqual([other.name, other.code], ['DatabaseError', '28000'], other.stack);
    const none = await refusal(t, { ca: db.pki.ca.pem });
    assert.deepEqual([none.name, none.code], ['DatabaseError', '28000'], none.stack);
    assert.match(none.message, /certificate/);
  });

  // The server of TLS 1.3 refuses when the handshake is over on the client's side, that of TLS 1.2 within the handshake.
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    test(`client certificate that the server does not accept: an error at once, by ${maxVersion}`, async (t) => {
      await db.receive('good', { hba: CERT, ca: true });
      const at = `localhost:${db.node.port}`;
      for (const [name, reason] of /** @type {[string, RegExp][]} */ ([
        ['otherCa', /does not accept the client certificate/],
        ['expired', /client certificate has expired/],
      ])) {
        const error = await refusal(t, { ...ssl(db.pki.clients[name]), maxVersion });
        assertTlsError(error, at);
        assert.match(error.reason, reason, name);
      }
    });
  }
});

describe('TLS protocol versions', () => {
  // minVersion, maxVersion, the server's range; the version, or the reason why there is none
  const TABLE = /** @type {[string?, string?, string?, string?, string?][]} */ ([
    [undefined, undefined, undefined, undefined, 'TLSv1.3'],
    [undefined, 'TLSv1.2', undefined, undefined, 'TLSv1.2'],
    ['TLSv1.2', 'TLSv1.2', undefined, undefined, 'TLSv1.2'],
    ['TLSv1.3', 'TLSv1.3', undefined, undefined, 'TLSv1.3'],
    [undefined, undefined, 'TLSv1.2', 'TLSv1.2', 'TLSv1.2'],
    ['TLSv1.3', undefined, 'TLSv1.2', 'TLSv1.2', undefined],
    [undefined, 'TLSv1.2', 'TLSv1.3', 'TLSv1.3', undefined],
    [undefined, undefined, 'TLSv1', 'TLSv1.1', undefined],
  ]);
  for (const [minVersion, maxVersion, serverMin, serverMax, expected] of TABLE) {
    const [ours, theirs] = [
      [minVersion, maxVersion],
      [serverMin, serverMax],
    ].map(([min, max]) => `${min ?? ''}..${max ?? ''}`);
    test(`TLS version: client ${ours}, server ${theirs}: ${expected ?? 'refused'}`, async (t) => {
      const settings = serverMin &&
        serverMax && { ssl_min_protocol_version: serverMin, ssl_max_protocol_version: serverMax };
      await db.receive('good', settings ? { settings } : {});
      const ssl = { ca: db.pki.ca.pem, ...(minVersion && { minVersion }), ...(maxVersion && { maxVersion }) };
      if (expected !== undefined) {
        assert.equal((await encryption(t, ssl)).version, expected);
        return;
      }
      const error = await refusal(t, ssl);
      assertTlsError(error, `localhost:${db.node.port}`);
      assert.match(error.reason, /version|in common|handshake/i);
    });
  }
});

describe('sslnegotiation', () => {
  const ssl = () => ({ ca: db.pki.ca.pem, negotiation: 'direct' });

  test('sslnegotiation direct: TLS from the first byte', async (t) => {
    if (db.version < 17) return t.skip('PostgreSQL 17 and later');
    await db.receive('good');
    const relay = await relayTo(t, db.node);
    const { ssl: isEncrypted } = await encryption(t, ssl(), { hosts: relay.host });
    assert.equal(isEncrypted, true);
    for (const conversation of relay.conversations()) assert.equal(conversation[0], '\x16', 'a TLS record');
  });

  test('sslnegotiation direct to a server that does not know it: an error in time', async (t) => {
    await db.receive(db.version < 17 ? 'good' : null);
    const error = await refusal(t, ssl(), { acquireTimeoutMs: 1_000 });
    const reason = error.code === 'ERR_NO_PRIMARY' ? error.nodes[0].reason : error.message;
    assert.ok(['ERR_TLS', 'ERR_NO_PRIMARY'].includes(error.code), error.stack);
    assert.match(reason, /TLS/, error.stack);
  });
});

describe('the server name in TLS', () => {
  /** The first flight of TLS, which has the server name in clear text. @param {TestContext} t @param {string} host @param {any} ssl */
  async function hello(t, host, ssl) {
    const relay = await relayTo(t, db.node);
    const hosts = [{ host, port: relay.port, address: '127.0.0.1' }];
    await encryption(t, ssl, { hosts });
    // The connection of the pool, and that of the monitor, which may not have sent so much yet, or anything.
    const conversations = relay.conversations().filter((conversation) => conversation !== '');
    for (const conversation of conversations) assert.equal(conversation.slice(0, 8), SSL_REQUEST);
    return conversations.join('');
  }

  test('ssl: the host name is sent to the server (SNI), unless it is an address or sni is false', async (t) => {
    await db.receive('good');
    const ca = db.pki.ca.pem;
    assert.ok((await hello(t, 'localhost', { ca })).includes('localhost'));
    assert.ok(!(await hello(t, 'localhost', { ca, sni: false })).includes('localhost'));
    assert.ok(!(await hello(t, '127.0.0.1', { ca })).includes('127.0.0.1'));
    assert.ok((await hello(t, '127.0.0.1', { ca, servername: 'localhost' })).includes('localhost'));
  });

  test('ssl.servername is verified in place of the host', async (t) => {
    await db.receive('wrongHost');
    const { ca } = db.pki;
    assert.match((await refusal(t, { ca: ca.pem })).message, /is not for "localhost"/);
    assert.equal((await encryption(t, { ca: ca.pem, servername: 'db.example.test' })).ssl, true);
    const error = await refusal(t, { ca: ca.pem, servername: 'other.example.test' });
    assertTlsError(error, `localhost:${db.node.port}`, 'CN=wrong-host');
    assert.match(error.message, /is not for "other\.example\.test"/);
  });
});

describe('channelBinding', () => {
  const METHODS = ['scram-sha-256', 'md5', 'password', 'trust'];

  test('channelBinding require works with TLS and SCRAM, whatever hash the certificate is signed with', async (t) => {
    for (const server of ['good', 'p384', 'rsa']) {
      await db.receive(server);
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        const ssl = { ca: db.pki.ca.pem, maxVersion };
        assert.equal((await encryption(t, ssl, { channelBinding: 'require' })).version, maxVersion, server);
      }
    }
  });

  test('channelBinding require is refused at once, with the reason, by every other method', async (t) => {
    const alter = `ALTER ROLE app PASSWORD '${db.app.password}'`;
    await db.node.sql(`SET password_encryption = 'md5'; ${alter}`);
    t.after(() => db.node.sql(alter));
    for (const method of METHODS.slice(1)) {
      await db.receive('good', { hba: [`host all app all ${method}`] });
      const error = await refusal(t, { ca: db.pki.ca.pem }, { channelBinding: 'require' });
      assert.equal(error.code, 'ERR_AUTH', `${method}: ${error.stack}`);
      assert.match(error.message, /channel binding/i, method);
    }
  });

  test('channelBinding require without TLS is refused at once, with the reason', async (t) => {
    await db.receive(null);
    const error = await refusal(t, 'prefer', { channelBinding: 'require' });
    assert.equal(error.code, 'ERR_AUTH', error.stack);
    assert.match(error.message, /channel binding/i);
    assert.throws(
      () => createPool(/** @type {any} */ ({ ...db.options(), ssl: false, channelBinding: 'require' })),
      /channelBinding: 'require' needs TLS/,
    );
  });

  test('channelBinding prefer and disable work with and without TLS', async (t) => {
    for (const server of ['good', null]) {
      await db.receive(server);
      for (const channelBinding of ['prefer', 'disable']) {
        assert.equal((await encryption(t, 'prefer', { channelBinding })).ssl, server !== null);
      }
    }
  });

  // The man in the middle has a certificate of the right CA for the right name. Only channel binding shows that it is not the server's.
  test('channelBinding finds somebody in the middle with a good certificate, unless it is disabled', async (t) => {
    await db.receive('good');
    const hosts = `localhost:${await impostorFor(t, db.node, db.pki.servers.p384)}`;
    const ssl = { ca: db.pki.ca.pem };
    assert.equal((await encryption(t, ssl, { hosts, channelBinding: 'disable' })).ssl, true, 'the impostor works');
    for (const channelBinding of ['prefer', 'require']) {
      const error = await refusal(t, ssl, { hosts, channelBinding });
      assert.deepEqual([error.name, error.code], ['DatabaseError', '28000'], error.stack);
      assert.match(error.message, /channel binding/i);
    }
  });
});
