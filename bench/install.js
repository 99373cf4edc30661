'use strict';

// The peers are dependencies of this folder alone, at the versions its lock file pins.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const MODULES = path.join(__dirname, 'node_modules');

/** @param {string} command @param {string[]} args @param {string} cwd */
function run(command, args, cwd) {
  console.error(`> ${command} ${args.join(' ')} (in ${path.relative(process.cwd(), cwd) || '.'})`);
  execFileSync(command, args, { cwd, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
}

function installPeers() {
  const { devDependencies } = require('./package.json');
  const isThere = (/** @type {[string, string]} */ [name, version]) => {
    const file = path.join(MODULES, name, 'package.json');
    return fs.existsSync(file) && JSON.parse(fs.readFileSync(file, 'utf8')).version === version;
  };
  if (Object.entries(devDependencies).every(isThere)) return;
  run('npm', ['ci', '--no-audit', '--no-fund'], __dirname);
}

/**
 * pg-native needs libpq's binding compiled, and npm may not run install scripts, or may have failed to.
 * @returns {string | undefined} why there is none
 */
function buildNative() {
  const libpq = path.join(MODULES, 'libpq');
  if (!fs.existsSync(path.join(MODULES, 'pg-native')) || !fs.existsSync(libpq)) return 'npm did not install it';
  const isBuilt = () => fs.existsSync(path.join(libpq, 'build/Release/addon.node'));
  const failed = path.join(libpq, '.build-failed');
  if (!isBuilt() && !fs.existsSync(failed)) {
    try {
      run('npx', ['--yes', 'node-gyp', 'rebuild'], libpq);
    } catch {
      fs.writeFileSync(failed, ''); // not again with every run: `npm ci` forgets it
    }
  }
  if (!isBuilt()) return 'libpq cannot be built (it takes a C++ compiler, libpq-dev and the headers of Node.js)';
  try {
    process.dlopen({ exports: {} }, path.join(libpq, 'build/Release/addon.node'));
  } catch (error) {
    return `libpq cannot be loaded: ${/** @type {Error} */ (error).message}`;
  }
  return undefined;
}

module.exports = { installPeers, buildNative };
