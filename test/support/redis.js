'use strict';

// A Redis for tests: Debian's redis-server, in any version from 7 (CLUSTER ADDSLOTSRANGE, --cluster-port).
//
//   const redis = useRedis();
//   test('...', async (t) => {
//     const client = await redis.client(t, 'ioredis');
//
// A missing redis-server is installed where that is possible (programs.js); otherwise `test` skips with the reason.
// HYPERION_REDIS names the program.

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before } = require('node:test');
const { UnsupportedError } = require('./cluster');
const { serverAccount } = require('../../exports/testing/cluster/account.js');
const { newClusterFolder } = require('../../exports/testing/cluster/files.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { sweep } = require('../../exports/testing/cluster/processes.js');
const { guard, release } = require('../../exports/testing/cluster/reaper.js');
const { GiveUp, until } = require('../../exports/testing/cluster/until.js');
const { canInstall, findProgram, installPackages } = require('./programs');

/** @typedef {import('node:test').TestContext} TestContext */

/** @returns {string[]} the command; throws what makes `test` skip */
function redisServer() {
  const find = () => findProgram('redis-server', 'HYPERION_REDIS', serverAccount());
  if (process.platform === 'win32') throw new UnsupportedError('redis-server', 'it is tested on POSIX systems');
  const found = find();
  if (found !== null) return found.command;
  if (canInstall()) installPackages(['redis-server']);
  const brought = find();
  if (brought === null) throw new UnsupportedError('redis-server', 'it is not there: apt-get install redis-server');
  return brought.command;
}

/** How a client of each package is made, connected and closed. */
const CLIENTS = {
  ioredis: async (/** @type {number} */ port) => {
    const { Redis } = require('ioredis');
    const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50 });
    client.on('error', () => {});
    return { client, close: () => client.disconnect() };
  },
  'ioredis cluster': async (/** @type {number} */ port) => {
    const { Cluster } = require('ioredis');
    const client = new Cluster([{ host: '127.0.0.1', port }], { clusterRetryStrategy: () => 50 });
    client.on('error', () => {});
    return { client, close: () => client.disconnect() };
  },
  'node-redis': async (/** @type {number} */ port) => {
    const { createClient } = require('redis');
    const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: 50 } });
    client.on('error', () => {});
    await client.connect();
    return { client, close: () => client.destroy() };
  },
  'node-redis cluster': async (/** @type {number} */ port) => {
    const { createCluster } = require('redis');
    const client = createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }] });
    client.on('error', () => {});
    await client.connect();
    return { client, close: () => client.destroy() };
  },
};

class RedisServer {
  /** The folder that is removed at the end. */
  #root = '';
  #dir = '';
  #sharded;
  /** @type {UnsupportedError | undefined} */
  #unsupported;
  /** @type {import('node:child_process').ChildProcess | null} */
  #process = null;
  /** @type {string[]} */
  #command = [];
  #port = 0;
  /** Of the bus of a Redis Cluster. Redis would take #port + 10,000, where another program may be. */
  #busPort = 0;

  /** @param {boolean} sharded whether it is a Redis Cluster of one node */
  constructor(sharded) {
    this.#sharded = sharded;
  }

  async start() {
    try {
      this.#command = redisServer();
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error;
      this.#unsupported = error;
      return;
    }
    this.#port = await freePort();
    this.#busPort = await freePort();
    this.#root = newClusterFolder();
    guard(this.#root);
    fs.chmodSync(this.#root, 0o755);
    this.#dir = path.join(this.#root, 'redis');
    fs.mkdirSync(this.#dir);
    const account = serverAccount();
    if (account) fs.chownSync(this.#dir, account.uid, account.gid);
    await this.run();
  }

  /** Starts the process; it has what its last snapshot (SAVE) had. */
  async run() {
    const [file, ...args] = this.#command;
    const own = ['--port', `${this.#port}`, '--bind', '127.0.0.1', '--dir', this.#dir, '--save', ''];
    const announced = ['--cluster-announce-ip', '127.0.0.1'];
    const shards = ['--cluster-enabled', 'yes', ...announced, '--cluster-port', `${this.#busPort}`];
    const log = path.join(this.#dir, 'log');
    const output = fs.openSync(log, 'a');
    const child = spawn(file, [...args, ...own, ...(this.#sharded ? shards : [])], {
      cwd: this.#dir,
      detached: true, // Ctrl-C is for the test, not for this process
      env: { PATH: process.env.PATH, LANG: 'C' },
      stdio: ['ignore', output, output],
      ...serverAccount(),
    });
    fs.closeSync(output);
    this.#process = child;
    const gone = () => {
      if (this.#process === child) this.#process = null;
    };
    child.on('error', gone);
    child.on('exit', gone);
    child.unref();
    await until('Redis answers', () => {
      if (this.#process !== child) throw new GiveUp(`Redis did not start:\n${fs.readFileSync(log, 'utf8')}`);
      return this.cli('PING').trim() === 'PONG';
    });
  }

  /** kill -9. */
  async kill() {
    this.#process?.kill('SIGKILL');
    await until('Redis is gone', () => this.#process === null);
  }

  /** Holds the process: its connections stay, and nothing is answered. @param {'SIGSTOP' | 'SIGCONT'} name */
  signal(name) {
    this.#process?.kill(name);
  }

  async stop() {
    if (this.#root === '') return;
    await sweep(this.#root);
    release(this.#root);
  }

  /** @returns {number} throws what makes `test` skip when there is no Redis */
  get port() {
    if (this.#unsupported !== undefined) throw this.#unsupported;
    return this.#port;
  }

  /** What a command of redis-cli prints; an empty text while the server is not there. @param {...string} command */
  cli(...command) {
    try {
      const args = ['-p', `${this.port}`, ...command];
      return execFileSync('redis-cli', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch (error) {
      if (error instanceof UnsupportedError) throw error;
      return '';
    }
  }

  /** All keys. */
  keys() {
    return this.cli('--raw', 'KEYS', '*').split('\n').filter(Boolean).sort();
  }

  /**
   * A client that ends with its test.
   * @param {TestContext} t
   * @param {keyof typeof CLIENTS} kind
   * @returns {Promise<any>}
   */
  async client(t, kind) {
    const { client, close } = await CLIENTS[kind](this.port);
    t.after(() => close());
    return client;
  }
}

/** A Redis for all tests of the file that calls it. @param {{ sharded?: boolean }} [options] */
function useRedis({ sharded = false } = {}) {
  const server = new RedisServer(sharded);
  before(() => server.start(), { timeout: 300_000 });
  after(() => server.stop());
  return server;
}

module.exports = { useRedis };
