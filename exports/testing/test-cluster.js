'use strict';

// The public face of cluster/: what other people's tests may do with a cluster, in few words that stay. Each method is one of
// cluster/server.js or cluster/cluster.js; what differs is that roles are always those of the whole cluster: promote() is a failover,
// after which the other standbys follow, and rejoin() knows whom to follow.

const { OptionError } = require('../../client.js');
const { startLocalCluster } = require('./cluster/local.js');

/** @typedef {import('./cluster/cluster.js').Cluster} Cluster */
/** @typedef {import('./cluster/server.js').Server} Server */

const MOST_NODES = 9;

class TestNode {
  #server;
  #cluster;

  /** @param {Server} server @param {Cluster} cluster */
  constructor(server, cluster) {
    this.#server = server;
    this.#cluster = cluster;
    this.name = server.name;
    this.host = server.host;
    this.port = server.port;
    this.address = server.address;
  }

  get role() {
    return this.#server.role;
  }

  get running() {
    return this.#server.running;
  }

  get frozen() {
    return this.#server.frozen;
  }

  fence() {
    return this.#server.fence();
  }

  unfence() {
    return this.#server.unfence();
  }

  stop() {
    return this.#server.stop('fast');
  }

  start() {
    return this.#server.start();
  }

  kill() {
    return this.#server.crash();
  }

  freeze() {
    return this.#server.freeze();
  }

  thaw() {
    return this.#server.thaw();
  }

  /** @param {{ synchronous?: boolean }} [options] */
  async promote(options = {}) {
    refuseUnknown('promote', options, ['synchronous']);
    if (this.role !== 'standby') throw new Error(`${this.name} is no standby, but ${this.role}`);
    this.#mustAnswer('promote');
    await this.#cluster.failover(this.#server, options);
  }

  async rejoin() {
    const primary = this.#cluster.primary();
    if (primary === this.#server) throw new Error(`${this.name} is the primary: promote another node before`);
    if (!primary.running || primary.frozen) throw new Error(`the primary ${primary.name} does not answer`);
    await this.#server.rejoin(primary);
  }

  /** @param {string} method */
  #mustAnswer(method) {
    if (this.running && !this.frozen) return;
    throw new Error(`${method}: ${this.name} ${this.frozen ? 'is frozen' : 'does not run'}`);
  }
}

class TestCluster {
  #cluster;

  /** @param {Cluster} cluster */
  constructor(cluster) {
    this.#cluster = cluster;
    this.nodes = Object.freeze(cluster.nodes.map((server) => new TestNode(server, cluster)));
    this.hosts = cluster.hosts;
    this.user = cluster.user;
    this.password = cluster.password;
    this.database = cluster.database;
    this.version = cluster.version;
  }

  get options() {
    const { hosts, user, password, database } = this;
    return { hosts, user, password, database };
  }

  primary() {
    return this.#faceOf(this.#cluster.primary());
  }

  standbys() {
    return this.#cluster.standbys().map((server) => this.#faceOf(server));
  }

  stop() {
    return this.#cluster.stop();
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.stop();
  }

  /** @param {Server} server @returns {TestNode} */
  #faceOf(server) {
    return this.nodes[this.#cluster.nodes.indexOf(server)];
  }
}

/**
 * @param {string} what
 * @param {object} options
 * @param {string[]} known
 */
function refuseUnknown(what, options, known) {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new OptionError(`${what}: '${name}' is no option, but ${known.join(', ')} are`);
  }
}

/**
 * Starts a cluster and resolves when all standbys stream.
 *
 * @param {{ nodes?: number, synchronous?: boolean, settings?: Record<string, string | number | boolean>, pgBin?: string }} [options]
 */
async function startTestCluster(options = {}) {
  refuseUnknown('startTestCluster', options, ['nodes', 'synchronous', 'settings', 'pgBin']);
  const { nodes = 3, synchronous = true, settings = {}, pgBin } = options;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MOST_NODES) {
    throw new OptionError(`startTestCluster: nodes must be an integer from 1 to ${MOST_NODES}`);
  }
  return new TestCluster(await startLocalCluster({ nodes, synchronous, settings, pgBin }));
}

module.exports = { startTestCluster };
