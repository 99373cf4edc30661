'use strict';

// The store in which Patroni keeps its leader key: one etcd, with a data folder that survives a kill.

const fs = require('node:fs');
const path = require('node:path');
const { newFolder, startIn } = require('./folders');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');

/** @typedef {import('./install').Programs} Programs */

class Etcd {
  #programs;
  #peerPort;
  /** @type {import('node:child_process').ChildProcess | null} */
  #process = null;

  /** @param {{ dir: string, port: number, peerPort: number, programs: Programs }} options */
  constructor({ dir, port, peerPort, programs }) {
    this.dir = dir;
    this.port = port;
    this.host = '127.0.0.1';
    this.logFile = path.join(dir, 'log');
    this.#peerPort = peerPort;
    this.#programs = programs;
    newFolder(dir, programs.account);
  }

  get running() {
    return this.#process !== null;
  }

  async start() {
    const { account, etcd } = this.#programs;
    const client = `http://${this.host}:${this.port}`;
    const peer = `http://${this.host}:${this.#peerPort}`;
    const settings = {
      name: 'e1',
      'data-dir': path.join(this.dir, 'data'),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `e1=${peer}`,
      'log-level': 'warn',
    };
    const options = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const { dir, logFile } = this;
    this.#process = startIn([...etcd.command, ...options], { dir, logFile, account }, (child) => {
      if (this.#process === child) this.#process = null;
    });
    await until('etcd is healthy', async () => {
      if (!this.running)
        throw new GiveUp(`etcd did not start:\n${fs.readFileSync(this.logFile, 'utf8').slice(-2_000)}`);
      const answer = await fetch(`${client}/health`, { signal: AbortSignal.timeout(1_000) });
      return (await answer.text()).includes('true');
    });
  }

  /** SIGKILL, as when its machine fails. */
  async kill() {
    this.#process?.kill('SIGKILL');
    await until('etcd is gone', () => !this.running, { everyMs: 2 });
  }
}

exports.Etcd = Etcd;
