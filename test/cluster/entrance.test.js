'use strict';

// TLS of the test clusters: certificates that are what their names say, and servers that change theirs while they run.
// node-postgres checks them, so that these tests do not depend on the client under test.

const assert = require('node:assert/strict');
const { X509Certificate } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { Client } = require('pg');
const { startCluster } = require('../support/cluster');
const { makePki } = require('../support/cluster/certificates');
const { secretOf } = require('../../exports/testing/cluster/secret.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('../../exports/testing/cluster/node.js').LocalNode} LocalNode */

const skip = process.env.HYPERION_HOSTS ? 'the cluster of HYPERION_HOSTS is not ours' : false;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-pki-'));
/** @type {import('../support/cluster/certificates').Pki} */
let pki;

before(async () => {
  pki = await makePki(folder);
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

/** @param {TestContext} t @param {import('../support/cluster').ClusterOptions} options */
async function clusterFor(t, options) {
  const cluster = await startCluster({ synchronous: false, ...options });
  t.after(() => cluster.stop());
  return cluster;
}

/**
 * What a client of `app` sees: the subject of the certificate, `plain`, or the code of the error.
 *
 * @param {LocalNode} node
 * @param {any} [ssl]
 */
async function seen(node, ssl = { ca: pki.ca.pem }) {
  const client = new Client({ ...node.login, user: 'app', password: secretOf('app'), ssl });
  client.on('error', () => {});
  try {
    await client.connect();
    if (ssl === false) return 'plain';
    const stream = /** @type {any} */ (client).connection.stream;
    return `CN=${stream.getPeerCertificate().subject.CN}`;
  } catch (error) {
    return /** @type {any} */ (error).code ?? /** @type {any} */ (error).message;
  } finally {
    await client.end().catch(() => {});
  }
}

describe('certificates of test clusters', () => {
  test('test certificates have their intermediates, and are signed by the CA they name', () => {
    const root = new X509Certificate(pki.ca.pem);
    for (const name of ['good', 'rsa', 'p384', 'revoked']) {
      const [leaf, intermediate] = chainOf(pki.servers[name].cert);
      assert.ok(leaf.verify(intermediate.publicKey) && intermediate.verify(root.publicKey), name);
      assert.ok(leaf.checkIssued(intermediate) && intermediate.checkIssued(root), name);
    }
    const [unknown] = chainOf(pki.servers.unknownCa.cert);
    assert.ok(unknown.verify(new X509Certificate(pki.otherCa.pem).publicKey));
    const [selfSigned] = chainOf(pki.servers.selfSigned.cert);
    assert.ok(selfSigned.ca && selfSigned.verify(selfSigned.publicKey));
  });

  test('test certificates have the names and times that were asked for', () => {
    const good = new X509Certificate(pki.servers.good.cert);
    for (const ip of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) assert.equal(good.checkIP(ip), ip);
    assert.equal(good.checkHost('localhost'), 'localhost');
    assert.equal(new X509Certificate(pki.servers.onlyCn.cert).subjectAltName, undefined);
    const until = (/** @type {string} */ name) => Date.parse(new X509Certificate(pki.servers[name].cert).validTo);
    const from = (/** @type {string} */ name) => Date.parse(new X509Certificate(pki.servers[name].cert).validFrom);
    assert.ok(until('expired') < Date.now() && until('good') > Date.now());
    assert.ok(from('notYetValid') > Date.now() && from('good') < Date.now());
  });

  test('test private keys belong to their certificates, can be read by the owner alone, and come in all forms', () => {
    const [app] = chainOf(pki.clients.app.cert);
    const { createPrivateKey } = require('node:crypto');
    for (const { file, pem } of [pki.keys.pkcs8, pki.keys.sec1]) {
      assert.ok(app.checkPrivateKey(createPrivateKey(pem)));
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    }
    const [appRsa] = chainOf(pki.clients.appRsa.cert);
    for (const { pem } of [pki.keys.pkcs8Rsa, pki.keys.pkcs1]) assert.ok(appRsa.checkPrivateKey(createPrivateKey(pem)));
    for (const { pem } of [pki.keys.encrypted, pki.keys.encryptedSec1, pki.keys.encryptedPkcs1]) {
      assert.throws(() => createPrivateKey(pem));
      createPrivateKey({ key: pem, passphrase: 'open sesame' });
    }
    const labels = Object.fromEntries(Object.entries(pki.keys).map(([name, { pem }]) => [name, pem.split('-----')[1]]));
    assert.deepEqual(labels, {
      pkcs8: 'BEGIN PRIVATE KEY',
      sec1: 'BEGIN EC PRIVATE KEY',
      pkcs8Rsa: 'BEGIN PRIVATE KEY',
      pkcs1: 'BEGIN RSA PRIVATE KEY',
      encrypted: 'BEGIN ENCRYPTED PRIVATE KEY',
      encryptedSec1: 'BEGIN EC PRIVATE KEY',
      encryptedPkcs1: 'BEGIN RSA PRIVATE KEY',
    });
  });
});

describe('the entrance of a test node', { skip }, () => {
  test('test nodes have each its own certificate from the start', async (t) => {
    const { good, rsa } = pki.servers;
    const cluster = await clusterFor(t, { nodes: 2, tls: [good, rsa] });
    const nodes = /** @type {LocalNode[]} */ (cluster.nodes);
    assert.deepEqual(await Promise.all(nodes.map((node) => seen(node))), ['CN=good', 'CN=rsa']);
  });

  test('test node: certificate and pg_hba.conf change while the server runs, for the next session already', async (t) => {
    const cluster = await clusterFor(t, { nodes: 1 });
    const node = /** @type {LocalNode} */ (cluster.primary());
    const [{ started }] = await node.sql('SELECT pg_postmaster_start_time()::text AS started');
    assert.equal(await seen(node), 'The server does not support SSL connections');
    for (const name of ['good', 'rsa', 'good', 'p384']) {
      await node.entrance({ tls: pki.servers[name] });
      assert.equal(await seen(node), `CN=${name}`);
      const key = fs.statSync(path.join(node.dataDir, 'server.key'));
      assert.equal(key.mode & 0o777, 0o600);
    }
    await node.entrance({ hba: ['hostssl all app all scram-sha-256'] });
    assert.deepEqual([await seen(node), await seen(node, false)], ['CN=p384', '28000']);
    await node.entrance({ hba: ['hostnossl all app all trust'] });
    assert.deepEqual([await seen(node), await seen(node, false)], ['28000', 'plain']);
    await node.entrance({ tls: null });
    assert.equal(await seen(node), 'The server does not support SSL connections');
    const [row] = await node.sql('SELECT pg_postmaster_start_time()::text AS started');
    assert.equal(row.started, started, 'it was not restarted');
  });

  test('test node: pg_hba.conf may demand client certificates', async (t) => {
    const tls = { ...pki.servers.good, ca: pki.ca.pem };
    const cluster = await clusterFor(t, { nodes: 1, tls, hba: ['hostssl all app all cert'] });
    const node = /** @type {LocalNode} */ (cluster.primary());
    const { app, somebody } = pki.clients;
    assert.equal(await seen(node, { ca: pki.ca.pem, ...app }), 'CN=good');
    assert.equal(await seen(node, { ca: pki.ca.pem, ...somebody }), '28000');
  });

  test('test node: files that a server refuses: the error shows its log, and the server goes on with the old ones', async (t) => {
    const cluster = await clusterFor(t, { nodes: 1, tls: pki.servers.good });
    const node = /** @type {LocalNode} */ (cluster.primary());
    await assert.rejects(node.entrance({ tls: { ...pki.servers.rsa, key: pki.servers.good.key } }), /key/);
    assert.equal(await seen(node), 'CN=good');
    await assert.rejects(node.entrance({ hba: ['nonsense'] }), /nonsense/);
  });
});

/** @param {string} pem */
const chainOf = (pem) => (pem.match(/-----BEGIN[\s\S]*?-----END.*/g) ?? []).map((one) => new X509Certificate(one));
