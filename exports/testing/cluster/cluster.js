'use strict';

// A cluster as tests see it: nodes, the primary as far as the harness knows, and failover as a manager does it. The harness is no
// manager: it changes something only when a test says so, and knows only what the test has done through it. After a failover the
// old primary stays as it is (dead, frozen, or alive: a split brain if the test wants one).

const { setTimeout: sleep } = require('node:timers/promises');
const { UnsupportedError } = require('./server.js');
const replication = require('./replication.js');

/** @typedef {import('./server.js').Server} Server */
/** @typedef {import('./server.js').Credentials} Credentials */

/** How long a planned change waits for the writes that have begun. */
const LONGEST_WRITE_MS = 1_000;

class Cluster {
  #nodes;
  #credentials;
  #dispose;

  /**
   * @param {object} options
   * @param {Server[]} options.nodes with their roles set
   * @param {Credentials} options.credentials
   * @param {{ user: string, password: string } | null} options.app
   * @param {number} options.version
   * @param {boolean} options.synchronous
   * @param {Iterable<string>} options.capabilities
   * @param {string | null} options.dir
   * @param {() => Promise<void>} options.dispose
   */
  constructor({ nodes, credentials, app, version, synchronous, capabilities, dir, dispose }) {
    this.#nodes = nodes;
    this.#credentials = credentials;
    this.#dispose = dispose;
    /** A role without special rights that may create tables in the public schema; null in an external cluster. */
    this.app = app;
    /** PostgreSQL's major version. */
    this.version = version;
    /** Whether a commit waits for a standby. */
    this.synchronous = synchronous;
    /** Names of the operations that work here; the others throw an UnsupportedError. @type {ReadonlySet<string>} */
    this.capabilities = new Set(capabilities);
    /** The folder of data directories and logs; null in an external cluster. */
    this.dir = dir;
  }

  get nodes() {
    return this.#nodes;
  }

  /** @returns {string[]} `host:port` of every node, in their fixed order, whatever their state */
  get hosts() {
    return this.#nodes.map(({ address }) => address);
  }

  /** Name of a superuser. */
  get user() {
    return this.#credentials.user;
  }

  get password() {
    return this.#credentials.password;
  }

  get database() {
    return this.#credentials.database;
  }

  /** @returns {Server} the node last started or promoted as primary, running or not */
  primary() {
    const primary = this.#nodes.find(({ role }) => role === 'primary');
    if (!primary) throw new Error('no node is known as primary');
    return primary;
  }

  /** @returns {Server[]} the nodes set up as standbys, running or not */
  standbys() {
    return this.#nodes.filter(({ role }) => role === 'standby');
  }

  /** @returns {Server[]} the standbys that can answer */
  liveStandbys() {
    return this.standbys().filter(({ running, frozen }) => running && !frozen);
  }

  /**
   * @returns {Promise<Server>} the live standby that has received most; of equals the first in the order of nodes
   */
  async mostAdvanced() {
    const ranked = await this.#positions();
    if (ranked.length === 0) throw new Error('no standby is running');
    return ranked.reduce((best, each) => (each.bytes > best.bytes ? each : best)).standby;
  }

  #positions() {
    return Promise.all(
      this.liveStandbys().map(async (standby) => ({ standby, bytes: await replication.position(standby) })),
    );
  }

  /**
   * Promotes a standby and lets the other live ones follow it; resolves when it accepts writes and streams to them. A standby that
   * is ahead of the new primary (the test chose `to`) cannot follow and rejoins by a base backup.
   *
   * First no standby receives any more: an old primary that lives on could otherwise have a commit confirmed by the standby that is
   * not promoted, and acknowledge a write that is lost.
   *
   * @param {Server} [to] default: the most advanced live standby
   * @param {{ synchronous?: boolean }} [options] false when no standby is left: or else the new primary's writes wait for
   *   one for ever, which is what a synchronous cluster promises
   * @returns {Promise<Server>} the new primary
   */
  async failover(to, { synchronous = this.synchronous } = {}) {
    this.#mustBeAbleTo('failover');
    if (this.capabilities.has('follow')) await Promise.all(this.liveStandbys().map((standby) => standby.detach()));
    const next = to ?? (await this.mostAdvanced());
    const others = (await this.#positions()).filter(({ standby }) => standby !== next);
    const reached = this.capabilities.has('follow') ? await replication.position(next) : 0n;
    if (!synchronous && this.synchronous) await this.#dropSynchronous(next);
    await next.promote();
    if (this.capabilities.has('follow')) {
      await Promise.all(
        others.map(async ({ standby, bytes }) => {
          if (bytes > reached) await standby.rejoin(next);
          else await standby.follow(next);
        }),
      );
      await replication.waitUntilStreaming(
        next,
        others.map(({ standby }) => standby),
      );
    }
    return next;
  }

  /**
   * A planned change of roles: fence, let running writes end, clean stop (all WAL reaches the standbys), promote, old primary back as
   * a standby.
   *
   * @param {Server} [to] default: the most advanced live standby
   * @returns {Promise<Server>} the new primary
   */
  async switchover(to) {
    this.#mustBeAbleTo('switchover');
    const old = /** @type {import('./node.js').LocalNode} */ (this.primary());
    await old.fence();
    await writesHaveEnded(old);
    await old.stop('fast');
    const next = await this.failover(to);
    await old.startAsStandbyOf(next);
    await replication.waitUntilCaughtUp(old, next);
    return next;
  }

  /** @param {Server} node */
  async #dropSynchronous(node) {
    await node.sql("ALTER SYSTEM SET synchronous_standby_names = ''");
    await node.sql('SELECT pg_reload_conf()');
    this.synchronous = false;
  }

  /** Updates roles after a promotion, whoever asked for it. @param {Server} node */
  promoted(node) {
    for (const other of this.#nodes) if (other !== node && other.role === 'primary') other.role = 'deposed';
    node.role = 'primary';
  }

  /** @param {string} operation */
  #mustBeAbleTo(operation) {
    if (!this.capabilities.has(operation)) throw new UnsupportedError(operation, 'see cluster.capabilities');
  }

  /** Ends everything and removes the files; harmless when called twice. */
  async stop() {
    await Promise.all(this.#nodes.map((node) => node.closeProxies()));
    await this.#dispose();
  }

  [Symbol.asyncDispose ?? Symbol('asyncDispose')]() {
    return this.stop();
  }
}

/**
 * Resolves when the statements that were writing when the node was fenced have ended. A backend that is told to end while it waits for a
 * standby leaves its client in doubt, which is no part of a planned change. What takes longer is cut off.
 * @param {Server} node
 */
async function writesHaveEnded(node) {
  const until = performance.now() + LONGEST_WRITE_MS;
  const writing =
    "SELECT FROM pg_stat_activity WHERE state = 'active' AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
  while ((await node.sql(writing)).length > 0 && performance.now() < until) await sleep(5);
}

exports.Cluster = Cluster;
