'use strict';

// The option ssl: https://node-postgres.com/features/ssl.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { makePki } = require('../../support/cluster/certificates');
const { fact, useServer } = require('../support.js');

/** @typedef {import('../../support/cluster/certificates').Pki} Pki */
/** @typedef {import('../support.js').Face} Face */

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hp-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

const db = useServer();

const HBA = ['hostssl all all all scram-sha-256'];
const ENCRYPTED = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
const YES = { ssl: true };

/** @type {Promise<Pki> | undefined} */
let making;

/**
 * Gives the server a certificate, or takes it away; host is a name that the certificates are for.
 * @param {Face} face
 * @param {string | null} server
 * @param {{ hba?: string[], ca?: boolean }} [more]
 */
async function receive(face, server, { hba = HBA, ca = false } = {}) {
  making ??= makePki(folder);
  const pki = await making;
  const tls = server === null ? null : { ...pki.servers[server], ...(ca && { ca: pki.ca.pem }) };
  await face.server.entrance({ tls, hba: server === null ? [] : hba });
  return { pki, config: { ...face.config, host: 'localhost' } };
}

/** @param {Face} face @param {any} config */
async function encryption(face, config) {
  const client = new face.pg.Client(config);
  await client.connect();
  try {
    return (await client.query(ENCRYPTED)).rows[0];
  } finally {
    await client.end();
  }
}

/** @param {Face} face @param {any} config @returns {Promise<any>} */
async function refusal(face, config) {
  const client = new face.pg.Client(config);
  client.on('error', () => {});
  const error = await client.connect().then(
    () => client.end(),
    (/** @type {any} */ reason) => reason,
  );
  assert.ok(error instanceof Error, 'it has connected');
  return error;
}

/** The server as a connection string. @param {Face['config']} config @param {string} query */
const stringOf = ({ host, port, user, password, database }, query) =>
  `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}${query}`;

fact('ssl: a ca that the certificate of the server is signed by', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  assert.deepEqual(await encryption(face, { ...config, ssl: { ca: pki.ca.pem } }), YES);
});

fact('ssl: a ca as a Buffer', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  assert.deepEqual(await encryption(face, { ...config, ssl: { ca: Buffer.from(pki.ca.pem) } }), YES);
});

fact('ssl: several authorities in an array', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  assert.deepEqual(await encryption(face, { ...config, ssl: { ca: [pki.otherCa.pem, pki.ca.pem] } }), YES);
});

fact('ssl: a pool', async (t, face) => {
  const { pki, config } = await receive(face, 'good');
  const pool = new face.pg.Pool({ ...config, ssl: { ca: pki.ca.pem } });
  t.after(() => pool.end());
  assert.deepEqual((await pool.query(ENCRYPTED)).rows, [YES]);
});

fact('ssl: true verifies the certificate by the authorities of the system', async (_t, face) => {
  const { config } = await receive(face, 'good');
  assert.match((await refusal(face, { ...config, ssl: true })).message, /certificate/);
});

fact('ssl: a certificate of another authority is refused', async (_t, face) => {
  const { pki, config } = await receive(face, 'unknownCa');
  assert.match((await refusal(face, { ...config, ssl: { ca: pki.ca.pem } })).message, /certificate/);
});

fact('ssl: a certificate for another host is refused', async (_t, face) => {
  const { pki, config } = await receive(face, 'wrongHost');
  const error = await refusal(face, { ...config, ssl: { ca: pki.ca.pem } });
  assert.match(error.message, /db\.example\.test|localhost/);
});

fact('ssl: a certificate that is expired is refused', async (_t, face) => {
  const { pki, config } = await receive(face, 'expired');
  assert.match((await refusal(face, { ...config, ssl: { ca: pki.ca.pem } })).message, /expired/);
});

fact('ssl: rejectUnauthorized false takes any certificate', async (_t, face) => {
  for (const server of ['unknownCa', 'wrongHost', 'expired', 'selfSigned']) {
    const { config } = await receive(face, server);
    assert.deepEqual(await encryption(face, { ...config, ssl: { rejectUnauthorized: false } }), YES);
  }
});

fact('ssl: a self-signed certificate is its own authority', async (_t, face) => {
  const { pki, config } = await receive(face, 'selfSigned');
  assert.deepEqual(await encryption(face, { ...config, ssl: { ca: pki.servers.selfSigned.cert } }), YES);
});

fact('ssl: cert and key are the certificate of the client', async (_t, face) => {
  const { pki, config } = await receive(face, 'good', { hba: ['hostssl all app all cert'], ca: true });
  await face.server.sql('DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$');
  const { cert, key } = pki.clients.app;
  const ssl = { ca: pki.ca.pem, cert, key };
  assert.deepEqual(await encryption(face, { ...config, user: 'app', password: undefined, ssl }), YES);
});

fact('ssl: the private key is hidden from a listing of the client', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  const { cert, key } = pki.clients.app;
  const client = new face.pg.Client({ ...config, ssl: { ca: pki.ca.pem, cert, key } });
  assert.ok(!Object.keys(client.ssl).includes('key'));
  assert.equal(client.ssl.key, key);
});

fact('ssl: a server without TLS is an error', async (_t, face) => {
  const { config } = await receive(face, null);
  assert.equal((await refusal(face, { ...config, ssl: true })).message, 'The server does not support SSL connections');
});

fact('ssl: without the option nothing is encrypted', async (_t, face) => {
  const { config } = await receive(face, 'good', { hba: ['host all all all scram-sha-256'] });
  assert.deepEqual(await encryption(face, config), { ssl: false });
});

