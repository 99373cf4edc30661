'use strict';

// One server of a local cluster: its data directory, its port and its processes. The postmaster is a direct child of the test
// process in a session of its own; the harness signals processes itself instead of using pg_ctl, because it makes faults.
// However the server ends, `running` follows.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { changeEntrance } = require('./entrance.js');
const replication = require('./replication.js');
const { clearRemains, killAll, processesIn, signal, suspend } = require('./processes.js');
const { Server } = require('./server.js');
const { serverEnvironment } = require('./template.js');
const { GiveUp, until } = require('./until.js');

/** @typedef {import('./binaries.js').Binaries} Binaries */
/** @typedef {import('./server.js').Address} Address */

const STOP_SIGNALS = /** @type {const} */ ({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' });

class LocalNode extends Server {
  #binaries;
  #onPromoted;
  /** @type {import('node:child_process').ChildProcess | null} */
  #postmaster = null;

  /**
   * @param {object} options
   * @param {string} options.name
   * @param {number} options.port
   * @param {string} options.dir
   * @param {Binaries} options.binaries
   * @param {import('./server.js').Credentials} options.credentials
   * @param {(node: LocalNode) => void} options.onPromoted
   */
  constructor({ name, port, dir, binaries, credentials, onPromoted }) {
    super({ name, host: '127.0.0.1', port, credentials });
    this.dir = dir;
    this.dataDir = path.join(dir, 'data');
    this.logFile = path.join(dir, 'log');
    this.#binaries = binaries;
    this.#onPromoted = onPromoted;
  }

  get running() {
    return this.#postmaster !== null;
  }

  /** Pid of the postmaster, undefined when it does not run. */
  get pid() {
    return this.#postmaster?.pid;
  }

  /** Pids of all its processes, orphans of a killed postmaster included. */
  get pids() {
    return processesIn(this.dataDir);
  }

  /** @returns {string} the server's log so far */
  log() {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : '';
  }

  async start() {
    if (this.running) throw new Error(`${this.name} is running`);
    await clearRemains(this.dataDir); // a new server refuses to start beside orphans of a killed postmaster
    const logStart = this.log().length;
    const postmaster = this.#spawn();
    await until(`${this.name} accepts connections`, () => {
      if (this.#postmaster !== postmaster)
        throw new GiveUp(`${this.name} did not start:\n${this.log().slice(logStart)}`);
      return this.#status() === 'ready';
    });
  }

  #spawn() {
    const log = fs.openSync(this.logFile, 'a', 0o644);
    const args = ['-D', this.dataDir, '-p', String(this.port), '-c', `cluster_name=${this.name}`];
    const postmaster = spawn(path.join(this.#binaries.bin, 'postgres'), args, {
      cwd: this.dataDir, // from the first instruction on: this is how processes.js finds it
      detached: true, // Ctrl-C is for the test, not for the server
      env: serverEnvironment(),
      stdio: ['ignore', log, log],
      ...this.#binaries.account,
    });
    fs.closeSync(log);
    this.#postmaster = postmaster;
    const gone = () => {
      if (this.#postmaster === postmaster) this.#postmaster = null;
    };
    postmaster.on('error', (error) => {
      fs.appendFileSync(this.logFile, `${error.message}\n`);
      gone();
    });
    postmaster.on('exit', gone);
    postmaster.unref();
    return postmaster;
  }

  /** The 8th line of the postmaster's pid file has its state (src/include/utils/pidfile.h); pg_ctl waits for the same. */
  #status() {
    try {
      const lines = fs.readFileSync(path.join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n');
      return Number(lines[0]) === this.pid ? lines[7]?.trim() : undefined;
    } catch {
      return undefined;
    }
  }

  /** @param {keyof typeof STOP_SIGNALS} [mode] */
  async stop(mode = 'fast') {
    if (this.frozen) throw new Error(`${this.name} is frozen: thaw or crash it`);
    signal(STOP_SIGNALS[mode], this.#livePids());
    await this.#untilGone();
  }

  async crash() {
    const postmaster = this.pid;
    // With the postmaster suspended no process forks, so that the list is complete.
    if (postmaster !== undefined) await suspend(postmaster, this.dataDir);
    await killAll(this.dataDir);
    await this.#untilGone();
    this.frozen = false;
  }

  async killPostmaster() {
    signal('SIGKILL', this.#livePids());
    await until(`the postmaster of ${this.name} is gone`, () => !this.running, { everyMs: 2 });
    this.frozen = false;
  }

  /** @param {string} [user] */
  async killBackend(user) {
    const [victim] = await this.sql(
      `SELECT pid FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ($1::text IS NULL OR usename = $1)
       ORDER BY state = 'active' DESC LIMIT 1`,
      [user ?? null],
    );
    if (victim === undefined) throw new Error(`${this.name} has no backend to kill`);
    const logStart = this.log().length;
    signal('SIGKILL', [victim.pid]);
    // The pid file says 'ready' all the time; the log has the restart. A connection made too early is ended like the others.
    await until(`${this.name} has restarted itself`, () =>
      /reinitializing.*ready to accept connections/s.test(this.log().slice(logStart)),
    );
  }

  async freeze() {
    const [postmaster] = this.#livePids();
    await suspend(postmaster, this.dataDir);
    this.frozen = true;
  }

  async thaw() {
    signal('SIGCONT', this.pids);
    this.frozen = false;
  }

  async promote() {
    await this.sql('SELECT pg_promote(false)');
    await until(`${this.name} has left recovery`, async () => !(await this.isInRecovery()));
    this.#onPromoted(this);
  }

  /** @param {Address} upstream */
  async follow(upstream) {
    await this.#receiveFrom(replication.connectionInfo(this, upstream));
  }

  async detach() {
    await this.#receiveFrom('');
    await until(`${this.name} receives nothing`, async () => {
      const [row] = await this.sql('SELECT count(*)::int AS receivers FROM pg_stat_wal_receiver');
      return row.receivers === 0;
    });
  }

  /** @param {string} info its primary_conninfo */
  async #receiveFrom(info) {
    await this.sql(`ALTER SYSTEM SET primary_conninfo = '${info}'`);
    await this.sql('SELECT pg_reload_conf()');
    await until(`${this.name} has read its new primary_conninfo`, async () => {
      const [row] = await this.sql('SHOW primary_conninfo');
      return row.primary_conninfo === info;
    });
  }

  /** @param {Server} primary */
  async rejoin(primary) {
    if (!(primary instanceof LocalNode)) throw this.unsupported('rejoin');
    await this.crash();
    await clearRemains(this.dataDir);
    fs.rmSync(this.dataDir, { recursive: true, force: true });
    const { version, account } = this.#binaries;
    await replication.baseBackup(primary, this.dataDir, { version, owner: account });
    await this.startAsStandbyOf(primary);
    await replication.waitUntilCaughtUp(this, primary);
  }

  /**
   * For a data directory that has not diverged: a base backup, or a primary that was stopped cleanly.
   *
   * @param {Address} upstream
   */
  async startAsStandbyOf(upstream) {
    this.becomeStandbyOf(upstream);
    await this.start();
  }

  /** @param {Address} upstream */
  becomeStandbyOf(upstream) {
    replication.writeStandbyFiles(this, this.dataDir, upstream, this.#binaries.account);
    this.role = 'standby';
  }

  /** @param {import('./entrance.js').Entrance} entrance */
  async entrance(entrance) {
    await changeEntrance(this, this.#binaries.account, entrance);
  }

  #livePids() {
    if (this.pid === undefined) throw new Error(`${this.name} is not running`);
    return [this.pid];
  }

  async #untilGone() {
    await until(`${this.name} is gone`, () => !this.running && this.pids.length === 0, { everyMs: 5 });
  }
}

exports.LocalNode = LocalNode;
