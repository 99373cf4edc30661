'use strict';

// How a certificate that is refused is reported, and what goes over a session that is encrypted: https://node-postgres.com/features/ssl.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { makePki } = require('../../support/cluster/certificates');
const { failureOf } = require('../../support/helpers.js');
const { fact, useServer } = require('../support.js');

/** @type {any} */
let pki;
useServer({}, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-facts-tls-'));
  pki = await makePki(folder);
  return () => fs.rmSync(folder, { recursive: true, force: true });
});

/** A client of a server with that certificate. @param {any} face @param {string} name @param {unknown} ssl */
async function clientOf(face, name, ssl) {
  await face.server.entrance({ tls: pki.servers[name] });
  return face.unconnected({ host: 'localhost', ssl });
}

/** @type {[string, string, (() => unknown), string, RegExp][]} */
const REFUSED = [
  [
    'of an unknown authority',
    'unknownCa',
    () => true,
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    /is not signed by a trusted CA/,
  ],
  ['that is signed by itself', 'selfSigned', () => ({ ca: pki.ca.pem }), 'DEPTH_ZERO_SELF_SIGNED_CERT', /self-signed/],
  ['that is expired', 'expired', () => ({ ca: pki.ca.pem }), 'CERT_HAS_EXPIRED', /expired/i],
  ['of another host', 'wrongHost', () => ({ ca: pki.ca.pem }), 'ERR_TLS_CERT_ALTNAME_INVALID', /localhost/],
];

for (const [title, name, ssl, code, words] of REFUSED) {
  const refusal = async (/** @type {any} */ face) => failureOf((await clientOf(face, name, ssl())).connect());
  fact(
    `ssl: the code of a certificate ${title} is ${code}`,
    async (_t, face) => assert.equal((await refusal(face)).code, code),
    {
      differs: {
        reason:
          'A certificate that is refused has the code `ERR_TLS`, and the message says why; pg passes on the codes of Node and OpenSSL.',
        test: async (_t, face) => {
          const error = await refusal(face);
          assert.equal(error.code, 'ERR_TLS');
          assert.match(error.message, words);
        },
      },
    },
  );
}

fact('ssl: statements of all kinds go over an encrypted session', async (_t, face) => {
  const client = await clientOf(face, 'good', { ca: pki.ca.pem });
  await client.connect();
  const text = 'x'.repeat(300_000);
  assert.equal((await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).rows[0].ssl, true);
  assert.equal((await client.query('SELECT $1::text AS text', [text])).rows[0].text, text);
  assert.equal((await client.query('SELECT n FROM generate_series(1, 10000) AS n')).rows.length, 10_000);
  assert.equal((await client.query('SELECT 1; SELECT 2')).length, 2);
});
