'use strict';

// The processes of a storm (frozen-process.js): they are started here and end with whoever has started them, however that ends. A
// process that is stopped does not notice that its parent is gone, so a watchdog does: a process that holds the reading end of a pipe
// and kills the rest when the pipe closes.

const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');

/** @typedef {{ host: string, port: number, user: string, password: string, database: string }} Login */
/**
 * @typedef {object} Job
 * @property {'hyperion' | 'pg'} client
 * @property {Login} login
 * @property {object} options of the client, beside the login
 * @property {number} patienceMs how long a process tries to get a session
 * @property {number} work how many ms it works on after its first row
 */

const PROGRAM = path.join(__dirname, 'frozen-process.js');

class Processes {
  #watchdog = spawn(process.execPath, [__filename], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  /** @type {Map<import('node:child_process').ChildProcess, Promise<void>>} those that have not ended, with their ends */
  #living = new Map();

  constructor() {
    this.#watchdog.unref();
    /** @type {any} */ (this.#watchdog.stdin).unref();
  }

  /**
   * Starts a process, which waits.
   * @param {Job} job
   * @param {(event: any) => void} onEvent what it writes
   */
  start(job, onEvent) {
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(job)], {
      // Each of them would say that it has no lease.
      env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '1' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#watchdog.stdin?.write(`+${child.pid}\n`);
    readline.createInterface({ input: child.stdout }).on('line', (line) => onEvent(JSON.parse(line)));
    child.stdin.on('error', () => {});
    const end = new Promise((resolve) => {
      child.on('close', () => {
        this.#living.delete(child);
        this.#watchdog.stdin?.write(`-${child.pid}\n`);
        resolve(undefined);
      });
    });
    this.#living.set(child, /** @type {Promise<void>} */ (end));
    return { go: () => void child.stdin.write('go\n') };
  }

  /** Frozen or not; resolves when all have ended. */
  async killAll() {
    const ends = [...this.#living.values()];
    for (const child of this.#living.keys()) child.kill('SIGKILL');
    await Promise.all(ends);
  }

  async close() {
    await this.killAll();
    this.#watchdog.stdin?.end();
  }
}

/** The code of the watchdog: +pid, -pid, and the end. */
function watch() {
  /** @type {Set<number>} */
  const pids = new Set();
  for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.on(name, () => {});
  readline
    .createInterface({ input: process.stdin })
    .on('line', (line) => (line[0] === '+' ? pids.add(Number(line.slice(1))) : pids.delete(Number(line.slice(1)))))
    .on('close', () => {
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has ended.
        }
      }
    });
}

if (require.main === module) watch();

module.exports = { Processes };
