#!/usr/bin/env node
'use strict';

// `hyperiondb-client status | watch | doctor`: a cluster on the command line.
//
// cli/: arguments.js (what was asked), status.js (one look), watch.js (the live picture, or a line a change), doctor.js (what
// is wrong; with machine.js, examination.js, findings.js), seen.js (waits for the first look), topology.js (what the nodes amount to), table.js, changes.js and words.js (how it reads), screen.js (the terminal).

const fs = require('node:fs');
const path = require('node:path');
const { USAGE, UsageError, readArguments } = require('./arguments.js');

/** Wrong usage, or whatever else kept it from looking: nothing is said about the cluster. */
const COULD_NOT_LOOK = 2;

/**
 * @param {import('./arguments.js').Arguments} asked
 * @returns {Promise<number>} the exit code
 */
async function run(asked) {
  if (asked.command === 'help') return print(USAGE);
  if (asked.command === 'version') return print(version());
  const { command, color, pool: options } = asked;
  const { stdin, stdout, env } = process;
  const isScreen = stdout.isTTY === true && env.TERM !== 'dumb';
  const surroundings = { input: stdin, out: stdout, isScreen, colors: isScreen && color && !env.NO_COLOR };
  // It opens pools itself, where that is possible.
  if (command === 'doctor') return require('./doctor.js').doctor(asked, surroundings);
  const pool = openPool({ ...options, mode: 'any', applicationName: `hyperiondb-client ${command}` });
  try {
    const { look } = command === 'status' ? require('./status.js') : require('./watch.js');
    return await look(pool, asked, surroundings);
  } finally {
    await pool.end();
  }
}

function version() {
  return JSON.parse(fs.readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8')).version;
}

/** @param {string} text */
function print(text) {
  process.stdout.write(`${text}\n`);
  return 0;
}

/** @param {import('../../client.js').PoolOptions} options */
function openPool(options) {
  // Not before it is needed: --help works without the native addon.
  const { createPool, OptionError } = require('../../client.js');
  try {
    return createPool(options);
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(error.message) : error;
  }
}

/** @param {unknown} error */
function failed(error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`hyperiondb-client: ${message}\n${error instanceof UsageError ? `\n${USAGE}\n` : ''}`);
  return COULD_NOT_LOOK;
}

process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
  // Whoever read has seen enough, or the terminal is gone: nothing to complain about.
  if (error.code !== 'EPIPE' && error.code !== 'EIO') process.exit(failed(error));
});
Promise.resolve()
  .then(() => run(readArguments(process.argv.slice(2))))
  .catch(failed)
  .then((code) => {
    process.exitCode = code;
  });
