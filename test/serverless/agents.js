'use strict';

// Processes that a test can freeze (SIGSTOP, as a serverless runtime does between two invocations), thaw, and start with a wrong clock.

const { execFileSync, fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

class Agent {
  #child;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  #calls = 0;
  /** What its pool has told. @type {any[]} */
  events = [];

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child;
    child.on('message', (/** @type {any} */ { id, event, detail, value, error }) => {
      if (event !== undefined) return this.events.push({ event, ...detail });
      const { resolve, reject } = /** @type {any} */ (this.#waiting.get(id));
      this.#waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(Object.assign(new Error(error.message), error));
    });
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the agent has ended'));
    });
  }

  /**
   * Starts an agent, which ends with the test.
   * @param {import('node:test').TestContext} t
   * @param {object} options of createPool, or of ServerlessClient
   * @param {{ kind?: 'pool' | 'client', clockShiftSeconds?: number }} [settings]
   */
  static async start(t, options, { kind = 'pool', clockShiftSeconds = 0 } = {}) {
    const shift =
      clockShiftSeconds === 0 ? {} : { LD_PRELOAD: clockShift(), CLOCK_SHIFT_SECONDS: String(clockShiftSeconds) };
    const child = fork(path.join(__dirname, 'agent.js'), [], {
      env: { ...process.env, ...shift, AGENT: JSON.stringify({ kind, options }) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.after(() => child.kill('SIGKILL'));
    const agent = new Agent(child);
    await once(child, 'message');
    return agent;
  }

  /** @param {string} name @param {...unknown} args */
  #call(name, ...args) {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, name, args });
    });
  }

  /** @param {string} sql @param {unknown[]} [params] @returns {Promise<any[]>} */
  query(sql, params) {
    return this.#call('query', sql, params);
  }

  /** @returns {Promise<{ locked: boolean, killed: number }>} */
  reap() {
    return this.#call('reap');
  }

  /** The time by its clock, in ms since 1970. @returns {Promise<number>} */
  now() {
    return this.#call('now');
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  /** What it has told of one kind. @param {string} event @param {string} [type] */
  told(event, type) {
    return this.events.filter((one) => one.event === event && (type === undefined || one.type === type));
  }
}

/** @type {string | undefined} */
let library;

/** The library that shifts a clock, compiled by the compiler that links the add-on. */
function clockShift() {
  if (library === undefined) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-clock-'));
    process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
    library = path.join(folder, 'clock-shift.so');
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, path.join(__dirname, 'clock-shift.c'), '-ldl']);
  }
  return library;
}

/** Why the clock of a process cannot be set here; undefined: it can. */
const noClockShift = process.platform === 'linux' ? undefined : 'LD_PRELOAD is of Linux';

module.exports = { Agent, noClockShift };
