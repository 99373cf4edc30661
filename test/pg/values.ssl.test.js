'use strict';

// What pg and the face make of the option `ssl`, with a server that has TLS: the same connections are made, and the same are refused.

const assert = require('node:assert/strict');
const pg = require('pg');
const ConnectionParameters = require('../../exports/pg/connection-parameters.js');
const { toPgError } = require('../../exports/pg/database-error.js');
const { ENCRYPTION, useTls } = require('../security/tls.helpers.js');
const { failureOf, poolFor, printedBy, test } = require('../support/helpers.js');

const db = useTls();

/** @param {Record<string, unknown>} more @returns {Record<string, any>} */
const login = (more) => ({ host: 'localhost', port: db.node.port, ...db.app, database: db.cluster.database, ...more });

/** @param {() => Promise<any>} work */
async function seen(work) {
  try {
    return (await work()).ssl ? 'tls' : 'plain';
  } catch {
    return 'refused';
  }
}

/** @param {Record<string, unknown>} config */
async function withStock(config) {
  const client = new pg.Client(config);
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(ENCRYPTION)).rows[0];
  } finally {
    await client.end();
  }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} server the name of its certificate
 * @param {Record<string, [any, string]>} table options, and what is expected of both
 */
async function compare(t, server, table) {
  await db.receive(server);
  for (const [name, [ssl, expected]] of Object.entries(table)) {
    // An object each: pg changes its own.
    const host = ssl.servername ? '127.0.0.1' : 'localhost';
    const [ours, theirs] = [0, 1].map(() => login({ host, ssl: typeof ssl === 'object' ? { ...ssl } : ssl }));
    const pool = () => poolFor(t, ConnectionParameters.poolOptions(ours));
    const outcomes = [await seen(async () => (await pool().query(ENCRYPTION))[0]), await seen(() => withStock(theirs))];
    assert.deepEqual(outcomes, [expected, expected], `${server}: ${name}`);
  }
}

test('ssl: a server with a good certificate', async (t) => {
  const { ca, otherCa } = db.pki;
  await compare(t, 'good', {
    false: [false, 'plain'],
    'true, and the CA is unknown': [true, 'refused'],
    'the CA': [{ ca: ca.pem }, 'tls'],
    'the CA as bytes in an array': [{ ca: [Buffer.from(otherCa.pem), Buffer.from(ca.pem)] }, 'tls'],
    'another CA': [{ ca: otherCa.pem }, 'refused'],
    'another CA, and rejectUnauthorized: false': [{ ca: otherCa.pem, rejectUnauthorized: false }, 'tls'],
    'rejectUnauthorized: false': [{ rejectUnauthorized: false }, 'tls'],
    'no-verify': ['no-verify', 'tls'],
    'the server is called otherwise': [{ ca: ca.pem, servername: 'elsewhere.test' }, 'refused'],
    'any name': [{ ca: ca.pem, servername: 'elsewhere.test', checkServerIdentity: () => undefined }, 'tls'],
    'a version of TLS': [{ ca: ca.pem, minVersion: 'TLSv1.3' }, 'tls'],
  });
});

test('ssl: a server whose certificate is for another name, which `servername` gives to an address alone, and one without TLS', async (t) => {
  const { ca } = db.pki;
  await compare(t, 'wrongHost', {
    'the CA': [{ ca: ca.pem }, 'refused'],
    'the CA and any name': [{ ca: ca.pem, checkServerIdentity: () => null }, 'tls'],
    'the name of the certificate': [{ ca: ca.pem, servername: 'db.example.test' }, 'tls'],
    'another CA and any name': [{ ca: db.pki.otherCa.pem, checkServerIdentity: () => undefined }, 'refused'],
  });
  assert.equal(await seen(() => withStock(login({ ssl: { ca: ca.pem, servername: 'db.example.test' } }))), 'refused');
  const named = ConnectionParameters.poolOptions(login({ ssl: { ca: ca.pem, servername: 'db.example.test' } }));
  assert.equal(await seen(async () => (await poolFor(t, named).query(ENCRYPTION))[0]), 'refused');
  await compare(t, /** @type {any} */ (null), {
    true: [true, 'refused'],
    'no-verify': ['no-verify', 'refused'],
    false: [false, 'plain'],
  });
});

test('ssl: true trusts whom Node trusts: the certificates of NODE_EXTRA_CA_CERTS, too', async () => {
  await db.receive('good');
  const code = `
    const pg = require(${JSON.stringify(require.resolve('pg'))});
    const { poolOptions } = require(${JSON.stringify(require.resolve('../../exports/pg/connection-parameters.js'))});
    const config = ${JSON.stringify(login({ ssl: true }))};
    const pool = createPool(poolOptions(config));
    const client = new pg.Client(config);
    await client.connect();
    print((await client.query(${JSON.stringify(ENCRYPTION)})).rows[0].ssl, (await pool.query(${JSON.stringify(ENCRYPTION)}))[0].ssl);
    await client.end();
    await pool.end();`;
  const lines = await printedBy(null, code, { env: { NODE_EXTRA_CA_CERTS: db.pki.ca.file } });
  assert.deepEqual(lines, ['true true']);
});

test('ssl: a server without TLS is an error with the text of pg', async (t) => {
  await db.receive(/** @type {any} */ (null));
  const config = () => login({ ssl: { rejectUnauthorized: false } });
  const theirs = await failureOf(withStock(config()));
  const ours = await failureOf(poolFor(t, ConnectionParameters.poolOptions(config())).query('SELECT 1'));
  assert.equal(toPgError(ours).message, theirs.message);
  assert.equal(toPgError(ours).cause, ours);
});

test('ssl: certificates of clients, with keys that are encrypted', async (t) => {
  const { ca, clients, keys } = db.pki;
  await db.receive('good', { ca: true, hba: ['hostssl all app all cert'] });
  const passphrase = 'open sesame';
  for (const identity of [
    { cert: clients.app.cert, key: clients.app.key },
    { cert: [clients.app.cert], key: [Buffer.from(clients.app.key)] },
    { cert: clients.app.cert, key: keys.encrypted.pem, passphrase },
    { cert: clients.app.cert, key: [{ pem: keys.encryptedSec1.pem, passphrase }] },
  ]) {
    const [ours, theirs] = [0, 1].map(() => login({ ssl: { ca: ca.pem, ...identity } }));
    const pool = poolFor(t, ConnectionParameters.poolOptions(ours));
    assert.deepEqual([(await pool.query(ENCRYPTION))[0].ssl, (await withStock(theirs)).ssl], [true, true]);
  }
});
