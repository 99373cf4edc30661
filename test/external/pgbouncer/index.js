'use strict';

// PgBouncer in front of a node of a cluster, for tests: Debian's package, in any version.
//
//   const db = useCluster({ nodes: 1 });
//   const bouncer = usePgBouncer(db, { poolSize: 2 });
//   test('...', async (t) => {
//     const pool = bouncer.pool(t, { prepare: false });
//
// In transaction mode a server connection belongs to a client from the first statement of a transaction to its end, and then to
// any other client: what a session keeps (named statements, SET, LISTEN, temporary tables, advisory locks) may not be there at
// the next statement. The pool of server connections is small here, so that clients really share them.
//
// A missing PgBouncer is installed where that is possible (../programs.js); otherwise `test` skips with the reason.
// HYPERION_PGBOUNCER names the program.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before } = require('node:test');
const { UnsupportedError } = require('../../support/cluster');
const { serverAccount } = require('../../../exports/testing/cluster/account.js');
const { newClusterFolder } = require('../../../exports/testing/cluster/files.js');
const { freePort } = require('../../../exports/testing/cluster/ports.js');
const { sweep } = require('../../../exports/testing/cluster/processes.js');
const { guard, release } = require('../../../exports/testing/cluster/reaper.js');
const { writeOwned } = require('../../../exports/testing/cluster/replication.js');
const { withConnection } = require('../../../exports/testing/cluster/sql.js');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');
const { poolFor } = require('../../support/helpers');
const { canInstall, findProgram, installPackages } = require('../../support/programs');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('../../support/cluster').Cluster} Cluster */
/** @typedef {import('../../support/programs').Program} Program */

/**
 * @typedef {object} PgBouncerOptions
 * @property {'transaction' | 'session' | 'statement'} [mode]
 * @property {number} [poolSize] connections to the server for a user and database at most
 * @property {Record<string, string | number>} [settings] more lines of its [pgbouncer] section
 * @property {(cluster: Cluster) => import('../../support/cluster').Node} [node] what is behind it; default: the primary
 */

/** PgBouncer's own database, whose SHOW commands report its state. */
const CONSOLE = 'pgbouncer';

/** @returns {Program} throws what makes `test` skip */
function pgbouncer() {
  const find = () => findProgram('pgbouncer', 'HYPERION_PGBOUNCER', serverAccount());
  if (process.platform === 'win32') throw new UnsupportedError('pgbouncer', 'it is tested on POSIX systems');
  const found = find();
  if (found !== null) return found;
  if (canInstall()) installPackages(['pgbouncer']);
  const brought = find();
  if (brought === null) throw new UnsupportedError('pgbouncer', 'it is not there: apt-get install pgbouncer');
  return brought;
}

/** @param {string} text */
const quoted = (text) => `"${text.replaceAll('"', '""')}"`;

class PgBouncer {
  /** The folder that is removed at the end. */
  #root = '';
  #dir = '';
  #port = 0;
  /** @type {Cluster | undefined} */
  #cluster;
  /** @type {UnsupportedError | undefined} */
  #unsupported;
  /** @type {import('node:child_process').ChildProcess | null} */
  #process = null;
  /** @type {Program | undefined} */
  #program;

