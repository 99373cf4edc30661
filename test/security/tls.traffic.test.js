'use strict';

// Everything is encrypted over TLS: statements, large results, COPY, notifications, the monitor and cancel requests. A relay in
// front of the server checks that nothing is readable. And pools whose hosts have good certificates and bad ones.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe } = require('node:test');
const { test, failureOf, ownCluster, poolFor, range, until } = require('../support/helpers');
const { CANCEL_REQUEST, SSL_REQUEST, relayTo } = require('../support/relay.js');
const { ENCRYPTION, PATIENCE_MS, assertTlsError, useTls } = require('./tls.helpers.js');
const { ENTRANCES } = require('./tls.matrix.js');

/** @typedef {import('node:test').TestContext} TestContext */

// Short, because the path of a socket has room for a hundred characters.
const sockets = fs.mkdtempSync(path.join(os.tmpdir(), 'hs-'));
fs.chmodSync(sockets, 0o777);
after(() => fs.rmSync(sockets, { recursive: true, force: true }));

const db = useTls({ settings: { unix_socket_directories: sockets } });

const ssl = () => ({ ca: db.pki.ca.pem });

/** A pool behind a relay, and a check that its clients sent nothing readable. @param {TestContext} t @param {any} [options] */
async function watched(t, options) {
  const relay = await relayTo(t, db.node);
  const pool = db.pool(t, { hosts: relay.host.replace('127.0.0.1', 'localhost'), ssl: ssl(), ...options });
  const check = () => {
    const conversations = relay.conversations().filter((text) => text !== '');
    for (const text of conversations) {
      assert.equal(text.slice(0, 8), SSL_REQUEST, 'asks for TLS first');
      if (text.length > 8) assert.equal(text[8], '\x16', 'a TLS handshake');
      const [readable] = /SELECT|pg_is_in_recovery|hyperion|secret/.exec(text) ?? [];
      assert.equal(readable, undefined);
    }
    return conversations.length;
  };
  return { pool, relay, check };
}

describe('traffic over TLS', () => {
  test('TLS: statements, transactions, batches, scripts and errors are encrypted', async (t) => {
    await db.receive('good', { hba: ENTRANCES.tls });
    const { pool, check } = await watched(t);
    await pool.query('CREATE TABLE secret_tls (id int, note text)');
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('INSERT INTO secret_tls VALUES ($1, $2)', [1, 'secret']);
      assert.equal((await tx.query(ENCRYPTION))[0].ssl, true);
    });
    await pool.exec("INSERT INTO secret_tls VALUES (2, 'x'); INSERT INTO secret_tls VALUES (3, 'y')");
    assert.deepStrictEqual(await pool.query('SELECT count(*)::int4 AS n FROM secret_tls'), [{ n: 3 }]);
    assert.equal((await failureOf(pool.query('SELECT secret'))).code, '42703');
    const answers = await Promise.all(range(200).map((i) => pool.query('SELECT $1::int4 AS secret', [i])));
    answers.forEach((answer, i) => assert.deepStrictEqual(answer, [{ secret: i }]));
    await pool.query('DROP TABLE secret_tls');
    check();
  });

  test('TLS: large values, in both directions, are encrypted', async (t) => {
    await db.receive('good');
    const { pool, check } = await watched(t, { poolSize: 1 });
    for (const size of [1, 16_383, 16_384, 16_385, 5_000_000]) {
      const value = Buffer.alloc(size, 'secret-bytes-');
      const [{ v }] = await pool.query('SELECT $1::bytea AS v', [value]);
      assert.ok(value.equals(v), `${size}`);
    }
    check();
  });

  test('TLS: streams are encrypted', async (t) => {
    await db.receive('good');
    const { pool, check } = await watched(t);
    let sum = 0n;
    for await (const { i } of pool.stream('SELECT i::int8 FROM generate_series(1, 100000) i')) sum += i;
    assert.equal(sum, 5_000_050_000n);
    for await (const { i } of pool.stream('SELECT i FROM generate_series(1, 1000000) i')) if (i === 10) break;
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    check();
  });

  test('TLS: COPY, in both directions, is encrypted', async (t) => {
    await db.receive('good');
    const { pool, check } = await watched(t);
    await pool.query('CREATE TABLE secret_copy (id int4, note text)');
    const rows = range(50_000).map((i) => [i, `secret note ${i}`]);
    assert.equal((await pool.copyFrom('secret_copy (id, note)', rows)).rowCount, rows.length);
    let text = '';
    for await (const chunk of pool.copyTo('COPY (SELECT * FROM secret_copy ORDER BY id) TO STDOUT')) text += chunk;
    assert.equal(text, rows.map(([id, note]) => `${id}\t${note}\n`).join(''));
    await pool.query('DROP TABLE secret_copy');
    check();
  });

  test('TLS: notifications are encrypted', async (t) => {
    await db.receive('good');
    const { pool, check } = await watched(t);
    /** @type {string[]} */
    const heard = [];
    const listening = await pool.listen('secret_channel', (/** @type {string} */ payload) => heard.push(payload));
    await pool.query("SELECT pg_notify('secret_channel', 'secret news')");
    await until('it has been heard', () => heard.length > 0);
    assert.deepEqual(heard, ['secret news']);
    await listening?.close?.();
    check();
  });

  test('TLS: the connections of the monitor are encrypted', async (t) => {
    await db.receive('good', { hba: ENTRANCES.tls });
    const name = `tls-monitor-${process.pid}`;
    const { pool, check } = await watched(t, { applicationName: name, monitor: { intervalMs: 50 } });
    await pool.query('SELECT 1');
    await until('the monitor has looked', () => pool.nodes()[0].latencyMs !== null);
    const rows = await until('its session is there', async () => {
      const found = await db.node.sql(
        'SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE $1',
        [`${name}%`],
      );
      return found.some((row) => row.application_name === `${name} monitor`) && found;
    });
    assert.ok(rows.length >= 2 && rows.every((row) => row.ssl), JSON.stringify(rows));
    check();
  });
});

