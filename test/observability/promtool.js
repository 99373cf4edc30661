'use strict';

// Debian's prometheus and its promtool. What is missing is installed where that is possible (programs.js); otherwise a test is skipped
// with the reason. HYPERION_PROMETHEUS and HYPERION_PROMTOOL name the programs.

const { spawnSync } = require('node:child_process');
const { UnsupportedError } = require('../support/cluster');
const { canInstall, findProgram, installPackages } = require('../support/programs.js');

/** @param {'prometheus' | 'promtool'} name @returns {string} its file; throws what makes `test` skip */
function find(name) {
  if (process.platform === 'win32') throw new UnsupportedError(name, 'it is tested on POSIX systems');
  const look = () => findProgram(name, `HYPERION_${name.toUpperCase()}`, null)?.command[0];
  const found = look();
  if (found !== undefined) return found;
  if (canInstall()) installPackages(['prometheus']);
  const brought = look();
  if (brought === undefined) throw new UnsupportedError(name, 'it is not there: apt-get install prometheus');
  return brought;
}

/**
 * What promtool says, and its exit code: 0 when it has found nothing.
 * @param {string[]} args
 * @param {string} [input]
 */
function promtool(args, input) {
  const { status, stdout, stderr } = spawnSync(find('promtool'), args, { encoding: 'utf8', input });
  return { status, output: `${stdout}${stderr}`.trim() };
}

/** What `promtool check metrics` says of a text: nothing, if it is well. @param {string} text */
const lint = (text) => promtool(['check', 'metrics'], text);

const CLEAN = { status: 0, output: '' };

module.exports = { CLEAN, find, lint, promtool };
