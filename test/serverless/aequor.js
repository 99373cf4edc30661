'use strict';

// Sessions and passes as pg-aequor makes them: its form of a lease, its lock, its heartbeat and its way to end sessions, written anew from
// what its published source says (dimaq12/pg-aequor, its lease, reaper and client), with node:crypto and the harness's
// own connections. Nothing of this package is used.

const { createHash, createHmac, randomBytes } = require('node:crypto');
const { Connection } = require('../../exports/testing/cluster/connection.js');

const LOCK = 1346847057;
const NAME_BYTES = 63;
/** For a statement, and a login. */
const TIMEOUT_MS = 30_000;
const PATTERN = /^s=([^;]+);i=([^;]+);e=([^;]+);g=([^;]+)$/;

/** @param {string} text @param {string} secret */
const signatureOf = (text, secret) =>
  createHmac('sha256', secret).update(text).digest().subarray(0, 8).toString('base64url');

/** A name that is too long, or has other characters, ends in a hash. @param {string} serviceName @param {string} instance */
function tokenOf(serviceName, instance) {
  const clean = serviceName.replace(/[^a-zA-Z0-9:_-]/g, '_');
  const most = NAME_BYTES - `s=;i=${instance};e=${'0'.repeat(13)};g=${'0'.repeat(11)}`.length;
  if (clean === serviceName && clean.length <= most) return clean;
  const hash = createHash('sha1').update(serviceName).digest('hex').slice(0, 8);
  return `${clean.slice(0, most - hash.length - 1)}-${hash}`;
}

/** What one reads in a name; null: no lease of this secret. @param {string} name @param {string} secret */
function read(name, secret) {
  const [, service, instance, expiry, signature] = PATTERN.exec(name) ?? [];
  if (signature === undefined) return null;
  if (signature !== signatureOf(`s=${service};i=${instance};e=${expiry}`, secret)) return null;
  return { service, instance, expiresAt: Number.parseInt(expiry, 10) };
}

/** A client of pg-aequor, with one session. */
class Aequor {
  #secret;
  #instance = randomBytes(6).toString('base64url');
  /** @type {Connection | undefined} */
  #connection;

  /** @param {{ secret: string, serviceName: string }} options */
  constructor({ secret, serviceName }) {
    this.#secret = secret;
    this.service = tokenOf(serviceName, this.#instance);
  }

  /** @param {number} inMs when it expires */
  lease(inMs) {
    const text = `s=${this.service};i=${this.#instance};e=${Date.now() + inMs}`;
    return `${text};g=${signatureOf(text, this.#secret)}`;
  }

  /**
   * Opens its session, which ends with the test, and tells its pid.
   * @param {import('node:test').TestContext} t
   * @param {object} login
   * @param {number} inMs when its lease expires
   */
  async connect(t, login, inMs) {
    const connection = await Connection.open(/** @type {any} */ (login), this.lease(inMs), TIMEOUT_MS);
    t.after(() => connection.end());
    this.#connection = connection;
    const [{ pid }] = await this.#query('SELECT pg_backend_pid() AS pid');
    return { pid };
  }

  /** @param {string} sql @param {unknown[]} [params] */
  async #query(sql, params) {
    return await /** @type {Connection} */ (this.#connection).query(sql, params);
  }

  /** What the server calls its session. */
  async name() {
    return (await this.#query("SELECT current_setting('application_name') AS name"))[0].name;
  }

  /** @param {number} inMs when it expires anew */
  async heartbeat(inMs) {
    await this.#query("SELECT set_config('application_name', $1, false)", [this.lease(inMs)]);
  }

  /** Takes the lock of its service, which it holds until it gives it back. @returns {Promise<boolean>} whether it has it */
  async lock() {
    const rows = await this.#query('SELECT pg_try_advisory_lock($1::int, hashtext($2)) AS locked', [
      LOCK,
      this.service,
    ]);
    return rows[0].locked === true;
  }

  async unlock() {
    await this.#query('SELECT pg_advisory_unlock($1::int, hashtext($2))', [LOCK, this.service]);
  }

  /**
   * A pass.
   * @param {{ minIdleSec?: number, most?: number }} [limits]
   */
  async reap({ minIdleSec = 0, most = 100 } = {}) {
    if (!(await this.lock())) return { locked: false, killed: 0 };
    try {
      const found = await this.#query(
        `SELECT pid, application_name AS name, extract(epoch FROM now() - state_change)::float8 AS idle
         FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
         AND pid <> pg_backend_pid() AND application_name LIKE $1 || '%'`,
        [`s=${this.service};`],
      );
      const expired = found
        .filter(({ idle }) => idle >= minIdleSec)
        .map(({ pid, name }) => ({ pid, lease: read(name, this.#secret) }))
        .filter(({ lease }) => lease !== null && Date.now() > lease.expiresAt)
        .slice(0, most)
        .map(({ pid }) => pid);
      await this.#query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1::int[])', [
        `{${expired}}`,
      ]);
      return { locked: true, killed: expired.length };
    } finally {
      await this.unlock();
    }
  }
}

module.exports = { Aequor, LOCK, read };