  /**
   * @param {Cluster} cluster
   * @param {PgBouncerOptions} options
   */
  async start(cluster, options) {
    try {
      this.#program = pgbouncer();
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      this.#unsupported = error;
      return;
    }
    this.#cluster = cluster;
    this.#port = await freePort();
    this.#root = newClusterFolder();
    guard(this.#root);
    fs.chmodSync(this.#root, 0o755);
    // Its folder is below the root, as that of a node in a cluster.
    this.#dir = path.join(this.#root, 'pgbouncer');
    fs.mkdirSync(this.#dir);
    this.#configure(options);
    await this.run();
  }

  /** @param {PgBouncerOptions} options */
  #configure({ mode = 'transaction', poolSize = 2, settings = {}, node: behind = (cluster) => cluster.primary() }) {
    const { user, password, app } = /** @type {Cluster} */ (this.#cluster);
    const node = behind(/** @type {Cluster} */ (this.#cluster));
    const users = [{ user, password }, ...(app === null ? [] : [app])];
    const file = (/** @type {string} */ name) => path.join(this.#dir, name);
    const all = {
      listen_addr: '127.0.0.1',
      listen_port: this.#port,
      unix_socket_dir: '',
      auth_type: 'scram-sha-256',
      auth_file: file('users'),
      admin_users: user,
      pool_mode: mode,
      default_pool_size: poolSize,
      max_client_conn: 500,
      // A server that went away is tried again soon.
      server_login_retry: 0.2,
      ...settings,
    };
    const lines = [
      '[databases]',
      `* = host=${node.host} port=${node.port}`,
      '[pgbouncer]',
      ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
    ];
    const account = serverAccount();
    // Passwords in clear text: PgBouncer cannot log in to the server with a verifier.
    const logins = users.map((one) => `${quoted(one.user)} ${quoted(one.password)}\n`);
    writeOwned(file('users'), logins.join(''), account);
    writeOwned(file('pgbouncer.ini'), `${lines.join('\n')}\n`, account);
  }

  /** Starts the process unless it runs. */
  async run() {
    if (this.#process !== null) return;
    const logFile = path.join(this.#dir, 'log');
    const log = fs.openSync(logFile, 'a', 0o644);
    const [file, ...args] = /** @type {Program} */ (this.#program).command;
    const child = spawn(file, [...args, path.join(this.#dir, 'pgbouncer.ini')], {
      cwd: this.#dir,
      detached: true, // Ctrl-C is for the test, not for this process
      env: { PATH: process.env.PATH, LANG: 'C' },
      stdio: ['ignore', log, log],
      ...serverAccount(),
    });
    fs.closeSync(log);
    this.#process = child;
    const gone = () => {
      if (this.#process === child) this.#process = null;
    };
    child.on('error', gone);
    child.on('exit', gone);
    child.unref();
    await until('PgBouncer accepts connections', () => {
      if (this.#process !== child) throw new GiveUp(`PgBouncer did not start:\n${this.log()}`);
      return this.show('VERSION');
    });
  }

  /** kill -9: the connections of its clients break. */
  async kill() {
    this.#process?.kill('SIGKILL');
    await until('PgBouncer is gone', () => this.#process === null);
  }

  async stop() {
    if (this.#root === '') return;
    await sweep(this.#root);
    release(this.#root);
  }

  /** Its log. */
  log() {
    return fs.readFileSync(path.join(this.#dir, 'log'), 'utf8');
  }

  /** @returns {Cluster} throws what makes `test` skip when there is no PgBouncer */
  get cluster() {
    if (this.#unsupported !== undefined) throw this.#unsupported;
    return /** @type {Cluster} */ (this.#cluster);
  }

  /** The version of PgBouncer: [major, minor]. */
  get version() {
    return this.cluster && /** @type {Program} */ (this.#program).version.split('.').map(Number);
  }

  get address() {
    return `127.0.0.1:${this.#port}`;
  }

  /**
   * The options with which a pool reaches the server through it.
   *
   * @param {Record<string, unknown>} [options]
   */
  options(options) {
    const { user, password, database } = this.cluster;
    return { hosts: [this.address], user, password, database, ...options };
  }

  /**
   * A pool through it that ends with its test.
   *
   * @param {TestContext} t
   * @param {Record<string, unknown>} [options]
   * @returns {any}
   */
  pool(t, options) {
    return poolFor(t, this.options(options));
  }

  /** Rows of its console: SERVERS, CLIENTS, POOLS, STATS. @param {string} what */
  show(what) {
    const { user, password } = this.cluster;
    const login = { host: '127.0.0.1', port: this.#port, user, password, database: CONSOLE };
    return withConnection(login, (query) => query(`SHOW ${what}`));
  }
}

/**
 * A PgBouncer in front of a node of `db` for all tests of the file that calls it.
 *
 * @param {{ readonly cluster: Cluster, started: Promise<void> }} db
 * @param {PgBouncerOptions} [options]
 */
function usePgBouncer(db, options = {}) {
  const bouncer = new PgBouncer();
  before(
    async () => {
      await db.started;
      // The tests report why there is no cluster.
      const cluster = attempt(() => db.cluster);
      if (cluster !== null) await bouncer.start(cluster, options);
    },
    { timeout: 300_000 },
  );
  after(() => bouncer.stop());
  return bouncer;
}

/**
 * @template T
 * @param {() => T} get
 * @returns {T | null} null where it is unsupported
 */
function attempt(get) {
  try {
    return get();
  } catch (error) {
    if (error instanceof UnsupportedError) return null;
    throw error;
  }
}

module.exports = { PgBouncer, usePgBouncer };
