'use strict';

// A cluster, a pool and its load, on which faults are played: the common part of the matrix and the soak.

const { setTimeout: sleep } = require('node:timers/promises');
const { createPool } = require('../../client.js');
const { startCluster } = require('../support/cluster');
const { waitUntilStreaming } = require('../../exports/testing/cluster/replication.js');
const { until } = require('../../exports/testing/cluster/until.js');
const { EVERYTHING, Load, TABLE, judge } = require('./load');

/** @typedef {import('../support/cluster').Cluster} Cluster */
/** @typedef {import('../support/cluster').Node} Node */
/** @typedef {import('./faults').Fault} Fault */
/** @typedef {import('./random').Random} Random */

/** Few, so that they can be exhausted quickly, with room for a pool, its monitor and the harness. */
const MAX_CONNECTIONS = 40;
const SETTINGS = {
  max_connections: MAX_CONNECTIONS,
  max_wal_size: '256MB', // a soak writes for hours
};
/** The pool must wait for longer than every fault: its own limits must cause no error. */
const POOL = { poolSize: 8, acquireTimeoutMs: 60_000 };

/** A fault comes when the load has run for at most this time. */
const BEFORE_MS = 300;
const ROWS = 'SELECT id, part, timeline FROM written WHERE id >= $1';

/** @param {Cluster} cluster */
const roleOf = ({ app, user, password, database }) => ({ user, password, database, ...app });

/** A cluster for scenes. @param {{ synchronous?: boolean }} [options] */
async function startStage({ synchronous = true } = {}) {
  const cluster = await startCluster({ nodes: 3, synchronous, settings: SETTINGS });
  return new Stage(cluster);
}

/** A cluster with proxies before its nodes. */
class Stage {
  /** @type {Map<Node, import('../support/cluster').Proxy>} */
  proxies = new Map();

  /** @param {Cluster} cluster */
  constructor(cluster) {
    this.cluster = cluster;
  }

  async openProxies() {
    for (const node of this.cluster.nodes) if (!this.proxies.has(node)) this.proxies.set(node, await node.proxy());
  }

  /** Makes every node run and follow the primary. */
  async restore() {
    const { cluster } = this;
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.heal()));
    const primary = cluster.primary();
    for (const node of cluster.nodes) {
      if (node !== primary && (node.role === 'deposed' || !node.running || node.frozen)) await node.rejoin(primary);
    }
    await waitUntilStreaming(primary, cluster.standbys());
  }

  stop() {
    return this.cluster.stop();
  }
}

class Scene {
  #stage;
  #proxied;

  /**
   * @param {Stage} stage
   * @param {object} options
   * @param {boolean} options.proxied
   * @param {Random} options.random
   * @param {Record<string, unknown>} [options.pool] more options of the pool
   * @param {ConstructorParameters<typeof Load>[1]} [options.size] of the load
   */
  constructor(stage, { proxied, random, pool = {}, size = EVERYTHING }) {
    this.#stage = stage;
    this.#proxied = proxied;
    this.random = random;
    this.login = roleOf(stage.cluster);
    const hosts = this.cluster.nodes.map((node) => this.addressOf(node));
    this.pool = /** @type {any} */ (createPool({ ...this.login, hosts, ...POOL, ...pool }));
    /** The addresses in the pool's events for a new primary. @type {string[]} */
    this.told = [];
    this.pool.on('primary', (/** @type {any} */ { to }) => this.told.push(to));
    this.load = new Load(this.pool, { ...size, random });
  }

  /**
   * A new scene over an empty table.
   * @param {Stage} stage
   * @param {ConstructorParameters<typeof Scene>[1]} options
   */
  static async open(stage, options) {
    if (options.proxied) await stage.openProxies();
    const primary = stage.cluster.primary();
    const as = roleOf(stage.cluster);
    await primary.sql('DROP TABLE IF EXISTS written', [], as);
    await primary.sql(TABLE, [], as);
    return new Scene(stage, options);
  }

  get cluster() {
    return this.#stage.cluster;
  }

  /** @returns {any} the node the harness knows as primary */
  get primary() {
    return this.cluster.primary();
  }

  /** The address under which the pool knows a node. @param {Node} node */
  addressOf(node) {
    return this.#proxied ? this.proxyOf(node).address : node.address;
  }

  /** @param {Node} node */
  proxyOf(node) {
    return /** @type {import('../support/cluster').Proxy} */ (this.#stage.proxies.get(node));
  }

  /**
   * Plays a fault under the load.
   * @param {Fault} fault
   */
  async play(fault) {
    await this.flows();
    await this.rest(BEFORE_MS);
    await fault.play(this);
    await this.flows();
  }

  /** Does something that may cost work in flight its answer. @param {() => Promise<unknown>} deed */
  async strike(deed) {
    this.load.strike();
    await deed();
  }

  /** Pauses for at most this time, as the seed chooses. @param {number} mostMs */
  rest(mostMs) {
    return sleep(this.random.int(0, mostMs));
  }

  failover() {
    return this.cluster.failover();
  }

  /** Waits until each kind of work has succeeded some times more. @param {number} [times] */
  flows(times) {
    return this.load.flows(times);
  }

  /** What the pool says about a node. @param {Node} node */
  seen(node) {
    const address = this.addressOf(node);
    return this.pool.nodes().find((/** @type {any} */ { host, port }) => `${host}:${port}` === address);
  }

  /** @param {Node} node */
  seesDown(node) {
    return until(`the pool sees that ${node.name} is down`, () => this.seen(node).state === 'down');
  }

  /** @param {Node} node */
  seesFenced(node) {
    return until(`the pool sees that ${node.name} is fenced`, () => this.seen(node).state === 'fenced');
  }

  /** Waits until the pool knows that a second primary is a deposed one. @param {Node} node */
  seesDeposed(node) {
    return until(
      `the pool sees that ${node.name} was deposed`,
      () => this.seen(node).state === 'fenced' && /deposed/.test(this.seen(node).lastError ?? ''),
    );
  }

  /** The rows on the primary. @param {number} [from] ids from this one @returns {Promise<import('./check').Row[]>} */
  rows(from = 0) {
    return this.primary.sql(ROWS, [from]);
  }

  /** The rows on deposed nodes that run and answer. @param {number} [from] */
  deposed(from = 0) {
    const nodes = this.cluster.nodes.filter(({ role, running, frozen }) => role === 'deposed' && running && !frozen);
    return Promise.all(
      nodes.map(async (node) => ({
        node: this.addressOf(node),
        rows: /** @type {import('./check').Row[]} */ (await node.sql(ROWS, [from])),
      })),
    );
  }

  /**
   * Ends the load and judges it.
   * @param {Fault} fault
   */
  async verdict({ planned = false }) {
    await this.load.stop();
    return judge(this.load.record, { rows: await this.rows(), deposed: await this.deposed() }, { planned });
  }

  end() {
    this.load.abandon();
    return this.pool.end({ timeoutMs: 500 });
  }
}

exports.MAX_CONNECTIONS = MAX_CONNECTIONS;
exports.Scene = Scene;
exports.Stage = Stage;
exports.startStage = startStage;