describe('TLS: cancel requests', () => {
  for (const [title, options, hba] of /** @type {[string, () => any, string[]][]} */ ([
    ['verify-full', () => ({ ssl: ssl() }), ENTRANCES.tls],
    ['allow, where the server insists on TLS', () => ({ ssl: 'allow' }), ENTRANCES.tls],
  ])) {
    test(`TLS: a cancel request is encrypted when the session is: ${title}`, async (t) => {
      await db.receive('good', { hba });
      const { pool, relay } = await watched(t, { poolSize: 1, monitor: false, ...options() });
      assert.equal((await pool.query(ENCRYPTION))[0].ssl, true);
      const before = relay.conversations().length;
      const error = await failureOf(pool.query('SELECT pg_sleep(60)', [], { timeoutMs: 200 }));
      assert.deepEqual(
        [error.name, error.outcome],
        ['QueryTimeoutError', 'not-applied'],
        'the server has cancelled it',
      );
      assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
      const cancels = relay.conversations().slice(before);
      assert.ok(cancels.length > 0);
      for (const text of cancels) assert.deepEqual([text.slice(0, 8), text[8]], [SSL_REQUEST, '\x16']);
    });
  }

  test('TLS: a cancel request is in clear text when the session is', async (t) => {
    await db.receive(null);
    const { pool, relay } = await watched(t, { poolSize: 1, monitor: false, ssl: 'prefer' });
    const error = await failureOf(pool.query('SELECT pg_sleep(60)', [], { timeoutMs: 200 }));
    assert.deepEqual([error.name, error.outcome], ['QueryTimeoutError', 'not-applied']);
    // As libpq does, the client asks for TLS again.
    assert.ok(relay.conversations().some((text) => text.replace(SSL_REQUEST, '').startsWith(CANCEL_REQUEST)));
  });

  test('TLS: cancel requests by a signal, and by the end of the pool, are encrypted', async (t) => {
    await db.receive('good', { hba: ENTRANCES.tls });
    const { pool, check } = await watched(t);
    const signal = AbortSignal.timeout(200);
    assert.equal((await failureOf(pool.query('SELECT pg_sleep(60)', [], { signal }))).outcome, 'not-applied');
    const failing = failureOf(pool.query('SELECT pg_sleep(60)'));
    await until('it runs', () => pool.status().inUse === 1);
    await pool.end({ timeoutMs: 200 });
    await failing;
    check();
  });
});

describe('before TLS is there', () => {
  test('TLS: before the handshake, and after one that failed, nothing is sent that names the user', async (t) => {
    await db.receive('unknownCa');
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      const { pool, relay, check } = await watched(t, { ssl: { mode, ca: db.pki.ca.pem } });
      await failureOf(pool.query('SELECT 1'));
      assert.ok(check() > 0);
      for (const text of relay.conversations()) assert.ok(text.length < 2_000, 'a ClientHello and an alert');
    }
    await db.receive(null);
    const { pool, relay } = await watched(t);
    await failureOf(pool.query('SELECT 1'));
    for (const text of relay.conversations()) assert.equal(text, SSL_REQUEST);
  });
});

describe('Unix sockets', () => {
  test('TLS is never used on a Unix socket, whatever the mode', async (t) => {
    await db.receive('unknownCa', { hba: ['local all app scram-sha-256'] });
    for (const how of [false, 'prefer', 'require', ssl(), { ...ssl(), negotiation: 'direct' }]) {
      const pool = db.pool(t, { hosts: sockets, port: db.node.port, ssl: how, poolSize: 1 });
      assert.equal((await pool.query(ENCRYPTION))[0].ssl, false, JSON.stringify(how));
    }
  });
});

