'use strict';

// A member of the cluster: a Patroni agent, and the PostgreSQL that it keeps running. The agent is a child of this process; the
// server outlives the agent, and is found by its folder.

const fs = require('node:fs');
const path = require('node:path');
const { killAll, processesIn, signal, suspend } = require('../../../exports/testing/cluster/processes.js');
const { withConnection } = require('../../../exports/testing/cluster/sql.js');
const { until } = require('../../../exports/testing/cluster/until.js');
const { newFolder, startIn } = require('./folders');
const { SUPERUSER, configurationOf } = require('./settings');

/** @typedef {import('./install').Programs} Programs */

class Member {
  #programs;
  #configuration;
  /** @type {import('node:child_process').ChildProcess | null} */
  #agent = null;

  /**
   * @param {{ name: string, host: string, port: number, restPort: number, dir: string }} place
   * @param {{ host: string, port: number }} etcd
   * @param {Programs} programs
   */
  constructor(place, etcd, programs) {
    this.name = place.name;
    this.host = place.host;
    this.port = place.port;
    this.dir = place.dir;
    this.dataDir = path.join(place.dir, 'data');
    this.logFile = path.join(place.dir, 'log');
    this.rest = `http://${place.host}:${place.restPort}`;
    this.frozen = false;
    this.#programs = programs;
    this.#configuration = path.join(place.dir, 'patroni.json');
    newFolder(place.dir, programs.account);
    fs.writeFileSync(this.#configuration, JSON.stringify(configurationOf(place, etcd, programs), null, 2));
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** Whether its agent runs, frozen or not. */
  get managed() {
    return this.#agent !== null;
  }

  /** Starts the agent, which takes over the server that it finds, or starts one. */
  startAgent() {
    if (this.managed) throw new Error(`the agent of ${this.name} is running`);
    const { account, patroni } = this.#programs;
    const { dir, logFile } = this;
    this.#agent = startIn([...patroni.command, this.#configuration], { dir, logFile, account }, (agent) => {
      if (this.#agent === agent) this.#agent = null;
    });
  }

  /** kill -9 of the agent alone: the server goes on, without anything that manages it. */
  async killAgent() {
    this.#agent?.kill('SIGKILL');
    await until(`the agent of ${this.name} is gone`, () => !this.managed, { everyMs: 2 });
  }

  /** A machine crash: no process of the server or of the agent runs another instruction. */
  async crash() {
    await suspend(this.#postmaster(), this.dataDir); // suspended, no process forks
    await Promise.all([this.killAgent(), killAll(this.dataDir)]);
    this.frozen = false;
  }

  /** The machine stands still: its kernel accepts connections, and no process answers. */
  async freeze() {
    this.#agent?.kill('SIGSTOP');
    await suspend(this.#postmaster(), this.dataDir);
    this.frozen = true;
  }

  thaw() {
    signal('SIGCONT', processesIn(this.dir));
    this.frozen = false;
  }

  #postmaster() {
    return Number(fs.readFileSync(path.join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
  }

  /**
   * Runs one statement as superuser over a connection of its own.
   *
   * @param {string} text
   * @param {unknown[]} [params]
   * @param {{ database?: string, timeoutMs?: number }} [options]
   * @returns {Promise<import('../../../exports/testing/cluster/sql.js').Row[]>}
   */
  sql(text, params, { database = 'app', timeoutMs } = {}) {
    const login = { host: this.host, port: this.port, ...SUPERUSER, database };
    return withConnection(login, (query) => query(text, params), timeoutMs);
  }

  /**
   * Patroni's REST API (docs/rest_api.rst there).
   *
   * @param {string} what e.g. '/cluster'
   * @param {{ body?: unknown, timeoutMs?: number }} [options] with a body it is a POST
   * @returns {Promise<{ status: number, text: string }>}
   */
  async ask(what, { body, timeoutMs = 2_000 } = {}) {
    const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`${this.rest}${what}`, { ...request, signal: AbortSignal.timeout(timeoutMs) });
    return { status: answer.status, text: await answer.text() };
  }

  /** The log of the agent without its heartbeat, and the log of the server. */
  log() {
    if (!fs.existsSync(this.logFile)) return '';
    const lines = fs.readFileSync(this.logFile, 'utf8').split('\n');
    return lines.filter((line) => !/INFO: (no action|Lock owner)/.test(line)).join('\n');
  }
}

exports.Member = Member;
