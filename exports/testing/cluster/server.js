'use strict';

// A server as seen through its TCP port: what can be done to any server with a login, whoever runs it. The operations that need
// access to its processes are declared here, too, and refuse; LocalNode (node.js) and ExternalNode (external.js) override those
// that they can do. Tests ask `cluster.capabilities` before, and skip.

const { exhaust } = require('./hog.js');
const { TcpProxy } = require('./proxy.js');
const { withConnection } = require('./sql.js');
const { until } = require('./until.js');

/** @typedef {import('./sql.js').Row} Row */
/** @typedef {{ user: string, password: string, database: string }} Credentials */
/** @typedef {'primary' | 'standby' | 'deposed'} Role */
/** @typedef {import('./replication.js').Address} Address */

/** Operations that need only the login of a superuser. */
const SQL_OPERATIONS = Object.freeze(['sql', 'fence', 'proxy']);

class Server {
  #credentials;
  /** @type {TcpProxy[]} */
  #proxies = [];

  /**
   * @param {{ name: string, host: string, port: number, credentials: Credentials }} options
   */
  constructor({ name, host, port, credentials }) {
    /** n1, n2, ...: also its application_name in pg_stat_replication */
    this.name = name;
    this.host = host;
    this.port = port;
    this.#credentials = credentials;
    /**
     * Its role as the harness has made it: a primary that was failed over is `deposed` until it rejoins.
     * @type {Role}
     */
    this.role = 'standby';
    /** Suspended: the kernel accepts connections for it, and no process answers. */
    this.frozen = false;
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** Whether its postmaster runs, frozen or not. */
  get running() {
    return true;
  }

  get login() {
    return { host: this.host, port: this.port, ...this.#credentials };
  }

  /**
   * Runs one statement over a connection of its own.
   *
   * @param {string} text
   * @param {unknown[]} [params]
   * @param {{ timeoutMs?: number, user?: string, password?: string, database?: string }} [options] the limit holds for the
   *   connect and for the statement, and does not cancel it
   * @returns {Promise<Row[]>}
   */
  sql(text, params, { timeoutMs, ...as } = {}) {
    return withConnection({ ...this.login, ...as }, (query) => query(text, params), timeoutMs);
  }

  /** Makes every new transaction read-only without dropping a session, as failover managers fence a primary. */
  async fence() {
    await this.sql('ALTER SYSTEM SET default_transaction_read_only = on');
    await this.#reloadUntilReadOnlyIs('on');
  }

  async unfence() {
    await this.sql('ALTER SYSTEM RESET default_transaction_read_only');
    await this.#reloadUntilReadOnlyIs('off');
  }

  /** @param {'on' | 'off'} expected */
  async #reloadUntilReadOnlyIs(expected) {
    await this.sql('SELECT pg_reload_conf()');
    await until(`new sessions on ${this.name} have default_transaction_read_only = ${expected}`, async () => {
      const [row] = await this.sql('SHOW default_transaction_read_only');
      return row.default_transaction_read_only === expected;
    });
  }

  /**
   * A new TCP proxy in front of this node; cluster.stop() closes it.
   *
   * @returns {Promise<TcpProxy>}
   */
  async proxy() {
    const proxy = await TcpProxy.open(this);
    this.#proxies.push(proxy);
    return proxy;
  }

  async closeProxies() {
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
  }

  /** @returns {Promise<boolean>} whether it replays WAL, i.e. is not a primary of any kind */
  async isInRecovery() {
    const [row] = await this.sql('SELECT pg_is_in_recovery() AS answer');
    return row.answer;
  }

  /**
   * Shuts the server down and waits until no process is left: 'fast' as a service manager does (sessions get 57P01, the
   * WAL reaches the standbys), 'immediate' without a checkpoint.
   *
   * @param {'smart' | 'fast' | 'immediate'} [_mode] default 'fast'
   * @returns {Promise<void>}
   */
  async stop(_mode) {
    throw this.unsupported('stop');
  }

  /**
   * Starts the server as whatever its data directory says it is (a deposed primary comes back as a second primary: use
   * rejoin to make it a standby) and waits until it accepts connections.
   *
   * @returns {Promise<void>}
   */
  async start() {
    throw this.unsupported('start');
  }

  /**
   * A machine crash: no process of the server runs another instruction, nothing is acknowledged any more. (Its kernel
   * lives on and closes the sockets; for a host that falls silent use freeze, or a proxy's blackhole.)
   *
   * @returns {Promise<void>}
   */
  async crash() {
    throw this.unsupported('crash');
  }

  /**
   * kill -9 of the postmaster alone. Its backends go on for a while and may still acknowledge: not a machine crash.
   *
   * @returns {Promise<void>}
   */
  async killPostmaster() {
    throw this.unsupported('killPostmaster');
  }

  /**
   * kill -9 of one backend: the server considers its shared memory damaged, ends all sessions and restarts itself. Resolves when
   * it accepts connections again.
   *
   * @param {string} [_user] a backend of this role, a busy one if there is one. Default: any.
   * @returns {Promise<void>}
   */
  async killBackend(_user) {
    throw this.unsupported('killBackend');
  }

  /**
   * Ends all sessions of a role and takes all connections that it may have: new ones are refused with 53300.
   *
   * @param {{ user: string, password: string, database?: string }} role not a superuser
   * @param {() => void} [onThrow] called before somebody is thrown out; who comes back in time is thrown out again
   * @returns {Promise<() => Promise<void>>} gives them back
   */
  exhaust(role, onThrow) {
    return exhaust(this, role, onThrow);
  }

  /** @returns {Promise<void>} */
  async freeze() {
    throw this.unsupported('freeze');
  }

  /** @returns {Promise<void>} */
  async thaw() {
    throw this.unsupported('freeze');
  }

  /**
   * Makes a standby the primary and waits until it has left recovery. Does nothing to the old one.
   *
   * @returns {Promise<void>}
   */
  async promote() {
    throw this.unsupported('promote');
  }

  /**
   * Points a running standby at another upstream, e.g. the new primary, or a proxy in front of the old one.
   *
   * @param {Address} _upstream
   * @returns {Promise<void>}
   */
  async follow(_upstream) {
    throw this.unsupported('follow');
  }

  /**
   * Makes a running standby receive nothing, until it follows a node again.
   *
   * @returns {Promise<void>}
   */
  async detach() {
    throw this.unsupported('follow');
  }

  /**
   * Removes the data and comes back as a standby of `primary`, from a new base backup; waits until it has caught up.
   *
   * @param {Server} _primary
   * @returns {Promise<void>}
   */
  async rejoin(_primary) {
    throw this.unsupported('rejoin');
  }

  /**
   * Changes certificate, key (`tls: null`: no TLS at all) and pg_hba.conf while the server runs, and waits until every new session
   * uses them. Options that are not given stay; `hba` replaces all lines but the harness's own.
   *
   * @param {import('./entrance.js').Entrance} _entrance
   * @returns {Promise<void>}
   */
  async entrance(_entrance) {
    throw this.unsupported('entrance');
  }

  /** @param {string} operation */
  unsupported(operation) {
    return new UnsupportedError(operation, 'it needs more than the login we have');
  }
}

/** The cluster cannot do what the test asks for; `cluster.capabilities` says so before. */
class UnsupportedError extends Error {
  /**
   * @param {string} operation a member of `capabilities`
   * @param {string} reason
   */
  constructor(operation, reason) {
    super(`this cluster cannot do '${operation}': ${reason}`);
    this.operation = operation;
  }
}

exports.Server = Server;
exports.UnsupportedError = UnsupportedError;
exports.SQL_OPERATIONS = SQL_OPERATIONS;
