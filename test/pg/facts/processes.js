'use strict';

// Processes of their own, for facts about how a process ends.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { HANG_MS } = require('../../support/helpers.js');

const MODULES = {
  pg: require.resolve('pg'),
  face: path.join(__dirname, '..', '..', '..', 'exports', 'pg', 'index.js'),
};

/** A process that runs JavaScript with `pg` and `config` at hand. */
class Program {
  #lines = '';
  #errors = '';
  #child;

  /** @param {import('node:test').TestContext} t @param {import('../support.js').Face} face @param {string} code the body of an async function */
  constructor(t, face, code) {
    const script = `
      process.noDeprecation = true;
      const pg = require(${JSON.stringify(MODULES[face.name])});
      const config = ${JSON.stringify(face.config)};
      const { setTimeout: sleep } = require('node:timers/promises');
      (async () => {${code}\n})();`;
    this.#child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.setEncoding('utf8').on('data', (chunk) => {
      this.#lines += chunk;
    });
    this.#child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.#errors += chunk;
    });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), HANG_MS / 2);
    /** @type {Promise<{ code: number | null, signal: string | null, lines: string[], errors: string }>} */
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (exitCode, signal) => {
        clearTimeout(timer);
        resolve({ code: exitCode, signal, lines: this.lines, errors: this.#errors });
      });
    });
    t.after(() => this.kill());
  }

  /** What it has printed so far. */
  get lines() {
    return this.#lines.split('\n').filter(Boolean);
  }

  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async kill() {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

module.exports = { Program };
