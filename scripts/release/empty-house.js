'use strict';

// An empty folder on a machine without a compiler, and without a network as far as npm is concerned: what a user's container is.

const assert = require('node:assert/strict');
const { execFile, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { npmProgram } = require('./stage.js');

/** What a package with native code may look for when it is installed. */
const TOOLS = 'cargo rustc rustup cc gcc g++ c++ clang ld make cmake python python3 node-gyp zig sh git curl'.split(
  ' ',
);

class EmptyHouse {
  /** @param {string} folder */
  constructor(folder) {
    this.app = path.join(folder, 'app');
    const [bin, home] = [path.join(folder, 'bin'), path.join(folder, 'home')];
    for (const made of [this.app, bin, home]) fs.mkdirSync(made, { recursive: true });
    fs.symlinkSync(process.execPath, path.join(bin, 'node'));
    fs.symlinkSync(npmProgram(), path.join(bin, 'npm'));
    /** @type {NodeJS.ProcessEnv} */
    this.env = {
      PATH: bin,
      HOME: home,
      npm_config_cache: path.join(home, '.npm'),
      npm_config_userconfig: path.join(home, '.npmrc'),
      npm_config_globalconfig: path.join(home, 'npmrc'),
      npm_config_offline: 'true',
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
    };
  }

  /** Fails when one of the tools can be run. @returns {string[]} those that were tried */
  proveNoCompiler() {
    const there = TOOLS.filter((name) => {
      const { error } = spawnSync(name, ['--version'], { env: this.env });
      return /** @type {NodeJS.ErrnoException | undefined} */ (error)?.code !== 'ENOENT';
    });
    assert.deepEqual(there, [], 'found in PATH');
    return TOOLS;
  }

  /**
   * Runs a program of the house in the app's folder; resolves to what it printed.
   * @param {string} program node, npm, or the path of another Node
   * @param {string[]} args
   * @param {NodeJS.ProcessEnv} [env]
   */
  async run(program, args, env = {}) {
    const file = path.isAbsolute(program) ? program : path.join(String(this.env.PATH), program);
    const options = { cwd: this.app, env: { ...this.env, ...env }, timeout: 120_000 };
    const { stdout } = await promisify(execFile)(file, args, options);
    return stdout.trim();
  }

  /** @param {string} name @param {string} text @returns {string} its path */
  write(name, text) {
    const file = path.join(this.app, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    return file;
  }
}

module.exports = { EmptyHouse };
