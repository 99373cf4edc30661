'use strict';

// The command line in a process of its own, and what a terminal shows of its output.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { HANG_MS, until } = require('./helpers');

const ROOT = path.join(__dirname, '..', '..');
const CLI = path.join(ROOT, 'lib', 'cli', 'index.js');

const ESC = '\x1b';
const HIDE_CURSOR = `${ESC}[?25l`;
const SHOW_CURSOR = `${ESC}[?25h`;
/** A state word in its colour. @param {string} word @param {number} code */
const painted = (word, code) => `${ESC}[${code}m${word}${ESC}[0m`;

/** The environment without the variables that a developer has set for servers and colours. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^PG|COLOR|^NODE_/.test(name)));

/** The environment with which a cluster is reached. @param {any} db */
const reaching = ({ cluster: { user, password, database } }) => ({
  PGUSER: user,
  PGPASSWORD: password,
  PGDATABASE: database,
});

/** The command in a process of its own: what it has printed so far, and how it ends. */
class Running {
  /**
   * @param {string} file
   * @param {string[]} args
   * @param {NodeJS.ProcessEnv} env
   */
  constructor(file, args, env) {
    this.out = '';
    this.err = '';
    this.child = spawn(file, args, { cwd: ROOT, env: { ...ENV, ...env } });
    this.child.stdin.on('error', () => {});
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      this.out += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.err += text;
    });
    const timer = setTimeout(() => this.child.kill('SIGKILL'), HANG_MS / 2);
    /** @type {Promise<{ code: number | null, signal: string | null, out: string, err: string, lines: string[] }>} */
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, out: this.out, err: this.err, lines: this.out.split('\n').slice(0, -1) });
      });
    });
  }

  /** @param {RegExp} pattern */
  printed(pattern) {
    return until(`it prints ${pattern}, not only:\n${this.out}${this.err}`, () => pattern.test(this.out));
  }
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
const start = (args, env = {}) => new Running(process.execPath, [CLI, ...args], env);

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
const run = (args, env) => start(args, env).ended;

const SEQUENCE_OR_CHARACTER = new RegExp(`${ESC}\\[\\??(\\d*)([A-Za-z])|[^]`, 'g');

/**
 * The lines of a terminal of this width after all of `text`, as far as the command's escape sequences go.
 * @param {string} text
 * @param {number} columns
 */
function shownBy(text, columns) {
  /** @type {string[]} */
  const lines = [''];
  let row = 0;
  let column = 0;
  let wraps = 0;
  for (const [found, count, command] of text.matchAll(SEQUENCE_OR_CHARACTER)) {
    lines[row] ??= '';
    if (command === 'F') [row, column] = [Math.max(0, row - Number(count || 1)), 0];
    else if (command === 'K') lines[row] = lines[row].slice(0, column);
    else if (command === 'J') lines.splice(row, Infinity, lines[row].slice(0, column));
    else if (found === '\r') column = 0;
    else if (found === '\n') [row, column] = [row + 1, 0];
    else if (command === undefined) {
      lines[row] = lines[row].slice(0, column).padEnd(column) + found + lines[row].slice(column + 1);
      if (++column >= columns) wraps++;
    }
  }
  return { lines: lines.map((line) => line.trimEnd()), wraps };
}

module.exports = { CLI, ESC, HIDE_CURSOR, ROOT, Running, SHOW_CURSOR, painted, reaching, run, shownBy, start };
