'use strict';

// Starts two-phase.process.js, and waits for what it says.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { until } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

class Coordinator {
  #child;
  /** @type {any[]} */
  lines = [];
  #text = '';
  #stderr = '';
  #isOver = false;

  /** @param {TestContext} t @param {import('./two-phase.process.js').Job} job */
  constructor(t, job) {
    this.#child = spawn(process.execPath, [path.join(__dirname, 'two-phase.process.js'), JSON.stringify(job)], {
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (this.#text + text).split('\n');
      this.#text = /** @type {string} */ (lines.pop());
      this.lines.push(...lines.map((line) => JSON.parse(line)));
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#stderr += text;
    });
    this.#child.on('close', () => {
      this.#isOver = true;
    });
    t.after(() => this.kill());
  }

  async reached() {
    await until('the coordinator stands still', () => {
      if (this.#isOver) throw new Error(`it has ended: ${this.#stderr}${JSON.stringify(this.lines)}`);
      return this.lines.some(({ reached }) => reached !== undefined);
    });
  }

  /** The last line, when it has ended by itself. */
  async ended() {
    await until('the coordinator has ended', () => this.#isOver);
    return this.lines.at(-1);
  }

  async kill() {
    if (this.#isOver) return;
    this.#child.kill('SIGKILL');
    await until('the coordinator is gone', () => this.#isOver);
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  /** Lets it live on, and go on from where it stands still. */
  goOn() {
    this.#child.stdin.write('go on\n');
    this.#child.kill('SIGCONT');
  }
}

module.exports = { Coordinator };