describe('TLS with several hosts', () => {
  /** @param {string} host */
  const at = (host) => `${host}:${db.node.port}`;

  test('TLS with several hosts: each is verified by its own name, and one that fails is left out with a reason', async (t) => {
    await db.receive('upperCase'); // for localhost alone
    for (const hosts of [
      [at('127.0.0.1'), at('localhost')],
      [at('localhost'), at('127.0.0.1')],
    ]) {
      const pool = db.pool(t, { hosts, ssl: ssl(), monitor: { intervalMs: 50 } });
      assert.equal((await pool.query(ENCRYPTION))[0].ssl, true);
      const bad = () => pool.nodes().find((/** @type {any} */ node) => node.host === '127.0.0.1');
      const { lastError } = await until('the monitor has looked at the other', () => bad().lastError && bad());
      const words = typeof lastError === 'string' ? lastError : lastError.message;
      assert.match(words, /CN=upper-case.*is not for "127\.0\.0\.1": it is for LocalHost/);
    }
  });

  test('TLS with a host and its address: the name is verified', async (t) => {
    await db.receive('wrongHost'); // for db.example.test
    const { port } = db.node;
    const address = '127.0.0.1';
    const hosts = [
      { host: 'other.example.test', port, address },
      { host: 'db.example.test', port, address },
    ];
    assert.equal((await db.pool(t, { hosts, ssl: ssl() }).query(ENCRYPTION))[0].ssl, true);
    const error = await failureOf(db.pool(t, { hosts: hosts.slice(0, 1), ssl: ssl() }).query('SELECT 1'));
    assertTlsError(error, `other.example.test:${port}`, 'CN=wrong-host');
  });

  test('TLS with several hosts of which none has a good certificate: an error at once', async (t) => {
    await db.receive('expired');
    const pool = db.pool(t, { hosts: [at('localhost'), at('127.0.0.1')], ssl: ssl() });
    const error = await failureOf(pool.query('SELECT 1'));
    assertTlsError(error, `${error.host}:${db.node.port}`, 'CN=expired');
  });

  test('TLS with several hosts, the others down: the pool waits for them, then each has its reason', async (t) => {
    await db.receive('expired');
    const hosts = [at('localhost'), 'localhost:1'];
    const error = await failureOf(db.pool(t, { hosts, ssl: ssl(), acquireTimeoutMs: 1_000 }).query('SELECT 1'));
    assert.deepEqual([error.name, error.code], ['NoPrimaryError', 'ERR_NO_PRIMARY'], error.stack);
    const [bad, down] = error.nodes;
    assert.match(bad.reason, /"?CN=expired"? has expired/);
    assert.match(down.reason, /refused/i);
  });
});

describe('TLS with a cluster', () => {
  test('TLS with a primary of a bad certificate: an error at once; its standby serves reads, and is found when it is promoted', async (t) => {
    const { expired, good } = db.pki.servers;
    const own = await ownCluster(t, { nodes: 2, synchronous: false, tls: [expired, good] });
    own.needs('entrance', 'failover');
    const { app, database, nodes } = own.cluster;
    const [first, second] = nodes.map(({ port }) => `localhost:${port}`);
    const login = { hosts: [first, second], ...app, database, ssl: ssl(), acquireTimeoutMs: PATIENCE_MS };
    const pool = poolFor(t, login);
    assertTlsError(await failureOf(pool.query('SELECT 1')), first, 'CN=expired');
    const reader = poolFor(t, { ...login, mode: 'any' });
    assert.equal((await reader.query(ENCRYPTION))[0].ssl, true);
    assert.deepStrictEqual(await reader.query('SELECT pg_is_in_recovery() AS standby'), [{ standby: true }]);
    await nodes[0].crash();
    await own.cluster.failover();
    const rows = await until('the new primary is found', () => pool.query('SELECT pg_is_in_recovery() AS standby'));
    assert.deepStrictEqual(rows, [{ standby: false }]);
  });
});

describe('a certificate that goes bad under a pool', () => {
  test('a certificate that expires under a pool: sessions go on, new ones are refused at once, and a good one is taken', async (t) => {
    await db.receive('good');
    const pool = db.pool(t, { ssl: ssl(), poolSize: 1 });
    const tx = await pool.begin();
    await db.receive('expired');
    assert.equal((await tx.query(ENCRYPTION))[0].ssl, true, 'it goes on');
    const [{ pid }] = await tx.query('SELECT pg_backend_pid() AS pid');
    await tx.commit();
    await db.node.sql('SELECT pg_terminate_backend($1)', [pid]);
    const error = await until('it is gone', async () => {
      const failed = await pool.query('SELECT 1').catch((/** @type {any} */ failure) => failure);
      return failed.code === 'ERR_TLS' && failed;
    });
    assertTlsError(error, `localhost:${db.node.port}`, 'CN=expired');
    await db.receive('good');
    assert.equal((await pool.query(ENCRYPTION))[0].ssl, true);
  });

  test('a certificate that expires under a pool: statements that wait for the sessions left have the reason in their error', async (t) => {
    await db.receive('good');
    const pool = db.pool(t, { ssl: ssl(), poolSize: 2, acquireTimeoutMs: 1_000 });
    const tx = await pool.begin();
    await db.receive('expired');
    const error = await failureOf(pool.query('SELECT 1'));
    assert.match(error.message, /CN=expired.*has expired/, error.stack);
    await tx.rollback();
  });
});
