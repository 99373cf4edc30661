'use strict';

// Runs program.js in a runtime, from a folder like that of an application, which has the package as npm would install it.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { ROOT } = require('../../../scripts/release/stage.js');

const PACKAGE = 'hyperiondb-client';

/** Makes the application's folder. */
function makeApp() {
  // The real path, because Deno's permissions are for real paths.
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-runtimes-')));
  const installed = path.join(folder, 'node_modules', PACKAGE);
  const { version, files } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const addons = fs.readdirSync(ROOT).filter((name) => name.endsWith('.node'));
  for (const name of ['package.json', ...files, ...addons]) {
    fs.cpSync(path.join(ROOT, name), path.join(installed, name), { recursive: true });
  }
  for (const name of ['program.js', 'checks.js', 'check-clusters.js'])
    fs.copyFileSync(path.join(__dirname, name), path.join(folder, name));
  const manifest = { private: true, type: 'commonjs', dependencies: { [PACKAGE]: version } };
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  return folder;
}

/** @typedef {{ check?: string, ready?: string, value?: any, answer?: any, error?: { message: string, stack: string } }} Line */

/** The program in a process of its own. It is killed if it does not end by itself. */
class Run {
  /** @type {Line[]} */
  #lines = [];
  #rest = '';
  #stderr = '';
  #hasEnded = false;
  /** Called when a line comes and at the end. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @param {string[]} command the runtime with its flags
   * @param {string} app
   * @param {object} settings for program.js
   * @param {number} killMs
   */
  constructor([file, ...flags], app, settings, killMs) {
    const home = path.join(app, 'home');
    const child = spawn(file, [...flags, path.join(app, 'program.js'), JSON.stringify(settings)], {
      cwd: app,
      // A home and a cache in the application's folder: no runtime finds or leaves anything elsewhere.
      env: {
        PATH: process.env.PATH,
        HOME: home,
        DENO_DIR: path.join(home, 'deno'),
        DENO_NO_UPDATE_CHECK: '1',
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#stderr += text;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), killMs);
    /** @type {Promise<{ code: number | null, signal: string | null, stderr: string, lines: Line[] }>} */
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        this.#hasEnded = true;
        this.#wake();
        resolve({ code, signal, stderr: this.#stderr, lines: this.#lines });
      });
    });
  }

  /** @param {string} text */
  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    this.#lines.push(...lines.map((line) => JSON.parse(line)));
    this.#wake();
  }

  #wake() {
    for (const look of this.#waiting) look();
  }

  /** @param {(line: Line) => boolean} suits @param {string} what @returns {Promise<Line>} */
  #line(suits, what) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.#lines.find(suits);
        if (found !== undefined) resolve(found);
        else if (this.#hasEnded) reject(new Error(`the program ended without ${what}:\n${this.#stderr}`));
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Resolves when the program is ready for what the test does to the cluster. @param {string} check */
  ready(check) {
    return this.#line(({ ready }) => ready === check, `being ready for ${check}`);
  }

  /** What a check has seen. @param {string} check */
  async sawIn(check) {
    const { value, error } = await this.#line((line) => line.check === check, `a line for ${check}`);
    if (error !== undefined) throw new Error(`in the program: ${error.message}\n${error.stack}`);
    return value;
  }
}

module.exports = { makeApp, Run };
