'use strict';

// A cluster that somebody else runs (Patroni, a cloud service), named by the environment, so that the same tests can run against
// it:
//   HYPERION_HOSTS      host[:port],... (this variable selects the mode)
//   HYPERION_PORT       port of the hosts that name none, default 5432
//   HYPERION_USER, HYPERION_PASSWORD, HYPERION_DATABASE    a superuser's login; default postgres, '', postgres
//   HYPERION_CTL        a shell command, called as `$HYPERION_CTL <operation> <host:port> [mode]`, which returns when it
//                       is done and fails with a non-zero code:
//                         stop [smart|fast|immediate], start, promote, freeze, thaw,
//                         kill machine (crash: all processes at once), kill postmaster (kill -9 of that one alone)
// Without HYPERION_CTL only SQL, the fence and proxies are at hand. A base backup and repointing of standbys are the
// manager's business and never done by us: `failover` here promotes and trusts the manager with the rest.

const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { Cluster } = require('../../../exports/testing/cluster/cluster.js');
const { Server, SQL_OPERATIONS, UnsupportedError } = require('../../../exports/testing/cluster/server.js');
const { until } = require('../../../exports/testing/cluster/until.js');

/** @typedef {import('../../../exports/testing/cluster/server.js').Credentials} Credentials */

const run = promisify(execFile);

const CTL_OPERATIONS = Object.freeze(['stop', 'start', 'crash', 'killPostmaster', 'freeze', 'promote', 'failover']);

class ExternalNode extends Server {
  #ctl;
  #running = true;
  #onPromoted;

  /**
   * @param {object} options
   * @param {string} options.name
   * @param {string} options.host
   * @param {number} options.port
   * @param {Credentials} options.credentials
   * @param {string | undefined} options.ctl
   * @param {(node: ExternalNode) => void} options.onPromoted
   */
  constructor({ ctl, onPromoted, ...server }) {
    super(server);
    this.#ctl = ctl;
    this.#onPromoted = onPromoted;
  }

  /** As far as the harness's own commands go: whether somebody else has stopped the node is not known. */
  get running() {
    return this.#running;
  }

  /** @param {'smart' | 'fast' | 'immediate'} [mode] */
  async stop(mode = 'fast') {
    await this.#control('stop', 'stop', mode);
    this.#running = false;
  }

  async start() {
    await this.#control('start', 'start');
    this.#running = true;
    await until(`${this.name} answers`, () => this.sql('SELECT 1'));
  }

  async crash() {
    await this.#control('crash', 'kill', 'machine');
    this.#running = false;
    this.frozen = false;
  }

  async killPostmaster() {
    await this.#control('killPostmaster', 'kill', 'postmaster');
    this.#running = false;
    this.frozen = false;
  }

  async freeze() {
    await this.#control('freeze', 'freeze');
    this.frozen = true;
  }

  async thaw() {
    await this.#control('freeze', 'thaw');
    this.frozen = false;
  }

  async promote() {
    await this.#control('promote', 'promote');
    await until(`${this.name} has left recovery`, async () => !(await this.isInRecovery()));
    this.#onPromoted(this);
  }

  /**
   * @param {string} operation
   * @param {string} command
   * @param {string[]} mode
   */
  async #control(operation, command, ...mode) {
    if (!this.#ctl) throw this.unsupported(operation);
    await run('/bin/sh', ['-c', `${this.#ctl} "$@"`, 'ctl', command, this.address, ...mode]);
  }

  /** @param {string} operation */
  unsupported(operation) {
    return new UnsupportedError(
      operation,
      CTL_OPERATIONS.includes(operation)
        ? 'HYPERION_CTL is not set (a command that can stop, start, promote, kill, freeze and thaw a node)'
        : "it belongs to the external cluster's manager",
    );
  }
}

/**
 * @param {{ settings?: Record<string, unknown>, tls?: unknown }} [options]
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<Cluster>}
 */
async function openExternalCluster({ settings = {}, tls = null } = {}, env = process.env) {
  if (Object.keys(settings).length > 0) {
    throw new UnsupportedError(
      'settings',
      `cannot set ${Object.keys(settings).join(', ')} on the cluster of HYPERION_HOSTS`,
    );
  }
  if (tls !== null) throw new UnsupportedError('entrance', 'the certificates of HYPERION_HOSTS are not ours');
  const credentials = {
    user: env.HYPERION_USER ?? 'postgres',
    password: env.HYPERION_PASSWORD ?? '',
    database: env.HYPERION_DATABASE ?? 'postgres',
  };
  const ctl = env.HYPERION_CTL || undefined;
  const nodes = addresses(env).map(
    ({ host, port }, index) =>
      new ExternalNode({
        name: `n${index + 1}`,
        host,
        port,
        credentials,
        ctl,
        onPromoted: (node) => cluster.promoted(node),
      }),
  );
  const primary = await findPrimary(nodes);
  const [facts] = await primary.sql(`
    SELECT current_setting('server_version_num')::int / 10000 AS version,
           current_setting('synchronous_standby_names') <> '' AS synchronous`);
  const cluster = new Cluster({
    nodes,
    credentials,
    app: null,
    version: facts.version,
    synchronous: facts.synchronous,
    capabilities: ctl ? [...SQL_OPERATIONS, ...CTL_OPERATIONS] : SQL_OPERATIONS,
    dir: null,
    dispose: async () => {},
  });
  cluster.promoted(primary);
  return cluster;
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ host: string, port: number }[]}
 */
function addresses(env) {
  const defaultPort = Number(env.HYPERION_PORT ?? 5432);
  return (env.HYPERION_HOSTS ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter(Boolean)
    .map((text) => {
      // name, name:port, [v6]:port, or a bare v6 address
      const [, v6, name, port] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [undefined, text];
      return { host: v6 ?? name, port: port ? Number(port) : defaultPort };
    });
}

/**
 * @param {ExternalNode[]} nodes
 * @returns {Promise<ExternalNode>}
 */
async function findPrimary(nodes) {
  const answers = await Promise.allSettled(nodes.map((node) => node.isInRecovery()));
  const index = answers.findIndex((answer) => answer.status === 'fulfilled' && !answer.value);
  if (index < 0) {
    const reasons = answers.map(
      (answer, each) => `${nodes[each].address}: ${answer.status === 'rejected' ? answer.reason.message : 'a standby'}`,
    );
    throw new Error(`HYPERION_HOSTS names no primary (${reasons.join('; ')})`);
  }
  return nodes[index];
}

exports.openExternalCluster = openExternalCluster;
