'use strict';

// Starting a cluster on this machine, from nothing, in about a second: a template data directory (template.js) is copied
// for every node, the copies become standbys by two files, and all servers start at once. Everything lives in one folder,
// guarded by the watchdog (reaper.js) before the first process runs.

const fs = require('node:fs');
const path = require('node:path');
const { findBinaries } = require('./binaries.js');
const { Cluster } = require('./cluster.js');
const { quoted, writeEntrance } = require('./entrance.js');
const { copyTree, newClusterFolder } = require('./files.js');
const { LocalNode } = require('./node.js');
const { freePort } = require('./ports.js');
const { sweep } = require('./processes.js');
const { guard, release } = require('./reaper.js');
const { anyOneOf, waitUntilStreaming, writeOwned } = require('./replication.js');
const { SQL_OPERATIONS } = require('./server.js');
const { APP, newDataDirectory, SUPERUSER } = require('./template.js');

/** @typedef {import('./binaries.js').Binaries} Binaries */
/** @typedef {string | number | boolean} Setting */

/**
 * @typedef {object} LocalOptions
 * @property {number} [nodes] how many; the first becomes the primary. Default 3.
 * @property {boolean} [synchronous] a commit waits for any one standby (ANY 1, synchronous_commit = on). Default true.
 * @property {Record<string, Setting>} [settings] more postgresql.conf settings, for all nodes.
 * @property {string[]} [hba] more pg_hba.conf lines, tried after the harness's own and before the password default.
 * @property {import('./entrance.js').ServerTls | import('./entrance.js').ServerTls[] | null} [tls] certificate and key of all nodes,
 *   or of each. Default: no TLS. `node.entrance()` changes it later.
 * @property {Record<string, string | Buffer>} [files] files for the data directory, e.g. a TLS key (mode 0600).
 * @property {string} [pgBin] folder of postgres and initdb. Default HYPERION_PG_BIN, else the npm package's PostgreSQL.
 */

/** @type {Required<Omit<LocalOptions, 'pgBin'>>} */
const DEFAULTS = Object.freeze({ nodes: 3, synchronous: true, settings: {}, hba: [], tls: null, files: {} });

/** @typedef {typeof DEFAULTS & { pgBin?: string }} WholeOptions */

const CAPABILITIES = Object.freeze([
  ...SQL_OPERATIONS,
  'stop',
  'start',
  'crash',
  'killPostmaster',
  'killBackend',
  'exhaust',
  'freeze',
  'promote',
  'follow',
  'rejoin',
  'failover',
  'switchover',
  'settings',
  'entrance',
]);

const ATTEMPTS = 3;

/**
 * Starts a cluster and resolves when all standbys stream.
 *
 * @param {LocalOptions} [given]
 * @returns {Promise<Cluster>}
 */
async function startLocalCluster(given = {}) {
  const options = { ...DEFAULTS, ...given };
  for (let attempt = 1; ; attempt += 1) {
    const dir = newClusterFolder();
    guard(dir);
    const dispose = async () => {
      await sweep(dir);
      release(dir);
    };
    try {
      return await assemble(dir, dispose, options);
    } catch (error) {
      await dispose();
      // Another process took one of the ports between the check and the bind: try again with new ports.
      const portTaken = error instanceof Error && /Address already in use/i.test(error.message);
      if (!portTaken || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * @param {string} dir
 * @param {() => Promise<void>} dispose
 * @param {WholeOptions} options
 */
async function assemble(dir, dispose, options) {
  fs.chmodSync(dir, 0o755); // the account of the servers must be able to enter
  const binaries = await findBinaries({ pgBin: options.pgBin });
  const nodes = [];
  for (let number = 1; number <= options.nodes; number += 1) {
    const name = `n${number}`;
    nodes.push(
      new LocalNode({
        name,
        port: await freePort(),
        dir: path.join(dir, name),
        binaries,
        credentials: SUPERUSER,
        onPromoted: (node) => cluster.promoted(node),
      }),
    );
  }
  const cluster = new Cluster({
    nodes,
    credentials: SUPERUSER,
    app: { ...APP },
    version: binaries.version,
    synchronous: options.synchronous,
    capabilities: CAPABILITIES,
    dir,
    dispose,
  });
  const [primary, ...standbys] = nodes;
  cluster.promoted(primary);
  await createDataDirectories(nodes, binaries, options);
  for (const standby of standbys) standby.becomeStandbyOf(primary);
  await Promise.all(nodes.map((node) => node.start()));
  await waitUntilStreaming(primary, standbys);
  return cluster;
}

/**
 * @param {LocalNode[]} nodes
 * @param {Binaries} binaries
 * @param {WholeOptions} options
 */
async function createDataDirectories(nodes, binaries, options) {
  for (const node of nodes) fs.mkdirSync(node.dir);
  const owner = binaries.account;
  const [first, ...others] = nodes.map(({ dataDir }) => dataDir);
  await newDataDirectory(binaries, first);
  const settings = { ...settingsFor(nodes, binaries.version, options.synchronous), ...options.settings };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}\n`);
  fs.appendFileSync(path.join(first, 'postgresql.conf'), lines.join(''));
  for (const [name, content] of Object.entries(options.files)) writeOwned(path.join(first, name), content, owner);
  await Promise.all(others.map((target) => copyTree(first, target, { owner })));
  const tlsOf = (/** @type {number} */ index) => (Array.isArray(options.tls) ? options.tls[index] : options.tls);
  nodes.forEach(({ dataDir }, index) => writeEntrance(dataDir, owner, { tls: tlsOf(index), hba: options.hba }));
}

/**
 * The same on every node, so that a base backup carries it along; port and name are on the command line.
 *
 * @param {LocalNode[]} nodes
 * @param {number} version
 * @param {boolean} synchronous
 * @returns {Record<string, Setting>}
 */
function settingsFor(nodes, version, synchronous) {
  return {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '', // socket names depend on the port alone: two clusters could clash
    max_connections: 120,
    max_prepared_transactions: 10,
    shared_buffers: '16MB',
    // Files in the data directory instead of /dev/shm, so that a killed server leaves nothing behind.
    dynamic_shared_memory_type: 'mmap',
    password_encryption: 'scram-sha-256', // not the default before 14

    wal_level: 'replica',
    hot_standby: true,
    hot_standby_feedback: false,
    wal_log_hints: true, // for pg_rewind, where it is installed
    wal_keep_size: '256MB', // base backups copy no WAL, and a standby that was down for a while must find it
    wal_init_zero: false, // filling new segments with zeros is for disks, and costs memory here
    wal_retrieve_retry_interval: '100ms',
    synchronous_commit: true,
    synchronous_standby_names: synchronous && nodes.length > 1 ? anyOneOf(nodes.map(({ name }) => name)) : '',

    // A crash here is one of processes: what they have written is in the kernel's page cache and survives them, so
    // fsync buys nothing but time. full_page_writes stays on: a SIGKILL can tear an 8 kB write between two 4 kB pages.
    fsync: false,

    logging_collector: false,
    log_destination: 'stderr',
    log_line_prefix: '%m [%p] %q%u %a ',
    lc_messages: 'C',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...(version >= 18 ? { io_method: 'sync' } : {}), // no extra I/O worker processes on a small machine
  };
}

exports.startLocalCluster = startLocalCluster;
