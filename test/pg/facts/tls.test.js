'use strict';

// TLS: https://node-postgres.com/features/ssl, and pg's own test/integration/client/{ssl,sasl-scram}-tests.js.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { makePki } = require('../../support/cluster/certificates');
const { failureOf } = require('../../support/helpers.js');
const { fact, useServer } = require('../support.js');

/** @type {any} */
let pki;
const db = useServer({}, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-facts-tls-'));
  pki = await makePki(folder);
  return () => fs.rmSync(folder, { recursive: true, force: true });
});

/**
 * Gives the server a certificate, or none.
 * @param {any} face
 * @param {string | null} name
 * @param {{ hba?: string[], clients?: boolean }} [options]
 */
function serve(face, name, { hba = ['host all all 127.0.0.1/32 scram-sha-256'], clients = false } = {}) {
  const tls = name === null ? null : { ...pki.servers[name], ...(clients && { ca: pki.ca.pem }) };
  return face.server.entrance({ tls, hba });
}

/** @param {any} client */
const isEncrypted = async (client) =>
  (await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).rows[0].ssl;

/** A login of a role that the test's rules hold for. @param {object} config */
const login = (config) => ({ ...db.cluster.app, host: 'localhost', ...config });

fact('tls: without ssl the session is not encrypted', async (_t, face) => {
  await serve(face, 'good');
  assert.equal(await isEncrypted(await face.client(login({}))), false);
});

fact('tls: ca verifies the server', async (_t, face) => {
  await serve(face, 'good');
  assert.equal(await isEncrypted(await face.client(login({ ssl: { ca: pki.ca.pem } }))), true);
});

fact('tls: ca may be a Buffer or an array', async (_t, face) => {
  await serve(face, 'good');
  for (const ca of [Buffer.from(pki.ca.pem), [pki.ca.pem]]) {
    assert.equal(await isEncrypted(await face.client(login({ ssl: { ca } }))), true);
  }
});

fact('tls: rejectUnauthorized false verifies nothing', async (_t, face) => {
  for (const name of ['good', 'wrongHost', 'unknownCa', 'selfSigned', 'expired']) {
    await serve(face, name);
    const client = await face.client(login({ ssl: { rejectUnauthorized: false } }));
    assert.deepEqual([name, await isEncrypted(client)], [name, true]);
  }
});

fact('tls: ssl true refuses a certificate of an unknown authority', async (_t, face) => {
  await serve(face, 'good');
  const error = await failureOf(face.unconnected(login({ ssl: true })).connect());
  assert.match(
    error.code,
    /^(UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/,
  );
});

fact('tls: a self-signed certificate is refused', async (_t, face) => {
  await serve(face, 'selfSigned');
  const error = await failureOf(face.unconnected(login({ ssl: { ca: pki.ca.pem } })).connect());
  assert.equal(error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
});

fact('tls: an expired certificate is refused', async (_t, face) => {
  await serve(face, 'expired');
  const error = await failureOf(face.unconnected(login({ ssl: { ca: pki.ca.pem } })).connect());
  assert.equal(error.code, 'CERT_HAS_EXPIRED');
});

fact('tls: a certificate of another host is refused', async (_t, face) => {
  await serve(face, 'wrongHost');
  const error = await failureOf(face.unconnected(login({ ssl: { ca: pki.ca.pem } })).connect());
  assert.equal(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
});

fact('tls: a server without TLS is refused', async (_t, face) => {
  await serve(face, null);
  const error = await failureOf(face.unconnected(login({ ssl: { rejectUnauthorized: false } })).connect());
  assert.equal(error.message, 'The server does not support SSL connections');
});

fact('tls: a server that demands it refuses a client without', async (_t, face) => {
  await serve(face, 'good', {
    hba: ['hostssl all all 127.0.0.1/32 scram-sha-256', 'hostnossl all all 127.0.0.1/32 reject'],
  });
  const error = await failureOf(face.unconnected(login({})).connect());
  assert.equal(error.code, '28000');
  assert.equal(await isEncrypted(await face.client(login({ ssl: { ca: pki.ca.pem } }))), true);
});

fact('tls: cert and key are the client certificate', async (_t, face) => {
  const { user } = db.cluster.app;
  await serve(face, 'good', { clients: true, hba: [`hostssl all ${user} 127.0.0.1/32 cert map=people`] });
  fs.writeFileSync(path.join(db.cluster.primary().dataDir, 'pg_ident.conf'), `people app ${user}\n`);
  await face.server.sql('SELECT pg_reload_conf()');
  const { cert, key } = pki.clients.app;
  const client = await face.client(login({ password: undefined, ssl: { ca: pki.ca.pem, cert, key } }));
  assert.equal((await client.query('SELECT current_user AS name')).rows[0].name, user);
  const error = await failureOf(face.unconnected(login({ ssl: { ca: pki.ca.pem } })).connect());
  assert.equal(error.code, '28000');
});

fact('tls: the key cannot be seen on the client', async (_t, face) => {
  await serve(face, 'good');
  const { cert, key } = pki.clients.app;
  const client = await face.client(login({ ssl: { ca: pki.ca.pem, cert, key } }));
  assert.equal(require('node:util').inspect(client, { depth: 2 }).includes(key.split('\n')[1]), false);
});

fact('tls: enableChannelBinding logs in with SCRAM-SHA-256-PLUS', async (_t, face) => {
  await serve(face, 'good');
  const client = await face.client(login({ ssl: { ca: pki.ca.pem }, enableChannelBinding: true }));
  assert.equal(await isEncrypted(client), true);
});

fact('tls: sslmode of a connection string', async (_t, face) => {
  await serve(face, 'good');
  const { user, password } = db.cluster.app;
  const { port, database } = face.config;
  const base = `postgres://${user}:${password}@localhost:${port}/${database}`;
  for (const [query, encrypted] of [
    ['', false],
    ['?sslmode=disable', false],
    ['?sslmode=no-verify', true],
    [`?sslmode=verify-full&sslrootcert=${pki.ca.file}`, true],
    [`?sslmode=require&sslrootcert=${pki.ca.file}`, true],
  ]) {
    const client = new face.pg.Client(base + query);
    await client.connect();
    assert.deepEqual([query, await isEncrypted(client)], [query, encrypted]);
    await client.end();
  }
});

fact('tls: statements of all kinds go over it', async (_t, face) => {
  await serve(face, 'good');
  const client = await face.client(login({ ssl: { ca: pki.ca.pem } }));
  const text = 'x'.repeat(300_000);
  assert.equal((await client.query('SELECT $1::text AS text', [text])).rows[0].text, text);
  assert.equal((await client.query('SELECT n FROM generate_series(1, 10000) AS n')).rows.length, 10_000);
  assert.equal((await client.query('SELECT 1; SELECT 2')).length, 2);
});