fact('ssl: sslmode=verify-full with sslrootcert in a connection string', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  const file = encodeURIComponent(pki.ca.file);
  assert.deepEqual(await encryption(face, stringOf(config, `?sslmode=verify-full&sslrootcert=${file}`)), YES);
});

fact('ssl: sslmode=no-verify in a connection string', async (_t, face) => {
  const { config } = await receive(face, 'unknownCa');
  assert.deepEqual(await encryption(face, stringOf(config, '?sslmode=no-verify')), YES);
});

fact('ssl: sslmode=disable in a connection string', async (_t, face) => {
  const { config } = await receive(face, 'good', { hba: ['host all all all scram-sha-256'] });
  assert.deepEqual(await encryption(face, stringOf(config, '?sslmode=disable')), { ssl: false });
});

fact('ssl: ssl=true in a connection string verifies', async (_t, face) => {
  const { config } = await receive(face, 'good');
  assert.match((await refusal(face, stringOf(config, '?ssl=true'))).message, /certificate/);
});

fact('ssl: an object beside a connection string that says nothing of it is taken', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  const connectionString = stringOf(config, '');
  assert.deepEqual(await encryption(face, { connectionString, ssl: { ca: pki.ca.pem } }), YES);
});

fact('ssl: sslmode of a connection string replaces the object beside it', async (_t, face) => {
  const { config } = await receive(face, 'unknownCa');
  const connectionString = stringOf(config, '?sslmode=verify-full');
  const error = await refusal(face, { connectionString, ssl: { rejectUnauthorized: false } });
  assert.match(error.message, /certificate/);
});

fact('ssl: uselibpqcompat=true&sslmode=require encrypts and does not verify', async (_t, face) => {
  const { config } = await receive(face, 'unknownCa');
  assert.deepEqual(await encryption(face, stringOf(config, '?uselibpqcompat=true&sslmode=require')), YES);
});

for (const [mode, result] of /** @type {const} */ ([
  ['no-verify', true],
  ['disable', false],
])) {
  fact(`ssl: PGSSLMODE=${mode}`, async (t, face) => {
    const { config } = await receive(face, 'unknownCa', { hba: ['host all all all scram-sha-256'] });
    process.env.PGSSLMODE = mode;
    t.after(() => {
      delete process.env.PGSSLMODE;
    });
    assert.deepEqual(await encryption(face, config), { ssl: result });
  });
}

fact('ssl: PGSSLMODE=require verifies, as verify-full', async (t, face) => {
  const { config } = await receive(face, 'unknownCa');
  process.env.PGSSLMODE = 'require';
  t.after(() => {
    delete process.env.PGSSLMODE;
  });
  assert.match((await refusal(face, config)).message, /certificate/);
});

fact('ssl: sslnegotiation direct needs no question', async (t, face) => {
  const [{ version }] = await db.sql("SELECT current_setting('server_version_num')::int / 10000 AS version");
  if (Number(version) < 17) return t.skip('PostgreSQL 17 and later speak TLS without a question');
  const { pki, config } = await receive(face, 'good');
  assert.deepEqual(await encryption(face, { ...config, sslnegotiation: 'direct', ssl: { ca: pki.ca.pem } }), YES);
});

fact('ssl: sslnegotiation of an unknown value throws', async (_t, face) => {
  assert.throws(() => new face.pg.Client({ ...face.config, ssl: true, sslnegotiation: 'quick' }), {
    message: 'Invalid sslnegotiation value: "quick". Valid values are "postgres" and "direct".',
  });
});

/** A function of a program that says which names are good. @param {Face} face */
async function withOwnCheck(face) {
  const { pki, config } = await receive(face, 'wrongHost');
  /** @type {string[]} */
  const hosts = [];
  const checkServerIdentity = (/** @type {string} */ host) => void hosts.push(host);
  return { hosts, config: { ...config, ssl: { ca: pki.ca.pem, checkServerIdentity } } };
}

fact(
  'ssl: checkServerIdentity of a program decides about the name',
  async (_t, face) => {
    const { hosts, config } = await withOwnCheck(face);
    assert.deepEqual(await encryption(face, config), YES);
    assert.deepEqual(hosts, ['localhost']);
  },
  {
    differs: {
      reason:
        'A function `ssl.checkServerIdentity` that looks at its arguments is refused when the client connects: the core checks certificates itself, and a check that is not made must not seem to be made. `() => undefined` (any name) and `ssl.servername` work.',
      test: async (_t, face) => {
        const { config } = await withOwnCheck(face);
        const error = await refusal(face, config);
        assert.match(error.message, /^ssl\.checkServerIdentity is not supported/);
        assert.equal(error.code, 'ERR_INVALID_OPTION');
      },
    },
  },
);

fact('ssl: checkServerIdentity of no parameters takes any name', async (_t, face) => {
  const { pki, config } = await receive(face, 'wrongHost');
  const checkServerIdentity = () => undefined;
  assert.deepEqual(await encryption(face, { ...config, ssl: { ca: pki.ca.pem, checkServerIdentity } }), YES);
});

fact('ssl: servername is the name that is sent and checked', async (_t, face) => {
  const { pki, config } = await receive(face, 'wrongHost');
  const ssl = { ca: pki.ca.pem, servername: 'db.example.test' };
  assert.deepEqual(await encryption(face, { ...config, host: '127.0.0.1', ssl }), YES);
});

fact('ssl: enableChannelBinding logs in by SCRAM-SHA-256-PLUS', async (_t, face) => {
  const { pki, config } = await receive(face, 'good');
  assert.deepEqual(await encryption(face, { ...config, enableChannelBinding: true, ssl: { ca: pki.ca.pem } }), YES);
});
