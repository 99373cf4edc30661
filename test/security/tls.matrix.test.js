'use strict';

// The matrix of sslmode, server, certificate and trust (tls.matrix.js), by the client and by libpq. A server is given its
// certificate while it runs, so that one server is enough. Errors must come at once: the time limit of a test is shorter than
// acquireTimeoutMs.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test } = require('../support/helpers');
const { askPsql } = require('../support/psql.js');
const { outcomeOf, useTls } = require('./tls.helpers.js');
const { ENTRANCES, MATRIX, MODES, NAMES, REASONS } = require('./tls.matrix.js');

const db = useTls();

/** @typedef {Record<string, string>} Row */

/** @param {Row} row */
const receive = ({ server, entrance }) =>
  db.receive(server === 'off' ? null : server, { hba: ENTRANCES[/** @type {keyof ENTRANCES} */ (entrance)] });

/** The files that the client of a row trusts. @param {Row} row @returns {{ ca?: string, crl?: string }} */
function trustOf({ server, trusts }) {
  const files = /** @type {Record<string, any>} */ (db.pki);
  const [ca, crl] = trusts.split('+');
  return {
    ...(ca !== '-' && { ca: ca === 'own' ? db.pki.servers[server].certFile : files[ca].file }),
    ...(crl !== undefined && { crl: files[crl].file }),
  };
}

/** @param {Row} row */
const subjectOf = ({ server }) => db.pki.servers[server]?.subject;

/** @param {string} expected @param {string} actual */
const either = (expected, actual) => (expected.split('|').includes(actual) ? expected : actual);

/** @param {(mode: string) => Promise<string>} ask */
async function byMode(ask) {
  const answers = await Promise.all(MODES.map(ask));
  return Object.fromEntries(MODES.map((mode, index) => [mode, answers[index]]));
}

/** @param {Row} row */
const expectedOf = (row) => Object.fromEntries(MODES.map((mode) => [mode, row[mode]]));

/** @param {Row} row */
const titleOf = ({ server, entrance, trusts }) => `server: ${server}, lets in: ${entrance}, client trusts: ${trusts}`;

describe('sslmode by server, certificate and trust', () => {
  for (const row of MATRIX) {
    test(`sslmode: ${titleOf(row)}`, async (t) => {
      await receive(row);
      const trust = trustOf(row);
      const at = `localhost:${db.node.port}`;
      const outcome = (/** @type {unknown} */ ssl) =>
        outcomeOf(() => db.pool(t, { ssl, poolSize: 1 }), at, subjectOf(row));
      const found = await byMode(async (mode) =>
        either(row[mode], await outcome(row.trusts === '-' ? mode : { mode, ...trust })),
      );
      assert.deepEqual(found, expectedOf(row));
      // The short forms mean one of the modes.
      const full = row['verify-full'];
      if (row.trusts === '-') {
        assert.equal(either(full, await outcome(true)), full, 'true');
        assert.equal(await outcome(false), row.disable, 'false');
        assert.equal(await outcome(undefined), row.prefer, 'nothing');
        assert.equal(await outcome({ rejectUnauthorized: false }), row.require, 'rejectUnauthorized: false');
      } else if (!('crl' in trust)) {
        assert.equal(await outcome(trust), full, 'a CA alone');
      }
    });
  }
});

describe('the names that a certificate is for', () => {
  for (const row of NAMES) {
    const { server, host, 'verify-full': expected } = row;
    test(`certificate name: ${server} for the host ${host}: ${expected}`, async (t) => {
      await db.receive(server);
      const { port } = db.node;
      const hosts = [{ host, port, address: '127.0.0.1' }];
      const pool = db.pool(t, { hosts, ssl: { ca: db.pki.ca.file }, poolSize: 1 });
      const failure = await pool.query('SELECT 1').then(
        () => null,
        (/** @type {any} */ error) => error,
      );
      if (expected === 'tls') assert.equal(failure, null, failure?.stack);
      else assert.match(String(failure?.message), new RegExp(`is not for "${host}": it is for `, 'i'));
      const named = db.pool(t, { ssl: { ca: db.pki.ca.file, servername: host }, poolSize: 1 });
      const again = await named.query('SELECT 1').then(
        () => 'tls',
        (/** @type {any} */ error) => (/ is not for "/.test(error.message) ? 'wrong-host' : error),
      );
      assert.equal(again, expected, 'by servername');
    });
  }
});

// libpq itself is compared with the tables. Its differences from the client are known, and listed in libpqMeans().
describe('libpq agrees with the tables', () => {
  const login = () => ({ port: db.node.port, ...db.app, dbname: db.cluster.database });

  for (const row of MATRIX) {
    test(`sslmode, libpq agrees: ${titleOf(row)}`, async () => {
      await receive(row);
      const { ca, crl } = trustOf(row);
      const found = await byMode(async (mode) => {
        const expected = row[mode];
        const files = { ...(ca && { sslrootcert: ca }), ...(crl && { sslcrl: crl }) };
        const answer = await askPsql({ ...login(), host: 'localhost', sslmode: mode, ...files }, db.certificates.home);
        return libpqMeans(row, mode, answer) ? expected : answer;
      });
      assert.deepEqual(found, expectedOf(row));
    });
  }

  test('certificate name: libpq agrees', async () => {
    for (const { server, host, 'verify-full': expected } of NAMES) {
      await db.receive(server);
      const keywords = { host, hostaddr: '127.0.0.1', sslmode: 'verify-full', sslrootcert: db.pki.ca.file };
      const answer = await askPsql({ ...login(), ...keywords }, db.certificates.home);
      const name = /does not match host name/.test(answer) ? 'wrong-host' : answer;
      assert.equal(name, expected, `${server}: ${host}`);
    }
  });
});

/**
 * Whether libpq's answer means what the table says.
 *
 * @param {Row} row
 * @param {string} mode
 * @param {string} answer
 */
function libpqMeans({ server, entrance, trusts, ...outcomes }, mode, answer) {
  const expected = outcomes[mode];
  if (expected === answer) return true;
  // It looks for the CA's file when the server has agreed to TLS, and does not trust the roots of the system unless told to.
  if (trusts === '-' && mode.startsWith('verify-')) {
    return REASONS[server === 'off' ? 'no-tls' : 'no-ca'][1].test(answer);
  }
  // It reports the results of both of its attempts.
  const both = entrance === 'tls' && (mode === 'allow' || mode === 'prefer') ? ['hba'] : [];
  return [...both, ...expected.split('|')].every((reason) => REASONS[reason]?.[1].test(answer));
}
