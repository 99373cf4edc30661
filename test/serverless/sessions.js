'use strict';

// Sessions with leases, as other processes leave them on a server: over the harness's own connections, which renew nothing.

const { createLease } = require('../../client.js');
const { Connection } = require('../../exports/testing/cluster/connection.js');
const { until } = require('../support/helpers.js');

const SECRET = 'coordination of hunter2';
const SERVICE = 'shop';
/** For a statement of a session, and its login. */
const TIMEOUT_MS = 30_000;
/** So many log in at a time. */
const AT_ONCE = 16;

/**
 * A lease; by default one that has expired.
 * @param {Partial<Parameters<typeof createLease>[0]> & { inMs?: number }} [parts]
 */
const leaseOf = ({ inMs = -60_000, ...parts } = {}) =>
  createLease({ secret: SECRET, serviceName: SERVICE, expiresAt: Date.now() + inMs, ...parts });

/** The option `lease` of a pool that ends whatever has expired, when it is asked to. @param {object} [others] */
const leaseOption = (others) => ({
  coordinationSecret: SECRET,
  serviceName: SERVICE,
  reaper: false,
  minConnectionIdleTimeSec: 0,
  maxIdleConnectionsToKill: 10_000,
  ...others,
});

class Session {
  /** @param {Connection} connection @param {number} pid @param {string} name */
  constructor(connection, pid, name) {
    this.connection = connection;
    this.pid = pid;
    this.name = name;
  }

  /**
   * @param {object} login
   * @param {string} name its application_name
   */
  static async open(login, name) {
    const connection = await Connection.open(/** @type {any} */ (login), name, TIMEOUT_MS);
    const [{ pid }] = await connection.query('SELECT pg_backend_pid() AS pid');
    return new Session(connection, pid, name);
  }

  /** @param {string} sql @param {unknown[]} [params] */
  query(sql, params) {
    return this.connection.query(sql, params);
  }
}

/** The login of an ordinary role on a node. @param {any} db @param {any} [node] */
const loginOn = (db, node = db.cluster.primary()) => ({ ...node.login, ...db.cluster.app });

/**
 * A pool of that role with leases, which ends with its test.
 * @param {import('node:test').TestContext} t
 * @param {any} db
 * @param {object} lease
 * @param {object} [others]
 */
const poolWith = (t, db, lease, others) => db.pool(t, { ...db.cluster.app, lease: leaseOption(lease), ...others });

/**
 * Sessions that end with their test.
 * @param {import('node:test').TestContext} t
 * @param {object} login
 * @param {readonly string[]} names
 * @returns {Promise<Session[]>}
 */
async function sessions(t, login, names) {
  /** @type {Session[]} */
  const open = [];
  t.after(() => {
    for (const { connection } of open) {
      // What runs a statement does not answer.
      connection.unref();
      connection.end();
    }
  });
  const left = names.map((name, index) => ({ name, index }));
  const worker = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      open[next.index] = await Session.open(login, next.name);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return open;
}

/** Which of them live. @param {any} node @param {readonly Session[]} all @returns {Promise<Session[]>} */
async function alive(node, all) {
  const rows = await node.sql('SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[])', [
    `{${all.map(({ pid }) => pid)}}`,
  ]);
  const pids = new Set(rows.map((/** @type {any} */ row) => row.pid));
  return all.filter(({ pid }) => pids.has(pid));
}

/** Resolves when all of them have ended. @param {any} node @param {readonly Session[]} all */
const gone = (node, all) =>
  until('the sessions have ended', async () => (await alive(node, all)).length === 0, { everyMs: 20 });

module.exports = { SECRET, SERVICE, Session, alive, gone, leaseOf, leaseOption, loginOn, poolWith, sessions };
